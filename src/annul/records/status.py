"""The life of a document: states, events, and one table of what each event does.

A document carries a set of standing facts (a bit mask). Its state is the worst of them. An event adds facts, or takes
away facts that may be taken away; it never rewrites history. So an expired card that is also stolen is stolen, and a
lifted loss report leaves a superseded card superseded.

    standing = next_status(0, Event.issue)
    standing = next_status(standing, Event.report_lost, proof=Proof.phone)        # suspended, lapses by itself
    standing = next_status(standing, Event.confirm, proof=Proof.in_person)        # reported lost
    state_of(standing), code_of(state_of(standing))                               # State.reported_lost, StatusCode.S10

How a mistake is put right. Terminal facts never end: there is no event by which a superseded, cancelled, revoked or
destroyed document comes back into force. `correct` and `bulk_undo` are no such event: they state that an entry was never
true (it named the wrong document, or came from a faulty list), and take away exactly the one fact that this entry had
brought. Every fact that stands for another reason stays (`otherwise`), so a document that was rightly dead stays dead. A
terminal fact is corrected by two officers only, and a replacement that stands must be corrected first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from annul.errors import TransitionRefused
from annul.records.codes import DEAD, SEVERITY, TERMINAL, Coded, State, code_of, mask

__all__ = [
    "DEAD",
    "DEAD_MASK",
    "REASONS_VERSION",
    "SEVERITY",
    "STANDING_MASK",
    "TERMINAL",
    "TERMINAL_MASK",
    "TRANSITIONS",
    "Circumstances",
    "Event",
    "Proof",
    "Reason",
    "State",
    "Transition",
    "code_of",
    "contact_change_allowed",
    "facts_of",
    "mask",
    "next_status",
    "standing_on",
    "state_of",
]


TERMINAL_MASK = mask(*TERMINAL)
DEAD_MASK = mask(*DEAD)
STANDING_MASK = mask(*State)


def state_of(standing: int) -> State:
    """Return the worst standing fact; `current` when there is none.

    Raises:
        ValueError: a bit that stands for no state.
    """
    if standing & ~STANDING_MASK:
        raise ValueError("the standing has a bit that stands for no state")
    for state in reversed(SEVERITY):
        if standing >> state.value & 1:
            return state
    return State.current


def facts_of(standing: int) -> tuple[State, ...]:
    """Return all standing facts, worst first."""
    return tuple(state for state in reversed(SEVERITY) if standing >> state.value & 1)


def standing_on(standing: int, valid_until_day: int, day: int) -> int:
    """Return the standing on a day: past its last day of validity a document is also expired.

    Args:
        valid_until_day: last day of validity; 0 not given; 65535 without end.
        day: days since 1970-01-01.
    """
    return standing | State.expired.bit if 0 < valid_until_day < 65535 and day > valid_until_day else standing


class Event(Coded):
    """Why a status changes: the closed, versioned list of reasons (version 1). Numbers are never reused."""

    issue = "issue", 1
    report_lost = "report_lost", 2
    report_stolen = "report_stolen", 3
    report_found = "report_found", 4
    suspend = "suspend", 5
    confirm = "confirm", 6
    lapse = "lapse", 7
    withdraw = "withdraw", 8
    lift = "lift", 9
    supersede = "replace", 10  # not `replace`: that name would hide str.replace
    cancel_death = "cancel_death", 11
    cancel_nationality = "cancel_nationality", 12
    cancel_data = "cancel_data", 13
    revoke_error = "revoke_error", 14
    revoke_fraud = "revoke_fraud", 15
    revoke_misuse = "revoke_misuse", 16
    blank_stolen = "blank_stolen", 17
    compromise = "compromise", 18
    surrender = "surrender", 19
    return_to_holder = "return_to_holder", 20
    destroy = "destroy", 21
    owner_lock = "owner_lock", 22
    owner_unlock = "owner_unlock", 23
    dispute_open = "dispute_open", 24
    dispute_close = "dispute_close", 25
    correct = "correct", 26
    bulk_list = "bulk_list", 27
    bulk_undo = "bulk_undo", 28


Reason = Event
REASONS_VERSION = 1


class Proof(Coded):
    """How sure it is who speaks, weakest first. The first two only suspend (rule 5)."""

    phone = "phone", 1
    online = "online", 2
    online_strong = "online_strong", 3
    in_person = "in_person", 4
    in_person_fingerprint = "in_person_fingerprint", 5

    @property
    def is_strong(self) -> bool:
        """Strong enough for a report that stands until it is lifted."""
        return self.octet >= Proof.online_strong.octet

    @property
    def is_present(self) -> bool:
        """The holder was there in person."""
        return self.octet >= Proof.in_person.octet


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the register knows beside the standing when an event is to be judged.

    Attributes:
        proof: how sure it is who speaks.
        fact: the fact that is confirmed, listed in bulk, or was wrongly listed.
        custody_broken: the document was in the hands of a third party at some time since the report.
        replaced: a later document was issued to the holder in its place.
        otherwise: facts that stand for another reason than the entry that is corrected or undone.
        second_officer: a second officer has agreed.
    """

    proof: Proof = Proof.in_person
    fact: State | None = None
    custody_broken: bool = False
    replaced: bool = False
    otherwise: int = 0
    second_officer: bool = False


@dataclass(frozen=True, slots=True)
class Transition:
    """What one event does to a standing.

    Attributes:
        adds, clears: facts that come and go.
        needs: at least one of these facts must stand (0: none needed).
        bars: none of these facts may stand, with the rule and the sentence that say why.
        proofs: who may speak, at least so surely.
        special: computes the new standing itself, after the checks above.
    """

    adds: int = 0
    clears: int = 0
    needs: int = 0
    bars: tuple[tuple[int, int, str], ...] = ()
    proof_min: Proof = Proof.phone
    proof_rule: int = 5
    special: Callable[[int, Circumstances], int] | None = field(default=None, compare=False)


def _refuse(rule: int, message: str, mend: str) -> TransitionRefused:
    return TransitionRefused(message, mend=mend, rule=rule)


_WRONG_DOCUMENT = "Make sure that this is the right document."


def _report(strong: State) -> Callable[[int, Circumstances], int]:
    def report(standing: int, case: Circumstances) -> int:
        if case.proof.is_strong:
            return (standing | strong.bit) & ~State.suspended.bit
        if standing & mask(State.reported_lost, State.reported_stolen):
            return standing
        return standing | State.suspended.bit

    return report


def _confirm(standing: int, case: Circumstances) -> int:
    fact = case.fact or State.reported_lost
    if fact not in (State.reported_lost, State.reported_stolen):
        raise _refuse(5, "A provisional report is confirmed as lost or as stolen.", "Say which of the two it is.")
    return (standing & ~State.suspended.bit) | fact.bit


def _lift(standing: int, case: Circumstances) -> int:
    if case.custody_broken:
        raise _refuse(
            6, "The document was in the hands of others, so its report cannot be lifted.", "Issue a new document instead."
        )
    if case.replaced:
        raise _refuse(6, "A replacement was issued, so the report cannot be lifted.", "Destroy the old document.")
    return standing & ~mask(State.reported_lost, State.suspended)


def _surrender(standing: int, case: Circumstances) -> int:
    if not case.proof.is_present:
        # A finder who calls has not handed anything in yet: as weak as any other call (rule 5).
        reported = mask(State.reported_lost, State.reported_stolen, State.found_held)
        return standing if standing & (TERMINAL_MASK | reported) else standing | State.suspended.bit
    if case.replaced or standing & TERMINAL_MASK:
        return standing | State.destroyed.bit
    return standing | State.found_held.bit


def _return(standing: int, case: Circumstances) -> int:
    if case.replaced:
        raise _refuse(7, "The document was replaced, so it is not returned.", "Destroy it and record that.")
    return standing & ~State.found_held.bit


def _bulk_list(standing: int, case: Circumstances) -> int:
    if case.fact is None or case.fact is State.current:
        raise _refuse(11, "A bulk list must say which status it lists.", "Name the status of the list.")
    return standing | case.fact.bit


def _correct(standing: int, case: Circumstances) -> int:
    fact = case.fact
    if fact is None or fact is State.current:
        raise _refuse(1, "A correction must name the fact that was wrong.", "Name the entry that is to be corrected.")
    if not standing & fact.bit:
        raise _refuse(1, "The fact to be corrected does not stand.", "Look at the document's history first.")
    if fact in TERMINAL and not case.second_officer:
        raise _refuse(1, "A terminal status is corrected by two officers only.", "Ask a second officer to agree.")
    if fact is State.superseded and case.replaced:
        raise _refuse(
            2, "A replacement stands, so the document stays superseded.", "Correct the entry of the replacement first."
        )
    return standing & ~(fact.bit & ~case.otherwise)


_DESTROYED = (mask(State.destroyed), 1, "The document was destroyed.")
_DEAD = (TERMINAL_MASK, 1, "The document is no longer in force and does not revive.")
_ANY_LISTING = STANDING_MASK & ~State.current.bit

TRANSITIONS: dict[Event, Transition] = {
    Event.issue: Transition(
        adds=State.current.bit,
        bars=(
            (State.current.bit, 2, "This document is already recorded as issued."),
            (State.blank_stolen.bit, 1, "This is a stolen blank: it was never issued."),
        ),
    ),
    Event.report_lost: Transition(bars=(_DESTROYED,), special=_report(State.reported_lost)),
    Event.report_stolen: Transition(bars=(_DESTROYED,), special=_report(State.reported_stolen)),
    Event.suspend: Transition(adds=State.suspended.bit, bars=(_DESTROYED,)),
    Event.confirm: Transition(needs=State.suspended.bit, proof_min=Proof.online_strong, special=_confirm),
    Event.lapse: Transition(needs=State.suspended.bit, clears=State.suspended.bit),
    Event.withdraw: Transition(needs=State.suspended.bit, clears=State.suspended.bit, proof_min=Proof.online),
    Event.lift: Transition(
        needs=mask(State.reported_lost, State.suspended),
        bars=(
            (State.reported_stolen.bit, 6, "A document that was reported stolen is not lifted."),
            (State.found_held.bit, 7, "The authority holds the document: it is returned, not lifted."),
            _DEAD,
        ),
        proof_min=Proof.in_person,
        proof_rule=6,
        special=_lift,
    ),
    Event.supersede: Transition(adds=State.superseded.bit),
    Event.cancel_death: Transition(adds=State.cancelled.bit),
    Event.cancel_nationality: Transition(adds=State.cancelled.bit),
    Event.cancel_data: Transition(adds=State.cancelled.bit),
    Event.revoke_error: Transition(adds=State.revoked.bit),
    Event.revoke_fraud: Transition(adds=State.revoked.bit),
    Event.revoke_misuse: Transition(adds=State.revoked.bit),
    Event.blank_stolen: Transition(
        adds=State.blank_stolen.bit,
        bars=((State.current.bit, 3, "This document was issued, so it is no blank: report it stolen."),),
    ),
    Event.compromise: Transition(adds=State.compromised.bit),
    Event.surrender: Transition(special=_surrender),
    Event.return_to_holder: Transition(
        needs=State.found_held.bit, bars=(_DEAD,), proof_min=Proof.in_person, proof_rule=7, special=_return
    ),
    Event.destroy: Transition(adds=State.destroyed.bit),
    Event.owner_lock: Transition(adds=State.owner_locked.bit, bars=(_DEAD,), proof_min=Proof.online, proof_rule=10),
    Event.owner_unlock: Transition(
        needs=State.owner_locked.bit, clears=State.owner_locked.bit, proof_min=Proof.online, proof_rule=10
    ),
    Event.dispute_open: Transition(needs=_ANY_LISTING),
    Event.dispute_close: Transition(),
    Event.correct: Transition(special=_correct, proof_min=Proof.in_person, proof_rule=1),
    Event.bulk_list: Transition(special=_bulk_list),
    Event.bulk_undo: Transition(special=_correct, proof_min=Proof.in_person, proof_rule=11),
}
TRANSITIONS[Event.report_found] = TRANSITIONS[Event.lift]
"""What each event does. `report_found` by the holder is the request to lift (rule 6); a finder's card is `surrender`."""


def next_status(
    standing: int,
    event: Event,
    *,
    proof: Proof = Proof.in_person,
    fact: State | None = None,
    custody_broken: bool = False,
    replaced: bool = False,
    otherwise: int = 0,
    second_officer: bool = False,
) -> int:
    """Return the standing after an event. The arguments are those of `Circumstances`.

    An event whose facts already stand returns the standing unchanged: a repeated report is no error.

    Raises:
        TransitionRefused: a rule forbids the step; `extra["rule"]` is its number in the domain's section 3.
        ValueError: a bit that stands for no state.
    """
    if standing & ~STANDING_MASK:
        raise ValueError("the standing has a bit that stands for no state")
    step = TRANSITIONS[event]
    if proof.octet < step.proof_min.octet:
        raise _refuse(
            step.proof_rule,
            f"The proof is too weak for {event.value}: it is {proof.value} and must be {step.proof_min.value} or better.",
            "Bring the proof that is asked for.",
        )
    for barred, rule, message in step.bars:
        if standing & barred:
            raise _refuse(rule, message, _WRONG_DOCUMENT)
    if step.needs and not standing & step.needs:
        raise _refuse(
            step.proof_rule, f"Nothing stands that {event.value} could end or answer.", "Look at the document's state first."
        )
    if step.special is not None:
        return step.special(standing, Circumstances(proof, fact, custody_broken, replaced, otherwise, second_officer))
    return (standing | step.adds) & ~step.clears


def contact_change_allowed(standing: int, proof: Proof) -> bool:
    """Tell whether the holder's contact details may be changed: while suspended, only in person (rule 9)."""
    return proof.is_present or not standing & State.suspended.bit
