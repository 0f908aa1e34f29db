"""A window is found again without reading what lies before it, and files are followed without listing a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from annul.errors import Corrupt
from annul.registry.answering import checklog, places
from annul.registry.answering.checklog import CheckLog, log_files, read_windows, worker_folder
from annul.registry.answering.places import Places
from tests.registry.answering.test_checklog import append

WINDOWS = 30


@pytest.fixture
def checks(tmp_path: Path) -> Path:
    """A log of thirty windows in some files."""
    log = CheckLog(tmp_path, 0, file_bytes_max=4_000)
    append(log, WINDOWS)
    log.close()
    assert len(log_files(worker_folder(tmp_path, 0))) > 4
    return tmp_path


def test_a_reader_that_knows_its_place_lists_no_folder(checks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealer and indexer ask four times a second: however many files there are, they open the ones they read."""
    first = next(read_windows(worker_folder(checks, 0)))

    def listed(_folder: Path) -> list[Path]:
        raise AssertionError("the folder was listed")

    monkeypatch.setattr(checklog, "log_files", listed)
    found = read_windows(worker_folder(checks, 0), start=1, file=first.file.name, offset=first.end)
    assert [record.stated.window for record in found] == list(range(1, WINDOWS))
    assert list(read_windows(worker_folder(checks, 0), start=WINDOWS, file=first.file.name, offset=first.end)) == []


@pytest.mark.parametrize("stride", [1, 3, 128])
def test_every_window_is_found_with_its_place_and_without(checks: Path, stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order; what is not there is not found, also when a place is claimed for it."""
    monkeypatch.setattr(places, "STRIDE", stride)
    all_of_them = list(read_windows(worker_folder(checks, 0)))
    found = Places(checks)
    for record in [*reversed(all_of_them), *all_of_them]:
        number = record.stated.window
        assert found.window(0, number, record.offset) == record
        assert found.window(0, number) == record
    assert found.window(0, WINDOWS) is None
    assert found.window(0, 1, all_of_them[0].offset) is None
    assert found.window(1, 0) is None


def test_windows_that_were_written_since_are_found(checks: Path) -> None:
    """The folder gets a file, the last file grows: both are seen."""
    found = Places(checks)
    assert found.window(0, WINDOWS) is None
    for limit in (4_000, 1 << 20):
        log = CheckLog(checks, 0, file_bytes_max=limit)
        number = log.next_window
        append(log, 3)
        log.close()
        made = found.window(0, number + 2)
        assert made is not None
        assert made.stated.window == number + 2


def test_a_damaged_record_is_named(checks: Path) -> None:
    """File and byte, as everywhere."""
    record = list(read_windows(worker_folder(checks, 0)))[5]
    raw = bytearray(record.file.read_bytes())
    raw[record.offset + 200] ^= 1
    record.file.write_bytes(raw)
    with pytest.raises(Corrupt, match=f"{record.file.name} at byte {record.offset}"):
        Places(checks).window(0, 5, record.offset)
