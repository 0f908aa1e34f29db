"""Serve a witness over HTTP: `POST /add-checkpoint`, and its keys at `GET /`. TLS is a proxy's work."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from annul import logs
from annul.errors import AnnulError
from annul.witness.witness import BODY_BYTES_MAX, TEXT, Answered, Witness

_log = logs.get("witness")
IDLE_S: Final = 20.0
"""A connection that says nothing for so long is closed."""
AT_ONCE_MAX: Final = 64
"""Connections answered at once; the next wait in the queue of the operating system."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], witness: Witness, about: bytes) -> None:
        self.witness = witness
        self.about = about
        self._free = threading.BoundedSemaphore(AT_ONCE_MAX)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    server: _Server

    def do_GET(self) -> None:
        if self.path == "/":
            self._send(Answered(200, TEXT, self.server.about))
        else:
            self._send(Answered(404, TEXT, b"There is no such page.\n"))

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isascii() or not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self._send(Answered(413 if length.isdigit() else 411, TEXT, b"A request has a length, of 64 KiB at most.\n"))
            return
        body = self.rfile.read(int(length))
        if self.path != "/add-checkpoint":
            self._send(Answered(404, TEXT, b"There is no such page.\n"))
            return
        try:
            self._send(self.server.witness.add_checkpoint(body))
        except AnnulError as error:
            _log.error("a checkpoint could not be witnessed", code=error.code, where=error.where)
            self._send(Answered(500, TEXT, b"Something is wrong on this side.\n"))

    def _send(self, answered: Answered) -> None:
        self.send_response(answered.status)
        self.send_header("content-type", answered.media)
        self.send_header("content-length", str(len(answered.body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(answered.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Leave the callers' addresses out of every log."""


def server_of(witness: Witness, about: bytes, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server that listens; `serve_forever` runs it, `shutdown` stops it.

    Args:
        about: what `GET /` answers: name and keys.
        port: 0 picks a free one; `server_address` tells it.
    """
    return _Server((host, port), witness, about)
