"""Keep the catalogues of the pages: extract every text, report what lacks a translation, compile.

    python scripts/words.py            # extract into locale/<language>/<room>.po, report
    python scripts/words.py counter    # one room only
    python scripts/words.py --check    # change nothing; exit code 1 when a text is missing

A text belongs to the room of the file it stands in (`web/<room>/`, `templates/<room>/`); everything shared belongs to `shell`,
and what codes mean (`annul.records.meanings`) to `codes`. What a scheme says, in every language, is a catalogue of its own,
`locale/schemes.po`, where the context of a text is the language: a new scheme is its file and its lines there.
Texts are marked by `_("…")`; meanings, and the messages of errors that rooms raise, are found without a mark.
What is translated once, in any room, is translated everywhere. A new text is written with an empty `msgstr`: fill it in and run
this again. A text nobody shows any more is dropped, and so is an untranslated one in a room that a language need not have.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from annul import errors
from annul.languages import TRANSLATED
from annul.likeness import attack, comparison
from annul.records import meanings, schemes
from annul.web.door.problem import PROBLEMS

WEB: Final = Path(str(resources.files("annul.web")))
ROOT: Final = WEB.parent
LOCALE: Final = WEB / "locale"
LANGUAGES: Final = {catalogue: language.rooms for catalogue, language in TRANSLATED.items()}
"""Catalogue -> rooms that must be complete in it; None: all."""

CODES: Final = "codes"
SHELL: Final = "shell"
ERRORS: Final = "errors"
SCHEMES: Final = "schemes"
SCHEME_FILES: Final = ("records/schemes/*.py",)
METHODS: Final = [("**.py", "python"), ("templates/**.html", "jinja2")]
OPTIONS: Final = {"templates/**.html": {"trimmed": "false", "extensions": "jinja2.ext.do"}}
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
GAP: Final = re.compile(r"%(?:\(\w+\))?[.\d]*[sdf]")
HEADER_NOISE: Final = (b'"Project-Id', b'"Report-Msgid', b'"POT-', b'"PO-Rev', b'"Last-Tr', b'"Language-Team', b'"Generated-By')
RAISED: Final = frozenset(name for name, kind in vars(errors).items() if isinstance(kind, type))
MALFORMED: Final = "malformed"
"""What schemes raise their errors by: message, then next step."""
ERROR_FILES: Final = (
    "records/document.py",
    "records/scheme.py",
    "records/references.py",
    "records/shown.py",
    "registry/counter/verification.py",
    "likeness/samples.py",
    "likeness/process.py",
    "web/doors.py",
    "web/api/operation.py",
    *(f"web/door/{part}.py" for part in ("auth", "forms", "pages", "paging", "reading")),
    *(f"web/{room}/*.py" for room in ("counter", "citizen", "desk", "review", "oversight", "developers", "public")),
)
"""Where errors come from that people meet on pages; those that programs meet stay in English."""


def room_of(path: str) -> str:
    """Return the room of a file below `web/`."""
    parts = Path(path).parts
    folder = parts[1:] if parts[0] == "templates" else parts
    return folder[0] if len(folder) > 1 and folder[0] not in ("parts", "icons", "door", "api") else SHELL


def texts() -> dict[str, set[str]]:
    """Return every text of the pages by room."""
    found: dict[str, set[str]] = defaultdict(set)
    for path, _, message, _, _ in extract_from_dir(WEB, method_map=METHODS, options_map=OPTIONS):
        for text in message if isinstance(message, tuple) else (message,):
            found[room_of(path)].add(text)
    found[CODES] = set(meanings.texts())
    found[SHELL] |= {kind.title for kind in PROBLEMS.values()}
    found[SHELL] |= {kind.mend for kind in PROBLEMS.values() if kind.mend}
    found["counter"] |= set(comparison.REASONS.values()) | set(attack.SENTENCES.values())
    found[SCHEMES] = set(schemes.texts()) | set(raised(SCHEME_FILES))
    everywhere = set().union(*found.values())
    found[ERRORS] |= set(raised(ERROR_FILES)) - everywhere
    shared: set[str] = set()
    for room in (SCHEMES, CODES, SHELL, *sorted(set(found) - {SCHEMES, CODES, SHELL})):
        found[room] -= shared
        if room in (SCHEMES, CODES, SHELL):
            shared |= found[room]
    return dict(found)


def raised(patterns: tuple[str, ...]) -> Iterator[str]:
    """Yield the messages and next steps of errors that files raise and pages show."""
    for pattern in patterns:
        for file in sorted(ROOT.glob(pattern)):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            known = dict(_constants(tree))
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                    name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                    if name in RAISED or name == MALFORMED:
                        texts_at = node.args[: 2 if name == MALFORMED else 1]
                        given = [*texts_at, *(word.value for word in node.keywords if word.arg == "mend")]
                        yield from (text for one in given if (text := _said(one, known)) is not None)


def _constants(tree: ast.Module) -> Iterator[tuple[str, object]]:
    """Yield name and value of a module's constants."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
                yield target.id, value.value


def _said(node: ast.expr, known: dict[str, object]) -> str | None:
    """Return the text that an expression always is: a constant, a constant's name, or both put together; else None."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        text = known.get(node.id)
        return text if isinstance(text, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = [part.value if isinstance(part, ast.FormattedValue) else part for part in node.values]
    if not all(isinstance(part, ast.Constant) or (isinstance(part, ast.Name) and part.id in known) for part in parts):
        return None
    return "".join(str(part.value if isinstance(part, ast.Constant) else known[part.id]) for part in parts)  # type: ignore[attr-defined]


def read(file: Path) -> Catalog:
    """Return a catalogue, an empty one when there is none yet."""
    locale = file.parent.name if file.parent != LOCALE else None
    made = Catalog(locale=locale)
    if file.exists():
        with file.open("rb") as opened:
            made = read_po(opened, locale=locale)
    made.creation_date = made.revision_date = EPOCH  # else every compilation would differ
    return made


def known(language: str) -> dict[str, str]:
    """Return every translation of a language, of all rooms."""
    said: dict[str, str] = {}
    for file in sorted((LOCALE / language).glob("*.po")):
        said |= {str(message.id): str(message.string) for message in read(file) if message.id and message.string}
    shared = (message for message in read(LOCALE / f"{SCHEMES}.po") if message.context == language)
    return said | {str(message.id): str(message.string) for message in shared if message.string}


def written(catalogue: Catalog) -> bytes:
    """Return a catalogue as people read it."""
    out = io.BytesIO()
    write_po(out, catalogue, width=120, no_location=True, omit_header=False, sort_output=True)
    return out.getvalue()


def renewed_schemes(wanted: set[str]) -> Catalog:
    """Return the catalogue of the schemes: each text in each language that must have it or has it."""
    made = Catalog(fuzzy=False)
    made.header_comment = "# what schemes say; the context of a text is its language; kept by scripts/words.py"
    for language in LANGUAGES:
        said = known(language)
        for text in sorted(wanted):
            if needed(language, SCHEMES) or said.get(text):
                made.add(text, said.get(text, ""), context=language)
    return made


def renewed(language: str, room: str, wanted: set[str], said: dict[str, str]) -> Catalog:
    """Return the catalogue of a room with the texts it must have, translated where a translation is known."""
    made = Catalog(locale=language, fuzzy=False)
    made.header_comment = f"# {room} in {language}; kept by scripts/words.py"
    for text in sorted(wanted):
        if needed(language, room) or said.get(text):
            made.add(text, said.get(text, ""))
    return made


def needed(language: str, room: str) -> bool:
    """Tell whether a room must be complete in a language."""
    rooms = LANGUAGES[language]
    return rooms is None or room in rooms


def missing(language: str, room: str, wanted: set[str], said: dict[str, str]) -> list[str]:
    """Return the texts of a room that lack a translation, or whose gaps differ."""
    if not needed(language, room):
        return []
    gaps = {text: sorted(GAP.findall(text)) for text in wanted}
    return [text for text in sorted(wanted) if not said.get(text) or sorted(GAP.findall(said[text])) != gaps[text]]


def _write(file: Path, catalogue: Catalog) -> None:
    text = b"".join(line for line in written(catalogue).splitlines(True) if not line.startswith(HEADER_NOISE))
    if not file.exists() or file.read_bytes() != text:
        file.write_bytes(text)


def main() -> int:
    """Extract, compile, report; return 1 when something is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("room", nargs="?", help="one room only")
    parser.add_argument("--check", action="store_true", help="change nothing")
    chosen = parser.parse_args()
    lacking = 0
    found = texts()
    if not chosen.check and chosen.room in (None, SCHEMES):
        _write(LOCALE / f"{SCHEMES}.po", renewed_schemes(found[SCHEMES]))
    for language in LANGUAGES:
        said = known(language)
        for room in sorted(found):
            if chosen.room and room != chosen.room:
                continue
            file = LOCALE / language / f"{room}.po"
            if not chosen.check and room != SCHEMES:
                catalogue = renewed(language, room, found[room], said)
                file.parent.mkdir(parents=True, exist_ok=True)
                if not len(catalogue):  # a room that this language need not have, and has nothing of
                    file.unlink(missing_ok=True)
                    continue
                _write(file, catalogue)
            gaps = missing(language, room, found[room], said)
            lacking += len(gaps)
            print(f"{language}/{room}: {len(found[room])} texts, {len(gaps)} missing")
            for text in gaps:
                print(f"    {text}")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
