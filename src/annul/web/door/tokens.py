"""Issue and read access tokens of programs.

An access token is a JWT (typ `at+jwt`, Ed25519) of ten minutes. It names the client only: what the client may do is looked up
at each request, so a client that is closed is refused at once.

Source: RFC 9068 (JWT profile for access tokens), RFC 9864 (Ed25519).
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.util import urlsafe_b64encode
from nacl.signing import SigningKey

from annul.errors import NotAuthorised
from annul.times import SECOND_US

if TYPE_CHECKING:
    from annul.registry.parties.parties import Principal
    from annul.web.door.office import Front

TOKEN_SECONDS: Final = 600
"""Life of an access token. Source: RFC 9068 asks for short lives; ten minutes costs one token request per 10 minutes."""

_TYP: Final = "at+jwt"


def derived_key(office: Front, label: bytes) -> bytes:
    """Derive 32 bytes for one use of the doors from the session key of the key file."""
    return hmac.digest(office.keys.session, b"annul web v1\0" + label, "sha256")


class AccessTokens:
    """Issue access tokens and read them back; the key is derived, so that every worker has the same one."""

    def __init__(self, office: Front) -> None:
        self._office = office
        seed = derived_key(office, b"access tokens")
        public = bytes(SigningKey(seed).verify_key)
        self._key = OKPKey.import_key(
            {"kty": "OKP", "crv": "Ed25519", "x": _b64(public), "d": _b64(seed)}, {"alg": "Ed25519", "use": "sig"}
        )

    def issue(self, client_id: str) -> str:
        """Return a fresh access token of this client."""
        now = self._office.now_us() // SECOND_US
        base = self._office.settings.base_url
        claims = {
            "iss": base,
            "aud": base,
            "sub": client_id,
            "client_id": client_id,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "jti": secrets.token_urlsafe(16),
        }
        return jwt.encode({"alg": "Ed25519", "typ": _TYP}, claims, self._key, algorithms=["Ed25519"])

    def read(self, token: str) -> tuple[str, int]:
        """Return (client id, end of life in seconds since the epoch) of a good access token.

        Raises:
            NotAuthorised: not ours, changed, or expired.
        """
        try:
            read = jwt.decode(token, self._key, algorithms=["Ed25519"])
            claims = jwt.JWTClaimsRegistry(
                now=self._office.now_us() // SECOND_US,
                exp={"essential": True},
                sub={"essential": True},
                aud={"essential": True, "value": self._office.settings.base_url},
            )
            if read.header.get("typ") != _TYP:
                raise NotAuthorised("The access token is not one of this register.")
            claims.validate(read.claims)
        except (JoseError, ValueError):
            raise NotAuthorised(
                "The access token is not valid, or has expired.", mend="Ask for a new one at /v1/oauth/token."
            ) from None
        return str(read.claims["sub"]), int(read.claims["exp"])

    def principal(self, token: str) -> Principal:
        """Return the caller behind an access token, as the present snapshot of parties knows it.

        Raises:
            NotAuthorised: the token is not good, or its client is closed.
        """
        client_id, until_s = self.read(token)
        principal = self._office.parties.principal_of_client(client_id)
        return msgspec.structs.replace(principal, expires_at_us=until_s * SECOND_US)


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode()
