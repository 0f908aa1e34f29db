"""A member that comes twice is refused, wherever it stands and however it is written; everything else is read as before."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import BadInput
from annul.records.check import Question
from annul.web.door.once import require_asked_once, require_once
from tests.web.conftest import House

DOCUMENT = '"scheme": "ru-internal", "number": "4509123456"'
WHOLE = f'{{"document": {{{DOCUMENT}}}, "purpose": "account-opening", "channel": "remote"%s}}'
TWICE = (
    WHOLE % ', "channel": "remote"',
    WHOLE % ', "channel" : "remote"',
    WHOLE % ', "channel"\n:"remote"',
    WHOLE % ', "ch\\u0061nnel": "remote"',
    WHOLE % ', "clerk": "", "clerk": "c"',
    WHOLE % ', "holder": {"name": "a", "name": "b"}',
    (WHOLE % "").replace(DOCUMENT, f'{DOCUMENT}, "number": "4509123457"'),
    (WHOLE % "").replace(DOCUMENT, f'"number":"4509123457",{DOCUMENT}').replace(": ", ":"),
    (WHOLE % "").replace(DOCUMENT, f'{DOCUMENT}, "number" : "4509123457"'),
    (WHOLE % ', "urgent": false, "urgent": true'),
    WHOLE % ', "document": {"scheme": "generic"}',
)
ONCE = (
    WHOLE % "",
    (WHOLE % "").replace(" ", ""),
    WHOLE % ', "reference": "\\"number\\": 1"',
    WHOLE % ', "reference": "channel", "clerk": "purpose"',
    WHOLE % ', "clerk": "", "urgent": false, "min_position": 0, "holder": null',
    '{"document": {"mrz": ["a"]}, "purpose": "x", "channel": "remote"}',
    '{"document": {"scheme": "", "series": null}, "purpose": "x", "channel": "remote"}',
    json.dumps(json.loads(WHOLE % ""), indent=2),
)


def read(text: str) -> None:
    """Read a question as the check path does."""
    raw = text.encode()
    require_asked_once(raw, msgspec.json.decode(raw, type=Question))


@pytest.mark.parametrize("text", TWICE)
def test_a_member_that_comes_twice_is_refused(text: str) -> None:
    """Blanks before the colon, escapes in the name, defaults, inner objects."""
    with pytest.raises(BadInput, match="twice"):
        read(text)
    with pytest.raises(BadInput, match="twice"):
        require_once(text.encode())


@pytest.mark.parametrize("text", ONCE)
def test_what_comes_once_is_read(text: str) -> None:
    """Pretty or dense, with names of members as values, with defaults that are said."""
    read(text)


members = st.sampled_from(["branch", "terminal", "clerk", "reference"])
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cf", "Zl", "Zp", "Cn"]), max_size=8)


@given(
    st.lists(st.tuples(members, texts), max_size=5), st.sampled_from([(", ", ": "), (",", ":"), (" ,", " :"), (",\n", ":\t")])
)
def test_counting_and_reading_say_the_same(more: list[tuple[str, str]], marks: tuple[str, str]) -> None:
    """Whatever the texts hold: refused exactly when a name comes twice."""
    comma, colon = marks
    tail = "".join(f"{comma}{json.dumps(name)}{colon}{json.dumps(text)}" for name, text in more)
    twice = len({name for name, _ in more}) != len(more)
    try:
        read(WHOLE % tail)
        refused = False
    except BadInput as error:
        refused = "twice" in error.message
    assert refused == twice


def test_no_door_takes_a_member_twice(house: House) -> None:
    """Single checks, one check of a batch, the batch itself, and every other body; nothing is asked."""

    def send(path: str, party: str, body: str) -> Any:
        return house.call("POST", path, party, content=body.encode(), headers={"Content-Type": "application/json"})

    for path, party, body in (
        ("/v1/checks", "bank", TWICE[6]),
        ("/v1/checks/batch", "bank", f'{{"checks": [{ONCE[0]}], "checks": []}}'),
        ("/v1/reports", "police", f'{{"document": {{{DOCUMENT}}}, "kind": "lost", "kind": "stolen", "proof": "phone"}}'),
    ):
        refused = send(path, party, body)
        assert (refused.status_code, refused.json()["detail"]) == (400, "A member is given twice."), refused.text
    answers = send("/v1/checks/batch", "bank", f'{{"checks": [{ONCE[0]}, {TWICE[6]}]}}').json()["answers"]
    assert [answer["error"]["code"] for answer in answers] == ["E00", "E94"]
