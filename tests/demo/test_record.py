"""demo.json: what is kept, for whom, and what a damaged file leads to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from annul.demo.record import FILE, DemoRecord
from annul.errors import BadInput
from annul.home import Home


def full() -> DemoRecord:
    """Return a record with something in every member."""
    return DemoRecord(
        "http://127.0.0.1:8480",
        {"bank": {"key": "live_x", "test_key": "test_x", "id": "first-bank"}},
        {"V00": {"document": {"scheme": "generic"}}},
        {"S10": {"document": {"scheme": "generic"}}},
        {"document": {"scheme": "cn-resident"}},
        [4, 5],
        3,
        100,
        130,
        {"name": "林"},
        [{"name": "林", "personal_number": "1"}],
    )


def test_every_member_comes_back(tmp_path: Path) -> None:
    """What is written is read, member by member; the document of the commands to try is called "try" in the file."""
    full().write(Home(tmp_path))
    assert DemoRecord.read(Home(tmp_path)) == full()
    written = json.loads((tmp_path / FILE).read_text("utf-8"))
    assert written["try"] == full().attempt
    assert "attempt" not in written
    assert "林" in (tmp_path / FILE).read_text("utf-8")  # readable for people


def test_it_is_for_its_owner_even_where_it_was_not(tmp_path: Path) -> None:
    """A file that others could read, and a generous umask: after the next write nobody else can; nothing else is left."""
    (tmp_path / FILE).write_text("{}")
    (tmp_path / FILE).chmod(0o666)
    before = os.umask(0)
    try:
        full().write(Home(tmp_path))
    finally:
        os.umask(before)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_write_that_was_cut_off_before_is_no_hindrance(tmp_path: Path) -> None:
    """What a killed start left aside is overwritten, not appended to; the old file was whole all the time."""
    full().write(Home(tmp_path))
    (tmp_path / f"{FILE}.new").write_text("x" * 100_000)
    assert DemoRecord.read(Home(tmp_path)) == full()
    full().write(Home(tmp_path))
    assert DemoRecord.read(Home(tmp_path)) == full()


def test_a_file_of_an_older_demo_has_the_defaults(tmp_path: Path) -> None:
    """Address and credentials are enough: what is missing is as in a new demo, and no two records share a list."""
    (tmp_path / FILE).write_text('{"url": "http://127.0.0.1:1", "credentials": {}}')
    one, two = DemoRecord.read(Home(tmp_path)), DemoRecord.read(Home(tmp_path))
    assert one == DemoRecord("http://127.0.0.1:1", {})
    assert two is not None
    two.births[0] = 9
    assert one is not None
    assert one.births == [0, 0]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '"x"', "{}", '{"url": "u", "credentials": {}, "colour": 1}', "\x00"]
)
def test_a_damaged_file_is_named_with_the_next_step(content: str, tmp_path: Path) -> None:
    """Never half a record: the error says which file, and what to do."""
    (tmp_path / FILE).write_text(content)
    with pytest.raises(BadInput, match="damaged") as refused:
        DemoRecord.read(Home(tmp_path))
    assert refused.value.where == FILE
    assert "annul demo" in (refused.value.mend or "")
