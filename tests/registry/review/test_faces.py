"""One face among many: exact in every way of asking, sealed at rest, and asked once per portrait."""

from __future__ import annotations

import asyncio

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.registry.people.enrolment import Consent, Face
from annul.registry.review import faces
from annul.registry.review.faces import FaceIndex
from annul.registry.review.queue import Decision
from tests.registry.people.town import REGISTRAR
from tests.registry.review.clinic import Clinic, number

CHILD, OTHER = number("110105", "19800101", 1), number("440106", "19850505", 5)


def unit(seed: int, count: int, *, near: int = 0) -> npt.NDArray[np.float32]:
    """Draw unit vectors; the last `near` ones lie around the first."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, faces.SIZE), dtype=np.float32)
    if near:
        vectors[-near:] = vectors[0] + rng.standard_normal((near, faces.SIZE), dtype=np.float32) * rng.uniform(
            0.3, 2.5, (near, 1)
        ).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 400), near=st.integers(0, 60), least=st.floats(0.05, 0.99))
def test_the_screen_loses_nothing(seed: int, count: int, near: int, least: float) -> None:
    """One query and many at once give exactly the vectors that a full comparison gives, whatever the threshold."""
    vectors = unit(seed, max(count, near + 1), near=near)
    index = FaceIndex(vectors)
    for query in (vectors[0], vectors[-1]):
        scores = vectors @ query
        sure = set(np.flatnonzero(scores >= least + 1e-5).tolist())
        may = set(np.flatnonzero(scores >= least - 1e-5).tolist())
        for found in (index.alike(query, least), index.alike_many(query[None], least)[0]):
            places = {place for place, _ in found}
            assert sure <= places <= may
            assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_more_alike_than_the_screen_holds_at_first_are_all_found() -> None:
    """Five hundred near copies of one face: the screen is widened until the last of them is through."""
    vectors = np.repeat(unit(1, 1), 500, axis=0)
    assert len(FaceIndex(vectors).alike(vectors[0], 0.9)) == 500


def test_an_empty_index_answers() -> None:
    """No portraits, nothing alike."""
    index = FaceIndex(np.zeros((0, faces.SIZE), np.float32))
    assert (index.alike(unit(1, 1)[0], 0.4), index.alike_many(unit(1, 2), 0.4)) == ([], [[], []])


def test_the_coarse_vectors_are_as_near_as_the_screen_says() -> None:
    """The largest distance between a vector and its coarse form is measured, not assumed; no score differs by more."""
    vectors = unit(3, 3000)
    index = FaceIndex(vectors)
    queries = unit(4, 50)
    scores, places = index._coarse.search(queries, 3000)
    exact = np.take_along_axis(queries @ vectors.T, places, axis=1)
    assert 0 < index.lost < 0.05
    assert np.abs(scores - exact).max() <= index.lost + float(faces._ROUNDING)


def enrol(clinic: Clinic, of: str, image: bytes) -> None:
    """Enrol a portrait by law."""
    asyncio.run(clinic.enrolments.enrol(REGISTRAR, of, Consent("law", "card law", "face"), face=Face(image, "image/jpeg", 80)))


@pytest.fixture
def alike(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, npt.NDArray[np.float32]]:
    """Describe portraits by a table: which picture has which vector, so that no network is needed."""
    from annul.likeness import face

    table: dict[bytes, npt.NDArray[np.float32]] = {}
    monkeypatch.setattr(face, "describe", table.get)
    return table


def picture(shade: int) -> bytes:
    """Draw a plain picture of its own shade."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (200, 260), (shade, 90, 120)).save(out, "JPEG")
    return out.getvalue()


def test_one_face_under_two_persons_is_suspected_once(clinic: Clinic, alike: dict[bytes, npt.NDArray[np.float32]]) -> None:
    """Found by the run after the second enrolment, not asked again once decided, sealed at rest, gone with the portrait."""
    vectors = unit(5, 3, near=1)
    vectors[2] = (vectors[0] + 0.3 * vectors[1]) / np.linalg.norm(vectors[0] + 0.3 * vectors[1])
    ids = clinic.enter(
        clinic.one(CHILD, "王明"), clinic.one(OTHER, "李雷"), clinic.one(number("110105", "19900101", 7), "赵云")
    )
    images = [picture(shade) for shade in (10, 120, 230)]
    alike.update({images[0]: vectors[0], images[1]: vectors[2], images[2]: vectors[1]})
    enrol(clinic, CHILD, images[0])
    enrol(clinic, number("110105", "19900101", 7), images[2])
    assert (clinic.run().portraits, clinic.open()) == (2, [])
    enrol(clinic, OTHER, images[1])
    assert clinic.run().portraits == 1
    (found,) = clinic.open(rule="same-face")
    assert (sorted(found.persons), found.score > 0.9) == (ids[:2], True)
    assert (clinic.run().portraits, len(clinic.open(rule="same-face"))) == (0, 1)
    with clinic.connect() as db:
        for (sealed,) in db.execute("SELECT ciphertext FROM face_vector WHERE ciphertext IS NOT NULL").fetchall():
            assert not any(vector.tobytes()[:64] in bytes(sealed) for vector in vectors)
    clinic.decide(found.id, Decision.different_persons)
    assert (clinic.run().portraits, clinic.open(rule="same-face")) == (0, [])
    asyncio.run(clinic.enrolments.withdraw(REGISTRAR, OTHER, evidence="letter"))
    with clinic.connect() as db:
        assert db.execute("SELECT count(*) FROM face_vector WHERE person_id = %s", (ids[1],)).fetchone() == (0,)


def test_a_portrait_without_a_face_stops_nothing(clinic: Clinic, alike: dict[bytes, npt.NDArray[np.float32]]) -> None:
    """It is described once, as having no face, and not again."""
    clinic.enter(clinic.one(CHILD, "王明"))
    enrol(clinic, CHILD, picture(50))
    assert [clinic.run().portraits, clinic.run().portraits] == [0, 0]
    with clinic.connect() as db:
        assert db.execute("SELECT ciphertext IS NULL FROM face_vector").fetchall() == [(True,)]
