"""Signed checkpoints of a log: C2SP signed-note and tlog-checkpoint, with Ed25519.

Source: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint, RFC 8032. Ed25519 is libsodium's, by PyNaCl.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import nacl.bindings
from nacl.exceptions import BadSignatureError

from annul.errors import BadInput, VerificationFailed

SECRET_BYTES = 32
SIGNATURE_BYTES = 64
KEY_ID_BYTES = 4
_ED25519 = b"\x01"
_NOTE_MAX = 1_000_000
"""Bytes of a note; golang.org/x/mod/sumdb/note uses the same limit."""
_SIGNATURE_COUNT_MAX = 100
_NAME = re.compile(r"[^\s+]{1,255}")
_DASH = "— "
PERIOD_GRACE_US = 300_000_000
"""How far a time may lie outside the period of a key: a clock may have been set back when keys were changed."""
_PERIOD = re.compile(r"(from|until)=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)")


def _period(words: Sequence[str]) -> tuple[int | None, int | None]:
    """Return beginning and end of a key's period, from the words behind it."""
    told: dict[str, int] = {}
    for word in words:
        found = _PERIOD.fullmatch(word)
        try:
            at = datetime.fromisoformat(found[2]) if found and found[1] not in told else None
        except ValueError:
            at = None
        if found is None or at is None:
            raise BadInput(
                "The period of a verifier key cannot be read.", where="key", mend="Give the whole line of the public key file."
            )
        told[found[1]] = int(at.timestamp()) * 1_000_000
    return told.get("from"), told.get("until")


def _written(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def key_id_of(name: str, public_key: bytes) -> bytes:
    """Return the key ID: the first 4 bytes of SHA-256(name | newline | 0x01 | public key)."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:KEY_ID_BYTES]


class Verifier:
    """A named Ed25519 public key.

    Args:
        name: name of the key, without blanks and plus signs.
        public_key: 32 bytes.
        from_us, until_us: its period (microseconds since the epoch), None where it has no beginning or no end.
    """

    def __init__(self, name: str, public_key: bytes, *, from_us: int | None = None, until_us: int | None = None) -> None:
        if not _NAME.fullmatch(name) or len(public_key) != nacl.bindings.crypto_sign_PUBLICKEYBYTES:
            raise BadInput("This is not a name and a public key of 32 bytes.", where="key")
        self.name = name
        self.public_key = public_key
        self.key_id = key_id_of(name, public_key)
        self.from_us, self.until_us = from_us, until_us

    @classmethod
    def parse(cls, line: str) -> Verifier:
        """Read a C2SP verifier key `name+hash+base64`, with ` from=TIME` and ` until=TIME` behind it where it has a period.

        Raises:
            BadInput: it is none, its hash does not fit, or its period is none.
        """
        vkey, *words = line.split() or [""]
        from_us, until_us = _period(words)
        name, plus, rest = vkey.partition("+")
        hashed, plus_too, encoded = rest.partition("+")
        mend = "Give the whole line of the public key file."
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise BadInput("The verifier key is not of the form name+hash+base64.", where="key", mend=mend) from error
        if not (plus and plus_too and key[:1] == _ED25519 and len(key) == 33 and _NAME.fullmatch(name)):
            raise BadInput("The verifier key is not an Ed25519 key of the form name+hash+base64.", where="key", mend=mend)
        verifier = cls(name, key[1:], from_us=from_us, until_us=until_us)
        if verifier.key_id.hex() != hashed or base64.b64encode(key).decode() != encoded:
            raise BadInput("The verifier key's hash does not fit its name and key.", where="key", mend=mend)
        return verifier

    @property
    def vkey(self) -> str:
        """The key as a C2SP verifier key."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public_key).decode()}"

    @property
    def line(self) -> str:
        """The key as a line of a key file: with its period, where it has one."""
        told = (("from", self.from_us), ("until", self.until_us))
        return " ".join([self.vkey, *(f"{word}={_written(at_us)}" for word, at_us in told if at_us is not None)])

    def in_use(self, at_us: int) -> bool:
        """Tell whether this key was in use at a time; the clocks of a register may differ by PERIOD_GRACE_US."""
        return (self.from_us is None or self.from_us - PERIOD_GRACE_US <= at_us) and (
            self.until_us is None or at_us < self.until_us + PERIOD_GRACE_US
        )

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Tell whether the signature (64 bytes) over the message is this key's."""
        if len(signature) != SIGNATURE_BYTES:
            return False
        try:
            nacl.bindings.crypto_sign_open(signature + message, self.public_key)
        except BadSignatureError:
            return False
        return True

    def __repr__(self) -> str:
        return f"Verifier({self.name}+{self.key_id.hex()})"


class Signer:
    """A named Ed25519 signing key.

    Args:
        name: name of the key, without blanks and plus signs.
        secret: seed of 32 bytes.
    """

    def __init__(self, name: str, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a signing key has {SECRET_BYTES} bytes")
        public, self._secret = nacl.bindings.crypto_sign_seed_keypair(secret)
        self.verifier = Verifier(name, public)
        self.name = name
        self.key_id = self.verifier.key_id

    @property
    def vkey(self) -> str:
        """The public key as a C2SP verifier key."""
        return self.verifier.vkey

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return nacl.bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"Signer({self.name}+{self.key_id.hex()})"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its origin, number of entries and root; and extension lines, if any."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def body(self) -> bytes:
        """Return the text of the note."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines).encode()


def sign_note(text: bytes, *signers: Signer) -> bytes:
    """Return a signed note.

    Args:
        text: UTF-8, ends with a newline, no control characters but newline.
    Raises:
        BadInput: the text is none that a note may have, or there is no signer.
    """
    _text_of(text)
    if not signers:
        raise BadInput("A note needs a signature.")
    lines = (f"{_DASH}{signer.name} {base64.b64encode(signer.key_id + signer.sign(text)).decode()}\n" for signer in signers)
    return text + b"\n" + "".join(lines).encode()


def open_note(note: bytes, verifiers: Sequence[Verifier]) -> bytes:
    """Return the text of a note that at least one of the verifiers signed.

    Signatures of unknown keys are passed over; a wrong signature under a known key refuses the note.

    Raises:
        VerificationFailed: step 1 the form, step 2 a wrong signature, step 3 no signature of a known key.
    """
    text, signatures = split_note(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    good = False
    for name, blob in signatures:
        verifier = known.get((name, blob[:KEY_ID_BYTES]))
        if verifier is None:
            continue
        if not verifier.verify(text, blob[KEY_ID_BYTES:]):
            raise VerificationFailed("A signature of the note is wrong.", step=2, where=name)
        good = True
    if not good:
        raise VerificationFailed(
            "No known key signed this note.", step=3, mend="Give the public key of the log that is to be trusted."
        )
    return text


def split_note(note: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return text and signatures (name, key ID and signature) of a note, unverified.

    Raises:
        VerificationFailed: step 1, this is no signed note.
    """
    broken = VerificationFailed("This is not a signed note.", step=1)
    at = note.rfind(b"\n\n")
    if len(note) > _NOTE_MAX or at < 0 or not note.endswith(b"\n"):
        raise broken
    text, block = note[: at + 1], note[at + 2 :]
    try:
        _text_of(text)
        lines = block.decode().split("\n")[:-1]
    except (BadInput, UnicodeDecodeError) as error:
        raise broken from error
    if not 1 <= len(lines) <= _SIGNATURE_COUNT_MAX:
        raise broken
    signatures = []
    for line in lines:
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        try:
            blob = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise broken from error
        canonical = base64.b64encode(blob).decode() == encoded
        if not (line.startswith(_DASH) and _NAME.fullmatch(name) and len(blob) > KEY_ID_BYTES and canonical):
            raise broken
        signatures.append((name, blob))
    return text, signatures


def _text_of(text: bytes) -> str:
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise BadInput("The text of a note must be UTF-8.") from error
    if not decoded.endswith("\n") or any(character < " " and character != "\n" for character in decoded):
        raise BadInput("The text of a note ends with a newline and has no control characters.")
    return decoded


def sign_checkpoint(origin: str, size: int, root: bytes, *signers: Signer) -> bytes:
    """Return a signed checkpoint. The first signer's name should be the origin."""
    checkpoint = Checkpoint(origin, size, root)
    if not origin or "\n" in origin or size < 0 or len(root) != 32:
        raise BadInput("A checkpoint has an origin, a size and a root of 32 bytes.")
    return sign_note(checkpoint.body(), *signers)


def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read the text of a checkpoint note, unverified.

    Raises:
        VerificationFailed: step 4, this is no checkpoint.
    """
    broken = VerificationFailed("This note is not a checkpoint.", step=4)
    try:
        lines = text.decode().split("\n")[:-1]
        origin, size, root, *extensions = lines
        root_bytes = base64.b64decode(root, validate=True)
    except (ValueError, binascii.Error) as error:
        raise broken from error
    if not origin or not re.fullmatch(r"0|[1-9][0-9]{0,18}", size) or len(root_bytes) != 32 or not all(extensions):
        raise broken
    checkpoint = Checkpoint(origin, int(size), root_bytes, tuple(extensions))
    if checkpoint.body() != text:
        raise broken
    return checkpoint


def open_checkpoint(note: bytes, verifiers: Sequence[Verifier], origin: str | None = None) -> Checkpoint:
    """Return a checkpoint that at least one of the verifiers signed.

    Args:
        origin: the log it must be of, when given.
    Raises:
        VerificationFailed: steps 1-3 see `open_note`; step 4 no checkpoint; step 5 another log's checkpoint.
    """
    checkpoint = parse_checkpoint(open_note(note, verifiers))
    if origin is not None and checkpoint.origin != origin:
        raise VerificationFailed("The checkpoint is of another log.", step=5, where=checkpoint.origin)
    return checkpoint
