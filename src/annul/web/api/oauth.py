"""Give access tokens to programs: OAuth 2.0 client credentials, the client proving itself with a signed assertion.

    POST /v1/oauth/token   grant_type=client_credentials
                           client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer
                           client_assertion=<JWT signed with the client's private key>

The assertion is accepted by these steps, in this order: 1 it is a JWT of an allowed algorithm; 2 `iss` equals `sub` and names
a client with registered keys; 3 the signature holds under one of them; 4 `aud` is this server; 5 it has not expired, is not
from the future and does not live longer than an hour; 6 its `jti` was not used before (on any worker).

Source: RFC 6749 sections 4.4 and 5, RFC 7523, RFC 7521, RFC 8414, RFC 8725.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from annul.errors import AnnulError
from annul.registry.parties.client_keys import algorithms_of
from annul.times import SECOND_US
from annul.web.door.call import Call, Reply, Route, get, post, tagged
from annul.web.door.tokens import TOKEN_SECONDS, AccessTokens

if TYPE_CHECKING:
    from annul.web.door.office import Office

ASSERTION_SECONDS_MAX: Final = 3600
"""Longest life of a client assertion, and so the time its `jti` is remembered; an hour is what stock clients state."""

LEEWAY_SECONDS: Final = 10
"""Clock difference that is forgiven."""

JTI_MAX: Final = 128
ASSERTION_MAX: Final = 4096
ALGORITHMS: Final = ("Ed25519", "EdDSA", "ES256", "ES384", "RS256", "PS256")
"""Signature algorithms of assertions. Symmetric ones and `none` are never read. Source: RFC 8725 section 3.1."""

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_KINDS: Final[dict[str, Any]] = {"OKP": OKPKey, "EC": ECKey, "RSA": RSAKey}
TOKEN_PATH: Final = "/v1/oauth/token"  # noqa: S105 - an address
RefusalCode = Literal["invalid_request", "invalid_client", "invalid_scope", "unsupported_grant_type"]


class TokenRequest(msgspec.Struct):
    """Form of the token request. Unknown fields are ignored, as RFC 6749 section 3.2 asks.

    Args:
        grant_type: `client_credentials`.
        client_assertion_type: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`.
        client_assertion: JWT that the client signed (RFC 7523).
        client_id: id of the party; may be left out, the assertion names it.
        scope: leave it out: what a token may do is the party's agreement.
    """

    grant_type: str = ""
    client_assertion_type: str = ""
    client_assertion: str = ""
    client_id: str = ""
    scope: str = ""


class TokenAnswer(msgspec.Struct):
    """Answer of the token endpoint.

    Args:
        access_token: the token, sent as `Authorization: Bearer …`.
        token_type: `Bearer`.
        expires_in: seconds for which the token counts.
    """

    access_token: str
    token_type: str
    expires_in: int


class TokenRefusal(msgspec.Struct):
    """Why there is no token. Source: RFC 6749 section 5.2.

    Args:
        error: error code of RFC 6749, section 5.2.
        error_description: what is wrong and how to mend it, in words.
    """

    error: RefusalCode
    error_description: str


class ServerMetadata(msgspec.Struct):
    """What a client needs to know of this authorisation server. Source: RFC 8414 section 2.

    Args:
        issuer: address of the register; `aud` of an assertion.
        token_endpoint: address of the token endpoint.
        grant_types_supported: grants that the token endpoint takes.
        response_types_supported: empty: there is no authorisation endpoint.
        token_endpoint_auth_methods_supported: how a client proves itself.
        token_endpoint_auth_signing_alg_values_supported: algorithms that an assertion may be signed with.
    """

    issuer: str
    token_endpoint: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]


class Refused(Exception):
    """The token request is refused with an OAuth error code and one sentence.

    The status is 400 throughout: 401 asks for a challenge, which no client that proves itself by an assertion can answer, and
    which hides the description from those that look for one. Source: RFC 6749 section 5.2.
    """

    def __init__(self, error: RefusalCode, description: str) -> None:
        super().__init__(description)
        self.refusal = TokenRefusal(error, description)


async def token(office: Office, call: Call) -> Any:
    """Answer `POST /v1/oauth/token`; errors have the form of RFC 6749 section 5.2."""
    try:
        client_id = await _authenticate(office, call.body)
    except Refused as refused:
        headers = {"cache-control": "no-store", "pragma": "no-cache"}
        return Reply(msgspec.json.encode(refused.refusal), "application/json", 400, headers)
    return TokenAnswer(AccessTokens(office).issue(client_id), "Bearer", TOKEN_SECONDS)


async def _authenticate(office: Office, form: TokenRequest) -> str:
    if not form.grant_type:
        raise Refused("invalid_request", "The grant_type is missing: use client_credentials.")
    if form.grant_type != "client_credentials":
        raise Refused("unsupported_grant_type", "Use grant_type=client_credentials.")
    if form.client_assertion_type != ASSERTION_TYPE:
        raise Refused("invalid_request", f"Use client_assertion_type={ASSERTION_TYPE}.")
    if not 1 <= len(form.client_assertion) <= ASSERTION_MAX:
        raise Refused("invalid_request", "The client_assertion is empty or too long.")
    if form.scope:
        raise Refused("invalid_scope", "There are no scopes: the agreement says what a client may do.")
    claims = _verified(office, form.client_assertion)
    client_id = str(claims["sub"])
    if form.client_id and form.client_id != client_id:
        raise Refused("invalid_client", "The client_id is not that of the assertion.")
    try:
        await office.parties.use_assertion(client_id, str(claims["jti"]), int(claims["exp"] + LEEWAY_SECONDS) * SECOND_US)
    except AnnulError as error:
        if error.code in ("conflict", "not-authorised"):
            raise Refused("invalid_client", "The assertion was used before: make a new one with its own jti.") from None
        raise
    return client_id


def _verified(office: Office, assertion: str) -> dict[str, Any]:
    """Return the claims of an assertion that passed steps 1 to 5."""
    bad = Refused("invalid_client", "The assertion does not prove this client.")
    try:
        unread = jws.extract_compact(assertion.encode("ascii"))
        subject = msgspec.json.decode(unread.payload or b"", type=dict[str, Any]).get("sub")
        algorithm = unread.headers().get("alg")
    except (JoseError, ValueError, msgspec.MsgspecError):
        raise Refused("invalid_client", "The assertion is not a signed JWT.") from None
    if algorithm not in ALGORITHMS:
        raise Refused("invalid_client", f"Sign the assertion with one of {', '.join(ALGORITHMS)}.")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 24:
        raise bad
    try:
        jwks = office.parties.client_keys(subject)
    except AnnulError:
        raise bad from None
    claims = _signed_claims(assertion, jwks, str(algorithm))
    if claims is None:
        raise bad
    now = office.now_us() // SECOND_US
    base = office.settings.base_url
    registry = jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": subject},
        sub={"essential": True, "value": subject},
        aud={"essential": True, "values": [base, base + TOKEN_PATH]},
        exp={"essential": True},
        jti={"essential": True},
    )
    try:
        registry.validate(claims)
    except JoseError:
        raise Refused("invalid_client", "Check iss, sub, aud, exp, nbf, iat and jti of the assertion.") from None
    if claims["exp"] > now + ASSERTION_SECONDS_MAX + LEEWAY_SECONDS or len(claims["jti"]) > JTI_MAX:
        raise Refused("invalid_client", f"The assertion must end within {ASSERTION_SECONDS_MAX} seconds.")
    return claims


def _signed_claims(assertion: str, jwks: list[dict[str, Any]], algorithm: str) -> dict[str, Any] | None:
    """Return the claims when one of the client's keys signed them with the key's own algorithm, else None."""
    for jwk in jwks:
        if algorithm not in algorithms_of(jwk):
            continue
        plain = {name: value for name, value in jwk.items() if name not in ("alg", "kid")}
        try:
            key = _KINDS[str(jwk["kty"])].import_key(plain)
            return jwt.decode(assertion, key, algorithms=[algorithm]).claims
        except (JoseError, ValueError):
            continue
    return None


async def metadata(office: Office, _call: Call) -> ServerMetadata:
    """Answer `GET /.well-known/oauth-authorization-server`."""
    base = office.settings.base_url
    return ServerMetadata(
        issuer=base,
        token_endpoint=base + TOKEN_PATH,
        grant_types_supported=["client_credentials"],
        response_types_supported=[],
        token_endpoint_auth_methods_supported=["private_key_jwt"],
        token_endpoint_auth_signing_alg_values_supported=list(ALGORITHMS),
    )


ROUTES: Final[tuple[Route, ...]] = tagged(
    "credentials",
    post(
        TOKEN_PATH,
        "public",
        token,
        "Get an access token (client credentials, private_key_jwt)",
        body=TokenRequest,
        returns=TokenAnswer,
        form=True,
    ),
    get(
        "/.well-known/oauth-authorization-server",
        "public",
        metadata,
        "Read the authorisation server's metadata",
        returns=ServerMetadata,
    ),
)
