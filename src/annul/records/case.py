"""The life of a case of misuse: one table of what may follow what, and who may do it. Pure.

    reported -> investigated -> proposed -> signed -> told -> listed -> expired
                                                   told, listed -> appealed -> listed, overturned

Who reports does not investigate, who investigates does not decide, two decide, and who decided does not hear the appeal. A
person is told before anything counts, and may be heard for a waiting time. Nothing of a case counts anywhere but `listed`.

Source: domain, section 1 (finding, case, impostor list), item 10; GDPR, Articles 10 and 22 (data on offences, no decision by a
machine alone).
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from annul.errors import TransitionRefused
from annul.times import DAY_US

CaseState = Literal[
    "reported",
    "investigated",
    "proposed",
    "signed",
    "told",
    "listed",
    "appealed",
    "overturned",
    "dismissed",
    "expired",
]
CaseEvent = Literal["take_up", "propose", "sign", "decide", "take_effect", "appeal", "uphold", "overturn", "dismiss", "expire"]

CASE_STATES: Final[tuple[CaseState, ...]] = get_args(CaseState)
CASE_EVENTS: Final[tuple[CaseEvent, ...]] = get_args(CaseEvent)

WAITING_US: Final = 30 * DAY_US
"""From the notice to the person until the entry takes effect, when it is not appealed."""
APPEAL_US: Final = 60 * DAY_US
"""From the notice until an appeal can no longer be made."""
HEARING_US: Final = 30 * DAY_US
"""From an appeal until it is to be decided. One that is not decided by then ends in the person's favour."""
TERM_DAYS_MAX: Final = 5 * 366
"""Longest an entry stands."""

TRANSITIONS: Final[dict[tuple[CaseState, CaseEvent], CaseState]] = {
    ("reported", "take_up"): "investigated",
    ("reported", "dismiss"): "dismissed",
    ("investigated", "propose"): "proposed",
    ("investigated", "dismiss"): "dismissed",
    ("proposed", "sign"): "signed",
    ("proposed", "dismiss"): "dismissed",
    ("signed", "decide"): "told",
    ("signed", "dismiss"): "dismissed",
    ("told", "appeal"): "appealed",
    ("told", "take_effect"): "listed",
    ("listed", "appeal"): "appealed",
    ("listed", "expire"): "expired",
    ("appealed", "uphold"): "listed",
    ("appealed", "overturn"): "overturned",
}
"""What may follow what; all else is refused."""

APART: Final[dict[CaseEvent, tuple[str, ...]]] = {
    "take_up": ("reported",),
    "propose": ("reported",),
    "sign": ("reported", "investigator"),
    "decide": ("reported", "investigator", "first"),
    "uphold": ("reported", "investigator", "first", "second"),
    "overturn": ("reported", "investigator", "first", "second"),
}
"""Whom the hand of an event must not be: those whose hands did the steps before it."""
TIMED: Final = frozenset[CaseEvent]({"take_effect", "expire"})
"""What happens by the clock alone."""

CLOSED: Final = frozenset[CaseState]({"overturned", "dismissed", "expired"})
"""States that nothing follows."""


def next_case_state(state: CaseState, event: CaseEvent) -> CaseState:
    """Return the state after an event.

    Raises:
        TransitionRefused: this event does not follow this state.
    """
    after = TRANSITIONS.get((state, event))
    if after is None:
        raise TransitionRefused(f"A case that is {state} cannot be changed like this.", mend="Look the case up first.")
    return after
