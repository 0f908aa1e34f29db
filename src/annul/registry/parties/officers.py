"""Officers: the persons who act for a party, how they prove who they are, and what they may do.

An officer is `PARTY/STAFF`; this is the author of what she records, so that two officers of one party are two persons. She
signs in with a passkey (WebAuthn), or, while she has none, with her party's key and her staff number.

What must never happen here: a challenge that works twice; a passkey whose counter went back and that still works; an officer
who was removed and whose session goes on.

Source: W3C Web Authentication Level 2, sections 7.1 and 7.2 (ceremonies), 6.1.1 (signature counter).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from annul.errors import BadInput, Conflict, NotAuthorised, NotFound
from annul.records.references import require_reference
from annul.records.shown import is_shown
from annul.registry.parties.parties import Parties, Principal
from annul.registry.writing.act import Act
from annul.registry.writing.pen import remember, replay
from annul.registry.writing.second import PASSKEY, note_made
from annul.registry.writing.store import Connections, Write, reading, writing
from annul.times import MINUTE_US, Clock

if TYPE_CHECKING:
    from fido2.server import Fido2Server

DUTIES: Final = ("desk", "found", "disputes", "bulk", "review", "policy", "officers")
"""What an officer may do, within the role of her party. `policy`: the counter policy of a relying party; `officers`: make and
remove officers of her own party."""

STAFF_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,31}")
NAME_MAX: Final = 120
LABEL_MAX: Final = 60
PASSKEYS_MAX: Final = 10
CHALLENGE_LIFE_US: Final = 5 * MINUTE_US
"""How long a ceremony may take. Source: Web Authentication Level 2, section 15.1 recommends 300 to 600 seconds."""
RESPONSE_BYTES_MAX: Final = 32 * 1024


class Officer(msgspec.Struct, frozen=True):
    """One officer; `passkeys` counts those that work.

    Args:
        id: its id.
        party: id of the organisation.
        staff: staff number within the organisation.
        name: its name.
        duties: what the officer may do.
        active: she may sign in.
        passkeys: how many passkeys of hers work.
    """

    id: str
    party: str
    staff: str
    name: str
    duties: list[str]
    active: bool
    passkeys: int


class PasskeyView(msgspec.Struct, frozen=True):
    """One passkey; `ended` is removed or copied, None while it works."""

    id: str
    label: str
    made_at_us: int
    used_at_us: int | None
    ended: str | None


class Asked(msgspec.Struct, frozen=True):
    """What the browser is asked: options for `navigator.credentials`, and the challenge that names this ceremony."""

    options: dict[str, Any]
    challenge: str


class OfficerRecorded(msgspec.Struct, frozen=True):
    """Say that an officer was recorded, at which position of the log."""

    id: str
    position: int


_VIEW: Final = (
    "SELECT o.id, party, staff, name, duties, active, "
    "(SELECT count(*) FROM passkey p WHERE p.officer_id = o.id AND ended IS NULL) FROM officer o"
)
_REFUSED: Final = "The passkey was not accepted."


class Officers:
    """Keep officers and their passkeys.

    Args:
        connections: the register's database.
        parties: for the keys and roles of parties.
        now_us: clock, microseconds since the epoch.
        base_url: address of the doors as browsers see it: passkeys are bound to its host.
    """

    def __init__(self, connections: Connections, parties: Parties, now_us: Clock, *, base_url: str) -> None:
        self._connections, self._parties, self._now_us = connections, parties, now_us
        self.host, self._origins = passkey_host(base_url)
        self._server: Fido2Server | None = None

    # -- who there is ------------------------------------------------------------------------------------------------------

    async def add(self, act: Act, party: str, staff: str, name: str, duties: Sequence[str]) -> OfficerRecorded:
        """Record an officer of a party.

        Raises:
            BadInput: staff number, name or duties are not of their form.
            Conflict: the party has an officer of this number.
            NotFound: there is no such party.
        """
        if not STAFF_FORM.fullmatch(staff):
            raise BadInput("A staff number has 1 to 32 letters, digits, dots and dashes.", where="/staff")
        require_reference(staff, "/staff")
        _require(name, duties)
        officer_id = f"{party}/{staff}"

        async def change(write: Write) -> str:
            if await write.one("SELECT 1 FROM principal WHERE id = %s", party) is None:
                raise NotFound("There is no such party.", where="/party")
            made = await write.run(
                "INSERT INTO officer (id, party, staff, name, duties, handle, position) VALUES (%s, %s, %s, %s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                officer_id,
                party,
                staff,
                name.strip(),
                sorted(set(duties)),
                secrets.token_bytes(32),
                write.position + 1,
            )
            if made != 1:
                raise Conflict("The party has an officer of this number.", where="/staff")
            await note_made(write, act, officer_id)
            return "add"

        return await self._change(act, officer_id, change)

    async def change(
        self,
        act: Act,
        officer_id: str,
        *,
        name: str | None = None,
        duties: Sequence[str] | None = None,
        active: bool | None = None,
    ) -> OfficerRecorded:
        """Change an officer; who is made inactive loses her sessions at once.

        Raises:
            NotFound: there is none.
        """

        async def change(write: Write) -> str:
            found = await write.one("SELECT name, duties, active FROM officer WHERE id = %s FOR UPDATE", officer_id)
            if found is None:
                raise NotFound("There is no such officer.")
            new_name, new_duties = (
                found[0] if name is None else name.strip(),
                found[1] if duties is None else sorted(set(duties)),
            )
            _require(new_name, new_duties)
            on = found[2] if active is None else active
            await write.run(
                "UPDATE officer SET name = %s, duties = %s, active = %s, position = %s WHERE id = %s",
                new_name,
                new_duties,
                on,
                write.position + 1,
                officer_id,
            )
            if not on:
                await _end_sessions(write, officer_id, act.author)
            if set(new_duties) > set(found[1]) or (on and not found[2]):
                await note_made(write, act, officer_id)
            return "change" if active is None else "restore" if on else "remove"

        return await self._change(act, officer_id, change)

    async def list(self, party: str | None = None) -> list[Officer]:
        """Return the officers of a party, or of all parties."""
        async with reading(self._connections) as db:
            rows = await db.execute(f"{_VIEW} WHERE party = %s OR %s ORDER BY o.id", (party, party is None))
            return [Officer(*row) for row in await rows.fetchall()]

    async def officer(self, officer_id: str) -> Officer:
        """Return one officer; NotFound when there is none."""
        async with reading(self._connections) as db:
            row = await (await db.execute(f"{_VIEW} WHERE o.id = %s", (officer_id,))).fetchone()
        if row is None:
            raise NotFound("There is no such officer.")
        return Officer(*row)

    async def named(self, ids: Collection[str]) -> dict[str, tuple[str, str]]:
        """Return (organisation, officer) of authors, by id: `PARTY` or `PARTY/STAFF`; those nobody has are left out.

        An organisation is called by its own name, an office that names none by the office's; the officer is "" for a party.
        """
        parties = sorted({one.partition("/")[0] for one in ids})
        async with reading(self._connections) as db:
            rows = await db.execute(
                "SELECT id, coalesce(nullif(organisation, ''), name) FROM principal WHERE id = ANY(%s)", (parties,)
            )
            called = dict(await rows.fetchall())
            rows = await db.execute("SELECT id, name FROM officer WHERE id = ANY(%s)", (sorted(set(ids)),))
            people = dict(await rows.fetchall())
        return {one: (called[party], people.get(one, "")) for one in ids if (party := one.partition("/")[0]) in called}

    # -- signing in --------------------------------------------------------------------------------------------------------

    async def sign_in_by_key(self, bearer: str, staff: str) -> tuple[Officer, Principal]:
        """Let an officer in by her party's key and her staff number, as long as she has no passkey.

        Raises:
            NotAuthorised: key or number is not right (which of them is not told), or she has a passkey.
        """
        refused = NotAuthorised(
            "The key and the staff number do not belong together.", mend="Compare both; ask your chief officer."
        )
        try:
            principal = self._parties.principal(bearer)
            officer = await self.officer(f"{principal.id}/{staff}")
        except (NotAuthorised, NotFound):
            raise refused from None
        if not officer.active or principal.use != "all":
            raise refused
        if officer.passkeys and principal.realm == "live":
            raise NotAuthorised("You have a passkey: sign in with it.", mend="Lost it? Your chief officer removes it.")
        return officer, principal

    async def present(self, officer_id: str, key_id: str, realm: str = "live") -> tuple[Officer, Principal]:
        """Return who a session stands for now; called once for each request of a page.

        Args:
            key_id: the party's key she signed in with, or her passkey.

        Raises:
            NotAuthorised: the officer, her party or the key does not work any more.
        """
        gone = NotAuthorised("You are not signed in any more.", mend="Sign in again.")
        try:
            officer = await self.officer(officer_id)
        except NotFound:
            raise gone from None
        if key_id.startswith(PASSKEY):
            principal = self._parties.principal_of_party(officer.party)
        else:
            principal = self._parties.principal_of_key(key_id)
        if not officer.active or principal.id != officer.party or principal.realm != realm:
            raise gone
        return officer, principal

    async def begin_sign_in(self) -> Asked:
        """Begin a sign-in by passkey; the passkey says who it is."""
        from fido2.webauthn import UserVerificationRequirement

        options, _ = self._fido.authenticate_begin(user_verification=UserVerificationRequirement.REQUIRED)
        return await self._asked(dict(options), None)

    async def finish_sign_in(self, challenge: str, response: bytes) -> tuple[Officer, Principal, str]:
        """End a sign-in by passkey.

        Args:
            challenge: as `begin_sign_in` gave it; it works once.
            response: JSON of the browser's `PublicKeyCredential`.

        Returns:
            The officer, for whom she acts, and the id of her passkey: the credential of what she does.

        Raises:
            NotAuthorised: anything about it is not right; what is not told. A counter that went back ends the passkey.
        """
        from fido2.webauthn import AttestedCredentialData, AuthenticationResponse

        await self._use(challenge, None)
        try:
            given = AuthenticationResponse.from_dict(_object(response))
        except (ValueError, TypeError, KeyError):
            raise NotAuthorised(_REFUSED) from None
        async with reading(self._connections) as db:
            row = await (
                await db.execute(
                    "SELECT p.id, credential, sign_count, officer_id, handle FROM passkey p "
                    "JOIN officer o ON o.id = officer_id WHERE credential_id = %s AND ended IS NULL AND active",
                    (given.raw_id,),
                )
            ).fetchone()
        if row is None:
            raise NotAuthorised(_REFUSED)
        key_id, credential, known_count, officer_id, handle = row
        try:
            self._fido.authenticate_complete(_state(challenge), [AttestedCredentialData(bytes(credential))], given)
        except ValueError:
            raise NotAuthorised(_REFUSED) from None
        if given.response.user_handle not in (None, bytes(handle)):
            raise NotAuthorised(_REFUSED)
        await self._count(key_id, officer_id, known_count, given.response.authenticator_data.counter)
        return *await self.present(officer_id, key_id), key_id

    async def _count(self, key_id: str, officer_id: str, known: int, told: int) -> None:
        """Take the counter of a use; one that did not go up tells that the passkey was copied, and ends it."""
        copied = bool(known or told) and told <= known
        async with writing(self._connections, self._now_us()) as write:
            now = write.recorded_at_us
            if copied:
                await write.run("UPDATE passkey SET ended = 'copied', ended_at_us = %s WHERE id = %s", now, key_id)
                await _end_sessions(write, officer_id, "annul")
                _note(write, Act("annul"), officer_id, "passkey copied")
            else:
                moved = await write.run(
                    "UPDATE passkey SET sign_count = %s, used_at_us = %s WHERE id = %s AND sign_count = %s AND ended IS NULL",
                    told,
                    now,
                    key_id,
                    known,
                )
                copied = moved != 1 and bool(told)
        if copied:
            raise NotAuthorised(
                "This passkey was copied, so it does not work any more.", mend="Tell your chief officer at once."
            )

    # -- passkeys ----------------------------------------------------------------------------------------------------------

    async def begin_registration(self, officer: Officer) -> Asked:
        """Begin to make a passkey for an officer who is signed in."""
        from fido2.webauthn import (
            PublicKeyCredentialDescriptor,
            PublicKeyCredentialType,
            PublicKeyCredentialUserEntity,
            ResidentKeyRequirement,
            UserVerificationRequirement,
        )

        async with reading(self._connections) as db:
            rows = await db.execute("SELECT credential_id FROM passkey WHERE officer_id = %s AND ended IS NULL", (officer.id,))
            known = [bytes(row[0]) for row in await rows.fetchall()]
            handle = await (await db.execute("SELECT handle FROM officer WHERE id = %s", (officer.id,))).fetchone()
        if handle is None:
            raise NotFound("There is no such officer.")
        if len(known) >= PASSKEYS_MAX:
            raise Conflict(f"An officer has at most {PASSKEYS_MAX} passkeys.", mend="Remove one that you do not use.")
        options, _ = self._fido.register_begin(
            PublicKeyCredentialUserEntity(id=bytes(handle[0]), name=officer.id, display_name=officer.name),
            [PublicKeyCredentialDescriptor(type=PublicKeyCredentialType.PUBLIC_KEY, id=each) for each in known],
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return await self._asked(dict(options), officer.id)

    async def finish_registration(self, act: Act, officer: Officer, challenge: str, response: bytes, label: str) -> PasskeyView:
        """Keep the passkey that the officer's authenticator made, and with what she had signed in to make it.

        Raises:
            BadInput: the answer is not of its form, or not for this ceremony.
            Conflict: the passkey is known.
        """
        await self._use(challenge, officer.id)
        label = require_reference(label, "label", most=LABEL_MAX) or "passkey"
        try:
            made = self._fido.register_complete(_state(challenge), _object(response))
        except (ValueError, TypeError, KeyError):
            raise BadInput("The passkey was not made.", mend="Try again, or use another authenticator.") from None
        credential = made.credential_data
        if credential is None:
            raise BadInput("The passkey was not made.", mend="Try again, or use another authenticator.")
        key_id = PASSKEY + secrets.token_hex(12)
        async with writing(self._connections, self._now_us()) as write:
            added = await write.run(
                "INSERT INTO passkey (id, officer_id, credential_id, credential, sign_count, label, made_at_us) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                key_id,
                officer.id,
                credential.credential_id,
                bytes(credential),
                made.counter,
                label,
                write.recorded_at_us,
            )
            if added != 1:
                raise Conflict("This passkey is known already.")
            await note_made(write, act, key_id)
            _note(write, act, officer.id, "passkey added")
            return PasskeyView(key_id, label, write.recorded_at_us, None, None)

    async def passkeys(self, officer_id: str) -> Sequence[PasskeyView]:
        """Return an officer's passkeys, oldest first; ended ones stay on record."""
        async with reading(self._connections) as db:
            rows = await db.execute(
                "SELECT id, label, made_at_us, used_at_us, ended FROM passkey WHERE officer_id = %s ORDER BY made_at_us, id",
                (officer_id,),
            )
            return [PasskeyView(*row) for row in await rows.fetchall()]

    async def remove_passkey(self, act: Act, officer_id: str, key_id: str) -> None:
        """End a passkey, and the officer's sessions with it.

        Raises:
            NotFound: the officer has no such passkey that works.
        """
        async with writing(self._connections, self._now_us()) as write:
            ended = await write.run(
                "UPDATE passkey SET ended = 'removed', ended_at_us = %s WHERE id = %s AND officer_id = %s AND ended IS NULL",
                write.recorded_at_us,
                key_id,
                officer_id,
            )
            if ended != 1:
                raise NotFound("There is no such passkey.")
            await _end_sessions(write, officer_id, act.author)
            _note(write, act, officer_id, "passkey removed")

    # -- inner parts -------------------------------------------------------------------------------------------------------

    @property
    def _fido(self) -> Fido2Server:
        if self._server is None:  # imported late: the check path never needs it
            from fido2.server import Fido2Server
            from fido2.webauthn import PublicKeyCredentialRpEntity

            entity = PublicKeyCredentialRpEntity(id=self.host, name="annul")
            self._server = Fido2Server(entity, verify_origin=lambda origin: origin in self._origins)
        return self._server

    async def _asked(self, options: dict[str, Any], officer_id: str | None) -> Asked:
        challenge: str = options["publicKey"]["challenge"]
        now = self._now_us()
        async with reading(self._connections) as db:
            await db.execute("DELETE FROM passkey_challenge WHERE expires_at_us < %s", (now,))
            await db.execute(
                "INSERT INTO passkey_challenge (digest, officer_id, expires_at_us) VALUES (%s, %s, %s)",
                (_digest(challenge), officer_id, now + CHALLENGE_LIFE_US),
            )
        return Asked(options["publicKey"], challenge)

    async def _use(self, challenge: str, officer_id: str | None) -> None:
        """Use a challenge up, whatever comes of it."""
        async with reading(self._connections) as db:
            used = await db.execute(
                "DELETE FROM passkey_challenge "
                "WHERE digest = %s AND officer_id IS NOT DISTINCT FROM %s AND expires_at_us >= %s",
                (_digest(challenge), officer_id, self._now_us()),
            )
        if used.rowcount != 1:
            raise NotAuthorised("This took too long, or was done already.", mend="Begin again.")

    async def _change(self, act: Act, officer_id: str, change: Callable[[Write], Any]) -> OfficerRecorded:
        async with writing(self._connections, self._now_us()) as write:
            known = await replay(write, act, OfficerRecorded)
            if known is not None:
                return known
            what = await change(write)
            recorded = OfficerRecorded(officer_id, _note(write, act, officer_id, what))
            await remember(write, act, recorded)
        return recorded


def passkey_host(base_url: str) -> tuple[str, frozenset[str]]:
    """Return the host that passkeys are bound to, and the origins they are taken from.

    A passkey belongs to a name, never to an address: an annul that listens on the loopback address has its passkeys at
    `localhost`. Source: Web Authentication Level 2, section 5.1.3 (effective domain).
    """
    parts = urlsplit(base_url)
    host = parts.hostname or "localhost"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host, frozenset({f"{parts.scheme}://{parts.netloc}"})
    port = f":{parts.port}" if parts.port else ""
    return "localhost", frozenset({f"{parts.scheme}://localhost{port}"})


def _require(name: str, duties: Sequence[str]) -> None:
    if not 1 <= len(name.strip()) <= NAME_MAX or not is_shown(name):
        raise BadInput(f"A name has 1 to {NAME_MAX} characters.", where="/name")
    if not set(duties) <= set(DUTIES):
        raise BadInput("A duty is not known.", where="/duties", mend=f"Use some of {', '.join(DUTIES)}.")


async def _end_sessions(write: Write, officer_id: str, by: str) -> None:
    await write.run(
        "UPDATE session SET ended_at_us = %s, ended_by = %s WHERE kind = 'officer' AND subject = %s AND ended_at_us IS NULL",
        write.recorded_at_us,
        by,
        officer_id,
    )


def _note(write: Write, act: Act, officer_id: str, what: str) -> int:
    return write.note(act.author, f"officer {officer_id}", b"officer: " + what.encode(), realm=act.code)


def _digest(challenge: str) -> bytes:
    return hashlib.sha256(challenge.encode()).digest()


def _state(challenge: str) -> dict[str, str]:
    return {"challenge": challenge, "user_verification": "required"}


def _object(response: bytes) -> dict[str, Any]:
    if len(response) > RESPONSE_BYTES_MAX:
        raise ValueError("too long")
    try:
        return msgspec.json.decode(response, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ValueError("no object") from error
