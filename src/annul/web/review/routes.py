"""Every address of the clean-up: for programs, and the pages of the review desk."""

from __future__ import annotations

from typing import Final

from annul.web.api import review as api
from annul.web.desk.frame import officers
from annul.web.door.call import Route, page, sent
from annul.web.review import desk

ISSUER: Final = frozenset({"issuer"})
COUNTS: Final = frozenset({"issuer", "supervisor"})
SECOND: Final = COUNTS
"""Who may be the second officer: another of the civil registry, or the supervisor."""
REVIEW: Final = officers("issuer", duty="review")
SEEN: Final = officers("issuer", "supervisor", duty="review")

SUSPICION: Final = {"suspicion": "s_[0-9a-f]{24}"}
ID: Final = {"id": "s_[0-9a-f]{24}"}
DECISION: Final = {"decision": "j_[0-9a-f]{24}"}
PORTRAIT: Final = SUSPICION | {"place": "[0-9]{1,2}"}
PROBLEMS: Final = ("conflict", "not-found", "not-yet-effective", "transition-refused")
TAG: Final = "clean-up"


def _step(
    path: str, handler: object, summary: str, body: object, patterns: dict[str, str], *, who: frozenset[str] = ISSUER
) -> Route:
    return Route(
        method="POST", path=path, who=who, handler=handler, summary=summary, body=body, returns=api.DecidedShown, write=True,  # type: ignore[arg-type]
        problems=PROBLEMS, patterns=patterns, tag=TAG,
    )  # fmt: skip


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET", path="/v1/review/suspicions", who=ISSUER, handler=api.queue, summary="List suspicions, the surest first",
        query=api.Wanted, returns=api.QueueShown, tag=TAG,
    ),
    Route(
        method="POST", path="/v1/review/suspicions/{id}/look", who=ISSUER, handler=api.look,
        summary="Open a suspicion with its records and evidence, for a case", body=api.Look, returns=api.SuspicionOpened,
        problems=("not-found",), patterns=ID, tag=TAG,
    ),
    _step("/v1/review/suspicions/{id}/decide", api.decide, "Decide a suspicion", api.Decide, ID),
    Route(
        method="GET", path="/v1/review/decisions", who=SECOND, handler=api.waiting,
        summary="List decisions that wait for a second officer", returns=api.DecisionList, tag=TAG,
    ),
    _step(
        "/v1/review/decisions/{decision}/confirm", api.confirm, "Confirm a decision, as the second officer", None, DECISION,
        who=SECOND,
    ),
    _step(
        "/v1/review/decisions/{decision}/refuse", api.refuse, "Refuse a decision that waits", api.Grounded, DECISION, who=SECOND
    ),
    _step("/v1/review/decisions/{decision}/undo", api.undo, "Take a decision back", api.Grounded, DECISION),
    Route(
        method="GET", path="/v1/review/figures", who=COUNTS, handler=api.figures,
        summary="Count suspicions by cause and region", returns=api.FiguresShown, tag=TAG,
    ),
    page("/desk/review", REVIEW, desk.queue, "Suspicions of the clean-up", query=desk.Wanted),
    page("/desk/review/waiting", REVIEW, desk.waiting, "What waits for a second officer"),
    page("/desk/review/figures", SEEN, desk.figures, "Figures of the clean-up"),
    page("/desk/review/{suspicion}", REVIEW, desk.one, "A suspicion", patterns=SUSPICION),
    sent(
        "/desk/review/{suspicion}", REVIEW, desk.decide, "Decide a suspicion", desk.DecideForm, write=True, patterns=SUSPICION
    ),
    Route(
        method="GET", path="/desk/review/{suspicion}/portrait/{place}", who=REVIEW, handler=desk.portrait,
        summary="A portrait of a suspicion", page=True, media="image/jpeg", patterns=PORTRAIT,
    ),
)  # fmt: skip
