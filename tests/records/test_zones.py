"""Zones that are wrong, each by one fault with right check digits around it; and zones of forms that nobody knows."""

from __future__ import annotations

import datetime

import pytest
from tests.corpus import digit

from annul.records.mrz import FormUnknown, ZoneMalformed, read_typed

TODAY = datetime.date(2026, 11, 30)


def passport(
    code: str = "P<", issuer: str = "UTO", names: str = "ERIKSSON<<ANNA<MARIA", birth: str = "740812", expiry: str = "320415",
    optional: str = "ZE184226B<<<<<", optional_digit: str = "", sex: str = "F", nationality: str = "UTO",
) -> str:  # fmt: skip
    """Return a passport's zone whose check digits are right whatever its fields are."""
    lower = "L898902C36" + nationality + birth + digit(birth) + sex + expiry + digit(expiry) + optional
    lower += optional_digit or digit(optional)
    lower += digit(lower[:10] + lower[13:20] + lower[21:43])
    return (code + issuer + names).ljust(44, "<") + "\n" + lower


def card(
    code: str = "I<", upper: str = "D231458907", birth: str = "740812", expiry: str = "320415", names: str = "ERIKSSON<<ANNA"
) -> str:
    """Return a card's zone whose check digits are right but for those in `upper`."""
    first = (code + "UTO" + upper).ljust(30, "<")
    second = (birth + digit(birth) + "F" + expiry + digit(expiry) + "UTO").ljust(29, "<")
    second += digit(first[5:30] + second[:7] + second[8:15] + second[18:29])
    return "\n".join((first, second, names.ljust(30, "<")))


def spoilt(zone: str) -> str:
    """Return a card's zone with another digit over the whole."""
    first, second, third = zone.split("\n")
    return "\n".join((first, second[:-1] + str((int(second[-1]) + 1) % 10), third))


RUSSIAN = "PNRUSKOTOVA<<ANNA<IVANOVNA<<<<<<<<<<<<<<<<<<\n4507000013RUS8505121F<<<<<<<5110915770045<94"
FRENCH = "IDFRADUPONT<<<<<<<<<<<<<<<<<<<759012\n1203759001239MARIE<<CLAIRE<8507125F5"
VISA = "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL8988901C4XXX400907{}F96121096ZE184226B<<<<<<"
BAD = [
    ("impossible day", passport(birth="740231"), "/mrz/1", "date of birth"),
    ("month 13", passport(birth="741312"), "/mrz/1", "date of birth"),
    ("letters in the date", passport(birth="74O812"), "/mrz/1", "date of birth"),
    ("day without month", passport(birth="74<<12"), "/mrz/1", "date of birth"),
    ("impossible expiry", passport(expiry="320230"), "/mrz/1", "date of expiry"),
    ("expiry with a filler", passport(expiry="3204<<"), "/mrz/1", "date of expiry"),
    ("visa, wrong digit of the birth date", VISA.format("7"), "/mrz/1", "date of birth"),
    ("optional digit missing over data", passport(optional_digit="<"), "/mrz/1", "optional data"),
    ("optional digit wrong", passport(optional_digit="7"), "/mrz/1", "optional data"),
    ("sex", passport(sex="H"), "/mrz/1", "sex"),
    ("issuing state", passport(issuer="QQQ"), "/mrz/0", "issuing state"),
    ("nationality", passport(nationality="QQQ"), "/mrz/1", "nationality"),
    ("digit in the name", passport(names="ERIKSS0N<<ANNA"), "/mrz/0", "name"),
    ("no name", passport(names=""), "/mrz/0", "name"),
    ("name behind one filler", passport(names="<ANNA"), "/mrz/0", "name"),
    ("long number, wrong digit", card(upper="D23145890<7340"), "/mrz/0", "document number"),
    ("long number that does not go on", card(upper="D23145890<"), "/mrz/0", "document number"),
    ("long number of ten characters, digit missing", card(upper="D23145890<7"), "/mrz/0", "document number"),
    ("number empty", card(upper="<<<<<<<<<0"), "/mrz/0", "document number"),
    ("number, wrong digit", card(upper="D231458900"), "/mrz/0", "document number"),
    ("number, filler for the digit", card(upper="D2314589<<"), "/mrz/0", "document number"),
    ("birth date of the card", card(birth="740431"), "/mrz/1", "date of birth"),
    ("letter that no zone has", passport().replace("MARIA", "MÄRIA"), "/mrz/0", "line 1"),
    ("longer than any zone", "P<" * 201, "/mrz", "longer"),
    ("composite digit", passport()[:-1] + str((int(passport()[-1]) + 1) % 10), "/mrz/1", "whole zone"),
    ("composite digit of a card", spoilt(card()), "/mrz/1", "whole zone"),
    ("internal passport of Russia under another code", RUSSIAN.replace("PN", "PM"), "/mrz/0", "document code"),
    ("internal passport of Russia, sign outside the table", RUSSIAN.replace("ANNA<I", "ANNA1I"), "/mrz/0", "name"),
    ("French card, wrong last digit", FRENCH[:-1] + "6", "/mrz/1", "whole zone"),
    ("French card, digit in the given name", FRENCH.replace("MARIE", "MAR1E"), "/mrz/1", "whole zone"),
    ("Chinese permit, wrong overall digit", "CSC123456788<2901156<9005019<3", "/mrz/0", "whole zone"),
    ("Chinese permit, separator", "CSC1234567887290115629005019<2", "/mrz/0", "filler"),
]  # fmt: skip
UNKNOWN = [
    ("one line of 20", "P<UTO123456789012345"),
    ("lines of 40", ("A" * 40 + "\n") * 2),
    ("passport's line is one short", passport()[1:]),
    ("code that no passport has", passport(code="X<")),
    ("code that no card has", card(code="1<")),
    ("a passport's code on a card of three lines", card(code="P<")),
    ("four lines", ("I" * 30 + "\n") * 4),
    ("nothing", ""),
]


@pytest.mark.parametrize(("what", "text", "where", "field"), BAD, ids=[what for what, *_ in BAD])
def test_a_wrong_zone_says_where_and_which_field(what: str, text: str, where: str, field: str) -> None:
    """The line and the field, never the value."""
    with pytest.raises(ZoneMalformed) as refused:
        read_typed(text, TODAY)
    assert not isinstance(refused.value, FormUnknown), what
    assert refused.value.where == where
    assert field in str(refused.value).lower()
    assert "L898902C3" not in str(refused.value)
    assert refused.value.mend


@pytest.mark.parametrize(("what", "text"), UNKNOWN, ids=[what for what, _ in UNKNOWN])
def test_a_form_nobody_knows_is_not_called_wrong(what: str, text: str) -> None:
    """It is not known here, and the way on is told: number and issuing state."""
    with pytest.raises(FormUnknown, match="not known here") as refused:
        read_typed(text, TODAY)
    assert "number" in refused.value.mend, what
    assert "issuing state" in refused.value.mend, what
    assert "wrong" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "birth"), [(passport(birth="74<<<<"), "1974"), (passport(birth="740000"), "1974"), (passport(birth="<<<<<<"), "")]
)
def test_unknown_month_and_day_are_no_fault(text: str, birth: str) -> None:
    """Fillers or zeros: what is known is told, with a remark."""
    zone = read_typed(text, TODAY)
    assert zone.birth == birth
    assert zone.remarks == ("birth_incomplete",)


def test_the_tables_zones_are_right_but_for_their_fault() -> None:
    """Without a fault they are read, so that each refusal above is for its fault."""
    assert read_typed(passport(), TODAY).number == "L898902C3"
    assert read_typed(card(), TODAY).number == "D23145890"
    assert read_typed(VISA.format("8"), TODAY).is_visa
    assert read_typed(passport(optional="<" * 14, optional_digit="<"), TODAY).optional == ("",)
