"""Addresses of oversight."""

from __future__ import annotations

from typing import Final

from annul.web.door.call import Route, page
from annul.web.oversight import oversight

SUPERVISOR: Final = frozenset({"officer:supervisor"})

ROUTES: Final[tuple[Route, ...]] = (
    page("/oversight", SUPERVISOR, oversight.overview, "The register's health"),
    page("/oversight/live", SUPERVISOR, oversight.live, "The five numbers as they change (server-sent events)"),
    page("/oversight/verifiers", SUPERVISOR, oversight.verifiers, "Freshness of every verifier", query=oversight.VerifierQuery),
    page("/oversight/disputes", SUPERVISOR, oversight.disputes, "Open disputes by age"),
    page("/oversight/lapsed", SUPERVISOR, oversight.lapsed, "Suspensions that lapsed"),
    page("/oversight/notices", SUPERVISOR, oversight.notices, "Notices undelivered"),
    page("/oversight/parties", SUPERVISOR, oversight.parties, "Scorecards of relying parties"),
)
