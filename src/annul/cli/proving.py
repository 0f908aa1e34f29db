"""Commands about proof and keys: verify and prove the two sealed logs, show and rotate keys."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from annul.cli.desk import Repeat
from annul.cli.frame import Exit, Place, Server, Show, Where, print_pairs, takes_groups
from annul.cli.hands import OPERATOR
from annul.errors import BadInput, Corrupt, NotFound, VerificationFailed
from annul.home import Home
from annul.times import now_us

LOGS: Final = ("register", "checks")

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
def log_checkpoint(
    where: Server,
    show: Show,
    log: LogName = "register",
    key: KeyFile = None,
    witness: Annotated[Path | None, typer.Option(help="File of keys of witnesses: the newest they cosigned.")] = None,
    quorum: Annotated[int, typer.Option(min=1, help="How many of them must have cosigned it.")] = 1,
) -> None:
    """Print the newest signed checkpoint of a log, verified."""
    from annul.client.logs import open_sealed

    name = _log(log)
    witnesses = [] if witness is None else _witnesses(witness)
    if where.url or witnesses:
        with where.client() as annul:
            note = annul.connection.get_bytes(f"/v1/log/{name}/checkpoint{'?witnessed=true' if witnesses else ''}")
    else:
        note = _note(where.folder, name)
    sealed = open_sealed(note, _verifiers(where.folder, key, name), witnesses, quorum if witnesses else 0)
    value = {"log": name, "size": sealed.size, "root": base64.b64encode(sealed.root).decode(), "note": note.decode()}
    show.result(value, note.decode().rstrip("\n"))


def _witnesses(file: Path) -> list[Any]:
    """Read the keys of witnesses, one a line."""
    from annul.proof.cosignature import WitnessKey

    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise NotFound("The keys of the witnesses cannot be read.", where=str(file)) from None
    keys = [WitnessKey.parse(line) for line in lines if line.strip()]
    if not keys:
        raise BadInput("There is no key of a witness.", where=str(file))
    return keys


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


@log_app.command("believe-clock")
@takes_groups
def log_believe_clock(home: Place, show: Show) -> None:
    """Let the register go on from this machine's clock, after entries that were recorded by a clock that ran ahead.

    While its newest entry is of the future nothing can be written. Set the clock first; use this when it is right and stays so.
    """
    from annul import supervisor
    from annul.registry.writing.store import believe_clock

    with supervisor.open_database(home.settings()) as conninfo:
        seconds = believe_clock(conninfo, now_us())
    text = f"Times go on from now; the newest entry was {seconds:,} s ahead." if seconds else "The register is not ahead."
    show.result({"ahead_s": seconds}, text)


@contextlib.contextmanager
def _database(home: Place) -> Iterator[Any]:
    from annul import supervisor
    from annul.registry.writing.store import connect

    with supervisor.open_database(home.settings()) as conninfo, connect(conninfo, patient=True) as db:
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
    index: Annotated[int | None, typer.Argument(min=0, help="Entry, from 0 (register: position - 1).")] = None,
    log: Annotated[str, typer.Option("--log", help="register or checks.")] = "register",
    receipt: Annotated[Path | None, typer.Option(help="Instead: a receipt, whose window is to be in the log checks.")] = None,
    key: KeyFile = None,
) -> int:
    """Prove that an entry is in a log: ask for its path, and verify path, checkpoint and signature here."""
    from annul.client.logs import open_sealed, verify_entry

    if (index is None) == (receipt is None):
        raise BadInput("Name an entry by its index, or a receipt with --receipt.", where="INDEX")
    name = _log(log if receipt is None else "checks")
    asked, leaf = ({"index": index}, None) if receipt is None else _window_of(receipt, where.folder, key)
    with where.client() as annul:
        proof = annul.connection.get(f"/v1/log/{name}/proof", asked)
    sealed = open_sealed(proof["checkpoint"].encode(), _verifiers(where.folder, key, name))
    index = int(proof["index"]) if index is None else index
    try:
        if leaf is not None and proof["leaf_hash"] != leaf:
            raise VerificationFailed("The entry is not the window of this receipt.", step=6, where="leaf_hash")
        verify_entry(sealed, index, proof["leaf_hash"], proof["path"])
    except VerificationFailed as error:
        show.result({"proved": False} | proof, f"✖  REFUSED  Entry {index} is not in the log {name}: {error.message}")
        return Exit.REFUSED
    show.result(
        {"proved": True} | proof,
        f"✔  PROVED  Entry {index} is in the log {name} of {sealed.size:,} entries ({len(proof['path'])} hashes).",
    )
    return Exit.DONE


def _window_of(file: Path, home: Home, key: Path | None) -> tuple[dict[str, int | None], str]:
    """Verify a receipt; returns worker and window to ask for, and the leaf hash (base64) its window has in the sealed log."""
    from annul.client import TrustedKeys
    from annul.client.receipts import parts_of
    from annul.proof.merkle import leaf_hash
    from annul.proof.receipt import verify

    try:
        given = file.read_bytes()
    except OSError:
        raise NotFound("The receipt cannot be read.", where=str(file)) from None
    verified = verify(parts_of(given)[0], TrustedKeys.read(key or home.public_keys).receipts)
    entry = verified.receipt.statement + verified.receipt.signature
    stated = verified.statement
    return {"worker": stated.worker, "window": stated.window}, base64.b64encode(leaf_hash(entry)).decode()


OldFile = Annotated[Path, typer.Argument(metavar="OLD", help="Signed checkpoint, as log checkpoint printed it.")]
NewFile = Annotated[Path, typer.Argument(metavar="NEW", help="Signed checkpoint of the same log, of a later time.")]


@log_app.command("compare")
@takes_groups
def log_compare(where: Server, show: Show, old: OldFile, key: KeyFile = None) -> int:
    """Prove that a log only grew since a checkpoint one has kept: ask for the newest and the proof, and verify both here.

    Exit code: 0 the kept log is a beginning of today's, 1 it is not; keep both checkpoints then.
    """
    name, before = _kept(old, where.folder, key)
    with where.client() as annul:
        note = annul.connection.get_bytes(f"/v1/log/{name}/checkpoint")
        return _compare(show, name, before, _open(note, where.folder, key, name), annul)


@log_app.command("consistency")
@takes_groups
def log_consistency(where: Server, show: Show, old: OldFile, new: NewFile, key: KeyFile = None) -> int:
    """Prove that of two checkpoints one has kept, the older is a beginning of the newer: ask for the proof, verify it here.

    Exit code: 0 it is, 1 it is not.
    """
    (name, before), (other, after) = _kept(old, where.folder, key), _kept(new, where.folder, key)
    if other != name:
        raise BadInput("The two checkpoints are of two logs.", where=str(new))
    with where.client() as annul:
        return _compare(show, name, before, after, annul)


@log_app.command("erase")
@takes_groups
def log_erase(
    where: Where,
    show: Show,
    position: Annotated[int, typer.Argument(help="Position of the entry in the register log.", min=1)],
    evidence: Annotated[str, typer.Option(help="Reference of the decision.")],
    idempotency_key: Repeat = None,
) -> None:
    """Erase what an entry refers to by, if it holds what it should not: the text goes, the log stays verifiable."""
    with where.client("supervisor") as annul:
        path = f"/v1/entries/{position}/erase"
        erased = annul.connection.write(path, {"evidence": evidence}, idempotency_key=idempotency_key)
    show.result(erased, f"✔  ERASED  What entry {position} refers to cannot be read any more.")


def _open(note: bytes, home: Home, key: Path | None, log: str) -> Any:
    from annul.client.logs import open_sealed

    return open_sealed(note, _verifiers(home, key, log))


def _kept(file: Path, home: Home, key: Path | None) -> tuple[str, Any]:
    """Read and verify a kept checkpoint; returns the name of its log too."""
    try:
        note = file.read_bytes()
    except OSError:
        raise NotFound("The checkpoint cannot be read.", where=str(file)) from None
    origin = note.partition(b"\n")[0].decode(errors="replace")
    name = next((log for log in LOGS if origin in {key.name for key in _verifiers(home, key, log)}), None)
    if name is None:
        raise VerificationFailed("The checkpoint is of a log whose key is not trusted here.", step=3, where=str(file))
    return name, _open(note, home, key, name)


def _compare(show: Show, log: str, old: Any, new: Any, annul: Any) -> int:
    """Ask for the proof between two verified checkpoints, verify it and say what it proves."""
    from annul.client.logs import verify_grown

    told = {"log": log, "old": old.size, "new": new.size}
    steps: list[str] = []
    try:
        if 0 < old.size < new.size:
            steps = annul.connection.get(f"/v1/log/{log}/consistency", {"old": old.size, "new": new.size})["proof"]
        verify_grown(old, new, steps)
    except VerificationFailed as error:
        show.result(told | {"consistent": False, "message": error.message}, f"✖  REFUSED  The log {log}: {error}")
        return Exit.REFUSED
    show.result(
        told | {"consistent": True, "proof": steps},
        f"✔  CONSISTENT  The log {log} of {old.size:,} entries is a beginning of that of {new.size:,} ({len(steps)} hashes).",
    )
    return Exit.DONE


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
    lines = [key.line for key in (*keys.receipts, *keys.register, *keys.checks)]
    show.result({"keys": lines}, "\n".join(lines))


@keys_app.command("codes")
@takes_groups
def keys_codes(where: Server, show: Show) -> None:
    """Show the numbers of all codes in receipts, and what they mean."""
    with where.client() as annul:
        found = annul.connection.get("/v1/codes")
    rows = [row | {"axis": axis} for axis, codes in found["axes"].items() for row in codes]
    show.table(rows, {"axis": "axis", "number": "number", "code": "code", "meaning": "meaning"}, empty="No codes.")


@keys_app.command("rotate")
@takes_groups
def keys_rotate(home: Place, show: Show) -> None:
    """Rotate the document keys: everything stored is re-keyed without any number. annul must be stopped."""
    from annul import supervisor
    from annul.cli.progress import progress
    from annul.errors import Conflict
    from annul.keys import load
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


@keys_app.command("rotate-signing")
@takes_groups
def keys_rotate_signing(home: Place, show: Show) -> None:
    """Replace the key that signs receipts; what the old one signed stays good, its secret is destroyed. Stop annul first."""
    import asyncio

    from annul import keys as key_file
    from annul import supervisor
    from annul.errors import Conflict
    from annul.registry.writing.store import Fresh, writing

    async def enter(conninfo: str, keys: key_file.Keys, at_us: int) -> None:
        async with writing(Fresh(conninfo), at_us) as write:
            write.note(OPERATOR, "key of receipts replaced", keys.receipt_verifiers()[0].line.encode())

    settings = home.settings()
    if supervisor.running(settings.home) is not None:
        raise Conflict("annul runs on this data folder.", where=str(settings.home), mend="Stop it first.")
    with supervisor.open_database(settings) as conninfo:
        at_us = now_us()
        keys = key_file.rotate_signing(settings.home, key_file.load(settings.home), at_us)
        asyncio.run(enter(conninfo, keys, at_us))
    told = keys.receipt_verifiers()
    show.result(
        {"keys": [key.line for key in told]},
        f"✔  ROTATED  Receipts are signed by a new key. {len(told) - 1} before it stay in keys/annul.pub, each with its end.\n"
        "   Back up keys/secret.json now, and give keys/annul.pub to whoever verifies receipts.",
    )
