"""Addresses of the pages for everybody, and of what every page needs: static files, the language, the way out."""

from __future__ import annotations

from typing import Final

from annul.web.door import pages
from annul.web.door.call import Route, page, sent
from annul.web.public import public

CODE: Final = "[a-z-]{1,40}"
STATIC: Final = {"name": pages.STATIC_NAME}

ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/static/{name}",
        who="public",
        handler=pages.static_file,
        summary="Static file",
        page=True,
        patterns=STATIC,
    ),
    page("/language", "public", pages.choose_language, "Choose the language", query=pages.LanguageChoice),
    sent("/sign-out", "public", public.sign_out, "Sign out"),
    page("/robots.txt", "public", public.robots, "Which pages are for search engines"),
    page("/", "public", public.start, "First page"),
    page("/problems/{code}", "public", public.problem, "What a problem means", patterns={"code": CODE}),
    page("/receipts/verify", "public", public.receipt_page, "Check a receipt"),
    sent(
        "/receipts/verify",
        "public",
        public.receipt_answer,
        "Check a receipt",
        public.ReceiptForm,
        open=True,
        body_bytes_max=public.RECEIPT_BYTES_MAX * 3,
    ),
    page("/receipts/verifier", "public", public.receipt_verifier, "Save the verifier of receipts"),
    page("/safety", "public", public.safety, "Keep card and number safe"),
    page("/figures", "public", public.figures, "Yearly figures"),
    page("/status", "public", public.status, "Status of the service"),
)
