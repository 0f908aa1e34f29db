"""Reports without login: they only suspend, lapse by themselves, and are held against guessing, flooding and malice.

    1 an address tries a few times an hour, a document is tried a few times a day, right or wrong: then it is too many
    2 number and holder's name must fit; which of them did not is never told
    3 a document that was reported like this before, and undone each time, is next reported after login or in person
    4 the report suspends (rule 5); its holder is told on every channel at once, with the one step that undoes it

Counts are kept by keyed subject for two days: no address and no number is stored.

Source: domain, section 3 rule 5 and section 6 ("reported by somebody else out of malice").
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final, Literal

from annul.errors import Forbidden, NotFound, OverQuota
from annul.records.document import Document, block, number_block, person_block
from annul.records.names import same
from annul.records.status import DEAD_MASK, Proof
from annul.registry.notices.sources import PUBLIC
from annul.registry.people import rows
from annul.registry.people.vault import Vault
from annul.registry.writing import documents
from annul.registry.writing.act import Act
from annul.registry.writing.documents import Known, Row
from annul.registry.writing.ground import Ground
from annul.registry.writing.personal import Reporter
from annul.registry.writing.register import Recorded, Register
from annul.registry.writing.store import Connection, Connections, reading
from annul.times import DAY_US, HOUR_US, SECOND_US

ADDRESS_TRIES_MAX: Final = 12
"""Reports an address may try in an hour: a family or a small office behind one address."""
DOCUMENT_TRIES_MAX: Final = 6
"""Tries on one number in a day, right or wrong: enough to mend a name, too few to guess one."""
UNDONE_MAX: Final = 2
"""Reports without login that were undone or lapsed within UNDONE_US; then the next needs a login."""
UNDONE_US: Final = 30 * DAY_US

TALLY_KEPT_US: Final = 2 * DAY_US
"""How long a count against guessing is kept; the longest one covers a day."""


class ProvisionalReports:
    """Take reports from people who have not proved who they are.

    Args:
        ground: what every part stands on.
        register: where the report is entered.
        vault: persons' keys, for the holder's name.
    """

    def __init__(self, ground: Ground, register: Register, vault: Vault) -> None:
        self._connections, self._documents, self._now_us = ground.connections, ground.documents, ground.now_us
        self._register, self._vault = register, vault
        self._key = hmac.digest(ground.keys.session, b"annul counts against guessing v1", "sha256")

    async def report(
        self,
        act: Act,
        document: Document,
        name: str,
        kind: Literal["lost", "stolen"],
        *,
        happened_at_us: int,
        address: str,
        contact: str = "",
    ) -> Recorded:
        """Suspend a document until it is confirmed or lapses.

        Args:
            act: author PUBLIC, with the idempotency key of the form: sent twice it is one report.
            document: as typed; of a number alone the card in force is meant.
            name: the holder's, in any of the forms on record.
            address: who asks, an IP address; counted, not stored.
            contact: how to reach who reports, sealed with the report.

        Raises:
            OverQuota: too many tries from here, or on this number.
            NotFound: no such document of a holder of this name; which of the two is not told.
            Forbidden: it was reported and undone too often; the next report needs a login.
        """
        assert act.author == PUBLIC
        now = self._now_us()
        await self._count("address", _network(address), ADDRESS_TRIES_MAX, HOUR_US, now)
        await self._count("number", self._subject(act, document), DOCUMENT_TRIES_MAX, DAY_US, now)
        async with reading(self._connections) as db:
            row = await self._meant(db, act, document)
            if not await self._fits(db, act, document, row, name):
                raise NotFound(
                    "No such document of a holder of this name was found.",
                    mend="Compare number and name with an old copy or a bill, or report it in person or by telephone.",
                )
            if row is not None:
                await self._require_repeated(db, row, now)
        return await self._register.report(
            act,
            Known(row.id) if row is not None else document,
            kind,
            happened_at_us=happened_at_us,
            proof=Proof.online,
            reporter=Reporter(contact=contact) if contact else None,
        )

    async def _meant(self, db: Connection, act: Act, document: Document) -> Row | None:
        """Return the row that is meant; of a number alone the youngest card in force, else the youngest."""
        keys = self._documents[act.realm]
        if not document.discriminated or document.has_discriminator:
            return await documents.find(db, document, keys, act.realm_code)
        found = await documents.by_number(db, act.realm_code, keys.blind(number_block(document)))
        alive = [row for row in found if not row.standing & DEAD_MASK] or found
        return alive[-1] if alive else None

    async def _fits(self, db: Connection, act: Act, document: Document, row: Row | None, name: str) -> bool:
        """Tell whether the name is the holder's; where the register knows no holder, whether a report can be taken at all."""
        key = row.person_key if row is not None else None
        if key is None and document.bears_personal_number:
            key = self._documents[act.realm].blind(person_block(document.number))
        persons = [] if key is None else await rows.by_key(db, act.realm_code, bytes(key))
        if persons:
            return any(same(known.text, name) for person in persons for known in rows.open_row(person, self._vault).names)
        if row is not None:
            return True
        extent = await (await db.execute("SELECT extent FROM coverage WHERE name = %s", (document.coverage_name,))).fetchone()
        listed_only = extent is not None and extent[0] == "listing_only"
        return listed_only and (document.has_discriminator or not document.discriminated)

    async def _require_repeated(self, db: Connection, row: Row, now_us: int) -> None:
        found = await (
            await db.execute(
                "SELECT count(*) FROM report WHERE document_id = %s AND author = %s AND state IN ('withdrawn', 'lapsed') "
                "AND recorded_at_us > %s",
                (row.id, PUBLIC, now_us - UNDONE_US),
            )
        ).fetchone()
        if found is not None and found[0] >= UNDONE_MAX:
            raise Forbidden(
                "This document was reported without signing in before, and the reports were undone.",
                mend="Sign in to report it, or report it in person or by telephone.",
            )

    def _subject(self, act: Act, document: Document) -> bytes:
        return act.realm.encode() + (number_block(document) if document.discriminated else block(document))

    async def _count(self, what: str, subject: bytes, most: int, per_us: int, now_us: int) -> None:
        """Count one try, in a transaction of its own: a refusal does not give it back.

        Raises:
            OverQuota: it was one too many.
        """
        keyed = hmac.digest(self._key, what.encode() + b"\0" + subject, "sha256")
        async with reading(self._connections) as db:
            found = await (
                await db.execute(
                    "INSERT INTO tally AS t (subject, began_at_us, count) VALUES (%(subject)s, %(now)s, 1) "
                    "ON CONFLICT (subject) DO UPDATE SET count = CASE WHEN t.began_at_us > %(since)s THEN t.count + 1 ELSE 1 "
                    "END, "
                    "began_at_us = CASE WHEN t.began_at_us > %(since)s THEN t.began_at_us ELSE %(now)s END "
                    "RETURNING count, began_at_us",
                    {"subject": keyed, "now": now_us, "since": now_us - per_us},
                )
            ).fetchone()
        assert found is not None
        if found[0] > most:
            raise OverQuota(
                "There were too many tries.",
                mend="Wait a while, sign in, or report it in person or by telephone.",
                retry_after_s=max(1, (found[1] + per_us - now_us) // SECOND_US),
            )


def _network(address: str) -> bytes:
    """Return what counts as one address: an IPv4 address, a /64 of IPv6 (one household)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return b"unknown"
    return parsed.packed[:8] if parsed.version == 6 else parsed.packed


async def forget_tallies(connections: Connections, now_us: int) -> int:
    """Forget counts against guessing that are over; return how many."""
    async with reading(connections) as db:
        return (await db.execute("DELETE FROM tally WHERE began_at_us < %s", (now_us - TALLY_KEPT_US,))).rowcount
