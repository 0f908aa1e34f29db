"""Open a list that may be packed: gzip, Zstandard, xz, bzip2 or ZIP, told by its first bytes and never by its name.

    with unpacked(path) as opened:
        opened.file.read(…)            # what the list says
        opened.done()                  # bytes of the file read so far, for progress

A damaged or cut-off file is a refusal in words. What unpacks to far more than it is, is the caller's to refuse
(`apart.require_ratio`).
Source: RFC 1952 (gzip), RFC 8878 (Zstandard), the .xz file format 1.2, bzip2 1.0, APPNOTE 6.3 (ZIP).
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from annul.errors import BadInput

MAGIC: Final = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
MEMBERS_NAMED: Final = 3
"""Files of an archive that a refusal names."""
PASS_BYTES: Final = 8 << 20


class Unpacked(NamedTuple):
    """Hold an open list: its plain bytes, how it is packed ("" plain), and how much of the file is read."""

    file: BinaryIO
    packing: str
    done: Callable[[], int]


def packing_of(path: Path) -> str:
    """Tell how a file is packed: gzip, zstd, xz, bzip2, zip, or "" for a plain one.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise BadInput(f"The list cannot be read: {error.strerror}.", where=path.name, mend="Name a file.") from error
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")


@contextlib.contextmanager
def unpacked(path: Path, place: int = 0) -> Iterator[Unpacked]:
    """Open a list, unpacked, at a place in its plain bytes.

    Raises:
        BadInput: it cannot be read or unpacked, or is an archive of another number of files than one. Errors of the reading
            that the body does are told in the same words.
    """
    kind = packing_of(path)
    try:
        with path.open("rb", buffering=0) as raw:
            file: Any = raw
            if kind == "gzip":
                file = gzip.GzipFile(fileobj=raw)
            elif kind == "xz":
                file = lzma.LZMAFile(raw)  # noqa: SIM115 - closed with the file under it
            elif kind == "bzip2":
                file = bz2.BZ2File(raw)
            elif kind == "zip":
                file = _only_member(raw, path.name)
            elif kind == "zstd":
                # Imported here: only lists packed with Zstandard need it.
                import pyarrow as pa

                file = pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")
            _skip(file, place, packed=bool(kind))
            yield Unpacked(file, kind, raw.tell)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError) as error:
        raise BadInput(
            "The file cannot be read or unpacked.",
            where=f"{path.name}{f', packed with {kind}' if kind else ''}",
            mend="Fetch the file again; the import goes on where it stopped.",
        ) from error


def head_of(path: Path, count: int) -> bytes:
    """Return the first bytes of a list, unpacked; see `unpacked` for what is refused."""
    with unpacked(path) as opened:
        return bytes(opened.file.read(count))


def _only_member(raw: BinaryIO, name: str) -> Any:
    archive = zipfile.ZipFile(raw)
    members = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    names = [info.filename for info in members]
    if "[Content_Types].xml" in names:
        raise BadInput(
            "This is a document of an office program, not a list.",
            where=name,
            mend="Save the sheet as CSV in UTF-8, numbers as text.",
        )
    if len(names) != 1:
        told = ", ".join(names[:MEMBERS_NAMED]) + (" …" if len(names) > MEMBERS_NAMED else "")
        raise BadInput(
            f"The archive holds {len(names)} files, not one list.",
            where=f"{name}: {told}" if told else name,
            mend="Pack one list alone.",
        )
    if members[0].flag_bits & 1:
        raise BadInput("The archive asks for a password.", where=name, mend="Pack the list without one.")
    return archive.open(members[0])


def _skip(file: Any, place: int, *, packed: bool) -> None:
    """Go to a place; a packed file must be unpacked up to there."""
    if not packed:
        file.seek(place)
        return
    while place > 0:
        passed = file.read(min(place, PASS_BYTES))
        if not passed:
            return
        place -= len(passed)
