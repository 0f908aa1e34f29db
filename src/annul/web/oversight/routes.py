"""Addresses of oversight."""

from __future__ import annotations

from typing import Final

from annul.web.door.call import Route, page
from annul.web.door.who import SUPERVISOR, officers
from annul.web.oversight import oversight

OVERSEER: Final = officers(SUPERVISOR)

ROUTES: Final[tuple[Route, ...]] = (
    page("/oversight", OVERSEER, oversight.overview, "The register's health"),
    page("/oversight/live", OVERSEER, oversight.live, "The five numbers as they change (server-sent events)"),
    page("/oversight/verifiers", OVERSEER, oversight.verifiers, "Freshness of every verifier", query=oversight.VerifierQuery),
    page("/oversight/disputes", OVERSEER, oversight.disputes, "Open disputes by age"),
    page("/oversight/lapsed", OVERSEER, oversight.lapsed, "Suspensions that lapsed"),
    page("/oversight/notices", OVERSEER, oversight.notices, "Notices undelivered"),
    page("/oversight/parties", OVERSEER, oversight.parties, "Scorecards of relying parties"),
)
