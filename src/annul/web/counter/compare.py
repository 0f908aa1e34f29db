"""Compare the bearer with the holder at the counter: a picture of the bearer, a picture of the holder, the answer with both."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from annul.errors import AnnulError, BadInput, Forbidden, SourceDown
from annul.likeness.attack import SENTENCES, STEPS
from annul.likeness.comparison import REASONS
from annul.likeness.process import FacePair, FingerSet
from annul.registry.counter.verification import Samples
from annul.registry.parties.parties import Agreement
from annul.web.api.verifications import ChipGiven, chip_of
from annul.web.counter import reading, sealing
from annul.web.counter.counter import answer_page, frame, remember, require_token, shown
from annul.web.door import pages
from annul.web.door.forms import Form
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.likeness.evidence import Chip
    from annul.records.check import Question
    from annul.registry.counter.verification import Verified
    from annul.web.door.call import Call, Reply
    from annul.web.door.office import Office

PICTURES_BYTES_MAX: Final = 24 << 20
"""Two photos of a telephone and some prints, or six smaller photos."""
FRAMES: Final = tuple(f"frame{n}" for n in range(1, STEPS + 1))
"""Fields of the pictures that answer a challenge."""


BLANK: Final = dict.fromkeys(("sealed", "supervised", "exempt", "face", "portrait", "finger", "print"), "")


class SealedForm(msgspec.Struct, forbid_unknown_fields=True):
    """The sealed question of the answer on the screen."""

    sealed: str


async def compare_page(office: Office, call: Call) -> Reply:
    """Begin the comparison for the answer on the screen."""
    sealing.open_question(office, call.session, call.body.sealed)
    if office.verifications is not None:
        office.verifications.warm()
    return _page(office, call, Form({**BLANK, "sealed": call.body.sealed}))


async def compare(office: Office, call: Call) -> Reply:
    """Compare and check in one; the answer says both. Pictures live in memory until the answer and nowhere else."""
    translate = pages.translator(call)
    form = Form(BLANK)
    try:
        texts, files = await reading.read_form(call, PICTURES_BYTES_MAX)
        require_token(call, texts)
        form = Form(BLANK | {name: texts[name] for name in ("sealed", "supervised", "exempt") if name in texts})
        question = sealing.open_question(office, call.session, form["sealed"])
        found = await _verified(office, call, question, files, texts)
    except Forbidden:
        raise
    except AnnulError as error:
        form.refused(error, translate, {"live": "face", "reference": "portrait", "enrolled": "print", "fingerprint": "finger"})
        return _page(office, call, form, status=400)
    told = shown(found.answer, office.now_us(), translate)
    told["small"] = [*(translate(REASONS[reason]) for reason in found.reasons if reason in REASONS), *told["small"]]
    remember(office, call, told, question.purpose)
    sealed = sealing.seal_question(office, call.session, question)
    return await answer_page(office, call, told, sealed=sealed, answer=found.answer)


async def _verified(office: Office, call: Call, question: Question, files: dict[str, bytes], texts: dict[str, str]) -> Verified:
    if office.verifications is None:
        raise SourceDown("This process compares nobody.")
    if "face" not in files and "finger" not in files:
        raise BadInput(_("Take a picture of the bearer, or scan a finger."), where="face")
    frames = [files[name] for name in FRAMES if name in files]
    face = FacePair(files["face"], files.get("portrait", b""), frames) if "face" in files else None
    finger = FingerSet(files["finger"], [files["print"]] if "print" in files else []) if "finger" in files else None
    samples = Samples(
        face=face,
        finger=finger,
        finger_exempt=texts.get("exempt") == "yes",
        chip=_chip(texts.get("chip", "")),
        supervised=texts.get("supervised") == "yes",
        device="counter-camera",
        challenge=texts.get("challenge", "") if face else "",
    )
    return await office.verifications.verify(call.principal, question, samples)


def _chip(text: str) -> Chip | None:
    """Read what the station said of the chip that the portrait came from."""
    if not text:
        return None
    try:
        return chip_of(msgspec.json.decode(text, type=ChipGiven))
    except msgspec.MsgspecError:
        raise BadInput(_("What the chip proved cannot be read. Read the card again.")) from None


def _page(office: Office, call: Call, form: Form, *, status: int = 200) -> Reply:
    """Render the form; with a challenge of its own where the agreement demands one, for none is answered twice."""
    capture = (call.principal.agreement or Agreement()).capture
    asked = None
    if capture.challenge and office.verifications is not None:
        with contextlib.suppress(AnnulError):  # the seal is broken: the form says so already
            question = sealing.open_question(office, call.session, form["sealed"])
            asked = office.verifications.challenge(call.principal, question.document)
    translate = pages.translator(call)
    steps = [(name, translate(SENTENCES[action])) for name, action in zip(FRAMES, asked.actions, strict=True)] if asked else []
    return pages.page(
        call,
        "counter/compare.html",
        status=status,
        form=form,
        **frame(call),
        capture=capture,
        steps=steps,
        challenge=asked.token if asked else "",
        headers=pages.CAMERA,
    )
