"""Screen a whole file, and be told what becomes of it, without showing the register whose documents are on it.

    subscriber = Subscriber(client.connection)
    tokens = subscriber.tokens(documents)            # blinded, evaluated, proven, unblinded
    screening = Screening(subscriber)
    screening.catch_up()                             # nightly: what became of all documents, under their tokens
    [each for each in tokens if screening.status(each)]

Tokens hold until the register rotates its keys: a party keeps them beside its own numbers and blinds only what is new.
Source: RFC 9497 (client side: blind, verify the proof, finalize), by the package `voprf`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec

from annul.client.connection import Connection
from annul.errors import Conflict, VerificationFailed
from annul.records.document import Document, DocumentKeys, block

BLIND_MAX: Final = 1_000
"""Points of one call. Source: the API's contract."""
TOKENS_MAX: Final = 10_000
TOKEN_BYTES: Final = 32
_CHANGES_MAX: Final = 5_000
"""Changes asked for at a time."""


class _Parameters(msgspec.Struct):
    epoch: int
    public_key: bytes
    carried: list[bytes]


class _Evaluated(msgspec.Struct):
    epoch: int
    elements: list[bytes]
    proof: bytes


class _Kept(msgspec.Struct):
    tokens: int
    events: int


class _Change(msgspec.Struct):
    token: bytes
    position: int
    status: str


class _Changes(msgspec.Struct):
    epoch: int
    changes: list[_Change]
    cursor: int


class Subscriber:
    """Make tokens and register them.

    Args:
        connection: of a relying party.

    Attributes:
        epoch: of the register's function; tokens of another one are worth nothing.
    """

    def __init__(self, connection: Connection) -> None:
        from voprf.ristretto import PublicKey

        self.connection = connection
        parameters: _Parameters = connection.get("/v1/subscriptions/parameters", to=_Parameters)
        self.epoch = parameters.epoch
        self._public_key = PublicKey.deserialize(parameters.public_key)
        self._carried = DocumentKeys(parameters.carried)

    def tokens(self, documents: Iterable[Document]) -> Iterator[bytes]:
        """Yield the tokens of documents, in their order.

        Raises:
            VerificationFailed: the register did not use the key it published: it could tell parties apart.
            Conflict: the keys were rotated meanwhile.
        """
        waiting = iter(documents)
        while some := list(islice(waiting, BLIND_MAX)):
            yield from self._tokens(some)

    def _tokens(self, documents: Sequence[Document]) -> list[bytes]:
        from voprf.ristretto import Client, VerifiableBatchOutput

        blinded = [Client.blind(self._carried.blind(block(document))) for document in documents]
        body = {"points": [point.serialize() for _, point in blinded]}
        evaluated: _Evaluated = self.connection.post("/v1/subscriptions/blind", body, to=_Evaluated)
        if evaluated.epoch != self.epoch:
            raise Conflict("The register's keys were rotated.", mend="Begin anew: all tokens are new.")
        try:
            outputs = VerifiableBatchOutput.deserialize(evaluated.proof + b"".join(evaluated.elements))
            finished = Client.finalize_batch([client for client, _ in blinded], outputs, self._public_key)
        except ValueError as error:
            raise VerificationFailed("The register's proof does not hold.", step=1, where="proof") from error
        return [bytes(each)[:TOKEN_BYTES] for each in finished]

    def subscribe(self, tokens: Iterable[bytes], *, end: bool = False) -> tuple[int, int]:
        """Register tokens, or end that; return how many there are now, and how many events that made."""
        kept, events = 0, 0
        waiting = iter(tokens)
        while some := list(islice(waiting, TOKENS_MAX)):
            body = {"tokens": some, "epoch": self.epoch, "end": end}
            answer: _Kept = self.connection.post("/v1/subscriptions", body, to=_Kept)
            kept, events = answer.tokens, events + answer.events
        return kept, events


class Screening:
    """Hold what became of all documents, under their tokens: the register never learns which of them are the party's.

    Args:
        subscriber: of the party.
        position: up to which this was read before; 0 begins anew.
    """

    def __init__(self, subscriber: Subscriber, position: int = 0) -> None:
        self._subscriber = subscriber
        self.position = position
        self._status: dict[bytes, str] = {}

    def catch_up(self) -> int:
        """Read what became of documents since; return how many changes.

        Raises:
            Conflict: the keys were rotated: make all tokens anew and begin at 0.
        """
        read = 0
        while True:
            query = {"after": self.position, "limit": _CHANGES_MAX}
            page: _Changes = self._subscriber.connection.get("/v1/subscriptions/changes", query, to=_Changes)
            if page.epoch != self._subscriber.epoch:
                raise Conflict("The register's keys were rotated.", mend="Begin anew: all tokens are new.")
            for change in page.changes:
                if change.status == "usable_again":
                    self._status.pop(change.token, None)
                else:
                    self._status[change.token] = change.status
            read += len(page.changes)
            self.position = page.cursor
            if len(page.changes) < _CHANGES_MAX:
                return read

    def status(self, token: bytes) -> str:
        """Return what became of a document: `reported`, `not_in_force`, `ask_online`; "" when nothing did."""
        return self._status.get(token, "")
