"""What becomes of a digital credential when something becomes of the document it was derived from: one table.

Codes are those of Token Status List: VALID 0, INVALID 1, SUSPENDED 2. INVALID is for ever.
"""

from __future__ import annotations

from typing import Final

from annul.records.codes import State
from annul.records.status import facts_of

VALID, INVALID, SUSPENDED = 0, 1, 2

_HELD: Final = frozenset({State.suspended, State.owner_locked, State.found_held})
_REPORTED: Final = frozenset({State.reported_lost, State.reported_stolen})
_REPLACED: Final = frozenset({State.superseded, State.expired})

RULES: Final = {
    "suspended-when-reported": "reported: suspended until the report is lifted; dead: dead",
    "dies-when-reported": "provisionally reported: suspended; reported on strong proof, or dead: dead",
    "survives-replacement": "reported: suspended; replaced or expired: goes on; cancelled, revoked, destroyed: dead",
}
"""Name of a rule -> what it says. The first is what a wallet's identity credential is given by default."""
DEFAULT: Final = "suspended-when-reported"


def state_by(rule: str, standing: int) -> int:
    """Return what a rule makes of a credential whose document has this standing: the worst that any of its facts brings."""
    made = VALID
    for fact in facts_of(standing):
        made = worse(made, _by_fact(rule, fact))
    return made


def _by_fact(rule: str, fact: State) -> int:
    if fact in (State.current, State.compromised):
        return VALID
    if fact in _HELD:
        return SUSPENDED
    if fact in _REPORTED:
        return INVALID if rule == "dies-when-reported" else SUSPENDED
    return VALID if rule == "survives-replacement" and fact in _REPLACED else INVALID


def worse(one: int, other: int) -> int:
    """Return the worse of two states: INVALID, then SUSPENDED, then VALID."""
    return INVALID if INVALID in (one, other) else max(one, other)
