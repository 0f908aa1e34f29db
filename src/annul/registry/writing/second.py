"""Say who may be the second person: two persons are two credentials, and neither was made with the other.

What takes a listing away, changes many of them at once, or changes what protects them takes two persons; a dispute, which one
officer opens, only makes checks refer (docs/desk.md). What the first one did
(staged, proposed, edited, asked) is kept with her hand: who she is, and the credential she signed in with. Here alone it is
decided whether the hand that completes it is another person's:

    first = Hand(staged_by, staged_with)
    await require_second(write, act, first)                # lists, persons, corrections, the clean-up, policies
    await asked_twice(write, act, "policy bank: …")        # what has no draft of its own: asked by one, carried out by another

One who holds a single key can write many names: she makes an officer with it, signs in as her, and lets her make a passkey. So
names alone count for nothing here. Whoever makes a credential or an officer is neither first nor second with it for a term, and
a passkey counts for the same term as the credential it was made with. Whoever signs in with a key of her own at her first time
is a person of her own at once.

What must never happen here: an act without a credential as first or as second; a door that decides this for itself.

Source: decision of docs/threats.md, "one insider"; domain, section 3, rule 11 (two officers).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from annul.errors import Forbidden
from annul.registry.writing.act import Act, same_person
from annul.registry.writing.store import Write
from annul.times import DAY_US

TERM_US: Final = 7 * DAY_US
"""How long a credential and whoever made it count as one person: long enough for others to see in the log who made it."""

WINDOW_US: Final = DAY_US
"""Time over which the lists of one person are summed for the limit above which a second one confirms."""

ASKED_US: Final = DAY_US
"""How long what one person asked for waits for another one."""

PASSKEY: Final = "k_"
"""How the id of a passkey begins."""

_UNKNOWN: Final = "It is not known how the first person signed in."


class Hand(NamedTuple):
    """Say whose hand it was: the author of an act, and the credential she signed in with ("" when that is not known)."""

    author: str
    credential: str


async def note_made(write: Write, act: Act, name: str) -> None:
    """Note who made a credential or an officer, or gave her more duties; `name` is the credential's id or the officer's."""
    await write.run(
        "INSERT INTO credential_made (name, made_by, made_with, made_at_us) VALUES (%s, %s, %s, %s)",
        name,
        act.author,
        act.credential,
        write.recorded_at_us,
    )


async def require_second(
    write: Write,
    act: Act,
    first: Hand,
    *,
    sentence: str = "This needs a second officer.",
    mend: str = "Another officer, who signs in with a credential of her own, does it.",
) -> None:
    """Hold that this act is by another person than the first one.

    Args:
        first: who did the first step, as it was kept with it.
        sentence, mend: what the one who is refused is told.

    Raises:
        Forbidden: they may be one person: one name, an officer and her party, one credential, a credential that one of them
            made within the term, two passkeys made with one credential within the term, or no credential at all.
    """
    second = Hand(act.author, act.credential)
    if same_person(first.author, second.author) or not second.credential or first.credential == second.credential:
        raise Forbidden(sentence, mend=mend)
    if not first.credential:
        raise Forbidden(_UNKNOWN, mend="Let the first step be done again.")
    since_us = write.recorded_at_us - TERM_US
    for one, other in ((first, second), (second, first)):
        made = await write.one(
            "SELECT 1 FROM credential_made WHERE name IN (%s, %s) AND made_at_us > %s AND (made_with = %s OR made_by = %s)",
            other.author,
            other.credential,
            since_us,
            one.credential,
            one.author,
        )
        if made is not None:
            raise Forbidden(sentence, mend="One of you was let in by the other a short while ago. " + mend)
    if await _of_one_key(write, first.credential, second.credential, since_us):
        raise Forbidden(sentence, mend="Both passkeys were made with one key a short while ago. " + mend)


async def asked_twice(write: Write, act: Act, what: str, *, sentence: str, mend: str) -> bool:
    """Tell whether this was asked for by one person before, and is asked for by another one now.

    Args:
        what: names what is asked for, exactly; two persons ask for the same.
        sentence, mend: what the one who asks for it a second time herself is told.

    Returns:
        True: carry it out. False: it was noted, and waits a day for another person.

    Raises:
        Forbidden: it waits, and this may be the person who asked for it.
    """
    row = await write.one(
        "SELECT asked_by, asked_with FROM asked WHERE what = %s AND asked_at_us > %s FOR UPDATE",
        what,
        write.recorded_at_us - ASKED_US,
    )
    if row is None:
        await write.run(
            "INSERT INTO asked (what, asked_by, asked_with, asked_at_us) VALUES (%s, %s, %s, %s) ON CONFLICT (what) DO UPDATE "
            "SET asked_by = excluded.asked_by, asked_with = excluded.asked_with, asked_at_us = excluded.asked_at_us",
            what,
            act.author,
            act.credential,
            write.recorded_at_us,
        )
        return False
    await require_second(write, act, Hand(*row), sentence=sentence, mend=mend)
    await write.run("DELETE FROM asked WHERE what = %s", what)
    return True


async def of_this_day(write: Write, act: Act, first: Hand, *, table: str, counted: str) -> int:
    """Count what one person alone may have brought in within a day, so that many small lists are a large one.

    Args:
        first: who staged the list that is to be confirmed now; whoever of her party, of this act's, or with one of the two
            credentials brought lists in counts with her.
        table: of lists: bulk, person_import; counted: its column.
    """
    parties = [first.author.partition("/")[0], act.author.partition("/")[0]]
    credentials = [each for each in (first.credential, act.credential) if each]
    row = await write.one(
        f"SELECT coalesce(sum({counted}), 0) FROM {table} WHERE realm = %s AND state = 'in_force' AND NOT by_two "
        "AND confirmed_at_us > %s AND (split_part(staged_by, '/', 1) = ANY(%s) OR split_part(confirmed_by, '/', 1) = ANY(%s) "
        "OR staged_with = ANY(%s) OR confirmed_with = ANY(%s))",
        act.realm_code,
        write.recorded_at_us - WINDOW_US,
        parties,
        parties,
        credentials,
        credentials,
    )
    return int(row[0]) if row else 0


async def _of_one_key(write: Write, first: str, second: str, since_us: int) -> bool:
    """Tell whether two passkeys were made with one credential within the term."""
    if not (first.startswith(PASSKEY) and second.startswith(PASSKEY)):
        return False
    shared = await write.one(
        "SELECT 1 FROM credential_made a JOIN credential_made b USING (made_with) "
        "WHERE a.name = %s AND b.name = %s AND a.made_at_us > %s AND b.made_at_us > %s",
        first,
        second,
        since_us,
        since_us,
    )
    return shared is not None
