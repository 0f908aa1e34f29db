"""Words of the counter for codes that only it shows."""

from __future__ import annotations

from typing import Final

from annul.records import meanings
from annul.web.door.words import _

REASON_WORDS: Final = {
    "second-document": _("A second document proved who it is"),
    "issuer-confirmed": _("The issuer confirmed it on the telephone"),
    "holder-known": _("I know the customer in person"),
    "superior-decided": _("My superior decided"),
    "urgent-need": _("Urgent need"),
    "bearer-doubted": _("I doubt that this is the holder"),
    "document-doubted": _("I doubt that the document is genuine"),
    "other": _("Another reason"),
}
"""Reason of a departure -> its words."""

DECISIONS: Final = {"proceeded": _("went on"), "refused": _("refused to serve")}

NEED_WORDS: Final = {"open": _("new card awaited"), "overdue": _("overdue"), "settled": _("new card shown")}

CODE_WORDS: Final = {
    code.value: meaning.long
    for axis in (meanings.STATUS, meanings.IDENTITY, meanings.BINDING, meanings.FRESHNESS)
    for code, meaning in axis.items()
}
"""Code of an answer -> its words in the policy."""

AXIS_WORDS: Final = {
    "status": _("The document"),
    "identity": _("The name"),
    "binding": _("The bearer"),
    "freshness": _("The register"),
}

STEP_WORDS: Final = {code.value: step.short for code, step in meanings.STEPS.items()}

REFUSALS: Final = (
    _("A counter's key may not do this."),
    _("A reason must not hold the number of a document, a person or a telephone."),
    _("An urgent need can be served only in person."),
    _("Another decision was recorded for this check."),
    _("Ask a colleague with another key to release it."),
    _("Ask a colleague."),
    _("Ask again, and decide on that answer."),
    _("Ask for a second document, or call the issuer."),
    _("Check the document again to decide anew."),
    _("Leave the number out: the check names the document."),
    _("Name and number must match."),
    _("No such version was ever released."),
    _("Open it again, and make your changes in what you find there."),
    _("Read it again first."),
    _("Say the reason in a few words."),
    _("Sign in with a key of your head office."),
    _("The bearer was not confirmed as the holder."),
    _("The card has expired."),
    _("The card must be genuine."),
    _("The card must not have expired."),
    _("The check is more than a day old."),
    _("The document that was shown did not pass."),
    _("The draft is gone: released or discarded."),
    _("The draft was changed by somebody else meanwhile."),
    _("The draft was changed meanwhile."),
    _("The draft was changed since you read it."),
    _("The reference is too long, or looks like the number of a document."),
    _("There is no such draft."),
    _("There is no such open follow-up."),
    _("This answer does not allow an urgent need to be served."),
    _("This check is not one of yours."),
    _("This check was made before the urgent need."),
    _("This is the old document, or it was not named in full."),
    _("This is what the answer advised: there is nothing to record."),
    _("This version is in force already."),
    _("Whoever edited the draft does not do away with the second person."),
    _("Your organisation wants a second person: the editor does not release."),
    _("People's Bank rules for checks at the counter"),
)
"""What registry.counter says when it refuses; marked here for the catalogue of these pages."""
