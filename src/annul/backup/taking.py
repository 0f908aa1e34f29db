"""Take a backup of an annul that runs, or stands still: in an order in which whatever speaks of another was copied before it.

1. The checkpoints of both logs, and the keys. 2. The database, in one snapshot: it has every entry the checkpoint seals.
3. The check logs, up to what is durable: every window that was sealed or indexed. 4. The tiles of both checkpoints. 5. Lists,
editions, witnesses. 6. Everything on stable storage; the table of contents, signed; the run's folder gets its name.

A crash before the last step leaves a folder `….unfinished`, which the next run removes, and bytes behind what the last finished
run noted, which it writes again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from annul import __version__, durable
from annul import keys as key_file
from annul.backup import contents as table
from annul.backup.contents import Contents, FileCopy, Place
from annul.backup.database import at_rest_or_running, dump
from annul.backup.grown import Grown
from annul.backup.sealing import Sealing
from annul.errors import AnnulError, Conflict, Corrupt, NotFound
from annul.home import Home
from annul.keys import Keys
from annul.proof.checkpoint import open_checkpoint
from annul.proof.tiles import CHECKPOINT
from annul.registry.loops.sealer import LOGS
from annul.settings import Settings
from annul.times import now_us

Step = Callable[[str, int], None]
"""step(what, bytes copied since the last call)."""

LOCK: Final = "lock"
KEY_FILES: Final = (".json", ".pub")


def take(settings: Settings, folder: Path, sealing: Sealing | None, *, step: Step = lambda _what, _bytes: None) -> Contents:
    """Take one backup into a folder that may hold earlier ones.

    Args:
        settings: of the annul to copy.
        folder: where backups of this one register are kept; made when it is not there.
        sealing: who may open the keys; None leaves keys and settings out.
        step: told what is being copied, for a progress bar.

    Raises:
        Conflict: another run is under way here, or the folder belongs to another register or history.
        SourceDown, StorageFailed, Corrupt, NotFound: nothing was finished; earlier runs are as they were.
    """
    home, taken_at_us = settings.home, now_us()
    keys = key_file.load(home)
    with _only_one(durable.folder(folder)):
        _clear(folder, keys)
        earlier = table.runs(folder)
        grown = Grown(folder)
        run = durable.folder(folder / f"{table.stamp(taken_at_us)}{table.UNFINISHED}")
        sealed = _secrets(home)
        notes = {log: _sealed(home, keys, log) for log in LOGS}
        small = _small(home)
        step("database", 0)
        with at_rest_or_running(settings) as conninfo:
            database = dump(conninfo, run / table.DATABASE)
        step("database", database.file.size)
        place = Place(grown.checks(home, lambda size: step("check logs", size)), {})
        for log, (size, note) in notes.items():
            if note:
                grown.tiles(log, home.log(log), size, lambda done: step("sealed logs", done))
                small[f"log/{log}/checkpoint"] = note
                place.logs[log] = size
        if database.head < place.logs.get("register", 0):
            raise Conflict("The database is behind its seal.", where="log_head", mend="Run `annul doctor`.")
        files = _linked(home, run, earlier[-1] if earlier else None, lambda size: step("lists and editions", size))
        files |= _written(run / table.FILES, small)
        if _secrets(home) != sealed:
            raise Conflict("Keys or settings were changed meanwhile.", where="keys/", mend="Take the backup again.")
        if sealing is not None:
            durable.replace(run / table.KEYS, sealing.seal(sealed))
        step("disk", 0)
        grown.finish(place)
        made = Contents(
            version=table.VERSION,
            origin=keys.origin,
            annul=__version__,
            taken_at_us=taken_at_us,
            database=database,
            grown=place,
            keys=table.KEYS if sealing else "",
            files=files,
        )
        table.write(run, made, keys)
        durable.move(run, folder / table.stamp(taken_at_us))
        durable.replace(home.backed_up, msgspec.json.encode({"folder": str(folder), "taken_at_us": taken_at_us}))
        return made


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        with durable.telling(folder / LOCK):
            lock = stack.enter_context((folder / LOCK).open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("Another backup into this folder is under way.", where=str(folder), mend="Wait for it.") from None
        yield


def _clear(folder: Path, keys: Keys) -> None:
    """Remove what an earlier run did not finish; refuse a folder of another register."""
    for unfinished in folder.glob(f"*{table.UNFINISHED}"):
        shutil.rmtree(unfinished)
    for run in table.runs(folder)[-1:]:
        if table.read(run).origin != keys.origin:
            raise Conflict("The folder holds backups of another register.", where=str(folder), mend="Name a folder of its own.")
        table.require_signed(run, keys)


def _secrets(home: Home) -> dict[str, bytes]:
    """Read what is sealed: keys, and the settings, which hold passwords. The anchor beside the keys does not come back."""
    files = [path for path in sorted(home.keys.iterdir()) if path.suffix in KEY_FILES]
    files += [home.settings_file] if home.settings_file.exists() else []
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def _sealed(home: Home, keys: Keys, log: str) -> tuple[int, bytes]:
    """Read the checkpoint of a log; returns its size and itself, (0, b"") before the first one."""
    signer = keys.register_signer() if log == "register" else keys.check_signer()
    try:
        note = (home.log(log) / CHECKPOINT).read_bytes()
        return open_checkpoint(note, [signer.verifier], signer.name).size, note
    except FileNotFoundError:
        return 0, b""
    except AnnulError as error:
        raise Corrupt(
            "A checkpoint is damaged, or of another key file.", where=f"log/{log}/{CHECKPOINT}", mend="Run `annul doctor`."
        ) from error


def _small(home: Home) -> dict[str, bytes]:
    """Read what is replaced as a whole and must not be newer than the checkpoint: what witnesses cosigned."""
    found = {}
    for log in LOGS:
        with contextlib.suppress(FileNotFoundError):
            file = home.witnessed(log)
            found[str(file.relative_to(home))] = file.read_bytes()
    return found


def _linked(home: Home, run: Path, earlier: Path | None, advance: Callable[[int], None]) -> dict[str, FileCopy]:
    """Copy lists, editions and what is known of witnesses; what did not change since the earlier run is linked to it."""
    known = table.read(earlier).files if earlier else {}
    found: dict[str, FileCopy] = {}
    for folder in (home.segments, home.editions, home.watched.parent):
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            name = str(path.relative_to(home))
            if path.is_symlink() or not path.is_file() or path.name.endswith(".new"):
                continue
            target = run / table.FILES / name
            durable.folder(target.parent)
            with contextlib.suppress(FileNotFoundError):  # replaced while we looked
                found[name] = _link_or_copy(path, target, earlier / table.FILES / name if earlier else None, known.get(name))
                advance(found[name].size)
    return found


def _link_or_copy(path: Path, target: Path, before: Path | None, known: FileCopy | None) -> FileCopy:
    state = path.stat()
    if before is not None and known is not None:
        with contextlib.suppress(OSError):
            old = before.stat()
            if (old.st_size, old.st_mtime_ns) == (state.st_size, state.st_mtime_ns):
                os.link(before, target)
                return known
    with durable.telling(target) if path.exists() else contextlib.nullcontext():
        shutil.copyfile(path, target)
        os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))
        target.chmod(durable.PRIVATE)
    return table.digest(target)


def _written(folder: Path, small: dict[str, bytes]) -> dict[str, FileCopy]:
    found = {}
    for name, content in small.items():
        target = folder / name
        durable.folder(target.parent)
        durable.replace(target, content)
        found[name] = table.digest(target)
    return found


def last_of(home: Home) -> tuple[str, int]:
    """Return folder and time (microseconds) of the last backup that was taken of this home.

    Raises:
        NotFound: none was taken.
    """
    try:
        kept = msgspec.json.decode(home.backed_up.read_bytes(), type=dict[str, str | int])
        return str(kept["folder"]), int(kept["taken_at_us"])
    except (OSError, msgspec.MsgspecError, KeyError, ValueError):
        raise NotFound("No backup was taken yet.", where=str(home), mend="Run: annul backup FOLDER") from None
