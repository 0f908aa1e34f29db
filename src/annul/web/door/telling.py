"""What a report did and what stands now, in words: the same sentences for the holder, the officer and who reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from annul.registry.writing.present import Change
from annul.web.door.words import STATES, _

OVER: Final = {
    "withdrawn": _("The report is undone"),
    "lapsed": _("The report ended by itself: nobody confirmed it"),
    "lifted": _("The report was lifted"),
}
"""States of a report that is over -> what happened to it."""


class Told(NamedTuple):
    """What a page says of a report.

    Attributes:
        title: the first sentence, with the time that counts.
        lines: what follows from it, one sentence each.
        stopped_by_it: this report stopped the document, and it is stopped: the seal belongs here.
        over: the report is over.
        undoable: undoing it would take this report back.
    """

    title: str
    lines: list[str]
    stopped_by_it: bool
    over: bool
    undoable: bool


def told(effect: Change, translate: Callable[[str], str], clock: Callable[[int], str]) -> Told:
    """Say what a report changed and what stands now.

    Args:
        translate: the catalogue of the page.
        clock: writes a time (microseconds, UTC) for the reader.
    """
    report, before, now = effect.report, effect.before, effect.now
    if report.state in OVER:
        title, lines = translate(OVER[report.state]), [stands(effect, translate, clock)]
        if now.stopped_since_us is not None and effect.others:
            lines.append(
                translate(_("Another report stands, recorded %s: undo that one too, by its own message or after signing in."))
                % clock(effect.others[0].recorded_at_us)
            )
        return Told(title, lines, stopped_by_it=False, over=True, undoable=False)
    undoable = report.state == "provisional"
    if now.stopped_since_us is None:
        title = translate(_("The report is recorded"))
        return Told(title, [stands(effect, translate, clock)], stopped_by_it=False, over=False, undoable=undoable)
    if before.stopped_since_us is not None:
        title = translate(_("It was stopped already, since %s")) % clock(before.stopped_since_us)
        lines = [translate(_("Your report is recorded as well."))]
        if now.state != before.state:
            lines.append(
                translate(_("Its state is now: %(state)s, since %(time)s."))
                % {"state": translate(STATES[now.state]), "time": clock(now.since_us or report.recorded_at_us)}
            )
        return Told(title, lines, stopped_by_it=False, over=False, undoable=undoable)
    title = translate(_("It can no longer be used, since %s")) % clock(now.stopped_since_us)
    return Told(title, [], stopped_by_it=True, over=False, undoable=undoable)


def stands(effect: Change, translate: Callable[[str], str], clock: Callable[[int], str]) -> str:
    """Say in one sentence what stands against the document now."""
    now = effect.now
    if now.stopped_since_us is None:
        return translate(_("The document can be used again."))
    return translate(_("The document is still stopped, since %(time)s: %(state)s.")) % {
        "time": clock(now.stopped_since_us),
        "state": translate(STATES[now.state]),
    }
