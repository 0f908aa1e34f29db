"""Open the chip: what it offers, the key from the print, BAC and PACE.

Source: ICAO Doc 9303-11 (8th edition) section 4.3 (BAC), 4.4 (PACE), 9.2 (security infos), 9.7 (key derivation);
BSI TR-03110-3 for the object identifiers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asn1crypto import core, keys

from annul.reader import curves, tlv
from annul.reader.faults import AccessRefused, CardMalformed, CardRefused
from annul.reader.mappings import MappingProof, field_element, nonce_bytes, open_proof, point_of
from annul.reader.secure_messaging import Session, Suite, decrypt, derive, encrypt, mac, pad
from annul.reader.transport import Channel, Command
from annul.records.mrz import Mrz, check_digit

PACE_ECDH_GM = "0.4.0.127.0.7.2.2.4.2"
PACE_ECDH_IM = "0.4.0.127.0.7.2.2.4.4"
PACE_ECDH_CAM = "0.4.0.127.0.7.2.2.4.6"
CA_ECDH = "0.4.0.127.0.7.2.2.3.2"
PUBLIC_KEY_ECDH = "0.4.0.127.0.7.2.2.1.2"
ACTIVE_AUTHENTICATION = "2.23.136.1.1.5"
PLAIN_ECDSA = {
    f"0.4.0.127.0.7.1.1.4.1.{number}": name
    for number, name in enumerate(("sha1", "sha224", "sha256", "sha384", "sha512"), start=1)
}
"""Signature algorithms of BSI TR-03111, section 5.2.1.1 -> their hash."""
SECURITY_INFOS_MAX = 32
"""More entries than any document has; bounds the work on hostile data."""
PASSWORD_MRZ, PASSWORD_CAN = 1, 2

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True, repr=False)
class AccessKey:
    """The printed secret that opens the chip.

    Attributes:
        mrz: number, birth date and expiry date, each with its check digit, in one string; or "".
        can: the card access number (6 digits); or "".
    """

    mrz: str = ""
    can: str = ""

    @classmethod
    def of_fields(cls, number: str, birth: str, expiry: str) -> AccessKey:
        """Make the key of three typed fields; dates as YYMMDD, fillers in the number may be left out."""
        fields = (number.upper().ljust(9, "<"), birth, expiry)
        return cls(mrz="".join(field + check_digit(field) for field in fields))

    @classmethod
    def of_zone(cls, zone: Mrz) -> AccessKey:
        """Make the key of a machine-readable zone that was read before."""
        return cls.of_fields(zone.number_field, zone.birth_field, zone.expiry_field)

    def _seed(self) -> bytes:
        return hashlib.sha1(self.mrz.encode("ascii")).digest()  # noqa: S324 - Doc 9303-11 section 9.7.2

    def bac_seed(self) -> bytes:
        """Return the 16-byte key seed of BAC."""
        return self._seed()[:16]

    def pace(self, suite: Suite) -> tuple[int, bytes]:
        """Return (password reference, password key) of PACE; the card access number is preferred."""
        if self.can:
            return PASSWORD_CAN, derive(self.can.encode("latin-1"), 3, suite)
        return PASSWORD_MRZ, derive(self._seed(), 3, suite)


@dataclass(frozen=True, slots=True)
class PaceInfo:
    """One way of PACE the chip offers."""

    oid: str
    suite: Suite
    parameters: int

    @property
    def mapping(self) -> str:
        """The mapping, as the stem of its object identifier."""
        return self.oid.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class ChipAuthenticationKey:
    """The chip's static public key and how to use it."""

    suite: Suite
    public_key: keys.PublicKeyInfo
    key_id: int | None


@dataclass(frozen=True, slots=True)
class SecurityInfos:
    """What EF.CardAccess or DG14 offers of the protocols this reader speaks.

    Attributes:
        pace: ways of PACE over standardised curves that are spoken here, strongest cipher first; of the same cipher chip
            authentication mapping first, which proves the chip at once.
        chip_authentication: keys for ECDH chip authentication, strongest cipher first.
        pace_entries: number of PACE entries of any kind (decides whether parameters must be named).
        active_digest: hash of the chip's ECDSA signatures in active authentication, None if it is not told.
    """

    pace: tuple[PaceInfo, ...]
    chip_authentication: tuple[ChipAuthenticationKey, ...]
    pace_entries: int
    active_digest: str | None = None


class _SecurityInfo(core.Sequence):  # type: ignore[misc]
    _fields = [  # noqa: RUF012
        ("protocol", core.ObjectIdentifier),
        ("required", core.Any),
        ("optional", core.Any, {"optional": True}),
    ]


class _SecurityInfos(core.SetOf):  # type: ignore[misc]
    _child_spec = _SecurityInfo


def parse_security_infos(data: bytes) -> SecurityInfos:
    """Read the SET OF SecurityInfo of EF.CardAccess or DG14; unknown entries are passed over.

    Raises:
        CardMalformed: not a set of security infos, or more than `SECURITY_INFOS_MAX`.
    """
    try:
        entries = _SecurityInfos.load(data, strict=True)
        if len(entries) > SECURITY_INFOS_MAX:
            raise CardMalformed("too many security infos")
        pace: list[PaceInfo] = []
        pace_entries = 0
        active_digest: str | None = None
        suites: dict[int | None, Suite] = {}
        public: list[tuple[int | None, keys.PublicKeyInfo]] = []
        for entry in entries:
            oid = entry["protocol"].dotted
            stem, _, last = oid.rpartition(".")
            optional = entry["optional"]
            if stem.startswith("0.4.0.127.0.7.2.2.4."):
                pace_entries += 1
                if stem in _CIPHERS and last in _CIPHERS[stem] and optional:
                    number = int(optional.parse(core.Integer).native)
                    if _speaks(stem, number) and int(entry["required"].parse(core.Integer).native) == 2:
                        pace.append(PaceInfo(oid, Suite(int(last)), number))
            elif stem == CA_ECDH and last in "1234":
                key_id = int(optional.parse(core.Integer).native) if optional else None
                suite = Suite(int(last))
                if key_id not in suites or suites[key_id].value < suite.value:
                    suites[key_id] = suite
            elif oid == ACTIVE_AUTHENTICATION and optional:
                active_digest = PLAIN_ECDSA.get(optional.parse(core.ObjectIdentifier).dotted)
            elif oid == PUBLIC_KEY_ECDH:
                key_id = int(optional.parse(core.Integer).native) if optional else None
                public.append((key_id, entry["required"].parse(keys.PublicKeyInfo)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CardMalformed("the list of its protocols cannot be decoded") from error
    pace.sort(key=lambda info: (-info.suite.value, info.mapping != PACE_ECDH_CAM))
    # A key without any ChipAuthenticationInfo is used with 3DES (Doc 9303-11 section 9.2.6).
    found = [ChipAuthenticationKey(suites.get(key_id, Suite.TRIPLE_DES), key, key_id) for key_id, key in public]
    found.sort(key=lambda item: -item.suite.value)
    return SecurityInfos(tuple(pace), tuple(found), pace_entries, active_digest)


_CIPHERS = {PACE_ECDH_GM: "1234", PACE_ECDH_IM: "1234", PACE_ECDH_CAM: "234"}


def _speaks(mapping: str, number: int) -> bool:
    """Tell whether a mapping is spoken over domain parameters: integrated mapping needs a prime that is 3 modulo 4."""
    if number not in curves.STANDARDISED:
        return False
    return mapping != PACE_ECDH_IM or int(curves.STANDARDISED[number].curve.p()) % 4 == 3


def bac(channel: Channel, key: AccessKey, random_bytes: RandomBytes) -> Session:
    """Open the chip by Basic Access Control and return the session.

    Raises:
        AccessRefused: the key is wrong. CardRefused: BAC is not offered. CardMalformed.
    """
    suite = Suite.TRIPLE_DES
    seed = key.bac_seed()
    encryption_key, mac_key = derive(seed, 1, suite), derive(seed, 2, suite)
    theirs = channel.demand(Command(b"\x00\x84\x00\x00", expected=8), "give a challenge")
    if len(theirs) != 8:
        raise CardMalformed("a challenge of wrong length")
    ours, half = random_bytes(8), random_bytes(16)
    secret = encrypt(suite, encryption_key, ours + theirs + half)
    proof = mac(suite, mac_key, pad(secret, 8))
    data, status = channel.ask(Command(b"\x00\x82\x00\x00", secret + proof, 40))
    if status in (0x6300, 0x6982, 0x6988, 0x6A80, 0x6985) or status >> 4 == 0x63C:
        raise AccessRefused("BAC")
    if status != 0x9000:
        raise CardRefused("open by BAC", status)
    if len(data) != 40:
        raise CardMalformed("an answer of wrong length to BAC")
    if not hmac.compare_digest(mac(suite, mac_key, pad(data[:32], 8)), data[32:]):
        raise AccessRefused("BAC")
    answer = decrypt(suite, encryption_key, data[:32])
    if answer[:8] != theirs or answer[8:16] != ours:
        raise CardMalformed("its answer to BAC is not for this reading")
    agreed = bytes(a ^ b for a, b in zip(half, answer[16:], strict=True))
    return Session(suite, agreed, int.from_bytes(theirs[4:] + ours[4:], "big"))


def pace(
    channel: Channel, info: PaceInfo, key: AccessKey, random_bytes: RandomBytes, *, name_parameters: bool = False
) -> Session:
    """Open the chip by PACE over ECDH and return the session; see `open_pace`."""
    return open_pace(channel, info, key, random_bytes, name_parameters=name_parameters)[0]


def open_pace(
    channel: Channel, info: PaceInfo, key: AccessKey, random_bytes: RandomBytes, *, name_parameters: bool = False
) -> tuple[Session, MappingProof | None]:
    """Open the chip by PACE over ECDH, with generic, integrated or chip authentication mapping.

    Args:
        channel: the card.
        info: the offer taken from EF.CardAccess.
        key: the printed secret.
        random_bytes: source of randomness.
        name_parameters: name the domain parameters, needed when the chip offers several.
    Returns:
        The session, and what chip authentication mapping gave (None for the other mappings).
    Raises:
        AccessRefused: the key is wrong. CardRefused, CardMalformed.
    """
    curve, suite = curves.STANDARDISED[info.parameters], info.suite
    reference, password_key = key.pace(suite)
    oid = core.ObjectIdentifier(info.oid).contents
    setup = tlv.write(0x80, oid) + tlv.write(0x83, bytes([reference]))
    if name_parameters:
        setup += tlv.write(0x84, bytes([info.parameters]))
    channel.demand(Command(b"\x00\x22\xc1\xa4", setup), "start PACE")
    locked = _step(channel, b"", 0x80, "give the PACE nonce")
    if not locked or len(locked) > 32 or len(locked) % suite.block_bytes:
        raise CardMalformed("a PACE nonce of wrong length")
    nonce = decrypt(suite, password_key, locked)
    if info.mapping == PACE_ECDH_IM:
        base, mapped = _integrated(channel, curve, suite, nonce, random_bytes), b""
    else:
        base, mapped = _generic(channel, curve, nonce, random_bytes)

    secret = curves.scalar(curve, random_bytes)
    ours = curves.encode(curve, curves.multiply(base, secret))
    theirs = _step(channel, tlv.write(0x83, ours), 0x84, "agree a key")
    if theirs == ours:
        raise CardMalformed("it sent our own key back")
    agreed = curves.shared_secret(curve, curves.multiply(curves.decode(curve, theirs), secret))

    mac_key = derive(agreed, 2, suite)
    token = tlv.write(0x85, pace_token(suite, mac_key, oid, theirs))
    data, status = channel.ask(Command(b"\x00\x86\x00\x00", tlv.write(0x7C, token), 256))
    if status in (0x6300, 0x6982, 0x6988, 0x6A80, 0x6985) or status >> 4 == 0x63C:
        raise AccessRefused("PACE")
    if status != 0x9000:
        raise CardRefused("open by PACE", status)
    if not hmac.compare_digest(tlv.find(data, 0x7C, 0x86), pace_token(suite, mac_key, oid, ours)):
        raise AccessRefused("PACE")
    session = Session(suite, agreed)
    if info.mapping != PACE_ECDH_CAM:
        return session, None
    return session, open_proof(session, curve, mapped, tlv.find(data, 0x7C, 0x8A))


def _generic(channel: Channel, curve: Any, nonce: bytes, random_bytes: RandomBytes) -> tuple[curves.Point, bytes]:
    """Move the base point by a key agreement; also return the chip's key of it."""
    base = curves.generator(curve)
    secret = curves.scalar(curve, random_bytes)
    ours = curves.encode(curve, curves.multiply(base, secret))
    theirs = _step(channel, tlv.write(0x81, ours), 0x82, "map the nonce")
    if theirs == ours:
        raise CardMalformed("it sent our own key back")
    moved = curves.multiply(base, int.from_bytes(nonce, "big")) + curves.multiply(curves.decode(curve, theirs), secret)
    curves.refuse_neutral(moved)
    return moved, theirs


def _integrated(channel: Channel, curve: Any, suite: Suite, nonce: bytes, random_bytes: RandomBytes) -> curves.Point:
    """Map both nonces to a point; the chip only takes ours."""
    ours = random_bytes(nonce_bytes(suite))
    raw = channel.demand(Command(b"\x10\x86\x00\x00", tlv.write(0x7C, tlv.write(0x81, ours)), 256), "map the nonce")
    if any(item.tag == 0x82 and item.value for item in tlv.children(tlv.find(raw, 0x7C))):
        raise CardMalformed("an answer to integrated mapping that should be empty")
    return point_of(curve, field_element(suite, ours, nonce, int(curve.curve.p())))


def pace_token(suite: Suite, mac_key: bytes, oid: bytes, public_key: bytes) -> bytes:
    """Return the authentication token over a public key (Doc 9303-11 section 4.4.3.4)."""
    data = tlv.write(0x7F49, tlv.write(0x06, oid) + tlv.write(0x86, public_key))
    return mac(suite, mac_key, pad(data, 8) if suite is Suite.TRIPLE_DES else data)


def _step(channel: Channel, data: bytes, answer_tag: int, step: str) -> bytes:
    raw = channel.demand(Command(b"\x10\x86\x00\x00", tlv.write(0x7C, data), 256), step)
    return tlv.find(raw, 0x7C, answer_tag)


def chip_authentication(channel: Channel, key: ChipAuthenticationKey, random_bytes: RandomBytes) -> Session:
    """Agree fresh keys with the chip's static key and return the new session.

    The chip has proved nothing yet: it has when the next protected answer under the new session holds.

    Raises:
        CardRefused, CardMalformed.
    Source: Doc 9303-11 section 6.2.
    """
    curve, point = curves.of_public_key(key.public_key)
    secret = curves.scalar(curve, random_bytes)
    ours = curves.encode(curve, curves.multiply(curves.generator(curve), secret))
    key_id = b"" if key.key_id is None else tlv.write(0x84, _unsigned(key.key_id))
    if key.suite is Suite.TRIPLE_DES:
        channel.demand(Command(b"\x00\x22\x41\xa6", tlv.write(0x91, ours) + key_id), "take our key")
    else:
        oid = core.ObjectIdentifier(f"{CA_ECDH}.{key.suite.value}").contents
        channel.demand(Command(b"\x00\x22\x41\xa4", tlv.write(0x80, oid) + key_id), "start chip authentication")
        channel.demand(Command(b"\x00\x86\x00\x00", tlv.write(0x7C, tlv.write(0x80, ours)), 256), "authenticate the chip")
    agreed = curves.shared_secret(curve, curves.multiply(curves.decode(curve, point), secret))
    return Session(key.suite, agreed)


def _unsigned(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")
