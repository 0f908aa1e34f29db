"""Make a register from a backup, and let it prove itself before it gets its name.

Everything is put together in `<home>.restoring`; the folder is renamed to the home when both logs have been re-read completely
and hold what the database has. A crash leaves that folder, which the next attempt removes; the home is not there yet.

A copy is older than what was given out since. What says so is asked first: checkpoints and receipts that somebody kept, the
home that is to be replaced, and newer runs of the same folder. A copy that is behind any of them is refused, with what is
missing, unless the loss is accepted.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from annul import durable
from annul import keys as key_file
from annul.backup import contents as table
from annul.backup import grown
from annul.backup.contents import Contents
from annul.backup.database import load
from annul.backup.sealing import Opening
from annul.backup.taking import KEY_FILES
from annul.client.receipts import TrustedKeys, parts_of
from annul.errors import AnnulError, BadInput, Conflict, Corrupt, NotFound, VerificationFailed
from annul.home import Home
from annul.keys import Keys
from annul.proof.checkpoint import open_checkpoint
from annul.proof.receipt import verify
from annul.registry.answering.checklog import durable_windows, worker_folder, workers
from annul.registry.answering.standing import acknowledged
from annul.registry.loops.sealer import LOGS, Progress, verify_logs
from annul.registry.people.vault import Vault
from annul.registry.postgres import Embedded
from annul.registry.writing.store import connect
from annul.settings import load as load_settings

RESTORING: Final = ".restoring"
"""Behind the name of a home that is being put together."""


@dataclass(frozen=True, slots=True)
class Source:
    """Say what is restored, and what the copy is held against.

    Args:
        folder: the backup folder.
        run: name of a run in it; "" is the newest.
        opening: opens the sealed keys; None when `keys` is given.
        keys: folder with the key files, when they were kept elsewhere.
        known: files of checkpoints and receipts that were given out.
        replaces: the home that is to be replaced, as far as it can still be read.
    """

    folder: Path
    run: str = ""
    opening: Opening | None = None
    keys: Path | None = None
    known: Sequence[Path] = ()
    replaces: Home | None = None


class Missing(msgspec.Struct, frozen=True):
    """Say what was given out and is not in the copy.

    Args:
        what: "register entries", "sealed windows", "windows of worker N" or "runs".
        ends: how many of them the copy has.
        known: how many there were, as far as is known.
        by: what says so.
    """

    what: str
    ends: int
    known: int
    by: str

    def sentence(self) -> str:
        """Return it for people."""
        return f"{self.known - self.ends:,} {self.what} are missing ({self.ends + 1:,} to {self.known:,}), says {self.by}"


@dataclass(slots=True)
class Restored:
    """Say what was restored, what was re-read, and what is missing by accepted loss.

    Attributes:
        proved: both logs were re-read against their checkpoints; False when the backup was taken before any was sealed.
    """

    home: Home
    contents: Contents
    counts: dict[str, int] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    proved: bool = False


def restore(
    source: Source,
    home: Home,
    *,
    database_url: str = "",
    accept_loss: bool = False,
    step: Callable[[Progress], None] = lambda _told: None,
) -> Restored:
    """Make the home from the backup, and prove it.

    Args:
        home: where it is to be; not there yet, or empty.
        database_url: an empty database elsewhere; else the setting of the backup, else the embedded one.
        accept_loss: go on although the copy is behind what was given out.
        step: told what is being re-read.

    Raises:
        Conflict: the home is there already, the database is not empty, or the copy is behind and the loss not accepted.
        NotFound, Corrupt, VerificationFailed, UnknownVersion: the backup is not whole; no home was made.
    """
    run = _run(source)
    contents = table.read(run)
    if home.exists() and any(home.iterdir()):
        raise Conflict(
            "There is something in the data folder already.",
            where=str(home),
            mend="Move it away; name it with --replaces, so that the copy is held against it.",
        )
    building = Home(home.with_name(home.name + RESTORING))
    shutil.rmtree(building, ignore_errors=True)
    durable.folder(building)
    _bring_keys(source, run, contents, building)
    keys = key_file.load(building)
    table.require_signed(run, keys)
    restored = Restored(home, contents, missing=list(_missing(source, run, contents, keys)))
    if restored.missing and not accept_loss:
        shutil.rmtree(building)
        raise Conflict(
            "The copy is behind what was given out: " + "; ".join(each.sentence() for each in restored.missing) + ".",
            where=run.name,
            mend="Restore a newer copy. If there is none, --accept-loss restores it all the same: read docs/operate.md first.",
            missing=[msgspec.to_builtins(each) for each in restored.missing],
        )
    key_file.publish(building, keys)
    keys.require_epoch(contents.database.key_epoch)
    Vault(building).require_whole()
    _bring_files(run, contents, building)
    grown.bring_back(source.folder, contents.grown, building, lambda _size: None)
    url = database_url or load_settings({}, home=building).database_url
    _fill_and_prove(building, url, run, keys, restored, step)
    durable.sync_all(building)
    if home.exists():
        home.rmdir()
    durable.move(building, home)
    return restored


def _run(source: Source) -> Path:
    found = table.runs(source.folder)
    if not found:
        raise NotFound("There is no finished backup in this folder.", where=str(source.folder))
    names = {run.name: run for run in found}
    if source.run and source.run not in names:
        raise NotFound("There is no such run.", where=source.run, mend=f"There are {', '.join(names)}.")
    return names[source.run] if source.run else found[-1]


def _bring_keys(source: Source, run: Path, contents: Contents, home: Home) -> None:
    """Write key files and settings into the home: of the sealed file, or of a folder."""
    if source.keys is not None:
        with durable.telling(source.keys):
            files = {f"keys/{path.name}": path.read_bytes() for path in source.keys.iterdir() if path.suffix in KEY_FILES}
    elif not contents.keys:
        raise NotFound("The keys are not in this backup.", where=run.name, mend="Name the folder with them by --keys.")
    elif source.opening is None:
        raise BadInput("The keys are sealed.", where=contents.keys, mend="Give --identity or --passphrase-file.")
    else:
        files = source.opening.open((run / contents.keys).read_bytes())
    for name, content in files.items():
        path = Path(home, name)
        if path.parent not in (home, home.keys):
            raise Corrupt("The sealed archive has a file that does not belong there.", where=contents.keys)
        durable.folder(path.parent)
        durable.replace(path, content)


def _bring_files(run: Path, contents: Contents, home: Home) -> None:
    """Copy lists, editions, checkpoints: each must be what the table of contents says."""
    for name, stated in contents.files.items():
        target = Path(home, name)
        if not target.resolve().is_relative_to(home.resolve()):
            raise Corrupt("The table of contents names a file outside the home.", where=name)
        durable.folder(target.parent)
        try:
            shutil.copyfile(run / table.FILES / name, target)
        except FileNotFoundError:
            raise Corrupt("A file of the backup is missing.", where=name, mend="Restore an earlier run.") from None
        target.chmod(durable.PRIVATE)
        _require(target, stated, name)


def _require(path: Path, stated: table.FileCopy, name: str) -> None:
    if not path.is_file() or table.digest(path) != stated:
        raise Corrupt("A file of the backup is not what was copied.", where=name, mend="Restore an earlier run.")


def _fill_and_prove(home: Home, url: str, run: Path, keys: Keys, restored: Restored, step: Callable[[Progress], None]) -> None:
    _require(run / table.DATABASE, restored.contents.database.file, table.DATABASE)
    trusted = TrustedKeys.parse("\n".join(keys.public_lines()))
    with contextlib.ExitStack() as stack:
        conninfo = url or stack.enter_context(Embedded(home)).conninfo
        load(conninfo, run / table.DATABASE)
        db = stack.enter_context(connect(conninfo, patient=True))
        restored.counts["register entries"] = restored.contents.database.head
        restored.proved = restored.contents.grown.logs.keys() >= set(LOGS)
        if restored.proved:
            for told in verify_logs(home, [*trusted.receipts, *trusted.register, *trusted.checks], db):
                restored.counts[told.part] = told.done
                step(told)
        restored.counts["check windows"] = restored.contents.check_windows
        _require_lists(home, db)


def _require_lists(home: Home, db: Any) -> None:
    """Hold that each list that counts has its file."""
    for (file,) in db.execute("SELECT file FROM bulk WHERE state IN ('staged', 'in_force')").fetchall():
        if not (home.segments / file).is_file():
            raise NotFound("A list in force is not in the backup.", where=f"listings/segments/{file}", mend="Take another run.")


# -- what was given out ------------------------------------------------------------------------------------------------------


def _missing(source: Source, run: Path, contents: Contents, keys: Keys) -> Iterator[Missing]:
    """Compare the copy with everything that says how far the register was."""
    for newer in [each for each in table.runs(source.folder) if each.name > run.name][-1:]:
        later = table.read(newer)
        if later.database.head > contents.database.head:
            yield Missing("register entries", contents.database.head, later.database.head, f"the run {newer.name}")
        for worker, place in later.grown.checks.items():
            yield from _behind_worker(contents, int(worker), place.windows, f"the run {newer.name}")
    for file in source.known:
        yield from _behind_known(file, contents, keys)
    if source.replaces is not None:
        yield from _behind_home(source.replaces, contents, keys)


def _behind_worker(contents: Contents, worker: int, windows: int, by: str) -> Iterator[Missing]:
    place = contents.grown.checks.get(str(worker))
    has = place.windows if place else 0
    if windows > has:
        yield Missing(f"windows of worker {worker}", has, windows, by)


def _behind_log(contents: Contents, log: str, size: int, by: str) -> Iterator[Missing]:
    if log == "register" and size > contents.database.head:
        yield Missing("register entries", contents.database.head, size, by)
    elif log == "checks" and size > contents.check_windows:
        yield Missing("sealed windows", contents.check_windows, size, by)


def _behind_known(file: Path, contents: Contents, keys: Keys) -> Iterator[Missing]:
    """Compare with a checkpoint or a receipt that somebody kept; it must be of this register."""
    try:
        raw = file.read_bytes()
    except OSError:
        raise NotFound("The file cannot be read.", where=str(file)) from None
    signers = {"register": keys.register_signer(), "checks": keys.check_signer()}
    for log, signer in signers.items():
        with contextlib.suppress(VerificationFailed):
            checkpoint = open_checkpoint(raw, [signer.verifier], signer.name)
            yield from _behind_log(contents, log, checkpoint.size, f"the checkpoint {file.name}")
            return
    try:
        stated = verify(parts_of(raw)[0], keys.receipt_verifiers()).statement
    except AnnulError as error:
        raise BadInput(
            "This is neither a checkpoint nor a receipt of this register.", where=str(file), mend="Leave it out."
        ) from error
    yield from _behind_worker(contents, stated.worker, stated.window + 1, f"the receipt {file.name}")


def _behind_home(old: Home, contents: Contents, keys: Keys) -> Iterator[Missing]:
    """Compare with what can still be read of the home that is replaced."""
    for log, signer in (("register", keys.register_signer()), ("checks", keys.check_signer())):
        for path in (old.log(log) / "checkpoint", old.witnessed(log)):
            with contextlib.suppress(OSError, VerificationFailed):
                checkpoint = open_checkpoint(path.read_bytes(), [signer.verifier], signer.name)
                yield from _behind_log(contents, log, checkpoint.size, f"{path.parent.name}/{path.name} of the old home")
                break
    with contextlib.suppress(Corrupt):
        known = acknowledged(old) or 0
        yield from _behind_log(contents, "register", known, "keys/acknowledged of the old home")
    for worker in workers(old.checks):
        windows = durable_windows(worker_folder(old.checks, worker))
        yield from _behind_worker(contents, worker, windows, f"checks/{worker:02d} of the old home")
