"""Say at every door what went wrong, in one form: RFC 9457 problem documents, mapped from the error tree by ONE table.

A problem document has `type`, `title`, `status`, `detail`, and, where they help, `where` (JSON pointer into the body, or the
name of the header or parameter) and `mend` (the next step). Errors that leave a check without an answer also carry
`"outcome": "NO_ANSWER"` and `"error": "E9x"`: a missing answer is an outcome of its own and never turns into PASS.

Nothing of the request is echoed: a value in the wrong place may be a document number.

Source: RFC 9457; RFC 9110 sections 10.2.3 (Retry-After), 15.5.2 (WWW-Authenticate); RFC 6750 section 3; RFC 6901.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from annul import errors
from annul.extras import missing

MEDIA_TYPE: Final = "application/problem+json"


class Kind(NamedTuple):
    """One line of the table: what a kind of problem is called and how it leaves the door."""

    status: int
    title: str
    error: str | None = None
    """Answer code E90..E95 when a check stays without an answer, else None."""
    mend: str = ""
    """Next step when the error does not name a better one."""


PROBLEMS: Final[dict[str, Kind]] = {
    "bad-input": Kind(400, "The request is not of the form asked for", "E94", "Compare the request with /openapi.json."),
    "too-large": Kind(413, "The request is too large", "E94", "Send less in one request."),
    "unknown-version": Kind(400, "The format version is not known here", "E94", "Update annul, or send a known version."),
    "malformed-number": Kind(422, "The document number cannot be one of its scheme", None, "Type it again from the document."),
    "not-authorised": Kind(401, "No valid credential", "E92", "Send `Authorization: Bearer KEY` with a key that is active."),
    "forbidden": Kind(403, "This credential may not do this", "E92", "Use a credential of a role that may."),
    "purpose-not-allowed": Kind(
        403, "The agreement does not cover this purpose or channel", "E93", "Use a purpose and channel of your agreement."
    ),
    "not-found": Kind(404, "There is no such thing here", None, "Check the address."),
    "gone": Kind(410, "This is kept no longer", None, "Begin anew from the address in `snapshot`."),
    "method-not-allowed": Kind(405, "This address does not take this method", None, "Use a method named in Allow."),
    "unsupported-media-type": Kind(415, "The body is of a type that is not read here", "E94", "Send application/json."),
    "conflict": Kind(409, "The present state does not allow this change"),
    "transition-refused": Kind(409, "A rule of the document's life forbids this step"),
    "ambiguous-document": Kind(409, "The number has several documents", None, "Add what tells them apart, such as valid_from."),
    "idempotency-mismatch": Kind(
        409, "The Idempotency-Key was used with another request", None, "Use a new key for a new request."
    ),
    "verification-failed": Kind(422, "The proof does not hold"),
    "over-quota": Kind(429, "The quota is used up for now", "E91", "Wait for the time in Retry-After."),
    "not-yet-effective": Kind(
        503,
        "Recorded, but check points do not refuse yet",
        None,
        "Send the same request again with the same Idempotency-Key.",
    ),
    "source-down": Kind(503, "A source needed for this cannot be reached", "E90", "Ask again shortly."),
    "storage-failed": Kind(503, "Writing failed; nothing was acknowledged", "E90", "Ask again shortly."),
    "timed-out": Kind(504, "The answer did not come in time", "E95", "Ask again."),
    "corrupt": Kind(503, "Stored data failed its check", "E90", "The operator runs `annul doctor`."),
    "missing-package": Kind(503, "An optional part is not installed", "E90"),
    "unsafe-settings": Kind(503, "annul does not run with these settings", "E90"),
    "internal": Kind(500, "Something failed on our side", "E90", "Ask again; if it stays, tell the operator."),
}
"""Code of the error -> how it leaves the door. Codes are stable; tests hold that every error of the tree is here."""

RETRY_AFTER_S: Final = {"over-quota": 1, "not-yet-effective": 1, "source-down": 1, "storage-failed": 5, "corrupt": 60}
"""Seconds named in Retry-After when the error itself carries no `retry_after_s`."""

PRIVATE: Final = frozenset({"internal", "corrupt", "storage-failed", "unsafe-settings", "missing-package"})
"""Problems whose own text (paths, settings) is for the log, not for the caller."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Hold one problem document, ready to leave: `status`, `headers` (lower-case names), `members` in their order."""

    status: int
    members: dict[str, object]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Return the stable code, the last part of `type`."""
        return str(self.members["type"]).rpartition("/")[2]

    @property
    def body(self) -> bytes:
        """Return the JSON body."""
        return msgspec.json.encode(self.members)

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Return the header fields as ASGI and HTTP/1.1 write them."""
        return [(name.encode(), value.encode()) for name, value in self.headers.items()]


class WrongMethod(errors.AnnulError):
    """The address exists, the method does not; `allow` names those that do."""

    code = "method-not-allowed"


class WrongMediaType(errors.BadInput):
    """The body's content type is none of those the route reads."""

    code = "unsupported-media-type"


def problem_of(exc: BaseException) -> Problem:
    """Map any exception to its problem document.

    Args:
        exc: an AnnulError, a msgspec decoding error, or anything else (which becomes `internal`, without its text).

    Returns:
        The problem. 401 has `www-authenticate`, 405 `allow`, 429 and 503 `retry-after`.

    Source: RFC 9457 section 3.
    """
    error = _as_annul(exc)
    # A room may refine an error of the tree (a malformed zone is a malformed number): the nearest line of the table counts.
    codes = (str(vars(kind).get("code", "")) for kind in type(error).__mro__)
    code = next(code for code in codes if code in PROBLEMS)
    kind = PROBLEMS[code]
    members: dict[str, object] = {"type": f"/problems/{code}", "title": kind.title, "status": kind.status}
    members["detail"] = f"{kind.title}." if code in PRIVATE else _as_sentence(error.message)
    if error.where and code not in PRIVATE:
        members["where"] = error.where
    if mend := error.mend or kind.mend:
        members["mend"] = mend
    if kind.error:
        members["outcome"] = "NO_ANSWER"
        members["error"] = kind.error
    extra = {} if code in PRIVATE else dict(error.extra)
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store"}
    if kind.status == 401:
        headers["www-authenticate"] = 'Bearer realm="annul", error="invalid_token"'
    if "allow" in extra:
        headers["allow"] = str(extra.pop("allow"))
    if "retry_after_s" in extra or code in RETRY_AFTER_S:
        seconds = extra.get("retry_after_s", RETRY_AFTER_S.get(code, 1))
        headers["retry-after"] = str(max(1, math.ceil(seconds))) if isinstance(seconds, int | float) else "1"
    members.update({name: value for name, value in extra.items() if name not in members})
    return Problem(kind.status, members, headers)


def _as_sentence(message: str) -> str:
    """Return a room's message as a sentence; rooms write them as parts of a line."""
    return f"{message[:1].upper()}{message[1:]}{'' if message.endswith(('.', '?', '!')) else '.'}"


def _as_annul(exc: BaseException) -> errors.AnnulError:
    if isinstance(exc, errors.AnnulError):
        return exc
    if isinstance(exc, msgspec.MsgspecError):
        return bad_input(exc)
    if isinstance(exc, TimeoutError):
        return errors.TimedOut("The answer did not come in time.")
    if (lacking := missing(exc)) is not None:
        return lacking
    return errors.AnnulError("Something failed on our side.")


_PATH = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_SAFE_NAME = re.compile(r"[a-z][a-z_]{0,39}\Z")
_FIELD = re.compile(r"`([^`]*)`")


def pointer(path: str) -> str:
    """Turn the path of a msgspec message (`.checks[3].document`) into a JSON pointer (`/checks/3/document`).

    Source: RFC 6901. A part that is not a field name of ours or an index is left out: it came from the request.
    """
    parts = re.findall(r"\.([A-Za-z0-9_]+)|\[(\d+|\.\.\.)\]", path)
    kept = [name or index for name, index in parts]
    return "".join(f"/{part}" for part in kept if (part.isdigit() and len(part) < 6) or _SAFE_NAME.match(part))


def bad_input(exc: msgspec.MsgspecError, prefix: str = "") -> errors.BadInput:
    """Say what is wrong in a body that msgspec refused, and where, without repeating any value of it.

    Args:
        exc: the error of a strict decoder.
        prefix: JSON pointer to put in front (a part of a larger body was decoded).
    """
    text = str(exc)
    if not isinstance(exc, msgspec.ValidationError):
        return errors.BadInput("The body is not JSON.", where=prefix or None, mend="Send one JSON object in UTF-8.")
    found = _PATH.search(text)
    where = prefix + (pointer(found[1]) if found else "")
    message = _PATH.sub("", text)
    if message.startswith("Invalid enum value"):
        message = "The value is none of those allowed."
    elif message.startswith("Object contains unknown field"):
        name = _FIELD.search(message)
        safe = name is not None and _SAFE_NAME.match(name[1])
        message = f"There is no field `{name[1]}` here." if safe and name else "There is a field here that is not known."
    elif message.startswith("Object missing required field"):
        name = _FIELD.search(message)
        message = f"The field `{name[1]}` is missing." if name else "A field is missing."
    elif message.startswith("Invalid RFC3339"):
        return errors.BadInput("This is not a time.", where=where or "/", mend="Write it like 2026-11-23T14:03:22Z.")
    elif isinstance(exc.__cause__, ValueError):  # raised by a struct of ours, whose texts repeat no value
        message = f"{exc.__cause__}."
    elif not message.startswith("Expected "):
        message = "The value is not of the form asked for."
    else:
        message = f"{message}."
    return errors.BadInput(message, where=where or "/")
