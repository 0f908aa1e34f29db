"""Hostile and broken samples: a specific answer, bounded time and memory."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.likeness.people import packed, print_image

from annul.errors import BadInput, TooLarge
from annul.likeness import samples


def png_of_size(width: int, height: int) -> bytes:
    """Make a PNG whose header claims a size; its data is a few bytes (a decompression bomb's skin)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(50_000, 50_000), (10_000, 5_001), (2**31 - 1, 2**31 - 1)])
def test_bombs_and_fifty_megapixels_are_refused_by_their_header(size: tuple[int, int]) -> None:
    """Nothing is unpacked: the stated size decides."""
    with pytest.raises(BadInput) as refused:
        samples.decode_face(png_of_size(*size))
    assert refused.value.mend
    with pytest.raises(BadInput):
        samples.decode_finger(png_of_size(*size))


def test_a_real_fifty_megapixel_jpeg_is_refused_as_too_large() -> None:
    """The limit has its own error."""
    with pytest.raises(TooLarge, match="pixels"):
        samples.decode_face(packed(np.zeros((6250, 8000), np.uint8), "JPEG"))


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (47, 400)])
def test_an_image_too_small_to_hold_a_trait_is_refused(size: tuple[int, int]) -> None:
    """1 x 1 and other slivers: the error says the least size."""
    image = packed(np.zeros((size[1], size[0]), np.uint8))
    for decode in (samples.decode_face, samples.decode_finger):
        with pytest.raises(BadInput, match="at least 48"):
            decode(image)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "JPEG2000", "WSQ"])
def test_a_print_is_decoded_from_every_format(form: str) -> None:
    """PNG, TIFF and BMP are exact, WSQ and JPEG 2000 are close."""
    image = print_image(1)
    pixels = samples.decode_finger(packed(image, form)).pixels
    assert pixels.shape == image.shape
    if form in ("WSQ", "JPEG2000"):
        assert np.corrcoef(pixels.ravel(), image.ravel())[0, 1] > 0.95
    else:
        np.testing.assert_array_equal(pixels, image)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "JPEG2000", "WSQ"])
def test_truncated_prints_are_refused(form: str) -> None:
    """A file cut in the middle or after its header is BadInput."""
    whole = packed(print_image(1), form)
    for end in (3, 30, len(whole) // 2):
        with pytest.raises(BadInput):
            samples.decode_finger(whole[:end])


def test_wsq_files_that_crash_the_decoder_crash_only_a_child() -> None:
    """Mutated WSQ files give pixels or BadInput; this process lives on."""
    whole = packed(print_image(1), "WSQ")
    rng = random.Random(3)
    for _ in range(25):
        broken = bytearray(whole)
        for _ in range(rng.randrange(1, 20)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        with contextlib.suppress(BadInput):
            assert samples.decode_finger(bytes(broken)).pixels.ndim == 2


def test_a_wsq_that_claims_another_size_than_it_has_is_refused() -> None:
    """The frame header is checked before the decoder sees the file."""
    whole = bytearray(packed(print_image(1), "WSQ"))
    at = bytes(whole).index(b"\xff\xa2")
    struct.pack_into(">HH", whole, at + 6, 60_000, 60_000)
    with pytest.raises(TooLarge):
        samples.decode_finger(bytes(whole))


@pytest.mark.parametrize("sample", [b"", b"GIF89a", b"%PDF-1.7", b"\xff\xa0", b"FMR\0", bytes(5000)])
def test_what_is_no_image_is_refused(sample: bytes) -> None:
    """Other files and nothing at all."""
    for decode in (samples.decode_face, samples.decode_finger):
        with pytest.raises(BadInput):
            decode(sample)


def test_a_sample_over_the_byte_limit_is_refused_unread() -> None:
    """Bytes are counted first."""
    with pytest.raises(TooLarge):
        samples.decode_face(b"\xff\xd8" + bytes(samples.SAMPLE_BYTES_MAX))


def test_a_gif_is_not_decoded_although_the_library_could() -> None:
    """Only the listed formats reach a decoder."""
    with pytest.raises(BadInput, match="not an image of the formats"):
        samples.decode_face(packed(print_image(1), "GIF"))


def test_sixteen_bit_prints_are_refused_rather_than_clipped() -> None:
    """A silent conversion would ruin the ridges."""
    buffer = io.BytesIO()
    Pillow.fromarray(np.full((100, 100), 30_000, np.uint16)).save(buffer, "PNG")
    with pytest.raises(BadInput, match="8 bits"):
        samples.decode_finger(buffer.getvalue())


def test_a_photo_stored_sideways_is_turned_upright() -> None:
    """The EXIF orientation of phone cameras is obeyed."""
    picture = Pillow.fromarray(np.zeros((100, 200, 3), np.uint8))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif)
    assert samples.decode_face(buffer.getvalue()).pixels.shape == (200, 100, 3)


def test_errors_hold_no_byte_and_no_cause_of_the_sample() -> None:
    """What a decoder says about hostile bytes is not repeated."""
    with pytest.raises(BadInput) as refused:
        samples.decode_face(b"\x89PNG\r\n\x1a\nSECRET-OF-THE-BEARER" + bytes(100))
    assert "SECRET" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


@pytest.mark.parametrize(("stated", "believed"), [(500, 500.0), (1000, 1000.0), (72, None), (1, None), (5000, None)])
def test_only_plausible_resolutions_are_believed(stated: int, believed: float | None) -> None:
    """Software writes 72 without meaning it."""
    buffer = io.BytesIO()
    Pillow.fromarray(print_image(1)).save(buffer, "TIFF", dpi=(stated, stated))
    assert samples.decode_finger(buffer.getvalue()).dpi == believed
