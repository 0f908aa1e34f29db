"""Read questions: who asks, by which manner, about which document, down to the blocks and bytes a window needs.

What is learnt of a caller, of a way of asking and of a kind of document is kept; one question costs microseconds. Nothing here
looks anything up, waits or writes.

What must never happen here: a document number in an error text.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import msgspec

from annul.errors import Forbidden, MalformedNumber, PurposeNotAllowed
from annul.proof.leaf import SHORT, pack_context, pack_text
from annul.records.check import Decisions, Holder, Question, channel_of, purpose_of
from annul.records.codes import BindingCode
from annul.records.document import (
    SCHEMES,
    Document,
    DocumentFields,
    block,
    both_blocks,
    canonical,
    number_block,
    parse_document,
    scheme_code,
)
from annul.records.forms import FormUnknown
from annul.records.names import asked_forms, name_block
from annul.registry.answering.answers import FULL, NUMBER_ONLY, PLAIN, Manner
from annul.registry.answering.principals import Principal
from annul.registry.answering.quota import Allowance, Quota
from annul.registry.answering.walk import Walker
from annul.times import Clock

CALLERS_MAX: Final = 20_000
"""Remembered callers; beyond it they are forgotten (a credential change makes a new principal)."""
BEGINNINGS_MAX: Final = 4_096
"""Remembered beginnings of identities (scheme, issuer, kind): there are some hundred in the world."""

_NO_NAME: Final = "\0"
"""Stands for a name that cannot be compared; no name on record has this form, and looking it up costs the same."""


class Sink(Protocol):
    """Who hears what became of questions: for each, one of both is called, once, from the event loop. Neither may raise."""

    def tell(self, place: int, body: bytes) -> None:
        """Take the JSON of the answer to the question asked from `place`."""

    def fail(self, error: Exception) -> None:
        """Learn that there is no answer."""


class Asked(NamedTuple):
    """One admitted question, read and packed, waiting for its window."""

    sink: Sink
    place: int  # in the batch; -1 for a single check
    manner: Manner
    test: bool
    blocks: bytes  # document block and/or number block: 0, 16 or 32 bytes
    naming: int
    until_day: int
    scheme: int
    document: Document | None  # None: the number was malformed
    identity: bytes  # what the receipt commits to
    context: bytes  # branch, terminal, clerk, reference as the private record keeps them
    holder: bytes  # the holder's name as the receipt commits to it: its length, then UTF-8
    names: bytes  # blocks of number and name, one for each normal form; empty: the identity is not asked
    binding: BindingCode
    kind: int = 0  # a number for scheme, issuer and kind of the document; another kind never has it
    form_unknown: bool = False  # with document None: the zone is of a form not known here


class Caller:
    """What is known of one principal: its allowance and its manners."""

    __slots__ = ("allowance", "manners", "principal", "test", "walker")

    def __init__(self, principal: Principal, allowance: Allowance, walker: Walker | None) -> None:
        self.walker = walker
        self.principal = principal
        self.allowance = allowance
        self.test = principal.realm == "test"
        self.manners: dict[tuple[str, str, bool], Manner] = {}


def _name_blocks(number: bytes, holder: Holder) -> bytes:
    """Return the blocks of a number with each normal form of a name."""
    return b"".join([name_block(number, form) for form in asked_forms(holder.name) or (_NO_NAME,)])


def malformed_identity(fields: DocumentFields) -> bytes:
    """Return what a receipt commits to when the number cannot be one of its scheme: the fields as they were given."""
    return b"malformed\0" + msgspec.json.encode(fields, order="deterministic")


def _no_agreement() -> Forbidden:
    return Forbidden("This credential has no agreement for checks.", mend="Use a relying party's credential.")


class Reader:
    """Read the questions of one worker.

    Args:
        quota: counters shared by the workers of this machine.
        decisions: the counter policy of parties that have none of their own.
        now_us: microseconds since the epoch.
        named: there is a table of names to ask.
        watched: parties that walk through numbers are looked for.
    """

    def __init__(self, quota: Quota, decisions: Decisions, now_us: Clock, *, named: bool, watched: bool) -> None:
        self._quota = quota
        self._decisions = decisions
        self._now_us = now_us
        self._named = named
        self._watched = watched
        self._walkers: dict[str, Walker] = {}
        self._beginnings: dict[tuple[str, str, str], tuple[bytes, int]] = {}
        self._kinds = 0
        self._callers: dict[int, Caller] = {}

    def caller(self, principal: Principal) -> Caller:
        """Return what is known of who asks.

        Raises:
            Forbidden: this principal has no agreement.
        """
        found = self._callers.get(id(principal))
        if found is not None and found.principal is principal:
            return found
        agreement = principal.agreement
        if agreement is None:
            raise _no_agreement()
        if len(self._callers) >= CALLERS_MAX:
            self._callers.clear()
        allowance = self._quota.allowance(principal.id, agreement.per_second, agreement.per_day)
        walker = None
        if self._watched and principal.realm == "live":
            walker = self._walkers.setdefault(principal.id, Walker(principal.id, agreement.per_day))
        found = self._callers[id(principal)] = Caller(principal, allowance, walker)
        return found

    def manner(self, caller: Caller, question: Question) -> Manner:
        """Check that the agreement allows this purpose and channel, and remember the manner.

        Raises:
            PurposeNotAllowed: it does not; BadInput: there is no such purpose or channel.
        """
        purpose, channel = purpose_of(question.purpose), channel_of(question.channel)
        principal = caller.principal
        agreement = principal.agreement
        if agreement is None:
            raise _no_agreement()
        if purpose.value not in agreement.purposes:
            raise PurposeNotAllowed("The agreement does not cover this purpose.", where="/purpose")
        if channel.value not in agreement.channels:
            raise PurposeNotAllowed("The agreement does not cover this channel.", where="/channel")
        manner = Manner(
            principal.id,
            agreement.reasons_allowed,
            purpose,
            channel,
            question.urgent,
            principal.decisions or self._decisions,
            identity=agreement.identity_allowed and self._named,
            walker=caller.walker,
        )
        caller.manners[question.purpose, question.channel, question.urgent] = manner
        return manner

    def read(
        self,
        caller: Caller,
        question: Question,
        sink: Sink,
        index: int,
        binding: BindingCode = BindingCode.B9,
    ) -> Asked:
        """Read a question into blocks and the bytes of its commitments.

        Raises:
            PurposeNotAllowed, BadInput: it cannot be asked.
        """
        manner = caller.manners.get((question.purpose, question.channel, question.urgent)) or self.manner(caller, question)
        holder = question.holder
        context = pack_context(question.branch, question.terminal, question.clerk, question.reference)
        name = pack_text("" if holder is None else holder.name)
        fields = question.document
        try:
            document = parse_document(fields)
        except MalformedNumber as error:
            identity, unknown = malformed_identity(fields), isinstance(error, FormUnknown)
            code, of_test = scheme_code(fields.scheme), caller.test
            return Asked(
                sink,
                index,
                manner,
                of_test,
                b"",
                PLAIN,
                0,
                code,
                None,
                identity,
                context,
                name,
                b"",
                binding,
                form_unknown=unknown,
            )
        scheme = SCHEMES[document.scheme]
        start = document.valid_from_day if scheme.discriminated else None
        if start is not None:
            blocks, naming = both_blocks(document), FULL
        elif scheme.discriminated:
            blocks, naming = number_block(document), NUMBER_ONLY
        else:
            blocks, naming = block(document), PLAIN
        named = holder if manner.identity else None
        if caller.walker is not None:
            now_us = self._now_us()
            if scheme.bears_personal_number:
                caller.walker.asked(document.number, now_us)
            if named is not None:
                caller.walker.named(document.number, named.name, now_us)
        names = b"" if named is None else _name_blocks(blocks[-16:], named)
        identity, kind = self._identity(document, start)
        until, of_test, code = document.valid_until_day or 0, caller.test, scheme.code
        return Asked(
            sink, index, manner, of_test, blocks, naming, until, code, document, identity, context, name, names, binding, kind
        )

    def _identity(self, document: Document, start: int | None) -> tuple[bytes, int]:
        """Return `canonical(document)`, from its remembered beginning (scheme, issuer, kind), and the number of these three."""
        kind = document.scheme, document.issuer, document.kind
        known = self._beginnings.get(kind)
        if known is None:
            if len(self._beginnings) >= BEGINNINGS_MAX:
                self._beginnings.clear()
            rest = len(document.number.encode()) + 4 + (0 if start is None else len(str(start)))
            self._kinds += 1
            known = self._beginnings[kind] = canonical(document)[:-rest], self._kinds
        number = document.number.encode()
        day = b"" if start is None else b"%d" % start
        return b"".join((known[0], SHORT[len(number)], number, SHORT[len(day)], day)), known[1]
