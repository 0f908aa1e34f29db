"""The eleven rules of a document's life, each by its number, and invariants over all sequences of events.

Rules 2, 3, 7, 9 and 11 also have a part that only the register can keep (one transaction, fan-out over a person's documents,
matching and notices, contact details, two officers with a dry run): tests/registry tests them; here is what the table says.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import TransitionRefused
from annul.records.codes import StatusCode
from annul.records.status import (
    SEVERITY,
    STANDING_MASK,
    TERMINAL,
    TERMINAL_MASK,
    TRANSITIONS,
    Event,
    Proof,
    State,
    code_of,
    contact_change_allowed,
    facts_of,
    mask,
    next_status,
    standing_on,
    state_of,
)

CURRENT = mask(State.current)
CORRECTIONS = {Event.correct, Event.bulk_undo}


def after(*steps: Event | tuple[Event, dict[str, Any]], start: int = 0) -> int:
    """Return the standing after events, in person unless said otherwise."""
    standing = start
    for step in steps:
        event, case = step if isinstance(step, tuple) else (step, {})
        standing = next_status(standing, event, **case)
    return standing


def refused(standing: int, event: Event, **case: Any) -> int:
    """Return the number of the rule that refuses the event."""
    with pytest.raises(TransitionRefused) as caught:
        next_status(standing, event, **case)
    assert caught.value.mend
    rule = caught.value.extra["rule"]
    assert isinstance(rule, int)
    return rule


circumstances = st.fixed_dictionaries(
    {
        "proof": st.sampled_from(Proof),
        "fact": st.none() | st.sampled_from(State),
        "custody_broken": st.booleans(),
        "replaced": st.booleans(),
        "otherwise": st.integers(0, STANDING_MASK),
        "second_officer": st.booleans(),
    }
)


@given(st.integers(0, STANDING_MASK), st.sampled_from(sorted(set(Event) - CORRECTIONS)), circumstances)
def test_rule_1_terminal_states_never_revive(standing: int, event: Event, case: dict[str, Any]) -> None:
    """Whatever happens, in whatever order: a terminal fact stays, so the state never becomes better than it."""
    try:
        reached = next_status(standing, event, **case)
    except TransitionRefused:
        return
    assert reached & TERMINAL_MASK & standing == standing & TERMINAL_MASK
    assert not reached & ~STANDING_MASK


@given(st.integers(0, STANDING_MASK), st.sampled_from(sorted(CORRECTIONS)), circumstances)
def test_rule_1_a_correction_takes_away_exactly_the_fact_that_was_wrong(
    standing: int, event: Event, case: dict[str, Any]
) -> None:
    """It adds nothing, touches no other fact, leaves what stands otherwise, and asks two officers for a terminal one."""
    try:
        reached = next_status(standing, event, **case)
    except TransitionRefused:
        return
    fact = case["fact"]
    assert standing & ~reached in {0, fact.bit}
    assert not reached & ~standing
    if case["otherwise"] & fact.bit:
        assert reached == standing
    if fact in TERMINAL:
        assert case["second_officer"]


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_rule_1_nothing_the_holder_does_revives_a_terminal_document(state: State) -> None:
    """Lift, found, return, unlock, withdraw: refused, or without effect on the terminal fact."""
    dead = mask(State.current, State.reported_lost, State.found_held, State.owner_locked, State.suspended, state)
    assert refused(dead, Event.return_to_holder, proof=Proof.in_person_fingerprint) == 1
    assert refused(dead & ~State.found_held.bit, Event.lift, proof=Proof.in_person_fingerprint) == 1
    assert next_status(dead, Event.owner_unlock) & state.bit
    assert next_status(dead, Event.withdraw) & state.bit


def test_rule_1_a_wrong_listing_is_put_right_by_two_officers() -> None:
    """The passport book that was cancelled in place of the card comes back; one officer alone cannot do it."""
    wrong = after(Event.issue, Event.cancel_data)
    assert refused(wrong, Event.correct, fact=State.cancelled) == 1
    assert next_status(wrong, Event.correct, fact=State.cancelled, second_officer=True) == CURRENT
    assert refused(wrong, Event.correct, fact=State.revoked, second_officer=True) == 1
    assert refused(wrong, Event.correct, second_officer=True) == 1


def test_rule_1_undoing_a_bulk_list_never_revives_what_was_rightly_dead() -> None:
    """The list said cancelled, and so did the death: undoing the list leaves the document cancelled."""
    standing = after(Event.issue, Event.cancel_death, (Event.bulk_list, {"fact": State.cancelled}))
    case = {"fact": State.cancelled, "otherwise": mask(State.cancelled), "second_officer": True}
    assert next_status(standing, Event.bulk_undo, **case) == standing
    assert state_of(next_status(standing, Event.bulk_undo, **(case | {"otherwise": 0}))) is State.current


def test_rule_2_issuing_the_next_document_supersedes_this_one_within_its_dates() -> None:
    """`supersede` takes every document that is not already worse; it cannot be corrected while the replacement stands."""
    standing = after(Event.issue, Event.supersede)
    assert state_of(standing_on(standing, 60_000, 20_000)) is State.superseded
    assert refused(standing, Event.correct, fact=State.superseded, replaced=True, second_officer=True) == 2
    assert refused(after(Event.issue), Event.issue) == 2
    for state in State:
        assert next_status(state.bit, Event.supersede) & State.superseded.bit


@pytest.mark.parametrize("state", list(State))
def test_rule_3_death_reaches_a_document_in_every_state(state: State) -> None:
    """The fan-out never stops at a document that is already lost, locked or held."""
    assert next_status(state.bit, Event.cancel_death) == state.bit | State.cancelled.bit


def test_rule_4_an_accepted_report_refuses_from_the_next_check_on() -> None:
    """Every accepted report leads to a status that stops, whatever the proof."""
    for event in (Event.report_lost, Event.report_stolen, Event.suspend):
        for proof in Proof:
            assert code_of(state_of(after(Event.issue, (event, {"proof": proof})))).value[0] == "S"


@pytest.mark.parametrize("proof", list(Proof))
def test_rule_5_weak_proof_suspends_and_strong_proof_reports(proof: Proof) -> None:
    """Phone and online only suspend; strong login and presence report for good."""
    weak = proof in {Proof.phone, Proof.online}
    for event, strong in ((Event.report_lost, State.reported_lost), (Event.report_stolen, State.reported_stolen)):
        state = state_of(after(Event.issue, (event, {"proof": proof})))
        assert state is (State.suspended if weak else strong)


def test_rule_5_a_suspension_lapses_by_itself_and_one_step_undoes_it() -> None:
    """Lapse and withdraw lead back to where the document was; a call by phone withdraws nothing."""
    suspended = after(Event.issue, (Event.report_lost, {"proof": Proof.phone}))
    assert next_status(suspended, Event.lapse) == CURRENT
    assert next_status(suspended, Event.withdraw, proof=Proof.online) == CURRENT
    assert refused(suspended, Event.withdraw, proof=Proof.phone) == 5
    assert refused(CURRENT, Event.lapse) == 5


def test_rule_5_confirming_needs_strong_proof_and_ends_the_suspension() -> None:
    """As lost, or as stolen; nothing else can be confirmed."""
    suspended = after(Event.issue, (Event.report_lost, {"proof": Proof.online}))
    assert refused(suspended, Event.confirm, proof=Proof.online) == 5
    assert next_status(suspended, Event.confirm) == CURRENT | State.reported_lost.bit
    assert next_status(suspended, Event.confirm, fact=State.reported_stolen) == CURRENT | State.reported_stolen.bit
    assert refused(suspended, Event.confirm, fact=State.revoked) == 5
    assert refused(CURRENT, Event.confirm) == 5


def test_rule_5_a_weak_report_never_weakens_a_strong_one() -> None:
    """A second call by phone about a stolen card does not make it lapse."""
    stolen = after(Event.issue, Event.report_stolen)
    assert next_status(stolen, Event.report_lost, proof=Proof.phone) == stolen


def test_rule_5_strong_proof_takes_the_suspension_over() -> None:
    """Otherwise its lapse would look like the end of the report."""
    standing = after(Event.issue, (Event.report_lost, {"proof": Proof.phone}), Event.report_stolen)
    assert facts_of(standing) == (State.reported_stolen, State.current)


def test_rule_6_the_holder_lifts_in_person_what_never_left_her_hands() -> None:
    """The one way back; the report itself stays in history (the register's)."""
    lost = after(Event.issue, Event.report_lost)
    for event in (Event.lift, Event.report_found):
        assert next_status(lost, event, proof=Proof.in_person) == CURRENT
        assert next_status(lost, event, proof=Proof.in_person_fingerprint) == CURRENT


@pytest.mark.parametrize(
    ("standing", "case"),
    [
        (mask(State.reported_lost), {"proof": Proof.online_strong}),
        (mask(State.reported_lost), {"proof": Proof.phone}),
        (mask(State.reported_lost), {"custody_broken": True}),
        (mask(State.reported_lost), {"replaced": True}),
        (mask(State.reported_stolen), {}),
        (mask(State.reported_lost, State.reported_stolen), {}),
        (CURRENT, {}),
    ],
)
def test_rule_6_otherwise_it_stays_dead(standing: int, case: dict[str, Any]) -> None:
    """Not remotely, not after third hands, not once replaced, not when stolen, not without a report."""
    for event in (Event.lift, Event.report_found):
        assert refused(standing, event, **case) == 6


def test_rule_7_a_found_card_is_held_and_a_replaced_one_destroyed() -> None:
    """Handed in by anybody: held; if a replacement or another end stands, destroyed and logged."""
    lost = after(Event.issue, Event.report_lost)
    assert state_of(next_status(CURRENT, Event.surrender)) is State.found_held
    assert next_status(lost, Event.surrender) & State.found_held.bit
    assert state_of(next_status(lost, Event.surrender, replaced=True)) is State.destroyed
    assert state_of(after(Event.issue, Event.supersede, Event.surrender)) is State.destroyed


@pytest.mark.parametrize("proof", [Proof.phone, Proof.online, Proof.online_strong])
def test_rule_7_a_finder_who_only_calls_suspends(proof: Proof) -> None:
    """Nothing is held yet: it lapses like any weak report, and changes nothing where a report or an end already stands."""
    assert state_of(next_status(CURRENT, Event.surrender, proof=proof)) is State.suspended
    for event in (Event.report_lost, Event.report_stolen, Event.supersede, Event.surrender):
        standing = after(Event.issue, event)
        assert next_status(standing, Event.surrender, proof=proof) == standing


def test_rule_7_return_needs_proof_of_identity_and_lifts_no_report() -> None:
    """Back in the holder's hand, a reported card is still dead: custody was broken."""
    held = after(Event.issue, Event.report_lost, Event.surrender)
    assert refused(held, Event.return_to_holder, proof=Proof.online_strong) == 7
    assert refused(held, Event.return_to_holder, replaced=True) == 7
    assert refused(held, Event.lift) == 7
    assert state_of(next_status(held, Event.return_to_holder)) is State.reported_lost
    assert after(Event.issue, Event.surrender, Event.return_to_holder) == CURRENT


@given(st.integers(0, STANDING_MASK))
def test_rule_8_the_worst_fact_is_the_state(standing: int) -> None:
    """Checked against the table of severity for every combination."""
    order = {state: rank for rank, state in enumerate(SEVERITY)}
    standing_facts = facts_of(standing)
    worst = max(standing_facts, key=order.__getitem__, default=State.current)
    assert state_of(standing) is worst
    assert mask(*standing_facts) == standing


def test_rule_8_an_expired_card_that_is_also_stolen_is_stolen() -> None:
    """The rule's own example, with the expiry coming from the calendar."""
    stolen = after(Event.issue, Event.report_stolen)
    assert state_of(standing_on(stolen, 20_000, 20_001)) is State.reported_stolen
    assert state_of(standing_on(CURRENT, 20_000, 20_001)) is State.expired
    assert state_of(standing_on(CURRENT, 20_000, 20_000)) is State.current
    assert standing_on(CURRENT, 0, 60_000) == standing_on(CURRENT, 65535, 60_000) == CURRENT


def test_rule_9_contact_details_are_not_changed_remotely_while_suspended() -> None:
    """A thief who suspends the card must not move the holder's notices to himself."""
    suspended = after(Event.issue, (Event.report_lost, {"proof": Proof.phone}))
    assert [contact_change_allowed(suspended, proof) for proof in Proof] == [False, False, False, True, True]
    assert all(contact_change_allowed(CURRENT, proof) for proof in Proof)


def test_rule_10_the_owner_lock_goes_on_and_off_at_will() -> None:
    """As often as she likes; not by phone; not on a dead document."""
    standing = CURRENT
    for _ in range(3):
        standing = next_status(standing, Event.owner_lock, proof=Proof.online)
        assert state_of(standing) is State.owner_locked
        standing = next_status(standing, Event.owner_unlock, proof=Proof.online)
        assert standing == CURRENT
    assert refused(CURRENT, Event.owner_lock, proof=Proof.phone) == 10
    assert refused(CURRENT, Event.owner_unlock) == 10
    assert refused(after(Event.issue, Event.supersede), Event.owner_lock) == 1


def test_rule_10_unlocking_lifts_no_report() -> None:
    """The owner's switch is not a way around rule 6."""
    standing = after(Event.issue, Event.owner_lock, Event.report_lost, Event.owner_unlock)
    assert state_of(standing) is State.reported_lost


def test_rule_11_a_bulk_list_names_its_status_and_is_undone_as_it_came() -> None:
    """Limit, dry run and the second officer are the register's; the facts come and go exactly."""
    assert refused(CURRENT, Event.bulk_list) == 11
    assert refused(CURRENT, Event.bulk_list, fact=State.current) == 11
    for fact in set(State) - {State.current}:
        listed = next_status(CURRENT, Event.bulk_list, fact=fact)
        assert listed == CURRENT | fact.bit
        assert next_status(listed, Event.bulk_undo, fact=fact, second_officer=True) == CURRENT


def test_stolen_blanks_are_never_issued_and_issued_documents_are_no_blanks() -> None:
    """Both ways round."""
    assert refused(after(Event.blank_stolen), Event.issue) == 1
    assert refused(after(Event.issue), Event.blank_stolen) == 3


def test_a_destroyed_document_cannot_be_reported() -> None:
    """It must be another document: the wrong one is not killed, the right one is asked for."""
    destroyed = after(Event.issue, Event.destroy)
    for event in (Event.report_lost, Event.report_stolen, Event.suspend):
        assert refused(destroyed, event) == 1
    assert next_status(destroyed, Event.surrender) == destroyed


def test_disputes_leave_the_facts_alone() -> None:
    """The flag stands beside the facts; only a listing can be disputed."""
    lost = after(Event.issue, Event.report_lost)
    assert next_status(lost, Event.dispute_open) == lost
    assert next_status(lost, Event.dispute_close) == lost
    refused(CURRENT, Event.dispute_open)


def test_every_event_has_a_transition_and_every_state_a_code() -> None:
    """The tables are closed."""
    assert set(TRANSITIONS) == set(Event)
    assert sorted(SEVERITY) == sorted(State)
    assert {code_of(state) for state in State} == {
        StatusCode(code)  # type: ignore[call-arg]
        for code in ("V00", "V01", "S10", "S11", "S12", "S13", "I20", "I21", "I22", "I23", "I24", "I25")
    }


@pytest.mark.parametrize("standing", [1 << 13, -1])
def test_a_bit_that_stands_for_no_state_is_an_error(standing: int) -> None:
    """Never read as `current`."""
    with pytest.raises(ValueError, match="no state"):
        state_of(standing)
    with pytest.raises(ValueError, match="no state"):
        next_status(standing, Event.report_lost)
