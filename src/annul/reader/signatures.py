"""Does a signature hold? Three answers: it does, it does not, or nothing here can tell.

The third matters most at a counter: a curve, a digest or a form that this program has no verifier for is no forgery. What
OpenSSL (through `cryptography`) does not verify, brainpoolP192r1, P224r1 and P320r1 above all, `ecdsa` does.

Algorithms are told by their object identifiers, not by a library's list of names, so that an unknown one is met here and not as
a decoding error somewhere above.

Source: RFC 3279, 4055, 5758, 8702 (RSA, ECDSA), NIST's register of algorithms (SHA-3), BSI TR-03111 section 5.2.1.1
(plain ECDSA signatures), ANSI X9.62 (ecdsa-with-Specified).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from asn1crypto import algos, keys
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from ecdsa import BadSignatureError, VerifyingKey

from annul.reader import curves, tlv
from annul.reader.faults import CardMalformed

DECODING: Final = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, OverflowError)
"""What asn1crypto raises on hostile data."""

_DIGESTS: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {
    "sha1": hashes.SHA1, "sha224": hashes.SHA224, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512,
    "sha512_224": hashes.SHA512_224, "sha512_256": hashes.SHA512_256, "sha3_224": hashes.SHA3_224,
    "sha3_256": hashes.SHA3_256, "sha3_384": hashes.SHA3_384, "sha3_512": hashes.SHA3_512,
}  # fmt: skip
_SHA3: Final = ("sha3_224", "sha3_256", "sha3_384", "sha3_512")
_DIGEST_OIDS: Final = {
    "1.3.14.3.2.26": "sha1", "2.16.840.1.101.3.4.2.4": "sha224", "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384", "2.16.840.1.101.3.4.2.3": "sha512", "2.16.840.1.101.3.4.2.5": "sha512_224",
    "2.16.840.1.101.3.4.2.6": "sha512_256",
} | {f"2.16.840.1.101.3.4.2.{number}": name for number, name in enumerate(_SHA3, start=7)}  # fmt: skip

# Signature algorithm -> its digest; "" stands for the one that is named beside it (CMS: digestAlgorithm).
_RSA: Final = {
    "1.2.840.113549.1.1.1": "", "1.2.840.113549.1.1.5": "sha1", "1.3.14.3.2.29": "sha1", "1.2.840.113549.1.1.14": "sha224",
    "1.2.840.113549.1.1.11": "sha256", "1.2.840.113549.1.1.12": "sha384", "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.113549.1.1.15": "sha512_224", "1.2.840.113549.1.1.16": "sha512_256",
} | {f"2.16.840.1.101.3.4.3.{number}": name for number, name in enumerate(_SHA3, start=13)}  # fmt: skip
_PSS: Final = "1.2.840.113549.1.1.10"
_SPECIFIED: Final = "1.2.840.10045.4.3"
_ECDSA: Final = {
    "1.2.840.10045.2.1": "", "1.2.840.10045.4.2": "", _SPECIFIED: "", "1.2.840.10045.4.1": "sha1",
    "1.2.840.10045.4.3.1": "sha224", "1.2.840.10045.4.3.2": "sha256", "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
} | {f"2.16.840.1.101.3.4.3.{number}": name for number, name in enumerate(_SHA3, start=9)}  # fmt: skip
_PLAIN_STEM: Final = "0.4.0.127.0.7.1.1.4.1"
_PLAIN: Final = (
    {_PLAIN_STEM: ""}
    | {f"{_PLAIN_STEM}.{n}": name for n, name in enumerate(("sha1", "sha224", "sha256", "sha384", "sha512"), start=1)}
    | {f"{_PLAIN_STEM}.{n}": name for n, name in enumerate(_SHA3, start=8)}
)


class Held(Enum):
    """What is known of a signature."""

    YES = "holds"
    NO = "does not hold"
    CANNOT_TELL = "no verifier"


def digest_name(algorithm: algos.DigestAlgorithm) -> str | None:
    """Return the name of a digest as `hashlib` has it, or None when nothing here computes it."""
    return _DIGEST_OIDS.get(algorithm["algorithm"].dotted)


def digest(name: str, data: bytes) -> bytes:
    """Compute one of the digests that `digest_name` tells."""
    return hashlib.new(name, data).digest()


def verify(
    key: keys.PublicKeyInfo, algorithm: algos.SignedDigestAlgorithm, signature: bytes, message: bytes, named: str | None
) -> Held:
    """Verify one signature.

    Args:
        key: the signer's public key.
        algorithm: signature algorithm as it is written beside the signature.
        signature: its value.
        message: what was signed.
        named: digest that stands in where the algorithm does not name its own, or None.
    Raises:
        CardMalformed, or one of `DECODING`: the key or the parameters cannot be decoded.
    """
    oid = algorithm["algorithm"].dotted
    try:
        if oid == _PSS:
            return _verify_pss(key, algorithm["parameters"], signature, message)
        if oid in _RSA:
            return _verify_rsa(key, signature, message, _RSA[oid] or named)
        if oid in _ECDSA or oid in _PLAIN:
            pair = _plain_pair(signature) if oid in _PLAIN else _der_pair(signature)
            if pair is None:
                return Held.NO
            name = _specified(algorithm) if oid == _SPECIFIED else None
            return _verify_ecdsa(key, pair, message, name or _ECDSA.get(oid) or _PLAIN.get(oid) or named)
    except (UnsupportedAlgorithm, curves.CurveUnknown):
        pass
    return Held.CANNOT_TELL


def _verify_pss(key: keys.PublicKeyInfo, parameters: Any, signature: bytes, message: bytes) -> Held:
    if not isinstance(parameters, algos.RSASSAPSSParams):
        parameters = algos.RSASSAPSSParams({})
    name = digest_name(parameters["hash_algorithm"])
    generator = digest_name(parameters["mask_gen_algorithm"]["parameters"])
    if name is None or generator is None:
        return Held.CANNOT_TELL
    # whatever length of salt is written beside it: the signature itself tells the true one
    fill = padding.PSS(padding.MGF1(_DIGESTS[generator]()), padding.PSS.AUTO)
    return _check_rsa(key, lambda public: public.verify(signature, message, fill, _DIGESTS[name]()))


def _verify_rsa(key: keys.PublicKeyInfo, signature: bytes, message: bytes, name: str | None) -> Held:
    if name is None or name not in _DIGESTS:
        return Held.CANNOT_TELL
    held = _check_rsa(key, lambda public: _check_pkcs1(public, signature, message, name))
    own = key["algorithm"]["parameters"] if key["algorithm"]["algorithm"].native == "rsassa_pss" else None
    if held is Held.NO and own is not None:
        # OpenSSL 3.0 writes "rsaEncryption" over what a key that is for PSS only has signed by PSS
        stated = own if isinstance(own, algos.RSASSAPSSParams) else _pss_of(name)
        held = _verify_pss(key, stated, signature, message)
    return held


def _pss_of(name: str) -> algos.RSASSAPSSParams:
    return algos.RSASSAPSSParams(
        {"hash_algorithm": {"algorithm": name}, "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": name}}}
    )


def _check_pkcs1(public: rsa.RSAPublicKey, signature: bytes, message: bytes, name: str) -> None:
    try:
        public.verify(signature, message, padding.PKCS1v15(), _DIGESTS[name]())
    except UnsupportedAlgorithm:
        opened = public.recover_data_from_signature(signature, padding.PKCS1v15(), None)
        oid = next(oid for oid, known in _DIGEST_OIDS.items() if known == name)
        for parameters in (b"\x05\x00", b""):
            kind = tlv.write(0x30, algos.DigestAlgorithmId(oid).dump() + parameters)
            if hmac.compare_digest(opened, tlv.write(0x30, kind + tlv.write(0x04, digest(name, message)))):
                return
        raise InvalidSignature from None


def _check_rsa(key: keys.PublicKeyInfo, check: Callable[[rsa.RSAPublicKey], None]) -> Held:
    public = load_key(key)
    if not isinstance(public, rsa.RSAPublicKey):
        return Held.NO
    try:
        check(public)
    except (InvalidSignature, ValueError):
        return Held.NO
    return Held.YES


def _specified(algorithm: algos.SignedDigestAlgorithm) -> str | None:
    parameters = algorithm["parameters"]
    body = parameters.dump() if parameters else b""
    return digest_name(algos.DigestAlgorithm.load(body)) if body[:1] == b"\x30" else None


def _der_pair(signature: bytes) -> tuple[int, int] | None:
    """Read SEQUENCE { r, s }; a leading one bit is part of the number (some issuers forget the zero before it)."""
    try:
        parts = [item.value for item in tlv.children(tlv.find(signature, 0x30)) if item.tag == 0x02]
    except CardMalformed:
        return None
    if len(parts) != 2:
        return None
    return int.from_bytes(parts[0], "big"), int.from_bytes(parts[1], "big")


def _plain_pair(signature: bytes) -> tuple[int, int] | None:
    half, rest = divmod(len(signature), 2)
    if rest or not half:
        return None
    return int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")


def _verify_ecdsa(key: keys.PublicKeyInfo, pair: tuple[int, int], message: bytes, name: str | None) -> Held:
    if key["algorithm"]["algorithm"].native != "ec":
        return Held.NO
    if name is None or name not in _DIGESTS:
        return Held.CANNOT_TELL
    try:
        public = load_key(key)
    except UnsupportedAlgorithm:
        return _verify_by_ecdsa(key, pair, digest(name, message))
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return Held.NO
    try:
        public.verify(encode_dss_signature(*pair), message, ec.ECDSA(_DIGESTS[name]()))
    except (InvalidSignature, ValueError):
        return Held.NO
    return Held.YES


def _verify_by_ecdsa(key: keys.PublicKeyInfo, pair: tuple[int, int], hashed: bytes) -> Held:
    curve, encoded = curves.of_public_key(key)
    public = VerifyingKey.from_public_point(curves.decode(curve, encoded), curve)
    order = int(curve.order)
    if not all(0 < number < order for number in pair):
        return Held.NO
    try:
        public.verify_digest(pair, hashed, sigdecode=lambda given, _: given, allow_truncate=True)
    except BadSignatureError:
        return Held.NO
    return Held.YES


def load_key(key: keys.PublicKeyInfo) -> object:
    """Load a public key; curves that are written out in full (as most document signers do) are named first.

    Raises:
        UnsupportedAlgorithm: OpenSSL has no such key or curve. CardMalformed: a curve is forged or unknown.
        ValueError, TypeError: it cannot be decoded.
    """
    algorithm = key["algorithm"]
    if algorithm["algorithm"].native == "ec" and algorithm["parameters"].name != "named":
        curve, point = curves.of_public_key(key)
        name = curves.LIBRARY_NAMES.get(next(number for number, item in curves.STANDARDISED.items() if item is curve))
        if name is None:
            raise UnsupportedAlgorithm("curve without a verifier")
        return ec.EllipticCurvePublicKey.from_encoded_point(name(), point)
    if algorithm["algorithm"].native == "rsassa_pss":
        plain = keys.PublicKeyInfo.wrap(key["public_key"].parsed, "rsa")
        return serialization.load_der_public_key(plain.dump())
    try:
        return serialization.load_der_public_key(key.dump())
    except ValueError:
        if algorithm["algorithm"].native == "ec":
            raise UnsupportedAlgorithm("curve without a verifier") from None
        raise
