"""Photos from phones: every form for every room, the right way up, and as bright as they are."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.likeness.people import packed, print_image

from annul.errors import BadInput
from annul.likeness import pictures, samples
from annul.reader import ocr
from annul.reader.faults import Unreadable

GREY = np.tile(np.linspace(20, 220, 400), (300, 1)).astype(np.uint8)


def saved(picture: Pillow.Image, form: str, **options: object) -> bytes:
    """Encode a picture."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", pictures.FORMS)
def test_every_form_is_read_in_every_room(form: str) -> None:
    """A face and a document may come in any of them."""
    data = saved(Pillow.fromarray(np.dstack([GREY] * 3)), form)
    for pixels in (samples.decode_face(data).pixels, ocr.decode_image(data)):
        assert pixels.shape == (300, 400, 3)
        assert np.abs(pixels[:, :, 1].astype(int) - GREY).mean() < 4


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG2000"])
def test_grey_of_sixteen_bits_is_as_bright_as_it_is(form: str) -> None:
    """Pillow's own conversion clamps: the whole portrait would be white."""
    data = saved(Pillow.fromarray(GREY.astype(np.uint16) * 257), form)
    for pixels in (samples.decode_face(data).pixels, ocr.decode_image(data)):
        assert np.abs(pixels[:, :, 0].astype(int) - GREY).max() <= (1 if form != "JPEG2000" else 12)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_camera_s_note_of_which_way_is_up_is_obeyed(form: str, orientation: int) -> None:
    """All eight, as Pillow's own function turns them."""
    from PIL import ImageOps

    scene = np.zeros((200, 300, 3), np.uint8)
    scene[:60, :90], scene[-50:, -80:] = (250, 10, 10), (10, 10, 250)
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    data = saved(Pillow.fromarray(scene), form, exif=exif)
    right = np.asarray(ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))).convert("RGB")).astype(int)
    seen = samples.decode_face(data).pixels
    assert seen.shape == right.shape
    assert np.abs(seen - right).mean() < 6


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"%PDF-1.7\n", "PDF"),
        (b"GIF89a", "GIF"),
    ],
)
def test_a_form_that_is_not_read_is_called_by_its_name(start: bytes, name: str) -> None:
    """With what to do about it."""
    for decode in (samples.decode_face, samples.decode_finger):
        with pytest.raises(BadInput, match=name) as caught:
            decode(start + bytes(500))
        assert "most compatible" in str(caught.value.mend)
    with pytest.raises(Unreadable, match=name):
        ocr.decode_image(start + bytes(500))


@pytest.mark.parametrize("form", pictures.LOSSY)
def test_a_print_whose_compression_changes_ridges_is_refused_by_name(form: str) -> None:
    """JPEG and WebP are for photos."""
    with pytest.raises(BadInput, match=f"{form} file, whose compression"):
        samples.decode_finger(packed(print_image(1), form))


def test_a_large_photo_is_held_once(tmp_path: Path) -> None:
    """25 megapixels of PNG, 75 MB: decoding Pillow holds it in 100 MB; not three copies of it."""
    (tmp_path / "large.png").write_bytes(saved(Pillow.fromarray(np.zeros((5000, 5000, 3), np.uint8)), "PNG"))
    code = (
        "import re, sys; from annul.likeness import samples; import PIL.Image, PIL.PngImagePlugin, numpy\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "data = open(sys.argv[1], 'rb').read(); before = peak()\n"
        "samples.decode_face(data); print((peak() - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "large.png"], capture_output=True, text=True, check=True)
    assert 60 <= int(done.stdout) <= 200
