"""Searches of persons and documents by officers: each for a case, on record before it is answered, and told to the holder.

    search_id = await searches.look(act, ByNumber("…"), case="K-2026-117", purpose="report")
    shown = await searches.view(act, search_id)          # only who searched, within one working day

A name is found by a keyed tag of name and date of birth (`person_search`), which `NameIndex` keeps behind the register.
What must never happen here: an answer without its record; a search without a case reference; a search that its holder can
never know of: a delay has an end.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from annul.errors import BadInput, Forbidden, NotFound, TooLarge
from annul.records.document import Document, DocumentFields, DocumentKeys, block, parse_document, person_block
from annul.records.entry import decode
from annul.records.names import asked_forms, check_name, search_block
from annul.records.person import Person
from annul.records.references import require_reference
from annul.records.schemes import SCHEMES
from annul.registry.desk.names import NameIndex
from annul.registry.people import rows
from annul.registry.people.rows import PersonRow
from annul.registry.people.vault import Vault
from annul.registry.writing import documents, history, personal
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Known, Row
from annul.registry.writing.ground import Ground
from annul.registry.writing.present import present
from annul.registry.writing.store import REALM_CODES, Connection, Write, reading, writing
from annul.times import DAY_US, HOUR_US

CASE_MAX: Final = 64
PURPOSES: Final = ("report", "found_card", "dispute", "investigation", "correspondence", "supervision")
"""Why an officer searches."""
OPEN_US: Final = 12 * HOUR_US
"""How long the result of a search can be opened: a working day; after it the officer searches again, on record again."""
DELAY_MAX_US: Final = 180 * DAY_US
"""Longest time a police case keeps a search from its holder. Source: this project's choice, docs/desk.md; a longer case asks
again. Only police may delay."""
PERSONS_MAX: Final = 20

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

DelayGround = Literal["", "ongoing_investigation", "danger_to_person", "court_order"]


class ByDocument(msgspec.Struct, frozen=True, tag="document"):
    """Look for a document by its fields, and for its holder's other documents."""

    document: DocumentFields


class ByNumber(msgspec.Struct, frozen=True, tag="number"):
    """Look for a person by the personal number."""

    number: str


class ByName(msgspec.Struct, frozen=True, tag="name"):
    """Look for a person by any of the names, with the date of birth (YYYY-MM-DD)."""

    name: str
    birth_date: str


class ByChosen(msgspec.Struct, frozen=True, tag="chosen"):
    """Look for a document that a list of the desk names by its row: nobody has typed its number."""

    document_id: int


Question = ByDocument | ByNumber | ByName | ByChosen


class _Asked(msgspec.Struct):
    question: Question


class DocumentFound(msgspec.Struct, frozen=True, kw_only=True):
    """One document of what a search found.

    Args:
        place: names it within the search.
        number: as printed, where the register of persons or the question tells it; else "".
        facts: what stands against it, worst first; being past its last day is not among them.
        since_us: when its present state began (`writing.present`).
        asked: this is the document that was typed.
    """

    place: int
    coverage: str
    kind: str
    number: str
    valid_from_day: int | None
    valid_until_day: int | None
    state: str
    facts: list[str]
    disputed: bool
    since_us: int | None
    asked: bool
    person: int | None


class PersonFound(msgspec.Struct, frozen=True, kw_only=True):
    """One person of what a search found, from the register of persons."""

    place: int
    id: int
    person: Person
    photo: bool


class SearchShown(msgspec.Struct, frozen=True, kw_only=True):
    """A search with what it found, as things stand now.

    Args:
        unknown: the document that was typed, when the register has no row of it (it can be reported where its kind is
            listed only).
    """

    id: str
    officer: str
    case: str
    purpose: str
    kind: str
    searched_at_us: int
    delayed_until_us: int | None
    persons: list[PersonFound]
    documents: list[DocumentFound]
    unknown: DocumentFields | None


class SearchSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A search as its holder may see it: which office, when, why; the officer is named to the supervisor alone."""

    id: str
    searched_at_us: int
    party: str
    party_name: str
    case: str
    purpose: str
    kind: str
    delayed_until_us: int | None


class SearchLine(msgspec.Struct, frozen=True, kw_only=True):
    """A search as its officer, her chief or a supervisor sees it in a list; nothing of what was found."""

    id: str
    officer: str
    searched_at_us: int
    case: str
    purpose: str
    kind: str
    found: int
    delayed_until_us: int | None


@dataclass(frozen=True, slots=True)
class _Result:
    persons: list[PersonRow]
    documents: list[Row]
    keys: tuple[bytes, bytes]


class Searches:
    """Search, and show what was searched.

    Args:
        ground: what every part stands on.
        vault: persons' keys.
    """

    def __init__(self, ground: Ground, vault: Vault) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._segments, self._documents, self._vault = ground.segments, ground.documents, vault
        self._names = NameIndex(ground, vault)

    # -- search ------------------------------------------------------------------------------------------------------------

    async def look(
        self,
        act: Act,
        question: Question,
        *,
        case: str,
        purpose: str,
        delayed_until_us: int | None = None,
        delay_ground: DelayGround = "",
        police: bool = False,
    ) -> str:
        """Search, put the search on record, and return its id; `view` shows what it found.

        Args:
            act: the author is the officer (or the program's party).
            delayed_until_us: the holder learns of it only then; police alone, with a ground.
            police: the officer's party is police.

        Raises:
            BadInput: no case reference, no purpose, or the question is not of its form. Nothing was searched.
            Forbidden: a delay by somebody who may not.
            TooLarge: more than PERSONS_MAX persons fit.
        """
        if not case.strip():
            raise BadInput(
                "A search needs the reference of its case.", where="case", mend=f"Give it first, in 1 to {CASE_MAX} characters."
            )
        case = require_reference(case, "case", most=CASE_MAX)
        if purpose not in PURPOSES:
            raise BadInput("A search needs a purpose.", where="purpose", mend=f"Use one of {', '.join(PURPOSES)}.")
        now = self._now_us()
        self._require_delay(now, delayed_until_us, delay_ground, police=police)
        if isinstance(question, ByName):
            await self._names.catch_up()
        async with reading(self._connections) as db:
            result = await self._find(db, act, question)
        search_id = "s_" + secrets.token_hex(12)
        kind = "document" if isinstance(question, ByChosen) else question.__struct_config__.tag
        sealed = personal.seal(_Asked(question), search_id, self._keys.envelope)
        async with writing(self._connections, now) as write:
            self._keys.require_epoch(write.key_epoch)
            await write.run(
                "INSERT INTO sealed_detail (id, ciphertext, hash, wrapped_key) VALUES (%s, %s, %s, %s)",
                search_id,
                sealed.ciphertext,
                sealed.hash,
                sealed.wrapped_key,
            )
            await write.run(
                "INSERT INTO search (id, realm, party, officer, case_reference, purpose, kind, question_id, searched_at_us, "
                "delayed_until_us, delay_ground) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                search_id,
                act.realm_code,
                act.author.partition("/")[0],
                act.author,
                case,
                purpose,
                kind,
                search_id,
                write.recorded_at_us,
                delayed_until_us,
                delay_ground,
            )
            await _put_subjects(write, act, search_id, case, result, sealed.hash)
        return search_id

    def _require_delay(self, now: int, until: int | None, ground: str, *, police: bool) -> None:
        if until is None:
            return
        if not police:
            raise Forbidden("Only police may delay what a holder sees.")
        if not now < until <= now + DELAY_MAX_US:
            raise BadInput("A delay ends within 180 days.", where="delayed_until", mend="Give its last day.")
        if not ground:
            raise BadInput("A delay needs its legal ground.", where="delay_ground", mend="Choose one.")

    async def _find(self, db: Connection, act: Act, question: Question) -> _Result:
        keys, realm = self._documents[act.realm], act.realm_code
        if isinstance(question, ByNumber):
            number = question.number.strip()
            if not number or len(number) > 64:
                raise BadInput("Type the personal number.", where="number")
            key = keys.blind(person_block(number))
            return _Result(await rows.by_key(db, realm, key), await documents.by_person(db, realm, key), (b"", key))
        if isinstance(question, ByName):
            return await self._by_name(db, realm, keys, question)
        if isinstance(question, ByChosen):
            chosen = await documents.by_id(db, question.document_id)
            if chosen.realm != realm:
                raise NotFound("There is no such document.")
            found, document_key = [chosen], chosen.document_key
            holders = {chosen.person_key} - {None}
        else:
            document = parse_document(question.document)
            found = await _rows_of(db, document, keys, realm)
            named = document.has_discriminator or not document.discriminated
            document_key = keys.blind(block(document)) if named else b""
            holders = {row.person_key for row in found} - {None}
            if document.bears_personal_number:
                holders.add(keys.blind(person_block(document.number)))
        persons: list[PersonRow] = []
        for holder in sorted(key for key in holders if key is not None):
            persons += await rows.by_key(db, realm, holder)
            found += await documents.by_person(db, realm, holder)
        return _Result(persons, list({row.id: row for row in found}.values()), (document_key, b""))

    async def _by_name(self, db: Connection, realm: int, keys: DocumentKeys, question: ByName) -> _Result:
        name, born = question.name.strip(), question.birth_date.strip()
        check_name(name, "name")
        if not _DATE.fullmatch(born):
            raise BadInput("Give the date of birth with the name.", where="birth_date", mend="Write it as YYYY-MM-DD.")
        tags = [keys.blind(search_block(form, born)) for form in asked_forms(name)]
        found = await db.execute(
            f"SELECT DISTINCT {', '.join('r.' + column for column in rows.COLUMNS.split(', '))} FROM person_search s "
            "JOIN person_record r ON r.id = s.person_id "
            f"WHERE s.realm = %s AND s.tag = ANY(%s) AND wrapped_key IS NOT NULL AND {rows.IN_FORCE} ORDER BY r.id LIMIT %s",
            (realm, tags, PERSONS_MAX + 1),
        )
        persons = [PersonRow(*row) for row in await found.fetchall()]
        if len(persons) > PERSONS_MAX:
            raise TooLarge("Too many persons have this name and date.", where="name", mend="Search by the number instead.")
        held: list[Row] = []
        for person in persons:
            held += await documents.by_person(db, realm, person.person_key)
        return _Result(persons, list({row.id: row for row in held}.values()), (b"", tags[0]))

    # -- show --------------------------------------------------------------------------------------------------------------

    async def view(self, act: Act, search_id: str) -> SearchShown:
        """Show a search to who made it.

        Raises:
            NotFound: there is none of this officer that can still be opened.
        """
        async with reading(self._connections) as db:
            line = await self._own(db, act, search_id)
            places = await self._places(db, search_id)
            question = await self._question(db, search_id)
            person_rows = [
                (place, await rows.by_id(db, act.realm_code, person)) for place, person, _ in places if person is not None
            ]
            found = [(place, await documents.by_id(db, row)) for place, _, row in places if row is not None]
            told = await present(db, self._segments, [row for _, row in found], self._now_us())
        persons = [
            PersonFound(place=place, id=row.id, person=rows.open_row(row, self._vault), photo=row.photo)
            for place, row in person_rows
        ]
        typed, asked_key, asked_number = self._typed(act, question)
        numbers = self._numbers(act, persons, typed)
        by_person = {row.person_key: place for place, row in person_rows}
        shown = [
            DocumentFound(
                place=place,
                coverage=row.coverage,
                kind=row.kind,
                number=numbers.get(row.document_key, "") or numbers.get(row.number_key or b"", ""),
                valid_from_day=row.valid_from_day,
                valid_until_day=row.valid_until_day,
                state=told[row.id].state,
                facts=told[row.id].listed,
                disputed=row.disputed,
                since_us=told[row.id].since_us,
                person=by_person.get(row.person_key or b""),
                asked=row.document_key == asked_key or (asked_key is None and row.number_key == asked_number is not None),
            )
            for place, row in found
        ]
        return SearchShown(
            id=search_id,
            officer=line[0],
            case=line[1],
            purpose=line[2],
            kind=line[3],
            searched_at_us=line[4],
            delayed_until_us=line[5],
            persons=persons,
            documents=shown,
            unknown=typed if typed is not None and not any(each.asked for each in shown) else None,
        )

    async def chosen(self, act: Act, search_id: str, place: int) -> Known:
        """Return the document at a place of one's own search, to act on it; NotFound when there is none."""
        async with reading(self._connections) as db:
            await self._own(db, act, search_id)
            row = await (
                await db.execute(
                    "SELECT document_id FROM search_subject WHERE search_id = %s AND place = %s AND document_id IS NOT NULL",
                    (search_id, place),
                )
            ).fetchone()
        if row is None:
            raise NotFound("There is no such document in this search.")
        return Known(row[0])

    async def timeline(self, act: Act, document: Known) -> list[history.Line]:
        """Return every entry about a document that a search of this officer has just shown, oldest first."""
        async with reading(self._connections) as db:
            return await history.lines(db, self._segments, self._documents[act.realm], document, act.realm_code)

    async def reports(self, act: Act, document: Known) -> list[history.ReportView]:
        """Return the reports on such a document, oldest first."""
        async with reading(self._connections) as db:
            return await history.reports(db, self._documents[act.realm], document, act.realm_code)

    async def last_position(self) -> int:
        """Return the position of the newest entry of the log."""
        async with reading(self._connections) as db:
            row = await (await db.execute("SELECT next_position - 1 FROM log_head")).fetchone()
        return int(row[0]) if row else 0

    async def recorded_at(self, position: int) -> int:
        """Return when the entry at a position was recorded; NotFound when there is none."""
        async with reading(self._connections) as db:
            row = await (await db.execute("SELECT entry FROM register_log WHERE position = %s", (position,))).fetchone()
        if row is None:
            raise NotFound("There is no such entry.")
        return decode(bytes(row[0])).recorded_at_us

    async def of_party(self, party: str | None, realm: str, *, case: str = "", limit: int = 200) -> list[SearchLine]:
        """List the searches of a party (of all: None), newest first: for chiefs and supervisors."""
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT s.id, officer, searched_at_us, case_reference, purpose, kind, "
                "(SELECT count(*) FROM search_subject u WHERE u.search_id = s.id AND (person_id IS NOT NULL "
                "OR document_id IS NOT NULL)), delayed_until_us FROM search s "
                "WHERE (party = %s OR %s) AND realm = %s AND (case_reference = %s OR %s) ORDER BY searched_at_us DESC LIMIT %s",
                (party, party is None, REALM_CODES[realm], case, not case, limit),
            )
            lines = await found.fetchall()
        return [SearchLine(**dict(zip(SearchLine.__struct_fields__, line, strict=True))) for line in lines]

    async def of_officer(self, act: Act, *, limit: int = 20) -> list[SearchLine]:
        """List one's own searches that can still be opened, newest first."""
        since = self._now_us() - OPEN_US
        lines = await self.of_party(act.author.partition("/")[0], act.realm)
        return [line for line in lines if line.officer == act.author and line.searched_at_us >= since][:limit]

    async def seen_by_holder(self, person_id: int | None, document_ids: Sequence[int], now_us: int) -> list[SearchSeen]:
        """Return the searches that showed a person or one of these documents, newest first, as their holder may see them.

        Searches under a delay are left out until it ends; then they are shown with it.
        """
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT s.id, searched_at_us, party, coalesce(p.name, party), case_reference, purpose, kind, delayed_until_us "
                "FROM search s LEFT JOIN principal p ON p.id = party "
                "WHERE s.id IN (SELECT search_id FROM search_subject WHERE person_id = %s OR document_id = ANY(%s)) "
                "AND coalesce(delayed_until_us, 0) <= %s ORDER BY searched_at_us DESC",
                (person_id, list(document_ids), now_us),
            )
            lines = await found.fetchall()
        return [SearchSeen(**dict(zip(SearchSeen.__struct_fields__, line, strict=True))) for line in lines]

    async def _own(self, db: Connection, act: Act, search_id: str) -> tuple[Any, ...]:
        row = await (
            await db.execute(
                "SELECT officer, case_reference, purpose, kind, searched_at_us, delayed_until_us FROM search "
                "WHERE id = %s AND realm = %s AND officer = %s AND searched_at_us > %s",
                (search_id, act.realm_code, act.author, self._now_us() - OPEN_US),
            )
        ).fetchone()
        if row is None:
            raise NotFound(
                "There is no such search of yours, or it was closed.", mend="Search again: a result can be opened for 12 hours."
            )
        return row

    async def _places(self, db: Connection, search_id: str) -> list[tuple[Any, ...]]:
        found = await db.execute(
            "SELECT place, person_id, document_id FROM search_subject WHERE search_id = %s ORDER BY place", (search_id,)
        )
        return await found.fetchall()

    async def _question(self, db: Connection, search_id: str) -> Question | None:
        row = await (
            await db.execute("SELECT ciphertext, wrapped_key FROM sealed_detail WHERE id = %s", (search_id,))
        ).fetchone()
        if row is None or row[1] is None:  # erased
            return None
        return personal.unseal_as(_Asked, bytes(row[0]), bytes(row[1]), search_id, self._keys.envelope).question

    def _typed(self, act: Act, question: Question | None) -> tuple[DocumentFields | None, bytes | None, bytes | None]:
        """Return the document that was typed, its key, and the key of its number; the key is None without discriminator."""
        if not isinstance(question, ByDocument):
            return None, b"", None
        document = parse_document(question.document)
        row = documents.new_row(document, self._documents[act.realm], act.realm_code) if _has_block(document) else None
        if row is not None:
            return question.document, row.document_key, row.number_key
        return question.document, None, documents.number_key(document, self._documents[act.realm])

    def _numbers(self, act: Act, persons: list[PersonFound], typed: DocumentFields | None) -> dict[bytes, str]:
        """Return printed numbers by document key and by number key, from the persons' records and the question."""
        keys = self._documents[act.realm]
        known: dict[bytes, str] = {}
        told = [fields for found in persons for fields in found.person.documents]
        told += [
            DocumentFields(scheme.name, found.person.personal_number)
            for found in persons
            for scheme in SCHEMES.values()
            if scheme.bears_personal_number
        ]
        for fields in [*told, *([typed] if typed else [])]:
            try:
                document = parse_document(fields)
            except BadInput:  # an entry the clean-up has still to mend
                continue
            if _has_block(document):
                known[keys.blind(block(document))] = document.number
            if document.discriminated:
                known[documents.number_key(document, keys)] = document.number
        return known


async def _rows_of(db: Connection, document: Document, keys: DocumentKeys, realm: int) -> list[Row]:
    """Return the rows a typed document may mean: all cards of a number whose discriminator was not typed or does not fit."""
    if document.discriminated:
        return await documents.by_number(db, realm, documents.number_key(document, keys))
    row = await documents.find(db, document, keys, realm)
    return [] if row is None else [row]


async def _put_subjects(write: Write, act: Act, search_id: str, case: str, result: _Result, digest: bytes) -> None:
    """Write what a search found, with one entry of the log for each person and each document of nobody known."""

    def enter(document_key: bytes, number_key: bytes) -> int:
        return write.note(
            act.author,
            case,
            b"a search by an officer",
            realm=act.code,
            document_key=document_key,
            number_key=number_key,
            detail_hash=digest,
        )

    lines: list[tuple[int | None, int | None, int]] = []
    entered: dict[bytes, int] = {}
    for person in result.persons:
        entered[person.person_key] = enter(b"", person.person_key)
        lines.append((person.id, None, entered[person.person_key]))
    for row in result.documents:
        position = entered.get(row.person_key or b"")
        if position is None:
            position = enter(row.document_key, row.number_key or b"")
        lines.append((None, row.id, position))
    if not lines:
        lines.append((None, None, enter(*result.keys)))
    for place, (person_id, document_id, position) in enumerate(lines, 1):
        await write.run(
            "INSERT INTO search_subject (search_id, place, person_id, document_id, position) VALUES (%s, %s, %s, %s, %s)",
            search_id,
            place,
            person_id,
            document_id,
            position,
        )


def _has_block(document: Document) -> bool:
    return document.has_discriminator or not document.discriminated
