"""Receipts: both forms, the numbered recipe, and every change refused by a step."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.errors import VerificationFailed
from annul.proof.checkpoint import Signer
from annul.proof.leaf import (
    LEAF_BYTES,
    Leaf,
    check_id,
    context_commitment,
    document_commitment,
    pack_context,
    pack_leaf,
    pack_middle,
    pack_text,
    parse_leaf,
    party_bytes,
    write_leaves,
)
from annul.proof.receipt import (
    Receipt,
    from_binary,
    from_json,
    json_shape,
    receipt_of,
    to_binary,
    to_json,
    verify,
    verify_document,
)
from annul.proof.window import (
    NO_STATEMENT,
    SIGNED_PREFIX,
    STATEMENT_BYTES,
    Statement,
    WindowSigner,
    pack_statement,
    parse_statement,
    statement_hash,
    verify_window,
)
from annul.proof.words import explain
from annul.records import codes
from annul.records.document import DocumentFields, canonical, parse_document

SIGNER = WindowSigner(bytes(range(32)))
SALT = bytes(16)
DOCUMENT = canonical(parse_document(DocumentFields("cn-resident", "11010519491231002X", valid_from="2016-10-06")))
LEAF = Leaf(
    0,
    1_795_442_400_000_000,
    1234,
    1_795_442_399_998_000,
    party_bytes("utopia-bank"),
    codes.Purpose.account_opening.octet,
    codes.Channel.in_person.octet,
    1,
    codes.Outcome.STOP.octet,
    codes.StatusCode.S10.octet,
    codes.IdentityCode.M9.octet,
    codes.BindingCode.B9.octet,
    codes.FreshnessCode.F0.octet,
    codes.ErrorCode.E00.octet,
    codes.Coverage.whole_life.octet,
    codes.advice_mask((codes.Advice.A6, codes.Advice.A8)),
    1,
    document_commitment(SALT, DOCUMENT),
    context_commitment(SALT, pack_context("001", "t-4", "c-17", "") + pack_text("张三")),
)


def leaves(count: int) -> list[bytes]:
    """Return a window's leaves, all different."""
    return [pack_leaf(LEAF._replace(position=number)) for number in range(count)]


def made(count: int = 5, index: int = 3) -> Receipt:
    """Return one receipt of a window."""
    packed = leaves(count)
    return from_json(receipt_of(SIGNER.close(packed, 3, 41, NO_STATEMENT, 1_795_442_400_005_000), packed, index))


RECEIPT = made()
BINARY = to_binary(RECEIPT)
JSON = to_json(RECEIPT)


def step_of(receipt: Any, *, signer: WindowSigner = SIGNER) -> int:
    """Return the step that refuses a receipt."""
    with pytest.raises(VerificationFailed) as caught:
        verify(receipt, signer.verifier)
    assert caught.value.message
    return caught.value.step


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 64, 100])
def test_every_receipt_of_a_window_verifies_in_every_form(count: int) -> None:
    """Object, JSON text, binary: the same receipt, and the leaf that went in."""
    packed = leaves(count)
    signed = SIGNER.close(packed, 3, 41, NO_STATEMENT, 5)
    for index in range(count):
        shown = receipt_of(signed, packed, index)
        for form in (shown, msgspec.json.encode(shown), json.dumps(shown), to_binary(from_json(shown)), from_json(shown)):
            verified = verify(form, SIGNER.verifier)
            assert verified.leaf == parse_leaf(packed[index])
            assert verified.receipt.check == check_id(packed[index]) == signed.leaf_hashes[index][:16].hex()
        assert from_binary(to_binary(from_json(shown))) == from_json(shown)
        assert to_json(from_json(shown)) == shown


@settings(max_examples=600)
@given(st.integers(0, len(BINARY) - 1), st.integers(1, 255))
def test_every_changed_byte_of_the_binary_form_is_refused(at: int, change: int) -> None:
    """Leaf, path, statement, signature, key, index, version: nothing can change unnoticed."""
    wrong = bytearray(BINARY)
    wrong[at] ^= change
    assert step_of(bytes(wrong)) in range(1, 7)


def test_every_bit_of_the_binary_form_counts() -> None:
    """The same without chance: each bit once."""
    for at in range(len(BINARY) * 8):
        wrong = bytearray(BINARY)
        wrong[at // 8] ^= 1 << at % 8
        step_of(bytes(wrong))


@given(st.data())
def test_every_changed_byte_of_a_decoded_json_member_is_refused(data: st.DataObject) -> None:
    """Also the index and the version."""
    name = data.draw(st.sampled_from(["leaf", "path", "statement", "signature", "key"]))
    value = bytearray(getattr(RECEIPT, name))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    wrong = msgspec.structs.replace(RECEIPT, **{name: bytes(value)})
    assert step_of(wrong) == step_of(to_json(wrong))
    index = data.draw(st.integers(-1, 2**33).filter(lambda place: place != RECEIPT.index))
    assert step_of(JSON | {"index": index}) in {1, 4, 5}
    assert step_of(JSON | {"version": data.draw(st.integers(-1, 300).filter(lambda version: version != 1))}) == 1


@given(st.data())
def test_every_changed_character_of_the_json_text_is_refused(data: st.DataObject) -> None:
    """Base64 has spare bits at its end: a second spelling of the same bytes is refused too."""
    name = data.draw(st.sampled_from(["leaf", "path", "statement", "signature", "key"]))
    text = str(JSON[name])
    at = data.draw(st.integers(0, len(text) - 1))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \n_-é"
    other = data.draw(st.sampled_from(alphabet).filter(lambda character: character != text[at]))
    step_of(JSON | {name: text[:at] + other + text[at + 1 :]})


@pytest.mark.parametrize(
    ("member", "value", "step"),
    [
        ("leaf", "", 1),
        ("leaf", "AA==", 1),
        ("path", "AA==", 1),
        ("path", "A" * 1412, 1),
        ("statement", None, 1),
        ("signature", 5, 1),
        ("key", "00000000", 2),
        ("key", "ABCDEF01", 1),
        ("key", "00", 1),
        ("index", 5, 4),
        ("index", 4, 5),
        ("index", "3", 1),
        ("index", True, 1),
        ("path", "", 5),
        ("more", 1, 1),
    ],
)
def test_the_failing_step_is_named(member: str, value: Any, step: int) -> None:
    """Form, key, statement, inclusion."""
    assert step_of(JSON | {member: value}) == step


def test_missing_members_and_other_texts_are_refused_by_the_first_step() -> None:
    """An answer, a list, nothing, half a receipt."""
    for name in JSON:
        assert step_of({key: value for key, value in JSON.items() if key != name}) == 1
    for text in (
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        "\ud800",
        b"\x01",
        BINARY[:-1],
        BINARY + b"\0",
        BINARY[:200],
        b"\x02" + BINARY[1:],
    ):
        assert step_of(text) == 1


def test_a_receipt_of_another_register_is_refused() -> None:
    """The key ID differs (step 2); with a forged key ID the signature does not fit (step 3)."""
    other = WindowSigner(bytes(range(1, 33)))
    assert step_of(RECEIPT, signer=other) == 2
    forged = msgspec.structs.replace(RECEIPT, key=other.signer.key_id)
    assert step_of(forged, signer=other) == 3
    assert verify(RECEIPT, [other.verifier, SIGNER.verifier]).verifier is SIGNER.verifier


def test_a_leaf_of_one_window_does_not_verify_in_another() -> None:
    """Splicing two honest receipts gives none."""
    other = made(6, 2)
    assert step_of(msgspec.structs.replace(RECEIPT, leaf=other.leaf)) == 5
    assert step_of(msgspec.structs.replace(RECEIPT, statement=other.statement)) == 3
    assert step_of(msgspec.structs.replace(RECEIPT, statement=other.statement, signature=other.signature)) == 5


def test_a_signature_over_something_else_does_not_count_as_a_window() -> None:
    """The same key signs checkpoints elsewhere: the prefix keeps the two apart."""
    bare = SIGNER.signer.sign(RECEIPT.statement)
    assert step_of(msgspec.structs.replace(RECEIPT, signature=bare)) == 3
    good = SIGNER.signer.sign(SIGNED_PREFIX + RECEIPT.statement)
    assert good == RECEIPT.signature


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": 0},
        {"outcome": 9},
        {"status": 99},
        {"purpose": 200},
        {"channel": 3},
        {"advice": 1 << 12},
        {"flags": 2},
        {"error": 1},
        {"coverage": 7},
        {"party": bytes(24)},
        {"party": b"a\0b".ljust(24, b"\0")},
        {"party": b"\xff" * 24},
        {"checked_at_us": 2**63},
    ],
)
def test_a_signed_leaf_without_meaning_is_refused(change: dict[str, Any]) -> None:
    """Step 6: the signature is good, but no version of this program means that."""
    packed = [pack_leaf(LEAF._replace(**change))]
    assert step_of(receipt_of(SIGNER.close(packed, 1, 1, NO_STATEMENT, 1), packed, 0)) == 6


def test_a_signed_leaf_of_a_later_version_is_refused() -> None:
    """Step 6, with the advice to use a newer annul."""
    packed = [b"\x02" + pack_leaf(LEAF)[1:]]
    assert step_of(receipt_of(SIGNER.close(packed, 1, 1, NO_STATEMENT, 1), packed, 0)) == 6


def test_a_signed_statement_of_a_later_version_is_refused() -> None:
    """Step 4; so is one that covers no answer, or was closed after the year 9999."""
    empty = pack_statement(1, 1, 0, 1, NO_STATEMENT, NO_STATEMENT)
    never = pack_statement(1, 1, 1, 2**63, NO_STATEMENT, NO_STATEMENT)
    for statement in (b"\x02" + RECEIPT.statement[1:], empty, never):
        signature = SIGNER.signer.sign(SIGNED_PREFIX + statement)
        assert step_of(msgspec.structs.replace(RECEIPT, statement=statement, signature=signature)) == 4


def test_a_receipt_says_in_words_what_was_asked_and_answered() -> None:
    """Who, when, why, what, against which state; and no number."""
    words = explain(RECEIPT)
    assert words == explain(JSON) == explain(BINARY) == explain(verify(RECEIPT, SIGNER.verifier))
    expected = {
        "party": "utopia-bank",
        "realm": "live",
        "purpose": "account-opening",
        "channel": "in_person",
        "scheme": "cn-resident",
        "outcome": "STOP",
        "status": "S10",
        "status_class": "reported",
        "identity": "M9",
        "binding": "B9",
        "freshness": "F0",
        "error": "E00",
        "coverage": "whole_life",
        "advice": ["A6", "A8"],
        "position": 3,
        "checked_at": "2026-11-23T14:00:00.000Z",
        "as_of": "2026-11-23T13:59:59.998Z",
        "closed_at": "2026-11-23T14:00:00.005Z",
        "policy_version": 1,
        "worker": 3,
        "window": 41,
        "index": 3,
        "answers_in_window": 5,
        "check": check_id(RECEIPT.leaf),
        "key": SIGNER.key,
    }
    assert words == expected
    assert msgspec.json.encode(words)


def test_no_answer_has_an_empty_status() -> None:
    """An error is told as an error; nothing is invented for the axes that were not reached."""
    packed = [
        pack_leaf(LEAF._replace(outcome=codes.Outcome.NO_ANSWER.octet, status=0, error=codes.ErrorCode.E90.octet, flags=1))
    ]
    words = explain(verify(receipt_of(SIGNER.close(packed, 1, 1, NO_STATEMENT, 1), packed, 0), SIGNER.verifier))
    assert (words["status"], words["status_class"], words["error"], words["realm"]) == (None, None, "E90", "test")


def test_the_opening_shows_which_document_a_receipt_is_about() -> None:
    """Step 7: with the salt the holder can show it; another document or salt does not fit."""
    verified = verify(RECEIPT, SIGNER.verifier)
    verify_document(verified, SALT, DOCUMENT)
    other = canonical(parse_document(DocumentFields("cn-resident", "11010519491231002X", valid_from="2006-10-06")))
    for salt, identity in ((SALT, other), (bytes(15) + b"x", DOCUMENT), (b"", DOCUMENT)):
        with pytest.raises(VerificationFailed) as caught:
            verify_document(verified, salt, identity)
        assert caught.value.step == 7


def test_the_number_cannot_be_found_in_a_receipt() -> None:
    """Neither in the bytes nor, without the salt, by trying numbers."""
    assert b"110105" not in BINARY
    assert document_commitment(bytes(15) + b"1", DOCUMENT) not in BINARY
    assert document_commitment(SALT, DOCUMENT) != context_commitment(SALT, pack_context("", "", "", "") + pack_text(""))


@given(
    st.tuples(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5)),
    st.data(),
)
def test_contexts_do_not_run_into_each_other(texts: tuple[str, ...], data: st.DataObject) -> None:
    """("ab", "c") and ("a", "bc") commit differently."""
    other = tuple(data.draw(st.permutations(texts)))
    assert (committed(*texts) == committed(*other)) == (texts == other)
    joined = ("".join(texts), "", "", "", "")
    if joined != texts:
        assert committed(*joined) != committed(*texts)


def committed(branch: str, terminal: str, clerk: str, reference: str, holder_name: str) -> bytes:
    """Return the commitment to a context."""
    return context_commitment(SALT, pack_context(branch, terminal, clerk, reference) + pack_text(holder_name))


octets = st.integers(0, 255)


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.text("abcdefghij-.0123456789", min_size=1, max_size=24),
            st.tuples(*[octets] * 10),
            st.integers(0, 65535),
            st.integers(0, 65535),
            st.binary(min_size=16, max_size=16),
            st.binary(max_size=90),
            st.tuples(*[st.text(max_size=60)] * 5),
        ),
        min_size=1,
        max_size=5,
    ),
    st.tuples(*[st.integers(0, 2**64 - 1)] * 3),
)
def test_the_quick_writer_writes_what_the_plain_one_specifies(rows: list[Any], times: tuple[int, int, int]) -> None:
    """`write_leaves` puts leaves together from parts; each is `pack_leaf` of the same fields, in both realms."""
    checked_at_us, position, as_of_us = times
    parts, plain = [], []
    for test, party, octet_row, advice, version, salt, identity, texts in rows:
        context = pack_context(*texts[:4]) + pack_text(texts[4])
        parts.append((test, pack_middle(party, octet_row, advice, version), salt, identity, context))
        leaf = Leaf(
            int(test),
            checked_at_us,
            position,
            as_of_us,
            party_bytes(party),
            *octet_row,
            advice,
            version,
            document_commitment(salt, identity),
            context_commitment(salt, context),
        )
        plain.append(pack_leaf(leaf))
    assert write_leaves(checked_at_us, position, as_of_us, parts) == plain


@given(st.integers(1, 9), st.data())
def test_the_quick_json_is_the_plain_one(count: int, data: st.DataObject) -> None:
    """The pattern of a window, filled, is the JSON of `receipt_json` to the byte."""
    packed = leaves(count)
    signed = SIGNER.close(packed, 3, 41, NO_STATEMENT, 5)
    index = data.draw(st.integers(0, count - 1))
    encode = base64.b64encode
    shape = json_shape(signed.statement, signed.signature, signed.key)
    filled = shape % (encode(packed[index]), index, encode(signed.paths[index]))
    assert filled == msgspec.json.encode(receipt_of(signed, packed, index))


def test_windows_are_linked_and_verified_whole() -> None:
    """The check log's own recipe: signature, count, root; and the chain of statements."""
    packed = leaves(9)
    first = SIGNER.close(packed, 3, 0, NO_STATEMENT, 1)
    second = SIGNER.close(packed, 3, 1, first.statement_hash, 2)
    statement = verify_window(second.statement, second.signature, packed, SIGNER.verifier)
    assert statement.previous == statement_hash(first.statement) == first.statement_hash
    assert (statement.worker, statement.window, statement.count) == (3, 1, 9)
    for signature, kept, step in (
        (first.signature, packed, 3),
        (second.signature, packed[:-1], 4),
        (second.signature, [packed[1], packed[0], *packed[2:]], 5),
    ):
        with pytest.raises(VerificationFailed) as caught:
            verify_window(second.statement, signature, kept, [SIGNER.verifier])
        assert caught.value.step == step


def test_lengths_are_those_of_the_format() -> None:
    """docs/formats/receipt.md: 128 and 87 bytes."""
    assert (LEAF_BYTES, STATEMENT_BYTES) == (128, 87)
    assert parse_leaf(pack_leaf(LEAF)) == LEAF
    statement = Statement(65535, 2**64 - 1, 2**32 - 1, 2**57, b"p" * 32, b"r" * 32)
    assert parse_statement(pack_statement(*msgspec.structs.astuple(statement))) == statement
    for parse, data in ((parse_leaf, bytes(127)), (parse_statement, bytes(88))):
        with pytest.raises(VerificationFailed):
            parse(data)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["", "a" * 25, "a b", "bänk", "a\n"])
def test_party_names_are_short_and_printable(name: str) -> None:
    """A name in a receipt is read by people and padded with zeros."""
    with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError is one
        party_bytes(name)


def test_schemes_in_receipts_are_those_of_the_register() -> None:
    """The number of a scheme is told by its name, 0 by none, and one that is not known as unknown."""
    from annul.records.scheme import SCHEME_OF_CODE

    told = {0: None, 31: "unknown"} | {code: scheme.name for code, scheme in SCHEME_OF_CODE.items()}
    for code, name in told.items():
        packed = [pack_leaf(LEAF._replace(scheme=code))]
        words = explain(receipt_of(SIGNER.close(packed, 1, 1, NO_STATEMENT, 1), packed, 0))
        assert words["scheme"] == name


def test_a_signer_may_be_given_whole() -> None:
    """The key file hands out signers."""
    signer = Signer("annul/receipts", bytes(range(32)))
    assert WindowSigner(signer).key == SIGNER.key


@pytest.mark.parametrize("salt", [SALT[:15], SALT + b"\0", b"", SALT * 2])
def test_an_opening_has_sixteen_bytes(salt: bytes) -> None:
    """Step 7, although the commitment was made with that very salt: other lengths could be cut in two ways."""
    packed = [pack_leaf(LEAF._replace(document=document_commitment(salt, DOCUMENT)))]
    verified = verify(receipt_of(SIGNER.close(packed, 1, 1, NO_STATEMENT, 1), packed, 0), SIGNER.verifier)
    with pytest.raises(VerificationFailed) as caught:
        verify_document(verified, salt, DOCUMENT)
    assert caught.value.step == 7


@pytest.mark.parametrize(("hashes", "step"), [(32, 5), (33, 1)])
def test_a_path_has_thirty_two_hashes_at_most(hashes: int, step: int) -> None:
    """The longest there can be is read and does not lead to the root; one more, or a part of one, is no receipt."""
    assert step_of(msgspec.structs.replace(RECEIPT, path=bytes(32 * hashes))) == step
    assert step_of(msgspec.structs.replace(RECEIPT, path=bytes(32 * hashes - 1))) == 1


@pytest.mark.parametrize("member", ["as_of_us", "checked_at_us"])
def test_times_end_with_the_year_9999(member: str) -> None:
    """The last microsecond of it is told; the year 10000 is step 6."""
    last = 253_402_300_799_999_999
    for at_us, good in ((last, True), (last + 1, False)):
        packed = [pack_leaf(LEAF._replace(**{member: at_us}))]
        receipt = receipt_of(SIGNER.close(packed, 1, 1, NO_STATEMENT, 1), packed, 0)
        if good:
            told = explain(verify(receipt, SIGNER.verifier))
            assert told[member.removesuffix("_us")] == "9999-12-31T23:59:59.999Z"
        else:
            assert step_of(receipt) == 6


@pytest.mark.parametrize("member", ["purpose", "channel", "status", "identity", "binding", "freshness"])
def test_an_axis_that_was_not_reached_says_nothing(member: str) -> None:
    """0 stands for none: told as nothing, never as the mildest code of the axis, and every other axis as it is."""
    packed = [pack_leaf(LEAF._replace(**{member: 0}))]
    words = explain(verify(receipt_of(SIGNER.close(packed, 1, 1, NO_STATEMENT, 1), packed, 0), SIGNER.verifier))
    whole = explain(RECEIPT)
    assert words[member] is None
    axes = {"purpose", "channel", "outcome", "status", "identity", "binding", "freshness", "error", "coverage"}
    assert all(words[axis] == whole[axis] for axis in axes - {member})


def test_a_passport_has_one_identity_with_its_start_of_validity_and_without() -> None:
    """Its number says which it is: the receipt of either question is about the same document. A resident card's does not."""
    passports, cards = (
        [canonical(parse_document(DocumentFields(**fields, valid_from=since))) for since in (None, "2016-10-06", "2017-10-06")]
        for fields in (
            {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": "L898902C3"},
            {"scheme": "cn-resident", "number": "11010519491231002X"},
        )
    )
    assert len(set(passports)) == 1
    assert len(set(cards)) == 3
