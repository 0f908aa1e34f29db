"""Answer whoever runs the register: alive, ready, counts, and the description of the API."""

from __future__ import annotations

import ipaddress
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from annul import __version__, metrics, processes
from annul.errors import Forbidden
from annul.home import Home
from annul.records.policy import DEFAULT_POLICY
from annul.web.api.openapi import Described
from annul.web.door.call import Call, Reply, Route, get, tagged

if TYPE_CHECKING:
    from annul.web.door.office import Office


class Alive(msgspec.Struct):
    """The process answers.

    Args:
        alive: always true: nobody answers otherwise.
        version: version of the software.
    """

    alive: bool
    version: str


class Readiness(msgspec.Struct):
    """Whether checks can be answered.

    Args:
        ready: checks are answered; without the database they go on from the table, and say so in their freshness.
        missing: what keeps checks from being answered, each with its next step.
        warnings: what is wrong while checks go on.
        position: register position the table has applied.
    """

    ready: bool
    missing: list[str]
    warnings: list[str]
    position: int


async def healthz(_office: Office, _call: Call) -> Alive:
    """Say that the process answers."""
    return Alive(True, __version__)


async def readyz(office: Office, _call: Call) -> Any:
    """Say whether checks can be answered, and what is missing if not."""
    listings = office.listings
    listings.refresh()
    missing, warnings = [], []
    age_ms = (office.now_us() - listings.as_of_us) // 1000
    behind = f"follower: the table is {age_ms / 1000:.0f} s behind the register; see `annul doctor`"
    if age_ms > DEFAULT_POLICY.copy_age_max_s * 1000:
        missing.append(behind)
    elif age_ms > office.settings.freshness_live_ms:
        warnings.append(behind)
    for part, fault in _faults(office.settings.home).items():
        (missing if part == "listings" else warnings).append(f"{part}: {fault.get('message')} ({fault.get('where')})")
    if office.checks is None:
        missing.append("check path: this process does not answer checks")
    state = Readiness(not missing, missing, warnings, listings.position)
    if missing:
        return Reply(msgspec.json.encode(state), "application/json", 503, {"retry-after": "1"})
    return state


def _faults(home: Home) -> dict[str, dict[str, str]]:
    """Return what the sealer found damaged, by part; it writes the file when there is something to say."""
    try:
        found: dict[str, dict[str, str]] = msgspec.json.decode(home.corrupt.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return found


async def exposition(office: Office, call: Call) -> Reply:
    """Answer the counts in the Prometheus text format, to this machine or to all as the operator chose."""
    if not office.settings.metrics_public and not _from_here(call):
        mend = "The operator sets ANNUL_METRICS_PUBLIC=true to change that."
        raise Forbidden("Counts are shown to this machine only.", mend=mend)
    metrics.POSITION.set(office.listings.position)
    metrics.TABLE_AGE_SECONDS.set(max(0.0, (office.now_us() - office.listings.as_of_us) / 1e6))
    return Reply(metrics.exposition() + processes.exposition(office.settings.home), "text/plain; version=0.0.4; charset=utf-8")


def _from_here(call: Call) -> bool:
    """Tell whether the caller is this machine itself, and not a proxy on it that passes somebody else on."""
    client = call.request.client
    if client is None or "x-forwarded-for" in call.request.headers or "forwarded" in call.request.headers:
        return False
    try:
        return ipaddress.ip_address(client.host).is_loopback
    except ValueError:
        return False


@cache
def _encoded(described: Described, base_url: str) -> bytes:
    return msgspec.json.format(msgspec.json.encode(described(base_url)), indent=1)


async def openapi_json(described: Described, office: Office, _call: Call) -> Reply:
    """Answer the route table as an OpenAPI document."""
    body = _encoded(described, office.settings.base_url)
    return Reply(body, "application/json", headers={"cache-control": "public, max-age=300"})


def routes(described: Described) -> tuple[Route, ...]:
    """Return the routes; one of them answers what `described` says of the whole table."""
    return tagged(
        "operation",
        get("/healthz", "public", healthz, "Does the process answer", returns=Alive),
        get(
            "/readyz",
            "public",
            readyz,
            "Can checks be answered, and what is missing if not",
            returns=Readiness,
            problems=("source-down",),
        ),
        get(
            "/metrics",
            "public",
            exposition,
            "Read the counts (Prometheus text format)",
            problems=("forbidden",),
            media="text/plain; version=0.0.4; charset=utf-8",
        ),
        get("/openapi.json", "public", partial(openapi_json, described), "Read this document"),
    )
