"""Addresses of the counter."""

from __future__ import annotations

from typing import Final

from annul.web.counter import compare, counter, decisions, filed, policy, queue
from annul.web.door.call import Route, at_counters, page, sent
from annul.web.door.who import CLERK, HEAD_OFFICE

ROUTES: Final[tuple[Route, ...]] = (
    *at_counters(
        page("/counter", CLERK, counter.counter, "The clerk's screen"),
        sent("/counter", CLERK, counter.check, "Check a document", counter.CheckForm),
        page("/counter/sign-in", "public", counter.sign_in_page, "Sign in"),
        sent("/counter/sign-in", "public", counter.sign_in, "Sign in", counter.SignIn),
        Route(
            method="POST",
            path="/counter/photo",
            who=CLERK,
            handler=counter.photo,
            summary="Read a photo",
            page=True,
            stream=True,
            media="text/html",
            body_bytes_max=counter.PHOTO_BYTES_MAX,
        ),
        sent("/counter/compare", CLERK, compare.compare_page, "Begin the comparison", compare.SealedForm),
        Route(
            method="POST",
            path="/counter/comparison",
            who=CLERK,
            handler=compare.compare,
            summary="Compare bearer and holder",
            page=True,
            stream=True,
            media="text/html",
            body_bytes_max=compare.PICTURES_BYTES_MAX,
        ),
        sent("/counter/departure", CLERK, decisions.depart, "Record a departure", decisions.DepartureForm, write=True),
        sent("/counter/urgent-need", CLERK, decisions.serve, "Serve an urgent need", decisions.NeedForm, write=True),
        page("/counter/follow-ups", CLERK, decisions.follow_ups, "Follow-ups", query=decisions.NeedsQuery),
        sent("/counter/follow-ups", CLERK, decisions.show_new, "The new card was shown", decisions.ShownForm),
        sent("/counter/receipt", CLERK, decisions.receipt, "Receipt for printing", decisions.ReceiptForm),
        sent("/counter/receipt.pdf", CLERK, decisions.receipt_pdf, "Receipt as PDF", decisions.ReceiptForm),
        sent("/counter/queued", CLERK, queue.asked_late, "Ask what waited", queue.Waiting),
    ),
    page("/counter/offline", "public", queue.offline, "The counter while the register is away"),
    page("/counter/worker.js", "public", queue.worker, "The counter's service worker"),
    page("/counter/departures", HEAD_OFFICE, decisions.departures, "Departures"),
    page("/counter/file", HEAD_OFFICE, filed.overview, "What became of documents on file"),
    sent("/counter/file", HEAD_OFFICE, filed.acknowledge, "Say that it was acted on", filed.Acted),
    page("/counter/policy", HEAD_OFFICE, policy.overview, "The counter policy"),
    page("/counter/policy/edit", HEAD_OFFICE, policy.edit, "Edit the draft"),
    sent("/counter/policy/edit", HEAD_OFFICE, policy.save, "Save the draft"),
    page("/counter/policy/trial", HEAD_OFFICE, policy.trial, "Try a version on past checks", query=policy.TrialQuery),
    sent("/counter/policy/discard", HEAD_OFFICE, policy.discard, "Discard the draft", policy.Act, live=True),
    sent("/counter/policy/release", HEAD_OFFICE, policy.release, "Release the draft", policy.Act, write=True, live=True),
    sent("/counter/policy/roll-back", HEAD_OFFICE, policy.roll_back, "Go back to a version", policy.Act, write=True, live=True),
    sent(
        "/counter/policy/two-persons", HEAD_OFFICE, policy.two_persons, "Ask for a second person", policy.TwoPersons, live=True
    ),
)
