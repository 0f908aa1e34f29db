"""Logs: only fields of the allow-list leave the process."""

from __future__ import annotations

import json

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
