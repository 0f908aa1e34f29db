"""Measure the reader: machine-readable zones from photos, and the walk through a chip.

The photos are rendered (synthetic people, specimen layout, OCR-B) and then damaged in three levels; every figure
comes with its count and a 95 % interval (Wilson). Level 0 is a flat scan; level 1 a careful photo by hand (turned,
in perspective, uneven light, a little blur and noise, JPEG); level 2 a careless one (more of each, 110 dots per inch,
a reflection).
"""

from __future__ import annotations

import datetime
import io
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annul.errors import MissingPackage
from annul.reader.access import AccessKey
from annul.reader.chip import read_document
from annul.reader.faults import Unreadable
from annul.reader.ocr import TextReader
from annul.reader.resident_photo import read_resident_photo
from annul.reader.specimen import ChipKey, SpecimenCountry, personalise
from annul.reader.zone_photo import read_zone_photo
from annul.records.mrz import TD1, TD2, TD3, Form, check_digit, composite
from annul.records.schemes.cn_resident import check_character
from annul.records.states import is_state

FONTS = (
    Path("/usr/share/fonts/opentype/ocr-b/OCRB.otf"),
    Path("/usr/share/fonts/opentype/ocr-b/OCRBS.otf"),
)
"""OCR-B of Debian's package fonts-ocr-b."""
DPI = 300
_PITCH_MM, _LINE_MM = 2.54, 6.35
_SIZES_MM = {"TD1": (85.6, 54.0), "TD2": (105.0, 74.0), "TD3": (125.0, 88.0)}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STATES = ["UTO", "CHN", "D", "FRA", "GBR", "IND", "KOR", "BRA", "NGA", "USA", "POL", "VNM", "EGY", "MEX", "ZAF", "SWE"]


def random_zone(rng: random.Random, layout: Form) -> list[str]:
    """Make the zone of a person who does not exist."""
    assert all(map(is_state, _STATES))
    number = "".join(rng.choice("0123456789" + (_LETTERS if rng.random() < 0.35 else "")) for _ in range(9))
    if rng.random() < 0.3:
        number = number[: rng.randrange(6, 9)].ljust(9, "<")
    birth = f"{rng.randrange(100):02d}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}"
    expiry = f"{rng.randrange(26, 36):02d}{rng.randrange(1, 13):02d}{rng.randrange(1, 29):02d}"
    issuer, nationality = rng.choice(_STATES).ljust(3, "<"), rng.choice(_STATES).ljust(3, "<")
    if rng.random() < 0.7:
        nationality = issuer
    sex = rng.choice("MF<")
    words = ["".join(rng.choice(_LETTERS) for _ in range(rng.randrange(2, 11))) for _ in range(rng.randrange(2, 5))]
    names = words[0] + "<<" + "<".join(words[1:])
    optional = "".join(rng.choice("0123456789") for _ in range(rng.randrange(1, 12))) if rng.random() < 0.4 else ""
    core = [number + check_digit(number), birth + check_digit(birth), expiry + check_digit(expiry)]
    if layout is TD1:
        first = ("I<" + issuer + core[0] + optional).ljust(30, "<")
        second = (core[1] + sex + core[2] + nationality).ljust(29, "<")
        lines = [first, second, names.ljust(30, "<")[:30]]
        lines[1] += composite(layout, lines)
        return lines
    size = layout.columns
    first = (("P<" if layout is TD3 else "I<") + issuer + names).ljust(size, "<")[:size]
    second = core[0] + nationality + core[1] + sex + core[2]
    if layout is TD3:
        field = optional.ljust(14, "<")
        second += field + (check_digit(field) if optional or rng.random() < 0.5 else "<")
    else:
        second += optional.ljust(7, "<")[:7]
    return [first, second + composite(layout, [first, second])]


def _px(mm: float) -> int:
    return round(mm * DPI / 25.4)


def _zone_place(layout: Form) -> tuple[float, float]:
    width, height = _SIZES_MM[layout.name]
    return (_px(width) - _px(_PITCH_MM * layout.columns)) / 2, _px(height) - _px(_LINE_MM * layout.lines + 4)


def row_corners(layout: Form, row: int) -> Any:
    """Return the corners of a line of the zone on the rendered page, as the text detector marks lines (4 x 2 pixels)."""
    import numpy as np

    left, top = _zone_place(layout)
    top += row * _px(_LINE_MM)
    right, bottom = left + layout.columns * _px(_PITCH_MM), top + 0.43 * _px(_LINE_MM)
    slack = 0.06 * _px(_LINE_MM)
    return np.array([[left, top - slack], [right, top - slack], [right, bottom + slack], [left, bottom + slack]])


def cell_centres(layout: Form, row: int) -> Any:
    """Return the middle of each character of a line on the rendered page (columns x 2 pixels)."""
    import numpy as np

    left, top = _zone_place(layout)
    x = left + (np.arange(layout.columns) + 0.5) * _px(_PITCH_MM)
    return np.stack([x, np.full(layout.columns, top + (row + 0.22) * _px(_LINE_MM))], 1)


def render(lines: Sequence[str], layout: Form, rng: random.Random, font_file: Path) -> Any:
    """Draw a document's page with its zone and return a Pillow image at 300 dots per inch."""
    from PIL import Image, ImageDraw, ImageFont

    px = _px
    width, height = (px(mm) for mm in _SIZES_MM[layout.name])
    tint = tuple(rng.randrange(205, 246) for _ in range(3))
    image = Image.new("RGB", (width, height), tint)
    draw = ImageDraw.Draw(image)
    for wave in range(14):  # guilloche
        base, swing, step = rng.uniform(0, height), rng.uniform(10, 60), rng.uniform(60, 200)
        shade = tuple(max(0, channel - rng.randrange(8, 30)) for channel in tint)
        points = [(x, base + swing * math.sin(x / step + wave)) for x in range(0, width, 6)]
        draw.line(points, fill=shade, width=2)
    size = 10.0
    while ImageFont.truetype(str(font_file), size).getlength("<") < px(_PITCH_MM):
        size += 0.25
    font = ImageFont.truetype(str(font_file), size)
    plain = ImageFont.truetype(str(font_file), size * 0.7)
    for row in range(4 if layout.name == "TD1" else 5):
        draw.text((px(35), px(6 + 6 * row)), f"FIELD {row}  {rng.randrange(10**6)}", font=plain, fill=(60, 60, 70))
    draw.rectangle((px(4), px(8), px(30), px(42)), fill=tuple(channel - 40 for channel in tint))
    left, top = _zone_place(layout)
    ink = tuple(rng.randrange(5, 50) for _ in range(3))
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            draw.text((left + column * px(_PITCH_MM), top + row * px(_LINE_MM)), character, font=font, fill=ink)
    return image


def damage(image: Any, level: int, rng: random.Random) -> bytes:
    """Photograph a rendered page badly and return a JPEG file. Level 0 only compresses."""
    return damage_with_matrix(image, level, rng)[0]


def damage_with_matrix(image: Any, level: int, rng: random.Random) -> tuple[bytes, Any]:
    """As `damage`, and also return the 3 x 3 matrix from the page to the photo."""
    import cv2
    import numpy as np

    noise = np.random.default_rng(rng.randrange(2**32))
    picture = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)
    quality = 92
    matrix: Any = np.eye(3)
    if level:
        height, width = picture.shape[:2]
        scale = rng.uniform(0.55, 0.8) if level == 1 else rng.uniform(0.37, 0.55)
        margin, skew = 0.08, 0.02 if level == 1 else 0.045
        turn = math.radians(rng.uniform(-3, 3) if level == 1 else rng.uniform(-7, 7))
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        centre = corners.mean(0)
        rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        moved = (corners - centre) @ rotation.T + centre
        moved += noise.uniform(-skew, skew, (4, 2)) * width
        moved = (moved - moved.min(0)) * scale + margin * width * scale
        size = tuple(int(side) for side in moved.max(0) + margin * width * scale)
        matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
        table = tuple(rng.randrange(20, 200) for _ in range(3))
        picture = cv2.warpPerspective(picture, matrix, size, flags=cv2.INTER_AREA, borderValue=table)
        height, width = picture.shape[:2]
        ramp = np.linspace(rng.uniform(0.55, 1.0), rng.uniform(0.75, 1.1), width)[None, :, None]
        light = picture.astype(np.float32) * ramp
        if level == 2:
            y, x = np.mgrid[0:height, 0:width]
            spot = ((x - rng.uniform(0, width)) ** 2 + (y - rng.uniform(0, height)) ** 2) / (0.12 * width) ** 2
            light += 90 * np.exp(-spot)[:, :, None]
        picture = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 0.8) if level == 1 else rng.uniform(0.5, 1.1))
        picture = picture + noise.normal(0, rng.uniform(2, 6) if level == 1 else rng.uniform(5, 11), picture.shape)
        picture = np.clip(picture, 0, 255).astype(np.uint8)
        quality = rng.randrange(70, 92) if level == 1 else rng.randrange(45, 75)
    good, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert good
    return bytes(data), matrix


@dataclass(frozen=True, slots=True)
class Sample:
    """One photo with the truth about it."""

    layout: Form
    level: int
    lines: list[str]
    photo: bytes


def samples(count: int, seed: int, *, levels: Sequence[int] = (0, 1, 2)) -> Iterator[Sample]:
    """Yield `count` photos for each form and level.

    Raises:
        MissingPackage: no OCR-B font is installed.
    """
    fonts = [font for font in FONTS if font.is_file()]
    if not fonts:
        raise MissingPackage("The bench draws zones in OCR-B.", mend="On Debian: apt-get install fonts-ocr-b")
    for layout in (TD1, TD2, TD3):
        for level in levels:
            rng = random.Random(f"{seed}/{layout.name}/{level}")
            for _ in range(count):
                lines = random_zone(rng, layout)
                photo = damage(render(lines, layout, rng, rng.choice(fonts)), level, rng)
                yield Sample(layout, level, lines, photo)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share."""
    if not count:
        return 0.0, 1.0
    z, share = 1.959964, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def bench_zone_photos(count: int = 20, seed: int = 1, *, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Read `count` photos for each of 3 forms and 3 levels.

    Returns:
        Per form and level, and in all: photos, right (every character of every line), refused, wrong (accepted with any
        wrong character), median and greatest seconds.
    """
    reader = TextReader()
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for sample in samples(count, seed):
        row = rows.setdefault(
            (sample.layout.name, sample.level), {"right": 0, "refused": 0, "wrong": 0, "causes": [], "seconds": []}
        )
        start = time.perf_counter()
        try:
            zone = read_zone_photo(sample.photo, reader, today=datetime.date(2026, 6, 1))
        except Unreadable as error:
            row["refused"] += 1
            row["causes"].append(error.message)
        else:
            right = list(zone.lines) == sample.lines
            row["right" if right else "wrong"] += 1
        row["seconds"].append(time.perf_counter() - start)
        progress(f"{sample.layout.name} level {sample.level}")
    out: list[dict[str, Any]] = []
    for (form, level), row in [*rows.items(), (("all", -1), _sum(list(rows.values())))]:
        seconds = sorted(row["seconds"])
        total = len(seconds)
        out.append(
            {
                "form": form,
                "level": level,
                "photos": total,
                "right": row["right"],
                "refused": row["refused"],
                "wrong": row["wrong"],
                "right_interval": wilson(row["right"], total),
                "wrong_interval": wilson(row["wrong"], total),
                "median_s": seconds[total // 2],
                "max_s": seconds[-1],
                "causes": sorted(set(row["causes"])),
            }
        )
    return {"bench": "zone-photos", "seed": seed, "rows": out}


def _sum(rows: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = {name: sum(row[name] for row in rows) for name in ("right", "refused", "wrong")}
    return numbers | {name: [item for row in rows for item in row[name]] for name in ("causes", "seconds")}


def specimen_portrait() -> bytes:
    """Return a JPEG of the size chips carry (no person: a drawn test picture)."""
    from PIL import Image

    image = Image.effect_noise((413, 531), 10).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def bench_chip(count: int = 10) -> dict[str, Any]:
    """Walk through a specimen chip `count` times for each way of opening it.

    Returns:
        Median milliseconds of the whole walk (both sides computed here), files read, verdicts.
    """
    at = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
    country = SpecimenCountry(at)
    rng = random.Random(3)
    lines = next(zone for zone in iter(lambda: random_zone(rng, TD3), None) if zone[0][2:5] == "UTO")
    key = AccessKey.of_fields(lines[1][:9], lines[1][13:19], lines[1][21:27])
    portrait = specimen_portrait()
    rows = []
    ways: list[tuple[str, dict[str, Any]]] = [
        ("PACE + chip authentication", {"chip_key": ChipKey.new()}),
        ("PACE", {}),
        ("BAC", {"pace": []}),
    ]
    for name, options in ways:
        seconds, verdicts = [], set()
        for _ in range(count):
            chip = personalise(country, lines, key, portrait, **options)
            start = time.perf_counter()
            reading = read_document(chip, key, country.trust_list(), at=at, printed=lines)
            seconds.append(time.perf_counter() - start)
            verdicts.add(reading.assurance.value)
        seconds.sort()
        rows.append({"way": name, "walks": count, "median_ms": seconds[count // 2] * 1e3, "assurance": sorted(verdicts)})
    return {"bench": "chip", "portrait_bytes": len(portrait), "rows": rows}


CJK_FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
"""Debian's package fonts-wqy-microhei."""
_SURNAMES, _GIVEN = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗",
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂英文建国志华玉兰春梅晓雪",
)


@dataclass(frozen=True, slots=True)
class PrintedSample:
    """A photo of a resident card's front with the truth about it."""

    level: int
    number: str
    name: str
    photo: bytes


def resident_samples(count: int, seed: int, *, levels: Sequence[int] = (0, 1, 2)) -> Iterator[PrintedSample]:
    """Yield `count` photos of fronts for each level.

    Raises:
        MissingPackage: no font with Chinese characters is installed.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not CJK_FONT.is_file():
        raise MissingPackage("The bench draws Chinese cards.", mend="On Debian: apt-get install fonts-wqy-microhei")
    label, value = (ImageFont.truetype(str(CJK_FONT), size) for size in (32, 38))
    digits = ImageFont.truetype(str(CJK_FONT), 46)
    for level in levels:
        rng = random.Random(f"{seed}/resident/{level}")
        for _ in range(count):
            born = datetime.date(1940, 1, 1) + datetime.timedelta(days=rng.randrange(365 * 65))
            stem = (
                rng.choice(["110105", "310101", "440305", "510107"]) + born.strftime("%Y%m%d") + f"{rng.randrange(1, 1000):03d}"
            )
            number = stem + check_character(stem)
            name = rng.choice(_SURNAMES) + "".join(rng.choice(_GIVEN) for _ in range(rng.choice((1, 2, 2))))
            image = Image.new("RGB", (_px(85.6), _px(54)), (226, 236, 240))
            draw = ImageDraw.Draw(image)
            for wave in range(12):
                points = [(x, 40 * wave + 18 * math.sin(x / 90 + wave)) for x in range(0, image.width, 6)]
                draw.line(points, fill=(205, 222, 230), width=2)
            sex = "男" if int(stem[16]) % 2 else "女"
            texts = [
                (60, 60, "姓名", name),
                (60, 130, "性别", f"{sex}   民族 汉"),
                (60, 200, "出生", f"{born.year} 年 {born.month} 月 {born.day} 日"),
                (60, 275, "住址", "北京市朝阳区试验路" + str(rng.randrange(1, 200)) + "号"),
            ]
            for x, y, title, text in texts:
                draw.text((x, y + 4), title, font=label, fill=(40, 90, 150))
                draw.text((x + 100, y), text, font=value, fill=(20, 20, 25))
            draw.text((60, 520), "公民身份号码", font=label, fill=(40, 90, 150))
            draw.text((330, 510), number, font=digits, fill=(20, 20, 25))
            draw.rectangle((700, 60, 950, 400), fill=(190, 200, 205))
            yield PrintedSample(level, number, name, damage(image, level, rng))


def bench_resident_photos(count: int = 5, seed: int = 1) -> dict[str, Any]:
    """Read `count` photos of resident cards' fronts for each level; "right" is number and name."""
    reader = TextReader()
    rows: dict[int, dict[str, int]] = {}
    for sample in resident_samples(count, seed):
        row = rows.setdefault(sample.level, {"photos": 0, "right": 0, "refused": 0, "wrong": 0})
        row["photos"] += 1
        try:
            found = read_resident_photo(sample.photo, reader, at=datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC))
        except Unreadable:
            row["refused"] += 1
            continue
        right = (found.document.number, found.holder.name) == (sample.number, sample.name)
        row["right" if right else "wrong"] += 1
    return {"bench": "resident-photos", "seed": seed, "rows": [{"level": level, **row} for level, row in rows.items()]}


def write_photos(folder: Path, seed: int = 7) -> None:
    """Write one small photo of each form (level 2), and what they say (`truth.json`), for the tests."""
    truth = {}
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples(1, seed, levels=(2,)):
        name = f"{sample.layout.name.lower()}-level-{sample.level}.jpg"
        (folder / name).write_bytes(sample.photo)
        truth[name] = sample.lines
    for front in resident_samples(1, seed, levels=(1, 2)):
        name = f"resident-level-{front.level}.jpg"
        (folder / name).write_bytes(front.photo)
        truth[name] = [front.number, front.name]
    (folder / "truth.json").write_text(json.dumps(truth, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    write_photos(Path(sys.argv[2])) if sys.argv[1:2] == ["photos"] else print(json.dumps(bench_zone_photos(), indent=1))
