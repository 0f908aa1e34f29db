"""Keys and settings in one file that only its receivers open: age (age-encryption.org/v1), around an archive.

The file is opened with `age --decrypt` and `tar` too, in ten years and without annul. A nightly run needs no secret on the
machine: it seals to a public key (`age1…`), whose identity lies elsewhere; or to a passphrase, for a person at a terminal.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyrage

from annul import durable
from annul.errors import BadInput, Conflict, NotFound, VerificationFailed

PASSPHRASE_MIN_CHARS: Final = 12
"""Below this, whoever has the file tries them all (NIST SP 800-63B-4 3.1.1 asks 15 where it is the only factor)."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """Say who may open the keys: receivers by their public keys, or whoever knows a passphrase.

    Args:
        recipients: public keys, `age1…`.
        passphrase: at least 12 characters; only without recipients.

    Raises:
        BadInput: neither or both are given, or one is not of its form.
    """

    recipients: tuple[str, ...] = ()
    passphrase: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Refuse what could not be opened again, or by anybody."""
        if bool(self.recipients) == bool(self.passphrase):
            raise BadInput("Keys are sealed to public keys or to a passphrase: one of the two.", where="--recipient")
        if self.passphrase and len(self.passphrase) < PASSPHRASE_MIN_CHARS:
            raise BadInput(
                f"A passphrase of a backup has at least {PASSPHRASE_MIN_CHARS} characters.", where="--passphrase-file"
            )
        self._receivers()

    def seal(self, files: Mapping[str, bytes]) -> bytes:
        """Return the files as one sealed archive."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), durable.PRIVATE
                tar.addfile(member, io.BytesIO(content))
        if self.passphrase:
            return bytes(pyrage.passphrase.encrypt(archive.getvalue(), self.passphrase))
        return bytes(pyrage.encrypt(archive.getvalue(), self._receivers()))

    def _receivers(self) -> list[pyrage.x25519.Recipient]:
        try:
            return [pyrage.x25519.Recipient.from_str(text) for text in self.recipients]
        except pyrage.RecipientError:
            raise BadInput(
                "This is no public key of age.", where="--recipient", mend="It begins with age1; see --make-identity."
            ) from None


@dataclass(frozen=True, slots=True)
class Opening:
    """Hold what opens sealed keys: an identity of age (`AGE-SECRET-KEY-1…`), or the passphrase."""

    identity: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)

    def open(self, sealed: bytes) -> dict[str, bytes]:
        """Return the files of a sealed archive.

        Raises:
            BadInput: the identity is none. VerificationFailed: it does not open with this.
        """
        try:
            if self.passphrase:
                raw = pyrage.passphrase.decrypt(sealed, self.passphrase)
            else:
                raw = pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(line) for line in self._lines()])
        except pyrage.IdentityError:
            raise BadInput("This is no identity of age.", where="--identity", mend="It has AGE-SECRET-KEY-1 in it.") from None
        except pyrage.DecryptError:
            raise VerificationFailed(
                "The keys of the backup do not open with this.",
                step=1,
                where="keys",
                mend="Give the passphrase of that run, or the identity of a public key it was sealed to.",
            ) from None
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
            members = [(member.name, tar.extractfile(member)) for member in tar.getmembers() if member.isfile()]
            return {name: content.read() for name, content in members if content is not None}

    def _lines(self) -> list[str]:
        lines = [line.strip() for line in self.identity.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]


def make_identity(file: Path) -> str:
    """Make an identity, write it to a new file (0600) and return its public key.

    Raises:
        Conflict: there is a file of this name.
    """
    identity = pyrage.x25519.Identity.generate()
    public = str(identity.to_public())
    if not durable.create(file, f"# public key: {public}\n{identity}\n".encode()):
        raise Conflict("There is a file of this name already.", where=str(file))
    return public


def read_secret(file: Path, option: str) -> str:
    """Read a passphrase or an identity from a file, without blanks around it.

    Raises:
        NotFound: it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise NotFound("The file cannot be read.", where=option) from None
