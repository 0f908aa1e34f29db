"""Read the Russian list of invalid passports: lines `4509,123456` below a header, as CSV, plain or packed.

Source: the list as its publisher gave it out: one CSV file `PASSP_SERIES,PASSP_NUMBER`, compressed with bzip2, about 132
million lines, some ten thousand of them malformed (letters, short numbers, noise of text recognition).
Blanks, quotes and carriage returns around digits are accepted. Bad lines are named by number, never shown.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from annul.errors import BadInput
from annul.listings import native
from annul.listings.bulk import Chunk, Part, Reader
from annul.listings.packing import unpacked
from annul.listings.table import Words, address_of
from annul.records.schemes.ru_internal import blocks_of_numbers

PIECE_BYTES = 8 << 20
LINE_BYTES_MAX = 1 << 20
"""A longer line says that this is no list."""
HEADER = b"PASSP_SERIES"
CAUSES = (
    "",
    "empty",
    "non-ASCII characters",
    "letters",
    "other characters",
    "missing comma",
    "too many commas",
    "too short",
    "too long",
)
_AHEAD = 4
_BOM = b"\xef\xbb\xbf"


def russian_list(path: Path, value: int) -> Reader:
    """Return a reader of a list; every document on it gets the same value.

    Args:
        path: CSV file, plain or packed with gzip, Zstandard, xz, bzip2 or ZIP.
        value: packed value of the listing, such as `pack(State.revoked)`.
    """

    def read(place: int, lines: int) -> Iterator[Chunk]:
        rest = b""
        for piece, bytes_done, last in _pieces(path, place):
            if not place and not lines and not rest and piece.startswith(_BOM):
                piece = piece[len(_BOM) :]
                place += len(_BOM)
            text = rest + piece if rest else piece
            if last and text and not text.endswith(b"\n"):
                text += b"\n"
            header = 1 if lines == 0 and text[:64].lstrip(b" \"'").upper().startswith(HEADER) else 0
            numbers, bad, used, count = _read_lines(text)
            rest = text[used:]
            if len(rest) > LINE_BYTES_MAX:
                raise BadInput(
                    "A line has no end.",
                    where=f"{path.name}, line {lines + count + 1}",
                    mend="Give a file with one document a line.",
                )
            named = tuple((CAUSES[cause], lines + line + 1) for line, cause in bad[header:])
            place += used
            lines += count
            blocks = blocks_of_numbers(numbers).tobytes()
            yield Chunk((Part(blocks, value),) if blocks else (), place, lines, bytes_done, named)

    return read


def _read_lines(text: bytes) -> tuple[Words, list[list[int]], int, int]:
    """Return the numbers of the good lines, (line, cause) of the bad ones, bytes used, lines read."""
    lines = text.count(b"\n")
    numbers: Words = np.empty(lines, np.uint64)
    bad: Words = np.empty(lines * 2, np.uint64)
    state: Words = np.zeros(3, np.uint64)
    source = np.frombuffer(text, np.uint8)
    good = native.load(native.BULK_KERNELS).read_lines(
        address_of(source), len(text), address_of(numbers), address_of(bad), address_of(state)
    )
    used, count, wrong = (int(word) for word in state)
    return numbers[:good], bad[: wrong * 2].reshape(-1, 2).tolist(), used, count


def _pieces(path: Path, place: int) -> Iterator[tuple[bytes, int, bool]]:
    """Read (and unpack) a file piece by piece in a thread of its own: (piece, bytes of the file read, last)."""
    made: queue.Queue[tuple[bytes, int, bool] | BaseException] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def hand_over(item: tuple[bytes, int, bool] | BaseException) -> None:
        while not stop.is_set():
            try:
                made.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            with unpacked(path, place) as opened:
                while not stop.is_set():
                    piece = opened.file.read(PIECE_BYTES)
                    hand_over((piece, opened.done(), not piece))
                    if not piece:
                        return
        except BaseException as error:  # noqa: BLE001 - handed to the reader of the pieces
            hand_over(error)

    thread = threading.Thread(target=read, name="list-reader", daemon=True)
    thread.start()
    try:
        while True:
            item = made.get()
            if isinstance(item, BaseException):
                raise item
            yield item
            if item[2]:
                return
    finally:
        stop.set()
        thread.join()


def made_list(lines: int, *, bad_every: int = 13_200, repeat_every: int = 1_000) -> Iterator[bytes]:
    """Make a list for measuring, piece by piece: always the same for the same arguments.

    Args:
        lines: data lines below the header.
        bad_every: one line in so many is malformed (132 million lines: ten thousand).
        repeat_every: one line in so many names the passport before again.
    """
    step = 1 << 19
    out = np.empty(step * 16, np.uint8)
    kernels = native.load(native.BULK_KERNELS)
    yield b"PASSP_SERIES,PASSP_NUMBER\n"
    for first in range(0, lines, step):
        size = kernels.make_lines(first, min(step, lines - first), bad_every, repeat_every, address_of(out))
        yield out[:size].tobytes()
