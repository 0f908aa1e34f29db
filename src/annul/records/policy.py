"""Counter policy as versioned data, and the one pure function that turns the axes of an answer into an outcome.

The defaults follow the rules of the People's Bank for checks at the counter. A policy is plain data (JSON); a changed
policy takes a new `version`, which every receipt carries.

    outcome, advice = DECISIONS.decide(StatusCode.S10, IdentityCode.M9, BindingCode.B9, FreshnessCode.F0, Channel.remote)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from annul.errors import BadInput, UnknownVersion
from annul.records import meanings
from annul.records.codes import (
    Advice,
    BindingCode,
    Channel,
    ErrorCode,
    FreshnessCode,
    IdentityCode,
    Outcome,
    Purpose,
    StatusCode,
    advice_mask,
)
from annul.records.verdict import Verdict

POLICY_FORMAT = 1
"""Version of the JSON form of a policy."""


class UrgentNeed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When advice A7 is given: the holder may be served although the document is lost or replaced.

    The outcome stays STOP: the clerk decides, gives the reason, and a new card must be shown within `follow_up_days`.

    Args:
        statuses: status codes at which the need may be served.
        channels: channels, `in_person` and `remote`, that are allowed.
        purposes: purposes that are allowed.
        identities: codes of the identity axis at which the need may be served.
        bindings: codes of the binding axis at which the need may be served.
        follow_up_days: days within which the new document must be shown.
    """

    statuses: tuple[StatusCode, ...]
    channels: tuple[Channel, ...]
    purposes: tuple[Purpose, ...]
    identities: tuple[IdentityCode, ...]
    bindings: tuple[BindingCode, ...]
    follow_up_days: int


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One version of the counter policy. Every code of every axis must be named.

    Attributes:
        format: version of this JSON form.
        version: number of the policy, 1 to 65535; stands in every receipt.
        copy_age_max_s: age in seconds up to which a copy answers F1; older copies answer F2.
        name: its name.
        status: what each status code leads to.
        identity: what each code M0 to M9 leads to.
        binding: what each code B0 to B9 leads to.
        freshness: what each code F0 to F2 leads to.
        urgent_need: when a holder in need may be served although the answer is STOP.
    """

    format: int = POLICY_FORMAT
    version: int
    name: str
    status: dict[StatusCode, Verdict]
    identity: dict[IdentityCode, Verdict]
    binding: dict[BindingCode, Verdict]
    freshness: dict[FreshnessCode, Verdict]
    urgent_need: UrgentNeed
    copy_age_max_s: int = 86_400

    def __post_init__(self) -> None:
        if self.format != POLICY_FORMAT:
            raise UnknownVersion(f"This program reads policies of format {POLICY_FORMAT}.", where="/format")
        if not 1 <= self.version <= 65535:
            raise BadInput("A policy's version is a number from 1 to 65535.", where="/version")
        for where, table, codes in (
            ("/status", self.status, StatusCode),
            ("/identity", self.identity, IdentityCode),
            ("/binding", self.binding, BindingCode),
            ("/freshness", self.freshness, FreshnessCode),
        ):
            missing = [code.value for code in codes if code not in table]
            if missing:
                raise BadInput(f"The policy does not say what follows from {', '.join(missing)}.", where=where)


def policy_to_json(policy: Policy) -> bytes:
    """Return the policy as indented JSON, keys in a fixed order."""
    return msgspec.json.format(msgspec.json.encode(policy, order="deterministic"), indent=2) + b"\n"


def policy_from_json(data: bytes) -> Policy:
    """Read a policy from JSON; BadInput names the member that is wrong."""
    try:
        return msgspec.json.decode(data, type=Policy)
    except msgspec.ValidationError as error:
        raise BadInput(f"This is not a policy: {error}.") from error


_SEVERITY = {Outcome.PASS: 0, Outcome.REFER: 1, Outcome.STOP: 2, Outcome.NO_ANSWER: 3}


DEFAULT_POLICY = Policy(
    version=1,
    name="People's Bank rules for checks at the counter",
    status={code: meanings.STATUS[code].verdict for code in StatusCode},
    identity={code: meanings.IDENTITY[code].verdict for code in IdentityCode},
    binding={code: meanings.BINDING[code].verdict for code in BindingCode},
    freshness={code: meanings.FRESHNESS[code].verdict for code in FreshnessCode},
    urgent_need=UrgentNeed(
        statuses=(StatusCode.S10, StatusCode.I20),
        channels=(Channel.in_person,),
        purposes=(Purpose.medical,),
        identities=(IdentityCode.M0, IdentityCode.M1, IdentityCode.M9),
        bindings=(BindingCode.B0, BindingCode.B9),
        follow_up_days=30,
    ),
)


class Decision(NamedTuple):
    """An outcome with its advice in every form the answer and the receipt need."""

    outcome: Outcome
    advice: tuple[Advice, ...]
    mask: int
    names: tuple[str, ...]


def decide_slowly(
    policy: Policy,
    status: StatusCode,
    identity: IdentityCode,
    binding: BindingCode,
    freshness: FreshnessCode,
    channel: Channel,
    *,
    urgent: bool = False,
) -> Decision:
    """Apply the policy: the worst outcome of the axes wins, with the advice of the axes that led to it.

    Args:
        urgent: the purpose is one of the policy's urgent ones, or the clerk marked the need as urgent.
    """
    verdicts = (policy.status[status], policy.identity[identity], policy.binding[binding], policy.freshness[freshness])
    outcome = max((verdict.outcome(channel) for verdict in verdicts), key=_SEVERITY.__getitem__)
    found = {step for verdict in verdicts if verdict.outcome(channel) is outcome for step in verdict.steps(channel)}
    need = policy.urgent_need
    if (
        urgent
        and outcome is Outcome.STOP
        and status in need.statuses
        and channel in need.channels
        and identity in need.identities
        and binding in need.bindings
    ):
        found.add(Advice.A7)
    advice = tuple(step for step in Advice if step in found)
    return Decision(outcome, advice, advice_mask(advice), tuple(step.value for step in advice))


NO_ANSWER_DECISION = Decision(Outcome.NO_ANSWER, (Advice.A1, Advice.A5), advice_mask((Advice.A1, Advice.A5)), ("A1", "A5"))


class Decisions:
    """The decisions of one policy, each worked out once: a look-up on the check path instead of a computation."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._urgent = frozenset(policy.urgent_need.purposes)
        self._table: dict[tuple[StatusCode, IdentityCode, BindingCode, FreshnessCode, Channel, bool], Decision] = {}

    def look(
        self,
        status: StatusCode,
        identity: IdentityCode,
        binding: BindingCode,
        freshness: FreshnessCode,
        channel: Channel,
        *,
        purpose: Purpose | None = None,
        urgent: bool = False,
        error: ErrorCode = ErrorCode.E00,
    ) -> Decision:
        """Return the decision; an error is NO_ANSWER whatever the other axes say."""
        if error is not ErrorCode.E00:
            return NO_ANSWER_DECISION
        case = (status, identity, binding, freshness, channel, urgent or purpose in self._urgent)
        decision = self._table.get(case)
        if decision is None:
            # The codes are closed lists, so the table stays below some 6,000 rows.
            decision = self._table[case] = decide_slowly(self.policy, *case[:5], urgent=case[5])
        return decision


DECISIONS = Decisions(DEFAULT_POLICY)
"""The decisions of the default policy."""


# -- what a relying party may change -----------------------------------------------------------------------------------------

AXES = ("status", "identity", "binding", "freshness")
"""The tables of a policy, in the order in which screens show them."""
_DEFAULTS: dict[str, dict[str, Any]] = {
    axis: msgspec.to_builtins(getattr(DEFAULT_POLICY, axis), str_keys=True) for axis in AXES
}


def kept_policy(data: bytes) -> Policy:
    """Read a policy that was kept: a code that came after it leads to what the default policy says of it.

    Raises:
        BadInput: as `policy_from_json`, for anything else.
    """
    try:
        whole = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BadInput(f"This is not a policy: {error}.") from error
    for axis, verdicts in _DEFAULTS.items():
        if isinstance(whole.get(axis), dict):
            whole[axis] = verdicts | whole[axis]
    return policy_from_json(msgspec.json.encode(whole))


COPY_AGE_MAX_S = 7 * 86_400
"""Oldest copy of the register that any policy may still call within its limit."""
FOLLOW_UP_DAYS_MAX = 31
"""Longest time until the new card must be shown after an urgent need. Source: People's Bank rules, one month."""
URGENT_STATUSES = frozenset({StatusCode.S10, StatusCode.I20})
"""Reported lost by the holder, or replaced: the only states for which an urgent need may be served."""

_STOP, _REFER = Outcome.STOP, Outcome.REFER
FLOORS: dict[str, dict[str, tuple[Outcome, Outcome]]] = {
    "status": {
        **{code.value: (_STOP, _STOP) for code in StatusCode if code.value[0] == "S"},
        **{code.value: (_STOP, _STOP) for code in StatusCode if code.value[0] == "I" and code is not StatusCode.I21},
        StatusCode.I21.value: (_REFER, _STOP),
        **{code.value: (_REFER, _REFER) for code in StatusCode if code.value[0] == "U"},
        StatusCode.V01.value: (Outcome.PASS, _REFER),
    },
    "identity": {code.value: (_REFER, _REFER) for code in (IdentityCode.M2, IdentityCode.M3)},
    "binding": {
        BindingCode.B1.value: (_STOP, _STOP),
        BindingCode.B2.value: (_STOP, _STOP),
        BindingCode.B3.value: (_REFER, _REFER),
    },
    "freshness": {FreshnessCode.F2.value: (_REFER, _REFER)},
}
"""The mildest outcome a policy may give a code: (in person, remote). A party may be stricter, never milder: a card reported
lost counts nowhere, whoever asks. Codes that are not named have no floor."""


def floor_of(axis: str, code: str, channel: Channel) -> Outcome:
    """Return the mildest outcome a policy may give this code on this channel."""
    floors = FLOORS[axis].get(code, (Outcome.PASS, Outcome.PASS))
    return floors[0] if channel is Channel.in_person else floors[1]


def require_floor(policy: Policy) -> None:
    """Refuse a policy that is milder than the register allows.

    Raises:
        BadInput: `where` is the JSON pointer of the first member that is too mild.
    """
    for axis in AXES:
        for code, verdict in getattr(policy, axis).items():
            for channel in Channel:
                found, floor = verdict.outcome(channel), floor_of(axis, code.value, channel)
                where = f"/{axis}/{code.value}/{channel.value}"
                if found is Outcome.NO_ANSWER:
                    raise BadInput(
                        "NO_ANSWER is not an outcome a policy can choose.", where=where, mend="Choose REFER or STOP."
                    )
                if _SEVERITY[found] < _SEVERITY[floor]:
                    mend = f"Choose {floor.value} or stricter."
                    raise BadInput(f"{code.value} may not lead to {found.value}.", where=where, mend=mend)
    if not 0 <= policy.copy_age_max_s <= COPY_AGE_MAX_S:
        raise BadInput("A copy may be at most 7 days old.", where="/copy_age_max_s", mend=f"Choose 0 to {COPY_AGE_MAX_S} s.")
    need = policy.urgent_need
    for member, allowed in (
        ("statuses", URGENT_STATUSES),
        ("channels", {Channel.in_person}),
        ("identities", {IdentityCode.M0, IdentityCode.M1, IdentityCode.M9}),
        ("bindings", {BindingCode.B0, BindingCode.B9}),
    ):
        beyond = sorted(code.value for code in getattr(need, member) if code not in allowed)
        if beyond:
            raise BadInput(
                f"An urgent need may not be served with {', '.join(beyond)}.",
                where=f"/urgent_need/{member}",
                mend=f"Choose among {', '.join(sorted(code.value for code in allowed))}.",
            )
    if not 1 <= need.follow_up_days <= FOLLOW_UP_DAYS_MAX:
        raise BadInput(
            "The new card must be shown within one month.",
            where="/urgent_need/follow_up_days",
            mend=f"Choose 1 to {FOLLOW_UP_DAYS_MAX} days.",
        )


class Difference(msgspec.Struct, frozen=True):
    """One member in which two policies differ: JSON pointer, and the values on either side as JSON.

    Args:
        where: JSON pointer of the member.
        old: value of the older version.
        new: value of the newer version.
    """

    where: str
    old: Any
    new: Any


def differences(old: Policy, new: Policy) -> list[Difference]:
    """Return where two policies differ, in the order of their members; version and format are not looked at."""
    found: list[Difference] = []
    left, right = msgspec.to_builtins(old, str_keys=True), msgspec.to_builtins(new, str_keys=True)
    for member in (name for name in left if name not in ("format", "version")):
        _compare(f"/{member}", left[member], right[member], found)
    return found


def _compare(where: str, old: object, new: object, found: list[Difference]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            _compare(f"{where}/{name}", old.get(name), new.get(name), found)
    elif old != new:
        found.append(Difference(where, old, new))
