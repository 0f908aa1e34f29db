"""Forms of machine-readable zone: one entry each, in one table.

A form says how its zones are recognised, where their fields stand, which check digits guard them, and to which scheme the
document belongs. `annul.records.mrz` reads every zone by this table; nothing else knows a form. A new form is one entry here
and one in the corpus (`tests/corpus/zones.json`). A zone that no entry recognises is of a form not known here, which is not
the same as wrong.

What must never happen: that a zone of one form is read by another's layout. So the forms of one state stand before those
that fit every state.

    >>> [form.name for form in FORMS if form.widths == (36, 36)]
    ['FRA-ID-1995', 'TD2', 'MRV-B']
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from annul.records.forms.china import CHINA
from annul.records.forms.form import Form, FormUnknown, Lines, ZoneMalformed
from annul.records.forms.icao import ICAO, MRV_A, MRV_B, TD1, TD2, TD3
from annul.records.forms.national import NATIONAL

__all__ = ["FORMS", "ICAO", "MRV_A", "MRV_B", "SHAPES", "TD1", "TD2", "TD3", "Form", "FormUnknown", "form_of"]

FORMS: Final[tuple[Form, ...]] = (*NATIONAL, *CHINA, *ICAO)
"""Every form, those of one state first: the first that recognises a zone reads it."""
_BY_SHAPE: Final[dict[tuple[int, ...], list[Form]]] = defaultdict(list)
for _form in FORMS:
    _BY_SHAPE[_form.widths].append(_form)
SHAPES: Final[dict[int, tuple[int, ...]]] = {sum(widths): widths for widths in _BY_SHAPE}
"""Characters in all -> lengths of the lines, of all forms."""
_WAY_ON: Final = "Type every line completely, with all fillers <; or enter the number and the issuing state instead."


def form_of(lines: Lines) -> Form:
    """Tell the form of a zone by its size and by how it begins.

    Raises:
        FormUnknown: no form known here has this size, or begins so.
        ZoneMalformed: the zone is of a form of one state in everything but its document code.
    """
    forms = _BY_SHAPE.get(tuple(map(len, lines)), ())
    for form in forms:
        if form.recognises(lines):
            break
    else:
        raise FormUnknown("The form of this zone is not known here.", where="/mrz", mend=_WAY_ON)
    for other in forms:
        if other.body is not None and other is not form and other.body[1].match(lines[other.body[0]]):
            raise ZoneMalformed(
                "The zone's document code is wrong: its other fields are of another kind of document.",
                where="/mrz/0",
                mend="Compare line 1 with the document, character by character.",
            )
    return form
