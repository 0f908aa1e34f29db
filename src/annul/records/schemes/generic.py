"""Any document that has an issuer, a kind and a number of its own, without rules that are known here."""

# ruff: noqa: ARG002 - a scheme has every argument of its protocol
from __future__ import annotations

import re

from annul.errors import BadInput
from annul.records.scheme import Document, DocumentFields, Kind, Scheme, malformed, plain, refuse_fields, required, validity

NAME_MAX = 24
"""Characters of issuer and kind."""
NUMBER_MAX = 40
"""Characters of the number in its normal form."""
_NAME = re.compile(r"[A-Z0-9](?:[A-Z0-9.-]{0,22}[A-Z0-9])?", re.ASCII)


class Generic(Scheme):
    """Scheme `generic`: fields issuer, kind, number. Issuer and kind are short names of A to Z, 0 to 9, dot and hyphen."""

    name = "generic"
    code = 4
    discriminated = False
    kinds = (Kind("generic", "Document"),)

    def parse(self, fields: DocumentFields, today_day: int) -> Document:
        """See `Scheme.parse`."""
        refuse_fields(fields, "series", "mrz")
        issuer = _name(required(fields.issuer, "/document/issuer", "The issuer"), "/document/issuer")
        kind = _name(required(fields.kind, "/document/kind", "The kind"), "/document/kind")
        number = plain(required(fields.number, "/document/number", "The number"), "/document/number")
        if not 1 <= len(number) <= NUMBER_MAX or not number.replace("/", "").isalnum():
            raise malformed(
                f"A number has 1 to {NUMBER_MAX} letters, digits or slashes.", "Read the number again from the document."
            )
        start, end = validity(fields)
        return Document("generic", issuer, kind, number, start, end)

    def coverage_name(self, document: Document) -> str:
        """See `Scheme.coverage_name`."""
        return f"generic/{document.issuer}/{document.kind}"

    def pack(self, document: Document, *, discriminator: bool) -> bytes | None:
        """See `Scheme.pack`: three free texts do not fit, so the identity is hashed."""
        return None

    def fields_of_row(self, coverage: str, kind: str, number: str) -> DocumentFields:
        """See `Scheme.fields_of_row`."""
        return DocumentFields(self.name, number, issuer=coverage.split("/")[1], kind=kind)


def _name(text: str, where: str) -> str:
    name = text.strip().upper()
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"A name has 1 to {NAME_MAX} characters of A to Z, 0 to 9, dot and hyphen.",
            where=where,
            mend="Use the short name agreed with the register.",
        )
    return name


GENERIC = SCHEME = Generic()
