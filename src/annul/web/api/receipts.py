"""Answer what anybody needs to verify an answer: the public keys, and a receipt verified here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul.proof import receipt as receipts
from annul.proof.checkpoint import Verifier, sign_note
from annul.proof.words import explain
from annul.times import rfc3339
from annul.web.door.call import Call, Route, get, post, tagged

if TYPE_CHECKING:
    from annul.web.door.office import Office


class PublicKey(msgspec.Struct):
    """One public key: `vkey` is the C2SP verifier key (name+id+base64), `line` the same with its period, for a key file.

    Args:
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
    """

    keys: list[PublicKey]
    note: str


class ReceiptQuestion(msgspec.Struct, forbid_unknown_fields=True):
    """A receipt to verify, as it stood in the answer."""

    receipt: dict[str, Any]


class Proved(msgspec.Struct):
    """A receipt that holds: every step of the recipe passed, and `says` is what it proves, in words."""

    proved: bool
    says: dict[str, Any]


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
    return Proved(True, verified(office, call.body.receipt))


ROUTES: Final[tuple[Route, ...]] = tagged(
    "receipts",
    get("/v1/keys", "public", keys, "Read the public keys", returns=PublicKeys),
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
