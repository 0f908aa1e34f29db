"""The bytes of our own formats are those of the golden files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.vectors import generate

from annul.edge.edition import SAID, Edition
from annul.edge.trust import Trust, open_manifest
from annul.proof.checkpoint import Verifier, open_checkpoint
from annul.proof.receipt import verify
from annul.proof.tiles import unpack_bundle
from annul.records.entry import decode, encode

GOLDEN = Path(__file__).parent / "golden"


def test_formats_have_not_changed() -> None:
    """The generator makes exactly the files that are there: a changed byte is a new version, never a surprise."""
    made = generate.everything()
    assert {path.name for path in GOLDEN.glob("*.json")} == set(made)
    for name, text in made.items():
        assert (GOLDEN / name).read_text(encoding="utf-8") == text, f"run tests/vectors/generate.py and look at {name}"


def test_golden_files_can_be_read_without_their_generator() -> None:
    """Receipts verify, entries decode, the checkpoint opens: with what is in the files alone."""
    receipts = json.loads((GOLDEN / "receipt.json").read_text(encoding="utf-8"))
    key = Verifier.parse(receipts["vkey"])
    for shown, binary in zip(receipts["json"], receipts["binary"], strict=True):
        assert verify(shown, key).receipt == verify(bytes.fromhex(binary), key).receipt
    for text in json.loads((GOLDEN / "register-entry.json").read_text()).values():
        assert encode(decode(bytes.fromhex(text))).hex() == text
    for shown in json.loads((GOLDEN / "register-entry-2.json").read_text(encoding="utf-8"))["references"]:
        assert encode(decode(bytes.fromhex(shown["entry"]))).hex() == shown["entry"]
        opened = hashlib.sha256(b"annul reference v1\0" + bytes.fromhex(shown["salt"]) + shown["text"].encode()).hexdigest()
        assert decode(bytes.fromhex(shown["entry"])).commitment.hex() == opened == shown["commitment"]
    printed = json.loads((GOLDEN / "edition.json").read_text())
    edition = Edition(bytes.fromhex(printed["edition"]), bytes.fromhex(printed["digests"]))
    trust = Trust.of_lines(printed["vkeys"])
    assert open_manifest(printed["manifest"].encode(), trust, generate.AT_US).edition == edition.id.hex()
    for cohort, point, code in printed["answers"]:
        assert edition.look(point, cohort, 20_000) == SAID[code]
    supplement = Edition(bytes.fromhex(printed["supplement"]))
    for cohort, point, became in printed["changed"]:
        assert supplement.changed(point, cohort) == (None if became < 0 else became)
    assert [supplement.apart(point) for point, _ in printed["apart"]] == [became for _, became in printed["apart"]]
    log = json.loads((GOLDEN / "log.json").read_text())
    assert open_checkpoint(log["checkpoint"].encode(), [Verifier.parse(log["vkey"])]).size == 3
    assert len(unpack_bundle(bytes.fromhex(log["bundle"]))) == 3
