"""The verifier for outsiders: one JavaScript file that shares no code with the register and comes to the same verdicts."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.proof.verifier import VERIFIER, ask, mutated, run
from tests.vectors.generate import DOCUMENTS, TODAY_DAY

from annul.errors import VerificationFailed
from annul.proof.checkpoint import Signer, Verifier, open_checkpoint, sign_checkpoint, sign_note
from annul.proof.merkle import consistency_proof, inclusion_path, leaf_hash, root
from annul.proof.receipt import from_binary, to_compact, verify
from annul.proof.words import explain

GOLDEN = Path(__file__).parents[1] / "vectors" / "golden"
RECEIPTS = json.loads((GOLDEN / "receipt.json").read_text(encoding="utf-8"))
LOG = json.loads((GOLDEN / "log.json").read_text(encoding="utf-8"))
RFC = json.loads((GOLDEN.parent / "rfc6962.json").read_text())
PAIRS = list(zip(RECEIPTS["json"], map(bytes.fromhex, RECEIPTS["binary"]), strict=True))
MUTATIONS = 3_000
BYTES_MAX = 31_000
KEY = Signer("annul/register", bytes(range(32)))


def texts(hashes: list[bytes]) -> list[str]:
    """Return hashes as they come over the wire."""
    return [base64.b64encode(each).decode() for each in hashes]


def test_it_is_one_small_file_without_dependencies() -> None:
    """At most 31 KB; it imports nothing but two modules of Node, and only where it is a command."""
    code = VERIFIER.read_text(encoding="utf-8")
    assert len(code.encode()) <= BYTES_MAX
    assert code.count("import(") == 2
    assert 'import("node:fs/promises"), import("node:url")' in code
    for forbidden in ("require(", "fetch(", "XMLHttpRequest", "eval(", "Function(", "\nimport ", 'from "'):
        assert forbidden not in code


def test_genuine_receipts_are_proved_in_every_form_and_say_the_same() -> None:
    """Object, text, binary, compact with an address in front: the words are those of the register's own verifier."""
    questions, expected = [], []
    for shown, binary in PAIRS:
        compact = "https://annul.example/receipts/verify#" + to_compact(from_binary(binary))
        for form in (
            {"json": shown},
            {"text": json.dumps(shown, indent=2)},
            {"hex": binary.hex()},
            {"text": compact},
            {"hex": json.dumps(shown).encode().hex()},
        ):
            questions.append(["receipt", RECEIPTS["vkey"], form])
            expected.append(explain(shown))
    for answer, words in zip(ask(questions), expected, strict=True):
        said = answer["proved"]
        del words["status_class"]
        assert {name: said[name] for name in words} == words


def test_both_verifiers_judge_a_receipt_by_the_key_at_its_time() -> None:
    """Before its beginning and from its end on a key counts no more; 300 seconds are for clocks; a period is read strictly."""
    shown, _ = PAIRS[0]
    closed = datetime.fromisoformat(explain(shown)["closed_at"])

    def at(seconds: int) -> str:
        return (closed + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    cases = (
        (f"from={at(-9)}", True),
        (f"from={at(-9)} until={at(9)}", True),
        (f"from={at(290)}", True),
        (f"from={at(310)}", False),
        (f"until={at(-290)}", True),
        (f"until={at(-310)}", False),
        (f"from={at(-900)} until={at(-800)}", False),
    )
    answers = ask([["receipt", f"{RECEIPTS['vkey']} {words}", {"json": shown}] for words, _ in cases])
    for (words, good), answer in zip(cases, answers, strict=True):
        key = Verifier.parse(f"{RECEIPTS['vkey']} {words}")
        if good:
            assert "proved" in answer, words
            assert verify(shown, key).receipt
        else:
            assert answer["step"] == 4, words
            with pytest.raises(VerificationFailed) as refused:
                verify(shown, key)
            assert refused.value.step == 4
    (unread,) = ask([["receipt", f"{RECEIPTS['vkey']} until=tomorrow", {"json": shown}]])
    assert unread["step"] == 2


def test_random_changes_are_refused_by_the_same_step() -> None:
    """Thousands of changed receipts: none is proved, and both verifiers name one step."""
    forms = list(mutated(PAIRS, MUTATIONS, 1))
    key = Verifier.parse(RECEIPTS["vkey"])
    answers = ask([["receipt", RECEIPTS["vkey"], form] for form in forms])
    for form, answer in zip(forms, answers, strict=True):
        given: Any = bytes.fromhex(form["hex"]) if "hex" in form else form.get("text", form.get("json"))
        with pytest.raises(VerificationFailed) as caught:
            verify(given, key)
        assert answer.get("step") == caught.value.step, (form, answer, caught.value.message)


def test_a_whole_answer_must_say_what_its_receipt_says() -> None:
    """Step 6: the receipt is what was signed, not the words around it."""
    words = explain(RECEIPTS["json"][0])
    answer: dict[str, Any] = {name: words[name] for name in ("outcome", "advice", "check")}
    answer |= {axis: {"code": words[axis]} for axis in ("status", "identity", "binding")}
    answer["freshness"] = {"code": words["freshness"], "position": words["position"], "as_of": words["as_of"]}
    answer["receipt"] = RECEIPTS["json"][0]
    wrong = [
        answer | {"outcome": "PASS"},
        answer | {"advice": []},
        answer | {"status": {"code": "V00"}},
        answer | {"check": ""},
    ]
    first, *others = ask([["receipt", RECEIPTS["vkey"], {"json": each}] for each in [answer, *wrong]])
    assert first["proved"]["outcome"] == "STOP"
    assert [each["step"] for each in others] == [6] * 4


def test_only_the_key_of_receipts_counts() -> None:
    """A trusted key of a log does not sign receipts, and another register's key is step 2."""
    other = Signer("annul/receipts", bytes(32)).vkey
    renamed = Signer("annul/register", bytes(range(32))).vkey
    answers = ask(
        [["receipt", keys, {"json": RECEIPTS["json"][0]}] for keys in (other, renamed, "x+y+z", "", RECEIPTS["vkey"][:-5])]
    )
    assert [answer["step"] for answer in answers] == [2] * 5


def test_the_opening_shows_the_document() -> None:
    """Step 7, with the texts of the canonical identity."""
    from annul.records.document import DocumentFields, parse_document

    document = parse_document(DocumentFields(**DOCUMENTS[0]), TODAY_DAY)
    identity = [document.scheme, document.issuer, document.kind, document.number, str(document.valid_from_day)]
    (said,) = ask([["receipt", RECEIPTS["vkey"], {"json": RECEIPTS["json"][0]}]])
    salt = RECEIPTS["salt_0"]
    good, other, salted = ask(
        [
            ["document", said["proved"], salt, identity],
            ["document", said["proved"], salt, [*identity[:4], "1"]],
            ["document", said["proved"], "00" + salt[2:], identity],
        ]
    )
    assert good == {"proved": True}
    assert (other["step"], salted["step"]) == (7, 7)


def test_checkpoints_open_as_the_register_opens_them() -> None:
    """The golden checkpoint; every changed byte is refused; another origin is step 5."""
    note = LOG["checkpoint"].encode()
    assert ask([["checkpoint", LOG["vkey"], {"hex": note.hex()}, "", 0]])[0]["proved"]["size"] == 3
    changed = []
    for at in range(len(note)):
        for bit in range(8):
            wrong = bytearray(note)
            wrong[at] ^= 1 << bit
            changed.append(bytes(wrong))
    answers = ask([["checkpoint", LOG["vkey"], {"hex": each.hex()}, "", 0] for each in changed])
    for each, answer in zip(changed, answers, strict=True):
        assert answer.get("step") in {1, 2, 3}, (each, answer)
        with pytest.raises(VerificationFailed):
            open_checkpoint(each, [Verifier.parse(LOG["vkey"])])
    others = [
        sign_checkpoint("annul/checks", 1, bytes(32), KEY),
        sign_note(b"no checkpoint\n", KEY),
        sign_note(b"a\n01\nAA==\n", KEY),
    ]
    assert [each["step"] for each in ask([["checkpoint", KEY.vkey, each.decode(), "", 0] for each in others])] == [5, 4, 4]


def test_entries_and_growth_are_proved_as_the_standard_says() -> None:
    """Vectors of Certificate Transparency and trees of many sizes; nothing else is proved."""
    leaves = [leaf_hash(b"entry %d" % number) for number in range(40)]

    def note(size: int, of: list[bytes] = leaves) -> str:
        return sign_checkpoint(KEY.name, size, root(of[:size]), KEY).decode()

    good, bad = [], []
    for vector in RFC["inclusion"]:
        tree = [leaf_hash(bytes.fromhex(text)) for text in RFC["inputs"]][: vector["size"]]
        path = texts([bytes.fromhex(each) for each in vector["path"]])
        (leaf,) = texts([tree[vector["index"]]])
        proof = {"checkpoint": note(vector["size"], tree), "index": vector["index"], "leaf_hash": leaf, "path": path}
        good.append(["entry", KEY.vkey, proof])
        bad += [
            ["entry", KEY.vkey, proof | change]
            for change in (
                {"index": vector["index"] + 1},
                {"index": -1},
                {"path": [*path, leaf]},
                {"leaf_hash": ""},
                {"path": None},
                {"index": 0.5},
                {"leaf_hash": texts([leaf_hash(b"other")])[0]},
            )
        ]
    for size in (1, 2, 7, 8, 33):
        for index in range(size):
            proof = {"checkpoint": note(size), "index": index, "leaf_hash": texts([leaves[index]])[0]}
            good.append(["entry", KEY.vkey, proof | {"path": texts(inclusion_path(leaves[:size], index))}])
    for new in (0, 1, 2, 7, 8, 33, 40):
        for old in range(new + 1):
            hashes = texts(consistency_proof(leaves[:new], old)) if 0 < old < new else []
            good.append(["grown", KEY.vkey, note(old), note(new), {"proof": hashes}])
            forged = [leaf_hash(b"x"), *leaves[1:]]
            if 0 < old < new:
                others = texts(consistency_proof(forged[:new], old))
                bad += [
                    ["grown", KEY.vkey, note(old), note(new, forged), {"proof": others}],
                    ["grown", KEY.vkey, note(old), note(new), {"proof": [*hashes, hashes[0]]}],
                    ["grown", KEY.vkey, note(old), note(new), {"proof": hashes[:-1]}],
                    ["grown", KEY.vkey, note(new), note(old), {"proof": hashes}],
                ]
            elif old > 0:
                bad.append(["grown", KEY.vkey, note(old), note(old, forged), {"proof": []}])
    assert all("proved" in answer for answer in ask(good))
    assert {answer.get("step") for answer in ask(bad)} == {6}


def test_the_command_says_what_is_proved_or_names_the_step(tmp_path: Path) -> None:
    """Exit code 0, 1 with the step and its name, 2 when it was asked otherwise."""
    key, receipt, wrong = tmp_path / "annul.pub", tmp_path / "receipt.json", tmp_path / "wrong.json"
    key.write_text(RECEIPTS["vkey"] + "\n" + KEY.vkey + "\n")
    receipt.write_text(json.dumps(RECEIPTS["json"][2]))
    wrong.write_text(json.dumps(RECEIPTS["json"][2] | {"index": 3}))
    proved = run(receipt, "--key", key)
    assert (proved.returncode, proved.stdout.partition("\n")[0]) == (0, "PROVED receipt")
    assert json.loads(proved.stdout.partition("\n")[2])["party"] == "utopia-bank"
    refused = run(wrong, "--key", key)
    assert refused.returncode == 1
    assert refused.stdout.startswith("REFUSED step 5 (inclusion): ")
    leaves = [leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")]
    old, new, proof = tmp_path / "old", tmp_path / "new", tmp_path / "proof"
    old.write_bytes(sign_checkpoint(KEY.name, 2, root(leaves[:2]), KEY))
    new.write_bytes(sign_checkpoint(KEY.name, 3, root(leaves), KEY))
    proof.write_text(json.dumps({"proof": texts(consistency_proof(leaves, 2))}))
    assert run("grown", old, new, proof, "--key", key).returncode == 0
    assert run("checkpoint", new, "--key", key).returncode == 0
    assert "step 6 (proof)" in run("grown", new, old, proof, "--key", key).stdout
    entry = {"checkpoint": new.read_text(), "index": 1, "leaf_hash": texts(leaves)[1], "path": texts(inclusion_path(leaves, 1))}
    proof.write_text(json.dumps(entry))
    assert run("entry", proof, "--key", key).returncode == 0
    missing = tmp_path / "missing"
    for asked in ([], [receipt], [receipt, "--key"], [receipt, "--other", key], ["grown", old, "--key", key]):
        assert run(*asked).returncode == 2
    assert run(missing, "--key", key).returncode == 2
