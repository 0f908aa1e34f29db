"""The second-generation Chinese resident card, read by a SAM reader on a serial line.

The reader box holds the security module that opens the card; this module speaks the box's protocol and reads the
text record. The portrait is in a closed wavelet format and stays closed: portrait and prints come from the register of
persons. Nothing in the record is signed for us: the box vouches for it, so the reading is `card_data`.

    request   AA AA AA 96 69 | length 2 | command | parameter | data | xor
    answer    AA AA AA 96 69 | length 2 | status 3 | data | xor         length counts from command/status to xor

Source: the dialogue as reader makers publish it (GA 450 describes the reader's duties; GB/T 2260 the division codes,
GB/T 3304 the ethnic groups).
"""

from __future__ import annotations

import datetime
import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from annul.errors import BadInput, MalformedNumber, MissingPackage, TimedOut
from annul.reader.faults import CardMalformed, CardRefused, NoCard, NoReader, ReaderGone
from annul.reader.reading import Assurance, HolderFields, Means, Reading
from annul.records.document import DocumentFields, parse_document

PREAMBLE = b"\xaa\xaa\xaa\x96\x69"
FRAME_MAX_BYTES = 4096
"""Text 256, portrait 1024, print 1024 and their head are 2,321 bytes."""
TEXT_BYTES, PHOTO_BYTES = 256, 1024
POLL_S = 0.3
"""The box needs 300 ms between two searches."""
ANSWER_MAX_S = 3.0
OK, FOUND, NO_CARD, NOT_SELECTED, NOT_READ = 0x90, 0x9F, 0x80, 0x81, 0x41
_STATUS_WORDS = {
    0x10: "received a damaged request",
    0x11: "received a damaged request",
    0x21: "received an unknown command",
    0x23: "may not do this",
    0x24: "received an unknown command",
    0x31: "could not authenticate the card",
    0x32: "could not authenticate the card",
    0x33: "could not authenticate the card",
    0x40: "received an unknown command",
    0x41: "could not read the card",
    0x47: "could not read the card",
    0x60: "failed its self-test",
    0x66: "failed its self-test",
    0x91: "found no such field on the card",
}

ETHNICITIES = (
    "汉", "蒙古", "回", "藏", "维吾尔", "苗", "彝", "壮", "布依", "朝鲜", "满", "侗", "瑶", "白",
    "土家", "哈尼", "哈萨克", "傣", "黎", "傈僳", "佤", "畲", "高山", "拉祜", "水", "东乡", "纳西", "景颇",
    "柯尔克孜", "土", "达斡尔", "仫佬", "羌", "布朗", "撒拉", "毛南", "仡佬", "锡伯", "阿昌", "普米", "塔吉克", "怒",
    "乌孜别克", "俄罗斯", "鄂温克", "德昂", "保安", "裕固", "京", "塔塔尔", "独龙", "鄂伦春", "赫哲", "门巴", "珞巴", "基诺",
)  # fmt: skip
"""GB/T 3304-1991, code 01 to 56."""
LONG_TERM = "长期"


class Line(Protocol):
    """A byte line to the box."""

    def write(self, data: bytes) -> None:
        """Send all bytes. Raises ReaderGone."""

    def read(self, count: int, until_s: float) -> bytes:
        """Return 1..count bytes, or b"" when monotonic time `until_s` has passed. Raises ReaderGone."""

    def close(self) -> None:
        """Let go of the line."""


class SerialLine:
    """A serial port, 115200 baud 8N1.

    Args:
        port: device name, "/dev/ttyUSB0" or "COM3".
    Raises:
        MissingPackage: pyserial is not installed. NoReader: the port cannot be opened.
    """

    def __init__(self, port: str) -> None:
        try:
            import serial
        except ImportError as error:
            raise MissingPackage(
                "Reading resident cards needs the package pyserial.", mend="pip install 'annul[reader]'"
            ) from error
        self._failures: tuple[type[Exception], ...] = (serial.SerialException, OSError, TypeError)
        if os.name == "posix":
            import termios

            # pyserial lets this one through when the device goes away; it is no OSError.
            self._failures += (termios.error,)
        try:
            self._port = serial.Serial(port, 115_200, timeout=0.05, write_timeout=ANSWER_MAX_S, exclusive=True)
        except (*self._failures, ValueError) as error:
            raise NoReader(
                "The reader's serial port cannot be opened.", mend="Connect the reader and name its port."
            ) from error

    def write(self, data: bytes) -> None:
        """See `Line.write`."""
        try:
            self._port.reset_input_buffer()
            self._port.write(data)
        except self._failures as error:
            raise _gone() from error

    def read(self, count: int, until_s: float) -> bytes:
        """See `Line.read`."""
        try:
            while time.monotonic() < until_s:
                if data := bytes(self._port.read(min(count, max(1, self._port.in_waiting)))):
                    return data
        except self._failures as error:
            raise _gone() from error
        return b""

    def close(self) -> None:
        """See `Line.close`."""
        self._port.close()


def _gone() -> ReaderGone:
    return ReaderGone("The reader was disconnected while it was used.", mend="Connect the reader and begin again.")


class SamReader:
    """Speak with the box.

    Args:
        line: the way to it.
        clock: monotonic seconds.
        sleep: waits between two searches.
    """

    def __init__(
        self, line: Line, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._line = line
        self._clock = clock
        self._sleep = sleep

    def module_status(self) -> None:
        """Ask whether the security module is well.

        Raises:
            CardRefused: it is not. ReaderGone, TimedOut, CardMalformed.
        """
        self._demand(0x11, 0xFF, "report its state")

    def read_record(self, *, wait_s: float = 0.0) -> ResidentRecord:
        """Find, select and read the card.

        Args:
            wait_s: how long to wait for a card to be laid on.
        Raises:
            NoCard: none in time. CardRefused, CardMalformed, ReaderGone, TimedOut.
        """
        ends = self._clock() + wait_s
        while True:
            status, _ = self.ask(0x20, 0x01)
            if status == FOUND:
                status, _ = self.ask(0x20, 0x02)
                if status == OK:
                    break
                if status != NOT_SELECTED:
                    raise _refusal("select the card", status)
            elif status not in (NO_CARD, OK):
                raise _refusal("search for a card", status)
            if self._clock() >= ends:
                raise NoCard(
                    "There is no resident card on the reader.",
                    mend="Take the card off and lay it on again: a card that was read is not found twice.",
                )
            self._sleep(POLL_S)
        return parse_record(_text_of(self._demand(0x30, 0x01, "read the card")))

    def _demand(self, command: int, parameter: int, step: str) -> bytes:
        status, data = self.ask(command, parameter)
        if status != OK:
            raise _refusal(step, status)
        return data

    def ask(self, command: int, parameter: int, data: bytes = b"") -> tuple[int, bytes]:
        """Send one request; return the third status byte and the data.

        Raises:
            TimedOut, ReaderGone, CardMalformed (damaged answer).
        """
        self._line.write(encode_frame(bytes([command, parameter]) + data))
        body = self._receive()
        if len(body) < 3 or body[:2] != b"\0\0":
            raise CardMalformed("an answer of the reader without status", where="serial line")
        return body[2], body[3:]

    def _receive(self) -> bytes:
        ends = self._clock() + ANSWER_MAX_S
        buffer = b""
        while True:
            start = buffer.find(PREAMBLE)
            if start > 0:
                buffer = buffer[start:]
            if start >= 0 and len(buffer) >= 7:
                length = int.from_bytes(buffer[5:7], "big")
                if not 1 <= length <= FRAME_MAX_BYTES:
                    raise CardMalformed("an answer of the reader with an impossible length", where="serial line")
                if len(buffer) >= 7 + length:
                    return decode_frame(buffer[: 7 + length])
            elif start < 0:
                buffer = buffer[-len(PREAMBLE) + 1 :]
            part = self._line.read(FRAME_MAX_BYTES, ends)
            if not part:
                raise TimedOut(
                    f"The reader did not answer within {ANSWER_MAX_S:.0f} seconds.",
                    mend="Check that this port belongs to the reader and that it has power.",
                )
            buffer += part


def _refusal(step: str, status: int) -> CardRefused:
    words = _STATUS_WORDS.get(status, "refused")
    return CardRefused(step, status, mend=f"The reader {words}. Lay the card on again; if it stays, restart the reader.")


def encode_frame(body: bytes) -> bytes:
    """Wrap command or status, parameter and data into a frame."""
    counted = (len(body) + 1).to_bytes(2, "big") + body
    return PREAMBLE + counted + bytes([_xor(counted)])


def decode_frame(frame: bytes) -> bytes:
    """Return a frame's body (without length and xor).

    Raises:
        CardMalformed: preamble, length or xor is wrong.
    """
    if len(frame) < 8 or not frame.startswith(PREAMBLE) or int.from_bytes(frame[5:7], "big") != len(frame) - 7:
        raise CardMalformed("a damaged answer of the reader", where="serial line")
    if _xor(frame[5:-1]) != frame[-1]:
        raise CardMalformed("an answer of the reader whose checksum does not hold", where="serial line")
    return frame[7:-1]


def _xor(data: bytes) -> int:
    return functools.reduce(lambda a, b: a ^ b, data, 0)


def _text_of(data: bytes) -> bytes:
    if len(data) < 4:
        raise CardMalformed("a record cut short", where="resident card")
    text, photo = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    if text != TEXT_BYTES or photo not in (0, PHOTO_BYTES) or len(data) < 4 + text + photo:
        raise CardMalformed("a record whose lengths contradict each other", where="resident card")
    return data[4 : 4 + text]


@dataclass(frozen=True, slots=True, repr=False)
class ResidentRecord:
    """The text record of a card.

    Attributes:
        name: in Chinese characters.
        sex: F or M ("" if neither).
        ethnicity: name of the ethnic group, or "" for codes outside GB/T 3304.
        birth_date: YYYY-MM-DD.
        address: as written; the newer one where the card has been given one.
        number: citizen number, 18 characters, checked.
        authority: issuing police authority.
        valid_from: YYYY-MM-DD. valid_until: YYYY-MM-DD or "long-term".
    """

    name: str
    sex: str
    ethnicity: str
    birth_date: str
    address: str
    number: str
    authority: str
    valid_from: str
    valid_until: str


def parse_record(text: bytes) -> ResidentRecord:
    """Read the 256-byte text record (UTF-16LE, fixed fields).

    Raises:
        CardMalformed: length, coding, number, check character or a date is wrong, or number and birth date differ.
    """
    if len(text) != TEXT_BYTES:
        raise CardMalformed("a text record of wrong length", where="resident card")
    fields, offset = [], 0
    for size in (30, 2, 4, 16, 70, 36, 30, 16, 16, 36):
        try:
            fields.append(text[offset : offset + size].decode("utf-16-le").rstrip("\0 \u3000").strip())
        except UnicodeDecodeError:
            raise CardMalformed("a text record in another coding", where="resident card") from None
        offset += size
    name, sex, ethnicity, birth, address, number, authority, valid_from, valid_until, newer = fields
    born, start = _day(birth), _day(valid_from)
    end = "long-term" if valid_until == LONG_TERM else _day(valid_until)
    try:
        parse_document(DocumentFields(scheme="cn-resident", number=number, valid_from=start, valid_until=end))
    except (MalformedNumber, BadInput):
        raise CardMalformed("its citizen number or dates break the rules of resident cards", where="resident card") from None
    if not name or birth_date_of(number) != born:
        raise CardMalformed("its dates contradict each other", where="resident card")
    group = int(ethnicity) if ethnicity.isascii() and ethnicity.isdigit() else 0
    return ResidentRecord(
        name=name,
        sex={"1": "M", "2": "F"}.get(sex, ""),
        ethnicity=ETHNICITIES[group - 1] if 1 <= group <= len(ETHNICITIES) else "",
        birth_date=born,
        address=newer or address,
        number=number,
        authority=authority,
        valid_from=start,
        valid_until=end,
    )


def _day(text: str) -> str:
    try:
        if len(text) != 8 or not (text.isascii() and text.isdigit()):
            raise ValueError
        return datetime.date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        raise CardMalformed("a field that should be a date", where="resident card") from None


def birth_date_of(number: str) -> str:
    """Return the birth date inside a citizen number as YYYY-MM-DD."""
    return f"{number[6:10]}-{number[10:12]}-{number[12:14]}"


def sex_of(number: str) -> str:
    """Return M or F: the 17th digit of a citizen number is odd for men (GB 11643)."""
    return "M" if int(number[16]) % 2 else "F"


def read_resident_card(reader: SamReader, *, at: datetime.datetime, wait_s: float = 0.0) -> Reading:
    """Read the card on the box.

    Args:
        reader: the box.
        at: time of the reading, UTC.
        wait_s: how long to wait for a card.
    Raises:
        NoCard, CardRefused, CardMalformed, ReaderGone, TimedOut.
    """
    record = reader.read_record(wait_s=wait_s)
    notes = []
    if record.valid_until != "long-term" and record.valid_until < at.date().isoformat():
        notes.append("expired")
    if record.sex and record.sex != sex_of(record.number):
        notes.append("sex_differs_from_number")
    return Reading(
        means=Means.RESIDENT_CHIP,
        assurance=Assurance.CARD_DATA,
        document=DocumentFields(
            scheme="cn-resident",
            number=record.number,
            valid_from=record.valid_from,
            valid_until=record.valid_until,
        ),
        holder=HolderFields(
            name=record.name,
            sex=record.sex,
            birth_date=record.birth_date,
            nationality="CHN",
            personal_number=record.number,
            ethnicity=record.ethnicity,
            address=record.address,
        ),
        read_at=at,
        valid_until=record.valid_until,
        notes=tuple(notes),
    )
