"""Personal details (who reported, what was said): sealed one by one, erased by destroying their key.

Each record has a data key of its own, wrapped by the master key of the key file (envelope encryption, AES-256-GCM).
The log holds only the SHA-256 of the ciphertext: after an erasure the ciphertext is noise, and the log still verifies.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta

from annul.errors import Corrupt

KEY_BYTES = 32
NONCE_BYTES = 12
"""Nonce of AES-GCM. Source: NIST SP 800-38D, section 5.2.1.1."""

_VERSION = b"\x01"
_AAD = b"annul details v1\0"

Text = Annotated[str, Meta(max_length=200)]
Details = TypeVar("Details", bound=msgspec.Struct)


class Reporter(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Say who reported: name and how to reach them, at most 200 characters each; both may be empty."""

    name: Text = ""
    contact: Text = ""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Hold sealed details: `ciphertext` and `wrapped_key` for the database, `hash` (32 bytes) for the log."""

    ciphertext: bytes
    wrapped_key: bytes
    hash: bytes


def seal(details: msgspec.Struct, detail_id: str, master: bytes) -> Sealed:
    """Encrypt details under a new data key; both are bound to their id.

    Args:
        master: 32 bytes, the envelope key of the key file.
    """
    key, nonce, wrap_nonce = (secrets.token_bytes(size) for size in (KEY_BYTES, NONCE_BYTES, NONCE_BYTES))
    bound = _AAD + detail_id.encode()
    ciphertext = _VERSION + nonce + AESGCM(key).encrypt(nonce, msgspec.json.encode(details), bound)
    wrapped = _VERSION + wrap_nonce + AESGCM(master).encrypt(wrap_nonce, key, bound)
    return Sealed(ciphertext, wrapped, hashlib.sha256(ciphertext).digest())


def unseal(ciphertext: bytes, wrapped_key: bytes, detail_id: str, master: bytes) -> Reporter:
    """Decrypt who reported; see `unseal_as`."""
    return unseal_as(Reporter, ciphertext, wrapped_key, detail_id, master)


def unseal_as(kind: type[Details], ciphertext: bytes, wrapped_key: bytes, detail_id: str, master: bytes) -> Details:
    """Decrypt details of a kind.

    Raises:
        Corrupt: the bytes were changed, belong to another record, or the master key is another one.
    """
    bound = _AAD + detail_id.encode()
    try:
        key = _open(wrapped_key, master, bound)
        return msgspec.json.decode(_open(ciphertext, key, bound), type=kind)
    except (InvalidTag, ValueError, msgspec.DecodeError):
        raise Corrupt("Sealed personal details do not open.", where=f"sealed_detail {detail_id}") from None


def _open(box: bytes, key: bytes, bound: bytes) -> bytes:
    if box[:1] != _VERSION:
        raise ValueError("unknown version")
    return AESGCM(key).decrypt(box[1 : 1 + NONCE_BYTES], box[1 + NONCE_BYTES :], bound)
