"""Keys, notes and checkpoints: published vectors and attacks.

Vectors: tests/vectors/rfc8032.json, tests/vectors/c2sp.json.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import BadInput, VerificationFailed
from annul.proof.checkpoint import (
    Signer,
    Verifier,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    sign_checkpoint,
    sign_note,
)

VECTORS = Path(__file__).parents[1] / "vectors"
C2SP = json.loads((VECTORS / "c2sp.json").read_text())
RFC8032 = json.loads((VECTORS / "rfc8032.json").read_text())["ed25519"]
SIGNER = Signer("example.com/log", bytes(range(32)))
OTHER = Signer("example.com/other", bytes(range(1, 33)))
NOTE = sign_checkpoint("example.com/log", 7, bytes(32), SIGNER)


def step_of(note: bytes, *verifiers: Verifier, origin: str | None = None) -> int:
    """Return the step that refuses a note."""
    with pytest.raises(VerificationFailed) as caught:
        open_checkpoint(note, verifiers, origin)
    return caught.value.step


@pytest.mark.parametrize("vector", RFC8032)
def test_signatures_are_those_of_rfc_8032(vector: dict[str, str]) -> None:
    """Section 7.1: key, signature, verification, and a refusal."""
    signer = Signer("rfc8032", bytes.fromhex(vector["secret"]))
    message, signature = bytes.fromhex(vector["message"]), bytes.fromhex(vector["signature"])
    assert signer.verifier.public_key.hex() == vector["public"]
    assert signer.sign(message) == signature
    assert signer.verifier.verify(message, signature)
    assert not signer.verifier.verify(message + b"x", signature)
    assert not signer.verifier.verify(message, signature[:-1])


@pytest.mark.parametrize("vector", C2SP["notes"], ids=lambda vector: vector["vkey"].split("+")[0])
def test_notes_of_other_implementations_open(vector: dict[str, str]) -> None:
    """Go's sumdb/note, the specification's example, a real checkpoint of sum.golang.org."""
    verifier = Verifier.parse(vector["vkey"])
    assert verifier.vkey == vector["vkey"]
    assert open_note(vector["note"].encode(), [verifier]) == vector["text"].encode()


def test_our_notes_are_byte_for_byte_those_of_go() -> None:
    """Ed25519 is deterministic, so Go's example note must come out of our signer."""
    name, _, key = C2SP["signer"]["signer_key"].removeprefix("PRIVATE+KEY+").split("+", 2)
    signer = Signer(name, base64.b64decode(key)[1:])
    first = C2SP["notes"][0]
    assert signer.vkey == first["vkey"]
    assert sign_note(first["text"].encode(), signer) == first["note"].encode()


def test_checkpoints_of_the_specification_are_read() -> None:
    """c2sp.org/tlog-checkpoint's example text; extension lines are kept."""
    vector = C2SP["checkpoint"]
    checkpoint = parse_checkpoint(vector["text"].encode())
    assert (checkpoint.origin, checkpoint.size) == (vector["origin"], vector["size"])
    assert checkpoint.body() == vector["text"].encode()
    assert parse_checkpoint((vector["text"] + "more\n").encode()).extensions == ("more",)
    real = next(note for note in C2SP["notes"] if "golang" in note["vkey"])
    assert open_checkpoint(real["note"].encode(), [Verifier.parse(real["vkey"])]).size == 6476701


def test_unknown_signatures_are_passed_over() -> None:
    """A witness we do not know does not spoil a note, and does not vouch for it."""
    note = sign_note(b"text\n", OTHER, SIGNER)
    assert open_note(note, [SIGNER.verifier]) == b"text\n"
    assert open_note(note, [OTHER.verifier, SIGNER.verifier]) == b"text\n"
    assert step_of(sign_checkpoint("o", 1, bytes(32), OTHER), SIGNER.verifier) == 3
    assert step_of(NOTE) == 3


def test_a_wrong_signature_of_a_known_key_refuses_the_note() -> None:
    """Even when another known key signed well."""
    good, forged = sign_note(b"text\n", SIGNER), sign_note(b"next\n", OTHER)
    mixed = good + forged[len(b"next\n\n") :]
    with pytest.raises(VerificationFailed) as caught:
        open_note(mixed, [SIGNER.verifier, OTHER.verifier])
    assert caught.value.step == 2
    assert open_note(mixed, [SIGNER.verifier]) == b"text\n"


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_every_changed_byte_of_a_checkpoint_is_refused(at: int, change: int) -> None:
    """No byte of a signed checkpoint can change unnoticed."""
    wrong = bytearray(NOTE)
    wrong[at] ^= change
    assert step_of(bytes(wrong), SIGNER.verifier) in {1, 2, 3, 4}


def test_the_checkpoint_of_another_log_is_refused() -> None:
    """One key may sign two logs: the origin tells them apart."""
    assert step_of(NOTE, SIGNER.verifier, origin="example.com/other") == 5
    assert open_checkpoint(NOTE, [SIGNER.verifier], "example.com/log").size == 7


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"a\n1\n",
        b"a\n01\n" + base64.b64encode(bytes(32)) + b"\n",
        b"a\n-1\n" + base64.b64encode(bytes(32)) + b"\n",
        b"a\n1\n" + base64.b64encode(bytes(31)) + b"\n",
        b"\n1\n" + base64.b64encode(bytes(32)) + b"\n",
        b"a\n1\n" + base64.b64encode(bytes(32)) + b"\n\n",
        b"a\n1\n" + base64.b64encode(bytes(32)),
    ],
)
def test_a_note_that_is_no_checkpoint_is_refused(text: bytes) -> None:
    """Missing lines, leading zeros, negative sizes, short roots, empty lines."""
    with pytest.raises(VerificationFailed) as caught:
        parse_checkpoint(text)
    assert caught.value.step == 4


@pytest.mark.parametrize(
    "note", [b"", b"text\n", b"text\n\n", b"\xff\n\n", b"a\tb\n\n" + NOTE.split(b"\n\n")[1], NOTE[:-1], NOTE + b"x\n"]
)
def test_bytes_that_are_no_note_are_refused(note: bytes) -> None:
    """Form comes first."""
    assert step_of(note, SIGNER.verifier) == 1


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000+AAAA",
        SIGNER.vkey[:-4],
        SIGNER.vkey.replace("example", "exemple"),
        SIGNER.vkey.replace("+", "-", 1),
        "x y+00000000+" + SIGNER.vkey.split("+", 2)[2],
        SIGNER.vkey + "=",
    ],
)
def test_a_broken_public_key_is_refused(vkey: str) -> None:
    """A mistyped key line never becomes another key."""
    with pytest.raises(BadInput):
        Verifier.parse(vkey)


def test_unsignable_texts_are_refused() -> None:
    """No newline at the end, control characters, no signer, a wrong root."""
    for text in (b"text", b"a\rb\n", b"\xff\n"):
        with pytest.raises(BadInput):
            sign_note(text, SIGNER)
    arguments: list[tuple[Any, ...]] = [("", 1, bytes(32)), ("a\nb", 1, bytes(32)), ("a", -1, bytes(32)), ("a", 1, bytes(31))]
    for case in arguments:
        with pytest.raises(BadInput):
            sign_checkpoint(*case, SIGNER)
    with pytest.raises(BadInput):
        sign_note(b"text\n")
    with pytest.raises(ValueError, match="32 bytes"):
        Signer("name", b"short")


def test_keys_show_no_secret() -> None:
    """Representations carry name and key ID only."""
    assert repr(SIGNER) == f"Signer(example.com/log+{SIGNER.key_id.hex()})"
    assert SIGNER.verifier.public_key.hex() not in repr(SIGNER.verifier)
