"""Take pictures of pages of a running annul: every width, language and colour scheme asked for.

python scripts/look.py http://127.0.0.1:8480 out/ / /receipts/verify --width 320 1280 --language en zh --scheme light
python scripts/look.py URL out/ /counter --cookie annul=VALUE
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

LOCALES = {"en": "en-GB", "zh": "zh-CN", "ar": "ar"}


def main() -> None:
    """Take the pictures; print where they are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("addresses", nargs="+")
    parser.add_argument("--width", nargs="+", type=int, default=[320, 1280])
    parser.add_argument("--language", nargs="+", default=["en", "zh"], choices=list(LOCALES))
    parser.add_argument("--scheme", nargs="+", default=["light"], choices=["light", "dark"])
    parser.add_argument("--cookie", default="", help="NAME=VALUE of a session")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell") or shutil.which("chromium"), args=["--no-sandbox"]
        )
        for language in chosen.language:
            for scheme in chosen.scheme:
                for width in chosen.width:
                    context = browser.new_context(
                        base_url=chosen.url,
                        locale=LOCALES[language],
                        color_scheme=scheme,
                        viewport={"width": width, "height": 800},
                    )
                    if chosen.cookie:
                        name, _, value = chosen.cookie.partition("=")
                        context.add_cookies([{"name": name, "value": value, "url": chosen.url}])
                    for address in chosen.addresses:
                        page = context.new_page()
                        page.goto(address)
                        name = address.strip("/").replace("/", "-") or "start"
                        file = chosen.out / f"{name}-{language}-{width}{'-dark' if scheme == 'dark' else ''}.png"
                        page.screenshot(path=file, full_page=True)
                        print(file)
                        page.close()
                    context.close()
        browser.close()


if __name__ == "__main__":
    main()
