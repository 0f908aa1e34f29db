#!/bin/sh
# Pillow 13.0.0: a grey picture of 16 bits becomes white when it is converted to 8 bits or to RGB: values above 255 are clamped,
# not scaled. Valid input: a PNG of mode I;16. Seen: mean 128 of 255 becomes 255. Needs python3 and a package index.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import numpy
import PIL
from PIL import Image

grey = numpy.full((20, 20), 128 * 257, numpy.uint16)
buffer = io.BytesIO()
Image.fromarray(grey).save(buffer, "PNG")
picture = Image.open(io.BytesIO(buffer.getvalue()))
seen = numpy.asarray(picture.convert("RGB")).mean()
print(f"Pillow {PIL.__version__}: mode {picture.mode}, 16-bit mean {grey.mean():.0f}, converted to RGB: mean {seen:.0f} (scaled: 128)")
assert PIL.__version__ == "13.0.0" and picture.mode == "I;16" and seen == 255, "the behaviour has changed"
PYTHON
