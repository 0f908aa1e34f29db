"""Commands of the found-card desk: take in, list, show, hand over, hand out, destroy; where cards are handed in."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from annul.cli.desk import Evidence, Happened, Repeat
from annul.cli.frame import Named, Show, Where, print_pairs, print_rows, takes_groups

found_app = typer.Typer(no_args_is_help=True, help="Found cards: taken in, matched to reports, given back or destroyed.")

CardId = Annotated[str, typer.Argument(metavar="CARD", help="Id of the found card, as it was given.")]


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, "", False, [], {})}


def _show_card(show: Show, card: dict[str, Any]) -> None:
    def text() -> None:
        print(f"✔  {card['state'].replace('_', ' ').upper()}  The document is now {card['status'].replace('_', ' ')}.")
        print_pairs(
            (
                ("Card", card["card"]),
                ("Kind", card["coverage"]),
                ("Keeper", card["keeper"]),
                ("Shelf", card["shelf"]),
                ("Works again", "yes" if card["works_again"] else "no, if it is given back"),
                ("Gap in custody", "yes" if card["broken"] else None),
                ("Matches", ", ".join(card["reports"])),
            )
        )
        for step in card["custody"]:
            gap = "  GAP" if step["gap"] else ""
            print(f"   {step['handed_at']}  {step['given_by']} → {step['taken_by']}{gap}")

    show.result(card, text)


@found_app.command("accept")
@takes_groups
def found_accept(
    named: Named,
    where: Where,
    show: Show,
    point: Annotated[str, typer.Option(help="Where it was handed in.")],
    shelf: Annotated[str, typer.Option(help="Where it lies.")] = "",
    found_at: Happened = None,
    finder: Annotated[str, typer.Option(help="Who found it, if she wants to say; kept encrypted.")] = "",
    contact: Annotated[str, typer.Option(help="How to reach the finder; kept encrypted.")] = "",
    place: Annotated[str, typer.Option(help="Where it was found; kept encrypted.")] = "",
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Take a found card in. It is refused everywhere; held, or to be destroyed when it was replaced."""
    body = {"document": named.fields(where.folder), "point": point}
    body |= _given(shelf=shelf, found_at=found_at, evidence=evidence, finder=_given(name=finder, contact=contact, place=place))
    with where.client("police") as annul:
        _show_card(show, annul.connection.write("/v1/found", body, idempotency_key=idempotency_key))


@found_app.command("list")
@takes_groups
def found_list(
    where: Where,
    show: Show,
    state: Annotated[str, typer.Option(help="held, to_destroy, handed_out or destroyed.")] = "held",
) -> None:
    """List found cards, those that wait longest first."""
    with where.client("police") as annul:
        found = annul.connection.get("/v1/found", {"state": state})

    def text() -> None:
        columns = ("card", "accepted_at", "coverage", "keeper")
        print_rows(([card[name] for name in columns] for card in found["cards"]), ["card", "taken in", "kind", "keeper"])

    show.result(found, text)


@found_app.command("show")
@takes_groups
def found_show(where: Where, show: Show, card: CardId) -> None:
    """Show a found card with its chain of custody and the reports it matches."""
    with where.client("police") as annul:
        _show_card(show, annul.connection.get(f"/v1/found/{card}"))


def _step(card: str, step: str, where: Where, show: Show, idempotency_key: str | None, **members: Any) -> None:
    with where.client("police") as annul:
        path = f"/v1/found/{card}/{step}"
        _show_card(show, annul.connection.write(path, _given(**members), idempotency_key=idempotency_key))


@found_app.command("hand-over")
@takes_groups
def found_hand_over(
    where: Where,
    show: Show,
    card: CardId,
    given_by: Annotated[str, typer.Option("--from", help="Who gives it. If the chain has it elsewhere, a gap is recorded.")],
    taken_by: Annotated[str, typer.Option("--to", help="Who takes it.")],
    place: Annotated[str, typer.Option(help="Where.")] = "",
    party: Annotated[str, typer.Option(help="Id of the party at whose desk it lies from now on, if it is another.")] = "",
    idempotency_key: Repeat = None,
) -> None:
    """Record that a card went to another keeper."""
    _step(card, "hand-over", where, show, idempotency_key, given_by=given_by, taken_by=taken_by, place=place, party=party)


@found_app.command("hand-out")
@takes_groups
def found_hand_out(
    where: Where,
    show: Show,
    card: CardId,
    evidence: Annotated[str, typer.Option(help="What proved the holder's identity; no number.")],
    proof: Annotated[str, typer.Option(help="in_person or in_person_fingerprint.")] = "in_person",
    idempotency_key: Repeat = None,
) -> None:
    """Give a card back to its holder. One that was reported stays dead: strangers had it."""
    _step(card, "hand-out", where, show, idempotency_key, proof=proof, evidence=evidence)


@found_app.command("destroy")
@takes_groups
def found_destroy(
    where: Where,
    show: Show,
    card: CardId,
    evidence: Annotated[str, typer.Option(help="Reference of the record of destruction.")],
    idempotency_key: Repeat = None,
) -> None:
    """Record that a card was destroyed by hand. It never counts again."""
    _step(card, "destroy", where, show, idempotency_key, evidence=evidence)


@found_app.command("point")
@takes_groups
def found_point(
    where: Where,
    show: Show,
    point: Annotated[str, typer.Argument(metavar="POINT", help="Id of the place: small letters, digits, hyphens.")],
    name: Annotated[str, typer.Option(help="What it is called.")],
    address: Annotated[str, typer.Option(help="Where it is.")],
    hours: Annotated[str, typer.Option(help="When it is open.")] = "",
) -> None:
    """Record a place of yours where found cards are handed in, or change one."""
    with where.client("police") as annul:
        found = annul.connection.write("/v1/found/points", {"id": point, "name": name, "address": address, "hours": hours})
    show.result(found, f"✔  RECORDED  {name} takes found cards in.")


@found_app.command("points")
@takes_groups
def found_points(where: Where, show: Show) -> None:
    """List where found cards are handed in."""
    with where.client("police") as annul:
        found = annul.connection.get("/v1/found/points")

    def text() -> None:
        columns = ("name", "address", "hours")
        print_rows(([point[name] for name in columns] for point in found["points"]), columns)

    show.result(found, text)
