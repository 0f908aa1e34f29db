"""Logs: only fields of the allow-list leave the process."""

from __future__ import annotations

import json

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
