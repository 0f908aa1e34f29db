"""Trees: published vectors, an independent oracle (pymerkle), and properties.

Vectors: tests/vectors/rfc6962.json.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from annul.errors import VerificationFailed
from annul.proof.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    consistency_ranges,
    inclusion_path,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
    window,
)

RFC = json.loads((Path(__file__).parents[1] / "vectors" / "rfc6962.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(text)) for text in RFC["inputs"]]


def some(count: int) -> list[bytes]:
    """Return different leaf hashes."""
    return [leaf_hash(b"%d" % number) for number in range(count)]


def split(path: bytes) -> list[bytes]:
    """Return the hashes of a concatenated path."""
    return [path[at : at + 32] for at in range(0, len(path), 32)]


def mth(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word by word: the slow definition."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(mth(leaves[:k]), mth(leaves[k:]))


def test_roots_are_those_of_certificate_transparency() -> None:
    """Every size from 0 to 8."""
    assert EMPTY_ROOT.hex() == RFC["empty_root"]
    assert root([]) == EMPTY_ROOT
    for size, expected in enumerate(RFC["roots"], 1):
        assert root(LEAVES[:size]).hex() == expected
        assert window(LEAVES[:size])[0].hex() == expected


def test_paths_and_proofs_are_those_of_certificate_transparency() -> None:
    """Inclusion and consistency vectors, made and verified."""
    for vector in RFC["inclusion"]:
        leaves = LEAVES[: vector["size"]]
        path = inclusion_path(leaves, vector["index"])
        assert [value.hex() for value in path] == vector["path"]
        assert b"".join(path) == window(leaves)[1][vector["index"]]
        verify_inclusion(root(leaves), vector["size"], vector["index"], leaves[vector["index"]], path)
    for vector in RFC["consistency"]:
        proof = [bytes.fromhex(text) for text in vector["proof"]]
        assert consistency_proof(LEAVES[: vector["new"]], vector["old"]) == proof
        roots = [root(LEAVES[: vector[name]]) for name in ("old", "new")]
        verify_consistency(roots[0], vector["old"], roots[1], vector["new"], proof)


@pytest.mark.parametrize("size", [*range(1, 35), 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 1000, 1024])
def test_a_window_is_the_tree_of_the_standard(size: int) -> None:
    """Root and all paths at once equal the slow definition, for every shape near a power of two."""
    leaves = some(size)
    top, paths = window(leaves)
    assert top == mth(leaves) == root(leaves)
    assert len(paths) == size
    for index in range(0, size, max(1, size // 40)):
        assert split(paths[index]) == inclusion_path(leaves, index)
    for index, path in enumerate(paths):
        verify_inclusion(top, size, index, leaves[index], split(path))


def test_an_independent_implementation_agrees() -> None:
    """pymerkle: roots of all sizes, inclusion and consistency proofs."""
    oracle = InmemoryTree(algorithm="sha256")
    data = [b"entry %d" % number for number in range(50)]
    for entry in data:
        oracle.append_entry(entry)
    leaves = [leaf_hash(entry) for entry in data]
    for size in range(1, 51):
        assert oracle.get_root(size) == root(leaves[:size])
        for index in range(0, size, 7):
            theirs = oracle.prove_inclusion(index + 1, size).serialize()["path"]
            assert [bytes.fromhex(text) for text in theirs][1:] == inclusion_path(leaves[:size], index)


def refused(verify: Callable[..., None], *given: Any) -> None:
    """Assert that a proof is refused, by the step of proofs in the recipe of logs."""
    with pytest.raises(VerificationFailed) as caught:
        verify(*given)
    assert caught.value.step == 6


@given(st.integers(1, 300), st.data())
def test_no_other_leaf_place_size_or_path_verifies(size: int, data: st.DataObject) -> None:
    """One leaf, one place, one path: everything else is refused."""
    leaves = some(size)
    top, paths = window(leaves)
    index = data.draw(st.integers(0, size - 1))
    path = split(paths[index])
    other = data.draw(st.integers(-1, size).filter(lambda place: place != index))
    refused(verify_inclusion, top, size, other, leaves[index], path)
    refused(verify_inclusion, top, size, index, leaf_hash(b"other"), path)
    refused(verify_inclusion, leaf_hash(b"root"), size, index, leaves[index], path)
    refused(verify_inclusion, top, size, index, leaves[index], [*path, leaf_hash(b"x")])
    if path:
        refused(verify_inclusion, top, size, index, leaves[index], path[:-1])
        at = data.draw(st.integers(0, len(path) - 1))
        wrong = [*path[:at], leaf_hash(path[at]), *path[at + 1 :]]
        refused(verify_inclusion, top, size, index, leaves[index], wrong)
        refused(verify_inclusion, top, size, index, leaves[index], [*path[:at], path[at][:31], *path[at + 1 :]])


@given(st.integers(1, 200), st.data())
def test_a_log_that_changed_its_past_is_found_out(new: int, data: st.DataObject) -> None:
    """Consistency holds for every pair of sizes, and for no other roots or proofs."""
    leaves = some(new)
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(leaves, old)
    old_root, new_root = root(leaves[:old]), root(leaves)
    verify_consistency(old_root, old, new_root, new, proof)
    if old == new:
        refused(verify_consistency, old_root, old, new_root, new, [leaf_hash(b"x")])
        return
    changed = [leaf_hash(b"changed"), *leaves[1:old]]
    refused(verify_consistency, root(changed), old, new_root, new, proof)
    refused(verify_consistency, old_root, old, root([*changed, *leaves[old:]]), new, proof)
    refused(verify_consistency, old_root, old, new_root, new, [*proof, leaf_hash(b"x")])
    refused(verify_consistency, old_root, old, new_root, new, proof[:-1])
    at = data.draw(st.integers(0, len(proof) - 1))
    refused(verify_consistency, old_root, old, new_root, new, [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]])


def test_the_empty_log_is_a_beginning_of_every_log() -> None:
    """With an empty proof and its own root only."""
    top = root(some(3))
    verify_consistency(EMPTY_ROOT, 0, top, 3, [])
    refused(verify_consistency, top, 0, top, 3, [])
    refused(verify_consistency, EMPTY_ROOT, 0, top, 3, [top])
    refused(verify_consistency, top, 3, EMPTY_ROOT, 0, [])
    verify_consistency(EMPTY_ROOT, 0, EMPTY_ROOT, 0, [])
    refused(verify_consistency, top, 0, top, 0, [])


def test_what_does_not_exist_is_not_proved() -> None:
    """No leaf, no size, no window."""
    for index, size in ((0, 0), (3, 3), (-1, 3)):
        with pytest.raises(ValueError, match="no such leaf"):
            inclusion_ranges(index, size)
    for old, new in ((0, 3), (4, 3)):
        with pytest.raises(ValueError, match="0 < old"):
            consistency_ranges(old, new)
    with pytest.raises(ValueError, match="at least one"):
        window([])
