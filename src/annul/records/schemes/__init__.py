"""One file per kind of document, found by themselves. See `annul.records.scheme` for how to add one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator

from annul.records.scheme import SCHEME_OF_CODE, SCHEMES, Kind, Scheme, register_scheme

__all__ = ["SCHEMES", "kind_of", "kinds", "name_of_code", "printed", "recognised", "scheme_of", "spoken_steps", "texts"]

_found: list[Scheme] = [
    importlib.import_module(f"{__name__}.{module.name}").SCHEME for module in pkgutil.iter_modules(__path__)
]
for _scheme in sorted(_found, key=lambda scheme: scheme.code):
    register_scheme(_scheme)


def scheme_of(name: str) -> Scheme | None:
    """Return the scheme of a kind or of a coverage, such as "icao-9303/P" or "icao-9303/UTO/ID"; None when it is not known."""
    return SCHEMES.get(name.partition("/")[0])


def name_of_code(code: int) -> str | None:
    """Return the name of a scheme by its number on the wire: None for 0 (none), "unknown" for one of a later annul."""
    scheme = SCHEME_OF_CODE.get(code)
    return scheme.name if scheme is not None else "unknown" if code else None


def kinds() -> Iterator[Kind]:
    """Yield every kind of document, in the order of the schemes' codes."""
    for scheme in SCHEMES.values():
        yield from scheme.kinds


def kind_of(coverage: str, kind: str) -> Kind:
    """Return the words for a document.

    Args:
        coverage: its `coverage_name`.
        kind: its kind, as its `Document` has it ("P").
    """
    return (scheme_of(coverage) or SCHEMES["generic"]).kind_of(kind)


def recognised(number: str) -> Scheme | None:
    """Return the scheme that a typed number looks like; None when it could be of any."""
    return next((scheme for scheme in SCHEMES.values() if scheme.fits(number)), None)


def printed(number: str, scheme: str = "") -> str:
    """Return a number grouped as it is printed on its document; of a number without a scheme its own form tells.

    Args:
        scheme: name of its scheme, or of its kind.
    """
    return (scheme_of(scheme) or recognised(number) or SCHEMES["generic"]).printed(number)


def spoken_steps(advice: Iterable[str], scheme: str | None) -> list[str]:
    """Return the next steps that a person is told of, as the law of a document's scheme has them.

    Args:
        advice: codes of an answer.
        scheme: name of the document's scheme, None or "" when it is not known.
    """
    found = scheme_of(scheme) if scheme else None
    passed = {"A6"} if found is not None and found.keeping_is_forbidden else set()
    return [step for step in advice if step not in passed]


def texts() -> Iterator[str]:
    """Yield every text of the schemes that people read, for the catalogues."""
    for kind in kinds():
        yield from filter(None, (kind.words, kind.choice, kind.hint))
