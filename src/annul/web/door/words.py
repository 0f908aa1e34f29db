"""The words people read for the codes of an answer; each text is marked for the catalogue and translated where it is shown."""

from __future__ import annotations

from typing import Final


def _(text: str) -> str:
    """Mark a text for the catalogue; it is translated where it is shown."""
    return text


WORDS: Final = {"PASS": _("PASS"), "REFER": _("REFER"), "STOP": _("STOP"), "NO_ANSWER": _("NO ANSWER")}

NEXT: Final = {
    "A1": _("Ask for a second document."),
    "A2": _("Read the chip."),
    "A3": _("Compare the face with the picture."),
    "A4": _("Compare a fingerprint."),
    "A5": _("Call the issuer."),
    "A6": _("Keep the document, if the law lets you."),
    "A7": _("In urgent need you may go on; note by when the new card must be shown."),
    "A8": _("Tell the police."),
    "A9": _("Go on, and compare the face with the picture."),
}

CLASSES: Final = {
    "reported": _("Reported by the holder"),
    "not_in_force": _("No longer in force"),
    "no_listing": _("No listing"),
}

KINDS: Final = (
    ("", _("Recognise it by the number")),
    ("cn-resident", _("Resident identity card (China)")),
    ("icao-9303/P", _("Passport")),
    ("icao-9303/ID", _("Identity card with lines at its foot")),
    ("ru-internal", _("Internal passport (Russia)")),
)

PURPOSES: Final = {
    "account-opening": _("Open an account"),
    "account-servicing": _("Serve an account"),
    "payment": _("Payment"),
    "credit": _("Credit"),
    "sim-registration": _("Register a SIM card"),
    "hotel-check-in": _("Hotel check-in"),
    "travel": _("Travel"),
    "employment": _("Employment"),
    "medical": _("Medical care"),
    "public-service": _("Public service"),
    "law-enforcement": _("Law enforcement"),
    "other-by-law": _("Another purpose named by law"),
}

CHANNELS: Final = {"in_person": _("in person"), "remote": _("at a distance")}

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

STATES: Final = {
    "current": _("No listing"),
    "compromised": _("Data known to others"),
    "expired": _("Expired"),
    "owner_locked": _("Locked by its holder"),
    "suspended": _("Stopped for now"),
    "superseded": _("Replaced"),
    "cancelled": _("Cancelled"),
    "revoked": _("Revoked"),
    "found_held": _("Found, held by the authority"),
    "reported_lost": _("Reported lost"),
    "reported_stolen": _("Reported stolen"),
    "blank_stolen": _("Stolen before it was issued"),
    "destroyed": _("Destroyed"),
}
"""State of a document -> its words; see records.status.State."""

EVENTS: Final = {
    "issue": _("Issued"),
    "report_lost": _("Reported lost"),
    "report_stolen": _("Reported stolen"),
    "report_found": _("Reported found"),
    "suspend": _("Stopped for now"),
    "confirm": _("Report confirmed"),
    "lapse": _("Provisional report lapsed"),
    "withdraw": _("Provisional report withdrawn"),
    "lift": _("Report lifted"),
    "replace": _("Replaced by a new document"),
    "cancel_death": _("Cancelled: the holder died"),
    "cancel_nationality": _("Cancelled: nationality lost"),
    "cancel_data": _("Cancelled: data changed"),
    "revoke_error": _("Revoked: issued in error"),
    "revoke_fraud": _("Revoked: obtained by fraud"),
    "revoke_misuse": _("Revoked: misused"),
    "blank_stolen": _("Blank stolen"),
    "compromise": _("Data known to others"),
    "surrender": _("Handed in"),
    "return_to_holder": _("Given back to its holder"),
    "destroy": _("Destroyed"),
    "owner_lock": _("Locked by its holder"),
    "owner_unlock": _("Unlocked by its holder"),
    "dispute_open": _("Dispute opened"),
    "dispute_close": _("Dispute closed"),
    "correct": _("Listing corrected: it was never true"),
    "bulk_list": _("Listed by a bulk event"),
    "bulk_undo": _("Bulk event taken back"),
}
"""Event of a document's life -> its words; see records.status.Event."""

KIND_NAMES: Final = {
    "cn-resident": _("Resident identity card"),
    "icao-9303/P": _("Passport"),
    "icao-9303/ID": _("Identity card"),
    "icao-9303/V": _("Visa"),
    "ru-internal": _("Internal passport"),
    "generic": _("Document"),
}
"""Kind of document -> its words; `kind_shape` draws it."""


def kind_shape(kind: str) -> str:
    """Return how a kind of document is drawn: `book`, `card` or `sheet`."""
    if kind in ("icao-9303/P", "ru-internal"):
        return "book"
    return "sheet" if kind == "icao-9303/V" else "card"
