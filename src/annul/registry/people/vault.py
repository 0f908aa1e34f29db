"""The vault of personal details: every person has a data key of its own, wrapped by a master key set that can be rotated.

`<home>/keys/people.json` holds a Tink key set (AES-256-GCM) and its checksum; only its owner may read it. Rotation adds a new
primary key; older ones still unwrap. Destroying a person's wrapped key destroys everything sealed under it, wherever copies of
it lie.

Source: Tink, "keyset" (JSON form); NIST SP 800-38D. Decision: docs/decisions/0007-persons-encryption.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from annul import durable, logs
from annul.errors import AnnulError, Corrupt, NotFound, UnknownVersion, UnsafeSettings
from annul.home import Home

KEYSET_FILE: Final = "keys/people.json"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
"""Nonce of AES-GCM. Source: NIST SP 800-38D, section 5.2.1.1."""
WRAPPED_BYTES: Final = 5 + NONCE_BYTES + KEY_BYTES + 16
"""A wrapped key: Tink's output prefix, nonce, key, authentication tag. Source: Tink wire format."""

FILE_VERSION: Final = 1
_CHECKED: Final = b"annul people keys v1\0"
_VERSION: Final = b"\x01"
_KEY: Final = b"annul person key v1\0"
_RECORD: Final = b"annul person v1\0"
_TRAIT: Final = b"annul trait v1\0"


def record_context(person: int) -> bytes:
    """Return what a person's record is bound to."""
    return _RECORD + person.to_bytes(8, "big")


def trait_context(person: int, enrolment: str) -> bytes:
    """Return what a portrait or template is bound to."""
    return _TRAIT + person.to_bytes(8, "big") + enrolment.encode()


def digest(ciphertext: bytes) -> bytes:
    """Return the SHA-256 that stands in the log for a sealed record."""
    return hashlib.sha256(ciphertext).digest()


class Vault:
    """Make, wrap and open persons' keys. The key set is read, or made, when it is first needed.

    Args:
        home: data folder.

    Raises:
        UnsafeSettings: somebody besides its owner may read the key set.
        Corrupt: it is damaged.
    """

    def __init__(self, home: Home) -> None:
        self._path = home.person_keys
        self._primitive: Any = None

    def warm(self) -> None:
        """Read the key set now (or make it), so that the first use does not wait; what fails here is said, and told then."""
        try:
            self._aead()
        except AnnulError as error:
            logs.get("people").error("the key set of persons cannot be used", code=error.code, where=error.where)

    def require_whole(self) -> None:
        """Hold that the key set is whole, without making one.

        Raises:
            NotFound: there is none yet.
            UnsafeSettings, Corrupt, UnknownVersion: it cannot be used.
        """
        self._read()
        self._aead()

    def new_key(self, person: int) -> tuple[bytes, bytes]:
        """Make a person's key; returns (key, wrapped key)."""
        key = secrets.token_bytes(KEY_BYTES)
        return key, self.wrap(key, person)

    def wrap(self, key: bytes, person: int) -> bytes:
        """Wrap a person's key under the primary master key, bound to the person's id."""
        wrapped: bytes = self._aead().encrypt(key, _KEY + person.to_bytes(8, "big"))
        return wrapped

    def unwrap(self, wrapped: bytes | None, person: int) -> bytes:
        """Return a person's key.

        Raises:
            NotFound: it was destroyed.
            Corrupt: it does not open: changed bytes, another person's, or another key set.
        """
        if wrapped is None:
            raise NotFound("The person's details were erased.")
        from tink import TinkError

        try:
            key: bytes = self._aead().decrypt(bytes(wrapped), _KEY + person.to_bytes(8, "big"))
        except TinkError:
            raise Corrupt(
                "A person's key does not open.", where=f"person_record {person}", mend=f"Restore {KEYSET_FILE} from its backup."
            ) from None
        return key

    def rotate(self) -> None:
        """Add a new primary master key; older ones go on unwrapping. `People.rewrap` takes the records to the new one."""
        keyset = json.loads(self._read())
        while True:
            fresh = json.loads(_new_keyset())
            if fresh["primaryKeyId"] not in {key["keyId"] for key in keyset["key"]}:
                break
        merged = {"primaryKeyId": fresh["primaryKeyId"], "key": [*keyset["key"], *fresh["key"]]}
        durable.replace(self._path, _packed(json.dumps(merged, indent=1)))
        self._primitive = None

    def is_current(self, wrapped: bytes) -> bool:
        """Tell whether a wrapped key is wrapped by the primary master key (Tink's output prefix: 1, then its id)."""
        current: bytes = json.loads(self._read())["primaryKeyId"].to_bytes(4, "big")
        return wrapped[1:5] == current

    def _aead(self) -> Any:
        if self._primitive is None:
            # Imported here: only who opens records pays for it, the check path never does.
            import tink
            from tink import aead, secret_key_access

            aead.register()
            if not self._path.exists():
                durable.folder(self._path.parent)
                durable.create(self._path, _packed(_new_keyset()))
            try:
                handle = tink.json_proto_keyset_format.parse(self._read(), secret_key_access.TOKEN)
                self._primitive = handle.primitive(aead.Aead)
            except tink.TinkError:
                raise _damaged() from None
        return self._primitive

    def _read(self) -> str:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound("There is no master key set.", where=KEYSET_FILE, mend="Restore it from its backup.") from None
        with os.fdopen(descriptor, encoding="utf-8") as file:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                raise UnsafeSettings(
                    "The master key set can be read by others than its owner.",
                    where=KEYSET_FILE,
                    mend=f"Run: chmod 600 {KEYSET_FILE}, and consider the keys known to others.",
                )
            return _unpacked(file.read())


def _packed(keyset: str) -> bytes:
    """Write the file: a flipped bit in a key set would else be another key set, which opens nothing and says nothing."""
    checksum = hashlib.sha256(_CHECKED + keyset.encode()).hexdigest()
    return msgspec.json.encode({"version": FILE_VERSION, "keyset": keyset, "checksum": checksum}) + b"\n"


def _unpacked(text: str) -> str:
    """Return the key set of the file; until November 2026 the file was the bare key set.

    Raises:
        Corrupt: it is damaged.
        UnknownVersion: a later annul wrote it.
    """
    try:
        file = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        raise _damaged() from None
    if "primaryKeyId" in file:
        return text
    if file.get("version") != FILE_VERSION and set(file) == {"version", "keyset", "checksum"}:
        raise UnknownVersion("The master key set is of an unknown version.", where=KEYSET_FILE, mend="Use a newer annul.")
    keyset = file.get("keyset")
    if not isinstance(keyset, str) or _packed(keyset).decode() != text:
        raise _damaged()
    return keyset


def _damaged() -> Corrupt:
    return Corrupt("The master key set is damaged.", where=KEYSET_FILE, mend="Restore the file from its backup.")


def _new_keyset() -> str:
    import tink
    from tink import aead, secret_key_access

    aead.register()
    handle = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
    text: str = tink.json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    return text


def seal(key: bytes, plain: bytes, context: bytes) -> bytes:
    """Encrypt something of a person under the person's key, bound to what it is."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, plain, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """Decrypt what `seal` made.

    Raises:
        UnknownVersion: it was written by a later program.
        Corrupt: the bytes were changed, or belong to something else.
    """
    if sealed[:1] != _VERSION:
        raise UnknownVersion("A sealed record is of an unknown version.", mend="Use a newer annul.")
    try:
        return AESGCM(key).decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], context)
    except InvalidTag:
        raise Corrupt("A sealed record does not open.", mend="Restore the register and its keys from one backup.") from None
