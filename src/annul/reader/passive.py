"""Passive authentication: is what the chip says what a known state signed?

A numbered recipe; every failure has a name of its own, all of them are reported, the gravest is the verdict:

1. EF.SOD is a CMS signed-data object with one signer over a security object ........ `malformed`
2. the signer's certificate is in it (or in the trust list) ......................... `unknown_signer`
3. the signed attributes carry the digest of the security object ................... `bad_signature`
4. the signature over them holds under the signer's key (else: signed by a wrong key) `bad_signature`
5. every data group that was read has the digest the security object names ......... `altered`
6. the signer's certificate was issued by a country signer of the trust list ........ `unknown_signer`
7. neither is revoked ............................................................... `revoked_signer`
8. both certificates are within their dates ......................................... `expired_signer`
9. the signer's country is the state that the zone names as issuer .................. `other_state`

Source: ICAO Doc 9303-11 (8th edition) section 5.1, 9303-10 section 4.6.2, 9303-12 section 7 (profiles), RFC 5652.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from asn1crypto import algos, cms, core, keys, pem
from asn1crypto import x509 as asn1_x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from annul.errors import BadInput, TooLarge
from annul.reader import curves, tlv
from annul.reader.faults import CardMalformed
from annul.records.states import signer_country

TRUST_LIST_MAX_BYTES = 32 * 1024 * 1024
"""The public master lists are below 2 MB."""
SECURITY_OBJECT = "2.23.136.1.1.1"
_DIGESTS: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1,
    "sha224": hashes.SHA224,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
_DECODING = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, OverflowError)
_CURVE_NAMES = {
    8: "secp192r1", 10: "secp224r1", 12: "secp256r1", 13: "brainpoolp256r1", 15: "secp384r1", 16: "brainpoolp384r1",
    17: "brainpoolp512r1", 18: "secp521r1",
}  # fmt: skip


class PassiveVerdict(StrEnum):
    """Outcome of passive authentication, gravest first but for the last two."""

    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad_signature"
    ALTERED = "altered"
    UNKNOWN_SIGNER = "unknown_signer"
    REVOKED_SIGNER = "revoked_signer"
    EXPIRED_SIGNER = "expired_signer"
    OTHER_STATE = "other_state"
    GENUINE = "genuine"
    NOT_DONE = "not_done"


@dataclass(frozen=True, slots=True)
class PassiveAuthentication:
    """What passive authentication found.

    Attributes:
        verdict: the gravest failure, or `genuine`.
        failures: every failure, gravest first.
        groups: data group number -> whether its digest is the signed one; -1 when it was read but is not in the SOD.
        signer: SHA-256 of the signer's certificate in hex, or "".
        signer_country: two letters from the certificate, or "".
    """

    verdict: PassiveVerdict
    failures: tuple[PassiveVerdict, ...] = ()
    groups: Mapping[int, bool] = field(default_factory=dict)
    signer: str = ""
    signer_country: str = ""

    @property
    def genuine(self) -> bool:
        """A known state signed exactly this."""
        return self.verdict is PassiveVerdict.GENUINE


class _GroupDigest(core.Sequence):  # type: ignore[misc]
    _fields = [("number", core.Integer), ("digest", core.OctetString)]  # noqa: RUF012


class _GroupDigests(core.SequenceOf):  # type: ignore[misc]
    _child_spec = _GroupDigest


class SecurityObject(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012
        ("version", core.Integer),
        ("algorithm", algos.DigestAlgorithm),
        ("groups", _GroupDigests),
        ("lds_version", core.Any, {"optional": True}),
    ]


class TrustList:
    """The certificates a counter believes: country signers, and document signers believed directly.

    Args:
        certificates: DER certificates. A self-signed or CA certificate is a country signer, any other a document
            signer that is believed without a chain.
        revoked: SHA-256 (hex) of certificates that must not be believed.
    """

    def __init__(self, certificates: Iterable[bytes], *, revoked: Iterable[str] = ()) -> None:
        self._certificates: list[asn1_x509.Certificate] = []
        self._by_subject: dict[str, list[asn1_x509.Certificate]] = {}
        self._by_hash: dict[str, asn1_x509.Certificate] = {}
        self._revoked = frozenset(item.lower() for item in revoked)
        for index, der in enumerate(certificates):
            try:
                certificate = asn1_x509.Certificate.load(der, strict=True)
                subject = certificate.subject.hashable
                _ = certificate.public_key, certificate["tbs_certificate"]["validity"].native
            except _DECODING as error:
                raise BadInput(
                    f"Certificate {index + 1} of the trust list cannot be decoded.",
                    where=f"certificate {index + 1}",
                    mend="Give X.509 certificates in PEM or DER form.",
                ) from error
            self._certificates.append(certificate)
            self._by_subject.setdefault(subject, []).append(certificate)
            self._by_hash[hashlib.sha256(der).hexdigest()] = certificate

    def __len__(self) -> int:
        return len(self._certificates)

    @classmethod
    def load(cls, data: bytes, *, revoked: Iterable[str] = ()) -> TrustList:
        """Read a file of certificates: PEM (any number) or DER (one).

        Raises:
            TooLarge, BadInput.
        """
        if len(data) > TRUST_LIST_MAX_BYTES:
            raise TooLarge("The trust list is larger than 32 MiB.", where="trust list")
        if b"-----BEGIN" not in data:
            return cls([data] if data else [], revoked=revoked)
        try:
            parts = [der for kind, _, der in pem.unarmor(data, multiple=True) if kind == "CERTIFICATE"]
        except _DECODING as error:
            raise BadInput("The trust list is not good PEM.", where="trust list") from error
        return cls(parts, revoked=revoked)

    def issuers(self, certificate: asn1_x509.Certificate) -> list[asn1_x509.Certificate]:
        """Return the listed certificates that bear the issuer's name."""
        # by meaning: states write the same name as different string types in their two certificates
        return self._by_subject.get(certificate.issuer.hashable, [])

    def pinned(self, fingerprint: str) -> bool:
        """Tell whether this very certificate is on the list."""
        return fingerprint in self._by_hash

    def revoked(self, certificate: asn1_x509.Certificate) -> bool:
        """Tell whether this certificate must not be believed."""
        return hashlib.sha256(certificate.dump()).hexdigest() in self._revoked

    def signers(self) -> list[asn1_x509.Certificate]:
        """Return every listed certificate, for a SOD that leaves its signer's out."""
        return list(self._certificates)


def authenticate(
    sod: bytes, groups: Mapping[int, bytes], trust: TrustList, at: datetime.datetime, *, issuer: str | None = None
) -> PassiveAuthentication:
    """Follow the recipe of this module and say what was found.

    Args:
        sod: EF.SOD with its outer tag 77.
        groups: data group number -> its bytes with outer tag, exactly as the chip gave them.
        trust: certificates to believe.
        at: time of the check, with a time zone.
        issuer: issuing state of the zone (DG1), or None to leave step 9 out.
    Returns:
        The findings; never raises for anything the chip sent.
    """
    try:
        signed, info, security_object, listed = _open(sod)
    except (CardMalformed, *_DECODING):
        return PassiveAuthentication(PassiveVerdict.MALFORMED, (PassiveVerdict.MALFORMED,))
    failures: set[PassiveVerdict] = set()
    try:
        signer = _signer(signed, info, trust)
        algorithm = security_object["algorithm"]["algorithm"].native
        digests = {int(item["number"].native): item["digest"].native for item in security_object["groups"]}
        if algorithm not in _DIGESTS:
            raise CardMalformed("an unknown digest")
        matches = {
            number: number in digests and hmac.compare_digest(hashlib.new(algorithm, data).digest(), digests[number])
            for number, data in groups.items()
        }
        if not all(matches.values()):
            failures.add(PassiveVerdict.ALTERED)
        if signer is None:
            failures.add(PassiveVerdict.UNKNOWN_SIGNER)
            return _result(failures, matches)
        if not _signature_holds(info, listed, signer):
            failures.add(PassiveVerdict.BAD_SIGNATURE)
        failures |= _judge_chain(signer, trust, at)
        country = _country(signer)
    except (CardMalformed, *_DECODING):
        return PassiveAuthentication(PassiveVerdict.MALFORMED, (PassiveVerdict.MALFORMED,))
    if issuer is not None:
        expected = signer_country(issuer)
        if expected is not None and country != expected:
            failures.add(PassiveVerdict.OTHER_STATE)
    return _result(failures, matches, hashlib.sha256(signer.dump()).hexdigest(), country)


def _result(
    failures: set[PassiveVerdict], groups: Mapping[int, bool], signer: str = "", country: str = ""
) -> PassiveAuthentication:
    ordered = tuple(verdict for verdict in PassiveVerdict if verdict in failures)
    return PassiveAuthentication(ordered[0] if ordered else PassiveVerdict.GENUINE, ordered, groups, signer, country)


def _open(sod: bytes) -> tuple[cms.SignedData, cms.SignerInfo, SecurityObject, bytes]:
    content = cms.ContentInfo.load(tlv.find(sod, 0x77), strict=True)
    if content["content_type"].native != "signed_data":
        raise CardMalformed("EF.SOD is not signed data")
    signed = content["content"]
    inner = signed["encap_content_info"]
    infos = signed["signer_infos"]
    if inner["content_type"].dotted != SECURITY_OBJECT or len(infos) != 1:
        raise CardMalformed("EF.SOD does not hold one signed security object")
    listed = inner["content"].contents
    security_object = SecurityObject.load(listed, strict=True)
    if not 1 <= len(security_object["groups"]) <= 16:
        raise CardMalformed("the security object names no data group")
    return signed, infos[0], security_object, listed


def _signer(signed: cms.SignedData, info: cms.SignerInfo, trust: TrustList) -> asn1_x509.Certificate | None:
    carried = signed["certificates"]
    candidates = [item.chosen for item in carried if item.name == "certificate"] if carried else []
    sid = info["sid"]
    for certificate in candidates + trust.signers():
        if sid.name == "issuer_and_serial_number":
            wanted = sid.chosen
            same_serial = certificate.serial_number == wanted["serial_number"].native
            if same_serial and certificate.issuer == wanted["issuer"]:
                return certificate
        elif certificate.key_identifier == sid.chosen.native:
            return certificate
    return None


def _signature_holds(info: cms.SignerInfo, listed: bytes, signer: asn1_x509.Certificate) -> bool:
    name = info["digest_algorithm"]["algorithm"].native
    attributes = info["signed_attrs"]
    if name not in _DIGESTS or not attributes:
        return False
    values: dict[str, list[core.Asn1Value]] = {}
    for item in attributes:
        values.setdefault(item["type"].native, []).extend(item["values"])
    types, digests = values.get("content_type", []), values.get("message_digest", [])
    if len(types) != 1 or types[0].dotted != SECURITY_OBJECT or len(digests) != 1:
        return False
    if not hmac.compare_digest(digests[0].native, hashlib.new(name, listed).digest()):
        return False
    # RFC 5652 section 5.4: the signature covers the attributes as an explicit SET, not with their context tag.
    message = b"\x31" + attributes.dump()[1:]
    return _verify(signer.public_key, info["signature_algorithm"], info["signature"].native, message, name)


def _judge_chain(signer: asn1_x509.Certificate, trust: TrustList, at: datetime.datetime) -> set[PassiveVerdict]:
    failures: set[PassiveVerdict] = set()
    chain = [signer]
    if not trust.pinned(hashlib.sha256(signer.dump()).hexdigest()):
        issuers = [candidate for candidate in trust.issuers(signer) if candidate.ca and _issued(signer, candidate)]
        if not issuers:
            failures.add(PassiveVerdict.UNKNOWN_SIGNER)
        else:
            # Country signers renew under the same name: any of them that is in force will do.
            chain.append(next((item for item in issuers if _in_force(item, at)), issuers[0]))
    if any(trust.revoked(item) for item in chain):
        failures.add(PassiveVerdict.REVOKED_SIGNER)
    if not all(_in_force(item, at) for item in chain):
        failures.add(PassiveVerdict.EXPIRED_SIGNER)
    return failures


def _in_force(certificate: asn1_x509.Certificate, at: datetime.datetime) -> bool:
    validity = certificate["tbs_certificate"]["validity"]
    return bool(validity["not_before"].native <= at <= validity["not_after"].native)


def _issued(certificate: asn1_x509.Certificate, issuer: asn1_x509.Certificate) -> bool:
    usage = issuer.key_usage_value
    if usage is not None and "key_cert_sign" not in usage.native:
        return False
    algorithm = certificate["signature_algorithm"]
    message = certificate["tbs_certificate"].dump()
    return _verify(issuer.public_key, algorithm, certificate["signature_value"].native, message, None)


def _verify(
    key: keys.PublicKeyInfo, algorithm: algos.SignedDigestAlgorithm, signature: bytes, message: bytes, digest: str | None
) -> bool:
    """Verify one signature; `digest` stands in where the algorithm does not name its own."""
    scheme = algorithm.signature_algo
    try:
        if scheme == "rsassa_pss":
            parameters = algorithm["parameters"]
            name = parameters["hash_algorithm"]["algorithm"].native
            generator = parameters["mask_gen_algorithm"]["parameters"]["algorithm"].native
            fill: padding.AsymmetricPadding = padding.PSS(
                padding.MGF1(_DIGESTS[generator]()), int(parameters["salt_length"].native)
            )
        else:
            try:
                name = algorithm.hash_algo
            except ValueError:
                if digest is None:
                    return False
                name = digest
            fill = padding.PKCS1v15()
        if name not in _DIGESTS:
            return False
        public = load_key(key)
        if isinstance(public, rsa.RSAPublicKey) and scheme in ("rsassa_pss", "rsassa_pkcs1v15"):
            public.verify(signature, message, fill, _DIGESTS[name]())
        elif isinstance(public, ec.EllipticCurvePublicKey) and scheme == "ecdsa":
            public.verify(signature, message, ec.ECDSA(_DIGESTS[name]()))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def load_key(key: keys.PublicKeyInfo) -> object:
    """Load a public key; curves that are written out in full (as most document signers do) are named first."""
    algorithm = key["algorithm"]
    if algorithm["algorithm"].native == "ec" and algorithm["parameters"].name != "named":
        curve, point = curves.of_public_key(key)
        number = next(number for number, item in curves.STANDARDISED.items() if item is curve)
        known = {name: getattr(ec, attribute) for name, attribute in _EC_CLASSES.items()}
        if number not in _CURVE_NAMES:
            raise UnsupportedAlgorithm("curve without a verifier")
        return ec.EllipticCurvePublicKey.from_encoded_point(known[_CURVE_NAMES[number]](), point)
    if algorithm["algorithm"].native == "rsassa_pss":
        plain = keys.PublicKeyInfo.wrap(key["public_key"].parsed, "rsa")
        return serialization.load_der_public_key(plain.dump())
    return serialization.load_der_public_key(key.dump())


_EC_CLASSES = {
    "secp192r1": "SECP192R1", "secp224r1": "SECP224R1", "secp256r1": "SECP256R1", "secp384r1": "SECP384R1",
    "secp521r1": "SECP521R1", "brainpoolp256r1": "BrainpoolP256R1", "brainpoolp384r1": "BrainpoolP384R1",
    "brainpoolp512r1": "BrainpoolP512R1",
}  # fmt: skip


def _country(certificate: asn1_x509.Certificate) -> str:
    value = certificate.subject.native.get("country_name", "")
    return value.upper() if isinstance(value, str) else ""
