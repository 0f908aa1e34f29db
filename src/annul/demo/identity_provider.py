"""The demo's identity provider: a real OpenID Connect flow in which anybody chooses which fictional person to be.

Mounted at /demo/idp of a demo and nowhere else. Discovery, authorization code with PKCE, ID token signed with Ed25519; the code
is a signed token of a minute, so that any worker can exchange it. The people to choose from stand in demo.json (`citizens`).
"""

from __future__ import annotations

import hashlib
import hmac
import html
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey
from joserfc.util import urlsafe_b64encode
from nacl.signing import SigningKey

from annul.demo.record import FILE
from annul.home import Home
from annul.keys import Keys
from annul.web.door.oidc import BACK, DEMO_CLIENT

PATH: Final = "/demo/idp"
CODE_S: Final = 60
TOKEN_S: Final = 300
STRONG: Final = "http://eidas.europa.eu/LoA/high"
WEAK: Final = "http://eidas.europa.eu/LoA/low"
BODY_MAX: Final = 8192

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = tuple[int, str, bytes, dict[str, str]]


class Citizen(msgspec.Struct, frozen=True):
    """Somebody to log in as; `story` says what there is to see."""

    name: str
    personal_number: str
    story: str = ""


class _People(msgspec.Struct, frozen=True):
    citizens: list[Citizen] = []


class IdentityProvider:
    """A small ASGI application.

    Args:
        home: data folder, for the people of demo.json.
        keys: the key file; the provider's keys are derived from it.
        base_url: address of the doors.
    """

    def __init__(self, home: Home, keys: Keys, base_url: str) -> None:
        self._home, self._issuer = home, base_url + PATH
        self._back = base_url + BACK
        seed = hmac.digest(keys.session, b"annul demo identity provider v1", "sha256")
        signing = SigningKey(seed)
        public = urlsafe_b64encode(bytes(signing.verify_key)).decode()
        self._kid = hashlib.sha256(bytes(signing.verify_key)).hexdigest()[:16]
        self._key = OKPKey.import_key(
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "x": public,
                "d": urlsafe_b64encode(seed).decode(),
                "kid": self._kid,
                "use": "sig",
            }
        )
        self._code_key = OctKey.import_key(hmac.digest(seed, b"codes", "sha256"))

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; `scope["path"]` still begins with PATH."""
        path, method = str(scope["path"]).removeprefix(PATH), scope["method"]
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        form = dict(parse_qsl((await _body(receive)).decode("utf-8", "replace"))) if method == "POST" else {}
        if path == "/.well-known/openid-configuration":
            answer = self._json(self._metadata())
        elif path == "/jwks":
            answer = self._json({"keys": [self._key.as_dict(private=False)]})
        elif path == "/authorize" and method == "GET":
            answer = self._choose(query)
        elif path == "/authorize":
            answer = self._chosen(form)
        elif path == "/token" and method == "POST":
            answer = self._token(form)
        else:
            answer = self._json({"error": "not_found"}, 404)
        status, media, body, headers = answer
        sent = {
            "content-type": media,
            "content-length": str(len(body)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'",
        } | headers
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            }
        )
        await send({"type": "http.response.body", "body": body})

    def citizens(self) -> list[Citizen]:
        """Return the people to choose from."""
        try:
            return msgspec.json.decode((self._home / FILE).read_bytes(), type=_People).citizens
        except (OSError, msgspec.MsgspecError):
            return []

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self._issuer,
            "authorization_endpoint": f"{self._issuer}/authorize",
            "token_endpoint": f"{self._issuer}/token",
            "jwks_uri": f"{self._issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["Ed25519"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "acr_values_supported": [STRONG, WEAK],
            "claims_supported": ["sub", "personal_number", "name", "acr"],
            "authorization_response_iss_parameter_supported": True,
        }

    def _asked(self, values: Mapping[str, str]) -> dict[str, str] | None:
        wanted = ("client_id", "redirect_uri", "state", "nonce", "code_challenge")
        fits = (
            values.get("client_id") == DEMO_CLIENT
            and values.get("redirect_uri") == self._back
            and values.get("code_challenge_method", "S256") == "S256"
            and bool(values.get("code_challenge"))
        )
        return {name: values.get(name, "") for name in wanted} if fits else None

    def _choose(self, query: Mapping[str, str]) -> Answer:
        asked = self._asked(query)
        if asked is None:
            return self._page("Not a request of this demo", "<p>Go back and begin the login again.</p>", 400)
        hidden = "".join(f'<input type="hidden" name="{name}" value="{html.escape(value)}">' for name, value in asked.items())
        people = "".join(
            f'<form method="post" action="{PATH}/authorize">{hidden}<input type="hidden" name="place" value="{place}">'
            f"<h2>{html.escape(citizen.name)}</h2><p>{html.escape(citizen.story)}</p>"
            f'<button class="govuk-button" name="how" value="strong">Log in with card and PIN'
            f'<span class="govuk-visually-hidden"> as {html.escape(citizen.name)}</span></button> '
            f'<button class="govuk-button govuk-button--secondary" name="how" value="weak">With a password alone'
            f'<span class="govuk-visually-hidden"> as {html.escape(citizen.name)}</span></button></form>'
            for place, citizen in enumerate(self.citizens())
        )
        return self._page("Who are you today?", people or "<p>This demo has nobody to log in as yet.</p>")

    def _chosen(self, form: Mapping[str, str]) -> Answer:
        asked = self._asked(form)
        people = self.citizens()
        place = form.get("place", "")
        if asked is None or not place.isdigit() or int(place) >= len(people):
            return self._page("Not a request of this demo", "<p>Go back and begin the login again.</p>", 400)
        claims = {
            "exp": int(time.time()) + CODE_S,
            "jti": secrets.token_hex(8),
            "number": people[int(place)].personal_number,
            "name": people[int(place)].name,
            "nonce": asked["nonce"],
            "challenge": asked["code_challenge"],
            "acr": STRONG if form.get("how") == "strong" else WEAK,
        }
        code = jwt.encode({"alg": "HS256"}, claims, self._code_key)
        address = f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self._issuer})}"
        return 303, "text/plain", b"", {"location": address}

    def _token(self, form: Mapping[str, str]) -> Answer:
        try:
            code = jwt.decode(form.get("code", ""), self._code_key, algorithms=["HS256"]).claims
        except (JoseError, ValueError):
            return self._json({"error": "invalid_grant"}, 400)
        verifier = form.get("code_verifier", "").encode()
        challenge = urlsafe_b64encode(hashlib.sha256(verifier).digest()).decode()
        fits = (
            code["exp"] >= time.time()
            and hmac.compare_digest(challenge, str(code["challenge"]))
            and form.get("client_id") == DEMO_CLIENT
            and form.get("redirect_uri") == self._back
        )
        if not fits:
            return self._json({"error": "invalid_grant"}, 400)
        now = int(time.time())
        access = secrets.token_urlsafe(24)
        claims = {
            "iss": self._issuer,
            "aud": DEMO_CLIENT,
            "iat": now,
            "exp": now + TOKEN_S,
            "auth_time": now,
            "nonce": code["nonce"],
            "sub": hashlib.sha256(b"annul demo subject\0" + str(code["number"]).encode()).hexdigest()[:32],
            "personal_number": code["number"],
            "name": code["name"],
            "acr": code["acr"],
        }
        token = jwt.encode({"alg": "Ed25519", "kid": self._kid}, claims, self._key, algorithms=["Ed25519"])
        return self._json({"access_token": access, "token_type": "Bearer", "expires_in": TOKEN_S, "id_token": token})

    @staticmethod
    def _json(value: Any, status: int = 200) -> Answer:
        return status, "application/json", msgspec.json.encode(value), {}

    @staticmethod
    def _page(title: str, body: str, status: int = 200) -> Answer:
        page = _PAGE.replace("TITLE", title).replace("BODY", body)
        return status, "text/html; charset=utf-8", page.encode(), {}


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title><link rel="stylesheet" href="/static/govuk.css"><link rel="stylesheet" href="/static/annul.css"></head>
<body class="column"><header class="top"><div class="inner"><span class="brand">Identity of Utopia</span>
<p class="place">demo: a real login flow, fictional people</p></div></header>
<main id="main"><h1>TITLE</h1>BODY</main></body></html>
"""


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > BODY_MAX or not message.get("more_body"):
            return body[:BODY_MAX]
