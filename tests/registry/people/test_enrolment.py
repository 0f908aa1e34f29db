"""Enrolment: what is taken, what is refused, replacement, withdrawal, and how a portrait leaves."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import psycopg
import pytest
from PIL import Image

from annul.demo.portraits import portrait
from annul.errors import AnnulError, BadInput, Conflict, NotFound, TooLarge
from annul.likeness.template import View, encode
from annul.records.entry import EntryKind, decode
from annul.records.person import CivilEvent, PersonBody
from annul.registry.people.enrolment import IMAGE_BYTES_MAX, Consent, Enrolments, Face, Finger
from tests.registry.people.town import REGISTRAR, WANG, Town, person
from tests.registry.world import START_US, card, passport
from tests.world import said

CONSENT = Consent("holder", "form 12")
FACE = Face(portrait(1), "image/jpeg", 80)


def template(finger: int = 2, minutiae: int = 30) -> bytes:
    """Make a template with scattered minutiae."""
    rng = np.random.default_rng(finger)
    rows = np.column_stack(
        (rng.uniform(20, 280, minutiae), rng.uniform(20, 380, minutiae), rng.uniform(0, 6, minutiae), np.full(minutiae, 80.0))
    )
    return encode([View(finger, 0, 80, rows, np.ones(minutiae, np.uint8))], (300, 400))


def enrolments(town: Town) -> Enrolments:
    """Open enrolment, with one person in the register."""
    asyncio.run(town.people.add(REGISTRAR, person(), happened_at_us=START_US))
    return Enrolments(town.ground, town.people, town.vault)


def test_a_portrait_on_record_turns_m1_into_m0(town: Town) -> None:
    """Enrolled: M0. Withdrawn: M1 again, and the bytes are gone."""
    desk = enrolments(town)
    town.follow()
    assert town.asked(WANG, "王小明") == "M1"
    asyncio.run(
        desk.enrol(REGISTRAR, WANG, CONSENT, face=FACE, fingers=[Finger(2, template(), 60), Finger(7, template(7), 55)])
    )
    town.follow()
    assert town.asked(WANG, "王小明") == "M0"
    assert asyncio.run(desk.templates(REGISTRAR, WANG)) == [(2, template()), (7, template(7))]
    asyncio.run(desk.withdraw(REGISTRAR, WANG, evidence="letter"))
    town.follow()
    assert town.asked(WANG, "王小明") == "M1"
    with pytest.raises(NotFound):
        asyncio.run(desk.templates(REGISTRAR, WANG))
    with pytest.raises(Conflict):
        asyncio.run(desk.withdraw(REGISTRAR, WANG, evidence="letter"))
    with psycopg.connect(town.conninfo) as db:
        assert db.execute("SELECT DISTINCT ciphertext, ended FROM enrolment").fetchall() == [(None, "withdrawn")]
        raw = db.execute("SELECT entry FROM register_log ORDER BY position").fetchall()
    entries = [decode(bytes(row[0])) for row in raw]
    events = [PersonBody.decode(entry.body).event for entry in entries if entry.kind is EntryKind.person]
    assert events == [CivilEvent.birth, CivilEvent.enrolment, CivilEvent.withdrawal]


def test_enrolling_again_replaces(town: Town) -> None:
    """One portrait and one template a finger are on record; what was before is destroyed."""
    desk = enrolments(town)
    asyncio.run(desk.enrol(REGISTRAR, WANG, CONSENT, face=FACE, fingers=[Finger(2, template(), 60)]))
    asyncio.run(desk.enrol(REGISTRAR, WANG, CONSENT, fingers=[Finger(2, template(3), 70)]))
    listed = asyncio.run(desk.enrolled(REGISTRAR, WANG))
    assert [(each.trait, each.finger, each.quality, each.ended) for each in listed] == [
        ("face", 0, 80, None),
        ("finger", 2, 60, "replaced"),
        ("finger", 2, 70, None),
    ]
    assert asyncio.run(desk.templates(REGISTRAR, WANG)) == [(2, template(3))]


def test_no_image_and_no_template_lies_readable_in_the_database(town: Town) -> None:
    """Only sealed bytes; and they open for nobody else's record."""
    desk = enrolments(town)
    asyncio.run(desk.enrol(REGISTRAR, WANG, CONSENT, face=FACE, fingers=[Finger(2, template(), 60)]))
    with psycopg.connect(town.conninfo) as db:
        stored = b"".join(bytes(row[0]) for row in db.execute("SELECT ciphertext FROM enrolment"))
    assert b"JFIF" not in stored
    assert b"FMR" not in stored


def _png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


BAD = [
    (CONSENT, {}),
    (CONSENT, {"face": Face(portrait(1), "image/jpeg", 10)}),
    (CONSENT, {"face": Face(portrait(1), "image/png", 80)}),
    (CONSENT, {"face": Face(portrait(1)[:2000], "image/jpeg", 80)}),
    (CONSENT, {"face": Face(b"no image", "image/jpeg", 80)}),
    (CONSENT, {"face": Face(_png(40, 40), "image/png", 80)}),
    (CONSENT, {"face": Face(_png(5000, 200), "image/png", 80)}),
    (Consent("holder", "form", "fingers"), {"face": FACE}),
    (Consent("holder", "form", "face"), {"fingers": [Finger(2, template(), 60)]}),
    (CONSENT, {"fingers": [Finger(2, template(), 60), Finger(2, template(), 60)]}),
    (CONSENT, {"fingers": [Finger(n, template(n), 60) for n in (1, 2, 3)]}),
    (CONSENT, {"fingers": [Finger(2, template(), 5)]}),
    (CONSENT, {"fingers": [Finger(2, b"FMR\0 20\0", 60)]}),
    (CONSENT, {"fingers": [Finger(2, template()[:-3], 60)]}),
    (CONSENT, {"fingers": [Finger(2, template(minutiae=0), 60)]}),
]


@pytest.mark.parametrize(("consent", "traits"), BAD)
def test_what_is_poor_false_or_not_consented_to_is_refused(town: Town, consent: Consent, traits: dict[str, object]) -> None:
    """A clear refusal, and nothing is stored."""
    desk = enrolments(town)
    with pytest.raises(AnnulError) as refused:
        asyncio.run(desk.enrol(REGISTRAR, WANG, consent, **traits))  # type: ignore[arg-type]
    assert isinstance(refused.value, BadInput)
    assert refused.value.where
    with psycopg.connect(town.conninfo) as db:
        assert db.execute("SELECT count(*) FROM enrolment").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM consent").fetchone() == (0,)


def test_a_portrait_that_is_too_large_is_refused(town: Town) -> None:
    """Before anything reads it."""
    desk = enrolments(town)
    with pytest.raises(TooLarge):
        asyncio.run(desk.enrol(REGISTRAR, WANG, CONSENT, face=Face(b"\xff" * (IMAGE_BYTES_MAX + 1), "image/jpeg", 80)))


def test_a_portrait_leaves_small_and_marked_and_is_accounted_for(town: Town) -> None:
    """Another picture than the enrolled one, with the check's number in it; by card and by passport."""
    desk = enrolments(town)
    asyncio.run(desk.enrol(REGISTRAR, WANG, CONSENT, face=FACE))
    asyncio.run(town.register.issue(REGISTRAR, passport(), happened_at_us=START_US, person_number=WANG))
    one, other = (asyncio.run(desk.portrait_of(REGISTRAR, card(), mark=mark * 16)) for mark in ("a1", "b2"))
    assert asyncio.run(desk.portrait_of(REGISTRAR, passport(), mark="a1" * 16)) == one
    assert b"a1" * 16 in one
    with (
        Image.open(io.BytesIO(one)) as first,
        Image.open(io.BytesIO(other)) as second,
        Image.open(io.BytesIO(FACE.image)) as kept,
    ):
        assert max(first.size) <= 480
        plain = np.asarray(kept.convert("RGB"), np.int16)
        marked = np.asarray(first, np.int16)
        touched = np.abs(plain - marked).max(axis=2) > 40
        assert touched.any(axis=1).mean() > 0.5  # the mark crosses most rows of the picture
        assert (np.asarray(first, np.int16) != np.asarray(second, np.int16)).any()
    with pytest.raises(NotFound):
        asyncio.run(desk.portrait_of(REGISTRAR, passport("X1234567"), mark="c"))
    with psycopg.connect(town.conninfo) as db:
        entries = said(db)
    assert [entry.evidence for entry in entries if entry.kind is EntryKind.note] == [
        f"portrait for check {'a1' * 16}",
        f"portrait for check {'b2' * 16}",
        f"portrait for check {'a1' * 16}",
    ]
