"""How names stand in zones: two groups after Doc 9303, and what is on genuine documents beside that.

Source: ICAO Doc 9303-3 (8th edition) section 4.6 (names), 4.7 (no secondary identifier); passports of states whose
citizens may have no surname (India) or that write three groups (Denmark).
"""

from __future__ import annotations

from collections.abc import Callable

from annul.records.forms.form import Lines, Names, Span, at, must


def groups(field: str, span: Span) -> Names:
    """Read a field "PRIMARY<<SECONDARY", also with no primary name or with more than two groups.

    Raises:
        ZoneMalformed: empty, or not of letters.
    """
    bare = field.rstrip("<")
    must(bool(bare) and bare.replace("<", "").isalpha(), "name", span, "has letters only")
    cut = not field.endswith("<")
    if bare[0] == "<":
        # Doc 9303 would have the only name stand as the primary one; passports put it behind an empty surname.
        must(bare.startswith("<<"), "name", span, "begins with a letter")
        return Names("", " ".join(bare.replace("<", " ").split()), cut, remarks=("no_surname",))
    primary, _, rest = bare.partition("<<")
    remarks = ("name_groups",) if "<<" in rest else ()
    if not remarks:
        return Names(primary.replace("<", " "), rest.replace("<", " "), cut)
    return Names(primary.replace("<", " "), " ".join(rest.replace("<", " ").split()), cut, remarks=remarks)


def names_at(span: Span) -> Callable[[Lines], Names]:
    """Return what reads the names of a form that has them in one field."""

    def read(lines: Lines) -> Names:
        return groups(at(lines, span), span)

    return read
