"""What an edge is given with each edition: the keys by which a number becomes a point, sealed to the device's own key.

A grant is bound to its edition by the signed `key_check` of the manifest: with another key every answer would be noise, so a
grant that does not fit is refused. An edge that is no longer admitted gets no grant of the next edition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec
import nacl.exceptions
import nacl.public
import nacl.signing

from annul.edge.edition import cohort_of
from annul.errors import VerificationFailed
from annul.records.carried import EditionKey
from annul.records.document import Document, DocumentKeys, block

GRANT_BYTES_MAX: Final = 16_384


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of one edition for one edge: E, the carried secrets (hexadecimal, oldest first), and until when they may be used."""

    edition: str
    key: str
    carried: list[str]
    until_us: int

    def __repr__(self) -> str:
        return f"Grant({self.edition}, …)"


def key_check(secret: bytes, carried: Sequence[bytes]) -> str:
    """Return what binds an edition to its keys: SHA-256("annul edition key v1" | 0 | E | carried secrets), hexadecimal."""
    return hashlib.sha256(b"annul edition key v1\0" + secret + b"".join(carried)).hexdigest()


def open_grant(raw: bytes, device_seed: bytes, edition: str, check: str, now_us: int) -> Pointer:
    """Open a grant with the device's key.

    Raises:
        VerificationFailed: step 9 of the recipe: not sealed to this device, of another edition, of other keys, or over.
    """
    try:
        box = nacl.public.SealedBox(nacl.signing.SigningKey(device_seed).to_curve25519_private_key())
        grant = msgspec.json.decode(box.decrypt(raw[:GRANT_BYTES_MAX]), type=Grant)
        secret, carried = bytes.fromhex(grant.key), [bytes.fromhex(each) for each in grant.carried]
    except (nacl.exceptions.CryptoError, msgspec.MsgspecError, ValueError) as error:
        raise VerificationFailed("The grant is not sealed to this device.", step=9, where="grant") from error
    if grant.edition != edition or key_check(secret, carried) != check:
        raise VerificationFailed("The grant's keys are not those of the edition.", step=9, where="grant")
    if now_us > grant.until_us:
        raise VerificationFailed("This edge is no longer admitted.", step=9, where="until_us", mend="Ask to be admitted again.")
    return Pointer(EditionKey(secret), DocumentKeys(carried), grant.until_us)


class Pointer:
    """Turn documents into points and cohorts of one edition."""

    __slots__ = ("_blind", "_point", "until_us")

    def __init__(self, key: EditionKey, carried: DocumentKeys, until_us: int) -> None:
        self._point, self._blind, self.until_us = key.point, carried.blind, until_us

    def carried(self, document: Document) -> bytes:
        """Return the carried key of a document, 16 bytes."""
        return self._blind(block(document))

    def of(self, document: Document) -> tuple[int, int]:
        """Return point and cohort of a document. BadInput when its start of validity is missing and tells documents apart."""
        return self._point(self.carried(document)), cohort_of(document)
