"""Change genuine receipts at random, many times, and hold that the verifier for outsiders proves none: `make drill-verifier`.

python -m tests.drills.verifier --mutations 100000 [--seed 7]
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter
from pathlib import Path

from tests.proof.verifier import ask, mutated

GOLDEN = Path(__file__).parents[1] / "vectors" / "golden" / "receipt.json"
AT_ONCE = 5_000


def main() -> int:
    """Run and print; returns 0 when every changed receipt was refused by a step of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    pairs = list(zip(golden["json"], map(bytes.fromhex, golden["binary"]), strict=True))
    steps: Counter[int] = Counter()
    begun = time.monotonic()
    forms = mutated(pairs, options.mutations, options.seed)
    while some := list(itertools.islice(forms, AT_ONCE)):
        for form, answer in zip(some, ask([["receipt", golden["vkey"], form] for form in some]), strict=True):
            if answer.get("step") not in range(1, 7):
                print(f"seed {options.seed}: not refused: {form} -> {answer}")
                return 1
            steps[answer["step"]] += 1
    shown = ", ".join(f"step {step}: {count:,}" for step, count in sorted(steps.items()))
    print(f"{steps.total():,} changed receipts, all refused in {time.monotonic() - begun:.0f} s (seed {options.seed}; {shown})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
