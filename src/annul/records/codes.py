"""The closed lists of codes: axes of an answer, purposes, channels, advice. Values are what the API and the screens show.

Each member also has a stable small number (`octet`), which stands for it in receipts and log entries. Numbers are never
given to another meaning; a new member takes the next free one.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Self


class Coded(StrEnum):
    """A closed list whose members have a stable number of one byte beside their name.

    Members are written `NAME = "value", octet`.
    """

    octet: int

    def __new__(cls, value: str, octet: int) -> Self:
        if not 0 <= octet <= 255:
            raise ValueError("an octet is 0 to 255")
        member = str.__new__(cls, value)
        member._value_ = value
        member.octet = octet
        return member

    @classmethod
    def of_octet(cls, octet: int) -> Self:
        """Return the member with this number; ValueError when there is none."""
        for member in cls:
            if member.octet == octet:
                return member
        raise ValueError(f"{cls.__name__} has no member with the number {octet}")


class Outcome(Coded):
    """What the relying party should do."""

    PASS = "PASS", 1
    REFER = "REFER", 2
    STOP = "STOP", 3
    NO_ANSWER = "NO_ANSWER", 4


class StatusClass(Coded):
    """The class of a status code: what every relying party may know."""

    no_listing = "no_listing", 1
    reported = "reported", 2
    not_in_force = "not_in_force", 3
    cannot_tell = "cannot_tell", 4


class StatusCode(Coded):
    """The status axis. S00 and I00 stand for their class where the agreement withholds the exact reason.

    Source: the domain's answer table; V no listing, S reported by the holder, I no longer in force, U cannot tell.
    """

    V00 = "V00", 1
    V01 = "V01", 2
    S00 = "S00", 16
    S10 = "S10", 17
    S11 = "S11", 18
    S12 = "S12", 19
    S13 = "S13", 20
    I00 = "I00", 32
    I20 = "I20", 33
    I21 = "I21", 34
    I22 = "I22", 35
    I23 = "I23", 36
    I24 = "I24", 37
    I25 = "I25", 38
    U30 = "U30", 48
    U31 = "U31", 49
    U32 = "U32", 50
    U33 = "U33", 51
    U34 = "U34", 52

    @property
    def status_class(self) -> StatusClass:
        """The class this code belongs to."""
        return _CLASS_OF_LETTER[self.value[0]]

    def withheld(self) -> StatusCode:
        """Return the code a relying party sees whose agreement does not allow reasons."""
        return _WITHHELD.get(self, self)


_CLASS_OF_LETTER = {
    "V": StatusClass.no_listing,
    "S": StatusClass.reported,
    "I": StatusClass.not_in_force,
    "U": StatusClass.cannot_tell,
}
_WITHHELD = {code: StatusCode.S00 for code in StatusCode if code.value[0] == "S"} | {
    code: StatusCode.I00 for code in StatusCode if code.value[0] == "I"
}


class State(IntEnum):
    """States of a document. The values are stable numbers; severity has a table of its own."""

    current = 0
    compromised = 1
    expired = 2
    owner_locked = 3
    suspended = 4
    superseded = 5
    cancelled = 6
    revoked = 7
    found_held = 8
    reported_lost = 9
    reported_stolen = 10
    blank_stolen = 11
    destroyed = 12

    @property
    def bit(self) -> int:
        """The state's bit in a standing."""
        return 1 << self.value


SEVERITY: tuple[State, ...] = (
    State.current,
    State.compromised,
    State.expired,
    State.owner_locked,
    State.suspended,
    State.superseded,
    State.cancelled,
    State.revoked,
    State.found_held,
    State.reported_lost,
    State.reported_stolen,
    State.blank_stolen,
    State.destroyed,
)
"""All states, mildest first: the worst standing fact is the state (rule 8)."""

TERMINAL: frozenset[State] = frozenset({State.superseded, State.cancelled, State.revoked, State.destroyed})
"""States a document never leaves (rule 1)."""

DEAD: frozenset[State] = TERMINAL | {State.blank_stolen}
"""States in which a document is no longer in force for good, whatever else stands: those it never leaves, and a stolen blank,
which was never issued. Source: docs/decisions/0016-meanings.md."""


def mask(*states: State) -> int:
    """Return the standing that holds exactly these facts."""
    standing = 0
    for state in states:
        standing |= 1 << state.value
    return standing


_CODE_OF_STATE: dict[State, StatusCode] = {
    State.current: StatusCode.V00,
    State.compromised: StatusCode.V01,
    State.expired: StatusCode.I21,
    State.owner_locked: StatusCode.S13,
    State.suspended: StatusCode.S12,
    State.superseded: StatusCode.I20,
    State.cancelled: StatusCode.I22,
    State.revoked: StatusCode.I23,
    State.found_held: StatusCode.I25,
    State.reported_lost: StatusCode.S10,
    State.reported_stolen: StatusCode.S11,
    State.blank_stolen: StatusCode.I24,
    State.destroyed: StatusCode.I25,
}


def code_of(state: State) -> StatusCode:
    """Return the status code that answers for a state."""
    return _CODE_OF_STATE[state]


class IdentityCode(Coded):
    """Does the name belong to the number: match, match without photo, name differs, number unknown, not asked."""

    M0 = "M0", 1
    M1 = "M1", 2
    M2 = "M2", 3
    M3 = "M3", 4
    M9 = "M9", 9


class BindingCode(Coded):
    """Is the bearer the holder: matches, does not, presentation attack, no usable trait, not done."""

    B0 = "B0", 1
    B1 = "B1", 2
    B2 = "B2", 3
    B3 = "B3", 4
    B9 = "B9", 9


class FreshnessCode(Coded):
    """How fresh the state behind the answer is: live, a copy within its age limit, an older copy."""

    F0 = "F0", 1
    F1 = "F1", 2
    F2 = "F2", 3


class ErrorCode(Coded):
    """Why there is no answer; E00 is none. Source down, over quota, not authorised, purpose, bad request, time-out."""

    E00 = "E00", 0
    E90 = "E90", 90
    E91 = "E91", 91
    E92 = "E92", 92
    E93 = "E93", 93
    E94 = "E94", 94
    E95 = "E95", 95


class Advice(Coded):
    """The next step for the clerk; `bit` is its place in the receipt's 16-bit mask."""

    A1 = "A1", 1  # ask for a second document
    A2 = "A2", 2  # read the chip
    A3 = "A3", 3  # compare the face
    A4 = "A4", 4  # compare the fingerprint
    A5 = "A5", 5  # call the issuer
    A6 = "A6", 6  # retain the document if lawful
    A7 = "A7", 7  # urgent-need exception possible, with a follow-up date
    A8 = "A8", 8  # report to the police
    A9 = "A9", 9  # continue

    @property
    def bit(self) -> int:
        """1 << (n - 1) for An."""
        return 1 << (self.octet - 1)


def advice_mask(advice: tuple[Advice, ...] | list[Advice]) -> int:
    """Return the 16-bit mask of these pieces of advice."""
    mask = 0
    for item in advice:
        mask |= item.bit
    return mask


def advice_of_mask(mask: int) -> tuple[Advice, ...]:
    """Return the advice in a mask, in order; ValueError on a bit that means nothing."""
    found = tuple(item for item in Advice if mask & item.bit)
    if advice_mask(found) != mask:
        raise ValueError("the advice mask has an unknown bit")
    return found


class Coverage(Coded):
    """What the register knows of a kind of document: whole lives, listings only, nothing."""

    none = "none", 0
    listing_only = "listing_only", 1
    whole_life = "whole_life", 2


class Channel(Coded):
    """Where the document is presented."""

    in_person = "in_person", 1
    remote = "remote", 2


class Purpose(Coded):
    """Why a check is made; must be within the relying party's agreement."""

    account_opening = "account-opening", 1
    account_servicing = "account-servicing", 2
    payment = "payment", 3
    credit = "credit", 4
    sim_registration = "sim-registration", 5
    hotel_check_in = "hotel-check-in", 6
    travel = "travel", 7
    employment = "employment", 8
    medical = "medical", 9
    public_service = "public-service", 10
    law_enforcement = "law-enforcement", 11
    other_by_law = "other-by-law", 12


class Realm(Coded):
    """Live data or the test realm; keys, numbers and answers of one never meet the other."""

    live = "live", 0
    test = "test", 1
