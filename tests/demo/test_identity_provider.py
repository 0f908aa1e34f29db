"""The demo's identity provider speaks OpenID Connect as its papers say: discovery, code with PKCE, a signed token."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from joserfc.util import urlsafe_b64encode

from annul import keys as key_file
from annul.demo.identity_provider import CODE_S, PATH, STRONG, TOKEN_S, WEAK, IdentityProvider
from annul.demo.record import FILE
from annul.home import Home
from annul.keys import Keys
from annul.web.door.oidc import BACK, DEMO_CLIENT

BASE = "https://register.example"
PEOPLE = [
    {"name": "林小雨 (Lin Xiaoyu)", "personal_number": "110101199003070097", "story": "Her passport was stolen."},
    {"name": "<b>Chen</b> & Co", "personal_number": "110101199003070118", "story": ""},
]
VERIFIER = "a-code-verifier-of-43-characters-at-the-least-1234"
ASKED = {
    "client_id": DEMO_CLIENT,
    "redirect_uri": BASE + BACK,
    "state": "st&te",
    "nonce": "n-1",
    "code_challenge_method": "S256",
    "code_challenge": urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode(),
    "response_type": "code",
}

Call = Callable[..., httpx.Response]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Keys of a home of its own, with a demo.json of two people."""
    (tmp_path / FILE).write_text(json.dumps({"citizens": PEOPLE}))
    return key_file.create(Home(tmp_path))


def calling(provider: IdentityProvider) -> Call:
    """Return a function that sends one request to the provider in memory."""

    def call(method: str, path: str, **more: object) -> httpx.Response:
        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(provider), base_url=BASE) as client:
                return await client.request(method, PATH + path, **more)  # type: ignore[arg-type]

        return asyncio.run(send())

    return call


@pytest.fixture
def call(tmp_path: Path, keys: Keys) -> Call:
    """Call one provider."""
    return calling(IdentityProvider(Home(tmp_path), keys, BASE))


def code_of(call: Call, place: int = 0, how: str = "strong", **changed: str) -> str:
    """Choose somebody and return the code."""
    sent = call("POST", "/authorize", data=ASKED | {"place": str(place), "how": how} | changed)
    assert sent.status_code == 303, sent.text
    return parse_qs(urlsplit(sent.headers["location"]).query)["code"][0]


def exchange(call: Call, code: str, changed: Mapping[str, str] = MappingProxyType({})) -> httpx.Response:
    """Exchange a code for a token."""
    body = {"grant_type": "authorization_code", "client_id": DEMO_CLIENT, "redirect_uri": BASE + BACK}
    return call("POST", "/token", data=body | {"code": code, "code_verifier": VERIFIER, **changed})


def test_discovery_names_addresses_that_answer(call: Call) -> None:
    """Every address lies under the issuer; no private part of a key is published."""
    found = call("GET", "/.well-known/openid-configuration").json()
    assert found["issuer"] == BASE + PATH
    assert found["code_challenge_methods_supported"] == ["S256"]
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        assert found[name].startswith(found["issuer"] + "/")
    (key,) = call("GET", found["jwks_uri"].removeprefix(BASE + PATH)).json()["keys"]
    assert (key["kty"], key["crv"], key["use"]) == ("OKP", "Ed25519", "sig")
    assert "d" not in key


def test_the_whole_flow_ends_in_a_token_that_the_published_key_verifies(call: Call) -> None:
    """Issuer, audience, nonce, times, name and number; the state comes back as it was sent, with who sends it."""
    page = call("GET", "/authorize", params=ASKED)
    assert page.status_code == 200
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text.split("</form>")[0]))
    sent = call("POST", "/authorize", data={**ASKED, "place": hidden["place"], "how": "strong"})
    back = urlsplit(sent.headers["location"])
    query = parse_qs(back.query)
    assert f"{back.scheme}://{back.netloc}{back.path}" == BASE + BACK
    assert (query["state"], query["iss"]) == ([ASKED["state"]], [BASE + PATH])
    told = exchange(call, query["code"][0]).json()
    assert (told["token_type"], told["expires_in"]) == ("Bearer", TOKEN_S)
    published = KeySet.import_key_set(call("GET", "/jwks").json())
    token = jwt.decode(told["id_token"], published, algorithms=["Ed25519"])
    claims = token.claims
    assert (claims["iss"], claims["aud"], claims["nonce"], claims["acr"]) == (BASE + PATH, DEMO_CLIENT, "n-1", STRONG)
    assert claims["exp"] - claims["iat"] == TOKEN_S
    assert abs(claims["auth_time"] - time.time()) < 60
    assert (claims["personal_number"], claims["name"]) == (PEOPLE[0]["personal_number"], PEOPLE[0]["name"])
    assert PEOPLE[0]["personal_number"] not in claims["sub"]


def test_a_subject_is_one_person_and_a_password_is_weak(call: Call) -> None:
    """The same person has the same subject each time, another one another; without card and PIN the level is low."""

    def claims(place: int, how: str) -> dict[str, str]:
        published = KeySet.import_key_set(call("GET", "/jwks").json())
        told = exchange(call, code_of(call, place, how)).json()
        return jwt.decode(told["id_token"], published, algorithms=["Ed25519"]).claims

    first, again, other = claims(0, "strong"), claims(0, "weak"), claims(1, "anything else")
    assert first["sub"] == again["sub"] != other["sub"]
    assert [each["acr"] for each in (first, again, other)] == [STRONG, WEAK, WEAK]


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "somebody-else"},
        {"redirect_uri": "https://evil.example/back"},
        {"redirect_uri": BASE + BACK + "/x"},
        {"code_challenge": ""},
        {"code_challenge_method": "plain"},
    ],
    ids=str,
)
def test_a_request_of_somebody_else_is_never_sent_back(changed: dict[str, str], call: Call) -> None:
    """Neither the page nor the choice leads anywhere: no open redirect, no code without PKCE."""
    for answer in (
        call("GET", "/authorize", params=ASKED | changed),
        call("POST", "/authorize", data=ASKED | {"place": "0", "how": "strong"} | changed),
    ):
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "Go back" in answer.text


@pytest.mark.parametrize("place", ["2", "-1", "", "x", "0.0"])
def test_nobody_is_nobody(place: str, call: Call) -> None:
    """A place that no one of the people has is refused."""
    assert call("POST", "/authorize", data=ASKED | {"place": place, "how": "strong"}).status_code == 400


@pytest.mark.parametrize(
    "changed",
    [
        {"code": ""},
        {"code": "a.b.c"},
        {"code_verifier": "another"},
        {"code_verifier": ""},
        {"client_id": "somebody-else"},
        {"redirect_uri": "https://evil.example/back"},
    ],
    ids=str,
)
def test_a_code_is_of_no_use_to_another(changed: dict[str, str], call: Call) -> None:
    """Without the verifier, for another client or another address there is no token, and the reason is the standard's."""
    refused = exchange(call, code_of(call), changed)
    assert (refused.status_code, refused.json()) == (400, {"error": "invalid_grant"})


def test_a_code_lives_for_a_minute(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within it any worker exchanges it; after it nobody does."""
    code = code_of(call)
    now = time.time()
    monkeypatch.setattr("annul.demo.identity_provider.time.time", lambda: now + CODE_S - 5)
    assert exchange(call, code).status_code == 200
    monkeypatch.setattr("annul.demo.identity_provider.time.time", lambda: now + CODE_S + 5)
    assert exchange(call, code).status_code == 400


def test_a_code_of_another_register_is_refused_and_every_worker_has_the_same_key(
    call: Call, keys: Keys, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Keys come from the key file: a second worker takes the code, a register with other keys does not."""
    code = code_of(call)
    assert exchange(calling(IdentityProvider(Home(tmp_path), keys, BASE)), code).status_code == 200
    elsewhere = Home(tmp_path_factory.mktemp("elsewhere"))
    assert exchange(calling(IdentityProvider(elsewhere, key_file.create(elsewhere), BASE)), code).status_code == 400


def test_the_page_shows_people_as_text_and_lets_nothing_else_in(call: Call) -> None:
    """Names are escaped, the state too; scripts and frames are forbidden, nothing is kept by a cache."""
    page = call("GET", "/authorize", params=ASKED | {"state": '"><script>x</script>'})
    assert "林小雨" in page.text
    assert "&lt;b&gt;Chen&lt;/b&gt; &amp; Co" in page.text
    assert "<script>" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("content", [None, "{", "[]", '{"citizens": [{"name": 1}]}', "{}"])
def test_a_demo_without_people_says_so(content: str | None, call: Call, tmp_path: Path) -> None:
    """Missing or damaged, demo.json gives a page without buttons, not an error of ours."""
    (tmp_path / FILE).unlink()
    if content is not None:
        (tmp_path / FILE).write_text(content)
    page = call("GET", "/authorize", params=ASKED)
    assert page.status_code == 200
    assert "nobody to log in as" in page.text
    assert "<button" not in page.text


@pytest.mark.parametrize(("method", "path"), [("GET", "/token"), ("GET", "/"), ("POST", "/jwks2"), ("PUT", "/token")])
def test_what_is_not_there_is_not_found(method: str, path: str, call: Call) -> None:
    """In JSON, with the same headers as everything else."""
    answer = call(method, path)
    assert answer.status_code == 404
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_form_without_end_is_cut(call: Call) -> None:
    """More than eight kilobytes are not read: what lies beyond is not there, and the code is not given."""
    body = "x=" + "y" * 9_000 + "&client_id=" + DEMO_CLIENT
    assert call("POST", "/authorize", content=body).status_code == 400
