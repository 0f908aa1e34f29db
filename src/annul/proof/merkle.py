"""Merkle trees in the shape of RFC 6962 (RFC 9162 section 2.1): roots, inclusion, consistency, windows of receipts.

All functions take and give SHA-256 hashes of 32 bytes. A tree over n > 1 leaves splits at the largest power of two below
n; there is no padding and no doubled last leaf.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from annul.errors import VerificationFailed

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree without leaves (RFC 9162 section 2.1.1)."""

_sha256 = hashlib.sha256

Node = Callable[[int, int], bytes]
"""node(level, index): hash of the full subtree of 2^level leaves that begins at leaf index * 2^level."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256(0x00 | data)."""
    return _sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 | left | right)."""
    return _sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        level = _up(level)
    return level[0]


def _up(level: list[bytes]) -> list[bytes]:
    # A last node without a partner rises unchanged: that is the shape of RFC 6962.
    sha = _sha256
    above = [sha(b"\1" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
    if len(level) & 1:
        above.append(level[-1])
    return above


def window(leaves: list[bytes]) -> tuple[bytes, list[bytes]]:
    """Return the root over leaf hashes and the inclusion path of every leaf, built in one go.

    Args:
        leaves: n >= 1 leaf hashes.
    Returns:
        root, and n paths, each the hashes from the leaf's sibling upwards, put together (32 bytes each).
    Raises:
        ValueError: no leaves.
    """
    if not leaves:
        raise ValueError("a window has at least one leaf")
    levels = [leaves]
    while len(levels[-1]) > 1:
        levels.append(_up(levels[-1]))
    paths = [b""]
    for level in levels[-2::-1]:
        size = len(level)
        below = [b""] * size
        # Neighbours swap places in front of their parent's path.
        below[0 : size - 1 : 2] = map(bytes.__add__, level[1::2], paths)
        below[1::2] = map(bytes.__add__, level[::2], paths[: size // 2])
        if size & 1:
            below[-1] = paths[-1]
        paths = below
    return levels[-1][0], paths


def range_hash(start: int, end: int, node: Node) -> bytes:
    """Return the hash of the leaves start..end-1 as one tree, from full subtrees.

    `start` must be a multiple of the smallest power of two not below end - start, as in every RFC 6962 split.
    """
    size = end - start
    if size == 0:
        return EMPTY_ROOT
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, start >> level)
    split = 1 << (size - 1).bit_length() - 1
    return node_hash(range_hash(start, start + split, node), range_hash(start + split, end, node))


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """Return the leaf ranges whose hashes form the inclusion path of a leaf, lowest first.

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError("the tree has no such leaf")
    ranges = []
    start, end = 0, size
    while end - start > 1:
        split = start + (1 << (end - start - 1).bit_length() - 1)
        if index < split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start = split
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """Return the leaf ranges whose hashes form the consistency proof between two sizes (RFC 9162 section 2.1.4.1).

    Raises:
        ValueError: not 0 < old <= new.
    """
    if not 0 < old <= new:
        raise ValueError("a consistency proof needs 0 < old <= new")
    ranges = []
    start, end, whole = 0, new, True
    while old != end:
        split = start + (1 << (end - start - 1).bit_length() - 1)
        if old <= split:
            ranges.append((split, end))
            end = split
        else:
            ranges.append((start, split))
            start, whole = split, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def _node_of(leaves: Sequence[bytes]) -> Node:
    def node(level: int, index: int) -> bytes:
        return root(leaves[index << level : (index + 1) << level])

    return node


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the inclusion path of a leaf, from its sibling upwards."""
    node = _node_of(leaves)
    return [range_hash(start, end, node) for start, end in inclusion_ranges(index, len(leaves))]


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """Return the proof that the tree over the first `old` leaves is a beginning of this tree."""
    node = _node_of(leaves)
    return [range_hash(start, end, node) for start, end in consistency_ranges(old, len(leaves))]


def verify_inclusion(expected_root: bytes, size: int, index: int, leaf: bytes, path: Sequence[bytes]) -> None:
    """Verify that the path leads from the leaf hash to the root.

    Raises:
        VerificationFailed: step 6, it does not, or the tree has no such leaf.

    Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size or any(len(sibling) != HASH_BYTES for sibling in path):
        raise _not_included()
    at, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise _not_included()
        if at & 1 or at == last:
            value = node_hash(sibling, value)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            value = node_hash(value, sibling)
        at >>= 1
        last >>= 1
    if last or value != expected_root:
        raise _not_included()


def _not_included() -> VerificationFailed:
    return VerificationFailed("The path does not lead from the entry to the root.", step=6, where="path")


def verify_consistency(old_root: bytes, old: int, new_root: bytes, new: int, proof: Sequence[bytes]) -> None:
    """Verify that the tree of size `old` is a beginning of the tree of size `new`.

    The empty tree is a beginning of every tree, and a tree of itself, with an empty proof.

    Raises:
        VerificationFailed: step 6, it is not, or the proof is of another pair.

    Source: RFC 9162 section 2.1.4.2.
    """
    if not 0 <= old <= new or any(len(value) != HASH_BYTES for value in proof):
        raise _not_consistent()
    if old in (0, new):
        if proof or (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise _not_consistent()
        return
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        raise _not_consistent()
    at, last = old - 1, new - 1
    while at & 1:
        at >>= 1
        last >>= 1
    first = second = steps[0]
    for value in steps[1:]:
        if last == 0:
            raise _not_consistent()
        if at & 1 or at == last:
            first, second = node_hash(value, first), node_hash(value, second)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            second = node_hash(second, value)
        at >>= 1
        last >>= 1
    if last or first != old_root or second != new_root:
        raise _not_consistent()


def _not_consistent() -> VerificationFailed:
    return VerificationFailed("The older tree is not a beginning of the newer one.", step=6, where="proof")
