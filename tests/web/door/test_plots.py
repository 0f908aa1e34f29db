"""Plots drawn on the server: zero baseline, labels that do not cover one another, gaps, and nothing that is not escaped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.web.door.plots import HEIGHT, LABEL_GAP, Series, Target, ceiling, columns, lines, number, spark

VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1e12)), min_size=1, max_size=60)


@given(VALUES, st.floats(0, 1e9))
def test_every_point_lies_in_the_plot(values: list[float | None], target: float) -> None:
    """Whatever the numbers are: the drawing is XML, and no point is above or below it."""
    figure = lines("T", [str(at) for at in range(len(values))], [Series("a", values)], target=Target(target, "t"))
    root = ET.fromstring(str(figure.svg))  # noqa: S314 - our own
    for shape in root.iter("polyline"):
        for _, y in (point.split(",") for point in shape.attrib["points"].split()):
            assert 0 <= float(y) <= HEIGHT


@given(st.floats(1e-6, 1e15))
def test_the_axis_ends_at_a_round_number_above(most: float) -> None:
    """Never below the largest value, never more than 2.5 times it."""
    assert most <= ceiling(most) <= most * 2.5 * (1 + 1e-9)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=5))
def test_direct_labels_do_not_cover_one_another(last: list[float]) -> None:
    """Labels at the ends of lines keep a line's distance."""
    figure = lines("T", ["a", "b"], [Series(f"s{at}", [0, value]) for at, value in enumerate(last)])
    ys = sorted(float(y) for y in re.findall(r'class="end [^>]*? y="([-\d.]+)"', str(figure.svg)))
    assert all(after - before >= LABEL_GAP - 0.2 for before, after in pairwise(ys))


def test_a_gap_breaks_the_line_and_a_single_point_is_seen() -> None:
    """Missing is not zero."""
    svg = str(lines("T", ["1", "2", "3"], [Series("a", [1, None, 2])]).svg)
    assert svg.count("<circle") == 2


def test_words_are_escaped() -> None:
    """Names of parties come from people."""
    figure = lines('<b>"T"', ["<1>"], [Series("<i>", [1])], target=Target(1, "<t>"))
    assert "<b>" not in figure.svg
    assert "<i>" not in figure.svg
    assert "<t>" not in figure.svg
    assert "style=" not in figure.svg


def test_the_table_says_what_the_drawing_shows() -> None:
    """One row per label, missing values as a dash."""
    figure = lines("T", ["a", "b"], [Series("x", [1, None]), Series("y", [2.5, 3])])
    assert figure.rows == [["a", "1", "2.5"], ["b", "–", "3"]]
    assert columns("T", ["2025"], [12_345], name="n").rows == [["2025", "12.3 k"]]
    assert number(1_500_000) == "1.5 M"


def test_nothing_yet_is_told() -> None:
    """An empty plot says so to the page, and draws without failing."""
    assert lines("T", [], [Series("a", [])]).empty
    assert columns("T", [], [], name="n").empty
    assert "svg" in spark("T", [])


def test_a_series_of_another_length_is_refused() -> None:
    """A drawing that would lie is not made."""
    with pytest.raises(ValueError, match="every series"):
        lines("T", ["a"], [Series("a", [1, 2])])
