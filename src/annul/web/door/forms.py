"""Hold what was typed into a form and what is wrong with it, so that a page can show both: beside the field and at the top.

    form = Form(call.kept)                          # a fresh form, or what was typed before the session was lost
    form = Form.sent(call.body)                     # what was just sent
    form.refuse("number", _("Type the number of the document."))
    if form.errors: return pages.page(call, "desk/report.html", form=form, status=400)

Texts in `refuse` are translated already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from annul.errors import AnnulError, BadInput


class Form:
    """Hold the values and errors of one form by field name; errors under "" are about the whole form.

    Args:
        values: what stands in the fields.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.values: dict[str, Any] = dict(values or {})
        self.errors: dict[str, str] = {}

    @classmethod
    def sent(cls, body: Any) -> Form:
        """Return the form of a decoded body (a struct or a dict)."""
        return cls(body if isinstance(body, dict) else msgspec.structs.asdict(body))

    def __getitem__(self, name: str) -> Any:
        """Return what stands in a field, "" when nothing does."""
        return self.values.get(name, "")

    def refuse(self, field: str, text: str) -> None:
        """Say what is wrong with a field ("" for the form); the first text of a field stays."""
        self.errors.setdefault(field, text)

    def refused(self, error: AnnulError, translate: Callable[[str], str], fields: Mapping[str, str] | None = None) -> Form:
        """Say an error of a room beside the field it is about.

        Args:
            error: raised by a room; its `where` ends in the name of a field.
            translate: into the language of the page.
            fields: last part of `where` -> field of this form, where the names differ.
        """
        where = (error.where or "").rpartition("/")[2]
        field = (fields or {}).get(where, where)
        mend = f" {translate(error.mend)}" if error.mend else ""
        self.refuse(field if field in self.values else "", translate(error.message) + mend)
        return self

    def day(self, name: str) -> str:
        """Return a date typed into the three boxes `name-year`, `name-month`, `name-day` as YYYY-MM-DD, "" when all are empty.

        Raises:
            BadInput: some boxes are empty, or one is no number.
        """
        parts = [str(self[f"{name}-{part}"]).strip() for part in ("year", "month", "day")]
        if not any(parts):
            return ""
        if not all(part.isdigit() for part in parts) or len(parts[0]) != 4:
            raise BadInput("A date has a year of four digits, a month and a day.", where=name)
        return f"{parts[0]}-{parts[1]:0>2}-{parts[2]:0>2}"
