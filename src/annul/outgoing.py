"""Call out: the one place where HTTP clients and TLS contexts are made, with the authorities and the proxy that were set.

    way = Outgoing(ca_file="/etc/ssl/national.pem", proxy="http://proxy.example:3128")
    with way.client(timeout=10) as http: …
    async with way.async_client(timeout=10) as http: …
    way.context()                                   for what speaks TLS without HTTP (mail)

Believed are the machine's own authorities (Debian: ca-certificates), or those of certifi where the machine has none, and those
of `ca_file` beside them. The environment is not asked for proxies: what stands in the settings holds, and nothing else.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from annul.errors import UnsafeSettings

if TYPE_CHECKING:
    import httpx

CA_FILE: Final = "ANNUL_CA_FILE"
PROXY: Final = "ANNUL_OUTGOING_PROXY"
PROXY_FORM: Final = "Write http://host:port."
HERE: Final = ("localhost", "127.0.0.1", "[::1]")
"""Never asked of a proxy."""
_CAUSES: Final = (
    ("self-signed certificate", "tls-self-signed"),
    ("self signed certificate", "tls-self-signed"),
    ("unable to get local issuer", "tls-unknown-authority"),
    ("unable to get issuer", "tls-unknown-authority"),
    ("has expired", "tls-expired"),
    ("not yet valid", "tls-not-yet-valid"),
    ("ostname mismatch", "tls-other-name"),
    ("IP address mismatch", "tls-other-name"),
)
"""What OpenSSL says of a certificate -> how annul calls it. Source: openssl-verification-options(1), x509_vfy.c."""
WORDS: Final = {
    "tls-self-signed": "The certificate is signed by itself, or by an authority that is not believed here.",
    "tls-unknown-authority": "The certificate is of an authority that is not believed here.",
    "tls-expired": "The certificate has expired.",
    "tls-not-yet-valid": "The certificate is not valid yet, or the clock here is wrong.",
    "tls-other-name": "The certificate is of another name.",
    "tls": "TLS failed.",
    "proxy": "The proxy does not let this through.",
    "timed-out": "There was no answer in time.",
    "unreachable": "There is no connection.",
}
"""Cause -> its sentence."""
MEND: Final = {
    "tls-self-signed": "Name the authority's file in ca_file (ANNUL_CA_FILE), or put it into the machine's own list.",
    "tls-unknown-authority": "Name the authority's file in ca_file (ANNUL_CA_FILE), or put it into the machine's own list.",
    "proxy": "Look at outgoing_proxy (ANNUL_OUTGOING_PROXY) and at the proxy's own log.",
}
"""Cause -> the next step, where annul's settings have one."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Say how this annul calls others.

    Args:
        ca_file: PEM file of authorities that are believed beside the machine's own; "" for none.
        proxy: HTTP proxy that calls go through, http://host:port; "" for none.
    """

    ca_file: str = ""
    proxy: str = ""

    @classmethod
    def of_environment(cls) -> Outgoing:
        """Return what ANNUL_CA_FILE and ANNUL_OUTGOING_PROXY say: for programs without a data folder."""
        return cls(os.environ.get(CA_FILE, ""), os.environ.get(PROXY, ""))

    def context(self) -> ssl.SSLContext:
        """Return the TLS context of a client.

        Raises:
            UnsafeSettings: the file of authorities cannot be read.
        """
        return _context(self.ca_file)

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client; `options` are httpx's own, without `verify`, `proxy`, `mounts` and `trust_env`."""
        import httpx

        return httpx.Client(**self._ways(options, httpx.HTTPTransport))

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """Return an asynchronous HTTP client; `options` as for `client`."""
        import httpx

        return httpx.AsyncClient(**self._ways(options, httpx.AsyncHTTPTransport))

    def _ways(self, options: dict[str, Any], transport: Any) -> dict[str, Any]:
        made = options | {"verify": self.context(), "trust_env": False}
        if self.proxy and "transport" not in options:
            try:
                through = transport(verify=self.context(), proxy=self.proxy)
            except ValueError:
                raise UnsafeSettings("The proxy is not named.", where="outgoing_proxy", mend=PROXY_FORM) from None
            made["mounts"] = {"all://": through} | {f"all://{host}": None for host in HERE}
        return made


def cause(error: BaseException) -> str:
    """Return in one word why a call failed (a key of `WORDS`), by what lies behind the library's error."""
    seen: BaseException | None = error
    found = "unreachable"
    while seen is not None:
        name, said = type(seen).__name__, str(seen)
        if isinstance(seen, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in said:
            return next((word for words, word in _CAUSES if words in said), "tls")
        if isinstance(seen, ssl.SSLError):
            found = "tls"
        elif "Proxy" in name:
            found = "proxy"
        elif "Timeout" in name:
            found = "timed-out"
        seen = seen.__cause__ or seen.__context__
    return found


@lru_cache(maxsize=8)
def _context(ca_file: str) -> ssl.SSLContext:
    made = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    if not made.cert_store_stats()["x509_ca"] and not (folder and any(folder.iterdir())):
        import certifi

        made.load_verify_locations(certifi.where())
    if ca_file:
        try:
            made.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "it holds no certificate in PEM"
            raise UnsafeSettings(
                f"The file of authorities cannot be used: {why}.", where="ca_file", mend="Name a PEM file that annul may read."
            ) from None
    return made
