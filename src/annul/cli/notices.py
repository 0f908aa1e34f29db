"""Commands about notices: what was and was not delivered, dead letters sent again (on the machine itself), and webhooks."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from annul.cli.frame import Home, Show, Where, takes_groups

notices_app = typer.Typer(no_args_is_help=True, help="Notices to holders and parties: deliveries, dead letters.")
webhook_app = typer.Typer(no_args_is_help=True, help="Where your organisation is told: add, list, pause, resume, end webhooks.")

Credential = Annotated[str, typer.Option("--as", help="Whose credential: bank, police, issuer or supervisor.")]
WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of the webhook.")]


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
    state: Annotated[str, typer.Option(help="due, paused, sent, kept or dead; else all.")] = "",
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


# -- webhooks ----------------------------------------------------------------------------------------------------------------


@webhook_app.command("add")
@takes_groups
def webhook_add(
    where: Where,
    show: Show,
    url: Annotated[str, typer.Argument(metavar="URL", help="Address that is called, by https.")],
    kind: Annotated[list[str], typer.Option(help="recall, attempt_not_mine or follow_up_due; may be given more than once.")],
    who: Credential = "bank",
) -> None:
    """Add a webhook (Standard Webhooks). Its secret is told this once."""
    with where.client(who) as annul:
        made = annul.connection.write("/v1/webhooks", {"url": url, "kinds": kind})
    show.result(made, f"✔  ADDED  {made['webhook']}\nSecret, told this once: {made['secret']}")


@webhook_app.command("list")
@takes_groups
def webhook_list(where: Where, show: Show, who: Credential = "bank") -> None:
    """List your webhooks."""
    with where.client(who) as annul:
        found = annul.connection.get("/v1/webhooks")["webhooks"]
    rows = [each | {"kinds": " ".join(each["kinds"])} for each in found]
    names = {"webhook": "id", "url": "address", "kinds": "told of", "created_at": "since", "paused_at": "paused"}
    show.table(rows, names, empty="None. Add one with `annul webhook add`.")


def _turn(where: Where, show: Show, who: str, webhook: str, turn: str, told: str) -> None:
    with where.client(who) as annul:
        show.result(annul.connection.write(f"/v1/webhooks/{webhook}/{turn}", None), told)


@webhook_app.command("pause")
@takes_groups
def webhook_pause(where: Where, show: Show, webhook: WebhookId, who: Credential = "bank") -> None:
    """Pause a webhook: what it is to be told waits, and is never given up."""
    _turn(where, show, who, webhook, "pause", "✔  PAUSED  What comes now waits.")


@webhook_app.command("resume")
@takes_groups
def webhook_resume(where: Where, show: Show, webhook: WebhookId, who: Credential = "bank") -> None:
    """Resume a webhook: it is told what waited."""
    _turn(where, show, who, webhook, "resume", "✔  RESUMED  What waited is sent now.")


@webhook_app.command("end")
@takes_groups
def webhook_end(where: Where, show: Show, webhook: WebhookId, who: Credential = "bank") -> None:
    """End a webhook: it is told nothing more, what waited included."""
    _turn(where, show, who, webhook, "end", "✔  ENDED")
