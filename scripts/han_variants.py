"""Write src/annul/records/han_variants.py anew from the tables of the OpenCC release that is installed.

Run it by hand after `uv pip install opencc==VERSION`. A change of the table is a change of the normal form of names: raise
`NAME_VERSION` in records/names.py with it, so that the tags of all names are made anew.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import opencc  # type: ignore[import-untyped]

BLOCKS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2EBE0),
    (0x2EBF0, 0x2EE5D),
    (0x30000, 0x323AF),
)
TARGET = Path(__file__).parent.parent / "src" / "annul" / "records" / "han_variants.py"
PAIRS_A_LINE = 30


def table() -> dict[str, str]:
    """Return character -> simplified character for every ideograph that has one; the result is a fixed point."""
    characters = [chr(code) for first, last in BLOCKS for code in range(first, last + 1)]

    def converted(configuration: str, texts: list[str]) -> list[str]:
        # One character a line: no phrase of OpenCC's dictionaries can reach over it.
        return str(opencc.OpenCC(configuration).convert("\n".join(texts))).split("\n")

    simple = dict(zip(characters, converted("t2s", characters), strict=True))
    of_hong_kong = zip(characters, converted("t2s", converted("hk2t", characters)), strict=True)
    simple |= {old: new for old, new in of_hong_kong if simple[old] == old}
    found = {}
    for old in characters:
        new = simple[old]
        while simple[new] != new:
            new = simple[new]
        if new != old:
            found[old] = new
    return found


def source() -> str:
    """Return the text of the module."""
    pairs = [old + new for old, new in sorted(table().items())]
    lines = ["".join(pairs[at : at + PAIRS_A_LINE]) for at in range(0, len(pairs), PAIRS_A_LINE)]
    body = "\n".join(f'    "{line}"' for line in lines)
    return f'''"""Chinese characters and the simplified ones they are variants of: {len(pairs)} pairs, in order of code points.

Made by scripts/han_variants.py from the character tables of OpenCC {version("opencc")} (Apache-2.0): t2s, and
for what that leaves alone hk2t, then t2s. Do not edit it: the tags of names depend on every pair.
"""

OPENCC = "{version("opencc")}"

PAIRS = (
{body}
)
'''


if __name__ == "__main__":
    TARGET.write_text(source(), encoding="utf-8")
    print(f"{len(table())} pairs")
