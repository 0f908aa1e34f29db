"""Ask and report as a relying party or a police desk does: typed questions, typed answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx
import msgspec

from annul.client.connection import TIMEOUT_S, Connection
from annul.outgoing import Outgoing

BATCH_MAX: Final = 10_000
"""Questions in one batch. Source: the API's contract."""

DocumentLike = Mapping[str, Any] | msgspec.Struct


class Status(msgspec.Struct, frozen=True):
    """Status axis; `code` and `class_` are None when there is no answer."""

    code: str | None
    class_: str | None = msgspec.field(name="class", default=None)
    coverage: str = "none"


class Code(msgspec.Struct, frozen=True):
    """One axis that is a code alone."""

    code: str


class Freshness(msgspec.Struct, frozen=True):
    """Freshness axis: code, register position and time of the state the answer stands on."""

    code: str
    position: int
    as_of: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one answer with its separate axes; `receipt` proves it, `opening` opens the receipt's commitment."""

    outcome: str
    status: Status
    identity: Code
    binding: Code
    freshness: Freshness
    advice: list[str]
    check: str
    receipt: dict[str, Any]
    detail: str = ""
    opening: str = ""
    error: Code = Code("E00")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the acknowledgement of a report: its id, the document's state, the entry's position in the register log.

    `refused_after_ms` is the time from acceptance until the check path refused the document; None when nothing is refused.
    """

    report: str
    state: str
    position: int
    refused_after_ms: float | None = None


class _Answers(msgspec.Struct):
    answers: list[Answer]


class Client:
    """Ask one annul with one key.

    Args:
        url: address of the doors.
        key: API key of a relying party (to ask) or a police desk (to report).
        timeout_s: seconds to wait for an answer.
        transport: how bytes travel; tests pass their own.
        outgoing: authorities that are believed, and the proxy; else what ANNUL_CA_FILE and ANNUL_OUTGOING_PROXY say.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
        outgoing: Outgoing | None = None,
    ) -> None:
        self.connection = Connection(url, key, timeout_s=timeout_s, transport=transport, outgoing=outgoing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None) -> None:
        self.connection.close()

    def ask(self, document: DocumentLike, *, purpose: str, channel: str = "in_person", **context: Any) -> Answer:
        """Check one document.

        Args:
            document: fields of the contract: scheme and number, and what tells documents of one number apart.
            purpose: why, one of the purposes of the agreement.
            channel: in_person or remote.
            context: holder ({"name": …}), branch, terminal, clerk, reference, min_position, urgent.

        Raises:
            AnnulError: there is no answer (E90 to E95); never treat it as a pass.
        """
        return self.ask_question({"document": document, "purpose": purpose, "channel": channel} | context)

    def ask_question(self, question: Mapping[str, Any]) -> Answer:
        """Check one document; `question` is the body of POST /v1/checks."""
        answer: Answer = self.connection.post("/v1/checks", question, to=Answer)
        return answer

    def ask_many(self, questions: Iterable[Mapping[str, Any]]) -> Iterator[Answer]:
        """Check any number of documents in batches, in order; a part that cannot be answered has outcome NO_ANSWER."""
        batch: list[Mapping[str, Any]] = []
        for question in questions:
            batch.append(question)
            if len(batch) == BATCH_MAX:
                yield from self._batch(batch)
                batch = []
        if batch:
            yield from self._batch(batch)

    def _batch(self, batch: list[Mapping[str, Any]]) -> list[Answer]:
        answers: _Answers = self.connection.post_patiently("/v1/checks/batch", {"checks": batch}, to=_Answers)
        return answers.answers

    def report(
        self, document: DocumentLike, kind: str, *, proof: str, idempotency_key: str | None = None, **more: Any
    ) -> Report:
        """Report a document lost, stolen or found; returns when check points refuse it.

        Args:
            document: fields of the contract.
            kind: lost, stolen or found.
            proof: phone, online, online_strong, in_person or in_person_fingerprint; the first two only suspend.
            idempotency_key: of the caller's own, so that a repetition after a crash is recognised.
            more: happened_at (RFC 3339), reporter, evidence.
        """
        body = {"document": document, "kind": kind, "proof": proof} | more
        acknowledged: Report = self.connection.write("/v1/reports", body, idempotency_key=idempotency_key, to=Report)
        return acknowledged
