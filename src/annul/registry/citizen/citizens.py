"""What a person may see and do about the own documents: their state, who asked, who tried, and the acts that rules allow.

A person is known by the id of the record in the register of persons, which the login found. Documents are named by the id of
their row: a page never carries a number. Everything here is about that person alone; a document of somebody else is not there.

Lawful delays: checks for law enforcement and searches are shown after a delay, attempts of a document under a hold when the
hold ends. Nothing tells beforehand that there is something to be shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from annul.errors import BadInput, Conflict, Forbidden, NotFound, TransitionRefused
from annul.languages import LANGUAGES
from annul.records.codes import Channel, Outcome, Purpose, Realm, StatusCode
from annul.records.document import Document, DocumentKeys, block, number_block, parse_document, person_block
from annul.records.entry import EntryKind, decode
from annul.records.person import Contact, Person
from annul.records.scheme import plain
from annul.records.schemes import scheme_of
from annul.records.status import DEAD, Event, Proof, State, contact_change_allowed, mask
from annul.registry.citizen import holdings
from annul.registry.citizen.views import AttemptSeen, CheckSeen, OwnDocument, Unlocked, acts_of, date_of, line_of, timed
from annul.registry.notices.outbox import hold, queue, release
from annul.registry.notices.sources import DISCLOSURE_DAYS, HOLDER
from annul.registry.people import rows
from annul.registry.people.register import People
from annul.registry.people.rows import PersonRow
from annul.registry.people.vault import Vault
from annul.registry.writing import documents
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Known, Row
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.present import present
from annul.registry.writing.references import BESIDE, spoken
from annul.registry.writing.register import Recorded, Register
from annul.registry.writing.store import REALM_CODES, Connection, reading, writing
from annul.times import DAY_US, rfc3339

CHECKS_MAX: Final = 100
ATTEMPTS_MAX: Final = 200
"""On one page of the list; all attempts are in the download."""
Said = Literal["me", "not_me"]


class _Held(msgspec.Struct):
    """Answer of a hold, or of its release."""

    hold: str
    freed: int = 0


class Citizens:
    """Serve people about their own documents.

    Args:
        ground: what every part stands on.
        register, people: where acts are entered.
        vault: persons' keys.
        disclosure_days: lawful delay of checks for law enforcement.
    """

    def __init__(
        self, ground: Ground, register: Register, people: People, vault: Vault, *, disclosure_days: int = DISCLOSURE_DAYS
    ) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._documents, self._segments = ground.documents, ground.segments
        self._register, self._people, self._vault = register, people, vault
        self._delay_us = disclosure_days * DAY_US

    # -- who it is -----------------------------------------------------------------------------------------------------------

    async def log_in(self, issuer: str, subject: str, number: str, *, realm: str = "live") -> int:
        """Return the person of a login: by the personal number the provider tells, or as this subject logged in before.

        Args:
            issuer, subject: who the provider says it is (`iss` and `sub`); stored as a hash.
            number: the personal number, "" when the provider told none.

        Raises:
            NotFound: the register of persons has no such person.
            Forbidden: the subject logged in as somebody else before, or the person is recorded as dead.
        """
        hashed = hashlib.sha256(b"annul citizen v1\0" + issuer.encode() + b"\0" + subject.encode()).digest()
        code = REALM_CODES[realm]
        async with reading(self._connections) as db, db.transaction():
            linked = await (await db.execute("SELECT person_id FROM citizen_subject WHERE subject = %s", (hashed,))).fetchone()
            row = await self._by_number(db, realm, number) if number else None
            if row is None and linked is not None:
                row = await rows.by_id(db, code, linked[0])
            if row is None:
                raise NotFound(
                    "The register of persons has no entry for this login.", mend="Ask at a registry desk; bring your document."
                )
            if linked is not None and linked[0] != row.id:
                raise Forbidden("This login belonged to another person before.", mend="Ask at a registry desk.")
            if rows.open_row(row, self._vault).status == "deceased":
                raise Forbidden("This person is recorded as dead.", mend="If that is you, object at any registry desk at once.")
            await db.execute(
                "INSERT INTO citizen_subject (subject, person_id, linked_at_us) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (hashed, row.id, self._now_us()),
            )
        return row.id

    async def _by_number(self, db: Connection, realm: str, number: str) -> PersonRow | None:
        key = self._documents[realm].blind(person_block(plain(number, "/personal_number")))
        found = await rows.by_key(db, REALM_CODES[realm], key)
        if len(found) > 1:
            raise Conflict("Several persons have this number.", mend="A registry desk tells them apart; ask there.")
        return found[0] if found else None

    async def person(self, person_id: int, *, realm: str = "live") -> Person:
        """Return one's own entry in the register of persons."""
        async with reading(self._connections) as db:
            return rows.open_row(await rows.by_id(db, REALM_CODES[realm], person_id), self._vault)

    async def language(self, person_id: int) -> str:
        """Return the language a person chose for notices, "" for none."""
        async with reading(self._connections) as db:
            found = await (
                await db.execute("SELECT language FROM citizen_language WHERE person_id = %s", (person_id,))
            ).fetchone()
        return "" if found is None else str(found[0])

    async def set_language(self, person_id: int, language: str) -> None:
        """Choose the language of notices: one of `annul.languages`."""
        if language not in LANGUAGES:
            raise BadInput("Choose one of the languages.", where="/language")
        async with reading(self._connections) as db:
            await db.execute(
                "INSERT INTO citizen_language (person_id, language) VALUES (%s, %s) "
                "ON CONFLICT (person_id) DO UPDATE SET language = excluded.language",
                (person_id, language),
            )

    async def set_contacts(self, act: Act, person_id: int, contacts: Sequence[Contact], *, proof: Proof) -> None:
        """Change one's own contacts; frozen while a document is suspended (rule 9).

        Raises:
            TransitionRefused: a document is suspended.
        """
        person = await self.person(person_id, realm=act.realm)
        await self._people.set_contacts(act, person.personal_number, contacts, proof=proof, happened_at_us=self._now_us())

    async def contacts_frozen(self, person_id: int, *, realm: str = "live") -> bool:
        """Tell whether contacts are frozen now, because a document is suspended."""
        _, owned = await self._own(person_id, realm)
        return not all(contact_change_allowed(row.standing, Proof.online_strong) for row in owned)

    # -- documents -----------------------------------------------------------------------------------------------------------

    async def documents(self, person_id: int, *, realm: str = "live") -> list[OwnDocument]:
        """Return a person's documents, those that count first."""
        person, owned = await self._own(person_id, realm)
        now = self._now_us()
        ids = [row.id for row in owned]
        async with reading(self._connections) as db:
            told = await present(db, self._segments, owned, now)
            open_reports = {
                row[0]: (row[1], row[2])
                for row in await _pairs(
                    db,
                    "SELECT document_id, id, lapses_at_us FROM report WHERE document_id = ANY(%s) AND state IN "
                    "('provisional', 'in_force') ORDER BY state = 'provisional', position",
                    ids,
                )
            }
            unlocked: dict[int, list[Unlocked]] = {}
            for document_id, purpose, until_us in await _pairs(
                db, "SELECT document_id, purpose, until_us FROM unlock WHERE document_id = ANY(%s)", ids
            ):
                if until_us > now:
                    found = Unlocked(purpose=Purpose.of_octet(purpose).value, until_us=until_us)
                    unlocked.setdefault(document_id, []).append(found)
        numbers = self._numbers(person, owned, realm)
        made = []
        for row in owned:
            report, lapses_at_us = open_reports.get(row.id, ("", None))
            number = numbers[row.id].number if row.id in numbers else ""
            made.append(
                OwnDocument(
                    id=row.id,
                    kind=row.kind,
                    coverage=row.coverage,
                    state=told[row.id].state,
                    facts=told[row.id].facts,
                    disputed=row.disputed,
                    since_us=told[row.id].since_us or 0,
                    valid_from_day=row.valid_from_day,
                    valid_until_day=row.valid_until_day,
                    ends_with=number[-4:],
                    report=report,
                    lapses_at_us=lapses_at_us,
                    unlocked=unlocked.get(row.id, []),
                    may=acts_of(row, mask(*(State[fact] for fact in told[row.id].listed)), lapses_at_us is not None),
                )
            )
        return sorted(made, key=lambda own: (own.state in _GONE, own.kind, -(own.valid_from_day or 0)))

    async def document(self, person_id: int, document_id: int, *, realm: str = "live") -> OwnDocument:
        """Return one of a person's documents; NotFound when it is somebody else's."""
        for own in await self.documents(person_id, realm=realm):
            if own.id == document_id:
                return own
        raise NotFound("This is not one of your documents.")

    async def _own(self, person_id: int, realm: str) -> tuple[Person, list[Row]]:
        async with reading(self._connections) as db:
            row = await rows.by_id(db, REALM_CODES[realm], person_id)
            person = rows.open_row(row, self._vault)
            owned = {found.id: found for found in await documents.by_person(db, REALM_CODES[realm], row.person_key)}
            for fields in person.documents:  # passports that were issued before the register knew their holder
                found = await documents.find(db, parse_document(fields), self._documents[realm], REALM_CODES[realm])
                if found is not None:
                    owned[found.id] = found
        return person, list(owned.values())

    async def own_ids(self, person_id: int, *, realm: str = "live") -> list[int]:
        """Return the ids of a person's documents."""
        return [row.id for row in (await self._own(person_id, realm))[1]]

    def _numbers(self, person: Person, owned: Sequence[Row], realm: str) -> dict[int, Document]:
        """Return the documents whose numbers the person's entry tells, by row."""
        keys = self._documents[realm]
        named = {bytes(keys.blind(block(document))): document for document in map(parse_document, person.documents)}
        told: dict[int, Document] = {}
        number = plain(person.personal_number, "/personal_number")
        for row in owned:
            scheme = scheme_of(row.coverage)
            known = scheme and scheme.of_holder(number, row.valid_from_day, row.valid_until_day)
            if known:
                told[row.id] = known
            elif bytes(row.document_key) in named:
                told[row.id] = named[bytes(row.document_key)]
        return told

    # -- acts ----------------------------------------------------------------------------------------------------------------

    async def report(
        self, act: Act, person_id: int, document_id: int, kind: Literal["lost", "stolen"], *, happened_at_us: int, proof: Proof
    ) -> Recorded:
        """Report one's own document; on a strong login it stands, on a weak one it suspends."""
        await self._require_own(act, person_id, document_id)
        return await self._register.report(act, Known(document_id), kind, happened_at_us=happened_at_us, proof=proof)

    async def confirm(self, act: Act, person_id: int, document_id: int, *, proof: Proof) -> Recorded:
        """Confirm the provisional report on one's own document."""
        return await self._register.confirm(act, await self._provisional(act, person_id, document_id), proof=proof)

    async def withdraw(self, act: Act, person_id: int, document_id: int, *, proof: Proof) -> Recorded:
        """Undo the provisional report on one's own document, whoever made it."""
        return await self._register.withdraw(act, await self._provisional(act, person_id, document_id), proof=proof)

    async def undo(self, act: Act, report_id: str) -> Recorded:
        """Undo a provisional report by the code of its notice (see `notices.undo`)."""
        return await self._register.withdraw(act, report_id, proof=Proof.online)

    async def lock(self, act: Act, person_id: int, document_id: int, *, proof: Proof, locked: bool) -> Recorded:
        """Lock or unlock one's own document."""
        await self._require_own(act, person_id, document_id)
        event = Event.owner_lock if locked else Event.owner_unlock
        return await self._register.change(act, Known(document_id), event, happened_at_us=self._now_us(), proof=proof)

    async def unlock_for(
        self, act: Act, person_id: int, document_id: int, purpose: Purpose, minutes: int, *, proof: Proof
    ) -> Recorded:
        """Open one's own lock for one purpose, for some minutes."""
        await self._require_own(act, person_id, document_id)
        until_us = self._now_us() + minutes * 60_000_000
        return await self._register.unlock_for(act, Known(document_id), purpose, until_us, proof=proof)

    async def _require_own(self, act: Act, person_id: int, document_id: int) -> None:
        if document_id not in await self.own_ids(person_id, realm=act.realm):
            raise NotFound("This is not one of your documents.")

    async def _provisional(self, act: Act, person_id: int, document_id: int) -> str:
        await self._require_own(act, person_id, document_id)
        async with reading(self._connections) as db:
            found = await (
                await db.execute(
                    "SELECT id FROM report WHERE document_id = %s AND state = 'provisional' ORDER BY position DESC LIMIT 1",
                    (document_id,),
                )
            ).fetchone()
        if found is None:
            raise TransitionRefused(
                "There is no report that waits for confirmation.", rule=5, mend="Look at the document's state."
            )
        return str(found[0])

    # -- who asked, who tried ------------------------------------------------------------------------------------------------

    async def checks(
        self, person_id: int, *, realm: str = "live", before_us: int = 0, limit: int = CHECKS_MAX
    ) -> list[CheckSeen]:
        """Return who checked a person's documents, newest first, as far as it may be shown today.

        Checks that named the number alone are among them; they are of no one document (0).
        """
        return await self._checks(person_id, realm, before_us or self._now_us() + DAY_US, min(limit, CHECKS_MAX))

    async def _checks(self, person_id: int, realm: str, before_us: int, limit: int | None) -> list[CheckSeen]:
        person, owned = await self._own(person_id, realm)
        numbers = self._numbers(person, owned, realm)
        key_of, number_keys = self._all_keys(owned, numbers, realm)
        now = self._now_us()
        async with reading(self._connections) as db:
            held = await _pairs(
                db,
                "SELECT document_id, min(created_at_us) FROM notice_hold WHERE document_id = ANY(%s) "
                f"AND released_at_us IS NULL AND until_us > {int(now)} GROUP BY document_id",
                [row.id for row in owned],
            )
            held_ids = {document_id for document_id, _ in held}
            held_keys = [key for key, document_id in key_of.items() if document_id in held_ids]
            held_since = min((since for _, since in held), default=0)
            found = await db.execute(
                "SELECT encode(check_id, 'hex'), checked_at_us, document_key, "
                "coalesce(nullif(p.organisation, ''), p.name, party), purpose, channel, outcome, status "
                "FROM check_index c LEFT JOIN principal p ON p.id = party "
                "WHERE realm = %s AND checked_at_us < %s "
                "AND (document_key = ANY(%s) OR (number_key = ANY(%s) AND document_key = %s)) "
                "AND (purpose <> %s OR checked_at_us <= %s) "
                "AND NOT (outcome = %s AND document_key = ANY(%s) AND checked_at_us >= %s) "
                "ORDER BY checked_at_us DESC LIMIT %s",
                (
                    REALM_CODES[realm],
                    before_us,
                    list(key_of),
                    number_keys,
                    bytes(16),
                    Purpose.law_enforcement.octet,
                    now - self._delay_us,
                    Outcome.STOP.octet,
                    held_keys,
                    held_since,
                    limit,
                ),
            )
            lines = await found.fetchall()
        return [
            CheckSeen(
                check=line[0],
                checked_at_us=line[1],
                document=key_of.get(bytes(line[2]), 0),
                party=line[3],
                purpose=Purpose.of_octet(line[4]).value,
                channel=Channel.of_octet(line[5]).value,
                outcome=Outcome.of_octet(line[6]).value,
                status=StatusCode.of_octet(line[7]).value,
                held_until_us=line[1] + self._delay_us if line[4] == Purpose.law_enforcement.octet else None,
            )
            for line in lines
        ]

    def _all_keys(self, owned: Sequence[Row], numbers: dict[int, Document], realm: str) -> tuple[dict[bytes, int], list[bytes]]:
        """Return the keys of all epochs of a person's documents (key -> row), and those of their numbers."""
        stored = self._keys.live if realm == "live" else self._keys.test
        key_of = {bytes(row.document_key): row.id for row in owned}
        number_keys = {bytes(row.number_key) for row in owned if row.number_key}
        for count in range(1, len(stored)):
            keys = DocumentKeys(stored[:count])
            for row_id, document in numbers.items():
                key_of[bytes(keys.blind(block(document)))] = row_id
                if document.discriminated:
                    number_keys.add(bytes(keys.blind(number_block(document))))
        return key_of, sorted(number_keys)

    async def attempts(self, person_id: int, *, realm: str = "live") -> list[AttemptSeen]:
        """Return the attempts to use a person's dead cards, newest first, as far as they may be shown today."""
        return await self._attempts(person_id, realm, ATTEMPTS_MAX)

    async def _attempts(self, person_id: int, realm: str, limit: int | None) -> list[AttemptSeen]:
        ids = await self.own_ids(person_id, realm=realm)
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT a.id, document_id, checked_at_us, coalesce(nullif(p.organisation, ''), p.name, party), purpose, "
                "channel, said, outcome FROM attempt a LEFT JOIN principal p ON p.id = party WHERE document_id = ANY(%s) "
                "AND visible_from_us <= %s ORDER BY checked_at_us DESC LIMIT %s",
                (ids, self._now_us(), limit),
            )
            lines = await found.fetchall()
        return [
            AttemptSeen(
                id=line[0],
                document=line[1],
                checked_at_us=line[2],
                party=line[3],
                purpose=Purpose.of_octet(line[4]).value,
                channel=Channel.of_octet(line[5]).value,
                said=line[6],
                refused=line[7] == Outcome.STOP.octet,
            )
            for line in lines
        ]

    async def say(self, act: Act, person_id: int, attempt_id: str, said: Said) -> AttemptSeen:
        """Say of an attempt "this was me" or "this was not me"; the latter goes to the police desk and the relying party.

        Saying the same again changes nothing; `not_me` cannot be taken back here, because others have been told.

        Raises:
            NotFound: there is no such attempt on a document of this person.
            Conflict: it was answered otherwise.
        """
        seen = {attempt.id: attempt for attempt in await self.attempts(person_id, realm=act.realm)}
        attempt = seen.get(attempt_id)
        if attempt is None:
            raise NotFound("There is no such attempt on one of your documents.")
        if attempt.said == said:
            return attempt
        if attempt.said == "not_me":
            raise Conflict("You said that it was not you, and others were told.", mend="Tell the police desk that it was you.")
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            moved = await write.one(
                "UPDATE attempt SET said = %s, said_at_us = %s WHERE id = %s AND said = %s RETURNING party, check_id, realm",
                said,
                write.recorded_at_us,
                attempt_id,
                attempt.said,
            )
            if moved is None:
                raise Conflict("This was answered at the same time elsewhere.", mend="Open the page again.")
            if said == "not_me":
                row = await documents.by_id(write.db, attempt.document)
                write.note(
                    HOLDER,
                    attempt_id,
                    b"the holder denies an attempt",
                    realm=Realm.of_octet(moved[2]),
                    document_id=row.id,
                    happened_at_us=attempt.checked_at_us,
                    document_key=row.document_key,
                    number_key=row.number_key or b"",
                )
                await queue(
                    write.db,
                    "attempt_not_mine",
                    key=f"attempt:{attempt_id}:not_me",
                    now_us=write.recorded_at_us,
                    realm=moved[2],
                    party=moved[0],
                    values={"check": bytes(moved[1]).hex(), "checked_at_us": attempt.checked_at_us, "purpose": attempt.purpose},
                )
        return msgspec.structs.replace(attempt, said=said)

    async def denied(self, *, realm: str = "live", limit: int = 100) -> list[dict[str, Any]]:
        """Return the attempts that holders deny, newest first, for a police desk: check, party, time; nothing of the holder."""
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT a.id, encode(check_id, 'hex'), party, coalesce(p.name, party), branch, purpose, checked_at_us, "
                "said_at_us, document_id, outcome <> 3 FROM attempt a LEFT JOIN principal p ON p.id = party "
                "WHERE said = 'not_me' AND a.realm = %s ORDER BY said_at_us DESC LIMIT %s",
                (REALM_CODES[realm], min(limit, 500)),
            )
            lines = await found.fetchall()
        names = (
            "id",
            "check",
            "party",
            "party_name",
            "branch",
            "purpose",
            "checked_at_us",
            "said_at_us",
            "document_id",
            "accepted",
        )
        return [dict(zip(names, line, strict=True)) | {"purpose": Purpose.of_octet(line[5]).value} for line in lines]

    # -- holds of the police -----------------------------------------------------------------------------------------------

    async def hold(self, act: Act, document: Document | Known, *, case: str, until_us: int) -> str:
        """Hold back, for a case, what a document's holder would be told of attempts and searches; enter it in the log.

        The same hold of the same desk is made once: asked for again it is the one that stands.

        Raises:
            NotFound: the register does not know the document.
            BadInput: no case, or no end within a year.
        """
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            known = await replay(write, act, _Held)
            if known is not None:
                return known.hold
            row = await documents.find(write.db, document, self._documents[act.realm], act.realm_code)
            if row is None:
                raise NotFound("The register knows no such document.", where="/document")
            stands = await write.one(
                "SELECT id FROM notice_hold WHERE document_id = %s AND case_reference = %s AND until_us = %s "
                "AND split_part(author, '/', 1) = %s AND released_at_us IS NULL",
                row.id,
                case,
                until_us,
                act.author.partition("/")[0],
            )
            if stands is not None:
                hold_id = str(stands[0])
            else:
                at_us = write.recorded_at_us
                hold_id = await hold(write.db, row.id, case=case, author=act.author, until_us=until_us, now_us=at_us)
                write.note(act.author, case, b"notices to a holder are held back", realm=act.code)
            await remember(write, act, _Held(hold_id))
        return hold_id

    async def release(self, act: Act, hold_id: str) -> int:
        """End a hold of one's own desk early; return how many notices leave now."""
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            known = await replay(write, act, _Held)
            if known is not None:
                return known.freed
            found = await write.one(
                "SELECT 1 FROM notice_hold h JOIN document d ON d.id = h.document_id WHERE h.id = %s AND d.realm = %s "
                "AND split_part(h.author, '/', 1) = %s",
                hold_id,
                act.realm_code,
                act.author.partition("/")[0],
            )
            if found is None:
                raise NotFound("There is no such hold, or it has ended.")
            freed = await release(write.db, hold_id, now_us=write.recorded_at_us)
            write.note(act.author, hold_id, b"notices to a holder are held back no longer", realm=act.code)
            await remember(write, act, _Held(hold_id, freed))
        return freed

    # -- everything held -----------------------------------------------------------------------------------------------------

    async def everything(self, person_id: int, *, realm: str = "live") -> dict[str, Any]:
        """Return all that is held about a person, for the download: the entry and what it said before, documents with their
        history, all checks and attempts, and each section of `annul.registry.citizen.holdings`.

        Portraits and templates are named with their dates; what a lawful delay holds back is left out.
        """
        person, owned = await self._own(person_id, realm)
        numbers = self._numbers(person, owned, realm)
        ids = [row.id for row in owned]
        now = self._now_us()
        checks = await self._checks(person_id, realm, now + DAY_US, None)
        async with reading(self._connections) as db:
            history: dict[int, list[dict[str, Any]]] = {row_id: [] for row_id in ids}
            for document_id, raw, salt, text in await _pairs(
                db, f"SELECT document_id, entry, salt, text FROM {BESIDE} WHERE document_id = ANY(%s) ORDER BY position", ids
            ):
                entry = decode(bytes(raw))
                if entry.kind is not EntryKind.note:  # who looked, and what was decided beside it: sections of their own
                    history[document_id].append(line_of(entry, spoken(entry, salt, text)))
            row = await rows.by_id(db, REALM_CODES[realm], person_id)
            former = [
                msgspec.to_builtins(rows.open_version(row, bytes(ciphertext), self._vault))
                for (ciphertext,) in await _pairs(
                    db,
                    "SELECT ciphertext FROM person_version WHERE person_id = ANY(%s) AND ciphertext <> '' ORDER BY position",
                    [person_id],
                )
            ]
            seen_ids = [bytes.fromhex(seen.check) for seen in checks]
            sections = await holdings.of_person(db, self._keys.envelope, person_id, ids, seen_ids, now)
        return {
            "made_at": rfc3339(now),
            "person": msgspec.to_builtins(person),
            "former": former,
            "language": await self.language(person_id),
            "documents": [
                {
                    "id": own.id,
                    "kind": own.kind,
                    "register": own.coverage,
                    "number": numbers[own.id].number if own.id in numbers else None,
                    "state": own.state,
                    "since": rfc3339(own.since_us) if own.since_us else None,
                    "facts": own.facts,
                    "disputed": own.disputed,
                    "valid_from": date_of(own.valid_from_day),
                    "valid_until": date_of(own.valid_until_day),
                    "history": history.get(own.id, []),
                    "unlocked": [timed(msgspec.to_builtins(one)) for one in own.unlocked],
                }
                for own in await self.documents(person_id, realm=realm)
            ],
            "checks": [timed(msgspec.to_builtins(seen)) for seen in checks],
            "attempts": [timed(msgspec.to_builtins(seen)) for seen in await self._attempts(person_id, realm, None)],
        } | {name: [timed(line) for line in lines] for name, lines in sections.items()}


_GONE: Final = frozenset(state.name for state in DEAD)


async def _pairs(db: Connection, query: str, ids: Sequence[int]) -> list[tuple[Any, ...]]:
    return await (await db.execute(query, (list(ids),))).fetchall()
