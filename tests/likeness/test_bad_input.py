"""Hostile and useless samples, whole, through the comparing process: a specific answer, in bounded time and memory."""

from __future__ import annotations

import asyncio
import io
import os
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFilter
from tests.likeness.people import minutiae_of, orl, packed, pressed_again, print_image, record_of
from tests.waiting import WAIT_S

from annul.errors import AnnulError, BadInput, TooLarge
from annul.likeness.comparison import CapturePolicy
from annul.likeness.process import Comparer, Done, FacePair, FingerSet, Task

LIVE, ENROLLED = record_of(pressed_again(minutiae_of(11), 5)), record_of(minutiae_of(11))
CPU_MAX_S = 20.0
"""Far above what is usual. Processor time of the comparing process, so that a busy machine fails nothing."""
MEMORY_MAX_KB = 1_500_000


class House:
    """One comparing process for all tests of this file."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.comparer = Comparer(compare_max_s=WAIT_S)

    def compare(self, task: Task) -> Done:
        """Compare, and hold time and memory of the process to their bounds."""

        async def work() -> Done:
            async with self.comparer.turn():
                return await self.comparer.compare(task)

        before = self.cpu_s()
        try:
            return self.loop.run_until_complete(work())
        finally:
            assert self.cpu_s() - before < CPU_MAX_S
            assert self.peak_kb() < MEMORY_MAX_KB

    def cpu_s(self) -> float:
        """Return the processor time the process has used, in seconds; 0 when it is gone."""
        process = self.comparer._process
        if process is None:
            return 0.0
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_kb(self) -> int:
        """Return the largest memory the process has had, in KiB; 0 when it is gone."""
        process = self.comparer._process
        if process is None:
            return 0
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Start the process once; it must survive everything in this file."""
    made = House()
    made.compare(Task(face=FacePair(orl(7, 1), orl(7, 2)), finger=FingerSet(LIVE, [ENROLLED]), supervised=True))
    assert made.comparer._process is not None
    first = made.comparer._process.pid
    yield made
    assert made.comparer._process is not None
    assert made.comparer._process.pid == first
    made.loop.run_until_complete(made.comparer.close())
    made.loop.close()


def png_of(width: int, height: int) -> bytes:
    """Write a PNG that unpacks to a grey picture of this size: some kilobytes for hundreds of megabytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def beside(*images: bytes) -> bytes:
    """Put pictures beside one another."""
    return packed(np.hstack([np.asarray(Pillow.open(io.BytesIO(image)).convert("RGB")) for image in images]))


def photo_of_a_photo(image: bytes) -> bytes:
    """Show a portrait on a sheet: smaller, turned, on a table, blurred a little, with the grid of a screen."""
    shown = Pillow.open(io.BytesIO(image)).convert("RGB").resize((230, 280))
    table = Pillow.new("RGB", (640, 480), (96, 84, 70))
    table.paste(shown.rotate(4, expand=True, fillcolor=(96, 84, 70)), (200, 90))
    grid = np.asarray(table.filter(ImageFilter.GaussianBlur(0.6))).astype(np.int16)
    grid[::3] -= 6
    return packed(grid.clip(0, 255).astype(np.uint8))


def many_minutiae(count: int) -> bytes:
    """Write a record whose view claims and holds so many minutiae, over and over up to the count."""
    good = record_of(minutiae_of(1))
    body = b"".join(struct.pack(">BBBB", 1, n << 4 & 255, 80, 255) + bytes(6 * 255) + b"\0\0" for n in range(count // 255))
    return good[:8] + struct.pack(">I", 24 + len(body)) + good[12:22] + bytes((count // 255 & 255, 0)) + body


@cache
def pictures() -> dict[str, tuple[Any, type[AnnulError] | str]]:
    """Name each bad photo with the answer it must get: an error, or a reason code."""
    good, noise = orl(7, 2), np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    return {
        "no face": (packed(np.full((300, 300, 3), 127, np.uint8)), "no-face"),
        "noise": (packed(noise), "no-face"),
        "two faces": (beside(orl(7, 1), orl(12, 2)), "several-faces"),
        "1 x 1": (packed(np.zeros((1, 1, 3), np.uint8)), BadInput),
        "1 x 20,000": (packed(np.zeros((1, 20_000, 3), np.uint8)), BadInput),
        "50 megapixels": (packed(np.zeros((7071, 7072, 3), np.uint8), "JPEG"), TooLarge),
        "decompression bomb": (png_of(60_000, 3_000), TooLarge),
        "bomb below the limit": (png_of(25_000, 1_000), "no-face"),
        "truncated": (good[: len(good) // 2], BadInput),
        "empty": (b"", BadInput),
        "text": (b"not a picture", BadInput),
        "17 MiB": (bytes(17 << 20), TooLarge),
    }


@pytest.mark.parametrize("name", sorted(pictures()))
def test_a_bad_photo_gets_its_answer(house: House, name: str) -> None:
    """As live photo the reason or the place `/face/live`; as stored portrait it is not the bearer's fault."""
    sample, wanted = pictures()[name]
    for pair, place in ((FacePair(sample, orl(7, 2)), "/face/live"), (FacePair(orl(7, 2), sample or b" "), "/face/reference")):
        if isinstance(wanted, str):
            (found,) = house.compare(Task(face=pair, supervised=True)).comparisons
            reason = wanted if place.endswith("live") else "reference-unusable"
            assert (found.binding, found.reasons) == ("B3", (reason,))
            assert found.sentences[0]
        else:
            with pytest.raises(wanted) as refused:
                house.compare(Task(face=pair, supervised=True))
            assert refused.value.where == place


def test_a_photo_of_a_photo_is_no_match_unless_somebody_watched(house: House) -> None:
    """The networks find it alike, as stated. What stops it: nobody watched, or the challenge that a flat picture fails."""
    shown = photo_of_a_photo(orl(7, 1))
    (watched,) = house.compare(Task(face=FacePair(shown, orl(7, 2)), supervised=True)).comparisons
    assert watched.binding == "B0"  # no packaged detector is good enough: this is what supervised capture is for
    (alone,) = house.compare(Task(face=FacePair(shown, orl(7, 2)))).comparisons
    assert (alone.binding, alone.reasons) == ("B3", ("not-supervised",))
    strict = CapturePolicy(challenge_required=True)
    (unasked,) = house.compare(Task(face=FacePair(shown, orl(7, 2)), supervised=True, policy=strict)).comparisons
    assert (unasked.binding, unasked.reasons) == ("B3", ("challenge-missing",))
    frames = [packed(np.asarray(Pillow.open(io.BytesIO(shown)).rotate(turn))) for turn in (5, -5, 3, -3)]
    task = Task(
        face=FacePair(shown, orl(7, 2), frames),
        supervised=True,
        policy=strict,
        actions=("turn-left", "come-closer", "turn-right", "move-back"),
    )
    (asked,) = house.compare(task).comparisons
    assert (asked.binding, asked.reasons) == ("B3", ("challenge-failed",))


@cache
def prints() -> dict[str, tuple[bytes, type[AnnulError] | str]]:
    """Name each bad print with the answer it must get."""
    wsq = packed(print_image(1), "WSQ")
    return {
        "WSQ cut after its header": (wsq[:60], BadInput),
        "WSQ cut in the middle": (wsq[: len(wsq) // 2], BadInput),
        "WSQ of noise": (wsq[:200] + np.random.default_rng(0).bytes(4000), BadInput),
        "blank sheet": (packed(np.full((400, 400), 250, np.uint8)), "few-minutiae"),
        "1 x 1": (packed(np.zeros((1, 1), np.uint8)), BadInput),
        "50 megapixels": (packed(np.zeros((7071, 7072), np.uint8)), TooLarge),
        "thousands of minutiae": (many_minutiae(16 * 255), TooLarge),
        "more views than allowed": (many_minutiae(40 * 255), TooLarge),
        "record cut short": (ENROLLED[:-3], BadInput),
    }


@pytest.mark.parametrize("name", sorted(prints()))
def test_a_bad_print_gets_its_answer(house: House, name: str) -> None:
    """An error with its place, or a reason for the clerk; never a match, never a mismatch that tells against the bearer."""
    sample, wanted = prints()[name]
    task = Task(finger=FingerSet(sample, [ENROLLED]), supervised=True)
    if isinstance(wanted, str):
        (found,) = house.compare(task).comparisons
        assert (found.binding, found.reasons) == ("B3", (wanted,))
        return
    with pytest.raises(wanted) as refused:
        house.compare(task)
    assert refused.value.where == "/fingerprint/live"
