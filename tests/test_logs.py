"""Logs: only fields of the allow-list leave the process."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from annul import logs


def test_field_outside_the_allow_list_is_dropped(capsys):
    """A careless call cannot leak: the value is dropped, the field's name is kept."""
    logs.configure("info")
    logs.get("checks").info("window closed", count=3, number="110105194912310021")
    line = capsys.readouterr().err
    assert "110105194912310021" not in line
    fields = json.loads(line)
    assert fields["dropped"] == ["number"]
    assert fields["count"] == 3


def test_a_line_that_cannot_be_written_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard error on a full disk: the line is lost, who spoke goes on, and the next line is there when there is room."""
    logs.configure("info")
    full = Path("/dev/full").open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closing it fails, too
    monkeypatch.setattr("sys.stderr", full)
    logs.get("app").info("started", count=1)
    monkeypatch.undo()
    logs.get("app").info("there is room", count=2)
    assert json.loads(capsys.readouterr().err)["event"] == "there is room"
    with contextlib.suppress(OSError):
        full.close()


def test_every_allowed_field_says_what_it_holds():
    """The allow-list is documentation too."""
    assert all(len(text) >= 4 for text in logs.FIELDS.values())


def test_a_stack_in_a_line_tells_functions_and_lines_and_no_values():
    """What failed and where, outermost first; the message of the error may hold a number and stays out."""

    def inner(number: str) -> None:
        raise ValueError(number)

    with pytest.raises(ValueError, match="1101") as caught:
        inner("110105194912310021")
    stack = logs.stack_of(caught.value)
    outer, last = stack.split(" > ")
    assert outer.startswith("test_a_stack_in_a_line")
    assert last.startswith("inner test_logs.py:")
    assert "110105194912310021" not in stack
