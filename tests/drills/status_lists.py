"""Make status lists as this register signs them, for verifiers that nobody here wrote (`make verify-statuslists`).

python -m tests.drills.status_lists FOLDER        list.jwt, list.vc, jwk.json, expected.json
"""

from __future__ import annotations

import json
import random
import secrets
import sys
from pathlib import Path

import numpy as np

from annul.keys import Keys
from annul.registry.linkage.signing import About, ListSigner

SIZE = 131_072


def main(folder: Path) -> None:
    """Write lists with 2 % set, and what each place says."""
    dice = random.Random(14)
    states = np.zeros(SIZE, np.uint8)
    places = dice.sample(range(SIZE), SIZE // 50)
    for place in places:
        states[place] = dice.choice((1, 2))
    seeds = [secrets.token_bytes(32) for _ in range(7)]
    signer = ListSigner(Keys((seeds[0],), (seeds[1],), *seeds[2:]))
    at_us = 1_796_000_000_000_000
    about = About(
        "https://register.example/v1/statuslists/1",
        at_us,
        "https://register.example/v1/statuslists",
        "https://register.example",
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "list.jwt").write_bytes(signer.token_jwt(states, 2, about))
    one = About(about.uri + "-revocation", at_us, about.aggregation, about.issuer)
    (folder / "list.vc").write_bytes(signer.bitstring((states == 1).astype(np.uint8), "revocation", one))
    (folder / "jwk.json").write_text(json.dumps(signer.jwk))
    (folder / "expected.json").write_text(json.dumps({str(place): int(states[place]) for place in places}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
