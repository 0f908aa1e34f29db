"""Keys a document had before the document keys were rotated: checks of that time are in the index under them.

A key of an older epoch cannot be worked out from a newer one, and the other way round every check of the time would have to be
advanced. So each document keeps the keys it had (of the newest epochs, the oldest first; a data folder that rotated before
annul did so lacks the earlier ones), sealed under a key that follows from the newest document
secret: who has an old secret and a copy of the database can open nothing with them. Source: decision 0001.

    former keys of a document = one pair an epoch: AES-256(W, document key) | AES-256(W, number key; zeros where it has none)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from annul.records.carried import derive
from annul.records.document import BLOCK_BYTES, DocumentKeys

PAIR_BYTES: Final = 2 * BLOCK_BYTES
_NO_NUMBER: Final = bytes(BLOCK_BYTES)


class FormerKeys:
    """Make and open the form in which the register keeps the former keys of a document.

    Args:
        document_secrets: the realm's document secrets, one per epoch, oldest first.
    """

    def __init__(self, document_secrets: Sequence[bytes]) -> None:
        self._older = [DocumentKeys(document_secrets[:epoch]) for epoch in range(1, len(document_secrets))]
        cipher = Cipher(algorithms.AES(derive(document_secrets[-1], "former seal")), modes.ECB())  # noqa: S305 - one block each
        self._seal = cipher.encryptor().update
        self._open = cipher.decryptor().update

    def of(self, block: bytes, number_block: bytes | None) -> bytes:
        """Return the former keys of a document that is recorded now; empty at the first epoch.

        Args:
            block: 16 bytes that name the document.
            number_block: 16 bytes that name its number, None where documents of a number are not told apart.
        """
        pairs = [
            keys.blind(block) + (keys.blind(number_block) if number_block is not None else _NO_NUMBER) for keys in self._older
        ]
        return self._seal(b"".join(pairs))

    def opened(self, former: bytes) -> tuple[list[bytes], list[bytes]]:
        """Return the former document keys and the former number keys, oldest first.

        Raises:
            ValueError: not a multiple of PAIR_BYTES.
        """
        if len(former) % PAIR_BYTES:
            raise ValueError("former keys come in pairs of 32 bytes")
        keys = self._open(former)
        parts = [keys[at : at + BLOCK_BYTES] for at in range(0, len(keys), BLOCK_BYTES)]
        return parts[::2], [number for number in parts[1::2] if number != _NO_NUMBER]

    def renewed(self, older: FormerKeys, rows: Sequence[tuple[bytes, bytes, bytes | None]]) -> list[bytes]:
        """Return the former keys of rows that go to this epoch, the keys they have now the last.

        Args:
            older: of the epoch that ends.
            rows: former keys, document key and number key (None: it has none) of each.
        """
        plain = older._open(b"".join(former for former, _, _ in rows))
        parts, lengths, at = [], [], 0
        for former, key, number in rows:
            end = at + len(former)
            parts += [plain[at:end], key, number or _NO_NUMBER]
            lengths.append(len(former) + PAIR_BYTES)
            at = end
        sealed = self._seal(b"".join(parts))
        made, at = [], 0
        for length in lengths:
            made.append(sealed[at : at + length])
            at += length
        return made
