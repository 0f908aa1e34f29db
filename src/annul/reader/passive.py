"""Passive authentication: is what the chip says what a known state signed?

A numbered recipe; every failure has a name of its own, all of them are reported, the gravest is the verdict:

1. EF.SOD is a CMS signed-data object over a security object ........................ `malformed`
2. the signer's certificate is in it (or in the trust list) ......................... `unknown_signer`
3. the signed attributes carry the digest of the security object ................... `bad_signature`
4. the signature over them holds under the signer's key (else: signed by a wrong key) `bad_signature`
5. every data group that was read has the digest the security object names ......... `altered`
6. the signer's certificate was issued by a country signer of the trust list ........ `unknown_signer`
7. neither is revoked ............................................................... `revoked_signer`
8. both certificates are within their dates ......................................... `expired_signer`
9. both are of the state that the zone names as issuer, or of a territory of it ...... `other_state`

A step that needs a curve, a digest or a form of signature without a verifier here is `cannot_verify`: it proves nothing, and
accuses nobody. What is redundant and oddly written costs nothing but a remark: `signer_named_otherwise` (than in its
certificate), `attributes_unsorted`, `attributes_missing`, `not_der` (BER for DER), `object_type` (an older object
identifier), `several_signers`, `territory_signer` (a territory's for its state, or the other way round).

Source: ICAO Doc 9303-11 (8th edition) section 5.1, 9303-10 section 4.6.2, 9303-12 section 7 (profiles), RFC 5652.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from asn1crypto import algos, cms, core
from asn1crypto import x509 as asn1_x509

from annul.reader import signatures, tlv
from annul.reader.faults import CardMalformed
from annul.reader.signatures import DECODING, Held
from annul.reader.signed_data import Proof, Signed, named_signers, open_signed, prove
from annul.reader.territories import state_of, two_letters
from annul.reader.trust import TrustList, is_country_signer, issued
from annul.records.states import signer_country

SECURITY_OBJECT = "2.23.136.1.1.1"
_OLDER_TYPES = ("1.3.27.1.1.1", "1.2.528.1.1006.1.20.1")
"""Object identifiers of the security object on early documents, before ICAO had its own arc in use."""


class PassiveVerdict(StrEnum):
    """Outcome of passive authentication, gravest first but for the last two."""

    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad_signature"
    ALTERED = "altered"
    UNKNOWN_SIGNER = "unknown_signer"
    REVOKED_SIGNER = "revoked_signer"
    CANNOT_VERIFY = "cannot_verify"
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
        groups: data group number -> whether its digest is the signed one (also False when it is not in the SOD at all);
            empty when the digest is one that nothing here computes.
        signer: SHA-256 of the signer's certificate in hex, or "".
        signer_country: two letters from the certificate, or "".
        remarks: codes of what was odd but costs nothing, see the module's text.
    """

    verdict: PassiveVerdict
    failures: tuple[PassiveVerdict, ...] = ()
    groups: Mapping[int, bool] = field(default_factory=dict)
    signer: str = ""
    signer_country: str = ""
    remarks: tuple[str, ...] = ()

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


_MALFORMED = PassiveAuthentication(PassiveVerdict.MALFORMED, (PassiveVerdict.MALFORMED,))


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
        signed = open_signed(tlv.find(sod, 0x77))
        if signed.content_type not in (SECURITY_OBJECT, *_OLDER_TYPES) or not signed.signers:
            return _MALFORMED
        security_object = SecurityObject.load(signed.content, strict=True)
        if not 1 <= len(security_object["groups"]) <= 16:
            return _MALFORMED
        matches = _compare(security_object, groups)
        found = [_judge(signed, info, trust, at, issuer) for info in signed.signers]
    except (CardMalformed, *DECODING):
        return _MALFORMED
    # one signature of a known state is enough, whoever else signed
    judged = min(found, key=lambda each: _order(each.failures))
    failures, remarks = set(judged.failures), set(judged.remarks) | set(signed.remarks)
    if matches is None:
        failures.add(PassiveVerdict.CANNOT_VERIFY)
    elif not all(matches.values()):
        failures.add(PassiveVerdict.ALTERED)
    if signed.content_type != SECURITY_OBJECT:
        remarks.add("object_type")
    if len(found) > 1:
        remarks.add("several_signers")
    ordered = tuple(verdict for verdict in PassiveVerdict if verdict in failures)
    verdict = ordered[0] if ordered else PassiveVerdict.GENUINE
    return PassiveAuthentication(verdict, ordered, matches or {}, judged.signer, judged.country, tuple(sorted(remarks)))


def believed_content(data: bytes, kind: str, trust: TrustList, at: datetime.datetime) -> tuple[bytes, str] | None:
    """Return the content of signed data of another kind (EF.CardSecurity) and its signer, if a known state signed it.

    Args:
        data: the ContentInfo.
        kind: content type that is asked for, dotted.
        trust: certificates to believe.
        at: time of the check, with a time zone.
    Returns:
        (content, SHA-256 of the signer's certificate in hex); None when it cannot be decoded, verified or believed.
    """
    try:
        signed = open_signed(data)
        if signed.content_type != kind:
            return None
        found = [_judge(signed, info, trust, at, None) for info in signed.signers]
    except (CardMalformed, *DECODING):
        return None
    return next(((signed.content, each.signer) for each in found if not each.failures), None)


def _compare(security_object: SecurityObject, groups: Mapping[int, bytes]) -> dict[int, bool] | None:
    """Compare the digests of what was read; None when nothing here computes the digest."""
    digests = {int(item["number"].native): item["digest"].native for item in security_object["groups"]}
    name = signatures.digest_name(security_object["algorithm"])
    if name is None:
        return None
    return {
        number: number in digests and hmac.compare_digest(signatures.digest(name, data), digests[number])
        for number, data in groups.items()
    }


@dataclass(slots=True)
class _Judged:
    """What one signer of EF.SOD is worth."""

    failures: set[PassiveVerdict]
    remarks: set[str] = field(default_factory=set)
    signer: str = ""
    country: str = ""


def _order(failures: set[PassiveVerdict]) -> int:
    """Rank failures, the least grave lowest."""
    return max((len(PassiveVerdict) - list(PassiveVerdict).index(each) for each in failures), default=0)


def _judge(signed: Signed, info: cms.SignerInfo, trust: TrustList, at: datetime.datetime, issuer: str | None) -> _Judged:
    found = _signer(signed, info, trust)
    if found is None:
        return _Judged({PassiveVerdict.UNKNOWN_SIGNER})
    signer, proof = found
    failures = {Held.YES: set(), Held.NO: {PassiveVerdict.BAD_SIGNATURE}, Held.CANNOT_TELL: {PassiveVerdict.CANNOT_VERIFY}}[
        proof.held
    ]
    chain, more = _judge_chain(signer, trust, at)
    failures |= more
    country = _country(signer)
    if issuer is not None:
        expected = signer_country(issuer)
        countries = {_country(item) for item in chain if _country(item)} or {""}
        if expected is not None and {state_of(item) for item in countries} != {state_of(expected)}:
            failures.add(PassiveVerdict.OTHER_STATE)
        elif expected is not None and countries != {expected}:
            proof.remarks.add("territory_signer")
    return _Judged(failures, proof.remarks, hashlib.sha256(signer.dump()).hexdigest(), country)


def _signer(signed: Signed, info: cms.SignerInfo, trust: TrustList) -> tuple[asn1_x509.Certificate, Proof] | None:
    """Find the signer's certificate: the one that is named, else one that is carried and whose key signed."""
    carried = list(signed.certificates)
    for place in (carried, list(trust.signers())):
        if named := named_signers(info, place):
            return named[0], prove(signed, info, named[0])
    for certificate in carried:
        proof = prove(signed, info, certificate)
        if proof.held is not Held.NO:
            proof.remarks.add("signer_named_otherwise")
            return certificate, proof
    return None


def _judge_chain(
    signer: asn1_x509.Certificate, trust: TrustList, at: datetime.datetime
) -> tuple[list[asn1_x509.Certificate], set[PassiveVerdict]]:
    failures: set[PassiveVerdict] = set()
    chain = [signer]
    if not trust.pinned(hashlib.sha256(signer.dump()).hexdigest()):
        candidates = [(item, issued(signer, item)) for item in trust.issuers(signer) if is_country_signer(item)]
        issuers = [item for item, held in candidates if held is Held.YES]
        if issuers:
            # Country signers renew under the same name: any of them that is in force will do.
            chain.append(next((item for item in issuers if _in_force(item, at)), issuers[0]))
        elif any(held is Held.CANNOT_TELL for _, held in candidates):
            failures.add(PassiveVerdict.CANNOT_VERIFY)
        else:
            failures.add(PassiveVerdict.UNKNOWN_SIGNER)
    if any(trust.revoked(item) for item in chain):
        failures.add(PassiveVerdict.REVOKED_SIGNER)
    if not all(_in_force(item, at) for item in chain):
        failures.add(PassiveVerdict.EXPIRED_SIGNER)
    return chain, failures


def _in_force(certificate: asn1_x509.Certificate, at: datetime.datetime) -> bool:
    validity = certificate["tbs_certificate"]["validity"]
    return bool(validity["not_before"].native <= at <= validity["not_after"].native)


def _country(certificate: asn1_x509.Certificate) -> str:
    value = certificate.subject.native.get("country_name", "")
    return two_letters(value) if isinstance(value, str) else ""
