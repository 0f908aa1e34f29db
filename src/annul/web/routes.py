"""The route table: every address, who may call it, what it reads and answers. The only place where this is declared.

A test walks every role over every line. A line without `who` does not exist: the field has no default.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul.records.check import Answer, Question
from annul.web.api import checks as ledger
from annul.web.api import corrections, notices, oauth, openapi, policies
from annul.web.api import found as desk_api
from annul.web.api import persons as people
from annul.web.api import reports as api
from annul.web.api import terms as wire
from annul.web.api import verifications as verification
from annul.web.citizen import routes as citizen
from annul.web.counter import routes as counter
from annul.web.desk import routes as desk
from annul.web.developers import routes as developers
from annul.web.door import pages
from annul.web.door.call import Call, Reply, Route, page, sent
from annul.web.door.checkpath import CHECK_ROLES
from annul.web.oversight import routes as oversight
from annul.web.public import public
from annul.web.review import routes as review

if TYPE_CHECKING:
    from annul.web.door.office import Office

"""Who may ask a check: every role, if its agreement says so; without an agreement the check path refuses (E92)."""

OFFICERS: Final = frozenset({"issuer", "police"})
DESKS: Final = frozenset({"issuer", "police", "supervisor"})
SUPERVISOR: Final = frozenset({"supervisor"})
ISSUER: Final = frozenset({"issuer"})
BULK: Final = frozenset({"issuer", "supervisor"})

REPORT_ID: Final = "r_[0-9a-f]{24}"
CHECK_ID: Final = "[0-9a-f]{32}"
PARTY_ID: Final = "[a-z0-9][a-z0-9-]{0,23}"
KEY_ID: Final = "[0-9a-f]{16}"
BULK_ID: Final = "[0-9a-f]{32}"
PERSON_ID: Final = "[1-9][0-9]{0,17}"
DEATH_ID: Final = "d_[0-9a-f]{24}"
LOG: Final = "register|checks"
TILE: Final = r"[0-7]/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?"
BUNDLE: Final = r"(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?"
CODE: Final = "[a-z-]{1,40}"

DOCUMENT: Final = ("malformed-number", "ambiguous-document")
WRITE: Final = ("conflict", "transition-refused", "not-yet-effective", "not-found")


@cache
def _described(base_url: str) -> dict[str, Any]:
    return openapi.document(ROUTES, base_url)


@cache
def _openapi(base_url: str) -> bytes:
    return msgspec.json.format(msgspec.json.encode(_described(base_url)), indent=1)


async def openapi_json(office: Office, _call: Call) -> Reply:
    """Answer this table as an OpenAPI document."""
    return Reply(_openapi(office.settings.base_url), "application/json", headers={"cache-control": "public, max-age=300"})


async def sign_out(_office: Office, call: Call) -> Reply:
    """End the session of this browser, and every copy of its cookie."""
    await call.seat.leave()
    return pages.to("/")


def _get(path: str, who: Any, handler: Any, summary: str, **more: Any) -> Route:
    return Route(method="GET", path=path, who=who, handler=handler, summary=summary, **more)


def _post(path: str, who: Any, handler: Any, summary: str, body: Any, returns: Any, **more: Any) -> Route:
    return Route(method="POST", path=path, who=who, handler=handler, summary=summary, body=body, returns=returns, **more)


def _write(path: str, who: Any, handler: Any, summary: str, body: Any, returns: Any, **more: Any) -> Route:
    """Declare a route that changes a document's life: it takes an Idempotency-Key and can refuse by rule."""
    problems = (*WRITE, *more.pop("problems", ()))
    return _post(path, who, handler, summary, body, returns, write=True, problems=problems, **more)


ROUTES: Final[tuple[Route, ...]] = (
    # -- checks; the first two are served by the check path in front
    _post(
        "/v1/checks",
        CHECK_ROLES,
        None,
        "Ask whether a document must not be relied on",
        Question,
        Answer,
        tag="checks",
        problems=("purpose-not-allowed", "over-quota", "storage-failed", "timed-out"),
    ),
    _post(
        "/v1/checks/batch",
        CHECK_ROLES,
        None,
        "Ask up to 10,000 checks at once",
        wire.Questions,
        wire.Answers,
        tag="checks",
        problems=("over-quota", "storage-failed", "timed-out"),
    ),
    _get(
        "/v1/checks",
        CHECK_ROLES,
        ledger.own_checks,
        "List your own checks, newest first",
        query=wire.Page,
        returns=ledger.ChecksPage,
        tag="checks",
    ),
    _get(
        "/v1/checks/{check}",
        CHECK_ROLES,
        ledger.own_check,
        "Look one of your own checks up",
        returns=ledger.CheckShown,
        patterns={"check": CHECK_ID},
        tag="checks",
    ),
    _post(
        "/v1/verifications",
        frozenset({"relying_party"}),
        verification.verify,
        "Check a document and compare its bearer with the holder",
        verification.VerificationQuestion,
        verification.Verification,
        body_bytes_max=verification.VERIFICATION_BYTES_MAX,
        tag="checks",
        problems=("purpose-not-allowed", "over-quota", "storage-failed", "missing-package", "unknown-version"),
    ),
    _post(
        "/v1/verifications/challenges",
        frozenset({"relying_party"}),
        verification.challenge,
        "Draw actions for the bearer to carry out before the camera",
        verification.ChallengeWanted,
        verification.ChallengeGiven,
        tag="checks",
    ),
    # -- reports
    _write(
        "/v1/reports",
        OFFICERS,
        api.report,
        "Report a document lost, stolen or found",
        wire.Report,
        wire.ReportAccepted,
        status=201,
        problems=DOCUMENT,
        tag="reports",
    ),
    _get(
        "/v1/reports/{id}",
        DESKS,
        api.report_state,
        "Look a report up",
        returns=wire.ReportState,
        patterns={"id": REPORT_ID},
        tag="reports",
    ),
    _write(
        "/v1/reports/{id}/confirm",
        OFFICERS,
        api.confirm,
        "Confirm a provisional report",
        wire.Confirm,
        wire.ReportAccepted,
        patterns={"id": REPORT_ID},
        tag="reports",
    ),
    _write(
        "/v1/reports/{id}/lift",
        OFFICERS,
        api.lift,
        "Lift a report: the holder has the document again",
        wire.Lift,
        wire.ReportAccepted,
        patterns={"id": REPORT_ID},
        tag="reports",
    ),
    _write(
        "/v1/reports/{id}/withdraw",
        OFFICERS,
        api.withdraw,
        "Withdraw a provisional report",
        wire.Withdraw,
        wire.ReportAccepted,
        patterns={"id": REPORT_ID},
        tag="reports",
    ),
    _write(
        "/v1/reports/{id}/erase",
        BULK,
        api.erase,
        "Erase who reported: destroy the key of the personal details",
        wire.EraseReporter,
        wire.ReportAccepted,
        patterns={"id": REPORT_ID},
        tag="reports",
    ),
    _post(
        "/v1/reports/{id}/reporter",
        DESKS,
        api.reporter,
        "Read who reported, for a case; the look-up is entered in the log",
        wire.ReporterQuestion,
        wire.ReporterShown,
        patterns={"id": REPORT_ID},
        problems=("not-found", "forbidden"),
        tag="reports",
    ),
    # -- documents and persons
    _write(
        "/v1/documents",
        OFFICERS,
        api.feed,
        "Record an event of a document's life (issuer's feed)",
        wire.FeedEvent,
        wire.Written,
        status=201,
        problems=(*DOCUMENT, "forbidden"),
        tag="documents",
    ),
    _post(
        "/v1/documents/status",
        DESKS,
        ledger.status,
        "Ask what a document's status was at a time, as known at a time",
        wire.StatusQuestion,
        ledger.StatusAnswer,
        problems=(*DOCUMENT, "not-found"),
        tag="documents",
    ),
    _post(
        "/v1/documents/checks",
        DESKS,
        ledger.checks_of_document,
        "Ask who asked about a document",
        wire.ChecksQuestion,
        ledger.ChecksPage,
        problems=(*DOCUMENT, "not-found"),
        tag="documents",
    ),
    _write(
        "/v1/persons/death",
        ISSUER,
        api.death,
        "Record a death: all documents of the person are cancelled",
        wire.Death,
        wire.Written,
        status=201,
        tag="documents",
    ),
    _write(
        "/v1/disputes",
        DESKS,
        api.dispute,
        "Open or close a dispute about a status",
        wire.Dispute,
        wire.Written,
        status=201,
        problems=DOCUMENT,
        tag="documents",
    ),
    # -- the register of persons
    _write(
        "/v1/persons", ISSUER, people.add, "Enter a person", people.NewPerson, people.PersonChanged, status=201, tag="persons"
    ),
    _post(
        "/v1/persons/find",
        OFFICERS,
        people.find,
        "Ask for a person's details, for a case; the look-up is accounted for",
        people.FindPerson,
        people.PersonsFound,
        problems=("not-found", "not-yet-effective"),
        tag="persons",
    ),
    _write(
        "/v1/persons/events",
        ISSUER,
        people.event,
        "Record a civil event and what follows for documents",
        people.CivilFeed,
        people.PersonChanged,
        status=201,
        tag="persons",
    ),
    _get(
        "/v1/persons/{id}/past",
        DESKS,
        people.past,
        "Read what happened to a person's record",
        returns=people.PersonPast,
        patterns={"id": PERSON_ID},
        problems=("not-found",),
        tag="persons",
    ),
    _write(
        "/v1/persons/{id}/revert",
        ISSUER,
        people.revert,
        "Take a change of a person's record back",
        people.Revert,
        people.PersonChanged,
        patterns={"id": PERSON_ID},
        tag="persons",
    ),
    _write(
        "/v1/persons/{id}/erase",
        BULK,
        people.erase,
        "Erase a person: destroy the key of the details",
        people.Erase,
        people.PersonChanged,
        patterns={"id": PERSON_ID},
        tag="persons",
    ),
    _get(
        "/v1/persons/deaths/{death}",
        DESKS,
        people.death,
        "Look a reported death up",
        returns=people.DeathShown,
        patterns={"death": DEATH_ID},
        problems=("not-found",),
        tag="persons",
    ),
    _write(
        "/v1/persons/deaths/{death}/appeal",
        DESKS,
        people.appeal,
        "Stop a reported death",
        people.Appeal,
        people.PersonChanged,
        patterns={"death": DEATH_ID},
        tag="persons",
    ),
    _write(
        "/v1/persons/enrolments",
        ISSUER,
        people.enrol,
        "Enrol a portrait and fingers, with consent",
        people.Enrol,
        people.PersonChanged,
        status=201,
        body_bytes_max=people.ENROL_BYTES_MAX,
        problems=("unknown-version",),
        tag="persons",
    ),
    _post(
        "/v1/persons/enrolments/list",
        ISSUER,
        people.enrolled,
        "Ask what is enrolled of a person",
        people.Enrolled,
        people.EnrolmentList,
        problems=("not-found", "conflict"),
        tag="persons",
    ),
    _write(
        "/v1/persons/enrolments/withdraw",
        ISSUER,
        people.withdraw,
        "Withdraw consents: enrolled traits are destroyed",
        people.WithdrawConsent,
        people.PersonChanged,
        tag="persons",
    ),
    _get("/v1/persons/imports", BULK, people.imports, "List imports of persons", returns=people.ImportList, tag="persons"),
    _get(
        "/v1/persons/imports/{id}",
        BULK,
        people.one_import,
        "Look an import of persons up",
        returns=people.ImportShown,
        patterns={"id": BULK_ID},
        problems=("not-found",),
        tag="persons",
    ),
    _write(
        "/v1/persons/imports/{id}/confirm",
        BULK,
        people.confirm_import,
        "Put an import in force, as the second officer",
        people.ImportAct,
        people.ImportShown,
        patterns={"id": BULK_ID},
        tag="persons",
    ),
    _write(
        "/v1/persons/imports/{id}/undo",
        BULK,
        people.undo_import,
        "Take an import back as one event",
        people.ImportAct,
        people.ImportShown,
        patterns={"id": BULK_ID},
        tag="persons",
    ),
    _post(
        "/v1/persons/imports/{id}/discard",
        BULK,
        people.discard_import,
        "Drop a staged import",
        None,
        people.ImportShown,
        patterns={"id": BULK_ID},
        problems=("conflict", "not-found"),
        tag="persons",
    ),
    _post(
        "/v1/checks/{check}/photo",
        CHECK_ROLES,
        people.photo,
        "Get the portrait on record for a check that matched (M0)",
        people.PhotoQuestion,
        None,
        media="image/jpeg",
        patterns={"check": CHECK_ID},
        tag="persons",
        problems=("verification-failed", "unknown-version", "malformed-number", "not-found"),
    ),
    # -- bulk events
    _get("/v1/bulk", BULK, ledger.bulk_events, "List bulk events", returns=ledger.BulkList, tag="bulk"),
    _get(
        "/v1/bulk/{id}",
        BULK,
        ledger.bulk_event,
        "Look a bulk event up, with its samples",
        returns=ledger.BulkShown,
        patterns={"id": BULK_ID},
        tag="bulk",
    ),
    _write(
        "/v1/bulk/{id}/confirm",
        BULK,
        ledger.bulk_confirm,
        "Put a staged bulk event in force, as the second officer",
        wire.BulkAct,
        ledger.BulkShown,
        patterns={"id": BULK_ID},
        tag="bulk",
    ),
    _write(
        "/v1/bulk/{id}/undo",
        BULK,
        ledger.bulk_undo,
        "Take a bulk event back as one event",
        wire.BulkAct,
        ledger.BulkShown,
        patterns={"id": BULK_ID},
        tag="bulk",
    ),
    _post(
        "/v1/bulk/{id}/discard",
        BULK,
        ledger.bulk_discard,
        "Drop a staged bulk event",
        None,
        ledger.BulkShown,
        patterns={"id": BULK_ID},
        problems=("conflict", "not-found"),
        tag="bulk",
    ),
    # -- logs and keys
    _get(
        "/v1/log/{log}/checkpoint",
        "public",
        ledger.checkpoint,
        "Read the signed checkpoint of a log (C2SP tlog-checkpoint)",
        media="text/plain; charset=utf-8",
        patterns={"log": LOG},
        problems=("not-found",),
        tag="logs",
    ),
    _get(
        "/v1/log/{log}/tile/entries/{path:path}",
        SUPERVISOR,
        ledger.bundle,
        "Read an entry bundle (C2SP tlog-tiles)",
        media="application/octet-stream",
        patterns={"log": LOG, "path": BUNDLE},
        tag="logs",
    ),
    _get(
        "/v1/log/{log}/tile/{path:path}",
        "public",
        ledger.tile,
        "Read a hash tile (C2SP tlog-tiles)",
        media="application/octet-stream",
        patterns={"log": LOG, "path": TILE},
        tag="logs",
    ),
    _get(
        "/v1/log/{log}/proof",
        "public",
        ledger.proof,
        "Prove that an entry is in a log",
        query=wire.LeafQuery,
        returns=ledger.InclusionProof,
        patterns={"log": LOG},
        tag="logs",
    ),
    _get("/v1/keys", "public", public.keys, "Read the public keys", returns=public.PublicKeys, tag="receipts"),
    _post(
        "/v1/receipts/verify",
        "public",
        public.verify_receipt,
        "Verify a receipt",
        public.ReceiptQuestion,
        public.Proved,
        problems=("verification-failed", "unknown-version"),
        tag="receipts",
    ),
    # -- credentials
    _post(
        oauth.TOKEN_PATH,
        "public",
        oauth.token,
        "Get an access token (client credentials, private_key_jwt)",
        oauth.TokenRequest,
        oauth.TokenAnswer,
        form=True,
        tag="credentials",
    ),
    _get(
        "/.well-known/oauth-authorization-server",
        "public",
        oauth.metadata,
        "Read the authorisation server's metadata",
        returns=oauth.ServerMetadata,
        tag="credentials",
    ),
    _get(
        "/v1/parties",
        SUPERVISOR,
        api.parties,
        "List parties and their keys",
        returns=wire.PartiesShown,
        tag="parties",
        live=True,
    ),
    _write(
        "/v1/parties",
        SUPERVISOR,
        api.create_party,
        "Record a new party",
        wire.NewParty,
        wire.PartyChanged,
        status=201,
        tag="parties",
        live=True,
    ),
    _post(
        "/v1/parties/{id}/keys",
        SUPERVISOR,
        api.issue_key,
        "Issue an API key; its token is told once",
        wire.NewKey,
        wire.KeyIssued,
        status=201,
        problems=("not-found",),
        patterns={"id": PARTY_ID},
        tag="parties",
        live=True,
    ),
    _write(
        "/v1/parties/{id}/agreement",
        SUPERVISOR,
        api.agreement,
        "Replace what a party may ask, and what its comparisons must be like",
        wire.NewAgreement,
        wire.PartyChanged,
        patterns={"id": PARTY_ID},
        tag="parties",
        live=True,
    ),
    _write(
        "/v1/parties/{id}/client-keys",
        SUPERVISOR,
        api.client_keys,
        "Replace the public keys of a party's OAuth client",
        wire.ClientKeys,
        wire.PartyChanged,
        patterns={"id": PARTY_ID},
        tag="parties",
        live=True,
    ),
    _write(
        "/v1/parties/{id}/suspend",
        SUPERVISOR,
        api.suspend_party,
        "Suspend a party: all its keys and officers stop working until it is restored",
        None,
        wire.PartyChanged,
        patterns={"id": PARTY_ID},
        tag="parties",
        live=True,
    ),
    _write(
        "/v1/parties/{id}/restore",
        SUPERVISOR,
        api.restore_party,
        "Let a suspended party in again, with the keys it had",
        None,
        wire.PartyChanged,
        patterns={"id": PARTY_ID},
        tag="parties",
        live=True,
    ),
    _write(
        "/v1/keys/{key}/revoke",
        SUPERVISOR,
        api.revoke_key,
        "Revoke an API key for ever",
        None,
        wire.PartyChanged,
        patterns={"key": KEY_ID},
        tag="parties",
        live=True,
    ),
    # -- operation
    _get("/healthz", "public", public.healthz, "Does the process answer", returns=public.Alive, tag="operation"),
    _get(
        "/readyz",
        "public",
        public.readyz,
        "Can checks be answered, and what is missing if not",
        returns=public.Readiness,
        problems=("source-down",),
        tag="operation",
    ),
    _get(
        "/metrics",
        "public",
        public.exposition,
        "Read the counts (Prometheus text format)",
        problems=("forbidden",),
        media="text/plain; version=0.0.4; charset=utf-8",
        tag="operation",
    ),
    _get("/openapi.json", "public", openapi_json, "Read this document", tag="operation"),
    # -- pages for people; each room brings its own
    Route(
        method="GET",
        path="/static/{name}",
        who="public",
        handler=pages.static_file,
        summary="Static file",
        page=True,
        patterns={"name": pages.STATIC_NAME},
    ),
    page("/language", "public", pages.choose_language, "Choose the language", query=wire.LanguageChoice),
    sent("/sign-out", "public", sign_out, "Sign out"),
    page("/", "public", public.start, "First page"),
    page("/problems/{code}", "public", public.problem, "What a problem means", patterns={"code": CODE}),
    page("/receipts/verify", "public", public.receipt_page, "Check a receipt"),
    sent(
        "/receipts/verify",
        "public",
        public.receipt_answer,
        "Check a receipt",
        public.ReceiptForm,
        open=True,
        body_bytes_max=public.RECEIPT_BYTES_MAX * 3,
    ),
    page("/figures", "public", public.figures, "Yearly figures"),
    page("/status", "public", public.status, "Status of the service"),
    *developers.routes(_described),
    *oversight.ROUTES,
    *notices.ROUTES,
    *citizen.ROUTES,
    *counter.ROUTES,
    *policies.ROUTES,
    *corrections.ROUTES,
    *desk.ROUTES,
    *review.ROUTES,
    *desk_api.ROUTES,
)
