"""How PACE maps the nonce to a base point: integrated mapping, and the proof of chip authentication mapping.

Generic mapping (a key agreement whose result moves the base point) stands in `access`; chip authentication mapping is generic
mapping after which the chip proves that its mapping key came from its static key.

Source: ICAO Doc 9303-11 (8th edition) section 4.4.3.3 (mappings), 4.4.3.5 (chip authentication data), appendix B (point
encoding for integrated mapping; Brier, Coron, Icart, Madore, Randriam, Tibouchi, CRYPTO 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from asn1crypto import keys
from ecdsa.ellipticcurve import PointJacobi

from annul.reader import curves
from annul.reader.curves import Point
from annul.reader.faults import CardMalformed
from annul.reader.secure_messaging import Session, Suite, encrypt

_CONSTANTS: Final = {
    16: (bytes.fromhex("a668892a7c41e3ca739f40b057d85904"), bytes.fromhex("a4e136ac725f738b01c1f60217c188ad")),
    32: (
        bytes.fromhex("d463d65234124ef7897054986dca0a174e28df758cbaa03f240616414d5a1676"),
        bytes.fromhex("54bd7255f0aaf831bec3423fcf39d69b6cbf066677d0faae5aadd99df8e53517"),
    ),
}
"""c0 and c1 by the length of the nonce in bytes."""
_EXTRA_BITS: Final = 64
"""Bits drawn beyond those of the prime, so that the remainder is not biased."""


def nonce_bytes(suite: Suite) -> int:
    """Return the length of the reader's nonce t: that of the cipher's key."""
    return {Suite.AES_192: 24, Suite.AES_256: 32}.get(suite, 16)


def field_element(suite: Suite, ours: bytes, theirs: bytes, prime: int) -> int:
    """Return R_p(s, t): a pseudo-random element of the field from the chip's nonce s and ours t.

    Args:
        suite: the cipher.
        ours: t, as long as the cipher's key.
        theirs: s, 16 or 32 bytes.
        prime: order of the field.
    Raises:
        CardMalformed: the chip's nonce has another length.
    """
    if len(theirs) not in _CONSTANTS:
        raise CardMalformed("a PACE nonce of wrong length")
    first, second = _CONSTANTS[len(theirs)]
    key = encrypt(suite, ours, theirs)
    drawn = b""
    while 8 * len(drawn) < prime.bit_length() + _EXTRA_BITS:
        key = key[: nonce_bytes(suite)]
        drawn += encrypt(suite, key, second)
        key = encrypt(suite, key, first)
    return int.from_bytes(drawn, "big") % prime


def point_of(curve: Any, element: int) -> Point:
    """Map a field element to a point of the curve, in constant form (Doc 9303-11 appendix B.2).

    Raises:
        CardMalformed: the element maps to no point (0, 1 and -1), or the curve's prime is not 3 modulo 4.
    """
    p = int(curve.curve.p())
    a, b = int(curve.curve.a()) % p, int(curve.curve.b()) % p
    if p % 4 != 3:
        raise CardMalformed("integrated mapping is not defined for this curve")
    alpha = -element * element % p
    below = a * (alpha + alpha * alpha) % p
    if not below:
        raise CardMalformed("a PACE nonce maps to no point")
    x2 = -b * (1 + alpha + alpha * alpha) * pow(below, -1, p) % p
    x3 = alpha * x2 % p
    h2 = (pow(x2, 3, p) + a * x2 + b) % p
    root = pow(h2, p - 1 - (p + 1) // 4, p)
    x, y = (x2, root * h2 % p) if root * root * h2 % p == 1 else (x3, root * pow(element, 3, p) * h2 % p)
    if not curve.curve.contains_point(x, y):
        raise CardMalformed("a PACE nonce maps to no point")
    point = PointJacobi(curve.curve, x, y, 1, int(curve.order))
    curves.refuse_neutral(point)
    return point


@dataclass(frozen=True, slots=True, repr=False)
class MappingProof:
    """What the chip gave in chip authentication mapping: its public mapping key, and static times mapping secret.

    Attributes:
        curve: the domain parameters of PACE, which are those of the static key.
        mapped: the chip's ephemeral key of the mapping, encoded.
        factor: CA_IC: the mapping's secret divided by the static secret.
    """

    curve: Any
    mapped: bytes
    factor: int

    def holds(self, key: keys.PublicKeyInfo) -> bool:
        """Say whether the chip holds the private key to `key`: factor times it is the mapping key."""
        try:
            curve, encoded = curves.of_public_key(key)
            if curve is not self.curve:
                return False
            point = curves.multiply(curves.decode(curve, encoded), self.factor % int(curve.order))
        except CardMalformed:
            return False
        return curves.encode(curve, point) == self.mapped


def open_proof(session: Session, curve: Any, mapped: bytes, secret: bytes) -> MappingProof:
    """Open the encrypted chip authentication data of the last step of PACE.

    Raises:
        CardMalformed: it is not whole blocks, or not padded.
    """
    return MappingProof(curve, mapped, int.from_bytes(session.open_mapping_data(secret), "big"))
