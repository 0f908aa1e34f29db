"""Elliptic curve points for PACE and chip authentication.

Only the group operations that PACE's generic mapping needs and no library with OpenSSL behind it offers; the
arithmetic is `ecdsa`'s. All secrets here live for one reading, on the reader's side.

Source: ICAO Doc 9303-11 section 9.5.1 (standardised domain parameters), BSI TR-03111 section 3.2.1 (encoding).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ecdsa.curves as named
from asn1crypto import keys
from cryptography.hazmat.primitives.asymmetric import ec
from ecdsa.ellipticcurve import INFINITY, PointJacobi

from annul.reader.faults import CardMalformed

STANDARDISED: dict[int, Any] = {
    8: named.NIST192p,
    9: named.BRAINPOOLP192r1,
    10: named.NIST224p,
    11: named.BRAINPOOLP224r1,
    12: named.NIST256p,
    13: named.BRAINPOOLP256r1,
    14: named.BRAINPOOLP320r1,
    15: named.NIST384p,
    16: named.BRAINPOOLP384r1,
    17: named.BRAINPOOLP512r1,
    18: named.NIST521p,
}
"""Identifier of the domain parameters -> curve. Doc 9303-11 table 6; 0..2 are MODP groups, which are not read."""

LIBRARY_NAMES: dict[int, type[ec.EllipticCurve]] = {
    8: ec.SECP192R1, 10: ec.SECP224R1, 12: ec.SECP256R1, 13: ec.BrainpoolP256R1, 15: ec.SECP384R1, 16: ec.BrainpoolP384R1,
    17: ec.BrainpoolP512R1, 18: ec.SECP521R1,
}  # fmt: skip
"""Identifier -> the curve as `cryptography` names it; it has none for 9, 11 and 14."""


class CurveUnknown(CardMalformed):
    """A key's curve is none of the standardised ones: it can neither be used nor called wrong."""


Point = Any
"""A point of `ecdsa` (the package has no complete types)."""


def generator(curve: Any) -> Point:
    """Return the curve's base point."""
    return curve.generator


def field_bytes(curve: Any) -> int:
    """Return the length of one coordinate in bytes."""
    return (int(curve.curve.p()).bit_length() + 7) // 8


def scalar(curve: Any, random_bytes: Callable[[int], bytes]) -> int:
    """Draw a secret scalar, 1 <= s < order, without measurable bias (64 bits more than the order)."""
    order = int(curve.order)
    size = (order.bit_length() + 7) // 8 + 8
    return int.from_bytes(random_bytes(size), "big") % (order - 1) + 1


def encode(curve: Any, point: Point) -> bytes:
    """Return the uncompressed encoding 04 | x | y."""
    size = field_bytes(curve)
    return b"\x04" + int(point.x()).to_bytes(size, "big") + int(point.y()).to_bytes(size, "big")


def decode(curve: Any, data: bytes) -> Point:
    """Read an uncompressed point and make sure that it lies on the curve.

    Raises:
        CardMalformed: wrong form, or no point of this curve.
    """
    size = field_bytes(curve)
    if len(data) != 1 + 2 * size or data[0] != 4:
        raise CardMalformed("a public key is not an uncompressed point")
    x, y = int.from_bytes(data[1 : 1 + size], "big"), int.from_bytes(data[1 + size :], "big")
    prime = int(curve.curve.p())
    if x >= prime or y >= prime or not curve.curve.contains_point(x, y):
        raise CardMalformed("a public key is not a point of the agreed curve")
    return PointJacobi(curve.curve, x, y, 1, int(curve.order))


def multiply(point: Point, factor: int) -> Point:
    """Return factor * point; refuse the neutral element."""
    product = point * factor
    refuse_neutral(product)
    return product


def refuse_neutral(point: Point) -> None:
    """Raise CardMalformed for the neutral element: a key agreed with it would be known to everybody."""
    if point == INFINITY:
        raise CardMalformed("a key agreement ended in the neutral element")


def shared_secret(curve: Any, point: Point) -> bytes:
    """Return the x coordinate as the shared secret (BSI TR-03111 section 4.3)."""
    return int(point.x()).to_bytes(field_bytes(curve), "big")


def of_public_key(info: keys.PublicKeyInfo) -> tuple[Any, bytes]:
    """Return (curve, encoded point) of a public key whose curve is named or written out in full.

    Written-out parameters are compared completely (field, coefficients, base point, order) with the known curves: a
    forged base point would let anybody pass (as in CVE-2020-0601).

    Raises:
        CurveUnknown: none of the known curves. CardMalformed: no elliptic curve key, or a forged base point.
    """
    try:
        if info["algorithm"]["algorithm"].native != "ec":
            raise CardMalformed("the key is not of an elliptic curve")
        parameters = info["algorithm"]["parameters"]
        point = info["public_key"].native
        if parameters.name == "named":
            oid = parameters.chosen.dotted
            for curve in STANDARDISED.values():
                if ".".join(map(str, curve.oid)) == oid:
                    return curve, point
        elif parameters.name == "specified":
            written = parameters.chosen
            prime = int(written["field_id"]["parameters"].native)
            a = int.from_bytes(written["curve"]["a"].native, "big")
            b = int.from_bytes(written["curve"]["b"].native, "big")
            base, order = written["base"].native, int(written["order"].native)
            for curve in STANDARDISED.values():
                shape = curve.curve
                if (prime, a, b, order) == (shape.p(), shape.a() % prime, shape.b() % prime, curve.order):
                    if base not in (encode(curve, curve.generator), _compressed(curve)):
                        raise CardMalformed("the key's base point is not the curve's own")
                    return curve, point
    except (ValueError, TypeError, KeyError) as error:
        raise CardMalformed("a public key cannot be decoded") from error
    raise CurveUnknown("the key's curve is none of the standardised ones")


def _compressed(curve: Any) -> bytes:
    base = curve.generator
    return bytes([2 + int(base.y()) % 2]) + int(base.x()).to_bytes(field_bytes(curve), "big")
