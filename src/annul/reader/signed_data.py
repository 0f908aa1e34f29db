"""CMS signed data as states really write it: EF.SOD of a chip, and the master lists of country signers.

What is redundant or oddly written is read and remarked on; what carries the proof (digest of the content, signature under the
signer's key) is never let off.

Source: RFC 5652 sections 5.3 and 5.4; ICAO Doc 9303-10 section 4.6.2, Doc 9303-12 section 8.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from asn1crypto import cms, core
from asn1crypto import x509 as asn1_x509

from annul.reader import signatures, tlv
from annul.reader.faults import CardMalformed
from annul.reader.signatures import Held

SIGNERS_MAX = 4
"""Signatures of one object that are tried; a document has one."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One signed-data object, opened: its content type (dotted), its content, the certificates it carries, its signers."""

    content_type: str
    content: bytes
    certificates: tuple[asn1_x509.Certificate, ...]
    signers: tuple[cms.SignerInfo, ...]
    remarks: tuple[str, ...] = ()


@dataclass(slots=True)
class Proof:
    """What one signature proved, and what was odd about it."""

    held: Held
    remarks: set[str] = field(default_factory=set)


def open_signed(data: bytes, *, value_max_bytes: int = tlv.VALUE_MAX_BYTES) -> Signed:
    """Open a ContentInfo that holds signed data.

    Raises:
        CardMalformed, or one of `signatures.DECODING`: it does not.
    """
    plain = tlv.definite(data, value_max_bytes=value_max_bytes)
    remarks = () if plain == data else ("not_der",)
    info = cms.ContentInfo.load(plain, strict=True)
    if info["content_type"].native != "signed_data":
        raise CardMalformed("it is not signed data")
    signed = info["content"]
    inner = signed["encap_content_info"]
    content = inner["content"]
    octets = content.contents if isinstance(content, core.Asn1Value) and not isinstance(content, core.Void) else b""
    carried = signed["certificates"]
    certificates = tuple(item.chosen for item in carried if item.name == "certificate") if carried else ()
    return Signed(inner["content_type"].dotted, octets, certificates, tuple(signed["signer_infos"])[:SIGNERS_MAX], remarks)


def named_signers(info: cms.SignerInfo, candidates: list[asn1_x509.Certificate]) -> list[asn1_x509.Certificate]:
    """Return the certificates that the signer's identifier names."""
    sid = info["sid"]
    if sid.name != "issuer_and_serial_number":
        return [item for item in candidates if item.key_identifier == sid.chosen.native]
    wanted = sid.chosen
    serial = wanted["serial_number"].native
    return [item for item in candidates if item.serial_number == serial and item.issuer == wanted["issuer"]]


def prove(signed: Signed, info: cms.SignerInfo, signer: asn1_x509.Certificate) -> Proof:
    """Check digest and signature of one signer.

    Raises:
        CardMalformed, or one of `signatures.DECODING`: key, parameters or attributes cannot be decoded.
    """
    name = signatures.digest_name(info["digest_algorithm"])
    attributes = info["signed_attrs"]
    if not attributes:
        held = signatures.verify(signer.public_key, info["signature_algorithm"], info["signature"].native, signed.content, name)
        return Proof(held, {"attributes_missing"})
    values: dict[str, list[core.Asn1Value]] = {}
    for item in attributes:
        values.setdefault(item["type"].native, []).extend(item["values"])
    types, digests = values.get("content_type", []), values.get("message_digest", [])
    if len(types) != 1 or types[0].dotted != signed.content_type or len(digests) != 1:
        return Proof(Held.NO)
    if name is None:
        return Proof(Held.CANNOT_TELL)
    if not hmac.compare_digest(digests[0].native, signatures.digest(name, signed.content)):
        return Proof(Held.NO)
    return _signature(info, signer, name)


def _signature(info: cms.SignerInfo, signer: asn1_x509.Certificate, name: str) -> Proof:
    # RFC 5652 section 5.4: the signature covers the attributes as an explicit SET in DER, not with their context tag. Some
    # signers sign them sorted but send them unsorted, others sign just what they send.
    sent = info["signed_attrs"].dump()
    members = [tlv.write(item.tag, item.value) for item in tlv.children(tlv.read(sent).value)]
    by_sending, by_rule = b"\x31" + sent[1:], tlv.write(0x31, b"".join(sorted(members)))
    remarks = set() if by_sending == by_rule else {"attributes_unsorted"}
    held = Held.NO
    for message in dict.fromkeys((by_sending, by_rule)):
        held = signatures.verify(signer.public_key, info["signature_algorithm"], info["signature"].native, message, name)
        if held is not Held.NO:
            break
    return Proof(held, remarks)
