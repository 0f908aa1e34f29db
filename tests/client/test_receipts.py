"""Receipts at the relying party: verified with the public key alone, refused when anything was changed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.client import TrustedKeys, verify_receipt
from annul.errors import BadInput, NotFound, VerificationFailed
from annul.proof.checkpoint import Signer
from annul.proof.leaf import Leaf, pack_leaf, party_bytes
from annul.proof.receipt import from_json, receipt_json, to_binary
from annul.proof.window import NO_STATEMENT, WindowSigner
from annul.proof.words import explain
from annul.records.codes import (
    Advice,
    BindingCode,
    Channel,
    Coverage,
    FreshnessCode,
    IdentityCode,
    Outcome,
    Purpose,
    StatusCode,
    advice_mask,
)

SIGNER = Signer("annul/receipts", bytes(range(32)))
KEYS = TrustedKeys.parse(SIGNER.vkey)


def make_receipt() -> dict[str, Any]:
    """Sign a window of three answers and return the receipt of the second."""
    leaf = pack_leaf(
        Leaf(
            0,
            1_795_000_000_000_000,
            1234,
            1_794_999_999_900_000,
            party_bytes("first-bank"),
            Purpose.account_opening.octet,
            Channel.in_person.octet,
            1,
            Outcome.STOP.octet,
            StatusCode.S10.octet,
            IdentityCode.M9.octet,
            BindingCode.B9.octet,
            FreshnessCode.F0.octet,
            0,
            Coverage.whole_life.octet,
            advice_mask([Advice.A6, Advice.A8]),
            1,
            bytes(32),
            bytes(32),
        )
    )
    leaves = [leaf[:-1] + bytes([n]) for n in range(3)]
    window = WindowSigner(SIGNER).close(leaves, 0, 5, NO_STATEMENT, 1_795_000_000_001_000)
    return receipt_json(leaves[1], 1, window.paths[1], window.statement, window.signature, window.key)


RECEIPT = make_receipt()
BINARY = to_binary(from_json(RECEIPT))


def whole_answer() -> dict[str, Any]:
    """Return the answer the receipt came with."""
    words = explain(RECEIPT)
    return {
        "outcome": words["outcome"],
        "status": {"code": words["status"], "class": words["status_class"], "coverage": "whole_life"},
        "identity": {"code": "M9"},
        "binding": {"code": "B9"},
        "freshness": {"code": "F0", "position": words["position"], "as_of": words["as_of"]},
        "advice": words["advice"],
        "check": words["check"],
        "receipt": RECEIPT,
    }


@pytest.mark.parametrize(
    "data", [BINARY, json.dumps(RECEIPT).encode(), RECEIPT, json.dumps(whole_answer()).encode(), whole_answer()]
)
def test_a_receipt_verifies_in_every_form(data: Any) -> None:
    """Alone or inside its answer, JSON or binary: it says who asked, when, and what the answer was."""
    words = verify_receipt(data, KEYS)
    assert (words["party"], words["outcome"], words["status"], words["position"]) == ("first-bank", "STOP", "S10", 1234)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(BINARY) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(place: int, change: int) -> None:
    """One flipped byte anywhere fails a step of the recipe."""
    changed = bytearray(BINARY)
    changed[place] ^= change
    with pytest.raises(VerificationFailed) as caught:
        verify_receipt(bytes(changed), KEYS)
    assert 1 <= caught.value.step <= 6


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("outcome",), "PASS"),
        (("status", "code"), "V00"),
        (("status", "class"), "no_listing"),
        (("freshness", "position"), 1235),
        (("freshness", "as_of"), "2026-11-23T14:03:22.000Z"),
        (("advice",), ["A9"]),
        (("check",), "00" * 16),
        (("identity",), None),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_an_answer_that_says_otherwise_than_its_receipt_is_refused(path: tuple[str, ...], value: Any) -> None:
    """A forged answer around a true receipt does not verify."""
    answer = json.loads(json.dumps(whole_answer()))
    inner = answer
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(VerificationFailed) as caught:
        verify_receipt(answer, KEYS)
    assert caught.value.step == 6


def test_another_registers_key_is_not_trusted() -> None:
    """Step 2 fails; a key for logs does not verify receipts either."""
    for other in (Signer("annul/receipts", bytes(32)), Signer("annul/register", bytes(range(32)))):
        with pytest.raises(VerificationFailed) as caught:
            verify_receipt(RECEIPT, TrustedKeys.parse(other.vkey))
        assert caught.value.step == 2


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"receipt": 3}', b'{"receipt": {}}', base64.b64encode(BINARY)]
)
def test_what_is_no_receipt_fails_the_first_step(data: bytes) -> None:
    """Rubbish is refused, never raised through."""
    with pytest.raises(VerificationFailed) as caught:
        verify_receipt(data, KEYS)
    assert caught.value.step == 1


def test_key_files_are_read_strictly(tmp_path: Path) -> None:
    """A missing, empty or damaged key file is named."""
    with pytest.raises(NotFound):
        TrustedKeys.read(tmp_path / "annul.pub")
    for text in ("", "no key", SIGNER.vkey[:-2]):
        (tmp_path / "annul.pub").write_text(text)
        with pytest.raises(BadInput):
            TrustedKeys.read(tmp_path / "annul.pub")
