"""The second-generation Chinese resident card, read by a SAM reader on a serial line.

The reader box holds the security module that opens the card; this module speaks the box's protocol and reads the
text record. The portrait is in a closed wavelet format and stays closed: portrait and prints come from the register of
persons. Nothing in the record is signed for us: the box vouches for it, so the reading is `card_data`.

    request   AA AA AA 96 69 | length 2 | command | parameter | data | xor
    answer    AA AA AA 96 69 | length 2 | status 3 | data | xor         length counts from command/status to xor

Source: the dialogue as reader makers publish it (GA 450 describes the reader's duties). What a text record says is told by
`resident_records`.
"""

from __future__ import annotations

import datetime
import functools
import os
import time
from collections.abc import Callable
from typing import Protocol

from annul.errors import MissingPackage, TimedOut
from annul.reader.faults import CardMalformed, CardRefused, NoCard, NoReader, ReaderGone
from annul.reader.reading import Reading
from annul.reader.resident_records import TEXT_BYTES, CardForm, CardRecord, newest_address, parse_record, reading_of

PREAMBLE = b"\xaa\xaa\xaa\x96\x69"
FRAME_MAX_BYTES = 4096
"""Text 256, portrait 1024, print 1024 and their head are 2,321 bytes."""
PHOTO_BYTES = 1024
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

    def read_record(self, *, wait_s: float = 0.0) -> CardRecord:
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

    def read_newer_address(self) -> str:
        """Return the newest of the addresses that were written to a resident's card after its issue, or "".

        A box that does not know the command, or a card without such a field, has none.

        Raises:
            ReaderGone, CardMalformed (damaged answer).
        """
        try:
            status, data = self.ask(0x30, 0x03)
        except TimedOut:
            return ""
        return newest_address(data) if status == OK else ""

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


def read_resident_card(reader: SamReader, *, at: datetime.datetime, wait_s: float = 0.0) -> Reading:
    """Read the card on the box: any of the four kinds of text records, and a resident's newer address.

    Args:
        reader: the box.
        at: time of the reading, UTC.
        wait_s: how long to wait for a card.
    Raises:
        NoCard, CardRefused, CardMalformed, CardUnknown, ReaderGone, TimedOut.
    """
    record = reader.read_record(wait_s=wait_s)
    if record.form is not CardForm.RESIDENT:
        return reading_of(record, at=at)
    return reading_of(record, at=at, newer_address=reader.read_newer_address())
