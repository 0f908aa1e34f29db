"""Turn what a clerk typed, pasted or photographed into the fields of a document. Pictures stay in memory and are gone after."""

from __future__ import annotations

import asyncio
import datetime
import io
import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from multipart import MultipartError, MultipartParser, parse_options_header

from annul.errors import BadInput, TimedOut, TooLarge
from annul.reader.ocr import IMAGE_MAX_BYTES, TextReader
from annul.records.document import DocumentFields
from annul.records.mrz import cut_lines
from annul.records.references import REFERENCE
from annul.records.scheme import Typed
from annul.records.schemes import kinds, recognised, scheme_of
from annul.records.schemes.icao_9303 import ICAO_9303
from annul.web.door.words import _

if TYPE_CHECKING:
    from annul.reader.reading import Reading
    from annul.web.door.call import Call

TEXT_BYTES_MAX: Final = 64 * 1024
"""All texts of a form with pictures together."""
UPLOAD_TIMEOUT_S: Final = 60


class CheckForm(msgspec.Struct, forbid_unknown_fields=True):
    """Form of the counter page. `name` is the bearer's, `urgent` "yes" when the need is urgent."""

    number: str = ""
    valid_from: str = ""
    valid_until: str = ""
    kind: str = ""
    issuer: str = ""
    mrz: str = ""
    name: str = ""
    purpose: str = ""
    reference: Annotated[str, msgspec.Meta(extra=REFERENCE)] = ""
    urgent: str = ""


EMPTY: Final = dict.fromkeys(CheckForm.__struct_fields__, "")


def fields_of(form: CheckForm) -> DocumentFields:
    """Turn what the clerk typed into the fields of a document; the kind is told by the number where it can be.

    A whole machine-readable zone may be pasted into either box, with or without its line breaks.

    Raises:
        BadInput: nothing was typed, or the kind cannot be told; `where` is the form's field.
    """
    zone = form.mrz.strip() or (form.number if "<" in form.number else "")
    if zone:
        return DocumentFields(ICAO_9303.name, mrz=_lines(zone, "mrz" if form.mrz.strip() else "number"))
    number = form.number.strip()
    if not number:
        raise BadInput(_("Type the number of the document."), where="number")
    bare = re.sub(r"[\s-]", "", number)
    scheme = scheme_of(form.kind) if form.kind else recognised(bare)
    kind = form.kind or (scheme.kinds[-1].name if scheme is not None else "")
    if scheme is None or kind not in CHOICES:
        raise BadInput(_("Choose the kind of document."), where="kind")
    return scheme.fields_of_typed(Typed(number, kind, form.issuer, _date(form.valid_from), _date(form.valid_until)))


CHOICES: Final = frozenset(kind.name for kind in kinds() if kind.choice)
"""Kinds of documents that can be typed."""


def _lines(zone: str, where: str) -> list[str]:
    typed = [re.sub(r"\s", "", line) for line in zone.upper().splitlines() if line.strip()]
    if len(typed) > 1:
        return typed
    whole = re.sub(r"\s", "", zone.upper())
    lines = cut_lines(whole)
    if not lines:
        raise BadInput(_("The lines at the foot of the document are not complete."), where=where)
    return lines


def _date(typed: str) -> str:
    """Return a date as YYYY-MM-DD that was typed with dots or slashes, or without any; other texts as they are."""
    found = re.fullmatch(r"\s*(\d{4})[-./ ]?(\d{2})[-./ ]?(\d{2})\s*", typed)
    return "-".join(found.groups()) if found else typed.strip()


# -- pictures ----------------------------------------------------------------------------------------------------------------


async def read_form(call: Call, limit: int) -> tuple[dict[str, str], dict[str, bytes]]:
    """Read a form with files into memory; nothing of it touches the disk.

    Args:
        limit: bytes of the whole body; a larger one is refused by its stated length, before it is read.

    Returns:
        Texts and files by field; empty files are left out.

    Raises:
        TooLarge, TimedOut, BadInput: the body is too large, too slow, or no form.
    """
    request = call.request
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data" or "boundary" not in options:
        raise BadInput("The form must be multipart/form-data.", where="Content-Type")
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > limit:
        raise _too_large(limit)
    body = io.BytesIO()
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_S):
            async for part in request.stream():
                if body.tell() + len(part) > limit:
                    raise _too_large(limit)
                body.write(part)
    except TimeoutError:
        raise TimedOut("The body did not arrive in time.") from None
    body.seek(0)
    texts: dict[str, str] = {}
    files: dict[str, bytes] = {}
    try:
        parser = MultipartParser(
            body,
            options["boundary"],
            content_length=len(body.getbuffer()),
            disk_limit=0,
            memory_limit=limit + TEXT_BYTES_MAX,
            buffer_size=TEXT_BYTES_MAX,
            spool_limit=limit + 1,
        )
        for piece in parser:
            if piece.filename or piece.content_type not in ("", "text/plain"):
                if piece.size:
                    files[piece.name] = piece.raw
            else:
                texts[piece.name] = piece.value
    except (MultipartError, UnicodeDecodeError):
        raise BadInput("The form cannot be read.", mend="Send multipart/form-data in UTF-8.") from None
    if any("\0" in text for text in texts.values()):
        raise BadInput("A field of the form holds the character U+0000.")
    return texts, files


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"A picture may have at most {limit >> 20} MB.", mend="Take it again with less resolution.")


@cache
def _texts() -> TextReader:
    return TextReader()


_turn: Final = asyncio.Semaphore(1)
"""One picture is read at a time: it takes a second of one core, and checks go on beside it."""


async def read_photo(photo: bytes, of: str) -> Reading:
    """Read a photo of a document: its machine-readable zone, or the front of a resident card.

    Args:
        photo: the image file.
        of: "zone", "resident", or "" to try both.

    Raises:
        Unreadable: nothing certain was found. TooLarge, BadInput: not an image that is read. MissingPackage.
    """
    if len(photo) > IMAGE_MAX_BYTES:
        raise _too_large(IMAGE_MAX_BYTES)
    async with _turn:
        return await asyncio.to_thread(_read, photo, of)


def _read(photo: bytes, of: str) -> Reading:
    from annul.reader import reading
    from annul.reader.faults import Unreadable
    from annul.reader.resident_photo import read_resident_photo
    from annul.reader.zone_photo import read_zone_photo

    now = datetime.datetime.now(datetime.UTC)
    if of != "resident":
        try:
            zone = read_zone_photo(photo, _texts(), today=now.date())
            return reading.of_zone(zone, reading.Means.ZONE_PHOTO, now)
        except Unreadable:
            if of == "zone":
                raise
    return read_resident_photo(photo, _texts(), at=now)


def typed_from(found: Reading) -> dict[str, Any]:
    """Return what a reading puts into the counter's form: a typing aid, which the clerk compares with the document."""
    document = found.document
    if found.zone:
        values = {"mrz": "\n".join(found.zone)}
    else:
        values = {
            "number": document.number or "",
            "valid_from": document.valid_from or "",
            "valid_until": document.valid_until or "",
        }
    return {**EMPTY, **values, "name": found.holder.name if found.holder is not None else ""}
