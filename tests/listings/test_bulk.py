"""Imports of lists: every good line counts, every bad one is named by number, an interruption costs nothing."""

from __future__ import annotations

import bz2
import csv
import datetime
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annul.errors import BadInput, Corrupt, StorageFailed
from annul.listings import bulk as bulk_module
from annul.listings import bulk_kernels, kernels, pack, russian_list, table, unpack, values
from annul.listings.bulk import Chunk, ImportReport, fingerprint, import_list, try_list
from annul.listings.interchange import interchange_list
from annul.listings.russian_list import CAUSES, made_list
from annul.listings.segment import Segment
from annul.records.document import DocumentFields, DocumentKeys, block, number_block, parse_document
from annul.records.status import State
from tests.listings.test_segment import file_size_limit

KEYS = DocumentKeys([bytes(range(32))])
REVOKED = pack(State.revoked)


def read(path: Path, target: Path, **more: object) -> ImportReport:
    """Import a Russian list."""
    reader = russian_list.russian_list(path, REVOKED)
    size = path.stat().st_size
    return import_list(reader, target, blind=KEYS.blind, source=fingerprint(path), total_bytes=size, **more)  # type: ignore[arg-type]


def ru_key(digits: str) -> bytes:
    """Give the key of a Russian passport as the check path makes it."""
    fields = DocumentFields(scheme="ru-internal", series=digits[:4], number=digits[4:])
    return KEYS.blind(block(parse_document(fields)))


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("4509,123456", ""),
        ("4509,123456\r", ""),
        ('"4509","123456"', ""),
        (" 45 09 ,\t123456 ", ""),
        ("0000,000000", ""),
        ("", "empty"),
        ("  \r", "empty"),
        ("4509123456", "missing comma"),
        ("4509,123,456", "too many commas"),
        ("450,123456", "too short"),
        ("4509,12345", "too short"),
        (",123456", "too short"),
        ("4509,", "too short"),
        ("45091,123456", "too long"),
        ("4509,1234567", "too long"),
        ("4509,12345678901234567890123456", "too long"),
        ("45O9,123456", "letters"),
        ("45z9,123456", "letters"),
        ("4509,12#456", "other characters"),
        ("4509;123456", "other characters"),
        ("4509,\x00123456", "other characters"),
        ("45О9,123456", "non-ASCII characters"),
        ("４５０９,123456", "non-ASCII characters"),
    ],
)
def test_each_line_is_good_or_bad_for_its_cause(tmp_path: Path, line: str, cause: str) -> None:
    """One line below the header, with and without an end of line."""
    for end in ("", "\n"):
        path = tmp_path / "list.csv"
        path.write_text(f"PASSP_SERIES,PASSP_NUMBER\n{line}{end}", encoding="utf-8", newline="")
        report = try_list(russian_list.russian_list(path, REVOKED), total_bytes=1)
        if not line and not end:
            assert (report.good, report.bad) == (0, {})
        elif cause:
            assert {name: c.first_lines for name, c in report.bad.items()} == {cause: [2]}
        else:
            assert (report.good, report.bad) == (1, {})


ten = st.from_regex(r"\A[0-9]{10}\Z")
noise = st.text(st.sampled_from('0123456789,, "x№\t#'), max_size=14).filter(lambda t: "\n" not in t)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(ten, noise), max_size=60), st.integers(1, 40), st.booleans())
def test_the_segment_holds_exactly_the_good_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], piece: int, crlf: bool
) -> None:
    """Whatever the noise and wherever pieces are cut: keys equal records.document.block of the same document."""
    with monkeypatch.context() as patch:
        patch.setattr(russian_list, "PIECE_BYTES", piece)
        path = tmp_path / "list.csv"
        texts = [f"{t[:4]},{t[4:]}" if t.isdigit() and len(t) == 10 else t for t in lines]
        path.write_text("".join(t + ("\r\n" if crlf else "\n") for t in ["PASSP_SERIES,PASSP_NUMBER", *texts]), newline="")
        report = read(path, tmp_path / "s.seg")
    good = {t for t in lines if t.isdigit() and len(t) == 10}
    assert report.lines == len(lines) + 1
    assert report.good + report.bad_count == len(lines)
    segment = Segment(tmp_path / "s.seg")
    assert all(segment.lookup(ru_key(t))[0] == REVOKED for t in good)
    plain = [t.replace(" ", "").replace('"', "").replace("\t", "") for t in texts]
    accepted = {t for t in plain if len(t) == 11 and t[4] == "," and (t[:4] + t[5:]).isdigit() and t.isascii()}
    assert segment.count == len(accepted)


def test_csv_and_bz2_of_several_members_give_the_same_segment(tmp_path: Path) -> None:
    """A made list of 60,000 lines, plain and packed in two members, with a byte order mark."""
    text = b"\xef\xbb\xbf" + b"".join(made_list(60_000, bad_every=500))
    plain, packed = tmp_path / "l.csv", tmp_path / "l.csv.bz2"
    plain.write_bytes(text)
    packed.write_bytes(bz2.compress(text[:300_001]) + bz2.compress(text[300_001:]))
    calls: list[tuple[int, int, int]] = []
    one = read(plain, tmp_path / "one.seg", memory_bytes=1 << 20)
    two = read(packed, tmp_path / "two.seg", progress=lambda *told: calls.append(told))
    assert one == two
    assert one.lines == 60_001
    assert 60 < one.bad_count < 200
    assert set(one.bad) <= set(CAUSES)
    assert one.listed < one.good, "the list says some passports twice"
    assert calls[-1] == (packed.stat().st_size, packed.stat().st_size, 60_001)


def test_a_packed_file_that_ends_early_is_refused_by_name(tmp_path: Path) -> None:
    """A torn download is no shorter list."""
    path = tmp_path / "l.csv.bz2"
    path.write_bytes(bz2.compress(b"".join(made_list(60_000)))[:-200])
    with pytest.raises(BadInput, match=r"l\.csv\.bz2"):
        read(path, tmp_path / "s.seg")
    assert not (tmp_path / "s.seg").exists()


def test_a_file_without_lines_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte without an end of line is no list (and does not fill the memory)."""
    path = tmp_path / "l.csv"
    path.write_bytes(b"7" * 3_000_000)
    monkeypatch.setattr(russian_list, "PIECE_BYTES", 1 << 20)
    with pytest.raises(BadInput, match="no end"):
        read(path, tmp_path / "s.seg")


class Stopped(Exception):
    """Stands for whatever stops an import."""


@pytest.mark.parametrize("name", ["l.csv", "l.csv.bz2"])
def test_an_interrupted_import_goes_on_and_gives_the_same_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Stopped after any number of pieces, again and again: report and digest equal those of an undisturbed import."""
    monkeypatch.setattr(russian_list, "PIECE_BYTES", 50_000)
    path = tmp_path / name
    text = b"".join(made_list(60_000, bad_every=300))
    path.write_bytes(bz2.compress(text) if name.endswith("bz2") else text)
    whole = read(path, tmp_path / "whole.seg")
    target, seen = tmp_path / "s.seg", [0]
    places: list[int] = []

    def stop(_done: int, _total: int, lines: int) -> None:
        seen[0] += 1
        places.append(lines)
        if seen[0] % 9 == 8:
            raise Stopped

    for _ in range(20):
        try:
            report = read(path, target, memory_bytes=400_000, progress=stop)
            break
        except Stopped:
            assert not target.exists()
    assert report == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "s.seg", "whole.seg"])
    assert len(places) < 60, "it went on where it stopped"


def test_an_import_stopped_by_a_full_disk_goes_on_after_making_room(tmp_path: Path) -> None:
    """StorageFailed, nothing under the target's name; the same call then succeeds."""
    path, target = tmp_path / "l.csv", tmp_path / "s.seg"
    path.write_bytes(b"".join(made_list(60_000)))
    with file_size_limit(500_000), pytest.raises(StorageFailed):
        read(path, target, memory_bytes=200_000)
    assert not target.exists()
    assert read(path, target, memory_bytes=200_000).listed == Segment(target).count


def test_another_file_starts_over_and_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    """Spills of one list never end up in the segment of another."""
    path, target = tmp_path / "l.csv", tmp_path / "s.seg"
    path.write_bytes(b"".join(made_list(60_000)))
    with file_size_limit(500_000), pytest.raises(StorageFailed):
        read(path, target, memory_bytes=200_000)
    path.write_bytes(b"4509,123456\n")
    assert read(path, target).listed == 1
    (tmp_path / "s.import.json").write_bytes(b"{")
    with pytest.raises(Corrupt, match="checkpoint"):
        read(path, target)


PASSPORT = {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": "L898902C3", "valid_until": "2030-04-15"}
CARD = {"scheme": "cn-resident", "number": "11010519491231002X"}
RUSSIAN = {"scheme": "ru-internal", "series": "4509", "number": "123457", "state": "revoked"}
ROWS = [
    RUSSIAN | {"number": "123456"},
    PASSPORT | {"state": "reported_stolen", "reason": "report_stolen", "happened_at": "2026-01-31T12:00:00Z"},
    {"scheme": "generic", "issuer": "X", "kind": "pass", "number": "Ab 12", "state": "I20"},
    CARD | {"valid_from": "2016-10-06", "valid_until": "long-term", "state": "reported_lost"},
    {"scheme": "generic", "issuer": "X", "kind": "pass", "number": "77", "state": "current"},
    RUSSIAN | {"number": "12345"},
    {"scheme": "nowhere", "number": "1", "state": "revoked"},
    RUSSIAN | {"state": "dead"},
    CARD | {"state": "reported_lost"},
    RUSSIAN | {"happened_at": "yesterday"},
    RUSSIAN | {"reason": "because"},
    {"number": "123457", "state": "revoked"},
]
NAMES = ["scheme", "issuer", "kind", "series", "number", "valid_from", "valid_until", "state", "reason", "happened_at"]


def written(folder: Path, ending: str, rows: list[dict[str, str]]) -> Path:
    """Write rows in one of the formats."""
    path = folder / f"list.{ending}"
    if ending == "csv":
        out = io.StringIO()
        quoting = csv.QUOTE_ALL if len(rows) % 2 else csv.QUOTE_MINIMAL
        writer = csv.DictWriter(out, NAMES, lineterminator="\r\n", quoting=quoting)
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(out.getvalue(), encoding="utf-8-sig", newline="")
    elif ending == "ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in NAMES}
        pq.write_table(pa.table(columns), path, row_group_size=5)
    return path


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
def test_interchange_formats_say_the_same(tmp_path: Path, ending: str) -> None:
    """Good rows are listed with state and last day, bad ones named by cause and line, in all three formats."""
    path = written(tmp_path, ending, ROWS)
    target = tmp_path / "s.seg"
    report = import_list(interchange_list(path), target, blind=KEYS.blind, source="x", total_bytes=1)
    segment = Segment(target)
    shift = 2 if ending == "csv" else 1
    assert (report.good, report.passed_over, report.bad_count) == (4, 1, 7)
    lines = sorted(line - shift for cause in report.bad.values() for line in cause.first_lines)
    assert lines == list(range(5, 12))
    assert report.bad["state: The state is not known"].first_lines == [7 + shift]
    documents = [
        parse_document(DocumentFields(**{k: v for k, v in row.items() if k not in ("state", "reason", "happened_at")}))
        for row in ROWS[:4]
    ]
    found = [unpack(v) for v in segment.lookup(KEYS.blind(b"".join(map(block, documents))))]
    assert [f.state for f in found] == [State.revoked, State.reported_stolen, State.superseded, State.reported_lost]
    day = (datetime.date(2030, 4, 15) - datetime.date(1970, 1, 1)).days
    assert [f.expiry_day for f in found] == [0, day, 0, 65535]
    number = unpack(segment.lookup(KEYS.blind(number_block(documents[3])))[0])
    assert (number.state, number.flags) == (State.reported_lost, values.NUMBER)
    assert not any("123457" in cause or "11010519" in cause for cause in report.bad)


def test_current_documents_are_kept_where_the_issuer_provides_whole_lives(tmp_path: Path) -> None:
    """The caller says so by coverage name."""
    path = written(tmp_path, "ndjson", ROWS[4:5])
    reader = interchange_list(path, lambda name: values.WHOLE_LIFE if name == "generic/X/PASS" else 0)
    assert try_list(reader, total_bytes=1).good + try_list(interchange_list(path), total_bytes=1).passed_over == 2


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
def test_interchange_lists_can_be_read_from_any_chunk_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """What follows a chunk's place is the same as in one go: that is what going on relies on."""
    monkeypatch.setattr("annul.listings.interchange.PIECE_BYTES", 200)
    monkeypatch.setattr("annul.listings.interchange.PARQUET_ROWS", 2)
    reader = interchange_list(written(tmp_path, ending, ROWS))
    chunks = list(reader(0, 0))
    assert len(chunks) > 2
    for i, chunk in enumerate(chunks):
        again = list(reader(chunk.place, chunk.lines))
        assert [str(c) for c in again] == [str(c) for c in chunks[i + 1 :]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.txt", b"x"),
        ("l.csv", b"scheme,number,colour\n"),
        ("l.csv", b"number,state\n"),
        ("l.csv", b"\xff\xfe\n"),
        ("l.csv", b""),
        ("l.parquet", b"PAR1 not really"),
    ],
)
def test_files_that_are_no_lists_are_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    """Wrong ending, wrong columns, wrong encoding: where and how to mend it."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        try_list(interchange_list(path), total_bytes=1)
    assert name in (caught.value.where or "")
    assert caught.value.mend


def test_broken_lines_in_text_formats_are_counted(tmp_path: Path) -> None:
    """Not UTF-8, torn JSON, wrong column counts, endless lines: each a cause of its own, the rest is read."""
    path = tmp_path / "l.csv"
    good = b"ru-internal,4509123456,revoked\n"
    path.write_bytes(b"scheme,number,state\n" + good + b"\xff,1,revoked\na,b\n\n" + b'"a,b,c\n' + b"x" * 70_000 + b"\n" + good)
    report = try_list(interchange_list(path), total_bytes=1)
    assert (report.good, report.bad_count, report.lines) == (2, 5, 8)
    path = tmp_path / "l.ndjson"
    path.write_bytes(b'{"scheme": "generic"\n[]\n{"colour": 1}\n\n{"number": 5}\n\xff\n')
    assert try_list(interchange_list(path), total_bytes=1).bad_count == 6


def test_the_first_lines_of_a_cause_are_kept_and_all_are_counted() -> None:
    """A report stays small however bad the list is."""

    def reader(_place: int, _lines: int) -> Iterator[Chunk]:
        yield Chunk((), 1, 100, 1, tuple(("letters", n) for n in range(1, 101)))

    report = try_list(reader, total_bytes=1)
    assert report.bad["letters"].count == 100
    assert report.bad["letters"].first_lines == list(range(1, bulk_module.BAD_LINES_NAMED + 1))


def test_kernels_use_the_constants_of_the_rest() -> None:
    """Constants that kernels cannot import (they are compiled into machine code) are the same."""
    assert (kernels.MANY, kernels.BLOCK_SLOTS) == (values.MANY, table.BLOCK_SLOTS)
    assert kernels.NUMBER == values.NUMBER << values.FLAGS_SHIFT
    assert kernels.OVERRIDES_BULK == values.OVERRIDES_BULK << values.FLAGS_SHIFT
    assert kernels.FLAGS_MASK == 0xFF << values.FLAGS_SHIFT
    assert kernels.CODE_MASK == values.CODE_MASK
    assert kernels.VALUE_MASK == (1 << values.VALUE_BITS) - 1
    assert CAUSES[bulk_kernels.EMPTY] == "empty"
    assert CAUSES[bulk_kernels.LONG] == "too long"
    assert CAUSES[bulk_kernels.COMMAS] == "too many commas"
