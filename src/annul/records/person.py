"""A person as the register of persons keeps it, what may happen to one, and the log entries about it.

A person is known by its personal number and by the numbers of its documents; both exist in clear only inside the encrypted
record and for a moment in memory. What the check path compares are keyed tags, see `blocks_of`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from annul.errors import BadInput, Corrupt, MalformedNumber, UnknownVersion
from annul.records.codes import Coded
from annul.records.document import DocumentFields, parse_document, plain_person_block, resident_block
from annul.records.names import NAME_MAX, holder_block, name_block, stored_forms, why_not
from annul.records.scheme import plain
from annul.records.shown import is_shown

NUMBER_MAX: Final = 64
NAMES_MAX: Final = 20
DOCUMENTS_MAX: Final = 20
CONTACTS_MAX: Final = 8

Number = Annotated[str, Meta(max_length=NUMBER_MAX)]
Text = Annotated[str, Meta(max_length=NAME_MAX)]
NameKind = Literal["main", "latin", "former"]


class Name(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True, gc=False):
    """One name: the main one, the same in Latin letters, or a former one. Each may be in any script.

    Args:
        text: the text.
        kind: what kind it is.
    """

    text: Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]
    kind: NameKind = "main"


class Contact(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """One way to reach a person.

    Args:
        kind: `phone`, `email`, `post` or `app`.
        value: number or address.
    """

    kind: Literal["phone", "email", "post", "app"]
    value: Annotated[str, Meta(min_length=1, max_length=NAME_MAX)]


class Person(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """One person's details; everything here is encrypted at rest.

    Args:
        personal_number: as the issuer gives it; kept as given, compared in normal form.
        names: the main name first.
        sex: F, M, X, or empty when not recorded.
        birth_date, death_date: YYYY-MM-DD, or empty.
        place: division code or name of the place of registration.
        status: living, deceased or emigrated.
        documents: documents that name this person by a number of their own (passports); resident cards bear the personal
            number and need not be listed.
        contacts: how the holder is told of what happens to the documents.
        mother, father: their personal numbers, or empty.
        origin: reference of the civil event behind this entry, or empty.
    """

    personal_number: Annotated[str, Meta(min_length=1, max_length=NUMBER_MAX)]
    names: Annotated[list[Name], Meta(min_length=1, max_length=NAMES_MAX)]
    sex: Literal["F", "M", "X", ""] = ""
    birth_date: Annotated[str, Meta(max_length=10)] = ""
    death_date: Annotated[str, Meta(max_length=10)] = ""
    place: Text = ""
    status: Literal["living", "deceased", "emigrated"] = "living"
    documents: Annotated[list[DocumentFields], Meta(max_length=DOCUMENTS_MAX)] = []
    contacts: Annotated[list[Contact], Meta(max_length=CONTACTS_MAX)] = []
    mother: Number = ""
    father: Number = ""
    origin: Text = ""


class PersonStatus(Coded):
    """What is known of the person; the only detail that also stands outside the encrypted record."""

    living = "living", 1
    deceased = "deceased", 2
    emigrated = "emigrated", 3


class CivilEvent(Coded):
    """What changed a person's entry: the civil events of the feed, and what offices do to the entry itself."""

    birth = "birth", 1
    death = "death", 2
    name_change = "name_change", 3
    marriage = "marriage", 4
    emigration = "emigration", 5
    immigration = "immigration", 6
    number_correction = "number_correction", 7
    details = "details", 8
    contact = "contact", 9
    correction = "correction", 10
    revert = "revert", 11
    enrolment = "enrolment", 12
    withdrawal = "withdrawal", 13
    death_reported = "death_reported", 14
    death_appealed = "death_appealed", 15
    merged = "merged", 16
    erased = "erased", 17
    cancelled = "cancelled", 18


class Blocks(NamedTuple):
    """What is blinded of a person; each member but the first is a multiple of 16 bytes."""

    number: bytes
    """Block of the personal number."""
    holders: bytes
    """Blocks of all numbers by which a check can name the person: the personal number's, and its documents'."""
    names: bytes
    """A block for each of these numbers with each normal form of each name."""


def blocks_of(person: Person) -> Blocks | str:
    """Return what is blinded of a person, or why it cannot be entered, as a short code (`FAULTS`).

    Only what cannot be kept or compared is refused here. A number whose check character does not fit, or a birth date that
    contradicts it, is entered: finding such entries is the work of the clean-up, and it can only find what is there.
    """
    try:
        number = plain(person.personal_number, "/personal_number")
    except BadInput:
        return "number-unusable"
    if not number:
        return "number-missing"
    forms: list[str] = []
    for name in person.names:
        if not is_shown(name.text):
            return "name-control-character"
        found = stored_forms(name.text)
        if not found:
            return why_not(name.text) or "name-empty"
        forms += found
    if person.names[0].kind != "main":
        return "name-missing"
    if (person.birth_date and not _is_date(person.birth_date)) or (person.death_date and not _is_date(person.death_date)):
        return "date-unusable"
    if not all(map(is_shown, (person.place, person.origin, person.mother, person.father))):
        return "control-character"
    if person.contacts and not all(is_shown(contact.value) for contact in person.contacts):
        return "control-character"
    holders: list[bytes] = []
    if len(number) == 18:
        try:
            holders = [resident_block(number)]
        except MalformedNumber:  # no card can bear this number, and no check names it
            holders = []
    if person.documents:
        try:
            holders += [holder_block(parse_document(fields)) for fields in person.documents]
        except (MalformedNumber, BadInput):
            return "document-unusable"
        holders = list(dict.fromkeys(holders))
    forms = list(dict.fromkeys(forms))
    names = [name_block(holder, form) for holder in holders for form in forms]
    return Blocks(plain_person_block(number), b"".join(holders), b"".join(names))


def _is_date(text: str) -> bool:
    if not (len(text) == 10 and text.isascii() and text[4] == "-" == text[7]):  # the library knows other forms too
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def check_person(person: Person) -> Blocks:
    """Return what is blinded of a person that can be entered.

    Raises:
        BadInput: it cannot; the cause is told, the text itself is not repeated.
    """
    found = blocks_of(person)
    if isinstance(found, str):
        raise BadInput("The person cannot be entered.", where="/person", mend=FAULTS[found], cause=found)
    return found


FAULTS: Final = {
    "number-missing": "Give the personal number.",
    "number-unusable": "Write the personal number without signs that are no part of it.",
    "name-missing": "Give the main name first.",
    "name-empty": "Write the name with its letters.",
    "name-too-long": f"Write the name with at most {NAME_MAX} characters.",
    "name-control-character": "Write the name without control characters.",
    "name-private-character": "Write the rare character with its Unicode code point instead of a private one.",
    "name-damaged": "Take the name from its source again: its encoding was damaged.",
    "name-not-letters": "Write the name without digits and signs.",
    "name-mixed-scripts": "Write the name in one alphabet; give the Latin form as a name of its own.",
    "date-unusable": "Write dates as YYYY-MM-DD.",
    "document-unusable": "Give each document with scheme, issuer, kind and number as for a check.",
    "control-character": "Write the texts without control characters.",
}
"""What to do about each fault."""


_BODY: Final = struct.Struct(">BBQ32s32s")
_BODY_VERSION: Final = 1
_NOTHING: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class PersonBody:
    """Body of a `person` entry: what happened to which record, with the hash of its encrypted form before and after.

    Attributes:
        event: what happened.
        person: id of the record.
        before, after: SHA-256 of the encrypted record; 32 zeros where there is none.
    """

    event: CivilEvent
    person: int
    before: bytes = _NOTHING
    after: bytes = _NOTHING

    def encode(self) -> bytes:
        """Return the body's bytes."""
        return _BODY.pack(_BODY_VERSION, self.event.octet, self.person, self.before, self.after)

    @classmethod
    def decode(cls, body: bytes) -> PersonBody:
        """Read the body; Corrupt or UnknownVersion when it is none."""
        if len(body) != _BODY.size:
            raise Corrupt("The body of a log entry has the wrong length.", where="body")
        version, event, person, before, after = _BODY.unpack(body)
        if version != _BODY_VERSION:
            raise UnknownVersion(f"The body of a log entry has version {version}.", where="body", mend="Use a newer annul.")
        try:
            return cls(CivilEvent.of_octet(event), person, before, after)
        except ValueError as error:
            raise Corrupt("A log entry names a civil event that is not known.", where="body") from error
