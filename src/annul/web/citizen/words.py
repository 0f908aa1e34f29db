"""The words of the citizen's room for codes of the register, and texts of the register that people here may meet."""

from __future__ import annotations

from typing import Any, Final

from annul.records import meanings, schemes
from annul.registry.citizen.views import OwnDocument
from annul.web.door.clock import moment
from annul.web.door.pages import day
from annul.web.door.words import _

KINDS: Final = tuple((kind.name, kind.words, kind.hint) for kind in schemes.kinds() if kind.hint)
"""Documents that can be reported without login: kind, words, hint."""

PROVES: Final = {state.name: told.own for state, told in meanings.STATES.items()}
"""State of one's own document -> what it means for its holder."""

EVENTS: Final = {"report_lost": _("lost"), "report_stolen": _("stolen"), "report_found": _("handed in as found")}

REPORT_STATES: Final = {
    "provisional": _("It waits to be confirmed."),
    "in_force": _("It is confirmed and stands."),
    "recorded": _("It is recorded; something stronger stands already."),
    "lapsed": _("Nobody confirmed it in time, so it ended by itself."),
    "withdrawn": _("It was undone."),
    "lifted": _("It was lifted at a desk."),
}

DAYS: Final = (("today", _("today")), ("yesterday", _("yesterday")), ("other", _("another day")))
"""Field `day`: on which day something happened."""

GROUNDS: Final = (
    ("not_lost", _("I have it: it was never lost")),
    ("malice", _("Somebody reported it to harm me")),
    ("wrong_document", _("Another document than this one was meant")),
    ("wrong_person", _("Another person was meant")),
    ("not_replaced", _("I never got a newer one")),
    ("wrong_data", _("What is recorded about it is wrong")),
    ("other", _("Something else")),
)

TRAITS: Final = {"face": _("Portrait"), "finger": _("Fingerprint")}

SAID: Final = {"me": _("This was me"), "not_me": _("This was not me")}

MEANT: Final = (
    _("the register knows no such document"),
    _("There were too many tries."),
    _("Wait a while, sign in, or report it in person or by telephone."),
    _("No such document of a holder of this name was found."),
    _("Compare number and name with an old copy or a bill, or report it in person or by telephone."),
    _("This document was reported without signing in before, and the reports were undone."),
    _("Sign in to report it, or report it in person or by telephone."),
    _("This report is not here any more."),
    _("This report was begun in another browser."),
    _("Nothing was reported. Begin again, or go on in the browser where you began."),
    _("This is not a code to undo a report."),
    _("Open the address in the message again, complete."),
    _("This is not one of your documents."),
    _("There is no report that waits for confirmation."),
    _("Look at the document's state."),
    _("There is no such attempt on one of your documents."),
    _("You said that it was not you, and others were told."),
    _("Tell the police desk that it was you."),
    _("This was answered at the same time elsewhere."),
    _("Open the page again."),
    _("contacts cannot be changed remotely while a document of the person is suspended"),
    _("Change them in person, or wait until the report is confirmed or lapses."),
    _("The register of persons has no entry for this login."),
    _("Ask at a registry desk; bring your document."),
    _("This login belonged to another person before."),
    _("Ask at a registry desk."),
    _("This person is recorded as dead."),
    _("If that is you, object at any registry desk at once."),
    _("This login was not begun here, or too long ago."),
    _("The login was broken off."),
    _("The login does not hold."),
    _("Sign in again. Nothing is lost."),
    _("The login service does not answer."),
    _("Try again in a moment."),
    _("There is no login service."),
    _("a timed unlock ends within the next 24 hours"),
    _("the report is not provisional: it is lapsed"),
    _("the report is not provisional: it is withdrawn"),
    _("the report is not provisional: it is in_force"),
    _("A dispute about this document is open."),
    _("this lies in the future"),
    _("Give the time when it happened."),
    _("there is no such report"),
    _("The document is no longer in force and does not revive."),
    _("Make sure that this is the right document."),
)
"""Texts of the register's rooms that these pages pass on."""


def card(document: OwnDocument, translate: Any) -> dict[str, Any]:
    """Return one's own document for `document_card`."""
    kind = schemes.kind_of(document.coverage, document.kind)
    until = ""
    if document.valid_until_day and document.valid_until_day < 65_535:
        until = translate(_("valid until %s")) % isolated(day(document.valid_until_day).replace("-", "\u2011"))
    return {
        "shape": kind.shape,
        "kind": translate(kind.words),
        "state": document.state,
        "disputed": document.disputed,
        "number": f"•••• {document.ends_with}" if document.ends_with else "",
        "note": until,
        "since": translate(_("since %s")) % clock(document.since_us) if document.since_us else "",
    }


def clock(at_us: int, *, milliseconds: bool = False) -> str:
    """Write a time with its zone, isolated so that it stands unchanged in a line that runs from right to left."""
    return isolated(moment(at_us, milliseconds=milliseconds))


def isolated(text: str) -> str:
    """Keep a text in its own direction. Source: Unicode UAX 9, left-to-right isolate."""
    return f"\u2066{text}\u2069"
