"""Put right what was decided: correct, merge, cancel and take back records, inside one write; each is an entry with before and
after. What follows for documents is what follows from any fact about a person (rule 3), and is never taken back (rule 1).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from annul.errors import BadInput, Conflict, NotFound
from annul.records.names import check_name, same
from annul.records.person import DOCUMENTS_MAX, NAMES_MAX, CivilEvent, Name, Person
from annul.records.status import Event
from annul.registry.people import rows
from annul.registry.people.register import People
from annul.registry.people.rows import COLUMNS, PersonRow
from annul.registry.people.vault import Vault
from annul.registry.writing.act import Act
from annul.registry.writing.register import Register
from annul.registry.writing.store import Connection, Write

Optional = Annotated[str, Meta(max_length=200)] | None


class Correction(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True, kw_only=True):
    """Say what a record shall say; None leaves a field as it is, an empty text takes it away.

    Args:
        name, latin_name: the main name and its Latin form; the ones so far were wrong and do not become former names.
        personal_number: personal number of the person, as the issuer gives it.
        sex: `F`, `M`, `X`, or "" when it is not known.
        birth_date: day of birth, YYYY-MM-DD; "" when it is not known.
        death_date: day of death, YYYY-MM-DD; "" for the living.
        place: where it was; as people would write it.
        status: living, deceased or emigrated; null leaves it.
        mother: personal number or name of the mother; "" when it is not known.
        father: personal number or name of the father; "" when it is not known.
        origin: where the record comes from.
    """

    personal_number: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    name: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    latin_name: Optional = None
    sex: Literal["F", "M", "X", ""] | None = None
    birth_date: Annotated[str, Meta(max_length=10)] | None = None
    death_date: Annotated[str, Meta(max_length=10)] | None = None
    place: Optional = None
    status: Literal["living", "deceased", "emigrated"] | None = None
    mother: Annotated[str, Meta(max_length=64)] | None = None
    father: Annotated[str, Meta(max_length=64)] | None = None
    origin: Optional = None

    def applied(self, person: Person) -> Person:
        """Return the person as corrected.

        Raises:
            BadInput: a name is none.
        """
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        main, latin = given.pop("name", None), given.pop("latin_name", None)
        names = list(person.names)
        if main is not None:
            check_name(main, "/correction/name")
            names = [Name(main), *names[1:]]
        if latin is not None:
            names = [each for each in names if each.kind != "latin"]
            if latin:
                check_name(latin, "/correction/latin_name")
                names.insert(1, Name(latin, "latin"))
        return msgspec.structs.replace(person, names=names, **given)

    @property
    def empty(self) -> bool:
        """Tell whether nothing is corrected."""
        return all(value is None for value in msgspec.structs.astuple(self))


class Done(msgspec.Struct, frozen=True):
    """Say what a decision did: positions of its entries, and how many documents it changed."""

    positions: list[int]
    documents: int = 0


_NOTHING_KEPT: Final = "The record has changed since; take the later change back first."


class Corrections:
    """Carry decisions out.

    Args:
        people: the register of persons.
        register: documents, for what follows for them.
        vault: persons' keys.
    """

    def __init__(self, people: People, register: Register, vault: Vault) -> None:
        self._people, self._register, self._vault = people, register, vault

    async def correct(
        self, write: Write, act: Act, person_id: int, correction: Correction, *, cancels: bool, evidence: str
    ) -> Done:
        """Correct a record; with `cancels` the documents that show what was wrong no longer count."""
        row = await rows.by_id(write.db, act.realm_code, person_id)
        cancels = cancels and not await self._others(write.db, row)
        after = correction.applied(rows.open_row(row, self._vault))
        dead = after.status == "deceased"
        done = await self._people.changed(
            write,
            act,
            row,
            lambda _: after,
            CivilEvent.number_correction if correction.personal_number is not None else CivilEvent.correction,
            happened_at_us=write.recorded_at_us,
            evidence=evidence,
            consequence=(Event.cancel_death if dead else Event.cancel_data) if cancels else None,
        )
        position = await _position_of(write, person_id)
        return Done([position], done.documents)

    async def merge(self, write: Write, act: Act, kept_id: int, others: list[int], *, evidence: str) -> Done:
        """Let one record stand for several of one person; documents of numbers that thereby end no longer count."""
        kept = await rows.by_id(write.db, act.realm_code, kept_id)
        person = rows.open_row(kept, self._vault)
        ended: list[PersonRow] = []
        positions: list[int] = []
        for other_id in others:
            row = await rows.by_id(write.db, act.realm_code, other_id)
            person = _joined(person, rows.open_row(row, self._vault))
            positions.append(await self._end(write, act, row, CivilEvent.merged, "merged", kept_id, evidence))
            ended.append(row)
        await self._people.changed(
            write, act, kept, lambda _: person, CivilEvent.merged, happened_at_us=write.recorded_at_us, evidence=evidence
        )
        positions.insert(0, await _position_of(write, kept_id))
        count = 0
        for row in ended:
            if row.person_key != kept.person_key and not await self._others(write.db, row):
                _, documents = await self._register.fan_out(
                    write, act, row.person_key, Event.cancel_data, happened_at_us=write.recorded_at_us, evidence=evidence
                )
                count += documents
        return Done(positions, count)

    async def cancel(self, write: Write, act: Act, person_id: int, *, evidence: str) -> Done:
        """Take a false entry out of force; its documents were issued in error, and are revoked."""
        row = await rows.by_id(write.db, act.realm_code, person_id)
        position = await self._end(write, act, row, CivilEvent.cancelled, "cancelled", None, evidence)
        count = 0
        if not await self._others(write.db, row):
            _, count = await self._register.fan_out(
                write, act, row.person_key, Event.revoke_error, happened_at_us=write.recorded_at_us, evidence=evidence
            )
        return Done([position], count)

    async def take_back(self, write: Write, act: Act, positions: list[int], *, evidence: str) -> Done:
        """Take the entries of a decision back: records say, and count, what they did before. Documents stay as they are.

        Raises:
            Conflict: a record has changed since.
        """
        done = []
        for position in positions:
            found = await write.one(
                "SELECT v.person_id, v.ciphertext, r.ended FROM person_version v JOIN person_record r ON r.id = v.person_id "
                "WHERE v.position = %s AND r.realm = %s AND r.wrapped_key IS NOT NULL",
                position,
                act.realm_code,
            )
            if found is None:
                raise NotFound("The record was erased.")
            person_id, before, ended = found
            later = await write.one("SELECT 1 FROM person_version WHERE person_id = %s AND position > %s", person_id, position)
            if later is not None:
                raise Conflict(_NOTHING_KEPT)
            row = await _any(write.db, person_id)
            if ended is None:
                earlier = rows.open_version(row, bytes(before), self._vault)
                as_it_was = partial(_always, earlier)
                await self._people.changed(
                    write,
                    act,
                    row,
                    as_it_was,
                    CivilEvent.revert,
                    happened_at_us=write.recorded_at_us,
                    evidence=evidence,
                )
                done.append(await _position_of(write, person_id))
            else:
                done.append(await self._restore(write, act, row, evidence))
        return Done(done)

    # Inner parts -------------------------------------------------------------------------------------------------

    async def _end(
        self, write: Write, act: Act, row: PersonRow, event: CivilEvent, how: str, into: int | None, evidence: str
    ) -> int:
        now = write.recorded_at_us
        position = write.append(self._people.entry(write, act, event, row.id, now, evidence, before=row.ciphertext))
        await rows.move(write, row, replace(row, position=position))
        await write.run("UPDATE person_record SET ended = %s, merged_into = %s WHERE id = %s", how, into, row.id)
        await rows.note(write, act, row.id, event, now, evidence, position)
        return position

    async def _restore(self, write: Write, act: Act, row: PersonRow, evidence: str) -> int:
        now = write.recorded_at_us
        entry = self._people.entry(write, act, CivilEvent.revert, row.id, now, evidence, after=row.ciphertext)
        position = write.append(entry)
        await rows.move(write, row, replace(row, position=position))
        await write.run("UPDATE person_record SET ended = NULL, merged_into = NULL WHERE id = %s", row.id)
        await rows.note(write, act, row.id, CivilEvent.revert, now, evidence, position)
        return position

    async def _others(self, db: Connection, row: PersonRow) -> bool:
        """Tell whether somebody else has this number: then nobody knows whose documents they are, and none is touched."""
        return any(each.id != row.id for each in await rows.by_key(db, row.realm, row.person_key))


async def _any(db: Connection, person_id: int) -> PersonRow:
    """Return a record, in force or not."""
    found = await (await db.execute(f"SELECT {COLUMNS} FROM person_record WHERE id = %s", (person_id,))).fetchone()
    assert found is not None
    return PersonRow(*found)


async def _position_of(write: Write, person_id: int) -> int:
    found = await write.one("SELECT position FROM person_record WHERE id = %s", person_id)
    assert found is not None
    return int(found[0])


def _joined(kept: Person, other: Person) -> Person:
    """Return the kept person with what only the other record knows; names of the other become former names."""
    names = list(kept.names)
    for name in other.names:
        if not any(same(name.text, known.text) for known in names):
            names.append(Name(name.text, "former"))
    documents = [*kept.documents, *(each for each in other.documents if each not in kept.documents)]
    if len(names) > NAMES_MAX or len(documents) > DOCUMENTS_MAX:
        raise BadInput("The merged record would hold too many names or documents.", where="/keep")
    blanks = {
        name: getattr(other, name)
        for name in ("sex", "birth_date", "death_date", "place", "mother", "father", "origin", "contacts")
        if not getattr(kept, name) and getattr(other, name)
    }
    if blanks.get("death_date") and kept.status != "deceased":
        del blanks["death_date"]
    return msgspec.structs.replace(kept, names=names, documents=documents, **blanks)


def _always(earlier: Person, _now: Person) -> Person:
    """Return what a record was, whatever it is now."""
    return earlier
