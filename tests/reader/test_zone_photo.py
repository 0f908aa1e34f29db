"""Zones from photos: right or refused. The deciding part on its own, and whole photos by the real network."""

from __future__ import annotations

import datetime
import importlib.util
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annul.bench.reading import random_zone
from annul.errors import TooLarge
from annul.reader import glyphs, zone_photo
from annul.reader.faults import Unreadable
from annul.reader.ocr import TextLine, TextReader, decode_image
from annul.reader.zone_photo import align, decide, find_rows, read_zone_photo
from annul.records.mrz import ALPHABET, TD1, TD2, TD3, Form, check_digit, composite

TODAY = datetime.date(2026, 6, 1)
PHOTOS = Path(__file__).parent / "photos"
TRUTH = {name: text for name, text in json.loads((PHOTOS / "truth.json").read_text("utf-8")).items() if name[:2] == "td"}
FORMS = {"TD1": TD1, "TD2": TD2, "TD3": TD3}
needs_network = pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None, reason="needs rapidocr")


def seen_surely(lines: list[str]) -> list[NDArray[np.float64]]:
    """Prices as if every character had been seen clearly."""
    tables = []
    for line in lines:
        table = np.full((len(line), 37), 18.0)
        table[np.arange(len(line)), [ALPHABET.index(character) for character in line]] = 0.0
        tables.append(table)
    return tables


def doubt(tables: list[NDArray[np.float64]], line: int, column: int, seen: str, price: float) -> None:
    """Make another character the likeliest at a place, the true one `price` behind it."""
    true = int(tables[line][column].argmin())
    tables[line][column, true] = price
    tables[line][column, ALPHABET.index(seen)] = 0.0


@given(st.integers(0, 10**6), st.sampled_from([TD1, TD2, TD3]))
def test_what_is_seen_clearly_is_read(seed: int, layout: Form) -> None:
    """Every zone of every form that keeps the rules."""
    lines = random_zone(random.Random(seed), layout)
    assert list(decide(layout, seen_surely(lines), TODAY).lines) == lines


@given(st.integers(0, 10**6), st.sampled_from([TD1, TD2, TD3]), st.data())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_one_misread_character_is_mended_or_refused_never_believed(seed: int, layout: Form, data: st.DataObject) -> None:
    """Any place shows any other character its alphabet allows: the true zone or a refusal, as long as it was in doubt."""
    lines = random_zone(random.Random(seed), layout)
    tables = seen_surely(lines)
    line = data.draw(st.integers(0, layout.lines - 1))
    column = data.draw(st.integers(0, layout.columns - 1))
    allowed = zone_photo._alphabets(layout, line)[column]
    others = [character for character in allowed if character != lines[line][column]]
    if not others:
        return
    doubt(tables, line, column, data.draw(st.sampled_from(others)), data.draw(st.floats(0.0, 3.5)))
    try:
        zone = decide(layout, tables, TODAY)
    except Unreadable:
        return
    assert list(zone.lines) == lines


LINES = ["P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", ""]


def passport(number: str) -> list[str]:
    """A passport's zone with this number, in force."""
    second = number + check_digit(number) + "UTO740812" + "2" + "F320415" + check_digit("320415") + "<" * 15
    lines = [LINES[0], second]
    return [lines[0], second + composite(TD3, lines)]


def test_a_letter_o_for_a_zero_is_mended_by_the_check_digit() -> None:
    """O and 0 differ by 24: the check digit proves which it was."""
    lines = passport("L898902C3")
    tables = seen_surely(lines)
    doubt(tables, 1, 5, "O", 6.0)
    assert list(decide(TD3, tables, TODAY).lines) == lines


@pytest.mark.parametrize(("true", "seen"), [("6", "G"), ("G", "6"), ("1", "L"), ("Y", "4"), ("5", "Z"), ("8", "S")])
def test_what_no_check_digit_can_tell_is_refused_when_in_doubt(true: str, seen: str) -> None:
    """Values that differ by 10 or 20: both zones keep every rule."""
    tables = seen_surely(passport("L89" + true + "902C3"))
    doubt(tables, 1, 3, seen, 2.0)
    with pytest.raises(Unreadable):
        decide(TD3, tables, TODAY)


def test_a_name_in_doubt_is_refused() -> None:
    """Names have no check digit."""
    tables = seen_surely(passport("L898902C3"))
    doubt(tables, 0, 6, "K", 1.0)
    with pytest.raises(Unreadable):
        decide(TD3, tables, TODAY)


def test_two_mendings_of_the_same_price_are_refused() -> None:
    """The check digit fails, and two places could be to blame."""
    lines = passport("O0O0O0O0O")
    tables = seen_surely(lines)
    doubt(tables, 1, 1, "O", 3.0)
    tables[1][3, ALPHABET.index("O")] = 3.0
    tables[1][5, ALPHABET.index("O")] = 3.0
    with pytest.raises(Unreadable):
        decide(TD3, tables, TODAY)


def test_noise_is_refused_in_bounded_work() -> None:
    """Every character as likely as any other: the search ends."""
    tables = [np.zeros((44, 37)), np.zeros((44, 37))]
    with pytest.raises(Unreadable):
        decide(TD3, tables, TODAY)


def test_a_visa_is_not_taken_for_a_passport() -> None:
    """MRV-A has the same size as TD3 and no composite check digit."""
    lines = passport("L898902C3")
    tables = seen_surely(["V" + lines[0][1:], lines[1]])
    with pytest.raises(Unreadable, match="visa"):
        decide(TD3, tables, TODAY)


@given(st.text(alphabet=ALPHABET, min_size=4, max_size=12), st.integers(3, 6), st.integers(0, 100))
def test_alignment_finds_the_line_whatever_the_pace(line: str, pace: int, seed: int) -> None:
    """A line shown character by character, with a gap between any two, comes back; columns are kept apart."""
    rng = np.random.default_rng(seed)
    rows = []
    for character in line:
        for tick in range(int(rng.integers(2, pace + 1))):
            row = np.full(38, 1e-4)
            row[ALPHABET.index(character) if tick == 0 else 37] = 1.0
            rows.append(row / row.sum())
    fit = align(np.stack(rows), np.ones((len(line), 37)))
    assert "".join(ALPHABET[index] for index in fit.table.argmax(1)) == line
    assert np.all(np.diff(fit.places) > 0)
    assert np.allclose(fit.table.sum(1), 1)


def test_alignment_refuses_what_is_too_short() -> None:
    """Fewer looks than characters."""
    assert align(np.full((3, 38), 1 / 38), np.ones((5, 37))).likelihood == -np.inf


def _line(y: float, text: str, *, x: float = 10.0, width: float = 600.0) -> TextLine:
    corners = np.array([[x, y], [x + width, y], [x + width, y + 20], [x, y + 20]])
    return TextLine(corners, text)


def test_the_zone_is_the_lowest_lines_of_equal_length() -> None:
    """Other print above it is left out, broken lines are joined."""
    lines = [
        _line(20, "REPUBLIC", width=200),
        _line(300, "P<UTOERIKSSON<<ANNA", width=290),
        _line(300, "<MARIA<<<<<<<<<<<<", x=310, width=300),
        _line(345, "L898902C36UTO7408122F1204159ZE184226B<<<<<10"),
    ]
    assert [(row[0, 1], row[1, 0]) for row in find_rows(lines)] == [(300, 610), (345, 610)]
    assert find_rows([]) == []
    assert [(row[0, 1], row[1, 0]) for row in find_rows([_line(20, "A" * 30)])] == [(20, 610)]


@needs_network
@pytest.mark.parametrize("name", sorted(TRUTH))
def test_photos_are_read_right(name: str) -> None:
    """Photos made by `python -m annul.bench.reading photos`: every character of every line."""
    zone = read_zone_photo((PHOTOS / name).read_bytes(), READER, today=TODAY)
    assert list(zone.lines) == TRUTH[name]


@needs_network
def test_a_photo_taken_sideways_is_read() -> None:
    """Turned by a quarter, without a note of the camera."""
    from PIL import Image

    name = sorted(TRUTH)[0]
    buffer = io.BytesIO()
    with Image.open(PHOTOS / name) as photo:
        photo.transpose(Image.Transpose.ROTATE_90).save(buffer, "PNG")
    assert list(read_zone_photo(buffer.getvalue(), READER, today=TODAY).lines) == TRUTH[name]


@needs_network
def test_a_photo_without_a_zone_is_refused() -> None:
    """An empty table."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.effect_noise((400, 300), 60).save(buffer, "PNG")
    with pytest.raises(Unreadable, match="No machine-readable zone"):
        read_zone_photo(buffer.getvalue(), READER, today=TODAY)


READER = TextReader()


def png(width: int, height: int) -> bytes:
    """Write the header of a PNG of any size, without its pixels."""
    import zlib

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    crc = zlib.crc32(b"IHDR" + head).to_bytes(4, "big")
    body = zlib.compress(bytes(100))
    data = len(body).to_bytes(4, "big") + b"IDAT" + body + zlib.crc32(b"IDAT" + body).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + len(head).to_bytes(4, "big") + b"IHDR" + head + crc + data


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    """Ten gigapixels claimed in a hundred bytes."""
    with pytest.raises(TooLarge):
        decode_image(png(100_000, 100_000))
    with pytest.raises(TooLarge):
        decode_image(bytes(26 * 1024 * 1024))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", png(1, 1), png(1000, 1000), b"GIF89a" + bytes(50)])
def test_what_is_no_photo_is_unreadable(data: bytes) -> None:
    """Nothing, a stump, one pixel, missing pixels, a format that is not taken."""
    with pytest.raises(Unreadable):
        decode_image(data)


@given(
    st.binary(max_size=400), st.sampled_from([b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"BM", b"II*\0"])
)
@settings(deadline=None)
def test_no_image_file_crashes_the_decoder(data: bytes, magic: bytes) -> None:
    """Any bytes behind any magic number."""
    try:
        decode_image(magic + data)
    except (Unreadable, TooLarge):
        return


def test_the_shapes_alone_tell_lookalikes_apart() -> None:
    """Weights are there, and give probabilities."""
    cells = np.zeros((3, glyphs.CELL_HEIGHT, glyphs.CELL_WIDTH), np.float32)
    assert np.allclose(np.exp(glyphs.judge(cells)).sum(1), 1)


# -- rules that must not invent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("printed", ["<<<", "SUN", "QQQ", "D9<", "UT0"])
@pytest.mark.parametrize("field", ["nationality", "issuer"])
def test_an_illegal_value_that_is_seen_clearly_is_never_replaced(field: str, printed: str) -> None:
    """No check digit stands over it: refused, or read as it is printed; never the nearest legal text."""
    for seed in range(4):
        lines = random_zone(random.Random(seed), TD3)
        line, start = (1, 10) if field == "nationality" else (0, 2)
        lines[line] = lines[line][:start] + printed + lines[line][start + 3 :]
        tables = seen_surely(lines)
        for column in range(start, start + 3):  # look-alikes are as near as the network ever puts them
            tables[line][column] = np.minimum(tables[line][column], 9.0)
        try:
            zone = decide(TD3, tables, TODAY)
        except Unreadable:
            continue
        assert list(zone.lines) == lines


def test_an_expiry_of_another_age_is_told_as_that() -> None:
    """The check digits fit: it would not be true to say that they do not."""
    lines = random_zone(random.Random(5), TD3)
    expiry = "050101"
    rest = lines[1][:21] + expiry + check_digit(expiry) + lines[1][28:43]
    lines[1] = rest + check_digit(rest[0:10] + rest[13:20] + rest[21:43])
    with pytest.raises(Unreadable, match="expired, or expires, more than 16 years"):
        decide(TD3, seen_surely(lines), TODAY)


def test_a_cell_without_ink_is_unknown() -> None:
    """A printed filler has ink; burnt-out paper has none."""
    cells = np.zeros((3, glyphs.CELL_HEIGHT, glyphs.CELL_WIDTH), np.float32)
    cells[0, 5:20, 8:11] = 1.0
    cells[1, 10:14, 5:14] = 0.7
    assert glyphs.without_ink(cells).tolist() == [False, False, True]


@needs_network
def test_a_letter_burnt_out_of_a_name_is_no_filler() -> None:
    """A white spot over the last letter of a given name: refused, never read as a shorter name."""
    import cv2

    from annul.bench import reading as bench

    rng = random.Random(3)
    lines = random_zone(rng, TD1)
    name = "SMITH<<ANN"
    lines[2] = name.ljust(30, "<")
    image = bench.render(lines, TD1, rng, next(font for font in bench.FONTS if font.is_file()))
    centres, corners = bench.cell_centres(TD1, 2), bench.row_corners(TD1, 2)
    height = int(corners[:, 1].max() - corners[:, 1].min())
    middle = (int(centres[len(name) - 1][0]), int(corners[:, 1].mean()))
    burnt = np.array(image)
    cv2.ellipse(burnt, middle, (int(height * 0.45), height), 0, 0, 360, (255, 255, 255), -1)
    buffer = io.BytesIO(cv2.imencode(".png", burnt)[1].tobytes())
    with pytest.raises(Unreadable):
        read_zone_photo(buffer.getvalue(), TextReader(), today=TODAY)
