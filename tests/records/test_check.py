"""Questions, decisions and words: the answer table of the domain, the policy as data, errors that are never a pass."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import BadInput, UnknownVersion
from annul.records import codes
from annul.records.check import (
    DECISIONS,
    DEFAULT_POLICY,
    SENTENCES,
    Advice,
    Answer,
    BindingCode,
    BindingPart,
    Channel,
    Decisions,
    ErrorCode,
    FreshnessCode,
    FreshnessPart,
    IdentityCode,
    IdentityPart,
    Outcome,
    Purpose,
    Question,
    StatusClass,
    StatusCode,
    StatusPart,
    advice_mask,
    advice_of_mask,
    channel_of,
    decide,
    purpose_of,
    sentence,
    sentence_key,
)
from annul.records.policy import kept_policy, policy_from_json, policy_to_json

S, M, B, F, C = StatusCode, IdentityCode, BindingCode, FreshnessCode, Channel
ORDER = [Outcome.PASS, Outcome.REFER, Outcome.STOP, Outcome.NO_ANSWER]
AXES = st.tuples(
    st.sampled_from(StatusCode), st.sampled_from(IdentityCode), st.sampled_from(BindingCode), st.sampled_from(FreshnessCode),
    st.sampled_from(Channel),
)  # fmt: skip


def outcome(status: StatusCode, channel: Channel = C.in_person, **axes: Any) -> Outcome:
    """Return the outcome with the other axes silent."""
    found, _ = decide(
        status, axes.pop("identity", M.M9), axes.pop("binding", B.B9), axes.pop("freshness", F.F0), channel, **axes
    )
    return found


@pytest.mark.parametrize(
    ("status", "in_person", "remote"),
    [
        (S.V00, "PASS", "PASS"), (S.V01, "PASS", "STOP"),
        (S.S10, "STOP", "STOP"), (S.S11, "STOP", "STOP"), (S.S12, "STOP", "STOP"), (S.S13, "STOP", "STOP"),
        (S.I20, "STOP", "STOP"), (S.I21, "STOP", "STOP"), (S.I22, "STOP", "STOP"), (S.I23, "STOP", "STOP"),
        (S.I24, "STOP", "STOP"), (S.I25, "STOP", "STOP"), (S.S00, "STOP", "STOP"), (S.I00, "STOP", "STOP"),
        (S.U30, "REFER", "REFER"), (S.U31, "REFER", "REFER"), (S.U32, "STOP", "STOP"),
        (S.U33, "REFER", "REFER"), (S.U34, "REFER", "REFER"),
    ],
)  # fmt: skip
def test_each_status_has_the_outcome_of_the_domain(status: StatusCode, in_person: str, remote: str) -> None:
    """The status rows of the answer table."""
    assert (outcome(status), outcome(status, C.remote)) == (in_person, remote)


def test_the_other_axes_have_the_outcomes_of_the_domain() -> None:
    """Identity, binding and freshness rows, each with a document that has no listing."""
    identity = {code: outcome(S.V00, identity=code).value for code in M}
    binding = {code: outcome(S.V00, binding=code).value for code in B}
    freshness = {code: outcome(S.V00, freshness=code).value for code in F}
    assert identity == {M.M0: "PASS", M.M1: "PASS", M.M2: "REFER", M.M3: "REFER", M.M9: "PASS"}
    assert binding == {B.B0: "PASS", B.B1: "STOP", B.B2: "STOP", B.B3: "REFER", B.B9: "PASS"}
    assert freshness == {F.F0: "PASS", F.F1: "PASS", F.F2: "REFER"}


@given(AXES)
def test_the_worst_axis_decides(axes: tuple[Any, ...]) -> None:
    """STOP beats REFER beats PASS, whatever the order of the axes; urgency changes no outcome."""
    status, identity, binding, freshness, channel = axes
    alone = [
        outcome(status, channel), outcome(S.V00, channel, identity=identity), outcome(S.V00, channel, binding=binding),
        outcome(S.V00, channel, freshness=freshness),
    ]  # fmt: skip
    found, advice = decide(*axes)
    assert found is max(alone, key=ORDER.index)
    assert decide(*axes, urgent=True)[0] is found
    assert advice_of_mask(advice_mask(advice)) == advice
    assert (Advice.A9 in advice) == (found is Outcome.PASS)


@given(AXES, st.sampled_from([error for error in ErrorCode if error is not ErrorCode.E00]))
def test_no_answer_is_never_turned_into_a_pass(axes: tuple[Any, ...], error: ErrorCode) -> None:
    """An error wins over every other axis, and never advises to continue."""
    found, advice = decide(*axes, error=error)
    assert found is Outcome.NO_ANSWER
    assert Advice.A9 not in advice
    assert sentence_key(found, axes[0], error=error) == f"NO_ANSWER.{error.value}"


def test_a_reported_card_is_retained_and_reported() -> None:
    """The advice the contract prints for S10."""
    assert decide(S.S10, M.M9, B.B9, F.F0, C.in_person, purpose=Purpose.account_opening)[1] == (Advice.A6, Advice.A8)


@pytest.mark.parametrize(
    ("status", "channel", "axes", "given"),
    [
        (S.S10, C.in_person, {"purpose": Purpose.medical}, True),
        (S.I20, C.in_person, {"purpose": Purpose.medical}, True),
        (S.S10, C.in_person, {"purpose": Purpose.hotel_check_in, "urgent": True}, True),
        (S.S10, C.in_person, {"purpose": Purpose.hotel_check_in}, False),
        (S.S10, C.remote, {"purpose": Purpose.medical}, False),
        (S.S11, C.in_person, {"purpose": Purpose.medical}, False),
        (S.I21, C.in_person, {"purpose": Purpose.medical}, False),
        (S.S10, C.in_person, {"purpose": Purpose.medical, "identity": M.M2}, False),
        (S.S10, C.in_person, {"purpose": Purpose.medical, "binding": B.B1}, False),
        (S.S10, C.in_person, {"purpose": Purpose.medical, "error": ErrorCode.E90}, False),
    ],
)
def test_urgent_need_is_advice_for_the_holder_in_person_only(
    status: StatusCode, channel: Channel, axes: dict[str, Any], given: bool
) -> None:
    """A7 for lost or replaced; not stolen, expired, remote, another name, another person. The outcome stays STOP."""
    identity, binding = axes.pop("identity", M.M1), axes.pop("binding", B.B9)
    found, advice = decide(status, identity, binding, F.F0, channel, **axes)
    assert (Advice.A7 in advice) is given
    assert found is not Outcome.PASS


def test_a_policy_is_data_and_survives_json() -> None:
    """Round trip; the same decisions; the golden file is the default."""
    again = policy_from_json(policy_to_json(DEFAULT_POLICY))
    assert again == DEFAULT_POLICY
    golden = Path(__file__).parents[1] / "vectors" / "golden" / "policy.json"
    assert kept_policy(golden.read_bytes()) == DEFAULT_POLICY


def test_a_kept_policy_outlives_a_new_code() -> None:
    """A register that learns a code still reads the policies its parties released before, and answers by the default there."""
    document = msgspec.json.decode(policy_to_json(DEFAULT_POLICY))
    document["version"] = 7
    document["status"]["U30"]["remote"] = "STOP"
    del document["status"]["I25"], document["identity"]["M3"]
    data = msgspec.json.encode(document)
    with pytest.raises(BadInput, match="I25"):
        policy_from_json(data)
    kept = kept_policy(data)
    assert kept.status[S.I25] == DEFAULT_POLICY.status[S.I25]
    assert kept.identity[M.M3] == DEFAULT_POLICY.identity[M.M3]
    assert (kept.version, kept.status[S.U30].remote) == (7, Outcome.STOP)
    for broken in (b"[]", b"{", b'{"status": 1}'):
        with pytest.raises(BadInput):
            kept_policy(broken)


def test_another_policy_decides_otherwise() -> None:
    """A strict register refers documents it does not cover to nobody: it stops them."""
    document = msgspec.json.decode(policy_to_json(DEFAULT_POLICY))
    document["version"] = 2
    document["status"]["U30"]["remote"] = "STOP"
    strict = Decisions(policy_from_json(msgspec.json.encode(document)))
    assert decide(S.U30, M.M9, B.B9, F.F0, C.remote, strict)[0] is Outcome.STOP
    assert decide(S.U30, M.M9, B.B9, F.F0, C.in_person, strict)[0] is Outcome.REFER


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        (("format",), 2, UnknownVersion),
        (("version",), 0, BadInput),
        (("status", "S10"), None, BadInput),
        (("status", "S10", "remote"), "MAYBE", BadInput),
        (("extra",), 1, BadInput),
    ],
)
def test_an_incomplete_policy_is_refused(path: tuple[str, ...], value: Any, error: type[Exception]) -> None:
    """A code without a rule would be an invented answer."""
    document = msgspec.json.decode(policy_to_json(DEFAULT_POLICY))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    with pytest.raises(error):
        policy_from_json(msgspec.json.encode(document))


@given(AXES)
def test_every_answer_has_its_sentence(axes: tuple[Any, ...]) -> None:
    """No combination is without words, and none of them claims validity or tells the exact reason."""
    status, identity, binding, freshness, *_ = axes
    found, _ = decide(*axes)
    text = sentence(sentence_key(found, status, identity=identity, binding=binding, freshness=freshness))
    assert text.endswith(".")
    assert "valid document" not in text.lower()
    for reason in ("stolen", "lost", "revoked", "death", "superseded"):
        assert reason not in text.lower()
    words = {Outcome.PASS: "No listing", Outcome.STOP: "Do not"}
    assert words.get(found, "") in text


def test_sentences_are_all_used() -> None:
    """The catalogue has no dead entry: a translation translates what is shown."""
    used = {
        sentence_key(decide(*axes)[0], axes[0], identity=axes[1], binding=axes[2], freshness=axes[3])
        for axes in itertools.product(StatusCode, IdentityCode, BindingCode, FreshnessCode, Channel)
    }
    used |= {sentence_key(Outcome.NO_ANSWER, None, error=error) for error in ErrorCode if error is not ErrorCode.E00}
    used.add(sentence_key(Outcome.REFER, StatusCode.U33, form_unknown=True))
    used |= {sentence_key(Outcome.STOP, StatusCode.V00), sentence_key(Outcome.REFER, StatusCode.V00)}  # a stricter policy
    assert used == set(SENTENCES)


def test_a_stricter_policy_accuses_nobody() -> None:
    """Where a party's own rules stop or refer on an answer without any fault, the sentence speaks of the rules."""
    for status in (StatusCode.V00, StatusCode.U30, StatusCode.U33):
        text = sentence(sentence_key(Outcome.STOP, status))
        assert "bearer" not in text
        assert "rules of your organisation" in text
    assert "older" not in sentence(sentence_key(Outcome.REFER, StatusCode.V00))
    assert "older" in sentence(sentence_key(Outcome.REFER, StatusCode.V00, freshness=FreshnessCode.F2))
    assert "not in the register of persons" in sentence(sentence_key(Outcome.REFER, StatusCode.V00, identity=IdentityCode.M3))


def test_withheld_reasons_keep_their_class() -> None:
    """S1x becomes S00, I2x becomes I00; V and U have nothing to withhold; the outcome stays the same."""
    for status in StatusCode:
        told = status.withheld()
        assert told.status_class is status.status_class
        assert told in {S.S00, S.I00} or told is status
        assert [outcome(told, channel) for channel in C] == [outcome(status, channel) for channel in C]
    assert S.S11.withheld() is S.S00
    assert S.I24.status_class is StatusClass.not_in_force


@pytest.mark.parametrize(
    "enum",
    [codes.Outcome, codes.StatusCode, codes.IdentityCode, codes.BindingCode, codes.FreshnessCode, codes.ErrorCode, codes.Advice,
     codes.Coverage, codes.Channel, codes.Purpose, codes.Realm, codes.StatusClass],
)  # fmt: skip
def test_octets_are_unique_and_lead_back(enum: type[codes.Coded]) -> None:
    """Every code has one number of one byte; a number without a code is refused."""
    assert all(enum.of_octet(member.octet) is member for member in enum)
    assert len({member.octet for member in enum}) == len(enum)
    with pytest.raises(ValueError, match="no member"):
        enum.of_octet(255)


def test_unknown_advice_bits_are_refused() -> None:
    """A receipt of a later version is not read as if the advice were not there."""
    with pytest.raises(ValueError, match="unknown bit"):
        advice_of_mask(1 << 9)


def test_a_question_is_read_strictly() -> None:
    """The contract's example; unknown members, long tags and negative positions are refused."""
    text = (
        b'{"document": {"scheme": "cn-resident", "number": "11010519491231002X", "valid_from": "2016-10-06"},'
        b' "purpose": "account-opening", "channel": "in_person", "holder": {"name": "\xe5\xbc\xa0"}, "min_position": 7}'
    )
    question = msgspec.json.decode(text, type=Question)
    assert purpose_of(question.purpose) is Purpose.account_opening
    assert channel_of(question.channel) is Channel.in_person
    assert question.holder is not None
    assert question.min_position == 7
    for wrong in (
        text.replace(b'"purpose"', b'"porpoise": 1, "purpose"'),
        text.replace(b": 7", b": -1"),
        text.replace(b'"scheme"', b'"skeme": "x", "scheme"'),
        text.replace(b'{"name"', b'{"first": "x", "name"'),
        text.replace(b'"min_position": 7', b'"clerk": "' + b"x" * 65 + b'"'),
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(wrong, type=Question)
    for tag in ("branch", "terminal", "clerk", "reference"):
        for character in ("\\u0000", "\\n", "\\u001b", "\\u007f"):
            with pytest.raises(BadInput) as refused:
                msgspec.json.decode(text[:-1] + f', "{tag}": "x{character}"}}'.encode(), type=Question)
            assert refused.value.where == f"/{tag}"
        assert msgspec.json.decode(text[:-1] + f', "{tag}": "张\u3000三"}}'.encode(), type=Question)
    for read in (purpose_of, channel_of):
        with pytest.raises(BadInput) as caught:
            read("espionage")
        assert "espionage" not in str(caught.value)


def test_an_answer_shows_every_axis_apart() -> None:
    """The member names of the contract."""
    answer = Answer(
        outcome="STOP", status=StatusPart("S10", "reported", "whole_life"), identity=IdentityPart(), binding=BindingPart(),
        freshness=FreshnessPart("F0", 1234, "2026-11-23T14:00:00.000Z"), advice=["A6", "A8"],
        detail=sentence("STOP.reported"), check="00" * 16, receipt={},
    )  # fmt: skip
    shown = msgspec.json.decode(msgspec.json.encode(answer))
    assert shown["status"] == {"code": "S10", "class": "reported", "coverage": "whole_life"}
    assert shown["identity"] == {"code": "M9"}
    assert shown["binding"] == {"code": "B9"}
    assert shown["error"] == {"code": "E00"}
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Answer) == answer


def test_the_prepared_table_says_what_the_policy_says() -> None:
    """The look-up of the check path equals the plain function for every combination, also when the purpose is urgent."""
    for axes in itertools.product(StatusCode, IdentityCode, BindingCode, FreshnessCode, Channel):
        looked = DECISIONS.look(*axes, purpose=Purpose.medical)
        assert (looked.outcome, looked.advice) == decide(*axes, urgent=True)
        assert looked.mask == advice_mask(looked.advice)
        assert looked.names == tuple(step.value for step in looked.advice)


def test_an_urgent_need_is_advised_only_when_it_is_said() -> None:
    """A lost card asked for a payment: no exception by itself, one when the question says urgent; at a hospital by itself."""
    asked = (S.S10, M.M1, B.B9, F.F0, C.in_person)
    assert Advice.A7 not in decide(*asked, purpose=Purpose.payment)[1]
    assert Advice.A7 in decide(*asked, purpose=Purpose.payment, urgent=True)[1]
    assert Advice.A7 in decide(*asked, purpose=Purpose.medical)[1]
