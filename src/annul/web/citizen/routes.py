"""The lines of the citizen's room in the route table."""

from __future__ import annotations

from typing import Any, Final

from annul.web.citizen import account, own, report, sign_in
from annul.web.door.call import Route, page, sent
from annul.web.door.who import CITIZEN, DOCUMENT_ID, DRAFT_ID, UNDO_CODE

_FORMS: Final[dict[str, Any]] = {
    "document": report.DocumentStep,
    "number": report.NumberStep,
    "name": report.NameStep,
    "event": report.EventStep,
    "answers": report.AnswersStep,
}
_DRAFT: Final = {"draft": DRAFT_ID}
_OWN: Final = {"id": DOCUMENT_ID}
_CODE: Final = {"code": UNDO_CODE}

ROUTES: Final[tuple[Route, ...]] = (
    # -- without login
    page("/report", "public", report.first, "Report a loss"),
    sent("/report", "public", report.begin, "Begin a report", report.Begin),
    page("/report/no-number", "public", report.no_number, "I do not know the number"),
    page("/report/state", "public", report.state_page, "What became of a report"),
    sent("/report/state", "public", report.state, "What became of a report", report.Reference, open=True),
    *(page(f"/report/{{draft}}/{name}", "public", report.step, "A question of a report", patterns=_DRAFT) for name in _FORMS),
    *(
        sent(f"/report/{{draft}}/{name}", "public", report.answer, "An answer of a report", form, patterns=_DRAFT)
        for name, form in _FORMS.items()
    ),
    page("/report/{draft}/done", "public", report.done, "A report is recorded", patterns=_DRAFT),
    page("/undo/{code}", "public", report.undo_page, "Undo a report", patterns=_CODE),
    sent("/undo/{code}", "public", report.undo, "Undo a report", report.Undo, patterns=_CODE),
    page("/found", "public", report.found, "I found a card"),
    page("/my/sign-in", "public", sign_in.show, "Log in"),
    page("/my/sign-in/go", "public", sign_in.go, "To the identity provider"),
    page("/my/sign-in/back", "public", sign_in.back, "Back from the identity provider"),
    page("/demo/outbox", "public", account.outbox, "What the demo would have sent"),
    # -- after login
    page("/my", CITIZEN, own.overview, "My documents"),
    page("/my/documents/{id}", CITIZEN, own.one, "One of my documents", patterns=_OWN),
    page("/my/documents/{id}/report", CITIZEN, own.report_page, "Report my document", patterns=_OWN),
    sent("/my/documents/{id}/report", CITIZEN, own.report, "Report my document", own.ReportForm, patterns=_OWN, write=True),
    page("/my/documents/{id}/reported", CITIZEN, own.reported, "My report is recorded", patterns=_OWN),
    *(
        route
        for what, summary in (("lock", "Lock my document"), ("confirm", "Confirm a report"), ("undo", "Undo a report"))
        for route in (
            page(f"/my/documents/{{id}}/{what}", CITIZEN, own.sure_page, summary, patterns=_OWN),
            sent(f"/my/documents/{{id}}/{what}", CITIZEN, own.sure, summary, own.Sure, patterns=_OWN, write=True),
        )
    ),
    page("/my/documents/{id}/unlock", CITIZEN, own.unlock_page, "Unlock my document", patterns=_OWN),
    sent("/my/documents/{id}/unlock", CITIZEN, own.unlock, "Unlock my document", own.UnlockForm, patterns=_OWN, write=True),
    page("/my/documents/{id}/dispute", CITIZEN, own.dispute_page, "Dispute an entry", patterns=_OWN),
    sent("/my/documents/{id}/dispute", CITIZEN, own.dispute, "Dispute an entry", own.DisputeForm, patterns=_OWN, write=True),
    page("/my/checks", CITIZEN, account.checks, "Who checked my documents", query=account.Older),
    page("/my/attempts", CITIZEN, account.attempts, "Attempts to use my documents"),
    sent("/my/attempts", CITIZEN, account.say, "This was me, this was not me", account.SaidForm, write=True),
    page("/my/messages", CITIZEN, account.messages, "My messages"),
    page("/my/contacts", CITIZEN, account.contacts_page, "My contacts"),
    sent("/my/contacts", CITIZEN, account.contacts, "My contacts", account.ContactsForm, write=True),
    page("/my/data", CITIZEN, account.data, "What is held about me"),
    page("/my/data.json", CITIZEN, account.data_json, "What is held about me, as JSON"),
    page("/my/data.pdf", CITIZEN, account.data_pdf, "What is held about me, as PDF"),
)
