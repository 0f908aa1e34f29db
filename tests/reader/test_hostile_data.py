"""Every decoder of what a chip or a file may send: any bytes give a value or an error of the room, quickly.

`python tests/reader/test_hostile_data.py DECODER` runs one of them under atheris instead of hypothesis.
"""

from __future__ import annotations

import datetime
import random
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annul.errors import AnnulError
from annul.reader import specimen, tlv
from annul.reader.access import parse_security_infos
from annul.reader.datagroups import portrait_of_dg2, zone_of_dg1
from annul.reader.faults import CardMalformed
from annul.reader.passive import PassiveVerdict, authenticate
from annul.reader.secure_messaging import Session, Suite
from annul.reader.specimen import ChipKey, SpecimenCountry
from annul.reader.trust import TrustList
from annul.records.mrz import read_typed

AT = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
ZONE = ["I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F3204153UTO<<<<<<<<<<<2", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"]
UTOPIA = SpecimenCountry(AT)
INFOS = specimen.security_infos([specimen.PACE_AES], ChipKey.new())
GROUPS = specimen.data_groups(ZONE, b"\xff\xd8\xff\xe0" + bytes(60), INFOS)
SOD = UTOPIA.security_object(GROUPS)
TRUST = UTOPIA.trust_list()


def passive(data: bytes) -> None:
    """Passive authentication of any EF.SOD; a genuine verdict is for the genuine one only."""
    found = authenticate(data, GROUPS, TRUST, AT, issuer="UTO")
    assert found.verdict is not PassiveVerdict.GENUINE or data == SOD or _same_meaning(data)


def _same_meaning(data: bytes) -> bool:
    """Unsigned parts of CMS may differ (a version, an order): all that is signed must then be the same."""
    return GROUPS[1] is not None and authenticate(data, {1: b"forged"}, TRUST, AT).verdict is PassiveVerdict.ALTERED


def protected(data: bytes) -> None:
    """A protected answer nobody made."""
    for suite in Suite:
        session = Session(suite, b"secret")
        with pytest.raises(CardMalformed):
            session.unwrap(data + b"\x90\x00")


def typed(data: bytes) -> None:
    """Text as a keyboard wedge may send it."""
    read_typed(data.decode("latin-1"), AT.date())


DECODERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "tlv": (lambda data: [tlv.read(data), *tlv.children(data)], tlv.write(0x7F61, bytes(40))),
    "dg1": (zone_of_dg1, GROUPS[1]),
    "dg2": (portrait_of_dg2, GROUPS[2]),
    "security_infos": (parse_security_infos, INFOS),
    "passive": (passive, SOD),
    "protected": (protected, bytes.fromhex("8709019FF0EC34F9922651990290008E08AD55CC17140B2DED")),
    "trust_list": (TrustList.load, SOD[8:900]),
    "zone": (typed, "\n".join(ZONE).encode()),
}


def accept(decoder: Callable[[bytes], object], data: bytes) -> None:
    """Run a decoder; only errors of the room are allowed, and they show nothing of the data."""
    said = ""
    try:
        decoder(data)
    except AnnulError as error:
        said = str(error)
    assert "ERIKSSON" not in said
    assert "D2314589" not in said


@pytest.mark.parametrize("name", sorted(DECODERS))
@given(data=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_any_bytes(name: str, data: bytes) -> None:
    """Bytes of no meaning."""
    accept(DECODERS[name][0], data)


@pytest.mark.parametrize("name", sorted(DECODERS))
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 6))
@settings(max_examples=80, deadline=None)
def test_damaged_data(name: str, seed: int, changes: int) -> None:
    """Good data with bytes changed, cut out, doubled or cut off."""
    decoder, good = DECODERS[name]
    rng = random.Random(seed)
    data = bytearray(good)
    for _ in range(changes):
        place = rng.randrange(len(data) or 1)
        match rng.randrange(5):
            case 0:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[place : place + rng.randrange(1, 9)]
            case 2:
                data[place:place] = data[place : place + rng.randrange(1, 20)]
            case 3:
                data[place : place + 1] = rng.choice([b"\xff", b"\x80", b"\x00", b"\x84\xff\xff\xff\xff", b"\x30\x80"])
            case 4:
                del data[place:]
    accept(decoder, bytes(data))


def _is_tag(tag: int) -> bool:
    data = tag.to_bytes((tag.bit_length() + 7) // 8, "big")
    try:
        return tlv.head(data + b"\0")[0] == tag
    except CardMalformed:
        return False


@given(st.integers(1, 0xFFFFFF).filter(_is_tag), st.binary(max_size=70_000))
@settings(max_examples=50, deadline=None)
def test_a_data_object_comes_back_as_it_was_written(tag: int, value: bytes) -> None:
    """Codec property: read(write(x)) = x."""
    assert tlv.read(tlv.write(tag, value))[:2] == (tag, value)


def test_deep_nesting_ends() -> None:
    """A thousand objects inside one another: refused or read, without exhausting the stack."""
    data = b"\xff\xd8\xff"
    for _ in range(1000):
        data = tlv.write(0x30, data)
    accept(parse_security_infos, data)
    accept(passive, tlv.write(0x77, data))
    accept(portrait_of_dg2, tlv.write(0x75, tlv.write(0x7F61, tlv.write(0x7F60, tlv.write(0x7F2E, data)))))


if __name__ == "__main__":
    import atheris

    chosen = DECODERS[sys.argv.pop(1)][0]
    atheris.Setup(sys.argv, lambda data: accept(chosen, data))
    atheris.Fuzz()
