"""The channels, each against a real peer on loopback: a mail server, a gateway, a party's webhook."""

from __future__ import annotations

import asyncio
import contextlib
import email
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks import Webhook, WebhookVerificationError

from annul.errors import BadInput, Conflict, NotFound, UnsafeSettings
from annul.outgoing import Outgoing
from annul.records.codes import Realm
from annul.registry.notices import queue
from annul.registry.notices.channels import Gateway, Smtp, Undelivered, Webhooks, require_outside
from annul.registry.notices.outbox import Outbox
from annul.registry.notices.webhooks import WebhookBook
from annul.registry.parties.parties import Parties
from annul.registry.writing.act import Act
from annul.registry.writing.store import Fresh
from tests.registry.notices.street import Street
from tests.registry.world import DAY_US, POLICE, STRONG, card


class Mailbox:
    """A mail server's handler: takes mail, or answers as told."""

    def __init__(self) -> None:
        self.mail: list[Message] = []
        self.refusal = ""
        self.taken: Callable[[], None] | None = None

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        """Take or refuse a recipient."""
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Keep a letter."""
        self.mail.append(email.message_from_bytes(envelope.content, policy=default))
        if self.taken is not None:
            self.taken()
        return "250 OK"


class FreePort(Controller):
    """A mail server on whichever port is free: aiosmtpd greets the port it was given, which here is known only now."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    """A mail server on a free port, and its address."""
    box = Mailbox()
    server = FreePort(box, hostname="127.0.0.1", port=0, ready_timeout=30)
    server.start()
    yield box, f"smtp://127.0.0.1:{server.port}"
    server.stop()


class Peer:
    """An HTTP server that keeps requests and answers with `status`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 204
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                peer.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(peer.status)
                if peer.status == 302:
                    self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_parts: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A peer on a free port."""
    made = Peer()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_letter_arrives_with_its_id_and_says_that_a_machine_wrote_it(mailbox: tuple[Mailbox, str]) -> None:
    """Subject and text in any script; Message-ID is the delivery's id; Auto-Submitted keeps robots from answering."""
    box, url = mailbox
    assert asyncio.run(Smtp(url, "register@annul.test").send("m_1", "a@mail.test", "您的证件", "正文\n第二行", "zh"))
    (letter,) = box.mail
    assert letter["Subject"] == "您的证件"
    assert letter["Message-ID"] == "<m_1@annul.test>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter.get_content().split() == ["正文", "第二行"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("refusal", "for_good"), [("450 later", False), ("550 no such user", True)])
def test_a_refused_recipient_is_tried_again_or_not(mailbox: tuple[Mailbox, str], refusal: str, for_good: bool) -> None:
    """A transient refusal is for now, a permanent one for good; the fault holds a code and no address."""
    box, url = mailbox
    box.refusal = refusal
    with pytest.raises(Undelivered) as caught:
        asyncio.run(Smtp(url, "register@annul.test").send("m_1", "a@mail.test", "s", "t", "en"))
    assert caught.value.for_good == for_good
    assert caught.value.fault == f"smtp-{refusal[:3]}"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "mail.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.mark.parametrize("scheme", ["smtps", "smtp"])
def test_a_letter_goes_through_tls_when_the_certificate_is_trusted_and_else_not_at_all(certificate: Path, scheme: str) -> None:
    """TLS from the start, or STARTTLS where it is offered; a certificate nobody trusts ends it, for now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    box = Mailbox()
    tls = {"ssl_context": context} if scheme == "smtps" else {"tls_context": context, "require_starttls": True}
    server = FreePort(box, hostname="127.0.0.1", port=0, ready_timeout=30, **tls)
    server.start()
    try:
        address = f"{scheme}://127.0.0.1:{server.port}"
        with pytest.raises(Undelivered) as caught:
            asyncio.run(Smtp(address, "register@annul.test").send("m_1", "a@mail.test", "s", "t", "en"))
        assert not caught.value.for_good
        assert box.mail == []
        believing = Smtp(address, "register@annul.test", Outgoing(ca_file=str(certificate)))
        assert asyncio.run(believing.send("m_1", "a@mail.test", "s", "t", "en"))
        assert len(box.mail) == 1
    finally:
        server.stop()


def test_a_password_never_goes_in_the_clear(mailbox: tuple[Mailbox, str]) -> None:
    """A server (or somebody on the way) that offers no TLS gets neither password nor letter."""
    box, url = mailbox
    address = url.replace("//", "//user:secret@")
    with pytest.raises(Undelivered):
        asyncio.run(Smtp(address, "register@annul.test").send("m_1", "a@mail.test", "s", "t", "en"))
    assert box.mail == []


_SENDER = """
import sys, threading
from annul.home import Home
from annul.registry.loops.herald import run
from annul.settings import Settings
home, database, mail = sys.argv[1:]
settings = Settings(home=Home(home), database_url=database, notices_mail=mail, notices_sender="register@annul.test")
run(settings, threading.Event())
"""


def test_a_sender_that_is_killed_when_the_letter_is_taken_sends_the_same_id_again(
    street: Street, mailbox: tuple[Mailbox, str]
) -> None:
    """SIGKILL between the server's taking the letter and its being noted: one more copy, one Message-ID, noted once."""
    box, url = mailbox
    street.run(street.register.report(POLICE, card(), "lost", happened_at_us=street.clock(), proof=STRONG))
    street.on_db(lambda db: street.herald._sources.follow_register(db, street.clock()))
    environment = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}

    def sender() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _SENDER, str(street.home), street.conninfo, url]
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    with sender() as first:
        box.taken = first.kill  # before "250 OK": the sender cannot know
        assert first.wait(120) == -signal.SIGKILL
    box.taken = None
    assert street.rows("SELECT state, tries FROM delivery") == [("due", 1)]
    street.rows("UPDATE delivery SET due_at_us = 0")  # the lease is over
    with sender() as second:
        deadline = time.monotonic() + 120
        while street.rows("SELECT state FROM delivery") != [("sent",)]:
            assert time.monotonic() < deadline
            assert second.poll() is None
            time.sleep(0.05)
        second.terminate()
    assert len(box.mail) == 2
    assert len({letter["Message-ID"] for letter in box.mail}) == 1
    assert len({letter.get_content() for letter in box.mail}) == 1  # type: ignore[attr-defined]
    street.turn()
    assert len(box.mail) == 2


def test_a_mail_server_that_is_away_is_for_now() -> None:
    """Nothing listens: not for good."""
    with pytest.raises(Undelivered) as caught:
        asyncio.run(Smtp("smtp://127.0.0.1:1", "register@annul.test").send("m_1", "a@mail.test", "s", "t", "en"))
    assert not caught.value.for_good


@pytest.mark.parametrize(("url", "sender"), [("mail.test", "a@b.test"), ("smtp://mail.test", ""), ("http://x", "a@b.test")])
def test_a_mail_server_that_is_not_named_is_refused_at_start(url: str, sender: str) -> None:
    """An operator hears of it at once, with the setting's name."""
    with pytest.raises(UnsafeSettings, match="notices_"):
        Smtp(url, sender)


def test_a_short_message_carries_an_idempotency_key_and_the_token_in_no_address(peer: Peer) -> None:
    """The gateway sees the id twice and can drop copies; its token travels as a header."""
    gateway = Gateway(peer.url.replace("http://", "http://secret-token@"))
    assert asyncio.run(gateway.send("m_2", "+861055550100", "text"))
    path, headers, body = peer.requests[0]
    assert path == "/in"
    assert headers["idempotency-key"] == "m_2"
    assert headers["authorization"] == "Bearer secret-token"
    assert json.loads(body) == {"id": "m_2", "to": "+861055550100", "text": "text"}


@pytest.mark.parametrize(("status", "for_good"), [(503, False), (429, False), (400, True), (302, True)])
def test_a_gateway_that_refuses_is_tried_again_or_not(peer: Peer, status: int, for_good: bool) -> None:
    """Overload is for now; a bad request or a redirect is for good, and no redirect is followed."""
    peer.status = status
    with pytest.raises(Undelivered) as caught:
        asyncio.run(Gateway(peer.url).send("m_3", "1", "t"))
    assert caught.value.for_good == for_good
    assert len(peer.requests) == 1


def _party(street: Street) -> WebhookBook:
    class Nothing:
        parties_generation = 0

        def parties(self) -> tuple[int, bytes]:
            return 0, b""

    parties = Parties(Fresh(street.conninfo), Nothing(), street.clock)
    with contextlib.suppress(Conflict):
        street.run(parties.create(Act("setup"), "bank", "Bank", "relying_party"))
    return WebhookBook(Fresh(street.conninfo), street.keys.envelope, private=True)


def test_a_webhook_is_signed_and_sent_again_under_the_same_id(street: Street, peer: Peer) -> None:
    """Standard Webhooks: the party verifies it with its secret; a changed body does not verify; a retry keeps its id."""
    book = _party(street)
    _view, secret = street.run(book.add("bank", "live", peer.url, ["recall"], street.clock()))
    peer.status = 500
    values: dict[str, str | int] = {"check": "ab" * 16, "checked_at_us": street.clock()}
    street.on_db(lambda db: queue(db, "recall", key="recall:1", now_us=street.clock(), party="bank", values=values))
    street.clock.us = 1_795_000_000_000_000
    street.turn()
    peer.status = 204
    street.clock.us += 60_000_000
    street.turn()
    (_, first, _), (_, headers, body) = peer.requests
    assert first["webhook-id"] == headers["webhook-id"]
    signed = Webhook(secret).sign(headers["webhook-id"], _at(headers), body.decode())
    assert signed == headers["webhook-signature"]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)
    assert json.loads(body)["data"]["check"] == "ab" * 16
    assert json.loads(body)["realm"] == Realm.live.value


def _at(headers: dict[str, str]) -> Any:
    import datetime

    return datetime.datetime.fromtimestamp(int(headers["webhook-timestamp"]), datetime.UTC)


def test_a_party_without_that_kind_is_not_called(street: Street, peer: Peer) -> None:
    """A webhook hears of the kinds it named alone, and of nothing after it was ended."""
    book = _party(street)
    view, _secret = street.run(book.add("bank", "live", peer.url, ["attempt_not_mine"], street.clock()))
    street.on_db(lambda db: queue(db, "recall", key="recall:2", now_us=street.clock(), party="bank"))
    street.turn()
    street.on_db(lambda db: queue(db, "attempt_not_mine", key="a:1", now_us=street.clock(), party="bank"))
    peer.status = 500
    street.turn()
    street.run(book.end("bank", "live", view.id, street.clock()))
    street.clock.us += 60_000_000
    street.turn()
    assert len(peer.requests) == 1
    dead = street.run(Outbox(Fresh(street.conninfo)).deliveries(state="dead"))
    assert [one.fault for one in dead] == ["webhook-ended"]
    with pytest.raises(NotFound):
        street.run(book.end("bank", "live", view.id, street.clock()))


def test_a_webhook_that_pauses_is_told_later_and_nothing_twice(street: Street, peer: Peer) -> None:
    """What comes while it pauses waits, however long; resumed it is told once; ended, what waited is dead."""
    book = _party(street)
    made, _secret = street.run(book.add("bank", "live", peer.url, ["follow_up_due"], street.clock()))

    def told(key: str) -> int:
        values: dict[str, str | int] = {"reference": "K-17"}
        street.on_db(lambda db: queue(db, "follow_up_due", key=key, now_us=street.clock(), party="bank", values=values))
        street.turn()
        return len(peer.requests)

    for _ in range(2):
        street.run(book.pause("bank", "live", made.id, street.clock()))
    assert told("a") == 0
    street.clock.us += 30 * DAY_US
    street.turn()
    (view,) = street.run(book.of_party("bank", "live"))
    assert view.paused_at_us is not None
    assert (len(peer.requests), street.rows("SELECT state, tries FROM delivery WHERE channel = 'webhook'")) == (
        0,
        [("paused", 0)],
    )
    street.run(book.resume("bank", "live", made.id, street.clock()))
    street.turn()
    assert len(peer.requests) == 1
    assert told("b") == 2
    street.run(book.pause("bank", "live", made.id, street.clock()))
    assert told("c") == 2
    street.run(book.end("bank", "live", made.id, street.clock()))
    street.turn()
    assert street.rows("SELECT state FROM delivery WHERE channel = 'webhook' ORDER BY state") == [
        ("dead",),
        ("sent",),
        ("sent",),
    ]
    for turn in (book.pause, book.resume, book.end):
        with pytest.raises(NotFound):
            street.run(turn("bank", "live", made.id, street.clock()))


def test_webhooks_do_not_reach_into_our_own_network(peer: Peer) -> None:
    """Plain http and private addresses are refused where the operator has not allowed them."""
    secret = "whsec_" + "A" * 43 + "="
    with pytest.raises(BadInput, match="https"):
        asyncio.run(Webhooks().send("m_4", peer.url, secret, "{}", 0))
    with pytest.raises(Undelivered) as caught:
        asyncio.run(Webhooks().send("m_4", "https://127.0.0.1:1/in", secret, "{}", 0))
    assert (caught.value.fault, caught.value.for_good) == ("host-private", True)
    assert peer.requests == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "a.localhost",
        "10.0.0.7",
        "192.168.1.1",
        "169.254.169.254",
        "[::1]",
        "[fd00::1]",
        "0x7f.1",
        "2130706433",
        "0",
        "127.1",
    ],
)
def test_an_address_inside_is_refused_when_it_is_registered(host: str) -> None:
    """In every form a resolver takes for an address; public ones and names pass."""
    with pytest.raises(BadInput):
        require_outside(f"https://{host}/hook")
    for public in ("example.org", "8.8.8.8", "[2001:4860:4860::8888]"):
        require_outside(f"https://{public}/hook")
