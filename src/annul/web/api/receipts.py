"""Answer what anybody needs to verify an answer: the public keys, and a receipt verified here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul.proof import receipt as receipts
from annul.proof.checkpoint import Verifier
from annul.proof.words import explain
from annul.web.door.call import Call, Route, get, post, tagged

if TYPE_CHECKING:
    from annul.web.door.office import Office


class PublicKey(msgspec.Struct):
    """One public key: `vkey` is the C2SP verifier key (name+id+base64)."""

    name: str
    use: str
    vkey: str


class PublicKeys(msgspec.Struct):
    """All public keys of this register; receipts and logs verify with these alone."""

    keys: list[PublicKey]


class ReceiptQuestion(msgspec.Struct, forbid_unknown_fields=True):
    """A receipt to verify, as it stood in the answer."""

    receipt: dict[str, Any]


class Proved(msgspec.Struct):
    """A receipt that holds: every step of the recipe passed, and `says` is what it proves, in words."""

    proved: bool
    says: dict[str, Any]


_USES: Final = {"receipts": "receipts", "register": "register log", "checks": "check log"}
"""What a key is for, by the last part of its name."""


async def keys(office: Office, _call: Call) -> PublicKeys:
    """Answer the public keys."""
    lines = office.keys.public_lines()
    named = [(line.partition("+")[0], line) for line in lines]
    return PublicKeys([PublicKey(name, _USES.get(name.rpartition("/")[2], name), line) for name, line in named])


def verified(office: Office, receipt: dict[str, Any]) -> dict[str, Any]:
    """Run the numbered recipe over a receipt and say what it proves.

    Raises:
        VerificationFailed: with the failing step.
    """
    verifier = Verifier.parse(office.keys.receipt_signer().vkey)
    return explain(receipts.verify(receipt, verifier))


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
