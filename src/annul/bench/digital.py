"""What linkage costs: blinding a file of documents, and signing a status list against compressing it alone."""

from __future__ import annotations

import gc
import math
import secrets
import time
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np

from annul.keys import Keys
from annul.registry.linkage.blinding import POINT_BYTES, Blinding
from annul.registry.linkage.packing import LEVEL, packed
from annul.registry.linkage.signing import About, ListSigner

POINTS: Final = 1_000
ENTRIES: Final = 10_000_000
SHARE: Final = 0.02
BASE64: Final = 4 / 3


def measure() -> dict[str, float]:
    """Return processor time of the server and bytes on the wire for each blinded document; signing against compressing."""
    live, test = ((secrets.token_bytes(32),) for _ in range(2))
    receipts, register, checks, session, envelope = (secrets.token_bytes(32) for _ in range(5))
    keys = Keys(live, test, receipts, register, checks, session, envelope)
    return _blinding(keys) | _lists(keys)


def _blinding(keys: Keys) -> dict[str, float]:
    from voprf.ristretto import Client

    blinding = Blinding(keys, "live")
    points = [bytes(Client.blind(secrets.token_bytes(16))[1].serialize()) for _ in range(POINTS)]
    evaluated = _cpu(lambda: blinding.evaluate(points)) / POINTS
    elements, proof = blinding.evaluate(points)
    sent = (sum(map(len, points)) + sum(map(len, elements)) + len(proof)) / POINTS * BASE64
    return {"blind_us": round(evaluated * 1e6, 1), "blind_bytes": round(sent + POINT_BYTES * BASE64)}


def _lists(keys: Keys) -> dict[str, float]:
    random = np.random.default_rng(14)
    states = (random.random(ENTRIES) < SHARE).astype(np.uint8)
    signer, about = ListSigner(keys), About("https://register.example/v1/statuslists/1", 0, "", "")
    raw = packed(states, 1)
    alone = _cpu(lambda: zlib.compress(raw, LEVEL))
    whole = _cpu(lambda: signer.token_jwt(states, 1, about))
    return {"status_list_vs_zlib": round(whole / alone, 3), "status_list_s": round(whole, 3)}


def _cpu(what: Callable[[], object]) -> float:
    """Return seconds of processor time of one call, the best of three."""
    best = math.inf
    gc.disable()
    for _ in range(3):
        began = time.process_time()
        what()
        best = min(best, time.process_time() - began)
    gc.enable()
    return best
