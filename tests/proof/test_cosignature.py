"""Cosignatures of both kinds: the bytes of the standard, made and verified here and by the verifier that shares no code."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.proof.verifier import ask

from annul.client.logs import open_sealed
from annul.errors import BadInput, VerificationFailed
from annul.proof.checkpoint import Checkpoint, Signer, open_checkpoint, sign_checkpoint, split_note
from annul.proof.cosignature import ED25519, ML_DSA_44, Cosigner, WitnessKey, cosignatures, known_lines

LOG = Signer("annul-0123456789ab/register", bytes(range(32)))
WITNESS = Cosigner("witness.example.org/w1", bytes(range(1, 33)), bytes(range(2, 34)))
OTHER = Cosigner("witness.example.org/w2", bytes(range(3, 35)), bytes(range(4, 36)))
AT_S = 1_795_442_400
ROOT = hashlib.sha256(b"root").digest()
NOTE = sign_checkpoint(LOG.name, 20_852_163, ROOT, LOG)
TEXT = split_note(NOTE)[0]
COSIGNED = NOTE + WITNESS.cosign(TEXT, AT_S)
KEYS = "\n".join(key.vkey for key in WITNESS.keys)


def test_the_signed_bytes_are_those_of_the_standard() -> None:
    """Both messages put together by hand, both signatures verified by another library, both key IDs computed by hand."""
    (_, ed25519), (_, ml_dsa) = split_note(COSIGNED)[1][1:]
    for kind, blob, key in ((4, ed25519, WITNESS.keys[0]), (6, ml_dsa, WITNESS.keys[1])):
        hashed = hashlib.sha256(b"witness.example.org/w1\n" + bytes([kind]) + key.public_key).digest()
        assert blob[:4] == hashed[:4] == key.key_id
        assert int.from_bytes(blob[4:12], "big") == AT_S
    assert (len(ed25519), len(ml_dsa)) == (4 + 8 + 64, 4 + 8 + 2420)
    first = b"cosignature/v1\ntime 1795442400\nannul-0123456789ab/register\n20852163\n" + base64.b64encode(ROOT) + b"\n"
    Ed25519PublicKey.from_public_bytes(WITNESS.keys[0].public_key).verify(ed25519[12:], first)
    name, origin = b"witness.example.org/w1", LOG.name.encode()
    second = b"subtree/v1\n\0" + bytes([len(name)]) + name + AT_S.to_bytes(8, "big") + bytes([len(origin)]) + origin
    second += (0).to_bytes(8, "big") + (20_852_163).to_bytes(8, "big") + ROOT
    MLDSA44PublicKey.from_public_bytes(WITNESS.keys[1].public_key).verify(ml_dsa[12:], second)


def test_cosignatures_of_known_witnesses_are_told_with_their_time() -> None:
    """Others are passed over; the checkpoint opens as before."""
    found = cosignatures(COSIGNED + OTHER.cosign(TEXT, AT_S), WITNESS.keys)
    assert [(each.name, each.kind, each.at_s) for each in found] == [
        ("witness.example.org/w1", ED25519, AT_S),
        ("witness.example.org/w1", ML_DSA_44, AT_S),
    ]
    assert open_checkpoint(COSIGNED, [LOG.verifier]) == Checkpoint(LOG.name, 20_852_163, ROOT)
    assert cosignatures(NOTE, WITNESS.keys) == []


def test_keys_are_read_as_they_are_shown() -> None:
    """Both kinds; the key of a log, a changed hash, another length or spelling is none."""
    for key in WITNESS.keys:
        assert WitnessKey.parse(key.vkey).vkey == key.vkey
        name, hashed, encoded = key.vkey.split("+", 2)
        wrong = (
            LOG.vkey,
            f"{name}+00000000+{encoded}",
            f"{name}x+{hashed}+{encoded}",
            f"{name}+{hashed}+",
            key.vkey[:-4],
            f"{name}+{hashed}+{encoded} x",
            "",
            "a b+1+AA==",
        )
        for vkey in wrong:
            with pytest.raises(BadInput):
                WitnessKey.parse(vkey)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_cosignature_is_refused(data: st.DataObject) -> None:
    """Any bit of time or signature, in both kinds, over any other size or root."""
    which = data.draw(st.sampled_from([1, 2]))
    name, blob = split_note(COSIGNED)[1][which]
    changed = bytearray(blob)
    changed[data.draw(st.integers(4, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    line = f"— {name} {base64.b64encode(changed).decode()}\n".encode()
    larger = sign_checkpoint(LOG.name, 20_852_164, ROOT, LOG) + f"— {name} {base64.b64encode(blob).decode()}\n".encode()
    for note in (NOTE + line, larger):
        with pytest.raises(VerificationFailed) as caught:
            cosignatures(note, WITNESS.keys)
        assert caught.value.step == 2


def test_an_answer_is_kept_line_by_line() -> None:
    """Good lines of known keys stay; junk, other witnesses and cosignatures of another checkpoint go."""
    good = WITNESS.cosign(TEXT, AT_S)
    other = WITNESS.cosign(split_note(sign_checkpoint(LOG.name, 1, ROOT, LOG))[0], AT_S)
    answer = b"junk\n" + good + OTHER.cosign(TEXT, AT_S) + other + "— x\n".encode() + b"\xff\n\n"
    assert known_lines(answer, NOTE, WITNESS.keys) == good
    for bad in (b"", other, OTHER.cosign(TEXT, AT_S), b"\n\n"):
        with pytest.raises(VerificationFailed):
            known_lines(bad, NOTE, WITNESS.keys)


def test_a_quorum_counts_witnesses_not_lines() -> None:
    """Two lines of one witness are one; the step is 7."""
    both = [*WITNESS.keys, *OTHER.keys]
    open_sealed(COSIGNED, [LOG.verifier], both, 1)
    open_sealed(COSIGNED + OTHER.cosign(TEXT, AT_S), [LOG.verifier], both, 2)
    with pytest.raises(VerificationFailed) as caught:
        open_sealed(COSIGNED, [LOG.verifier], both, 2)
    assert caught.value.step == 7


def test_the_verifier_for_outsiders_comes_to_the_same_verdict() -> None:
    """Genuine cosignatures with their quorum, and changed ones, of both kinds."""
    questions = [["checkpoint", LOG.vkey, COSIGNED.decode(), KEYS, quorum] for quorum in (0, 1, 2)]
    questions.append(["checkpoint", LOG.vkey, NOTE.decode(), KEYS, 1])
    _, *blobs = split_note(COSIGNED)[1]
    for name, blob in blobs:
        for at in (4, 11, 12, 60, len(blob) - 1):
            changed = bytearray(blob)
            changed[at] ^= 1
            line = f"— {name} {base64.b64encode(changed).decode()}\n"
            questions.append(["checkpoint", LOG.vkey, NOTE.decode() + line, KEYS, 0])
    answers = ask(questions)
    for quorum in (0, 1):
        assert answers[quorum]["proved"]["witnesses"] == [{"name": "witness.example.org/w1", "at": AT_S}]
    assert [answer.get("step") for answer in answers[2:]] == [7, 7, *[2] * 10]
