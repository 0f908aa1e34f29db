"""Client credentials with private_key_jwt: what proves a client, and each way of cheating."""

from __future__ import annotations

import base64
import json
import time
import uuid
import warnings
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from annul.web.api import oauth
from tests.web.conftest import House

FORM = {"grant_type": "client_credentials", "client_assertion_type": oauth.ASSERTION_TYPE}
KEY = OKPKey.generate_key("Ed25519")
P256 = ECKey.generate_key("P-256")
P384 = ECKey.generate_key("P-384")
RSA = RSAKey.generate_key(2048)
STRANGER = OKPKey.generate_key("Ed25519")


@pytest.fixture(scope="module")
def client(house: House) -> str:
    """A bank that has registered an Ed25519 and a P-256 key."""
    agreement = {"purposes": ["payment"]}
    body = {"id": "oauth-bank", "name": "OAuth Bank", "role": "relying_party", "agreement": agreement}
    assert house.call("POST", "/v1/parties", "supervisor", json=body).status_code == 201
    keys = {"keys": [key.as_dict(private=False) for key in (KEY, P256, P384, RSA)]}
    assert house.call("POST", "/v1/parties/oauth-bank/client-keys", "supervisor", json=keys).status_code == 200
    return "oauth-bank"


def _assertion(house: House, client: str, *, key: Any = KEY, algorithm: str = "Ed25519", **claims: Any) -> str:
    now = int(time.time())
    made = {"iss": client, "sub": client, "aud": house.url, "exp": now + 60, "iat": now, "jti": str(uuid.uuid4())} | claims
    made = {name: value for name, value in made.items() if value is not None}
    return jwt.encode({"alg": algorithm}, made, key, algorithms=[algorithm])


def _token(house: House, assertion: str, **form: str) -> httpx.Response:
    return house.http.post(oauth.TOKEN_PATH, data=FORM | {"client_assertion": assertion} | form)


def _ask(house: House, token: str) -> httpx.Response:
    question = {"document": house.passport(), "purpose": "payment", "channel": "remote"}
    return house.http.post("/v1/checks", json=question, headers={"authorization": f"Bearer {token}"})


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(KEY, "Ed25519"), (KEY, "EdDSA"), (P256, "ES256"), (P384, "ES384"), (RSA, "RS256"), (RSA, "PS256")],
)
def test_a_client_proves_itself_and_asks(house: House, client: str, key: Any, algorithm: str) -> None:
    """The token works at the check path and behind it, under the client's agreement."""
    answer = _token(house, _assertion(house, client, key=key, algorithm=algorithm))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", oauth.TOKEN_SECONDS)
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["access_token"]
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header == {"typ": "at+jwt", "alg": "Ed25519"}
    assert _ask(house, token).json()["outcome"] == "PASS"
    listed = house.http.get("/v1/checks", headers={"authorization": f"Bearer {token}"})
    assert listed.status_code == 200


def test_the_metadata_says_how(house: House) -> None:
    """RFC 8414: a client finds the token endpoint and the algorithms."""
    said = house.http.get("/.well-known/oauth-authorization-server").json()
    assert (said["issuer"], said["token_endpoint"]) == (house.url, house.url + oauth.TOKEN_PATH)
    assert said["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]


def test_an_assertion_is_good_once(house: House, client: str) -> None:
    """The jti is remembered by all workers."""
    assertion = _assertion(house, client)
    assert _token(house, assertion).status_code == 200
    again = _token(house, assertion)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_client")


def _unsigned(house: House, client: str) -> str:
    _, body, _ = _assertion(house, client).split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{body}."


Cheat = Callable[[House, str], str]
CHEATS: dict[str, Cheat] = {
    "signed by a stranger": lambda house, client: _assertion(house, client, key=STRANGER),
    "for another server": lambda house, client: _assertion(house, client, aud="https://elsewhere.example"),
    "expired": lambda house, client: _assertion(house, client, exp=int(time.time()) - 60),
    "living too long": lambda house, client: _assertion(house, client, exp=int(time.time()) + 2 * 3600),
    "without an end": lambda house, client: _assertion(house, client, exp=None),
    "without a jti": lambda house, client: _assertion(house, client, jti=None),
    "with a jti of a kilobyte": lambda house, client: _assertion(house, client, jti="x" * 1000),
    "issued by another": lambda house, client: _assertion(house, client, iss="bank"),
    "of a client nobody knows": lambda house, client: _assertion(house, "nobody"),
    "of a party without keys": lambda house, client: _assertion(house, "bank"),
    "from the future": lambda house, client: _assertion(house, client, iat=int(time.time()) + 120, exp=int(time.time()) + 180),
    "signed with the public key as a secret": lambda house, client: _assertion(
        house, client, key=OctKey.import_key(KEY.as_dict(private=False)["x"].encode()), algorithm="HS256"
    ),
    "not signed at all": _unsigned,
    "not a token": lambda house, client: "a.b.c",
    "with an end that is no number": lambda house, client: _assertion(house, client, exp="tomorrow"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_an_assertion_is_refused_when_it_is(house: House, client: str, cheat: str) -> None:
    """400 invalid_client, whatever is wrong with the proof, and no challenge that a client would take for one to answer."""
    answer = _token(house, CHEATS[cheat](house, client))
    assert "www-authenticate" not in answer.headers
    assert answer.json()["error_description"]
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_assertion_type": "x"}, "invalid_request"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"client_assertion": ""}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
    ],
)
def test_a_malformed_token_request_has_the_errors_of_the_standard(
    house: House, client: str, form: dict[str, str], error: str
) -> None:
    """RFC 6749 section 5.2."""
    answer = _token(house, _assertion(house, client), **form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_changed_access_token_is_refused(house: House, client: str) -> None:
    """One changed character in the signature, and a token of the right form that we did not sign."""
    token = _token(house, _assertion(house, client)).json()["access_token"]
    head, body, mac = token.split(".")
    changed = f"{head}.{body}.{'A' if mac[0] != 'A' else 'B'}{mac[1:]}"
    claims = {"iss": house.url, "aud": house.url, "sub": client, "client_id": client, "exp": int(time.time()) + 600}
    forged = jwt.encode({"alg": "Ed25519", "typ": "at+jwt"}, claims, STRANGER, algorithms=["Ed25519"])
    for bad in (changed, forged, "a.b.c"):
        assert _ask(house, bad).status_code == 401
        assert house.http.get("/v1/checks", headers={"authorization": f"Bearer {bad}"}).status_code == 401


def test_a_closed_client_is_refused_although_its_token_still_lives(house: House) -> None:
    """The token names the client only; what it may do is looked up each time."""
    body = {"id": "closing", "name": "C", "role": "relying_party", "agreement": {"purposes": ["payment"]}}
    house.call("POST", "/v1/parties", "supervisor", json=body)
    house.call("POST", "/v1/parties/closing/client-keys", "supervisor", json={"keys": [KEY.as_dict(private=False)]})
    token = _token(house, _assertion(house, "closing")).json()["access_token"]
    assert _ask(house, token).status_code == 200
    assert house.call("POST", "/v1/parties/closing/client-keys", "supervisor", json={"keys": []}).status_code == 200
    assert _ask(house, token).status_code == 401


def test_a_private_key_is_not_taken(house: House, client: str) -> None:
    """Somebody who sends us the private part has made a mistake: refuse it, and do not repeat it."""
    keys = {"keys": [KEY.as_dict(private=True)]}
    answer = house.call("POST", f"/v1/parties/{client}/client-keys", "supervisor", json=keys)
    assert answer.status_code == 400
    assert KEY.as_dict(private=True)["d"] not in answer.text


@pytest.mark.parametrize("left_out", sorted(FORM))
def test_a_form_that_leaves_something_out_is_answered_as_the_standard_says(house: House, left_out: str) -> None:
    """JSON with an error code, no problem document: that is what stock clients read."""
    form = {name: value for name, value in FORM.items() if name != left_out}
    answer = house.http.post(oauth.TOKEN_PATH, data=form | {"client_assertion": "x"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.headers["content-type"] == "application/json"


def test_a_stock_client_gets_its_token_as_it_comes(house: House, client: str) -> None:
    """Authlib's PrivateKeyJWT with its own defaults: an hour's life, whatever algorithm; then a check."""
    for key, alg in ((KEY, "EdDSA"), (P256, "ES256"), (RSA, "RS256")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            session = OAuth2Client(client_id=client, client_secret=key, token_endpoint_auth_method="private_key_jwt")
            session.register_client_auth_method(PrivateKeyJWT(house.url + oauth.TOKEN_PATH, alg=alg))
            token = session.fetch_token(house.url + oauth.TOKEN_PATH, grant_type="client_credentials")
        assert _ask(house, token["access_token"]).status_code == 200, alg


def _weak_rsa() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RSAKey.generate_key(1024).as_dict(private=False)


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ({"kty": "EC"}, ""),
        ({"kty": "oct", "k": "c2VjcmV0"}, ""),
        ({"kty": "OKP", "crv": "Ed25519", "x": "short"}, ""),
        ({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}, ""),
        (ECKey.generate_key("P-521").as_dict(private=False), ""),
        (OKPKey.generate_key("X25519").as_dict(private=False), ""),
        (P256.as_dict(private=False) | {"alg": "ES384"}, "/alg"),
        (P256.as_dict(private=False) | {"use": "enc"}, "/use"),
        (P256.as_dict(private=False) | {"kid": ""}, "/kid"),
        (_weak_rsa(), ""),
    ],
    ids=["no curve", "secret", "short", "no point", "P-521", "X25519", "other curve", "encryption", "empty kid", "weak RSA"],
)
def test_a_key_that_can_never_sign_is_refused_when_it_is_given(
    house: House, client: str, key: dict[str, Any], where: str
) -> None:
    """With its place and what to do; the keys that count go on counting."""
    before = house.call("GET", f"/v1/parties/{client}/client-keys", "supervisor").json()
    for path, body, place in (("client-keys", {"keys": [key]}, "/keys/0"), ("client-keys/add", {"key": key}, "/key")):
        refused = house.call("POST", f"/v1/parties/{client}/{path}", "supervisor", json=body)
        assert refused.status_code == 400, refused.text
        assert refused.json()["where"] == place + where
        assert refused.json()["mend"]
    assert house.call("GET", f"/v1/parties/{client}/client-keys", "supervisor").json() == before


def test_keys_are_read_back_added_and_removed_one_by_one(house: House) -> None:
    """A change of keys without a gap: the new one is added, both sign, the old one is removed."""
    body = {"id": "rotating", "name": "R", "role": "relying_party", "agreement": {"purposes": ["payment"]}}
    assert house.call("POST", "/v1/parties", "supervisor", json=body).status_code == 201
    at = "/v1/parties/rotating/client-keys"
    old = KEY.as_dict(private=False) | {"kid": "old"}
    assert house.call("POST", f"{at}/add", "supervisor", json={"key": old}).status_code == 200
    assert house.call("POST", f"{at}/add", "supervisor", json={"key": old}).status_code == 400
    assert house.call("POST", f"{at}/add", "supervisor", json={"key": P256.as_dict(private=False)}).status_code == 200
    for key, alg in ((KEY, "Ed25519"), (P256, "ES256")):
        assert _token(house, _assertion(house, "rotating", key=key, algorithm=alg)).status_code == 200
    shown = house.call("GET", at, "supervisor").json()
    assert [key["kid"] for key in shown["keys"]] == ["old", P256.thumbprint()]
    assert house.call("GET", at, "bank").status_code == 403
    own = house.http.get(
        "/v1/client-keys",
        headers={"authorization": f"Bearer {_token(house, _assertion(house, 'rotating')).json()['access_token']}"},
    )
    assert own.json() == shown
    assert house.call("POST", f"{at}/nobody/remove", "supervisor").status_code == 404
    assert house.call("POST", f"{at}/old/remove", "supervisor").status_code == 200
    assert _token(house, _assertion(house, "rotating", algorithm="Ed25519")).status_code == 400
    assert _token(house, _assertion(house, "rotating", key=P256, algorithm="ES256")).status_code == 200


def test_a_key_that_names_its_algorithm_signs_with_no_other(house: House) -> None:
    """RS256 or PS256 is the party's choice."""
    body = {"id": "choosing", "name": "C", "role": "relying_party", "agreement": {"purposes": ["payment"]}}
    assert house.call("POST", "/v1/parties", "supervisor", json=body).status_code == 201
    key = RSA.as_dict(private=False) | {"alg": "PS256"}
    assert house.call("POST", "/v1/parties/choosing/client-keys", "supervisor", json={"keys": [key]}).status_code == 200
    assert _token(house, _assertion(house, "choosing", key=RSA, algorithm="PS256")).status_code == 200
    assert _token(house, _assertion(house, "choosing", key=RSA, algorithm="RS256")).status_code == 400
