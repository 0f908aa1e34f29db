"""Active authentication: the chip signs a number drawn here with the key of DG15, so it is no copy.

Older than chip authentication and still the only proof of the kind that many passports carry. The public key counts only once
passive authentication has found DG15 signed.

Source: ICAO Doc 9303-11 (8th edition) section 6.1; ISO/IEC 9796-2:2010 signature scheme 1 (RSA); BSI TR-03111 section 5.2.1
(plain ECDSA signatures).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from asn1crypto import keys
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from annul.reader import tlv
from annul.reader.access import RandomBytes
from annul.reader.faults import CardMalformed
from annul.reader.signatures import load_key
from annul.reader.transport import Channel, Command

CHALLENGE_BYTES: Final = 8
"""Length of the number that is drawn. Source: Doc 9303-11 section 6.1.2."""
MODULUS_BITS: Final = (1024, 4096)
"""RSA keys that are taken; the recommended ones have 1,280 to 3,072 bits."""

_TRAILERS: Final = {0x33: "sha1", 0x34: "sha256", 0x35: "sha512", 0x36: "sha384", 0x38: "sha224"}
"""Hash identifier before the trailer CC. Source: ISO/IEC 10118-3; BC alone stands for SHA-1."""
_HASHES: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


def prove(channel: Channel, dg15: bytes, digest: str | None, random_bytes: RandomBytes) -> bool:
    """Let the chip sign a fresh number and say whether its signature holds under the key of DG15.

    Args:
        channel: the open channel.
        dg15: the data group with its outer tag.
        digest: hash of ECDSA signatures as DG14 names it; None if it does not (RSA signatures name their own).
        random_bytes: source of randomness.

    Raises:
        CardMalformed: DG15 holds no key that can be used. CardRefused: the chip does not sign.
    """
    key = public_key(dg15)
    number = random_bytes(CHALLENGE_BYTES)
    size = (key.key_size + 7) // 8 * (1 if isinstance(key, rsa.RSAPublicKey) else 2)
    # Protection adds some 40 bytes: an RSA signature of 2,048 bits needs the long form of an answer.
    expected = 256 if size <= 192 else 65_536
    signature = channel.demand(Command(b"\x00\x88\x00\x00", number, expected), "prove that it is no copy")
    return holds(key, signature, number, digest)


def public_key(dg15: bytes) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """Return the key in DG15.

    Raises:
        CardMalformed: it cannot be decoded, or is of no kind or size that is used for this.
    """
    try:
        key = load_key(keys.PublicKeyInfo.load(tlv.find(dg15, 0x6F), strict=True))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, UnsupportedAlgorithm):
        raise CardMalformed("its key for active authentication cannot be decoded", where="DG15") from None
    if isinstance(key, rsa.RSAPublicKey) and MODULUS_BITS[0] <= key.key_size <= MODULUS_BITS[1]:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key
    raise CardMalformed("its key for active authentication is of no usable kind", where="DG15")


def holds(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, signature: bytes, number: bytes, digest: str | None) -> bool:
    """Say whether `signature` is one of `number` under `key`."""
    if isinstance(key, rsa.RSAPublicKey):
        return _recovered(key, signature, number)
    size, rest = divmod(len(signature), 2)
    if rest or not size or digest is None or digest not in _HASHES:
        return False
    r, s = (int.from_bytes(part, "big") for part in (signature[:size], signature[size:]))
    try:
        key.verify(encode_dss_signature(r, s), number, ec.ECDSA(_HASHES[digest]()))
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def _recovered(key: rsa.RSAPublicKey, signature: bytes, number: bytes) -> bool:
    """Open an ISO/IEC 9796-2 signature with partial recovery: 6A | part of the message | hash | trailer."""
    numbers = key.public_numbers()
    size = (key.key_size + 7) // 8
    value = int.from_bytes(signature, "big")
    if len(signature) != size or value >= numbers.n:
        return False
    opened = pow(value, numbers.e, numbers.n)
    if opened & 0xF != 0xC:  # the standard lets the signer give the smaller of s and n - s
        opened = numbers.n - opened
    text = opened.to_bytes(size, "big")
    trailer = 1 if text[-1] == 0xBC else 2
    name = "sha1" if trailer == 1 else _TRAILERS.get(text[-2], "") if text[-1] == 0xCC else ""
    if not name or text[0] != 0x6A:
        return False
    width = hashlib.new(name).digest_size
    if size < 1 + width + trailer:
        return False
    message, found = text[1 : -width - trailer], text[-width - trailer : -trailer]
    return hmac.compare_digest(hashlib.new(name, message + number).digest(), found)
