"""The printed sides of the Chinese resident card from a photo.

Front: name, sex, ethnic group, birth, address, citizen number. Back: authority and validity. The number's check
character (ISO/IEC 7064 MOD 11-2, which finds every single wrong character and every exchange of neighbours), the
printed birth date and sex, and a second look at a differently prepared picture are its judges. What they do not agree
on is refused. A photo proves nothing about the card: the reading is a typing aid.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from annul.errors import BadInput, MalformedNumber
from annul.reader.faults import Unreadable
from annul.reader.ocr import TextLine, TextReader, decode_image, ways_up
from annul.reader.reading import Assurance, HolderFields, Means, Reading
from annul.reader.resident_records import ETHNICITIES, birth_date_of, sex_of
from annul.records.document import DocumentFields, parse_document
from annul.records.schemes.cn_resident import remarks_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DIGIT_ALIKE = str.maketrans("OoQDIl|!iZzSsBxХ", "0000111112255" + "8XX")
_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9OoQDIl|!iZzSsB]{17}[0-9XxХOoIlSsB](?![0-9A-Za-z])")
_BIRTH = re.compile(r"((?:19|20)\d\d)年(\d{1,2})月(\d{1,2})日")
_VALIDITY = re.compile(r"((?:19|20)\d\d)\.(\d\d)\.(\d\d)[-—–一~至]+(((?:19|20)\d\d)\.(\d\d)\.(\d\d)|长期)")
_LABELS = ("姓名", "性别", "民族", "出生", "住址", "公民身份号码")
_NAME = re.compile(r"^[\u3400-\u9fff\U00020000-\U0003ffff][\u3400-\u9fff\U00020000-\U0003ffff·•]{1,24}$")


@dataclass(frozen=True, slots=True, repr=False)
class PrintedCard:
    """What one look at a photo gave; "" for what was not seen."""

    number: str = ""
    name: str = ""
    sex: str = ""
    ethnicity: str = ""
    birth_date: str = ""
    valid_from: str = ""
    valid_until: str = ""


def read_resident_photo(photo: bytes, reader: TextReader, *, at: datetime.datetime, back: bytes | None = None) -> Reading:
    """Read the front of a resident card, and its back if there is a photo of it.

    Args:
        photo: a file (`pictures.FORMS`) of the front, or of both sides in one picture.
        reader: the text reader.
        at: time of the reading, UTC.
        back: photo of the back.
    Raises:
        Unreadable: number or name is missing or not certain. TooLarge. MissingPackage.
    """
    front = _agreed(decode_image(photo), reader, ("number", "name"))
    if back is not None:
        second = _agreed(decode_image(back), reader, ("valid_from", "valid_until"))
        front = replace(front, valid_from=second.valid_from, valid_until=second.valid_until)
    notes = list(remarks_of(front.number))
    if not front.valid_from:
        notes.append("front_only")
    if front.valid_until and front.valid_until != "long-term" and front.valid_until < at.date().isoformat():
        notes.append("expired")
    return Reading(
        means=Means.RESIDENT_PHOTO,
        assurance=Assurance.TYPING_AID,
        document=DocumentFields(
            scheme="cn-resident",
            number=front.number,
            valid_from=front.valid_from or None,
            valid_until=front.valid_until or None,
        ),
        holder=HolderFields(
            name=front.name,
            sex=front.sex or sex_of(front.number),
            birth_date=birth_date_of(front.number),
            nationality="CHN",
            personal_number=front.number,
            ethnicity=front.ethnicity,
        ),
        read_at=at,
        valid_until=front.valid_until,
        notes=tuple(notes),
    )


def _agreed(image: NDArray[np.uint8], reader: TextReader, needed: Sequence[str]) -> PrintedCard:
    """Look twice, at differently prepared pictures, and keep what both looks agree on."""
    import numpy as np

    lines = reader.lines(image)
    first = PrintedCard()
    for turn in ways_up(lines):
        turned = np.ascontiguousarray(np.rot90(image, turn))
        first = parse_lines(lines if turn == 0 else reader.lines(turned))
        if any(getattr(first, name) for name in needed):
            image = turned
            break
    else:
        raise _missing(needed[0])
    second = parse_lines(reader.lines(_prepared(image)))
    for name in needed:
        if not getattr(first, name) or not getattr(second, name):
            raise _missing(name)
        if getattr(first, name) != getattr(second, name):
            raise Unreadable(
                f"Two looks at the photo give a different {name.replace('_', ' ')}.",
                where="/photo",
                mend="Take the photo again with more light, or type it.",
            )
    agreed = {
        field: getattr(first, field)
        for field in PrintedCard.__dataclass_fields__
        if getattr(first, field) == getattr(second, field)
    }
    return PrintedCard(**agreed)


def _missing(name: str) -> Unreadable:
    return Unreadable(
        f"The photo does not show the {name.replace('_', ' ')} clearly enough.",
        where="/photo",
        mend="Lay the card flat, fill the picture with it, and avoid reflections.",
    )


def _prepared(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2
    import numpy as np

    light = cv2.cvtColor(image, cv2.COLOR_BGR2LAB)
    light[:, :, 0] = cv2.createCLAHE(2.0, (8, 8)).apply(light[:, :, 0])
    evened = cv2.cvtColor(light, cv2.COLOR_LAB2BGR)
    return np.asarray(cv2.resize(evened, None, fx=0.88, fy=0.88, interpolation=cv2.INTER_AREA), np.uint8)


def parse_lines(lines: Sequence[TextLine]) -> PrintedCard:
    """Find the fields in the lines of one look. A number that breaks any rule counts as not seen."""
    texts = ["".join(line.text.split()) for line in lines]
    whole = "".join(texts)
    birth = _BIRTH.search(whole)
    printed_birth = _date(*birth.groups()) if birth else ""
    sex = "M" if "性别男" in whole else "F" if "性别女" in whole else ""
    number = next((good for text in texts for good in _numbers(text, printed_birth, sex)), "")
    group = next((name for name in sorted(ETHNICITIES, key=len, reverse=True) if f"民族{name}" in whole), "")
    validity = _VALIDITY.search(whole.replace("。", ".").replace("·", "."))
    start = end = ""
    if validity:
        start = _date(*validity.groups()[:3])
        end = "long-term" if validity.group(4) == "长期" else _date(*validity.groups()[4:])
        if not start or not end or (end != "long-term" and end <= start):
            start = end = ""
    return PrintedCard(number, _name(lines), sex, group, printed_birth, start, end)


def _numbers(text: str, printed_birth: str, sex: str) -> list[str]:
    tail = text.rsplit("码", 1)[-1] if "码" in text else text
    good = []
    for match in _NUMBER.finditer(tail.lstrip(":：")):
        number = match.group().translate(_DIGIT_ALIKE)
        try:
            parse_document(DocumentFields(scheme="cn-resident", number=number))
        except (MalformedNumber, BadInput):
            continue
        if printed_birth and printed_birth != birth_date_of(number):
            continue
        if sex and sex != sex_of(number):
            continue
        good.append(number)
    return good


def _name(lines: Sequence[TextLine]) -> str:
    """Return the text behind the label of the name, in the same line of text or in the one beside it."""
    for line in lines:
        text = "".join(line.text.split())
        if "姓名" not in text:
            continue
        name = text.split("姓名", 1)[1].lstrip(":：")
        if not name:
            name = _right_of(line, lines)
        name = name.replace("•", "·")
        if _NAME.match(name) and not any(label in name for label in _LABELS):
            return name
    return ""


def _right_of(label: TextLine, lines: Sequence[TextLine]) -> str:
    centre = label.corners.mean(0)
    height = float(label.corners[:, 1].max() - label.corners[:, 1].min())
    beside = [
        line
        for line in lines
        if line is not label
        and abs(float(line.corners.mean(0)[1] - centre[1])) < 0.6 * height
        and float(line.corners[:, 0].min()) > float(centre[0])
    ]
    if not beside:
        return ""
    return "".join(min(beside, key=lambda line: float(line.corners[:, 0].min())).text.split())


def _date(year: str, month: str, day: str) -> str:
    try:
        return datetime.date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return ""
