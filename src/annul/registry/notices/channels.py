"""The channels a notice leaves by: e-mail over SMTP, short messages over a gateway, webhooks; each under an id that stays.

A channel either delivers, or raises `Undelivered`: for good (nobody will ever take it) or for now. `outbox:` in place of an
address keeps messages in the outbox, where the demo shows what would have been sent.

Source: RFC 5321 section 4.2.1 (4yz transient, 5yz permanent), RFC 5322 section 3.6.4 (Message-ID), RFC 3834 section 5
(Auto-Submitted), Standard Webhooks 1.0.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import httpx

from annul.errors import BadInput, UnsafeSettings
from annul.outgoing import Outgoing, cause

SEND_S: Final = 20
"""Longest time one sending may take; the lease of a delivery is three times as long."""
KEPT: Final = "outbox:"
_AGAIN: Final = frozenset({408, 409, 425, 429})
"""Refusals of a gateway or webhook that may be over later. Other 4xx are for good."""


class Undelivered(Exception):
    """A message did not leave. `fault` is a short code without personal data; `for_good` says that trying again is no use."""

    def __init__(self, fault: str, *, for_good: bool = False) -> None:
        super().__init__(fault)
        self.fault, self.for_good = fault, for_good


class Mail(Protocol):
    """Send letters."""

    async def send(self, message_id: str, address: str, subject: str, text: str, language: str) -> bool:
        """Send one letter; False when it was only kept.

        Raises:
            Undelivered: it did not leave.
        """


class ShortMessages(Protocol):
    """Send short messages to telephones."""

    async def send(self, message_id: str, number: str, text: str) -> bool:
        """Send one message; False when it was only kept.

        Raises:
            Undelivered: it did not leave.
        """


DIRECT: Final = Outgoing()
"""How channels call when nothing was set: the machine's own authorities, no proxy."""


class Kept:
    """Send nothing: the message stays in the outbox, where it can be looked at."""

    async def send(self, message_id: str, *_parts: str) -> bool:
        """Keep the message."""
        return not message_id


class Smtp:
    """Send letters through a mail server.

    Args:
        url: smtp://[user:password@]host[:port] (STARTTLS where the server offers it; a password goes through TLS or not at
            all) or smtps://… (TLS from the start). The server's certificate is checked either way.
        sender: address the letters come from.
    """

    def __init__(self, url: str, sender: str, outgoing: Outgoing = DIRECT) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise UnsafeSettings(
                "The mail server is not named.", where="notices_mail", mend="Write smtp://host:587, or smtps://host."
            )
        if "@" not in sender:
            raise UnsafeSettings(
                "Letters need a sender.", where="notices_sender", mend="Set an address, such as register@example.org."
            )
        self._host, self._tls = parts.hostname, parts.scheme == "smtps"
        self._port = parts.port or (465 if self._tls else 25)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._sender = sender
        self._outgoing = outgoing

    async def send(self, message_id: str, address: str, subject: str, text: str, language: str) -> bool:
        """Send one letter."""
        import aiosmtplib  # only the process of notices needs it

        letter = EmailMessage()
        letter["From"], letter["To"], letter["Subject"] = self._sender, address, subject
        letter["Message-ID"] = f"<{message_id}@{self._sender.rpartition('@')[2]}>"
        letter["Date"] = datetime.now(UTC)
        letter["Auto-Submitted"] = "auto-generated"
        letter["Content-Language"] = language
        letter.set_content(text)
        try:
            await aiosmtplib.send(
                letter,
                hostname=self._host,
                port=self._port,
                use_tls=self._tls,
                username=self._user,
                password=self._password,
                start_tls=True if self._user and not self._tls else None,
                timeout=SEND_S,
                tls_context=self._outgoing.context(),
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            worst = max((refused.code for refused in error.recipients), default=550)
            raise Undelivered(f"smtp-{worst}", for_good=worst >= 500) from None
        except aiosmtplib.SMTPResponseException as error:
            raise Undelivered(f"smtp-{error.code}", for_good=error.code >= 550) from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise Undelivered(_why(error)) from None
        return True


class Gateway:
    """Send short messages through an HTTP gateway: POST {"id", "to", "text"} with an Idempotency-Key.

    Args:
        url: address of the gateway; user and password in it are sent as HTTP Basic, a user alone as a bearer token.
    """

    def __init__(self, url: str, outgoing: Outgoing = DIRECT) -> None:
        self._outgoing = outgoing
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UnsafeSettings("The gateway is not named.", where="notices_sms", mend="Write https://token@host/path.")
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._headers: dict[str, str] = {}
        self._auth: httpx.BasicAuth | None = None
        if parts.username and parts.password:
            self._auth = httpx.BasicAuth(unquote(parts.username), unquote(parts.password))
        elif parts.username:
            self._headers["authorization"] = f"Bearer {unquote(parts.username)}"

    async def send(self, message_id: str, number: str, text: str) -> bool:
        """Send one message."""
        headers = self._headers | {"idempotency-key": message_id}
        async with self._outgoing.async_client(timeout=SEND_S, auth=self._auth) as http:
            await _posted(http, self._url, headers, {"id": message_id, "to": number, "text": text})
        return True


class Webhooks:
    """Call parties' webhooks, signed as Standard Webhooks asks.

    Args:
        private: calls may go by plain http and to addresses of private networks (closed networks, tests).
    """

    def __init__(self, *, private: bool = False, outgoing: Outgoing = DIRECT) -> None:
        self._private, self._outgoing = private, outgoing

    async def send(self, message_id: str, url: str, secret: str, body: str, at_us: int) -> bool:
        """Call one webhook with a JSON body; redirects are not followed."""
        from standardwebhooks import Webhook  # only the process of notices needs it

        require_url(url, private=self._private)
        if not self._private:
            _require_public(urlsplit(url).hostname or "")
        at = datetime.fromtimestamp(at_us / 1e6, UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(message_id, at, body),
        }
        async with self._outgoing.async_client(timeout=SEND_S) as http:
            await _posted(http, url, headers, body)
        return True


def require_url(url: str, *, private: bool) -> None:
    """Refuse an address that webhooks may not call.

    Raises:
        BadInput: it is not https, or holds a user or a fragment.
    """
    try:
        parts = urlsplit(url)
        usable = url.isascii() and url.isprintable() and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.username or parts.fragment or parts.scheme not in (("http", "https") if private else ("https",)):
        raise BadInput(
            "A webhook is called by https.", where="/url", mend="Give an address such as https://bank.example/annul."
        )


def require_outside(url: str) -> None:
    """Refuse to register an address inside: this machine, or an address that is not public, in whatever form.

    What a name leads to is asked before each call.

    Raises:
        BadInput: it is such an address; `0x7f.1` and `2130706433` are, too.
    """
    name = (urlsplit(url).hostname or "").rstrip(".").lower()
    inside = name == "localhost" or name.endswith(".localhost")
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name.partition("%")[0])
    if address is None:
        with contextlib.suppress(OSError):
            address = ipaddress.ip_address(socket.inet_aton(name))
    if inside or (address is not None and not address.is_global):
        raise BadInput("This address lies in a private network.", where="/url", mend="Give one that is reached from outside.")


def _require_public(host: str) -> None:
    """Refuse to call into our own network."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        raise Undelivered("host-unknown") from None
    if not all(ipaddress.ip_address(str(address).partition("%")[0]).is_global for address in found):
        raise Undelivered("host-private", for_good=True)


def _why(error: Exception) -> str:
    """Return why nothing was delivered: the cause of TLS or of the proxy, else the library's own name for it."""
    found = cause(error)
    return found if found.startswith(("tls", "proxy")) else type(error).__name__


async def _posted(http: httpx.AsyncClient, url: str, headers: dict[str, str], body: dict[str, str] | str) -> None:
    try:
        if isinstance(body, str):
            answer = await http.post(url, headers=headers, content=body)
        else:
            answer = await http.post(url, headers=headers, json=body)
    except httpx.HTTPError as error:
        raise Undelivered(_why(error)) from None
    if not answer.is_success:
        for_good = 300 <= answer.status_code < 500 and answer.status_code not in _AGAIN
        raise Undelivered(f"http-{answer.status_code}", for_good=for_good)
