"""Persons one by one: entering, changes and their consequences, deaths that wait, erasure, and what the check path sees."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil

import msgspec
import psycopg
import pytest

from annul import keys as key_file
from annul.errors import BadInput, Conflict, Corrupt, NotFound, TransitionRefused
from annul.records.document import DocumentFields
from annul.records.entry import EntryKind, decode
from annul.records.person import CivilEvent, Name, PersonBody
from annul.records.status import Proof
from annul.registry.loops.rotation import rotate
from annul.registry.people.rows import read_all, retag, rewrap
from annul.registry.people.vault import Vault, digest
from annul.registry.writing.act import Act, Idempotency
from annul.registry.writing.store import Fresh, connect
from tests.registry.people.town import BORN, REGISTRAR, WANG, Town, person, phone
from tests.registry.world import DAY_US, ISSUER, POLICE, START_US, WEAK, card, passport
from tests.world import said


def add(town: Town, *people: object) -> list[int]:
    """Enter persons and follow; return their ids."""

    async def all_of_them() -> list[int]:
        return [(await town.people.add(REGISTRAR, each, happened_at_us=START_US)).person for each in people]  # type: ignore[arg-type]

    ids = asyncio.run(all_of_them())
    town.follow()
    return ids


def state(town: Town, document: object) -> str:
    """Return the state the register gives a document."""
    found = asyncio.run(town.register.history(ISSUER, document, case="test"))  # type: ignore[arg-type]
    return found[-1].state


def test_a_person_is_known_by_number_and_by_every_way_to_write_the_name(town: Town) -> None:
    """Main, Latin and former names, and documents with numbers of their own."""
    travel = DocumentFields(scheme="icao-9303", issuer="UTO", kind="P", number="L898902C3")
    add(town, person(name="歐陽修", latin="Ouyang Xiu", former=["欧阳大"], documents=[travel]))
    for name in ("欧阳修", "歐陽修", "OUYANG XIU", "Xiu Ouyang", "欧阳大"):
        assert town.asked(WANG, name) == "M1"
    assert town.asked("L898902C3", "Ouyang, Xiu", scheme="icao-9303", issuer="UTO", kind="P") == "M1"
    assert town.asked(WANG, "欧阳秀") == "M2"
    assert town.asked("440524198001010013", "欧阳修") == "M3"
    assert town.asked(WANG, "欧阳修", realm="test") == "M3"


def test_nothing_readable_lies_in_the_database(town: Town) -> None:
    """No number, no name and no telephone number in any table, only sealed bytes and keys."""
    add(town, person(latin="Wang Xiaoming", contacts=phone("+86 10 5550 0199")))
    with psycopg.connect(town.conninfo) as db:
        tables = db.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").fetchall()
        dump = b"".join(repr(db.execute(f'SELECT t.* FROM "{name}" t').fetchall()).encode() for (name,) in tables)
    for secret in (WANG, "Xiaoming", "王小明", "王小明".encode().hex(), "5550"):
        assert secret.encode() not in dump


def test_a_number_is_entered_once_and_a_bad_person_not_at_all(town: Town) -> None:
    """Nothing is half-written."""
    add(town, person())
    with pytest.raises(Conflict):
        add(town, person(name="李大"))
    with pytest.raises(BadInput, match="cannot be entered"):
        add(town, person(number="X1", name="Iv\u0430n"))
    with psycopg.connect(town.conninfo) as db:
        assert db.execute("SELECT count(*) FROM person_record").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM register_log").fetchone() == (1,)


def test_every_change_is_an_entry_with_what_was_and_what_is(town: Town) -> None:
    """The hashes in the log fit the sealed records, and a change can be taken back."""
    (wang,) = add(town, person())
    with psycopg.connect(town.conninfo) as db:
        first = bytes(db.execute("SELECT ciphertext FROM person_record").fetchone()[0])  # type: ignore[index]
    renamed = asyncio.run(town.people.rename(REGISTRAR, WANG, "王大明", happened_at_us=START_US, evidence="deed 7"))
    town.follow()
    assert town.asked(WANG, "王大明") == town.asked(WANG, "王小明") == "M1"
    with psycopg.connect(town.conninfo) as db:
        entry = decode(bytes(db.execute("SELECT entry FROM register_log WHERE position = 2").fetchone()[0]))  # type: ignore[index]
        now = bytes(db.execute("SELECT ciphertext FROM person_record").fetchone()[0])  # type: ignore[index]
    body = PersonBody.decode(entry.body)
    assert entry.kind is EntryKind.person
    assert (body.event, body.person, body.before, body.after) == (CivilEvent.name_change, wang, digest(first), digest(now))
    asyncio.run(town.people.revert(REGISTRAR, wang, renamed.position, happened_at_us=START_US, evidence="in error"))
    town.follow()
    assert (town.asked(WANG, "王大明"), town.asked(WANG, "王小明")) == ("M2", "M1")
    lines = asyncio.run(town.people.past(REGISTRAR, wang))
    assert [line.event for line in lines] == ["birth", "name_change", "revert"]


def test_a_look_up_is_entered_in_the_log_first(town: Town) -> None:
    """Who, for which case; without a case there is no answer."""
    add(town, person())
    with pytest.raises(BadInput):
        asyncio.run(town.people.find(REGISTRAR, WANG, case=""))
    (found,) = asyncio.run(town.people.find(REGISTRAR, WANG, case="visit-1"))
    assert found.person.names == [Name("王小明")]
    with pytest.raises(NotFound):
        asyncio.run(town.people.find(REGISTRAR, "440524198001010013", case="visit-2"))
    with psycopg.connect(town.conninfo) as db:
        notes = [entry for entry in said(db) if entry.kind is EntryKind.note]
    assert [(note.author, note.evidence) for note in notes] == [(REGISTRAR.author, "visit-1"), (REGISTRAR.author, "visit-2")]


def test_a_wrong_number_is_corrected_and_its_documents_die(town: Town) -> None:
    """The old number is unknown from then on; cards that bear it no longer count."""
    add(town, person())
    asyncio.run(town.register.issue(ISSUER, card(), happened_at_us=START_US))
    recorded = asyncio.run(town.people.correct_number(REGISTRAR, WANG, "440524198001010013", happened_at_us=START_US))
    town.follow()
    assert recorded.documents == 1
    assert (town.asked(WANG, "王小明"), town.asked("440524198001010013", "王小明")) == ("M3", "M1")
    assert state(town, card()) == "cancelled"


def test_loss_of_nationality_cancels_documents_and_emigration_alone_does_not(town: Town) -> None:
    """A fact about the person fans out to all documents; a move abroad is no such fact."""
    add(town, person())
    asyncio.run(town.register.issue(ISSUER, card(), happened_at_us=START_US))
    assert asyncio.run(town.people.emigrate(REGISTRAR, WANG, happened_at_us=START_US)).documents == 0
    assert state(town, card()) == "current"
    asyncio.run(town.people.emigrate(REGISTRAR, WANG, happened_at_us=START_US, loss_of_nationality=True))
    assert state(town, card()) == "cancelled"


def test_contacts_are_frozen_while_a_document_is_suspended(town: Town) -> None:
    """Rule 9: who reports a card by telephone cannot also take the holder's telephone away."""
    add(town, person(contacts=phone("1")))

    async def walk() -> None:
        await town.register.issue(ISSUER, card(), happened_at_us=START_US)
        await town.people.set_contacts(REGISTRAR, WANG, phone("2"), proof=Proof.online, happened_at_us=START_US)
        await town.register.report(POLICE, card(), "lost", happened_at_us=START_US, proof=WEAK)
        with pytest.raises(TransitionRefused) as refused:
            await town.people.set_contacts(REGISTRAR, WANG, phone("3"), proof=Proof.online, happened_at_us=START_US)
        assert refused.value.extra["rule"] == 9
        await town.people.set_contacts(REGISTRAR, WANG, phone("4"), proof=Proof.in_person, happened_at_us=START_US)
        (found,) = await town.people.find(REGISTRAR, WANG, case="c")
        assert found.person.contacts == phone("4")

    asyncio.run(walk())


@pytest.mark.parametrize(
    ("number", "name", "born"),
    [("440524198001010013", "王小明", BORN), (WANG, "王小朋", BORN), (WANG, "王小明", "1949-12-30"), (WANG, "王小明", "")],
)
def test_a_death_that_does_not_fit_in_one_point_is_not_recorded(town: Town, number: str, name: str, born: str) -> None:
    """Number, name and birth date must fit; which of them did not is not told."""
    add(town, person())
    with pytest.raises(Conflict, match="do not point to one living person"):
        asyncio.run(town.people.report_death(REGISTRAR, number, name, born, happened_at_us=START_US))


def test_a_death_waits_before_documents_are_cancelled(town: Town) -> None:
    """Nothing before it is due; then all documents of all schemes, and nothing twice."""
    add(town, person())

    async def walk() -> None:
        await town.register.issue(ISSUER, card(), happened_at_us=START_US)
        await town.register.issue(ISSUER, passport(), happened_at_us=START_US, person_number=WANG)
        told = await town.people.report_death(REGISTRAR, WANG, "王小明", BORN, happened_at_us=START_US)
        assert told.due_at_us is not None
        with pytest.raises(Conflict, match="waits"):
            await town.people.report_death(REGISTRAR, WANG, "王小明", BORN, happened_at_us=START_US)
        assert await town.people.carry_out_due() == 0
        town.clock.us += 14 * DAY_US
        assert await town.people.carry_out_due() == 1
        assert await town.people.carry_out_due() == 0
        assert (await town.people.death(REGISTRAR, told.death)).state == "carried_out"
        (found,) = await town.people.find(REGISTRAR, WANG, case="c")
        assert (found.person.status, found.person.death_date) == ("deceased", "2023-11-14")
        with pytest.raises(Conflict, match="does not wait"):
            await town.people.appeal_death(REGISTRAR, told.death, grounds="I live")

    asyncio.run(walk())
    assert (state(town, card()), state(town, passport())) == ("cancelled", "cancelled")


def test_an_appeal_stops_a_death(town: Town) -> None:
    """The living are not cancelled; a new report begins anew."""
    add(town, person())

    async def walk() -> None:
        await town.register.issue(ISSUER, card(), happened_at_us=START_US)
        told = await town.people.report_death(REGISTRAR, WANG, "王小明", BORN, happened_at_us=START_US)
        await town.people.appeal_death(REGISTRAR, told.death, grounds="came in person")
        town.clock.us += 15 * DAY_US
        assert await town.people.carry_out_due() == 0
        assert (await town.people.death(REGISTRAR, told.death)).state == "appealed"
        await town.people.report_death(REGISTRAR, WANG, "王小明", BORN, happened_at_us=START_US)

    asyncio.run(walk())
    assert state(town, card()) == "current"


def test_the_follower_carries_out_what_is_due(town: Town) -> None:
    """Nobody has to remember it."""
    add(town, person())

    async def walk() -> None:
        await town.register.issue(ISSUER, card(), happened_at_us=START_US)
        await town.people.report_death(REGISTRAR, WANG, "王小明", BORN, happened_at_us=START_US)

    asyncio.run(walk())
    town.clock.us += 15 * DAY_US
    with asyncio.Runner() as runner:
        town.follower.errands(runner)
    assert state(town, card()) == "cancelled"


def test_erasing_destroys_the_key_and_the_log_still_reads(town: Town) -> None:
    """Neither record nor version opens, the check path forgets the person, and the number may be entered anew."""
    (wang,) = add(town, person())
    asyncio.run(town.people.rename(REGISTRAR, WANG, "王大明", happened_at_us=START_US))
    asyncio.run(town.people.erase(REGISTRAR, wang, evidence="decision 12"))
    town.follow()
    assert town.asked(WANG, "王小明") == town.asked(WANG, "王大明") == "M3"
    with pytest.raises(NotFound):
        asyncio.run(town.people.find(REGISTRAR, WANG, case="c"))
    with psycopg.connect(town.conninfo) as db:
        kept = db.execute("SELECT wrapped_key, ciphertext, holder_keys, name_tags FROM person_record").fetchone()
        versions = db.execute("SELECT ciphertext, name_tags FROM person_version").fetchall()
    assert kept == (None, b"", b"", b"")
    assert versions == [(b"", b"")]
    add(town, person())
    assert town.asked(WANG, "王小明") == "M1"


def test_a_repeated_request_changes_nothing(town: Town) -> None:
    """The same Idempotency-Key gets the same answer."""
    act = Act(REGISTRAR.author, idempotency=Idempotency.of(REGISTRAR.author, "k", b"body"))
    first = asyncio.run(town.people.add(act, person(), happened_at_us=START_US))
    again = asyncio.run(town.people.add(act, person(), happened_at_us=START_US))
    assert again.replayed
    assert (again.person, again.position) == (first.person, first.position)


def test_the_table_of_names_is_made_anew_from_the_rows(town: Town) -> None:
    """A lost file, a flipped bit: what follows is what was."""
    add(town, person(), person(number="440524198001010013", name="李雷"))
    asyncio.run(town.people.rename(REGISTRAR, WANG, "王大明", happened_at_us=START_US))
    town.follow()
    town.close()
    for path in (town.home / "people").glob("table-*.slots"):
        path.unlink()
    town.follow()
    assert town.asked(WANG, "王大明") == town.asked("440524198001010013", "李雷") == "M1"


def test_document_keys_rotate_and_names_still_match(town: Town) -> None:
    """Tags are re-keyed without a name being read."""
    add(town, person())
    asyncio.run(town.people.rename(REGISTRAR, WANG, "王大明", happened_at_us=START_US))
    town.follow()
    town.close()
    rotate(town.conninfo, town.home, town.clock)
    turned = Town(town.conninfo, town.home)
    turned.clock.us = town.clock.us + DAY_US
    turned.keys = key_file.load(town.home)
    try:
        turned.follow()
        assert turned.asked(WANG, "王大明") == turned.asked(WANG, "王小明") == "M1"
        (found,) = asyncio.run(turned.people.find(REGISTRAR, WANG, case="c"))
        asyncio.run(turned.people.revert(REGISTRAR, found.id, found.position or 0, happened_at_us=START_US, evidence="e"))
        turned.follow()
        assert turned.asked(WANG, "王大明") == "M2"
    finally:
        turned.close()


def test_the_master_key_set_rotates_and_every_record_opens(town: Town) -> None:
    """Old keys unwrap until all records are wrapped by the new one."""
    ids = add(town, person(), person(number="440524198001010013", name="李雷"))
    vault = Vault(town.home)
    vault.rotate()
    with connect(town.conninfo) as db:
        assert {person.names[0].text for batch in read_all(db, vault, 0) for _, person in batch} == {"王小明", "李雷"}
        assert rewrap(db, vault) == len(ids)
        assert rewrap(db, vault) == 0
        assert sum(len(batch) for batch in read_all(db, Vault(town.home), 0)) == len(ids)


def test_tags_in_an_older_form_are_made_anew_from_the_records(town: Town) -> None:
    """A name is not found under what an older version stored; after `retag`, and the table made anew, it is."""
    add(town, person(name="Олег Гнатів"))
    town.follow()
    assert town.asked(WANG, "OLEH HNATIV") == "M1"
    town.close()
    with psycopg.connect(town.conninfo, autocommit=True) as db:
        db.execute("UPDATE person_record SET name_tags = %s, name_version = 1", (bytes(16),))
    shutil.rmtree(town.home.people)
    older = Town(town.conninfo, town.home)
    older.follow()
    assert older.asked(WANG, "OLEH HNATIV") == "M2"
    older.close()
    keys = key_file.load(town.home)
    with connect(town.conninfo) as db:
        ways = {realm: keys.documents(name) for name, realm in (("live", 0), ("test", 1))}
        assert retag(db, Vault(town.home), ways) == 1
        assert retag(db, Vault(town.home), ways) == 0
    shutil.rmtree(town.home.people)
    newer = Town(town.conninfo, town.home)
    newer.follow()
    try:
        assert newer.asked(WANG, "OLEH HNATIV") == newer.asked(WANG, "Гнатів Олег") == "M1"
        assert newer.asked(WANG, "ОЛЕГ ГНАТИВ") == "M2"
    finally:
        newer.close()


def test_a_record_opens_only_with_its_own_key_at_its_own_place(town: Town) -> None:
    """Exchanged or changed bytes are found, and so is another key set."""
    ids = add(town, person(), person(number="440524198001010013", name="李雷"))
    with psycopg.connect(town.conninfo, autocommit=True) as db:
        db.execute(
            "UPDATE person_record r SET ciphertext = o.ciphertext, wrapped_key = o.wrapped_key FROM person_record o "
            "WHERE r.id = %s AND o.id = %s",
            (ids[0], ids[1]),
        )
    with pytest.raises(Corrupt):
        asyncio.run(town.people.find(REGISTRAR, WANG, case="c"))
    town.home.person_keys.chmod(0o644)
    with pytest.raises(Exception, match="can be read by others"):
        Vault(town.home).new_key(1)


def test_persons_of_the_test_realm_are_never_seen_live(town: Town) -> None:
    """Neither by number nor by name."""
    asyncio.run(town.people.add(dataclasses.replace(REGISTRAR, realm="test"), person(), happened_at_us=START_US))
    town.follow()
    assert (town.asked(WANG, "王小明"), town.asked(WANG, "王小明", realm="test")) == ("M3", "M1")
    with pytest.raises(NotFound):
        asyncio.run(town.people.find(REGISTRAR, WANG, case="c"))


def test_a_view_is_json(town: Town) -> None:
    """What the door sends can be encoded as it is."""
    add(town, person())
    (found,) = asyncio.run(town.people.find(REGISTRAR, WANG, case="c"))
    assert msgspec.json.decode(msgspec.json.encode(found))["person"]["personal_number"] == WANG
    assert Fresh(town.conninfo)
