"""The resident card's reader box, played on a pseudo-terminal."""

from __future__ import annotations

import datetime
import os
import threading
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import TimedOut
from annul.reader import resident_card
from annul.reader.faults import CardMalformed, CardRefused, CardUnknown, NoCard, NoReader, ReaderGone
from annul.reader.reading import Assurance, Means
from annul.reader.resident_card import SamReader, SerialLine, decode_frame, encode_frame, read_resident_card
from annul.reader.resident_records import TEXT_BYTES, parse_record
from annul.records.schemes.cn_resident import check_character

AT = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
NUMBER = "11010519491231002" + check_character("11010519491231002")


def record(**changes: str) -> bytes:
    """Write a text record of a person who does not exist."""
    fields = {
        "name": ("王芳", 30),
        "sex": ("2", 2),
        "ethnicity": ("01", 4),
        "birth": ("19491231", 16),
        "address": ("北京市朝阳区试验路1号", 70),
        "number": (NUMBER, 36),
        "authority": ("北京市公安局朝阳分局", 30),
        "valid_from": ("20160812", 16),
        "valid_until": ("长期", 16),
        "newer": ("", 36),
    }
    return b"".join(changes.get(name, text).ljust(size // 2).encode("utf-16-le") for name, (text, size) in fields.items())


def answer(status: int, data: bytes = b"") -> bytes:
    """Frame an answer of the box."""
    return encode_frame(bytes([0, 0, status]) + data)


@dataclass
class Box:
    """The box: finds a card after some searches, selects, reads once."""

    text: bytes = field(default_factory=record)
    empty_searches: int = 0
    mend: Callable[[bytes], bytes] = lambda frame: frame
    noise: bytes = b""
    hang_up_at: bytes = b""
    newer: tuple[str, ...] | None = None

    def reply(self, body: bytes) -> bytes | None:
        """Answer one request, or None to be torn off."""
        if body == self.hang_up_at:
            return None
        if body == b"\x20\x01":
            self.empty_searches -= 1
            return answer(0x80) if self.empty_searches >= 0 else answer(0x9F, bytes(4))
        if body == b"\x20\x02":
            return answer(0x90, bytes(8))
        if body == b"\x30\x01":
            return self.mend(answer(0x90, b"\x01\x00\x04\x00" + self.text + bytes(1024)))
        if body == b"\x30\x03" and self.newer is not None:
            return (
                answer(0x90, b"".join(each.ljust(35).encode("utf-16-le") for each in self.newer))
                if self.newer
                else answer(0x91)
            )
        if body == b"\x11\xff":
            return answer(0x90)
        return answer(0x21)


class Terminal:
    """Lay a box on a pseudo-terminal."""

    def __init__(self, box: Box) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.port = os.ttyname(slave)
        self._slave = slave
        self._box = box
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        buffer = b""
        while True:
            try:
                buffer += os.read(self._master, 4096)
            except OSError:
                return
            while len(buffer) >= 7 and len(buffer) >= 7 + int.from_bytes(buffer[5:7], "big"):
                size = 7 + int.from_bytes(buffer[5:7], "big")
                reply = self._box.reply(decode_frame(buffer[:size]))
                buffer = buffer[size:]
                if reply is None:
                    os.close(self._slave)
                    os.close(self._master)
                    return
                for start in range(0, len(self._box.noise + reply), 100):  # comes in pieces, as a serial line does
                    os.write(self._master, (self._box.noise + reply)[start : start + 100])


@pytest.fixture
def terminal() -> Iterator[Callable[[Box], SamReader]]:
    """Return a function that lays a box on a line and gives the reader to it."""
    lines: list[SerialLine] = []

    def lay(box: Box) -> SamReader:
        line = SerialLine(Terminal(box).port)
        lines.append(line)
        return SamReader(line, sleep=lambda _: None)

    yield lay
    for line in lines:
        line.close()


def test_a_card_is_found_selected_and_read(terminal: Callable[[Box], SamReader]) -> None:
    """The whole dialogue over a serial line; the card is laid on after two searches."""
    reader = terminal(Box(empty_searches=2, noise=b"\x00\xaa\xaa"))
    reading = read_resident_card(reader, at=AT, wait_s=5)
    assert reading.means is Means.RESIDENT_CHIP
    assert reading.assurance is Assurance.CARD_DATA
    assert reading.document.scheme == "cn-resident"
    assert reading.document.number == NUMBER
    assert (reading.document.valid_from, reading.document.valid_until) == ("2016-08-12", "long-term")
    assert (reading.holder.name, reading.holder.sex, reading.holder.ethnicity) == ("王芳", "F", "汉")
    assert reading.holder.birth_date == "1949-12-31"
    assert reading.portrait is None
    assert reading.notes == ()


def test_no_card_is_its_own_answer(terminal: Callable[[Box], SamReader]) -> None:
    """The box is well, nothing lies on it."""
    with pytest.raises(NoCard):
        read_resident_card(terminal(Box(empty_searches=99)), at=AT)


def test_an_expired_card_is_noted(terminal: Callable[[Box], SamReader]) -> None:
    """The reading stands; the clerk is told."""
    box = Box(text=record(valid_from="20060101", valid_until="20260101"))
    assert read_resident_card(terminal(box), at=AT).notes == ("expired",)


def test_the_box_is_pulled_out_in_the_middle(terminal: Callable[[Box], SamReader]) -> None:
    """The line dies between selecting and reading."""
    with pytest.raises((ReaderGone, TimedOut)):
        read_resident_card(terminal(Box(hang_up_at=b"\x30\x01")), at=AT)


@pytest.mark.parametrize(
    "mend",
    [
        lambda frame: frame[:-1] + bytes([frame[-1] ^ 1]),
        lambda frame: frame[:40] + bytes([frame[40] ^ 0x20]) + frame[41:],
        lambda frame: frame[:5] + b"\xff\xff" + frame[7:],
        lambda frame: frame[:5] + b"\x00\x00" + frame[7:],
        lambda _: encode_frame(b"\0\0\x90\x01\x00\x04\x00" + bytes(20)),
        lambda _: encode_frame(b"\0\0\x90\xff\xff\xff\xff" + bytes(20)),
        lambda _: encode_frame(b"\0"),
    ],
)
def test_a_damaged_answer_is_refused(terminal: Callable[[Box], SamReader], mend: Callable[[bytes], bytes]) -> None:
    """Checksum, lengths, status: each damage is seen."""
    with pytest.raises(CardMalformed):
        read_resident_card(terminal(Box(mend=mend)), at=AT)


def test_a_refusal_says_what_the_box_said(terminal: Callable[[Box], SamReader]) -> None:
    """Status 41: could not read."""
    with pytest.raises(CardRefused) as caught:
        read_resident_card(terminal(Box(mend=lambda _: answer(0x41))), at=AT)
    assert caught.value.status == 0x41
    assert "could not read the card" in str(caught.value)


def test_a_silent_box_is_cut_off() -> None:
    """Nothing ever comes back: the answer's time limit, on a clock of its own."""

    class Silent:
        def write(self, data: bytes) -> None:
            """Swallow."""

        def read(self, count: int, until_s: float) -> bytes:
            return b""

        def close(self) -> None:
            """Nothing to close."""

    with pytest.raises(TimedOut):
        SamReader(Silent()).read_record()


def test_a_port_that_is_not_there_is_no_reader() -> None:
    """A wrong device name."""
    with pytest.raises(NoReader):
        SerialLine("/dev/annul-no-such-port")


@pytest.mark.parametrize(
    "changes",
    [
        {"number": NUMBER[:-1] + ("0" if NUMBER[-1] != "0" else "1")},
        {"birth": "19491230"},
        {"birth": "19491331"},
        {"valid_from": "2016081A"},
        {"valid_until": "20150812"},
        {"name": ""},
    ],
)
def test_a_record_that_contradicts_itself_is_refused(changes: dict[str, str]) -> None:
    """Check character, birth inside the number, dates."""
    with pytest.raises(CardMalformed):
        parse_record(record(**changes))


def test_the_newer_address_is_asked_for_by_its_own_command(terminal: Callable[[Box], SamReader]) -> None:
    """Of up to four fields of 70 bytes the last that is written is the newest; a card without the field keeps its own."""
    asked = {
        ("上海市试验路2号", "", "", ""): "上海市试验路2号",
        ("上海市试验路2号", "天津市试验路3号", "", ""): "天津市试验路3号",
        ("", "", "", ""): "北京市朝阳区试验路1号",
        (): "北京市朝阳区试验路1号",
        None: "北京市朝阳区试验路1号",
    }
    for newer, right in asked.items():
        assert read_resident_card(terminal(Box(newer=newer)), at=AT, wait_s=5).holder.address == right


def test_the_reserved_bytes_are_no_address() -> None:
    """GA/T 490-2019: the last 36 bytes are reserved, whatever stands there."""
    assert parse_record(record(newer="上海市试验路2号")).address == "北京市朝阳区试验路1号"


def written(*fields: tuple[str, int]) -> bytes:
    """Write fields of so many bytes in UTF-16LE, padded with blanks."""
    data = b"".join(text.ljust(size // 2).encode("utf-16-le") for text, size in fields)
    assert len(data) == 256
    return data


J = written(
    ("陈大文", 30),
    ("1", 2),
    ("", 4),
    ("19900501", 16),
    ("广东省深圳市福田区某路2号", 70),
    ("810000199005010024", 36),
    ("深圳市公安局", 30),
    ("20190101", 16),
    ("20240101", 16),
    ("H12345678", 18),
    ("01", 4),
    ("", 6),
    ("J", 2),
    ("", 6),
)
I_RECORD = written(
    ("SMITH, JOHN MICHAEL", 120),
    ("1", 2),
    ("USA110180010112", 30),
    ("USA", 6),
    ("史密斯", 30),
    ("20170601", 16),
    ("20270601", 16),
    ("19800101", 16),
    ("01", 4),
    ("1100", 8),
    ("I", 2),
    ("", 6),
)
Y = written(
    ("史密斯", 30),
    ("1", 2),
    ("01", 4),
    ("19800101", 16),
    ("SMITH, JOHN MICHAEL", 70),
    ("911840198001010013", 36),
    ("", 30),
    ("20240101", 16),
    ("20340101", 16),
    ("", 22),
    ("840", 6),
    ("Y", 2),
    ("", 6),
)


def test_a_residence_permit_of_hong_kong_macao_and_taiwan(terminal: Callable[[Box], SamReader]) -> None:
    """Type J: its permit number and times of issue are no address, and it has no ethnicity."""
    reading = read_resident_card(terminal(Box(text=J)), at=AT, wait_s=5)
    assert (reading.form, reading.document.scheme) == ("CHN-RESIDENT-HMT", "cn-resident")
    assert (reading.holder.name, reading.holder.sex, reading.holder.birth_date) == ("陈大文", "M", "1990-05-01")
    assert (reading.holder.address, reading.holder.ethnicity) == ("广东省深圳市福田区某路2号", "")
    assert (reading.permit_number, reading.times_issued) == ("H12345678", 1)
    assert (reading.document.valid_from, reading.valid_until) == ("2019-01-01", "2024-01-01")
    assert "expired" in reading.notes


def test_a_foreigner_s_card_of_2017(terminal: Callable[[Box], SamReader]) -> None:
    """Type I: another layout, another number."""
    reading = read_resident_card(terminal(Box(text=I_RECORD)), at=AT, wait_s=5)
    assert (reading.form, reading.document.scheme) == ("CHN-FOREIGNER-2017", "generic")
    assert (reading.holder.name, reading.holder.native_name) == ("SMITH, JOHN MICHAEL", "史密斯")
    assert (reading.holder.sex, reading.holder.nationality, reading.holder.birth_date) == ("M", "USA", "1980-01-01")
    assert reading.document.number == "USA110180010112"
    assert (reading.document.valid_from, reading.valid_until, reading.notes) == ("2017-06-01", "2027-06-01", ())
    assert reading.holder.address == reading.holder.ethnicity == ""


def test_a_foreigner_s_card_of_2023(terminal: Callable[[Box], SamReader]) -> None:
    """Type Y: ISO's number of the state, times of renewal, neither ethnicity nor address."""
    reading = read_resident_card(terminal(Box(text=Y)), at=AT, wait_s=5)
    assert (reading.form, reading.document.scheme) == ("CHN-FOREIGNER-2023", "cn-resident")
    assert (reading.holder.name, reading.holder.native_name) == ("SMITH, JOHN MICHAEL", "史密斯")
    assert (reading.holder.nationality, reading.holder.birth_date) == ("USA", "1980-01-01")
    assert (reading.document.number, reading.times_issued) == ("911840198001010013", 1)
    assert (reading.document.valid_from, reading.valid_until) == ("2024-01-01", "2034-01-01")
    assert reading.holder.address == reading.holder.ethnicity == reading.permit_number == ""


@pytest.mark.parametrize("mark", ["K", "j", "7"])
def test_a_card_of_an_unknown_kind_is_called_that(mark: str) -> None:
    """Not a damaged chip: the message names the mark."""
    with pytest.raises(CardUnknown, match=f"type mark {mark}"):
        parse_record(J[:248] + mark.encode("utf-16-le") + J[250:])


@pytest.mark.parametrize(("text", "was", "becomes"), [(I_RECORD, "80010112", "81010112"), (Y, "19800101", "19800102")])
def test_birth_date_and_number_of_a_foreigner_must_agree(text: bytes, was: str, becomes: str) -> None:
    """Each kind by its own rule."""
    changed = text.replace(was.encode("utf-16-le"), becomes.encode("utf-16-le"), 1)
    assert changed != text
    with pytest.raises(CardMalformed):
        parse_record(changed)


@given(st.binary(max_size=300))
def test_frames_come_back_as_they_went_in(body: bytes) -> None:
    """Codec property: decode(encode(x)) = x."""
    assert decode_frame(encode_frame(body)) == body


@given(st.binary(max_size=400) | st.binary(min_size=256, max_size=256))
def test_no_record_crashes_the_parser(data: bytes) -> None:
    """Any bytes give a record or CardMalformed."""
    try:
        parse_record(data)
    except CardMalformed:
        return
    assert len(data) == TEXT_BYTES


@given(st.binary(max_size=64))
def test_no_frame_crashes_the_parser(data: bytes) -> None:
    """Any bytes give a body or CardMalformed."""
    try:
        decode_frame(resident_card.PREAMBLE + data)
    except CardMalformed:
        return
