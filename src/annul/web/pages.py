"""Render pages for people: templates, languages, static files. No script, no inline style, nothing fetched from elsewhere.

Every text on a page goes through the catalogue function `_()`; the language is the best of the browser's list that has a
catalogue, English otherwise.
"""

from __future__ import annotations

import gettext
import hashlib
from functools import cache
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Request
from litestar.datastructures import Cookie

from annul.errors import NotFound
from annul.web.call import Call, Reply
from annul.web.problem import Problem

LANGUAGES: Final = {"en": "en", "zh": "zh_CN"}
"""Language of the browser -> catalogue under `locale/`; `en` is the source text itself."""

STATIC_MEDIA: Final = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
STATIC_SECONDS: Final = 31_536_000
"""Static files are addressed by their content's hash, so that they can be kept for a year."""

HTML: Final = "text/html; charset=utf-8"


@cache
def _static_files() -> dict[str, tuple[bytes, str]]:
    """Return name -> (bytes, short hash) of every static file of the package."""
    folder = resources.files("annul.web") / "static"
    read = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    return {name: (data, hashlib.sha256(data).hexdigest()[:12]) for name, data in read.items()}


def static_address(name: str) -> str:
    """Return the address of a static file, with the hash of its content."""
    return f"/static/{name}?v={_static_files()[name][1]}"


async def static_file(_office: object, call: Call) -> Reply:
    """Answer a static file of the package."""
    found = _static_files().get(call.path["name"])
    if found is None:
        raise NotFound("There is no such file.")
    data, tag = found
    kept = f"public, max-age={STATIC_SECONDS}, immutable" if call.request.query_params.get("v") == tag else "no-cache"
    media = STATIC_MEDIA[call.path["name"].rpartition(".")[2]]
    return Reply(data, media, headers={"cache-control": kept, "etag": f'"{tag}"'})


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Return the catalogue of a language; that of English changes nothing."""
    if language == "en":
        return gettext.NullTranslations()
    file = resources.files("annul.web") / "locale" / LANGUAGES[language] / "LC_MESSAGES" / "annul.mo"
    with file.open("rb") as opened:
        return gettext.GNUTranslations(opened)


@cache
def _environment(language: str) -> Environment:
    made = Environment(
        loader=PackageLoader("annul.web"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    made.globals["static"] = static_address
    return made


def language_of(request: Request[Any, Any, Any]) -> str:
    """Return the best language of Accept-Language that has a catalogue. Source: RFC 9110 section 12.5.4."""
    wishes: list[tuple[float, str]] = []
    for part in request.headers.get("accept-language", "")[:500].split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        wishes.append((-quality, tag.lower().partition("-")[0]))
    for quality, language in sorted(wishes, key=lambda wish: wish[0]):
        if language in LANGUAGES and quality < 0:
            return language
    return "en"


def words(request: Request[Any, Any, Any]) -> gettext.NullTranslations:
    """Return the catalogue of this request."""
    return catalogue(language_of(request))


def render(
    request: Request[Any, Any, Any], template: str, *, status: int = 200, cookies: tuple[Cookie, ...] = (), **values: object
) -> Reply:
    """Render a template in the language of the request.

    Args:
        template: file under `templates/`.
        status: HTTP status.
        cookies: cookies to set.
        values: what the template shows.
    """
    language = language_of(request)
    shown = {"lang": "zh-CN" if language == "zh" else language, "home": ""} | values
    page = _environment(language).get_template(template).render(shown)
    headers = {"content-language": str(shown["lang"]), "vary": "Accept-Language"}
    return Reply(page.encode(), HTML, status, headers, cookies)


def problem_page(request: Request[Any, Any, Any], problem: Problem) -> Reply:
    """Show a problem document to a person, with the same words and the same status."""
    translate = words(request).gettext
    members = problem.members
    texts = {name: translate(str(members[name])) if name in members else "" for name in ("title", "detail", "mend")}
    made = render(
        request, "problem.html", status=problem.status, code=problem.code, http=problem.status,
        error=problem.members.get("error", ""), title=texts["title"], detail=texts["detail"], mend=texts["mend"],
    )  # fmt: skip
    kept = {name: value for name, value in problem.headers.items() if name in ("retry-after", "allow", "www-authenticate")}
    return Reply(made.body, made.media, made.status, made.headers | kept)
