"""Policies with versions, trials on the past, departures bound to checks, urgent needs until the new card is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from annul import keys as key_file
from annul.errors import BadInput, Conflict, Forbidden, NotFound, VerificationFailed
from annul.listings import pack
from annul.listings.values import WHOLE_LIFE
from annul.proof.leaf import parse_leaf
from annul.proof.window import WindowSigner
from annul.records.check import Answer
from annul.records.codes import IdentityCode, Outcome, StatusCode
from annul.records.policy import DEFAULT_POLICY, Decisions, Policy
from annul.registry.accounts.accounts import Accounts, Indexer
from annul.registry.counter.departures import At, Confirmed, Departures, settle_shown, tell_due
from annul.registry.loops.rotation import rotate
from annul.registry.parties.parties import Parties, Principal, load_snapshot, read_snapshot
from annul.registry.parties.policies import Policies, PolicyBook
from annul.registry.writing.act import Act, Idempotency
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Fresh
from annul.times import DAY_US
from tests.registry.answering import desk as small
from tests.registry.answering.desk import Desk, DocumentFields, State, card, parsed, principal, question
from tests.world import said

AT = At("0421", "3", "C-17")
YES = Confirmed(name_and_number_match=True, genuine=True, unexpired=True)
NEW = card("2024-01-01")


class Branch:
    """A bank with a register behind it: asks, indexes, decides."""

    def __init__(self, home: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.database, self.now = home, database, small.NOW_US
        self.keys = key_file.create(home)
        monkeypatch.setattr(small, "LIVE", self.keys.documents("live"))
        connections = Fresh(database)
        self.parties = Parties(connections, Board(), lambda: self.now)
        self.policies = Policies(connections, self.parties, lambda: self.now)
        ground = Ground(connections, self.keys, home, lambda: self.now)
        self.departures = Departures(ground, Accounts(ground))
        self.bank, self.hotel = principal("bank"), principal("hotel", reasons=False)
        self.second = msgspec.structs.replace(self.bank, key_id="key-second")
        self.act = Act("bank", credential="key-bank-live")
        self.other = Act("bank", credential="key-second")
        for name in ("bank", "hotel"):
            self.run(self.parties.create(Act("operator"), name, name.title(), "relying_party"))
        self._worker = -1
        self._settled = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run one coroutine."""
        return asyncio.run(work)

    def ask(self, who: Principal, *questions: Any, lost: State | None = State.reported_lost) -> list[Answer]:
        """Ask one after another, each a second later; the usual card is `lost`, the new one current."""

        async def go() -> list[Answer]:
            desk = Desk(self.home)
            desk.signer = WindowSigner(self.keys.receipts)
            live = self.keys.documents("live")
            if lost is not None:
                desk.put(parsed(), pack(lost, 0, WHOLE_LIFE), keys=live)
            desk.put(parsed(NEW), pack(State.current, 0, WHOLE_LIFE), keys=live)
            self._worker += 1
            checks = desk.checks(self._worker)
            answers = []
            for asked in questions:
                self.now += 1_000_000
                desk.now = self.now
                desk.writer.set_applied(7, desk.now)
                answers.append((await checks.ask(who, asked)).answer)
            await desk.close()
            desk.writer.close()
            return answers

        answers = asyncio.run(go())
        with psycopg.connect(self.database, autocommit=True) as db:
            Indexer(self.home / "checks", self._settle).step(db)
        return answers

    def _settle(self, db: Any, rows: Any) -> None:
        self._settled += settle_shown(db, rows)

    def settle(self) -> int:
        """Return how many follow-ups were settled while checks were indexed, since this was asked last."""
        settled, self._settled = self._settled, 0
        return settled

    def serve(self, answer: Answer, confirmed: Confirmed = YES, who: Principal | None = None) -> Any:
        """Serve an urgent need on this answer."""
        served = self.departures.serve_urgent_need(
            self.act, who or self.bank, answer.receipt, AT, confirmed, words="in hospital", reference="K-17"
        )
        return self.run(served)

    def snapshot_decisions(self) -> Any:
        """Return the decisions a worker would take up for the bank now."""
        with psycopg.connect(self.database) as db:
            db.execute(
                "INSERT INTO api_key (id, principal_id, realm, label, token_hash, created_at_us, expires_at_us) "
                "VALUES ('k', 'bank', 0, '', %s, 0, 0) ON CONFLICT DO NOTHING",
                (bytes(32),),
            )
            return load_snapshot(read_snapshot(db, 1)).by_key["k"].decisions


class Board:
    """Publish nothing: these tests read the snapshot themselves."""

    parties_generation = 0

    def parties(self) -> tuple[int, bytes]:
        """Return nothing published."""
        return 0, b""


@pytest.fixture
def branch(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Branch:
    """A bank without a policy of its own."""
    return Branch(tmp_path, database, monkeypatch)


def stricter() -> Policy:
    """Wish a second look at every card whose name was not asked."""
    table = dict(DEFAULT_POLICY.identity)
    table[IdentityCode.M9] = msgspec.structs.replace(table[IdentityCode.M9], in_person=Outcome.REFER)
    return msgspec.structs.replace(DEFAULT_POLICY, identity=table, name="Names are asked")


def test_a_policy_is_drafted_tried_released_and_rolled_back(branch: Branch) -> None:
    """Version 1 is the default; a release reaches the workers' snapshot; going back puts the old number in force."""
    run, policies, bank = branch.run, branch.policies, branch.bank
    book = run(policies.book("bank"))
    assert (book.in_force, book.draft, book.current.policy) == (1, None, DEFAULT_POLICY)
    assert branch.snapshot_decisions() is None
    draft = run(policies.save(branch.act, bank, stricter(), note="ask names"))
    assert (draft.version, draft.revision, draft.state) == (2, 1, "draft")
    assert branch.snapshot_decisions() is None
    run(policies.release(branch.act, bank, 2, revision=1, reason="agreed"))
    decisions = branch.snapshot_decisions()
    assert (decisions.policy.version, decisions.policy.name) == (2, "Names are asked")
    book = run(policies.book("bank"))
    assert (book.in_force, book.current.released_by, book.draft) == (2, "bank/key-bank-live", None)
    run(policies.roll_back(branch.act, bank, 1, reason="too many referrals"))
    assert branch.snapshot_decisions() is None
    run(policies.roll_back(branch.act, bank, 2, reason="again"))
    assert branch.snapshot_decisions().policy.version == 2
    changes = run(policies.book("bank")).changes
    assert [(each.was, each.version) for each in changes] == [(1, 2), (2, 1), (1, 2)]
    with psycopg.connect(branch.database) as db:
        entries = said(db)
    changed = [entry.evidence for entry in entries if entry.evidence.startswith("policy")]
    assert changed == [f"policy bank {was} -> {new} by bank/key-bank-live" for was, new in ((1, 2), (2, 1), (1, 2))]


def test_an_answer_is_decided_and_signed_under_the_partys_own_version(branch: Branch) -> None:
    """The receipt's leaf names the version; another party goes on under the default."""
    branch.run(branch.policies.save(branch.act, branch.bank, stricter()))
    branch.run(branch.policies.release(branch.act, branch.bank, 2, revision=1))
    bank = msgspec.structs.replace(branch.bank, decisions=branch.snapshot_decisions())
    ours, theirs = branch.ask(bank, question(NEW))[0], branch.ask(branch.hotel, question(NEW))[0]
    assert (ours.outcome, theirs.outcome) == ("REFER", "PASS")
    import base64

    versions = [parse_leaf(base64.b64decode(each.receipt["leaf"])).policy_version for each in (ours, theirs)]
    assert versions == [2, 1]


def test_how_old_a_copy_may_be_is_each_partys_own_rule(branch: Branch) -> None:
    """In one window of a table that is an hour old: F2 and REFER for the party that says 60 seconds, F1 and PASS by default."""
    careful = msgspec.structs.replace(DEFAULT_POLICY, version=2, copy_age_max_s=60)
    bank = msgspec.structs.replace(branch.bank, decisions=Decisions(careful))

    async def go() -> list[Answer]:
        desk = Desk(branch.home)
        desk.put(parsed(NEW), pack(State.current, 0, WHOLE_LIFE), keys=branch.keys.documents("live"))
        checks = desk.checks(7)
        desk.now += 3_600_000_000
        answered = await asyncio.gather(*(checks.ask(who, question(NEW)) for who in (bank, branch.hotel, bank)))
        await desk.close()
        desk.writer.close()
        return [each.answer for each in answered]

    found = [(answer.freshness.code, answer.outcome) for answer in asyncio.run(go())]
    assert found == [("F2", "REFER"), ("F1", "PASS"), ("F2", "REFER")]


def test_two_tabs_do_not_overwrite_each_other(branch: Branch) -> None:
    """A draft is saved only over what its editor saw; a second draft is not begun beside it."""
    save = branch.policies.save
    branch.run(save(branch.act, branch.bank, stricter()))
    branch.run(save(branch.act, branch.second, stricter(), revision=1))
    for revision in (0, 1):
        with pytest.raises(Conflict):
            branch.run(save(branch.act, branch.bank, stricter(), revision=revision))
    with pytest.raises(Conflict):
        branch.run(branch.policies.release(branch.act, branch.bank, 2, revision=1))


def test_a_second_person_releases_where_the_party_wants_it(branch: Branch) -> None:
    """The last editor cannot, as whoever she signs in; nor can she do away with the rule, or go back, alone."""
    policies, act, other = branch.policies, branch.act, branch.other
    branch.run(policies.want_two_persons(act, branch.bank, True))
    branch.run(policies.save(act, branch.bank, stricter()))
    officer = Act("bank/M-1", credential=act.credential)  # signed in with the editor's own key
    for same in (act, officer, Act("bank/M-1")):
        with pytest.raises(Forbidden, match="second person"):
            branch.run(policies.release(same, branch.bank, 2, revision=1))
    branch.run(policies.release(other, branch.second, 2, revision=1))
    assert branch.run(policies.book("bank")).in_force == 2


def test_one_person_does_not_do_away_with_the_second(branch: Branch) -> None:
    """Draft or no draft: to go back to one person, and to an older version, two ask for the same within a day."""
    policies, act, other = branch.policies, branch.act, branch.other
    branch.run(policies.save(act, branch.bank, stricter()))
    branch.run(policies.release(act, branch.bank, 2, revision=1))
    branch.run(policies.want_two_persons(act, branch.bank, True))
    officer = Act("bank/M-1", credential=act.credential)

    def book() -> PolicyBook:
        found: PolicyBook = branch.run(policies.book("bank"))
        return found

    branch.run(policies.want_two_persons(act, branch.bank, False))
    branch.run(policies.roll_back(act, branch.bank, 1, reason="milder"))
    assert (book().two_persons, book().in_force) == (True, 2)
    for same in (act, officer, Act("bank/M-1")):
        with pytest.raises(Forbidden, match="second person"):
            branch.run(policies.want_two_persons(same, branch.bank, False))
        with pytest.raises(Forbidden, match="second person"):
            branch.run(policies.roll_back(same, branch.bank, 1, reason="milder"))
    assert (book().two_persons, book().in_force) == (True, 2)
    branch.run(policies.roll_back(other, branch.second, 1, reason="milder"))
    branch.run(policies.want_two_persons(other, branch.second, False))
    assert (book().two_persons, book().in_force) == (False, 1)


def test_what_one_person_asked_for_waits_a_day(branch: Branch) -> None:
    """The day after, the second one is the first again."""
    policies, act, other = branch.policies, branch.act, branch.other
    branch.run(policies.want_two_persons(act, branch.bank, True))
    branch.run(policies.want_two_persons(act, branch.bank, False))
    branch.now += DAY_US
    branch.run(policies.want_two_persons(other, branch.second, False))
    assert branch.run(policies.book("bank")).two_persons
    branch.run(policies.want_two_persons(act, branch.bank, False))
    assert not branch.run(policies.book("bank")).two_persons


def test_a_policy_below_the_floor_is_not_even_saved(branch: Branch) -> None:
    """Bad input changes nothing."""
    table = dict(DEFAULT_POLICY.status)
    table[StatusCode.S11] = msgspec.structs.replace(table[StatusCode.S11], in_person=Outcome.PASS)
    with pytest.raises(BadInput):
        branch.run(branch.policies.save(branch.act, branch.bank, msgspec.structs.replace(DEFAULT_POLICY, status=table)))
    assert branch.run(branch.policies.book("bank")).draft is None


def test_what_was_never_released_is_no_version_to_go_back_to(branch: Branch) -> None:
    """Drafts, discarded drafts, numbers nobody gave; and a thrown-away number is not given again."""
    branch.run(branch.policies.save(branch.act, branch.bank, stricter()))
    for version in (2, 9):
        with pytest.raises(NotFound):
            branch.run(branch.policies.roll_back(branch.act, branch.bank, version, reason="no"))
    branch.run(branch.policies.discard(branch.act, branch.bank, 2))
    assert branch.run(branch.policies.save(branch.act, branch.bank, stricter())).version == 3


def test_a_trial_says_what_last_month_would_have_looked_like(branch: Branch) -> None:
    """Counts by outcome then and now, the codes that lead there, and checks to look at; the in-force policy changes nothing."""
    passed = branch.ask(branch.bank, *[question(NEW)] * 4)
    branch.ask(branch.bank, question(), question(NEW, channel="remote"))
    branch.ask(branch.hotel, question(NEW))
    branch.run(branch.policies.save(branch.act, branch.bank, stricter()))
    branch.now += DAY_US
    trial = branch.run(branch.policies.try_on_past(branch.bank, 2))
    assert (trial.checks, trial.changed_outcomes) == (6, 4)
    assert trial.outcomes == {"PASS": {"REFER": 4, "PASS": 1}, "STOP": {"STOP": 1}}
    (shift,) = [each for each in trial.shifts if each.old != each.new]
    assert (shift.status, shift.identity, shift.channel, shift.count) == ("V00", "M9", "in_person", 4)
    assert set(shift.samples) <= {answer.check for answer in passed}
    same = branch.run(branch.policies.try_on_past(branch.bank, 1))
    assert (same.changed_outcomes, same.changed_advice, same.shifts) == (0, 0, [])
    branch.now += 40 * DAY_US
    assert branch.run(branch.policies.try_on_past(branch.bank, 2)).checks == 0


def test_a_departure_needs_the_partys_own_receipt_of_today(branch: Branch) -> None:
    """Another party's, a forged one, an old one: refused, and nothing is recorded."""
    (answer,) = branch.ask(branch.bank, question())
    depart = branch.departures.depart
    reason: Any = {"decision": "proceeded", "reason": "issuer-confirmed"}
    with pytest.raises(Forbidden):
        branch.run(depart(branch.act, branch.hotel, answer.receipt, AT, **reason))
    forged = answer.receipt | {"index": 1}
    with pytest.raises(VerificationFailed):
        branch.run(depart(branch.act, branch.bank, forged, AT, **reason))
    branch.now += 2 * DAY_US
    with pytest.raises(Conflict):
        branch.run(depart(branch.act, branch.bank, answer.receipt, AT, **reason))
    assert branch.run(branch.departures.recorded(branch.bank)) == []


def test_a_departure_is_recorded_once_and_stands_in_the_log(branch: Branch) -> None:
    """A double click gives the first record; another decision for the same check is refused; the log has its digest."""
    (answer,) = branch.ask(branch.bank, question())
    depart = branch.departures.depart
    first = branch.run(depart(branch.act, branch.bank, answer.receipt, AT, decision="proceeded", reason="issuer-confirmed"))
    again = branch.run(depart(branch.act, branch.bank, answer.receipt, AT, decision="proceeded", reason="issuer-confirmed"))
    assert first == again
    with pytest.raises(Conflict):
        branch.run(depart(branch.act, branch.bank, answer.receipt, AT, decision="proceeded", reason="holder-known"))
    (shown,) = branch.run(branch.departures.recorded(branch.bank))
    assert (shown.check, shown.outcome, shown.status, shown.clerk) == (answer.check, "STOP", "S10", "C-17")
    assert branch.run(branch.departures.recorded(branch.hotel)) == []
    with psycopg.connect(branch.database) as db:
        entry = said(db)[first.position - 1]
    assert entry.evidence == f"check {answer.check}"
    assert entry.body.startswith(b"departure v1 ")


def test_a_repeated_request_is_answered_from_its_key(branch: Branch) -> None:
    """The Idempotency-Key gives the stored answer."""
    (answer,) = branch.ask(branch.bank, question())
    act = Act("bank", "live", Idempotency.of("bank", "once", b"x"))
    depart = branch.departures.depart
    made = [
        branch.run(depart(act, branch.bank, answer.receipt, AT, decision="proceeded", reason="holder-known")) for _ in range(2)
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("decision", "reason", "words"),
    [
        ("proceeded", "bearer-doubted", ""),
        ("proceeded", "other", " "),
        ("proceeded", "other", "card 1101 0519 4912 3100"),
        ("proceeded", "other", "x" * 501),
    ],
)
def test_a_reason_is_given_and_holds_no_number(branch: Branch, decision: Any, reason: Any, words: str) -> None:
    """A reason of the other decision, none at all, one with a number, one without end."""
    (answer,) = branch.ask(branch.bank, question())
    with pytest.raises(BadInput):
        branch.run(
            branch.departures.depart(branch.act, branch.bank, answer.receipt, AT, decision=decision, reason=reason, words=words)
        )


def test_doing_what_the_answer_says_is_no_departure(branch: Branch) -> None:
    """Refusing after STOP, going on after PASS: nothing to record; refusing after PASS is one."""
    stop, passed = branch.ask(branch.bank, question(), question(NEW))
    depart = branch.departures.depart
    for answer, decision, reason in ((stop, "refused", "bearer-doubted"), (passed, "proceeded", "holder-known")):
        with pytest.raises(Conflict):
            branch.run(depart(branch.act, branch.bank, answer.receipt, AT, decision=decision, reason=reason))  # type: ignore[arg-type]
    branch.run(depart(branch.act, branch.bank, passed.receipt, AT, decision="refused", reason="document-doubted"))


def test_an_urgent_need_stays_open_until_the_new_card_is_checked_in_person(branch: Branch) -> None:
    """Due in 30 days; overdue after; the old card and a remote check settle nothing; the new card in person does."""
    stop = branch.ask(branch.bank, question(purpose="medical"))[0]
    assert "A7" in stop.advice
    served = branch.serve(stop)
    assert served.due_at_us == branch.now + 30 * DAY_US
    assert branch.serve(stop) == served
    (need,) = branch.run(branch.departures.needs(branch.bank, state="open"))
    assert (need.state, need.reference, need.clerk, need.check) == ("open", "K-17", "C-17", stop.check)
    assert branch.run(branch.departures.needs(branch.hotel)) == []
    branch.ask(branch.bank, question(purpose="medical"), question(NEW, channel="remote"))
    branch.ask(branch.hotel, question(NEW))
    assert branch.settle() == 0
    branch.now += 31 * DAY_US
    assert [each.state for each in branch.run(branch.departures.needs(branch.bank))] == ["overdue"]
    assert branch.run(branch.departures.counts(branch.bank)) == (1, 1)
    (shown,) = branch.ask(branch.bank, question(NEW))
    assert branch.settle() == 1
    (need,) = branch.run(branch.departures.needs(branch.bank, state="settled"))
    assert (need.shown_check, need.shown_at_us) == (shown.check, branch.now)
    assert branch.settle() == 0


@pytest.mark.parametrize("missing", ["name_and_number_match", "genuine", "unexpired"])
def test_an_urgent_need_is_refused_when_one_condition_is_missing(branch: Branch, missing: str) -> None:
    """Name and number, genuine, unexpired: each alone refuses, and nothing is recorded."""
    (stop,) = branch.ask(branch.bank, question(purpose="medical"))
    with pytest.raises(Conflict) as refused:
        branch.serve(stop, msgspec.structs.replace(YES, **{missing: False}))
    assert refused.value.where == f"/confirmed/{missing}"
    assert branch.run(branch.departures.recorded(branch.bank)) == []


def test_an_urgent_need_is_served_in_person_and_never_for_a_stolen_card(branch: Branch) -> None:
    """Remote, stolen, current: no."""
    remote = branch.ask(branch.bank, question(purpose="medical", channel="remote"))[0]
    stolen = branch.ask(branch.bank, question(purpose="medical"), lost=State.reported_stolen)[0]
    current = branch.ask(branch.bank, question(NEW, purpose="medical"))[0]
    for answer in (remote, stolen, current):
        with pytest.raises(Conflict):
            branch.serve(answer)


def test_a_refusal_tells_a_party_without_reasons_nothing(branch: Branch) -> None:
    """Lost or stolen: where the agreement withholds it, both are refused with the same words."""
    said = []
    for state in (State.reported_lost, State.reported_stolen, State.suspended):
        (stop,) = branch.ask(branch.hotel, question(purpose="medical"), lost=state)
        assert "A7" not in stop.advice
        with pytest.raises(Conflict) as refused:
            branch.serve(stop, who=branch.hotel)
        said.append(str(refused.value))
    assert len(set(said)) == 1


def test_a_card_that_has_expired_serves_no_urgent_need(branch: Branch) -> None:
    """The register knows the last day of the card, whatever the clerk ticked."""
    (stop,) = branch.ask(branch.bank, question(purpose="medical"))
    from annul.records.document import block

    key = branch.keys.documents("live").blind(block(parsed()))
    with psycopg.connect(branch.database) as db:
        db.execute(
            "INSERT INTO document (realm, document_key, coverage, kind, valid_until_day, standing) "
            "VALUES (0, %s, 'cn-resident', 'resident', 19000, 1)",
            (key,),
        )
    with pytest.raises(Conflict) as refused:
        branch.serve(stop)
    assert refused.value.where == "/confirmed/unexpired"


def test_a_clerk_settles_with_a_document_only_she_can_tell_to_be_the_holders(branch: Branch) -> None:
    """Another number (a passport, say): settled by its receipt; not by the old card, nor by one that was refused."""
    (stop,) = branch.ask(branch.bank, question(purpose="medical"))
    served = branch.serve(stop)
    passport = DocumentFields(scheme="ru-internal", series="4509", number="700001")
    again, new = branch.ask(branch.bank, question(purpose="medical"), question(passport))
    show = branch.departures.show
    with pytest.raises(Conflict):
        branch.run(show(branch.bank, served.need, again.receipt))
    with pytest.raises(NotFound):
        branch.run(show(branch.bank, "u_" + "0" * 24, new.receipt))
    assert branch.settle() == 0
    settled = branch.run(show(branch.bank, served.need, new.receipt))
    assert settled.state == "settled"
    assert branch.run(show(branch.bank, served.need, new.receipt)) == settled  # a second click
    (other,) = branch.ask(branch.bank, question(passport))
    with pytest.raises(NotFound):
        branch.run(show(branch.bank, served.need, other.receipt))


def test_a_follow_up_outlives_a_rotation_of_the_keys(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of documents change, the follow-up is re-keyed with them: the new card still closes it."""
    (stop,) = branch.ask(branch.bank, question(purpose="medical"))
    branch.serve(stop)
    branch.keys = rotate(branch.database, branch.home, lambda: branch.now)
    monkeypatch.setattr(small, "LIVE", branch.keys.documents("live"))
    branch.ask(branch.bank, question(purpose="medical"), question(NEW))
    assert branch.settle() == 1


def test_a_relying_party_is_told_once_when_the_day_is_over(branch: Branch) -> None:
    """Not before the day, not after the new card was shown, and not twice; the notice names the party's own reference."""
    (stop,) = branch.ask(branch.bank, question(purpose="medical"))
    branch.serve(stop)

    def tell() -> int:
        return branch.run(tell_due(Fresh(branch.database), branch.now))

    assert tell() == 0
    branch.now += 31 * DAY_US
    assert (tell(), tell()) == (1, 0)
    with psycopg.connect(branch.database) as db:
        rows = db.execute("SELECT party, kind, details FROM notice").fetchall()
    assert [(party, kind) for party, kind, _ in rows] == [("bank", "follow_up_due")]
    assert msgspec.json.decode(rows[0][2])["reference"] == "K-17"


def test_a_trial_counts_a_busy_month_from_a_few_rows(branch: Branch) -> None:
    """Counts by day stand for the checks: what was asked a hundred times is one row, and no trial reads the checks."""
    branch.ask(branch.bank, *[question(NEW)] * 100)
    with psycopg.connect(branch.database, autocommit=True) as db:
        assert db.execute("SELECT count(*), sum(count) FROM answers_by_day").fetchone() == (1, 100)
        db.execute("DELETE FROM check_index")
    trial = branch.run(branch.policies.try_on_past(branch.bank, 1))
    assert trial.checks == 100


def test_settling_looks_at_new_checks_only_where_a_need_is_open(branch: Branch) -> None:
    """Each new check settles the needs it is about, and a party without open needs costs nothing."""
    (stop,) = branch.ask(branch.bank, question(purpose="medical"))
    branch.serve(stop)
    branch.ask(branch.hotel, question(NEW))
    assert branch.settle() == 0
    branch.ask(branch.bank, question(NEW), question(NEW))
    assert branch.settle() == 1
    (need,) = branch.run(branch.departures.needs(branch.bank))
    assert need.shown_at_us == branch.now - 1_000_000  # the first that passed
