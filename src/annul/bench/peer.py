"""The peers of the check path: what a straightforward team would build first, and servers that do nothing.

`checks`: FastAPI on uvicorn; per check one SELECT, one Ed25519 signature and one INSERT in PostgreSQL (asyncpg).
`constant`: bare ASGI on uvicorn with httptools and uvloop, reads the body and answers the same bytes every time.
`short`: the same bytes through annul's own protocol, as the check path's answers leave, but nothing is asked.

    python -m annul.bench.peer checks DESCRIPTOR CONNINFO
    python -m annul.bench.peer constant DESCRIPTOR BYTES      (or `short`)
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import nacl.signing
import uvicorn
import uvloop
from fastapi import FastAPI, Header, HTTPException
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel

from annul.registry.answering.questions import Sink
from annul.web.door.credentials import Fields
from annul.web.door.protocol import CheckProtocol, Gate

SCHEMA = """
CREATE TABLE IF NOT EXISTS peer_document (key bytea PRIMARY KEY, status text NOT NULL);
CREATE TABLE IF NOT EXISTS peer_check (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, checked_at timestamptz NOT NULL DEFAULT now(), party text NOT NULL,
    key bytea NOT NULL, purpose text NOT NULL, clerk text NOT NULL, reference text NOT NULL, status text NOT NULL,
    signature bytea NOT NULL);
"""
SECRET = b"peer"
TOKEN = "peer-token"  # noqa: S105 - a bearer of the benchmark alone


class Document(BaseModel):
    """A document as it comes over the wire."""

    scheme: str
    number: str
    valid_from: str
    valid_until: str | None = None


class Question(BaseModel):
    """One check."""

    document: Document
    purpose: str
    channel: str
    branch: str = ""
    terminal: str = ""
    clerk: str = ""
    reference: str = ""


def key_of(scheme: str, number: str, valid_from: str) -> bytes:
    """Return the keyed form the peer stores."""
    return hmac.digest(SECRET, f"{scheme}|{number}|{valid_from}".encode(), "sha256")[:16]


def checks_app(conninfo: str) -> Any:
    """Build the straightforward service."""
    pool: dict[str, Any] = {}

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        where = conninfo_to_dict(conninfo)
        where["database"] = where.pop("dbname")
        names = ("host", "port", "user", "password", "passfile", "database")
        known = {name: where[name] for name in names if name in where}
        pool["pool"] = await asyncpg.create_pool(**known, min_size=8, max_size=8)
        yield

    app = FastAPI(lifespan=lifespan)
    signer = nacl.signing.SigningKey(hashlib.sha256(SECRET).digest())

    @app.post("/v1/checks")
    async def check(question: Question, authorization: str = Header()) -> dict[str, Any]:
        if authorization != f"Bearer {TOKEN}":
            raise HTTPException(401)
        key = key_of(question.document.scheme, question.document.number, question.document.valid_from)
        async with pool["pool"].acquire() as db:
            status = await db.fetchval("SELECT status FROM peer_document WHERE key = $1", key) or "V00"
            at = time.time_ns() // 1000
            statement = f"{at}|bank|{key.hex()}|{question.purpose}|{status}".encode()
            signature = signer.sign(statement).signature
            await db.execute(
                "INSERT INTO peer_check (party, key, purpose, clerk, reference, status, signature) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                "bank",
                key,
                question.purpose,
                question.clerk,
                question.reference,
                status,
                signature,
            )
        return {
            "outcome": "PASS" if status == "V00" else "STOP",
            "status": {"code": status},
            "freshness": {"code": "F0", "as_of": at},
            "receipt": {"statement": base64.b64encode(statement), "signature": base64.b64encode(signature)},
        }

    return app


def constant_app(size: int) -> Any:
    """Build the server that answers `size` constant bytes."""
    body = b"{" + b" " * (size - 2) + b"}"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(size).encode())]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":  # the lifespan is not taken part in
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    return app


class _Quota:
    """Stand for the counters of a party that asks for nothing."""

    policy = b'"second";q=1000000;w=1, "day";q=1000000000000;w=86400'

    def remaining(self) -> bytes:
        """Return what the header field says."""
        return b'"second";r=999999;t=1, "day";r=999999999999;t=43200'


class ConstantPath:
    """Stand where `CheckPath` stands behind the protocol, and answer everybody the same at once."""

    always: Fields = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]  # noqa: RUF012

    def __init__(self, size: int) -> None:
        self._body = b"{".ljust(size - 1) + b"}"
        self._quota = _Quota()

    def admit(self, _fields: Fields) -> str:
        """Let in."""
        return "anybody"

    def ask(self, _principal: str, _raw: bytes, sink: Sink) -> None:
        """Answer."""
        sink.tell(-1, self._body)

    def allowance(self, _principal: str) -> _Quota:
        """Return the counters."""
        return self._quota

    def count(self, _path: str, _status: int) -> None:
        """Count nothing."""


def main(arguments: list[str]) -> None:
    """Serve one peer on an inherited listening socket."""
    kind, descriptor, argument = arguments
    http: Any = "httptools"
    app = checks_app(argument) if kind == "checks" else constant_app(int(argument))
    if kind == "short":
        stand_in: Any = ConstantPath(int(argument))
        http = type("ShortProtocol", (CheckProtocol,), {"gate": Gate(stand_in)})
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=http,
        ws="none",
        lifespan="auto",
        access_log=False,
        log_config=None,
        server_header=False,
    )
    uvloop.run(uvicorn.Server(config).serve(sockets=[socket.socket(fileno=int(descriptor))]))


if __name__ == "__main__":
    main(sys.argv[1:])
