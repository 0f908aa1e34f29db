"""The relying party's library: ask, ask in batches, report, and verify what was answered.

What the room promises: an answer is returned as it was given, or an error of `annul.errors` is raised; nothing that is not
an answer is ever turned into one (unreachable is not "fine"). Writes carry an Idempotency-Key and are sent again with the
same key when the connection breaks, so nothing is done twice. Document numbers travel in bodies only.

    >>> from annul.client import Client                                                     # doctest: +SKIP
    >>> with Client("http://127.0.0.1:8480", key) as annul:                                 # doctest: +SKIP
    ...     answer = annul.ask({"scheme": "ru-internal", "series": "4509", "number": "123456"},
    ...                        purpose="account-opening", channel="in_person")
    >>> answer.outcome, answer.status.code                                                  # doctest: +SKIP
    ('STOP', 'S10')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from annul.client.connection import Connection, Unreachable
from annul.client.relying_party import BATCH_MAX, Answer, Client, Report

if TYPE_CHECKING:
    from annul.client.receipts import TrustedKeys, verify_receipt

__all__ = ["BATCH_MAX", "Answer", "Client", "Connection", "Report", "TrustedKeys", "Unreachable", "verify_receipt"]


def __getattr__(name: str) -> Any:
    """Load what verifies receipts (and libsodium with it) only for those who verify."""
    if name in ("TrustedKeys", "verify_receipt"):
        from annul.client import receipts

        return getattr(receipts, name)
    raise AttributeError(name)
