"""Answer what anybody needs to verify an answer: the public keys, and a receipt verified here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul.proof import receipt as receipts
from annul.proof.checkpoint import Verifier, sign_note
from annul.proof.leaf import CODES
from annul.proof.words import explain
from annul.records.codes import Advice
from annul.records.meanings import PURPOSES, STEPS, meaning_of
from annul.records.schemes import SCHEMES
from annul.times import rfc3339
from annul.web.door.call import Call, Route, get, post, tagged

if TYPE_CHECKING:
    from annul.web.door.office import Office


class PublicKey(msgspec.Struct):
    """One public key: `vkey` is the C2SP verifier key (name+id+base64), `line` the same with its period, for a key file.

    Args:
        name: name of the key: `…/receipts` signs receipts, `…/register` and `…/checks` sign the logs.
        use: what the key signs.
        vkey: C2SP verifier key: name+id+base64.
        line: the same with its period, for a key file.
        since, until: its period; None where it has no beginning or no end. What it signed within it stays good.
    """

    name: str
    use: str
    vkey: str
    line: str
    since: str | None
    until: str | None


class PublicKeys(msgspec.Struct):
    """All public keys of this register, also those that ended; receipts and logs verify with these alone.

    `note` is the same list signed by the register log's key (C2SP signed-note): who trusts that key trusts the list.

    Args:
        keys: the public keys.
        note: the same list, signed by the register log's key (C2SP signed note).
    """

    keys: list[PublicKey]
    note: str


class ReceiptQuestion(msgspec.Struct, forbid_unknown_fields=True):
    """A receipt to verify, as it stood in the answer.

    Args:
        receipt: the signed receipt, as it stands in the answer.
    """

    receipt: dict[str, Any]


class Said(msgspec.Struct):
    """What a receipt says, in words; null where an axis is empty.

    Args:
        check: id of the check.
        checked_at: when it was answered (RFC 3339, UTC).
        party: the relying party that asked.
        realm: `live` or `test`: an answer of the test realm is about made-up documents.
        scheme: rules of the kind of document, or `unknown`.
        purpose: why it was asked.
        channel: `in_person` or `remote`.
        outcome: PASS, REFER, STOP or NO_ANSWER.
        status: status code as told.
        status_class: class of that code.
        identity: does the name belong to the number.
        binding: is the bearer the holder.
        freshness: F0 live, F1 from a copy within its age limit, F2 older.
        error: why there was no answer; E00 when there was one.
        coverage: what the register covers of this kind.
        advice: next steps, as codes.
        position: position of the register log that the answer stands on.
        as_of: time of that state (RFC 3339, UTC).
        policy_version: version of the counter policy that decided.
        worker: process that answered.
        window: number of its window.
        index: place of the answer in the window, from 0.
        answers_in_window: answers that the window signs.
        closed_at: when the window was signed (RFC 3339, UTC).
        key: id of the key that signed.
    """

    check: str
    checked_at: str
    party: str
    realm: str
    scheme: str | None
    purpose: str | None
    channel: str | None
    outcome: str
    status: str | None
    status_class: str | None
    identity: str | None
    binding: str | None
    freshness: str | None
    error: str
    coverage: str | None
    advice: list[str]
    position: int
    as_of: str
    policy_version: int
    worker: int
    window: int
    index: int
    answers_in_window: int
    closed_at: str
    key: str


class CodeShown(msgspec.Struct):
    """One code: its number in receipts, its name on the wire, what it means.

    Args:
        number: the byte in a receipt (for advice: which bit); never reused.
        code: its name; null where the number stands for "none".
        meaning: what it means, in English; "" where the name says it.
    """

    number: int
    code: str | None
    meaning: str


class CodeTables(msgspec.Struct):
    """All codes of answers and receipts.

    Args:
        version: version of the receipt that they are of.
        axes: codes by axis: purpose, channel, scheme, outcome, status, identity, binding, freshness, error, coverage, advice.
    """

    version: int
    axes: dict[str, list[CodeShown]]


class Proved(msgspec.Struct):
    """A receipt that holds: every step of the recipe passed, and `says` is what it proves, in words.

    Args:
        proved: always true: what does not hold is a refusal.
        says: what the receipt proves, in words.
    """

    proved: bool
    says: Said


KEY_LIST: Final = "annul keys v1"
"""First line of the signed list of keys, so that no other note is taken for one."""
_USES: Final = {"receipts": "receipts", "register": "register log", "checks": "check log"}
"""What a key is for, by the last part of its name."""


async def keys(office: Office, _call: Call) -> PublicKeys:
    """Answer the public keys."""
    found = [Verifier.parse(line) for line in office.keys.public_lines()]
    told = [
        PublicKey(
            key.name,
            _USES.get(key.name.rpartition("/")[2], key.name),
            key.vkey,
            key.line,
            None if key.from_us is None else rfc3339(key.from_us),
            None if key.until_us is None else rfc3339(key.until_us),
        )
        for key in found
    ]
    lines = "".join(f"{key.line}\n" for key in found)
    return PublicKeys(told, sign_note(f"{KEY_LIST}\n{lines}".encode(), office.keys.register_signer()).decode())


def verified(office: Office, receipt: dict[str, Any]) -> dict[str, Any]:
    """Run the numbered recipe over a receipt and say what it proves.

    Raises:
        VerificationFailed: with the failing step.
    """
    return explain(receipts.verify(receipt, office.keys.receipt_verifiers()))


async def verify_receipt(office: Office, call: Call) -> Proved:
    """Verify a receipt with the register's public key alone."""
    return Proved(True, msgspec.convert(verified(office, call.body.receipt), Said))


async def codes(_office: Office, _call: Call) -> CodeTables:
    """Answer the numbers of all codes and what they mean: who has a receipt and this table can read it."""
    axes = {
        axis: [CodeShown(number, name, _meaning(axis, name)) for number, name in sorted(table.items())]
        for axis, table in CODES.items()
    }
    axes["scheme"] = [CodeShown(0, None, "")] + [CodeShown(scheme.code, name, "") for name, scheme in SCHEMES.items()]
    axes["advice"] = [CodeShown(advice.octet - 1, advice.value, STEPS[advice].sentence) for advice in Advice]
    return CodeTables(receipts.RECEIPT_VERSION, axes)


def _meaning(axis: str, name: str | None) -> str:
    if name is None:
        return ""
    if axis == "purpose":
        return next(text for purpose, text in PURPOSES.items() if purpose.value == name)
    found = meaning_of(name)
    return found.short if found is not None else ""


ROUTES: Final[tuple[Route, ...]] = tagged(
    "receipts",
    get("/v1/keys", "public", keys, "Read the public keys", returns=PublicKeys),
    get("/v1/codes", "public", codes, "Read the numbers of all codes, and what they mean", returns=CodeTables),
    post(
        "/v1/receipts/verify",
        "public",
        verify_receipt,
        "Verify a receipt",
        body=ReceiptQuestion,
        returns=Proved,
        problems=("verification-failed", "unknown-version"),
    ),
)
