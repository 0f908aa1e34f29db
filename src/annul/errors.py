"""The one tree of errors. Each has a stable `code` (kebab-case) and a sentence for humans; doors map them, rooms raise them.

Texts never hold a document number, a name or an image: they say what is wrong, where, and how to mend it.
"""

from __future__ import annotations

from typing import ClassVar


class AnnulError(Exception):
    """Say what went wrong in a sentence for humans.

    Args:
        message: what is wrong, without personal data.
        where: JSON pointer, file (with line) or setting the error is about, if there is one.
        mend: the next step for the reader.
        extra: further members for the problem document (JSON values, no personal data).
    """

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, where: str | None = None, mend: str | None = None, **extra: object) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.mend = mend
        self.extra = extra

    def __str__(self) -> str:
        parts = [self.message]
        if self.where:
            parts.append(f"({self.where})")
        if self.mend:
            parts.append(self.mend)
        return " ".join(parts)


class BadInput(AnnulError):
    """The request is not of the form asked for (answer code E94)."""

    code = "bad-input"


class TooLarge(BadInput):
    """The input is larger than a named limit."""

    code = "too-large"


class UnknownVersion(BadInput):
    """A byte format starts with a version this program does not know."""

    code = "unknown-version"


class MalformedNumber(AnnulError):
    """The document's number cannot be one of its scheme (answer code U33)."""

    code = "malformed-number"


class NotAuthorised(AnnulError):
    """No credential, or one that is unknown, revoked or expired (E92)."""

    code = "not-authorised"


class Forbidden(AnnulError):
    """The credential is good but its role may not do this (E92)."""

    code = "forbidden"


class PurposeNotAllowed(AnnulError):
    """The agreement does not cover this purpose or channel (E93)."""

    code = "purpose-not-allowed"


class OverQuota(AnnulError):
    """The agreement's quota is used up for now (E91)."""

    code = "over-quota"


class SourceDown(AnnulError):
    """A source that is needed for this answer cannot be reached (E90)."""

    code = "source-down"


class TimedOut(AnnulError):
    """The answer did not come in time (E95)."""

    code = "timed-out"


class NotFound(AnnulError):
    """There is no such thing, or none that the caller may see."""

    code = "not-found"


class Gone(AnnulError):
    """What is asked for was there, and is kept no longer; `snapshot` says where to begin anew."""

    code = "gone"


class Conflict(AnnulError):
    """The present state does not allow this change."""

    code = "conflict"


class TransitionRefused(Conflict):
    """A rule of the document's life forbids this step."""

    code = "transition-refused"


class AmbiguousDocument(Conflict):
    """The number has several documents: the wrong one must not be killed."""

    code = "ambiguous-document"


class IdempotencyMismatch(Conflict):
    """The Idempotency-Key was used before with another request."""

    code = "idempotency-mismatch"


class NotYetEffective(AnnulError):
    """The change is recorded, but check points do not refuse yet: ask again with the same Idempotency-Key."""

    code = "not-yet-effective"


class VerificationFailed(AnnulError):
    """A proof does not hold; `step` is the failing step of the numbered recipe."""

    code = "verification-failed"

    def __init__(self, message: str, *, step: int, where: str | None = None, mend: str | None = None) -> None:
        super().__init__(message, where=where, mend=mend, step=step)
        self.step = step


class Corrupt(AnnulError):
    """Stored bytes are not what was written; `where` names the file and place."""

    code = "corrupt"


class StorageFailed(AnnulError):
    """Writing or the write barrier failed: nothing was acknowledged."""

    code = "storage-failed"


class UnsafeSettings(AnnulError):
    """annul refuses to run like this; `mend` says what to change."""

    code = "unsafe-settings"


class MissingPackage(AnnulError):
    """An optional part is not installed; `mend` names the command that installs it."""

    code = "missing-package"
