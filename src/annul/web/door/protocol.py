"""Take the usual check off the connection itself: uvicorn's HTTP/1.1 protocol, with a short way for POST /v1/checks.

uvicorn turns a request into a scope, a task, two futures and four ASGI messages; that costs more than the check. Here a
connection hands the body of a check to `CheckPath.ask` as soon as it is whole, and the answer, when its window is durable,
is written in one piece. Everything else stays uvicorn's: other addresses, batches, HTTP/1.0, `Expect`, requests that arrive
while another one of their connection is unanswered (their order is uvicorn's pipeline), and clients that do not read their
answers. Both ways give the same bytes.

What the parser will not go on to read as HTTP ends the connection. Behind a request that asks for another protocol the parser
reads nothing more, not even its body: without a body it is answered as if it had not asked, and the connection closes; with
one, and every CONNECT, it is refused.

A head of a request that was read once is remembered with what it meant: clients of one make send the same head again and again,
and what httptools said about these bytes it would say again. Only whole requests of one segment are recognised so.

uvicorn has no limits for heads and no time-outs but for quiet connections. Here: `HEAD_BYTES_MAX`, `HEAD_TIMEOUT_S`,
`BODY_TIMEOUT_S`, and the keep-alive limit also before the first request. One look at all connections a second holds them,
instead of timers for each request.

What must never happen here: an answer on another connection or out of order, a request that can be read in two ways.

Source: RFC 9112 (section 11.2: request smuggling); RFC 6585 (431); decision 0009.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from uvicorn import Server
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from annul.errors import AnnulError, BadInput, TimedOut, TooLarge
from annul.web.door.checkpath import BODY_TIMEOUT_S, CHECK_BYTES_MAX, CHECK_PATH, ASGIApp, CheckPath, too_large
from annul.web.door.credentials import Fields
from annul.web.door.entrance import Entrance, Shares
from annul.web.door.problem import problem_of

if TYPE_CHECKING:
    import socket

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from annul.registry.answering.quota import Allowance
    from annul.registry.parties.parties import Principal

HEAD_BYTES_MAX: Final = 64 << 10
"""Largest head of a request (as h11's default); true ones are below 2 KiB."""
HEAD_TIMEOUT_S: Final = 10
"""Seconds a client may take to send the head of a request."""
LINGER_S: Final = 5
"""Seconds a connection is read on after its refusal. Closing it with bytes unread would reset it, and the refusal be lost."""
DRAIN_S: Final = 0.5
"""Seconds a stopping worker goes on to take connections and requests: what was sent before the stop is answered."""
LAST_S: Final = 0.1
"""Seconds the last connections that were taken have for their request."""
STOP_TIMEOUT_S: Final = 2
"""Seconds a client may take for the rest of a head or body when the worker stops."""
LOOK_EVERY_S: Final = 1.0
"""Pause between two looks for connections whose time is up."""
SHED_RATIO: Final = 1.25
SHED_MIN: Final = 8
"""A worker with this many times the connections of another, and this many more, asks clients to come again."""
SHED_SECONDS: Final = 4
"""Its surplus is gone after some times so many seconds."""
KNOWN_HEAD_BYTES_MAX: Final = 1 << 10
KNOWN_HEADS_MAX: Final = 4_096
"""Remembered heads, 4 MiB at most: each client sends some hundred, by the length of its bodies. Beyond it all are forgotten."""

_PATH: Final = CHECK_PATH.encode()
_OK: Final = STATUS_LINE[200]


class Gate:
    """What the connections of a worker share.

    Attributes:
        path: the check path behind them.
        known: head of a request, to its last byte -> its Authorization fields and the length of its body.
        tick: seconds since the first connection, by which the limits of time are held.
        stopping: each answer closes its connection from now on.
        shares: how many connections each worker has; None where there is one.
        shed: so many of the next answers close their connections, whose clients come to another worker then.
    """

    def __init__(self, path: CheckPath) -> None:
        self.path = path
        self.shares: Shares | None = None
        self.shed = 0
        self.known: dict[bytes, tuple[Fields, int]] = {}
        self.tick = 0
        self.stopping = False
        self._always = _lines(path.always)
        self._defaults: Fields | None = None
        self._head = b""
        self._looking = False

    def head(self, defaults: Fields) -> bytes:
        """Return the head of a good answer up to the quota's policy; it changes once a second with the date in `defaults`."""
        if defaults is not self._defaults:
            self._defaults = defaults
            self._head = b"%b%b%bratelimit-policy: " % (_OK, _lines(defaults), self._always)
        return self._head

    def remember(self, head: bytes, fields: Fields, length: int) -> None:
        """Remember what the head of a check meant, in memory only: it holds the bearer."""
        if len(head) > KNOWN_HEAD_BYTES_MAX:
            return
        if len(self.known) >= KNOWN_HEADS_MAX:
            self.known.clear()
        self.known[head] = [field for field in fields if field[0] == b"authorization"], length

    def watch(self, connections: set[Any]) -> None:
        """Look at all connections once a second as long as there are any."""
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look, connections)

    def _look(self, connections: set[Any]) -> None:
        self.tick += 1
        for connection in list(connections):
            if isinstance(connection, CheckProtocol):
                try:
                    connection.look()
                except Exception:  # noqa: BLE001 - the others must be looked at all the same
                    connection.transport.abort()
        self._looking = False
        self.counted(connections)
        self.shed = self._surplus(len(connections))
        if connections:
            self.watch(connections)

    def counted(self, connections: set[Any]) -> None:
        """Let the other workers know how many connections there are here."""
        if self.shares is not None:
            self.shares.own = len(connections)

    def _surplus(self, own: int) -> int:
        """Return how many clients to ask to come again: a part of what is more than this worker's share."""
        others = self.shares.others() if self.shares is not None else []
        if not others or own <= min(others) * SHED_RATIO + SHED_MIN:
            return 0
        return -(-(own - (own + sum(others)) // (len(others) + 1)) // SHED_SECONDS)


def _lines(fields: Fields) -> bytes:
    return b"".join([b"%b: %b\r\n" % field for field in fields])


class _Check:
    """The check a connection has under way, in the place of uvicorn's cycle; one object for all checks of a connection.

    A sink: `tell` or `fail` ends it.
    """

    __slots__ = (
        "admit",
        "allowance",
        "disconnected",
        "keep_alive",
        "more_body",
        "parts",
        "principal",
        "protocol",
        "response_complete",
        "size",
    )

    def __init__(self, protocol: CheckProtocol) -> None:
        self.protocol = protocol
        self.admit = protocol.gate.path.admit
        self.principal: Principal | None = None
        self.allowance: Allowance | None = None  # of that principal, once it was answered
        self.parts: list[bytes] = []
        self.size = 0
        self.keep_alive = self.more_body = True
        self.disconnected = False
        self.response_complete = True

    def begin(self, fields: Fields, *, keep_alive: bool) -> bool:
        """Let a question in by the fields of its head; whether there is anything to wait for."""
        if keep_alive and self.protocol.gate.shed:
            self.protocol.gate.shed -= 1
            keep_alive = False
        self.keep_alive = keep_alive
        self.more_body = True
        self.response_complete = False
        try:
            principal = self.admit(fields)
            if principal is not self.principal:
                self.principal, self.allowance = principal, None
        except Exception as error:  # noqa: BLE001 - the door: every failure leaves as a problem document
            self.fail(error)
            return False
        return True

    def ask(self, raw: bytes) -> None:
        """Ask the question in a whole body."""
        self.more_body = False
        protocol, principal = self.protocol, self.principal
        assert principal is not None  # it was let in
        try:
            wait = protocol.gate.path.ask(principal, raw, self)
        except Exception as error:  # noqa: BLE001 - the door: every failure leaves as a problem document
            self.fail(error)
            return
        if wait is not None:
            task = asyncio.ensure_future(wait)
            protocol.tasks.add(task)  # a graceful stop waits for these
            task.add_done_callback(protocol.tasks.discard)

    def tell(self, _place: int, body: bytes) -> None:
        """Write the answer."""
        protocol = self.protocol
        gate = protocol.gate
        gate.path.count(CHECK_PATH, 200)
        if self.disconnected:
            return
        allowance = self.allowance
        if allowance is None:
            assert self.principal is not None
            allowance = self.allowance = gate.path.allowance(self.principal)
        self._write(
            b"%b%b\r\nratelimit: %b\r\ncontent-length: %d\r\n%b\r\n%b"
            % (
                gate.head(protocol.server_state.default_headers),
                allowance.policy,
                allowance.remaining(),
                len(body),
                b"" if self.keep_alive else b"connection: close\r\n",
                body,
            )
        )

    def fail(self, error: Exception) -> None:
        """Write a problem document."""
        path = self.protocol.gate.path
        status, fields, body = path.refusal(CHECK_PATH, error)
        path.count(CHECK_PATH, status)
        if not self.disconnected:
            self._write(_answer(self.protocol.server_state.default_headers + fields, status, body, keep_alive=self.keep_alive))

    def _write(self, answer: bytes) -> None:
        protocol = self.protocol
        self.parts.clear()
        self.size = 0
        self.response_complete = True
        if not protocol.transport.is_closing():
            protocol.transport.write(answer)
            protocol.answered(keep_alive=self.keep_alive)


def _answer(fields: Fields, status: int, body: bytes, *, keep_alive: bool) -> bytes:
    return b"%b%bcontent-length: %d\r\n%b\r\n%b" % (
        STATUS_LINE[status],
        _lines(fields),
        len(body),
        b"" if keep_alive else b"connection: close\r\n",
        body,
    )


class CheckProtocol(HttpToolsProtocol):
    """One connection; `check_protocol` makes the class of a worker.

    Attributes:
        gate: what it shares with the others.
    """

    gate: Gate
    cycle: Any  # uvicorn's RequestResponseCycle, or the _Check under way in its place

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._check = _Check(self)
        self._between = True  # the parser stands between two requests
        self._in_head = False
        self._head_bytes = 0
        self._since = self.gate.tick  # of the present head or body, or of the last answer
        self._whole = 0  # checks this segment brought to their end
        self._refused = False  # what comes in is not looked at any more

    # -- what comes in ---------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self.gate.watch(self.connections)
        self.gate.counted(self.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; the answer to a check under way is dropped, its account stays."""
        check = self._check
        check.disconnected = True
        if self.cycle is check:
            self.cycle = None  # not one that uvicorn could wake
        super().connection_lost(exc)
        self.gate.counted(self.connections)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the way back open for the answer to a whole check: some clients close their side after their last request."""
        check = self._check
        if self.cycle is check and not check.response_complete and not check.more_body:
            check.keep_alive = False
            return True
        return False

    def data_received(self, data: bytes) -> None:
        """Read a segment: a check whose head is known at once, everything else by the parser."""
        if self._refused:
            return
        cycle = self.cycle
        if not self._between or (cycle is not None and not cycle.response_complete) or self.flow.write_paused:
            self._parse(data)
            return
        end = data.find(b"\r\n\r\n") + 4
        known = self.gate.known.get(data[:end])
        if known is not None and len(data) - end == known[1]:
            self._unset_keepalive_if_required()
            check = self._check
            self.cycle = check
            if check.begin(known[0], keep_alive=not self.gate.stopping):
                check.ask(data[end:])
            return
        self._whole = 0
        self._parse(data)
        if self._whole == 1 and self._between and (length := _length(self.headers)) == len(data) - end:
            self.gate.remember(data[:end], self.headers, length)

    def _parse(self, data: bytes) -> None:
        in_head = self._in_head
        super().data_received(data)
        if self._in_head:
            if in_head:
                self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX or (not in_head and self._head_is_too_large()):
                self._refuse_head()

    def _head_is_too_large(self) -> bool:
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers]) > HEAD_BYTES_MAX

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._between = False
        self._in_head = True
        self._head_bytes = 0
        self._since = self.gate.tick
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Take a check, or hand the request on to uvicorn."""
        if self._refused:
            return
        self._in_head = False
        cycle = self.cycle
        parser = self.parser
        if self._head_is_too_large():
            self._refuse_head()
            return
        if parser.get_http_version() == "1.1" and [name for name, _ in self.headers].count(b"host") != 1:
            self._refuse(400, BadInput("A request names one host.", mend="Send the field `Host` once (RFC 9112, 3.2)."))
            return
        if parser.should_upgrade():
            self._leave_http()
            return
        if (
            self.url != _PATH
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or self.expect_100_continue
            or (cycle is not None and not cycle.response_complete)
            or self.flow.write_paused
        ):
            super().on_headers_complete()
            if self.gate.stopping:
                self.cycle.keep_alive = False
            return
        self._since = self.gate.tick
        check = self._check
        self.cycle = check
        check.begin(self.headers, keep_alive=parser.should_keep_alive() and not self.gate.stopping)

    def _leave_http(self) -> None:
        """Answer a request that asks for another protocol, and no other behind it: the parser reads no further."""
        tunnel = self.parser.get_method() == b"CONNECT"
        bodiless = all(
            name != b"transfer-encoding" and (name != b"content-length" or value == b"0") for name, value in self.headers
        )
        if tunnel or not bodiless:
            self._refuse(400, BadInput("Only HTTP/1.1 is spoken here.", mend="Ask without `Upgrade`, and not for a tunnel."))
            return
        super().on_headers_complete()
        self.cycle.keep_alive = False

    def _unsupported_upgrade_warning(self) -> None:
        """Look at nothing that comes behind a request for another protocol."""
        self._refused = True
        self._since = self.gate.tick

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        check = self._check
        if self._refused:
            return
        if self.cycle is not check:
            super().on_body(body)
        elif not check.response_complete:
            check.size += len(body)
            if check.size > CHECK_BYTES_MAX:
                check.fail(too_large(CHECK_BYTES_MAX))
            else:
                check.parts.append(body)

    def on_message_complete(self) -> None:
        """End a request; a check is asked."""
        self._between = True
        check = self._check
        if self._refused:
            return
        if self.cycle is not check:
            super().on_message_complete()
        elif not check.response_complete:
            self._whole += check.keep_alive
            parts = check.parts
            check.ask(parts[0] if len(parts) == 1 else b"".join(parts))

    # -- what goes out ---------------------------------------------------------------------------------------------------------

    def answered(self, *, keep_alive: bool) -> None:
        """Go on after the answer to a check."""
        if not keep_alive:
            if self._between:
                self.transport.close()
            else:
                self._linger()
        if self.pipeline or self.flow.read_paused:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self._since = self.gate.tick

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are replaced
        """Refuse what is no HTTP."""
        self._refuse(400, BadInput("This is no HTTP request that can be read.", mend="Send HTTP/1.1 (RFC 9112)."))

    def _refuse_head(self) -> None:
        message = f"The head of the request is larger than {HEAD_BYTES_MAX} bytes."
        self._refuse(431, TooLarge(message, mend="Send fewer fields."))

    def _refuse(self, status: int, error: AnnulError) -> None:
        """Answer the request that is being read with a problem document, after whole ones before it, and close."""
        cycle, check = self.cycle, self._check
        self._in_head = False
        self._refused = True
        open_ = cycle is not None and not cycle.response_complete
        if self.transport.is_closing():
            return
        if not check.response_complete and (cycle is not check or not check.more_body):
            check.keep_alive = False  # the check was whole: its answer closes the connection
            self.cycle = check
            self.pipeline.clear()
        elif open_ and not cycle.more_body:
            cycle.keep_alive = False
        elif self.pipeline or (open_ and cycle is not check and cycle.response_started):
            self.transport.close()  # this refusal would be taken for (a part of) the answer to a request before this one
        else:
            made = problem_of(error)
            fields = [*self.server_state.default_headers, *made.fields, *self.gate.path.security]
            body = msgspec.json.encode(made.members | {"status": status})
            check.response_complete = True
            self.transport.write(_answer(fields, status, body, keep_alive=False))
            self._linger()

    def _linger(self) -> None:
        """Close the way out; what still comes in is not looked at."""
        self._refused = True
        self._since = self.gate.tick
        self.transport.write_eof()

    def drain(self) -> None:
        """Let the answer that is owed be the last; a quiet connection stays open for what is on its way."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """End: at once when nothing is asked, else with the answer; half a request has `STOP_TIMEOUT_S` for its rest."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif self._between or self._refused:
            self.transport.close()

    # -- time ------------------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Cut the connection off when its time is up (called once a second)."""
        waited = self.gate.tick - self._since
        cycle = self.cycle
        idle = cycle is None or cycle.response_complete
        if self.transport.is_closing():
            return
        if self._refused:
            if waited > LINGER_S and idle:
                self.transport.close()
        elif self._in_head:
            if waited > (STOP_TIMEOUT_S if self.gate.stopping else HEAD_TIMEOUT_S) and idle:
                self._refuse(408, TimedOut("The head of the request did not arrive in time."))
        elif self._between:
            if idle and self.timeout_keep_alive_task is None and waited > self.timeout_keep_alive:
                self.transport.close()
        elif waited > (STOP_TIMEOUT_S if self.gate.stopping else BODY_TIMEOUT_S) and (idle or cycle is self._check):
            self._check.keep_alive = False
            if idle:
                self.transport.close()  # the rest of a body that was refused
            else:
                self._check.fail(TimedOut("The body did not arrive in time."))


def _length(fields: Fields) -> int:
    """Return the Content-Length of a request, -1 when its body is delimited in another way."""
    length = -1
    for name, value in fields:
        if name == b"content-length":
            length = int(value) if length < 0 and value.isdigit() else -2
        elif name == b"transfer-encoding":
            return -1
    return length


def check_protocol(app: ASGIApp) -> type[asyncio.Protocol]:
    """Return the protocol class for a worker's connections; uvicorn's own when the application has no check path."""
    if not isinstance(app, CheckPath):
        return HttpToolsProtocol
    return type("CheckProtocol", (CheckProtocol,), {"gate": Gate(app)})


class DrainingServer(Server):
    """uvicorn's server, which closes the door behind those who came before it was told to stop.

    Args:
        shares: how many connections each worker has; the server takes its own share of those that come.
    """

    def __init__(self, config: Config, shares: Shares) -> None:
        super().__init__(config)
        self._shares = shares

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        gate = getattr(self.config.http_protocol_class, "gate", None)
        if gate is not None:
            gate.shares = self._shares

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state={}
            )
            return made

        self.servers = [Entrance(door, protocol, self._shares) for door in sockets or []]  # type: ignore[misc]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer for `DRAIN_S` what still comes, then close the door, answer what is owed, and end."""
        gate = getattr(self.config.http_protocol_class, "gate", None)
        if gate is not None:
            gate.stopping = True
            for leave in gate.path.leaving:
                leave()
            for connection in list(self.server_state.connections):
                if isinstance(connection, CheckProtocol):
                    connection.drain()
            await asyncio.sleep(DRAIN_S)
            for server in self.servers:
                server.close()
            await asyncio.sleep(LAST_S)
        await super().shutdown(sockets)
