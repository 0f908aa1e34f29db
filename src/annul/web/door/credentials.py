"""Say who asks a check: a bearer becomes a principal by one look into the snapshot that the follower publishes.

What a bearer stood for is remembered as long as that snapshot is the newest, in memory only: the usual answer is one look into
a dictionary, without an await. Access tokens are verified once per snapshot; their library is loaded with the first. All
other addresses let programs and people in by `door.auth`.

What must never happen here: a bearer in a log line or an error text; somebody let in of whom the newest snapshot knows nothing.

Source: RFC 6750 section 2.1.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from annul.errors import Forbidden, NotAuthorised
from annul.registry.answering.principals import Principal
from annul.times import SECOND_US
from annul.web.door.who import ANY, COUNTERS

if TYPE_CHECKING:
    from annul.web.door.office import Front
    from annul.web.door.tokens import AccessTokens

TOKENS_MAX: Final = 10_000
"""Remembered access tokens; beyond it all are verified again."""

Fields = list[tuple[bytes, bytes]]
"""Header fields, names in lower case."""


class Bearers:
    """Turn the Authorization field of a check into its principal; one for a worker.

    Args:
        front: the parts it needs: parties and the clock, and the keys once an access token comes.
    """

    def __init__(self, front: Front) -> None:
        self._front = front
        self._parties = front.parties
        self._now_us = front.now_us
        self._reader: AccessTokens | None = None
        self._tokens: dict[bytes, tuple[Principal, int]] = {}
        self._tokens_of: object = None  # the snapshot they were verified under
        self._admitted: dict[bytes, Principal] = {}  # Authorization header -> who it is, in memory only
        self._admitted_of: object = None  # the snapshot they are of

    def admit(self, headers: Fields) -> Principal:
        """Say who asks.

        Raises:
            NotAuthorised: no bearer, or one that is unknown, revoked or expired.
            Forbidden: the role may not ask checks.
        """
        for name, value in headers:
            if name == b"authorization":
                if value[:7].lower() == b"bearer ":
                    break
                raise NotAuthorised("The Authorization header is not of the form `Bearer KEY`.")
        else:
            raise NotAuthorised("There is no Authorization header.")
        snapshot = self._parties.snapshot
        if snapshot is not self._admitted_of:
            self._admitted, self._admitted_of = {}, snapshot
        principal = self._admitted.get(value)
        if principal is None:
            token = value[7:].strip()
            hashed = hashlib.sha256(token).digest()
            principal = snapshot.by_token.get(hashed)
            if principal is None:
                principal = self._of_access_token(token, hashed, snapshot)
            elif len(self._admitted) < TOKENS_MAX:
                self._admitted[value] = principal
        if principal.expires_at_us and principal.expires_at_us <= self._now_us():
            raise NotAuthorised("The credential is unknown, revoked or expired.")
        if principal.role not in ANY or principal.use not in COUNTERS:
            raise Forbidden("This role does not ask checks.", mend="Use a relying party's credential.")
        return principal

    def _of_access_token(self, token: bytes, hashed: bytes, snapshot: object) -> Principal:
        """Verify an OAuth access token, once per snapshot of the parties."""
        if token.count(b".") != 2:
            raise NotAuthorised("The credential is unknown, revoked or expired.", mend="Ask the operator for a new key.")
        if snapshot is not self._tokens_of or len(self._tokens) >= TOKENS_MAX:
            self._tokens = {}
            self._tokens_of = snapshot
        known = self._tokens.get(hashed)
        if known is None:
            client_id, ends_at_s = self._access_tokens().read(token.decode("ascii", "replace"))
            known = self._tokens[hashed] = self._parties.principal_of_client(client_id), ends_at_s * SECOND_US
        principal, ends_at_us = known
        if ends_at_us <= self._now_us():
            raise NotAuthorised("The access token has expired.", mend="Ask for a new one at /v1/oauth/token.")
        return principal

    def _access_tokens(self) -> AccessTokens:
        """Return the reader of access tokens; its library is loaded when the first one comes."""
        if self._reader is None:
            from annul.web.door.tokens import AccessTokens

            self._reader = AccessTokens(self._front)
        return self._reader
