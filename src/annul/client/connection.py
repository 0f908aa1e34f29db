"""Carry requests to annul's API and problems back: one HTTP connection pool, one table from problem codes to errors."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec

from annul import errors
from annul.errors import AnnulError
from annul.outgoing import MEND, WORDS, Outgoing, cause

TIMEOUT_S: Final = 30.0
"""A check waits for one write barrier, a report at most for acknowledge_ms_max: both far below this."""
ATTEMPTS_MAX: Final = 4
"""A write is sent this often at most, always with the same Idempotency-Key."""
PAUSE_S: Final = 0.2
"""First pause between attempts; it doubles."""
PAUSE_MAX_S: Final = 5.0

T = TypeVar("T")


class Unreachable(errors.SourceDown):
    """The server cannot be reached, or went away before it answered."""

    unreachable = True


class _Sent(msgspec.Struct):
    """The members of a problem document that annul sends. Source: RFC 9457 section 3."""

    type: str = ""
    title: str = ""
    detail: str = ""
    where: str | None = None
    mend: str | None = None
    step: int = 0


def _by_code() -> dict[str, type[AnnulError]]:
    kinds: dict[str, type[AnnulError]] = {}
    waiting: list[type[AnnulError]] = [AnnulError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__ == errors.__name__:
            kinds.setdefault(kind.code, kind)
        waiting.extend(kind.__subclasses__())
    return kinds


class Connection:
    """Call the API of one annul with one credential.

    Args:
        url: address of the doors, without a path.
        key: API key; "" calls public routes only.
        timeout_s: seconds to wait for an answer.
        transport: how bytes travel; tests pass one that calls an application in memory.
        outgoing: authorities that are believed, and the proxy; else what ANNUL_CA_FILE and ANNUL_OUTGOING_PROXY say.
        sleep: how to pause between attempts.

    Raises (every call):
        Unreachable: no connection, or it broke.
        AnnulError: of the class that belongs to the problem's code.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
        outgoing: Outgoing | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise errors.BadInput("The address is not one of http or https.", where="url", mend="Write http://HOST:PORT.")
        self.url = url.rstrip("/")
        headers = {"user-agent": "annul-client"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._sleep = sleep
        try:
            host = httpx.URL(self.url).host
            if not host or "%" in host:  # httpx writes what no name of a host can hold as %XX
                raise ValueError(host)
            way = outgoing or Outgoing.of_environment()
            self._http = way.client(base_url=self.url, headers=headers, timeout=timeout_s, transport=transport)
        except (httpx.InvalidURL, ValueError):
            raise errors.BadInput("The address cannot be read.", where="url", mend="Write http://HOST:PORT.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, path: str, query: Mapping[str, object] | None = None, *, to: type[T] | None = None) -> T | Any:
        """Read `path`; return its JSON, decoded to `to` when given."""
        asked = {name: str(value) for name, value in (query or {}).items() if value not in (None, "")}
        return self._decoded(self._answered("GET", path, params=asked), to)

    def get_bytes(self, path: str) -> bytes:
        """Read `path` as it is (a checkpoint, a tile)."""
        return self._answered("GET", path).content

    def post_bytes(self, path: str, body: object = None) -> bytes:
        """Ask something that changes nothing and is answered by other bytes than JSON (a portrait)."""
        return self._answered("POST", path, content=_encoded(body), headers=_JSON).content

    def post(self, path: str, body: object = None, *, to: type[T] | None = None) -> T | Any:
        """Ask something that changes nothing; return its JSON, decoded to `to` when given."""
        return self._decoded(self._answered("POST", path, content=_encoded(body), headers=_JSON), to)

    def send(self, path: str, raw: bytes, media: str) -> Any:
        """Send bytes that are no JSON value, such as NDJSON; return the answer's JSON."""
        return self._decoded(self._answered("POST", path, content=raw, headers={"content-type": media}), None)

    def write(
        self, path: str, body: object = None, *, idempotency_key: str | None = None, to: type[T] | None = None
    ) -> T | Any:
        """Change something, once: sent again with the same Idempotency-Key until it is answered or given up.

        Args:
            path: route.
            body: JSON value or struct.
            idempotency_key: of the caller's own; otherwise a fresh one.
            to: type of the answer.
        """
        return self._patiently(path, body, _JSON | {"idempotency-key": idempotency_key or str(uuid.uuid4())}, to)

    def post_patiently(self, path: str, body: object = None, *, to: type[T] | None = None) -> T | Any:
        """Ask something that changes nothing, again when the server has too much to do, until it is answered or given up."""
        return self._patiently(path, body, _JSON, to)

    def _patiently(self, path: str, body: object, headers: dict[str, str], to: type[T] | None) -> T | Any:
        content = _encoded(body)
        pause_s = PAUSE_S
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return self._decoded(self._answered("POST", path, content=content, headers=headers), to)
            except (Unreachable, errors.NotYetEffective, errors.SourceDown):
                if attempt == ATTEMPTS_MAX:
                    raise
            self._sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _answered(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.TimeoutException:
            raise Unreachable("annul did not answer in time.", where=self.url, mend="Ask again; see `annul doctor`.") from None
        except httpx.HTTPError as error:
            why = cause(error)
            if why.startswith(("tls", "proxy")):
                raise Unreachable(WORDS[why], where=self.url, mend=MEND.get(why)) from None
            raise Unreachable(
                "annul cannot be reached.", where=self.url, mend="Start it with `annul demo` or `annul serve`, or check --url."
            ) from None
        if answer.is_success:
            return answer
        raise problem(answer.status_code, answer.content)

    def _decoded(self, answer: httpx.Response, to: type[T] | None) -> T | Any:
        try:
            return msgspec.json.decode(answer.content, type=to) if to else msgspec.json.decode(answer.content)
        except msgspec.MsgspecError as error:
            raise errors.UnknownVersion(
                f"The answer is not of the form this client knows: {error}.", where=self.url, mend="Update annul."
            ) from None


def problem(status: int, body: bytes) -> AnnulError:
    """Turn a problem document into the error it came from; anything else becomes an error that names the status."""
    try:
        sent = msgspec.json.decode(body, type=_Sent)
    except msgspec.MsgspecError:
        return errors.AnnulError(f"The server answered {status} without saying why.", mend="Is this address an annul?")
    code = sent.type.rpartition("/")[2]
    message = sent.detail or sent.title or f"The server answered {status}."
    kind = _by_code().get(code, AnnulError)
    if kind is errors.VerificationFailed:
        return errors.VerificationFailed(message, step=sent.step, where=sent.where, mend=sent.mend)
    return kind(message, where=sent.where, mend=sent.mend)


_JSON: Final = {"content-type": "application/json"}


def _encoded(body: object) -> bytes:
    return msgspec.json.encode({} if body is None else body)
