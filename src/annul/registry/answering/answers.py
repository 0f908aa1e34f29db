"""Turn what the table holds into what the door says: pure, and prepared so that one answer costs two dictionary look-ups.

`Judge` maps the values found for a document and for its number to the exact status and coverage. `Manner` is one way of
asking (party, purpose, channel, urgency); it holds, for every status it has met, the ready middle of a leaf and the ready
parts of the JSON answer. Both only remember results of the slow, plain functions beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from annul.errors import AnnulError
from annul.listings.values import CODE_MASK, COMPROMISED, DISPUTED, FLAGS_SHIFT, MANY, WHOLE_LIFE
from annul.proof.leaf import pack_middle
from annul.records.check import (
    Answer,
    BindingPart,
    Decisions,
    ErrorPart,
    FreshnessPart,
    IdentityPart,
    StatusPart,
    sentence,
    sentence_key,
)
from annul.records.codes import (
    BindingCode,
    Channel,
    Coverage,
    ErrorCode,
    FreshnessCode,
    IdentityCode,
    Outcome,
    Purpose,
    StatusCode,
)
from annul.records.status import State, code_of, state_of
from annul.registry.answering.walk import Walker
from annul.times import DAY_US, LONG_TERM_DAY, rfc3339

MEMORY_MAX: Final = 65_536
"""Remembered verdicts; beyond this they are forgotten and worked out again."""

PLAIN, FULL, NUMBER_ONLY = 0, 1, 2
"""How a question names its document: the scheme has no discriminator; it has one and it is given; it is not given."""


_OWN_SENTENCE: Final = 8
"""Bit of a verdict's key beside those of its freshness (1 to 3)."""


class Verdict:
    """What the table says: exact status and coverage, with the small number (`key`) under which a manner remembers it.

    Args:
        form_unknown: with U33, the zone is of a form that is not known here, which has a sentence of its own.
    """

    __slots__ = ("coverage", "form_unknown", "key", "status")

    def __init__(self, status: StatusCode, coverage: Coverage, *, form_unknown: bool = False) -> None:
        self.status = status
        self.coverage = coverage
        self.form_unknown = form_unknown
        self.key = status.octet << 8 | coverage.octet << 4 | (_OWN_SENTENCE if form_unknown else 0)


def judge(value: int, number: int, naming: int, until_day: int, today: int) -> Verdict | None:
    """Say what the values found mean.

    Args:
        value: value of the document's slot, 0 when there is none.
        number: value of the number's slot, 0 when there is none or the scheme has none.
        naming: PLAIN, FULL or NUMBER_ONLY.
        until_day: end of validity as the question gives it (days since the epoch), 0 when it does not.
        today: day of the answer (UTC).

    Returns:
        The verdict, or None when nothing is listed and the register's coverage of this kind of document decides.
    """
    if naming == NUMBER_ONLY:
        if not number:
            return None
        if number & CODE_MASK == MANY or not number >> FLAGS_SHIFT & WHOLE_LIFE:
            return Verdict(StatusCode.U31, _coverage(number))
        return _of_slot(number, until_day, today)
    if value:
        return _of_slot(value, until_day, today)
    if naming == FULL and number >> FLAGS_SHIFT & WHOLE_LIFE:
        return Verdict(StatusCode.U32, Coverage.whole_life)
    return None


def unlocked(value: int) -> int:
    """Return the value of an owner-locked slot as it counts while the owner has opened it for the purpose."""
    state = State.compromised if value >> FLAGS_SHIFT & COMPROMISED else State.current
    return value & ~CODE_MASK | (state + 1)


def nothing_found(coverage: Coverage) -> Verdict:
    """Say what it means that nothing is listed: no listing where the register takes listings only, else not covered."""
    status = StatusCode.V00 if coverage is Coverage.listing_only else StatusCode.U30
    return Verdict(status, coverage)


def _coverage(value: int) -> Coverage:
    return Coverage.whole_life if value >> FLAGS_SHIFT & WHOLE_LIFE else Coverage.listing_only


def _of_slot(value: int, until_day: int, today: int) -> Verdict:
    coverage = _coverage(value)
    if value >> FLAGS_SHIFT & DISPUTED:
        return Verdict(StatusCode.U34, coverage)
    state = State((value & CODE_MASK) - 1)
    expiry = value >> 8 & 0xFFFF
    if 0 < expiry < LONG_TERM_DAY and expiry < today:
        state = state_of(1 << state | 1 << State.expired)
    status = code_of(state)
    if until_day and expiry and until_day != expiry and status in (StatusCode.V00, StatusCode.V01):
        return Verdict(StatusCode.U32, coverage)  # the dates shown are not those of this document
    return Verdict(status, coverage)


class Judge:
    """Remember verdicts of one day."""

    __slots__ = ("_memory", "_today")

    def __init__(self) -> None:
        self._today = 0
        self._memory: dict[tuple[int, int, int, int], Verdict | None] = {}

    def day(self, now_us: int) -> None:
        """Begin a window at this time: what was worked out on another day counts no longer."""
        today = now_us // DAY_US
        if today != self._today or len(self._memory) > MEMORY_MAX:
            self._today = today
            self._memory = {}

    def seen(self, value: int, number: int, naming: int, until_day: int) -> Verdict | None:
        """Return what `judge` says, remembered."""
        fact = value, number, naming, until_day
        if fact not in self._memory:
            self._memory[fact] = judge(*fact, self._today)
        return self._memory[fact]


class Told(NamedTuple):
    """The ready parts of every answer with one set of codes."""

    leaf: bytes
    """Middle of the leaf, of `proof.leaf.pack_middle`."""
    head: bytes
    """JSON up to the freshness position."""
    tail: bytes
    """JSON from the advice to the opening quote of the check id."""
    status: int
    """Exact status code (its octet), also when the answer withholds it."""
    outcome: str
    miss: bool
    """The answer says that a number of a document that this register covers is unknown, is no number, or has another name."""


@dataclass(slots=True)
class Manner:
    """One way of asking: party, realm, purpose, channel, urgency.

    Args:
        party: id of the relying party.
        reasons: the agreement allows exact reasons.
        walker: counts of this party, to detect who walks through numbers.
        identity: the agreement allows to ask whether a name belongs to the number.
        decisions: the counter policy.
    """

    party: str
    reasons: bool
    purpose: Purpose
    channel: Channel
    urgent: bool
    decisions: Decisions
    identity: bool = False
    walker: Walker | None = None
    told: dict[int, Told] = field(default_factory=dict)

    def telling(self, verdict: Verdict, freshness: FreshnessCode, scheme: int, identified: int, binding: BindingCode) -> Told:
        """Return the ready parts for these codes, worked out once.

        Args:
            identified: octet of the identity code.
            binding: what a comparison of bearer and holder found.
        """
        key = verdict.key | freshness.octet | scheme << 16 | identified << 24 | binding.octet << 32
        told = self.told.get(key)
        if told is None:
            told = self.told[key] = self._tell(verdict, freshness, scheme, identified, binding)
        return told

    def _tell(self, verdict: Verdict, freshness: FreshnessCode, scheme: int, identified: int, binding: BindingCode) -> Told:
        status, coverage = verdict.status, verdict.coverage
        shown = status if self.reasons else status.withheld()
        identity = IdentityCode.of_octet(identified)
        decision = self.decisions.look(
            shown, identity, binding, freshness, self.channel, purpose=self.purpose, urgent=self.urgent
        )
        axes = (decision.outcome, shown, identity, binding, freshness, ErrorCode.E00, coverage)
        codes = (self.purpose.octet, self.channel.octet, scheme, *(code.octet for code in axes))
        leaf = pack_middle(self.party, codes, decision.mask, self.decisions.policy.version)
        encode = msgspec.json.encode
        key = sentence_key(
            decision.outcome,
            shown,
            identity=identity,
            binding=binding,
            freshness=freshness,
            form_unknown=verdict.form_unknown,
        )
        detail = sentence(key)
        head = (b'{"outcome":%b,"status":%b,"identity":%b,"binding":%b,"freshness":{"code":%b,"position":') % (
            encode(decision.outcome),
            encode(StatusPart(code=shown, class_=shown.status_class, coverage=coverage)),
            encode(IdentityPart(identity)),
            encode(BindingPart(binding)),
            encode(freshness),
        )
        tail = b',"advice":%b,"detail":%b,"check":"' % (encode(decision.names), encode(detail))
        unknown = status is StatusCode.U30 and coverage is Coverage.whole_life
        another = identity in (IdentityCode.M2, IdentityCode.M3) and coverage is not Coverage.none
        miss = unknown or another or (status is StatusCode.U33 and not verdict.form_unknown)
        return Told(leaf, head, tail, status.octet, decision.outcome.value, miss)


_ERROR_OF: Final[dict[str, ErrorCode]] = {
    "source-down": ErrorCode.E90,
    "storage-failed": ErrorCode.E90,
    "corrupt": ErrorCode.E90,
    "internal": ErrorCode.E90,
    "over-quota": ErrorCode.E91,
    "not-authorised": ErrorCode.E92,
    "forbidden": ErrorCode.E92,
    "purpose-not-allowed": ErrorCode.E93,
    "bad-input": ErrorCode.E94,
    "too-large": ErrorCode.E94,
    "unknown-version": ErrorCode.E94,
    "timed-out": ErrorCode.E95,
}


def error_code(error: AnnulError) -> ErrorCode:
    """Return the answer code of an error; E90 for what is nobody's but ours."""
    return _ERROR_OF.get(error.code, ErrorCode.E90)


def no_answer(error: AnnulError, decisions: Decisions, position: int, as_of_us: int) -> bytes:
    """Return the JSON of a NO_ANSWER: what one check of a batch gets where a single check gets a problem document."""
    code = error_code(error)
    decision = decisions.look(StatusCode.U30, IdentityCode.M9, BindingCode.B9, FreshnessCode.F2, Channel.remote, error=code)
    internal = code is ErrorCode.E90
    answer = Answer(
        outcome=Outcome.NO_ANSWER.value,
        status=StatusPart(code=None, class_=None),
        identity=IdentityPart(),
        binding=BindingPart(),
        freshness=FreshnessPart(FreshnessCode.F2.value, position, rfc3339(as_of_us)),
        advice=list(decision.names),
        detail=sentence(sentence_key(Outcome.NO_ANSWER, None, error=code)) if internal else str(error),
        check="",
        receipt={},
        error=ErrorPart(code.value),
    )
    return msgspec.json.encode(answer)
