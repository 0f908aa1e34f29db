"""Give developers documents whose answers are known: every status, every error, every delay, in the test realm alone.

The documents of `DOCUMENTS` are entries like any other, made once and made again when they lapse (`furnish`). Errors and delays
are played by the number of the document (`play`) before the check is asked; a live credential never gets here.

    {"scheme": "generic", "issuer": "SANDBOX", "kind": "CARD", "number": "S10"}      answers S10
    {"scheme": "generic", "issuer": "SANDBOX", "kind": "ERROR", "number": "E91"}     429 with E91
    {"scheme": "generic", "issuer": "SANDBOX", "kind": "DELAY", "number": "2000"}    the answer comes after 2 s
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from annul.errors import AnnulError, BadInput, NotAuthorised, OverQuota, PurposeNotAllowed, SourceDown, TimedOut
from annul.listings.values import DISPUTED, unpack
from annul.records.codes import Coverage
from annul.records.document import Document, DocumentFields, DocumentKeys, block, parse_document
from annul.records.meanings import STATUS, Sample
from annul.records.status import Event, Proof, State, next_status, state_of
from annul.times import Clock

if TYPE_CHECKING:
    from annul.listings.listings import Listings
    from annul.records.check import Question
    from annul.registry.parties.parties import Parties
    from annul.registry.writing.act import Act
    from annul.registry.writing.register import Register

ISSUER: Final = "SANDBOX"
COVERAGE: Final = f"generic/{ISSUER}/CARD"
DELAY_MS_MAX: Final = 10_000
REFRESH_S: Final = 3600.0
"""How often lapsed documents are made again."""
RETRY_AFTER_S: Final = 2

TWO_CARDS: Final = "110101197912319997"
"""A citizen number with two cards: without its discriminator nobody can tell which is meant."""
ONE_CARD: Final = "110101197912309991"

Fields = dict[str, str]


def _card(number: str, **more: str) -> Fields:
    return {"scheme": "generic", "issuer": ISSUER, "kind": "CARD", "number": number} | more


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of the published table: what to send, what comes back (a status code, an error, or a delay)."""

    code: str
    document: Fields


SAMPLES: Final = {code.value: meaning.sample for code, meaning in STATUS.items() if meaning.sample is not None}
"""Cards of the sandbox: code -> what happens to the card so that it answers it."""

DOCUMENTS: Final = (
    *(
        Shown(code, _card(code, **({"valid_until": made.valid_until} if made.valid_until else {})))
        for code, made in SAMPLES.items()
    ),
    Shown("U30", {"scheme": "generic", "issuer": ISSUER, "kind": "FISHING-LICENCE", "number": "LF20417"}),
    Shown("U31", {"scheme": "cn-resident", "number": TWO_CARDS}),
    Shown("U32", {"scheme": "cn-resident", "number": ONE_CARD, "valid_from": "2016-10-07"}),
    Shown("U33", {"scheme": "cn-resident", "number": ONE_CARD[:-1] + "0", "valid_from": "2016-10-06"}),
)
"""Every status code with a document that answers it."""

ERRORS: Final[dict[str, Callable[[], AnnulError]]] = {
    "E90": lambda: SourceDown("Played by the sandbox: a source cannot be reached."),
    "E91": lambda: OverQuota("Played by the sandbox: the quota is used up.", retry_after_s=RETRY_AFTER_S),
    "E92": lambda: NotAuthorised("Played by the sandbox: the credential is not valid."),
    "E93": lambda: PurposeNotAllowed("Played by the sandbox: the agreement does not cover this purpose."),
    "E94": lambda: BadInput("Played by the sandbox: the request is not of its form.", where="/document/number"),
    "E95": lambda: TimedOut("Played by the sandbox: the answer did not come in time."),
}
DELAYS_MS: Final = (100, 1_000, 5_000, DELAY_MS_MAX)

PLAYED: Final = (
    *(Shown(code, _card(code) | {"kind": "ERROR"}) for code in ERRORS),
    *(Shown(f"{delay} ms", _card(str(delay)) | {"kind": "DELAY"}) for delay in DELAYS_MS),
)


def is_played(question: Question) -> bool:
    """Tell whether a question of the test realm asks for an error or a delay."""
    document = question.document
    return document.scheme == "generic" and document.issuer == ISSUER and document.kind in ("ERROR", "DELAY")


async def play(question: Question) -> None:
    """Wait, or fail, as the number of the document says; other numbers do neither.

    Raises:
        AnnulError: the error asked for.
    """
    number = question.document.number or ""
    if question.document.kind == "ERROR":
        made = ERRORS.get(number)
        if made is not None:
            raise made()
    elif number.isdigit() and len(number) <= 6:
        await asyncio.sleep(min(int(number), DELAY_MS_MAX) / 1000)


async def furnish(register: Register, parties: Parties, listings: Listings, keys: DocumentKeys, now_us: int) -> int:
    """Make the documents of the sandbox that are not there, or do not stand as published; return how many were made.

    Args:
        register, parties: to write with.
        listings: what stands now.
        keys: document keys of the test realm.
        now_us: microseconds since the epoch.
    """
    from annul.registry.writing.act import Act  # the check path is here too, and knows no database

    act = Act("sandbox", "test")
    made = 0
    for code, sample in SAMPLES.items():
        document = _document(next(shown for shown in DOCUMENTS if shown.code == code).document)
        if _stands(listings, keys, document) == _wanted(sample):
            continue
        if sample.issued:
            with contextlib.suppress(AnnulError):  # what stands already stays
                await register.issue(act, document, happened_at_us=now_us)
        with contextlib.suppress(AnnulError):
            await _bring(register, act, document, sample, now_us)
        made += 1
    made += await _cards(register, act, listings, keys, now_us)
    if made:
        await parties.set_coverage(Act("sandbox"), COVERAGE, Coverage.whole_life)
    return made


def _wanted(sample: Sample) -> tuple[State, bool]:
    """Return the state that a card of the sandbox shall have, and whether it is disputed."""
    standing = next_status(0, Event.issue) if sample.issued else 0
    for event in sample.events:
        standing = next_status(standing, event, proof=sample.proof or Proof.in_person)
    return state_of(standing), Event.dispute_open in sample.events


async def _bring(register: Register, act: Act, document: Document, sample: Sample, now_us: int) -> None:
    """Bring a new card to the state of its code."""
    more: dict[str, Any] = {"happened_at_us": now_us, "evidence": "sandbox"}
    for event in sample.events:
        if event in _REPORTS:
            await register.report(act, document, _REPORTS[event], proof=sample.proof or Proof.in_person, **more)
        elif event is Event.supersede:
            await register.replace(act, document, _document(_card(f"{document.number}-NEW")), **more)
        else:
            await register.change(act, document, event, proof=sample.proof, **more)


_REPORTS: Final[dict[Event, Literal["lost", "stolen"]]] = {Event.report_lost: "lost", Event.report_stolen: "stolen"}


async def _cards(register: Register, act: Act, listings: Listings, keys: DocumentKeys, now_us: int) -> int:
    """Make the resident cards that show what a missing or a wrong discriminator answers."""
    made = 0
    for number, since, until in (
        (TWO_CARDS, "2006-03-01", "2026-03-01"),
        (TWO_CARDS, "2025-12-15", "2045-12-15"),
        (ONE_CARD, "2016-10-06", "2036-10-06"),
    ):
        document = _document({"scheme": "cn-resident", "number": number, "valid_from": since, "valid_until": until})
        if _stands(listings, keys, document)[0] is None:
            with contextlib.suppress(AnnulError):
                await register.issue(act, document, happened_at_us=now_us, evidence="sandbox")
                made += 1
    return made


def _document(fields: Fields) -> Document:
    return parse_document(msgspec.convert(fields, DocumentFields))


def _stands(listings: Listings, keys: DocumentKeys, document: Document) -> tuple[State | None, bool]:
    value = unpack(int(listings.lookup(keys.blind(block(document)))[0]))
    return value.state, bool(value.flags & DISPUTED)


async def keep(register: Register, parties: Parties, listings: Listings, keys: DocumentKeys, now_us: Clock) -> None:
    """Keep the sandbox as published until cancelled; a register that cannot write is tried again."""
    while True:
        with contextlib.suppress(AnnulError):
            await furnish(register, parties, listings, keys, now_us())
        await asyncio.sleep(REFRESH_S)
