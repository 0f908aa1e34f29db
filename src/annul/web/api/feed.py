"""Tell the feed: live as server-sent events, or a range of it; hear from devices how far they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from annul.errors import BadInput
from annul.registry.editions.verifiers import Heard
from annul.web.api.terms import moment_or_none
from annul.web.door.call import Call, Reply, Route, get, post, tagged
from annul.web.door.who import SUPERVISOR

if TYPE_CHECKING:
    from annul.web.door.office import Office

POSITION: Final = "[0-9]{1,18}"
RANGE_BYTES: Final = 1 << 20
"""Most bytes of one answer; the next begins behind its last position."""
LINES: Final = "application/jsonl"


class FeedQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Where to begin; `Last-Event-ID` says it as well, and is what counts when both are there.

    Args:
        after: where to go on: what the last page or answer said.
    """

    after: Annotated[int, Meta(ge=0)] | None = None


class NewAcknowledgement(msgspec.Struct, forbid_unknown_fields=True):
    """A device's name, and what it signed.

    Args:
        edge: name of the device that answered offline.
        note: what it is about, in words.
    """

    edge: Annotated[str, Meta(min_length=1, max_length=64)]
    note: Annotated[str, Meta(max_length=16_384)]


class DeviceShown(msgspec.Struct):
    """A device that carries editions; `p50_ms` and `p99_ms` of the delay from report to refusal there, null without any.

    Args:
        name: its name.
        party: id of the organisation.
        position: position in the register log; 0-based and dense.
        behind: positions of the register log that the device lacks.
        heard_at: when it was last heard (RFC 3339, UTC); null when never.
        connected: it is connected now.
        p50_ms: median of the delay from report to refusal there, in milliseconds; null without any.
        p99_ms: 99th percentile of the delay from report to refusal there, in milliseconds; null without any.
    """

    name: str
    party: str
    position: int
    behind: int
    heard_at: str | None
    connected: bool
    p50_ms: float | None
    p99_ms: float | None


class DevicesShown(msgspec.Struct):
    """Devices that are admitted, those farthest behind first.

    Args:
        devices: the admitted devices, those farthest behind first.
    """

    devices: list[DeviceShown]


async def feed(office: Office, call: Call) -> Reply:
    """Follow the feed."""
    after = call.query.after
    last = call.request.headers.get("last-event-id", "")
    if last:
        if not last.isascii() or not last.isdigit() or len(last) > 18:
            raise BadInput("The last event's id is no position.", where="Last-Event-ID")
        after = int(last)
    parts = await office.feed.stream(after)
    return Reply(parts, "text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"})


async def part(office: Office, call: Call) -> Reply:
    """Read the frames behind a position."""
    after = int(call.path["from"])
    await asyncio.to_thread(office.feed.files.require, after)
    lines = await asyncio.to_thread(office.feed.files.read, after, RANGE_BYTES)
    return Reply(b"".join(lines), LINES)


async def acknowledge(office: Office, call: Call) -> Heard:
    """Take what a device acknowledges."""
    return await office.verifiers.hear(call.body.edge, call.body.note.encode())


async def devices(office: Office, _call: Call) -> DevicesShown:
    """List devices."""
    return DevicesShown(
        [
            DeviceShown(
                one.name,
                one.party,
                one.position,
                one.behind,
                moment_or_none(one.heard_at_us),
                one.connected,
                one.p50_ms,
                one.p99_ms,
            )
            for one in await office.verifiers.devices()
        ]
    )


ROUTES: Final[tuple[Route, ...]] = tagged(
    "editions",
    get(
        "/v1/feed",
        "public",
        feed,
        "Follow what changes, live (server-sent events; the id of an event is its position)",
        query=FeedQuery,
        media="text/event-stream",
        problems=("gone", "bad-input", "over-quota"),
    ),
    get(
        "/v1/feed/{from}",
        "public",
        part,
        "Read the frames behind a position, one a line",
        media=LINES,
        patterns={"from": POSITION},
        problems=("gone", "bad-input"),
    ),
    post(
        "/v1/feed/acknowledgements",
        "public",
        acknowledge,
        "Say up to which position a device refuses; the device's signature admits it",
        body=NewAcknowledgement,
        returns=Heard,
        problems=("not-authorised", "verification-failed", "bad-input"),
    ),
    get("/v1/verifiers", SUPERVISOR, devices, "List devices and how long reports take to them", returns=DevicesShown),
)
