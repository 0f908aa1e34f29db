"""Say of a document's facts what an edition says of it. It needs nothing that builds."""

from __future__ import annotations

from functools import cache
from typing import Final

from annul.edge.edition import ASK, NOT_IN_FORCE, REPORTED
from annul.records.codes import StatusClass
from annul.records.status import State, code_of, state_of


@cache
def code_of_standing(standing: int, *, disputed: bool) -> int:
    """Return what an edition says of a document: 0, REPORTED, NOT_IN_FORCE, or ASK where the answer depends on more."""
    if disputed:
        return ASK
    state = state_of(standing)
    if state is State.compromised:
        return ASK
    if state is State.current:
        return 0
    return REPORTED if code_of(state).status_class is StatusClass.reported else NOT_IN_FORCE


CLASS_OF_CODE: Final = {0: "usable_again", REPORTED: "reported", NOT_IN_FORCE: "not_in_force", ASK: "ask_online"}
"""What a code means when a document becomes it."""
