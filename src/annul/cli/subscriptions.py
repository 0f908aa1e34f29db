"""Commands of a relying party's file: register it, screen it at home, hear what became of it, state a suspicion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annul.cli.frame import Named, Show, Where, takes_groups
from annul.errors import BadInput

if TYPE_CHECKING:
    from annul.records.document import Document

subscription_app = typer.Typer(no_args_is_help=True, help="Documents on file: register them blinded, hear of their death.")
misuse_app = typer.Typer(no_args_is_help=True, help="State what you suspect: a statement for a case, no verdict.")

OnFile = Annotated[Path, typer.Argument(metavar="FILE", help="Documents, one JSON object with their fields a line.")]
Bank = Annotated[str, typer.Option("--as", help="Whose credential.")]


def read_file(path: Path) -> list[Document]:
    """Read documents on file.

    Raises:
        BadInput, MalformedNumber: with the line.
    """
    import msgspec

    from annul.errors import AnnulError
    from annul.records.document import DocumentFields, parse_document

    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BadInput(f"The file cannot be read: {error.strerror}.", where=str(path)) from None
    documents = []
    for number, raw in enumerate(lines, 1):
        try:
            documents.append(parse_document(msgspec.json.decode(raw, type=DocumentFields)))
        except msgspec.MsgspecError:
            raise BadInput(
                "The line is no document.", where=f"line {number}", mend='Write {"scheme": …, "number": …}.'
            ) from None
        except AnnulError as error:
            raise type(error)(error.message, where=f"line {number}", mend=error.mend) from None
    return documents


@subscription_app.command("add")
@takes_groups
def subscription_add(
    where: Where,
    show: Show,
    file: OnFile,
    end: Annotated[bool, typer.Option("--end", help="They are on file no more.")] = False,
    who: Bank = "bank",
) -> None:
    """Register documents on file: the register gets tokens that tell it nothing until a document dies."""
    from annul.client.subscriber import Subscriber

    documents = read_file(file)
    with where.client(who) as annul:
        subscriber = Subscriber(annul.connection)
        tokens, events = subscriber.subscribe(subscriber.tokens(documents), end=end)
    word = "ENDED" if end else "REGISTERED"
    show.result(
        {"documents": len(documents), "tokens": tokens, "events": events},
        f"✔  {word}  {len(documents):,} documents; {tokens:,} are on file, {events:,} of these are dead already.",
    )


@subscription_app.command("screen")
@takes_groups
def subscription_screen(where: Where, show: Show, file: OnFile, who: Bank = "bank") -> int:
    """Screen a whole file at home: the register does not learn whose documents are on it. Exit code 11 when one is listed."""
    from annul.cli.frame import Exit
    from annul.client.subscriber import Screening, Subscriber

    documents = read_file(file)
    with where.client(who) as annul:
        subscriber = Subscriber(annul.connection)
        tokens = list(subscriber.tokens(documents))
        screening = Screening(subscriber)
        screening.catch_up()
    found = [{"line": line, "status": status} for line, token in enumerate(tokens, 1) if (status := screening.status(token))]

    def text() -> None:
        for one in found:
            print(f"line {one['line']}  {one['status'].replace('_', ' ')}")  # type: ignore[attr-defined]
        print(f"✔  SCREENED  {len(documents):,} documents, {len(found):,} of them not to be relied on.")

    show.result({"documents": len(documents), "position": screening.position, "found": found}, text)
    return Exit.STOP if found else 0


@subscription_app.command("events")
@takes_groups
def subscription_events(
    where: Where,
    show: Show,
    after: Annotated[int, typer.Option(help="Only what is behind this number.")] = 0,
    who: Bank = "bank",
) -> None:
    """List what became of your documents on file, and until when you have to act."""
    with where.client(who) as annul:
        found = annul.connection.get("/v1/subscriptions/events", {"after": after})
    columns = {name: name.replace("_", " ") for name in ("number", "status", "told_at", "act_by", "acknowledged_at")}
    show.table(found["events"], columns, empty="Nothing became of your documents.")


@subscription_app.command("acknowledge")
@takes_groups
def subscription_acknowledge(
    where: Where, show: Show, number: Annotated[int, typer.Argument(metavar="NUMBER", min=1)], who: Bank = "bank"
) -> None:
    """Say that you acted on your events, up to a number."""
    with where.client(who) as annul:
        done = annul.connection.post("/v1/subscriptions/acknowledgements", {"up_to": number})
    show.result(done, f"✔  ACKNOWLEDGED  {done['acknowledged']} events.")


@subscription_app.command("standing")
@takes_groups
def subscription_standing(where: Where, show: Show, who: Bank = "supervisor") -> None:
    """List which parties act on their events in time."""
    with where.client(who) as annul:
        found = annul.connection.get("/v1/subscriptions/standing")
    show.table(
        found["parties"], {name: name for name in ("party", "tokens", "open", "overdue")}, empty="Nobody has documents on file."
    )


@misuse_app.command("state")
@takes_groups
def misuse_state(
    where: Where,
    named: Named,
    show: Show,
    suspect: Annotated[str, typer.Option(help="used_by_another, forged, account_opened, pledged or other.")],
    check: Annotated[str, typer.Option(metavar="CHECK", help="Your check, instead of the document.")] = "",
    branch: Annotated[str, typer.Option(help="Where.")] = "",
    evidence: Annotated[str, typer.Option(help="Reference of your own file; no personal data.")] = "",
    who: Bank = "bank",
) -> None:
    """State what you suspect of a document; nothing follows from it by itself."""
    body: dict[str, Any] = {"kind": suspect, "branch": branch, "evidence": evidence}
    body |= {"check": check} if check else {"document": named.fields(where.folder)}
    with where.client(who) as annul:
        made = annul.connection.post("/v1/misuse", body)
    show.result(made, f"✔  STATED  {made['misuse']}, at position {made['position']}.")


@misuse_app.command("list")
@takes_groups
def misuse_list(where: Where, show: Show, who: Bank = "supervisor") -> None:
    """List statements that no case has yet."""
    with where.client(who) as annul:
        found = annul.connection.get("/v1/misuse")
    columns = {name: name.replace("_", " ") for name in ("misuse", "party", "kind", "happened_at", "evidence")}
    show.table(found["statements"], columns, empty="No statements wait.")
