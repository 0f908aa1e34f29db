"""Addresses of the developers' pages."""

from __future__ import annotations

from functools import partial

from annul.web.api.openapi import Described
from annul.web.developers import developers
from annul.web.door.call import Route, page


def routes(described: Described) -> tuple[Route, ...]:
    """Return the routes; the reference shows what the OpenAPI document says."""
    reference, operation = partial(developers.reference, described), partial(developers.operation, described)
    return (
        page("/developers", "public", developers.start, "Dock your own system"),
        page("/developers/sandbox", "public", developers.sandbox_page, "Test documents and what they answer"),
        page("/developers/codes", "public", developers.codes, "Every code and what it means"),
        page("/developers/reference", "public", reference, "API reference"),
        page(
            "/developers/reference/{operation}", "public", operation, "One operation", patterns={"operation": "[a-z0-9_]{1,80}"}
        ),
    )
