"""Verify what was answered, offline, with the public keys of a register alone."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from annul.errors import BadInput, NotFound, VerificationFailed
from annul.likeness.evidence import Record
from annul.likeness.evidence import verify as verify_record
from annul.proof.checkpoint import Verifier
from annul.proof.receipt import verify
from annul.proof.window import RECEIPTS_NAME
from annul.proof.words import explain


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Hold the public keys one trusts; the name of a key says what it may sign: `annul/receipts`, `…/register`, `…/checks`.

    Args:
        receipts: keys for receipts.
        register: keys for checkpoints of the register log.
        checks: keys for checkpoints of the check log.
    """

    receipts: tuple[Verifier, ...]
    register: tuple[Verifier, ...]
    checks: tuple[Verifier, ...]

    @classmethod
    def parse(cls, text: str, where: str = "key") -> Self:
        """Read verifier keys, one a line (`annul.pub`).

        Raises:
            BadInput: a line is no verifier key, or there is none.

        Source: C2SP signed-note.
        """
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise BadInput("There is no public key.", where=where, mend="Use the register's annul.pub.")
        keys = [Verifier.parse(line) for line in lines]
        return cls(
            tuple(key for key in keys if key.name == RECEIPTS_NAME),
            tuple(key for key in keys if key.name.endswith("/register")),
            tuple(key for key in keys if key.name.endswith("/checks")),
        )

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file of verifier keys.

        Raises:
            NotFound: there is no such file.
        """
        try:
            return cls.parse(file.read_text(encoding="ascii"), file.name)
        except OSError:
            raise NotFound("The public key file cannot be read.", where=str(file), mend="Name one with --key.") from None
        except UnicodeDecodeError:
            raise BadInput("The public key file is not text.", where=str(file)) from None


def verify_receipt(data: bytes | Mapping[str, Any], keys: TrustedKeys) -> dict[str, Any]:
    """Verify a receipt, alone or inside the whole answer it came with, and say in words what it proves.

    Args:
        data: receipt (JSON or binary), or the JSON of an answer; a whole answer must also say what its receipt says.
        keys: whom to trust.

    Returns:
        who asked, when, why, the answer and the register state it stands on; names as in `annul.proof.receipt.explain`.

    Raises:
        VerificationFailed: with the failing step of the recipe.
    """
    receipt, answer = parts_of(data)
    words = explain(verify(receipt, keys.receipts))
    if answer is not None:
        _require_agreeing(answer, words)
    return words


def evidence_of(data: bytes | Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the evidence inside a whole answer, None when there is none."""
    _, answer = parts_of(data)
    found = None if answer is None else answer.get("evidence")
    return found if isinstance(found, Mapping) else None


class _Evidence(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    statement: str
    signature: str
    key: str
    check: str = ""
    openings: dict[str, dict[str, str]] = {}


def verify_evidence(data: bytes | Mapping[str, Any], words: Mapping[str, Any], keys: TrustedKeys) -> Record:
    """Verify the evidence of a comparison against the receipt it is bound to.

    Args:
        data: the member `evidence` of an answer, or the file that `annul verify-person --evidence` saved.
        words: what `verify_receipt` returned for the receipt.
        keys: whom to trust.

    Returns:
        the record: scores, thresholds, versions, commitments.

    Raises:
        VerificationFailed: 1 form, 2 signature, 3 another check's evidence, 4 another result than the receipt's.
    """
    try:
        given = msgspec.json.decode(data, type=_Evidence) if isinstance(data, bytes) else msgspec.convert(data, _Evidence)
        statement, signature = (base64.b64decode(part, validate=True) for part in (given.statement, given.signature))
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        raise VerificationFailed("This is not the evidence of a comparison.", step=1, where="/evidence") from None
    if given.version != 1:
        raise VerificationFailed("The evidence has a version that is not known.", step=1, where="/evidence/version")
    for name, text, raw in (("statement", given.statement, statement), ("signature", given.signature, signature)):
        if base64.b64encode(raw).decode() != text:
            raise VerificationFailed("The evidence is not in canonical form.", step=1, where=f"/evidence/{name}")
    signers = [key for key in keys.receipts if key.key_id.hex() == given.key]
    if not signers:
        raise VerificationFailed("No trusted key has the name that the evidence states.", step=2, where="/evidence/key")
    found = verify_record(
        statement,
        signature,
        check=words["check"],
        holds=lambda message, sealed: any(key.verify(message, sealed) for key in signers),
        binding=words["binding"],
    )
    if given.check not in ("", found.check):
        raise VerificationFailed("The record belongs to another check.", step=3, where="/evidence/check")
    return found


def parts_of(data: bytes | Mapping[str, Any]) -> tuple[bytes | Mapping[str, Any], Mapping[str, Any] | None]:
    """Return the receipt, and the whole answer when `data` is one."""
    value: object = data
    if isinstance(data, bytes) and data.lstrip()[:1] == b"{":
        try:
            value = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise VerificationFailed("This is not the JSON of a receipt.", step=1) from None
    if isinstance(value, Mapping) and isinstance(value.get("receipt"), Mapping):
        return value["receipt"], value
    return (value if isinstance(value, Mapping) else data), None


def _require_agreeing(answer: Mapping[str, Any], words: Mapping[str, Any]) -> None:
    """Refuse an answer that says otherwise than its receipt: the receipt is what was signed."""
    pairs = (
        ("outcome", answer.get("outcome"), words["outcome"]),
        ("status", _member(answer, "status", "code"), words["status"]),
        ("status class", _member(answer, "status", "class"), words["status_class"]),
        ("identity", _member(answer, "identity", "code"), words["identity"]),
        ("binding", _member(answer, "binding", "code"), words["binding"]),
        ("freshness", _member(answer, "freshness", "code"), words["freshness"]),
        ("position", _member(answer, "freshness", "position"), words["position"]),
        ("as_of", _member(answer, "freshness", "as_of"), words["as_of"]),
        ("advice", answer.get("advice"), words["advice"]),
        ("check", answer.get("check"), words["check"]),
    )
    for where, said, proved in pairs:
        if said != proved:
            raise VerificationFailed(
                "The answer says otherwise than the receipt that came with it.",
                step=6,
                where=where,
                mend="Only the receipt is proved; read it with `annul receipt show`.",
            )


def _member(answer: Mapping[str, Any], axis: str, member: str) -> Any:
    part = answer.get(axis)
    return part.get(member) if isinstance(part, Mapping) else None
