"""Find one window in the check log again, for the receipt of a past check, without reading what lies before it.

The index of checks says where a window begins; then it is one read. Where it does not (a check that is not indexed yet, or was
indexed before places were noted), the file is gone through once by lengths, and a place every STRIDE windows is remembered.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import Final

from annul.errors import Corrupt
from annul.registry.answering.checklog import (
    TornError,
    WindowRecord,
    decode_record,
    hop,
    log_files,
    mapped,
    worker_folder,
)

STRIDE: Final = 128
"""Windows between two places that are remembered: some 100 microseconds to go."""
FILES_MAX: Final = 256
"""Files whose places are remembered; a file of 64 MiB has some thousand."""


class Places:
    """Find windows of the workers of this machine.

    Args:
        checks: `<home>/checks`.
    """

    def __init__(self, checks: Path) -> None:
        self._checks = checks
        self._files: dict[
            int, tuple[int, list[Path], list[int]]
        ] = {}  # worker -> folder's time of change, files, first windows
        self._marks: OrderedDict[Path, tuple[list[int], list[int]]] = OrderedDict()  # file -> windows and where they begin
        self._lock = threading.Lock()

    def window(self, worker: int, number: int, at: int = -1) -> WindowRecord | None:
        """Return a window, None when the log does not have it.

        Args:
            worker, number: which one.
            at: byte of its file where it begins, -1 when that is not known.

        Raises:
            Corrupt: its record is damaged.
        """
        path = self._file_of(worker, number)
        if path is None:
            return None
        with mapped(path) as view:
            if at < 0:
                at = self._place(view, path, number)
            if at >= len(view):
                return None
            try:
                record = decode_record(view, at, path)
            except TornError:
                raise Corrupt(
                    "A window record is damaged.", where=f"checks/{path.parent.name}/{path.name} at byte {at}"
                ) from None
        return record if record.stated.window == number else None

    def _file_of(self, worker: int, number: int) -> Path | None:
        """Return the file a window must be in; the folder is listed when it has changed, once a file."""
        folder = worker_folder(self._checks, worker)
        try:
            changed = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        with self._lock:
            known = self._files.get(worker)
            if known is None or known[0] != changed:
                files = log_files(folder)
                known = self._files[worker] = changed, files, [int(path.stem) for path in files]
        place = bisect_right(known[2], number) - 1
        return known[1][place] if place >= 0 else None

    def _place(self, view: memoryview, path: Path, number: int) -> int:
        """Return where a window begins (or would), from the nearest place before it that is known."""
        with self._lock:
            windows, places = self._marks.setdefault(path, ([int(path.stem)], [0]))
            self._marks.move_to_end(path)
            if len(self._marks) > FILES_MAX:
                self._marks.popitem(last=False)
            while windows[-1] + STRIDE <= number:
                following = windows[-1] + STRIDE
                at = hop(view, places[-1], following)
                if at >= len(view):
                    break
                windows.append(following)
                places.append(at)
            nearest = places[bisect_right(windows, number) - 1]
        return hop(view, nearest, number)
