"""Commands about copies: take a backup of an annul that runs, and make a register from one, which proves itself."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from annul.cli.frame import Exit, Place, Show, print_pairs, takes_groups
from annul.errors import BadInput
from annul.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable

    from annul.backup import Contents, Opening, Restored, Sealing

PASSPHRASE: Final = "ANNUL_BACKUP_PASSPHRASE"  # noqa: S105 - a name
FolderOf = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where backups of this register are kept; on another disk.")]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help=f"File with the passphrase of the keys; else {PASSPHRASE}, or asked.")
]


@takes_groups
def backup(
    folder: FolderOf,
    home: Place,
    show: Show,
    recipient: Annotated[
        list[str] | None, typer.Option("--recipient", metavar="AGE1…", help="Public key that keys are sealed to; repeatable.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave keys and settings out: they are kept elsewhere.")
    ] = False,
    make_identity: Annotated[
        Path | None,
        typer.Option(
            "--make-identity", metavar="FILE", help="Only make an identity, and print its public key for --recipient."
        ),
    ] = None,
) -> int:
    """Copy everything that must come back, while annul runs: database, check logs, sealed logs, lists, and the keys, sealed.

    Each run adds a folder; what only grows is copied once. By cron: --recipient, so that no passphrase lies on the machine.
    """
    from annul.backup import make_identity as made_identity
    from annul.backup import take

    if make_identity is not None:
        public = made_identity(make_identity)
        show.result(
            {"recipient": public}, f"✔  MADE  {make_identity}: keep it away from this machine.\n   --recipient {public}"
        )
        return Exit.DONE
    sealing = None if without_keys else _sealing(tuple(recipient or ()), passphrase_file)
    settings = home.settings()
    started = time.monotonic()
    with _steps() as step:
        contents = take(settings, folder.absolute(), sealing, step=step)
    _show_taken(show, contents, settings.home, folder, time.monotonic() - started)
    return Exit.DONE


def _sealing(recipients: tuple[str, ...], passphrase_file: Path | None) -> Sealing:
    from annul.backup import Sealing

    if recipients:
        return Sealing(recipients)
    return Sealing(passphrase=_passphrase(passphrase_file, twice=True))


def _passphrase(file: Path | None, *, twice: bool) -> str:
    from annul.backup.sealing import read_secret

    if file is not None:
        return read_secret(file, "--passphrase-file")
    if found := os.environ.get(PASSPHRASE):
        return found
    if not sys.stdin.isatty():
        raise BadInput(
            "Nothing says who may open the keys.",
            where="--recipient",
            mend="Give --recipient, --passphrase-file, or --without-keys if they are kept elsewhere.",
        )
    typed = getpass.getpass("Passphrase of the keys: ")
    if twice and getpass.getpass("Once more: ") != typed:
        raise BadInput("The two are not the same.", where="passphrase")
    return typed


@contextlib.contextmanager
def _steps() -> Any:
    """Show each part with a bar of bytes."""
    from annul.cli.progress import progress

    with contextlib.ExitStack() as bars:
        shown = ""
        advance: Callable[[int], None] | None = None

        def step(what: str, size: int) -> None:
            nonlocal shown, advance
            if what != shown:
                bars.close()
                shown, advance = what, bars.enter_context(progress(f"Copying: {what}", None, "bytes"))
            if advance is not None:
                advance(size)

        yield step


def _show_taken(show: Show, contents: Contents, home: Home, folder: Path, took_s: float) -> None:
    from annul.backup.contents import stamp

    run = stamp(contents.taken_at_us)
    value = {
        "run": run,
        "folder": str(folder),
        "register_entries": contents.database.head,
        "check_windows": contents.check_windows,
        "sealed": contents.grown.logs,
        "keys": bool(contents.keys),
        "seconds": round(took_s, 1),
    }

    def text() -> None:
        print(f"✔  COPIED  {folder / run}")
        print_pairs(
            (
                ("  register entries", f"{contents.database.head:,}"),
                ("  windows of answers", f"{contents.check_windows:,}"),
                ("  keys", "sealed in keys.age" if contents.keys else f"NOT in it: keep {home.keys} elsewhere"),
                ("  seconds", f"{took_s:.1f}"),
            )
        )
        print("   Try it: annul restore, with --home of an empty folder. A backup that was never restored is a hope.")

    show.result(value, text)


@takes_groups
def restore(
    folder: FolderOf,
    home: Place,
    show: Show,
    run: Annotated[str, typer.Option("--run", help="Which run; else the newest.")] = "",
    identity: Annotated[Path | None, typer.Option(help="File with the identity the keys were sealed to.")] = None,
    passphrase_file: PassphraseFile = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="Folder with the key files, when they were kept elsewhere.")
    ] = None,
    database_url: Annotated[
        str, typer.Option(help="Empty database to fill; else that of the settings, else an embedded one.")
    ] = "",
    known: Annotated[
        list[Path] | None, typer.Option("--known", help="Checkpoint or receipt that was given out; repeatable.")
    ] = None,
    replaces: Annotated[Path | None, typer.Option(help="The old home, as far as it can be read.")] = None,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="Go on although something is missing.")] = False,
) -> int:
    """Make a register from a backup in a new data folder. It proves itself by re-reading everything before it gets its name.

    Refused: a copy that is behind a newer run, --known or --replaces. What is missing is said exactly.
    """
    from annul.backup import Source, restore
    from annul.cli.progress import progress

    opening = None if keys is not None else _opening(identity, passphrase_file)
    source = Source(folder.absolute(), run, opening, keys, tuple(known or ()), Home(replaces) if replaces else None)
    with progress("Restoring and re-reading", None, "entries") as advance:
        done: dict[str, int] = {}

        def step(told: Any) -> None:
            advance(told.done - done.get(told.part, 0))
            done[told.part] = told.done

        restored = restore(source, home.folder, database_url=database_url, accept_loss=accept_loss, step=step)
    _show_restored(show, restored)
    return Exit.DONE


def _opening(identity: Path | None, passphrase_file: Path | None) -> Opening:
    from annul.backup import Opening
    from annul.backup.sealing import read_secret

    if identity is not None:
        return Opening(identity=read_secret(identity, "--identity"))
    return Opening(passphrase=_passphrase(passphrase_file, twice=False))


def _show_restored(show: Show, restored: Restored) -> None:
    from annul.times import rfc3339

    value = {
        "home": str(restored.home),
        "taken_at": rfc3339(restored.contents.taken_at_us),
        "counts": restored.counts,
        "missing": [{"what": each.what, "from": each.ends + 1, "to": each.known, "by": each.by} for each in restored.missing],
    }

    def text() -> None:
        proved = "Every entry was re-read and holds." if restored.proved else "No log was sealed yet: nothing to re-read."
        print(f"✔  RESTORED  {restored.home}, as it was at {value['taken_at']}. {proved}")
        print_pairs((f"  {what}", f"{count:,}") for what, count in restored.counts.items())
        for each in restored.missing:
            print(f"!  MISSING  {each.sentence()}.")
        if restored.missing:
            print("   Report again what was reported since. Receipts and checkpoints of that time contradict this register:")
            print("   tell the witnesses and the parties, and rotate the signing keys before anything is answered.")
        else:
            print("   What was acknowledged after that time is not in it: hold it against checkpoints and receipts (--known).")
        print("   Next: annul serve")

    show.result(value, text)
