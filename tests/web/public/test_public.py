"""What everybody may see: keys, receipts, sealed logs, health, counts, pages and headers."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from typing import Any

import pytest

from annul.client.logs import open_sealed, verify_entry, verify_grown
from annul.proof.checkpoint import Checkpoint, Verifier, open_checkpoint, split_note
from annul.proof.cosignature import Cosigner
from annul.proof.merkle import leaf_hash, root, verify_consistency, verify_inclusion
from annul.proof.tiles import TileReader, unpack_bundle
from annul.proof.window import parse_statement
from tests.proof.verifier import VERIFIER, ask
from tests.waiting import until
from tests.web.conftest import House

PAGES = ["/", "/receipts/verify", "/counter/sign-in", "/problems/over-quota"]


@pytest.fixture(scope="module")
def receipt(house: House) -> dict[str, Any]:
    """A receipt of a check."""
    return house.ask(house.passport())["receipt"]


def test_a_receipt_is_proved_to_anybody(house: House, receipt: dict[str, Any]) -> None:
    """No credential is needed; what it says is told in words."""
    proved = house.call("POST", "/v1/receipts/verify", json={"receipt": receipt}).json()
    assert proved["proved"] is True
    assert (proved["says"]["party"], proved["says"]["outcome"]) == ("bank", "PASS")


@pytest.mark.parametrize("member", ["leaf", "statement", "signature", "path"])
def test_a_changed_receipt_is_refused_with_the_failing_step(house: House, receipt: dict[str, Any], member: str) -> None:
    """One flipped bit anywhere: 422 with the step, and no seal on the page."""
    raw = bytearray(base64.b64decode(receipt[member])) or bytearray(32)
    raw[len(raw) // 2] ^= 1
    changed = receipt | {member: base64.b64encode(raw).decode()}
    answer = house.call("POST", "/v1/receipts/verify", json={"receipt": changed})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/verification-failed")
    assert answer.json()["step"] in range(1, 7)
    page = house.http.post("/receipts/verify", data={"receipt": str(changed).replace("'", '"')})
    assert page.status_code == 422
    assert 'class="seal"' not in page.text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', "x" * 20_000])
def test_the_receipt_page_takes_anything_and_proves_nothing(house: House, text: str) -> None:
    """Bad pastes are told, never a server error."""
    page = house.http.post("/receipts/verify", data={"receipt": text})
    assert page.status_code in (413, 422)
    assert 'class="seal"' not in page.text


def test_the_verifier_can_be_kept(house: House, receipt: dict[str, Any]) -> None:
    """One page with the program and the keys in it, to be saved; it asks nobody, and proves a receipt of this register."""
    page = house.http.get("/receipts/verifier")
    assert page.headers["content-disposition"] == 'attachment; filename="annul-verifier.html"'
    assert not re.search(r"\ssrc=|\shref=|https?://(?!annul)", page.text)
    assert page.text.count("</script") == 1
    assert VERIFIER.read_text(encoding="utf-8") in page.text
    keys = "\n".join(key["vkey"] for key in house.call("GET", "/v1/keys").json()["keys"])
    assert keys in html.unescape(page.text)
    (answer,) = ask([["receipt", keys, {"json": receipt}]])
    assert (
        answer["proved"]["check"]
        == house.call("POST", "/v1/receipts/verify", json={"receipt": receipt}).json()["says"]["check"]
    )


def test_the_public_keys_are_those_that_sign(house: House, receipt: dict[str, Any]) -> None:
    """The key of the receipts has the id that receipts name."""
    keys = {key["name"]: key["vkey"] for key in house.call("GET", "/v1/keys").json()["keys"]}
    origin = house.office.keys.origin
    assert set(keys) == {"annul/receipts", f"{origin}/register", f"{origin}/checks"}
    assert Verifier.parse(keys["annul/receipts"]).key_id.hex() == receipt["key"]


@pytest.mark.parametrize("log", ["register", "checks"])
def test_the_log_can_be_followed_from_outside(house: House, log: str) -> None:
    """Checkpoint, tiles, and a proof of inclusion hold together by the public key alone."""
    house.ask(house.passport())
    keys = {key["name"]: key["vkey"] for key in house.call("GET", "/v1/keys").json()["keys"]}
    verifier = Verifier.parse(keys[f"{house.office.keys.origin}/{log}"])
    until(lambda: house.call("GET", f"/v1/log/{log}/checkpoint").status_code != 404, "the first seal")
    answer = house.call("GET", f"/v1/log/{log}/checkpoint")
    assert answer.headers["content-type"].startswith("text/plain")
    sealed = open_checkpoint(answer.content, [verifier], verifier.name)

    def read(path: str) -> bytes:
        got = house.call("GET", f"/v1/log/{log}/{path}", "supervisor")
        assert got.status_code == 200, path
        assert got.headers["content-type"] == "application/octet-stream"
        return got.content

    assert TileReader(read, sealed.size).root() == sealed.root
    proof = house.call("GET", f"/v1/log/{log}/proof?index=0").json()
    newest = open_checkpoint(proof["checkpoint"].encode(), [verifier], verifier.name)
    path = [base64.b64decode(step) for step in proof["path"]]
    leaf = base64.b64decode(proof["leaf_hash"])
    verify_inclusion(newest.root, newest.size, 0, leaf, path)
    width = min(256, sealed.size)
    entries = unpack_bundle(read(f"tile/entries/000{'' if width == 256 else f'.p/{width}'}"))
    assert leaf_hash(entries[0]) == leaf


@pytest.mark.parametrize("log", ["register", "checks"])
def test_a_log_proves_that_it_only_grew(house: House, log: str) -> None:
    """Every pair of sizes up to the newest checkpoint, also sizes that never had a checkpoint of their own."""
    for _ in range(3):
        house.ask(house.passport())
    keys = {key["name"]: key["vkey"] for key in house.call("GET", "/v1/keys").json()["keys"]}
    verifier = Verifier.parse(keys[f"{house.office.keys.origin}/{log}"])

    def newest() -> Checkpoint:
        return open_sealed(house.call("GET", f"/v1/log/{log}/checkpoint").content, [verifier])

    until(lambda: newest().size >= 3, "three sealed entries")
    size = newest().size
    width = "" if size >= 256 else f".p/{size}"
    tile = house.call("GET", f"/v1/log/{log}/tile/0/000{width}").content
    hashes = [tile[at : at + 32] for at in range(0, len(tile), 32)]
    for old in range(min(size, 20)):
        for new in {old, old + 1, (old + min(size, 256)) // 2, min(size, 256)}:
            told = house.call("GET", f"/v1/log/{log}/consistency?old={old}&new={new}").json()
            assert (told["log"], told["old"], told["new"]) == (log, old, new)
            proof = [base64.b64decode(step) for step in told["proof"]]
            verify_consistency(root(hashes[:old]), old, root(hashes[:new]), new, proof)
    now = house.call("GET", f"/v1/log/{log}/consistency?old=2").json()
    after = open_sealed(now["checkpoint"].encode(), [verifier])
    assert now["new"] == after.size
    before = Checkpoint(after.origin, 2, root(hashes[:2]))
    verify_grown(before, after, now["proof"])


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("old=-1", 422),
        ("old=x", 422),
        ("old=2&new=1", 400),
        ("old=1&new=999999999", 404),
        ("old=999999999", 404),
        ("old=1&more=1", 422),
    ],
)
def test_sizes_a_log_does_not_have_prove_nothing(house: House, query: str, status: int) -> None:
    """Refused with the parameter it is about; never a server error."""
    told = house.call("GET", f"/v1/log/register/consistency?{query}")
    assert told.status_code in {status, 400} if status == 422 else told.status_code == status


def test_a_receipt_leads_to_its_place_in_the_sealed_log(house: House, receipt: dict[str, Any]) -> None:
    """Asked with the worker and the window it states; the entry's leaf hash is that of its statement and signature."""
    verifiers = [house.office.keys.check_signer().verifier]
    statement, signature = (base64.b64decode(receipt[part]) for part in ("statement", "signature"))
    stated = parse_statement(statement)
    asked = f"/v1/log/checks/proof?worker={stated.worker}&window={stated.window}"
    until(lambda: house.call("GET", asked).status_code == 200, "the seal")
    proof = house.call("GET", asked).json()
    assert base64.b64decode(proof["leaf_hash"]) == leaf_hash(statement + signature)
    sealed = open_sealed(proof["checkpoint"].encode(), verifiers)
    verify_entry(sealed, proof["index"], proof["leaf_hash"], proof["path"])
    for query, status in (
        (f"worker={stated.worker}&window=999999", 404),
        ("worker=9&window=0", 404),
        ("worker=1", 400),
        ("", 400),
        ("index=0&worker=0&window=0", 400),
    ):
        assert house.call("GET", f"/v1/log/checks/proof?{query}").status_code == status, query
    assert house.call("GET", "/v1/log/register/proof?worker=0&window=0").status_code == 400


def test_a_cosigned_checkpoint_is_served_with_its_proofs(house: House) -> None:
    """`witnessed` serves the newest checkpoint that a witness cosigned, and proves up to it; there is none before."""
    home, log, query = house.settings.home, "register", "witnessed=true"
    for path in (f"checkpoint?{query}", f"proof?index=0&{query}", f"consistency?old=1&{query}"):
        assert house.call("GET", f"/v1/log/{log}/{path}").status_code == 404
    note = house.call("GET", f"/v1/log/{log}/checkpoint").content
    cosigner = Cosigner("w.example", bytes(range(32)), bytes(range(32)))
    kept = note + cosigner.cosign(split_note(note)[0], 1_795_442_400)
    home.witnessed(log).write_bytes(kept)
    house.report(house.passport())
    verifiers = [house.office.keys.register_signer().verifier]
    sealed = open_sealed(house.call("GET", f"/v1/log/{log}/checkpoint?{query}").content, verifiers, cosigner.keys, 1)
    until(lambda: open_sealed(house.call("GET", f"/v1/log/{log}/checkpoint").content, verifiers).size > sealed.size, "growth")
    proof = house.call("GET", f"/v1/log/{log}/proof?index=0&{query}").json()
    verify_entry(open_sealed(proof["checkpoint"].encode(), verifiers, cosigner.keys, 1), 0, proof["leaf_hash"], proof["path"])
    assert house.call("GET", f"/v1/log/{log}/consistency?old=1&{query}").json()["new"] == sealed.size
    home.witnessed(log).unlink()


def test_entries_are_not_public(house: House) -> None:
    """Hashes are for everybody, entries for supervisors."""
    assert house.call("GET", "/v1/log/register/tile/entries/000").status_code == 401
    assert house.call("GET", "/v1/log/register/tile/entries/000", "bank").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/../../../keys/secret.json",
        "tile/0/%2e%2e/%2e%2e/keys/secret.json",
        "tile/0/000.p/256",
        "tile/8/000",
        "tile/0/1",
        "tile/0/x001",
        "tile/0/x000/000",
        "tile/0/000.p/0",
    ],
)
def test_nothing_but_tiles_is_served_from_the_log(house: House, path: str) -> None:
    """A path that is not exactly a tile's is not found."""
    assert house.call("GET", f"/v1/log/register/{path}").status_code == 404


def test_an_entry_behind_the_checkpoint_has_no_proof_yet(house: House) -> None:
    """404 for an index the log does not have."""
    assert house.call("GET", "/v1/log/register/proof?index=999999999").status_code == 404


def test_health_and_readiness(house: House) -> None:
    """Readiness names what is missing; nothing is."""
    assert house.call("GET", "/healthz").json()["alive"] is True
    ready = house.call("GET", "/readyz")
    assert (ready.status_code, ready.json()["missing"], ready.json()["warnings"]) == (200, [], [])


def test_damage_is_named_in_readiness(house: House) -> None:
    """What the sealer's scrub found stands in readiness: damaged listings keep from answering, a damaged log warns."""
    faults = house.settings.home / "run" / "corrupt.json"
    faults.parent.mkdir(exist_ok=True)
    try:
        faults.write_text(
            '{"checks": {"code": "corrupt", "where": "checks/00/0.log at byte 7", "message": "A record is bad."}}'
        )
        ready = house.call("GET", "/readyz")
        assert (ready.status_code, ready.json()["missing"]) == (200, [])
        assert "0.log at byte 7" in ready.json()["warnings"][0]
        faults.write_text('{"listings": {"code": "corrupt", "where": "table-4.slots block 3", "message": "A block is bad."}}')
        stopped = house.call("GET", "/readyz")
        assert stopped.status_code == 503
        assert "block 3" in stopped.json()["missing"][0]
    finally:
        faults.unlink()


def test_counts_have_no_personal_labels(house: House) -> None:
    """Routes by template, no party, no number, no clerk."""
    document = house.passport()
    house.ask(document, clerk="C-4711")
    text = house.call("GET", "/metrics").text
    assert "annul_requests_total" in text
    assert "annul_position" in text
    for personal in (document["number"], "C-4711", 'party="', "bank"):
        assert personal not in text


def test_counts_are_for_this_machine_unless_the_operator_says_otherwise(house: House) -> None:
    """A proxy on this machine that passes somebody on does not open them."""
    assert house.call("GET", "/metrics", headers={"x-forwarded-for": "203.0.113.5"}).status_code == 403


@pytest.mark.parametrize("path", [*PAGES, "/healthz", "/nope", "/v1/keys"])
def test_every_answer_has_the_security_headers(house: House, path: str) -> None:
    """Also errors."""
    headers = house.call("GET", path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" not in headers


@pytest.mark.parametrize("path", PAGES)
def test_pages_need_nothing_inline_and_nothing_from_elsewhere(house: House, path: str) -> None:
    """No script, no style attribute, no address of another host; static files are there."""
    page = house.call("GET", path)
    assert page.status_code == 200
    assert not re.search(r"<script(?! src=\"/static/)|<style|\sstyle=|\son\w+=|https?://", page.text)
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
        file = house.call("GET", address.replace("&amp;", "&"))
        assert file.status_code == 200
        assert "immutable" in file.headers["cache-control"]
        assert hashlib.sha256(file.content).hexdigest().startswith(address.partition("v=")[2])


def test_a_page_that_is_not_there_is_a_page_for_people(house: House) -> None:
    """A browser gets words, a program a problem document."""
    page = house.call("GET", "/nope", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in page.text
    api = house.call("GET", "/v1/nope", headers={"accept": "text/html"})
    assert api.headers["content-type"] == "application/problem+json"
