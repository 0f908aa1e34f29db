"""Notices for programs: webhooks of a party, attempts that holders deny, holds on a case, the state of the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from annul.records.document import DocumentFields, parse_document
from annul.records.references import Given
from annul.times import rfc3339
from annul.web.api.terms import DOCUMENT_PROBLEMS, Moment, act_of, moment, moment_or_none
from annul.web.door.call import Call, Route, get, post, tagged
from annul.web.door.who import ANY, HOLD_ID, POLICE, SUPERVISOR, WEBHOOK_ID

if TYPE_CHECKING:
    from annul.web.door.office import Office


class NewWebhook(msgspec.Struct, forbid_unknown_fields=True):
    """Where to be told, and of what: recalls, denied attempts, follow-ups, findings, subscriptions.

    Args:
        url: https address that is called.
        kinds: what the webhook is told of.
    """

    url: Annotated[str, Meta(min_length=8, max_length=500)]
    kinds: list[
        Literal[
            "recall",
            "attempt_not_mine",
            "follow_up_due",
            "finding",
            "finding_decided",
            "subscription",
            "subscription_overdue",
            "subscription_renew",
        ]
    ]


class WebhookMade(msgspec.Struct):
    """A webhook with its secret (Standard Webhooks, `whsec_…`), which is told this once.

    Args:
        webhook: id of the webhook.
        url: https address that is called.
        kinds: what the webhook is told of.
        secret: key of the signatures (`whsec_…`), shown this once.
    """

    webhook: str
    url: str
    kinds: list[str]
    secret: str


class WebhookShown(msgspec.Struct):
    """A webhook; while it is paused, what it is to be told waits.

    Args:
        webhook: id of the webhook.
        url: https address that is called.
        kinds: what the webhook is told of.
        created_at: when it was made (RFC 3339, UTC).
        paused_at: since when it is paused; null while it is not.
    """

    webhook: str
    url: str
    kinds: list[str]
    created_at: str
    paused_at: str | None


class WebhooksShown(msgspec.Struct):
    """A party's own webhooks.

    Args:
        webhooks: the party's webhooks.
    """

    webhooks: list[WebhookShown]


class WebhookTurned(msgspec.Struct):
    """A webhook that was paused, resumed or ended.

    Args:
        webhook: id of the webhook.
    """

    webhook: str


class DeniedAttempt(msgspec.Struct):
    """An attempt that the holder denies.

    Args:
        attempt: id of the attempt.
        check: id of the check.
        party: id of the organisation.
        party_name: name of the organisation.
        branch: branch of the relying party, in its own words; at most 64 characters.
        purpose: why it is asked or done.
        checked_at: when the check was answered (RFC 3339, UTC).
        denied_at: when the holder denied it (RFC 3339, UTC).
        accepted: the relying party has said that it has looked into the denial.
    """

    attempt: str
    check: str
    party: str
    party_name: str
    branch: str
    purpose: str
    checked_at: str
    denied_at: str
    accepted: bool


class DeniedAttempts(msgspec.Struct):
    """Attempts that holders deny, newest first.

    Args:
        attempts: the attempts, newest first.
    """

    attempts: list[DeniedAttempt]


class NewHold(msgspec.Struct, forbid_unknown_fields=True):
    """Hold back, for a case, what a document's holder would be told of attempts and searches; every hold ends.

    Args:
        document: the document as printed: scheme, number and what else its scheme asks.
        case: reference of the case for which this is done; it is on record with the look-up.
        until: until when it holds (RFC 3339 with zone).
    """

    document: DocumentFields
    case: Given
    until: Moment


class HoldMade(msgspec.Struct):
    """A hold.

    Args:
        hold: id of the hold.
        until: until when it holds (RFC 3339 with zone).
    """

    hold: str
    until: str


class HoldReleased(msgspec.Struct):
    """A hold that was ended early, and how many notices leave now.

    Args:
        hold: id of the hold.
        notices: how many notices leave now.
    """

    hold: str
    notices: int


class Undelivered(msgspec.Struct):
    """How many deliveries are being tried (`due`), are late, or were given up (`dead`).

    Args:
        due: deliveries that are being tried.
        late: deliveries that are late.
        dead: deliveries that were given up.
    """

    due: int
    late: int
    dead: int


async def add_webhook(office: Office, call: Call) -> WebhookMade:
    """Add a webhook of the caller's party."""
    who = call.principal
    made, secret = await office.webhooks.add(who.id, who.realm, call.body.url, call.body.kinds, office.now_us())
    return WebhookMade(made.id, made.url, made.kinds, secret)


async def webhooks(office: Office, call: Call) -> WebhooksShown:
    """List the caller's webhooks."""
    found = await office.webhooks.of_party(call.principal.id, call.principal.realm)
    return WebhooksShown(
        [
            WebhookShown(one.id, one.url, one.kinds, rfc3339(one.created_at_us), moment_or_none(one.paused_at_us))
            for one in found
        ]
    )


async def pause_webhook(office: Office, call: Call) -> WebhookTurned:
    """Hold back what a webhook is to be told."""
    await office.webhooks.pause(call.principal.id, call.principal.realm, call.path["webhook"], office.now_us())
    return WebhookTurned(call.path["webhook"])


async def resume_webhook(office: Office, call: Call) -> WebhookTurned:
    """Tell a webhook what waited."""
    await office.webhooks.resume(call.principal.id, call.principal.realm, call.path["webhook"], office.now_us())
    return WebhookTurned(call.path["webhook"])


async def end_webhook(office: Office, call: Call) -> WebhookTurned:
    """End a webhook."""
    await office.webhooks.end(call.principal.id, call.principal.realm, call.path["webhook"], office.now_us())
    return WebhookTurned(call.path["webhook"])


async def denied(office: Office, call: Call) -> DeniedAttempts:
    """List the attempts that holders deny."""
    found = await office.citizens.denied(realm=call.principal.realm)
    return DeniedAttempts(
        [
            DeniedAttempt(
                one["id"],
                one["check"],
                one["party"],
                one["party_name"],
                one["branch"],
                one["purpose"],
                rfc3339(one["checked_at_us"]),
                rfc3339(one["said_at_us"]),
                one["accepted"],
            )
            for one in found
        ]
    )


async def hold(office: Office, call: Call) -> HoldMade:
    """Hold back notices for a case."""
    until_us = moment(call.body.until, "/until")
    document = parse_document(call.body.document)
    made = await office.citizens.hold(act_of(call), document, case=call.body.case, until_us=until_us)
    return HoldMade(made, rfc3339(until_us))


async def release(office: Office, call: Call) -> HoldReleased:
    """End a hold early."""
    freed = await office.citizens.release(act_of(call), call.path["hold"])
    return HoldReleased(call.path["hold"], freed)


async def undelivered(office: Office, _call: Call) -> Undelivered:
    """Count what is not delivered."""
    return Undelivered(**await office.outbox.undelivered(office.now_us()))


ROUTES: Final[tuple[Route, ...]] = tagged(
    "notices",
    get("/v1/webhooks", ANY, webhooks, "List your webhooks", returns=WebhooksShown),
    post(
        "/v1/webhooks",
        ANY,
        add_webhook,
        "Add a webhook; its secret is told this once",
        body=NewWebhook,
        returns=WebhookMade,
        status=201,
        problems=("conflict",),
    ),
    post(
        "/v1/webhooks/{webhook}/pause",
        ANY,
        pause_webhook,
        "Pause a webhook: what it is to be told waits",
        returns=WebhookTurned,
        patterns={"webhook": WEBHOOK_ID},
        problems=("not-found",),
    ),
    post(
        "/v1/webhooks/{webhook}/resume",
        ANY,
        resume_webhook,
        "Resume a webhook: what waited is told",
        returns=WebhookTurned,
        patterns={"webhook": WEBHOOK_ID},
        problems=("not-found",),
    ),
    post(
        "/v1/webhooks/{webhook}/end",
        ANY,
        end_webhook,
        "End a webhook",
        returns=WebhookTurned,
        patterns={"webhook": WEBHOOK_ID},
        problems=("not-found",),
    ),
    get("/v1/attempts/denied", POLICE | SUPERVISOR, denied, "List attempts that holders deny", returns=DeniedAttempts),
    post(
        "/v1/notices/holds",
        POLICE,
        hold,
        "Hold back what a holder would be told, for a case, until a date",
        body=NewHold,
        returns=HoldMade,
        status=201,
        write=True,
        problems=(*DOCUMENT_PROBLEMS, "not-found"),
    ),
    post(
        "/v1/notices/holds/{hold}/release",
        POLICE,
        release,
        "End a hold early",
        returns=HoldReleased,
        write=True,
        patterns={"hold": HOLD_ID},
        problems=("not-found",),
    ),
    get("/v1/notices/undelivered", SUPERVISOR, undelivered, "Count undelivered notices", returns=Undelivered),
)
