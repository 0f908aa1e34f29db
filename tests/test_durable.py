"""Files that survive: whole or as before, for their owner alone, and never half in place, whatever write fails."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annul import durable
from annul.errors import StorageFailed
from annul.home import Home


def mode_of(path: Path) -> int:
    """Return the permission bits of a path."""
    return stat.S_IMODE(path.stat().st_mode)


WRITES: dict[str, Callable[[Path, bytes], Any]] = {
    "replace": durable.replace,
    "replace_lossy": durable.replace_lossy,
    "replace_all": lambda path, content: durable.replace_all({path: content}),
}
"""Every way to put a file in the place of another."""


@pytest.mark.parametrize("way", WRITES)
def test_a_file_is_whole_and_its_owners_alone(way: str, tmp_path: Path) -> None:
    """The new content stands, nothing is left beside it, and nobody else of the machine reads it, whatever the umask."""
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    path.chmod(0o644)
    old = os.umask(0)
    try:
        WRITES[way](path, b"new" * 1000)
    finally:
        os.umask(old)
    assert path.read_bytes() == b"new" * 1000
    assert mode_of(path) == 0o600
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("way", WRITES)
@pytest.mark.parametrize("call", ["open", "write", "replace"])
def test_a_write_that_fails_leaves_the_old_file(way: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at opening, at writing, at renaming: the error names the file and the next step, the old content stands."""
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def full(*_arguments: object, **_named: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        monkeypatch.setattr(durable.os, call, full)
    with pytest.raises(StorageFailed, match="No space left on device") as caught:
        WRITES[way](path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert caught.value.where == f"{tmp_path.name}/kept"
    assert "Free space" in (caught.value.mend or "")


def test_the_first_of_two_that_make_a_file_wins(tmp_path: Path) -> None:
    """Two processes make the key set at once: both then read the same one."""
    path = tmp_path / "keys"
    assert durable.create(path, b"first") is True
    assert durable.create(path, b"second") is False
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["keys"]


def test_a_folder_is_made_closed_with_those_above_it(tmp_path: Path) -> None:
    """Folders above one that is made are their owner's alone, too; one that was open is closed."""
    before = os.umask(0)
    try:
        durable.folder(tmp_path / "a" / "b" / "c")
        assert [mode_of(tmp_path / place) for place in ("a", "a/b", "a/b/c")] == [0o700] * 3
        (tmp_path / "a").chmod(0o755)
        durable.close_to_others(tmp_path / "a")
        (tmp_path / "a" / "said-nothing").write_bytes(b"")
        assert mode_of(tmp_path / "a") == 0o700
        assert mode_of(tmp_path / "a" / "said-nothing") == 0o600
    finally:
        os.umask(before)


def test_room_is_taken_or_refused(tmp_path: Path) -> None:
    """A mapped file has its room on the disk before a page of it is touched; what cannot be had is said."""
    path = tmp_path / "mapped"
    with path.open("w+b") as file:
        durable.reserve(file.fileno(), 1 << 16, path)
        assert path.stat().st_blocks * 512 >= 1 << 16
        with pytest.raises(StorageFailed, match="mapped cannot be written"):
            durable.reserve(file.fileno(), 1 << 62, path)


def test_a_moved_file_makes_its_folder(tmp_path: Path) -> None:
    """The folder is for its owner alone; the file is in one place."""
    source = tmp_path / "a"
    source.write_bytes(b"x")
    durable.move(source, tmp_path / "new" / "place" / "b")
    assert (tmp_path / "new" / "place" / "b").read_bytes() == b"x"
    assert not source.exists()
    assert mode_of(tmp_path / "new" / "place") == 0o700


def test_a_file_that_cannot_be_moved_stays(tmp_path: Path) -> None:
    """A target that is a folder refuses it: it stands where it stood."""
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"x")
    target.mkdir()
    with pytest.raises(StorageFailed):
        durable.move(source, target)
    assert source.read_bytes() == b"x"


def test_nobody_writes_files_durably_in_a_way_of_his_own() -> None:
    """Renames and barriers stand in one file; the few who map, append or build large files say so here."""
    own = {
        "durable.py": "the one place",
        "listings/table.py": "grows a mapped file",
        "listings/segment.py": "builds a file too large to hold, then moves it",
        "listings/control.py": "a mapped page that is made anew when it is lost",
        "registry/answering/checklog.py": "appends with a barrier of its own",
        "registry/answering/screening/screening.py": "appends with a barrier of its own",
        "registry/postgres.py": "the folder of the database",
        "edge/sync.py": "fetches a large file in parts",
        "edge/journal.py": "appends with a barrier of its own",
        "cli/doctor.py": "tries the disk",
    }
    root = Path(durable.__file__).parent
    words = ("os.fsync(", "os.fdatasync(", ".rename(", "os.replace(", "os.rename(")
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in words)
    }
    found -= {"registry/people/register.py", "web/api/persons.py"}  # persons are renamed there
    assert found <= set(own)


def test_the_data_folder_is_named_in_one_file() -> None:
    """Nobody else joins names to the home: where a file lies, and whether a backup needs it, stands in one table."""
    root = Path(durable.__file__).parent
    offenders = [
        f"{path.relative_to(root)}:{number}"
        for path in root.rglob("*.py")
        if path.name != "home.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if 'home / "' in line and "bench" not in str(path)
    ]
    assert offenders == []


def test_every_part_of_the_home_is_described() -> None:
    """Each property of the home lies in a part of the table, so that operators can look it up."""
    from annul.home import PARTS

    home = Home("/x")
    places = [getattr(home, name) for name, value in vars(Home).items() if isinstance(value, property)]
    described = [part.path.rstrip("/") for part in PARTS]
    for place in places:
        inner = str(place.relative_to("/x"))
        assert any(inner == path or inner.startswith(path + "/") or path.startswith(inner + "/") for path in described), inner


def test_the_manual_of_operation_shows_the_same_table() -> None:
    """docs/operate.md tells of every part what it is and whether a backup needs it."""
    from annul.home import PARTS

    page = (Path(__file__).parents[1] / "docs" / "operate.md").read_text(encoding="utf-8")
    for part in PARTS:
        assert f"| `{part.path}` | {part.what} | {part.writer} | {part.lost} | {part.backup} |" in page
