"""The record of a comparison: canonical, signed elsewhere, without the sample."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from annul.errors import BadInput, UnknownVersion
from annul.likeness import Comparison, Result, evidence

SALT = bytes(range(16))
CHECK = "ab" * 16


def comparison(score: float = 12.345678901) -> Comparison:
    return Comparison(
        "finger",
        Result.MATCH,
        ("alike",),
        score,
        4.2,
        1e-3,
        "minutiae-own",
        {"enrolled-1": score},
        {"live": {"minutiae": 40.0}},
        {"matcher": "1"},
        "finger-x 00ff",
        (),
        True,
    )


def signed(key: SigningKey, sample: bytes = b"sample") -> evidence.Signed:
    lines = [evidence.line(comparison(), {"live": evidence.commit(sample, SALT)})]
    return evidence.record(
        lines, check=CHECK, compared_at_us=1, device_class="counter-scanner", sign=lambda data: key.sign(data).signature
    )


def test_the_record_is_signed_over_its_canonical_bytes() -> None:
    """Who has the public key alone can verify and read it."""
    key = SigningKey(bytes(32))
    made = signed(key)
    key.verify_key.verify(made.statement, made.signature)
    read = evidence.decode(made.statement)
    assert read.check == CHECK
    assert read.lines[0].score == 12_345_679
    assert read.lines[0].claimed_fmr_ppb == 1_000_000


def test_the_record_holds_no_sample_and_no_hash_of_it_alone() -> None:
    """Only the salted commitment is there: without the salt the sample cannot be recognised."""
    import hashlib

    made = signed(SigningKey(bytes(32)), b"the very sample")
    assert b"the very sample" not in made.statement
    assert hashlib.sha256(b"the very sample").hexdigest().encode() not in made.statement
    assert evidence.commit(b"the very sample", SALT) in made.statement.decode()
    assert evidence.commit(b"s", SALT) != evidence.commit(b"s", bytes(16))


@given(st.floats(-1e6, 1e6), st.text(max_size=20))
def test_encode_and_decode_are_inverse(score: float, name: str) -> None:
    """Any scores and version names read back as the same record and the same bytes."""
    made = msgspec.structs.replace(comparison(score), algorithms={"b": name, "a": name})
    found = evidence.Record(check=CHECK, compared_at_us=5, device_class="mobile", lines=(evidence.line(made, {}),))
    assert evidence.decode(evidence.encode(found)) == found
    assert evidence.encode(evidence.decode(evidence.encode(found))) == evidence.encode(found)


def test_anything_but_the_canonical_form_is_refused() -> None:
    """Other spacing, order, members or version: two byte strings never mean the same record."""
    statement = signed(SigningKey(bytes(32))).statement
    for changed in (
        statement + b" ",
        statement.replace(b",", b", ", 1),
        statement[:-1],
        statement.replace(b'"check"', b'"Check"'),
    ):
        with pytest.raises(BadInput):
            evidence.decode(changed)
    with pytest.raises(UnknownVersion):
        evidence.decode(statement.replace(b" v1\n", b" v2\n"))


@pytest.mark.parametrize("salt", [b"", bytes(15), bytes(32)])
def test_a_salt_of_another_length_is_refused(salt: bytes) -> None:
    """A weak salt would let a portrait be recognised."""
    with pytest.raises(BadInput):
        evidence.commit(b"s", salt)


def test_a_malformed_check_name_is_refused_before_signing() -> None:
    """Nothing that cannot be bound to a receipt is signed."""

    def never(_: bytes) -> bytes:
        raise AssertionError

    lines = [evidence.line(comparison(), {})]
    with pytest.raises(BadInput):
        evidence.record(lines, check="not hex", compared_at_us=1, device_class="mobile", sign=never)
