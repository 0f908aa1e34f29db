"""Commands of editions: print them where the register is (edition), carry them where there is no network (edge)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from annul.cli.checking import OUTCOME_EXITS, look_of
from annul.cli.frame import Exit, Named, Place, Show, Where, print_pairs, say_error, takes_groups
from annul.errors import AnnulError, BadInput
from annul.home import Home as DataHome

if TYPE_CHECKING:
    from annul.edge.edge import Answer
    from annul.registry.editions.press import Press

edition_app = typer.Typer(no_args_is_help=True, help="Print editions of the listings for those who are offline.")
edge_app = typer.Typer(no_args_is_help=True, help="Carry an edition: check without a network.")

Scheme = Annotated[str, typer.Option(help="Kind of documents.")]
EditionId = Annotated[str | None, typer.Argument(metavar="EDITION", help="Id of the edition; by default the newest built.")]
ReleaseKey = Annotated[
    Path | None, typer.Option("--release-key", metavar="FILE", help="Releasing key, where it is kept elsewhere.")
]


@contextlib.contextmanager
def _press(home: Place, release_key: Path | None = None) -> Iterator[tuple[Press, Any]]:
    from annul import keys, supervisor
    from annul.registry.editions.press import Press
    from annul.registry.writing.store import connect
    from annul.times import now_us

    settings = home.settings()
    with supervisor.open_database(settings) as conninfo, connect(conninfo, patient=True) as db:
        yield Press(settings.home, keys.load(settings.home), now_us, release_key), db


@edition_app.command("build")
@takes_groups
def edition_build(home: Place, show: Show, scheme: Scheme = "cn-resident") -> None:
    """Build an edition from the register's present state, ask it again about every document, and sign it once."""
    with _press(home) as (press, db):
        built = press.build(db, scheme)
    made = built.manifest
    told = {
        "edition": made.edition,
        "scheme": made.scheme,
        "position": made.position,
        "issued": made.issued,
        "listed": made.listed,
        "bytes": made.bytes,
        "entropy_bytes": made.entropy_bytes,
        "ratio": round(built.ratio, 4),
        "asked_again": made.asked_again,
        "wrong": made.wrong,
        "form": made.form,
        "left_out": built.left_out,
    }

    def for_people() -> None:
        print(f"✔  BUILT  {made.issued:,} documents, {made.listed:,} listed, in {made.bytes:,} bytes; asked again, none wrong.")
        print_pairs((name.replace("_", " "), told[name]) for name in ("edition", "scheme", "position", "ratio", "left_out"))
        print("Next: annul edition publish")

    show.result(told, for_people)


@edition_app.command("publish")
@takes_groups
def edition_publish(home: Place, show: Show, edition: EditionId = None, release_key: ReleaseKey = None) -> None:
    """Release a built edition by the second key, and publish it with a grant for every edge that is admitted."""
    import msgspec

    with _press(home, release_key) as (press, db):
        made = press.publish(db, edition)
    show.result(
        msgspec.to_builtins(made),
        f"✔  PUBLISHED  Edition {made.edition} ({made.scheme}), number {made.serial}, is signed by both keys.",
    )


@edition_app.command("supplement")
@takes_groups
def edition_supplement(home: Place, show: Show, scheme: Scheme = "cn-resident") -> None:
    """Print what changed since the newest edition, and a signed heartbeat."""
    import msgspec

    from annul.registry.editions.changes import Supplements

    with _press(home) as (press, db):
        made = Supplements(press).print(db, scheme)
        heartbeat = press.beat(db)
    told = {"supplement": None if made is None else msgspec.to_builtins(made), "position": heartbeat.position}
    text = "Nothing changed" if made is None else f"{made.changes:,} changes in {made.bytes:,} bytes"
    show.result(told, f"✔  PRINTED  {text}; heartbeat at position {heartbeat.position}.")


@edition_app.command("list")
@takes_groups
def edition_list(home: Place, show: Show) -> None:
    """List editions: published, newest first, then what was built and waits."""
    with _press(home) as (press, _):
        rows = [_row(entry, "published") for entry in press.index().editions]
        rows += [_row(manifest, "built") for manifest in press.waiting()]
    show.table(rows, {name: name.replace("_", " ") for name in _ROW}, empty="No editions yet. Run: annul edition build")


_ROW: Final = ("edition", "scheme", "serial", "position", "issued", "listed", "bytes", "state")


def _row(made: Any, state: str) -> dict[str, Any]:
    return {name: getattr(made, name) for name in _ROW[:-1]} | {"state": state}


@edition_app.command("show")
@takes_groups
def edition_show(home: Place, show: Show, edition: Annotated[str, typer.Argument(metavar="EDITION", help="Id.")]) -> None:
    """Show the manifest of an edition."""
    import msgspec

    with _press(home) as (press, _):
        told = msgspec.to_builtins(press.show(edition))
    show.result(told, lambda: print_pairs((name.replace("_", " "), value) for name, value in told.items()))


@edition_app.command("admit")
@takes_groups
def edition_admit(
    home: Place,
    show: Show,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The device's key, as `annul edge init` printed it.")],
    party: Annotated[str, typer.Option(help="Id of the party the device belongs to.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="For so many days.")] = 90,
) -> None:
    """Let a device read editions: it gets the keys of each, sealed to its own key, until its time is over."""
    name = key.partition("+")[0]
    with _press(home) as (press, db):
        press.admit(db, name, party, key, days)
    show.result({"edge": name, "party": party, "days": days}, f"✔  ADMITTED  {name} may read editions for {days} days.")


@edition_app.command("withdraw")
@takes_groups
def edition_withdraw(home: Place, show: Show, edge: Annotated[str, typer.Argument(metavar="EDGE", help="Name.")]) -> None:
    """Admit a device no more (it was lost): the next edition has no key for it."""
    with _press(home) as (press, db):
        press.withdraw(db, edge)
    show.result({"edge": edge, "withdrawn": True}, f"✔  WITHDRAWN  {edge} gets no more keys. Now build and publish an edition.")


@edition_app.command("devices")
@takes_groups
def edition_devices(
    where: Where,
    show: Show,
    who: Annotated[str, typer.Option("--as", help="Whose credential.")] = "supervisor",
) -> None:
    """List devices: up to where each refuses, and how long reports took to be refused there."""
    with where.client(who) as annul:
        found = annul.connection.get("/v1/verifiers")
    columns = {
        name: name.replace("_", " ") for name in ("name", "party", "connected", "position", "behind", "p50_ms", "p99_ms")
    }
    show.table(found["devices"], columns, empty="No devices. Run: annul edition admit")


@edition_app.command("keys")
@takes_groups
def edition_keys(home: Place, show: Show) -> None:
    """Print the two verifier keys that edges are given."""
    with _press(home) as (press, _):
        keys = press.public_keys()
    show.result({"keys": keys}, "\n".join(keys))


# -- edges ---------------------------------------------------------------------------------------------------------------------


EDGE_DEFAULT: Final = ".annul-edge"


@dataclass(frozen=True)
class EdgeHome:
    """Where the device's folder is."""

    home: Annotated[
        Path | None,
        typer.Option(
            "--home", metavar="DIR", envvar="ANNUL_EDGE_HOME", show_default=EDGE_DEFAULT, help="Folder of the device."
        ),
    ] = None

    @property
    def folder(self) -> Path:
        """Return the folder as an absolute path."""
        return Path(self.home or EDGE_DEFAULT).absolute()

    def store(self) -> Any:
        """Return the device's folder."""
        from annul.edge.store import Store

        return Store(self.folder)


@edge_app.command("init")
@takes_groups
def edge_init(
    home: EdgeHome,
    show: Show,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the device.")],
    trust: Annotated[Path, typer.Option(metavar="FILE", help="Verifier keys of editions (`annul edition keys`).")],
) -> None:
    """Make a device: its key, and whose editions it believes."""
    try:
        trusted = trust.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise BadInput("The file of keys cannot be read.", where=str(trust)) from None
    device = home.store().create(name, trusted)
    key = device.signer.vkey
    show.result({"edge": name, "key": key}, f"✔  MADE  {name}. Have it admitted: annul edition admit '{key}' --party …")


@edge_app.command("sync")
@takes_groups
def edge_sync(
    home: EdgeHome,
    show: Show,
    source: Annotated[str, typer.Option("--from", metavar="URL", help="Address of annul, or a folder of published editions.")],
    scheme: Annotated[list[str] | None, typer.Option(help="Kinds of documents; by default all.")] = None,
) -> None:
    """Fetch what is missing, verify it, and put it into use."""
    from annul.edge.sync import source_of, sync
    from annul.times import now_us

    report = sync(home.store(), source_of(source), now_us, scheme)
    told = {"fetched_bytes": report.fetched_bytes, "editions": report.editions, "positions": report.positions}
    reached = ", ".join(f"{name} at position {position}" for name, position in report.positions.items())
    show.result(told, f"✔  UP TO DATE  {reached or 'nothing is published'}; {report.fetched_bytes:,} bytes fetched.")


@edge_app.command("follow")
@takes_groups
def edge_follow(
    home: EdgeHome,
    show: Show,
    source: Annotated[str, typer.Option("--from", metavar="URL", help="Address of annul.")],
    for_s: Annotated[float, typer.Option("--for", metavar="SECONDS", min=0, help="Stop after so long; 0: never.")] = 0,
) -> None:
    """Follow the register live: refuse as soon as it does, and tell it how far this device is."""
    import time

    from annul.edge.follow import Follower
    from annul.edge.sync import Server
    from annul.times import now_us

    ends = time.monotonic() + for_s
    counts = {"synced": 0, "frame": 0, "heartbeat": 0, "away": 0}
    position = 0
    for moment in Follower(home.store(), Server(source), now_us).moments():
        counts[moment.what] += 1
        position = moment.position
        if moment.what != "heartbeat" and not show.json_wanted:
            print(f"{moment.what}  position {position}  {moment.fault}".rstrip(), flush=True)
        if for_s and time.monotonic() >= ends:
            break
    show.result({"position": position} | counts, f"✔  FOLLOWED  up to position {position}.")


@edge_app.command("upload")
@takes_groups
def edge_upload(
    home: EdgeHome, show: Show, server: Annotated[str, typer.Option("--to", metavar="URL", help="Address of annul.")]
) -> None:
    """Account for what was answered offline; show the answers the register says differently."""
    from annul.edge.journal import Journal
    from annul.edge.sync import Server
    from annul.times import now_us

    store, target = home.store(), Server(server)
    journal, device = Journal(store), store.device()
    journal.close_window(now_us())
    differing: list[dict[str, Any]] = []
    count = 0
    for path, window, lines in journal.waiting():
        told = target.upload(device.name, window, lines)
        differing += told["differing"]
        count += told["rechecked"]
        path.unlink()
    columns = {name: name for name in ("number", "answered", "now", "wrong", "reference")}

    def for_people() -> None:
        print(f"✔  ACCOUNTED  {count:,} answers were asked again, {len(differing):,} differ.")
        if differing:
            print("Recalled: tell those who relied on them.")
            show.table(differing, columns, empty="")

    show.result({"rechecked": count, "differing": differing}, for_people)


_OUTCOMES: Final = {
    "LISTED": ("STOP", "Do not rely on this document."),
    "NOT_LISTED": ("PASS", "No listing for this document as of the stated time."),
    "NOT_COVERED": ("REFER", "This copy does not cover this document: ask online."),
    "ASK_ONLINE": ("REFER", "This copy cannot answer for this document: ask online."),
    "STALE": ("REFER", "The copy of the register is older than allowed: ask again online."),
}
"""Verdict -> outcome and sentence."""


@edge_app.command("check")
@takes_groups
def edge_check(
    home: EdgeHome,
    named: Named,
    show: Show,
    tier: Annotated[str, typer.Option(help="Risk tier: high, standard or low.")] = "standard",
    reference: Annotated[str, typer.Option(help="The asker's own reference; it goes into the journal.")] = "",
) -> int:
    """Ask the device's copy whether a document must not be relied on.

    Exit code: 0 PASS, 10 REFER, 11 STOP, 12 NO_ANSWER.
    """
    from annul.edge.edge import Edge
    from annul.edge.journal import Journal
    from annul.records.document import DocumentFields, parse_document
    from annul.times import now_us

    fields = named.fields(DataHome(home.folder))
    try:
        store = home.store()
        document = parse_document(DocumentFields(**fields))
        answer = Edge.open(store, now_us).check(document, tier)
        Journal(store).append(answer, document, now_us(), reference=reference)
        store.saw(now_us())
    except BadInput:
        raise
    except AnnulError as error:
        if not show.json_wanted:
            look = look_of("NO_ANSWER")
            print(f"{look.sign}  {look.word}  Do not take this for a pass.")
        say_error(error, as_json=show.json_wanted, no_answer=True)
        return Exit.NO_ANSWER
    outcome, _ = _OUTCOMES[answer.finding.verdict.value]
    show.result(_told(answer, outcome), lambda: _show(answer))
    return OUTCOME_EXITS[outcome]


def _told(answer: Answer, outcome: str) -> dict[str, Any]:
    from annul.times import rfc3339

    return {
        "outcome": outcome,
        "verdict": answer.finding.verdict.value,
        "class": answer.finding.class_ or None,
        "why": answer.finding.why or None,
        "freshness": answer.freshness.value,
        "edition": answer.edition or None,
        "position": answer.position,
        "as_of": rfc3339(answer.as_of_us) if answer.as_of_us else None,
    }


def _show(answer: Answer) -> None:
    outcome, sentence = _OUTCOMES[answer.finding.verdict.value]
    told = _told(answer, outcome)
    look = look_of(outcome)
    print(f"{look.sign}  {look.word}  {sentence}")
    print_pairs((name.replace("_", " "), told[name]) for name in ("class", "why", "freshness", "as_of", "position", "edition"))
