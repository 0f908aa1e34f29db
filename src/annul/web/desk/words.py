"""The words officers read: proofs, events, grounds, decisions, duties; and what the register's rooms say to them."""

from __future__ import annotations

from typing import Final

from annul.web.door.words import _

SEARCH_PURPOSES: Final = {
    "report": _("A report of loss or theft"),
    "found_card": _("A found card"),
    "dispute": _("A dispute"),
    "investigation": _("An investigation"),
    "correspondence": _("Correspondence with the holder"),
    "supervision": _("Supervision"),
}
DELAY_GROUNDS: Final = {
    "ongoing_investigation": _("An investigation is going on"),
    "danger_to_person": _("Somebody would be in danger"),
    "court_order": _("A court has ordered it"),
}
PROOFS: Final = {
    "in_person_fingerprint": (
        _("In person, with a fingerprint"),
        _("Compared now with the enrolled ones; the report stands until it is lifted."),
    ),
    "in_person": (_("In person, identity checked"), _("The report stands until it is lifted.")),
    "online_strong": (_("By strong login"), _("The report stands until it is lifted.")),
    "online": (_("Online, without signing in"), _("Stops the document for a time; must be confirmed.")),
    "phone": (_("By telephone"), _("Stops the document for a time; must be confirmed.")),
}
REPORT_STATES: Final = {
    "provisional": _("provisional"),
    "in_force": _("stands"),
    "recorded": _("recorded"),
    "lapsed": _("ended by itself"),
    "withdrawn": _("undone"),
    "lifted": _("lifted"),
}
GROUNDS: Final = {
    "not_lost": _("It was never lost or stolen"),
    "wrong_document": _("The wrong document was listed"),
    "wrong_person": _("The wrong person's document was listed"),
    "not_replaced": _("It was not replaced"),
    "not_dead": _("The holder is alive"),
    "malice": _("Somebody reported it out of malice"),
    "wrong_data": _("Wrong data, or a faulty list"),
    "other": _("Another ground"),
}
DECISIONS: Final = {
    "corrected": (
        _("Correct the listing"),
        _("It was never true. It is taken away, and everybody who was told it is told so."),
    ),
    "upheld": (_("Uphold the listing"), _("It was true and stays.")),
    "refused": (
        _("Do not take up the dispute"),
        _("It was not examined: not the holder, or decided before. The listing stays."),
    ),
    "withdrawn": (_("Note that it was withdrawn"), _("Whoever raised it wants it no longer. The listing stays.")),
}
DISPUTE_STATES: Final = {
    "open": _("being handled"),
    "corrected": _("corrected"),
    "upheld": _("upheld"),
    "refused": _("not taken up"),
    "withdrawn": _("withdrawn"),
}
RAISED_BY: Final = {"holder": _("the holder"), "officer": _("an officer"), "relying_party": _("a relying party")}
NOTE_KINDS: Final = {"hearing": _("Hearing"), "evidence": _("Evidence"), "remark": _("Remark")}
CARD_STATES: Final = {
    "held": _("Held for the holder"),
    "to_destroy": _("To be destroyed"),
    "handed_out": _("Given back"),
    "destroyed": _("Destroyed"),
}
BULK_STATES: Final = {
    "staged": _("waits for confirmation"),
    "in_force": _("in force now"),
    "discarded": _("discarded"),
    "undone": _("list withdrawn"),
}
CANCELS: Final = {
    "nationality": _("The holder lost the nationality"),
    "data": _("The data in the document changed"),
}
REVOKES: Final = {
    "error": _("It was issued in error"),
    "fraud": _("It was obtained by fraud"),
    "misuse": _("It was misused by its holder"),
}
DUTIES: Final = {
    "desk": _("Search and reports"),
    "found": _("Found cards"),
    "disputes": _("Disputes"),
    "bulk": _("Lists"),
    "review": _("Clean-up of the register of persons"),
    "policy": _("Counter policy"),
    "officers": _("Officers"),
}
KEEPERS: Final = {"finder": _("finder"), "holder": _("holder"), "destroyed": _("destroyed")}

SAID: Final = (
    _("A search needs the reference of its case."),
    _("Give it first, in 1 to 64 characters."),
    _("A search needs a purpose."),
    _("A delay ends within 180 days."),
    _("Give its last day."),
    _("A delay needs its legal ground."),
    _("Choose one."),
    _("Type the personal number."),
    _("Give the date of birth with the name."),
    _("Write it as YYYY-MM-DD."),
    _("Too many persons have this name and date."),
    _("Search by the number instead."),
    _("There is no such search of yours, or it was closed."),
    _("Search again: a result can be opened for 12 hours."),
    _("There is no such document in this search."),
    _("Only police may delay what a holder sees."),
    _("This card is held already."),
    _("Look for it in the list of found cards."),
    _("This card can no longer be used: it is destroyed, not returned."),
    _("Destroy it."),
    _("Nobody knows who had this card for a time, so it is not given back."),
    _("A destruction has a record."),
    _("Give the reference of the record."),
    _("There is no such found card."),
    _("The card is not here any more: it was handed out."),
    _("The card is not here any more: it was destroyed."),
    _("This lies in the future."),
    _("There is no such dispute."),
    _("A dispute about this document is open already."),
    _("This correction needs a second officer."),
    _("One officer proposes it, another one decides."),
    _("The dispute was decided meanwhile."),
    _("This listing does not stand, so it cannot be disputed."),
    _("The key and the staff number do not belong together."),
    _("Compare both with your papers."),
    _("You have a passkey: sign in with it."),
    _("Lost it? Your chief officer removes it."),
    _("The passkey was not accepted."),
    _("This took too long, or was done already."),
    _("Begin again."),
    _("This passkey was copied, so it does not work any more."),
    _("Tell your chief at once."),
    _("The passkey was not made."),
    _("Try again, or use another authenticator."),
    _("This passkey is known already."),
    _("The party has an officer of this number."),
    _("A staff number has 1 to 32 letters, digits, dots and dashes."),
    _("this lies in the future"),
    _("Give the time when it happened."),
    _("the register knows no such document"),
    _("Compare the number and the dates with the document."),
    _("several documents have this number; stopping the wrong one harms its holder"),
    _("Say which one is meant by the start of its validity."),
    _("the document changed meanwhile"),
    _("Look at its state and try again."),
    _("there is no such report"),
    _("the change is recorded, but the check points have not taken it up yet"),
    _("Ask again with the same Idempotency-Key."),
    _("this Idempotency-Key was used before with another request"),
    _("Choose a new key for a new request."),
    _("a list of this size needs a second officer"),
    _("Another officer than the one who staged it confirms."),
    _("the bulk event is not staged: it was confirmed or discarded before"),
    _("the bulk event is not in force"),
    _("the list names no document"),
    _("See the causes of its bad lines."),
    _("there is no such bulk event"),
    _("a terminal status is corrected by two officers only."),
    _("This has 1 to 120 characters."),
    _("This has 1 to 500 characters."),
    _("This has 1 to 64 characters."),
    _("A note has 1 to 4000 characters."),
    _("The document was in the hands of others, so its report cannot be lifted."),
    _("Issue a new document instead."),
    _("A replacement was issued, so the report cannot be lifted."),
    _("Destroy the old document."),
    _("The document was replaced, so it is not returned."),
    _("Destroy it and record that."),
    _("A document that was reported stolen is not lifted."),
    _("The authority holds the document: it is returned, not lifted."),
    _("The document is no longer in force and does not revive."),
    _("The document was destroyed."),
    _("Make sure that this is the right document."),
    _("Bring the proof that is asked for."),
    _("Look at the document's state first."),
    _("Give a name of 1 to 120 characters."),
)
"""Sentences of the register's rooms as an officer meets them: marked here, translated where they are shown."""
