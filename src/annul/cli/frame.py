"""What every command shares: options in groups, where the server is, how a document is named, how results and errors look.

A command is a function that takes groups (`Show`, `Where`, `Named`) beside options of its own; `takes_groups` spreads the
groups into options. It returns None or its exit code, which `takes_groups` hands on. Heavy libraries are imported where
they are used, so that `annul --help` and `annul check` start quickly.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import os
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from annul.errors import AnnulError, BadInput, NotFound, SourceDown
from annul.home import Home

if TYPE_CHECKING:
    from annul.client import Client
    from annul.listings.bulk import Cause, ReadReport
    from annul.outgoing import Outgoing
    from annul.settings import Settings

HOME_DEFAULT: Final = ".annul"


class Exit(IntEnum):
    """Exit codes; those of outcomes are for `annul check` alone."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFER = 10
    STOP = 11
    NO_ANSWER = 12


REFUSED_INPUT: Final = ("bad-input", "too-large", "unknown-version", "unsafe-settings", "missing-package")
"""Errors of what was typed or set, told apart from refusals by the register."""
_NO_ANSWER_CODES: Final = ("over-quota", "not-authorised", "forbidden", "purpose-not-allowed", "timed-out")


def exit_of(error: AnnulError, *, checking: bool) -> int:
    """Return the exit code of an error; a check that got no answer says so (12)."""
    if isinstance(error, SourceDown):
        return Exit.UNREACHABLE if getattr(error, "unreachable", False) or not checking else Exit.NO_ANSWER
    if checking and error.code in _NO_ANSWER_CODES:
        return Exit.NO_ANSWER
    return Exit.USAGE if error.code in REFUSED_INPUT else Exit.REFUSED


# -- groups of options -------------------------------------------------------------------------------------------------------


def takes_groups(command: Callable[..., Any]) -> Callable[..., None]:
    """Spread every parameter whose type is a group (a dataclass) into the group's options."""
    hints = typing.get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            kept = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=hints[name], kind=kept))
            continue
        members = typing.get_type_hints(groups[name], include_extras=True)
        parameters += [
            inspect.Parameter(
                member.name, inspect.Parameter.KEYWORD_ONLY, default=member.default, annotation=members[member.name]
            )
            for member in dataclasses.fields(groups[name])
        ]

    def run(**values: Any) -> None:
        made = {
            name: typing.cast(Any, kind)(**{member.name: values.pop(member.name) for member in dataclasses.fields(kind)})
            for name, kind in groups.items()
        }
        code = command(**values, **made)
        if code:
            raise typer.Exit(int(code))

    functools.update_wrapper(run, command)
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


@dataclasses.dataclass(frozen=True)
class Show:
    """How results are printed."""

    json_wanted: Annotated[bool, typer.Option("--json", help="Print one JSON value instead of text.")] = False

    def result(self, value: Any, text: str | Callable[[], None]) -> None:
        """Print `value` as JSON, or the text made for people."""
        if self.json_wanted:
            print_json(value)
        elif callable(text):
            text()
        else:
            print(text)

    def table(self, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
        """Print rows: JSON lines of objects, or columns under headings (member -> heading)."""
        if self.json_wanted:
            print_json(list(rows))
        elif not rows:
            print(empty)
        else:
            print_columns([[text_of(row.get(name)) for name in columns] for row in rows], list(columns.values()))


CONNECTION: Final = "Connection"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the data folder is."""

    home: Annotated[
        Path | None,
        typer.Option("--home", envvar="ANNUL_HOME", show_default=HOME_DEFAULT, help="Data folder.", rich_help_panel=CONNECTION),
    ] = None

    @property
    def folder(self) -> Home:
        """Return the data folder."""
        return folder_of(self.home)

    def settings(self, **overrides: Any) -> Settings:
        """Load the settings of this home."""
        from annul.settings import load

        return load(home=self.folder, **overrides)


@dataclasses.dataclass(frozen=True)
class Address(Place):
    """Where the data folder is, and which annul to call."""

    url: Annotated[
        str | None,
        typer.Option(envvar="ANNUL_URL", help="Address of the server; else that of the demo.", rich_help_panel=CONNECTION),
    ] = None

    @property
    def outgoing(self) -> Outgoing:
        """Return the authorities and the proxy that were set: in the environment, or for the data folder."""
        from annul.outgoing import Outgoing

        return self.settings().outgoing if self.folder.settings_file.exists() else Outgoing.of_environment()


@dataclasses.dataclass(frozen=True)
class Where(Address):
    """Which annul to call, with which credential."""

    key: Annotated[
        str | None,
        typer.Option(
            envvar="ANNUL_KEY",
            show_envvar=True,
            help="API key. Better in the environment than on the command line, where others may see it.",
            rich_help_panel=CONNECTION,
        ),
    ] = None
    as_name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="WHO",
            help="Use this credential of demo.json: bank, police, issuer, supervisor …",
            rich_help_panel=CONNECTION,
        ),
    ] = None

    def client(self, role: str) -> Client:
        """Connect: what was given, else the credential of `role` in the demo of this home.

        Raises:
            BadInput: nothing says which key to use.
        """
        without_rich_httpx()
        from annul.client import Client

        if self.url and self.key and not self.as_name:
            return Client(self.url, self.key, outgoing=self.outgoing)
        demo = read_demo(self.folder)
        name = self.as_name or role
        key = None if self.as_name else self.key
        if not key:
            known = demo.get("credentials", {})
            if name not in known:
                raise BadInput(
                    f"Demo.json holds no credential of {name!r}.", where="--as", mend=f"Use one of {', '.join(sorted(known))}."
                )
            key = str(known[name]["key"])
        return Client(self.url or str(demo["url"]), key, outgoing=self.outgoing)


@dataclasses.dataclass(frozen=True)
class Server(Address):
    """Which annul to call on public routes, without a credential."""

    def client(self) -> Client:
        """Connect without a credential."""
        without_rich_httpx()
        from annul.client import Client

        return Client(self.url or str(read_demo(self.folder)["url"]), "", outgoing=self.outgoing)


def without_rich_httpx() -> None:
    """Keep httpx from importing its own command line (click, rich, pygments), which costs half of our start."""
    sys.modules.setdefault("httpx._main", typing.cast(Any, None))  # None makes that import fail, which httpx expects


def folder_of(home: Path | None) -> Home:
    """Return the data folder as an absolute path; an empty name counts as none."""
    return Home(home if home and str(home) != "." else HOME_DEFAULT).absolute()


def read_demo(folder: Home) -> dict[str, Any]:
    """Read demo.json of a home.

    Raises:
        BadInput: there is none, or it is damaged.
    """
    try:
        demo: dict[str, Any] = json.loads(folder.demo.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(
            "There is neither an address with a key nor a demo.",
            where=f"{folder}",
            mend="Give --url and --key (or ANNUL_URL and ANNUL_KEY), or start `annul demo`.",
        ) from None
    except ValueError:
        raise BadInput(
            "The demo's file cannot be read.", where=folder.demo.name, mend="Move the data folder away and start `annul demo`."
        ) from None
    return demo


DOCUMENT: Final = "Document"


@dataclasses.dataclass(frozen=True)
class Named:
    """Name a document: by its fields, by its zone, by a file, or by a sample of the demo."""

    scheme: Annotated[str, typer.Option(help="Scheme of the number, such as icao-9303.", rich_help_panel=DOCUMENT)] = (
        "cn-resident"
    )
    number: Annotated[
        str | None,
        typer.Option(
            help="Number as printed. It stays in the shell's history: leave it out or write - to be asked for it.",
            rich_help_panel=DOCUMENT,
        ),
    ] = None
    valid_from: Annotated[str | None, typer.Option(metavar="DATE", help="First day of validity.", rich_help_panel=DOCUMENT)] = (
        None
    )
    valid_until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Last day of validity, or long-term.", rich_help_panel=DOCUMENT)
    ] = None
    issuer: Annotated[
        str | None, typer.Option(help="Issuing state or body (icao-9303, generic).", rich_help_panel=DOCUMENT)
    ] = None
    kind: Annotated[str | None, typer.Option(help="P, ID … (icao-9303, generic).", rich_help_panel=DOCUMENT)] = None
    series: Annotated[str | None, typer.Option(help="Series (ru-internal).", rich_help_panel=DOCUMENT)] = None
    document: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="JSON file with the fields of the document, - for standard input.", rich_help_panel=DOCUMENT
        ),
    ] = None
    zone: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Text file with the lines of its machine-readable zone, - for standard input.",
            rich_help_panel=DOCUMENT,
        ),
    ] = None
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="CODE", help="Document of the demo that answers this code, such as V00.", rich_help_panel=DOCUMENT
        ),
    ] = None

    def fields(self, folder: Home) -> dict[str, Any]:
        """Return the document as the API takes it.

        Raises:
            BadInput: it is named in no way or in two.
        """
        if sum(map(bool, (self.sample, self.document, self.zone))) > 1:
            raise BadInput("The document is named twice.", where="--sample, --document, --zone", mend="Use one of them.")
        if self.sample:
            return sample(folder, self.sample)
        if self.document:
            return read_document(self.document)
        if self.zone:
            return {"mrz": read_zone_lines(self.zone)}
        named = {
            "scheme": self.scheme,
            "issuer": self.issuer,
            "kind": self.kind,
            "series": self.series,
            "number": self.number if self.number not in (None, "-") else ask_secretly("Number as printed"),
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
        }
        return {name: value for name, value in named.items() if value}


def sample(folder: Home, code: str) -> dict[str, Any]:
    """Return the demo's document for a status code."""
    demo = read_demo(folder)
    samples = demo.get("samples", {}) | {"TRY": demo.get("try")}
    if not samples.get(code.upper()):
        known = ", ".join(("try", *sorted(set(samples) - {"TRY"})))
        raise NotFound(f"The demo has no sample {code!r}.", where="--sample", mend=f"Use one of {known}.")
    fields: dict[str, Any] = samples[code.upper()]["document"]
    return fields


def read_zone_lines(name: str) -> list[str]:
    """Read the lines of a machine-readable zone from a text file, or from standard input for "-".

    Raises:
        BadInput: it cannot be read. ZoneMalformed: it is no text of a zone.
    """
    from annul.records.mrz import TYPED_MAX_CHARS, split_lines

    try:
        if name == "-":
            return split_lines(sys.stdin.read(TYPED_MAX_CHARS + 1))
        with Path(name).open(encoding="utf-8") as file:
            return split_lines(file.read(TYPED_MAX_CHARS + 1))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("The zone cannot be read.", where="--zone", mend="Give a text file with its lines.") from error


def read_document(name: str) -> dict[str, Any]:
    """Read the fields of a document from a JSON file: the fields themselves, or an object with a member `document`."""
    value = read_json(name)
    if isinstance(value, dict) and isinstance(value.get("document"), dict):
        value = value["document"]
    if not isinstance(value, dict):
        raise BadInput("The file does not hold a JSON object.", where=name)
    return value


def read_json(name: str) -> Any:
    """Read one JSON value from a file, or from standard input for "-"."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise BadInput(f"The file cannot be read: {error.strerror}.", where=name) from None
    except ValueError:
        raise BadInput("The file is not JSON.", where=name) from None


def ask_secretly(what: str) -> str:
    """Ask at the terminal, or read one line of standard input; the value never shows in a process list or history."""
    if sys.stdin.isatty():
        print(f"{what}: ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline().strip()
    if not line:
        raise BadInput("No number was given.", where="--number", mend="Use --number, --document FILE or --sample CODE.")
    return line


# -- printing ----------------------------------------------------------------------------------------------------------------


def print_json(value: Any) -> None:
    """Print one JSON value; structs of msgspec are fine."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_columns(rows: Sequence[Sequence[str]], headings: Sequence[str]) -> None:
    """Print a table, columns separated by two spaces; nothing is folded or cut, so that ids can be copied."""
    bold, plain = ("\033[1m", "\033[0m") if fancy() else ("", "")
    widths = [max(len(line[place]) for line in (headings, *rows)) for place in range(len(headings))]
    for place, line in enumerate((headings, *rows)):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        print(text if place else f"{bold}{text}{plain}")


def print_rows(rows: Iterable[Sequence[Any]], headings: Sequence[str], *, empty: str = "None.") -> None:
    """Print a list with headings, or that there is nothing in it."""
    texts = [[text_of(cell) for cell in row] for row in rows]
    if texts:
        print_columns(texts, headings)
    else:
        print(empty)


def print_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one pair a line; pairs without a value are left out."""
    shown = [(name, text_of(value)) for name, value in pairs if value not in (None, "", [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{name.ljust(width)}  {value}")


def print_read(report: ReadReport, more: Iterable[tuple[str, Any]] = ()) -> None:
    """Print what a dry run found in a list."""
    sign = "✔  READ" if not report.bad_count else "!  READ" if report.good else "✘  NOTHING GOOD"
    print(f"{sign}  {report.lines:,} lines, {report.good:,} good, {report.bad_count:,} bad. Nothing was kept (dry run).")
    print_pairs(more)
    print_causes(report.bad)


def read_exit(report: ReadReport, passed_over: int = 0) -> Exit:
    """Return how a dry run ends: a list with no line that is good, or lists nothing rightly, is wrong input."""
    return Exit.DONE if report.good or passed_over else Exit.USAGE


def print_causes(bad: Mapping[str, Cause]) -> None:
    """Print why lines of a list were refused, with the numbers of the first of them."""
    if bad:
        rows = [
            [cause, f"{found.count:,}", ", ".join(f"{line:,}" for line in found.first_lines)] for cause, found in bad.items()
        ]
        print_columns(rows, ["bad lines", "how many", "first of them"])


def text_of(value: Any) -> str:
    """Return a value as text for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(text_of(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {text_of(item)}" for name, item in value.items())
    return str(value)


def fancy() -> bool:
    """Tell whether standard output is a terminal that shows colours and drawings."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ


def say_error(error: AnnulError, *, as_json: bool, no_answer: bool = False) -> None:
    """Print an error: what and where in one line, the next step in another; as JSON on standard output when wanted."""
    if as_json:
        members = {"code": error.code, "message": error.message, "where": error.where, "mend": error.mend}
        told: dict[str, Any] = {"error": {name: value for name, value in members.items() if value}}
        print_json(({"outcome": "NO_ANSWER"} if no_answer else {}) | told)
    place = f" ({error.where})" if error.where else ""
    red, plain = ("\033[1;31m", "\033[0m") if sys.stderr.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"{red}annul:{plain} {error.message}{place}", file=sys.stderr)
    if error.mend:
        print(f"  {error.mend}", file=sys.stderr)
