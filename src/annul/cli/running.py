"""Commands of the operator: demo, serve, setup, doctor, bench, openapi, version."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from annul import durable
from annul.cli.frame import Exit, Place, Show, folder_of, takes_groups
from annul.errors import AnnulError, Conflict, UnsafeSettings
from annul.home import PARTS, Home
from annul.times import now_us

if TYPE_CHECKING:
    from annul.demo.record import DemoRecord
    from annul.settings import Settings

HOLDERS: Final = 100_000
DOCUMENTS_PER_HOLDER: Final = 1.297
"""What the generator gives, for the progress bar."""

HomeOption = Annotated[Path | None, typer.Option("--home", envvar="ANNUL_HOME", show_default=".annul", help="Data folder.")]
Port = Annotated[int | None, typer.Option(envvar="ANNUL_PORT", help="TCP port; else the setting (8480).")]


# -- demo --------------------------------------------------------------------------------------------------------------------


@takes_groups
def demo(
    show: Show,
    home: HomeOption = None,
    port: Port = None,
    holders: Annotated[int, typer.Option(min=100, max=10_000_000, help="Persons of the fictional country.")] = HOLDERS,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same country.")] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that answer; else the setting.")] = None,
) -> int:
    """Start a fictional country: register, doors, credentials, four commands to try. Stays until Ctrl-C.

    The first start fills the data folder; later ones use what is there.
    """
    from annul import supervisor
    from annul.demo.record import DemoRecord
    from annul.settings import load

    settings = load(
        home=folder_of(home),
        port=port,
        workers=workers,
        log_level=os.environ.get("ANNUL_LOG_LEVEL", "warning"),
        demo=True,
        notices_mail="outbox:",
        notices_sms="outbox:",
    )
    record = DemoRecord.read(settings.home)
    found = supervisor.running(settings.home)
    if found is not None:
        if record is None:
            raise Conflict(
                "An annul that is no demo runs on this data folder.", where=str(settings.home), mend="Name another --home."
            )
        show.result({"url": found["url"], "running": True}, f"The demo runs already, at {found['url']}.")
        if not show.json_wanted:
            print(_screen(record, settings, found["url"]))
        return Exit.DONE
    if record is None or not record.credentials:
        record = _fill_apart(settings, holders, record.seed if record else seed)
    return _run(settings, record, show)


def _fill_apart(settings: Settings, holders: int, seed: int) -> DemoRecord:
    """Fill an empty home in a process of its own: this one goes on as the supervisor, and needs no country in memory."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as apart:
        return apart.submit(_fill, settings, holders, seed).result()


def _fill(settings: Settings, holders: int, seed: int) -> DemoRecord:
    """Fill an empty home; what an interrupted start left is gone on with."""
    import asyncio
    import time

    from annul import keys as key_file
    from annul import supervisor
    from annul.cli.progress import progress
    from annul.demo.country import Country
    from annul.demo.people import load_people
    from annul.demo.record import DemoRecord
    from annul.demo.seeding import load_country, make_offices
    from annul.registry.parties.parties import Parties
    from annul.registry.writing.store import Fresh, connect
    from annul.times import DAY_US

    durable.folder(settings.home)
    begun = DemoRecord.read(settings.home)
    print(f"Setting the demo up in {settings.home}", file=sys.stderr)
    with supervisor.open_database(settings) as conninfo:
        with connect(conninfo) as db:
            entries = db.execute("SELECT next_position - 1 FROM log_head").fetchone()
        empty = entries is None or entries[0] == 0
        if not empty and begun is None:
            raise Conflict(
                "This data folder holds a register that no demo made.", where=str(settings.home), mend="Name another --home."
            )
        record = begun or DemoRecord(url="", credentials={}, seed=seed, holders=holders)
        record.write(settings.home)
        keys = key_file.load_or_create(settings.home)
        if empty:
            country = Country(seed, time.time_ns() // 1000 // DAY_US)
            with progress("Loading the fictional country", round(holders * DOCUMENTS_PER_HOLDER), "documents") as advance:
                record.documents = load_country(conninfo, keys, country, holders, advance)
        record.credentials = asyncio.run(make_offices(Parties(Fresh(conninfo), _NothingPublished(), now_us)))
        if not record.person:
            country = Country(record.seed, time.time_ns() // 1000 // DAY_US)
            with progress("Registering its persons", holders, "persons") as advance:
                record.person = load_people(
                    conninfo, keys, settings.home, now_us, country, holders, advance, credentials=record.credentials
                )
        record.write(settings.home)
    return record


class _NothingPublished:
    """Stand for the published credentials where nobody has to be authenticated yet."""

    parties_generation = 0

    def parties(self) -> tuple[int, bytes]:
        """Return no snapshot."""
        return 0, b""


def _run(settings: Settings, record: DemoRecord, show: Show) -> int:
    from annul import logs, supervisor

    failures: list[AnnulError] = []

    def ready(url: str) -> None:
        """Bring the samples up to date, write demo.json, and show the screen."""
        try:
            _keep_samples(record, url)
            _keep_counter(record, url, settings)
            _keep_citizens(record, url)
            _keep_desk(record, url, settings)
            record.url = url
            record.write(settings.home)
        except AnnulError as error:
            failures.append(error)
            os.kill(os.getpid(), signal.SIGTERM)  # the supervisor stops everything in order
            return
        if not url.endswith(f":{settings.port}") and settings.port:
            print(f"Port {settings.port} is busy; using another.", file=sys.stderr)
        if show.json_wanted:
            print(json.dumps({"url": url, "demo": str(settings.home.demo)}), flush=True)
        else:
            print(_screen(record, settings, url), flush=True)

    logs.configure(settings.log_level)
    print("Starting …", file=sys.stderr, flush=True)
    supervisor.serve(settings, any_port=True, ready=ready)
    if failures:
        raise failures[0]
    print("Stopped. Everything is on disk; the next start goes on from here.", file=sys.stderr)
    return Exit.DONE


def _keep_samples(record: DemoRecord, url: str) -> None:
    from annul.cli.progress import progress
    from annul.client import Client
    from annul.demo import samples
    from annul.demo.samples import Desks

    realms = (("key", record.samples), ("test_key", record.test_samples))
    with progress("Asking about the samples", len(realms) * samples.COUNT, "documents") as advance:
        for place, (realm_key, kept) in enumerate(realms):
            offices = [record.credentials[name][realm_key] for name in ("bank", "issuer", "police")]
            desks = Desks(*(Client(url, key) for key in offices))
            known = {code: sample["document"] for code, sample in kept.items()}
            if place == 0 and record.attempt:
                known[samples.TRY] = record.attempt["document"]
            made, record.births[place] = samples.keep(desks, known, record.births[place], advance)
            attempt = made.pop(samples.TRY)
            if place == 0:
                record.attempt = {"document": attempt}
            kept.clear()
            kept.update({code: {"document": fields} for code, fields in made.items()})


def _keep_counter(record: DemoRecord, url: str, settings: Settings) -> None:
    from annul.client import Client
    from annul.demo import counter
    from annul.registry.postgres import Embedded

    keys = (record.credentials[name]["key"] for name in ("bank", "police"))
    with Client(url, next(keys)) as bank, Client(url, next(keys)) as police:
        counter.keep(bank, police, record.samples, settings.database_url or Embedded(settings.home).conninfo)


def _keep_citizens(record: DemoRecord, url: str) -> None:
    from annul.client import Client
    from annul.demo import citizen
    from annul.demo.samples import Desks

    desks = Desks(*(Client(url, record.credentials[name]["key"]) for name in ("bank", "issuer", "police")))
    with Client(url, record.credentials["telecom"]["key"]) as telecom:
        record.citizens, record.births[0] = citizen.keep(desks, telecom, record.births[0], record.citizens)


def _keep_desk(record: DemoRecord, url: str, settings: Settings) -> None:
    from annul.client import Client
    from annul.demo import desk
    from annul.demo.samples import Desks
    from annul.registry.postgres import Embedded

    names = ("bank", "issuer", "police", "telecom", "supervisor")
    bank, issuer, police, telecom, supervisor = (Client(url, record.credentials[name]["key"]) for name in names)
    conninfo = settings.database_url or Embedded(settings.home).conninfo
    record.births[0] = desk.keep(Desks(bank, issuer, police), telecom, supervisor, record.births[0], conninfo)


def _screen(record: DemoRecord, settings: Settings, url: str) -> str:
    """Return what the demo shows when it is ready."""
    command = _command(settings.home)
    question = {"document": record.attempt["document"], "purpose": "account-opening", "channel": "in_person"}
    bank = record.credentials["bank"]["key"]
    shown = [(name, record.credentials[name]) for name in ("bank", "police", "issuer", "supervisor")]
    keys = "\n".join(f"    {name:<11} {office['key']}" for name, office in shown)
    curl = (
        f"curl -s {url}/v1/checks -H 'Authorization: Bearer {bank}' \\\n"
        f"         -H 'Content-Type: application/json' -d '{json.dumps(question)}'"
    )
    return f"""
annul is ready.

  Address      {url}   (clerk: {url}/counter, holder: {url}/my, messages: {url}/demo/outbox)
  Officers     {url}/desk, with the key of police or issuer and staff number 0417 (police), 12 or 27 (issuer), 3 (supervisor)
  Country      {record.holders:,} holders, {record.documents:,} documents, seed {record.seed}
  Credentials  (more, and a sample document for every status code, in {settings.home.demo})
{keys}

  Try, in another terminal:

    1. Ask about a card: PASS.
       {command} check --sample try --receipt receipt.json

    2. The same by curl.
       {curl}

    3. Report it lost. Then ask again: STOP.
       {command} report lost --sample try
       {command} check --sample try

    4. Verify the receipt, offline.
       {command} receipt verify receipt.json

  Ctrl-C stops everything; nothing is lost.
"""


def _command(home: Home) -> str:
    """Return how the user calls annul: as it was called, with ANNUL_HOME where it is not the default."""
    called = Path(sys.argv[0])
    name = "annul"
    if called.name == "annul" and called.is_absolute() and called.is_relative_to(Path.cwd()):
        name = str(called.relative_to(Path.cwd()))
    elif called.name == "annul":
        name = sys.argv[0]
    return name if home == folder_of(None) else f"ANNUL_HOME={shlex.quote(str(home))} {name}"


# -- serve, setup ------------------------------------------------------------------------------------------------------------


@takes_groups
def serve(home: Place, show: Show, port: Port = None) -> int:
    """Run annul in the foreground: database, follower, sealer, workers. Stops on SIGTERM or Ctrl-C."""
    from annul import keys as key_file
    from annul import logs, supervisor

    settings = home.settings(port=port)
    logs.configure(settings.log_level)
    key_file.load(settings.home)

    def ready(url: str) -> None:
        show.result({"url": url}, f"annul answers at {url}")
        sys.stdout.flush()

    supervisor.serve(settings, ready=ready)
    return Exit.DONE


@takes_groups
def setup(
    home: Place,
    show: Show,
    supervisor: Annotated[str, typer.Option(help="Id of the first supervisor.")] = "supervisor",
    name: Annotated[str, typer.Option(help="The supervisor's name.")] = "Supervisor",
    database_url: Annotated[
        str | None,
        typer.Option(envvar="ANNUL_DATABASE_URL", help="PostgreSQL to use, an empty database; else one in the data folder."),
    ] = None,
) -> int:
    """Prepare a data folder: keys, database, and a first supervisor, whose key is shown this once.

    The address of a database elsewhere is kept in annul.toml: later commands find it.
    """
    import asyncio

    from annul.registry.parties.parties import Parties
    from annul.registry.people.vault import Vault
    from annul.registry.writing.act import Act
    from annul.registry.writing.store import Fresh
    from annul.settings import keep
    from annul.supervisor import open_database

    settings = home.settings(database_url=database_url)
    durable.folder(settings.home)

    async def first(conninfo: str) -> str:
        parties = Parties(Fresh(conninfo), _NothingPublished(), now_us)
        if any(party.role == "supervisor" and party.active for party in await parties.list()):
            return ""
        await parties.create(Act("operator"), supervisor, name, "supervisor")
        return (await parties.issue_key(Act("operator"), supervisor, label="setup")).token

    with open_database(settings) as conninfo:
        Vault(settings.home).warm()
        if settings.database_url:
            keep(settings.home, "database_url", settings.database_url)
        token = asyncio.run(first(conninfo))  # last: nothing may fail between the key and its being shown
    vital = [str(part.path) for part in PARTS if part.backup == "apart" and Path(settings.home, part.path).exists()]
    made = {
        "home": str(settings.home),
        "public_keys": str(settings.home.public_keys),
        "keep_apart": vital,
        "supervisor_key": token or None,
    }
    lines = [
        f"✔  READY  {settings.home}",
        f"   Keep these apart from everything else, now: {', '.join(vital)}.",
        "   Without keys/secret.json no document can be found again, without keys/people.json no person can be read again.",
        "   annul backup FOLDER seals them to a key of yours, and copies the rest: docs/operate.md, Backup.",
        f"   Supervisor's key, shown this once: {token}" if token else "   There is a supervisor already.",
        "   Next: annul serve, then annul party add …",
    ]
    show.result(made, "\n".join(lines))
    return Exit.DONE


# -- doctor, bench, openapi, version -----------------------------------------------------------------------------------------


@takes_groups
def doctor(home: Place, show: Show) -> int:
    """Look for what is wrong, and say how to mend it: settings, keys, database, table, logs, disk, clock.

    Exit code: 0 all well, 1 something is wrong.
    """
    from annul.cli.doctor import examine

    findings = list(examine(home.folder))
    if show.json_wanted:
        show.result([finding.as_dict() for finding in findings], "")
    else:
        marks = {"well": "✔", "warning": "!", "wrong": "✖"}
        for finding in findings:
            print(f"{marks[finding.verdict]}  {finding.what}: {finding.message}")
            if finding.mend:
                print(f"     {finding.mend}")
    return Exit.REFUSED if any(finding.verdict == "wrong" for finding in findings) else Exit.DONE


def bench(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="WHAT", help="all, check, listings, receipts, import, report …")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value instead of text.")] = False,
) -> None:
    """Measure against peers in the same run and print ratios. Options of a measurement follow its name."""
    from annul.bench import run

    code = run(what, [*context.args, *(["--json"] if as_json else [])])
    if code:
        raise typer.Exit(int(code))


@takes_groups
def openapi(
    show: Show,
    url: Annotated[str, typer.Option(help="Address to name in the document.")] = "http://127.0.0.1:8480",
    file: Annotated[Path | None, typer.Option("--output", help="Write it here instead of standard output.")] = None,
) -> None:
    """Print the OpenAPI 3.1 document of the HTTP API."""
    import msgspec

    from annul.web.api.openapi import document
    from annul.web.routes import ROUTES

    text = msgspec.json.format(msgspec.json.encode(document(ROUTES, url)), indent=1).decode()
    if file is None:
        print(text)
        return
    try:
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UnsafeSettings(f"The file cannot be written: {error.strerror}.", where=str(file)) from None
    show.result({"file": str(file)}, f"Written to {file}.")


@takes_groups
def version(show: Show) -> None:
    """Print the version of annul."""
    from annul import __version__

    show.result({"version": __version__}, f"annul {__version__}")
