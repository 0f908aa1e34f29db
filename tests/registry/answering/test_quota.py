"""The quota: what was admitted counts after a restart, a change of either limit applies, and batches share what is left."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from annul.errors import OverQuota, UnknownVersion
from annul.registry.answering.quota import DAY_S, ROWS, WORKERS_MAX, Quota

NOW_US = 1_800_000_000_000_000
SECOND_US = 1_000_000


def test_a_worker_that_starts_again_goes_on_counting(tmp_path: Path) -> None:
    """3 of 5 admitted, written down, closed, opened: 2 are left in this second, and in this day when the second is over."""
    for limits in ((5, 100), (100, 5)):
        file = tmp_path / f"quota-{limits[0]}"
        quota = Quota(file, 0)
        assert quota.allowance("bank", *limits).take(3, NOW_US) == 3
        quota.publish()
        quota.close()
        again = Quota(file, 0)
        allowance = again.allowance("bank", *limits)
        assert allowance.take(5, NOW_US) == 2
        assert allowance.take(1, NOW_US) == 0
        assert allowance.take(5, NOW_US + SECOND_US) == (5 if limits[0] == 5 else 0)
        again.close()


def test_what_a_worker_admitted_yesterday_does_not_count_today(tmp_path: Path) -> None:
    """Neither in the day nor in the second, after a restart too."""
    quota = Quota(tmp_path / "quota", 0)
    assert quota.allowance("bank", 5, 5).take(5, NOW_US) == 5
    quota.close()
    again = Quota(tmp_path / "quota", 0)
    tomorrow = NOW_US + DAY_S * SECOND_US
    assert again.allowance("bank", 5, 5).take(5, tomorrow) == 5
    again.close()


def test_either_limit_alone_can_change(tmp_path: Path) -> None:
    """A new agreement applies from the next check, whichever of the two numbers it changed; what was taken stays taken."""
    quota = Quota(tmp_path / "quota", 0)
    assert quota.allowance("bank", 5, 100).take(5, NOW_US) == 5
    assert quota.allowance("bank", 8, 100).take(9, NOW_US) == 3
    assert quota.allowance("bank", 8, 10).take(9, NOW_US + SECOND_US) == 2
    assert quota.allowance("bank", 8, 12).take(9, NOW_US + SECOND_US) == 2
    assert quota.allowance("bank", 2, 100).take(9, NOW_US + SECOND_US) == 0
    assert quota.allowance("bank", 2, 100).policy == b'"second";q=2;w=1, "day";q=100;w=86400'
    quota.close()


@pytest.mark.parametrize(
    ("own", "others", "wanted", "granted"),
    [(0, 4, 11, 6), (0, 1, 100, 9), (0, 10, 11, 0), (5, 3, 2, 2), (5, 4, 2, 1), (5, 5, 1, 0), (2, 3, 9, 5)],
)
def test_a_batch_gets_what_other_workers_left(own: int, others: int, wanted: int, granted: int, tmp_path: Path) -> None:
    """Where it gets narrow (half is used, or it does not fit) what the others admitted meanwhile is looked at first."""
    first, second = Quota(tmp_path / "quota", 0), Quota(tmp_path / "quota", 1)
    party = first.allowance("bank", 10, 100)
    assert party.take(own, NOW_US) == own  # the second begins before the others ask
    assert second.allowance("bank", 10, 100).take(others, NOW_US) == others
    second.publish()
    assert party.take(wanted, NOW_US) == granted
    left = 10 - own - others - granted
    first.publish()
    assert party.remaining().startswith(b'"second";r=%d;t=1' % left)
    first.close()
    second.close()


def test_a_day_that_is_used_up_by_others_is_used_up(tmp_path: Path) -> None:
    """The refusal says how long: until midnight UTC, not a second."""
    first, second = Quota(tmp_path / "quota", 0), Quota(tmp_path / "quota", 1)
    assert second.allowance("bank", 100, 5).take(5, NOW_US) == 5
    second.publish()
    party = first.allowance("bank", 100, 5)
    assert party.take(1, NOW_US + SECOND_US) == 0
    refused = party.refusal(NOW_US + SECOND_US)
    assert refused.extra["retry_after_s"] == DAY_S - (NOW_US // SECOND_US + 1) % DAY_S
    assert "day" in refused.message
    first.close()
    second.close()


def test_parties_do_not_use_each_others_quota(tmp_path: Path) -> None:
    """Also when their rows lie side by side, and after a restart in another order."""
    names = [f"party-{number}" for number in range(40)]
    quota = Quota(tmp_path / "quota", 3)
    for number, name in enumerate(names):
        assert quota.allowance(name, 100, 100).take(number, NOW_US) == number
    quota.close()
    again = Quota(tmp_path / "quota", 3)
    for number, name in reversed(list(enumerate(names))):
        assert again.allowance(name, 100, 100).take(100, NOW_US) == 100 - number
    again.close()


@pytest.mark.parametrize("worker", [-1, WORKERS_MAX])
def test_a_worker_has_a_number_of_this_machine(worker: int, tmp_path: Path) -> None:
    """0 to 63: others would write beside the row."""
    with pytest.raises(ValueError, match=r"0\.\.63"):
        Quota(tmp_path / "quota", worker)


@pytest.mark.parametrize(("place", "value"), [(0, b"other..."), (8, struct.pack("<Q", 2)), (16, struct.pack("<Q", ROWS + 1))])
def test_a_file_of_another_layout_is_refused(place: int, value: bytes, tmp_path: Path) -> None:
    """Not counted in wrongly: the operator is told to delete it."""
    Quota(tmp_path / "quota", 0).close()
    with (tmp_path / "quota").open("r+b") as file:
        file.seek(place)
        file.write(value)
    with pytest.raises(UnknownVersion) as refused:
        Quota(tmp_path / "quota", 0)
    assert refused.value.mend == "Delete the file."


def test_more_parties_than_rows_are_refused_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one has no row of its own; the known ones go on."""
    monkeypatch.setattr("annul.registry.answering.quota.ROWS", 3)
    quota = Quota(tmp_path / "quota", 0)
    for name in ("a", "b", "c"):
        assert quota.allowance(name, 5, 5).take(1, NOW_US) == 1
    with pytest.raises(OverQuota, match="no further party"):
        quota.allowance("d", 5, 5)
    assert quota.allowance("b", 5, 5).take(5, NOW_US) == 4
    quota.close()
