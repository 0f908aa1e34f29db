"""Commands of police desks and issuers: report, document, dispute, correction."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from annul.cli.frame import Named, Show, Where, ask_secretly, print_pairs, read_document, sample, takes_groups
from annul.errors import BadInput

PROOFS: Final = "phone, online, online_strong, in_person or in_person_fingerprint"

ProofOption = Annotated[str, typer.Option(help=f"How sure it is who speaks: {PROOFS}; the first two only suspend.")]
Happened = Annotated[str | None, typer.Option("--happened-at", metavar="TIME", help="When it happened (RFC 3339); else now.")]
Evidence = Annotated[str, typer.Option(help="Reference of the evidence or file; no personal data.")]
Repeat = Annotated[
    str | None, typer.Option("--idempotency-key", help="Repeat with the same key and it is still done only once.")
]
ReportId = Annotated[str, typer.Argument(metavar="REPORT", help="Id of the report, as it was given.")]


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, "", False, [])}


def _show_report(show: Show, accepted: dict[str, Any]) -> None:
    def text() -> None:
        state = accepted["state"].replace("_", " ")
        if accepted.get("stopped_since"):
            print(f"✔  RECORDED  It was stopped already, since {accepted['stopped_since']}; your report is recorded as well.")
            print(f"   State: {state}.")
        else:
            print(f"✔  ACCEPTED  The document is now {state}.")
        print(f"   Every check answers so, {accepted['refused_after_ms']:.1f} ms after it was recorded.")
        print_pairs(
            (("Report", accepted["report"]), ("Position", accepted["position"]), ("Lapses at", accepted.get("lapses_at")))
        )

    show.result(accepted, text)


def _show_written(show: Show, written: dict[str, Any]) -> None:
    def text() -> None:
        state = written["state"].replace("_", " ")
        print(f"✔  RECORDED  State: {state}." if written["changed"] else f"✔  RECORDED  The state stays: {state}.")
        print_pairs(
            (
                ("Position", written["position"]),
                ("Documents", written["documents"]),
                ("Effective after", f"{written['effective_after_ms']:.1f} ms"),
            )
        )

    show.result(written, text)


# -- report ------------------------------------------------------------------------------------------------------------------

report_app = typer.Typer(
    no_args_is_help=True, help="Report documents lost, stolen or found; confirm, lift, withdraw, erase reports."
)


def _report(
    kind: str,
    named: Named,
    where: Where,
    show: Show,
    proof: str,
    happened_at: str | None,
    evidence: str,
    reporter: str | None,
    contact: str | None,
    idempotency_key: str | None,
    *,
    role: str | None = None,
) -> None:
    told = _given(name=reporter, contact=contact, role=role)
    body = {"document": named.fields(where.folder), "kind": kind, "proof": proof}
    body |= _given(happened_at=happened_at, evidence=evidence, reporter=told or None)
    with where.client("police") as annul:
        _show_report(show, annul.connection.write("/v1/reports", body, idempotency_key=idempotency_key))


Reporter = Annotated[str | None, typer.Option(help="Who reports, by name; kept encrypted, erasable.")]
Contact = Annotated[str | None, typer.Option(help="How to reach who reports; kept encrypted, erasable.")]


@report_app.command("lost")
@takes_groups
def report_lost(
    named: Named,
    where: Where,
    show: Show,
    proof: ProofOption = "in_person",
    happened_at: Happened = None,
    evidence: Evidence = "",
    reporter: Reporter = None,
    contact: Contact = None,
    idempotency_key: Repeat = None,
) -> None:
    """Report a document lost. When this returns, check points refuse it."""
    _report("lost", named, where, show, proof, happened_at, evidence, reporter, contact, idempotency_key)


@report_app.command("stolen")
@takes_groups
def report_stolen(
    named: Named,
    where: Where,
    show: Show,
    proof: ProofOption = "in_person",
    happened_at: Happened = None,
    evidence: Evidence = "",
    reporter: Reporter = None,
    contact: Contact = None,
    idempotency_key: Repeat = None,
) -> None:
    """Report a document stolen. When this returns, check points refuse it."""
    _report("stolen", named, where, show, proof, happened_at, evidence, reporter, contact, idempotency_key)


@report_app.command("found")
@takes_groups
def report_found(
    named: Named,
    where: Where,
    show: Show,
    by: Annotated[str, typer.Option(help="finder (it is handed in and held) or holder (who has it again).")] = "finder",
    proof: ProofOption = "in_person",
    happened_at: Happened = None,
    evidence: Evidence = "",
    reporter: Reporter = None,
    contact: Contact = None,
    idempotency_key: Repeat = None,
) -> None:
    """Report a document found: handed in by a finder, or back with its holder, which lifts the report by the rules."""
    if by not in ("finder", "holder"):
        raise BadInput(f"{by!r} does not find documents.", where="--by", mend="Use finder or holder.")
    _report("found", named, where, show, proof, happened_at, evidence, reporter, contact, idempotency_key, role=by)


@report_app.command("show")
@takes_groups
def report_show(where: Where, show: Show, report: ReportId) -> None:
    """Show a report, without personal details."""
    with where.client("police") as annul:
        found = annul.connection.get(f"/v1/reports/{report}")
    show.result(found, lambda: print_pairs(found.items()))


@report_app.command("confirm")
@takes_groups
def report_confirm(
    where: Where,
    show: Show,
    report: ReportId,
    proof: ProofOption = "in_person",
    happened_at: Happened = None,
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Confirm a provisional report on strong proof."""
    _act_on(report, "confirm", where, show, idempotency_key, proof=proof, happened_at=happened_at, evidence=evidence)


@report_app.command("withdraw")
@takes_groups
def report_withdraw(
    where: Where,
    show: Show,
    report: ReportId,
    proof: ProofOption = "in_person",
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Withdraw a provisional report in one step."""
    _act_on(report, "withdraw", where, show, idempotency_key, proof=proof, evidence=evidence)


@report_app.command("lift")
@takes_groups
def report_lift(
    where: Where,
    show: Show,
    report: ReportId,
    proof: ProofOption = "in_person",
    happened_at: Happened = None,
    custody_broken: Annotated[bool, typer.Option("--custody-broken", help="Somebody else had the document meanwhile.")] = False,
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Lift a report: the holder has the document again."""
    _act_on(
        report,
        "lift",
        where,
        show,
        idempotency_key,
        proof=proof,
        happened_at=happened_at,
        custody_broken=custody_broken,
        evidence=evidence,
    )


@report_app.command("reporter")
@takes_groups
def report_reporter(
    where: Where,
    show: Show,
    report: ReportId,
    case: Annotated[str, typer.Option(help="Case reference; the look-up itself is entered in the log.")],
) -> None:
    """Read who made a report: for the desk that took it, and the supervisor."""
    with where.client("police") as annul:
        found = annul.connection.post(f"/v1/reports/{report}/reporter", {"case": case})
    show.result(found, lambda: print_pairs((("Name", found["name"]), ("Contact", found["contact"]))))


@report_app.command("erase")
@takes_groups
def report_erase(
    where: Where,
    show: Show,
    report: ReportId,
    evidence: Annotated[str, typer.Option(help="Reference of the decision.")],
    idempotency_key: Repeat = None,
) -> None:
    """Erase who reported: the key of the personal details is destroyed; the report stays."""
    with where.client("supervisor") as annul:
        path = f"/v1/reports/{report}/erase"
        erased = annul.connection.write(path, {"evidence": evidence}, idempotency_key=idempotency_key)
    show.result(erased, f"✔  ERASED  Name and contact of who made report {report} cannot be read any more.")


def _act_on(report: str, action: str, where: Where, show: Show, idempotency_key: str | None, **members: Any) -> None:
    with where.client("police") as annul:
        path = f"/v1/reports/{report}/{action}"
        _show_report(show, annul.connection.write(path, _given(**members), idempotency_key=idempotency_key))


# -- document ----------------------------------------------------------------------------------------------------------------

document_app = typer.Typer(no_args_is_help=True, help="The issuer's feed: what happens to documents; their state and history.")


def _feed(
    event: str,
    named: Named,
    where: Where,
    show: Show,
    idempotency_key: str | None,
    happened_at: str | None,
    evidence: str,
    **more: Any,
) -> None:
    body = {"event": event, "document": named.fields(where.folder)} | _given(happened_at=happened_at, evidence=evidence, **more)
    with where.client("issuer") as annul:
        _show_written(show, annul.connection.write("/v1/documents", body, idempotency_key=idempotency_key))


Person = Annotated[
    str | None,
    typer.Option("--person", metavar="NUMBER", help="Holder's personal number, for a later death; - to be asked for it."),
]
Replaces = Annotated[
    list[str] | None,
    typer.Option("--replaces", metavar="FILE|SAMPLE", help="Document this one replaces: JSON file, - or a sample's code."),
]


def _other(name: str, where: Where) -> dict[str, Any]:
    from pathlib import Path

    if name == "-" or Path(name).exists():
        return read_document(name)
    return sample(where.folder, name)


def _person(number: str | None) -> str | None:
    return ask_secretly("Personal number") if number == "-" else number


@document_app.command("issue")
@takes_groups
def document_issue(
    named: Named,
    where: Where,
    show: Show,
    person: Person = None,
    replaces: Replaces = None,
    happened_at: Happened = None,
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Record that a document was issued; earlier cards of the same number are superseded at once."""
    others = [_other(name, where) for name in replaces or []]
    _feed("issue", named, where, show, idempotency_key, happened_at, evidence, person_number=_person(person), replaces=others)


@document_app.command("replace")
@takes_groups
def document_replace(
    named: Named,
    where: Where,
    show: Show,
    old: Annotated[
        str, typer.Option("--old", metavar="FILE|SAMPLE", help="The old document: JSON file, - or a sample's code.")
    ],
    person: Person = None,
    happened_at: Happened = None,
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Record that a new document (the one named) was issued in place of an old one."""
    _feed(
        "replace",
        named,
        where,
        show,
        idempotency_key,
        happened_at,
        evidence,
        person_number=_person(person),
        replaces=_other(old, where),
    )


@document_app.command("cancel")
@takes_groups
def document_cancel(
    named: Named,
    where: Where,
    show: Show,
    reason: Annotated[str, typer.Option(help="nationality or data. A death is `annul person death`.")],
    happened_at: Happened = None,
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Cancel a document: nationality lost, or data changed."""
    _feed("cancel", named, where, show, idempotency_key, happened_at, evidence, reason=reason)


@document_app.command("revoke")
@takes_groups
def document_revoke(
    named: Named,
    where: Where,
    show: Show,
    reason: Annotated[str, typer.Option(help="error, fraud or misuse.")],
    happened_at: Happened = None,
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Revoke a document: issued in error, obtained by fraud, or misused."""
    _feed("revoke", named, where, show, idempotency_key, happened_at, evidence, reason=reason)


def _simple(name: str, event: str, text: str) -> None:
    def command(
        named: Named,
        where: Where,
        show: Show,
        happened_at: Happened = None,
        evidence: Evidence = "",
        idempotency_key: Repeat = None,
    ) -> None:
        _feed(event, named, where, show, idempotency_key, happened_at, evidence)

    command.__doc__ = text
    document_app.command(name)(takes_groups(command))


_simple("compromise", "compromise", "Record that a document's data were exposed; the card is still in the holder's hand.")
_simple("blank-stolen", "blank_stolen", "Record that a blank with this number was stolen, or the number never issued.")
_simple("surrender", "surrender", "Record that a document was handed in and is held.")
_simple("destroy", "destroy", "Record that a document was destroyed.")


@document_app.command("return")
@takes_groups
def document_return(
    named: Named,
    where: Where,
    show: Show,
    proof: ProofOption = "in_person",
    happened_at: Happened = None,
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Record that a held document was given back to its holder, on proof of identity."""
    _feed("return", named, where, show, idempotency_key, happened_at, evidence, proof=proof)


@document_app.command("lock")
@takes_groups
def document_lock(
    named: Named,
    where: Where,
    show: Show,
    proof: ProofOption = "online_strong",
    happened_at: Happened = None,
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Lock a document for its holder; reversible at will."""
    _feed("lock", named, where, show, idempotency_key, happened_at, evidence, proof=proof)


@document_app.command("unlock")
@takes_groups
def document_unlock(
    named: Named,
    where: Where,
    show: Show,
    proof: ProofOption = "online_strong",
    purpose: Annotated[str | None, typer.Option(help="Open the lock for this purpose alone (with --until).")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Until when (RFC 3339), within 24 hours.")] = None,
    happened_at: Happened = None,
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Unlock a document: for good, or for one purpose until a time."""
    if bool(purpose) != bool(until):
        raise BadInput("A timed unlock has a purpose and an end.", where="--purpose, --until", mend="Give both or neither.")
    _feed("unlock", named, where, show, idempotency_key, happened_at, evidence, proof=proof, purpose=purpose, until=until)


Case = Annotated[str, typer.Option(help="Case reference; the look-up itself is accounted for.")]
At = Annotated[str | None, typer.Option(metavar="TIME", help="State at this time (RFC 3339); else now.")]
KnownAt = Annotated[str | None, typer.Option("--known-at", metavar="TIME", help="As known at this time; else now.")]


def _status(named: Named, where: Where, case: str, at: str | None, known_at: str | None) -> dict[str, Any]:
    body = {"document": named.fields(where.folder)} | _given(case=case, at=at, known_at=known_at)
    with where.client("issuer") as annul:
        found: dict[str, Any] = annul.connection.post("/v1/documents/status", body)
    return found


@document_app.command("status")
@takes_groups
def document_status(named: Named, where: Where, show: Show, case: Case, at: At = None, known_at: KnownAt = None) -> None:
    """Say what a document's state was at a time, as known at a time."""
    found = _status(named, where, case, at, known_at)

    def text() -> None:
        if not found["known"]:
            print("Nothing was recorded of this document by then: there was no listing.")
        left_out = ("history", "known") if found["known"] else ("history", "known", "state", "facts", "disputed", "position")
        print_pairs((name, value) for name, value in found.items() if name not in left_out)

    show.result(found, text)


@document_app.command("history")
@takes_groups
def document_history(named: Named, where: Where, show: Show, case: Case) -> None:
    """List every entry about a document, oldest first."""
    columns = {
        "position": "position",
        "happened_at": "happened at",
        "recorded_at": "recorded at",
        "event": "event",
        "proof": "proof",
        "author": "author",
        "state": "state after",
        "evidence": "evidence",
    }
    rows = _status(named, where, case, None, None)["history"]
    show.table(rows, columns, empty="The register has no entry about this document.")


# -- person, dispute ---------------------------------------------------------------------------------------------------------

person_app = typer.Typer(no_args_is_help=True, help="Facts about persons.")


@person_app.command("death")
@takes_groups
def person_death(
    where: Where,
    show: Show,
    happened_at: Annotated[str, typer.Option("--happened-at", metavar="TIME", help="When the person died (RFC 3339).")],
    number: Annotated[
        str, typer.Option(help="Personal number. It stays in the shell's history: leave it out to be asked for it.")
    ] = "-",
    evidence: Evidence = "",
    idempotency_key: Repeat = None,
) -> None:
    """Record a death: every document of the person is cancelled."""
    asked = ask_secretly("Personal number") if number == "-" else number
    body = _given(personal_number=asked, happened_at=happened_at, evidence=evidence)
    with where.client("issuer") as annul:
        _show_written(show, annul.connection.write("/v1/persons/death", body, idempotency_key=idempotency_key))


dispute_app = typer.Typer(no_args_is_help=True, help="Disputes about a status: raise, hear, mark, decide; with a clock.")
DisputeEvidence = Annotated[str, typer.Option(help="Reference of the dispute's file.")]


def _dispute(action: str, named: Named, where: Where, show: Show, evidence: str, idempotency_key: str | None) -> None:
    body = {"action": action, "document": named.fields(where.folder), "evidence": evidence}
    with where.client("issuer") as annul:
        _show_written(show, annul.connection.write("/v1/disputes", body, idempotency_key=idempotency_key))


@dispute_app.command("open")
@takes_groups
def dispute_open(named: Named, where: Where, show: Show, evidence: DisputeEvidence, idempotency_key: Repeat = None) -> None:
    """Open a dispute: checks answer U34 (status disputed) until it is closed."""
    _dispute("open", named, where, show, evidence, idempotency_key)


@dispute_app.command("close")
@takes_groups
def dispute_close(named: Named, where: Where, show: Show, evidence: DisputeEvidence, idempotency_key: Repeat = None) -> None:
    """Close a dispute: checks answer the document's state again."""
    _dispute("close", named, where, show, evidence, idempotency_key)


# -- correction --------------------------------------------------------------------------------------------------------------

correction_app = typer.Typer(
    no_args_is_help=True, help="Correct listings that were never true: one officer proposes, another confirms."
)
CorrectionId = Annotated[str, typer.Argument(metavar="CORRECTION", help="Id of the correction, as it was given.")]
Reason = Annotated[str, typer.Option(help="Why; no personal data.")]


@correction_app.command("propose")
@takes_groups
def correction_propose(
    named: Named,
    where: Where,
    show: Show,
    fact: Annotated[str, typer.Option(help="The listing that was wrong: reported_lost, superseded, revoked …; others stay.")],
    reason: Reason,
    case: Annotated[str, typer.Option(help="Reference of the file.")],
    mark: Annotated[
        bool, typer.Option("--mark", help="Checks answer that the status is disputed until it is decided.")
    ] = False,
    idempotency_key: Repeat = None,
) -> None:
    """Propose to take one listing away. Checks go on refusing until another officer confirms."""
    body = {"document": named.fields(where.folder), "fact": fact, "reason": reason, "case": case} | _given(marked=mark)
    with where.client("police") as annul:
        _show_correction(show, annul.connection.write("/v1/corrections", body, idempotency_key=idempotency_key))


@correction_app.command("show")
@takes_groups
def correction_show(where: Where, show: Show, correction: CorrectionId) -> None:
    """Show a correction."""
    with where.client("supervisor") as annul:
        _show_correction(show, annul.connection.get(f"/v1/corrections/{correction}"))


@correction_app.command("confirm")
@takes_groups
def correction_confirm(
    where: Where, show: Show, correction: CorrectionId, reason: Reason, evidence: Evidence = "", idempotency_key: Repeat = None
) -> None:
    """Confirm a correction as the second officer: the listing goes, and answers given with it are recalled."""
    _decide(correction, "confirm", where, show, idempotency_key, reason, evidence)


@correction_app.command("refuse")
@takes_groups
def correction_refuse(
    where: Where, show: Show, correction: CorrectionId, reason: Reason, evidence: Evidence = "", idempotency_key: Repeat = None
) -> None:
    """Refuse a correction: the listing stands."""
    _decide(correction, "refuse", where, show, idempotency_key, reason, evidence)


def _decide(
    correction: str, decision: str, where: Where, show: Show, idempotency_key: str | None, reason: str, evidence: str
) -> None:
    body = {"reason": reason} | _given(evidence=evidence)
    with where.client("supervisor") as annul:
        path = f"/v1/corrections/{correction}/{decision}"
        _show_correction(show, annul.connection.write(path, body, idempotency_key=idempotency_key))


def _show_correction(show: Show, found: dict[str, Any]) -> None:
    def text() -> None:
        fact, status = found["fact"].replace("_", " "), found["status"].replace("_", " ")
        print(f"✔  {found['state'].upper()}  Listing: {fact}. The document is now {status}.")
        shown = ("correction", "proposed_by", "decided_by", "reason", "position")
        print_pairs([(name.capitalize().replace("_", " "), found[name]) for name in shown])

    show.result(found, text)
