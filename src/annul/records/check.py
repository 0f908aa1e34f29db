"""Question and answer of a check, and the words that go with an answer.

The codes themselves are in `codes` (re-exported here), the policy in `policy`. Say "no listing as of <time, position>",
never "valid": a register of invalid documents cannot prove validity.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from annul.errors import BadInput
from annul.records import meanings
from annul.records.codes import (
    Advice,
    BindingCode,
    Channel,
    Coverage,
    ErrorCode,
    FreshnessCode,
    IdentityCode,
    Outcome,
    Purpose,
    Realm,
    StatusClass,
    StatusCode,
    advice_mask,
    advice_of_mask,
)
from annul.records.document import DocumentFields
from annul.records.policy import DECISIONS, DEFAULT_POLICY, Decision, Decisions, Policy
from annul.records.references import NUMBER_MIN, TAG_MAX, Tag, holds_number, require_reference

__all__ = [
    "DECISIONS",
    "DEFAULT_POLICY",
    "Advice",
    "Answer",
    "BindingCode",
    "BindingPart",
    "Channel",
    "Coverage",
    "Decision",
    "Decisions",
    "ErrorCode",
    "ErrorPart",
    "FreshnessCode",
    "FreshnessPart",
    "Holder",
    "IdentityCode",
    "IdentityPart",
    "Outcome",
    "Policy",
    "Purpose",
    "Question",
    "Realm",
    "StatusClass",
    "StatusCode",
    "StatusPart",
    "advice_mask",
    "advice_of_mask",
    "channel_of",
    "decide",
    "purpose_of",
    "sentence",
    "sentence_key",
]

NAME_MAX = 200
"""Characters of a holder's name; ICAO Doc 9303 visual zone names are far shorter, national registers allow more."""


class Holder(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Who the bearer says to be.

    Args:
        name: the name as printed, in any script.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX)]


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """One check as asked over the wire: which document, for what purpose, through which channel.

    `urgent` marks an urgent need of the bearer (the urgent-need exception of the policy).
    `min_position` asks that the answer take at least this position of the register log into account.

    Args:
        document: the document as printed: scheme, number and what else its scheme asks.
        purpose: why it is asked; must be among the purposes of the agreement.
        channel: where the document is presented: `in_person` or `remote`.
        holder: the name that the bearer gives, to be compared with the register of persons.
        branch: branch of the relying party, in its own words; at most 64 characters.
        terminal: terminal of the relying party, in its own words; at most 64 characters.
        clerk: clerk of the relying party, in its own words; at most 64 characters.
        reference: the caller's own reference; at most 64 characters.
        min_position: the answer must take at least this position of the register log into account; 0: any.
        urgent: the bearer has an urgent need.
    """

    document: DocumentFields
    purpose: Annotated[str, msgspec.Meta(max_length=TAG_MAX)]
    channel: Annotated[str, msgspec.Meta(max_length=TAG_MAX)]
    holder: Holder | None = None
    branch: Tag = ""
    terminal: Tag = ""
    clerk: Tag = ""
    reference: Tag = ""
    min_position: Annotated[int, msgspec.Meta(ge=0)] = 0
    urgent: bool = False

    def __post_init__(self) -> None:
        branch, terminal, clerk, reference = self.branch, self.terminal, self.clerk, self.reference
        if not (branch + terminal + clerk + reference).isprintable() or (
            (len(reference) >= NUMBER_MIN and holds_number(reference))
            or (len(clerk) >= NUMBER_MIN and holds_number(clerk))
            or (len(branch) >= NUMBER_MIN and holds_number(branch))
            or (len(terminal) >= NUMBER_MIN and holds_number(terminal))
        ):
            for where in ("branch", "terminal", "clerk", "reference"):
                require_reference(getattr(self, where), f"/{where}")


class StatusPart(msgspec.Struct):
    """Status axis: code (None when there is no answer), its class, and what the register covers.

    Args:
        code: code of this axis.
        class_: class of the status: no listing, reported, not in force, cannot tell; null without an answer.
        coverage: what the register covers of this kind: `none`, `listing_only` or `whole_life`.
    """

    code: str | None
    class_: str | None = msgspec.field(name="class")
    coverage: str = Coverage.none.value


class IdentityPart(msgspec.Struct):
    """Identity axis.

    Args:
        code: code of this axis.
    """

    code: str = IdentityCode.M9.value


class BindingPart(msgspec.Struct):
    """Binding axis.

    Args:
        code: code of this axis.
    """

    code: str = BindingCode.B9.value


class FreshnessPart(msgspec.Struct):
    """Freshness axis: the register position and time (RFC 3339, UTC) the answer stands on.

    Args:
        code: code of this axis.
        position: position of the register log that the answer stands on.
        as_of: time at which the register stood so (RFC 3339, UTC).
    """

    code: str
    position: int
    as_of: str


class ErrorPart(msgspec.Struct):
    """Why there is no answer; E00 when there is one.

    Args:
        code: code of this axis.
    """

    code: str = ErrorCode.E00.value


class Answer(msgspec.Struct, omit_defaults=False, kw_only=True):
    """One answer with its separate axes.

    `opening` (hex salt) opens the receipt's commitment to the document; it stands beside the receipt and not in it, so
    that the receipt can be handed on.

    Args:
        outcome: what to do: PASS, REFER, STOP or NO_ANSWER.
        status: is the document listed.
        identity: does the name belong to the number.
        binding: is the bearer the holder.
        freshness: what state of the register the answer stands on.
        advice: next steps, as codes A1 to A9, the most important first.
        detail: one sentence in words for people.
        check: id of the check.
        receipt: the signed receipt, as it stands in the answer.
        opening: salt (hexadecimal) that opens the receipt's commitment to the document; "" when there is none.
        error: why there is no answer; E00 when there is one.
    """

    outcome: str
    status: StatusPart
    identity: IdentityPart
    binding: BindingPart
    freshness: FreshnessPart
    advice: list[str]
    detail: str
    check: str
    receipt: dict[str, Any]
    opening: str = ""
    error: ErrorPart = msgspec.field(default_factory=ErrorPart)


_PURPOSES = {member.value: member for member in Purpose}
_CHANNELS = {member.value: member for member in Channel}


def purpose_of(text: str) -> Purpose:
    """Return the purpose with this word; BadInput lists the words there are."""
    try:
        return _PURPOSES[text]
    except KeyError:
        raise BadInput(
            "The purpose is not on the list.", where="/purpose", mend=f"Use one of {', '.join(_PURPOSES)}."
        ) from None


def channel_of(text: str) -> Channel:
    """Return the channel with this word; BadInput lists the words there are."""
    try:
        return _CHANNELS[text]
    except KeyError:
        raise BadInput("The channel is not on the list.", where="/channel", mend="Use in_person or remote.") from None


def decide(
    status: StatusCode,
    identity: IdentityCode,
    binding: BindingCode,
    freshness: FreshnessCode,
    channel: Channel,
    policy: Decisions = DECISIONS,
    *,
    purpose: Purpose | None = None,
    urgent: bool = False,
    error: ErrorCode = ErrorCode.E00,
) -> tuple[Outcome, tuple[Advice, ...]]:
    """Return outcome and advice for these axes. STOP beats REFER beats PASS; an error is NO_ANSWER, never PASS."""
    decision = policy.look(status, identity, binding, freshness, channel, purpose=purpose, urgent=urgent, error=error)
    return decision.outcome, decision.advice


SENTENCES: dict[str, str] = {
    "PASS": meanings.STATUS[StatusCode.V00].sentences[Outcome.PASS],
    **{
        f"{outcome.value}.{code.value}": text
        for axis in (meanings.STATUS, meanings.ERRORS)
        for code, meaning in axis.items()
        for outcome, text in meaning.sentences.items()
        if code is not StatusCode.V00
    },
    **{f"STOP.{told.value}": said.sentence for told, said in meanings.CLASSES.items() if said.sentence},
    **meanings.AXIS_SENTENCES,
}
"""One neutral sentence per case, English: those of the codes, of their classes and of the axes (`annul.records.meanings`)."""


def sentence_key(
    outcome: Outcome,
    status: StatusCode | None,
    *,
    identity: IdentityCode = IdentityCode.M9,
    binding: BindingCode = BindingCode.B9,
    freshness: FreshnessCode = FreshnessCode.F0,
    error: ErrorCode = ErrorCode.E00,
    form_unknown: bool = False,
) -> str:
    """Return the key of the sentence for an answer: outcome, then the axis that decided, most serious first.

    Args:
        form_unknown: with U33, the zone is of a form that is not known here.
    """
    if outcome is Outcome.NO_ANSWER or status is None:
        return f"NO_ANSWER.{(error if error is not ErrorCode.E00 else ErrorCode.E90).value}"
    if outcome is Outcome.PASS:
        return f"PASS.{status.value}" if f"PASS.{status.value}" in SENTENCES else "PASS"
    for key in (f"{outcome.value}.{status.value}", f"{outcome.value}.{status.status_class.value}"):
        if key in SENTENCES:
            return f"{key}.form" if form_unknown and key == "REFER.U33" else key
    if outcome is Outcome.STOP:
        return "STOP.binding" if binding in (BindingCode.B1, BindingCode.B2) else "STOP.other"
    if identity in (IdentityCode.M2, IdentityCode.M3):
        return "REFER.identity" if identity is IdentityCode.M2 else "REFER.identity.unknown"
    if binding is BindingCode.B3:
        return "REFER.binding"
    return "REFER.freshness" if freshness is FreshnessCode.F2 else "REFER.other"


def sentence(key: str) -> str:
    """Return the English sentence of a key."""
    return SENTENCES[key]
