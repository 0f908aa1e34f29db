"""What every code means: the words people read for it, what follows from it, and how a document comes to answer it.

A code means one thing, in one table. The counter's screen, the developers' page, the command line, the sentence of an answer,
the samples of the demo and of the sandbox and the default policy read it from here. The texts are English and are the msgids of
the catalogues (`locale/<language>/codes.po`, kept by `scripts/words.py`); a surface translates what it shows.

To add a status code: a member in `codes.py` (and, where it answers for a new state, the state beside it), one row in
`STATUS` (and in `STATES`), then `scripts/words.py`, which asks for the translations.

    STATUS[StatusCode.S10].long                     # "Reported lost"
    STATUS[StatusCode.S10].verdict.outcome(...)     # Outcome.STOP: the default policy's
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from annul.records.codes import (
    Advice,
    BindingCode,
    Channel,
    Coded,
    ErrorCode,
    FreshnessCode,
    IdentityCode,
    Outcome,
    Purpose,
    State,
    StatusClass,
    StatusCode,
)
from annul.records.status import Event, Proof
from annul.records.verdict import Verdict, both

_NO_SENTENCES: Final[Mapping[Outcome, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Sample:
    """How a new document comes to answer a status code.

    Attributes:
        events: what happens to it after its issue, in order.
        proof: how sure it is who speaks; None where the events ask for none: then in person.
        evidence: reference that goes with the events.
        issued: it was issued before: not so for a blank.
        valid_until: last day of its validity (YYYY-MM-DD), "" for one that is not over.
    """

    events: tuple[Event, ...] = ()
    proof: Proof | None = None
    evidence: str = "file 2026-1"
    issued: bool = True
    valid_until: str = ""


class Meaning(NamedTuple):
    """What a code of an axis means.

    Attributes:
        short: words for a cell of a table, after the code.
        long: words that stand alone.
        verdict: what the default policy makes of it; an error is NO_ANSWER by every policy.
        sentences: what the clerk is told when this code decides, by outcome. A code that has none is told by its class or axis.
        attempt: a stopped check with this status is an attempt to use a document that its holder is told of. An expired card
            is none: holders forget, nobody is harmed.
        sample: how a document comes to answer it; None where no event brings it about.
    """

    short: str
    long: str
    verdict: Verdict
    sentences: Mapping[Outcome, str] = _NO_SENTENCES
    attempt: bool = False
    sample: Sample | None = None


_A = Advice
_STOP, _PASS, _REFER = Outcome.STOP, Outcome.PASS, Outcome.REFER
_REPORTED: Final = both(_STOP, _A.A6, _A.A8)
_GONE: Final = both(_STOP, _A.A1, _A.A6)

STATUS: Final[dict[StatusCode, Meaning]] = {
    StatusCode.V00: Meaning(
        "no listing",
        "No listing",
        both(_PASS, _A.A9),
        {_PASS: "No listing for this document as of the stated time."},
        sample=Sample(),
    ),
    StatusCode.V01: Meaning(
        "data known to others",
        "No listing, but its data were exposed",
        Verdict(in_person=_PASS, remote=_STOP, advice=(_A.A2, _A.A9), advice_remote=(_A.A1, _A.A2)),
        {
            _PASS: "No listing, but the data of this document were exposed: read the chip and compare it with the bearer.",
            _STOP: "Do not rely on this document here: its data were exposed, so it can be used only in person with its chip.",
        },
        sample=Sample((Event.compromise,), evidence="leak 2026-2"),
    ),
    StatusCode.S00: Meaning("reported, reason withheld", "Reported or locked (reason withheld)", _REPORTED),
    StatusCode.S10: Meaning(
        "reported lost",
        "Reported lost",
        _REPORTED,
        attempt=True,
        sample=Sample((Event.report_lost,)),
    ),
    StatusCode.S11: Meaning(
        "reported stolen",
        "Reported stolen",
        _REPORTED,
        attempt=True,
        sample=Sample((Event.report_stolen,)),
    ),
    StatusCode.S12: Meaning(
        "reported, not yet confirmed",
        "Reported, not confirmed yet",
        both(_STOP, _A.A1, _A.A5),
        attempt=True,
        sample=Sample((Event.report_lost,), Proof.phone),
    ),
    StatusCode.S13: Meaning(
        "locked by its holder",
        "Locked by its holder",
        both(_STOP, _A.A1),
        attempt=True,
        sample=Sample((Event.owner_lock,), Proof.online_strong),
    ),
    StatusCode.I00: Meaning("no longer in force, reason withheld", "No longer in force (reason withheld)", _GONE),
    StatusCode.I20: Meaning(
        "replaced by a newer one",
        "Replaced by a newer document",
        _GONE,
        attempt=True,
        sample=Sample((Event.supersede,)),
    ),
    StatusCode.I21: Meaning("expired", "Expired", both(_STOP, _A.A1), sample=Sample(valid_until="2020-06-01")),
    StatusCode.I22: Meaning("cancelled", "Cancelled", _GONE, attempt=True, sample=Sample((Event.cancel_nationality,))),
    StatusCode.I23: Meaning(
        "revoked",
        "Revoked",
        _REPORTED,
        attempt=True,
        sample=Sample((Event.revoke_fraud,), evidence="case 2026-17"),
    ),
    StatusCode.I24: Meaning(
        "blank stolen or never issued",
        "Blank stolen, or never issued",
        _REPORTED,
        attempt=True,
        sample=Sample((Event.blank_stolen,), evidence="case 2026-4", issued=False),
    ),
    StatusCode.I25: Meaning(
        "handed in or destroyed",
        "Handed in or destroyed",
        _REPORTED,
        attempt=True,
        sample=Sample((Event.surrender,), evidence="found in tram 9"),
    ),
    StatusCode.U30: Meaning(
        "not covered by this register",
        "Not covered by this register",
        both(_REFER, _A.A1, _A.A5),
        {_REFER: "This register does not cover this document, so it cannot tell. Ask its issuer."},
    ),
    StatusCode.U31: Meaning(
        "several documents, none named",
        "Several documents have this number",
        both(_REFER, _A.A2),
        {_REFER: "Several documents have this number: enter the date from which the card is valid."},
    ),
    StatusCode.U32: Meaning(
        "fits no document of this number",
        "The dates fit no document of this number",
        both(_STOP, _A.A1, _A.A5),
        {_STOP: "Do not rely on this document: its dates fit no document with this number."},
    ),
    StatusCode.U33: Meaning(
        "malformed number or check digit",
        "The number is malformed",
        both(_REFER, _A.A1, _A.A2),
        {_REFER: "The number does not have the form of this kind of document: read it again."},
    ),
    StatusCode.U34: Meaning(
        "status disputed",
        "The status is disputed",
        both(_REFER, _A.A1, _A.A5),
        {_REFER: "The status of this document is disputed: ask for a second document or call the issuer."},
        sample=Sample((Event.report_lost, Event.dispute_open), evidence="holder objects, file 2026-9"),
    ),
}
"""The status axis. Every code of the class "cannot tell" has a sentence of its own for each outcome it leads to."""

IDENTITY: Final[dict[IdentityCode, Meaning]] = {
    IdentityCode.M0: Meaning("name belongs to the number", "The name belongs to the number", both(_PASS)),
    IdentityCode.M1: Meaning(
        "name belongs to the number, no picture", "The name belongs to the number; no picture on record", both(_PASS, _A.A3)
    ),
    IdentityCode.M2: Meaning("name differs", "The name does not belong to the number", both(_REFER, _A.A1, _A.A5)),
    IdentityCode.M3: Meaning("number not known", "The number is not known", both(_REFER, _A.A1, _A.A5)),
    IdentityCode.M9: Meaning("name not asked", "The name was not asked", both(_PASS)),
}

BINDING: Final[dict[BindingCode, Meaning]] = {
    BindingCode.B0: Meaning("matches the holder", "The bearer is the holder", both(_PASS)),
    BindingCode.B1: Meaning("does not match the holder", "The bearer is not the holder", both(_STOP, _A.A8)),
    BindingCode.B2: Meaning("presentation attack", "The comparison was attacked", both(_STOP, _A.A8)),
    BindingCode.B3: Meaning("could not be compared", "Bearer and holder could not be compared", both(_REFER, _A.A1, _A.A4)),
    BindingCode.B9: Meaning("not compared", "Bearer and holder were not compared", both(_PASS)),
}

FRESHNESS: Final[dict[FreshnessCode, Meaning]] = {
    FreshnessCode.F0: Meaning("live", "Asked live", both(_PASS)),
    FreshnessCode.F1: Meaning("from a recent copy", "From a copy within its age", both(_PASS)),
    FreshnessCode.F2: Meaning("from an old copy", "From a copy that is too old", both(_REFER, _A.A5)),
}

_NONE = Outcome.NO_ANSWER
_UNANSWERED: Final = both(_NONE, _A.A1, _A.A5)
ERRORS: Final[dict[ErrorCode, Meaning]] = {
    ErrorCode.E00: Meaning("answered", "There is an answer", both(_PASS)),
    ErrorCode.E90: Meaning(
        "a source is down",
        "A source is not reachable",
        _UNANSWERED,
        {_NONE: "No answer: a source is not reachable. Do not take this as a PASS; check again."},
    ),
    ErrorCode.E91: Meaning(
        "quota used up",
        "The quota is used up",
        _UNANSWERED,
        {_NONE: "No answer: the quota is used up for now. Do not take this as a PASS; check again later."},
    ),
    ErrorCode.E92: Meaning(
        "not authorised",
        "The caller is not authorised",
        _UNANSWERED,
        {_NONE: "No answer: the caller is not authorised. Do not take this as a PASS."},
    ),
    ErrorCode.E93: Meaning(
        "purpose not allowed",
        "The agreement does not allow this purpose",
        _UNANSWERED,
        {_NONE: "No answer: the agreement does not allow this purpose. Do not take this as a PASS."},
    ),
    ErrorCode.E94: Meaning(
        "bad request",
        "The question could not be read",
        _UNANSWERED,
        {_NONE: "No answer: the question could not be read. Do not take this as a PASS; correct it and check again."},
    ),
    ErrorCode.E95: Meaning(
        "time-out",
        "The answer did not come in time",
        _UNANSWERED,
        {_NONE: "No answer: it did not come in time. Do not take this as a PASS; check again."},
    ),
}

AXES: Final[dict[str, Mapping[Any, Meaning]]] = {
    "status": STATUS,
    "identity": IDENTITY,
    "binding": BINDING,
    "freshness": FRESHNESS,
    "error": ERRORS,
}
"""Axis of an answer -> its codes."""

AXIS_SENTENCES: Final = {
    "STOP.binding": "Do not proceed: the bearer was not confirmed as the holder.",
    "REFER.U33.form": "The form of this zone is not known here: enter the number and the issuing state instead.",
    "STOP.other": "Do not proceed: the rules of your organisation ask for more than this answer gives.",
    "REFER.identity": "The name and the number do not belong together: ask for a second document.",
    "REFER.identity.unknown": "This personal number is not in the register of persons: ask for a second document.",
    "REFER.binding": "The bearer could not be compared with the holder: ask for a second document.",
    "REFER.other": "Check further: the rules of your organisation ask for more than this answer gives.",
    "REFER.freshness": "The copy of the register is older than allowed: ask again online.",
}
"""What the clerk is told when an axis decides, and not the status: outcome and axis -> sentence; U33 of a form not known."""


class ClassMeaning(NamedTuple):
    """What a class of status codes means: words, and the sentence of a STOP ("" where there is none)."""

    words: str
    sentence: str


CLASSES: Final[dict[StatusClass, ClassMeaning]] = {
    StatusClass.no_listing: ClassMeaning("No listing", ""),
    StatusClass.reported: ClassMeaning(
        "Reported or locked", "Do not rely on this document: it was reported, or its holder has locked it."
    ),
    StatusClass.not_in_force: ClassMeaning("No longer in force", "Do not rely on this document: it is no longer in force."),
}
"""Classes that people are told of; where it cannot be told, the sentence of the code says why."""


class Look(NamedTuple):
    """How an outcome looks, everywhere: never by colour alone.

    Attributes:
        word: the word that stands beside it.
        sign: its sign in a terminal; pages draw `templates/icons/<code>.svg`, of the same outline.
        ink: its colour on paper and on light screens: text, and the band of an answer.
        ground: colour behind `ink` where it is text, "" where the band has `ink` itself and white text.
        few: colours of a terminal that knows sixteen.
    """

    word: str
    sign: str
    ink: str
    ground: str
    few: str

    @property
    def terminal(self) -> str:
        """Colours of a terminal that knows all."""
        return f"{self.ink} on {self.ground}" if self.ground else f"white on {self.ink}"


OUTCOMES: Final[dict[Outcome, Look]] = {
    Outcome.PASS: Look("PASS", "✔", "#0b6e4f", "", "white on green"),
    Outcome.REFER: Look("REFER", "❚❚", "#8a5300", "#fff4e0", "black on yellow"),
    Outcome.STOP: Look("STOP", "⬣", "#a4161a", "", "white on red"),
    Outcome.NO_ANSWER: Look("NO ANSWER", "⁄⁄", "#44505e", "", "white on bright_black"),
}
"""Tick, pause bars, octagon, broken link."""


class Step(NamedTuple):
    """The next step for the clerk: in a few words, and as a sentence."""

    short: str
    sentence: str


STEPS: Final[dict[Advice, Step]] = {
    Advice.A1: Step("second document", "Ask for a second document."),
    Advice.A2: Step("read the chip", "Read the chip."),
    Advice.A3: Step("compare the face", "Compare the face with the picture."),
    Advice.A4: Step("compare a fingerprint", "Compare a fingerprint."),
    Advice.A5: Step("call the issuer", "Call the issuer."),
    Advice.A6: Step("do not keep it without a law", "Do not keep the document unless a law of your country says that you may."),
    Advice.A7: Step(
        "urgent need possible",
        "Urgent, in person, name and number match, card genuine and not expired: you may go on. "
        "Tell the customer to show the new card by the date.",
    ),
    Advice.A8: Step("tell the police", "Report this to the police, as your rules say."),
    Advice.A9: Step("go on", "Compare the face with the picture. If it is the same person, go on."),
}

CHANNELS: Final[dict[Channel, str]] = {Channel.in_person: "in person", Channel.remote: "remotely (online or by telephone)"}

PURPOSES: Final[dict[Purpose, str]] = {
    Purpose.account_opening: "Open an account",
    Purpose.account_servicing: "Serve an account",
    Purpose.payment: "Payment",
    Purpose.credit: "Credit",
    Purpose.sim_registration: "Register a SIM card",
    Purpose.hotel_check_in: "Hotel check-in",
    Purpose.travel: "Travel",
    Purpose.employment: "Employment",
    Purpose.medical: "Medical care",
    Purpose.public_service: "Public service",
    Purpose.law_enforcement: "Law enforcement",
    Purpose.other_by_law: "Another purpose named by law",
}


class StateMeaning(NamedTuple):
    """What a state means: its words, and what it means for the holder of such a document."""

    words: str
    own: str


STATES: Final[dict[State, StateMeaning]] = {
    State.current: StateMeaning("No listing", "Nothing is recorded against this document."),
    State.compromised: StateMeaning(
        "Data known to others", "It can be used in person, where its chip is read, but not remotely (online or by telephone)."
    ),
    State.expired: StateMeaning("Expired", "It has expired. Ask the issuer for a new one."),
    State.owner_locked: StateMeaning("Locked by its holder", "You locked it. Nobody may rely on it until you unlock it."),
    State.suspended: StateMeaning("Stopped for now", "It is stopped until the report is confirmed or ends by itself."),
    State.superseded: StateMeaning("Replaced", "You have a newer one. This one can never be used again."),
    State.cancelled: StateMeaning("Cancelled", "It was cancelled. Ask the issuer for a new one."),
    State.revoked: StateMeaning("Revoked", "It was revoked. It can never be used again."),
    State.found_held: StateMeaning(
        "Found, held by the authority", "It was handed in and is kept for you. It is given back in person."
    ),
    State.reported_lost: StateMeaning(
        "Reported lost",
        "It cannot be used. If you find it, only a desk can lift the report, and only if nobody else had it and no new one was "
        "issued.",
    ),
    State.reported_stolen: StateMeaning("Reported stolen", "It can never be used again. Ask the issuer for a new one."),
    State.blank_stolen: StateMeaning("Stolen before it was issued", "It was stolen before it was issued."),
    State.destroyed: StateMeaning("Destroyed", "It was destroyed."),
}

EVENTS: Final[dict[Event, str]] = {
    Event.issue: "Issued",
    Event.report_lost: "Reported lost",
    Event.report_stolen: "Reported stolen",
    Event.report_found: "Reported found",
    Event.suspend: "Stopped for now",
    Event.confirm: "Report confirmed",
    Event.lapse: "Provisional report lapsed",
    Event.withdraw: "Provisional report withdrawn",
    Event.lift: "Report lifted",
    Event.supersede: "Replaced by a new document",
    Event.cancel_death: "Cancelled: the holder died",
    Event.cancel_nationality: "Cancelled: nationality lost",
    Event.cancel_data: "Cancelled: data changed",
    Event.revoke_error: "Revoked: issued in error",
    Event.revoke_fraud: "Revoked: obtained by fraud",
    Event.revoke_misuse: "Revoked: misused",
    Event.blank_stolen: "Blank stolen",
    Event.compromise: "Data known to others",
    Event.surrender: "Handed in",
    Event.return_to_holder: "Given back to its holder",
    Event.destroy: "Destroyed",
    Event.owner_lock: "Locked by its holder",
    Event.owner_unlock: "Unlocked by its holder",
    Event.dispute_open: "Dispute opened",
    Event.dispute_close: "Dispute closed",
    Event.correct: "Listing corrected: it was never true",
    Event.bulk_list: "Listed by a bulk event",
    Event.bulk_undo: "Bulk event taken back",
}

_BY_VALUE: Final[dict[str, Meaning]] = {code.value: meaning for axis in AXES.values() for code, meaning in axis.items()}


def meaning_of(code: Coded | str) -> Meaning | None:
    """Return what a code of any axis of an answer means; None for one that is not known."""
    return _BY_VALUE.get(str(code))


def texts() -> Iterator[str]:
    """Yield every text of this table that people read, for the catalogues."""
    for axis in AXES.values():
        for meaning in axis.values():
            yield from (meaning.short, meaning.long, *meaning.sentences.values())
    yield from AXIS_SENTENCES.values()
    for told in CLASSES.values():
        yield from filter(None, told)
    yield from (look.word for look in OUTCOMES.values())
    for step in STEPS.values():
        yield from step
    for state in STATES.values():
        yield from state
    for words in (CHANNELS, PURPOSES, EVENTS):
        yield from words.values()
