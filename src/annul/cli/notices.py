"""Commands about notices: deliveries and dead letters (on the machine itself), holds, denied attempts, and webhooks."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from annul.cli.frame import Named, Place, Show, Where, takes_groups
from annul.times import now_us

notices_app = typer.Typer(no_args_is_help=True, help="Notices to holders and parties: deliveries, dead letters.")
webhook_app = typer.Typer(no_args_is_help=True, help="Where your organisation is told: add, list, pause, resume, end webhooks.")

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of the webhook.")]


def _outbox(home: Place) -> Any:
    from annul.registry.notices.outbox import Outbox
    from annul.registry.postgres import Embedded
    from annul.registry.writing.store import Fresh

    settings = home.settings()
    return Outbox(Fresh(settings.database_url or Embedded(settings.home).conninfo))


@notices_app.command("list")
@takes_groups
def notices_list(
    home: Place,
    show: Show,
    state: Annotated[str, typer.Option(help="due, paused, sent, kept or dead; else all.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many, newest first.")] = 50,
) -> None:
    """List deliveries, newest first: kind, channel, state, tries, why not. No address and no text is shown."""
    from annul.times import rfc3339

    found = asyncio.run(_outbox(home).deliveries(state=state, limit=limit))
    rows = [
        {
            "id": one.id,
            "created_at": rfc3339(one.created_at_us),
            "kind": one.kind,
            "channel": one.channel,
            "language": one.language,
            "state": one.state,
            "tries": one.tries,
            "fault": one.fault,
            "due_at": rfc3339(one.due_at_us),
            "done_at": rfc3339(one.done_at_us) if one.done_at_us else None,
        }
        for one in found
    ]
    names = {"id": "id", "created_at": "created", "kind": "kind", "channel": "channel", "state": "state", "tries": "tries"}
    show.table(rows, names | {"fault": "why not"}, empty="No deliveries. They appear here when somebody is told of something.")


@notices_app.command("count")
@takes_groups
def notices_count(home: Place, show: Show) -> None:
    """Count what is not delivered: being tried, late, given up."""

    counts = asyncio.run(_outbox(home).undelivered(now_us()))
    show.result(counts, f"being tried {counts['due']}, late {counts['late']}, given up {counts['dead']}")


@notices_app.command("retry")
@takes_groups
def notices_retry(
    home: Place,
    show: Show,
    delivery: Annotated[
        list[str] | None, typer.Argument(metavar="[DELIVERY]...", help="Ids of dead letters; none: all.")
    ] = None,
) -> None:
    """Send dead letters again, under the ids they had: who got one already drops the copy."""

    count = asyncio.run(_outbox(home).retry(delivery or [], now_us()))
    show.result({"retried": count}, f"{count} dead letters are sent again." if count else "There is no such dead letter.")


# -- webhooks ----------------------------------------------------------------------------------------------------------------


@webhook_app.command("add")
@takes_groups
def webhook_add(
    where: Where,
    show: Show,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Address that is called, by https.")],
    kind: Annotated[
        list[str],
        typer.Option(help="recall, attempt_not_mine, follow_up_due, finding …; may be given more than once."),
    ],
) -> None:
    """Add a webhook (Standard Webhooks). Its secret is told this once."""
    with where.client("bank") as annul:
        made = annul.connection.write("/v1/webhooks", {"url": address, "kinds": kind})
    show.result(made, f"✔  ADDED  {made['webhook']}\nSecret, told this once: {made['secret']}")


@webhook_app.command("list")
@takes_groups
def webhook_list(where: Where, show: Show) -> None:
    """List your webhooks."""
    with where.client("bank") as annul:
        found = annul.connection.get("/v1/webhooks")["webhooks"]
    rows = [each | {"kinds": " ".join(each["kinds"])} for each in found]
    names = {"webhook": "id", "url": "address", "kinds": "told of", "created_at": "since", "paused_at": "paused"}
    show.table(rows, names, empty="None. Add one with `annul webhook add`.")


def _turn(where: Where, show: Show, webhook: str, turn: str, told: str) -> None:
    with where.client("bank") as annul:
        show.result(annul.connection.write(f"/v1/webhooks/{webhook}/{turn}", None), told)


@webhook_app.command("pause")
@takes_groups
def webhook_pause(where: Where, show: Show, webhook: WebhookId) -> None:
    """Pause a webhook: what it is to be told waits, and is never given up."""
    _turn(where, show, webhook, "pause", "✔  PAUSED  What comes now waits.")


@webhook_app.command("resume")
@takes_groups
def webhook_resume(where: Where, show: Show, webhook: WebhookId) -> None:
    """Resume a webhook: it is told what waited."""
    _turn(where, show, webhook, "resume", "✔  RESUMED  What waited is sent now.")


@webhook_app.command("end")
@takes_groups
def webhook_end(where: Where, show: Show, webhook: WebhookId) -> None:
    """End a webhook: it is told nothing more, what waited included."""
    _turn(where, show, webhook, "end", "✔  ENDED")


# -- holds, denied attempts --------------------------------------------------------------------------------------------------


@notices_app.command("hold")
@takes_groups
def notices_hold(
    named: Named,
    where: Where,
    show: Show,
    case: Annotated[str, typer.Option(help="Case reference; the hold is entered in the register.")],
    until: Annotated[str, typer.Option(metavar="TIME", help="When it ends (RFC 3339); every hold ends.")],
) -> None:
    """Hold back, for a case, what a document's holder would be told of attempts and searches (police)."""
    body = {"document": named.fields(where.folder), "case": case, "until": until}
    with where.client("police") as annul:
        made = annul.connection.post("/v1/notices/holds", body)
    show.result(made, f"✔  HELD  until {made['until']}.\nEnd it early: annul notices release {made['hold']}")


@notices_app.command("release")
@takes_groups
def notices_release(
    where: Where, show: Show, hold: Annotated[str, typer.Argument(metavar="HOLD", help="Id of the hold, as it was given.")]
) -> None:
    """End a hold of your desk early."""
    with where.client("police") as annul:
        ended = annul.connection.post(f"/v1/notices/holds/{hold}/release")
    show.result(ended, f"✔  RELEASED  {ended['notices']} notices leave now.")


@notices_app.command("denied")
@takes_groups
def notices_denied(where: Where, show: Show) -> None:
    """List the attempts that holders say were not theirs, newest first (police, supervisor)."""
    with where.client("police") as annul:
        found = annul.connection.get("/v1/attempts/denied")["attempts"]
    columns = {
        "checked_at": "checked at",
        "party": "party",
        "branch": "branch",
        "purpose": "purpose",
        "accepted": "accepted",
        "denied_at": "denied at",
        "check": "check",
    }
    show.table(found, columns, empty="None. An attempt appears here when its holder says that it was not hers.")
