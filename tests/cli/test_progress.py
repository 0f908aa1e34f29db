"""How long work is going: a bar on a terminal, plain lines elsewhere, and never a word on standard output."""

from __future__ import annotations

from pathlib import Path

import pytest

from annul.cli.progress import LINE_EVERY_S, progress, reading
from annul.errors import BadInput
from tests.cli.conftest import Terminal


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The clock that plain lines are timed by."""
    made = Watch()
    monkeypatch.setattr("annul.cli.progress.time.monotonic", made)
    return made


def test_short_work_is_two_lines(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is begun, and at the end how much and how long; results on standard output stay clean."""
    with progress("Loading", 10, "documents") as advance:
        for _ in range(10):
            advance(1)
        watch.now_s += 2.5
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "Loading …\nLoading: 10 documents in 2.5 s\n"


def test_long_work_says_now_and_then_how_far_it_is(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    """Not more than one line in five seconds, with share, rate and what is left."""
    with progress("Loading", 4_000, "documents") as advance:
        for _ in range(3):
            advance(500)
            watch.now_s += LINE_EVERY_S / 2
        advance(500)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "Loading …",
        "Loading: 1,500 of 4,000 documents (38%), 300/s, 8 s left",
        "Loading: 2,000 documents in 7.5 s",
    ]


@pytest.mark.parametrize("total", [None, 0])
def test_work_of_unknown_length_has_a_rate_alone(total: int | None, watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    """No share and no time left are invented."""
    with progress("Re-keying", total, "documents") as advance:
        watch.now_s += LINE_EVERY_S
        advance(1_000)
    assert "Re-keying: 1,000 documents, 200/s\n" in capsys.readouterr().err


def test_work_that_stands_still_divides_by_nothing(watch: Watch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing done after five seconds: rate 0, and no infinite time."""
    with progress("Waiting", 5, "checks") as advance:
        watch.now_s += LINE_EVERY_S
        advance(0)
    assert "(0%), 0/s, 0 s left" in capsys.readouterr().err


@pytest.mark.parametrize("total", [10, None])
def test_a_terminal_gets_a_bar(total: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its name and unit; also one that ends without having been told how much there was."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with progress("Loading", total, "documents") as advance:
        advance(4)
        advance(6)
    assert "Loading" in screen.getvalue()
    assert "100%" in screen.getvalue()


def test_a_bar_of_work_that_failed_does_not_hide_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was raised inside comes out."""
    monkeypatch.setattr("sys.stderr", Terminal())
    with pytest.raises(BadInput, match="in the middle"), progress("Loading", 10, "documents"):
        raise BadInput("in the middle")


def test_a_file_is_read_by_its_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The name without its folder, the size as the whole."""
    file = tmp_path / "list.csv"
    file.write_bytes(b"x" * 1_200)
    with reading(file) as advance:
        advance(1_200)
    assert capsys.readouterr().err.startswith("Reading list.csv …\nReading list.csv: 1,200 bytes in ")


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    """Before anything is begun, with the system's reason."""
    with pytest.raises(BadInput, match="No such file") as refused, reading(tmp_path / "none.csv"):
        pass
    assert refused.value.where == str(tmp_path / "none.csv")
