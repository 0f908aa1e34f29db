"""Commands of the supervisor: who may use annul, with which agreement and keys."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from annul.cli.frame import Show, Where, print_pairs, read_json, takes_groups
from annul.errors import BadInput

party_app = typer.Typer(no_args_is_help=True, help="Relying parties, issuers, police desks, supervisors and their keys.")
key_app = typer.Typer(no_args_is_help=True, help="Keys of a party.")
party_app.add_typer(key_app, name="key")

PartyId = Annotated[str, typer.Argument(metavar="PARTY", help="Id of the party.")]


@party_app.command("list")
@takes_groups
def party_list(where: Where, show: Show) -> None:
    """List all parties with their keys."""
    with where.client("supervisor") as annul:
        parties = annul.connection.get("/v1/parties")["parties"]
    rows = [party | {"working_keys": _working(party), "purposes": _purposes(party)} for party in parties]
    if show.json_wanted:
        show.result(parties, "")
        return
    columns = {
        "id": "id",
        "role": "role",
        "name": "name",
        "active": "active",
        "working_keys": "keys",
        "purposes": "may ask for",
    }
    show.table(rows, columns, empty="No parties yet. Make one with `annul party add`.")


def _working(party: dict[str, Any]) -> str:
    return ", ".join(f"{key['id']} ({key['realm']})" for key in party["keys"] if not key["revoked_at"])


def _purposes(party: dict[str, Any]) -> str:
    agreement = party.get("agreement")
    return "nothing" if agreement is None else ", ".join(sorted(agreement["purposes"]))


@party_app.command("add")
@takes_groups
def party_add(
    where: Where,
    show: Show,
    party: PartyId,
    name: Annotated[str, typer.Option(help="Name for people.")],
    role: Annotated[str, typer.Option(help="What it is to the register, such as relying_party or issuer.")] = "relying_party",
    organisation: Annotated[str, typer.Option(help="Organisation the party belongs to.")] = "",
    purpose: Annotated[list[str] | None, typer.Option(help="Purpose it may ask for; repeat for several.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Channel it may ask on; else both.")] = None,
    per_second: Annotated[int, typer.Option(min=1, help="Checks a second.")] = 1000,
    per_day: Annotated[int, typer.Option(min=1, help="Checks a day.")] = 10_000_000,
    reasons: Annotated[bool, typer.Option("--reasons", help="It is told exact reasons, not their class alone.")] = False,
) -> None:
    """Record a party. Only one with purposes may ask checks; give it a key with `annul party key issue`."""
    body: dict[str, Any] = {"id": party, "name": name, "role": role, "organisation": organisation}
    if purpose:
        body["agreement"] = {
            "purposes": purpose,
            "channels": channel or ["in_person", "remote"],
            "per_second": per_second,
            "per_day": per_day,
            "reasons_allowed": reasons,
        }
    with where.client("supervisor") as annul:
        changed = annul.connection.write("/v1/parties", body)
    show.result(changed, f"✔  RECORDED  Party {party} at position {changed['position']}.\nNext: annul party key issue {party}")


@party_app.command("agree")
@takes_groups
def party_agree(
    where: Where,
    show: Show,
    party: PartyId,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Agreement as JSON, null to end it; - for standard input. See `party list --json`."
        ),
    ],
) -> None:
    """Replace a party's agreement: purposes, channels, quota, and what its comparisons of bearer and holder must be like."""
    with where.client("supervisor") as annul:
        changed = annul.connection.write(f"/v1/parties/{party}/agreement", {"agreement": read_json(file)})
    show.result(changed, f"✔  RECORDED  Agreement of {party} at position {changed['position']}.")


@party_app.command("suspend")
@takes_groups
def party_suspend(where: Where, show: Show, party: PartyId) -> None:
    """Suspend a party: all its keys and officers stop working at once, until `annul party restore`."""
    with where.client("supervisor") as annul:
        changed = annul.connection.write(f"/v1/parties/{party}/suspend")
    show.result(
        changed, f"✔  SUSPENDED  Party {party} at position {changed['position']}.\nTo undo: annul party restore {party}"
    )


@party_app.command("restore")
@takes_groups
def party_restore(where: Where, show: Show, party: PartyId) -> None:
    """Let a suspended party in again, with the keys it had."""
    with where.client("supervisor") as annul:
        changed = annul.connection.write(f"/v1/parties/{party}/restore")
    show.result(changed, f"✔  RESTORED  Party {party} at position {changed['position']}.")


@key_app.command("issue")
@takes_groups
def key_issue(
    where: Where,
    show: Show,
    party: PartyId,
    test: Annotated[bool, typer.Option("--test", help="A key for test data: it never touches live data.")] = False,
    counter: Annotated[bool, typer.Option("--counter", help="A key for counters: policies and lists stay closed.")] = False,
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    expires_at: Annotated[str | None, typer.Option("--expires-at", metavar="TIME", help="When it ends (RFC 3339).")] = None,
) -> None:
    """Issue an API key. It is shown this once and stored nowhere."""
    use = "counter" if counter else "all"
    body: dict[str, Any] = {"realm": "test" if test else "live", "label": label, "use": use}
    if expires_at:
        body["expires_at"] = expires_at
    with where.client("supervisor") as annul:
        issued = annul.connection.post(f"/v1/parties/{party}/keys", body)
    show.result(issued, lambda: print_pairs((("Key", issued["token"]), ("Id", issued["id"]), ("Position", issued["position"]))))


@key_app.command("revoke")
@takes_groups
def key_revoke(
    where: Where, show: Show, key_id: Annotated[str, typer.Argument(metavar="KEY", help="Id of the key (not the key).")]
) -> None:
    """Revoke an API key for ever."""
    with where.client("supervisor") as annul:
        changed = annul.connection.write(f"/v1/keys/{key_id}/revoke")
    show.result(changed, f"✔  REVOKED  Key {key_id} at position {changed['position']}.")


@key_app.command("clients")
@takes_groups
def key_clients(
    where: Where,
    show: Show,
    party: Annotated[str | None, typer.Argument(metavar="[PARTY]", help="Id of the party; left out: your own.")] = None,
) -> None:
    """Show the public keys of a party's OAuth client, each with its name."""
    with where.client("supervisor") as annul:
        found = annul.connection.get(f"/v1/parties/{party}/client-keys" if party else "/v1/client-keys")
    columns = {"kid": "name", "kty": "kind", "crv": "curve", "alg": "algorithm"}
    show.table(found["keys"], columns, empty="No client keys: this party uses API keys alone.")


@key_app.command("client-add")
@takes_groups
def key_client_add(
    where: Where,
    show: Show,
    party: PartyId,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON Web Key, public; - for standard input.")],
) -> None:
    """Add one public key to a party's OAuth client; the others go on counting."""
    with where.client("supervisor") as annul:
        changed = annul.connection.write(f"/v1/parties/{party}/client-keys/add", {"key": read_json(file)})
    show.result(changed, f"✔  ADDED  A public key of {party} at position {changed['position']}.")


@key_app.command("client-remove")
@takes_groups
def key_client_remove(
    where: Where,
    show: Show,
    party: PartyId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key, as `annul party key clients` shows it.")],
) -> None:
    """Remove one public key of a party's OAuth client."""
    with where.client("supervisor") as annul:
        changed = annul.connection.write(f"/v1/parties/{party}/client-keys/{name}/remove")
    show.result(changed, f"✔  REMOVED  Client key {name} of {party} at position {changed['position']}.")


@key_app.command("client")
@takes_groups
def key_client(
    where: Where,
    show: Show,
    party: PartyId,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON Web Key Set with public keys; - for standard input.")],
    test: Annotated[bool, typer.Option("--test", help="Tokens of this client are for test data.")] = False,
) -> None:
    """Replace the public keys of a party's OAuth client (private_key_jwt); an empty set closes it."""
    value = read_json(file)
    keys = value.get("keys") if isinstance(value, dict) else value
    if not isinstance(keys, list):
        raise BadInput("The file is not a JSON Web Key Set.", where=file, mend='It looks like {"keys": [ … ]}.')
    with where.client("supervisor") as annul:
        changed = annul.connection.write(
            f"/v1/parties/{party}/client-keys", {"keys": keys, "realm": "test" if test else "live"}
        )
    show.result(changed, f"✔  RECORDED  {len(keys)} public keys of {party} at position {changed['position']}.")
