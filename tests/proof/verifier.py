"""Ask the JavaScript verifier, and change receipts and notes at random: for its tests and its drill.

The verifier shares no code with the register: what both say of one receipt is said twice.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from playwright._impl._driver import compute_driver_executable

VERIFIER = Path(str(resources.files("annul.web") / "static" / "verify.mjs"))
DRIVER = Path(__file__).with_name("drive.mjs")
NODE_MIN = 20
ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-{}[]",: '


@cache
def node() -> str:
    """Return Node of the machine, or the one that comes with Playwright where that is missing or too old (Debian 12 has 18)."""
    found = shutil.which("node")
    if found is not None:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
        if int(said.strip().removeprefix("v").partition(".")[0]) >= NODE_MIN:
            return found
    return str(compute_driver_executable()[0])


def ask(questions: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """Ask the verifier; one answer a question, see drive.mjs."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    ran = subprocess.run(
        [node(), "--no-warnings", str(DRIVER), str(VERIFIER)], input=lines, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(answers) == len(questions), ran.stderr
    return answers


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run verify.mjs itself."""
    command = [node(), "--no-warnings", str(VERIFIER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def mutated(receipts: Sequence[tuple[dict[str, Any], bytes]], count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield receipts that are none: bits, bytes, characters, members and parts of genuine ones changed.

    Args:
        receipts: genuine ones, as JSON object and in binary.
        count: how many are made.
        seed: of the chances.
    """
    chance = random.Random(seed)
    genuine = {binary for _, binary in receipts}
    texts = {json.dumps(shown, separators=(",", ":")) for shown, _ in receipts}
    made = 0
    while made < count:
        shown, binary = chance.choice(receipts)
        form = _one(chance, shown, binary, chance.choice(receipts)[0])
        same = form.get("hex") in {each.hex() for each in genuine} or form.get("text") in texts
        if not same and form.get("json") not in [each for each, _ in receipts]:
            made += 1
            yield form


def _one(chance: random.Random, shown: dict[str, Any], binary: bytes, other: dict[str, Any]) -> dict[str, Any]:
    kind = chance.randrange(7)
    changed = bytearray(binary)
    at = chance.randrange(len(binary))
    if kind == 0:
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(binary))] ^= 1 << chance.randrange(8)
        return {"hex": changed.hex()}
    if kind == 1:
        changed[at:at] = chance.randbytes(chance.randint(1, 40))
        return {"hex": changed.hex()}
    if kind == 2:
        del changed[at : at + chance.randint(1, 40)]
        return {"hex": changed.hex()}
    if kind == 3:
        text = json.dumps(shown, separators=(",", ":"))
        place = chance.randrange(len(text))
        return {"text": text[:place] + chance.choice(ALPHABET) + text[place + 1 :]}
    name = chance.choice(["leaf", "path", "statement", "signature", "key"])
    if kind == 4:
        text = str(shown[name])
        place = chance.randrange(len(text))
        return {"json": shown | {name: text[:place] + chance.choice(ALPHABET) + text[place + 1 :]}}
    if kind == 5:
        return {"json": shown | {name: other[name], "index": other["index"] if chance.random() < 0.5 else shown["index"]}}
    value = chance.choice([-1, 0, 1, 2, 3, 5, 7, 2**32, 1.5, True, None, "3", [], {}])
    return {"json": shown | {chance.choice([*shown, "more"]): value}}
