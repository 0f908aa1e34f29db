"""Give relying parties a key of a document for their business events: it tells nobody anything, and fits one party alone.

    event key = version | epoch | AES-256(P, document key) | AES-256(P, number key) | first 8 bytes of HMAC-SHA-256(P', the
    rest)

P and P' follow from a document secret and the party's id. So two parties cannot compare their customers, a key of another party
is refused, and the register gets its own keys back in one go, 100,000 of them in milliseconds. A document that was named by its
number alone has sixteen zero bytes for a document key; one of a scheme without discriminator has them for a number key.

Source: docs/formats/event-key.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from annul.errors import BadInput
from annul.records.carried import derive
from annul.records.document import BLOCK_BYTES, Document, DocumentKeys, block, number_block

VERSION: Final = 1
TAG_BYTES: Final = 8
NO_KEY: Final = bytes(BLOCK_BYTES)
_HEAD_BYTES: Final = 3
EVENT_KEY_CHARS: Final = -(-(_HEAD_BYTES + 2 * BLOCK_BYTES + TAG_BYTES) * 4 // 3)
"""Characters of an event key: base64url of 43 bytes without padding."""

_FOREIGN: Final = "This document key was not made for you by this register."
_MEND: Final = "Ask POST /v1/conduct/keys for the keys of your documents; a key fits the party it was made for."


def keys_of(document: Document, keys: DocumentKeys) -> tuple[bytes, bytes]:
    """Return the document key and the number key by which checks of a document are found, NO_KEY where there is none."""
    number = keys.blind(number_block(document)) if document.discriminated else NO_KEY
    whole = keys.blind(block(document)) if document.has_discriminator or not document.discriminated else NO_KEY
    return whole, number


class EventKeys:
    """Make and open the event keys of one party.

    Args:
        secrets: the realm's document secrets, one per epoch, oldest first.
        party: id of the relying party.
    """

    def __init__(self, secrets: Sequence[bytes], party: str) -> None:
        self._epoch = len(secrets)
        self._ciphers = [
            Cipher(algorithms.AES(derive(secret, f"event key {party}")), modes.ECB())  # noqa: S305 - one block each
            for secret in secrets
        ]
        self._tags = [derive(secret, f"event key tag {party}") for secret in secrets]

    def make(self, document_key: bytes, number_key: bytes) -> str:
        """Return the event key of a document, EVENT_KEY_CHARS characters.

        Args:
            document_key, number_key: 16 bytes each of the current epoch, or NO_KEY.
        """
        head = bytes((VERSION,)) + self._epoch.to_bytes(2, "big")
        body = head + self._ciphers[-1].encryptor().update(document_key + number_key)
        return base64.urlsafe_b64encode(body + _tag(self._tags[-1], body)).rstrip(b"=").decode()

    def open(self, texts: Sequence[str]) -> tuple[list[int], bytes]:
        """Return the epoch of each key, and 32 bytes a key: document key and number key of that epoch.

        Raises:
            BadInput: a key is not one of this party; `where` is `/N/document`, N from 0.
        """
        epochs: list[int] = []
        bodies = bytearray()
        for place, text in enumerate(texts):
            raw = _decoded(text)
            epoch = int.from_bytes(raw[1:_HEAD_BYTES], "big") if raw else 0
            if not raw or not 1 <= epoch <= self._epoch or _tag(self._tags[epoch - 1], raw[:-TAG_BYTES]) != raw[-TAG_BYTES:]:
                raise BadInput(_FOREIGN, where=f"/{place}/document", mend=_MEND)
            epochs.append(epoch)
            bodies += raw[_HEAD_BYTES:-TAG_BYTES]
        if len(set(epochs)) == 1:
            return epochs, self._ciphers[epochs[0] - 1].decryptor().update(bytes(bodies))
        size = 2 * BLOCK_BYTES
        parts = [
            self._ciphers[epoch - 1].decryptor().update(bytes(bodies[place * size : (place + 1) * size]))
            for place, epoch in enumerate(epochs)
        ]
        return epochs, b"".join(parts)


def _tag(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, body, hashlib.sha256)[:TAG_BYTES]


def _decoded(text: str) -> bytes:
    if len(text) != EVENT_KEY_CHARS:
        return b""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if raw[0] == VERSION else b""
