"""From a waiting notice to its channels, and out: routing in one transaction, sending under a lease.

A crash after routing leaves deliveries that are due. A crash while sending leaves a lease that ends; the same id is sent again.
A crash after sending and before it is noted sends the same id twice, which receivers drop by Message-ID, Idempotency-Key or
webhook-id: at least once on the wire, once in effect.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from annul import logs, metrics
from annul.errors import AnnulError, BadInput
from annul.records.person import Contact, Person
from annul.registry.notices import texts
from annul.registry.notices.channels import SEND_S, Mail, ShortMessages, Undelivered, Webhooks
from annul.registry.notices.undo import Undo
from annul.registry.notices.webhooks import open_secret
from annul.registry.people import rows
from annul.registry.people.rows import PersonRow
from annul.registry.people.vault import Vault, seal, unseal
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import Connection, reading
from annul.settings import Settings
from annul.times import SECOND_US

ROUTED_MAX: Final = 50
SENT_MAX: Final = 20
LEASE_US: Final = 3 * SEND_S * SECOND_US
BACKOFF_S: Final = (10, 60, 300, 1_800, 7_200, 21_600, 43_200, 86_400)
"""Pauses between tries, in seconds: a mail server that is down for a night is no reason to give up. Then, a dead letter."""
CHANNELS: Final = {"email": "email", "phone": "sms"}
"""Kind of contact -> channel; letters by post and apps have none yet."""

_DELIVERY: Final = b"annul delivery v1\0"


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels an operator has set up; None: there is none, the notice stays among the messages of the account."""

    mail: Mail | None
    sms: ShortMessages | None
    webhooks: Webhooks


@dataclass(frozen=True, slots=True)
class Due:
    """One delivery that is being sent, with all that its text needs."""

    id: str
    channel: str
    address: bytes
    language: str
    tries: int
    kind: str
    realm: int
    document_id: int | None
    person_id: int | None
    party: str | None
    values: dict[str, Any]
    created_at_us: int


class Delivery:
    """Route and send notices.

    Args:
        ground: what every part stands on.
        vault: persons' keys; addresses are sealed under them.
        channels: where notices leave.
    """

    def __init__(self, ground: Ground, vault: Vault, channels: Channels, settings: Settings) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us
        self._vault, self._channels, self._settings = vault, channels, settings
        self._undo = Undo(ground.keys)
        self._log = logs.get("notices")

    # -- routing -------------------------------------------------------------------------------------------------------------

    async def route(self) -> int:
        """Make deliveries of the notices whose time has come, in one transaction; return how many notices."""
        async with reading(self._connections) as db, db.transaction():
            found = await db.execute(
                "SELECT id, kind, realm, document_id, person_id, party, details FROM notice WHERE state = 'waiting' "
                "AND not_before_us <= %s ORDER BY not_before_us, id LIMIT %s FOR UPDATE SKIP LOCKED",
                (self._now_us(), ROUTED_MAX),
            )
            waiting = await found.fetchall()
            for notice_id, kind, realm, document_id, person_id, party, raw in waiting:
                if party is not None:
                    person, made = None, await self._to_party(db, notice_id, kind, realm, party)
                else:
                    person, made = await self._to_holder(
                        db, notice_id, kind, realm, document_id, person_id, msgspec.json.decode(raw)
                    )
                await db.execute(
                    "UPDATE notice SET state = 'routed', channel_count = %s, person_id = coalesce(person_id, %s) WHERE id = %s",
                    (made, person, notice_id),
                )
            return len(waiting)

    async def _to_party(self, db: Connection, notice_id: str, kind: str, realm: int, party: str) -> int:
        found = await db.execute(
            "SELECT id, paused_at_us FROM webhook WHERE party = %s AND realm = %s AND ended_at_us IS NULL AND %s = ANY(kinds) "
            "FOR SHARE",  # a pause or its end waits, and finds these deliveries
            (party, realm, kind),
        )
        hooks = await found.fetchall()
        for hook, paused in hooks:
            state = "due" if paused is None else "paused"
            await self._add(db, notice_id, "webhook", hook.encode(), "en", "m_" + secrets.token_hex(12), state)
        return len(hooks)

    async def _to_holder(
        self,
        db: Connection,
        notice_id: str,
        kind: str,
        realm: int,
        document_id: int | None,
        person_id: int | None,
        values: dict[str, Any],
    ) -> tuple[int | None, int]:
        row = await holder(db, realm, document_id, person_id)
        if row is None or row.wrapped_key is None:
            return None, 0
        person = rows.open_row(row, self._vault)
        if person.status == "deceased":
            return row.id, 0
        language = await language_of(db, row.id, self._settings.notices_language)
        contacts = list(person.contacts)
        if kind == "contacts_changed":
            contacts += await self._former(db, row, int(values.get("position", 0)))
        key = self._vault.unwrap(row.wrapped_key, row.id)
        made = 0
        for contact in dict.fromkeys(contacts):
            channel = CHANNELS.get(contact.kind)
            if channel is None or (self._channels.mail if channel == "email" else self._channels.sms) is None:
                continue
            delivery_id = "m_" + secrets.token_hex(12)
            sealed = seal(key, contact.value.encode(), _DELIVERY + delivery_id.encode())
            await self._add(db, notice_id, channel, sealed, language, delivery_id)
            made += 1
        return row.id, made

    async def _former(self, db: Connection, row: PersonRow, position: int) -> list[Contact]:
        """Return the contacts before a change: whoever changed them must not be the only one who hears of it."""
        found = await (
            await db.execute("SELECT ciphertext FROM person_version WHERE person_id = %s AND position = %s", (row.id, position))
        ).fetchone()
        if found is None or not found[0]:
            return []
        former: Person = rows.open_version(row, bytes(found[0]), self._vault)
        return former.contacts

    async def _add(
        self, db: Connection, notice_id: str, channel: str, address: bytes, language: str, delivery_id: str, state: str = "due"
    ) -> None:
        await db.execute(
            "INSERT INTO delivery (id, notice_id, channel, address, language, state, due_at_us) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (delivery_id, notice_id, channel, address, language, state, self._now_us()),
        )

    # -- sending -------------------------------------------------------------------------------------------------------------

    async def send(self) -> int:
        """Send what is due, several at once; return how many were tried."""
        due = await self._take()
        await asyncio.gather(*(self._try(one) for one in due))
        return len(due)

    async def _take(self) -> list[Due]:
        """Take deliveries under a lease: until it ends nobody else sends them."""
        now = self._now_us()
        async with reading(self._connections) as db:
            found = await db.execute(
                "WITH taken AS (SELECT id FROM delivery WHERE state = 'due' AND due_at_us <= %s ORDER BY due_at_us, id "
                "LIMIT %s FOR UPDATE SKIP LOCKED) UPDATE delivery d SET due_at_us = %s, tries = d.tries + 1 "
                f"FROM taken, notice n WHERE d.id = taken.id AND n.id = d.notice_id RETURNING {_DUE}",
                (now, SENT_MAX, now + LEASE_US),
            )
            taken = await found.fetchall()
        return [_due(row) for row in taken]

    async def _try(self, due: Due) -> None:
        fault, for_good, kept = "", False, False
        try:
            kept = not await asyncio.wait_for(self._send(due), SEND_S * 2)
        except Undelivered as error:
            fault, for_good = error.fault, error.for_good
        except TimeoutError:
            fault = "timed-out"
        except (LookupError, ValueError, TypeError):  # a fault of ours in one text must not stop all others
            self._log.error("a notice could not be written")
            fault, for_good = "text", True
        except AnnulError as error:  # the person was erased meanwhile, the key file is another
            fault, for_good = error.code, True
        now = self._now_us()
        if not fault:
            state, due_at_us = "kept" if kept else "sent", now
        elif for_good or due.tries > len(BACKOFF_S):
            state, due_at_us = "dead", now
            self._log.warning("a notice was given up", code=fault)
        else:
            state, due_at_us = "due", now + BACKOFF_S[due.tries - 1] * SECOND_US
        metrics.NOTICES.labels(due.channel, "again" if state == "due" else state).inc()
        async with reading(self._connections) as db:
            await db.execute(
                "UPDATE delivery SET state = %s, fault = %s, due_at_us = %s, done_at_us = %s WHERE id = %s AND state = 'due'",
                (state, fault, due_at_us, None if state == "due" else now, due.id),
            )

    async def _send(self, due: Due) -> bool:
        if due.channel == "webhook":
            return await self._call(due)
        async with reading(self._connections) as db:
            address, text = await self._written(db, due)
        if due.channel == "email" and self._channels.mail is not None:
            letter = texts.letter(text, due.language, self._settings.base_url)
            return await self._channels.mail.send(due.id, address, text.title, letter, due.language)
        if due.channel == "sms" and self._channels.sms is not None:
            return await self._channels.sms.send(due.id, address, text.sms)
        raise Undelivered("no-channel")

    async def _call(self, due: Due) -> bool:
        async with reading(self._connections) as db:
            found = await (
                await db.execute("SELECT url, secret, id, ended_at_us FROM webhook WHERE id = %s", (due.address.decode(),))
            ).fetchone()
        if found is None or found[3] is not None:
            raise Undelivered("webhook-ended", for_good=True)
        body = self._body(due).decode()
        secret = open_secret(bytes(found[1]), found[2], self._keys.envelope)
        try:
            return await self._channels.webhooks.send(due.id, found[0], secret, body, self._now_us())
        except BadInput:
            raise Undelivered("webhook-address", for_good=True) from None

    def _body(self, due: Due) -> bytes:
        """Return what a webhook is sent: a body of Standard Webhooks; of subscriptions also a CloudEvent (1.0, structured)."""
        at = texts.clock(due.created_at_us).replace(" UTC", "Z").replace(" ", "T")
        body: dict[str, Any] = {
            "type": due.kind,
            "timestamp": at,
            "realm": "test" if due.realm else "live",
            "data": {name: _wire(name, value) for name, value in due.values.items()},
        }
        if due.kind.startswith("subscription"):
            source = f"{self._settings.base_url}/v1/subscriptions"
            body |= {"specversion": "1.0", "id": due.id, "source": source, "time": at, "datacontenttype": "application/json"}
        return msgspec.json.encode(body)

    async def _written(self, db: Connection, due: Due) -> tuple[str, texts.Text]:
        row = await rows.by_id(db, due.realm, due.person_id or 0)
        key = self._vault.unwrap(row.wrapped_key, row.id)
        address = unseal(key, due.address, _DELIVERY + due.id.encode()).decode()
        return address, await self.text(db, due.kind, due.values, due.document_id, due.language)

    # -- words ---------------------------------------------------------------------------------------------------------------

    async def text(
        self, db: Connection, kind: str, values: dict[str, Any], document_id: int | None, language: str
    ) -> texts.Text:
        """Write a notice to a holder in a language."""
        base = self._settings.base_url
        undo = self._undo.address(base, str(values["reference"])) if kind == "suspended" and "reference" in values else ""
        parties, zone = await party_names(db, values), self._settings.time_zone
        subject = texts.Subject(await document_kind(db, document_id), base, undo, parties, zone)
        return texts.render(kind, values, subject, language)

    async def read(self, kind: str, values: dict[str, Any], document_id: int | None, language: str) -> texts.Text:
        """Write a notice for the messages of its holder's account."""
        async with reading(self._connections) as db:
            return await self.text(db, kind, values, document_id, language)

    async def outbox(self, limit: int = 50) -> list[tuple[Due, str, str, texts.Text]]:
        """Return the latest deliveries with their state, masked address and text, newest first: for the demo's outbox page."""
        async with reading(self._connections) as db:
            found = await db.execute(
                f"SELECT {_DUE}, d.state FROM delivery d JOIN notice n ON n.id = d.notice_id WHERE d.channel <> 'webhook' "
                "ORDER BY n.created_at_us DESC, d.id LIMIT %s",
                (limit,),
            )
            shown = []
            for *row, state in await found.fetchall():
                due = _due(tuple(row))
                try:
                    address, text = await self._written(db, due)
                except AnnulError:  # erased since
                    continue
                shown.append((due, state, masked(address), text))
            return shown


_DUE: Final = (
    "d.id, d.channel, d.address, d.language, d.tries, n.kind, n.realm, n.document_id, n.person_id, n.party, n.details, "
    "n.created_at_us"
)


def _due(row: tuple[Any, ...]) -> Due:
    (delivery, channel, address, language, tries, kind, realm, document_id, person_id, party, raw, created_at_us) = row
    values = msgspec.json.decode(raw)
    return Due(
        delivery, channel, bytes(address), language, tries, kind, realm, document_id, person_id, party, values, created_at_us
    )


def _wire(name: str, value: Any) -> Any:
    return texts.clock(value).replace(" UTC", "Z").replace(" ", "T") if name.endswith("_us") else value


async def holder(db: Connection, realm: int, document_id: int | None, person_id: int | None) -> PersonRow | None:
    """Return the one person a notice is for; None when there is none, or several have the number: nobody is told by guess."""
    if person_id is not None:
        columns = rows.COLUMNS
        found = await (
            await db.execute(f"SELECT {columns} FROM person_record WHERE id = %s AND realm = %s", (person_id, realm))
        ).fetchone()
        return None if found is None else PersonRow(*found)
    named = await (
        await db.execute("SELECT person_key FROM document WHERE id = %s AND realm = %s", (document_id, realm))
    ).fetchone()
    if named is None or named[0] is None:
        return None
    persons = await rows.by_key(db, realm, bytes(named[0]))
    return persons[0] if len(persons) == 1 else None


async def language_of(db: Connection, person_id: int, default: str) -> str:
    """Return the language a person reads."""
    found = await (await db.execute("SELECT language FROM citizen_language WHERE person_id = %s", (person_id,))).fetchone()
    return default if found is None else str(found[0])


async def document_kind(db: Connection, document_id: int | None) -> str:
    """Return the kind of a document, "" without one."""
    if document_id is None:
        return ""
    found = await (await db.execute("SELECT kind FROM document WHERE id = %s", (document_id,))).fetchone()
    return "" if found is None else str(found[0])


async def party_names(db: Connection, values: dict[str, Any]) -> dict[str, str]:
    """Return the names of the parties that values name."""
    named = [str(values[name]).partition("/")[0] for name in ("author", "party") if name in values]
    found = await db.execute(
        "SELECT id, CASE WHEN organisation = '' THEN name ELSE organisation END FROM principal WHERE id = ANY(%s)", (named,)
    )
    return dict(await found.fetchall())


def masked(address: str) -> str:
    """Show enough of an address that its owner knows it."""
    name, at, domain = address.partition("@")
    if at:
        return f"{name[:1]}{'•' * max(2, len(name) - 1)}@{domain}"
    return f"{'•' * max(2, len(address) - 3)}{address[-3:]}"
