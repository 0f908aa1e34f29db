"""Commands about notices: what was and was not delivered, and dead letters sent again; they need the database alone."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from annul.cli.frame import Home, Show, takes_groups

notices_app = typer.Typer(no_args_is_help=True, help="Notices to holders and parties: deliveries, dead letters.")


def _outbox(home: Home) -> Any:
    from annul.registry.notices.outbox import Outbox
    from annul.registry.postgres import Embedded
    from annul.registry.store import Fresh

    settings = home.settings()
    return Outbox(Fresh(settings.database_url or Embedded(settings.home).conninfo))


@notices_app.command("list")
@takes_groups
def notices_list(
    home: Home,
    show: Show,
    state: Annotated[str, typer.Option(help="due, sent, kept or dead; else all.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many, newest first.")] = 50,
) -> None:
    """List deliveries, newest first: kind, channel, state, tries, why not. No address and no text is shown."""
    from annul.registry.citizen import iso

    found = asyncio.run(_outbox(home).deliveries(state=state, limit=limit))
    rows = [
        {
            "id": one.id, "created_at": iso(one.created_at_us), "kind": one.kind, "channel": one.channel,
            "language": one.language, "state": one.state, "tries": one.tries, "fault": one.fault, "due_at": iso(one.due_at_us),
            "done_at": iso(one.done_at_us) if one.done_at_us else None,
        }
        for one in found
    ]  # fmt: skip
    names = {"id": "id", "created_at": "created", "kind": "kind", "channel": "channel", "state": "state", "tries": "tries"}
    show.table(rows, names | {"fault": "why not"}, empty="No deliveries. They appear here when somebody is told of something.")


@notices_app.command("count")
@takes_groups
def notices_count(home: Home, show: Show) -> None:
    """Count what is not delivered: being tried, late, given up."""
    from annul.app import now_us

    counts = asyncio.run(_outbox(home).undelivered(now_us()))
    show.result(counts, f"being tried {counts['due']}, late {counts['late']}, given up {counts['dead']}")


@notices_app.command("retry")
@takes_groups
def notices_retry(
    home: Home,
    show: Show,
    delivery: Annotated[
        list[str] | None, typer.Argument(metavar="[DELIVERY]...", help="Ids of dead letters; none: all.")
    ] = None,
) -> None:
    """Send dead letters again, under the ids they had: who got one already drops the copy."""
    from annul.app import now_us

    count = asyncio.run(_outbox(home).retry(delivery or [], now_us()))
    show.result({"retried": count}, f"{count} dead letters are sent again." if count else "There is no such dead letter.")
