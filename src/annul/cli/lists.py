"""Commands for lists: import them, look at, confirm and undo bulk events, generate lists of a fictional country."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from annul.cli.frame import (
    Exit,
    Place,
    Show,
    Where,
    print_causes,
    print_columns,
    print_pairs,
    print_read,
    read_exit,
    takes_groups,
)
from annul.errors import BadInput
from annul.times import SECOND_US, now_us

if TYPE_CHECKING:
    from annul.cli.hands import Hands
    from annul.listings.bulk import ImportReport
    from annul.registry.writing.bulk import Bulk, BulkView

FORMATS: Final = {"ru-passports": "russian", "interchange": "interchange"}
GENERATED: Final = ("interchange-csv", "interchange-ndjson", "interchange-parquet", "ru-passports")
_HEADLESS: Final = re.compile(rb"\d{4}\s*,\s*\d{6}\s*\r?\n")
"""First line of a list of passports that has no header."""
Officer = Annotated[
    str | None,
    typer.Option("--as", metavar="WHO", help="Who imports, with ANNUL_KEY or as named in demo.json; else the operator."),
]


# -- import ------------------------------------------------------------------------------------------------------------------


@takes_groups
def import_list(
    home: Place,
    show: Show,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The list: CSV, NDJSON or Parquet; may be packed.")],
    form: Annotated[
        str | None,
        typer.Option("--format", help="ru-passports (PASSP_SERIES,PASSP_NUMBER) or interchange; else told by the file."),
    ] = None,
    state: Annotated[
        str, typer.Option(help="What a ru-passports list says of its documents: revoked, superseded …")
    ] = "revoked",
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            "--leave-out", metavar="COLUMN", help="A column that no list has and that may be passed over; repeatable."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read the list and report bad lines; keep nothing.")] = False,
    officer: Officer = None,
    second: Annotated[
        str | None,
        typer.Option(
            metavar="WHO", help="Second officer, who confirms at once with ANNUL_SECOND_KEY; else `annul bulk confirm`."
        ),
    ] = None,
    happened_at: Annotated[
        str | None, typer.Option("--happened-at", metavar="TIME", help="Since when it is so; else now.")
    ] = None,
    evidence: Annotated[str, typer.Option(help="Reference of the list.")] = "",
    test: Annotated[bool, typer.Option("--test", help="Import into the test data.")] = False,
) -> int:
    """Import a list as one bulk event, on the register's own machine.

    How the list is packed (gzip, zstd, xz, bzip2, zip) and what separates its columns is told by the file itself.
    Bad lines are left out and reported by cause. A list that is staged or in force already is refused with the event that
    it is. An interrupted import of the same file goes on where it stopped. Above the limit (1,000 documents) the event
    comes into force only when a second officer confirms it; one command undoes it.
    """
    import asyncio

    kind = _format_of(file, form)
    how: dict[str, Any] = {
        "format": kind,
        "state": _state_of(state) if kind == "russian" else None,
        "leave_out": tuple(name.strip().lower() for name in leave_out or ()),
    }
    moment = _moment(happened_at)
    with _bulk(home, test) as (bulk, hands):
        act = hands.first(officer)
        confirming = act if second is None else hands.second(second)
        if dry_run:
            with _reading(file) as progress:
                report = asyncio.run(bulk.try_run(act, file, progress=progress, **how))
            show.result(
                _report_json(report), lambda: print_read(report, (("List nothing (current)", report.passed_over or ""),))
            )
            return read_exit(report, report.passed_over)
        with _reading(file) as progress:
            made = asyncio.run(bulk.stage(act, file, happened_at_us=moment, evidence=evidence, progress=progress, **how))
        if second is not None or not made.two_officers:
            made = asyncio.run(bulk.confirm(confirming, made.id, evidence=evidence))
    show.result(made, lambda: _show_event(made))
    return Exit.DONE


def _format_of(file: Path, form: str | None) -> Any:
    if form is not None:
        if form not in FORMATS:
            raise BadInput(f"There is no format {form!r}.", where="--format", mend=f"Use one of {', '.join(FORMATS)}.")
        return FORMATS[form]
    from annul.listings.packing import head_of
    from annul.listings.russian_list import HEADER

    head = head_of(file, 1024).lstrip(b"\xef\xbb\xbf \"'")
    return "russian" if head.upper().startswith(HEADER) or _HEADLESS.match(head) else "interchange"


def _state_of(word: str) -> Any:
    from annul.records.status import State

    try:
        return State[word]
    except KeyError:
        words = ", ".join(state.name for state in State if state)
        raise BadInput(f"There is no state {word!r}.", where="--state", mend=f"Use one of {words}.") from None


def _moment(text: str | None) -> int:
    if text is None:
        return time.time_ns() // 1000
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput("The time cannot be read.", where="--happened-at", mend="Write it like 2026-11-23T14:03:22Z.") from None
    if at.tzinfo is None:
        raise BadInput("The time has no zone.", where="--happened-at", mend="End it with Z or an offset such as +03:00.")
    return round(at.timestamp() * SECOND_US)


@contextlib.contextmanager
def _bulk(home: Place, test: bool) -> Iterator[tuple[Bulk, Hands]]:
    """Lend the register's bulk events, and who acts."""
    from annul import keys as key_file
    from annul import supervisor
    from annul.cli.hands import Hands
    from annul.listings.listings import Listings
    from annul.registry.parties.parties import Parties
    from annul.registry.writing.bulk import Bulk
    from annul.registry.writing.ground import Ground
    from annul.registry.writing.store import Fresh

    settings = home.settings()
    keys = key_file.load(settings.home)
    with supervisor.open_database(settings) as conninfo:
        waits = supervisor.running(settings.home) is not None  # otherwise the follower takes it up at the next start
        listings = Listings(settings.home.listings) if waits else None
        connections = Fresh(conninfo)
        yield (
            Bulk(Ground(connections, keys, settings.home, now_us, listings=listings), limit=settings.bulk_limit),
            Hands(Parties(connections, _Nothing(), now_us), home, test=test),
        )


class _Nothing:
    parties_generation = 0

    def parties(self) -> tuple[int, bytes]:
        return 0, b""


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[Callable[[int, int, int], None]]:
    from annul.cli.progress import reading

    with reading(file) as advance:
        before = 0

        def moved(done: int, _total: int, lines: int) -> None:
            nonlocal before
            if not done and lines:
                print(f"Goes on after line {lines:,}, where this import was interrupted.", file=sys.stderr)
            advance(done - before)
            before = done

        yield moved


def _report_json(report: ImportReport) -> dict[str, Any]:
    return {
        "dry_run": True,
        "lines": report.lines,
        "good": report.good,
        "passed_over": report.passed_over,
        "bad_count": report.bad_count,
        "bad": report.bad,
    }


def _show_event(event: BulkView) -> None:
    words = {"staged": "STAGED", "in_force": "IN FORCE", "discarded": "DISCARDED", "undone": "UNDONE"}
    print(f"✔  {words[event.state]}  {event.document_count:,} documents, listed as {', '.join(event.listed)}.")
    print_pairs(
        (
            ("Bulk event", event.id),
            ("Lines read", f"{event.lines:,}"),
            ("Evidence", event.evidence),
            ("Staged by", event.staged_by),
            ("Confirmed by", event.confirmed_by),
            ("Position", event.position),
            ("Known here", ", ".join(f"{count:,} {word.replace('_', ' ')}" for word, count in event.hits.items())),
        )
    )
    if event.hits.get("current", 0):
        print(f"!  {event.hits['current']:,} of them are in force by this register: is the list right?")
    print_causes(event.bad)
    if event.state == "staged":
        print(f"Next: annul bulk show {event.id}, then another officer: annul bulk confirm {event.id} --evidence …")
    elif event.state == "in_force":
        print(f"Undo: annul bulk undo {event.id} --evidence …")


# -- bulk events over the API ------------------------------------------------------------------------------------------------

bulk_app = typer.Typer(no_args_is_help=True, help="Bulk events: look at them, confirm or undo them.")

BulkId = Annotated[str, typer.Argument(metavar="EVENT", help="Id of the bulk event.")]
BulkEvidence = Annotated[str, typer.Option(help="Reference of the decision.")]


@bulk_app.command("list")
@takes_groups
def bulk_list(where: Where, show: Show) -> None:
    """List bulk events, newest first."""
    with where.client("issuer") as annul:
        events = annul.connection.get("/v1/bulk")["bulk"]
    columns = {
        "id": "id",
        "state": "state",
        "document_count": "documents",
        "listed": "listed as",
        "staged_by": "staged by",
        "confirmed_by": "confirmed by",
        "evidence": "evidence",
    }
    show.table(events, columns, empty="No bulk events. They appear here after `annul import`.")


@bulk_app.command("show")
@takes_groups
def bulk_show(where: Where, show: Show, event: BulkId) -> None:
    """Show a bulk event with its samples."""
    with where.client("issuer") as annul:
        found = annul.connection.get(f"/v1/bulk/{event}")
    show.result(found, lambda: _show_found(found))


@bulk_app.command("confirm")
@takes_groups
def bulk_confirm(where: Where, show: Show, event: BulkId, evidence: BulkEvidence) -> None:
    """Put a staged bulk event in force, as the second officer."""
    with where.client("second_officer") as annul:
        found = annul.connection.write(f"/v1/bulk/{event}/confirm", {"evidence": evidence})
    show.result(found, lambda: _show_found(found))


@bulk_app.command("undo")
@takes_groups
def bulk_undo(where: Where, show: Show, event: BulkId, evidence: BulkEvidence) -> None:
    """Take a bulk event back as one event: one log entry, all its documents."""
    with where.client("issuer") as annul:
        found = annul.connection.write(f"/v1/bulk/{event}/undo", {"evidence": evidence})
    show.result(found, lambda: _show_found(found))


@bulk_app.command("discard")
@takes_groups
def bulk_discard(where: Where, show: Show, event: BulkId) -> None:
    """Drop a staged bulk event: nothing of it was ever in force."""
    with where.client("issuer") as annul:
        found = annul.connection.write(f"/v1/bulk/{event}/discard")
    show.result(found, lambda: _show_found(found))


def _show_found(event: dict[str, Any]) -> None:
    samples = event.get("samples") or []
    print(f"✔  {event['state'].replace('_', ' ').upper()}  {event['document_count']:,} documents.")
    print_pairs((name, value) for name, value in event.items() if name not in ("samples", "bad"))
    for cause, found in (event.get("bad") or {}).items():
        print(f"Bad lines: {cause}: {found['count']:,}")
    if samples:
        rows = [[sample["key"], sample["listed"], sample["known"] or "not known"] for sample in samples]
        print_columns(rows, ["sample (start of its key)", "listed as", "this register says"])


# -- generate ----------------------------------------------------------------------------------------------------------------


@takes_groups
def generate(
    show: Show,
    documents: Annotated[int, typer.Option(min=1, max=200_000_000, help="How many documents (lines).")] = 1000,
    form: Annotated[str, typer.Option("--format", help=f"{', '.join(GENERATED)}.")] = "interchange-csv",
    seed: Annotated[int, typer.Option(min=0, help="The same seed and day give the same file.")] = 1,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="DATE", help="The country's today (YYYY-MM-DD); else today.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write here instead of standard output.")] = None,
) -> None:
    """Generate documents of the fictional country as a stream: names nobody, passes every check digit."""
    from annul.cli.progress import progress
    from annul.demo.country import Country
    from annul.demo.interchange import FORMATS as WRITABLE
    from annul.demo.interchange import write

    if form not in WRITABLE:
        raise BadInput(f"There is no format {form!r}.", where="--format", mend=f"Use one of {', '.join(WRITABLE)}.")
    if output is None and (sys.stdout.isatty() and form == "interchange-parquet"):
        raise BadInput("Parquet is not for a terminal.", where="--output", mend="Name a file.")
    country = Country(seed, _day(as_of))
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(output.open("wb")) if output else sys.stdout.buffer
        except OSError as error:
            raise BadInput(f"The file cannot be written: {error.strerror}.", where=str(output)) from None
        advance = stack.enter_context(progress("Generating", documents, "documents"))
        written = write(country, documents, form, file, advance)
    if output is not None:
        show.result({"file": str(output), "documents": written}, f"✔  WRITTEN  {written:,} documents to {output}.")


def _day(text: str | None) -> int:
    from datetime import date

    try:
        day = date.fromisoformat(text) if text else date.today()
    except ValueError:
        raise BadInput("The date cannot be read.", where="--as-of", mend="Write it like 2026-11-23.") from None
    return (day - date(1970, 1, 1)).days
