"""The way to a card: one interface, PC/SC behind it, and the command-response layer above it.

Nothing here knows documents. A transport moves bytes; `Channel` speaks ISO/IEC 7816-4 over it and, once keys are
agreed, wraps every command (secure messaging). Every exchange has a time limit.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from annul.errors import MissingPackage, TimedOut
from annul.reader.faults import CardMalformed, CardRefused, NoCard, NoReader, ReaderGone

EXCHANGE_MAX_S = 10.0
"""Longest single command. A chip that computes PACE takes about one second; more than ten means it is gone."""
READING_MAX_S = 60.0
"""Longest reading of one document, all commands together."""
RESPONSE_MAX_BYTES = 65_538
"""Extended response of ISO/IEC 7816-4 with its status word."""


class Transport(Protocol):
    """Move one command to the card and its answer back."""

    def transmit(self, command: bytes) -> bytes:
        """Return response data and status word (2 bytes) to one command.

        Raises:
            ReaderGone: reader or card went away.
            TimedOut: no answer within `EXCHANGE_MAX_S`.
        """

    def close(self) -> None:
        """Let go of the card. May be called twice."""


class Protection(Protocol):
    """Wrap commands and open responses once keys are agreed."""

    def wrap(self, command: Command) -> bytes:
        """Return the protected command."""

    def unwrap(self, response: bytes) -> tuple[bytes, int]:
        """Return (data, status word) of a protected response; raise CardMalformed if its proof does not hold."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of ISO/IEC 7816-4, in short form wherever the answer fits into it.

    Attributes:
        header: class, instruction, P1, P2.
        data: at most 255 bytes, counted before protection.
        expected: bytes wanted back, 1..256, or None when none are; more than that takes the extended form (Lc of 3 bytes).
    """

    header: bytes
    data: bytes = b""
    expected: int | None = None

    def encode(self) -> bytes:
        """Return the unprotected bytes."""
        if len(self.header) != 4 or len(self.data) > 0xFFFF:
            raise ValueError("a command has a header of 4 bytes and at most 65,535 bytes of data")
        if len(self.data) > 255 or (self.expected is not None and self.expected > 256):
            head = b"\0" + (len(self.data).to_bytes(2, "big") + self.data if self.data else b"")
            return self.header + head + (b"" if self.expected is None else (self.expected & 0xFFFF).to_bytes(2, "big"))
        body = bytes([len(self.data)]) + self.data if self.data else b""
        tail = b"" if self.expected is None else bytes([self.expected & 0xFF])
        return self.header + body + tail


class Channel:
    """Speak commands to one card, protected once `protection` is set.

    Args:
        transport: the way to the card.
        clock: monotonic seconds; the whole reading ends `READING_MAX_S` after the start.
    """

    def __init__(self, transport: Transport, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._transport = transport
        self._clock = clock
        self._ends = clock() + READING_MAX_S
        self.protection: Protection | None = None

    def ask(self, command: Command) -> tuple[bytes, int]:
        """Send a command; return data and status word whatever the status is.

        Raises:
            ReaderGone, TimedOut, CardMalformed.
        """
        if self.protection is None:
            return self._exchange(command.encode())
        raw, status = self._exchange(self.protection.wrap(command))
        if not raw:
            # A chip that lost the keys answers without protection: its word counts only as a refusal.
            return b"", status if status != 0x9000 else 0x6988
        return self.protection.unwrap(raw + status.to_bytes(2, "big"))

    def demand(self, command: Command, step: str) -> bytes:
        """Send a command that must succeed; return its data.

        Raises:
            CardRefused: any status but 9000; `step` says in words what was asked.
        """
        data, status = self.ask(command)
        if status != 0x9000:
            raise CardRefused(step, status)
        return data

    def _exchange(self, raw: bytes) -> tuple[bytes, int]:
        answer = self._once(raw)
        data, status = answer[:-2], int.from_bytes(answer[-2:], "big")
        if status >> 8 == 0x6C and len(raw) == 5:
            answer = self._once(raw[:4] + bytes([status & 0xFF]))
            data, status = answer[:-2], int.from_bytes(answer[-2:], "big")
        while status >> 8 == 0x61:
            answer = self._once(bytes([raw[0] & 0x03, 0xC0, 0, 0, status & 0xFF]))
            if len(answer) == 2 and answer[0] == 0x61:
                raise CardMalformed("it promises more data and sends none")
            data, status = data + answer[:-2], int.from_bytes(answer[-2:], "big")
            if len(data) > RESPONSE_MAX_BYTES:
                raise CardMalformed("an answer without end")
        return data, status

    def _once(self, raw: bytes) -> bytes:
        if self._clock() > self._ends:
            raise TimedOut(
                f"Reading the card took longer than {READING_MAX_S:.0f} seconds.",
                mend="Lay the card on the reader again and keep it still.",
            )
        answer = self._transport.transmit(raw)
        if not 2 <= len(answer) <= RESPONSE_MAX_BYTES:
            raise CardMalformed("an answer without status word")
        return answer


def _pyscard() -> Any:
    try:
        import smartcard
        import smartcard.Exceptions
        import smartcard.pcsc.PCSCExceptions
        import smartcard.scard
        import smartcard.System
    except ImportError as error:
        raise MissingPackage(
            "Reading chips needs the package pyscard.",
            mend="Install it: pip install 'annul[chip]'; on Debian also pcscd and libccid.",
        ) from error
    return smartcard


def _failures(smartcard: Any) -> tuple[type[Exception], ...]:
    """Return what pyscard raises: its own errors, and those of the service, which are of another family."""
    return smartcard.Exceptions.SmartcardException, smartcard.pcsc.PCSCExceptions.BaseSCardException


def pcsc_readers() -> list[str]:
    """Return the names of the PC/SC readers that are connected.

    Raises:
        MissingPackage: pyscard is not installed.
        NoReader: the PC/SC service is not running.
    """
    smartcard = _pyscard()
    try:
        return [str(reader) for reader in smartcard.System.readers()]
    except _failures(smartcard) as error:
        raise NoReader(
            "The PC/SC service does not answer.", mend="Start pcscd (systemctl start pcscd) and connect a reader."
        ) from error


class PcscTransport:
    """Reach a card through PC/SC (pyscard).

    Commands run on a thread of their own, so that a driver that hangs cannot hold the caller beyond the limit.
    """

    def __init__(self, connection: Any, smartcard: Any, *, exchange_max_s: float = EXCHANGE_MAX_S) -> None:
        self._connection = connection
        self._smartcard = smartcard
        self._limit_s = exchange_max_s
        self._commands: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="annul-pcsc", daemon=True)
        self._thread.start()

    @classmethod
    def connect(cls, reader: str, *, exchange_max_s: float = EXCHANGE_MAX_S) -> PcscTransport:
        """Connect to the card that lies on `reader` (a name from `pcsc_readers`).

        Raises:
            NoReader, NoCard, MissingPackage.
        """
        smartcard = _pyscard()
        try:
            found = [item for item in smartcard.System.readers() if str(item) == reader]
        except _failures(smartcard) as error:
            raise NoReader("The PC/SC service does not answer.", mend="Start pcscd and connect a reader.") from error
        if not found:
            raise NoReader("There is no reader of that name.", mend="Ask for the list of readers again.")
        connection = found[0].createConnection()
        try:
            connection.connect()
        except smartcard.Exceptions.NoCardException as error:
            raise NoCard("There is no card on the reader.", mend="Lay the document on the reader.") from error
        except _failures(smartcard) as error:
            raise NoCard("The card does not answer.", mend="Take the document off and lay it on again.") from error
        return cls(connection, smartcard, exchange_max_s=exchange_max_s)

    def _work(self) -> None:
        while (command := self._commands.get()) is not None:
            try:
                data, first, second = self._connection.transmit(list(command))
                self._answers.put(bytes(data) + bytes([first, second]))
            except _failures(self._smartcard) as error:
                self._answers.put(error)
        try:
            self._connection.disconnect()
        except _failures(self._smartcard):
            return  # the card is gone already, which is what was wanted

    def transmit(self, command: bytes) -> bytes:
        """Return the card's answer. See `Transport.transmit`."""
        if not self._open:
            raise ReaderGone("The card was let go.", mend="Start the reading again.")
        self._commands.put(command)
        try:
            answer = self._answers.get(timeout=self._limit_s)
        except queue.Empty:
            self.close()
            raise TimedOut(
                f"The card did not answer within {self._limit_s:.0f} seconds.",
                mend="Take the document off the reader and lay it on again.",
            ) from None
        if isinstance(answer, Exception):
            self.close()
            raise ReaderGone(
                "The card or the reader went away while it was read.",
                mend="Connect the reader, lay the document on it and keep it still.",
            ) from answer
        return answer

    def close(self) -> None:
        """Let go of the card."""
        if self._open:
            self._open = False
            self._commands.put(None)
