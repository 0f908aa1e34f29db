"""Fill an empty register with the fictional country, and make the credentials of its offices.

Order matters: the stock is loaded first (its entries lie in the past), then principals and coverage are recorded.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from annul.demo.country import (
    BATCH_PERSONS,
    EVENTS,
    KINDS,
    PROOFS,
    SCHEME_NAMES,
    Batch,
    Country,
    Happening,
    Persons,
    SchemeNo,
)
from annul.demo.lives import standings
from annul.errors import Conflict
from annul.keys import Keys
from annul.records.codes import Channel, Coverage, Purpose, Realm
from annul.records.document import Document, DocumentKeys, block, number_block, person_block
from annul.records.entry import Entry, EntryKind, encode
from annul.records.status import State
from annul.registry.parties.parties import Agreement, Parties, Role
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Row
from annul.registry.writing.loading import LoadedEntry, LoadedReport, Loading
from annul.times import HOUR_US, SECOND_US

OPERATOR: Final = "operator"
ISSUER: Final = "civil-registry"
POLICE: Final = "police-desk"
PROVISIONAL_US: Final = 72 * HOUR_US

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Office:
    """One principal of the demo: `credential` is its name in demo.json."""

    credential: str
    id: str
    name: str
    role: Role
    organisation: str
    agreement: Agreement | None = None


_CHANNELS: Final = frozenset(channel.value for channel in Channel)
OFFICES: Final = (
    Office(
        "bank",
        "first-bank",
        "First Bank of Utopia, branch 0421",
        "relying_party",
        "First Bank of Utopia",
        Agreement(
            frozenset({Purpose.account_opening, Purpose.account_servicing, Purpose.payment, Purpose.credit, Purpose.medical}),
            _CHANNELS,
            per_second=200_000,
            per_day=10**11,
            reasons_allowed=True,
            identity_allowed=True,
            photo_allowed=True,
        ),
    ),
    Office(
        "telecom",
        "utopia-mobile",
        "Utopia Mobile, shop 7",
        "relying_party",
        "Utopia Mobile",
        Agreement(frozenset({Purpose.sim_registration}), _CHANNELS, per_second=50, per_day=100_000),
    ),
    Office(
        "police",
        POLICE,
        "Police desk, Market Square",
        "police",
        "Police of Utopia",
        Agreement(frozenset({Purpose.law_enforcement}), _CHANNELS, per_second=50, reasons_allowed=True),
    ),
    Office("issuer", ISSUER, "Civil registry", "issuer", "Ministry of the Interior"),
    Office("second_officer", "civil-registry-2", "Civil registry, second officer", "issuer", "Ministry of the Interior"),
    Office("supervisor", "data-supervisor", "Supervisor of data protection", "supervisor", "Parliament of Utopia"),
)
"""Who works with the demo's register. The bank sees exact reasons, the telecom company the class of a reason alone."""

COVERAGE: Final = (
    ("cn-resident", Coverage.whole_life),
    ("icao-9303/UTO/P", Coverage.whole_life),
    ("icao-9303/UTO/ID", Coverage.whole_life),
    ("ru-internal", Coverage.listing_only),
)


async def make_offices(parties: Parties) -> dict[str, dict[str, str]]:
    """Record every office with a live key and a test key; return demo.json's `credentials`."""
    act = Act(OPERATOR)
    credentials: dict[str, dict[str, str]] = {}
    for office in OFFICES:
        with contextlib.suppress(Conflict):  # an interrupted start made it; its keys are lost, so it gets new ones
            await parties.create(
                act, office.id, office.name, office.role, organisation=office.organisation, agreement=office.agreement
            )
        live = await parties.issue_key(act, office.id, realm="live", label="demo")
        test = await parties.issue_key(act, office.id, realm="test", label="demo, test data")
        credentials[office.credential] = {
            "key": live.token,
            "test_key": test.token,
            "id": office.id,
            "role": office.role,
            "name": office.name,
        }
    for name, extent in COVERAGE:
        await parties.set_coverage(act, name, extent)
    return credentials


def load_country(conninfo: str, keys: Keys, country: Country, holders: int, progress: Progress = lambda _count: None) -> int:
    """Load the country's documents into an empty register; return how many there are.

    Args:
        conninfo: the register's database.
        keys: the key file.
        country: what to draw from.
        holders: persons.
        progress: called with the number of documents loaded since the last call.

    Raises:
        Conflict: the register is not empty.
    """
    count = 0
    blind = keys.documents("live")
    with Loading(conninfo) as loading:
        for persons, batch in country.holders(holders):
            rows, entries = part_of(persons, batch, blind, loading.next_id)
            loading.add(rows, entries)
            count += len(rows)
            progress(len(rows))
    return count


def part_of(persons: Persons, batch: Batch, keys: DocumentKeys, first_id: int = 1) -> tuple[list[Row], list[LoadedEntry]]:
    """Turn one part of the country into rows (the first with id `first_id`) and entries."""
    after, last = standings(batch.events, len(batch))
    rows = _rows(persons, batch, keys, last, first_id)
    entries: list[LoadedEntry] = []
    events = batch.events
    columns = zip(
        events.row.tolist(),
        events.what.tolist(),
        events.happened_us.tolist(),
        events.recorded_us.tolist(),
        events.proof.tolist(),
        after.tolist(),
        _number_counts(batch).tolist(),
        strict=True,
    )
    open_reports: dict[int, int] = {}
    for row_place, what, happened_us, recorded_us, proof, standing, number_count in columns:
        row = rows[row_place]
        reported = what in (Happening.report_lost, Happening.report_stolen)
        author = POLICE if what in _BY_POLICE else OPERATOR if what == Happening.lapse else ISSUER
        entry = Entry(
            kind=EntryKind.document,
            realm=Realm.live,
            recorded_at_us=recorded_us,
            happened_at_us=happened_us,
            author=author,
            reason=EVENTS[what],
            proof=PROOFS[proof] if what in _PROVEN else None,
            evidence="",
            document_key=row.document_key,
            number_key=row.number_key or b"",
            key_epoch=keys.epoch,
            standing=standing,
            valid_until_day=row.expiry_day,
            number_count=number_count,
            number_whole_life=True,  # the country's issuers provide whole lives
        )
        if row_place in open_reports and not reported:
            _close_report(entries, open_reports, row_place, what)
        report = _report(what, happened_us, recorded_us, proof, standing) if reported else None
        if report is not None:
            open_reports[row_place] = len(entries)
        entries.append(LoadedEntry(row_place, recorded_us, encode(entry), report))
    return rows, entries


_BY_POLICE: Final = frozenset(
    {Happening.report_lost, Happening.report_stolen, Happening.confirm_lost, Happening.confirm_stolen, Happening.surrender}
    | {Happening.lift, Happening.blank_stolen}
)
_PROVEN: Final = frozenset(_BY_POLICE - {Happening.blank_stolen} | {Happening.owner_lock})
_REPORT_ENDS: Final = {
    Happening.confirm_lost: "in_force",
    Happening.confirm_stolen: "in_force",
    Happening.lapse: "lapsed",
    Happening.lift: "lifted",
}


def _report(what: int, happened_us: int, recorded_us: int, proof: int, standing: int) -> LoadedReport:
    provisional = bool(standing & State.suspended.bit)
    return LoadedReport(
        id="r_" + secrets.token_hex(12),
        event=EVENTS[what].value,
        proof=PROOFS[proof].value,
        author=POLICE,
        evidence="",
        happened_at_us=happened_us,
        recorded_at_us=recorded_us,
        state="provisional" if provisional else "in_force",
        lapses_at_us=recorded_us + PROVISIONAL_US if provisional else None,
    )


def _close_report(entries: list[LoadedEntry], open_reports: dict[int, int], row: int, what: int) -> None:
    """Bring the report of a document to the state that a later event leaves it in."""
    place = open_reports[row]
    old = entries[place]
    assert old.report is not None
    state = _REPORT_ENDS.get(Happening(what))
    if state is None and old.report.state == "provisional":
        state = "in_force"
    if state is not None:
        told = old.report
        closed = LoadedReport(
            told.id, told.event, told.proof, told.author, told.evidence, told.happened_at_us, told.recorded_at_us, state
        )
        entries[place] = LoadedEntry(row, old.recorded_at_us, old.entry, closed)


def _rows(persons: Persons, batch: Batch, keys: DocumentKeys, last: npt.NDArray[np.uint32], first_id: int) -> list[Row]:
    documents = documents_of(batch)
    place_of = persons.holder[0] if len(persons) else 0
    holders = [None if holder < 0 else holder - place_of for holder in batch.holder.tolist()]
    numbers = [number.decode() for number in persons.personal_number.tolist()]
    person_numbers = [number or f"UTO{holder:012d}" for number, holder in zip(numbers, persons.holder.tolist(), strict=True)]
    person_keys = _split(keys.blind(b"".join(person_block(number) for number in person_numbers)))
    blocks = b"".join(block(document) for document in documents)
    document_keys = _split(keys.blind(blocks))
    carried_keys = _split(keys.seal(blocks)) if keys.seal else [None] * len(documents)
    resident = batch.scheme == SchemeNo.CN_RESIDENT
    number_blocks = [number_block(document) for document, has in zip(documents, resident.tolist(), strict=True) if has]
    number_keys: list[bytes | None] = [None] * len(documents)
    for place, key in zip(np.flatnonzero(resident).tolist(), _split(keys.blind(b"".join(number_blocks))), strict=True):
        number_keys[place] = key
    what = batch.events.what
    broken = _rows_with(batch, (what == Happening.report_stolen) | (what == Happening.surrender))
    replaced = _rows_with(batch, what == Happening.replace)
    return [
        Row(
            id=0,
            realm=0,
            document_key=document_keys[place],
            number_key=number_keys[place],
            person_key=None if holder is None else person_keys[holder],
            coverage=document.coverage_name,
            kind=document.kind,
            valid_from_day=document.valid_from_day,
            valid_until_day=document.valid_until_day,
            standing=standing,
            custody_broken=place in broken,
            carried_key=carried_keys[place],
            replaced_by=first_id + follower if place in replaced and follower >= 0 else None,
        )
        for place, (document, holder, standing, follower) in enumerate(
            zip(documents, holders, last.tolist(), _followers(batch).tolist(), strict=True)
        )
    ]


def documents_of(batch: Batch) -> list[Document]:
    """Return the documents of a batch in normal form, as `parse_document` would."""
    columns = zip(
        batch.scheme.tolist(),
        batch.kind.tolist(),
        batch.number.tolist(),
        batch.valid_from_day.tolist(),
        batch.valid_until_day.tolist(),
        strict=True,
    )
    made = []
    for scheme, kind, number, since, until in columns:
        text = number.decode()
        if scheme == SchemeNo.RU_INTERNAL:
            made.append(Document(SCHEME_NAMES[scheme], "RU", "internal", text))
        elif scheme == SchemeNo.CN_RESIDENT:
            made.append(Document(SCHEME_NAMES[scheme], "CN", "resident", text, since, until))
        else:
            dates = (since, until) if since >= 0 else (None, None)
            made.append(Document(SCHEME_NAMES[scheme], "UTO", KINDS[kind], text, *dates))
    return made


def _followers(batch: Batch) -> npt.NDArray[np.int64]:
    """Return the place of the document that came after each in the holder's hand, -1 when there is none: shape (n,)."""
    order = np.lexsort((batch.valid_from_day, batch.kind, batch.scheme, batch.holder))
    line = np.stack((batch.holder, batch.scheme.astype(np.int64), batch.kind.astype(np.int64)))[:, order]
    same = (line[:, 1:] == line[:, :-1]).all(axis=0) & (line[0, 1:] >= 0)
    followers = np.full(len(batch), -1, np.int64)
    followers[order[:-1][same]] = order[1:][same]
    return followers


def _rows_with(batch: Batch, events: npt.NDArray[np.bool_]) -> set[int]:
    return set(batch.events.row[events].tolist())


def _number_counts(batch: Batch) -> npt.NDArray[np.int64]:
    """Return for each event how many documents its number had once it was recorded; 1 where numbers are not shared."""
    events = batch.events
    base = int(events.recorded_us.min(initial=0))
    seconds = (events.recorded_us - base) // SECOND_US
    person = batch.holder[events.row] % BATCH_PERSONS
    resident = batch.scheme[events.row] == SchemeNo.CN_RESIDENT
    moment = person * (1 << 34) + seconds
    issued = np.sort(moment[resident & (events.what == Happening.issue)])
    known = np.searchsorted(issued, moment, side="right") - np.searchsorted(issued, person * (1 << 34), side="left")
    counts: npt.NDArray[np.int64] = np.where(resident, known, 1)
    return counts


def _split(keys: bytes) -> list[bytes]:
    return [keys[at : at + 16] for at in range(0, len(keys), 16)]
