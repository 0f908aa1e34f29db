"""Commands of disputes, searches, officers and recalls."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from annul.cli.desk import Evidence, Repeat, dispute_app
from annul.cli.frame import Named, Show, Where, print_pairs, print_rows, takes_groups

__all__ = ["dispute_app", "officer_app", "recall_app", "search_app"]

recall_app = typer.Typer(no_args_is_help=True, help="Answers that do not hold any more: list yours, say that you know.")
officer_app = typer.Typer(no_args_is_help=True, help="Officers of a party: add, list, change, take access away.")
search_app = typer.Typer(no_args_is_help=True, help="Searches by officers, each on record with its case.")

DisputeId = Annotated[str, typer.Argument(metavar="DISPUTE", help="Id of the dispute, as it was given.")]
Credential = Annotated[str, typer.Option("--as", help="Whose credential: issuer, police, supervisor or bank.")]
_CAUSES = {"corrected": "listing never true", "reported_late": "reported late"}
GROUNDS = "not_lost, wrong_document, wrong_person, not_replaced, not_dead, malice, wrong_data or other"


def _show_file(show: Show, file: dict[str, Any]) -> None:
    def text() -> None:
        late = "  OVERDUE" if file["overdue"] else ""
        print(f"✔  {file['state'].upper()}{late}  The document is now {file['status'].replace('_', ' ')}.")
        if file["proposed_by"] and file["state"] == "open":
            print("‖  PROPOSED  Nothing has changed yet: the correction waits for another officer.")
            print(f"Next: with a key of her own: annul dispute decide {file['dispute']} --decision corrected …")
        reach = file.get("reach")
        told = f"{reach['checks']} answers, {reach['parties']} organisations, {reach['acknowledged']} know" if reach else None
        print_pairs(
            (
                ("Dispute", file["dispute"]),
                ("Listing", file["fact"]),
                ("Ground", file["ground"]),
                ("Case", file["case"]),
                ("Due", file["due_at"]),
                ("Marked U34", "yes" if file["marked"] else "no"),
                ("Proposed by", file["proposed_by"] or ""),
                ("Reason", file["reason"]),
                ("Recalled", told),
            )
        )

    show.result(file, text)


@dispute_app.command("raise")
@takes_groups
def dispute_raise(
    named: Named,
    where: Where,
    show: Show,
    ground: Annotated[str, typer.Option(help=f"{GROUNDS}.")],
    case: Annotated[str, typer.Option(help="Reference of the file.")],
    by: Annotated[str, typer.Option(help="holder, or self.")] = "holder",
    statement: Annotated[str, typer.Option(help="What the holder says; kept encrypted.")] = "",
    who: Credential = "issuer",
    idempotency_key: Repeat = None,
) -> None:
    """Open the file of a dispute; checks answer U34 until it is decided."""
    body = {"document": named.fields(where.folder), "ground": ground, "case": case, "by": by, "statement": statement}
    with where.client(who) as annul:
        _show_file(show, annul.connection.write("/v1/disputes/raise", body, idempotency_key=idempotency_key))


@dispute_app.command("list")
@takes_groups
def dispute_list(
    where: Where,
    show: Show,
    state: Annotated[str, typer.Option(help="open, corrected, upheld, refused or withdrawn.")] = "open",
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those over their term.")] = False,
    who: Credential = "issuer",
) -> None:
    """List disputes, the most urgent first."""
    with where.client(who) as annul:
        found = annul.connection.get("/v1/disputes", {"state": state, "overdue": str(overdue).lower()})

    def text() -> None:
        rows = (
            [file["dispute"], file["due_at"], "OVERDUE" if file["overdue"] else file["state"], file["fact"], file["case"]]
            for file in found["disputes"]
        )
        print_rows(rows, ["dispute", "due", "state", "about", "case"])

    show.result(found, text)


@dispute_app.command("show")
@takes_groups
def dispute_show(where: Where, show: Show, dispute: DisputeId, who: Credential = "issuer") -> None:
    """Show a dispute, and how far its correction has reached."""
    with where.client(who) as annul:
        _show_file(show, annul.connection.get(f"/v1/disputes/{dispute}"))


@dispute_app.command("mark")
@takes_groups
def dispute_mark(
    where: Where, show: Show, dispute: DisputeId, who: Credential = "issuer", idempotency_key: Repeat = None
) -> None:
    """Mark the document of a relying party's dispute as disputed (U34)."""
    with where.client(who) as annul:
        _show_file(show, annul.connection.write(f"/v1/disputes/{dispute}/mark", None, idempotency_key=idempotency_key))


@dispute_app.command("note")
@takes_groups
def dispute_note(
    where: Where,
    show: Show,
    dispute: DisputeId,
    text: Annotated[str, typer.Option(help="What was said or seen; kept encrypted.")],
    kind: Annotated[str, typer.Option(help="hearing, evidence or remark.")] = "hearing",
    who: Credential = "issuer",
    idempotency_key: Repeat = None,
) -> None:
    """Add a note to the file."""
    with where.client(who) as annul:
        path = f"/v1/disputes/{dispute}/notes"
        _show_file(show, annul.connection.write(path, {"kind": kind, "text": text}, idempotency_key=idempotency_key))


@dispute_app.command("decide")
@takes_groups
def dispute_decide(
    where: Where,
    show: Show,
    dispute: DisputeId,
    decision: Annotated[str, typer.Option(help="corrected, upheld, refused or withdrawn.")],
    reason: Annotated[str, typer.Option(help="Why; the holder reads it.")],
    evidence: Evidence = "",
    who: Credential = "issuer",
    idempotency_key: Repeat = None,
) -> None:
    """Decide a dispute. Who was answered with a corrected listing gets a recall."""
    body = {"decision": decision, "reason": reason, "evidence": evidence}
    with where.client(who) as annul:
        path = f"/v1/disputes/{dispute}/decide"
        _show_file(show, annul.connection.write(path, body, idempotency_key=idempotency_key))


# -- recalls -----------------------------------------------------------------------------------------------------------------


@recall_app.command("list")
@takes_groups
def recall_list(
    where: Where,
    show: Show,
    after: Annotated[int, typer.Option(help="Only what is behind this position: the cursor of the last list.")] = 0,
    everything: Annotated[bool, typer.Option("--all", help="Acknowledged ones too.")] = False,
    who: Credential = "bank",
) -> None:
    """List answers to you that do not hold any more: the listing was never true, or the loss was reported late."""
    with where.client(who) as annul:
        found = annul.connection.get("/v1/recalls", {"after": after, "open": str(not everything).lower()})

    def text() -> None:
        rows = (
            [recall["recall"], recall["made_at"], recall["check_count"], _CAUSES[recall["cause"]], recall["acknowledged_at"]]
            for recall in found["recalls"]
        )
        print_rows(rows, ["recall", "made", "checks", "why", "acknowledged"])
        if found["recalls"]:
            print(f"Cursor: {found['cursor']}")

    show.result(found, text)


@recall_app.command("acknowledge")
@takes_groups
def recall_acknowledge(
    where: Where,
    show: Show,
    recall: Annotated[str, typer.Argument(metavar="RECALL", help="Id of the recall.")],
    who: Credential = "bank",
) -> None:
    """Say that you know of a recall."""
    with where.client(who) as annul:
        known = annul.connection.write(f"/v1/recalls/{recall}/acknowledge", None)
    show.result(known, f"✔  ACKNOWLEDGED  {known['check_count']} checks are to be asked again.")


# -- officers ----------------------------------------------------------------------------------------------------------------


def _show_officer(show: Show, officer: dict[str, Any]) -> None:
    show.result(
        officer,
        lambda: print_pairs(
            (
                ("Officer", officer["id"]),
                ("Name", officer["name"]),
                ("Duties", ", ".join(officer["duties"])),
                ("Access", "yes" if officer["active"] else "taken away"),
                ("Passkeys", officer["passkeys"]),
            )
        ),
    )


@officer_app.command("add")
@takes_groups
def officer_add(
    where: Where,
    show: Show,
    staff: Annotated[str, typer.Argument(help="Staff number.")],
    name: Annotated[str, typer.Option(help="Name.")],
    duties: Annotated[str, typer.Option(help="desk, found, disputes, bulk, review, policy, officers; with commas.")] = "desk",
    party: Annotated[str, typer.Option(help="Whose officer she is; else the supervisor's own.")] = "",
    who: Credential = "supervisor",
    idempotency_key: Repeat = None,
) -> None:
    """Record an officer, as a supervisor; officers with that duty do it at their desk.

    She signs in with her party's key and her number until she has a passkey."""
    body = {
        "staff": staff,
        "name": name,
        "duties": [duty.strip() for duty in duties.split(",") if duty.strip()],
        "party": party,
    }
    with where.client(who) as annul:
        _show_officer(show, annul.connection.write("/v1/officers", body, idempotency_key=idempotency_key))


@officer_app.command("list")
@takes_groups
def officer_list(where: Where, show: Show, who: Credential = "police") -> None:
    """List officers: of the own party, of all for a supervisor."""
    with where.client(who) as annul:
        found = annul.connection.get("/v1/officers")

    def text() -> None:
        rows = (
            [officer["id"], officer["name"], officer["duties"], "" if officer["active"] else "removed"]
            for officer in found["officers"]
        )
        print_rows(rows, ["officer", "name", "duties", "access"])

    show.result(found, text)


@officer_app.command("change")
@takes_groups
def officer_change(
    where: Where,
    show: Show,
    officer: Annotated[str, typer.Argument(metavar="PARTY/STAFF", help="Id of the officer.")],
    name: Annotated[str, typer.Option(help="New name.")] = "",
    duties: Annotated[str, typer.Option(help="New duties, with commas.")] = "",
    active: Annotated[bool | None, typer.Option("--restore/--remove", help="Restore access, or take it away.")] = None,
    who: Credential = "supervisor",
    idempotency_key: Repeat = None,
) -> None:
    """Change an officer. Who loses access loses her sessions at once; what she recorded stays."""
    body: dict[str, Any] = {"name": name} if name else {}
    if duties:
        body["duties"] = [duty.strip() for duty in duties.split(",")]
    if active is not None:
        body["active"] = active
    with where.client(who) as annul:
        _show_officer(show, annul.connection.write(f"/v1/officers/{officer}", body, idempotency_key=idempotency_key))


# -- searches ----------------------------------------------------------------------------------------------------------------


@search_app.command("document")
@takes_groups
def search_document(
    named: Named,
    where: Where,
    show: Show,
    case: Annotated[str, typer.Option(help="Reference of the case; without one nothing is searched.")],
    purpose: Annotated[
        str, typer.Option(help="report, found_card, dispute, investigation, correspondence, supervision.")
    ] = "report",
    who: Credential = "police",
) -> None:
    """Search a document and its holder's others. The search is on record, and its holder can see it."""
    body = {"document": named.fields(where.folder), "case": case, "purpose": purpose}
    with where.client(who) as annul:
        found = annul.connection.write("/v1/searches", body)

    def text() -> None:
        for person in found["persons"]:
            print(f"{person['names'][0]}, born {person['birth_date'] or '?'}")
        for document in found["documents"]:
            print(f"   {document['coverage']:<20} {document['state'].replace('_', ' '):<16} since {document['since'] or '–'}")
        if not found["persons"] and not found["documents"]:
            print("Nothing found.")

    show.result(found, text)


@search_app.command("list")
@takes_groups
def search_list(
    where: Where,
    show: Show,
    case: Annotated[str, typer.Option(help="Only those of this case.")] = "",
    who: Credential = "supervisor",
) -> None:
    """List searches: of the own party, of all for a supervisor."""
    with where.client(who) as annul:
        found = annul.connection.get("/v1/searches", {"case": case} if case else None)

    def text() -> None:
        columns = ("searched_at", "officer", "case", "purpose", "found")
        rows = ([line[name] for name in columns] for line in found["searches"])
        print_rows(rows, ["when", "officer", "case", "purpose", "found"])

    show.result(found, text)
