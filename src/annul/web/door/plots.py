"""Draw plots on the server as SVG: thin lines, direct labels instead of legends, zero baseline, the target as a line.

A plot is drawn once for every width: positions across are percentages, text keeps its size, and lines keep their thickness.
Colours are classes of `static/annul.css`; series also differ by their dashes, so that they survive print and colour blindness.
Every plot is shown with its table (`templates/parts/plots.html`).

    figure = lines("Checks a second", ["10:00", "10:01"], [Series("PASS", [12, 14])], target=Target(20, "planned"))

Why not Vega: 2 s for the first plot, 60 ms and 9 KB for each, 130 MB in every worker; this is 0.1 ms and 2 KB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from markupsafe import Markup, escape

HEIGHT: Final = 200
"""Height of a plot's area in CSS pixels."""
SPARK_HEIGHT: Final = 40
LABEL_GAP: Final = 18
"""Least distance of two direct labels, in CSS pixels: one line of text."""
SERIES_MAX: Final = 5
OUTCOME_SHADES: Final = {"PASS": 4, "REFER": 1, "STOP": 2, "NO_ANSWER": 3}
"""Outcome -> shade of its line: the colour it has everywhere."""
LEAST: Final = 1e-9
"""Smaller than this is drawn as nothing."""
COLUMNS_MAX: Final = 6
"""Columns whose words still stand beside each other at 320 px; more become bars under each other, a step apart."""
BAR_STEP: Final = 28
TICKS_MAX: Final = 4

Value = float | None


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a plot; a missing value breaks the line. `shade` is its colour and dashes, its place when None."""

    name: str
    values: Sequence[Value]
    shade: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a value should be: a line across the plot with its words."""

    value: float
    words: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn plot and its numbers.

    Args:
        title: what is shown, in words.
        svg: the drawing.
        head, rows: the table underneath: names of columns, then a row per label.
        empty: there is nothing to draw yet.
    """

    title: str
    svg: Markup
    head: list[str | tuple[str, str]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    empty: bool = False


def ceiling(most: float) -> float:
    """Return the round number the axis ends at: 1, 2, 2.5 or 5 times a power of ten."""
    if most < LEAST or not math.isfinite(most):
        return 1.0
    step = 10.0 ** math.floor(math.log10(most))
    return next(factor * step for factor in (1, 2, 2.5, 5, 10) if factor * step >= most)


def number(value: Value) -> str:
    """Say a value shortly: 3 significant digits, thousands as k, M."""
    if value is None:
        return "–"
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scaled = value / (1e3 if sign == "k" else limit)
            return f"{scaled:.3g} {sign}"
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def lines(
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    target: Target | None = None,
    unit: str = "",
    first_column: str = "",
) -> Figure:
    """Draw values over time as lines.

    Args:
        title: what is shown; also said aloud.
        labels: one per point, oldest first.
        series: at most five lines of as many values as there are labels.
        target: line to compare with.
        unit: after the numbers of the axis.
        first_column: heading of the table's first column.

    Raises:
        ValueError: a series has not as many values as there are labels, or there are too many series.
    """
    if len(series) > SERIES_MAX or any(len(one.values) != len(labels) for one in series):
        raise ValueError("every series has a value for each label, and there are at most five")
    known = [value for one in series for value in one.values if value is not None]
    top = ceiling(max([*known, target.value if target else 0.0], default=0.0))
    parts = [_axis(top, unit, whole=_whole(known)), _ticks(labels)]
    if target:
        parts.append(_target(target, top))
    steps = max(len(labels) - 1, 1)
    ends: list[tuple[float, int, str]] = []
    for at_, one in enumerate(series):
        place = at_ if one.shade is None else one.shade
        for points in _pieces(one.values):
            path = " ".join(f"{1000 * at / steps:.1f},{_y(value, top):.1f}" for at, value in points)
            shape = f'<polyline class="line s{place}" points="{path}"/>'
            parts.append(
                f'<svg viewBox="0 0 1000 {HEIGHT}" preserveAspectRatio="none" width="100%" height="{HEIGHT}">{shape}</svg>'
            )
            if len(points) == 1:
                at, value = points[0]
                parts.append(f'<circle class="dot s{place}" cx="{100 * at / steps:.2f}%" cy="{_y(value, top):.1f}" r="3"/>')
        last = next((value for value in reversed(one.values) if value is not None), None)
        if last is not None:
            ends.append((_y(last, top), place, f"{one.name} {number(last)}"))
    parts += [
        f'<text class="end s{place}" x="100%" dx="8" y="{y:.1f}" dy="5">{escape(words)}</text>'
        for (_, place, words), y in zip(sorted(ends), _spread([end[0] for end in sorted(ends)]), strict=True)
    ]
    head: list[str | tuple[str, str]] = [first_column, *((one.name, "number") for one in series)]
    rows = [[label, *(number(one.values[at]) for one in series)] for at, label in enumerate(labels)]
    return Figure(title, _svg(title, HEIGHT, parts), head, rows, empty=not known)


def columns(
    title: str, labels: Sequence[str], values: Sequence[float], *, name: str, unit: str = "", first_column: str = ""
) -> Figure:
    """Draw one value per label from zero: counts by year, ages by class. Columns; bars under each other when there are many."""
    top = ceiling(max(values, default=0.0))
    rows = [[label, number(value)] for label, value in zip(labels, values, strict=True)]
    head: list[str | tuple[str, str]] = [first_column, (name, "number")]
    if len(values) > COLUMNS_MAX:
        return Figure(title, _ranked(title, labels, values, top), head, rows, empty=not any(values))
    width = 100 / max(len(values), 1)
    parts = [_axis(top, unit, whole=_whole(values))]
    for at, value in enumerate(values):
        y = _y(value, top)
        left = width * at + width * 0.15
        parts.append(
            f'<rect class="bar" x="{left:.2f}%" y="{y:.1f}" width="{width * 0.7:.2f}%" height="{HEIGHT - y:.1f}"/>'
            f'<text class="on" x="{width * (at + 0.5):.2f}%" y="{y - 6:.1f}">{escape(number(value))}</text>'
            f'<text class="tick" x="{width * (at + 0.5):.2f}%" y="{HEIGHT + 22}">{escape(labels[at])}</text>'
        )
    return Figure(title, _svg(title, HEIGHT, parts), head, rows, empty=not any(values))


def _ranked(title: str, labels: Sequence[str], values: Sequence[float], top: float) -> Markup:
    """Draw bars under each other: the words before, the value behind; their text keeps its size at 320 px."""
    parts = []
    for at, (label, value) in enumerate(zip(labels, values, strict=True)):
        y, width = BAR_STEP * at, 100 * max(value, 0.0) / top
        parts.append(
            f'<text class="of" x="-8" y="{y + 17}">{escape(label)}</text>'
            f'<rect class="bar" x="0" y="{y}" width="{width:.2f}%" height="{BAR_STEP - 6}"/>'
            f'<text class="value" x="{width:.2f}%" dx="8" y="{y + 17}">{escape(number(value))}</text>'
        )
    return _svg(title, BAR_STEP * len(values), parts, kind="ranked")


def _whole(values: Sequence[float]) -> bool:
    return all(float(value).is_integer() for value in values)


def spark(title: str, values: Sequence[Value], *, target: float | None = None) -> Markup:
    """Draw a sparkline: the last value is the dot, the target a thin line; no axis, no numbers."""
    known = [value for value in values if value is not None]
    top = ceiling(max([*known, target or 0.0], default=0.0))
    steps = max(len(values) - 1, 1)
    parts = []
    if target is not None:
        y = _y(target, top, SPARK_HEIGHT)
        parts.append(f'<line class="target" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>')
    for points in _pieces(values):
        path = " ".join(f"{1000 * at / steps:.1f},{_y(value, top, SPARK_HEIGHT):.1f}" for at, value in points)
        shape = f'<polyline class="line s0" points="{path}"/>'
        parts.append(
            f'<svg viewBox="0 0 1000 {SPARK_HEIGHT}" preserveAspectRatio="none" width="100%" height="{SPARK_HEIGHT}">'
            f"{shape}</svg>"
        )
    if known and values[-1] is not None:
        parts.append(f'<circle class="dot s0" cx="100%" cy="{_y(values[-1], top, SPARK_HEIGHT):.1f}" r="4"/>')
    body = "".join(parts)
    return Markup(f'<svg class="spark" role="img" aria-label="{escape(title)}" height="{SPARK_HEIGHT}">{body}</svg>')  # noqa: S704


def _svg(title: str, height: int, parts: Sequence[str], *, kind: str = "") -> Markup:
    body = "".join(parts)
    return Markup(f'<svg class="plot {kind}" role="img" aria-label="{escape(title)}" height="{height}">{body}</svg>')  # noqa: S704


def _y(value: float, top: float, height: int = HEIGHT) -> float:
    return height - height * min(max(value, 0.0), top) / top


def _axis(top: float, unit: str, *, whole: bool = False) -> str:
    made = []
    for share in (0.0, 1.0) if whole and top % 2 else (0.0, 0.5, 1.0):
        y = HEIGHT * (1 - share)
        words = escape(number(top * share) + (f" {unit}" if unit and share == 1.0 else ""))
        made.append(
            f'<line class="{"base" if share == 0 else "rule"}" x1="0" x2="100%" y1="{y:.0f}" y2="{y:.0f}"/>'
            f'<text class="axis" x="-8" y="{y:.0f}" dy="5">{words}</text>'
        )
    return "".join(made)


def _ticks(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    last = len(labels) - 1
    chosen = sorted({round(last * at / (TICKS_MAX - 1)) for at in range(TICKS_MAX)}) if last else [0]
    made = []
    for at in chosen:
        anchor = "tick first" if at == 0 else "tick last" if at == last else "tick between"
        made.append(f'<text class="{anchor}" x="{100 * at / max(last, 1):.2f}%" y="{HEIGHT + 22}">{escape(labels[at])}</text>')
    return "".join(made)


def _target(target: Target, top: float) -> str:
    y = _y(target.value, top)
    return (
        f'<line class="target" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="target-words" x="4" y="{y - 6:.1f}">{escape(target.words)}</text>'
    )


def _pieces(values: Sequence[Value]) -> list[list[tuple[int, float]]]:
    """Split a line where values are missing."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((at, value))
    return [piece for piece in pieces if piece]


def _spread(wanted: Sequence[float]) -> list[float]:
    """Move labels apart so that none covers another; `wanted` is sorted."""
    placed: list[float] = []
    for y in wanted:
        placed.append(max(y, placed[-1] + LABEL_GAP) if placed else y)
    over = max(placed[-1] - HEIGHT, 0.0) if placed else 0.0
    for at in range(len(placed) - 1, -1, -1):
        limit = HEIGHT if at == len(placed) - 1 else placed[at + 1] - LABEL_GAP
        placed[at] = min(placed[at], limit) if over else placed[at]
    return placed
