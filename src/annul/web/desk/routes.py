"""Every page of the desk: address, roles and duties, handler."""

from __future__ import annotations

from typing import Final

from annul.web.desk import acting, bulk, disputes, door, found, searching
from annul.web.door.call import Route, page, sent
from annul.web.door.who import (
    ANY,
    BULK_ID,
    CARD_ID,
    DECIDERS,
    DESKS,
    DISPUTE_ID,
    HANDS,
    POLICE,
    SEARCH_ID,
    STAFF_ID,
    UPLOAD_ID,
    officers,
)

ANYBODY: Final = officers(ANY)
DESK: Final = officers(DESKS)
SEARCH: Final = officers(DESKS, duty="desk")
ATTEMPTS: Final = officers(POLICE, duty="desk")
FOUND: Final = officers(HANDS, duty="found")
DISPUTES: Final = officers(DESKS, duty="disputes")
DECIDE: Final = officers(DECIDERS, duty="disputes")
BULK: Final = officers(DECIDERS, duty="bulk")
CHIEFS: Final = officers(ANY, duty="officers")

PLACES: Final = {"search": SEARCH_ID}
PLACE: Final = PLACES | {"place": "[0-9]{1,4}"}
ACT: Final = PLACE | {"act": "[a-z]{1,20}"}
CARD: Final = {"card": CARD_ID}
STEP: Final = CARD | {"step": "hand-over|hand-out|destroy"}
DISPUTE: Final = {"dispute": DISPUTE_ID}
STAFF: Final = {"staff": STAFF_ID}
LIST: Final = {"bulk": BULK_ID}
UPLOAD: Final = {"upload": UPLOAD_ID}
SIGN_IN_BYTES: Final = 64 * 1024
PHOTO_BYTES: Final = 16 * 1024 * 1024
UPLOAD_BYTES: Final = 2**40
"""The page itself says when a file is too large; the framework must not cut it off without a word."""

ROUTES: Final[tuple[Route, ...]] = (
    page("/desk/sign-in", "public", door.sign_in_page, "Sign in to the desk"),
    sent("/desk/sign-in", "public", door.sign_in, "Sign in to the desk", door.SignIn, body_bytes_max=SIGN_IN_BYTES),
    page("/desk/passkeys", ANYBODY, door.passkeys_page, "Your passkeys"),
    sent("/desk/passkeys", ANYBODY, door.change_passkeys, "Make or remove a passkey", door.NewPasskey),
    page("/desk/officers", CHIEFS, door.officers_page, "Officers"),
    sent("/desk/officers", CHIEFS, door.add_officer, "Add an officer", door.OfficerForm, write=True),
    page("/desk/officers/{staff}", CHIEFS, door.officer_page, "An officer", patterns=STAFF),
    sent(
        "/desk/officers/{staff}",
        CHIEFS,
        door.change_officer,
        "Change an officer",
        door.OfficerChange,
        write=True,
        patterns=STAFF,
    ),
    page("/desk", DESK, searching.start, "The desk"),
    sent("/desk", SEARCH, searching.search, "Search", searching.Search),
    page("/desk/photo", SEARCH, searching.photo_page, "Photograph of a document"),
    sent(
        "/desk/photo",
        SEARCH,
        searching.photo,
        "Read a photograph",
        searching.Photo,
        files=("photo",),
        body_bytes_max=PHOTO_BYTES,
    ),
    page("/desk/searches/{search}", SEARCH, searching.result, "What a search found", patterns=PLACES),
    page("/desk/searches/{search}/{place}", SEARCH, searching.document, "A document", patterns=PLACE),
    page("/desk/searches/{search}/{place}/{act}", SEARCH, acting.ask, "Before an act", patterns=ACT),
    sent(
        "/desk/searches/{search}/{place}/{act}",
        SEARCH,
        acting.do,
        "An act",
        acting.ActForm,
        write=True,
        patterns=ACT,
        files=("finger",),
        body_bytes_max=acting.FINGER_BYTES_MAX,
    ),
    page("/desk/attempts", ATTEMPTS, searching.attempts, "Uses that holders deny"),
    sent("/desk/attempts", ATTEMPTS, searching.open_attempt, "Open a denied use", searching.Attempt),
    page("/desk/found", FOUND, found.listed, "Found cards", query=found.CardQuery),
    page("/desk/found/accept", FOUND, found.accept_page, "Take a card in", query=found.Chosen),
    sent("/desk/found/accept", FOUND, found.accept, "Take a card in", found.Accept, write=True),
    page("/desk/found/{card}", FOUND, found.one, "A found card", patterns=CARD),
    page("/desk/found/{card}/{step}", FOUND, found.step_page, "Before a step of a found card", patterns=STEP),
    sent("/desk/found/{card}/{step}", FOUND, found.step, "A step of a found card", found.Step, write=True, patterns=STEP),
    page("/desk/disputes", DISPUTES, disputes.listed, "Disputes", query=disputes.DisputeQuery),
    page("/desk/disputes/{dispute}", DISPUTES, disputes.one, "A dispute", patterns=DISPUTE),
    sent("/desk/disputes/{dispute}", DISPUTES, disputes.note, "Note or mark", disputes.NoteForm, write=True, patterns=DISPUTE),
    page("/desk/disputes/{dispute}/decide", DECIDE, disputes.decide_page, "Before a decision", patterns=DISPUTE),
    sent(
        "/desk/disputes/{dispute}/decide", DECIDE, disputes.decide, "Decide", disputes.DecideForm, write=True, patterns=DISPUTE
    ),
    page("/desk/bulk", BULK, bulk.listed, "Lists"),
    Route(
        method="POST",
        path="/desk/bulk",
        who=BULK,
        handler=bulk.send,
        summary="Send a list in",
        page=True,
        stream=True,
        media="text/html",
        body_bytes_max=UPLOAD_BYTES,
    ),
    page("/desk/bulk/uploads/{upload}", BULK, bulk.uploading, "A list on its way", patterns=UPLOAD),
    sent("/desk/bulk/uploads/{upload}", BULK, bulk.upload_act, "Go on with a list", bulk.UploadAct, patterns=UPLOAD),
    page("/desk/bulk/{bulk}", BULK, bulk.one, "A list", patterns=LIST),
    sent("/desk/bulk/{bulk}", BULK, bulk.decide, "Confirm, discard, take back", bulk.Decision, write=True, patterns=LIST),
    page("/desk/recalls", DISPUTES, disputes.recalls, "Recalled answers"),
)
