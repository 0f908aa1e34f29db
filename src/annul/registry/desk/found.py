"""Found cards: accepted from a finder without an account, held, matched to reports, given back or destroyed; nothing unseen.

    card = await found.accept(act, document, point="Market Square", shelf="B-12", found_at_us=t)
    await found.hand_over(act, card.id, given_by="Market Square", taken_by="Central store", place="…", handed_at_us=t)
    await found.hand_out(act, card.id, proof=Proof.in_person_fingerprint, evidence="…")

Every step is an entry of the register log and a line of the chain of custody. What must never happen here: a card that was
replaced and is given back; a card whose chain of custody has a gap and that works again; a card that is in two places.
Source: domain, section 3, rules 6 and 7.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from annul.errors import BadInput, Conflict, Forbidden, NotFound, TransitionRefused
from annul.records.document import Document
from annul.records.references import require_reference
from annul.records.shown import require_shown
from annul.records.status import Event, Proof, State, state_of
from annul.registry import notices
from annul.registry.writing import documents, personal
from annul.registry.writing.act import HAPPENED_AHEAD_MAX_US, Act
from annul.registry.writing.documents import Known, Row
from annul.registry.writing.ground import Ground
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.register import Recorded, Register
from annul.registry.writing.store import Connection, Write, reading, writing

TEXT_MAX: Final = 120
"""Characters of a place, a shelf, a keeper."""
FINDER: Final = "finder"
KEPT: Final = ("held", "to_destroy")

CardState = Literal["held", "to_destroy", "handed_out", "destroyed"]
Text = Annotated[str, Meta(max_length=200)]


class Finder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say who found a card and where; all may be empty. Sealed, and erased on demand.

    Args:
        name: name of the finder.
        contact: how to reach the person, as it was told.
        place: where it was; as people would write it.
    """

    name: Text = ""
    contact: Text = ""
    place: Text = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One hand-over of a card. `gap`: who gave it was not who had it by the chain."""

    step: int
    given_by: str
    taken_by: str
    place: str
    handed_at_us: int
    recorded_at_us: int
    author: str
    gap: bool
    position: int


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A report on the card that was found."""

    report: str
    event: str
    state: str
    happened_at_us: int
    recorded_at_us: int
    author: str


class FoundCard(msgspec.Struct, frozen=True, kw_only=True):
    """A found card.

    Args:
        status: state of the document in the register now.
        keeper: who has it; kept_by: the party at whose desk that is.
        broken: the chain of custody has a gap.
        works_again: giving it back would bring it into force: it was not reported, or replaced, or otherwise dead.
    """

    id: str
    state: CardState
    coverage: str
    kind: str
    valid_from_day: int | None
    status: str
    replaced: bool
    works_again: bool
    point: str
    shelf: str
    keeper: str
    kept_by: str
    broken: bool
    found_at_us: int
    accepted_at_us: int
    accepted_by: str
    ended_at_us: int | None
    ended_by: str | None
    matches: int


class FoundShown(msgspec.Struct, frozen=True, kw_only=True):
    """A found card with its chain of custody and the reports it matches."""

    card: FoundCard
    custody: list[Step]
    reports: list[Match]
    has_finder: bool


class HandInPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A place where found cards are handed in.

    Args:
        id: its id.
        party: id of the organisation.
        name: its name.
        address: street and place, as people would write it.
        hours: opening hours, as people would write them.
    """

    id: str
    party: str
    name: str
    address: str
    hours: str


_CARD: Final = (
    "SELECT f.id, f.state, d.coverage, d.kind, d.valid_from_day, d.standing, d.replaced_by IS NOT NULL, f.point, f.shelf, "
    "f.keeper, f.broken, f.found_at_us, f.accepted_at_us, f.accepted_by, f.ended_at_us, f.ended_by, "
    "(SELECT count(*) FROM report r WHERE r.document_id = d.id AND r.event IN ('report_lost', 'report_stolen') "
    "AND r.state IN ('provisional', 'in_force', 'recorded')), f.document_id, f.finder_id, f.kept_by "
    "FROM found_card f JOIN document d ON d.id = f.document_id"
)


class FoundCards:
    """Keep found cards.

    Args:
        ground: what every part stands on.
        register: moves the documents.
    """

    def __init__(self, ground: Ground, register: Register) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._register = register

    # -- steps -------------------------------------------------------------------------------------------------------------

    async def accept(
        self,
        act: Act,
        document: Document | Known,
        *,
        point: str,
        shelf: str,
        found_at_us: int,
        keeper: str = "",
        finder: Finder | None = None,
        evidence: str = "",
    ) -> Recorded:
        """Take a card that somebody found. From now on others have had it: a report on it is never lifted (rule 6).

        A card that was replaced, or is dead for another reason, is destroyed in the register at once and waits to be
        destroyed by hand; any other is held for its holder, who is told.

        Args:
            point: where it was handed in.
            shelf: where it lies.
            keeper: who has it now; the point by default.

        Returns:
            `id` is the found card's.

        Raises:
            Conflict: this card is held already.
        """
        point = require_reference(point, "point", least=1, most=TEXT_MAX)
        shelf = require_reference(shelf, "shelf", most=TEXT_MAX)
        keeper = require_reference(keeper or point, "keeper", least=1, most=TEXT_MAX)
        card_id = "f_" + secrets.token_hex(12)

        async def also(write: Write, row: Row, position: int) -> str:
            dead = bool(row.standing & State.destroyed.bit)
            finder_id = await self._seal(write, finder, card_id)
            made = await write.run(
                "INSERT INTO found_card (id, realm, document_id, state, point, shelf, keeper, finder_id, found_at_us, "
                "accepted_at_us, accepted_by, position, kept_by) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                card_id,
                row.realm,
                row.id,
                "to_destroy" if dead else "held",
                point,
                shelf,
                keeper,
                finder_id,
                found_at_us,
                write.recorded_at_us,
                act.author,
                position,
                act.author.partition("/")[0],
            )
            if made != 1:
                raise Conflict("This card is held already.", mend="Look for it in the list of found cards.")
            at_us = write.recorded_at_us
            await _chain(write, card_id, 1, FINDER, keeper, point, at_us, act.author, gap=False, position=position)
            if not dead:
                values = {"where": point, "reference": card_id}
                key, doc = f"found:{card_id}:held", row.id
                await notices.queue(
                    write.db, "found_card_held", key=key, now_us=at_us, realm=row.realm, document_id=doc, values=values
                )
            return card_id

        return await self._register.change(
            act, document, Event.surrender, happened_at_us=found_at_us, proof=Proof.in_person, evidence=evidence, also=also
        )

    async def hand_over(
        self, act: Act, card_id: str, *, given_by: str, taken_by: str, place: str, handed_at_us: int, party: str = ""
    ) -> Recorded:
        """Record that a card went from one keeper to another.

        Args:
            party: id of the party at whose desk it lies from now on; the same when it is not said.

        When `given_by` is not who had it by the chain, the chain has a gap: nobody knows who had the card meanwhile. The
        gap is recorded, not refused, and the card can only be destroyed from then on.
        """
        given_by = require_reference(given_by, "given_by", least=1, most=TEXT_MAX)
        taken_by = require_reference(taken_by, "taken_by", least=1, most=TEXT_MAX)
        place = require_reference(place, "place", most=TEXT_MAX)
        if handed_at_us > self._now_us() + HAPPENED_AHEAD_MAX_US:
            raise BadInput("This lies in the future.", where="handed_at")
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            known = await replay(write, act, Recorded)
            if known is not None:
                return msgspec.structs.replace(known, replayed=True)
            _, keeper, broken, document_id = await _kept(write, act, card_id)
            if party and not await write.one("SELECT 1 FROM principal WHERE id = %s AND role IN ('police', 'issuer')", party):
                raise BadInput("There is no such party with a desk.", where="party", mend="Give its id.")
            row = await documents.by_id(write.db, document_id)
            gap = given_by != keeper
            what = b"custody of a found card: gap" if gap else b"custody of a found card"
            position = write.note(act.author, card_id, what, realm=act.code, happened_at_us=handed_at_us)
            last = await write.one("SELECT max(step) FROM custody WHERE card_id = %s", card_id)
            step = (last[0] if last else 0) + 1
            await _chain(write, card_id, step, given_by, taken_by, place, handed_at_us, act.author, gap=gap, position=position)
            await write.run(
                "UPDATE found_card SET keeper = %s, broken = %s, kept_by = %s WHERE id = %s AND keeper = %s",
                taken_by,
                broken or gap,
                party or act.author.partition("/")[0],
                card_id,
                keeper,
            )
            recorded = Recorded(position=position, state=state_of(row.standing).name, id=card_id, changed=False)
            await remember(write, act, recorded)
        return recorded

    async def hand_out(self, act: Act, card_id: str, *, proof: Proof, evidence: str) -> Recorded:
        """Give a card back to its holder, who proved in person who she is.

        Returns:
            `state` is what the document is afterwards: a card that was reported lost stays dead (rule 6).

        Raises:
            TransitionRefused: weak proof, a gap in the chain of custody, a replacement was issued, or the card is dead.
            Conflict: the card is not held.
        """
        document = await self._document(act, card_id)

        async def also(write: Write, row: Row, position: int) -> str:
            state, _, broken, _ = await _kept(write, act, card_id)
            if state != "held":
                raise TransitionRefused(
                    "This card can no longer be used: it is destroyed, not returned.", rule=7, mend="Destroy it."
                )
            if broken:
                raise TransitionRefused(
                    "Nobody knows who had this card for a time, so it is not given back.", rule=6, mend="Destroy it."
                )
            await _end(write, act, card_id, "handed_out", position, proof=proof.value)
            await _hand_on(write, act, card_id, "holder", position)
            await notices.queue(
                write.db,
                "found_card_handed_out",
                key=f"found:{card_id}:out",
                now_us=write.recorded_at_us,
                realm=row.realm,
                document_id=row.id,
                values={"reference": card_id},
            )
            return card_id

        return await self._register.change(
            act, document, Event.return_to_holder, happened_at_us=self._now_us(), proof=proof, evidence=evidence, also=also
        )

    async def destroy(self, act: Act, card_id: str, *, evidence: str) -> Recorded:
        """Record that a card was destroyed by hand; the document never revives.

        Args:
            evidence: reference of the record of destruction.
        """
        if not evidence.strip():
            raise BadInput("A destruction has a record.", where="evidence", mend="Give the reference of the record.")
        document = await self._document(act, card_id)

        async def also(write: Write, row: Row, position: int) -> str:
            await _kept(write, act, card_id)
            await _end(write, act, card_id, "destroyed", position)
            await _hand_on(write, act, card_id, "destroyed", position)
            await notices.queue(
                write.db,
                "found_card_destroyed",
                key=f"found:{card_id}:destroyed",
                now_us=write.recorded_at_us,
                realm=row.realm,
                document_id=row.id,
                values={"reference": card_id},
            )
            return card_id

        return await self._register.change(
            act, document, Event.destroy, happened_at_us=self._now_us(), evidence=evidence, also=also
        )

    # -- questions ---------------------------------------------------------------------------------------------------------

    async def list(self, act: Act, state: CardState | None = None, *, limit: int = 200) -> list[FoundCard]:
        """Return found cards of the realm, those that wait longest first; ended ones newest first."""
        order = "f.accepted_at_us" if state in KEPT else "coalesce(f.ended_at_us, f.accepted_at_us) DESC"
        async with reading(self._connections) as db:
            found = await db.execute(
                f"{_CARD} WHERE f.realm = %s AND (f.state = %s OR %s) ORDER BY {order}, f.id LIMIT %s",
                (act.realm_code, state, state is None, limit),
            )
            return [_card(row) for row in await found.fetchall()]

    async def counts(self, act: Act) -> dict[str, int]:
        """Return how many cards are in each state."""
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT state, count(*) FROM found_card WHERE realm = %s GROUP BY state", (act.realm_code,)
            )
            return {state: int(count) for state, count in await found.fetchall()}

    async def view(self, act: Act, card_id: str) -> FoundShown:
        """Return a card with its chain and its matches; NotFound when there is none in this realm."""
        async with reading(self._connections) as db:
            row = await self._row(db, act, card_id)
            steps = await db.execute(
                "SELECT step, given_by, taken_by, place, handed_at_us, recorded_at_us, author, gap, position FROM custody "
                "WHERE card_id = %s ORDER BY step",
                (card_id,),
            )
            custody = [Step(**dict(zip(Step.__struct_fields__, step, strict=True))) for step in await steps.fetchall()]
            reports = await db.execute(
                "SELECT id, event, state, happened_at_us, recorded_at_us, author FROM report WHERE document_id = %s "
                "AND event IN ('report_lost', 'report_stolen') ORDER BY position",
                (row[17],),
            )
            matches = [Match(**dict(zip(Match.__struct_fields__, found, strict=True))) for found in await reports.fetchall()]
        return FoundShown(card=_card(row), custody=custody, reports=matches, has_finder=row[18] is not None)

    async def of_documents(self, document_ids: Sequence[int]) -> dict[int, FoundCard]:
        """Return the card that is kept, or was kept last, for each of these documents."""
        async with reading(self._connections) as db:
            found = await db.execute(f"{_CARD} WHERE f.document_id = ANY(%s) ORDER BY f.accepted_at_us", (list(document_ids),))
            return {row[17]: _card(row) for row in await found.fetchall()}

    async def finder(self, act: Act, card_id: str) -> Finder:
        """Return who found a card; NotFound when nobody was named, or it was erased."""
        async with reading(self._connections) as db:
            row = await self._row(db, act, card_id)
            found = await (
                await db.execute("SELECT ciphertext, wrapped_key FROM sealed_detail WHERE id = %s", (row[18],))
            ).fetchone()
        if found is None or found[1] is None:
            raise NotFound("No finder is on record.")
        return personal.unseal_as(Finder, bytes(found[0]), bytes(found[1]), row[18], self._keys.envelope)

    # -- hand-in points ----------------------------------------------------------------------------------------------------

    async def points(self) -> Sequence[HandInPoint]:
        """Return where found cards are handed in."""
        async with reading(self._connections) as db:
            found = await db.execute("SELECT id, party, name, address, hours FROM hand_in_point WHERE active ORDER BY name, id")
            return [HandInPoint(**dict(zip(HandInPoint.__struct_fields__, row, strict=True))) for row in await found.fetchall()]

    async def set_point(self, act: Act, point: HandInPoint) -> None:
        """Record a hand-in point of the caller's party, or change one of the same id."""
        party = act.author.partition("/")[0]
        for name in ("id", "name", "address"):
            require_reference(getattr(point, name), f"/{name}", least=1)
        async with writing(self._connections, self._now_us()) as write:
            await write.run(
                "INSERT INTO hand_in_point (id, party, name, address, hours) VALUES (%s, %s, %s, %s, %s) ON CONFLICT (id) DO "
                "UPDATE SET name = excluded.name, address = excluded.address, hours = excluded.hours, active = true "
                "WHERE hand_in_point.party = excluded.party",
                point.id,
                party,
                point.name,
                point.address,
                point.hours,
            )

    # -- inner parts -------------------------------------------------------------------------------------------------------

    async def _row(self, db: Connection, act: Act, card_id: str) -> tuple[Any, ...]:
        row = await (await db.execute(f"{_CARD} WHERE f.id = %s AND f.realm = %s", (card_id, act.realm_code))).fetchone()
        if row is None:
            raise NotFound("There is no such found card.")
        return row

    async def _document(self, act: Act, card_id: str) -> Known:
        async with reading(self._connections) as db:
            return Known((await self._row(db, act, card_id))[17])

    async def _seal(self, write: Write, finder: Finder | None, card_id: str) -> str | None:
        if finder is None or not (finder.name or finder.contact or finder.place):
            return None
        for member in ("name", "contact", "place"):
            require_shown(getattr(finder, member), f"/finder/{member}")
        sealed = personal.seal(finder, card_id, self._keys.envelope)
        await write.run(
            "INSERT INTO sealed_detail (id, ciphertext, hash, wrapped_key) VALUES (%s, %s, %s, %s)",
            card_id,
            sealed.ciphertext,
            sealed.hash,
            sealed.wrapped_key,
        )
        return card_id


def _card(row: tuple[Any, ...]) -> FoundCard:
    standing, replaced = row[5], row[6]
    after = standing & ~State.found_held.bit
    return FoundCard(
        id=row[0],
        state=row[1],
        coverage=row[2],
        kind=row[3],
        valid_from_day=row[4],
        status=state_of(standing).name,
        replaced=replaced,
        works_again=not replaced and not row[10] and state_of(after) is State.current,
        point=row[7],
        shelf=row[8],
        keeper=row[9],
        kept_by=row[19],
        broken=row[10],
        found_at_us=row[11],
        accepted_at_us=row[12],
        accepted_by=row[13],
        ended_at_us=row[14],
        ended_by=row[15],
        matches=row[16],
    )


async def _kept(write: Write, act: Act, card_id: str) -> tuple[str, str, bool, int]:
    """Return state, keeper, gap and document of a card that this act's party keeps; locks its row.

    Raises:
        Forbidden: it lies at the desk of another party.
    """
    row = await write.one(
        "SELECT state, keeper, broken, document_id, kept_by FROM found_card WHERE id = %s AND realm = %s FOR UPDATE",
        card_id,
        act.realm_code,
    )
    if row is None:
        raise NotFound("There is no such found card.")
    if row[0] not in KEPT:
        raise Conflict(f"The card is not here any more: it was {row[0].replace('_', ' ')}.")
    if row[4] != act.author.partition("/")[0]:
        raise Forbidden(
            "This card lies at the desk of another party.",
            mend="That party hands it over first, or does this itself.",
        )
    return row[0], row[1], row[2], row[3]


async def _chain(
    write: Write,
    card_id: str,
    step: int,
    given_by: str,
    taken_by: str,
    place: str,
    handed_at_us: int,
    author: str,
    *,
    gap: bool,
    position: int,
) -> None:
    await write.run(
        "INSERT INTO custody (card_id, step, given_by, taken_by, place, handed_at_us, recorded_at_us, author, gap, position) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        card_id,
        step,
        given_by,
        taken_by,
        place,
        handed_at_us,
        write.recorded_at_us,
        author,
        gap,
        position,
    )


async def _hand_on(write: Write, act: Act, card_id: str, taken_by: str, position: int) -> None:
    """End the chain: the card went from its keeper to the holder, or was destroyed."""
    await write.run(
        "INSERT INTO custody (card_id, step, given_by, taken_by, place, handed_at_us, recorded_at_us, author, gap, position) "
        "SELECT id, (SELECT max(step) + 1 FROM custody WHERE card_id = f.id), keeper, %s, point, %s, %s, %s, false, %s "
        "FROM found_card f WHERE id = %s",
        taken_by,
        write.recorded_at_us,
        write.recorded_at_us,
        act.author,
        position,
        card_id,
    )


async def _end(write: Write, act: Act, card_id: str, state: CardState, position: int, *, proof: str | None = None) -> None:
    await write.run(
        "UPDATE found_card SET state = %s, ended_at_us = %s, ended_by = %s, ended_position = %s, proof = %s WHERE id = %s",
        state,
        write.recorded_at_us,
        act.author,
        position,
        proof,
        card_id,
    )
