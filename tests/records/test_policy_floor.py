"""What a relying party may change in its policy, and what nobody may."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import BadInput
from annul.records.codes import BindingCode, Channel, FreshnessCode, IdentityCode, Outcome, Purpose, StatusCode
from annul.records.policy import (
    AXES,
    DEFAULT_POLICY,
    Policy,
    Verdict,
    decide_slowly,
    differences,
    floor_of,
    policy_from_json,
    policy_to_json,
    require_floor,
)

OUTCOMES = [Outcome.PASS, Outcome.REFER, Outcome.STOP]
SEVERITY = {outcome: place for place, outcome in enumerate(OUTCOMES)}


def changed(axis: str, code: str, **verdict: object) -> Policy:
    """Change one verdict of the default policy."""
    table = dict(getattr(DEFAULT_POLICY, axis))
    key = next(each for each in table if each.value == code)
    table[key] = msgspec.structs.replace(table[key], **verdict)
    return msgspec.structs.replace(DEFAULT_POLICY, **{axis: table})


def test_the_default_policy_keeps_the_floor() -> None:
    """The rules of the People's Bank are allowed by the register."""
    require_floor(DEFAULT_POLICY)


@pytest.mark.parametrize(
    ("axis", "code", "member"),
    [
        ("status", "S11", "in_person"),
        ("status", "I25", "remote"),
        ("status", "U30", "in_person"),
        ("status", "S00", "remote"),
        ("binding", "B1", "in_person"),
        ("binding", "B2", "remote"),
        ("identity", "M2", "in_person"),
        ("freshness", "F2", "remote"),
    ],
)
def test_a_dead_card_passes_nowhere_whatever_a_party_wishes(axis: str, code: str, member: str) -> None:
    """PASS is refused, and the error names the very cell."""
    with pytest.raises(BadInput) as refused:
        require_floor(changed(axis, code, **{member: Outcome.PASS}))
    assert refused.value.where == f"/{axis}/{code}/{member}"


def test_no_answer_is_not_for_a_policy_to_choose() -> None:
    """A policy decides on answers; that there is none is nobody's choice."""
    with pytest.raises(BadInput):
        require_floor(changed("status", "V00", in_person=Outcome.NO_ANSWER))


def test_a_party_may_be_stricter() -> None:
    """No listing, and yet a second look; an expired card stops."""
    require_floor(changed("status", "V00", remote=Outcome.REFER))
    require_floor(changed("identity", "M9", in_person=Outcome.STOP))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("statuses", (StatusCode.S11,)),
        ("channels", (Channel.remote,)),
        ("identities", (IdentityCode.M2,)),
        ("bindings", (BindingCode.B1,)),
        ("follow_up_days", 32),
        ("follow_up_days", 0),
    ],
)
def test_an_urgent_need_keeps_its_conditions(member: str, value: object) -> None:
    """Never stolen, never remote, never another name, never longer than a month."""
    need = msgspec.structs.replace(DEFAULT_POLICY.urgent_need, **{member: value})
    with pytest.raises(BadInput) as refused:
        require_floor(msgspec.structs.replace(DEFAULT_POLICY, urgent_need=need))
    assert refused.value.where == f"/urgent_need/{member}"


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any complete policy."""
    tables = {}
    for axis, codes in zip(AXES, (StatusCode, IdentityCode, BindingCode, FreshnessCode), strict=True):
        outcome = st.sampled_from(OUTCOMES)
        tables[axis] = {code: Verdict(in_person=draw(outcome), remote=draw(outcome)) for code in codes}
    return msgspec.structs.replace(DEFAULT_POLICY, **tables)


CODES = (StatusCode, IdentityCode, BindingCode, FreshnessCode)
AXIS_CODES = st.tuples(*(st.sampled_from(codes) for codes in CODES))


def no_milder(axis: str, code: str, channel: Channel) -> list[Outcome]:
    """Return the outcomes at or above a cell's floor."""
    floor = SEVERITY[floor_of(axis, code, channel)]
    return [outcome for outcome in OUTCOMES if SEVERITY[outcome] >= floor]


@st.composite
def policies_above_the_floor(draw: st.DrawFn) -> Policy:
    """Any policy whose every cell is at or above its floor."""
    tables = {
        axis: {
            code: Verdict(
                in_person=draw(st.sampled_from(no_milder(axis, code.value, Channel.in_person))),
                remote=draw(st.sampled_from(no_milder(axis, code.value, Channel.remote))),
            )
            for code in codes
        }
        for axis, codes in zip(AXES, CODES, strict=True)
    }
    return msgspec.structs.replace(DEFAULT_POLICY, **tables)


def test_what_keeps_the_floor_decides_no_milder_than_the_floor() -> None:
    """Cells at or above their floors are let through, and decide at least as strictly as every floor of their codes."""
    reached = 0

    @given(policies_above_the_floor(), AXIS_CODES, st.sampled_from(Channel), st.booleans())
    def decides(policy: Policy, codes: tuple[Any, ...], channel: Channel, urgent: bool) -> None:
        nonlocal reached
        require_floor(policy)
        decided = decide_slowly(policy, *codes, channel, urgent=urgent)
        for axis, code in zip(AXES, codes, strict=True):
            reached += 1
            assert SEVERITY[decided.outcome] >= SEVERITY[floor_of(axis, code.value, channel)]

    decides()
    assert reached >= 4 * 50


BELOW = [
    (axis, code.value, channel)
    for axis, codes in zip(AXES, CODES, strict=True)
    for code in codes
    for channel in Channel
    if floor_of(axis, code.value, channel) is not Outcome.PASS
]
"""Every cell that has something milder than its floor."""


@pytest.mark.parametrize(("axis", "code", "channel"), BELOW)
def test_one_cell_below_its_floor_is_refused_by_its_name(axis: str, code: str, channel: Channel) -> None:
    """Each of them, alone, by each milder outcome."""
    for outcome in set(OUTCOMES) - set(no_milder(axis, code, channel)):
        with pytest.raises(BadInput) as refused:
            require_floor(changed(axis, code, **{channel.value: outcome}))
        assert refused.value.where == f"/{axis}/{code}/{channel.value}"


@given(policies())
def test_a_policy_survives_its_json_and_differs_from_itself_in_nothing(policy: Policy) -> None:
    """Data, written and read; `differences` says exactly where two differ."""
    assert policy_from_json(policy_to_json(policy)) == policy
    assert differences(policy, policy) == []
    named = msgspec.structs.replace(policy, name="another", copy_age_max_s=60)
    assert [each.where for each in differences(policy, named)] == ["/name", "/copy_age_max_s"]


def test_differences_name_the_cell() -> None:
    """One changed cell is one line."""
    new = changed("status", "V00", remote=Outcome.REFER)
    assert [(each.where, each.old, each.new) for each in differences(DEFAULT_POLICY, new)] == [
        ("/status/V00/remote", "PASS", "REFER")
    ]


def test_purposes_are_free() -> None:
    """Which purposes count as urgent is the party's to say."""
    need = msgspec.structs.replace(DEFAULT_POLICY.urgent_need, purposes=(Purpose.payment,))
    require_floor(msgspec.structs.replace(DEFAULT_POLICY, urgent_need=need))
