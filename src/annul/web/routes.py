"""Lay the route table: the lines of every room, in order. What is not in it is not there.

Each line says who may call its address, what it reads and what it answers; a test walks every role over every line. A line
without `who` does not exist: the field has no default. Programs find their topics in `annul.web.api`, people their pages in the
rooms beside it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from annul.web.api import openapi
from annul.web.api import routes as api
from annul.web.citizen import routes as citizen
from annul.web.counter import routes as counter
from annul.web.desk import routes as desk
from annul.web.developers import routes as developers
from annul.web.door.call import Route
from annul.web.oversight import routes as oversight
from annul.web.public import routes as public
from annul.web.review import routes as review


@cache
def described(base_url: str) -> dict[str, Any]:
    """Return the OpenAPI document of this table for a server's address."""
    return openapi.document(ROUTES, base_url)


ROUTES: Final[tuple[Route, ...]] = (
    *api.routes(described),
    *public.ROUTES,
    *developers.routes(described),
    *oversight.ROUTES,
    *citizen.ROUTES,
    *counter.ROUTES,
    *desk.ROUTES,
    *review.ROUTES,
)
