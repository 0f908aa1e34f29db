"""Counters of failed comparisons, shared by workers and kept over their restarts."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from annul.errors import OverQuota, UnknownVersion
from annul.likeness import Result
from annul.likeness.comparison import ATTEMPTS_MAX, FORGET_S, PAUSE_S
from annul.registry.counter import attempts
from annul.registry.counter.attempts import AttemptFile
from tests.waiting import WAIT_S

NOW = 1_800_000_000.0
SUBJECT = bytes(range(16))


def fail(counters: AttemptFile, subject: bytes = SUBJECT, now_s: float = NOW) -> None:
    counters.begin(subject, now_s)
    counters.end(subject, Result.NO_MATCH, now_s)


def test_failures_in_several_workers_add_up(tmp_path: Path) -> None:
    """Five failures spread over three openings of the file bring the pause in each of them; another document is free."""
    workers = [AttemptFile(tmp_path / "attempts") for _ in range(3)]
    for n in range(ATTEMPTS_MAX):
        fail(workers[n % 3])
    for worker in workers:
        with pytest.raises(OverQuota):
            worker.begin(SUBJECT, NOW + 1)
        worker.begin(SUBJECT[::-1], NOW)


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """Closed and opened again the pause stands, until it is over."""
    counters = AttemptFile(tmp_path / "attempts")
    for _ in range(ATTEMPTS_MAX):
        fail(counters)
    counters.close()
    again = AttemptFile(tmp_path / "attempts")
    with pytest.raises(OverQuota):
        again.begin(SUBJECT, NOW + PAUSE_S - 1)
    again.begin(SUBJECT, NOW + PAUSE_S)


def _crash(file: str) -> None:
    AttemptFile(Path(file)).begin(SUBJECT, NOW)
    os._exit(1)


def test_workers_that_are_killed_in_the_middle_leave_their_attempts_counted(tmp_path: Path) -> None:
    """Five processes begin and die at once, without a word: the sixth attempt meets the pause."""
    file = tmp_path / "attempts"
    context = multiprocessing.get_context("fork")
    crashed = [context.Process(target=_crash, args=(str(file),)) for _ in range(ATTEMPTS_MAX)]
    for process in crashed:
        process.start()
    for process in crashed:
        process.join(WAIT_S)
    with pytest.raises(OverQuota):
        AttemptFile(file).begin(SUBJECT, NOW + 1)


def test_a_match_or_an_unusable_sample_gives_the_attempt_back(tmp_path: Path) -> None:
    """Only what failed stays."""
    counters = AttemptFile(tmp_path / "attempts")
    for _ in range(3 * ATTEMPTS_MAX):
        counters.begin(SUBJECT, NOW)
        counters.end(SUBJECT, Result.NO_USABLE_TRAIT, NOW)
    for _ in range(ATTEMPTS_MAX - 1):
        fail(counters)
    counters.begin(SUBJECT, NOW)
    counters.end(SUBJECT, Result.MATCH, NOW)
    for _ in range(ATTEMPTS_MAX):
        fail(counters)
    with pytest.raises(OverQuota):
        counters.begin(SUBJECT, NOW)


def test_a_token_is_good_once(tmp_path: Path) -> None:
    """In any worker; a day later its slot may be used for something else."""
    one, two = AttemptFile(tmp_path / "attempts"), AttemptFile(tmp_path / "attempts")
    assert one.spend(SUBJECT, NOW)
    assert not two.spend(SUBJECT, NOW + 1)
    assert not one.spend(SUBJECT, NOW + FORGET_S)


def test_a_flood_of_other_documents_frees_nobody_from_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents that failed once give way before one that is paused, in a file with too few slots."""
    monkeypatch.setattr(attempts, "SLOTS", attempts.WAYS)
    counters = AttemptFile(tmp_path / "attempts")
    for _ in range(ATTEMPTS_MAX):
        fail(counters)
    for n in range(1, 500):
        fail(counters, n.to_bytes(16, "big"), NOW + n / 1000)
    with pytest.raises(OverQuota):
        counters.begin(SUBJECT, NOW + 1)


def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    """And the message says what to do."""
    file = tmp_path / "attempts"
    AttemptFile(file).close()
    with file.open("r+b") as damaged:
        damaged.write(b"annulatt\x02")
    with pytest.raises(UnknownVersion) as refused:
        AttemptFile(file)
    assert "Delete" in (refused.value.mend or "")


def test_the_file_is_private_and_names_no_document(tmp_path: Path) -> None:
    """Only its owner may read it."""
    counters = AttemptFile(tmp_path / "attempts")
    fail(counters)
    assert (tmp_path / "attempts").stat().st_mode & 0o077 == 0
