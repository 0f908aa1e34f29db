"""Calls to others: authorities of one's own, a proxy, causes in words; and nobody else makes a client."""

from __future__ import annotations

import ast
import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from annul import outgoing
from annul.client.connection import Connection, Unreachable
from annul.errors import UnsafeSettings
from annul.outgoing import Outgoing, cause
from annul.registry.notices.channels import Gateway, Undelivered

SOURCE = Path(outgoing.__file__).parent
MAKERS = ("httpx.Client", "httpx.AsyncClient", "urlopen", "create_default_context", "HTTPSConnection")
WHO_ELSE = {
    "outgoing.py": "makes them",
    "supervisor.py": "asks its own address on this machine",
    "edge/sync.py": "a device without httpx: urllib reads SSL_CERT_FILE and https_proxy of its environment itself",
    "bench": "measures on this machine",
    "web/developers/snippets.py": "a text for developers",
}


class Authority:
    """An authority of one's own, and certificates it gives."""

    def __init__(self, folder: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Utopia")])
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._signed(self.name, self.key, [], days=1).public_bytes(serialization.Encoding.PEM))
        self.folder = folder

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName], *, days: int
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=3))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        else:
            usage = [False, False, False, False, False, True, True, False, False]
            built = built.add_extension(x509.KeyUsage(*usage), critical=True)
        return built.sign(self.key, hashes.SHA256())

    def chain(self, names: list[x509.GeneralName], *, days: int = 1) -> Path:
        """Return a file with key and certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        file = self.folder / f"server-{days}-{len(names)}-{type(names[0].value).__name__}.pem"
        file.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + self._signed(named, key, names, days=days).public_bytes(serialization.Encoding.PEM)
        )
        return file


class _Fine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer anything."""
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One authority for all tests here."""
    return Authority(tmp_path_factory.mktemp("authority"))


HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@pytest.fixture
def serve() -> Iterator[list[ThreadingHTTPServer]]:
    """Keep servers until the test is over."""
    servers: list[ThreadingHTTPServer] = []
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


def https(servers: list[ThreadingHTTPServer], chain: Path) -> str:
    """Serve with a certificate; return the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Fine)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    servers.append(server)
    return f"https://127.0.0.1:{server.server_address[1]}"


def test_an_authority_of_ones_own_is_believed_when_it_is_named(authority: Authority, serve: list[ThreadingHTTPServer]) -> None:
    """Client, asynchronous client and the client library answer with it; without it the cause and the setting are named."""
    url = https(serve, authority.chain([HERE]))
    way = Outgoing(str(authority.file))
    with way.client() as http:
        assert http.get(url).status_code == 200

    async def asked() -> int:
        async with way.async_client() as http:
            return (await http.get(url)).status_code

    assert asyncio.run(asked()) == 200
    with Connection(url, outgoing=way) as known:
        assert known.get("/") == {}
    with Connection(url, outgoing=Outgoing()) as stranger, pytest.raises(Unreachable, match="not believed here") as refused:
        stranger.get("/")
    assert "ca_file" in str(refused.value)


def test_a_gateway_with_such_a_certificate_says_why_nothing_left(
    authority: Authority, serve: list[ThreadingHTTPServer]
) -> None:
    """The undelivered notice carries the cause; with the authority named it is delivered."""
    url = https(serve, authority.chain([HERE]))
    with pytest.raises(Undelivered, match=r"tls-(unknown-authority|self-signed)"):
        asyncio.run(Gateway(url).send("m_1", "+100", "text"))
    assert asyncio.run(Gateway(url, Outgoing(str(authority.file))).send("m_1", "+100", "text"))


WRONG = [([HERE], -1, "tls-expired"), ([x509.DNSName("other.example")], 1, "tls-other-name")]


@pytest.mark.parametrize(("names", "days", "expected"), WRONG)
def test_what_is_wrong_with_a_certificate_is_told(
    names: list[x509.GeneralName], days: int, expected: str, authority: Authority, serve: list[ThreadingHTTPServer]
) -> None:
    """Expired, of another name: each is a cause of its own, with a sentence."""
    url = https(serve, authority.chain(names, days=days))
    with Outgoing(str(authority.file)).client() as http, pytest.raises(httpx.ConnectError) as refused:
        http.get(url)
    assert cause(refused.value) == expected
    assert outgoing.WORDS[expected]


def test_calls_go_through_the_proxy_and_never_to_oneself(serve: list[ThreadingHTTPServer]) -> None:
    """A host elsewhere is asked of the proxy by its name; this machine is asked directly; a proxy that is away is the cause."""
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Fine)
    threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
    serve.append(proxy)
    way = Outgoing(proxy=f"http://127.0.0.1:{proxy.server_address[1]}")
    with way.client() as http:
        assert http.get("http://elsewhere.invalid/").status_code == 200
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with way.client() as http, pytest.raises(httpx.ConnectError):
        http.get(f"http://127.0.0.1:{port}/")
    with pytest.raises(UnsafeSettings, match="proxy is not named"):
        Outgoing(proxy="nonsense").client()


def test_a_file_without_certificates_is_refused_with_its_setting(tmp_path: Path) -> None:
    """Missing, or no PEM: the setting is named before anything is called."""
    (tmp_path / "empty").write_text("no certificate")
    for file in ("missing", "empty"):
        with pytest.raises(UnsafeSettings) as refused:
            Outgoing(str(tmp_path / file)).context()
        assert refused.value.where == "ca_file"


def test_nobody_else_makes_a_client() -> None:
    """Every HTTP client and TLS context of the product is made in one place, so that the setting holds everywhere."""
    found = set()
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called.endswith(MAKERS) or (
                called.startswith("httpx.") and called.split(".")[1] in ("get", "post", "request", "stream")
            ):
                found.add(str(file.relative_to(SOURCE)))
    assert {file for file in found if file.partition("/")[0] not in WHO_ELSE and file not in WHO_ELSE} == set()
    assert "outgoing.py" in found
