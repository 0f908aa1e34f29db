"""Tiles: paths and shapes of the specification, growth, crashes at every step, damage found and named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul import durable
from annul.errors import AnnulError, BadInput, Corrupt, NotFound, StorageFailed, TooLarge, VerificationFailed
from annul.proof.checkpoint import Signer, open_checkpoint, sign_checkpoint
from annul.proof.merkle import consistency_proof, inclusion_path, leaf_hash, root, verify_consistency
from annul.proof.tiles import (
    TileReader,
    TileWriter,
    bundle_path,
    folder_reader,
    pack_bundle,
    parse_path,
    tile_path,
    unpack_bundle,
    verify_tree,
)

C2SP = json.loads((Path(__file__).parents[1] / "vectors" / "c2sp.json").read_text())
SIGNER = Signer("annul/register", bytes(range(32)))


@pytest.fixture(autouse=True, scope="module")
def no_barriers() -> Iterator[None]:
    """Spare the disk: what a barrier is for shows in the order test and by stopping at each of them, not in waiting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        yield


def entries(start: int, end: int) -> list[bytes]:
    """Return different entries of different lengths."""
    return [b"%d" % number * (number % 5) for number in range(start, end)]


def seal(writer: TileWriter) -> None:
    """Sign and write the checkpoint over what was written."""
    writer.write_checkpoint(sign_checkpoint("annul/register", writer.size, writer.root(), SIGNER))


def grow(folder: Path, *steps: int) -> TileWriter:
    """Write a log in steps, sealing each."""
    writer = TileWriter(folder)
    for step in steps:
        writer.append(entries(writer.size, writer.size + step))
        seal(writer)
    return writer


def check(folder: Path, size: int) -> TileReader:
    """Verify a log of a size completely."""
    read = folder_reader(folder)
    checkpoint = open_checkpoint(read("checkpoint"), [SIGNER.verifier], "annul/register")
    assert checkpoint.size == size
    assert checkpoint.root == root([leaf_hash(entry) for entry in entries(0, size)])
    verify_tree(read, size, checkpoint.root)
    reader = TileReader(read, size)
    assert list(reader.entries()) == entries(0, size)
    return reader


def files(folder: Path) -> dict[str, str]:
    """Return every file with its digest."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_paths_are_those_of_the_specification() -> None:
    """Groups of three digits, partial widths, entry bundles; read back."""
    for vector in C2SP["paths"]:
        level, index, width = vector["level"], vector["index"], vector["width"]
        made = bundle_path(index, width) if level is None else tile_path(level, index, width)
        assert made == vector["path"]
        assert parse_path(made) == (level, index, width)


@given(st.integers(0, 7), st.integers(0, 2**56 - 1), st.integers(1, 256))
def test_paths_lead_back_to_what_they_name(level: int, index: int, width: int) -> None:
    """For every tile there can be."""
    assert parse_path(tile_path(level, index, width)) == (level, index, width)
    assert parse_path(bundle_path(index, width)) == (None, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/1",
        "tile/8/000",
        "tile/00/000",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/000/001",
        "tile/0/x001/x002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/17/..",
        "../tile/0/000",
        "tile/0/000\n",
        "/tile/0/000",
        "tile/entries/000.p/300",
        "tile/0/٠٠٠",
        "tile/0/" + "x001/" * 19 + "001",
        "keys/secret.json",
        "checkpoint/",
        "tile/0/../../x",
    ],
)
def test_other_spellings_and_other_files_are_no_tiles(path: str, tmp_path: Path) -> None:
    """A door that serves the folder can be led nowhere else."""
    with pytest.raises(BadInput):
        parse_path(path)
    with pytest.raises(BadInput):
        folder_reader(tmp_path)(path)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_bundles_come_back(given_entries: list[bytes]) -> None:
    """Empty entries too; a cut bundle is refused."""
    data = pack_bundle(given_entries)
    assert unpack_bundle(data) == given_entries
    if data:
        with pytest.raises(Corrupt):
            unpack_bundle(data[:-1] if given_entries[-1] else data + b"\0")


def test_entries_longer_than_a_bundle_allows_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """65,535 bytes fit, one more does not."""
    writer = TileWriter(tmp_path / "log")
    writer.append([bytes(65535)])
    seal(writer)
    before = files(tmp_path)
    with pytest.raises(TooLarge):
        writer.append([b"small", bytes(65536)])
    assert (files(tmp_path), writer.size) == (before, 1)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the specification's example: 70,000 entries."""
    folder = tmp_path_factory.mktemp("large") / "log"
    grow(folder, 70_000)
    return folder


def test_a_tree_of_70_000_has_the_tiles_of_the_specification(large: Path) -> None:
    """273 full tiles and one of 112; 1 and one of 17; one of 1; bundles like level 0."""
    expected = {tile_path(0, index) for index in range(273)} | {bundle_path(index) for index in range(273)}
    expected |= {tile_path(0, 273, 112), bundle_path(273, 112), tile_path(1, 0), tile_path(1, 1, 17), tile_path(2, 0, 1)}
    assert set(files(large)) == expected | {"checkpoint"}
    reader = check(large, 70_000)
    leaves = [leaf_hash(entry) for entry in entries(0, 70_000)]
    for index in (0, 255, 256, 65_535, 65_536, 69_999):
        assert reader.inclusion_path(index) == inclusion_path(leaves, index)
    for old in (1, 256, 65_536, 69_999, 70_000):
        assert reader.consistency_proof(old) == consistency_proof(leaves, old)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 100, 255, 256, 257, 600]), min_size=1, max_size=8), st.booleans())
def test_a_log_grows_in_any_steps_to_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], reopen: bool
) -> None:
    """Many small seals or one large: the full files are the same, and every state verifies."""
    folder = tmp_path_factory.mktemp("steps") / "log"
    writer = TileWriter(folder)
    for step in steps:
        old, old_root = writer.size, writer.root()
        if reopen:
            writer = TileWriter(folder)
        writer.append(entries(writer.size, writer.size + step))
        seal(writer)
        reader = check(folder, writer.size)
        if old:
            proof = reader.consistency_proof(old)
            verify_consistency(old_root, old, writer.root(), writer.size, proof)
    straight = tmp_path_factory.mktemp("straight") / "log"
    grow(straight, sum(steps))
    assert files(straight).items() <= files(folder).items()


def test_an_old_checkpoint_can_still_be_proved_after_the_tile_is_full(tmp_path: Path) -> None:
    """The partial file is gone; the full one serves its readers."""
    writer = grow(tmp_path / "log", 100, 300)
    read = folder_reader(tmp_path / "log")
    assert not (tmp_path / "log" / tile_path(0, 0, 100)).exists()
    old = TileReader(read, 100)
    leaves = [leaf_hash(entry) for entry in entries(0, 100)]
    assert old.root() == root(leaves)
    assert old.inclusion_path(99) == inclusion_path(leaves, 99)
    assert list(old.entries(90)) == entries(90, 100)
    verify_tree(read, 100, root(leaves))
    assert writer.sealed_size == 400


def test_files_of_earlier_states_are_never_changed(tmp_path: Path) -> None:
    """tlog-tiles resources are immutable: what a reader cached stays right."""
    folder = tmp_path / "log"
    grow(folder, 70)
    before = files(folder)
    grow(folder, 50)
    later = files(folder)
    assert all(later[name] == digest for name, digest in before.items() if name != "checkpoint")


class Crash(Exception):
    """The machine stops."""


@contextmanager
def crash_at(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[None]:
    """Let the machine stop at the n-th barrier or rename: with even n before it took effect, with odd n right after."""
    done = 0
    with monkeypatch.context() as patch:
        for name in ("fsync", "replace"):
            real = getattr(os, name)

            def step(*arguments: object, real: Callable[..., None] = real) -> None:
                nonlocal done
                done += 1
                if done <= after // 2 or after % 2:
                    real(*arguments)
                if done > after // 2:
                    raise Crash

            patch.setattr(os, name, step)
        yield


@pytest.mark.parametrize("first", [0, 200, 256])
def test_a_crash_at_any_step_loses_nothing_sealed_and_is_repaired_by_the_next_run(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each durable step fails once before and once after it took effect: the old checkpoint stands, or the new one whole."""
    for after in range(200):
        folder = tmp_path / f"{after}" / "log"
        writer = grow(folder, first)
        finished = False
        with crash_at(monkeypatch, after), suppress(Crash):
            writer.append(entries(first, first + 400))
            seal(writer)
            finished = True
        again = TileWriter(folder)
        assert again.size in {first, first + 400}
        check(folder, again.size)
        again.append(entries(again.size, first + 450))
        seal(again)
        check(folder, first + 450)
        if finished:
            assert after > 20
            return
    pytest.fail("the writer has more steps than were tried")


def test_every_file_is_durable_before_its_name_and_the_checkpoint_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order that makes a power cut harmless: content, name, folder, and only then the checkpoint."""
    writer = grow(tmp_path / "log", 200)
    steps: list[tuple[str, str]] = []
    rename = os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: steps.append(("durable", os.readlink(f"/proc/self/fd/{handle}"))))
    monkeypatch.setattr(os, "replace", lambda old, new: (steps.append(("named", str(new))), rename(old, new)))
    writer.append(entries(200, 700))
    seal(writer)
    named = [name for step, name in steps if step == "named"]
    assert named[-1] == str(tmp_path / "log" / "checkpoint")
    assert len(named) == 8
    for name in named:
        at = steps.index(("named", name))
        assert ("durable", f"{name}.new") in steps[:at]
        assert ("durable", str(Path(name).parent)) in steps[at:]
        if name != named[-1]:
            assert ("durable", str(Path(name).parent)) in steps[at : steps.index(("named", named[-1]))]


def test_a_full_disk_is_reported_and_the_log_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short or failed write acknowledges nothing."""
    folder = tmp_path / "log"
    writer = grow(folder, 10)

    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable.os, "write", full)
    with pytest.raises(StorageFailed):
        writer.append(entries(10, 20))
    with pytest.raises(StorageFailed):
        seal(writer)
    monkeypatch.undo()
    again = TileWriter(folder)
    assert again.size == 10
    again.append(entries(10, 20))
    seal(again)
    check(folder, 20)


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write() may take fewer bytes than it is given."""
    real = durable.os.write
    monkeypatch.setattr(durable.os, "write", lambda handle, data: real(handle, bytes(data)[:100]))
    grow(tmp_path / "log", 300)
    monkeypatch.undo()
    check(tmp_path / "log", 300)


@pytest.mark.parametrize("path", [tile_path(0, 0), tile_path(0, 1, 44), tile_path(1, 0, 1), bundle_path(0), bundle_path(1, 44)])
@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "gone"])
def test_damage_is_found_and_the_file_named(path: str, damage: str, tmp_path: Path) -> None:
    """One bit, one byte less, one more, the file gone: each in every kind of file."""
    folder = tmp_path / "log"
    writer = grow(folder, 300)
    target = folder / path
    data = bytearray(target.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 4
        target.write_bytes(data)
    elif damage == "gone":
        target.unlink()
    else:
        target.write_bytes(data[:-1] if damage == "cut" else data + b"\0")
    with pytest.raises((Corrupt, NotFound)) as caught:
        verify_tree(folder_reader(folder), 300, writer.root())
    assert path in str(caught.value.where)


def test_a_log_that_does_not_fit_its_checkpoint_is_refused(tmp_path: Path) -> None:
    """Files that fit each other but belong to another log: found by the root."""
    folder, other = tmp_path / "log", tmp_path / "other"
    grow(folder, 300)
    with pytest.raises(VerificationFailed) as caught:
        verify_tree(folder_reader(folder), 300, leaf_hash(b"other root"))
    assert caught.value.step == 5
    writer = TileWriter(other)
    writer.append(entries(1, 301))
    seal(writer)
    shutil.copy(folder / "checkpoint", other / "checkpoint")
    with pytest.raises(Corrupt):
        TileWriter(other)


@pytest.mark.parametrize("path", ["checkpoint", tile_path(0, 1, 44), bundle_path(1, 44), tile_path(1, 0, 1)])
def test_a_writer_refuses_to_go_on_from_a_damaged_edge(path: str, tmp_path: Path) -> None:
    """It would sign what it did not write."""
    folder = tmp_path / "log"
    grow(folder, 300)
    data = bytearray((folder / path).read_bytes())
    data[0 if path == "checkpoint" else len(data) // 2] ^= 0x80
    (folder / path).write_bytes(data)
    with pytest.raises(AnnulError):
        TileWriter(folder)
    (folder / path).unlink()
    if path != "checkpoint":
        with pytest.raises(Corrupt):
            TileWriter(folder)


def test_a_checkpoint_over_something_else_is_not_put_in_place(tmp_path: Path) -> None:
    """Size and root must be those of what was written."""
    writer = grow(tmp_path / "log", 3)
    for size, top in ((4, writer.root()), (3, bytes(32))):
        with pytest.raises(BadInput):
            writer.write_checkpoint(sign_checkpoint("annul/register", size, top, SIGNER))
    check(tmp_path / "log", 3)


def test_reading_a_whole_log_reports_progress(tmp_path: Path) -> None:
    """For the bar of `annul log verify`."""
    writer = grow(tmp_path / "log", 600)
    seen: list[int] = []
    verify_tree(folder_reader(tmp_path / "log"), 600, writer.root(), seen.append)
    assert seen == [256, 256, 88]


def test_the_empty_log_can_be_sealed_and_verified(tmp_path: Path) -> None:
    """A register begins with a checkpoint of size 0."""
    writer = grow(tmp_path / "log", 0)
    assert writer.size == 0
    check(tmp_path / "log", 0)
    assert TileWriter(tmp_path / "log").root() == writer.root()
