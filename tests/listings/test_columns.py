"""What other programs write: every exact form is read the same, every form that loses something is refused by its column."""

from __future__ import annotations

import bz2
import datetime
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annul.errors import BadInput
from annul.listings.bulk import try_list
from annul.listings.interchange import interchange_list
from annul.listings.russian_list import russian_list
from annul.registry.people.reading import format_of, read_persons

ROWS = (("ru-internal", "4509", "012345", "revoked"), ("ru-internal", "0101", "000001", "I23"))
NAMES = ("scheme", "series", "number", "state")


def text(separator: str = ",", head: str = "", more: str = "") -> bytes:
    """Return the list as CSV."""
    lines = [separator.join(NAMES), *(separator.join(row) for row in ROWS)]
    return (head + "".join(f"{line}{more}\r\n" for line in lines)).encode()


def zipped(raw: bytes, *names: str) -> bytes:
    """Return an archive in which each of these files holds the same."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, raw)
    return out.getvalue()


def zstd(raw: bytes) -> bytes:
    """Return bytes packed with Zstandard."""
    return pa.Codec("zstd").compress(raw, asbytes=True)  # type: ignore[no-any-return]


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstd,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zip": lambda raw: zipped(raw, "list.csv"),
}


def good(path: Path) -> tuple[int, int]:
    """Return how many lines of a list are good, and bad."""
    report = try_list(interchange_list(path), total_bytes=1)
    return report.good, report.bad_count


def refusal(path: Path) -> BadInput:
    """Return why a list is refused."""
    with pytest.raises(BadInput) as caught:
        good(path)
    assert caught.value.mend
    return caught.value


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_and_packing_are_told_by_the_file_itself(tmp_path: Path, packing: str, separator: str) -> None:
    """Whatever it is called; and an interrupted import goes on in the middle of a packed file too."""
    path = tmp_path / "export.dat"
    path.write_bytes(PACKINGS[packing](text(separator)))
    assert good(path) == (2, 0)
    chunks = list(interchange_list(path)(0, 0))
    assert list(interchange_list(path)(chunks[-1].place, chunks[-1].lines)) == []
    path.write_bytes(PACKINGS[packing](text(separator, head=f"sep={separator}\r\n")))
    assert good(path) == (2, 0)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_russian_list_comes_packed_in_every_way(tmp_path: Path, packing: str) -> None:
    """Two good lines, and the same bytes from every place on."""
    path = tmp_path / "list.bin"
    path.write_bytes(PACKINGS[packing](b"PASSP_SERIES,PASSP_NUMBER\n4509,123456\n4509,123457\n"))
    report = try_list(russian_list(path, 8), total_bytes=1)
    assert (report.good, report.bad_count) == (2, 0)


@pytest.mark.parametrize("packing", [name for name in PACKINGS if name != "plain"])
def test_a_packed_list_that_ends_early_is_refused(tmp_path: Path, packing: str) -> None:
    """Cut off by a few bytes: no half of it is taken for the whole."""
    path = tmp_path / "list.csv"
    path.write_bytes(PACKINGS[packing](text())[:-6])
    assert "cannot be read or unpacked" in refusal(path).message
    with pytest.raises(BadInput, match="cannot be read or unpacked"):
        try_list(russian_list(path, 8), total_bytes=1)


def test_an_archive_holds_one_list(tmp_path: Path) -> None:
    """Two are named; a spreadsheet is told what it is."""
    path = tmp_path / "list.zip"
    path.write_bytes(zipped(text(), "a.csv", "b.csv"))
    assert "a.csv, b.csv" in (refusal(path).where or "")
    path.write_bytes(zipped(b"<x/>", "[Content_Types].xml", "xl/workbook.xml"))
    assert "office program" in refusal(path).message


@pytest.mark.parametrize(
    ("raw", "says", "where"),
    [
        (text().replace(b"series", b"serie"), "“serie”", "separator comma"),
        (text(";").replace(b"scheme;series", b"scheme;colour"), "“colour”", "separator semicolon"),
        (text().replace(b"number", b"series"), "twice: series", "line 1"),
        (text().replace(b"number", b"kind"), "no column number", "line 1"),
        (b"4509,123456,revoked\n", "does not name the columns", "line 1"),
        (text().decode().encode("utf-16"), "UTF-16", "line 1"),
    ],
)
def test_the_cause_names_separator_and_column(tmp_path: Path, raw: bytes, says: str, where: str) -> None:
    """And never what may be a row: a name with digits is not repeated."""
    path = tmp_path / "list.csv"
    path.write_bytes(raw)
    error = refusal(path)
    assert says in error.message
    assert where in (error.where or "")
    assert "123456" not in str(error)


def test_a_column_more_may_be_left_out_by_its_name(tmp_path: Path) -> None:
    """In every format; a misspelt one is never passed over by itself."""
    csv = tmp_path / "list.csv"
    csv.write_bytes(b"scheme,number,state,branch\nru-internal,4509123456,I23,north\n")
    ndjson = tmp_path / "list.ndjson"
    ndjson.write_bytes(b'{"scheme": "ru-internal", "number": "4509123456", "state": "I23", "branch": 7}\n')
    parquet = tmp_path / "list.parquet"
    table = {"scheme": ["ru-internal"], "number": ["4509123456"], "state": ["I23"], "Branch": [7]}
    pq.write_table(pa.table(table), parquet)
    for path in (csv, ndjson, parquet):
        report = try_list(interchange_list(path, leave_out={"branch"}), total_bytes=1)
        assert (report.good, report.bad_count) == (1, 0), path.name
    assert "“branch”" in refusal(csv).message
    assert list(try_list(interchange_list(ndjson), total_bytes=1).bad) == ["a list has no member branch"]


def test_a_member_of_another_type_is_named_and_its_value_is_not(tmp_path: Path) -> None:
    """A number in JSON has lost its zeros; a member with digits in its name may be a document."""
    path = tmp_path / "list.ndjson"
    path.write_bytes(b'{"scheme": "ru-internal", "number": 4509123456}\n{"n4509123456": "x"}\n{"scheme"\n')
    bad = try_list(interchange_list(path), total_bytes=1).bad
    assert list(bad) == [
        "number: This is int, not text; a number loses its leading zeros",
        "the line is not a JSON object with the members of a list",
        "the line is not JSON",
    ]


def table_of(path: Path, **columns: Any) -> Path:
    """Write the list as Parquet, some of its columns of another type."""
    plain = {name: pa.array([row[place] for row in ROWS]) for place, name in enumerate(NAMES)}
    pq.write_table(pa.table(plain | columns), path)
    return path


@pytest.mark.parametrize(
    "column",
    [pa.int64(), pa.int32(), pa.uint64(), pa.float64(), pa.decimal128(12), pa.bool_(), pa.binary()],
    ids=str,
)
@pytest.mark.parametrize("name", ["number", "series", "state"])
def test_a_column_that_loses_something_is_refused_by_its_name(tmp_path: Path, name: str, column: Any) -> None:
    """Nothing of it is listed: 012345 as a number is another document."""
    error = refusal(table_of(tmp_path / "l.parquet", **{name: pa.array([None, None], column)}))
    assert f"The column {name} is of the type {column}" in error.message
    assert error.where == f"l.parquet, column {name}"


def test_what_is_exact_in_parquet_is_read_as_text(tmp_path: Path) -> None:
    """Strings of every kind, days, whole-day moments without a zone, moments with one, columns of nothing."""
    path = tmp_path / "l.parquet"
    day = [datetime.date(2020, 1, 31), None]
    midnight = [datetime.datetime(2020, 1, 31), None]
    at = [datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC), None]
    numbers = pa.array([row[2] for row in ROWS])
    for number in (numbers.cast(pa.large_string()), numbers.dictionary_encode(), numbers.cast(pa.string_view())):
        for until in (
            pa.array(day, pa.date32()),
            *(pa.array(midnight, pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")),
        ):
            table_of(
                path, number=number, valid_until=until, happened_at=pa.array(at, pa.timestamp("us", "UTC")), kind=pa.nulls(2)
            )
            assert good(path) == (2, 0)


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pa.array([datetime.datetime(2020, 1, 31, 23), None], pa.timestamp("us")), "time of day"),
        (pa.array([datetime.datetime(2020, 1, 31), None], pa.timestamp("us", "Asia/Shanghai")), "has a zone"),
    ],
)
def test_a_day_that_is_none_is_refused(tmp_path: Path, column: Any, says: str) -> None:
    """A moment with a time of day, or in a zone, can be two days."""
    assert says in refusal(table_of(tmp_path / "l.parquet", valid_until=column)).message
    naive = table_of(tmp_path / "l.parquet", happened_at=column.cast(pa.timestamp("us")))
    assert "has no zone" in refusal(naive).message


@pytest.mark.parametrize("number", ["4509123456.0", "4.509123456E+09", "4E+09", "4,5e9"])
def test_a_number_that_a_spreadsheet_has_rounded_is_a_bad_line(tmp_path: Path, number: str) -> None:
    """Its cause says so; an ordinary number with an E in it is none."""
    path = tmp_path / "l.csv"
    path.write_text(f"scheme;issuer;kind;number;state\ngeneric;X;CARD;{number};I23\ngeneric;X;CARD;12E4;I23\n")
    report = try_list(interchange_list(path), total_bytes=1)
    assert report.good == 1
    assert list(report.bad) == ["number: A program has taken this for a quantity and rounded it"]


def test_lists_of_persons_are_read_by_the_same_rules(tmp_path: Path) -> None:
    """Separator, packing, days; a personal number as an integer is refused by its column."""

    def read(path: Path) -> list[Any]:
        return [line for batch in read_persons(path, format_of(path), lambda _: None) for line in batch]

    path = tmp_path / "persons.bin"
    path.write_bytes(gzip.compress("sep=;\r\npersonal_number;name;birth_date\r\nN-1;李雷;1980-01-01\r\nN-2;王\r\n".encode()))
    ((first, person), (second, cause)) = read(path)
    assert (first, person[0].personal_number, person[0].birth_date) == (3, "N-1", "1980-01-01")
    assert (second, cause) == (4, "columns")
    names = pa.array(["A", "B"])
    born = pa.array([datetime.datetime(1980, 1, 1), None], pa.timestamp("ns"))
    pq.write_table(pa.table({"personal_number": pa.array(["012", "N-3"]), "name": names, "birth_date": born}), path)
    assert [line[1][0].birth_date for line in read(path)] == ["1980-01-01", ""]
    pq.write_table(pa.table({"personal_number": pa.array([12, 13]), "name": names}), path)
    with pytest.raises(BadInput, match="The column personal_number is of the type int64"):
        read(path)
