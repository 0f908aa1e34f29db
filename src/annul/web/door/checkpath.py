"""Stand in front of every other door: POST /v1/checks and /v1/checks/batch as a bare ASGI callable, all else passed on.

One request passes: who asks (`credentials`, one look into a dictionary) -> read the body within its limit -> decode
-> `Checks.ask` -> the bytes it gave. The framework behind costs more than a whole check, so it is not on this path.
`protocol` takes the usual single check off the connection before ASGI and comes in by `admit`, `ask` and `refusal`; both ways
end in the same head and body.

What must never happen here: a body, a bearer or a document number in a log line, an answer to a caller who is not known.

Source: RFC 6750 section 2.1; draft-ietf-httpapi-ratelimit-headers-10; RFC 9457.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul import logs, metrics
from annul.errors import AnnulError, BadInput, SourceDown, TimedOut, TooLarge
from annul.records.check import Question
from annul.registry.answering.checks import BATCH_MAX, Answered, Checks, Sink
from annul.registry.answering.principals import Principal
from annul.registry.parties import sandbox
from annul.times import SECOND_US
from annul.web.door.credentials import Bearers, Fields
from annul.web.door.once import require_asked_once, require_once
from annul.web.door.problem import bad_input, problem_of

if TYPE_CHECKING:
    from annul.registry.answering.quota import Allowance
    from annul.web.door.office import Front

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

CHECK_PATH: Final = "/v1/checks"
BATCH_PATH: Final = "/v1/checks/batch"
CHECK_BYTES_MAX: Final = 1 << 20
"""Largest body of one check; a full one is under 2 KiB."""
BATCH_BYTES_MAX: Final = 8 << 20
"""Largest body of a batch: 10,000 checks with every field of usual length."""
BODY_TIMEOUT_S: Final = 30
"""Seconds a client may take to send its body; slower is cut off."""
COUNT_EVERY_S: Final = 1.0
"""Requests are counted here and given to the metrics together."""

_log = logs.get("checkpath")
_JSON: Final = (b"content-type", b"application/json")
_NO_STORE: Final = (b"cache-control", b"no-store")
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""What an answer without markup needs of the header fields of pages. Source: OWASP REST Security Cheat Sheet."""
HSTS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a batch; each check is decoded by itself, so that a bad one spoils no other."""

    checks: list[msgspec.Raw]


class _GoneError(Exception):
    """The client went away."""


class CheckPath:
    """Answer checks; hand everything else to `behind`.

    Args:
        front: the parts it needs; `checks` must be there.
        behind: the ASGI application of all other routes. When it comes later (`open`), requests for them wait.

    Attributes:
        admit: says who asks, by the header fields of a request (`Bearers.admit`).
        security: header fields that every answer and every refusal has.
        always: header fields that every good answer has.
        leaving: what is called when the worker begins to stop: answers that go on for ever end then.
    """

    def __init__(self, front: Front, behind: ASGIApp | None = None) -> None:
        if front.checks is None:
            raise ValueError("this process has no check path")
        self._checks: Checks = front.checks
        self.admit = Bearers(front).admit
        self._now_us = front.now_us
        self._behind = behind
        self._settled = asyncio.Event()  # whether there will be something behind is known
        self._paths = {CHECK_PATH: self._one, BATCH_PATH: self._many}
        self._decode = msgspec.json.Decoder(Question).decode
        self._decode_batch = msgspec.json.Decoder(Batch).decode
        self.security: Fields = [*_SECURITY, *((HSTS,) if front.settings.https else ())]
        self.always: Fields = [_JSON, _NO_STORE, *self.security]
        self._counts: dict[tuple[str, int], int] = {}
        self.leaving: list[Callable[[], None]] = []
        self._said: dict[str, int] = {}  # second in which a failure was logged last, by code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] != "http" or scope["method"] != "POST" or (answer := self._paths.get(scope["path"])) is None:
            await self._pass_on(scope, receive, send)
            return
        try:
            status, headers, body = await answer(scope, receive)
        except _GoneError:
            return
        except Exception as error:  # noqa: BLE001 - the door: every failure leaves as a problem document
            status, headers, body = self.refusal(scope["path"], error)
        self.count(scope["path"], status)
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    @property
    def is_reporting(self) -> bool:
        """Whether somebody reports, or changes something else, through this worker now."""
        return self._checks.is_beside_a_report

    def open(self, behind: ASGIApp) -> None:
        """Let requests that are no checks in, those that wait first."""
        self._behind = behind
        self._settled.set()

    def stay_closed(self) -> None:
        """Let nobody wait any more for doors that are not open: this worker stops."""
        self._settled.set()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._behind is None:
            await self._settled.wait()
        if self._behind is not None:
            if scope["type"] == "http" and scope["method"] == "POST":  # whoever changes something goes before checks
                with self._checks.beside_a_report():
                    await self._behind(scope, receive, send)
            else:
                await self._behind(scope, receive, send)
        elif scope["type"] == "http":
            made = problem_of(SourceDown("This worker stops.", mend="Ask again in a moment.", retry_after_s=1))
            fields = [*made.fields, *self.security, (b"content-length", b"%d" % len(made.body))]
            await send({"type": "http.response.start", "status": made.status, "headers": fields})
            await send({"type": "http.response.body", "body": made.body})

    async def _one(self, scope: Scope, receive: Receive) -> tuple[int, Fields, bytes]:
        principal = self.admit(scope["headers"])
        message = await receive()
        raw = message.get("body", b"")
        if message.get("more_body") or len(raw) > CHECK_BYTES_MAX or message["type"] != "http.request":
            raw = await _whole_body(message, receive, CHECK_BYTES_MAX)
        question = self._question(raw)
        if principal.realm == "test" and sandbox.is_played(question):
            await sandbox.play(question)
        answered = await self._checks.ask(principal, question)
        return 200, self._headers(self._checks.allowance(principal)), answered.body

    def ask(self, principal: Principal, raw: bytes, sink: Sink) -> Awaitable[None] | None:
        """Ask the question in a body; `sink` hears of the answer.

        Returns:
            None when the question is in its window; else what has to be awaited until the sink has heard.

        Raises:
            Exception: whatever is wrong with the question; `refusal` says it.
        """
        question = self._question(raw)
        if principal.realm == "test" and sandbox.is_played(question):
            return self._ask_slowly(principal, question, sink)
        if self._checks.ask_soon(principal, question, sink):
            return None
        return self._ask_slowly(principal, question, sink)

    async def _ask_slowly(self, principal: Principal, question: Question, sink: Sink) -> None:
        try:
            if principal.realm == "test" and sandbox.is_played(question):
                await sandbox.play(question)
            answered = await self._checks.ask(principal, question)
        except Exception as error:  # noqa: BLE001 - the door: every failure leaves as a problem document
            sink.fail(error)
        else:
            sink.tell(-1, answered.body)

    def allowance(self, principal: Principal) -> Allowance:
        """Return the quota counters of who asks, for the rate-limit fields."""
        return self._checks.allowance(principal)

    def _question(self, raw: bytes) -> Question:
        try:
            question = self._decode(raw)
        except UnicodeDecodeError:
            raise _no_text() from None
        require_asked_once(raw, question)
        return question

    async def _many(self, scope: Scope, receive: Receive) -> tuple[int, Fields, bytes]:
        principal = self.admit(scope["headers"])
        raw = await _whole_body(await receive(), receive, BATCH_BYTES_MAX)
        try:
            parts = self._decode_batch(raw).checks
        except UnicodeDecodeError:
            raise _no_text() from None
        if raw.count(b'"checks"') > 1:
            require_once(raw)
        if len(parts) > BATCH_MAX:
            raise TooLarge(f"A batch has at most {BATCH_MAX} checks.", where="/checks", mend="Send several batches.")
        questions: list[Question | AnnulError] = []
        for index, part in enumerate(parts):
            try:
                question = self._decode(part)
                require_asked_once(bytes(part), question)
                questions.append(question)
            except msgspec.MsgspecError as error:
                questions.append(bad_input(error, f"/checks/{index}"))
            except BadInput as error:
                questions.append(BadInput(error.message, where=f"/checks/{index}{error.where}", mend=error.mend))
            except UnicodeDecodeError:
                questions.append(_no_text(f"/checks/{index}"))
        answers: list[Answered] = await self._checks.ask_many(principal, questions)
        body = b'{"answers":[%b]}' % b",".join([each.body for each in answers])
        return 200, self._headers(self._checks.allowance(principal)), body

    def _headers(self, allowance: Allowance) -> Fields:
        return [*self.always, (b"ratelimit-policy", allowance.policy), (b"ratelimit", allowance.remaining())]

    def refusal(self, path: str, error: Exception) -> tuple[int, Fields, bytes]:
        """Return status, fields and body of the problem document, and tell log and metrics."""
        made = problem_of(error)
        second = self._now_us() // SECOND_US
        if made.status >= 500 and self._said.get(made.code) != second:  # a full disk must not fill the log as well
            self._said[made.code] = second
            stack = logs.stack_of(error) if made.code == "internal" else ""
            _log.error("check failed", error=type(error).__name__, code=made.code, route=path, stack=stack)
        metrics.REFUSED.labels(str(made.members.get("error", "E90"))).inc()
        return made.status, [*made.fields, *self.security], made.body

    def count(self, path: str, status: int) -> None:
        """Count a request; the metrics hear of it with those of the same second."""
        if not self._counts:
            asyncio.get_running_loop().call_later(COUNT_EVERY_S, self._give_counts)
        key = path, status
        self._counts[key] = self._counts.get(key, 0) + 1

    def _give_counts(self) -> None:
        counts, self._counts = self._counts, {}
        for (path, status), count in counts.items():
            metrics.REQUESTS.labels(path, "POST", str(status)).inc(count)


def _no_text(where: str | None = None) -> BadInput:
    return BadInput("The body is not JSON in UTF-8.", where=where, mend="Send one JSON object in UTF-8.")


def too_large(bytes_max: int) -> TooLarge:
    """Return the error for a body that is larger than `bytes_max`."""
    return TooLarge(f"The body is larger than {bytes_max} bytes.", mend="Send less in one request, in several batches.")


async def _whole_body(message: Message, receive: Receive, bytes_max: int) -> bytes:
    """Read the rest of a body.

    Raises:
        TooLarge: it is larger than `bytes_max`; the rest is not read.
        TimedOut: it did not arrive in time.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                if message["type"] != "http.request":
                    raise _GoneError
                part = message.get("body", b"")
                size += len(part)
                if size > bytes_max:
                    raise too_large(bytes_max)
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
                message = await receive()
    except TimeoutError:
        raise TimedOut("The body did not arrive in time.") from None
