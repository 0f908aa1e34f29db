"""Make `static/govuk.css` from the compiled stylesheet of GOV.UK Frontend: what our pages use, no crown, no GDS Transport.

    npm pack govuk-frontend@6.3.0 && tar xzf govuk-frontend-6.3.0.tgz
    python scripts/govuk_css.py package/dist/govuk/govuk-frontend.min.css

Left and right become start and end, so that one file serves both directions of writing. Source: GOV.UK Frontend, MIT licence;
its typeface and crown may not be used outside gov.uk.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

OUT = Path(__file__).parent.parent / "src" / "annul" / "web" / "static" / "govuk.css"
VERSION = "6.3.0"
NOTE = f"""/*! GOV.UK Frontend {VERSION}, trimmed by scripts/govuk_css.py. MIT licence.
Copyright (C) 2017 Crown Copyright (Government Digital Service). Permission is hereby granted, free of charge, to any person
obtaining a copy of this software and associated documentation files, to deal in the Software without restriction, subject to
this notice being included in all copies. The software is provided "as is", without warranty of any kind. */
"""

LEFT_OUT = (
    "accordion",
    "cookie-banner",
    "exit-this-page",
    "footer",
    "generic-header",
    "header",
    "tabs",
    "phase-banner",
    "service-navigation",
    "breadcrumbs",
    "character-count",
    "!-",
    "template",
    "panel",
    "task-list",
    "password-input",
    "file-upload",
    "width-container",
    "main-wrapper",
    "clearfix",
    "section-break",
)
"""Components and overrides no page of ours uses."""

LOGICAL = (
    (r"\b(margin|padding)-left\b", r"\1-inline-start"),
    (r"\b(margin|padding)-right\b", r"\1-inline-end"),
    (r"\bborder-left\b", "border-inline-start"),
    (r"\bborder-right\b", "border-inline-end"),
    (r"\bborder-left-(width|color|style)\b", r"border-inline-start-\1"),
    (r"(?<![-\w])left:", "inset-inline-start:"),
    (r"(?<![-\w])right:", "inset-inline-end:"),
    (r"text-align:left", "text-align:start"),
    (r"text-align:right", "text-align:end"),
    (r"float:left", "float:inline-start"),
    (r"float:right", "float:inline-end"),
)


def rules(css: str) -> list[tuple[str, str]]:
    """Split a stylesheet into (prelude, body) of its top level; at-rules without a body have body ""."""
    found, at = [], 0
    while at < len(css):
        if css[at].isspace():
            at += 1
            continue
        if css.startswith("/*", at):
            at = css.index("*/", at) + 2
            continue
        brace, semicolon = css.find("{", at), css.find(";", at)
        if brace < 0:
            break
        if 0 <= semicolon < brace:
            at = semicolon + 1
            continue
        depth, end = 1, brace + 1
        while depth:
            depth += {"{": 1, "}": -1}.get(css[end], 0)
            end += 1
        found.append((css[at:brace].strip(), css[brace + 1 : end - 1]))
        at = end
    return found


def kept(selectors: str) -> str:
    """Return the selectors that concern components we use."""
    parts = re.split(r",(?![^(]*\))", selectors)
    return ",".join(part for part in parts if not any(f".govuk-{name}" in part.replace("\\", "") for name in LEFT_OUT))


def trim(css: str) -> str:
    """Return the stylesheet without what is left out."""
    out = []
    for prelude, body in rules(css):
        if prelude.startswith(("@font-face", "@charset")) or "-ms-" in prelude or "\\0" in prelude:
            continue
        if prelude.startswith(("@media", "@supports")):
            inner = trim(body)
            if inner:
                out.append(f"{prelude}{{{inner}}}")
        elif selectors := kept(prelude):
            if selectors == ":root" and "--govuk-brand-colour" in body:
                continue
            out.append(f"{selectors}{{{body}}}")
    return "\n".join(out)


def main() -> int:
    """Write the file; tell its size."""
    text = re.sub(r"@charset[^;]*;", "", Path(sys.argv[1]).read_text(encoding="utf-8"))
    css = trim(text)
    css = re.sub(r"font-family:GDS Transport,arial,sans-serif;(?:-webkit|-moz)[^;}]*;(?:-webkit|-moz)[^;}]*;?", "", css)
    css = css.replace("font-family:GDS Transport,arial,sans-serif", "font-family:inherit")
    css = re.sub(r"var\((--govuk-[a-z-]+),#[0-9a-f]+\)", r"var(\1)", css)
    for pattern, logical in LOGICAL:
        css = re.sub(pattern, logical, css)
    OUT.write_text(NOTE + css + "\n", encoding="utf-8")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
