"""Files of the fictional country: the three forms say the same, and imports read them without a bad line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet
import pytest

from annul.demo.country import Country
from annul.demo.interchange import COLUMNS, FORMATS, RU_MALFORMED_EVERY, write
from annul.errors import BadInput
from annul.listings.bulk import try_list
from annul.listings.interchange import interchange_list
from annul.listings.russian_list import russian_list
from annul.listings.values import WHOLE_LIFE, pack
from annul.records.status import State

COUNTRY = Country(3, 20_780)
ENDINGS = {
    "interchange-csv": ".csv",
    "interchange-ndjson": ".ndjson",
    "interchange-parquet": ".parquet",
    "ru-passports": ".csv",
}


def test_the_three_forms_hold_the_same_rows() -> None:
    """CSV, NDJSON and Parquet agree line by line."""
    written = {}
    for form in FORMATS[:3]:
        file = io.BytesIO()
        assert write(COUNTRY, 3_000, form, file) == 3_000
        written[form] = file.getvalue()
    rows = list(csv.DictReader(io.StringIO(written["interchange-csv"].decode())))
    lines = [json.loads(line) for line in written["interchange-ndjson"].splitlines()]
    table = pyarrow.parquet.read_table(io.BytesIO(written["interchange-parquet"])).to_pylist()
    assert len(rows) == 3_000
    assert [dict.fromkeys(COLUMNS, "") | line for line in lines] == rows
    assert [{name: value or "" for name, value in line.items()} for line in table] == rows


@pytest.mark.parametrize("form", FORMATS[:3])
def test_an_import_reads_every_line(form: str, tmp_path: Path) -> None:
    """The dry run of an import finds no bad line, and passes over nothing where whole lives are provided."""
    path = tmp_path / f"list{ENDINGS[form]}"
    with path.open("wb") as file:
        write(COUNTRY, 2_000, form, file)
    report = try_list(interchange_list(path, lambda _name: WHOLE_LIFE), total_bytes=path.stat().st_size)
    assert report.bad_count == 0
    assert report.good == 2_000


def test_a_passport_list_has_the_bad_lines_of_the_real_one(tmp_path: Path) -> None:
    """About one line in ten thousand is malformed; every other one is read."""
    path = tmp_path / "list.csv"
    count = 200_000
    with path.open("wb") as file:
        write(COUNTRY, count, "ru-passports", file)
    report = try_list(russian_list(path, pack(State.revoked)), total_bytes=path.stat().st_size)
    assert report.good + report.bad_count >= count
    assert 0 < report.bad_count < 5 * count / RU_MALFORMED_EVERY


def test_progress_adds_up() -> None:
    """What is told on the way is what was written."""
    told: list[int] = []
    write(COUNTRY, 40_000, "interchange-csv", io.BytesIO(), told.append)
    assert sum(told) == 40_000
    assert len(told) > 1


def test_an_unknown_format_is_refused() -> None:
    """The error names the formats there are."""
    with pytest.raises(BadInput, match="ru-passports"):
        write(COUNTRY, 10, "xlsx", io.BytesIO())
