"""Remember where a list came from: the file's name and digest, and the lines its sender lets the second officer read.

The lines hold document numbers: they are sealed like other personal details, shown while the list waits, and erased with the
decision. Whoever decides compares name and digest with what was announced, and the lines with the documents they are about.
"""

from __future__ import annotations

import base64
import bz2
import hashlib
from pathlib import Path
from typing import Final

import msgspec

from annul.registry.writing.personal import seal, unseal_as

LINES: Final = 10
"""Lines shown in clear at most."""
LINE_CHARS_MAX: Final = 300
NAME_CHARS_MAX: Final = 120


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a list came from.

    Args:
        name: of the file, as its sender called it; "" when it came in without one.
        sha256: of the file as it came, hexadecimal.
        sealed: ciphertext and wrapped key (base64) of the lines in clear; "" when none are shown, or no longer.
    """

    name: str = ""
    sha256: str = ""
    sealed: str = ""
    wrapped: str = ""


class _Shown(msgspec.Struct):
    lines: list[str]


def origin_of(file: Path, *, name: str, show: bool, bulk_id: str, master: bytes) -> Origin:
    """Return the origin of a list that lies in a file.

    Args:
        name: what its sender called it.
        show: its sender lets the second officer read the first lines in clear.
        bulk_id: the event whose lines they are; they open for no other.
        master: envelope key of the key file.
    """
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    called = "".join(sign for sign in Path(name.replace("\\", "/")).name if sign.isprintable())[:NAME_CHARS_MAX]
    lines = _first_lines(file) if show else []
    if not lines:
        return Origin(name=called, sha256=digest)
    sealed = seal(_Shown(lines), bulk_id, master)
    return Origin(
        name=called,
        sha256=digest,
        sealed=base64.b64encode(sealed.ciphertext).decode(),
        wrapped=base64.b64encode(sealed.wrapped_key).decode(),
    )


def lines_of(origin: Origin, bulk_id: str, master: bytes) -> list[str]:
    """Return the lines in clear; none when none are shown."""
    if not origin.sealed:
        return []
    return unseal_as(_Shown, base64.b64decode(origin.sealed), base64.b64decode(origin.wrapped), bulk_id, master).lines


def _first_lines(file: Path) -> list[str]:
    """Return the first lines of a list of text; a list that is no text shows none."""
    opener = bz2.open if file.suffix == ".bz2" else open
    found: list[str] = []
    try:
        with opener(file, "rt", encoding="utf-8", newline=None) as opened:
            while len(found) < LINES and (line := opened.readline(LINE_CHARS_MAX + 1)):
                if not all(sign.isprintable() or sign in "\t\r\n" for sign in line):
                    return []
                found.append(line.rstrip("\r\n")[:LINE_CHARS_MAX])
    except (UnicodeDecodeError, OSError, EOFError):
        return []
    return found
