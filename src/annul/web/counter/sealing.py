"""Seal questions that must wait: one that goes with a page to its next step, those asked while the register is away.

Neither the page nor the browser's disk ever holds a document's number in clear. A question for the next step is sealed with a
key of the register and opens in the same session only, for some minutes. A question asked while the register is away is sealed
by the browser to a public key of the register (ECDH P-256, HKDF-SHA-256, AES-256-GCM): the browser itself cannot open it again.

Source: RFC 5869 (HKDF), NIST SP 800-56A (ECDH), SP 800-38D (GCM); decision 0011.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from annul.errors import BadInput, Conflict
from annul.records.check import Question
from annul.times import SECOND_US
from annul.web.counter.reading import CheckForm
from annul.web.door.tokens import derived_key

if TYPE_CHECKING:
    from annul.web.door.office import Office
    from annul.web.door.session import Session

SEALED_S: Final = 15 * 60
"""Seconds a sealed question opens: a comparison of bearer and holder takes one or two minutes."""
NONCE_BYTES: Final = 12
POINT_BYTES: Final = 65
QUEUED_BYTES_MAX: Final = 8_192
QUEUED_S: Final = 24 * 3600
"""Oldest queued question that is still asked: by then the customer is long gone, and the account says when it was asked."""
_INFO: Final = b"annul counter queue v1"


class _Sealed(msgspec.Struct, frozen=True):
    until_s: int
    question: Question


class Queued(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the browser seals while the register is away: the form, and when the clerk asked (seconds since the epoch)."""

    form: CheckForm
    asked_s: int


def seal_question(office: Office, session: Session, question: Question) -> str:
    """Return a question sealed for this session."""
    nonce = os.urandom(NONCE_BYTES)
    plain = msgspec.json.encode(_Sealed(office.now_us() // SECOND_US + SEALED_S, question))
    cipher = AESGCM(derived_key(office, b"counter questions")).encrypt(nonce, plain, session.id.encode())
    return base64.urlsafe_b64encode(nonce + cipher).decode()


def open_question(office: Office, session: Session, sealed: str) -> Question:
    """Return a question that was sealed for this session.

    Raises:
        Conflict: it was sealed too long ago, or for another session.
    """
    try:
        raw = base64.urlsafe_b64decode(sealed.encode("ascii"))
        plain = AESGCM(derived_key(office, b"counter questions")).decrypt(
            raw[:NONCE_BYTES], raw[NONCE_BYTES:], session.id.encode()
        )
    except (InvalidTag, ValueError):
        raise _gone() from None
    found = msgspec.json.decode(plain, type=_Sealed)
    if found.until_s < office.now_us() // SECOND_US:
        raise _gone()
    return found.question


def _gone() -> Conflict:
    return Conflict("This answer is too old for a next step.", mend="Check the document again.")


@lru_cache(maxsize=4)
def _private(seed: bytes) -> ec.EllipticCurvePrivateKey:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256. Source: FIPS 186-5
    wide = hashlib.shake_256(b"annul counter queue key v1" + seed).digest(48)
    return ec.derive_private_key(int.from_bytes(wide, "big") % (order - 1) + 1, ec.SECP256R1())


def _queue_private(office: Office) -> ec.EllipticCurvePrivateKey:
    return _private(derived_key(office, b"counter queue"))


def queue_public_key(office: Office) -> str:
    """Return the public key counters seal waiting questions to: an uncompressed point, base64."""
    point = _queue_private(office).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.b64encode(point).decode()


def open_queued(office: Office, sealed: str, owner: str) -> Queued:
    """Return a question that waited in a browser.

    Args:
        sealed: base64 of ephemeral point, nonce, ciphertext.
        owner: the key id of the counter that sealed it; another counter's is refused.

    Raises:
        BadInput: it is damaged, of another counter, or sealed to another register's key.
    """
    if len(sealed) > QUEUED_BYTES_MAX:
        raise _damaged()
    try:
        raw = base64.b64decode(sealed.encode("ascii"), validate=True)
        point, nonce, cipher = raw[:POINT_BYTES], raw[POINT_BYTES:][:NONCE_BYTES], raw[POINT_BYTES + NONCE_BYTES :]
        ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        shared = _queue_private(office).exchange(ec.ECDH(), ephemeral)
        key = HKDF(SHA256(), 32, salt=None, info=_INFO + point).derive(shared)
        return msgspec.json.decode(AESGCM(key).decrypt(nonce, cipher, owner.encode()), type=Queued)
    except (ValueError, binascii.Error, InvalidTag, msgspec.MsgspecError):
        raise _damaged() from None


def _damaged() -> BadInput:
    return BadInput("A waiting question cannot be opened.", mend="Check the document anew.")


def fingerprint(text: str) -> str:
    """Return a short name of a sealed text, to tell two apart."""
    return hmac.digest(b"annul", text.encode(), "sha256").hex()[:12]
