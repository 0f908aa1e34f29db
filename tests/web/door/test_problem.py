"""Problem documents: one table, nothing leaks, everything says the next step."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul import errors
from annul.records.check import Question
from annul.records.document import DocumentFields
from annul.web.door import problem

SECRET = "11010519491231002X"


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A body for these tests."""

    document: DocumentFields
    kind: Literal["lost", "stolen"] = "lost"


TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AnnulError)]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_a_line_in_the_table(kind: type[errors.AnnulError]) -> None:
    """A new error without a line would leave as `internal`."""
    assert kind.code in problem.PROBLEMS


def test_an_error_that_refines_another_takes_its_line() -> None:
    """Rooms may have finer errors of their own; callers see the stable code."""

    class ZoneMalformed(errors.MalformedNumber):
        code = "zone-malformed"

    assert problem.problem_of(ZoneMalformed("x")).code == "malformed-number"


def test_a_problem_says_what_where_and_how_to_mend() -> None:
    """The members of RFC 9457 and ours are there."""
    made = problem.problem_of(errors.BadInput("The date is no date.", where="/document/valid_from", mend="Use YYYY-MM-DD."))
    members = json.loads(made.body)
    assert made.status == members["status"] == 400
    assert members["type"] == "/problems/bad-input"
    assert (members["detail"], members["where"]) == ("The date is no date.", "/document/valid_from")
    assert members["mend"] == "Use YYYY-MM-DD."
    assert (members["outcome"], members["error"]) == ("NO_ANSWER", "E94")
    assert made.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SourceDown("x"), "E90"),
        (errors.OverQuota("x"), "E91"),
        (errors.NotAuthorised("x"), "E92"),
        (errors.PurposeNotAllowed("x"), "E93"),
        (errors.TooLarge("x"), "E94"),
        (errors.TimedOut("x"), "E95"),
    ],
)
def test_a_missing_answer_is_an_outcome_and_never_a_pass(error: errors.AnnulError, code: str) -> None:
    """E90 to E95 carry NO_ANSWER."""
    members = problem.problem_of(error).members
    assert (members["outcome"], members["error"]) == ("NO_ANSWER", code)


def test_an_unexpected_error_does_not_show_its_text() -> None:
    """The text of a foreign exception may hold anything."""
    made = problem.problem_of(RuntimeError(f"row of {SECRET} is bad"))
    assert made.status == 500
    assert SECRET.encode() not in made.body


def test_paths_of_damaged_files_are_for_the_log_only() -> None:
    """Where our files lie is not the caller's business."""
    made = problem.problem_of(errors.Corrupt("Tile damaged.", where="/var/lib/annul/log/register/tile/0/000"))
    assert b"/var/lib" not in made.body


def test_over_quota_says_when_to_come_back() -> None:
    """Retry-After is whole seconds, rounded up."""
    assert problem.problem_of(errors.OverQuota("x", retry_after_s=2.2)).headers["retry-after"] == "3"


def test_no_credential_names_the_scheme() -> None:
    """401 has WWW-Authenticate."""
    assert problem.problem_of(errors.NotAuthorised("x")).headers["www-authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"document": 1}', "/document"),
        (b'{"document": {"scheme": 1}}', "/document/scheme"),
        (b'{"document": {"scheme": "x", "mrz": ["a", 2]}}', "/document/mrz/1"),
        (b'{"document": {"scheme": "x"}, "kind": "11010519491231002X"}', "/kind"),
        (b'{"document": {"scheme": "x", "11010519491231002X": 1}}', "/document"),
        (b"{}", "/"),
    ],
)
def test_a_refused_body_is_named_by_pointer_and_never_repeated(body: bytes, where: str) -> None:
    """Values and unknown names come from the request and may be numbers of documents."""
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(body, type=Asked)
    made = problem.problem_of(refused.value)
    assert made.members["where"] == where
    assert SECRET.encode() not in made.body


@given(st.text(max_size=60))
def test_no_value_of_a_body_comes_back(value: str) -> None:
    """Whatever stands where a word of a closed list should stand, the problem document is the same."""
    body = msgspec.json.encode({"document": {"scheme": "x"}, "kind": f"-{value}"})
    with pytest.raises(msgspec.MsgspecError) as refused:
        msgspec.json.decode(body, type=Asked)
    assert problem.problem_of(refused.value).members["detail"] == "The value is none of those allowed."


@given(st.lists(st.one_of(st.integers(0, 99999), st.sampled_from(["document", "mrz", "checks"])), max_size=5))
def test_paths_become_json_pointers(parts: list[int | str]) -> None:
    """RFC 6901: one reference token per step."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    assert problem.pointer(path) == "".join(f"/{part}" for part in parts)


def test_what_our_own_structs_refuse_is_said_in_their_words() -> None:
    """A line break in a tag is refused in words; a message of a room leaves as a sentence."""
    body = b'{"document": {"scheme": "x"}, "purpose": "payment", "channel": "remote", "branch": "a\\nb"}'
    with pytest.raises(errors.BadInput) as refused:
        msgspec.json.decode(body, type=Question)
    assert "signs that are shown." in str(problem.problem_of(refused.value).members["detail"])
    assert problem.problem_of(errors.BadInput("this lies in the future")).members["detail"] == "This lies in the future."


def test_a_time_that_is_none_says_how_times_are_written() -> None:
    """The next step shows one."""
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(b'"soon"', type=datetime)
    found = problem.problem_of(refused.value)
    assert found.members["detail"] == "This is not a time."
    assert "2026-11-23T14:03:22Z" in str(found.members["mend"])
