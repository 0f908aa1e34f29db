"""Commands of digital credentials: attach them to a document, list them, state them."""

from __future__ import annotations

from typing import Annotated

import typer

from annul.cli.frame import Named, Show, Where, takes_groups

credential_app = typer.Typer(no_args_is_help=True, help="Digital credentials of documents: they follow the document's state.")
Issuer = Annotated[str, typer.Option("--as", help="Whose credential.")]
_COLUMNS = {name: name for name in ("credential", "state", "rule", "index", "uri")}


@credential_app.command("attach")
@takes_groups
def credential_attach(
    where: Where,
    named: Named,
    show: Show,
    rule: Annotated[
        str, typer.Option(help="suspended-when-reported, dies-when-reported or survives-replacement.")
    ] = "suspended-when-reported",
    who: Issuer = "issuer",
) -> None:
    """Attach a digital credential to a document: it gets a place in a status list, at random."""
    body = {"document": named.fields(where.folder), "rule": rule}
    with where.client(who) as annul:
        made = annul.connection.post("/v1/credentials", body)
    show.result(made, f"✔  ATTACHED  {made['credential']}: index {made['index']} of {made['uri']}.")


@credential_app.command("list")
@takes_groups
def credential_list(where: Where, named: Named, show: Show, who: Issuer = "issuer") -> None:
    """List the digital credentials of a document."""
    body = {"document": named.fields(where.folder)}
    with where.client(who) as annul:
        found = annul.connection.post("/v1/credentials/of", body)
    show.table(found["credentials"], _COLUMNS, empty="The document has no digital credentials.")


@credential_app.command("state")
@takes_groups
def credential_state(
    where: Where,
    show: Show,
    credential: Annotated[str, typer.Argument(metavar="CREDENTIAL", help="Id, as it was given.")],
    state: Annotated[str, typer.Argument(metavar="STATE", help="valid, suspended, or invalid (for ever).")],
    who: Issuer = "issuer",
) -> None:
    """Say of a digital credential itself what its issuer knows."""
    with where.client(who) as annul:
        made = annul.connection.post(f"/v1/credentials/{credential}", {"state": state})
    show.result(made, f"✔  STATED  {made['credential']} is {made['state']}.")
