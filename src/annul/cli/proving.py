"""Commands about proof and keys: verify and prove the two sealed logs, show and rotate keys."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from annul.cli.frame import Exit, Place, Server, Show, print_pairs, takes_groups
from annul.errors import BadInput, Corrupt, NotFound, VerificationFailed
from annul.home import Home
from annul.times import now_us

LOGS: Final = ("register", "checks")
OPERATOR: Final = "operator"
"""Author of what is done on the machine itself."""

log_app = typer.Typer(no_args_is_help=True, help="The two sealed logs: register and checks.")
KeyFile = Annotated[Path | None, typer.Option("--key", help="File of public keys to trust; else keys/annul.pub of the home.")]
LogName = Annotated[str, typer.Argument(metavar="LOG", help="register or checks.")]


def _log(name: str) -> str:
    if name not in LOGS:
        raise BadInput(f"There is no log {name!r}.", where="LOG", mend="Use register or checks.")
    return name


def _verifiers(home: Home, key: Path | None, log: str) -> Any:
    from annul.client import TrustedKeys

    keys = TrustedKeys.read(key or home.public_keys)
    return keys.register if log == "register" else keys.checks


def _note(folder: Home, log: str) -> bytes:
    try:
        return (folder.log(log) / "checkpoint").read_bytes()
    except OSError:
        raise NotFound(
            f"The log {log} has no checkpoint yet.",
            where=str(folder.log(log)),
            mend="Start annul; it seals within a second.",
        ) from None


@log_app.command("checkpoint")
@takes_groups
def log_checkpoint(where: Server, show: Show, log: LogName = "register", key: KeyFile = None) -> None:
    """Print the newest signed checkpoint of a log, verified."""
    from annul.proof.checkpoint import open_checkpoint

    name = _log(log)
    if where.url:
        with where.client() as annul:
            note = annul.connection.get_bytes(f"/v1/log/{name}/checkpoint")
    else:
        note = _note(where.folder, name)
    sealed = open_checkpoint(note, _verifiers(where.folder, key, name), f"annul/{name}")
    value = {"log": name, "size": sealed.size, "root": base64.b64encode(sealed.root).decode(), "note": note.decode()}
    show.result(value, note.decode().rstrip("\n"))


@log_app.command("verify")
@takes_groups
def log_verify(
    home: Place,
    show: Show,
    files_only: Annotated[bool, typer.Option("--files-only", help="Leave the comparison with the database out.")] = False,
    key: KeyFile = None,
) -> int:
    """Re-read both sealed logs completely: every entry, tile, signature and window, and the register's rows.

    Exit code: 0 verified, 1 something does not hold; then it is named.
    """
    from annul.client import TrustedKeys

    folder = home.folder
    keys = TrustedKeys.read(key or folder.public_keys)
    steps: dict[str, int] = {}
    failed: dict[str, Any] | None = None
    with contextlib.ExitStack() as stack:
        database = None if files_only else stack.enter_context(_database(home))
        try:
            _verify(folder, [*keys.receipts, *keys.register, *keys.checks], database, steps)
        except (VerificationFailed, Corrupt, NotFound) as error:
            failed = {"code": error.code, "message": error.message, "where": error.where or ""}
    show.result(
        {"verified": failed is None, "counts": steps} | (failed or {}), lambda: _show_verified(steps, failed, files_only)
    )
    return Exit.REFUSED if failed else Exit.DONE


@contextlib.contextmanager
def _database(home: Place) -> Iterator[Any]:
    from annul import supervisor
    from annul.registry.writing.store import connect

    with supervisor.open_database(home.settings()) as conninfo, connect(conninfo) as db:
        yield db


def _verify(folder: Home, verifiers: list[Any], database: Any, steps: dict[str, int]) -> None:
    """Run the whole verification with a progress bar for each of its steps; `steps` collects what was read."""
    from annul.cli.progress import progress
    from annul.registry.loops.sealer import verify_logs

    with contextlib.ExitStack() as bars:
        advance: Callable[[int], None] | None = None
        for told in verify_logs(folder, verifiers, database):
            if told.part not in steps:
                bars.close()
                advance = bars.enter_context(progress(f"Verifying: {told.part}", told.total or None, "entries"))
                steps[told.part] = 0
            if advance is not None:
                advance(told.done - steps[told.part])
            steps[told.part] = told.done


def _show_verified(steps: dict[str, int], failed: dict[str, Any] | None, files_only: bool) -> None:
    if failed is None:
        rows = "" if files_only else ", and the database holds the same"
        print(f"✔  VERIFIED  Every entry is in its sealed log{rows}.")
    else:
        print(f"✖  REFUSED  {failed['message']} ({failed['where']})")
    print_pairs((f"  {what}", f"{count:,}") for what, count in steps.items())


@log_app.command("prove")
@takes_groups
def log_prove(
    where: Server,
    show: Show,
    index: Annotated[int, typer.Argument(min=0, help="Entry, from 0 (register: position - 1).")],
    log: Annotated[str, typer.Option("--log", help="register or checks.")] = "register",
    key: KeyFile = None,
) -> int:
    """Prove that an entry is in a log: ask for its path, and verify path, checkpoint and signature here."""
    from annul.proof.checkpoint import open_checkpoint
    from annul.proof.merkle import verify_inclusion

    name = _log(log)
    with where.client() as annul:
        proof = annul.connection.get(f"/v1/log/{name}/proof", {"index": index})
    sealed = open_checkpoint(proof["checkpoint"].encode(), _verifiers(where.folder, key, name), f"annul/{name}")
    path = [base64.b64decode(step) for step in proof["path"]]
    holds = sealed.size == proof["size"] and verify_inclusion(
        sealed.root, sealed.size, index, base64.b64decode(proof["leaf_hash"]), path
    )
    mark = "✔  PROVED" if holds else "✖  REFUSED"
    word = "is" if holds else "is not"
    show.result(
        {"proved": holds} | proof,
        f"{mark}  Entry {index} {word} in the log {name} of {sealed.size:,} entries ({len(path)} hashes).",
    )
    return Exit.DONE if holds else Exit.REFUSED


# -- keys --------------------------------------------------------------------------------------------------------------------

keys_app = typer.Typer(no_args_is_help=True, help="Public keys, and rotation of the document keys.")


@keys_app.command("show")
@takes_groups
def keys_show(where: Server, show: Show) -> None:
    """Show the public keys: of the server named by --url, else of the data folder."""
    if where.url:
        with where.client() as annul:
            found = annul.connection.get("/v1/keys")
        show.result(found, lambda: print_pairs(found.items()))
        return
    from annul.client import TrustedKeys

    keys = TrustedKeys.read(where.folder.public_keys)
    lines = [key.vkey for key in (*keys.receipts, *keys.register, *keys.checks)]
    show.result({"keys": lines}, "\n".join(lines))


@keys_app.command("rotate")
@takes_groups
def keys_rotate(home: Place, show: Show) -> None:
    """Rotate the document keys: everything stored is re-keyed without any number. annul must be stopped."""
    from annul import supervisor
    from annul.cli.progress import progress
    from annul.errors import Conflict
    from annul.registry.keys import load
    from annul.registry.loops.rotation import rotate

    settings = home.settings()
    if supervisor.running(settings.home) is not None:
        raise Conflict("annul runs on this data folder.", where=str(settings.home), mend="Stop it first.")
    with supervisor.open_database(settings) as conninfo, progress("Re-keying", None, "documents") as advance:
        before = 0

        def moved(done: int, _total: int) -> None:
            nonlocal before
            advance(done - before)
            before = done

        rotate(conninfo, settings.home, now_us, author=OPERATOR, progress=moved)
    epoch = load(settings.home).epoch
    show.result({"epoch": epoch}, f"✔  ROTATED  Document keys are at epoch {epoch}. Back up keys/secret.json now.")
