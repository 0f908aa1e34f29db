"""Evidence of a comparison without the samples: canonical bytes that somebody else signs and binds to a check's receipt.

A sample is committed to by a salted hash. The salt (the opening) stays with the caller: who holds sample and salt can later
prove which sample it was; who holds only the record learns nothing, not even whether two records used the same portrait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal

import msgspec

from annul.errors import BadInput, UnknownVersion, VerificationFailed
from annul.likeness.comparison import Comparison, Finding, Result

MAGIC: Final = b"annul comparison v1\n"
SALT_BYTES: Final = 16
RECORD_BYTES_MAX: Final = 65_536
SCORE_UNIT: Final = 1_000_000
"""Scores are written as whole millionths: floats have no canonical form worth relying on."""

Hex32 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
DeviceClass = Literal["counter-camera", "counter-scanner", "mobile", "kiosk", "emulated", "unknown"]


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One comparison in the record; scores and thresholds in millionths, FMR in parts per thousand million."""

    trait: Literal["face", "finger"]
    result: Result
    reasons: tuple[str, ...]
    score: int | None
    threshold: int | None
    claimed_fmr_ppb: int | None
    decided_by: str
    algorithms: dict[str, str]
    calibration: str
    quality: dict[str, dict[str, int]]
    findings: tuple[dict[str, str], ...]
    supervised: bool
    commitments: dict[str, Hex32]


class Chip(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the counter's device says the chip proved; the register did not see the chip.

    genuine: signed by a known state; unaltered: what was read is what was signed; same_chip: the chip holds its own key;
    verdict: of passive authentication; signer_country: of the signer's certificate.
    """

    genuine: bool
    unaltered: bool
    same_chip: bool
    verdict: Annotated[str, msgspec.Meta(max_length=32, pattern="^[a-z_]*$")] = ""
    signer_country: Annotated[str, msgspec.Meta(max_length=3, pattern="^[A-Za-z]*$")] = ""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed: which check it belongs to, when, on what class of device, and one line a comparison.

    check: hex name of the check's receipt; compared_at_us: microseconds since the epoch, UTC; binding: what the comparisons
    came to together, as in the receipt; chip: what the reference came from, None if no chip was read; register_position: of
    the entry in the register log that accounts for the use of traits on record, None if none were used.
    """

    check: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16,64}$")]
    compared_at_us: int
    device_class: DeviceClass
    lines: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=16)]
    binding: Annotated[str, msgspec.Meta(pattern="^(B[0-39])?$")] = ""
    chip: Chip | None = None
    register_position: int | None = None


class Signed(msgspec.Struct, frozen=True):
    """Canonical bytes and their signature."""

    statement: bytes
    signature: bytes


def commit(sample: bytes, salt: bytes) -> str:
    """Return the commitment (hex SHA-256) to a sample under a secret salt of `SALT_BYTES` random bytes.

    Raises:
        BadInput: the salt has another length.
    """
    if len(salt) != SALT_BYTES:
        raise BadInput(f"A commitment needs a salt of {SALT_BYTES} bytes.", where="/salt")
    return hashlib.sha256(b"annul sample v1\0" + salt + sample).hexdigest()


def line(comparison: Comparison, commitments: dict[str, str]) -> Line:
    """Turn a comparison into a line of the record; `commitments` maps "live", "reference-1" … to `commit` values."""

    def whole(value: float | None) -> int | None:
        return None if value is None else round(value * SCORE_UNIT)

    return Line(
        trait=comparison.trait,
        result=comparison.result,
        reasons=comparison.reasons,
        score=whole(comparison.score),
        threshold=whole(comparison.threshold),
        claimed_fmr_ppb=None if comparison.claimed_fmr is None else round(comparison.claimed_fmr * 1e9),
        decided_by=comparison.decided_by,
        algorithms=comparison.algorithms,
        calibration=comparison.calibration,
        quality={k: {name: round(v * SCORE_UNIT) for name, v in q.items()} for k, q in comparison.quality.items()},
        findings=tuple(_said(finding) for finding in comparison.findings),
        supervised=comparison.supervised,
        commitments=commitments,
    )


def _said(finding: Finding) -> dict[str, str]:
    verdict = "attack" if finding.attack else "none"
    return {"detector": finding.detector, "version": finding.version, "verdict": verdict, "error_rates": finding.error_rates}


def record(
    lines: Sequence[Line],
    *,
    check: str,
    compared_at_us: int,
    device_class: DeviceClass,
    sign: Callable[[bytes], bytes],
    binding: str = "",
    chip: Chip | None = None,
    register_position: int | None = None,
) -> Signed:
    """Make the evidence record and have it signed.

    Args:
        lines: one a comparison, from `line`.
        check: hex name of the check's receipt the record is bound to.
        compared_at_us: microseconds since the epoch, UTC.
        device_class: kind of device the live samples came from, never its serial number.
        sign: takes the canonical bytes, returns the signature; the key stays where it is.
        binding: code of the axis that all lines came to.
        chip: what the reference came from.
        register_position: position of the entry that accounts for the use of traits on record.

    Raises:
        BadInput: a field is not of its form.
    """
    made = Record(check, compared_at_us, device_class, tuple(lines), binding, chip, register_position)
    statement = encode(made)
    return Signed(statement, sign(statement))


def verify(
    statement: bytes, signature: bytes, *, check: str, holds: Callable[[bytes, bytes], bool], binding: str | None = None
) -> Record:
    """Read a record after its signature and the check it belongs to were found right.

    Args:
        statement, signature: as `record` made them.
        check: name of the check whose receipt was verified.
        holds: takes message and signature, says whether a trusted key signed it.
        binding: code of the axis binding in that receipt; None leaves step 4 out.

    Raises:
        VerificationFailed: 1 form, 2 signature, 3 another check's record, 4 another result than the receipt's.
    """
    try:
        found = decode(statement)
    except (BadInput, UnknownVersion) as wrong:
        raise VerificationFailed(wrong.message, step=1, where="/evidence/statement") from None
    if not holds(statement, signature):
        raise VerificationFailed("No trusted key signed this record.", step=2, where="/evidence/signature")
    if found.check != check:
        raise VerificationFailed("The record belongs to another check.", step=3, where="/evidence/statement")
    if binding is not None and found.binding != binding:
        raise VerificationFailed("The record and the receipt differ in their result.", step=4, where="/evidence/statement")
    return found


def verify_sample(found: Record, sample: bytes, *, trait: str, name: str, salt: bytes) -> None:
    """Hold a sample against its commitment in a verified record.

    Args:
        found: what `verify` returned.
        sample: the file that was compared.
        trait, name: its place in the record: "face" or "finger", "live", "reference", "enrolled-1" ….
        salt: its opening.

    Raises:
        VerificationFailed: step 5, it is another sample, or the record has none of this name.
    """
    committed = {line.commitments.get(name) for line in found.lines if line.trait == trait}
    if len(salt) != SALT_BYTES or commit(sample, salt) not in committed:
        raise VerificationFailed("This is not the sample that was compared.", step=5, where=f"/openings/{trait}/{name}")


def encode(found: Record) -> bytes:
    """Write a record canonically: version line, then JSON with sorted members and no spaces. Raises BadInput if not valid."""
    statement = MAGIC + msgspec.json.encode(found, order="sorted")
    decode(statement)
    return statement


def decode(statement: bytes) -> Record:
    """Read canonical bytes; whatever is not exactly what `encode` writes is refused.

    Raises:
        UnknownVersion: another version line.
        BadInput: not canonical, or a field not of its form.
    """
    if not statement.startswith(MAGIC):
        raise UnknownVersion("The evidence record does not start with a version this program knows.", where="/evidence")
    if len(statement) > RECORD_BYTES_MAX:
        raise BadInput("The evidence record is larger than its limit.", where="/evidence")
    try:
        found = msgspec.json.decode(statement[len(MAGIC) :], type=Record)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise BadInput(f"The evidence record is not valid: {wrong}.", where="/evidence") from None
    if MAGIC + msgspec.json.encode(found, order="sorted") != statement:
        raise BadInput("The evidence record is not in canonical form.", where="/evidence")
    return found
