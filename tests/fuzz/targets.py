"""Fuzz targets: every decoder of likeness and reader that takes foreign bytes, each raising nothing but our errors.

`test_targets` runs them on hypothesis' bytes and on mutated seeds; `python -m tests.fuzz` (`make fuzz`) coverage-guided.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cache

import numpy as np
from nacl.signing import SigningKey

from annul.client.receipts import TrustedKeys, verify_evidence
from annul.errors import AnnulError, TimedOut
from annul.likeness import attack, calibration, evidence, minutiae, samples, template
from annul.proof.checkpoint import Signer
from annul.reader import ocr
from annul.reader.chip import read_document
from annul.reader.resident_card import SamReader
from annul.reader.resident_records import parse_record
from annul.reader.station import CardRequest, ResidentRequest, ZoneRequest, _decode, _key
from tests.likeness.people import minutiae_of, packed, print_image, record_of
from tests.likeness.test_evidence import signed
from tests.reader import test_hostile_data as hostile
from tests.reader.test_chip import KEY
from tests.reader.test_resident_card import answer, record


def _face(data: bytes) -> None:
    image = samples.decode_face(data)
    assert image.pixels.ndim == 3
    assert max(image.pixels.shape[:2]) <= samples.FACE_SIDE_MAX


def _finger(data: bytes) -> None:
    image = samples.decode_finger(data)
    assert image.pixels.ndim == 2
    assert image.pixels.size <= samples.FINGER_PIXELS_MAX


def _template(data: bytes) -> None:
    for view in template.decode(data):
        assert np.isfinite(view.minutiae).all()
        assert np.isfinite(minutiae.similarity(minutiae.prepare(view.minutiae), minutiae.prepare(view.minutiae)))


def _calibration(data: bytes) -> None:
    calibration.parse(data).digest()


def _evidence(data: bytes) -> None:
    assert evidence.encode(evidence.decode(data)) == data


def _challenge(data: bytes) -> None:
    assert len(attack.challenge(data).actions) == attack.STEPS


SIGNER = Signer("annul/receipts", bytes(32))
KEYS = TrustedKeys((SIGNER.verifier,), (), ())
WORDS = {"check": "ab" * 16, "binding": "B0"}


def _bound_evidence(data: bytes) -> None:
    verify_evidence(data, WORDS, KEYS)


class _Scripted:
    """A card or a line whose answers are the fuzzer's bytes: a length (a byte times 4; two for the line), then so many."""

    def __init__(self, data: bytes) -> None:
        self._data, self._ready = data, b""

    def transmit(self, _command: bytes) -> bytes:
        """Answer a command."""
        count = 4 * self._data[0] + 2 if self._data else 0
        part, self._data = self._data[1 : 1 + count], self._data[1 + count :]
        if len(part) < 2:
            raise TimedOut("the card is silent")
        return part

    def write(self, _data: bytes) -> None:
        """Take a request and make the next answer ready."""
        count = int.from_bytes(self._data[:2], "big") % 4096
        self._ready, self._data = self._data[2 : 2 + count], self._data[2 + count :]

    def read(self, count: int, _until_s: float) -> bytes:
        """Give the next bytes of the line, few at a time."""
        count = min(count, 100)
        part, self._ready = self._ready[:count], self._ready[count:]
        return part

    def close(self) -> None:
        """Nothing to let go of."""


def _chip(data: bytes) -> None:
    read_document(_Scripted(data), KEY, hostile.TRUST, at=hostile.AT)


def _box(data: bytes) -> None:
    SamReader(_Scripted(data), sleep=lambda _: None).read_record()


def _station(data: bytes) -> None:
    for kind in (CardRequest, ResidentRequest, ZoneRequest):
        try:
            request = _decode(data, kind)
        except AnnulError:
            continue
        if isinstance(request, CardRequest):
            _key(request.key, hostile.AT.date())


def _reader(name: str) -> Callable[[bytes], None]:
    decoder = hostile.DECODERS[name][0]

    def run_one(data: bytes) -> None:
        hostile.accept(decoder, data)

    return run_one


TARGETS: dict[str, Callable[[bytes], None]] = {
    "face": _face,
    "finger": _finger,
    "template": _template,
    "calibration": _calibration,
    "evidence": _evidence,
    "bound-evidence": _bound_evidence,
    "challenge": _challenge,
    "chip": _chip,
    "box": _box,
    "resident-record": lambda data: parse_record(data) and None,
    "photo": lambda data: ocr.decode_image(data) is None,  # type: ignore[dict-item,return-value]
    "station": _station,
    **{f"reader-{name.replace('_', '-')}": _reader(name) for name in hostile.DECODERS},
}
"""Name -> function that reads foreign bytes."""


def run(name: str, data: bytes) -> None:
    """Give `data` to a target; our own errors are right answers, anything else is a finding."""
    try:
        TARGETS[name](data)
    except AnnulError:
        return


@cache
def seeds() -> dict[str, list[bytes]]:
    """Return valid input for each target, so that fuzzing starts inside of the formats."""
    image = print_image(1, 96)
    pictures = {form: packed(image, form) for form in ("PNG", "TIFF", "BMP", "JPEG2000", "JPEG", "WSQ")}
    key = SigningKey(bytes(32))
    bound = signed(key)
    saved = {"version": 1, "key": SIGNER.key_id.hex()} | {
        name: base64.b64encode(getattr(bound, name)).decode() for name in ("statement", "signature")
    }
    select = b"\x00\x90\x00" * 12
    box = [answer(0x9F, bytes(4)), answer(0x90, bytes(8)), answer(0x90, b"\x01\x00\x04\x00" + record() + bytes(1024))]
    return {
        "face": [pictures[form] for form in ("PNG", "BMP", "JPEG2000", "JPEG")],
        "finger": [pictures[form] for form in ("PNG", "TIFF", "BMP", "JPEG2000", "WSQ")],
        "template": [record_of(minutiae_of(1)), record_of(minutiae_of(2), extractor="")],
        "calibration": [calibration.dump(calibration.packaged("finger"))],
        "evidence": [bound.statement],
        "bound-evidence": [json.dumps(saved).encode()],
        "challenge": [bytes(16)],
        "chip": [select, b"\x02" + bytes(8) + b"\x90\x00" + select],
        "box": [b"".join(len(each).to_bytes(2, "big") + each for each in box)],
        "resident-record": [record()],
        "photo": [packed(print_image(1, 160), form) for form in ("PNG", "JPEG")],
        "station": [
            json.dumps({"key": {"mrz": "\n".join(hostile.ZONE)}}).encode(),
            b'{"key":{"can":"123456"},"reader":null}',
            b'{"port":null,"wait_s":0}',
            json.dumps({"text": "\n".join(hostile.ZONE)}).encode(),
        ],
        **{f"reader-{name.replace('_', '-')}": [good] for name, (_, good) in hostile.DECODERS.items()},
    }
