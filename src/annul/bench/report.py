"""Measure from report to refusal: `annul bench report [--count 500] [--home FOLDER] [--json]` against a running demo.

Each report is one `POST /v1/reports` of a document nobody has reported before; its answer comes when the table refuses. Right
after it the bank asks: the answer must be STOP. Two figures: what the register says (commit until the table every worker
reads refuses), and the whole round trip of the report as the police desk sees it.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

from annul.errors import NotFound
from annul.home import Home
from annul.settings import load

PAUSE_S: Final = 0.005
"""Between reports: the desk is busy, not a flood."""


def main(arguments: list[str]) -> int:
    """Measure and print; returns 0, or 1 when a check after a report did not refuse."""
    parser = argparse.ArgumentParser(prog="annul bench report", description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--home", type=Path, default=None, help="data folder of the running demo (ANNUL_HOME)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures = measure(options.home or load().home, options.count)
    if options.json:
        print(json.dumps(figures))
    else:
        print(f"{options.count} reports, each followed by a check")
        print(f"  refused by the table after   p50 {figures['refused_p50_ms']:.2f} ms   p99 {figures['refused_p99_ms']:.2f} ms")
        print(f"  whole round trip             p50 {figures['whole_p50_ms']:.2f} ms   p99 {figures['whole_p99_ms']:.2f} ms")
        print(f"  checks after it that did not refuse: {figures['not_refused']} (p99 target 10 ms)")
    return 1 if figures["not_refused"] else 0


def measure(home: Home, count: int) -> dict[str, float]:
    """Report, check, repeat; returns milliseconds.

    Raises:
        NotFound: no demo runs on this home.
    """
    try:
        demo = json.loads((home / "demo.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound("There is no demo.json.", where=str(home), mend="Start the demo first: make demo.") from None
    keys = {name: credential["key"] for name, credential in demo["credentials"].items()}
    refused, whole, failures = [], [], 0
    for _ in range(count):
        number = f"{random.SystemRandom().randrange(10**6):06d}"
        series = f"{random.SystemRandom().randrange(9000, 10000)}"
        document = {"scheme": "ru-internal", "series": series, "number": number}
        begin = time.perf_counter()
        told = _post(demo["url"] + "/v1/reports", keys["police"], {"document": document, "kind": "lost", "proof": "in_person"})
        whole.append((time.perf_counter() - begin) * 1e3)
        refused.append(float(told["refused_after_ms"]))
        question = {"document": document, "purpose": "account-opening", "channel": "in_person"}
        answer = _post(demo["url"] + "/v1/checks", keys["bank"], question)
        failures += answer["outcome"] != "STOP"
        time.sleep(PAUSE_S)
    return {
        "refused_p50_ms": _percentile(refused, 50),
        "refused_p99_ms": _percentile(refused, 99),
        "whole_p50_ms": _percentile(whole, 50),
        "whole_p99_ms": _percentile(whole, 99),
        "not_refused": failures,
    }


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _post(url: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - the demo's own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.loads(answer.read())
    return found
