"""The text records of the cards that a resident card's reader box opens: four kinds, told apart by the mark at byte 248.

    blank   resident identity card (GA/T 490)
    J       residence permit of a resident of Hong Kong, Macao or Taiwan, since 2018
    I       permanent residence card of a foreigner, 2017
    Y       permanent residence card of a foreigner, 2023

All are 256 bytes of UTF-16LE in fields of fixed size, padded with blanks. A mark that is none of these is said to be an unknown
kind of card, not a damaged one. The last 36 bytes of a resident's record are reserved: a newer address is read by a command of
its own and has four fields of 70 bytes.

Source: GA/T 490-2019 and GA/T 467 (resident), the record tables of reader makers and of the police test centre (J, I, Y);
GB/T 3304 (ethnic groups), ISO 3166-1 (numeric codes of states).
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from annul.errors import BadInput, MalformedNumber
from annul.reader.faults import CardMalformed, CardUnknown
from annul.reader.reading import Assurance, HolderFields, Means, Reading
from annul.records.document import DocumentFields, parse_document
from annul.records.schemes.cn_resident import remarks_of

TEXT_BYTES: Final = 256
MARK_AT: Final = 248
"""Byte at which the mark of the kind stands."""
ADDRESS_BYTES: Final = 70
LONG_TERM: Final = "长期"

ETHNICITIES = (
    "汉", "蒙古", "回", "藏", "维吾尔", "苗", "彝", "壮", "布依", "朝鲜", "满", "侗", "瑶", "白",
    "土家", "哈尼", "哈萨克", "傣", "黎", "傈僳", "佤", "畲", "高山", "拉祜", "水", "东乡", "纳西", "景颇",
    "柯尔克孜", "土", "达斡尔", "仫佬", "羌", "布朗", "撒拉", "毛南", "仡佬", "锡伯", "阿昌", "普米", "塔吉克", "怒",
    "乌孜别克", "俄罗斯", "鄂温克", "德昂", "保安", "裕固", "京", "塔塔尔", "独龙", "鄂伦春", "赫哲", "门巴", "珞巴", "基诺",
)  # fmt: skip
"""GB/T 3304-1991, code 01 to 56."""

_NUMERIC: Final = """
004 AFG 008 ALB 010 ATA 012 DZA 016 ASM 020 AND 024 AGO 028 ATG 031 AZE 032 ARG 036 AUS 040 AUT 044 BHS 048 BHR 050 BGD
051 ARM 052 BRB 056 BEL 060 BMU 064 BTN 068 BOL 070 BIH 072 BWA 074 BVT 076 BRA 084 BLZ 086 IOT 090 SLB 092 VGB 096 BRN
100 BGR 104 MMR 108 BDI 112 BLR 116 KHM 120 CMR 124 CAN 132 CPV 136 CYM 140 CAF 144 LKA 148 TCD 152 CHL 156 CHN 158 TWN
162 CXR 166 CCK 170 COL 174 COM 175 MYT 178 COG 180 COD 184 COK 188 CRI 191 HRV 192 CUB 196 CYP 203 CZE 204 BEN 208 DNK
212 DMA 214 DOM 218 ECU 222 SLV 226 GNQ 231 ETH 232 ERI 233 EST 234 FRO 238 FLK 239 SGS 242 FJI 246 FIN 248 ALA 250 FRA
254 GUF 258 PYF 260 ATF 262 DJI 266 GAB 268 GEO 270 GMB 275 PSE 276 DEU 288 GHA 292 GIB 296 KIR 300 GRC 304 GRL 308 GRD
312 GLP 316 GUM 320 GTM 324 GIN 328 GUY 332 HTI 334 HMD 336 VAT 340 HND 344 HKG 348 HUN 352 ISL 356 IND 360 IDN 364 IRN
368 IRQ 372 IRL 376 ISR 380 ITA 384 CIV 388 JAM 392 JPN 398 KAZ 400 JOR 404 KEN 408 PRK 410 KOR 414 KWT 417 KGZ 418 LAO
422 LBN 426 LSO 428 LVA 430 LBR 434 LBY 438 LIE 440 LTU 442 LUX 446 MAC 450 MDG 454 MWI 458 MYS 462 MDV 466 MLI 470 MLT
474 MTQ 478 MRT 480 MUS 484 MEX 492 MCO 496 MNG 498 MDA 499 MNE 500 MSR 504 MAR 508 MOZ 512 OMN 516 NAM 520 NRU 524 NPL
528 NLD 531 CUW 533 ABW 534 SXM 535 BES 540 NCL 548 VUT 554 NZL 558 NIC 562 NER 566 NGA 570 NIU 574 NFK 578 NOR 580 MNP
581 UMI 583 FSM 584 MHL 585 PLW 586 PAK 591 PAN 598 PNG 600 PRY 604 PER 608 PHL 612 PCN 616 POL 620 PRT 624 GNB 626 TLS
630 PRI 634 QAT 638 REU 642 ROU 643 RUS 646 RWA 652 BLM 654 SHN 659 KNA 660 AIA 662 LCA 663 MAF 666 SPM 670 VCT 674 SMR
678 STP 682 SAU 686 SEN 688 SRB 690 SYC 694 SLE 702 SGP 703 SVK 704 VNM 705 SVN 706 SOM 710 ZAF 716 ZWE 724 ESP 728 SSD
729 SDN 732 ESH 740 SUR 744 SJM 748 SWZ 752 SWE 756 CHE 760 SYR 762 TJK 764 THA 768 TGO 772 TKL 776 TON 780 TTO 784 ARE
788 TUN 792 TUR 795 TKM 796 TCA 798 TUV 800 UGA 804 UKR 807 MKD 818 EGY 826 GBR 831 GGY 832 JEY 833 IMN 834 TZA 840 USA
850 VIR 854 BFA 858 URY 860 UZB 862 VEN 876 WLF 882 WSM 887 YEM 894 ZMB
"""
_STATES: Final = dict(zip(_NUMERIC.split()[::2], _NUMERIC.split()[1::2], strict=True))


class CardForm(StrEnum):
    """The kinds of cards, by the name of their form."""

    RESIDENT = "CHN-RESIDENT"
    HONG_KONG_MACAO_TAIWAN = "CHN-RESIDENT-HMT"
    FOREIGNER_2017 = "CHN-FOREIGNER-2017"
    FOREIGNER_2023 = "CHN-FOREIGNER-2023"


_MARKS: Final = {
    "": CardForm.RESIDENT,
    "J": CardForm.HONG_KONG_MACAO_TAIWAN,
    "I": CardForm.FOREIGNER_2017,
    "Y": CardForm.FOREIGNER_2023,
}
_LAYOUTS: Final[dict[CardForm, tuple[tuple[str, int], ...]]] = {
    CardForm.RESIDENT: (
        ("name", 30), ("sex", 2), ("ethnicity", 4), ("birth", 16), ("address", 70), ("number", 36), ("authority", 30),
        ("valid_from", 16), ("valid_until", 16), ("reserved", 28),
    ),
    CardForm.HONG_KONG_MACAO_TAIWAN: (
        ("name", 30), ("sex", 2), ("reserved", 4), ("birth", 16), ("address", 70), ("number", 36), ("authority", 30),
        ("valid_from", 16), ("valid_until", 16), ("permit", 18), ("times_issued", 4), ("reserved", 6),
    ),
    CardForm.FOREIGNER_2017: (
        ("name", 120), ("sex", 2), ("number", 30), ("nationality", 6), ("native_name", 30), ("valid_from", 16),
        ("valid_until", 16), ("birth", 16), ("version", 4), ("authority", 8),
    ),
    CardForm.FOREIGNER_2023: (
        ("native_name", 30), ("sex", 2), ("times_issued", 4), ("birth", 16), ("name", 70), ("number", 36), ("reserved", 30),
        ("valid_from", 16), ("valid_until", 16), ("reserved", 22), ("nationality", 6),
    ),
}  # fmt: skip
"""Fields of each kind with their sizes in bytes, as far as the mark."""


@dataclass(frozen=True, slots=True, repr=False)
class CardRecord:
    """The text record of a card; "" where its kind has no such field.

    Attributes:
        form: the kind of card.
        name: as the card is known by: Chinese for residents, Latin for foreigners.
        native_name: Chinese name of a foreigner.
        sex: F or M ("" if neither).
        ethnicity: name of the ethnic group, or "" for codes outside GB/T 3304.
        nationality: three letters.
        birth_date: YYYY-MM-DD.
        address: as it was written when the card was issued.
        number: the number of the card's kind; a citizen number is checked.
        authority: issuing police authority (for a foreigner's card of 2017 its code).
        valid_from: YYYY-MM-DD. valid_until: YYYY-MM-DD or "long-term".
        permit_number: travel permit of a resident of Hong Kong, Macao or Taiwan.
        times_issued: how often the card was issued (J) or renewed (Y); 0 where it is not told.
    """

    form: CardForm
    name: str
    birth_date: str
    number: str
    valid_from: str
    valid_until: str
    sex: str = ""
    native_name: str = ""
    ethnicity: str = ""
    nationality: str = "CHN"
    address: str = ""
    authority: str = ""
    permit_number: str = ""
    times_issued: int = 0

    def document(self) -> DocumentFields:
        """Return what a check asks about."""
        if self.form is CardForm.FOREIGNER_2017:
            return DocumentFields(
                scheme="generic",
                issuer="CHN",
                kind="FOREIGNER-2017",
                number=self.number,
                valid_from=self.valid_from,
                valid_until=self.valid_until,
            )
        return DocumentFields(
            scheme="cn-resident", number=self.number, valid_from=self.valid_from, valid_until=self.valid_until
        )


def parse_record(text: bytes) -> CardRecord:
    """Read the 256-byte text record of any of the four kinds.

    Raises:
        CardUnknown: its mark is of none of them.
        CardMalformed: length, coding, number, check character or a date is wrong, or number and birth date differ.
    """
    if len(text) != TEXT_BYTES:
        raise CardMalformed("a text record of wrong length", where="resident card")
    mark = _text(text[MARK_AT : MARK_AT + 2])
    if mark.isascii() and mark.isalnum() and mark not in _MARKS:
        raise CardUnknown(mark)
    # a resident's record has reserved bytes there, which older boxes may fill with anything
    form = _MARKS.get(mark, CardForm.RESIDENT)
    fields, offset = {}, 0
    for name, size in _LAYOUTS[form]:
        if name != "reserved":
            fields[name] = _text(text[offset : offset + size])
        offset += size
    until = fields["valid_until"]
    record = CardRecord(
        form=form,
        name=fields["name"],
        native_name=fields.get("native_name", ""),
        sex={"1": "M", "2": "F"}.get(fields["sex"], ""),
        ethnicity=_ethnicity(fields.get("ethnicity", "")),
        nationality=_nationality(form, fields.get("nationality", "")),
        birth_date=_day(fields["birth"]),
        address=fields.get("address", ""),
        number=fields["number"],
        authority=fields.get("authority", ""),
        valid_from=_day(fields["valid_from"]),
        valid_until="long-term" if until == LONG_TERM else _day(until),
        permit_number=fields.get("permit", ""),
        times_issued=_count(fields.get("times_issued", "")),
    )
    _check(record)
    return record


def _check(record: CardRecord) -> None:
    try:
        parse_document(record.document())
    except (MalformedNumber, BadInput):
        raise CardMalformed("its number or dates break the rules of its kind of card", where="resident card") from None
    if record.form is CardForm.FOREIGNER_2017:
        agrees = record.number[7:13] == record.birth_date[2:].replace("-", "")
    else:
        agrees = birth_date_of(record.number) == record.birth_date
    if not (record.name or record.native_name) or not agrees:
        raise CardMalformed("its dates contradict each other", where="resident card")


def _text(field: bytes) -> str:
    try:
        return field.decode("utf-16-le").rstrip("\0 \u3000").strip()
    except UnicodeDecodeError:
        raise CardMalformed("a text record in another coding", where="resident card") from None


def _ethnicity(code: str) -> str:
    group = int(code) if code.isascii() and code.isdigit() else 0
    return ETHNICITIES[group - 1] if 1 <= group <= len(ETHNICITIES) else ""


def _nationality(form: CardForm, code: str) -> str:
    """Return three letters: J cards are of Chinese citizens, I cards write letters, Y cards ISO's digits."""
    if form in (CardForm.RESIDENT, CardForm.HONG_KONG_MACAO_TAIWAN):
        return "CHN"
    return _STATES.get(code, code)


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _day(text: str) -> str:
    try:
        if len(text) != 8 or not (text.isascii() and text.isdigit()):
            raise ValueError
        return datetime.date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        raise CardMalformed("a field that should be a date", where="resident card") from None


def newest_address(data: bytes) -> str:
    """Return the last address that is written in up to four fields of 70 bytes, or "".

    Raises:
        CardMalformed: another coding.
    """
    fields = [_text(data[at : at + ADDRESS_BYTES]) for at in range(0, min(len(data), 4 * ADDRESS_BYTES), ADDRESS_BYTES)]
    return next((field for field in reversed(fields) if field), "")


def birth_date_of(number: str) -> str:
    """Return the birth date inside a citizen number as YYYY-MM-DD."""
    return f"{number[6:10]}-{number[10:12]}-{number[12:14]}"


def sex_of(number: str) -> str:
    """Return M or F: the 17th digit of a citizen number is odd for men (GB 11643)."""
    return "M" if int(number[16]) % 2 else "F"


def reading_of(record: CardRecord, *, at: datetime.datetime, newer_address: str = "") -> Reading:
    """Make a reading of a text record.

    Args:
        record: the record.
        at: time of the reading, UTC.
        newer_address: address that was written to the card after its issue, or "".
    """
    notes = list(remarks_of(record.number)) if record.form is not CardForm.FOREIGNER_2017 else []
    if record.valid_until != "long-term" and record.valid_until < at.date().isoformat():
        notes.append("expired")
    if record.form is not CardForm.FOREIGNER_2017 and record.sex and record.sex != sex_of(record.number):
        notes.append("sex_differs_from_number")
    return Reading(
        means=Means.RESIDENT_CHIP,
        assurance=Assurance.CARD_DATA,
        document=record.document(),
        holder=HolderFields(
            name=record.name or record.native_name,
            sex=record.sex,
            birth_date=record.birth_date,
            nationality=record.nationality,
            personal_number=record.number,
            ethnicity=record.ethnicity,
            address=newer_address or record.address,
            native_name=record.native_name,
        ),
        read_at=at,
        valid_until=record.valid_until,
        notes=tuple(notes),
        form=record.form.value,
        permit_number=record.permit_number,
        times_issued=record.times_issued,
    )
