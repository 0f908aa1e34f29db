"""The walk through an identity document's chip: open, read, verify, prove it is no copy.

    EF.CardAccess -> PACE (else BAC) -> DG1 DG14? DG15? DG2 EF.SOD -> chip, active and passive authentication

Every length the chip claims is bounded before it is followed; the whole walk has a time limit (`transport`).

Source: ICAO Doc 9303-10 (8th edition) section 3 and 4, 9303-11 section 4.2 (procedure).
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import time
from collections.abc import Callable, Sequence

from annul.reader import access, active, passive, reading, tlv
from annul.reader.curves import CurveUnknown
from annul.reader.datagroups import Portrait, portrait_of_dg2, zone_of_dg1
from annul.reader.faults import CardMalformed, CardRefused
from annul.reader.mappings import MappingProof
from annul.reader.reading import (
    AccessList,
    ActiveAuthentication,
    Assurance,
    ChipAuthentication,
    ChipEvidence,
    Means,
    Reading,
)
from annul.reader.transport import Channel, Command, Transport
from annul.reader.trust import TrustList
from annul.records.mrz import FormUnknown, ZoneMalformed, parse

APPLICATION = bytes.fromhex("A0000002471001")
CARD_ACCESS, SOD, DG1, DG2, DG14, DG15 = 0x011C, 0x011D, 0x0101, 0x0102, 0x010E, 0x010F
CARD_SECURITY = 0x011D
"""In the master file; the same number is EF.SOD in the application."""
FILE_MAX_BYTES = {CARD_ACCESS: 4096, SOD: 65_536, DG1: 512, DG2: 600_000, DG14: 16_384, DG15: 4096}
"""Largest files that are read. Real ones: SOD 1 to 4 kB, DG2 12 to 60 kB, the others below 1 kB."""
CHUNK_BYTES = 0xDF
"""Data in one short protected answer of any suite."""
SHORTER_CHUNKS = (0xA0, 0x80, 0x60, 0x40, 0x20, 0x10, 0x08)
"""What is asked for, one after the other, when the chip says that the length is wrong."""
CARD_SECURITY_TYPE = "0.4.0.127.0.7.3.2.1"
_KEYS_LOST = (0x6982, 0x6985, 0x6987, 0x6988)
_ABSENT = (0x6A82, 0x6A83, 0x6A88)

Progress = Callable[[str, int, int], None]
"""Called with (file, bytes read, bytes in all)."""


def read_document(
    transport: Transport,
    key: access.AccessKey,
    trust: TrustList,
    *,
    at: datetime.datetime,
    printed: Sequence[str] | None = None,
    portrait: bool = True,
    random_bytes: access.RandomBytes = os.urandom,
    clock: Callable[[], float] = time.monotonic,
    progress: Progress | None = None,
) -> Reading:
    """Read one electronic document and say what it proves.

    Args:
        transport: the card; it is not closed here.
        key: from the printed zone or the card access number.
        trust: certificates to believe; with an empty list every signer is unknown.
        at: time of the check, with a time zone.
        printed: the zone as it was read from the print, to be compared with DG1.
        portrait: read DG2 (by far the longest file).
        random_bytes: source of randomness.
        clock: monotonic seconds, for the time limit.
        progress: called while files are read.
    Raises:
        AccessRefused: the key is wrong. CardRefused, CardMalformed, ReaderGone, TimedOut.
    """
    walk = _Walk(Channel(transport, clock=clock), random_bytes, progress)
    protocol, offered = walk.open(key)
    dg1 = walk.file(DG1, "DG1")
    dg14 = walk.file_if_there(DG14, "DG14")
    dg15 = walk.file_if_there(DG15, "DG15")
    dg2 = walk.file_if_there(DG2, "DG2") if portrait else None
    sod = walk.file_if_there(SOD, "EF.SOD")
    lines = zone_of_dg1(dg1)
    try:
        zone = parse(lines, at.date())
    except FormUnknown as error:
        raise CardMalformed("the form of the zone in DG1 is not known here", where="DG1") from error
    except ZoneMalformed as error:
        raise CardMalformed("the zone in DG1 breaks the rules of its form", where="DG1") from error
    image, notes = _portrait(dg2)
    signed = None if dg14 is None else access.parse_security_infos(tlv.find(dg14, 0x6E))
    mapped = walk.mapping_proves(signed, sod, trust, at)
    proof = walk.authenticate_chip(signed) if mapped is None else mapped
    signs = walk.authenticate_actively(dg15, signed)
    groups = {number: data for number, data in ((1, dg1), (2, dg2), (14, dg14), (15, dg15)) if data is not None}
    if sod is None:
        findings = passive.PassiveAuthentication(passive.PassiveVerdict.MALFORMED, (passive.PassiveVerdict.MALFORMED,))
    else:
        findings = passive.authenticate(sod, groups, trust, at, issuer=zone.issuer)
    evidence = ChipEvidence(
        access="PACE-CAM" if mapped is ChipAuthentication.PASSED else protocol,
        passive=findings,
        chip_authentication=proof,
        access_list=_compare(offered, signed),
        # A Chinese permit prints the first of the chip's three lines.
        print_agrees=None if printed is None else list(printed) == lines[: len(printed)],
        active_authentication=signs,
    )
    assurance = Assurance.CARD_DATA
    if evidence.genuine:
        assurance = Assurance.SIGNED_SAME_CHIP if evidence.same_chip else Assurance.SIGNED
    found = reading.of_zone(zone, Means.CHIP, at)
    return dataclasses.replace(found, assurance=assurance, portrait=image, chip=evidence, notes=(*found.notes, *notes))


def _portrait(dg2: bytes | None) -> tuple[Portrait | None, list[str]]:
    """Return the portrait and what is odd about it: a damaged one costs itself, not the document."""
    notes: list[str] = []
    if dg2 is None:
        return None, notes
    try:
        return portrait_of_dg2(dg2, remarks=notes), notes
    except CardMalformed:
        return None, ["portrait_unreadable"]


def _compare(offered: access.SecurityInfos | None, signed: access.SecurityInfos | None) -> AccessList:
    if offered is None or signed is None:
        return AccessList.UNSIGNED
    return AccessList.CONFIRMED if set(offered.pace) == set(signed.pace) else AccessList.DIFFERS


class _Walk:
    def __init__(self, channel: Channel, random_bytes: access.RandomBytes, progress: Progress | None) -> None:
        self._channel = channel
        self._random = random_bytes
        self._progress = progress
        self._chunk = CHUNK_BYTES
        self._key: access.AccessKey | None = None
        self._mapping: MappingProof | None = None
        self._security: bytes | None = None

    def open(self, key: access.AccessKey) -> tuple[str, access.SecurityInfos | None]:
        """Open the application by the strongest way it offers and name it."""
        offered = self._offers()
        opened = self._pace(offered, key)
        self._key = key
        select = Command(b"\x00\xa4\x04\x0c", APPLICATION)
        _, status = self._channel.ask(select)
        if status in _ABSENT:
            raise CardRefused(
                "open the identity application", status, mend="This card is not an electronic document of Doc 9303."
            )
        if status != 0x9000:
            raise CardRefused("open the identity application", status)
        if opened:
            return "PACE", offered
        if self._channel.ask(_select(DG1))[1] == 0x9000 and self._channel.ask(_read(0, 8))[1] == 0x9000:
            return "open", offered
        if not key.mrz:
            raise CardRefused("open by the card access number", 0x6982, mend="Read or type the machine-readable zone instead.")
        self._channel.protection = access.bac(self._channel, key, self._random)
        return "BAC", offered

    def _pace(self, offered: access.SecurityInfos | None, key: access.AccessKey) -> bool:
        """Open by PACE if it is offered; a chip that refuses to start it is tried by BAC. Keeps what chip mapping gave."""
        if offered is None or not offered.pace:
            return False
        try:
            self._channel.protection, self._mapping = access.open_pace(
                self._channel, offered.pace[0], key, self._random, name_parameters=offered.pace_entries > 1
            )
        except CardRefused:
            if not key.mrz:
                raise
            return False
        if self._mapping is not None:
            # the master file is selected: its card security holds the static key and is signed
            self._security = self.file_if_there(CARD_SECURITY, "EF.CardSecurity")
        return True

    def mapping_proves(
        self, signed: access.SecurityInfos | None, sod: bytes | None, trust: TrustList, at: datetime.datetime
    ) -> ChipAuthentication | None:
        """Judge chip authentication mapping; None when the chip was not opened so, or no signed key is there to judge by.

        The key is that of DG14, or of an EF.CardSecurity whose signer also signed EF.SOD: else the proof could be of another
        genuine chip.
        """
        if self._mapping is None:
            return None
        keys = [item.public_key for item in signed.chip_authentication] if signed else []
        found = None if self._security is None else passive.believed_content(self._security, CARD_SECURITY_TYPE, trust, at)
        if found is not None and sod is not None and passive.authenticate(sod, {}, trust, at).signer == found[1]:
            keys += [item.public_key for item in access.parse_security_infos(found[0]).chip_authentication]
        if not keys:
            return None
        held = any(self._mapping.holds(key) for key in keys)
        return ChipAuthentication.PASSED if held else ChipAuthentication.FAILED

    def _offers(self) -> access.SecurityInfos | None:
        self._channel.ask(Command(b"\x00\xa4\x00\x0c", b"\x3f\x00"))
        try:
            data = self.file_if_there(CARD_ACCESS, "EF.CardAccess")
        except CardRefused:
            return None
        return None if data is None else access.parse_security_infos(data)

    def file_if_there(self, number: int, name: str) -> bytes | None:
        """Read a file, or return None when the chip has none."""
        try:
            return self.file(number, name)
        except CardRefused as error:
            if error.status in _ABSENT:
                return None
            raise

    def file(self, number: int, name: str) -> bytes:
        """Read one elementary file completely.

        Raises:
            CardRefused, CardMalformed.
        """
        self._channel.demand(_select(number), f"select {name}")
        data = self._channel.demand(_read(0, 8), f"read {name}")
        _, length, start = tlv.head(data)
        total = start + length
        if total > FILE_MAX_BYTES[number]:
            raise CardMalformed("a file claims to be larger than any document's", where=name)
        parts, have = [data[:total]], min(len(data), total)
        while have < total:
            part = self._part(have, total - have, number, name)
            if not part:
                raise CardMalformed("a file ends before its length", where=name)
            parts.append(part[: total - have])
            have += len(parts[-1])
            if self._progress is not None:
                self._progress(name, have, total)
        return b"".join(parts)

    def _part(self, offset: int, wanted: int, number: int, name: str) -> bytes:
        """Read on; a chip that answers 6700 or 6Cxx is asked for less, and for no more than that from then on.

        Some chips also forget their keys over such an answer: they are opened once more.
        """
        shortened = reopened = False
        while True:
            asked = min(self._chunk, wanted)
            data, status = self._channel.ask(_read_on(offset, asked))
            if status in (0x9000, 0x6282):
                return data if offset < 0x8000 else tlv.find(data, 0x53)
            if status == 0x6700 or status >> 8 == 0x6C:
                told = status & 0xFF if status >> 8 == 0x6C else 0
                smaller = told if 0 < told < asked else next((each for each in SHORTER_CHUNKS if each < asked), 0)
                if smaller:
                    self._chunk, shortened = smaller, True
                    continue
            elif status in _KEYS_LOST and shortened and not reopened and self._key is not None:
                reopened, self._channel.protection = True, None
                self.open(self._key)
                self._channel.demand(_select(number), f"select {name}")
                continue
            raise CardRefused(f"read {name}", status)

    def authenticate_chip(self, infos: access.SecurityInfos | None) -> ChipAuthentication:
        """Let the chip prove that it holds the private key to DG14. A key on a curve that is not spoken here proves nothing."""
        if infos is None or not infos.chip_authentication:
            return ChipAuthentication.ABSENT
        try:
            session = access.chip_authentication(self._channel, infos.chip_authentication[0], self._random)
            self._channel.protection = session
            _, status = self._channel.ask(_select(DG1))
        except CurveUnknown:
            return ChipAuthentication.ABSENT
        except (CardRefused, CardMalformed):
            return ChipAuthentication.FAILED
        return ChipAuthentication.PASSED if status == 0x9000 else ChipAuthentication.FAILED

    def authenticate_actively(self, dg15: bytes | None, signed: access.SecurityInfos | None) -> ActiveAuthentication:
        """Let the chip sign a fresh number with the key of DG15."""
        if dg15 is None:
            return ActiveAuthentication.ABSENT
        try:
            held = active.prove(self._channel, dg15, signed.active_digest if signed else None, self._random)
        except (CardRefused, CardMalformed):
            return ActiveAuthentication.FAILED
        return ActiveAuthentication.PASSED if held else ActiveAuthentication.FAILED


def _select(number: int) -> Command:
    return Command(b"\x00\xa4\x02\x0c", number.to_bytes(2, "big"))


def _read_on(offset: int, count: int) -> Command:
    """Read from any offset: beyond 7FFF by the odd instruction, whose answer has a head of up to 4 bytes."""
    if offset < 0x8000:
        return _read(offset, count)
    return Command(b"\x00\xb1\x00\x00", tlv.write(0x54, offset.to_bytes(3, "big")), min(count + 4, 0xE0))


def _read(offset: int, count: int) -> Command:
    return Command(b"\x00\xb0" + offset.to_bytes(2, "big"), expected=count)
