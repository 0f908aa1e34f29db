"""What a suspicion rests on, as a keyed hash: the same facts are the same question, and nothing of them can be read from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from annul.records.person import Person

FACTS_BYTES: Final = 16


def facts_key(envelope: bytes) -> bytes:
    """Return the key of facts, made from the envelope key of the register."""
    return hashlib.blake2b(b"annul review facts v1", key=envelope, digest_size=32).digest()


def facts_of(person: Person, key: bytes) -> bytes:
    """Return a keyed hash of all that suspicions can rest on in a record; contacts are left out: they change often."""
    names = "\x1f".join(f"{name.kind}{name.text}" for name in person.names)
    text = "\x1e".join(
        (
            person.personal_number,
            names,
            person.sex,
            person.birth_date,
            person.death_date,
            person.place,
            person.status,
            person.mother,
            person.father,
            person.origin,
        )
    )
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=FACTS_BYTES).digest()


def combine(rules: Iterable[str], persons: Iterable[bytes], documents: Iterable[int], key: bytes) -> bytes:
    """Return the facts of a suspicion: of its rules, its records and its documents."""
    text = b"|".join((",".join(rules).encode(), b"".join(persons), ",".join(map(str, documents)).encode()))
    return hashlib.blake2b(text, key=key, digest_size=FACTS_BYTES).digest()
