"""Commands for the register of persons: enter and look up, civil events, deaths that wait, imports of lists.

Enrolment has a module of its own (`enrolling`), which adds its commands to the same group.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annul.cli.desk import Evidence, Happened, Repeat, person_app
from annul.cli.frame import (
    Exit,
    Place,
    Show,
    Where,
    ask_secretly,
    print_causes,
    print_pairs,
    print_read,
    read_exit,
    read_json,
    takes_groups,
)
from annul.cli.lists import Officer
from annul.errors import BadInput, Conflict
from annul.times import now_us

if TYPE_CHECKING:
    from annul.cli.hands import Hands
    from annul.registry.people.imports import ImportView, PersonImports

__all__ = ["person_app"]

Number = Annotated[str, typer.Option(help="Personal number. It stays in the shell's history: leave it out to be asked for it.")]
Name = Annotated[str, typer.Option(help="The new name.")]
ImportId = Annotated[str, typer.Argument(metavar="IMPORT", help="Id of the import.")]
Decision = Annotated[str, typer.Option(help="Reference of the decision.")]


def _number(given: str) -> str:
    return ask_secretly("Personal number") if given == "-" else given


def _show_changed(show: Show, changed: dict[str, Any]) -> None:
    def text() -> None:
        print("✔  RECORDED")
        print_pairs(
            (
                ("Person", changed["person"]),
                ("Position", changed["position"]),
                ("Documents changed", changed["documents"] or ""),
                ("Death", changed["death"]),
                ("Due at", changed["due_at"] or ""),
            )
        )
        if changed["due_at"]:
            print("Documents are cancelled when it is due. To stop it: annul person appeal DEATH --grounds …")

    show.result(changed, text)


@dataclasses.dataclass(frozen=True)
class CivilEvent:
    """Whose civil event it is, when it was, what proves it."""

    number: Number = "-"
    happened_at: Happened = None
    evidence: Evidence = ""
    idempotency_key: Repeat = None

    def enter(self, where: Where, show: Show, event: str, **members: Any) -> None:
        """Enter it in the register of persons, and print what that changed."""
        about = {"event": event, "personal_number": _number(self.number)}
        body = about | members | {"happened_at": self.happened_at, "evidence": self.evidence}
        with where.client("issuer") as annul:
            _show_changed(show, annul.connection.write("/v1/persons/events", body, idempotency_key=self.idempotency_key))


@dataclasses.dataclass(frozen=True)
class NewName:
    """What else is said of a new name."""

    latin: Annotated[str, typer.Option(help="The new name in Latin letters.")] = ""
    cancel_documents: Annotated[bool, typer.Option(help="Documents with the former name no longer count.")] = False


@person_app.command("show")
@takes_groups
def person_show(
    where: Where,
    show: Show,
    case: Annotated[str, typer.Option(help="Reference of the case; the look-up is entered in the log under it.")],
    number: Number = "-",
) -> None:
    """Show a person's details, for a case."""
    with where.client("issuer") as annul:
        found = annul.connection.post("/v1/persons/find", {"personal_number": _number(number), "case": case})

    def text() -> None:
        for view in found["persons"]:
            person = view["person"]
            names = ", ".join(f"{name['text']} ({name.get('kind', 'main')})" for name in person["names"])
            print_pairs(
                (
                    ("Person", view["id"]),
                    ("Names", names),
                    ("Sex", person.get("sex", "")),
                    ("Born", person.get("birth_date", "")),
                    ("Status", person.get("status", "living")),
                    ("Place", person.get("place", "")),
                    ("Documents", len(person.get("documents", [])) or ""),
                    ("Portrait on record", "yes" if view["photo"] else "no"),
                )
            )

    show.result(found, text)


@person_app.command("past")
@takes_groups
def person_past(where: Where, show: Show, person: Annotated[int, typer.Argument(help="Id of the record.")]) -> None:
    """Show what happened to a person's record."""
    with where.client("issuer") as annul:
        events = annul.connection.get(f"/v1/persons/{person}/past")["events"]
    columns = {"position": "position", "event": "event", "happened_at": "happened", "author": "by", "evidence": "evidence"}
    show.table(events, columns, empty="Nothing: it is as it was imported.")


@person_app.command("rename")
@takes_groups
def person_rename(
    where: Where,
    show: Show,
    name: Name,
    new: NewName,
    civil: CivilEvent,
) -> None:
    """Record a change of name; former names still match."""
    civil.enter(where, show, "name_change", name=name, latin_name=new.latin, cancel_documents=new.cancel_documents)


@person_app.command("add")
@takes_groups
def person_add(
    where: Where,
    show: Show,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON file of the person as the API takes it, - for standard input.")
    ],
    event: Annotated[str, typer.Option(help="birth, immigration, or details for one that was missing.")] = "birth",
    happened_at: Happened = None,
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Enter a person: a birth, an immigration, or one that was missing."""
    body = {"person": read_json(file), "event": event, "happened_at": happened_at, "evidence": evidence}
    with where.client("issuer") as annul:
        _show_changed(show, annul.connection.write("/v1/persons", body, idempotency_key=idempotency_key))


@person_app.command("marry")
@takes_groups
def person_marry(
    where: Where,
    show: Show,
    name: Name,
    new: NewName,
    civil: CivilEvent,
) -> None:
    """Record a marriage by which a name changed."""
    civil.enter(where, show, "marriage", name=name, latin_name=new.latin, cancel_documents=new.cancel_documents)


@person_app.command("emigrate")
@takes_groups
def person_emigrate(
    where: Where,
    show: Show,
    *,
    loss_of_nationality: Annotated[bool, typer.Option(help="Nationality is lost: all documents are cancelled.")] = False,
    civil: CivilEvent,
) -> None:
    """Record an emigration."""
    civil.enter(where, show, "emigration", loss_of_nationality=loss_of_nationality)


@person_app.command("correct-number")
@takes_groups
def person_correct_number(
    where: Where,
    show: Show,
    *,
    corrected: Annotated[str, typer.Option(help="The right personal number; - to be asked for it.")] = "-",
    civil: CivilEvent,
) -> None:
    """Record that a personal number was wrong; the documents that bear it are cancelled."""
    wrong = dataclasses.replace(civil, number=_number(civil.number))
    right = ask_secretly("Corrected number") if corrected == "-" else corrected
    wrong.enter(where, show, "number_correction", corrected_number=right)


@person_app.command("contacts")
@takes_groups
def person_contacts(
    where: Where,
    show: Show,
    *,
    contact: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND=VALUE", help="phone, email, post or app; more than once. None: no contacts."),
    ] = None,
    proof: Annotated[str, typer.Option(help="phone, online, online_strong, in_person or in_person_fingerprint.")] = "in_person",
    civil: CivilEvent,
) -> None:
    """Set how a person is told of things; refused remotely while a document of the person is suspended (rule 9)."""
    contacts = []
    for each in contact or []:
        kind, sign, value = each.partition("=")
        if not sign:
            raise BadInput("A contact is a kind and a value.", where="--contact", mend="Write it as phone=+8613900000000.")
        contacts.append({"kind": kind, "value": value})
    civil.enter(where, show, "contact", contacts=contacts, proof=proof)


@person_app.command("revert")
@takes_groups
def person_revert(
    where: Where,
    show: Show,
    person: Annotated[int, typer.Argument(help="Id of the record.")],
    position: Annotated[int, typer.Argument(help="Position of the entry that is taken back; see `annul person past`.")],
    evidence: Decision,
    idempotency_key: Repeat = None,
) -> None:
    """Take a change of a record back; documents stay as they are."""
    body = {"position": position, "evidence": evidence}
    with where.client("issuer") as annul:
        _show_changed(show, annul.connection.write(f"/v1/persons/{person}/revert", body, idempotency_key=idempotency_key))


@person_app.command("erase")
@takes_groups
def person_erase(
    where: Where,
    show: Show,
    person: Annotated[int, typer.Argument(help="Id of the record.")],
    evidence: Decision,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. What is erased cannot be brought back.")] = False,
    idempotency_key: Repeat = None,
) -> None:
    """Destroy a person's key, and with it every version, portrait and template, for good."""
    if not yes and not typer.confirm("Destroy this person's details for good? They cannot be brought back.", err=True):
        raise BadInput("Nothing was erased.", where="--yes")
    with where.client("issuer") as annul:
        body = {"evidence": evidence}
        _show_changed(show, annul.connection.write(f"/v1/persons/{person}/erase", body, idempotency_key=idempotency_key))


@person_app.command("report-death")
@takes_groups
def person_report_death(
    where: Where,
    show: Show,
    name: Annotated[str, typer.Option(help="Name of the person who died.")],
    born: Annotated[str, typer.Option(metavar="DATE", help="Birth date (YYYY-MM-DD).")],
    happened_at: Annotated[str, typer.Option("--happened-at", metavar="TIME", help="When the person died (RFC 3339).")],
    number: Number = "-",
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Report a death: number, name and birth date must fit; documents are cancelled after a delay unless appealed against."""
    body = {
        "event": "death",
        "personal_number": _number(number),
        "name": name,
        "birth_date": born,
        "happened_at": happened_at,
        "evidence": evidence,
    }
    with where.client("issuer") as annul:
        _show_changed(show, annul.connection.write("/v1/persons/events", body, idempotency_key=idempotency_key))


@person_app.command("death-state")
@takes_groups
def person_death_state(
    where: Where, show: Show, death: Annotated[str, typer.Argument(metavar="DEATH", help="Id of the reported death.")]
) -> None:
    """Show whether a reported death waits, was appealed against, or was carried out."""
    with where.client("issuer") as annul:
        found = annul.connection.get(f"/v1/persons/deaths/{death}")
    pairs = (
        ("Death", "death"),
        ("State", "state"),
        ("Died", "happened_at"),
        ("Reported", "reported_at"),
        ("Due", "due_at"),
        ("By", "author"),
        ("Evidence", "evidence"),
        ("Decided by", "decided_by"),
        ("Grounds", "grounds"),
    )
    show.result(found, lambda: print_pairs((words, found[name]) for words, name in pairs))


@person_app.command("appeal")
@takes_groups
def person_appeal(
    where: Where,
    show: Show,
    death: Annotated[str, typer.Argument(metavar="DEATH", help="Id of the reported death.")],
    grounds: Annotated[str, typer.Option(help="Why it is wrong; no personal data.")],
    idempotency_key: Repeat = None,
) -> None:
    """Stop a reported death before it is carried out."""
    with where.client("issuer") as annul:
        _show_changed(
            show,
            annul.connection.write(f"/v1/persons/deaths/{death}/appeal", {"grounds": grounds}, idempotency_key=idempotency_key),
        )


# -- imports, on the register's machine --------------------------------------------------------------------------------------


@person_app.command("import")
@takes_groups
def person_import(
    home: Place,
    show: Show,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The list: CSV, NDJSON or Parquet; text may be packed.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read the list and report bad lines; keep nothing.")] = False,
    officer: Officer = None,
    second: Annotated[
        str | None,
        typer.Option(
            metavar="WHO", help="Second officer, who confirms at once with ANNUL_SECOND_KEY; else `annul person confirm`."
        ),
    ] = None,
    evidence: Annotated[str, typer.Option(help="Reference of the list.")] = "",
    shared_numbers: Annotated[
        bool, typer.Option(help="Also take other persons under a number that is known; the clean-up tells them apart.")
    ] = False,
    test: Annotated[bool, typer.Option("--test", help="Import into the test data.")] = False,
) -> int:
    """Import a list of persons as one event, on the register's own machine; bad lines are left out and reported by cause."""
    import asyncio

    from annul.cli.progress import reading
    from annul.registry.people.reading import format_of

    form = format_of(file)
    with _imports(home, test) as (imports, hands):
        act = hands.first(officer)
        confirming = act if second is None else hands.second(second)
        if dry_run:
            with reading(file) as progress:
                report = imports.try_run(act, file, format=form, shared_numbers=shared_numbers, progress=progress)
            show.result(report, lambda: print_read(report))
            return read_exit(report)
        with reading(file) as progress:
            made = imports.stage(act, file, format=form, evidence=evidence, shared_numbers=shared_numbers, progress=progress)
        if second is not None or not made.two_officers:
            made = asyncio.run(imports.confirm(confirming, made.id, evidence=evidence))
    show.result(made, lambda: _show_import(made))
    return Exit.DONE


@contextlib.contextmanager
def _imports(home: Place, test: bool) -> Iterator[tuple[PersonImports, Hands]]:
    from annul import keys as key_file
    from annul import supervisor
    from annul.cli.hands import Hands
    from annul.cli.lists import _Nothing
    from annul.listings.listings import Listings
    from annul.registry.parties.parties import Parties
    from annul.registry.people.imports import PersonImports
    from annul.registry.people.vault import Vault
    from annul.registry.writing.ground import Ground
    from annul.registry.writing.store import Fresh

    settings = home.settings()
    keys = key_file.load(settings.home)
    with supervisor.open_database(settings) as conninfo:
        waits = supervisor.running(settings.home) is not None  # otherwise the follower takes it up at the next start
        connections = Fresh(conninfo)
        listings = Listings(settings.home.listings) if waits else None
        ground = Ground(connections, keys, settings.home, now_us, listings=listings)
        imports = PersonImports(ground, conninfo, Vault(settings.home), limit=settings.bulk_limit)
        yield imports, Hands(Parties(connections, _Nothing(), now_us), home, test=test)


def _show_import(view: ImportView) -> None:
    print(f"✔  {view.state.replace('_', ' ').upper()}  {view.person_count:,} persons.")
    print_pairs(
        (
            ("Import", view.id),
            ("Lines read", f"{view.report.lines:,}"),
            ("Evidence", view.evidence),
            ("Staged by", view.staged_by),
            ("Confirmed by", view.confirmed_by),
            ("Position", view.position),
        )
    )
    print_causes(view.report.bad)
    if view.state == "staged":
        print(f"Next: another officer: annul person confirm {view.id} --evidence …")
    elif view.state == "in_force":
        print(f"Undo: annul person undo {view.id} --evidence …")


@person_app.command("rotate-key")
@takes_groups
def person_rotate_key(home: Place, show: Show) -> None:
    """Make a new master key and wrap every person's key under it, on the register's own machine; annul must be stopped."""
    from annul import supervisor
    from annul.registry.people.rows import rewrap
    from annul.registry.people.vault import Vault
    from annul.registry.writing.store import connect

    settings = home.settings()
    vault = Vault(settings.home)
    with supervisor.open_database(settings) as conninfo, connect(conninfo, patient=True) as db:
        if supervisor.running(settings.home) is not None:
            raise Conflict("annul is running: its workers could not open what is wrapped anew.", mend="Stop it first.")
        vault.warm()
        vault.rotate()
        count = rewrap(db, vault)
    show.result({"wrapped": count}, f"✔  ROTATED  {count:,} persons' keys are wrapped by the new master key.")


@person_app.command("retag")
@takes_groups
def person_retag(home: Place, show: Show) -> None:
    """Make the tags of names anew after an update that changes how names are compared; annul must be stopped."""
    import shutil

    from annul import keys as key_file
    from annul import supervisor
    from annul.registry.people.rows import retag
    from annul.registry.people.vault import Vault
    from annul.registry.writing.store import connect

    settings = home.settings()
    keys = key_file.load(settings.home)
    vault = Vault(settings.home)
    with supervisor.open_database(settings) as conninfo, connect(conninfo, patient=True) as db:
        if supervisor.running(settings.home) is not None:
            raise Conflict("annul is running: its table of names would not be that of the new tags.", mend="Stop it first.")
        vault.warm()
        count = retag(db, vault, {realm: keys.documents(name) for name, realm in (("live", 0), ("test", 1))})
    if count:  # the follower makes it anew from the rows
        shutil.rmtree(settings.home.people, ignore_errors=True)
    show.result({"retagged": count}, f"✔  RETAGGED  {count:,} persons' names are found as this version compares them.")


# -- imports over the API ----------------------------------------------------------------------------------------------------


@person_app.command("imports")
@takes_groups
def person_imports(where: Where, show: Show) -> None:
    """List imports of persons, newest first."""
    with where.client("issuer") as annul:
        found = annul.connection.get("/v1/persons/imports")["imports"]
    columns = {
        "id": "id",
        "state": "state",
        "person_count": "persons",
        "staged_by": "staged by",
        "confirmed_by": "confirmed by",
        "applied": "taken up",
        "evidence": "evidence",
    }
    show.table(found, columns, empty="No imports. They appear here after `annul person import`.")


def _decide(where: Where, show: Show, role: str, import_id: str, step: str, evidence: str) -> None:
    with where.client(role) as annul:
        found = annul.connection.write(f"/v1/persons/imports/{import_id}/{step}", {"evidence": evidence})
    show.result(found, f"✔  {found['state'].replace('_', ' ').upper()}  {found['person_count']:,} persons.")


@person_app.command("confirm")
@takes_groups
def person_confirm(where: Where, show: Show, import_id: ImportId, evidence: Decision) -> None:
    """Put a staged import in force, as the second officer."""
    _decide(where, show, "second_officer", import_id, "confirm", evidence)


@person_app.command("undo")
@takes_groups
def person_undo(where: Where, show: Show, import_id: ImportId, evidence: Decision) -> None:
    """Take an import back as one event."""
    _decide(where, show, "issuer", import_id, "undo", evidence)


@person_app.command("discard")
@takes_groups
def person_discard(where: Where, show: Show, import_id: ImportId) -> None:
    """Drop a staged import with everything it brought."""
    with where.client("issuer") as annul:
        found = annul.connection.write(f"/v1/persons/imports/{import_id}/discard", None)
    show.result(found, f"✔  {found['state'].upper()}")
