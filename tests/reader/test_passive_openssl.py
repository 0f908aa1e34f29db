"""Passive authentication of objects that OpenSSL signed: genuine is found genuine, odd is not called forged."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from asn1crypto import cms
from tests.reader.openssl import EC_WRITTEN, Country, ec, openssl, rsa, security_object

from annul.reader import specimen, tlv
from annul.reader.passive import PassiveAuthentication, PassiveVerdict, authenticate
from annul.reader.trust import TrustList

AT = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
ZONE = ["I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F3204153UTO<<<<<<<<<<<2", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"]
GROUPS = specimen.data_groups(ZONE, b"\xff\xd8\xff\xe0" + bytes(2000), None)


@pytest.fixture(scope="module")
def utopia(tmp_path_factory: pytest.TempPathFactory) -> Country:
    """A country as most are: P-256, SHA-256."""
    return Country(tmp_path_factory.mktemp("utopia"), ec("P-256"))


def judge(country: Country, sod: bytes, *, trust: TrustList | None = None, issuer: str = "UTO") -> PassiveAuthentication:
    """Authenticate the specimen's groups against the country's own signer."""
    believed = TrustList([country.certificate()]) if trust is None else trust
    return authenticate(sod, GROUPS, believed, AT, issuer=issuer)


def cms_of(sod: bytes) -> cms.ContentInfo:
    """Open EF.SOD to be written otherwise."""
    return cms.ContentInfo.load(tlv.find(sod, 0x77))


def rewrite(sod: bytes, old: bytes, new: bytes) -> bytes:
    """Exchange one stretch of EF.SOD for one of another length."""
    plain = tlv.find(sod, 0x77)
    assert plain.count(old) == 1
    at = plain.index(old)

    def change(data: bytes, start: int) -> bytes:
        if data == old:
            return new
        tag, length, value = tlv.head(data)
        parts, offset = [], value
        while offset < value + length:
            _, inner, begin = tlv.head(data, offset)
            end = begin + inner
            part = data[offset:end]
            parts.append(change(part, start + offset) if start + offset <= at < start + end else part)
            offset = end
        return tlv.write(tag, b"".join(parts))

    return tlv.write(0x77, change(plain, 0))


# -- every verdict ------------------------------------------------------------------------------------------------------------


def test_every_verdict_has_a_specimen(tmp_path: Path, utopia: Country) -> None:
    """Nine failures and none, each from an object of OpenSSL's; the only difference is what the name says."""
    sod = utopia.sod(GROUPS)
    assert judge(utopia, sod).verdict is PassiveVerdict.GENUINE
    assert judge(utopia, b"\x77\x03\x30\x01\x00").verdict is PassiveVerdict.MALFORMED
    signature = cms_of(sod)["content"]["signer_infos"][0]["signature"].native
    wrong = bytearray(signature)
    wrong[-1] ^= 1
    assert judge(utopia, sod.replace(signature, bytes(wrong))).verdict is PassiveVerdict.BAD_SIGNATURE
    altered = authenticate(sod, {**GROUPS, 1: GROUPS[1].replace(b"ANNA", b"EVIL")}, TrustList([utopia.certificate()]), AT)
    assert (altered.verdict, altered.groups) == (PassiveVerdict.ALTERED, {1: False, 2: True})
    assert judge(utopia, sod, trust=TrustList([])).verdict is PassiveVerdict.UNKNOWN_SIGNER
    revoking = TrustList.read([("a", utopia.certificate()), ("b", utopia.revocation_list("ds"))])
    assert judge(utopia, sod, trust=revoking).verdict is PassiveVerdict.REVOKED_SIGNER
    dsa = Country(tmp_path / "x", ec("prime239v1"))
    assert judge(dsa, dsa.sod(GROUPS)).verdict is PassiveVerdict.CANNOT_VERIFY
    later = authenticate(sod, GROUPS, TrustList([utopia.certificate()]), AT + datetime.timedelta(days=4000))
    assert later.verdict is PassiveVerdict.EXPIRED_SIGNER
    assert judge(utopia, sod, issuer="FRA").verdict is PassiveVerdict.OTHER_STATE


SHA3_NUMBERS = {"sha512-256": b"\x06", "sha3-256": b"\x08", "sha3-384": b"\x09", "sha3-512": b"\x0a"}
"""Last number of the digest's object identifier; that of its ECDSA is two higher."""


# -- curves, digests and forms of signature -----------------------------------------------------------------------------------

CURVES = [
    "prime192v1",
    "secp224r1",
    "P-256",
    "P-384",
    "P-521",
    "brainpoolP192r1",
    "brainpoolP224r1",
    "brainpoolP256r1",
    "brainpoolP320r1",
    "brainpoolP384r1",
    "brainpoolP512r1",
]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("writing", ["named_curve", EC_WRITTEN])
def test_every_curve_of_doc_9303_verifies(tmp_path: Path, curve: str, writing: str) -> None:
    """Table 6 of part 11, by name and written out: chain and object."""
    country = Country(tmp_path, ec(curve, writing))
    assert judge(country, country.sod(GROUPS)).verdict is PassiveVerdict.GENUINE
    forged = country.sod({**GROUPS, 1: GROUPS[1].replace(b"ANNA", b"EVIL")})
    real = cms_of(country.sod(GROUPS))["content"]["signer_infos"][0]["signature"].native
    own = cms_of(forged)["content"]["signer_infos"][0]["signature"].native
    assert judge(country, rewrite(forged, tlv.write(4, own), tlv.write(4, real))).verdict is PassiveVerdict.BAD_SIGNATURE


@pytest.mark.parametrize("key", [ec("P-256"), ec("brainpoolP320r1"), rsa()], ids=["p256", "bp320", "rsa"])
@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha384", "sha512"])
def test_every_digest_verifies(tmp_path: Path, key: tuple[str, ...], digest: str) -> None:
    """SHA-1 and SHA-2 in attributes and signature."""
    country = Country(tmp_path, key)
    assert judge(country, country.sod(GROUPS, digest=digest)).verdict is PassiveVerdict.GENUINE


@pytest.mark.parametrize("digest", ["sha512-256", "sha3-256", "sha3-384", "sha3-512"])
@pytest.mark.parametrize("algorithm", ["300906072a8648ce3d0201", ""], ids=["by the key's name", "by its own name"])
@pytest.mark.parametrize("curve", ["P-256", "brainpoolP320r1"])
def test_sha3_with_ecdsa_verifies(tmp_path: Path, curve: str, digest: str, algorithm: str) -> None:
    """`openssl cms` of 3.0 writes no such object, `openssl dgst` signs it: the object is put together from both."""
    if digest == "sha512-256" and not algorithm:
        algorithm = "301606072a8648ce3d0403300b0609608648016503040206"
    country = Country(tmp_path, ec(curve))
    content = security_object(GROUPS, country.folder)
    sod = country.sod(GROUPS)
    old = cms_of(sod)["content"]["signer_infos"][0].dump()
    version, sid, *_ = (tlv.write(item.tag, item.value) for item in tlv.children(tlv.read(old).value))
    named = tlv.write(0x30, bytes.fromhex("0609608648016503040200")[:-1] + SHA3_NUMBERS[digest])
    own = tlv.write(0x30, bytes.fromhex("0609608648016503040300")[:-1] + bytes([SHA3_NUMBERS[digest][0] + 2]))
    hashed = openssl("dgst", f"-{digest}", "-binary", "content.bin", cwd=country.folder)
    assert (country.folder / "content.bin").read_bytes() == content
    members = [
        tlv.write(0x30, bytes.fromhex("06092a864886f70d010903") + tlv.write(0x31, bytes.fromhex("0606678108010101"))),
        tlv.write(0x30, bytes.fromhex("06092a864886f70d010904") + tlv.write(0x31, tlv.write(4, hashed))),
    ]
    attributes = b"".join(sorted(members))
    (country.folder / "attributes.bin").write_bytes(tlv.write(0x31, attributes))
    signature = openssl("dgst", f"-{digest}", "-sign", "ds.key", "attributes.bin", cwd=country.folder)
    kind = bytes.fromhex(algorithm) if algorithm else own
    new = tlv.write(0x30, version + sid + named + tlv.write(0xA0, attributes) + kind + tlv.write(4, signature))
    assert judge(country, rewrite(sod, old, new)).verdict is PassiveVerdict.GENUINE
    other = new.replace(tlv.write(4, hashed), tlv.write(4, bytes(len(hashed))))
    assert judge(country, rewrite(sod, old, other)).verdict is PassiveVerdict.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("oid", "name"), [("SHA512-256", "sha512_256"), ("SHA3-256", "sha3_256"), ("SHA3-512", "sha3_512"), ("SHA224", "sha224")]
)
def test_groups_may_be_hashed_by_any_known_digest(utopia: Country, oid: str, name: str) -> None:
    """The security object names its own digest."""
    sod = tlv.write(0x77, utopia.sign(security_object(GROUPS, utopia.folder, digest=oid, name=name)))
    assert judge(utopia, sod).verdict is PassiveVerdict.GENUINE
    found = authenticate(sod, {1: b"other"}, TrustList([utopia.certificate()]), AT)
    assert found.verdict is PassiveVerdict.ALTERED


@pytest.mark.parametrize("oid", ["MD5", "RIPEMD160", "1.2.156.10197.1.401"])
def test_a_digest_without_a_verifier_is_no_forgery(utopia: Country, oid: str) -> None:
    """MD5 and RIPEMD-160 are not computed here, SM3 is known to few: nothing is said of the groups."""
    sod = tlv.write(0x77, utopia.sign(security_object(GROUPS, utopia.folder, digest=oid)))
    found = judge(utopia, sod)
    assert (found.verdict, found.groups) == (PassiveVerdict.CANNOT_VERIFY, {})


@pytest.mark.parametrize(
    "key",
    [ec("prime239v1"), ec("prime239v1", EC_WRITTEN), ec("brainpoolP256t1", EC_WRITTEN), ec("secp128r1")],
    ids=["x962", "x962-written", "twisted-written", "secp128r1"],
)
def test_a_key_without_a_verifier_is_no_forgery(tmp_path: Path, key: tuple[str, ...]) -> None:
    """Chain and object are beyond us; the groups can be compared all the same, and an altered one is told."""
    country = Country(tmp_path, key)
    sod = country.sod(GROUPS)
    found = judge(country, sod)
    assert (found.verdict, found.failures) == (PassiveVerdict.CANNOT_VERIFY, (PassiveVerdict.CANNOT_VERIFY,))
    assert found.groups == {1: True, 2: True}
    altered = authenticate(sod, {1: b"other"}, TrustList([country.certificate()]), AT)
    assert altered.verdict is PassiveVerdict.ALTERED


@pytest.mark.parametrize("salt", ["0", "20", "32", "max"])
@pytest.mark.parametrize("generator", ["sha1", "sha256"])
def test_rsa_pss_in_all_its_parameters(tmp_path: Path, salt: str, generator: str) -> None:
    """Salts of any length; another digest in the mask."""
    country = Country(tmp_path, rsa())
    options = ("rsa_padding_mode:pss", f"rsa_pss_saltlen:{salt}", f"rsa_mgf1_md:{generator}")
    sod = country.sod(GROUPS, *(part for option in options for part in ("-keyopt", option)))
    assert judge(country, sod).verdict is PassiveVerdict.GENUINE


ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


@pytest.mark.parametrize(
    "algorithm",
    [
        "300906072a8648ce3d0201",
        "300906072a8648ce3d0403",
        "301806072a8648ce3d0403300d06096086480165030402010500",
        "301606072a8648ce3d0403300b0609608648016503040201",
    ],
    ids=["id-ecPublicKey", "with-Specified-bare", "with-Specified", "with-Specified-no-null"],
)
def test_other_names_of_ecdsa_are_ecdsa(utopia: Country, algorithm: str) -> None:
    """The key's own identifier, and X9.62's form that names its digest beside it."""
    sod = utopia.sod(GROUPS)
    old = cms_of(sod)["content"]["signer_infos"][0].dump()
    new_body = tlv.read(old).value.replace(ECDSA_SHA256, bytes.fromhex(algorithm))
    assert judge(utopia, rewrite(sod, old, tlv.write(0x30, new_body))).verdict is PassiveVerdict.GENUINE


def test_plain_signatures_of_tr_03111(utopia: Country) -> None:
    """r and s one behind the other, without DER (0.4.0.127.0.7.1.1.4.1.3)."""
    sod = utopia.sod(GROUPS)
    info = cms_of(sod)["content"]["signer_infos"][0]
    signature = info["signature"].native
    r, s = (int.from_bytes(item.value, "big") for item in tlv.children(tlv.find(signature, 0x30)))
    plain = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    body = tlv.read(info.dump()).value.replace(ECDSA_SHA256, tlv.write(0x30, bytes.fromhex("060a04007f00070101040103")))
    body = body.replace(tlv.write(4, signature), tlv.write(4, plain))
    assert judge(utopia, rewrite(sod, info.dump(), tlv.write(0x30, body))).verdict is PassiveVerdict.GENUINE
    wrong = body.replace(plain, plain[:-1] + bytes([plain[-1] ^ 1]))
    assert judge(utopia, rewrite(sod, info.dump(), tlv.write(0x30, wrong))).verdict is PassiveVerdict.BAD_SIGNATURE


# -- one redundant or odd field ------------------------------------------------------------------------------------------------


def test_unsorted_attributes_are_a_remark(utopia: Country) -> None:
    """Sent in reverse order, signed as the sorted set."""
    sod = utopia.sod(GROUPS)
    attributes = cms_of(sod)["content"]["signer_infos"][0]["signed_attrs"].dump()
    members = [tlv.write(item.tag, item.value) for item in tlv.children(tlv.read(attributes).value)]
    found = judge(utopia, rewrite(sod, attributes, tlv.write(0xA0, b"".join(reversed(members)))))
    assert (found.verdict, found.remarks) == (PassiveVerdict.GENUINE, ("attributes_unsorted",))
    dropped = rewrite(sod, attributes, tlv.write(0xA0, b"".join(members[:-1])))
    assert judge(utopia, dropped).verdict is PassiveVerdict.BAD_SIGNATURE


def test_no_attributes_is_a_remark(utopia: Country) -> None:
    """The signature is then over the content itself (RFC 5652 section 5.4)."""
    sod = utopia.sod(GROUPS, "-noattr")
    found = judge(utopia, sod)
    assert (found.verdict, found.remarks) == (PassiveVerdict.GENUINE, ("attributes_missing",))
    other = authenticate(sod, {1: b"other"}, TrustList([utopia.certificate()]), AT)
    assert other.verdict is PassiveVerdict.ALTERED


def test_ber_is_a_remark(utopia: Country) -> None:
    """As OpenSSL writes it when it streams, and with the content in pieces inside values without end."""
    streamed = utopia.sod(GROUPS, "-stream")
    assert b"\x24\x80" in streamed
    found = judge(utopia, streamed)
    assert (found.verdict, found.remarks) == (PassiveVerdict.GENUINE, ("not_der",))
    content = security_object(GROUPS, utopia.folder)
    body = tlv.find(tlv.find(utopia.sod(GROUPS), 0x77), 0x30)
    kind, signed = list(tlv.children(body))
    parts = [tlv.write(item.tag, item.value) for item in tlv.children(tlv.find(signed.value, 0x30))]
    assert parts[2] == tlv.write(0x30, tlv.write(6, bytes.fromhex("678108010101")) + tlv.write(0xA0, tlv.write(4, content)))
    for pieces in (
        b"\xa0\x80\x24\x80" + tlv.write(4, content[:100]) + tlv.write(4, content[100:]) + bytes(4),
        b"\xa0\x80\x24\x80" + tlv.write(4, content) + bytes(4),
        tlv.write(0xA0, tlv.write(0x24, tlv.write(4, content[:1]) + tlv.write(4, content[1:]))),
    ):
        inner = b"\x30\x80" + tlv.write(6, bytes.fromhex("678108010101")) + pieces + bytes(2)
        loose = b"".join([*parts[:2], inner, *parts[3:]])
        ber = b"\x30\x80" + tlv.write(6, kind.value) + b"\xa0\x80\x30\x80" + loose + bytes(6)
        found = judge(utopia, tlv.write(0x77, ber))
        assert (found.verdict, found.remarks) == (PassiveVerdict.GENUINE, ("not_der",))


def test_a_signer_named_otherwise_is_a_remark(utopia: Country) -> None:
    """The identifier's name has its parts in another order, or another string type; the carried certificate's key signed."""
    sod = utopia.sod(GROUPS)
    sid = cms_of(sod)["content"]["signer_infos"][0]["sid"].dump()
    name, serial = list(tlv.children(tlv.read(sid).value))
    parts = [tlv.write(item.tag, item.value) for item in tlv.children(name.value)]
    for other in (b"".join(reversed(parts)), parts[0], b"".join(parts).replace(b"Specimen", b"Specimam")):
        written = tlv.write(0x30, tlv.write(0x30, other) + tlv.write(2, serial.value))
        info = cms_of(sod)["content"]["signer_infos"][0].dump()
        body = tlv.read(info).value.replace(sid, written)
        found = judge(utopia, rewrite(sod, info, tlv.write(0x30, body)))
        assert (found.verdict, found.remarks) == (PassiveVerdict.GENUINE, ("signer_named_otherwise",))


def test_a_signer_by_key_identifier_or_left_out(tmp_path: Path) -> None:
    """The certificate may be named by its key, or be in the trust files only."""
    country = Country(tmp_path, ec("P-256"))
    assert judge(country, country.sod(GROUPS, "-nocerts"), trust=TrustList([country.certificate()])).verdict is (
        PassiveVerdict.UNKNOWN_SIGNER
    )
    known = TrustList([country.certificate()], known=[country.certificate("ds")])
    assert judge(country, country.sod(GROUPS, "-nocerts"), trust=known).verdict is PassiveVerdict.GENUINE
    assert judge(country, country.sod(GROUPS, "-nocerts"), trust=TrustList([], known=[country.certificate("ds")])).verdict is (
        PassiveVerdict.UNKNOWN_SIGNER
    )


def test_a_self_signed_signer_that_says_nothing_of_authority(tmp_path: Path) -> None:
    """A country signer of X.509 version 1: self-signed, no extensions."""
    country = Country(tmp_path, ec("P-256"), authority="")
    assert judge(country, country.sod(GROUPS)).verdict is PassiveVerdict.GENUINE
    plain = Country(tmp_path / "no", ec("P-256"), authority="basicConstraints=critical,CA:FALSE\n")
    assert judge(plain, plain.sod(GROUPS)).verdict is PassiveVerdict.UNKNOWN_SIGNER


@pytest.mark.parametrize(
    ("signer", "issuer"),
    [
        ("HK", "CHN"),
        ("MO", "CHN"),
        ("CN", "HKG"),
        ("GG", "GBR"),
        ("JE", "GBR"),
        ("IM", "GBR"),
        ("GI", "GBR"),
        ("BM", "GBD"),
        ("NL", "ABW"),
        ("GB", "GGY"),
        ("ZZ", "UNO"),
        ("DK", "GRL"),
        ("XK", "RKS"),
    ],
)
def test_a_territory_signs_for_its_state(tmp_path: Path, signer: str, issuer: str) -> None:
    """A remark, not another state; a state that has nothing to do with it stays another state."""
    country = Country(tmp_path, ec("P-256"), country=signer)
    found = judge(country, country.sod(GROUPS), issuer=issuer)
    assert (found.verdict, found.remarks) == (PassiveVerdict.GENUINE, ("territory_signer",))
    assert judge(country, country.sod(GROUPS), issuer="TWN").verdict is PassiveVerdict.OTHER_STATE


def test_a_country_signer_cannot_certify_for_another_state(tmp_path: Path) -> None:
    """France's country signer certifies a document signer that calls itself Utopia's."""
    country = Country(tmp_path, ec("P-256"), country="FR", signer_country="UT")
    assert judge(country, country.sod(GROUPS)).verdict is PassiveVerdict.OTHER_STATE
    assert judge(country, country.sod(GROUPS), issuer="FRA").verdict is PassiveVerdict.OTHER_STATE


def test_country_codes_may_be_small_or_long(tmp_path: Path) -> None:
    """ "fr" is France."""
    country = Country(tmp_path, ec("P-256"), country="fr")
    assert judge(country, country.sod(GROUPS), issuer="FRA").verdict is PassiveVerdict.GENUINE
