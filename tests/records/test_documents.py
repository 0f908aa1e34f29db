"""Documents: normal forms, precise refusals, and the rules of each scheme.

Vectors: tests/vectors/gb11643.json, tests/vectors/icao9303.json.
"""

from __future__ import annotations

import json
import unicodedata
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import ric

from annul.errors import AnnulError, BadInput, MalformedNumber, TooLarge
from annul.records import mrz
from annul.records.divisions import AS_OF, PROVINCES, years
from annul.records.document import DocumentFields, parse_document
from annul.records.scheme import plain
from annul.records.schemes.cn_resident import check_character, remarks_of
from annul.times import LONG_TERM_DAY

VECTORS = Path(__file__).parents[1] / "vectors"
GB = json.loads((VECTORS / "gb11643.json").read_text())
ICAO = json.loads((VECTORS / "icao9303.json").read_text())
TODAY_DAY = (date(2026, 11, 23) - date(1970, 1, 1)).days
TODAY = date(2026, 11, 23)
NUMBER = GB["numbers"][0]["number"]


def cn(body: str) -> str:
    """Return a citizen number with its check character."""
    return body + check_character(body)


def parse(**fields: Any) -> Any:
    """Parse with a fixed today."""
    return parse_document(DocumentFields(**fields), TODAY_DAY)


def refusal(**fields: Any) -> AnnulError:
    """Return the error of fields that must be refused."""
    with pytest.raises((MalformedNumber, BadInput)) as caught:
        parse(**fields)
    return caught.value


def test_the_standards_specimen_is_read() -> None:
    """GB 11643-1999's example, with the dates of a card."""
    document = parse(scheme="cn-resident", number=NUMBER, valid_from="2016-10-06", valid_until="2036-10-06")
    assert (document.number, document.issuer, document.kind) == (NUMBER, "CN", "resident")
    assert document.valid_from_day == 17080
    assert document.valid_until_day == 24385
    assert document.coverage_name == "cn-resident"
    assert document.discriminated
    assert document.has_discriminator
    assert not parse(scheme="cn-resident", number=NUMBER).has_discriminator


def test_check_characters_are_those_of_iso_7064() -> None:
    """MOD 11-2: the standard's specimens, and python-stdnum on every digit string."""
    for vector in GB["numbers"]:
        assert check_character(vector["number"][:17]) == vector["number"][17]
    for vector in GB["mod_11_2"]:
        assert check_character(vector["body"]) == vector["check"]


@given(
    st.from_regex(
        r"[1-6][1-5]0[1-3]0[1-3](19[3-9][0-9]|20[01][0-9])(0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])[0-9]{3}", fullmatch=True
    )
)
def test_a_number_is_read_exactly_when_its_check_fits_and_its_province_exists(body: str) -> None:
    """Against python-stdnum: whatever it accepts we accept; a county that no list has is a remark."""
    number = cn(body)
    try:
        parse(scheme="cn-resident", number=number)
        accepted = True
    except MalformedNumber:
        accepted = False
    assert accepted == (number[:2] in PROVINCES)
    if accepted:
        assert remarks_of(number) == (() if number[:6] in years() else ("division_unknown",))
    try:
        known = ric.is_valid(number)
    except KeyError:  # python-stdnum breaks on places it does not know
        known = False
    assert accepted or not known


@pytest.mark.parametrize(
    "typed",
    [
        "11010519491231002x",
        " 110105 19491231 002X ",
        "110105-19491231-002x",
        "１１０１０５１９４９１２３１００２Ｘ",
        "١١٠١٠٥١٩٤٩١٢٣١٠٠٢X",
        "۱۱۰۱۰۵۱۹۴۹۱۲۳۱۰۰۲x",
        "११०१०५१९४९१२३१००२X",
        "\u200e110105\u00a019491231\u2013002X\ufeff",
    ],
)
def test_a_number_may_be_typed_as_people_type(typed: str) -> None:
    """Full-width, Arabic-Indic, Persian and Devanagari digits, small x, blanks, dashes, invisible marks."""
    assert parse(scheme="cn-resident", number=typed).number == NUMBER


@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("11010519491231002", "18 characters"),
        ("110105194912310020", "check character"),
        ("110105194912310O2X", "17 digits"),
        ("11010519491231002Y", "17 digits"),
        ("110105491231002", "15 digits"),
        (cn("00010519491231002"), "code of a province"),
        (cn("11010519490231002"), "no date"),
        (cn("11010520300101002"), "future"),
        (cn("11010518800101002"), "130 years"),
        ("", "18 characters"),
        ("\u2460" * 18, "check character"),
        ("²" * 18, "check character"),
    ],
)
def test_a_refusal_says_what_to_do_and_never_a_digit_of_the_number(number: str, says: str) -> None:
    """Every way to be wrong has its own sentence and next step (U33)."""
    error = refusal(scheme="cn-resident", number=number)
    assert isinstance(error, MalformedNumber)
    assert error.where == "/document/number"
    assert error.mend
    assert says in error.message
    digits = [text for text in (number[:6], number[6:14], number[-4:]) if len(text) > 3]
    assert not any(text in str(error) for text in digits)


def test_the_printed_example_of_1880_is_too_old_today() -> None:
    """GB 11643's second example has a good check character, but its holder would be 146."""
    number = GB["numbers"][1]["number"]
    assert ric.calc_check_digit(number) == number[-1]
    assert "130 years" in refusal(scheme="cn-resident", number=number).message


@pytest.mark.parametrize("place", ["810000", "820000", "830000", "911124", "931156", "999999"])
def test_residents_from_hong_kong_macao_taiwan_and_foreigners_are_not_refused(place: str) -> None:
    """python-stdnum rejects these codes, although cards carry them."""
    number = cn(place + "19900307" + "123")
    assert parse(scheme="cn-resident", number=number).number == number


def test_abolished_counties_stay_good() -> None:
    """A number keeps the code of its first registration: Chongwen district was abolished in 2010."""
    number = cn("110103" + "20120307" + "123")
    assert not ric.is_valid(number)
    assert parse(scheme="cn-resident", number=number).number == number


def test_a_child_born_today_east_of_greenwich_is_not_born_in_the_future() -> None:
    """With the clock's own today, the date ahead of UTC counts."""
    number = cn("11010520261123002")
    assert parse(scheme="cn-resident", number=number).number == number
    with pytest.raises(MalformedNumber):
        parse_document(DocumentFields(scheme="cn-resident", number=number), TODAY_DAY - 1)


@pytest.mark.parametrize("until", ["long-term", "LONG TERM", "长期", "9999-12-31", "99991231"])
def test_long_term_cards_have_no_end(until: str) -> None:
    """Cards of holders over 45 end never; readers spell it differently."""
    document = parse(scheme="cn-resident", number=NUMBER, valid_from="2016-10-06", valid_until=until)
    assert document.valid_until_day == LONG_TERM_DAY


@pytest.mark.parametrize("day", ["2016-10-06", "20161006", "2016.10.06", "２０１６－１０－０６", " 2016-10-06 "])
def test_dates_may_be_written_as_on_the_card(day: str) -> None:
    """Hyphens, dots, nothing, full width."""
    assert parse(scheme="cn-resident", number=NUMBER, valid_from=day).valid_from_day == 17080


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"valid_from": "2016-13-06"}, "/document/valid_from"),
        ({"valid_from": "06.10.2016"}, "/document/valid_from"),
        ({"valid_from": "2016-W40-1"}, "/document/valid_from"),
        ({"valid_from": "1899-12-31"}, "/document/valid_from"),
        ({"valid_from": "1949-12-30"}, "/document/valid_from"),
        ({"valid_from": "long-term"}, "/document/valid_from"),
        ({"valid_until": "2200-01-01"}, "/document/valid_until"),
        ({"valid_until": "1969-01-01"}, "/document/valid_until"),
        ({"valid_from": "2016-10-06", "valid_until": "2016-10-06"}, "/document/valid_until"),
        ({"series": "1"}, "/document/series"),
        ({"mrz": ["x"]}, "/document/mrz"),
        ({"issuer": "CN"}, "/document/issuer"),
        ({"number": None}, "/document/number"),
        ({"scheme": "cn_resident"}, "/document/scheme"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], where: str) -> None:
    """Bad input is not a malformed number: the pointer says which member is wrong."""
    error = refusal(**{"scheme": "cn-resident", "number": NUMBER} | fields)
    assert isinstance(error, BadInput)
    assert (error.where, bool(error.mend)) == (where, True)


def test_numbers_show_in_no_representation() -> None:
    """A log line of a question or a document tells no number."""
    fields = DocumentFields(scheme="cn-resident", number=NUMBER, valid_from="2016-10-06")
    assert NUMBER not in repr(fields) + str(fields) + repr(parse_document(fields)) + str(parse_document(fields))


@pytest.mark.parametrize("zone", ICAO["zones"], ids=lambda zone: zone["name"])
def test_doc_9303_specimens_are_read_whole(zone: dict[str, Any]) -> None:
    """Every field of the specimens of parts 4, 5, 6 and of the long numbers of part 11."""
    read = mrz.parse(mrz.split_lines("\n".join(zone["lines"])), date(2011, 1, 1))
    names = ("kind", "issuer", "number", "birth", "sex", "expiry", "primary", "secondary")
    assert {name: getattr(read, name) for name in names} == {name: zone[name] for name in names}
    assert read.layout == zone["form"]
    assert all(mrz.field_checks(zone["lines"]).values())
    document = parse(scheme="icao-9303", mrz=zone["lines"])
    assert (document.issuer, document.kind, document.number) == (zone["issuer"], zone["class"], zone["number"])
    by_fields = parse(scheme="icao-9303", issuer=zone["issuer"], kind=zone["kind"], number=zone["number"])
    assert (by_fields.number, by_fields.kind, by_fields.issuer) == (document.number, document.kind, document.issuer)
    assert document.coverage_name == f"icao-9303/{zone['issuer']}/{zone['class']}"


def test_worked_check_digits_of_part_3() -> None:
    """Doc 9303-3, section 4.9."""
    for vector in ICAO["check_digits"]:
        assert mrz.check_digit(vector["field"]) == vector["digit"]


CHECKED = [
    (zone["lines"], line, column)
    for zone in ICAO["zones"]
    for line, text in enumerate(zone["lines"])
    for column in range(len(text))
    if text[column].isdigit()
]


@pytest.mark.parametrize("form", range(len(ICAO["zones"])))
def test_every_misread_digit_of_a_zone_is_refused(form: int) -> None:
    """Change each digit of the zone by one: some check digit notices."""
    lines = ICAO["zones"][form]["lines"]
    tried = 0
    for zone, line, column in CHECKED:
        if zone is not lines:
            continue
        wrong = list(lines)
        wrong[line] = wrong[line][:column] + str((int(wrong[line][column]) + 1) % 10) + wrong[line][column + 1 :]
        with pytest.raises(MalformedNumber):
            parse(scheme="icao-9303", mrz=wrong)
        tried += 1
    assert tried >= 10


def test_each_check_digit_has_a_result_of_its_own() -> None:
    """A reader can say which field was misread."""
    upper, lower = ICAO["zones"][0]["lines"]
    wrong = lower[:14] + "9" + lower[15:]
    assert mrz.field_checks([upper, wrong]) == {"number": True, "birth": False, "expiry": True, "optional": True, "zone": False}


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        ("P", "P"),
        ("P<", "P"),
        ("PP", "P"),
        ("pd", "P"),
        ("I<", "ID"),
        ("ID", "ID"),
        ("IP", "ID"),
        ("AC", "AC"),
        ("AR", "A"),
        ("C<", "C"),
    ],
)
def test_the_second_letter_of_a_document_code_does_not_tell_documents_apart(typed: str, kind: str) -> None:
    """It is at the issuer's discretion; only AC is a class of its own."""
    assert parse(scheme="icao-9303", issuer="UTO", kind=typed, number="L898902C3").kind == kind


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"kind": "V"}, "/document/kind"),
        ({"kind": "PASSPORT"}, "/document/kind"),
        ({"issuer": "ZZZ"}, "/document/issuer"),
        ({"issuer": None}, "/document/issuer"),
        ({"number": "L898-9Я"}, "/document/number"),
        ({"number": "A" * 23}, "/document/number"),
        ({"mrz": ICAO["zones"][1]["lines"]}, "/document/kind"),
        ({"mrz": ICAO["zones"][0]["lines"], "number": "L898902C4"}, "/document/number"),
        ({"mrz": ICAO["zones"][0]["lines"], "valid_until": "2012-04-16"}, "/document/valid_until"),
    ],
)
def test_fields_of_a_travel_document_are_checked_one_by_one(fields: dict[str, Any], where: str) -> None:
    """Also when fields and zone name different documents."""
    error = refusal(**{"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": "L898902C3"} | fields)
    assert error.where == where


def test_a_visa_is_no_document_of_its_bearer() -> None:
    """Doc 9303-7 zones are read by the reader, but not taken for the document they stand in."""
    upper = "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<"
    lower = "L8988901C4XXX4009078F96121096ZE184226B<<<<<<"
    with pytest.raises(MalformedNumber):
        parse(scheme="icao-9303", mrz=[upper, lower])


@pytest.mark.parametrize(
    "fields",
    [
        {"series": "4509", "number": "123456"},
        {"series": "45 09", "number": "123 456"},
        {"number": "4509 123456"},
        {"series": "４５０９", "number": "١٢٣٤٥٦"},
    ],
)
def test_russian_passports_have_series_and_number(fields: dict[str, str]) -> None:
    """Apart, together, with blanks, in other digits."""
    document = parse(scheme="ru-internal", **fields)
    assert (document.number, document.coverage_name) == ("4509123456", "ru-internal")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"series": "450", "number": "123456"}, "/document/series"),
        ({"series": "45O9", "number": "123456"}, "/document/series"),
        ({"series": "4509", "number": "12345"}, "/document/number"),
        ({"series": "4509", "number": "1234567"}, "/document/number"),
        ({"number": "123456"}, "/document/series"),
        ({"series": "4509"}, "/document/number"),
    ],
)
def test_wrong_russian_passports_are_refused(fields: dict[str, str], where: str) -> None:
    """Letters, short and long numbers, a missing half."""
    assert refusal(scheme="ru-internal", **fields).where == where


def test_generic_documents_are_issuer_kind_and_number() -> None:
    """Names are short names; the number may have letters of any script."""
    document = parse(scheme="generic", issuer="utopia.post", kind="staff-card", number="а 17/b")
    assert document.coverage_name == "generic/UTOPIA.POST/STAFF-CARD"
    assert document.number == "А17/B"
    for fields in (
        {"issuer": "a b"},
        {"issuer": "../x"},
        {"kind": ""},
        {"kind": "-x"},
        {"number": "<script>"},
        {"number": "x" * 41},
    ):
        assert refusal(**{"scheme": "generic", "issuer": "A", "kind": "B", "number": "1"} | fields).where is not None


def test_a_megabyte_is_refused_before_it_is_looked_at() -> None:
    """Length comes first, also for callers that build fields themselves."""
    with pytest.raises(TooLarge):
        parse(scheme="ru-internal", series="4509", number="1" * 1_000_000)


@given(st.text(max_size=100), st.sampled_from(["cn-resident", "icao-9303", "ru-internal", "generic"]))
def test_any_text_is_read_or_refused_but_never_breaks(text: str, scheme: str) -> None:
    """Whatever comes over the wire ends in a document or in one of the two errors."""
    for fields in (
        {"number": text},
        {"number": "1", "series": text},
        {"number": "1", "issuer": text, "kind": text},
        {"mrz": [text]},
        {"number": NUMBER, "valid_from": text, "valid_until": text},
    ):
        try:
            document = parse(scheme=scheme, **fields)
        except (MalformedNumber, BadInput):
            continue
        assert document.number


@given(st.text(max_size=100))
def test_the_normal_form_is_its_own_normal_form(text: str) -> None:
    """Normalising twice changes nothing."""
    once = plain(text, "/x")
    if len(once) <= 100 and unicodedata.is_normalized("NFKC", once):
        assert plain(once, "/x") == once


@pytest.mark.parametrize(
    "division", ["330113", "330114", "133100", "460321", "460322", "460323", "632857", "620201", "321119", "330103", "110103"]
)
def test_numbers_of_places_that_lists_had_late_or_never_are_numbers(division: str) -> None:
    """Districts of 2021, Xiongan, the islands of Sansha, abolished places: accepted, without a remark."""
    number = cn(division + "19731031032")
    assert parse(scheme="cn-resident", number=number).number == number
    assert remarks_of(number) == ()


def test_the_number_of_a_report_is_accepted_and_an_unknown_county_is_a_remark() -> None:
    """An unknown county of a known province is no fault; a province that is none is."""
    assert parse(scheme="cn-resident", number="321119197310310323").number == "321119197310310323"
    assert remarks_of(parse(scheme="cn-resident", number=cn("33999919731031032")).number) == ("division_unknown",)
    with pytest.raises(MalformedNumber, match="province"):
        parse(scheme="cn-resident", number=cn("19010119731031032"))


def test_divisions_say_their_years() -> None:
    """First and last year of a list that has them; the list says as of when it is whole."""
    assert years()["330113"] == (2021, None)
    assert years()["330103"] == (1980, 2019)
    assert years()["110103"][1] == 2009
    assert AS_OF == "2025-04"


@pytest.mark.parametrize(
    ("given_code", "kept"),
    [("DEU", "D"), ("D", "D"), ("D<<", "D"), ("ZIM", "ZWE"), ("ROM", "ROU"), ("KS", "RKS"), ("ANT", "ANT"), ("NTZ", "NTZ")],
)
def test_one_state_has_one_code(given_code: str, kept: str) -> None:
    """A report that says DEU stops the zone that says D."""
    assert parse(scheme="icao-9303", issuer=given_code, kind="P", number="C01X00T47").issuer == kept


def test_a_document_without_scheme_is_a_zone_or_nothing() -> None:
    """`{"mrz": [...]}` is enough; no scheme and no zone is asked back."""
    lines = ["P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"]
    assert parse(mrz=lines).number == "L898902C3"
    with pytest.raises(BadInput, match="scheme is missing"):
        parse(number="1")
