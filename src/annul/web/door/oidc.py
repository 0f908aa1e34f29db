"""Log citizens in: OpenID Connect relying party, authorization code with PKCE, against any provider with discovery.

    1 the provider's metadata is read from its issuer; the issuer it names must be the one that was asked
    2 the browser goes there with state, nonce and a PKCE challenge; all three wait in a sealed cookie of ten minutes
    3 on the way back state must be the cookie's; the code is exchanged with the verifier
    4 the ID token: signature by a key of the provider, algorithm allowed, then iss, aud, azp, exp, iat, nonce, at_hash
    5 `acr` among the strong ones makes a strong login, anything else a weak one: it suspends, it never kills
    6 the person is found by a claim, or as the subject that logged in before

Source: OpenID Connect Core 1.0 sections 3.1.3.7 and 5.5.1.1, Discovery 1.0 section 4, RFC 7636 (PKCE), RFC 9700 (security).
"""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx
import msgspec
from authlib.common.security import generate_token
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode
from litestar import Request
from litestar.datastructures import Cookie

from annul import logs
from annul.errors import NotAuthorised, SourceDown
from annul.outgoing import cause
from annul.times import SECOND_US
from annul.web.door.tokens import derived_key

if TYPE_CHECKING:
    from annul.web.door.office import Office

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""Signatures of ID tokens that are taken. Symmetric ones and `none` are never read. Source: RFC 8725 section 3.1."""
WAIT_S: Final = 10
METADATA_S: Final = 600
"""How long metadata and keys of the provider are kept; a key that is not among them is asked for once more."""
FLOW_S: Final = 600
LEEWAY_S: Final = 10
BACK: Final = "/my/sign-in/back"
_AGAIN: Final = "Sign in again. Nothing is lost."


class Flow(msgspec.Struct, frozen=True):
    """What waits in the browser's cookie while it is at the provider."""

    state: str
    nonce: str
    verifier: str
    until_s: int


class LoggedIn(msgspec.Struct, frozen=True):
    """Who a provider says it is: subject, personal number ("" when it tells none), and whether the login was strong."""

    issuer: str
    subject: str
    number: str
    strong: bool


class Metadata(msgspec.Struct):
    """What a provider says of itself. Source: Discovery 1.0 section 3."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class Login:
    """One provider.

    Args:
        office: the assembled parts.
    """

    def __init__(self, office: Office) -> None:
        self._office, self._settings = office, office.settings
        self._key = derived_key(office, b"login of citizens")
        self.cookie_name = "__Host-annul-login" if office.settings.https else "annul-login"
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None

    @property
    def offered(self) -> bool:
        """Tell whether there is a provider."""
        return bool(self._settings.login_issuer)

    @property
    def back(self) -> str:
        """Return the address the provider sends the browser back to."""
        return self._settings.base_url + BACK

    async def begin(self) -> tuple[str, Cookie]:
        """Return the address of the provider to go to, and the cookie that waits.

        Raises:
            SourceDown: the provider does not answer as one.
        """
        metadata = await self._provider()
        flow = Flow(generate_token(32), generate_token(32), generate_token(64), self._now_s() + FLOW_S)
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self.back,
            "scope": "openid",
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": create_s256_code_challenge(flow.verifier),
            "code_challenge_method": "S256",
            "acr_values": " ".join(self._strong()),
            "claims": self._claims(),
            "prompt": "login",
        }
        address = str(add_params_to_uri(metadata.authorization_endpoint, list(asked.items())))
        return address, self._cookie(flow)

    async def finish(self, request: Request[Any, Any, Any], query: dict[str, str]) -> LoggedIn:
        """Take the browser back from the provider.

        Raises:
            NotAuthorised: the login was not begun here, was broken off, or does not hold; which step failed is not told.
            SourceDown: the provider does not answer.
        """
        flow = self._read(request)
        if flow is None or not hmac.compare_digest(flow.state.encode(), query.get("state", "").encode()):
            raise NotAuthorised("This login was not begun here, or too long ago.", mend=_AGAIN)
        metadata = await self._provider()
        if query.get("error") or not query.get("code"):
            raise NotAuthorised("The login was broken off.", mend=_AGAIN)
        if query.get("iss") and query["iss"] != metadata.issuer:  # RFC 9207: mixed-up providers
            raise NotAuthorised("The login does not hold.", mend=_AGAIN)
        token = await self._exchange(metadata, query["code"], flow.verifier)
        return await self._identity(metadata, str(token.get("id_token", "")), str(token.get("access_token", "")), flow.nonce)

    async def _identity(self, metadata: Metadata, raw: str, access_token: str, nonce: str) -> LoggedIn:
        try:
            token = await self._opened(metadata, raw)
            claims = CodeIDToken(
                token.claims,
                token.header,
                {
                    "iss": {"values": [metadata.issuer]},
                    "aud": {"value": self._client_id},
                    "nonce": {"value": nonce},
                    "sub": {"essential": True},
                },
                {"nonce": nonce, "client_id": self._client_id, "access_token": access_token},
            )
            claims.validate(now=self._now_s(), leeway=LEEWAY_S)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise NotAuthorised("The login does not hold.", mend=_AGAIN) from error
        number = claims.get(self._settings.oidc_claim, "")
        return LoggedIn(
            metadata.issuer, str(claims["sub"]), number if isinstance(number, str) else "", claims.get("acr") in self._strong()
        )

    async def _opened(self, metadata: Metadata, raw: str) -> jwt.Token:
        try:
            return jwt.decode(raw, await self._jwks(metadata), algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):  # perhaps a new key
            self._keys = None
            return jwt.decode(raw, await self._jwks(metadata), algorithms=list(ALGORITHMS))

    async def _provider(self) -> Metadata:
        if self._metadata is not None and self._metadata[0] > time.monotonic():
            return self._metadata[1]
        issuer = self._settings.login_issuer
        if not issuer or not (issuer.startswith("https://") or self._settings.demo):
            raise SourceDown("There is no login service.", mend="Set oidc_issuer to an https address; see docs/operate.md.")
        found = await self._fetched(issuer.rstrip("/") + "/.well-known/openid-configuration")
        try:
            metadata = msgspec.convert(found, Metadata)
        except msgspec.ValidationError:
            raise SourceDown("The login service does not answer as one.") from None
        if metadata.issuer != issuer:
            raise SourceDown("The login service names another issuer than the one that was set.")
        self._metadata = (time.monotonic() + METADATA_S, metadata)
        return metadata

    async def _jwks(self, metadata: Metadata) -> KeySet:
        if self._keys is None or self._keys[0] <= time.monotonic():
            found = await self._fetched(metadata.jwks_uri)
            self._keys = (time.monotonic() + METADATA_S, KeySet.import_key_set(found))
        return self._keys[1]

    async def _fetched(self, address: str) -> Any:
        try:
            async with self._settings.outgoing.async_client(timeout=WAIT_S) as http:
                answer = await http.get(address, headers={"accept": "application/json"})
                answer.raise_for_status()
                return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise self._unanswered(error) from None

    def _unanswered(self, error: Exception) -> SourceDown:
        """Say the cause in the log, for the operator; the person hears that it does not answer."""
        logs.get("login").warning("the login service does not answer", code=cause(error), error=type(error).__name__)
        return SourceDown("The login service does not answer.", mend="Try again in a moment.")

    @property
    def _client_id(self) -> str:
        return self._settings.oidc_client_id or DEMO_CLIENT

    async def _exchange(self, metadata: Metadata, code: str, verifier: str) -> dict[str, Any]:
        """Exchange the code for tokens. Source: RFC 6749 section 4.1.3, RFC 7636 section 4.5."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.back, "code_verifier": verifier}
        secret = self._settings.oidc_client_secret
        auth = httpx.BasicAuth(quote(self._client_id, safe=""), quote(secret, safe="")) if secret else None
        try:
            async with self._settings.outgoing.async_client(timeout=WAIT_S, auth=auth) as http:
                answer = await http.post(
                    metadata.token_endpoint, data=form if secret else form | {"client_id": self._client_id}
                )
                token = answer.json() if answer.status_code == 200 else None
        except httpx.HTTPError as error:
            raise self._unanswered(error) from None
        except ValueError:
            token = None
        if not isinstance(token, dict):
            raise NotAuthorised("The login does not hold.", mend=_AGAIN)
        return token

    def _strong(self) -> list[str]:
        return [value.strip() for value in self._settings.oidc_strong_acr.split(",") if value.strip()]

    def _claims(self) -> str:
        """Ask for the personal number in the ID token. Source: Core 1.0 section 5.5."""
        return msgspec.json.encode({"id_token": {self._settings.oidc_claim: {"essential": True}, "acr": None}}).decode()

    # -- the cookie ----------------------------------------------------------------------------------------------------------

    def _cookie(self, flow: Flow) -> Cookie:
        body = urlsafe_b64encode(msgspec.json.encode(flow)).decode()
        # Lax: the way back comes from another site
        return Cookie(
            self.cookie_name,
            value=f"{body}.{self._mac(body)}",
            path="/",
            max_age=FLOW_S,
            httponly=True,
            samesite="lax",
            secure=self._settings.https,
        )

    def gone(self) -> Cookie:
        """Return the cookie that ends a flow: a code is taken back once."""
        return Cookie(
            self.cookie_name, value="", path="/", max_age=0, httponly=True, samesite="lax", secure=self._settings.https
        )

    def _read(self, request: Request[Any, Any, Any]) -> Flow | None:
        body, _, mac = request.cookies.get(self.cookie_name, "").partition(".")
        try:
            if not hmac.compare_digest(self._mac(body).encode(), mac.encode()):
                return None
            flow = msgspec.json.decode(urlsafe_b64decode(body.encode()), type=Flow)
        except (ValueError, msgspec.MsgspecError):
            return None
        return flow if flow.until_s > self._now_s() else None

    def _mac(self, body: str) -> str:
        return urlsafe_b64encode(hmac.digest(self._key, body.encode(), "sha256")).decode()

    def _now_s(self) -> int:
        return self._office.now_us() // SECOND_US


DEMO_CLIENT: Final = "annul-demo"
"""Name of the demo's register at the demo's own provider."""
