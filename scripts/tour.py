"""Walk through every room of a fresh demo and write docs/tour.md with its pictures, in English and Chinese.

    python scripts/tour.py [URL HOME]     # a demo that runs at URL with data folder HOME; else one is started and stopped

Pictures are WebP of 800 px, one file a screen and language. The walk fails when a screen does not come: the tour is a test too.
A picture that would differ in times, numbers and references alone is kept as it was, so that a walk changes what has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageChops
from playwright.sync_api import Browser, Page, sync_playwright

ROOT: Final = Path(__file__).parent.parent
OUT: Final = ROOT / "docs" / "tour"
WAIT_S: Final = 240
WIDTH: Final = 800
HEIGHT_MAX: Final = 1500
LOCALES: Final = {"en": "en-GB", "zh": "zh-CN"}
HOLDERS: Final = 3_000
SAME_SHARE: Final = 0.04
"""Share of pixels that other times, numbers and references may change in a picture of the same words."""
CHANGING: Final = re.compile(r"\b(?=\w*\d)[\w:.+-]+")
"""Words with a digit: times, counts, numbers, references."""

Screen = tuple[str, str, str]


class Walk:
    """One person's walk: takes pictures under names, in one language."""

    def __init__(self, browser: Browser, url: str, record: dict[str, Any], language: str, *, phone: bool = False) -> None:
        self.record = record
        self.language = language
        self.taken: set[Path] = set()
        width = 390 if phone else 1280
        self.context = browser.new_context(
            base_url=url, locale=LOCALES[language], viewport={"width": width, "height": 900}, device_scale_factor=1
        )
        self.page: Page = self.context.new_page()

    def take(self, name: str, *, full: bool = True) -> None:
        """Take a picture of the page as it stands."""
        picture = Image.open(io.BytesIO(self.page.screenshot(full_page=full))).convert("RGB")
        picture = picture.crop((0, 0, picture.width, min(picture.height, HEIGHT_MAX * picture.width // WIDTH)))
        if picture.width > WIDTH:
            picture = picture.resize((WIDTH, picture.height * WIDTH // picture.width), Image.Resampling.LANCZOS)
        words = CHANGING.sub("#", self.page.inner_text("body"))
        mark = hashlib.sha256(" ".join(words.split()).encode()).hexdigest().encode()
        file = OUT / f"{name}-{self.language}.webp"
        self.taken.add(file)
        if not file.exists() or not _same(Image.open(file), picture, mark):
            picture.save(file, quality=60, method=6, xmp=mark)

    def show(self, address: str, name: str) -> None:
        """Open an address and take its picture; it must not be an error."""
        answer = self.page.goto(address)
        if answer is None or answer.status >= 400:
            raise SystemExit(f"{address} answers {answer and answer.status}")
        self.take(name)

    def press(self) -> None:
        """Send the form that has the focus."""
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")


def _same(old: Image.Image, new: Image.Image, mark: bytes) -> bool:
    """Tell whether an older picture shows the same words in the same places; a plot may have moved a little."""
    if old.info.get("xmp") != mark or old.size != new.size:
        return False
    changed = ImageChops.difference(old.convert("L"), new.convert("L")).point(lambda value: 255 * (value > 48))
    return changed.histogram()[255] <= SAME_SHARE * new.width * new.height


def public(walk: Walk) -> None:
    """What everybody sees."""
    for address, name in (
        ("/", "start"),
        ("/found", "found"),
        ("/status", "status"),
        ("/figures", "figures"),
        ("/developers", "developers"),
        ("/developers/sandbox", "sandbox"),
        ("/developers/reference/post_v1_checks", "reference"),
    ):
        walk.show(address, name)


def counter(walk: Walk) -> None:
    """A clerk signs in and checks two cards."""
    page = walk.page
    page.goto("/counter/sign-in")
    walk.take("counter-sign-in")
    page.fill("#key", walk.record["credentials"]["bank"]["key"])
    page.fill("#branch", "0421")
    page.fill("#terminal", "3")
    page.fill("#clerk", "C-17")
    walk.press()
    walk.take("counter")
    for code in ("V00", "S10"):
        card = walk.record["samples"][code]["document"]
        page.fill("#number", card["number"])
        page.fill("#valid_from", card["valid_from"])
        page.focus("#number")
        page.keyboard.press("Enter")
        outcome = "PASS" if code == "V00" else "STOP"
        page.wait_for_selector(f".answer-{outcome}")
        walk.take(f"counter-{outcome.lower()}")
    page.click("form[action='/receipts/verify'] button")
    page.wait_for_selector(".seal")
    walk.take("receipt")


def officer(walk: Walk, party: str, staff: str, screens: list[tuple[str, str]]) -> None:
    """An officer signs in and opens the rooms of the desk."""
    page = walk.page
    page.goto("/desk/sign-in")
    page.fill("#key", walk.record["credentials"][party]["key"])
    page.fill("#staff", staff)
    page.focus("#staff")
    walk.press()
    for address, name in screens:
        walk.show(address, name)


def citizen(walk: Walk) -> None:
    """A holder logs in and looks at her documents; somebody without a login begins a report."""
    page = walk.page
    walk.show("/report", "report")
    page.goto("/my/sign-in")
    page.click("a[href='/my/sign-in/go'], form[action='/my/sign-in/go'] button")
    page.wait_for_load_state()
    page.locator("button[type=submit], form button").first.click()
    page.wait_for_url("**/my*")
    for address, name in (
        ("/my", "my"),
        ("/my/checks", "my-checks"),
        ("/my/attempts", "my-attempts"),
        ("/my/messages", "my-messages"),
    ):
        walk.show(address, name)


DESK: Final = [("/desk", "desk"), ("/desk/found", "desk-found"), ("/desk/disputes", "desk-disputes")]
ISSUER: Final = [("/desk/bulk", "desk-bulk"), ("/desk/review", "review")]
OVERSIGHT: Final = [
    ("/oversight", "oversight"),
    ("/oversight/parties", "oversight-parties"),
    ("/oversight/verifiers", "oversight-verifiers"),
]

CHAPTERS: Final[tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]] = (
    (
        "Everybody",
        "No account, no script, no cookie.",
        (
            ("start", "One sentence and three doors."),
            ("found", "Who found a card hands it in; no account is needed."),
            ("status", "Are checks answered now, and how current are the answers?"),
            ("figures", "What the register did year by year, and how often it was wrong."),
            (
                "receipt",
                "A receipt is proved with the public key alone. The seal appears when something is proved, or made void.",
            ),
        ),
    ),
    (
        "The counter",
        "A clerk with a queue: one box, keyboard only, the answer large, in colour and word and icon.",
        (
            ("counter-sign-in", "Once a day, with the organisation's key."),
            ("counter", "The empty counter."),
            ("counter-pass", "No listing as of now."),
            ("counter-stop", "A card that was reported lost, and the next step."),
        ),
    ),
    (
        "The holder",
        "On a phone, without an app.",
        (
            ("report", "The wallet is gone: one question a page."),
            ("my", "Own documents and their state."),
            ("my-checks", "Who checked them, when, and what for."),
            ("my-attempts", "A dead card was tried: this was me, this was not me."),
            ("my-messages", "What she was told."),
        ),
    ),
    (
        "The desk",
        "Police and issuers: every search has a case.",
        (
            ("desk", "Search with a case reference."),
            ("desk-found", "Found cards and where they are."),
            ("desk-disputes", "Disputes with their clock."),
            ("desk-bulk", "Bulk changes: dry run, two officers, one undo."),
            ("review", "The clean-up of wrong, duplicate and false entries."),
        ),
    ),
    (
        "Oversight",
        "Five numbers that matter; every number links to its list.",
        (
            ("oversight", "Live by server-sent events, plain without a script."),
            ("oversight-parties", "Who checks, and how often."),
            ("oversight-verifiers", "How fresh every verifier's newest answer was."),
        ),
    ),
    (
        "Developers",
        "Everything on a register of their own.",
        (
            ("developers", "The first check, to copy."),
            ("sandbox", "Documents that give every status, every error, every delay."),
            ("reference", "The reference, made from the route table."),
        ),
    ),
)


def page_of_tour() -> str:
    """Return docs/tour.md."""
    lines = [
        "# A tour of annul",
        "",
        "Made by `make tour` from a fresh demo: every picture is a page as it answered. English left, Chinese right.",
        "",
    ]
    for title, words, screens in CHAPTERS:
        lines += [f"## {title}", "", words, ""]
        for name, told in screens:
            missing = [language for language in LOCALES if not (OUT / f"{name}-{language}.webp").exists()]
            if missing:
                raise SystemExit(f"no picture of {name} in {', '.join(missing)}")
            pictures = " ".join(f'<img src="tour/{name}-{language}.webp" width="49%" alt="{told}">' for language in LOCALES)
            lines += [f"**{told}**", "", pictures, ""]
    return "\n".join(lines)


@contextlib.contextmanager
def running_demo() -> Iterator[tuple[str, Path]]:
    """Start a small demo in a folder of its own; give its address and folder."""
    with tempfile.TemporaryDirectory(prefix="annul-tour-") as folder:
        command = [sys.executable, "-m", "annul", "demo", "--port", "0", "--holders", str(HOLDERS), "--workers", "1"]
        environment = os.environ | {"ANNUL_HOME": folder}
        record = Path(folder) / "demo.json"
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as demo:
            try:
                deadline = time.monotonic() + WAIT_S
                while not (record.exists() and json.loads(record.read_text(encoding="utf-8")).get("url")):
                    if time.monotonic() > deadline or demo.poll() is not None:
                        raise SystemExit("the demo did not start")
                    time.sleep(0.5)
                yield json.loads(record.read_text(encoding="utf-8"))["url"], Path(folder)
            finally:
                demo.send_signal(signal.SIGINT)
                demo.wait(60)


def walk_through(url: str, home: Path) -> None:
    """Take every picture."""
    record = json.loads((home / "demo.json").read_text(encoding="utf-8"))
    OUT.mkdir(parents=True, exist_ok=True)
    taken: set[Path] = set()
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell") or shutil.which("chromium"), args=["--no-sandbox"]
        )
        for language in LOCALES:
            for name, steps in (
                ("counter", counter),
                ("citizen", citizen),
                ("police", lambda walk: officer(walk, "police", "0417", DESK)),
                ("issuer", lambda walk: officer(walk, "issuer", "12", ISSUER)),
                ("supervisor", lambda walk: officer(walk, "supervisor", "3", OVERSIGHT)),
                ("public", public),
            ):
                print(f"{language}: {name}", file=sys.stderr)
                walk = Walk(browser, url, record, language, phone=name == "citizen")
                steps(walk)
                taken |= walk.taken
                walk.context.close()
        browser.close()
    for old in set(OUT.glob("*.webp")) - taken:
        old.unlink()


def main() -> None:
    """Walk, and write the page."""
    if len(sys.argv) == 3:
        walk_through(sys.argv[1], Path(sys.argv[2]))
    else:
        with running_demo() as (url, home):
            walk_through(url, home)
    (OUT.parent / "tour.md").write_text(page_of_tour(), encoding="utf-8")
    total = sum(file.stat().st_size for file in OUT.glob("*.webp"))
    print(f"docs/tour.md: {len(list(OUT.glob('*.webp')))} pictures, {total // 1024} KB")


if __name__ == "__main__":
    main()
