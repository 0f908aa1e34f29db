"""Documents of the corpus photographed: each drawn with its zone, then read by the whole way of a photo.

    python -m tests.corpus.photos --level 0

Needs the package fonts-ocr-b. A photo is right or refused; a zone read otherwise is a failure, and so is a form of which no
photo is read.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Final

from annul.bench.reading import damage, render
from annul.reader.faults import Unreadable
from annul.reader.ocr import TextReader
from annul.reader.zone_photo import read_zone_photo
from annul.records.forms import FORMS
from tests.corpus import TODAY, ZONES

FONT: Final = Path("/usr/share/fonts/opentype/ocr-b/OCRB.otf")
PAGES: Final = {30: "TD1", 36: "TD2", 44: "TD3"}
"""Columns of a zone -> the size of page it is printed on."""


def main() -> int:
    """Photograph every document that is read from photos; print what became of each form."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--level", type=int, default=0, choices=(0, 1, 2), help="how badly it is photographed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-form", type=int, default=1000, help="documents of each form, at most")
    given = parser.parse_args()
    forms = {form.name: form for form in FORMS}
    reader = TextReader()
    told: dict[str, list[str]] = defaultdict(list)
    wrong = 0
    for number, entry in enumerate(ZONES):
        if "photo" not in entry["carriers"] or len(told[entry["form"]]) >= given.per_form:
            continue
        rng = random.Random(given.seed * 1000 + number)
        form = forms[entry["form"]]
        page = render(entry["lines"], replace(form, name=PAGES[form.columns]), rng, FONT)
        try:
            found = list(read_zone_photo(damage(page, given.level, rng), reader, today=TODAY).lines)
        except Unreadable as error:
            told[form.name].append("refused")
            print(f"{entry['name']}: refused: {error}", flush=True)
            continue
        right = found == entry["lines"]
        wrong += not right
        told[form.name].append("right" if right else "WRONG")
        if not right:
            print(f"{entry['name']}: WRONG {found}")
    for name, outcomes in told.items():
        print(f"{name:22} " + ", ".join(f"{outcomes.count(each)} {each}" for each in ("right", "refused", "WRONG")))
    unread = [name for name, outcomes in told.items() if "right" not in outcomes]
    return 1 if wrong or unread else 0


if __name__ == "__main__":
    sys.exit(main())
