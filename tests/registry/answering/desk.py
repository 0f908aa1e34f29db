"""A small real world for the check path: listings, keys, log, quota and a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from annul.listings import Listings, ListingsWriter, pack
from annul.listings.values import WHOLE_LIFE
from annul.proof.checkpoint import Verifier
from annul.proof.window import WindowSigner
from annul.records.check import Question
from annul.records.codes import Coverage
from annul.records.document import Document, DocumentFields, DocumentKeys, block, number_block, parse_document
from annul.records.names import holder_block, name_block, stored_forms
from annul.records.status import State
from annul.registry.answering.checklog import CheckLog, DiskFile, LogFile
from annul.registry.answering.checks import Checks
from annul.registry.answering.quota import Quota
from annul.registry.parties.parties import Agreement, Principal
from annul.registry.people import KNOWN, NAME, PHOTO

NOW_US = 1_790_000_000_000_000
"""2026-09-21, a Monday."""
SECRET = b"window signing secret of a test."
LIVE = DocumentKeys([b"document secret of the live one."])
TEST = DocumentKeys([b"document secret of the test one."])
NUMBER = "11010519491231002X"
PURPOSES = frozenset({"account-opening", "medical", "credit"})


class Desk:
    """Hold the parts; `ask` asks as a bank whose agreement allows exact reasons."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.now = NOW_US
        self.writer = ListingsWriter(home / "listings")
        self.writer.set_coverage(
            {
                "cn-resident": Coverage.whole_life,
                "ru-internal": Coverage.listing_only,
                "icao-9303/UTO/P": Coverage.whole_life,
            }
        )
        self.writer.set_applied(7, self.now)
        self.listings = Listings(home / "listings")
        self.signer = WindowSigner(SECRET)
        self.verifier: Verifier = self.signer.verifier
        self.bank = principal("bank")
        self.open: list[tuple[Checks, CheckLog, Quota]] = []

    def put(self, document: Document, value: int, *, keys: DocumentKeys = LIVE, number: int = 0) -> None:
        """List a document, and its number when `number` is given."""
        self.write(keys.blind(block(document)), value)
        if number:
            self.write(keys.blind(number_block(document)), number)

    def write(self, key: bytes, value: int) -> None:
        """Write one value."""
        self.writer.put(key, np.array([value], np.uint64))

    def checks(self, worker: int = 0, *, open_file: Callable[[Path], LogFile] = DiskFile, **options: Any) -> Checks:
        """Open the ask path of a worker."""
        log = CheckLog(self.home / "checks", worker, open_file=open_file)
        quota = Quota(self.home / "quota", worker)
        keys = {"live": LIVE, "test": TEST}
        checks = Checks(self.listings, keys, log, self.signer, quota, now_us=lambda: self.now, **options)
        self.open.append((checks, log, quota))
        return checks

    async def close(self) -> None:
        """Stop every worker that was opened."""
        for checks, log, quota in self.open:
            await checks.close()
            log.close()
            quota.close()
        self.open.clear()


class NameDesk(Desk):
    """A desk beside a table of names."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.names = ListingsWriter(home / "people")
        self.put(parsed(), pack(State.current, 0, WHOLE_LIFE))

    def know(self, fields: DocumentFields, *names: str, photo: bool = False, keys: DocumentKeys = LIVE) -> None:
        """Put a person's number and names into the table."""
        holder = holder_block(parse_document(fields))
        blocks = [name_block(holder, form) for name in names for form in stored_forms(name)]
        values = [KNOWN | (PHOTO if photo else 0)] + [NAME] * len(blocks)
        self.names.put(keys.blind(holder + b"".join(blocks)), np.array(values, np.uint64))

    def open_checks(self, **options: Any) -> Checks:
        """Open the ask path with names."""
        return self.checks(people=Listings(self.home / "people"), **options)


def principal(name: str, *, realm: str = "live", reasons: bool = True, **limits: int) -> Principal:
    """Make a relying party."""
    agreement = Agreement(purposes=PURPOSES, reasons_allowed=reasons, **limits)
    return Principal(name, name.title(), "relying_party", realm, agreement, f"key-{name}-{realm}")  # type: ignore[arg-type]


def card(valid_from: str | None = "2016-10-06", valid_until: str | None = None, number: str = NUMBER) -> DocumentFields:
    """Name a Chinese resident card."""
    return DocumentFields(scheme="cn-resident", number=number, valid_from=valid_from, valid_until=valid_until)


def question(fields: DocumentFields | None = None, **more: Any) -> Question:
    """Ask about a document, by default the usual card, for opening an account in person."""
    return Question(
        document=fields or card(),
        purpose=more.pop("purpose", "account-opening"),
        channel=more.pop("channel", "in_person"),
        **more,
    )


def parsed(fields: DocumentFields | None = None) -> Document:
    """Read a document."""
    return parse_document(fields or card())


__all__ = [
    "LIVE",
    "NOW_US",
    "NUMBER",
    "PURPOSES",
    "TEST",
    "Desk",
    "DocumentFields",
    "State",
    "card",
    "parsed",
    "principal",
    "question",
]
