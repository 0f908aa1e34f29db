"""What one code on one axis of an answer leads to: outcome and next steps, by channel."""

from __future__ import annotations

import msgspec

from annul.records.codes import Advice, Channel, Outcome


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one code on one axis leads to, by channel, and the advice that goes with it.

    Advice of the axes that decided the outcome is joined; advice of milder axes is dropped.

    Args:
        in_person: outcome in person.
        remote: outcome at a distance.
        advice: next steps, as codes A1 to A9, the most important first.
        advice_remote: advice at a distance; null: the same as in person.
    """

    in_person: Outcome
    remote: Outcome
    advice: tuple[Advice, ...] = ()
    advice_remote: tuple[Advice, ...] | None = None

    def outcome(self, channel: Channel) -> Outcome:
        """Return the outcome for this channel."""
        return self.in_person if channel is Channel.in_person else self.remote

    def steps(self, channel: Channel) -> tuple[Advice, ...]:
        """Return the advice for this channel."""
        if channel is Channel.remote and self.advice_remote is not None:
            return self.advice_remote
        return self.advice


def both(outcome: Outcome, *advice: Advice) -> Verdict:
    """Return the verdict that is the same in person and at a distance."""
    return Verdict(in_person=outcome, remote=outcome, advice=advice)
