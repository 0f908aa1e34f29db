"""How alike two sets of minutiae are: a descriptor around each minutia, relaxation of pairs, one rigid alignment.

Pure numpy, no state. A minutia set is an array of shape (n, 4), float64: x and y in pixels at 500 dpi (y upwards), direction
in radians (counter-clockwise from x, along the ridge away from its end), reliability 0..1.

The score adds two views of the same pairs: how well the neighbourhoods agree after relaxation (local), and how many minutiae
fall on each other under the best rigid motion, against how many could have (global). Impostors score 0.5..3, the same finger
usually above 8; what a score means is said by a calibration file, not here.

Source: Cappelli, Ferrara, Maltoni, Minutia Cylinder-Code, IEEE TPAMI 32 (2010) 2128-2141 (cylinders, local similarity sort
with relaxation); the alignment stage is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

VERSION: Final = "1"
MINUTIAE_MAX: Final = 100
"""Minutiae of one view that are compared, the most reliable first; a whole fingertip has 40..90."""
MINUTIAE_MIN: Final = 4
"""Fewer give no neighbourhood to compare: the score is 0."""

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

# Parameters of the paper's table 1 (binary cylinders, 16 x 16 x 6 cells).
_RADIUS = 70.0
_SIDE = 16
_SECTIONS = 6
_SIGMA_SPACE = 28.0 / 3.0
_SIGMA_DIRECTION = 2.0 * np.pi / 9.0
_CELL_ON = 0.005
_HULL_MARGIN = 50.0
_CELLS_VALID_MIN = 0.6
_NEIGHBOURS_MIN = 2
_ROTATION_MAX = np.pi / 2
# Relaxation.
_ROUNDS = 5
_KEEP = 0.5
_STRETCH = 0.15
# Alignment, our own: tolerances in pixels at 500 dpi and radians, seeds tried, refits of each.
_NEAR = 12.0
_TURN = np.radians(20.0)
_SEEDS = 8
_REFITS = 2
_LOCAL_WEIGHT = 20.0

_steps = (np.arange(_SIDE) + 0.5) * (2 * _RADIUS / _SIDE) - _RADIUS
_grid_x, _grid_y = np.meshgrid(_steps, _steps, indexing="ij")
_round = _grid_x**2 + _grid_y**2 <= _RADIUS**2
_CELL_X, _CELL_Y = _grid_x[_round], _grid_y[_round]
_SECTION_AT = -np.pi + (np.arange(_SECTIONS) + 0.5) * 2 * np.pi / _SECTIONS


@dataclass(frozen=True, slots=True)
class Prepared:
    """A minutia set made ready for comparing: `minutiae` (n, 4), bits of one cylinder a row, which bits and rows are valid."""

    minutiae: Floats
    cylinders: Words
    valid: Words
    usable: Flags
    hull: Floats


def prepare(minutiae: Floats) -> Prepared:
    """Describe the neighbourhood of each minutia of an (n, 4) set; only the `MINUTIAE_MAX` most reliable are used."""
    order = np.argsort(-minutiae[:, 3], kind="stable")[:MINUTIAE_MAX]
    points = np.ascontiguousarray(minutiae[order])
    n = len(points)
    hull = _hull(points[:, :2]) if n >= MINUTIAE_MIN else np.zeros((0, 2))
    if len(hull) < 3:
        empty = np.zeros((n, 0), np.uint64)
        return Prepared(points, empty, empty, np.zeros(n, np.bool_), np.zeros((0, 2)))
    x, y, direction = points[:, 0], points[:, 1], points[:, 2]
    cos, sin = np.cos(direction)[:, None], np.sin(direction)[:, None]
    cell_x = x[:, None] + cos * _CELL_X - sin * _CELL_Y
    cell_y = y[:, None] + sin * _CELL_X + cos * _CELL_Y
    cells_valid = _inside(cell_x, cell_y, hull, _HULL_MARGIN)
    space = (cell_x[..., None] - x) ** 2 + (cell_y[..., None] - y) ** 2
    near = np.exp(-space / (2 * _SIGMA_SPACE**2))
    near[space > (3 * _SIGMA_SPACE) ** 2] = 0
    near[np.arange(n), :, np.arange(n)] = 0
    turn = _wrap(_SECTION_AT[None, :, None] - _wrap(direction[:, None, None] - direction[None, None, :]))
    third = 2 * np.pi / _SECTIONS / 3
    bumps = [np.exp(-(_wrap(turn + shift) ** 2) / (2 * _SIGMA_DIRECTION**2)) for shift in (-third, 0.0, third)]
    agree = sum(bumps[1:], bumps[0]) * third / (_SIGMA_DIRECTION * np.sqrt(2 * np.pi))
    mass = near @ agree.transpose(0, 2, 1) / (_SIGMA_SPACE * np.sqrt(2 * np.pi))
    valid = np.repeat(cells_valid, _SECTIONS, axis=1)
    cylinders = (mass > _CELL_ON).reshape(n, -1) & valid
    neighbours = (np.hypot(x[:, None] - x, y[:, None] - y) < _RADIUS + 3 * _SIGMA_SPACE).sum(1) - 1
    usable = (cells_valid.mean(1) >= _CELLS_VALID_MIN) & (neighbours >= _NEIGHBOURS_MIN)
    return Prepared(points, _packed(cylinders), _packed(valid), usable, hull)


def _packed(bits: Flags) -> Words:
    """Pack (n, m) flags into (n, ceil(m / 64)) words."""
    padded = np.zeros((len(bits), -(-bits.shape[1] // 64) * 64), np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1).view(np.uint64)


def similarity(a: Prepared, b: Prepared) -> float:
    """Return how alike two prepared sets are, 0 upwards; symmetric up to rounding of ties."""
    if min(len(a.hull), len(b.hull)) < 3 or min(int(a.usable.sum()), int(b.usable.sum())) < 2:
        return 0.0
    local = _local(a, b)
    first, second = _greedy(local, int(min(a.usable.sum(), b.usable.sum())))
    if len(first) < 2:
        return 0.0
    before = local[first, second]
    after = _relax(a.minutiae[first], b.minutiae[second], before)
    count = _expected_pairs(int(min(a.usable.sum(), b.usable.sum())))
    best = np.argsort(-after / np.maximum(before, 1e-9), kind="stable")[:count]
    seeds = np.argsort(-after, kind="stable")[:_SEEDS]
    overlap = max(_aligned(a, b, int(first[k]), int(second[k])) for k in seeds)
    return overlap + _LOCAL_WEIGHT * float(after[best].sum()) / count


def second_look(a: Prepared, b: Prepared) -> float:
    """Return how alike two sets are when skin may be twisted and a finger turned any way; 0 upwards, never a ground to match.

    Neighbourhoods stay alike where the whole does not fit one rigid motion: pairs support one another within distances that may
    stretch, and no turn is ruled out. Impostors score higher than by `similarity`, so it serves one end: not to call two
    prints unlike that may be one finger's.
    """
    if min(len(a.hull), len(b.hull)) < 3 or min(int(a.usable.sum()), int(b.usable.sum())) < 2:
        return 0.0
    local = _local(a, b, turn_max=np.pi)
    usable = int(min(a.usable.sum(), b.usable.sum()))
    first, second = _greedy(local, usable)
    if len(first) < 2:
        return 0.0
    after = _relax(a.minutiae[first], b.minutiae[second], local[first, second], stretch=_STRETCH)
    count = _expected_pairs(usable)
    return _LOCAL_WEIGHT * float(np.sort(after)[::-1][:count].sum()) / count


def extent(prepared: Prepared) -> float:
    """Return the area in square millimetres that the minutiae of a set span (their convex hull)."""
    x, y = prepared.hull[:, 0], prepared.hull[:, 1]
    if len(x) < 3:
        return 0.0
    twice = float(np.abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()))
    return twice / 2 * (25.4 / 500) ** 2


def _wrap(angle: Floats) -> Floats:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def _hull(points: Floats) -> Floats:
    """Return the convex hull of (n, 2) points, counter-clockwise (Andrew's monotone chain)."""
    ordered = [(float(p[0]), float(p[1])) for p in points[np.lexsort((points[:, 1], points[:, 0]))]]

    def chain(walk: list[tuple[float, float]]) -> list[tuple[float, float]]:
        kept: list[tuple[float, float]] = []
        for p in walk:
            while len(kept) > 1 and (
                (kept[-1][0] - kept[-2][0]) * (p[1] - kept[-2][1]) - (kept[-1][1] - kept[-2][1]) * (p[0] - kept[-2][0]) <= 0
            ):
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1])).reshape(-1, 2)


def _inside(x: Floats, y: Floats, hull: Floats, margin: float) -> Flags:
    """Say which points lie inside the hull or within `margin` pixels of its edges' lines."""
    edges = np.roll(hull, -1, axis=0) - hull
    lengths = np.maximum(np.hypot(edges[:, 0], edges[:, 1]), 1e-6)
    nearest = np.full(x.shape, np.inf)
    for corner, edge, length in zip(hull, edges, lengths, strict=True):
        np.minimum(nearest, (edge[0] * (y - corner[1]) - edge[1] * (x - corner[0])) / length, out=nearest)
    return np.asarray(nearest > -margin)


def _local(a: Prepared, b: Prepared, *, turn_max: float = _ROTATION_MAX) -> Floats:
    """Return the (n, m) similarities 0..1 of cylinders; 0 where two cannot be compared."""
    common: Words = a.valid[:, None, :] & b.valid[None, :, :]
    bits_a, bits_b = a.cylinders[:, None, :] & common, b.cylinders[None, :, :] & common
    total = np.sqrt(_ones(bits_a)) + np.sqrt(_ones(bits_b))
    alike = np.where(total > 0, 1 - np.sqrt(_ones(bits_a ^ bits_b)) / np.maximum(total, 1e-6), 0.0)
    too_little = _ones(common) < _CELLS_VALID_MIN * _SECTIONS * len(_CELL_X)
    turned = np.abs(_wrap(a.minutiae[:, 2][:, None] - b.minutiae[:, 2][None]))
    alike[too_little | (turned > turn_max) | ~a.usable[:, None] | ~b.usable[None]] = 0
    return alike


def _ones(bits: Words) -> Floats:
    return np.asarray(np.bitwise_count(bits).sum(axis=2, dtype=np.float64))


def _greedy(scores: Floats, count: int) -> tuple[Ints, Ints]:
    """Pick up to `count` pairs with positive score, best first, no row or column twice."""
    flat = scores.ravel()
    wanted = min(12 * count, flat.size)
    top = np.argpartition(-flat, wanted - 1)[:wanted]
    top = top[flat[top] > 0]
    top = top[np.lexsort((top, -flat[top]))]
    rows, columns = np.divmod(top, scores.shape[1])
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    picked: list[tuple[int, int]] = []
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if row not in used_rows and column not in used_columns:
            used_rows.add(row)
            used_columns.add(column)
            picked.append((row, column))
            if len(picked) == count:
                break
    pairs = np.array(picked, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _sigmoid(value: Floats, middle: float, slope: float) -> Floats:
    return np.asarray(1 / (1 + np.exp(np.clip(-slope * (value - middle), -60, 60))))


def _expected_pairs(usable: int) -> int:
    return round(4 + float(_sigmoid(np.array(usable), 20.0, 0.4)) * 8)


def _relax(a: Floats, b: Floats, start: Floats, *, stretch: float = 0.0) -> Floats:
    """Strengthen pairs that agree in distance, direction and bearing with the other pairs, weaken the rest.

    stretch: share of a distance by which it may differ beyond the rigid tolerance; directions are then given twice the room.
    """
    apart_a, apart_b = a[:, None, :2] - a[None, :, :2], b[:, None, :2] - b[None, :, :2]
    length_a, length_b = np.hypot(apart_a[..., 0], apart_a[..., 1]), np.hypot(apart_b[..., 0], apart_b[..., 1])
    distance = np.maximum(np.abs(length_a - length_b) - stretch * np.minimum(length_a, length_b), 0)
    turn_a, turn_b = a[:, 2][:, None], b[:, 2][:, None]
    direction = np.abs(_wrap((turn_a - a[:, 2]) - (turn_b - b[:, 2])))
    bearing_a = turn_a - np.arctan2(-apart_a[..., 1], -apart_a[..., 0])
    bearing_b = turn_b - np.arctan2(-apart_b[..., 1], -apart_b[..., 0])
    bearing = np.abs(_wrap(bearing_a - bearing_b))
    slope, limit = -30.0, np.pi / (6 if stretch else 12)
    agree = _sigmoid(distance, 5.0, -1.6) * _sigmoid(direction, limit, slope) * _sigmoid(bearing, limit, slope)
    np.fill_diagonal(agree, 0)
    strength = start.copy()
    for _ in range(_ROUNDS):
        strength = _KEEP * strength + (1 - _KEEP) * (agree @ strength) / (len(start) - 1)
    return strength


def _aligned(a: Prepared, b: Prepared, first: int, second: int) -> float:
    """Lay a on b by one pair, refit on what falls together, return matched weight against the overlap."""
    points, target = a.minutiae, b.minutiae
    turn = float(_wrap(target[second, 2] - points[first, 2]))
    rotation = _rotation(turn)
    shift = target[second, :2] - rotation @ points[first, :2]
    for refit in range(_REFITS + 1):
        moved = points[:, :2] @ rotation.T + shift
        apart = np.hypot(moved[:, None, 0] - target[None, :, 0], moved[:, None, 1] - target[None, :, 1])
        turned = np.abs(_wrap(points[:, 2][:, None] + turn - target[:, 2][None]))
        weight = np.maximum(0, 1 - (apart / _NEAR) ** 2) * np.maximum(0, 1 - (turned / _TURN) ** 2)
        rows, columns = _greedy(weight, min(len(points), len(target)))
        if len(rows) < 3 or refit == _REFITS:
            break
        share = weight[rows, columns] / weight[rows, columns].sum()
        centre_a, centre_b = share @ points[rows, :2], share @ target[columns, :2]
        u, v = points[rows, :2] - centre_a, target[columns, :2] - centre_b
        turn = float(np.arctan2(share @ (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]), share @ (u * v).sum(1)))
        rotation = _rotation(turn)
        shift = centre_b - rotation @ centre_a
    if len(rows) == 0:
        return 0.0
    matched = float(weight[rows, columns].sum())
    possible_a = max(int(_inside(moved[:, 0], moved[:, 1], b.hull, 10.0).sum()), len(rows))
    moved_hull = a.hull @ rotation.T + shift
    possible_b = max(int(_inside(target[:, 0], target[:, 1], moved_hull, 10.0).sum()), len(rows))
    return matched * matched / float(np.sqrt(possible_a * possible_b))


def _rotation(turn: float) -> Floats:
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array([[cos, -sin], [sin, cos]])
