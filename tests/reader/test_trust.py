"""Trust lists, and the keys of signers as states really write them."""

from __future__ import annotations

import datetime

import pytest
from asn1crypto import algos
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from annul.errors import BadInput, TooLarge
from annul.reader import curves, passive, specimen
from annul.reader.faults import CardMalformed
from annul.reader.passive import PassiveVerdict, TrustList, authenticate
from annul.reader.specimen import SpecimenCountry

AT = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
ZONE = ["I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F3204153UTO<<<<<<<<<<<2", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"]
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM


def test_a_trust_list_is_pem_or_der() -> None:
    """Several in PEM, one in DER, none at all."""
    one, two = SpecimenCountry(AT), SpecimenCountry(AT, country="FR")
    both = one.country_certificate.public_bytes(PEM) + two.country_certificate.public_bytes(PEM)
    assert len(TrustList.load(both)) == 2
    assert len(TrustList.load(one.country_certificate.public_bytes(DER))) == 1
    assert len(TrustList.load(b"")) == 0


@pytest.mark.parametrize("data", [b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_list_that_cannot_be_decoded_is_refused_whole(data: bytes) -> None:
    """Half a list would be another list."""
    with pytest.raises(BadInput):
        TrustList.load(data)
    with pytest.raises(TooLarge):
        TrustList.load(bytes(passive.TRUST_LIST_MAX_BYTES + 1))


def test_a_document_signer_may_be_believed_by_itself() -> None:
    """Its certificate is on the list, its country's is not."""
    country = SpecimenCountry(AT)
    groups = specimen.data_groups(ZONE, b"\xff\xd8\xff", None)
    trust = TrustList([country.signer_certificate.public_bytes(DER)])
    assert authenticate(country.security_object(groups), groups, trust, AT).verdict is PassiveVerdict.GENUINE


def test_a_document_signer_cannot_sign_signers() -> None:
    """A stolen document signer's key must not make new document signers: it is no certificate authority."""
    country, thief = SpecimenCountry(AT), SpecimenCountry(AT)
    thief.country_certificate, thief._country_key = country.signer_certificate, country._signer_key
    thief.signer_certificate = thief._certify(
        thief._signer_key, "Document Signer 2", "UT", AT - datetime.timedelta(9), AT + datetime.timedelta(9), thief
    )
    groups = specimen.data_groups(ZONE, b"\xff\xd8\xff", None)
    trust = TrustList([country.country_certificate.public_bytes(DER), country.signer_certificate.public_bytes(DER)])
    assert authenticate(thief.security_object(groups), groups, trust, AT).verdict is PassiveVerdict.UNKNOWN_SIGNER


@pytest.mark.parametrize(("number", "curve"), [(12, ec.SECP256R1()), (13, ec.BrainpoolP256R1()), (15, ec.SECP384R1())])
def test_a_signer_whose_curve_is_written_out_verifies(number: int, curve: ec.EllipticCurve) -> None:
    """Named and written-out forms of one key are the same key."""
    key = ec.generate_private_key(curve)
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    info = specimen.written_out(number, point)
    algorithm = algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"})
    signature = key.sign(b"message", ec.ECDSA(hashes.SHA256()))
    assert passive._verify(info, algorithm, signature, b"message", None)
    assert not passive._verify(info, algorithm, signature, b"another", None)


def test_a_forged_base_point_is_refused() -> None:
    """CVE-2020-0601: right curve, chosen base point, so that a known private key fits any public key."""
    curve = curves.STANDARDISED[12]
    other = curves.encode(curve, curves.multiply(curves.generator(curve), 7))
    info = specimen.written_out(12, other)
    info["algorithm"]["parameters"].chosen["base"] = other
    with pytest.raises(CardMalformed):
        curves.of_public_key(info)


@pytest.mark.parametrize("data", [b"", b"\x04", b"\x04" + bytes(64), b"\x02" + bytes(32), b"\x04" + b"\xff" * 64])
def test_a_point_off_the_curve_is_refused(data: bytes) -> None:
    """Invalid-curve attack on the reader's ephemeral key."""
    with pytest.raises(CardMalformed):
        curves.decode(curves.STANDARDISED[13], data)


def test_certificates_of_the_specimen_state_are_marked_as_such() -> None:
    """Nobody must mistake them for a state's."""
    names = SpecimenCountry(AT).country_certificate.subject
    assert names.get_attributes_for_oid(x509.NameOID.COUNTRY_NAME)[0].value == "UT"
