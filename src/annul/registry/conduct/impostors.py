"""The list of people found to have used others' documents: who is on it, who looked, and how they leave it without a trace.

A person is found by the exact number that a closed case established, never by a name or a face. Every look that meets an entry
is the person's to see. At the end of the term, or when an appeal is won, the key is destroyed; what stays is a commitment that
nobody can open any more, and an entry of the log that says how many rows still held the key: none.

A victim's pass tells the victim from the impostor: it is given with consent, shown by the victim, revoked at will.

What must never happen here: an answer that differs before it is known that the asker may ask; a use that is not noted; a pass
that tells more than one sentence.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from annul.errors import BadInput, Corrupt, Forbidden, NotFound
from annul.records.codes import Realm
from annul.records.document import Document, DocumentKeys, number_block, person_block
from annul.registry.parties.parties import Principal
from annul.registry.parties.policies import require_words
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import REALM_CODES, Write, reading, writing
from annul.times import DAY_US

LAWFUL: Final = frozenset({"account-opening", "credit", "sim-registration"})
"""Purposes for which the list may be asked. Source: the original's list is used for opening accounts; nothing else is named."""
PASS_DAYS: Final = 366
"""Longest life of a victim's pass; a new one is given as easily."""
PAGE_MAX: Final = 500
_PREFIX: Final = "vp_"

Listed = Literal["listed", "not_listed"]
SENTENCE: Final = "This person is known to be the victim of misuse of this document."


class ImpostorAnswer(msgspec.Struct, frozen=True):
    """Answer of a look: `listed` asks for a second person and papers with a picture; it refuses nobody by itself.

    Args:
        answer: `listed` asks for a second person and papers with a picture, or that nothing is listed.
        use: `all`, or `counter`: checks at a counter and nothing else.
    """

    answer: Listed
    use: str


class ImpostorUse(msgspec.Struct, frozen=True, kw_only=True):
    """One look that met an entry."""

    use: str
    case: str
    party: str
    purpose: str
    reference: str
    used_at_us: int


class PassGiven(msgspec.Struct, frozen=True):
    """A victim's pass. `token` is told once, and kept by nobody but the victim."""

    id: str
    token: str
    ends_at_us: int


class PassShown(msgspec.Struct, frozen=True):
    """What a pass tells: one sentence, or nothing. Unknown, ended, revoked and foreign passes are not told apart.

    Args:
        stands: the pass counts.
        sentence: the one sentence that it tells; "" when it does not count.
    """

    stands: bool
    sentence: str


class Impostors:
    """Ask the list, show its uses, give, show and revoke victims' passes.

    Args:
        ground: what every part stands on.
    """

    def __init__(self, ground: Ground) -> None:
        self._connections, self._keys, self._now_us = ground.connections, ground.keys, ground.now_us

    async def ask(self, act: Act, who: Principal, personal_number: str, *, purpose: str, reference: str) -> ImpostorAnswer:
        """Ask whether a person is listed, for a purpose the law names.

        Raises:
            Forbidden: the purpose is none of these, or not in the agreement; said before anything is looked up.
        """
        if purpose not in LAWFUL or who.agreement is None or purpose not in who.agreement.purposes:
            raise Forbidden("The list may not be asked for this purpose.", where="/purpose")
        require_words(reference, "/reference", needed=True)
        epochs = self._keys.live if act.realm == "live" else self._keys.test
        subject = person_block(personal_number)  # an entry keeps the key of its time
        keys = [DocumentKeys(epochs[: count + 1]).blind(subject) for count in range(len(epochs))]
        use = "iu_" + secrets.token_hex(12)
        async with writing(self._connections, self._now_us()) as write:
            self._keys.require_epoch(write.key_epoch)
            position = write.note(act.author, use, b"the list of impostors was asked", realm=act.code)
            noted = await write.run(
                "INSERT INTO impostor_use (id, impostor, party, purpose, reference, used_at_us, position) "
                "SELECT %s, i.id, %s, %s, %s, %s, %s FROM impostor i JOIN misuse_case c ON c.id = i.case_id "
                "WHERE i.realm = %s AND i.subject_key = ANY(%s) AND c.state = 'listed' AND ends_at_us > %s",
                use,
                who.id,
                purpose,
                reference,
                write.recorded_at_us,
                position,
                act.realm_code,
                keys,
                write.recorded_at_us,
            )
        return ImpostorAnswer("listed" if noted else "not_listed", use)

    async def uses(
        self, realm: str, *, person: int | None = None, party: str | None = None, limit: int = 100
    ) -> Sequence[ImpostorUse]:
        """Return looks that met an entry, newest first: of one person's entries, by one party, or all (for supervisors)."""
        if not 1 <= limit <= PAGE_MAX:
            raise BadInput(f"A page has 1 to {PAGE_MAX} uses.", where="?limit")
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT u.id, i.case_id, u.party, u.purpose, u.reference, u.used_at_us FROM impostor_use u "
                "JOIN impostor i ON i.id = u.impostor WHERE i.realm = %(realm)s AND (%(person)s::bigint IS NULL "
                "OR i.person_id = %(person)s) AND (%(party)s::text IS NULL OR u.party = %(party)s) "
                "ORDER BY used_at_us DESC, u.id LIMIT %(limit)s",
                {"realm": REALM_CODES[realm], "person": person, "party": party, "limit": limit},
            )
            return [
                ImpostorUse(use=row[0], case=row[1], party=row[2], purpose=row[3], reference=row[4], used_at_us=row[5])
                for row in await found.fetchall()
            ]

    async def give_pass(self, act: Act, case: str, document: Document, *, consented: bool) -> PassGiven:
        """Give the victim of a case a pass for her document, with her consent.

        Raises:
            Forbidden: she has not consented.
            Conflict, NotFound: there is no such case, or it was dismissed.
        """
        if not consented:
            raise Forbidden("A pass is given with the victim's consent alone.", where="/consented")
        key = self._keys.documents(act.realm).blind(number_block(document))
        token, made = _PREFIX + secrets.token_urlsafe(24), "vi_" + secrets.token_hex(12)
        async with writing(self._connections, self._now_us()) as write:
            row = await write.one("SELECT state FROM misuse_case WHERE id = %s AND realm = %s", case, act.realm_code)
            if row is None or row[0] == "dismissed":
                raise NotFound("There is no such case.")
            position = write.note(act.author, made, b"a victim's pass was given", realm=act.code)
            ends = write.recorded_at_us + PASS_DAYS * DAY_US
            await write.run(
                "INSERT INTO victim_pass (id, realm, case_id, secret_hash, number_key, key_epoch, given_at_us, ends_at_us, "
                "position) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                made,
                act.realm_code,
                case,
                hashlib.sha256(token.encode()).digest(),
                key,
                self._keys.epoch,
                write.recorded_at_us,
                ends,
                position,
            )
        return PassGiven(made, token, ends)

    async def show_pass(self, realm: str, token: str, document: Document) -> PassShown:
        """Tell what a pass says of the bearer of a document: one sentence, or nothing."""
        async with reading(self._connections) as db:
            found = await db.execute(
                "SELECT number_key, key_epoch FROM victim_pass WHERE secret_hash = %s AND realm = %s AND revoked_at_us IS NULL "
                "AND ends_at_us > %s",
                (hashlib.sha256(token.encode()).digest(), REALM_CODES[realm], self._now_us()),
            )
            row = await found.fetchone()
        keys = self._keys.documents(realm)
        stands = row is not None and keys.advance(bytes(row[0]), row[1]) == keys.blind(number_block(document))
        return PassShown(stands, SENTENCE if stands else "")

    async def revoke_pass(self, act: Act, token: str) -> bool:
        """End a pass, by whoever holds it; tell whether one ended. A second time changes nothing."""
        async with writing(self._connections, self._now_us()) as write:
            row = await write.one(
                "UPDATE victim_pass SET revoked_at_us = %s WHERE secret_hash = %s AND realm = %s AND revoked_at_us IS NULL "
                "RETURNING id",
                write.recorded_at_us,
                hashlib.sha256(token.encode()).digest(),
                act.realm_code,
            )
            if row is not None:
                write.note(act.author, row[0], b"a victim's pass was revoked", realm=act.code)
        return row is not None


async def put(
    write: Write, case: str, realm: int, subject_key: bytes | None, key_epoch: int, person: int | None, term_us: int
) -> None:
    """Enter the person of a case in the list, inside the step that makes it effective; an entry that stands already stays."""
    if subject_key is None:
        raise Corrupt("A case without a person cannot take effect.", where=case)
    salt = secrets.token_bytes(16)
    await write.run(
        "INSERT INTO impostor (id, realm, case_id, subject_key, key_epoch, commitment, salt, person_id, listed_at_us, "
        "ends_at_us, "
        "position) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (case_id) DO NOTHING",
        "im_" + secrets.token_hex(12),
        realm,
        case,
        bytes(subject_key),
        key_epoch,
        hashlib.sha256(salt + bytes(subject_key)).digest(),
        salt,
        person,
        write.recorded_at_us,
        write.recorded_at_us + term_us,
        write.position,
    )


async def purge(write: Write, case: str) -> None:
    """Destroy what says who the person of a case was, and prove it: the log says how many rows still hold the key.

    Raises:
        Corrupt: a row still holds it; nothing is changed then.
    """
    row = await write.one("SELECT subject_key, realm FROM misuse_case WHERE id = %s", case)
    if row is None or row[0] is None:
        return
    await write.run(
        "UPDATE impostor SET subject_key = NULL, salt = NULL, person_id = NULL, purged_at_us = %s, purge_position = %s "
        "WHERE case_id = %s AND subject_key IS NOT NULL",
        write.recorded_at_us,
        write.position + 1,
        case,
    )
    await write.run(
        "UPDATE misuse_case SET subject_key = NULL, subject_person = NULL, identified_by = '', grounds = '', closed_at_us = %s "
        "WHERE id = %s",
        write.recorded_at_us,
        case,
    )
    left = await write.one(
        "SELECT (SELECT count(*) FROM impostor WHERE case_id = %s AND subject_key IS NOT NULL) "
        "+ (SELECT count(*) FROM misuse_case WHERE id = %s AND subject_key IS NOT NULL)",
        case,
        case,
    )
    if left is None or left[0]:
        raise Corrupt("The key of a purged entry is still in a row.", where=case)
    write.note("annul", case, b"purged; rows that hold the key: 0", realm=Realm.of_octet(row[1]))
