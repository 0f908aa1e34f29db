"""Answer a window of questions as one: one blinding, one look-up, one tree, one signature; then the JSON of every answer.

`Answerer.answer` gives what has to be durable before anybody hears, and a function for what can be made while the disk works.
It writes nothing itself. Formats: docs/formats/receipt.md; the JSON decodes to `records.check.Answer` (property tests hold it).

What must never happen here: an answer from the other realm, an answer that stands on less than the position it names.
"""

from __future__ import annotations

import os
from binascii import b2a_base64, hexlify
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from annul import logs, metrics
from annul.errors import Corrupt, SourceDown, StorageFailed
from annul.listings.listings import Listings
from annul.listings.values import CODE_MASK, UNLOCK
from annul.proof.leaf import Row, write_leaves
from annul.proof.receipt import json_shape
from annul.proof.window import SignedWindow, WindowSigner
from annul.records.codes import Coverage, FreshnessCode, IdentityCode, StatusCode
from annul.records.document import DocumentKeys, unlock_key
from annul.registry.answering.answers import FULL, NUMBER_ONLY, Judge, Told, Verdict, nothing_found, unlocked
from annul.registry.answering.checklog import PRIVATE_FIXED, encode_window
from annul.registry.answering.questions import Asked
from annul.registry.answering.walk import Walker
from annul.registry.people import PHOTO
from annul.times import SECOND_US, rfc3339

_log = logs.get("checks")
_private = PRIVATE_FIXED.pack
_NO_KEY: Final = bytes(16)
_UNKNOWN: Final = Verdict(StatusCode.U30, Coverage.none)
"""Stands for a fact that is not remembered; None is one that is."""
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

    `finish` makes the bodies, in the order of the questions, and counts the answers by outcome.
    """

    signed: SignedWindow
    record: bytes
    finish: Callable[[], tuple[list[bytes], Mapping[str, int]]]


class Answerer:
    """Answer the windows of one worker.

    Args:
        listings: the table; read only.
        keys: document keys of the realms "live" and "test".
        signer: signs windows.
        people: the table of names; without it every identity is M9.
        alarm: called when a party that walks through numbers is slowed or stopped; None does not look for such.
        live_us: microseconds since the follower caught up within which an answer is F0.
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
    ) -> None:
        self._listings = listings
        self._keys = keys
        self._signer = signer
        self._people = people
        self._alarm = alarm
        self._live_us = live_us
        self._judge = Judge()

    def answer(self, asked: list[Asked], now_us: int, place: Place) -> Closed:
        """Answer a window at `now_us`: look up, decide, pack, sign."""
        listings = self._listings
        listings.refresh()
        as_of_us = listings.as_of_us  # in this order: the look-up sees at least this position, which is as of then
        position = listings.position
        age_us = now_us - as_of_us
        live = age_us <= self._live_us
        freshness, fresh = FreshnessCode.F0, FreshnessCode.F0.octet
        keys, values, test_at = self._look_up(asked)
        identities = self._identities(asked, keys, test_at)
        remembered = self._judge.day(now_us).get
        salts = os.urandom(16 * len(asked))
        epochs = (self._keys["live"].epoch, self._keys["test"].epoch)
        uncovered: dict[tuple[str, str, str], Verdict] = {}
        rows: list[Row] = []
        privates: list[bytes] = []
        tellings: list[Told] = []
        ats, salt_at = [0, test_at], 0
        for each, identified in zip(asked, identities, strict=True):
            _, _, manner, test, blocks, naming, until_day, scheme, document, identity, context, holder, _, binding, _ = each
            at = ats[test]
            ats[test] = at + len(blocks)
            slot = at >> 4
            key = number_key = _NO_KEY
            value = number = 0
            if naming == NUMBER_ONLY:
                number_key, number = keys[at : at + 16], values[slot]
            elif blocks:
                key, value = keys[at : at + 16], values[slot]
                if naming == FULL:
                    number_key, number = keys[at + 16 : at + 32], values[slot + 1]
            fact = value, number, naming, until_day
            found = remembered(fact, _UNKNOWN)
            if found is _UNKNOWN:
                found = self._judge.look(*fact)
            if document is None:
                verdict = _FORM_UNKNOWN if each.form_unknown else _MALFORMED
            elif found is None:
                kind = document.scheme, document.issuer, document.kind
                if kind not in uncovered:
                    uncovered[kind] = nothing_found(listings.coverage(document.coverage_name))
                verdict = uncovered[kind]
            elif found.status is StatusCode.S13 and value and self._is_open(key, manner.purpose.octet, now_us):
                verdict = self._judge.look(unlocked(value), number, naming, until_day) or found
            else:
                verdict = found
            if not live:  # how old a copy may be is for each party's policy to say
                fits = age_us <= manner.decisions.policy.copy_age_max_s * SECOND_US
                freshness = FreshnessCode.F1 if fits else FreshnessCode.F2
                fresh = freshness.octet
            told = manner.told.get(verdict.key | fresh | scheme << 16 | identified << 24 | binding.octet << 32) or manner.tell(
                verdict, freshness, scheme, identified, binding
            )
            salt = salts[salt_at : salt_at + 16]
            salt_at += 16
            rows.append((test, told.leaf, salt, identity, context + holder))
            privates.append(_private(key, number_key, salt, epochs[test], told.status) + context)
            tellings.append(told)
        leaves = write_leaves(now_us, position, as_of_us, rows)
        signed = self._signer.close(leaves, place.worker, place.number, place.previous, now_us)
        record = encode_window(signed.statement, signed.signature, b"".join(leaves), b"".join(privates))
        stood = b'%d,"as_of":"%b"}' % (position, rfc3339(as_of_us).encode())

        def finish() -> tuple[list[bytes], Mapping[str, int]]:
            if self._alarm is not None:
                self._settle(asked, tellings, now_us)
            return self._bodies(signed, leaves, tellings, salts, stood), Counter([told.outcome for told in tellings])

        return Closed(signed, record, finish)

    def _settle(self, asked: list[Asked], tellings: list[Told], now_us: int) -> None:
        """Count answers and misses of each party, and raise the alarm about those that walk through numbers."""
        walkers = set()
        for each, told in zip(asked, tellings, strict=True):
            walker = each.manner.walker
            if walker is not None:
                walker.seen += 1
                walker.missed += told.miss
                walkers.add(walker)
        for walker in walkers:
            if walker.settle(now_us) and self._alarm is not None:
                metrics.WALKERS.labels(walker.pace.name).inc()
                _log.warning("a party walks through numbers", party=walker.party, code=walker.pace.name)
                try:
                    self._alarm(walker, now_us)
                except StorageFailed as error:  # the party is slowed all the same, and these answers must leave
                    _log.error("an alarm could not be left", party=walker.party, error=type(error).__name__)

    @staticmethod
    def _bodies(signed: SignedWindow, leaves: list[bytes], tellings: list[Told], salts: bytes, stood: bytes) -> list[bytes]:
        """Assemble the JSON of each answer; its parts decode to `Answer` (a property test holds it)."""
        shape = b"%b" + stood + b'%b%b","receipt":' + json_shape(signed) + b',"opening":"%b","error":{"code":"E00"}}'
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

    def _look_up(self, asked: list[Asked]) -> tuple[bytes, list[int], int]:
        """Blind all blocks and look all keys up at once; the keys of the test realm follow those of the live one."""
        keys = self._keys["live"].blind(b"".join([each.blocks for each in asked if not each.test]))
        test_at = len(keys)
        if any(each.test for each in asked):
            keys += self._keys["test"].blind(b"".join([each.blocks for each in asked if each.test]))
        values: list[int] = self._listings.lookup(keys).tolist() if keys else []
        return keys, values, test_at

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
