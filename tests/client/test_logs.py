"""Logs followed from outside: entries proved, growth proved, and every way of cheating refused by its step."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.client.logs import open_sealed, verify_entry, verify_grown
from annul.errors import VerificationFailed
from annul.proof.checkpoint import Checkpoint, Signer, sign_checkpoint
from annul.proof.merkle import consistency_proof, inclusion_path, leaf_hash, root

KEY = Signer("annul/register", bytes(range(32)))
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(70)]


def texts(hashes: list[bytes]) -> list[str]:
    """Return hashes as they come over the wire."""
    return [base64.b64encode(each).decode() for each in hashes]


def sealed(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    """Return a verified checkpoint over the first leaves."""
    return open_sealed(sign_checkpoint(KEY.name, size, root(leaves[:size]), KEY), [KEY.verifier])


def refused(step: int, *given: object, verify: object = verify_grown) -> str:
    """Assert that a step refuses; returns its words."""
    with pytest.raises(VerificationFailed) as caught:
        verify(*given)  # type: ignore[operator]
    assert caught.value.step == step
    return caught.value.message


@given(st.integers(1, 70), st.data())
def test_an_entry_is_proved_at_its_place_only(size: int, data: st.DataObject) -> None:
    """The path of one entry is of no other entry, and of no other size."""
    index = data.draw(st.integers(0, size - 1))
    path = texts(inclusion_path(LEAVES[:size], index))
    (leaf,) = texts([LEAVES[index]])
    verify_entry(sealed(size), index, leaf, path)
    refused(6, sealed(size), index, texts([leaf_hash(b"other")])[0], path, verify=verify_entry)
    refused(6, sealed(size), size, leaf, path, verify=verify_entry)
    refused(6, sealed(size), index, leaf, [*path, "AA=="], verify=verify_entry)
    refused(6, sealed(size), index, leaf, [*path, "no hash"], verify=verify_entry)


@given(st.integers(0, 70), st.data())
def test_a_log_that_only_grew_is_told_from_one_that_did_not(new: int, data: st.DataObject) -> None:
    """Every pair of sizes; a changed past, a shorter log and a fork are told apart in words."""
    old = data.draw(st.integers(0, new))
    proof = texts(consistency_proof(LEAVES[:new], old)) if 0 < old < new else []
    verify_grown(sealed(old), sealed(new), proof)
    if old:
        changed = [leaf_hash(b"changed"), *LEAVES[1:]]
        refused(6, sealed(old), sealed(new, changed), texts(consistency_proof(changed[:new], old)) if old < new else [])
    if old < new:
        assert "shorter" in refused(6, sealed(new), sealed(old), proof)


def test_a_fork_is_named() -> None:
    """Two signed checkpoints of one size with two roots: the words say what they are evidence of."""
    assert "forked" in refused(6, sealed(9), sealed(9, [leaf_hash(b"x")] * 9), [])


def test_the_origin_is_the_name_of_the_trusted_key() -> None:
    """A trusted key that signs a checkpoint of another origin proves nothing of this log; two logs are never compared."""
    other = sign_checkpoint("annul/checks", 3, root(LEAVES[:3]), KEY)
    refused(5, other, [KEY.verifier], verify=open_sealed)
    refused(3, other, [Signer("annul/register", bytes(32)).verifier], verify=open_sealed)
    second = Signer("annul/checks", bytes(32))
    checks = open_sealed(sign_checkpoint(second.name, 3, root(LEAVES[:3]), second), [second.verifier])
    refused(5, sealed(3), checks, [])
