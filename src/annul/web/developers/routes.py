"""Addresses of the developers' pages."""

from __future__ import annotations

from typing import Final

from annul.web.call import Route, page
from annul.web.developers import developers

ROUTES: Final[tuple[Route, ...]] = (
    page("/developers", "public", developers.start, "Dock your own system"),
    page("/developers/sandbox", "public", developers.sandbox_page, "Test documents and what they answer"),
    page("/developers/reference", "public", developers.reference, "API reference"),
    page(
        "/developers/reference/{operation}",
        "public",
        developers.operation,
        "One operation",
        patterns={"operation": "[a-z0-9_]{1,80}"},
    ),
)
