"""Words of the review desk: causes, rules, states, decisions, fields; each is translated where it is shown."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from annul.web.door.words import _

CAUSES: Final = {"wrong": _("Wrong"), "duplicate": _("Duplicate"), "false": _("False")}
CAUSE_HINTS: Final = {
    "wrong": _("An entry contradicts itself"),
    "duplicate": _("One person several times, or one number for several"),
    "false": _("Nothing true seems to stand behind an entry"),
}
STATES: Final = {
    "open": _("Open"),
    "proposed": _("For a second officer"),
    "visit": _("To be visited"),
    "decided": _("Decided"),
    "gone": _("Found no more"),
}
RULES: Final = {
    "number-form": (_("Form of the number"), _("The personal number does not have the form of a citizen number.")),
    "number-date": (_("Date in the number"), _("The digits of the birth date inside the number are no date.")),
    "check-character": (_("Check character"), _("The check character does not fit the digits of the number.")),
    "birth-date": (_("Birth date"), _("The number and the record give different birth dates.")),
    "sex": (_("Sex"), _("The number and the record give different sexes.")),
    "division-unknown": (_("Unknown division"), _("The division code was never in force.")),
    "division-abolished": (
        _("Abolished division"),
        _("The division code had been abolished before it could be given out."),
    ),
    "dates-impossible": (_("Impossible dates"), _("The dates of this life cannot be true together.")),
    "document-dates": (_("Dates of a document"), _("A document's validity lies outside its holder's life.")),
    "encoding-damage": (
        _("Damaged text"),
        _("The text was damaged when it was carried from one encoding into another."),
    ),
    "shared-number": (_("One number, several records"), _("Several records have one number, of a person or of a document.")),
    "same-person": (_("One person, two numbers"), _("Two numbers seem to belong to one person.")),
    "same-face": (_("One face, two persons"), _("The portraits of two persons look like one face.")),
    "no-event": (_("No civil event"), _("No civil event stands behind this entry.")),
    "event-twice": (_("One event, several entries"), _("One civil event stands behind several entries.")),
    "dead-documents": (_("Documents of deceased persons"), _("The holder is dead, and documents are still in force.")),
    "mother-age": (_("Age of the mother"), _("The mother was too young or too old at this birth.")),
    "father-age": (_("Age of the father"), _("The father was too young or too old at this birth.")),
    "mother-dead": (_("Mother dead"), _("The mother had died before this birth.")),
    "father-dead": (_("Father dead"), _("The father had died long before this birth.")),
    "parent-sex": (_("Sex of a parent"), _("The sex of a parent does not fit.")),
    "births-near": (_("Births too near"), _("Two births of one mother are too near each other.")),
    "parent-cycle": (_("Own ancestor"), _("A person is recorded as an ancestor of themselves.")),
}
"""Rule -> (short, sentence); a test holds the sentences to those of the registry."""
DECISIONS: Final = {
    "same_person": (_("Same person"), _("The chosen record stays, the others are merged into it. A second officer confirms.")),
    "different_persons": (_("Different persons"), _("Nothing changes. It is not asked again while the facts stay the same.")),
    "correct_entry": (_("Correct the entry"), _("Write below what the chosen record shall say.")),
    "cancel_entry": (
        _("Cancel the entry"),
        _("The chosen record ends, its documents are revoked. A second officer confirms."),
    ),
    "needs_visit": (_("Needs a visit"), _("Somebody goes there. The suspicion stays on the list of visits.")),
    "in_order": (_("The entry is in order"), _("Nothing changes. It is not asked again while the facts stay the same.")),
}
RUN_STATES: Final = {"running": _("running"), "done": _("done"), "failed": _("failed")}
DECISION_STATES: Final = {
    "waiting": _("waits for a second officer"),
    "in_force": _("carried out"),
    "refused": _("not confirmed"),
    "undone": _("taken back"),
}
FIELDS: Final = {
    "personal_number": _("Personal number"),
    "names": _("Names"),
    "sex": _("Sex"),
    "birth_date": _("Born"),
    "death_date": _("Died"),
    "status": _("Status"),
    "place": _("Place of registration"),
    "mother": _("Mother's number"),
    "father": _("Father's number"),
    "origin": _("Civil event"),
    "photo": _("Portrait"),
    "documents": _("Documents"),
}
SEXES: Final = {"F": _("female"), "M": _("male"), "X": _("other sex"), "": _("not recorded")}
LIVES: Final = {"living": _("living"), "deceased": _("deceased"), "emigrated": _("emigrated")}
TOLD: Final = {
    "Birth date by the number": _("Birth date by the number"),
    "Birth date by the record": _("Birth date by the record"),
    "Sex by the number": _("Sex by the number"),
    "Sex by the record": _("Sex by the record"),
    "Check character by the digits": _("Check character by the digits"),
    "Check character given": _("Check character given"),
    "Division code in the number": _("Division code in the number"),
    "Place of registration": _("Place of registration"),
    "Damaged text": _("Damaged text"),
    "Document on several records": _("Document on several records"),
    "One number of 15 and of 18 digits": _("One number of 15 and of 18 digits"),
    "One birthday in two calendars, the Chinese and the civil": _("One birthday in two calendars, the Chinese and the civil"),
    "Probability that it is one person": _("Probability that it is one person"),
    "Likeness of the portraits (cosine)": _("Likeness of the portraits (cosine)"),
}
"""What evidence tells, by the registry's label."""
MESSAGES: Final = (
    _("a second officer confirms"),
    _("Let another officer look at it."),
    _("the facts have changed since this was found"),
    _("Run the clean-up again: it asks anew if need be."),
    _("This decision does not answer the suspicion."),
    _("The record is not one of this suspicion."),
    _("Nothing is corrected."),
    _("Say what the record shall say."),
    _("Only a correction says what the record shall say."),
    _("The record has changed since; take the later change back first."),
    _("The person cannot be entered."),
    _("Look at it again."),
)
"""What the registry says when it refuses."""


@cache
def provinces() -> dict[str, str]:
    """Return the first two digits of a division code with the name of the province, as the list of codes has it."""
    found = {}
    for line in resources.files("stdnum").joinpath("cn/loc.dat").read_text("utf-8").splitlines():
        if line[:2].isdigit() and 'province="' in line:
            found[line[:2]] = line.split('province="', 1)[1].split('"', 1)[0].split(",")[-1].rpartition("]")[2]
    return found
