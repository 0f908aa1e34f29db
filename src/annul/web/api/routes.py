"""Lay the addresses of programs: the lines of every topic, in the order of the API document."""

from __future__ import annotations

from annul.web.api import (
    bulk,
    cases,
    checks,
    conduct,
    corrections,
    departures,
    disputes,
    documents,
    editions,
    feed,
    found,
    imports,
    logs,
    notices,
    oauth,
    officers,
    operation,
    parties,
    peers,
    persons,
    policies,
    portraits,
    recalls,
    receipts,
    reports,
    review,
    searches,
    statuslists,
    subscriptions,
    verifications,
)
from annul.web.api.openapi import Described
from annul.web.door.call import Route


def routes(described: Described) -> tuple[Route, ...]:
    """Return the routes; one of them answers what `described` says of the whole table."""
    return (
        *checks.ROUTES,
        *verifications.ROUTES,
        *reports.ROUTES,
        *documents.ROUTES,
        *persons.ROUTES,
        *imports.ROUTES,
        *portraits.ROUTES,
        *bulk.ROUTES,
        *logs.ROUTES,
        *editions.ROUTES,
        *subscriptions.ROUTES,
        *statuslists.ROUTES,
        *peers.ROUTES,
        *feed.ROUTES,
        *receipts.ROUTES,
        *oauth.ROUTES,
        *parties.ROUTES,
        *operation.routes(described),
        *notices.ROUTES,
        *policies.ROUTES,
        *departures.ROUTES,
        *corrections.ROUTES,
        *review.ROUTES,
        *found.ROUTES,
        *disputes.ROUTES,
        *searches.ROUTES,
        *officers.ROUTES,
        *recalls.ROUTES,
        *conduct.ROUTES,
        *cases.ROUTES,
    )
