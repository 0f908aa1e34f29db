"""Keep the control page: what all processes must agree on, in one mapped page of 64-bit words.

| word | meaning |
|---|---|
| 0 | magic and version |
| 1 | view: grows by one at every change of the table file or the manifest |
| 2 | generation of the table file |
| 3 | generation of the manifest |
| 4 | applied position of the register log |
| 5 | as of: microseconds since the epoch, the table held everything known then |
| 6 | 1 when the writer closed everything cleanly and durably |
| 7, 8 | identity of the machine's boot in which the writer wrote |
| 9 | generation of the snapshot of the parties |

A word is written in one aligned store with release order; readers read it with acquire order.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import numpy as np

from annul.errors import Corrupt, SourceDown, StorageFailed, UnknownVersion
from annul.listings import native
from annul.listings.table import PAGE, Words, address_of, map_file, reserve

VIEW, TABLE, MANIFEST, POSITION, AS_OF, CLEAN, BOOT, BOOT_REST, PARTIES = range(1, 10)
CONTROL_FILE = "control"

_MAGIC = int.from_bytes(b"annulLC\x01", "little")


def boot_identity() -> bytes:
    """Return 16 bytes that are the same until the machine is started again."""
    linux = Path("/proc/sys/kernel/random/boot_id")
    if linux.exists():
        return bytes.fromhex(linux.read_text().strip().replace("-", ""))
    told = subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, check=False).stdout  # BSD and macOS
    return hashlib.sha256(told).digest()[:16]


class Control:
    """Map the control page of a folder.

    Raises:
        SourceDown: there is none yet.
        Corrupt: it is damaged.
        UnknownVersion: it is of another version.
    """

    def __init__(self, folder: Path, *, writable: bool = False) -> None:
        path = folder / CONTROL_FILE
        self._kernels = native.load()
        try:
            self._map = map_file(path, writable=writable)
        except FileNotFoundError as error:
            raise SourceDown(
                "The listings table is not there yet.", where=path.name, mend="Start the follower, then ask again."
            ) from error
        except (OSError, ValueError) as error:
            raise Corrupt("The control page cannot be read.", where=path.name) from error
        if len(self._map) != PAGE:
            raise Corrupt("The control page has the wrong size.", where=path.name)
        self.words: Words = np.frombuffer(self._map, dtype="<u8")
        magic = int(self.words[0])
        if magic != _MAGIC:
            if magic & 0xFFFFFFFFFFFFFF == _MAGIC & 0xFFFFFFFFFFFFFF:
                raise UnknownVersion("The control page is of an unknown version.", where=path.name)
            raise Corrupt("The control page is damaged.", where=path.name)
        self.address = address_of(self.words)
        self._cells = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, folder: Path, boot: bytes) -> Control:
        """Make the page of a new folder; mend a damaged one in its place, where readers have it mapped.

        Args:
            folder: of the listings.
            boot: identity of this start of the machine; the page has it before anybody sees the page.
        """
        path = folder / CONTROL_FILE
        temporary = folder / "control.part"
        try:
            if path.exists():
                with path.open("r+b") as file:
                    file.truncate(PAGE)
                    file.write(_MAGIC.to_bytes(8, "little"))
            else:
                with temporary.open("w+b") as file:
                    reserve(file.fileno(), PAGE, temporary)
                    file.write(_MAGIC.to_bytes(8, "little"))
                    file.seek(BOOT * 8)
                    file.write(boot)
                temporary.replace(path)
        except OSError as error:
            raise StorageFailed(
                f"Cannot make the control page: {error.strerror}.", where=str(folder), mend="See that it can be written."
            ) from error
        return cls(folder, writable=True)

    def __getitem__(self, word: int) -> int:
        return self._cells[word]

    def __setitem__(self, word: int, value: int) -> None:
        self._kernels.store_word(self.address + word * 8, value)

    @property
    def boot(self) -> bytes:
        """Return the boot in which the writer wrote."""
        return bytes(self.words[BOOT : BOOT_REST + 1].tobytes())

    @boot.setter
    def boot(self, identity: bytes) -> None:
        self[BOOT] = int.from_bytes(identity[:8], "little", signed=True)
        self[BOOT_REST] = int.from_bytes(identity[8:], "little", signed=True)

    def check_usable(self, boot: bytes) -> None:
        """Refuse a table of which nobody knows what reached the disk.

        Raises:
            Corrupt: the machine was started again without a clean close.
        """
        if self.boot != boot and not self[CLEAN]:
            raise Corrupt(
                "The machine was started again while the table was open.",
                where=CONTROL_FILE,
                mend="The follower rebuilds it from the register.",
            )

    def sync(self) -> None:
        """Write the page to the disk."""
        self._map.flush()
