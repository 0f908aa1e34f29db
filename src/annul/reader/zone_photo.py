"""The machine-readable zone from a photo: read it fully right, or refuse.

1. find the one to three long parallel lines of text (all four ways up);
2. cut each line out, straightened, several times with different preparation, and let the network look at each;
3. for every form of zone, and for every place in it, compute how probable each character is, given that the line has
   exactly so many characters and each place its own alphabet (forward-backward over the network's outputs);
4. walk through the zones that keep every rule of their form (check digits, dates, states, names), most probable first:
   the first is the answer, but only if no second is anywhere near it. What check digits cannot tell apart (names;
   G and 6, L and 1, S and 8, Y and 4, Z and 5) is so decided by how clearly it was seen, or not at all.

An accepted zone is still a typing aid: a forger prints check digits as well as a state does.
"""

from __future__ import annotations

import datetime
import functools
import heapq
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annul.reader import glyphs
from annul.reader.faults import Unreadable
from annul.reader.ocr import TextLine, TextReader, decode_image, ways_up
from annul.records import mrz
from annul.records.forms import FORMS, ICAO
from annul.records.mrz import ALPHABET, TD2, TD3, Form, Mrz, ZoneMalformed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Corners = NDArray[np.float64]
    """4 x 2 pixels: top left, top right, bottom right, bottom left."""

MARGIN_NATS = 4.0
"""How much more probable (natural logarithm) the answer must be than any other zone that keeps all rules."""
SURE_NATS = 6.0
"""How much surer a character must be than another for it not to be replaced where no check digit stands over it: what is
printed there is then no legal text, and the nearest legal one would be invented."""
LINE_MIN_NATS = -1.0
"""Least likelihood (natural logarithm for one character) of a line that is taken for one of a zone of this form. Lines of
the right form measured -0.2 to 0.0 on bad photos, lines upside down or of another form below -1.3."""
REPAIR_MAX_NATS = 24.0
"""Least probable zone that is looked at, against the most probable text."""
REPAIRS_MAX = 4
"""Most characters that the rules may change against the most probable text."""
CANDIDATES_MAX = 60_000
"""Bound on the search; beyond it the zone is refused."""
EXPIRY_MAX_YEARS = 16
"""Documents are issued for at most ten or fifteen years; an older or later year is a misread one."""
_LOOKALIKES = ("O0QD", "I1L", "B8", "S5", "Z2", "G6", "T7Y", "UV", "M N", "K<", "C<", "E F", "PF", "VY", "4A", "H N", "9G")
_LOOKALIKE_NATS = 9.0
"""Greatest price of exchanging two look-alikes: the network is sometimes sure and wrong."""
_OTHER_NATS = 16.0

_DIGITS, _LETTERS = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEIGHT = 48

Option = tuple[float, int, int, str]
"""(price in nats, line, column, character): one possible change to the most probable text."""


class _NoZone(Unreadable):
    """The lines found are of no form of zone."""


def read_zone_photo(photo: bytes, reader: TextReader, *, today: datetime.date) -> Mrz:
    """Read the zone in a photo of a document.

    Args:
        photo: a file of the forms `pictures.FORMS`.
        reader: the text reader (kept by the caller: loading it takes two seconds).
        today: decides the century of two-digit years.
    Raises:
        Unreadable: no zone found, or not every character is certain. TooLarge. MissingPackage.
    """
    return read_zone_image(decode_image(photo), reader, today=today)


def read_zone_image(image: NDArray[np.uint8], reader: TextReader, *, today: datetime.date) -> Mrz:
    """Read the zone in a decoded image (rows x columns x blue, green, red). See `read_zone_photo`."""
    import numpy as np

    refusal: Unreadable | None = None
    lines = reader.lines(image, recognise=False)
    for turn in ways_up(lines):
        turned = np.ascontiguousarray(np.rot90(image, turn))
        rows = find_rows(lines if turn == 0 else reader.lines(turned, recognise=False))
        # A line of other print above a zone of two may look like a third.
        zone_seen = False
        for count in range(len(rows), 0, -1):
            if count == 1 and zone_seen:  # a line of a zone of several is no zone of one
                break
            try:
                return _read_rows(turned, rows[-count:], reader, today)
            except _NoZone as error:
                refusal = refusal or error
            except Unreadable as error:
                refusal = refusal if zone_seen else error
                zone_seen = True
    raise refusal or Unreadable(
        "No machine-readable zone was found in the photo.",
        where="/photo",
        mend="Lay the document flat, fill the picture with it, and avoid reflections.",
    )


def find_rows(lines: Sequence[TextLine]) -> list[Corners]:
    """Return the corners of the one to three lines of the zone, or nothing.

    Pieces of one line are joined. A zone's lines are parallel, equally long, evenly apart, and the lowest on the page.
    """
    import numpy as np

    if not lines:
        return []
    boxes = [line.corners for line in lines]
    widest = max(boxes, key=lambda box: float(np.linalg.norm(box[1] - box[0])))
    along = widest[1] - widest[0]
    along = along / (np.linalg.norm(along) or 1.0)
    across = np.array([-along[1], along[0]])
    rows: list[list[Corners]] = []
    for box in sorted(boxes, key=lambda item: float(item.mean(0) @ across)):
        if rows:
            last = rows[-1][-1]
            if abs((box.mean(0) - last.mean(0)) @ across) < 0.45 * max(_height(box), _height(last)):
                rows[-1].append(box)
                continue
        rows.append([box])
    joined = [_join(row, along) for row in rows]
    spans = [float((row[1] - row[0]) @ along) for row in joined]
    likely = [row for row, span in zip(joined, spans, strict=True) if span > 0.7 * max(spans) and span > 9 * _height(row)]
    return likely[-3:] if _evenly(likely[-3:], across) else likely[-2:] if _evenly(likely[-2:], across) else likely[-1:]


def _evenly(rows: Sequence[Corners], across: NDArray[np.float64]) -> bool:
    if len(rows) < 2:
        return False
    places = [float(row.mean(0) @ across) for row in rows]
    gaps = [b - a for a, b in itertools.pairwise(places)]
    height = sum(_height(row) for row in rows) / len(rows)
    return max(gaps) < 1.6 * min(gaps) and max(gaps) < 4 * height


def _height(corners: Corners) -> float:
    import numpy as np

    return float(np.linalg.norm(corners[3] - corners[0]) + np.linalg.norm(corners[2] - corners[1])) / 2


def _join(pieces: Sequence[Corners], along: NDArray[np.float64]) -> Corners:
    import numpy as np

    ordered = sorted(pieces, key=lambda piece: float(piece.mean(0) @ along))
    first, last = ordered[0], ordered[-1]
    return np.array([first[0], last[1], last[2], first[3]])


def _read_rows(image: NDArray[np.uint8], rows: list[Corners], reader: TextReader, today: datetime.date) -> Mrz:
    rows = _even_edges(rows)
    plain, *others = zip(*(_strips(image, row) for row in rows), strict=True)
    seen = reader.emissions(plain)
    best: tuple[float, Form, list[Fit]] | None = None
    for layout in _BY_LINES[len(rows)]:
        fits = [align(part, _mask(layout, line)) for line, part in enumerate(seen)]
        worst = min(fit.likelihood for fit in fits) / layout.columns
        if worst > LINE_MIN_NATS and (best is None or worst > best[0]):
            best = (worst, layout, fits)
    if best is None:
        raise _NoZone("The lines found are not of a zone.", where="/photo", mend="Photograph the whole zone, flat.")
    _, layout, fits = best
    looks = [[fit] for fit in fits]
    for strips in others:
        for line, part in enumerate(reader.emissions(strips)):
            looks[line].append(align(part, _mask(layout, line)))
    return decide(layout, [_prices(image, row, fits) for row, fits in zip(rows, looks, strict=True)], today)


def _prices(image: NDArray[np.uint8], row: Corners, fits: Sequence[Fit]) -> NDArray[np.float64]:
    """Return the price in nats of each character at each column, against the most probable one there.

    What the network saw (mean over the preparations) and what the cells' shapes say count alike.
    """
    import numpy as np

    words = np.mean([np.log(np.maximum(fit.table, 1e-9)) for fit in fits], axis=0)
    ink = glyphs.ink_of(grey_strip(image, row))
    cells = glyphs.cut_cells(ink, glyphs.settle(ink, _centres(fits) * ink.shape[1]))
    together = words + np.maximum(glyphs.judge(cells), -12)
    # A cell without ink is burnt out, not a filler, which has ink: whatever may stand there is equally likely.
    unseen = glyphs.without_ink(cells)
    together[unseen] = np.where(fits[0].table[unseen] > 0, 0.0, -REPAIR_MAX_NATS * 2)
    prices: NDArray[np.float64] = together.max(1, keepdims=True) - together
    return prices


def _centres(fits: Sequence[Fit]) -> NDArray[np.float64]:
    """Return the middle of each character as a share of the strip: a parabola through what the network says."""
    import numpy as np

    places = np.median([fit.places for fit in fits], axis=0)
    index = np.arange(len(places))
    keep = np.ones(len(places), bool)
    for _ in range(3):
        curve = np.polyval(np.polyfit(index[keep], places[keep], 2), index)
        off = np.abs(places - curve)
        keep = off <= max(float(np.median(off)) * 2.5, 1e-4)
        if keep.sum() < 8:
            keep[:] = True
    return np.asarray(curve, np.float64)


def _even_edges(rows: list[Corners]) -> list[Corners]:
    """Stretch rows whose fillers were overlooked to the edges of the longest one."""
    import numpy as np

    along = rows[0][1] - rows[0][0]
    along = along / (np.linalg.norm(along) or 1.0)
    starts = [float((row[0] + row[3]) @ along) / 2 for row in rows]
    ends = [float((row[1] + row[2]) @ along) / 2 for row in rows]
    out = []
    for row, start, end in zip(rows, starts, ends, strict=True):
        corners, height = row.copy(), _height(row)
        if start - min(starts) > 1.2 * height:
            corners[[0, 3]] -= along * (start - min(starts))
        if max(ends) - end > 1.2 * height:
            corners[[1, 2]] += along * (max(ends) - end)
        out.append(corners)
    return out


def _strips(image: NDArray[np.uint8], row: Corners) -> list[NDArray[np.uint8]]:
    """Cut one line out, three times: as it is; wider and with evened contrast; taller and sharpened."""
    import cv2
    import numpy as np

    plain = _cut(image, row, 0.06, 1.0)
    wide = cv2.cvtColor(_cut(image, row, 0.12, 1.3), cv2.COLOR_BGR2GRAY)
    wide = cv2.createCLAHE(2.0, (1, 8)).apply(wide)
    tall = _cut(image, row, 0.22, 1.15).astype(np.float32)
    sharp = np.clip(tall * 1.7 - cv2.GaussianBlur(tall, (0, 0), 1.6) * 0.7, 0, 255).astype(np.uint8)
    return [plain, np.asarray(cv2.cvtColor(wide, cv2.COLOR_GRAY2BGR), np.uint8), sharp]


def _cut(image: NDArray[np.uint8], corners: NDArray[np.float64], border: float, stretch: float) -> NDArray[np.uint8]:
    import cv2
    import numpy as np

    source, length = _frame(corners, border)
    width = int(min(3200, max(160, round(_HEIGHT * length * stretch))))
    matrix = _flatten(source, width, _HEIGHT)
    flat = cv2.warpPerspective(image, matrix, (width, _HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(flat, np.uint8)


def _frame(corners: NDArray[np.float64], border: float) -> tuple[NDArray[np.float32], float]:
    """Widen a line's corners; return them and length by height of the widened line."""
    import numpy as np

    down = (corners[3] - corners[0] + corners[2] - corners[1]) / 2
    right = corners[1] - corners[0]
    right = right / (np.linalg.norm(right) or 1.0)
    height = float(np.linalg.norm(down)) or 1.0
    pad_down, pad_right = down * border, right * height * 0.25
    source = np.array(
        [
            corners[0] - pad_down - pad_right,
            corners[1] - pad_down + pad_right,
            corners[2] + pad_down + pad_right,
            corners[3] + pad_down - pad_right,
        ],
        np.float32,
    )
    return source, float(np.linalg.norm(source[1] - source[0])) / (height * (1 + 2 * border))


def _flatten(source: NDArray[np.float32], width: int, height: int) -> NDArray[np.float64]:
    import cv2
    import numpy as np

    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(source, target), np.float64)


def grey_strip(image: NDArray[np.uint8], corners: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Cut a line out for `glyphs`: grey, 64 pixels high, a quarter of the line's height above and below."""
    import cv2
    import numpy as np

    source, length = _frame(corners, 0.25)
    width = int(min(3600, max(200, round(glyphs.STRIP_HEIGHT * length))))
    matrix = _flatten(source, width, glyphs.STRIP_HEIGHT)
    flat = cv2.warpPerspective(
        image, matrix, (width, glyphs.STRIP_HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_BGR2GRAY), np.uint8)


def to_strip(corners: NDArray[np.float64], points: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return where image points (n x 2) lie along the strip of `grey_strip`, in pixels."""
    import cv2
    import numpy as np

    source, _ = _frame(corners, 0.25)
    matrix = _flatten(source, width, glyphs.STRIP_HEIGHT)
    return np.asarray(cv2.perspectiveTransform(points[None], matrix)[0, :, 0], np.float64)


@functools.lru_cache(maxsize=64)
def _alphabets(form: Form, line: int) -> tuple[str, ...]:
    """Return the characters each place of a line may have."""
    places = [ALPHABET] * form.widths[line]

    def put(span: mrz.Span | str | None, alphabet: str) -> None:
        if isinstance(span, mrz.Span) and span.line == line:
            places[span.start : span.end] = [alphabet] * (span.end - span.start)

    letters = _LETTERS + "<"
    for span in (form.kind, form.issuer, form.nationality, form.names):
        put(span, letters)
    if form.kind is not None and form.kind.line == line:
        places[form.kind.start] = form.starts + ("V" if form in (TD2, TD3) else "")
    for span in (form.birth, form.expiry):
        put(span, _DIGITS)
    put(form.sex, "FMX<12" if form.family.startswith("CHN") else "FMX<")
    for row, pattern in form.begins:
        if row == line and form not in ICAO:
            for place, sign in enumerate(_PLACES.findall(pattern.pattern)):
                places[place] = "".join(each for each in ALPHABET if re.match(sign, each))
    for guard in form.guards:
        if guard.line == line and guard.name != "zone":
            goes_on = guard.name == "number" and form.more is not None
            places[guard.column] = _DIGITS + ("<" if goes_on or (guard.blank and guard.name == "optional") else "")
        elif guard.line == line:
            places[guard.column] = _DIGITS
    for span, alphabet in form.letters:
        put(span, alphabet)
    return tuple(places)


_PLACES = re.compile(r"\[[^]]+\]|\\d|[A-Z0-9<.]")
"""One place of the patterns by which forms are recognised."""
_BY_LINES = {
    count: [form for form in FORMS if form.photo and form.lines == count and form not in ICAO[3:]] for count in (1, 2, 3)
}
"""Forms that are looked for, by their number of lines."""


@functools.lru_cache(maxsize=16)
def _mask(layout: Form, line: int) -> NDArray[np.float64]:
    import numpy as np

    mask = np.zeros((layout.columns, len(ALPHABET)))
    for place, alphabet in enumerate(_alphabets(layout, line)):
        mask[place, [ALPHABET.index(character) for character in alphabet]] = 1.0
    return mask


@dataclass(frozen=True, slots=True)
class Fit:
    """A line of a known number of characters, fitted to what the network saw.

    Attributes:
        likelihood: natural logarithm; -inf when the line cannot be fitted.
        table: columns x 37 probabilities of each character at each column.
        places: where each column's character was seen, as a share of the strip's width.
    """

    likelihood: float
    table: NDArray[np.float64]
    places: NDArray[np.float64]


def align(seen: NDArray[np.float64], mask: NDArray[np.float64]) -> Fit:
    """Fit a line of exactly so many characters to what the network saw.

    Args:
        seen: places x 38, as `TextReader.emissions` gives it.
        mask: columns x 37; 1 where the character may stand at the column.

    Source: A. Graves et al., Connectionist Temporal Classification (2006), section 4.1, with states (column, character)
    instead of a given text, so that the number of fillers and each place's alphabet are kept.
    """
    import numpy as np

    steps, columns = seen.shape[0], mask.shape[0]
    nothing = Fit(-math.inf, mask / mask.sum(1, keepdims=True), (np.arange(columns) + 0.5) / columns)
    if steps < columns:
        return nothing
    letters, blank = seen[:, :37], seen[:, 37]
    inside = np.zeros((steps, columns, 37))
    gap = np.zeros((steps, columns + 1))
    scale = np.ones(steps)
    inside[0, 0] = letters[0] * mask[0]
    gap[0, 0] = blank[0]
    for step in range(steps):
        if step:
            before, space = inside[step - 1], gap[step - 1]
            sums = before.sum(1)
            inside[step, 0] = before[0] + space[0]
            inside[step, 1:] = before[1:] + (space[1:-1] + sums[:-1])[:, None] - before[:-1]
            inside[step] *= letters[step] * mask
            gap[step, 0] = space[0] * blank[step]
            gap[step, 1:] = (space[1:] + sums) * blank[step]
        scale[step] = inside[step].sum() + gap[step].sum()
        if scale[step] <= 0:
            return nothing
        inside[step] /= scale[step]
        gap[step] /= scale[step]
    final = inside[-1, -1].sum() + gap[-1, -1]
    if final <= 1e-280:
        return nothing
    found = np.zeros((columns, 37))
    moments = np.zeros(columns)
    after = np.zeros((columns, 37))
    after_gap = np.zeros(columns + 1)
    after[-1] = 1.0
    after_gap[-1] = 1.0
    for step in range(steps - 1, 0, -1):
        emit = letters[step] * mask / scale[step]
        weighted = emit * after
        before, space = inside[step - 1], gap[step - 1]
        entered = np.empty((columns, 37))
        entered[0] = space[0]
        entered[1:] = (space[1:-1] + before[:-1].sum(1))[:, None] - before[:-1]
        flow = np.maximum(entered, 0) * weighted
        found += flow
        moments += flow.sum(1) * step
        quiet = blank[step] / scale[step]
        sums = weighted.sum(1)
        following = np.zeros((columns, 37))
        following[:-1] = sums[1:, None] - weighted[1:]
        after = weighted + following + (quiet * after_gap[1:])[:, None]
        after_gap = quiet * after_gap
        after_gap[:-1] += sums
    found[0] += inside[0, 0] * after[0]
    places = (moments / np.maximum(found.sum(1), 1e-12) + 0.5) / steps
    found = np.maximum(found, 0) * mask + 1e-12 * mask
    return Fit(float(np.log(scale).sum() + math.log(final)), found / found.sum(1, keepdims=True), places)


def decide(layout: Form, prices: Sequence[NDArray[np.float64]], today: datetime.date) -> Mrz:
    """Return the zone that keeps every rule and that nothing else comes near.

    Args:
        layout: the form.
        prices: for each line columns x 37 nats: what it costs to believe in this character, 0 for the likeliest.
        today: for the dates.
    Raises:
        Unreadable: no zone keeps the rules, or two are too near.
    """
    base: list[list[str]] = []
    options: list[Option] = []
    for line, table in enumerate(prices):
        alphabets = _alphabets(layout, line)
        likeliest = [ALPHABET[int(table[column].argmin())] for column in range(layout.columns)]
        base.append(likeliest)
        for column, character in enumerate(likeliest):
            for other in alphabets[column]:
                if other != character:
                    price = min(float(table[column, ALPHABET.index(other)]), _ceiling(character, other))
                    if price <= REPAIR_MAX_NATS:
                        options.append((max(price, 0.0), line, column, other))
    options.sort()
    rules = _Rules(layout, base)
    found: Mrz | None = None
    found_price, far = math.inf, False
    for count, (price, chosen) in enumerate(_cheapest(options)):
        if price > min(REPAIR_MAX_NATS, found_price + MARGIN_NATS):
            break
        if count > CANDIDATES_MAX:
            raise _unsure()
        changes = [options[index] for index in chosen]
        if len({change[1:3] for change in changes}) < len(changes) or not rules.hold(changes):
            continue
        zone = _zone(_changed(base, changes), today)
        if zone is None:
            continue
        if _of_another_age(zone, today):
            far = True
            continue
        if found is not None or any(rules.invents(change) for change in changes):
            raise _unsure()
        found, found_price = zone, price
    if found is None and far:
        raise Unreadable(
            f"By the zone in the photo the document expired, or expires, more than {EXPIRY_MAX_YEARS} years from now.",
            where="/photo",
            mend="Compare the date of expiry with the document; if it is printed so, type the zone.",
        )
    if found is None:
        raise Unreadable(
            "The zone in the photo breaks its own check digits, so at least one character was misread.",
            where="/photo",
            mend="Take the photo again with more light, or type the zone.",
        )
    if found.is_visa:
        raise Unreadable("This is the zone of a visa.", where="/photo", mend="Photograph the passport or card itself.")
    return found


def _unsure() -> Unreadable:
    return Unreadable(
        "A character of the zone cannot be told with certainty.",
        where="/photo",
        mend="Take the photo again from nearer and with more light, or type the zone.",
    )


def _ceiling(a: str, b: str) -> float:
    alike = any(a in group and b in group for group in _LOOKALIKES)
    return _LOOKALIKE_NATS if alike else _OTHER_NATS


def _cheapest(options: list[Option]) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Yield sets of changes (indices into the sorted options) by rising price, the empty set first."""
    yield 0.0, ()
    if not options:
        return
    heap: list[tuple[float, tuple[int, ...]]] = [(options[0][0], (0,))]
    while heap:
        price, chosen = heapq.heappop(heap)
        yield price, chosen
        last = chosen[-1]
        if last + 1 < len(options):
            step = options[last + 1][0]
            heapq.heappush(heap, (price - options[last][0] + step, (*chosen[:-1], last + 1)))
            if len(chosen) < REPAIRS_MAX:
                heapq.heappush(heap, (price + step, (*chosen, last + 1)))


class _Rules:
    """Tell quickly whether a changed zone keeps its check digits: each change shifts each digit's sum by a constant."""

    def __init__(self, layout: Form, base: Sequence[Sequence[str]]) -> None:
        self._base = base
        weights = (7, 3, 1)
        guards = sorted(layout.guards, key=lambda guard: guard.name != "number")
        groups = [(guard.spans, (guard.line, guard.column)) for guard in guards]
        self._ends = (guards[0].line, guards[0].column) if layout.more is not None else None
        self._weights: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._sums = [0] * len(groups)
        for group, (spans, digit) in enumerate(groups):
            places = [(span.line, column) for span in spans for column in range(span.start, span.end)]
            for index, place in enumerate(places):
                self._weights.setdefault(place, []).append((group, weights[index % 3]))
            self._weights.setdefault(digit, []).append((group, -1))
        for place, shares in self._weights.items():
            for group, weight in shares:
                self._sums[group] += weight * _value(base[place[0]][place[1]])

    def invents(self, change: Option) -> bool:
        """Tell a change that the rules want, no check digit confirms, and the picture speaks against."""
        price, line, column, _ = change
        return (line, column) not in self._weights and price >= SURE_NATS

    def hold(self, changes: Sequence[Option]) -> bool:
        """Tell whether every check digit fits after the changes."""
        sums = self._sums.copy()
        ends = self._ends
        overflow = ends is not None and self._base[ends[0]][ends[1]] == "<"
        for _, line, column, character in changes:
            before = self._base[line][column]
            if (line, column) == ends:
                overflow = character == "<"
            for group, weight in self._weights.get((line, column), ()):
                sums[group] += weight * (_value(character) - _value(before))
        # A long number has its check digit elsewhere; `mrz.parse` looks at that one.
        return all(total % 10 == 0 for total in sums[overflow:])


def _value(character: str) -> int:
    return 0 if character == "<" else ALPHABET.index(character)


def _changed(base: Sequence[Sequence[str]], changes: Sequence[Option]) -> list[str]:
    lines = [list(row) for row in base]
    for _, line, column, character in changes:
        lines[line][column] = character
    return ["".join(row) for row in lines]


def _zone(lines: list[str], today: datetime.date) -> Mrz | None:
    """Return the parsed zone if it keeps every rule."""
    try:
        return mrz.parse(lines, today)
    except ZoneMalformed:
        return None


def _of_another_age(zone: Mrz, today: datetime.date) -> bool:
    """Tell an expiry that no document in use has: a misread year, or a very old document."""
    return zone.expiry[:4].isdigit() and abs(int(zone.expiry[:4]) - today.year) > EXPIRY_MAX_YEARS
