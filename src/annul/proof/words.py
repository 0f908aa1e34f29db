"""What a receipt states, in words: names of the codes, times in RFC 3339. It proves nothing; `receipt.verify` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annul.proof.leaf import FLAG_TEST_REALM, names_of, parse_leaf
from annul.proof.receipt import Receipt, Verified, read
from annul.proof.window import parse_statement
from annul.records.codes import StatusCode
from annul.times import rfc3339


def explain(receipt: Receipt | Verified | Mapping[str, Any] | bytes | str) -> dict[str, Any]:
    """Say in words what a receipt states. It proves nothing: call `verify` first.

    Returns:
        names of the codes, times in RFC 3339; None where an axis is empty.
    Raises:
        VerificationFailed: steps 1, 4 or 6 when it cannot be read.
    """
    from annul.records.schemes import name_of_code  # not above: verifying a receipt needs no rules of documents

    parts = receipt.receipt if isinstance(receipt, Verified) else read(receipt)
    leaf, statement = parse_leaf(parts.leaf), parse_statement(parts.statement)
    names = names_of(leaf)
    status = names["status"]
    return {
        "check": parts.check,
        "checked_at": rfc3339(leaf.checked_at_us),
        "party": leaf.party.rstrip(b"\0").decode("ascii"),
        "realm": "test" if leaf.flags & FLAG_TEST_REALM else "live",
        "scheme": name_of_code(leaf.scheme),
        **names,
        "status_class": None if status is None else StatusCode.of_octet(leaf.status).status_class.value,
        "position": leaf.position,
        "as_of": rfc3339(leaf.as_of_us),
        "policy_version": leaf.policy_version,
        "worker": statement.worker,
        "window": statement.window,
        "index": parts.index,
        "answers_in_window": statement.count,
        "closed_at": rfc3339(statement.closed_at_us),
        "key": parts.key.hex(),
    }
