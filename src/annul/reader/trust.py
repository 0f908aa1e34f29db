"""The certificates a counter believes, and the files they come in, told by their content.

    PEM     any number of certificates, PKCS#7 bundles and revocation lists, whatever label OpenSSL reads
    DER     certificates one behind the other, a PKCS#7 bundle, a master list, a revocation list
    LDIF    what the ICAO Public Key Directory publishes: document signers, revocation lists, master lists

What an operator gives as a certificate is believed. A **master list** is believed only if a certificate that was given (its
signer's, or that signer's country signer) signed it. Document signers from an LDIF are not believed for being there: they are
only found there, and need a country signer like those that chips carry. A file that yields nothing is an error that names it.

Source: RFC 7468 (PEM), RFC 5652 (PKCS#7, CMS), RFC 2849 (LDIF), ICAO Doc 9303-12 section 8 (master lists, PKD).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from asn1crypto import cms, core, crl
from asn1crypto import x509 as asn1_x509

from annul.errors import BadInput, TooLarge
from annul.reader import signatures, tlv
from annul.reader.faults import CardMalformed
from annul.reader.signatures import DECODING, Held
from annul.reader.signed_data import Signed, named_signers, open_signed, prove

FILE_MAX_BYTES: Final = 256 * 1024 * 1024
"""The public master lists are below 2 MB, the directory's full LDIF of document signers is about 80 MB."""
MASTER_LIST: Final = "2.23.136.1.1.2"
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_LDIF_LINE: Final = re.compile(rb"^([A-Za-z][A-Za-z0-9-]*)(?:;[A-Za-z0-9;-]*)?:(:?)[ ]*(.*)$")
_LDIF_KINDS: Final = {
    b"usercertificate": "known",
    b"cacertificate": "known",
    b"certificaterevocationlist": "revoked",
    b"pkdmasterlistcontent": "master",
    b"cscamasterlistdata": "master",
}
_FORMS: Final = (
    "Give X.509 certificates (PEM or DER), a PKCS#7 bundle, a master list (.ml) with its signer's certificate beside it, "
    "or an LDIF file of the Public Key Directory."
)


class _MasterListContent(core.Sequence):  # type: ignore[misc]
    _fields = [("version", core.Integer), ("certificates", cms.CertificateSet)]  # noqa: RUF012


@dataclass(slots=True)
class _Found:
    """What the files hold, in DER, most with the name of their file: believed, only known, revocation and master lists."""

    believed: list[tuple[str, bytes]] = field(default_factory=list)
    known: list[bytes] = field(default_factory=list)
    revocations: list[tuple[str, bytes]] = field(default_factory=list)
    masters: list[tuple[str, Signed]] = field(default_factory=list)

    def count(self) -> int:
        """Return how much was found."""
        return len(self.believed) + len(self.known) + len(self.revocations) + len(self.masters)


class TrustList:
    """The certificates a counter believes: country signers, and document signers believed directly.

    Args:
        certificates: DER certificates. A self-signed or CA certificate is a country signer, any other a document
            signer that is believed without a chain.
        revoked: SHA-256 (hex) of certificates that must not be believed.
        known: DER certificates of document signers that are not believed by themselves, for objects that carry none.
    """

    def __init__(self, certificates: Iterable[bytes], *, revoked: Iterable[str] = (), known: Iterable[bytes] = ()) -> None:
        self._certificates: list[asn1_x509.Certificate] = []
        self._by_subject: dict[str, list[asn1_x509.Certificate]] = {}
        self._by_key: dict[bytes, list[asn1_x509.Certificate]] = {}
        self._by_hash: dict[str, asn1_x509.Certificate] = {}
        self._revoked = frozenset(item.lower() for item in revoked)
        self._revoked_serials: set[tuple[str, int]] = set()
        self._known = tuple(known)
        self.passed_over: tuple[str, ...] = ()
        """A sentence for each part of the files that could not be used."""
        for index, der in enumerate(certificates):
            self._add(der, f"Certificate {index + 1} of the trust list", f"certificate {index + 1}")

    def _add(self, der: bytes, what: str, where: str) -> None:
        fingerprint = hashlib.sha256(der).hexdigest()
        if fingerprint in self._by_hash:
            return
        try:
            certificate = asn1_x509.Certificate.load(der, strict=True)
            subject = certificate.subject.hashable
            _ = certificate.public_key, certificate["tbs_certificate"]["validity"].native, certificate.issuer.hashable
            key = certificate.key_identifier
        except DECODING as error:
            raise BadInput(f"{what} cannot be decoded.", where=where, mend=_FORMS) from error
        self._certificates.append(certificate)
        self._by_subject.setdefault(subject, []).append(certificate)
        if key is not None:
            self._by_key.setdefault(key, []).append(certificate)
        self._by_hash[fingerprint] = certificate

    def __len__(self) -> int:
        return len(self._certificates)

    @classmethod
    def load(cls, data: bytes, *, name: str = "trust list", revoked: Iterable[str] = ()) -> TrustList:
        """Read one file; see `read`."""
        return cls.read([(name, data)], revoked=revoked)

    @classmethod
    def read(cls, files: Sequence[tuple[str, bytes]], *, revoked: Iterable[str] = ()) -> TrustList:
        """Read files of certificates, each by its content.

        Args:
            files: name (for errors) and content of each.
            revoked: SHA-256 (hex) of certificates that must not be believed.
        Raises:
            TooLarge: a file is larger than `FILE_MAX_BYTES`.
            BadInput: a file cannot be decoded or yields nothing, or a master list is signed by nobody who was given.
        """
        found, only_masters = _Found(), set()
        for name, data in files:
            before, masters = found.count(), len(found.masters)
            _read_file(name, data, found)
            if found.count() == before:
                raise BadInput(f"The file {name} holds no certificate.", where=name, mend=_FORMS)
            if found.count() - before == len(found.masters) - masters:
                only_masters.add(name)
        trust = cls((), revoked=revoked, known=found.known)
        for name, der in found.believed:
            trust._add(der, f"A certificate in {name}", name)
        notes = trust._take_masters(found.masters, only_masters)
        notes += trust._take_revocations(found.revocations)
        trust.passed_over = tuple(notes)
        return trust

    def _take_masters(self, masters: list[tuple[str, Signed]], only_masters: set[str]) -> list[str]:
        """Add what believed master lists hold; a file that holds nothing else must yield something."""
        pinned = TrustList((item.dump() for item in self._certificates), revoked=self._revoked)
        refusals: dict[str, list[str]] = {}
        taken: list[tuple[str, bytes]] = []
        for name, signed in masters:
            if refusal := _refuse_master(name, signed, pinned):
                refusals.setdefault(name, []).append(refusal)
                continue
            try:
                listed = _MasterListContent.load(signed.content, strict=True)["certificates"]
                taken += [(name, item.chosen.dump()) for item in listed if item.name == "certificate"]
            except DECODING as error:
                raise BadInput(f"The master list in {name} cannot be decoded.", where=name, mend=_FORMS) from error
        for name in sorted(only_masters - {each for each, _ in taken}):
            said = refusals.get(name, [f"The master list in {name} is empty."])
            raise BadInput(said[0], where=name, mend=_FORMS)
        notes = [each for said in refusals.values() for each in said]
        for name, der in taken:
            try:
                self._add(der, f"A certificate in {name}", name)
            except BadInput as error:
                notes.append(error.message)
        return notes

    def _take_revocations(self, lists: list[tuple[str, bytes]]) -> list[str]:
        unknown: dict[str, int] = {}
        for name, der in lists:
            try:
                revoked = crl.CertificateList.load(der, strict=True)
                issuer = revoked.issuer.hashable
                signer_found = any(_signed_list(revoked, item) for item in self._by_subject.get(issuer, ()))
                entries = revoked["tbs_cert_list"]["revoked_certificates"]
                serials = (
                    {(issuer, int(item["user_certificate"].native)) for item in entries} if signer_found and entries else set()
                )
            except DECODING as error:
                raise BadInput(f"A revocation list in {name} cannot be decoded.", where=name) from error
            if not signer_found:
                unknown[name] = unknown.get(name, 0) + 1
            self._revoked_serials |= serials
        return [
            f"{count} revocation lists in {name} are of no country signer that was given; they were passed over."
            for name, count in unknown.items()
        ]

    def issuers(self, certificate: asn1_x509.Certificate) -> list[asn1_x509.Certificate]:
        """Return the listed certificates that bear the issuer's name, or hold the key that the certificate names."""
        # by meaning: states write the same name as different string types in their two certificates
        named = self._by_subject.get(certificate.issuer.hashable, [])
        key = certificate.authority_key_identifier
        return named or self._by_key.get(key, []) if key is not None else named

    def pinned(self, fingerprint: str) -> bool:
        """Tell whether this very certificate is on the list."""
        return fingerprint in self._by_hash

    def revoked(self, certificate: asn1_x509.Certificate) -> bool:
        """Tell whether this certificate must not be believed."""
        if hashlib.sha256(certificate.dump()).hexdigest() in self._revoked:
            return True
        return (certificate.issuer.hashable, int(certificate.serial_number)) in self._revoked_serials

    def signers(self) -> Iterator[asn1_x509.Certificate]:
        """Yield every certificate at hand, for an object that leaves its signer's out."""
        yield from self._certificates
        for der in self._known:
            try:
                yield asn1_x509.Certificate.load(der, strict=True)
            except DECODING:
                continue


def is_country_signer(certificate: asn1_x509.Certificate) -> bool:
    """Tell a certificate that may sign others: a CA's, or a self-signed one that says nothing of it (as of version 1)."""
    constraints = certificate.basic_constraints_value
    if constraints is None:
        return bool(certificate.issuer == certificate.subject)
    return bool(constraints["ca"].native)


def issued(certificate: asn1_x509.Certificate, issuer: asn1_x509.Certificate) -> Held:
    """Say whether `issuer` signed `certificate`, and may."""
    usage = issuer.key_usage_value
    if usage is not None and "key_cert_sign" not in usage.native:
        return Held.NO
    message, value = certificate["tbs_certificate"].dump(), certificate["signature_value"].native
    return signatures.verify(issuer.public_key, certificate["signature_algorithm"], value, message, None)


def _signed_list(revoked: crl.CertificateList, issuer: asn1_x509.Certificate) -> bool:
    value, message = revoked["signature"].native, revoked["tbs_cert_list"].dump()
    try:
        held = signatures.verify(issuer.public_key, revoked["signature_algorithm"], value, message, None)
    except CardMalformed:
        return False
    return is_country_signer(issuer) and held is Held.YES


def _refuse_master(name: str, signed: Signed, pinned: TrustList) -> str:
    """Return why a master list is not believed, or "" when one who was given signed it."""
    seen = ""
    for info in signed.signers:
        try:
            for signer in named_signers(info, [*signed.certificates, *pinned.signers()]):
                fingerprint = hashlib.sha256(signer.dump()).hexdigest()
                seen = f" Its signer's certificate has the SHA-256 {fingerprint}."
                anchors = [item for item in pinned.issuers(signer) if is_country_signer(item)]
                believed = pinned.pinned(fingerprint) or any(issued(signer, item) is Held.YES for item in anchors)
                if believed and not pinned.revoked(signer) and prove(signed, info, signer).held is Held.YES:
                    return ""
        except (CardMalformed, *DECODING):
            continue
    return (
        f"The master list in {name} is signed by nobody whose certificate was given.{seen} "
        "Compare it with what its publisher says, then give that certificate, or its country signer's, beside the list."
    )


def _read_file(name: str, data: bytes, found: _Found) -> None:
    if len(data) > FILE_MAX_BYTES:
        raise TooLarge(f"The file {name} is larger than {FILE_MAX_BYTES >> 20} MiB.", where=name)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", "replace").encode()
    if b"-----BEGIN " in data:
        for label, body in _PEM.findall(data):
            _read_armoured(name, label.decode("ascii"), body, found)
    elif data[:1] == b"\x30":
        _read_der(name, data, found)
    elif re.match(rb"\s*(#|dn:|version:)", data.removeprefix(b"\xef\xbb\xbf")):
        _read_ldif(name, data, found)
    elif re.fullmatch(rb"\s*MI[A-Za-z0-9+/=\s]+", data):
        _read_der(name, _base64(name, data), found)


def _base64(name: str, text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error as error:
        raise BadInput(f"The file {name} is not good PEM or LDIF: its base64 is damaged.", where=name, mend=_FORMS) from error


def _read_armoured(name: str, label: str, body: bytes, found: _Found) -> None:
    if label.endswith(("CERTIFICATE", "PKCS7", "CMS", "CRL", "PKCS #7 SIGNED DATA")):
        # OpenSSL's "TRUSTED CERTIFICATE" has its own settings behind the certificate
        _read_der(name, _base64(name, body), found, first_only=label == "TRUSTED CERTIFICATE")


def _read_der(name: str, data: bytes, found: _Found, *, first_only: bool = False) -> None:
    at = 0
    while at < len(data):
        try:
            if data[at : at + 2] == b"\x30\x80":
                part, at = data[at:], len(data)
            else:
                _, length, start = tlv.head(data, at, value_max_bytes=FILE_MAX_BYTES)
                part, at = data[at : start + length], start + length
            if at > len(data) or part[:1] != b"\x30":
                raise CardMalformed("it ends too early")
            _sort(name, part, found)
        except (CardMalformed, *DECODING) as error:
            raise BadInput(f"The file {name} cannot be decoded.", where=name, mend=_FORMS) from error
        if first_only:
            return


def _sort(name: str, der: bytes, found: _Found) -> None:
    """Tell a certificate, a revocation list and signed data apart by what stands first in them."""
    inner = der[tlv.head(der, value_max_bytes=FILE_MAX_BYTES)[2] :] if der[:2] != b"\x30\x80" else der[2:]
    if inner[:1] == b"\x06":
        signed = open_signed(der, value_max_bytes=FILE_MAX_BYTES)
        if signed.content_type == MASTER_LIST:
            found.masters.append((name, signed))
        else:
            found.believed += [(name, item.dump()) for item in signed.certificates]
        return
    start = tlv.head(inner, value_max_bytes=FILE_MAX_BYTES)[2]
    body = inner[start:]
    # a revocation list: version? algorithm, issuer, then a time; a certificate: [0] version? or a serial number of its own
    if body[:1] == b"\x02":
        _, length, value = tlv.head(body)
        after = body[value + length :]
        names = [item[0] for item in _tags(after, 3)]
        is_list = len(names) == 3 and names[2] in (0x17, 0x18)
    else:
        is_list = body[:1] == b"\x30"
    if is_list:
        found.revocations.append((name, der))
    else:
        asn1_x509.Certificate.load(der, strict=True)
        found.believed.append((name, der))


def _tags(data: bytes, count: int) -> Iterator[tuple[int, int]]:
    at = 0
    for _ in range(count):
        tag, length, start = tlv.head(data, at, value_max_bytes=FILE_MAX_BYTES)
        yield tag, length
        at = start + length


def _read_ldif(name: str, data: bytes, found: _Found) -> None:
    unfolded = re.sub(rb"\r?\n ", b"", data.removeprefix(b"\xef\xbb\xbf"))
    for line in unfolded.splitlines():
        match = _LDIF_LINE.match(line)
        if match is None or match[1].lower() not in _LDIF_KINDS or match[2] != b":":
            continue
        kind, der = _LDIF_KINDS[match[1].lower()], _base64(name, match[3])
        if kind == "known":
            found.known.append(der)
        elif kind == "revoked":
            found.revocations.append((name, der))
        else:
            try:
                found.masters.append((name, open_signed(der, value_max_bytes=FILE_MAX_BYTES)))
            except (CardMalformed, *DECODING) as error:
                raise BadInput(f"A master list in {name} cannot be decoded.", where=name) from error
