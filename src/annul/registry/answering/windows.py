"""Answer a window of questions as one: one blinding, one look-up, one tree, one signature; then the JSON of every answer.

`Answerer.answer` gives what has to be durable before anybody hears, and a function for what can be made while the disk works.
It writes nothing itself. Formats: docs/formats/receipt.md; the JSON decodes to `records.check.Answer` (property tests hold it).

`Answerer` is the specification, line by line, and what runs on processors without SHA instructions; everywhere else
`machine.MachineAnswerer` does the same in machine code, five times as fast (a property test holds both to the same bytes).

What must never happen here: an answer from the other realm, an answer that stands on less than the position it names.
"""

from __future__ import annotations

import os
from binascii import b2a_base64, hexlify
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from annul import logs, metrics
from annul.errors import Corrupt, SourceDown, StorageFailed
from annul.listings.listings import Listings
from annul.listings.values import CODE_MASK, UNLOCK
from annul.proof.leaf import Row, write_leaves
from annul.proof.receipt import json_shape
from annul.proof.window import SignedWindow, WindowSigner, statement_hash
from annul.records.codes import Coverage, FreshnessCode, IdentityCode, StatusCode
from annul.records.document import DocumentKeys, unlock_key
from annul.registry.answering.answers import FULL, NUMBER_ONLY, Judge, Manner, Told, Verdict, nothing_found, unlocked
from annul.registry.answering.checklog import PRIVATE_FIXED, encode_window
from annul.registry.answering.questions import Asked
from annul.registry.answering.walk import Walker
from annul.registry.people import PHOTO
from annul.times import SECOND_US, rfc3339

_log = logs.get("checks")
_private = PRIVATE_FIXED.pack
_NO_KEY: Final = bytes(16)
_MALFORMED: Final = Verdict(StatusCode.U33, Coverage.none)
_FORM_UNKNOWN: Final = Verdict(StatusCode.U33, Coverage.none, form_unknown=True)
_M0, _M1, _M2, _M3 = (code.octet for code in (IdentityCode.M0, IdentityCode.M1, IdentityCode.M2, IdentityCode.M3))
_M9: Final = bytes((IdentityCode.M9.octet,))


class Place(NamedTuple):
    """Where a window stands in the log of its worker."""

    worker: int
    number: int
    previous: bytes


class Closed(NamedTuple):
    """A window that was answered and is not durable yet.

    `finish` makes the bodies, in the order of the questions, and counts the answers by outcome; `told` gives what each says
    without its JSON. Both are called before the next window is answered.
    """

    statement: bytes
    record: bytes
    position: int
    finish: Callable[[], tuple[list[bytes], Mapping[str, int]]]
    told: Callable[[], list[Told]]

    @property
    def statement_hash(self) -> bytes:
        """SHA-256 of the statement: `previous` of the next window."""
        return statement_hash(self.statement)


class Salts(Protocol):
    """Where salts come from."""

    def __call__(self, count: int, /) -> bytes:
        """Return so many random bytes."""


class Answerer:
    """Answer the windows of one worker.

    Args:
        listings: the table; read only.
        keys: document keys of the realms "live" and "test".
        signer: signs windows.
        people: the table of names; without it every identity is M9.
        alarm: called when a party that walks through numbers is slowed or stopped; None does not look for such.
        live_us: microseconds since the follower caught up within which an answer is F0.
        salts: source of the salts of commitments.
    """

    def __init__(
        self,
        listings: Listings,
        keys: Mapping[str, DocumentKeys],
        signer: WindowSigner,
        *,
        people: Listings | None,
        alarm: Callable[[Walker, int], None] | None,
        live_us: int,
        salts: Salts = os.urandom,
    ) -> None:
        self._listings = listings
        self._keys = keys
        self._signer = signer
        self._people = people
        self._alarm = alarm
        self._live_us = live_us
        self._salts = salts
        self._judge = Judge()

    def answer(self, asked: list[Asked], now_us: int, place: Place) -> Closed:
        """Answer a window at `now_us`: look up, decide, pack, sign."""
        listings = self._listings
        listings.refresh()
        as_of_us = listings.as_of_us  # in this order: the look-up sees at least this position, which is as of then
        position = listings.position
        keys, test_at = self._blind(asked)
        values: list[int] = listings.lookup(keys).tolist() if keys else []
        identities = self._identities(asked, keys, test_at)
        self._judge.day(now_us)
        salts = self._salts(16 * len(asked))
        epochs = (self._keys["live"].epoch, self._keys["test"].epoch)
        rows: list[Row] = []
        privates: list[bytes] = []
        tellings: list[Told] = []
        ats, salt_at = [0, test_at], 0
        for each, identified in zip(asked, identities, strict=True):
            at = ats[each.test]
            ats[each.test] = at + len(each.blocks)
            key = number_key = _NO_KEY
            value = number = 0
            if each.naming == NUMBER_ONLY:
                number_key, number = keys[at : at + 16], values[at >> 4]
            elif each.blocks:
                key, value = keys[at : at + 16], values[at >> 4]
                if each.naming == FULL:
                    number_key, number = keys[at + 16 : at + 32], values[(at >> 4) + 1]
            verdict = self._verdict(each, value, number)
            if verdict.status is StatusCode.S13 and value and self._is_open(key, each.manner.purpose.octet, now_us):
                verdict = self._judge.seen(unlocked(value), number, each.naming, each.until_day) or verdict
            told = each.manner.telling(
                verdict, self._freshness(each.manner, now_us - as_of_us), each.scheme, identified, each.binding
            )
            salt = salts[salt_at : salt_at + 16]
            salt_at += 16
            rows.append((each.test, told.leaf, salt, each.identity, each.context + each.holder))
            privates.append(_private(key, number_key, salt, epochs[each.test], told.status) + each.context)
            tellings.append(told)
        leaves = write_leaves(now_us, position, as_of_us, rows)
        signed = self._signer.close(leaves, place.worker, place.number, place.previous, now_us)
        record = encode_window(signed.statement, signed.signature, b"".join(leaves), b"".join(privates))

        def finish() -> tuple[list[bytes], Mapping[str, int]]:
            counted = Counter((id(each.manner), id(told)) for each, told in zip(asked, tellings, strict=True))
            known = {(id(each.manner), id(told)): (each.manner, told) for each, told in zip(asked, tellings, strict=True)}
            self._settle([(*known[pair], count) for pair, count in counted.items()], now_us)
            shape = self._shape(position, as_of_us, signed.statement, signed.signature)
            return self._bodies(shape, signed, leaves, tellings, salts), Counter([told.outcome for told in tellings])

        return Closed(signed.statement, record, position, finish, lambda: tellings)

    def _verdict(self, each: Asked, value: int, number: int) -> Verdict:
        """Say what the values found mean for a question, leaving aside that its owner may have opened a lock."""
        document = each.document
        if document is None:
            return _FORM_UNKNOWN if each.form_unknown else _MALFORMED
        found = self._judge.seen(value, number, each.naming, each.until_day)
        return nothing_found(self._listings.coverage(document.coverage_name)) if found is None else found

    def _freshness(self, manner: Manner, age_us: int) -> FreshnessCode:
        """Say how fresh a table of this age is: how old a copy may be is for each party's policy to say."""
        if age_us <= self._live_us:
            return FreshnessCode.F0
        return FreshnessCode.F1 if age_us <= manner.decisions.policy.copy_age_max_s * SECOND_US else FreshnessCode.F2

    def _settle(self, told: Iterable[tuple[Manner, Told, int]], now_us: int) -> None:
        """Count answers and misses of each party, and raise the alarm about those that walk through numbers.

        Args:
            told: what was told how often, and to which manner of asking.
        """
        if self._alarm is None:
            return
        walkers = set()
        for manner, each, count in told:
            walker = manner.walker
            if walker is not None:
                walker.seen += count
                walker.missed += count * each.miss
                walkers.add(walker)
        for walker in walkers:
            if walker.settle(now_us):
                metrics.WALKERS.labels(walker.pace.name).inc()
                _log.warning("a party walks through numbers", party=walker.party, code=walker.pace.name)
                try:
                    self._alarm(walker, now_us)
                except StorageFailed as error:  # the party is slowed all the same, and these answers must leave
                    _log.error("an alarm could not be left", party=walker.party, error=type(error).__name__)

    def _shape(self, position: int, as_of_us: int, statement: bytes, signature: bytes) -> bytes:
        """Return the JSON of a window's answers as a pattern for `%`, with seven gaps (its own parts hold no per cent sign).

        The gaps: head and tail of what is told; check ID; leaf, index and path of the receipt; salt.
        """
        return (
            b'%%b%d,"as_of":"%b"}%%b%%b","receipt":' % (position, rfc3339(as_of_us).encode())
            + json_shape(statement, signature, self._signer.key)
            + b',"opening":"%b","error":{"code":"E00"}}'
        )

    @staticmethod
    def _bodies(shape: bytes, signed: SignedWindow, leaves: list[bytes], tellings: list[Told], salts: bytes) -> list[bytes]:
        """Assemble the JSON of each answer; its parts decode to `Answer` (a property test holds it)."""
        return [
            shape
            % (
                told.head,
                told.tail,
                hexlify(leaf_hash[:16]),
                b2a_base64(leaf, newline=False),
                index,
                b2a_base64(path, newline=False),
                hexlify(salts[index * 16 : index * 16 + 16]),
            )
            for index, (told, leaf, leaf_hash, path) in enumerate(
                zip(tellings, leaves, signed.leaf_hashes, signed.paths, strict=True)
            )
        ]

    def _blind(self, asked: list[Asked]) -> tuple[bytes, int]:
        """Blind all blocks; returns the keys and where those of the test realm begin, which follow those of the live one."""
        keys = self._keys["live"].blind(b"".join([each.blocks for each in asked if not each.test]))
        test_at = len(keys)
        if any(each.test for each in asked):
            keys += self._keys["test"].blind(b"".join([each.blocks for each in asked if each.test]))
        return keys, test_at

    def _identities(self, asked: list[Asked], keys: bytes, test_at: int) -> Sequence[int]:
        """Return the identity code (its octet) of each question: one look-up of all numbers and names into the table of names.

        A question without a name, or of a party without the right, takes no part in it.
        """
        people = self._people
        places = [place for place, each in enumerate(asked) if each.names]
        codes = bytearray(_M9 * len(asked))
        if people is None or not places:
            return codes
        names = self._keys["live"].blind(b"".join([asked[place].names for place in places if not asked[place].test]))
        name_ats = [0, len(names)]
        names += self._keys["test"].blind(b"".join([asked[place].names for place in places if asked[place].test]))
        ats, holders, at_of = [0, test_at], [], iter(places)
        following = next(at_of)
        for place, each in enumerate(asked):
            end = ats[each.test] = ats[each.test] + len(each.blocks)
            if place == following:  # the number is the last of a question's blocks
                holders.append(keys[end - 16 : end])
                following = next(at_of, -1)
        try:
            found: list[int] = people.lookup(b"".join(holders) + names).tolist()
        except (Corrupt, SourceDown):  # the table is being made anew: no answer is invented, the document's status stands
            return codes
        count = len(places)
        for slot, place in enumerate(places):
            each = asked[place]
            at = name_ats[each.test]
            name_ats[each.test] = end = at + len(each.names)
            belongs = any(found[count + (at >> 4) : count + (end >> 4)])
            known = found[slot]
            codes[place] = (_M0 if known & PHOTO else _M1) if known and belongs else _M2 if known else _M3
        return codes

    def _is_open(self, document_key: bytes, purpose: int, now_us: int) -> bool:
        """Tell whether the owner has opened the lock for this purpose and the time is not over."""
        value = int(self._listings.lookup(unlock_key(document_key, purpose))[0])
        return value & CODE_MASK == UNLOCK and now_us < (value >> 8 & 0xFFFFFFFF) * 60_000_000
