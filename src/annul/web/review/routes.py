"""Addresses of the clean-up's pages."""

from __future__ import annotations

from typing import Final

from annul.web.door.call import Route, page, sent
from annul.web.door.who import DECIDERS, ISSUER, SUSPICION_ID, officers
from annul.web.review import desk

REVIEW: Final = officers(ISSUER, duty="review")
SEEN: Final = officers(DECIDERS, duty="review")
SUSPICION: Final = {"suspicion": SUSPICION_ID}
PORTRAIT: Final = SUSPICION | {"place": "[0-9]{1,2}"}

ROUTES: Final[tuple[Route, ...]] = (
    page("/desk/review", REVIEW, desk.queue, "Suspicions of the clean-up", query=desk.Wanted),
    page("/desk/review/waiting", REVIEW, desk.waiting, "What waits for a second officer"),
    page("/desk/review/figures", SEEN, desk.figures, "Figures of the clean-up"),
    page("/desk/review/{suspicion}", REVIEW, desk.one, "A suspicion", patterns=SUSPICION),
    sent(
        "/desk/review/{suspicion}", REVIEW, desk.decide, "Decide a suspicion", desk.DecideForm, write=True, patterns=SUSPICION
    ),
    Route(
        method="GET",
        path="/desk/review/{suspicion}/portrait/{place}",
        who=REVIEW,
        handler=desk.portrait,
        summary="A portrait of a suspicion",
        page=True,
        media="image/jpeg",
        patterns=PORTRAIT,
    ),
)
