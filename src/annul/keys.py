"""The key file: every secret of one annul, in one file that only its owner may read.

`<home>/keys/secret.json` holds the secrets, `<home>/keys/annul.pub` the public keys as C2SP verifier keys (one a line).
Each secret carries a checksum of its own, so that a flipped bit is detected and the spoiled secret is named.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import secrets
import stat
from dataclasses import dataclass, field, replace

import msgspec

from annul import durable
from annul.errors import Conflict, Corrupt, NotFound, UnknownVersion, UnsafeSettings
from annul.home import Home
from annul.proof.checkpoint import Signer, Verifier
from annul.proof.window import RECEIPTS_NAME
from annul.records.carried import SealedKeys, carried_secrets, derive
from annul.records.document import DocumentKeys
from annul.records.former import FormerKeys
from annul.times import SECOND_US

VERSION = 1
SECRET_BYTES = 32
CHECKSUM_BYTES = 8

SECRET_FILE = "keys/secret.json"  # noqa: S105 - a name, not a secret
"""How the key file is called in errors; where it is: `Home.secret_keys`."""

ORIGIN_BYTES = 6
"""Bytes of the hash that names a register: two registers of the world have one name with a chance of 2^-48."""

_SINGLE = ("receipts", "register", "checks", "session", "envelope")
REALMS = ("live", "test")


class Past(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold what is kept of a key that signed receipts once: its public half and its period (microseconds since the epoch)."""

    public_key: bytes
    from_us: int | None
    until_us: int


class _Signing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Since when the key of receipts is in use, and those that were before it, oldest first."""

    from_us: int | None = None
    past: tuple[Past, ...] = ()


class _File(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    version: int
    secrets: dict[str, str]
    checksum: str
    signing: _Signing | None = None


@dataclass(frozen=True, slots=True)
class Keys:
    """Hold the secrets of one annul in memory; none of them shows in its representation.

    Args:
        live: document secrets of the live realm, one per epoch, oldest first, 32 bytes each.
        test: the same for the test realm.
        receipts: Ed25519 seed that signs windows of answers.
        register: Ed25519 seed that signs checkpoints of the register log.
        checks: Ed25519 seed that signs checkpoints of the check log.
        session: key for sessions and access tokens of the doors.
        envelope: master key that wraps the data keys of personal details.
        pending: document secrets (live, test) of a rotation that is not finished; empty otherwise.
        receipts_from_us: since when that key of receipts is in use; None: since the register was made.
        past: keys that signed receipts before, oldest first; their secrets are destroyed.
    """

    live: tuple[bytes, ...] = field(repr=False)
    test: tuple[bytes, ...] = field(repr=False)
    receipts: bytes = field(repr=False)
    register: bytes = field(repr=False)
    checks: bytes = field(repr=False)
    session: bytes = field(repr=False)
    envelope: bytes = field(repr=False)
    pending: tuple[bytes, ...] = field(default=(), repr=False)
    receipts_from_us: int | None = None
    past: tuple[Past, ...] = ()

    @property
    def epoch(self) -> int:
        """Current epoch of the document keys, from 1."""
        return len(self.live)

    @property
    def origin(self) -> str:
        """Name of this register among all: `annul-` and 12 hexadecimal digits of the SHA-256 of its log's public key.

        The origins of both logs begin with it, so that witnesses can tell registers apart. Source: C2SP tlog-checkpoint.
        """
        public = Signer("register", self.register).verifier.public_key
        return f"annul-{hashlib.sha256(public).digest()[:ORIGIN_BYTES].hex()}"

    def documents(self, realm: str) -> DocumentKeys:
        """Return the document keys of a realm ("live" or "test"); each realm has secrets of its own."""
        secrets = self.live if realm == "live" else self.test
        made = DocumentKeys(secrets)
        made.seal = SealedKeys(secrets).seal
        made.former = FormerKeys(secrets).of
        return made

    def sealed(self, realm: str) -> SealedKeys:
        """Return what opens the sealed keys of a realm, from which editions are built."""
        return SealedKeys(self.live if realm == "live" else self.test)

    def former(self, realm: str) -> FormerKeys:
        """Return what opens the keys that documents of a realm had before rotations."""
        return FormerKeys(self.live if realm == "live" else self.test)

    def edition_seed(self) -> bytes:
        """Return the seed of the key that builds editions, to which edges seal what they account for."""
        return derive(self.register, "editions")

    def carried(self, realm: str) -> tuple[bytes, ...]:
        """Return the secrets edges of a realm are given, one per epoch."""
        return carried_secrets(self.live if realm == "live" else self.test)

    def require_epoch(self, epoch: int) -> None:
        """Refuse to work with document keys of another epoch than the register's.

        Raises:
            UnsafeSettings: a rotation was carried out since this process started, or the key file is an old one.
        """
        if epoch != self.epoch:
            raise UnsafeSettings(
                f"The register's document keys are of epoch {epoch}, those here of {self.epoch}.",
                where=SECRET_FILE,
                mend="Restart annul; if that does not help, restore the newest key file.",
            )

    def public_lines(self) -> list[str]:
        """Return the verifier keys of receipts (that in use first), register log and check log. Source: C2SP signed-note."""
        receipts = [key.line for key in self.receipt_verifiers()]
        return [*receipts, self.register_signer().vkey, self.check_signer().vkey]

    def receipt_verifiers(self) -> list[Verifier]:
        """Return the keys that verify receipts, each with its period: that in use, then those before it, newest first."""
        now = Verifier(RECEIPTS_NAME, self.receipt_signer().verifier.public_key, from_us=self.receipts_from_us)
        return [
            now,
            *(
                Verifier(RECEIPTS_NAME, each.public_key, from_us=each.from_us, until_us=each.until_us)
                for each in reversed(self.past)
            ),
        ]

    def receipt_signer(self) -> Signer:
        """Return the signer of windows of answers."""
        return Signer(RECEIPTS_NAME, self.receipts)

    def register_signer(self) -> Signer:
        """Return the signer of the register log's checkpoints."""
        return Signer(f"{self.origin}/register", self.register)

    def check_signer(self) -> Signer:
        """Return the signer of the check log's checkpoints."""
        return Signer(f"{self.origin}/checks", self.checks)


def create(home: Home) -> Keys:
    """Make new keys and write both files; an existing key file is never overwritten.

    Raises:
        Conflict: there is a key file already.
    """
    path = home.secret_keys
    if path.exists():
        raise Conflict("There is a key file already.", where=SECRET_FILE)
    live, test = secrets.token_bytes(SECRET_BYTES), secrets.token_bytes(SECRET_BYTES)
    receipts, register, checks, session, envelope = (secrets.token_bytes(SECRET_BYTES) for _ in _SINGLE)
    keys = Keys((live,), (test,), receipts, register, checks, session, envelope)
    save(home, keys)
    return keys


def load(home: Home) -> Keys:
    """Read the key file.

    Raises:
        NotFound: there is none; `create` makes it.
        UnsafeSettings: somebody besides the owner may read it, or another file of secrets beside it.
        Corrupt: it is damaged; `where` names the spoiled secret.
        UnknownVersion: it was written by a newer annul.
    """
    path = home.secret_keys
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise NotFound("There is no key file.", where=SECRET_FILE, mend="Run: annul setup") from None
    for file in path.parent.glob("*.json"):
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            where = f"keys/{file.name}"
            raise UnsafeSettings(
                "A key file can be read by others than its owner.",
                where=where,
                mend=f"Run: chmod 600 {where}, and consider the keys known to others.",
            )
    return _decode(raw)


def load_or_create(home: Home) -> Keys:
    """Read the key file, or make it when this home has none yet."""
    try:
        return load(home)
    except NotFound:
        return create(home)


def save(home: Home, keys: Keys) -> None:
    """Write both files aside, make them durable and rename them into place.

    A crash leaves the old or the new secret file, whole; the public file can be made again from it.
    """
    durable.folder(home.keys)
    durable.replace(home.secret_keys, _encode(keys))
    publish(home, keys)


def rotate_signing(home: Home, keys: Keys, now_us: int) -> Keys:
    """Replace the key that signs receipts, and save; what the old one signed stays good, and its secret is destroyed.

    A crash leaves the old key or the new one, whole. The caller holds that annul is stopped: a worker that runs would go on
    signing with the old key.

    Args:
        now_us: when the old key's period ends and the new one's begins.
    """
    begins_us = now_us // SECOND_US * SECOND_US
    ended = Past(keys.receipt_signer().verifier.public_key, keys.receipts_from_us, begins_us)
    renewed = replace(keys, receipts=secrets.token_bytes(SECRET_BYTES), receipts_from_us=begins_us, past=(*keys.past, ended))
    save(home, renewed)
    return renewed


def publish(home: Home, keys: Keys) -> None:
    """Write the public file when it is missing or says otherwise than the keys."""
    lines = "".join(line + "\n" for line in keys.public_lines()).encode()
    with contextlib.suppress(FileNotFoundError):
        if home.public_keys.read_bytes() == lines:
            return
    durable.replace(home.public_keys, lines, mode=0o644)


def _named(keys: Keys) -> dict[str, bytes]:
    named = {
        f"document/{realm}/{epoch}": secret
        for realm, epochs in (("live", keys.live), ("test", keys.test))
        for epoch, secret in enumerate(epochs, start=1)
    }
    named |= {name: getattr(keys, name) for name in _SINGLE}
    return named | {f"pending/{realm}": secret for realm, secret in zip(REALMS, keys.pending, strict=False)}


def _checksum(name: str, secret: bytes) -> bytes:
    return hashlib.sha256(b"annul secret v1\0" + name.encode() + b"\0" + secret).digest()[:CHECKSUM_BYTES]


def _encode(keys: Keys) -> bytes:
    texts = {name: base64.b64encode(secret + _checksum(name, secret)).decode() for name, secret in _named(keys).items()}
    signing = _Signing(keys.receipts_from_us, keys.past) if keys.past else None
    return msgspec.json.format(msgspec.json.encode(_File(VERSION, texts, _whole(texts, signing), signing)), indent=1) + b"\n"


def _whole(texts: dict[str, str], signing: _Signing | None) -> str:
    told = msgspec.json.encode(texts, order="sorted") + (msgspec.json.encode(signing) if signing else b"")
    return hashlib.sha256(told).hexdigest()


def _decode(raw: bytes) -> Keys:
    mend = "Restore the key file from its backup."
    try:
        version = msgspec.json.decode(raw, type=dict[str, object]).get("version")
        if version != VERSION:
            raise UnknownVersion("The key file is of an unknown version.", where=SECRET_FILE)
        file = msgspec.json.decode(raw, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Corrupt("The key file is damaged: it is not in its form.", where=SECRET_FILE, mend=mend) from None
    named: dict[str, bytes] = {}
    for name, text in file.secrets.items():
        try:
            value = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            value = b""
        secret = value[:SECRET_BYTES]
        if len(value) != SECRET_BYTES + CHECKSUM_BYTES or value[SECRET_BYTES:] != _checksum(name, secret):
            raise Corrupt("The key file is damaged.", where=f"{SECRET_FILE}: {name}", mend=mend)
        named[name] = secret
    if _whole(file.secrets, file.signing) != file.checksum:
        raise Corrupt("The key file is damaged: its checksum does not fit.", where=f"{SECRET_FILE}: checksum", mend=mend)
    epochs = {realm: sum(name.startswith(f"document/{realm}/") for name in named) for realm in REALMS}
    try:
        live, test = (tuple(named[f"document/{realm}/{epoch}"] for epoch in range(1, epochs[realm] + 1)) for realm in REALMS)
        receipts, register, checks, session, envelope = (named[name] for name in _SINGLE)
    except KeyError as missing:
        raise Corrupt("The key file lacks a secret.", where=f"{SECRET_FILE}: {missing.args[0]}", mend=mend) from None
    if not live or len(live) != len(test):
        raise Corrupt("The key file lacks document secrets.", where=SECRET_FILE, mend=mend)
    pending = tuple(named[f"pending/{realm}"] for realm in REALMS if f"pending/{realm}" in named)
    signing = file.signing or _Signing()
    return Keys(live, test, receipts, register, checks, session, envelope, pending, signing.from_us, signing.past)
