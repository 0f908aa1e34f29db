"""Random faults in genuine zones: a short run of `tests.corpus.mutations`; `make mutations` is the long one."""

from __future__ import annotations

import pytest

from tests.corpus import ZONES
from tests.corpus.mutations import run, unseeable


@pytest.mark.parametrize("seed", range(3))
def test_no_mutant_is_another_document_in_silence(seed: int) -> None:
    """Refused, the same document, remarked, or such that no check digit of its form can tell."""
    told, silent = run(6_000, seed)
    assert silent == []
    assert told["refused"] > 3_000
    assert told["another, no digit can tell"] < 90  # 10 of 360 exchanges in the checked fields


def test_what_no_digit_can_tell_is_judged_by_the_tests_own_arithmetic() -> None:
    """Every zone of the corpus fits its digits; one digit changed does not."""
    for entry in ZONES:
        assert unseeable(entry["form"], entry["lines"])
    line = ZONES[0]["lines"]
    assert not unseeable("TD3", [line[0], "M" + line[1][1:]])
    assert unseeable("TD3", [line[0], "B" + line[1][1:]])  # L is 21, B is 11
