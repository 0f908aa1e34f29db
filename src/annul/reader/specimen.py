"""Specimen documents: a country signer, its documents, and a chip that plays them.

For tests, benches and demonstrations. The chip does the whole card side with real cryptography (BAC, PACE, secure
messaging, chip authentication) and stands behind the same `Transport` as a real one, or behind Debian's virtual
PC/SC reader. Its issuer is the specimen state of Doc 9303, Utopia; nobody trusts it.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asn1crypto import algos, cms, core, keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from annul.reader import access, curves, mappings, tlv
from annul.reader.chip import APPLICATION, CARD_ACCESS, CARD_SECURITY, CARD_SECURITY_TYPE, SOD
from annul.reader.faults import CardMalformed
from annul.reader.passive import SECURITY_OBJECT, SecurityObject
from annul.reader.secure_messaging import Session, Suite, decrypt, derive, encrypt, mac, pad
from annul.reader.transport import Command
from annul.reader.trust import TrustList

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_SECURITY_KEY = 0x1_011D
"""EF.CardSecurity among a chip's files: in the card it has the number of EF.SOD, but stands in the master file."""
PACE_AES = access.PaceInfo(f"{access.PACE_ECDH_GM}.2", Suite.AES_128, 13)
"""PACE as most documents of today have it: generic mapping, brainpoolP256r1, AES-128."""


class SpecimenCountry:
    """A country signer (CSCA) with one document signer.

    Args:
        at: the certificates are issued one year before.
        country: two letters.
        years: validity of the document signer; 0 makes it expire before `at`.
        rsa_keys: sign with RSA instead of ECDSA on P-256.
    """

    def __init__(self, at: datetime.datetime, *, country: str = "UT", years: int = 10, rsa_keys: bool = False) -> None:
        start = at - datetime.timedelta(days=366)
        self._country_key = self._new_key(rsa_keys)
        self._signer_key = self._new_key(rsa_keys)
        self.country_certificate = self._certify(
            self._country_key, "Country Signer", country, start, start + datetime.timedelta(days=366 * 20), None
        )
        end = start + datetime.timedelta(days=366 * years if years else 180)
        self.signer_certificate = self._certify(self._signer_key, "Document Signer", country, start, end, self)

    @staticmethod
    def _new_key(rsa_keys: bool) -> PrivateKey:
        return rsa.generate_private_key(65537, 2048) if rsa_keys else ec.generate_private_key(ec.SECP256R1())

    @staticmethod
    def _certify(
        key: PrivateKey,
        name: str,
        country: str,
        start: datetime.datetime,
        end: datetime.datetime,
        issuer: SpecimenCountry | None,
    ) -> x509.Certificate:
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COUNTRY_NAME, country), x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {country}")]
        )
        signer = key if issuer is None else issuer._country_key
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if issuer is None else issuer.country_certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(_usage(ca=issuer is None), critical=True)
        )
        if issuer is None:
            builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
        return builder.sign(signer, hashes.SHA256())

    def trust_list(self, *, revoked: Sequence[str] = ()) -> TrustList:
        """Return a trust list that believes this country."""
        return TrustList([self.country_certificate.public_bytes(serialization.Encoding.DER)], revoked=revoked)

    def security_object(self, groups: Mapping[int, bytes], *, wrong_key: bool = False) -> bytes:
        """Return EF.SOD over data groups; `wrong_key` signs with a key the certificate does not certify."""
        listed = SecurityObject(
            {
                "version": 0,
                "algorithm": {"algorithm": "sha256"},
                "groups": [
                    {"number": number, "digest": hashlib.sha256(data).digest()} for number, data in sorted(groups.items())
                ],
            }
        ).dump()
        return tlv.write(0x77, self.signed(SECURITY_OBJECT, listed, wrong_key=wrong_key))

    def signed(self, kind: str, listed: bytes, *, wrong_key: bool = False) -> bytes:
        """Return signed data over a content of a kind (dotted), as a ContentInfo."""
        certificate = asn1_x509.Certificate.load(self.signer_certificate.public_bytes(serialization.Encoding.DER))
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": [kind]},
                {"type": "message_digest", "values": [hashlib.sha256(listed).digest()]},
            ]
        )
        key = self._signer_key
        if isinstance(key, rsa.RSAPrivateKey):
            other: PrivateKey = rsa.generate_private_key(65537, 2048) if wrong_key else key
            assert isinstance(other, rsa.RSAPrivateKey)
            signature = other.sign(attributes.dump(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
            parameters = algos.RSASSAPSSParams(
                {
                    "hash_algorithm": {"algorithm": "sha256"},
                    "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": {"algorithm": "sha256"}},
                    "salt_length": 32,
                }
            )
            algorithm = {"algorithm": "rsassa_pss", "parameters": parameters}
        else:
            other = ec.generate_private_key(ec.SECP256R1()) if wrong_key else key
            assert isinstance(other, ec.EllipticCurvePrivateKey)
            signature = other.sign(attributes.dump(), ec.ECDSA(hashes.SHA256()))
            algorithm = {"algorithm": "sha256_ecdsa"}
        content = cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [{"algorithm": "sha256"}],
                "encap_content_info": {"content_type": kind, "content": core.ParsableOctetString(listed)},
                "certificates": [certificate],
                "signer_infos": [
                    {
                        "version": "v1",
                        "sid": cms.IssuerAndSerialNumber(
                            {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
                        ),
                        "digest_algorithm": {"algorithm": "sha256"},
                        "signed_attrs": attributes,
                        "signature_algorithm": algorithm,
                        "signature": signature,
                    }
                ],
            }
        )
        return bytes(cms.ContentInfo({"content_type": "signed_data", "content": content}).dump())


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass(frozen=True, slots=True)
class ChipKey:
    """A chip's own key pair for chip authentication."""

    curve_number: int
    secret: int
    suite: Suite

    @classmethod
    def new(cls, curve_number: int = 13, suite: Suite = Suite.AES_128) -> ChipKey:
        """Draw a key."""
        return cls(curve_number, curves.scalar(curves.STANDARDISED[curve_number], os.urandom), suite)

    def public_info(self) -> keys.PublicKeyInfo:
        """Return the public key with its curve written out in full, as chips have it."""
        curve = curves.STANDARDISED[self.curve_number]
        public = curves.multiply(curves.generator(curve), self.secret)
        return written_out(self.curve_number, curves.encode(curve, public))


def written_out(curve_number: int, public: bytes) -> keys.PublicKeyInfo:
    """Return a public key with its curve written out in full, as most states do, instead of its name."""
    curve = curves.STANDARDISED[curve_number]
    size, prime = curves.field_bytes(curve), int(curve.curve.p())
    parameters = keys.SpecifiedECDomain(
        {
            "version": "ecdpVer1",
            "field_id": {"field_type": "prime_field", "parameters": core.Integer(prime)},
            "curve": {
                "a": (int(curve.curve.a()) % prime).to_bytes(size, "big"),
                "b": (int(curve.curve.b()) % prime).to_bytes(size, "big"),
            },
            "base": curves.encode(curve, curves.generator(curve)),
            "order": int(curve.order),
            "cofactor": 1,
        }
    )
    return keys.PublicKeyInfo(
        {
            "algorithm": {"algorithm": "ec", "parameters": keys.ECDomainParameters("specified", parameters)},
            "public_key": keys.ECPointBitString(public),
        }
    )


class ActiveKey:
    """A chip's key pair for active authentication: RSA of 1,536 bits or more, or plain ECDSA with SHA-256."""

    def __init__(self, *, rsa_bits: int = 0) -> None:
        self.key: PrivateKey = (
            rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.BrainpoolP256R1())
        )

    def dg15(self) -> bytes:
        """Return the data group with the public key."""
        public = self.key.public_key()
        return tlv.write(0x6F, public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))

    def sign(self, number: bytes) -> bytes:
        """Sign a reader's number as Doc 9303-11 section 6.1.2 says."""
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.key.sign(number, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        numbers = self.key.private_numbers()
        size = (self.key.key_size + 7) // 8
        message = os.urandom(size - 1 - 32 - 2)
        text = b"\x6a" + message + hashlib.sha256(message + number).digest() + b"\x34\xcc"
        signed = pow(int.from_bytes(text, "big"), numbers.d, numbers.public_numbers.n)
        return min(signed, numbers.public_numbers.n - signed).to_bytes(size, "big")


def security_infos(pace: Sequence[access.PaceInfo], chip_key: ChipKey | None, active_key: ActiveKey | None = None) -> bytes:
    """Return the SET OF SecurityInfo for EF.CardAccess (without keys) or DG14 (with them)."""
    entries = [_info(item.oid, core.Integer(2), core.Integer(item.parameters)) for item in pace]
    if chip_key is not None:
        entries.append(_info(f"{access.CA_ECDH}.{chip_key.suite.value}", core.Integer(1)))
        entries.append(_info(access.PUBLIC_KEY_ECDH, chip_key.public_info()))
    if active_key is not None and isinstance(active_key.key, ec.EllipticCurvePrivateKey):
        plain_sha256 = next(oid for oid, name in access.PLAIN_ECDSA.items() if name == "sha256")
        entries.append(_info(access.ACTIVE_AUTHENTICATION, core.Integer(1), core.ObjectIdentifier(plain_sha256)))
    return tlv.write(0x31, b"".join(sorted(entries)))


def _info(oid: str, *values: core.Asn1Value) -> bytes:
    return tlv.write(0x30, core.ObjectIdentifier(oid).dump() + b"".join(value.dump() for value in values))


def face_record(image: bytes, width: int = 413, height: int = 531) -> bytes:
    """Wrap an image into an ISO/IEC 19794-5 face record."""
    info = bytes(14) + b"\0\1" + width.to_bytes(2, "big") + height.to_bytes(2, "big") + bytes(2)
    block = (32 + len(image)).to_bytes(4, "big") + bytes(16) + info[10:]
    return b"FAC\x00010\x00" + (14 + len(block) + len(image)).to_bytes(4, "big") + b"\0\1" + block + image


def data_groups(zone: Sequence[str], portrait: bytes, dg14: bytes | None) -> dict[int, bytes]:
    """Return the data groups of a document, each with its outer tag."""
    header = bytes.fromhex("a10e81010282010087020101880200 08".replace(" ", ""))
    face = tlv.write(0x7F60, header + tlv.write(0x5F2E, face_record(portrait)))
    groups = {
        1: tlv.write(0x61, tlv.write(0x5F1F, "".join(zone).encode())),
        2: tlv.write(0x75, tlv.write(0x7F61, tlv.write(0x02, b"\x01") + face)),
    }
    if dg14 is not None:
        groups[14] = tlv.write(0x6E, dg14)
    return groups


def personalise(
    country: SpecimenCountry,
    zone: Sequence[str],
    key: access.AccessKey,
    portrait: bytes,
    *,
    pace: Sequence[access.PaceInfo] = (PACE_AES,),
    chip_key: ChipKey | None = None,
    active_key: ActiveKey | None = None,
    wrong_key: bool = False,
) -> SpecimenChip:
    """Write one document and return its chip.

    Args:
        country: who signs.
        zone: lines of the zone, for DG1.
        key: opens the chip.
        portrait: encoded image for DG2.
        pace: ways of PACE; empty leaves BAC only.
        chip_key: enables chip authentication.
        active_key: enables active authentication.
        wrong_key: sign EF.SOD with a key that is not the signer's.
    """
    dg14 = security_infos(pace, chip_key, active_key) if pace or chip_key or active_key else None
    groups = data_groups(zone, portrait, dg14)
    if active_key is not None:
        groups[15] = active_key.dg15()
    files = {0x0100 | number: data for number, data in groups.items()}
    files[SOD] = country.security_object(groups, wrong_key=wrong_key)
    if pace:
        files[CARD_ACCESS] = security_infos(pace, None)
    if chip_key is not None and any(info.mapping == access.PACE_ECDH_CAM for info in pace):
        files[_SECURITY_KEY] = country.signed(CARD_SECURITY_TYPE, security_infos(pace, chip_key))
    return SpecimenChip(files, key, pace=pace, chip_key=chip_key, active_key=active_key)


class SpecimenChip:
    """Play a document's chip: a `Transport`.

    Args:
        files: file identifier -> content. Tests change them to play forgeries.
        key: the printed secret.
        pace: ways of PACE it speaks.
        chip_key: its own key; a clone has another than DG14 says.
    """

    ATR = bytes.fromhex("3B80800101")
    read_max, read_refusal = 65_536, 0x6700
    """Longest answer to READ BINARY in bytes, and the status word beyond it."""

    def __init__(
        self,
        files: dict[int, bytes],
        key: access.AccessKey,
        *,
        pace: Sequence[access.PaceInfo] = (),
        chip_key: ChipKey | None = None,
        active_key: ActiveKey | None = None,
    ) -> None:
        self.files = files
        self.chip_key = chip_key
        self.active_key = active_key
        self._key = key
        self._pace = tuple(pace)
        self.reset()

    def reset(self) -> None:
        """Power off and on: forget every key and selection."""
        self._session: Session | None = None
        self._next: Session | None = None
        self._selected: int | None = None
        self._application = False
        self._challenge = b""
        self._running: _CardPace | None = None
        self._master = True

    def close(self) -> None:
        """Nothing to let go of."""

    def transmit(self, command: bytes) -> bytes:
        """Answer one command; see `Transport.transmit`."""
        if command[0] & 0x0C != 0x0C:
            if self._session is not None:
                self._session = None
            data, status = self._answer(_decode(command))
            self._session, self._next = self._next, None
            return data + status.to_bytes(2, "big")
        if self._session is None:
            return b"\x69\x88"
        try:
            opened = self._session.open_command(command)
        except CardMalformed:
            self._session = None
            return b"\x69\x88"
        data, status = self._answer(opened, protected=True)
        answer = self._session.seal_response(data, status, odd=bool(opened.header[1] & 1))
        if self._next is not None:
            self._session, self._next = self._next, None
        return answer

    def _answer(self, command: Command, *, protected: bool = False) -> tuple[bytes, int]:
        try:
            match command.header[1]:
                case 0xA4:
                    return self._select(command, protected)
                case 0xB0 | 0xB1:
                    return self._read(command, protected)
                case 0x84:
                    self._challenge = os.urandom(8)
                    return self._challenge, 0x9000
                case 0x82:
                    return self._bac(command.data)
                case 0x88 if self.active_key is not None and self._session is not None:
                    return self.active_key.sign(command.data), 0x9000
                case 0x22:
                    return self._set_environment(command, protected)
                case 0x86:
                    return self._general_authenticate(command, protected)
        except (CardMalformed, IndexError):
            return b"", 0x6A80
        return b"", 0x6D00

    def _select(self, command: Command, protected: bool) -> tuple[bytes, int]:
        if command.header[2] == 4:
            self._application = command.data == APPLICATION
            self._master = not self._application
            self._selected = None
            return b"", 0x9000 if self._application else 0x6A82
        if command.data == b"\x3f\x00":
            self._application, self._master = False, True
            return b"", 0x9000
        number = int.from_bytes(command.data, "big")
        if number == CARD_SECURITY and self._master:
            number = _SECURITY_KEY
        if number not in self.files:
            return b"", 0x6A82
        if number != CARD_ACCESS and not protected:
            return b"", 0x6982
        self._selected = number
        return b"", 0x9000

    def _read(self, command: Command, protected: bool) -> tuple[bytes, int]:
        if self._selected is None:
            return b"", 0x6986
        if self._selected != CARD_ACCESS and not protected:
            return b"", 0x6982
        data, count = self.files[self._selected], command.expected or 0
        if count > self.read_max:
            return b"", self.read_refusal
        if command.header[1] == 0xB1:
            offset = int.from_bytes(tlv.find(command.data, 0x54), "big")
            return tlv.write(0x53, data[offset : offset + count - 4]), 0x9000
        offset = int.from_bytes(command.header[2:4], "big")
        if offset > len(data):
            return b"", 0x6B00
        return data[offset : offset + count], 0x9000

    def _bac(self, data: bytes) -> tuple[bytes, int]:
        suite, seed = Suite.TRIPLE_DES, self._key.bac_seed()
        encryption_key, mac_key = derive(seed, 1, suite), derive(seed, 2, suite)
        challenge, self._challenge = self._challenge, b""
        if len(data) != 40 or not challenge or mac(suite, mac_key, pad(data[:32], 8)) != data[32:]:
            return b"", 0x6300
        plain = decrypt(suite, encryption_key, data[:32])
        if plain[8:16] != challenge:
            return b"", 0x6300
        half = os.urandom(16)
        secret = encrypt(suite, encryption_key, challenge + plain[:8] + half)
        agreed = bytes(a ^ b for a, b in zip(plain[16:], half, strict=True))
        self._next = Session(suite, agreed, int.from_bytes(challenge[4:] + plain[4:8], "big"))
        return secret + mac(suite, mac_key, pad(secret, 8)), 0x9000

    def _set_environment(self, command: Command, protected: bool) -> tuple[bytes, int]:
        fields = {item.tag: item.value for item in tlv.children(command.data)}
        if command.header[2:4] == b"\xc1\xa4":
            for info in self._pace:
                if core.ObjectIdentifier(info.oid).contents == fields.get(0x80):
                    wanted = fields.get(0x84)
                    if wanted is not None and wanted[0] != info.parameters:
                        continue
                    reference, password = self._key.pace(info.suite)
                    if fields.get(0x83) != bytes([reference]):
                        return b"", 0x6A88
                    self._running = _CardPace(info, password, self.chip_key)
                    return b"", 0x9000
            return b"", 0x6A80
        if not protected or self.chip_key is None:
            return b"", 0x6982
        if command.header[2:4] == b"\x41\xa6":
            self._agree(fields[0x91])
        return b"", 0x9000

    def _agree(self, public: bytes) -> None:
        key = self.chip_key
        assert key is not None
        curve = curves.STANDARDISED[key.curve_number]
        point = curves.multiply(curves.decode(curve, public), key.secret)
        self._next = Session(key.suite, curves.shared_secret(curve, point))

    def _general_authenticate(self, command: Command, protected: bool) -> tuple[bytes, int]:
        fields = {item.tag: item.value for item in tlv.children(tlv.find(command.data, 0x7C))}
        if self._running is not None:
            tag, value = self._running.step(fields)
            more = self._running.chip_data()
            if self._running.session is not None:
                self._next, self._running = self._running.session, None
            if not tag:
                self._running = None
                return b"", 0x6300
            return tlv.write(0x7C, tlv.write(tag, value) + more), 0x9000
        if protected and self.chip_key is not None and 0x80 in fields:
            self._agree(fields[0x80])
            return tlv.write(0x7C, b""), 0x9000
        return b"", 0x6985


class _CardPace:
    """The card's side of PACE with generic, integrated or chip authentication mapping."""

    def __init__(self, info: access.PaceInfo, password_key: bytes, chip_key: ChipKey | None) -> None:
        self._info = info
        self._chip_key = chip_key
        self._mapping_secret = 0
        self._curve = curves.STANDARDISED[info.parameters]
        self._password_key = password_key
        self._nonce = os.urandom(16)
        self._base = curves.generator(self._curve)
        self._theirs = self._ours = self._agreed = b""
        self.session: Session | None = None

    def step(self, fields: Mapping[int, bytes]) -> tuple[int, bytes]:
        """Answer one GENERAL AUTHENTICATE; tag 0 refuses."""
        curve, suite = self._curve, self._info.suite
        if not fields:
            return 0x80, encrypt(suite, self._password_key, self._nonce)
        secret = curves.scalar(curve, os.urandom)
        if 0x81 in fields and self._info.mapping == access.PACE_ECDH_IM:
            element = mappings.field_element(suite, fields[0x81], self._nonce, int(curve.curve.p()))
            self._base = mappings.point_of(curve, element)
            return 0x82, b""
        if 0x81 in fields:
            self._mapping_secret = secret
            shared = curves.multiply(curves.decode(curve, fields[0x81]), secret)
            public = curves.encode(curve, curves.multiply(self._base, secret))
            self._base = curves.multiply(self._base, int.from_bytes(self._nonce, "big")) + shared
            return 0x82, public
        if 0x83 in fields:
            self._theirs = fields[0x83]
            self._ours = curves.encode(curve, curves.multiply(self._base, secret))
            self._agreed = curves.shared_secret(curve, curves.multiply(curves.decode(curve, self._theirs), secret))
            return 0x84, self._ours
        oid = core.ObjectIdentifier(self._info.oid).contents
        mac_key = derive(self._agreed, 2, suite)
        if fields.get(0x85) != access.pace_token(suite, mac_key, oid, self._ours):
            return 0, b""
        self.session = Session(suite, self._agreed)
        return 0x86, access.pace_token(suite, mac_key, oid, self._theirs)

    def chip_data(self) -> bytes:
        """Return the encrypted chip authentication data that ends chip authentication mapping, else nothing."""
        if self.session is None or self._info.mapping != access.PACE_ECDH_CAM or self._chip_key is None:
            return b""
        order = int(self._curve.order)
        factor = self._mapping_secret * pow(self._chip_key.secret, -1, order) % order
        return tlv.write(0x8A, self.session.seal_mapping_data(factor.to_bytes(curves.field_bytes(self._curve), "big")))


def _decode(raw: bytes) -> Command:
    if len(raw) == 4:
        return Command(raw)
    if len(raw) == 5:
        return Command(raw[:4], b"", raw[4] or 256)
    data = raw[5 : 5 + raw[4]]
    tail = raw[5 + raw[4] :]
    return Command(raw[:4], data, (tail[0] or 256) if tail else None)
