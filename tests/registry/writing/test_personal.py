"""Sealed personal details: bound to their record, unreadable without their key."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import Corrupt
from annul.registry.writing.personal import Reporter, seal, unseal

MASTER = bytes(range(32))


@given(st.text(max_size=200), st.text(max_size=200))
def test_what_was_sealed_opens(name: str, contact: str) -> None:
    """Any text comes back; the hash is that of the ciphertext."""
    reporter = Reporter(name, contact)
    sealed = seal(reporter, "r_1", MASTER)
    assert unseal(sealed.ciphertext, sealed.wrapped_key, "r_1", MASTER) == reporter
    assert sealed.hash == hashlib.sha256(sealed.ciphertext).digest()


def test_another_record_another_master_and_any_changed_byte_are_refused() -> None:
    """Details moved to another record, or touched anywhere, do not open."""
    sealed = seal(Reporter("A", "B"), "r_1", MASTER)
    with pytest.raises(Corrupt):
        unseal(sealed.ciphertext, sealed.wrapped_key, "r_2", MASTER)
    with pytest.raises(Corrupt):
        unseal(sealed.ciphertext, sealed.wrapped_key, "r_1", bytes(32))
    for which in ("ciphertext", "wrapped_key"):
        whole = getattr(sealed, which)
        for at in range(len(whole)):
            parts = {"ciphertext": sealed.ciphertext, "wrapped_key": sealed.wrapped_key}
            parts[which] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
            with pytest.raises(Corrupt):
                unseal(parts["ciphertext"], parts["wrapped_key"], "r_1", MASTER)


def test_two_seals_of_the_same_share_nothing() -> None:
    """Keys and nonces are fresh each time."""
    one, two = (seal(Reporter("A", "B"), "r_1", MASTER) for _ in range(2))
    assert one.ciphertext[1:13] != two.ciphertext[1:13]
    assert one.ciphertext[13:] != two.ciphertext[13:]
