"""End to end through PC/SC: a service of our own, Debian's virtual reader, pyscard, and the specimen chip laid on it.

The service gets its socket handed over (systemd's way), so nothing of the machine's own PC/SC service is touched.
Needs Debian's pcscd and vsmartcard-vpcd and the package pyscard; left out where they are not.
"""

from __future__ import annotations

import datetime
import importlib.util
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import PCSC_SOCKET
from tests.reader.test_chip import AT, KEY, PORTRAIT, ZONE
from tests.reader.virtual import serve_virtual_reader
from tests.waiting import WAIT_S, until

from annul.reader import specimen
from annul.reader.access import AccessKey
from annul.reader.chip import read_document
from annul.reader.faults import AccessRefused, NoCard, NoReader, ReaderGone
from annul.reader.passive import PassiveVerdict
from annul.reader.reading import Assurance
from annul.reader.specimen import ChipKey, SpecimenChip, SpecimenCountry
from annul.reader.transport import PcscTransport, pcsc_readers

DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
pytestmark = pytest.mark.skipif(
    shutil.which("pcscd") is None or not DRIVER.exists() or importlib.util.find_spec("smartcard") is None,
    reason="needs pcscd, vsmartcard-vpcd and pyscard",
)

HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = "1", str(os.getpid())
os.execv(sys.argv[2], [sys.argv[2], "-f", "-c", sys.argv[3]])
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run a PC/SC service with a virtual reader; yield the port the card connects to."""
    folder = tmp_path_factory.mktemp("pcsc")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    (folder / "readers").mkdir()
    (folder / "readers" / "vpcd").write_text(
        f'FRIENDLYNAME "Virtual PCD"\nDEVICENAME /dev/null:0x{number:X}\nLIBPATH {DRIVER}\nCHANNELID 0x{number:X}\n'
    )
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(PCSC_SOCKET))
    listener.listen(8)
    service = subprocess.Popen(
        [sys.executable, "-c", HAND_OVER, str(listener.fileno()), str(shutil.which("pcscd")), str(folder / "readers")],
        pass_fds=[listener.fileno()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: bool(pcsc_readers()), "the service shows a reader")
        yield number
    finally:
        service.terminate()
        service.wait(WAIT_S)
        listener.close()
        PCSC_SOCKET.unlink(missing_ok=True)


class Laid:
    """A card on the virtual reader, until it is taken off."""

    def __init__(self, chip: SpecimenChip, port: int) -> None:
        self._port = port
        self._link: socket.socket | None = None
        self.taken_off_after = 10**9
        inner = chip.transmit

        def transmit(command: bytes) -> bytes:
            self.taken_off_after -= 1
            if self.taken_off_after < 0:
                raise ConnectionAbortedError
            return inner(command)

        chip.transmit = transmit  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._serve, args=(chip,), daemon=True)
        self._thread.start()

    def _serve(self, chip: SpecimenChip) -> None:
        try:
            serve_virtual_reader(chip, self._port)
        except OSError:
            return

    def connect(self) -> PcscTransport:
        """Connect through PC/SC once the service has seen the card."""

        def seen() -> PcscTransport | None:
            try:
                return PcscTransport.connect(pcsc_readers()[0])
            except NoCard:
                return None

        found = until(seen, "the card on the reader")
        assert found is not None
        return found


@pytest.fixture(scope="module")
def utopia() -> SpecimenCountry:
    """A country with a signer in force."""
    return SpecimenCountry(AT)


def test_the_whole_life_of_a_counter(port: int, utopia: SpecimenCountry) -> None:
    """No reader of that name; a genuine document; a wrong key; a forgery; a card taken off in the middle."""
    with pytest.raises(NoReader):
        PcscTransport.connect("no such reader")
    trust = utopia.trust_list()
    chip = specimen.personalise(utopia, ZONE, KEY, PORTRAIT, chip_key=ChipKey.new())
    laid = Laid(chip, port)
    card = laid.connect()
    reading = read_document(card, KEY, trust, at=AT, printed=ZONE)
    assert reading.assurance is Assurance.SIGNED_SAME_CHIP
    assert reading.portrait is not None
    assert reading.portrait.data == PORTRAIT
    card.close()

    card = laid.connect()
    with pytest.raises(AccessRefused):
        read_document(card, AccessKey.of_fields("D23145890", "740813", "320415"), trust, at=AT)
    card.close()

    chip.files[0x0101] = chip.files[0x0101].replace(b"ANNA", b"EVIL")
    card = laid.connect()
    evidence = read_document(card, KEY, trust, at=AT + datetime.timedelta(days=1)).chip
    assert evidence is not None
    assert evidence.passive.verdict is PassiveVerdict.ALTERED
    card.close()

    card = laid.connect()
    laid.taken_off_after = 30
    with pytest.raises(ReaderGone):
        read_document(card, KEY, trust, at=AT)
    card.close()
    card.close()
