"""The words people read for the codes of an answer, as `annul.records.meanings` has them, and those that only pages show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from annul.records import meanings, schemes
from annul.records.schemes import spoken_steps


def _(text: str) -> str:
    """Mark a text for the catalogue; it is translated where it is shown."""
    return text


WORDS: Final = {code.value: look.word for code, look in meanings.OUTCOMES.items()}

NEXT: Final = {code.value: step.sentence for code, step in meanings.STEPS.items()}


def next_steps(advice: Iterable[str], scheme: str | None, translate: Callable[[str], str]) -> list[str]:
    """Return the next steps in words (`spoken_steps`)."""
    return [translate(NEXT[step]) for step in spoken_steps(advice, scheme)]


CLASSES: Final = {code.value: told.words for code, told in meanings.CLASSES.items()}

KINDS: Final = (
    ("", _("Recognise it by the number")),
    *((kind.name, kind.choice) for kind in schemes.kinds() if kind.choice),
)

PURPOSES: Final = {code.value: words for code, words in meanings.PURPOSES.items()}

CHANNELS: Final = {code.value: words for code, words in meanings.CHANNELS.items()}

FACTS: Final = {
    "check": _("Check"),
    "checked_at": _("Asked at"),
    "party": _("Asked by"),
    "purpose": _("Purpose"),
    "answer": _("Answer"),
    "reason": _("Reason"),
    "next": _("Next step given"),
    "as_of": _("Register as of"),
}

STATES: Final = {state.name: told.words for state, told in meanings.STATES.items()}
"""State of a document -> its words."""

EVENTS: Final = {event.value: words for event, words in meanings.EVENTS.items()}
"""Event of a document's life -> its words."""
