"""Measure receipts: `annul bench receipts [--leaves 1024] [--json]`.

A signed window (leaf hashes, tree, all inclusion paths, one Ed25519 signature) against one Ed25519 signature per answer by the
same library, in turns, on one core; the best of the turns counts for both.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Final

from annul.proof.leaf import Leaf, pack_leaf, party_bytes
from annul.proof.receipt import receipt_of, verify
from annul.proof.window import NO_STATEMENT, WindowSigner
from annul.records.codes import StatusCode

ROUNDS: Final = 30
SIGNATURES: Final = 512


def main(arguments: list[str]) -> int:
    """Measure and print; returns 0."""
    parser = argparse.ArgumentParser(prog="annul bench receipts", description=__doc__)
    parser.add_argument("--leaves", type=int, default=1024, help="answers in a window")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    figures = measure(options.leaves)
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"receipts, windows of {options.leaves} answers, one core")
    print(f"  signed window with all paths   {figures['window_us']:6.2f} us a receipt")
    print(f"  one Ed25519 signature each     {figures['signature_us']:6.2f} us a receipt")
    print(f"  {figures['times']:.1f} x (target 10)")
    return 0


def measure(count: int) -> dict[str, float]:
    """Return microseconds a receipt for both ways, and their ratio."""
    signer = WindowSigner(os.urandom(32))
    leaves = [_leaf(number) for number in range(count)]
    window_s = signature_s = float("inf")
    for number in range(ROUNDS):
        begin = time.perf_counter()
        signed = signer.close(leaves, 0, number, NO_STATEMENT, 0)
        window_s = min(window_s, (time.perf_counter() - begin) / count)
        begin = time.perf_counter()
        for leaf in leaves[:SIGNATURES]:
            signer.signer.sign(leaf)
        signature_s = min(signature_s, (time.perf_counter() - begin) / min(count, SIGNATURES))
    verify(receipt_of(signed, leaves, count // 2), signer.verifier)
    return {"window_us": window_s * 1e6, "signature_us": signature_s * 1e6, "times": signature_s / window_s}


def _leaf(position: int) -> bytes:
    """Return the leaf of a PASS; only its position and its commitments differ from the others'."""
    middle = (party_bytes("bench"), 1, 1, 1, 1, StatusCode.V00.octet, 9, 9, 1, 0, 1)
    return pack_leaf(Leaf(0, 0, position, 0, *middle, 0, 1, os.urandom(32), os.urandom(32)))
