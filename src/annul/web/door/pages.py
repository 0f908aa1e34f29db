"""Render pages for people: templates, languages, static files. Nothing inline, nothing fetched from elsewhere.

Every text on a page goes through the catalogue function `_()`. The language is the one chosen by the visible switch (a cookie),
else the best of the browser's list that has a catalogue, else English. Each room has catalogues of its own,
`locale/<language>/<room>.po`; all of a language are read together. `scripts/words.py` extracts, reports and compiles them.

    return pages.page(call, "desk/report.html", form=Form(call.kept), title=…)
"""

from __future__ import annotations

import csv
import gettext
import gzip
import hashlib
import io
import re
import secrets
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import jinja2
import msgspec
from jinja2 import BytecodeCache, ChainableUndefined, ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined
from jinja2.bccache import Bucket
from litestar import Request
from litestar.datastructures import Cookie
from markupsafe import Markup, escape

from annul import compiled
from annul.errors import NotFound
from annul.languages import LANGUAGES, SOURCE, Language
from annul.records.schemes import printed
from annul.web.door import clock
from annul.web.door.call import Call, Reply
from annul.web.door.forms import Form
from annul.web.door.navigation import rooms_of
from annul.web.door.problem import Problem
from annul.web.door.words import STATES, WORDS, _

if TYPE_CHECKING:
    from annul.web.door.session import Sitting


LANGUAGE_COOKIE: Final = "language"
LANGUAGE_SECONDS: Final = 365 * 24 * 3600

STATIC_MEDIA: Final = {
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "webp": "image/webp",
}
STATIC_NAME: Final = r"[a-z0-9-]+\.(?:css|svg|js|mjs|webp)"
STATIC_SECONDS: Final = 31_536_000
"""Static files are addressed by their content's hash, so that they can be kept for a year."""

HTML: Final = "text/html; charset=utf-8"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy: nothing inline, nothing from elsewhere. Pictures may also be `data:` (a portrait that must leave no
address) and `blob:` (the counter's camera)."""

CAMERA: Final = {"permissions-policy": "camera=(self), microphone=(), geolocation=()"}
"""Header of a page that uses the camera; every other page may not."""

# -- static files ------------------------------------------------------------------------------------------------------------


class _Static(NamedTuple):
    data: bytes
    packed: bytes
    tag: str


@cache
def _static_files() -> dict[str, _Static]:
    """Return every static file of the package by its name, as it is and compressed, with the hash of its content."""
    folder = resources.files("annul.web") / "static"
    read = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    return {
        name: _Static(data, gzip.compress(data, 9, mtime=0), hashlib.sha256(data).hexdigest()[:12])
        for name, data in read.items()
    }


def static_address(name: str) -> str:
    """Return the address of a static file, with the hash of its content."""
    return f"/static/{name}?v={_static_files()[name].tag}"


def static_text(name: str) -> str:
    """Return the text of a static file, for a page that carries it along."""
    return _static_files()[name].data.decode()


async def static_file(_office: object, call: Call) -> Reply:
    """Answer a static file of the package."""
    name = call.path["name"]
    found = _static_files().get(name)
    if found is None:
        raise NotFound("There is no such file.")
    kept = f"public, max-age={STATIC_SECONDS}, immutable" if call.request.query_params.get("v") == found.tag else "no-cache"
    headers = {"cache-control": kept, "etag": f'"{found.tag}"', "vary": "accept-encoding"}
    data = found.data
    if "gzip" in call.request.headers.get("accept-encoding", "") and not name.endswith(".webp"):
        data, headers["content-encoding"] = found.packed, "gzip"
    return Reply(data, STATIC_MEDIA[name.rpartition(".")[2]], headers=headers)


# -- languages ---------------------------------------------------------------------------------------------------------------


class _Catalogue(gettext.NullTranslations):
    """What a language says, text by text; a text that it lacks stays English."""

    def __init__(self, said: dict[str, str]) -> None:
        super().__init__()
        self._said = said

    def gettext(self, message: str) -> str:
        """Return a text in this language."""
        return self._said.get(message, message)


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Return the catalogues of a language, all rooms together; that of English changes nothing."""
    if language == SOURCE:
        return gettext.NullTranslations()
    locale, name = resources.files("annul.web") / "locale", LANGUAGES[language].catalogue
    said = read_catalogue((locale / "schemes.po").read_text(encoding="utf-8"), name)
    for file in (locale / name).iterdir():
        if file.name.endswith(".po"):
            said |= read_catalogue(file.read_text(encoding="utf-8"))
    return _Catalogue(said)


_ESCAPE: Final = re.compile(r"\\(.)")
_CONTEXT: Final = re.compile(r'^msgctxt "(.*)"$', re.MULTILINE)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r"}


def read_catalogue(text: str, context: str = "") -> dict[str, str]:
    """Return the texts of a catalogue (gettext's .po, without plural forms) with their translations.

    It is read as it is written: nothing compiled lies beside it that could be older.

    Args:
        text: the catalogue.
        context: of the texts wanted; in `schemes.po` it is the name of a language's catalogues.
    """
    found = {}
    for entry in text.split("\n\n"):
        given = _CONTEXT.search(entry)
        if (given[1] if given else "") != context:
            continue
        key, _bar, said = entry[entry.find("msgid ") + 6 :].partition("\nmsgstr ")
        if key != '""' and said.strip() not in ("", '""'):
            found[_joined(key)] = _joined(said)
    return found


def _joined(lines: str) -> str:
    whole = lines.strip()[1:-1].replace('"\n"', "")
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), whole) if "\\" in whole else whole


_OFFICES: Final = frozenset({"counter", "desk", "oversight", "developers"})
"""First parts of addresses that are rooms with catalogues of their own; every other page is for visitors or citizens."""


def languages_at(path: str) -> dict[str, Language]:
    """Return the languages that the pages of an address are complete in; no other is offered there."""
    first = path.strip("/").partition("/")[0]
    room = first if first in _OFFICES else "public"
    return {key: one for key, one in LANGUAGES.items() if one.rooms is None or room in one.rooms}


def language_of(request: Request[Any, Any, Any]) -> str:
    """Return the chosen language, else the best of Accept-Language that has a catalogue. Source: RFC 9110 section 12.5.4."""
    offered = languages_at(request.url.path)
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen in offered:
        return chosen
    wishes: list[tuple[float, str]] = []
    for part in request.headers.get("accept-language", "")[:500].split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        wishes.append((-quality, tag.lower().partition("-")[0]))
    for quality, language in sorted(wishes, key=lambda wish: wish[0]):
        if language in offered and quality < 0:
            return language
    return SOURCE


def words(request: Request[Any, Any, Any]) -> gettext.NullTranslations:
    """Return the catalogue of this request."""
    return catalogue(language_of(request))


def translator(call: Call) -> Callable[[str], str]:
    """Return the function that translates a text into the language of a call."""
    return words(call.request).gettext


# -- templates ---------------------------------------------------------------------------------------------------------------


class _Careful(StrictUndefined):
    """Refuse an unknown name; a missing member of a component's parameters is empty, as the components expect."""

    def __new__(cls, hint: str | None = None, obj: Any = None, name: str | None = None, *more: Any) -> Any:
        """Make the strict or the lenient kind; the components also say `undefined` and `null` for nothing."""
        if isinstance(obj, dict | str | int) or name in ("undefined", "null", "caller"):
            return ChainableUndefined(hint, obj, name, *more)
        return super().__new__(cls)


class _Compiled(BytecodeCache):
    """Keep compiled templates in memory, so that they are compiled once for all languages, and for later starts in a file.

    Each is kept with the digest of its source: one that was changed is compiled anew.
    """

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._new = False

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill a bucket with what was compiled."""
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what a bucket holds."""
        self._kept[bucket.key] = bucket.bytecode_to_string()
        self._new = True

    def read(self) -> None:
        """Take up what earlier starts compiled."""
        raw = compiled.read(_COMPILED_FILE)
        if raw is not None:
            self._kept |= msgspec.msgpack.decode(raw, type=dict[str, bytes])

    def keep(self) -> None:
        """Keep what was compiled, when anything had to be."""
        if self._new:
            compiled.keep(_COMPILED_FILE, msgspec.msgpack.encode(self._kept))
            self._new = False


_COMPILED: Final = _Compiled()
_COMPILED_FILE: Final = f"annul-templates-{sys.implementation.cache_tag}-{jinja2.__version__}.bin"


def warm() -> None:
    """Have every template compiled and every catalogue read, so that the first visitor does not wait for it."""
    _COMPILED.read()
    for language in LANGUAGES:
        environment = _environment(language)
        for name in environment.list_templates(extensions=["html"]):
            environment.get_template(name)
    _COMPILED.keep()
    _static_files()


@cache
def _environment(language: str) -> Environment:
    components = PrefixLoader({"govuk_frontend_jinja": PackageLoader("govuk_frontend_jinja")})
    made = Environment(
        loader=ChoiceLoader([PackageLoader("annul.web"), components]),
        autoescape=True,
        undefined=_Careful,
        bytecode_cache=_COMPILED,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    made.globals |= {"static": static_address, "icon": _icon, "WORDS": WORDS, "STATES": STATES}
    made.filters |= {"moment": moment, "day": day, "grouped": printed, "count": count, "csv": csv_address}
    return made


@cache
def _icon(name: str, title: str = "") -> Markup:
    """Return a drawing of `templates/icons/`, to be read inline; `title` is said aloud, without one it is decoration."""
    text = (resources.files("annul.web") / "templates" / "icons" / f"{name}.svg").read_text(encoding="utf-8").strip()
    if title:
        text = text.replace('aria-hidden="true"', f'role="img" aria-label="{escape(title)}"')
    return Markup(text)  # noqa: S704 - a file of the package


moment: Final = clock.moment
"""Say a time with its zone, local time first; see `clock`."""


def day(at: int | None) -> str:
    """Say a day (days since the epoch): `2026-11-23`."""
    return "–" if at is None else datetime.fromtimestamp(at * 86400, UTC).strftime("%Y-%m-%d")


def csv_address(rows: Sequence[Sequence[object]], head: Sequence[object]) -> str:
    """Return a table as an address that holds it: CSV in UTF-8, to be saved without asking the server again.

    Markup becomes its text; a cell that a spreadsheet would take for a formula begins with an apostrophe.
    Source: RFC 4180; RFC 2397; OWASP CSV Injection.
    """
    out = io.StringIO()
    write = csv.writer(out)
    for row in (head, *rows):
        told = [cell[0] if isinstance(cell, tuple | list) else cell for cell in row]
        texts = [Markup(cell).striptags() if isinstance(cell, Markup) else str(cell) for cell in told]  # noqa: S704 - made text
        bare = ["".join(sign for sign in text if sign not in _ISOLATES).replace("\u202f", "") for text in texts]
        write.writerow([f"'{text}" if text[:1] in "=+-@" and len(text) > 1 else text for text in bare])
    return "data:text/csv;charset=utf-8," + quote("\ufeff" + out.getvalue())


_ISOLATES: Final = frozenset("\u2066\u2067\u2068\u2069")


def count(number: float) -> Markup:
    """Say a count with thin spaces between thousands, which every language reads."""
    return Markup(f"{number:,}".replace(",", "&#8239;"))  # noqa: S704 - a number


def page(
    call: Call,
    template: str,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    form: Form | None = None,
    **values: object,
) -> Reply:
    """Render a template for a call.

    The template knows, besides `values`: `_`, `lang`, `form`, `session` (None for a visitor), `officer`, `principal`, `path`,
    `tokens()` (the hidden fields of every form), `flash` (a line shown once), `brought_back` (the form shows what was typed
    before a session ended) and `waits` (a form does, until somebody signs in).

    Args:
        template: file under `templates/`.
        status: HTTP status; 400 when a form comes back with errors.
        headers: further headers, lower-case names.
        form: what was typed and what is wrong with it.
        values: what the template shows.
    """
    seat = call.sitting
    shown = form or Form()
    if call.refused and not shown.errors:
        shown.errors |= call.refused
    given: dict[str, Any] = {
        "form": shown,
        "officer": call.officer,
        "principal": call.who,
        "brought_back": bool(call.kept and not call.refused),
    } | values
    reply = render(call.request, template, status=status, sitting=seat, **given)
    refused = shown if shown.errors and not call.refused else None
    return Reply(reply.body, reply.media, reply.status, reply.headers | (headers or {}), refused=refused)


def render(
    request: Request[Any, Any, Any],
    template: str,
    *,
    status: int = 200,
    sitting: Sitting | None = None,
    cookies: tuple[Cookie, ...] = (),
    **values: object,
) -> Reply:
    """Render a template in the language of the request; see `page`."""
    language = LANGUAGES[key := language_of(request)]
    session = sitting.session if sitting is not None else None
    flash = session.flash if session is not None else ""
    if flash and sitting is not None:
        sitting.change(flash="")

    def tokens() -> Markup:
        if sitting is None:
            return Markup("")
        pair = Markup('<input type="hidden" name="csrf" value="{}"><input type="hidden" name="once" value="{}">')
        return pair.format(sitting.csrf, secrets.token_urlsafe(18))

    shown: dict[str, object] = {
        "lang": language.tag,
        "direction": language.direction,
        "language": key,
        "home": "/",
        "path": request.url.path,
        "languages": languages_at(request.url.path),
        "session": session if session is not None and session.kind != "visitor" else None,
        "officer": None,
        "principal": None,
        "flash": flash,
        "form": Form(),
        "tokens": tokens,
        "brought_back": False,
        "navigation": rooms_of(session, catalogue(key).gettext),
        "waits": session is not None and session.kind == "visitor" and bool(session.draft and session.back),
    }
    text = _environment(key).get_template(template).render(shown | values)
    headers = {"content-language": language.tag, "vary": "Accept-Language, Cookie"}
    return Reply(text.encode(), HTML, status, headers, cookies)


def to(address: str, *, flash: str = "", call: Call | None = None) -> Reply:
    """Send the browser on with GET; `flash` (translated) is shown once on the next page. Source: RFC 9110 section 15.4.4."""
    if flash and call is not None:
        call.seat.change(flash=flash)
    return Reply(b"", HTML, 303, {"location": address})


PAGE_TITLES: Final = {
    "forbidden": _("This page is not open to you"),
    "not-authorised": _("You are not signed in"),
    "not-found": _("There is no such page"),
    "bad-input": _("This cannot be read"),
}
"""Code of a problem -> its title where a page was asked for, and no program's address."""


def problem_page(
    request: Request[Any, Any, Any], problem: Problem, sitting: Sitting | None = None, *, is_check: bool = False
) -> Reply:
    """Show a problem document to a person, with the same words and the same status, and with her way on: the navigation.

    Args:
        sitting: who sits there, as far as that is known.
        is_check: a check stays without an answer; on no other page is there talk of one.
    """
    translate = words(request).gettext
    members = dict(problem.members)
    members["title"] = PAGE_TITLES.get(problem.code, members["title"])
    texts = {name: translate(str(members[name])) if name in members else "" for name in ("title", "detail", "mend")}
    made = render(
        request,
        "problem.html",
        status=problem.status,
        code=problem.code,
        http=problem.status,
        sitting=sitting,
        error=members.get("error", "") if is_check else "",
        title=texts["title"],
        detail=texts["detail"],
        mend=texts["mend"],
    )
    kept = {name: value for name, value in problem.headers.items() if name in ("retry-after", "allow", "www-authenticate")}
    return Reply(made.body, made.media, made.status, made.headers | kept)


def is_local(address: str) -> bool:
    """Tell whether an address from outside stays on this site as every browser reads it.

    Visible ASCII alone: browsers drop tabs and line breaks before they read an address, and take a backslash for a slash.
    Source: URL Standard, section 4.4 (basic URL parser, step 3).
    """
    if not address.startswith("/") or "\\" in address or not all("!" <= sign <= "~" for sign in address):
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc and not parts.path.startswith("//")


class LanguageChoice(msgspec.Struct, forbid_unknown_fields=True):
    """Query of the language switch: which language, and the page to go back to."""

    to: str
    back: str = "/"


async def choose_language(_office: object, call: Call) -> Reply:
    """Note the chosen language in a cookie and go back to the page."""
    back = call.query.back if is_local(call.query.back) else "/"
    language = call.query.to if call.query.to in LANGUAGES else SOURCE
    cookie = Cookie(LANGUAGE_COOKIE, value=language, path="/", max_age=LANGUAGE_SECONDS, samesite="lax", httponly=True)
    return Reply(b"", HTML, 303, {"location": back}, (cookie,))
