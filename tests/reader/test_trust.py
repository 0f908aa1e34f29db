"""Trust lists, and the keys of signers as states really write them."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path

import pytest
from asn1crypto import algos
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.reader.openssl import P_256, Country, openssl

from annul.errors import BadInput, TooLarge
from annul.reader import curves, signatures, specimen, tlv, trust
from annul.reader.faults import CardMalformed
from annul.reader.passive import PassiveVerdict, authenticate
from annul.reader.signatures import Held
from annul.reader.specimen import SpecimenCountry
from annul.reader.trust import TrustList

AT = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
ZONE = ["I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F3204153UTO<<<<<<<<<<<2", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"]
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM


def test_a_trust_list_is_pem_or_der() -> None:
    """Several in PEM, one in DER."""
    one, two = SpecimenCountry(AT), SpecimenCountry(AT, country="FR")
    both = one.country_certificate.public_bytes(PEM) + two.country_certificate.public_bytes(PEM)
    assert len(TrustList.load(both)) == 2
    assert len(TrustList.load(one.country_certificate.public_bytes(DER))) == 1


@pytest.mark.parametrize("data", [b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_list_that_cannot_be_decoded_is_refused_whole(data: bytes) -> None:
    """Half a list would be another list."""
    with pytest.raises(BadInput):
        TrustList.load(data)
    with pytest.raises(TooLarge):
        TrustList.load(bytes(trust.FILE_MAX_BYTES + 1))


def test_a_document_signer_may_be_believed_by_itself() -> None:
    """Its certificate is on the list, its country's is not."""
    country = SpecimenCountry(AT)
    groups = specimen.data_groups(ZONE, b"\xff\xd8\xff", None)
    believed = TrustList([country.signer_certificate.public_bytes(DER)])
    assert authenticate(country.security_object(groups), groups, believed, AT).verdict is PassiveVerdict.GENUINE


def test_a_document_signer_cannot_sign_signers() -> None:
    """A stolen document signer's key must not make new document signers: it is no certificate authority."""
    country, thief = SpecimenCountry(AT), SpecimenCountry(AT)
    thief.country_certificate, thief._country_key = country.signer_certificate, country._signer_key
    thief.signer_certificate = thief._certify(
        thief._signer_key, "Document Signer 2", "UT", AT - datetime.timedelta(9), AT + datetime.timedelta(9), thief
    )
    groups = specimen.data_groups(ZONE, b"\xff\xd8\xff", None)
    believed = TrustList([country.country_certificate.public_bytes(DER), country.signer_certificate.public_bytes(DER)])
    assert authenticate(thief.security_object(groups), groups, believed, AT).verdict is PassiveVerdict.UNKNOWN_SIGNER


@pytest.mark.parametrize(("number", "curve"), [(12, ec.SECP256R1()), (13, ec.BrainpoolP256R1()), (15, ec.SECP384R1())])
def test_a_signer_whose_curve_is_written_out_verifies(number: int, curve: ec.EllipticCurve) -> None:
    """Named and written-out forms of one key are the same key."""
    key = ec.generate_private_key(curve)
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    info = specimen.written_out(number, point)
    algorithm = algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"})
    signature = key.sign(b"message", ec.ECDSA(hashes.SHA256()))
    assert signatures.verify(info, algorithm, signature, b"message", None) is Held.YES
    assert signatures.verify(info, algorithm, signature, b"another", None) is Held.NO


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


# -- files as authorities publish them, written by OpenSSL -------------------------------------------------------------------


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[Country]:
    """Three states with country signer and document signer; the third publishes master lists."""
    folder = tmp_path_factory.mktemp("states")
    return [Country(folder / name, P_256, country=name) for name in ("AA", "BB", "UN")]


def groups_and_sod(country: Country) -> tuple[dict[int, bytes], bytes]:
    """Return a document's groups and EF.SOD."""
    groups = specimen.data_groups(ZONE, b"\xff\xd8\xff", None)
    return groups, country.sod(groups)


def verdict(country: Country, believed: TrustList) -> PassiveVerdict:
    """Judge a document of the country today."""
    groups, sod = groups_and_sod(country)
    return authenticate(sod, groups, believed, datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).verdict


def ldif(*attributes: tuple[str, bytes]) -> bytes:
    """Write an LDIF as the Public Key Directory's, its values folded at 76 characters."""
    lines = ["# specimen", "version: 1", ""]
    for number, (name, value) in enumerate(attributes):
        text = f"{name}:: {base64.b64encode(value).decode()}"
        folded = "\n ".join(text[at : at + 76] for at in range(0, len(text), 76))
        lines += [
            f"dn: cn=SPECIMEN{number},o=dsc,c=AA,dc=data,dc=download,dc=pkd,dc=icao,dc=int",
            "objectClass: top",
            folded,
            "",
        ]
    return "\n".join(lines).encode()


def test_files_of_several_forms_are_read_together(states: list[Country], tmp_path: Path) -> None:
    """PEM beside DER, in both orders; labels OpenSSL reads; several in one file; base64 without a frame; UTF-16."""
    one, two, three = states
    pem, der = one.certificate(form="PEM"), two.certificate()
    for files in ([("a", pem), ("b", der)], [("b", der), ("a", pem)]):
        assert len(TrustList.read(files)) == 2
    assert len(TrustList.load(der + three.certificate())) == 2
    assert len(TrustList.load(pem.replace(b" CERTIFICATE", b" X509 CERTIFICATE") + two.certificate(form="PEM"))) == 2
    assert len(TrustList.load(b"Subject: x\n" + pem + b"more text\n")) == 1
    assert len(TrustList.load(base64.encodebytes(der))) == 1
    assert len(TrustList.load(pem.decode().encode("utf-16"))) == 1
    trusted = openssl("x509", "-in", "ca.pem", "-trustout", "-setalias", "A", cwd=one.folder)
    assert b"TRUSTED CERTIFICATE" in trusted
    assert len(TrustList.load(trusted)) == 1
    (tmp_path / "both.pem").write_bytes(pem + two.certificate(form="PEM"))
    for form in ("PEM", "DER"):
        bundle = openssl("crl2pkcs7", "-nocrl", "-certfile", "both.pem", "-outform", form, cwd=tmp_path)
        assert len(TrustList.load(bundle)) == 2


@pytest.mark.parametrize(
    "data", [b"", b"no certificate", b"\n\n", b"version: 1\n\ndn: c=AA\n", b"PK\x03\x04", b"\x30\x03\x02\x01\x00"]
)
def test_a_file_that_yields_nothing_is_an_error_that_names_it(states: list[Country], data: bytes) -> None:
    """Half a list would be another list: nothing is dropped without a word."""
    good = ("good.pem", states[0].certificate(form="PEM"))
    for files in ([good, ("other.bin", data)], [("other.bin", data), good]):
        with pytest.raises(BadInput, match=r"other\.bin") as caught:
            TrustList.read(files)
        assert caught.value.where == "other.bin"


def test_a_file_of_keys_only_yields_no_certificate(states: list[Country]) -> None:
    """The wrong file of a pair."""
    with pytest.raises(BadInput, match="holds no certificate"):
        TrustList.load((states[0].folder / "ca.key").read_bytes(), name="ca.key")


def test_a_master_list_is_believed_for_its_signer_only(states: list[Country]) -> None:
    """Pinned by its signer's certificate or its country's; by nobody's it is refused and the signer's fingerprint told."""
    one, two, three = states
    listed = three.master_list([one.certificate(), two.certificate()])
    for pin in ("ds", "ca"):
        believed = TrustList.read([("list.ml", listed), ("pin.der", three.certificate(pin))])
        assert len(believed) == 3
        assert verdict(one, believed) is PassiveVerdict.GENUINE
    for files in ([("list.ml", listed)], [("list.ml", listed), ("a.der", one.certificate())]):
        with pytest.raises(BadInput, match=r"list\.ml is signed by nobody") as caught:
            TrustList.read(files)
        fingerprint = openssl("x509", "-in", "ds.pem", "-noout", "-fingerprint", "-sha256", cwd=three.folder).decode()
        assert fingerprint.split("=")[1].strip().replace(":", "").lower() in caught.value.message


def test_an_altered_master_list_is_refused(states: list[Country]) -> None:
    """A certificate exchanged for another of the same length of body: the digest no longer holds."""
    one, two, three = states
    listed = bytearray(three.master_list([one.certificate()]))
    at = listed.index(b"Country Signer")
    listed[at : at + 7] = b"COUNTRY"
    with pytest.raises(BadInput, match="signed by nobody"):
        TrustList.read([("list.ml", bytes(listed)), ("pin.der", three.certificate("ds"))])
    # signed by the right name but another key
    forger = Country(two.folder.parent / "forger", P_256, country="UN")
    with pytest.raises(BadInput, match="signed by nobody"):
        TrustList.read([("list.ml", forger.master_list([two.certificate()])), ("pin.der", three.certificate("ca"))])


def test_the_directory_s_ldif_brings_signers_lists_and_revocations(states: list[Country], tmp_path: Path) -> None:
    """Document signers are found there, not believed; master lists need a pin; revocation lists take effect."""
    one, two, three = states
    signers = ldif(("userCertificate;binary", one.certificate("ds")), ("userCertificate;binary", two.certificate("ds")))
    assert verdict(one, TrustList.load(signers)) is PassiveVerdict.UNKNOWN_SIGNER
    masters = ldif(("pkdMasterListContent", three.master_list([one.certificate(), two.certificate()])))
    pin = ("pin.pem", three.certificate("ca", "PEM"))
    believed = TrustList.read([("001.ldif", signers), ("002.ldif", masters), pin])
    assert (verdict(one, believed), verdict(two, believed)) == (PassiveVerdict.GENUINE, PassiveVerdict.GENUINE)
    groups = specimen.data_groups(ZONE, b"\xff\xd8\xff", None)
    bare = one.sod(groups, "-nocerts")
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    assert authenticate(bare, groups, believed, now).verdict is PassiveVerdict.GENUINE
    revoker = Country(tmp_path, P_256, country="CC")
    revoked = ldif(("certificateRevocationList;binary", revoker.revocation_list("ds")))
    files = [("ca.der", revoker.certificate()), ("003.ldif", revoked), ("one.der", one.certificate())]
    believed = TrustList.read(files)
    assert believed.passed_over == ()
    assert (verdict(revoker, believed), verdict(one, believed)) == (PassiveVerdict.REVOKED_SIGNER, PassiveVerdict.GENUINE)


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_revocation_lists_count_for_their_own_country_signer_only(states: list[Country], tmp_path: Path, form: str) -> None:
    """Of an unknown signer, or forged under a known name, they revoke nothing and are told of."""
    revoker = Country(tmp_path / "a", P_256, country="CC")
    revocations = ("list.crl", revoker.revocation_list("ds", form=form))
    believed = TrustList.read([("ca.der", revoker.certificate()), revocations])
    assert verdict(revoker, believed) is PassiveVerdict.REVOKED_SIGNER
    unknown = TrustList.read([("other.der", states[0].certificate()), revocations])
    assert "1 revocation lists in list.crl" in unknown.passed_over[0]
    forger = Country(tmp_path / "b", P_256, country="CC")
    forged = TrustList.read([("ca.der", forger.certificate()), revocations])
    assert len(forged.passed_over) == 1


def test_a_country_signer_whose_name_is_written_otherwise_is_found_by_its_key(tmp_path: Path) -> None:
    """The document signer's issuer and the country signer's subject differ in a word; the key identifiers agree."""
    country = Country(tmp_path, P_256)
    old = country.certificate()
    openssl(
        "req",
        "-new",
        "-key",
        "ca.key",
        "-subj",
        "/C=UT/O=Specimen Office/CN=Country Signer",
        "-config",
        "empty.conf",
        "-out",
        "ca2.csr",
        cwd=country.folder,
    )
    openssl(
        "x509",
        "-req",
        "-in",
        "ca2.csr",
        "-signkey",
        "ca.key",
        "-days",
        "7000",
        "-extfile",
        "ca.ext",
        "-extensions",
        "v3",
        "-out",
        "ca.pem",
        cwd=country.folder,
    )
    assert country.certificate() != old
    assert verdict(country, TrustList([country.certificate()])) is PassiveVerdict.GENUINE


def test_ber_of_a_master_list_is_read(states: list[Country]) -> None:
    """Without end, in pieces, as OpenSSL streams it."""
    one, _, three = states
    content = tlv.write(0x30, b"\x02\x01\x00" + tlv.write(0x31, one.certificate()))
    streamed = three.sign(content, "-stream", kind="2.23.136.1.1.2")
    assert streamed[:2] == b"\x30\x80"
    assert len(TrustList.read([("list.ml", streamed), ("pin.der", three.certificate())])) == 2
