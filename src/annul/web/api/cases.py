"""Answer programs about cases of misuse, the impostor list and victims' passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from annul.records.case import TERM_DAYS_MAX
from annul.records.document import DocumentFields, parse_document
from annul.records.references import Tag
from annul.registry.conduct.cases import EVIDENCE_MAX, CaseMoved, CaseView, EvidenceKind, Misuse, Standard
from annul.registry.conduct.impostors import ImpostorAnswer, PassShown
from annul.times import rfc3339
from annul.web.api.terms import DOCUMENT_PROBLEMS, PAGE_MAX, Body, Reason, act_of, moment_or_none
from annul.web.door.call import Call, Route, get, post, tagged
from annul.web.door.who import CASE_ID, DESKS, HANDS, ISSUER, POLICE, RELYING, SUPERVISOR

if TYPE_CHECKING:
    from annul.web.door.office import Office

REPORTERS: Final = RELYING | POLICE
READERS: Final = REPORTERS | SUPERVISOR | ISSUER
_CASE: Final = {"case": CASE_ID}
_MOVES: Final = ("conflict", "transition-refused", "not-found", "forbidden")


class CaseReported(Body):
    """Suspected misuse of a document. The reference is of the reporter's own file; nobody is named.

    Args:
        misuse: id of the statement of misuse.
        reference: the caller's own reference; at most 64 characters.
    """

    misuse: Misuse
    reference: Annotated[Tag, Meta(min_length=3)]


class Piece(Struct, forbid_unknown_fields=True):
    """One piece of evidence: its SHA-256 in hexadecimal, and what it is. The piece itself stays in the file of who has it.

    Args:
        sha256: SHA-256 of the piece, hexadecimal.
        kind: what kind it is.
    """

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    kind: EvidenceKind


class EvidenceAdded(Body):
    """Digests of evidence.

    Args:
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    evidence: Annotated[list[Piece], Meta(min_length=1, max_length=EVIDENCE_MAX)]


class CaseProposed(Body):
    """Who it was, how that is known, and for how long the person is to be listed; from the investigator alone.

    Args:
        personal_number: exact, as the register of persons has it; kept keyed.
        identified_by: how it was established who it was.
        standard: standard of proof.
        grounds: why, in words.
        term_days: days for which the person is listed.
    """

    personal_number: Annotated[str, Meta(min_length=1, max_length=40)]
    identified_by: Literal["fingerprint", "face", "papers", "confession"]
    standard: Standard
    grounds: Reason
    term_days: Annotated[int, Meta(ge=1, le=TERM_DAYS_MAX)]


class CaseDecided(Body):
    """The decision. `list` takes two supervisors; `uphold` and `overturn` end an appeal, at another office.

    Args:
        decision: what was decided.
        reason: why, in words.
    """

    decision: Literal["list", "dismiss", "uphold", "overturn"]
    reason: Reason


class CaseAppealed(Body):
    """What the person says against the decision.

    Args:
        words: the clerk's own words; no personal data.
    """

    words: Reason


class CaseShown(Struct, kw_only=True):
    """A case; who the person is stands in the register of persons alone.

    Args:
        identified: somebody said who it was, by `identified_by`.
        due_at: end of the clock that runs: waiting time, hearing, term of the entry.
        case: reference of the case for which this is done; it is on record with the look-up.
        state: its present state.
        misuse: id of the statement of misuse.
        reference: the caller's own reference; at most 64 characters.
        reported_by: who reported the misuse.
        opened_at: when it was opened (RFC 3339, UTC).
        investigator: who investigates.
        identified_by: how it was established who it was.
        standard: standard of proof.
        grounds: why, in words.
        term_days: days for which the person is listed.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
        decided_at: when it was decided (RFC 3339, UTC); null before.
        effective_at: from when the entry counts (RFC 3339, UTC); null before.
        appeal_until: until when the person can object (RFC 3339, UTC); null before.
    """

    case: str
    state: str
    misuse: str
    reference: str
    reported_by: str
    opened_at: str
    investigator: str | None
    identified: bool
    identified_by: str
    standard: str
    grounds: str
    term_days: int
    evidence: int
    decided_at: str | None
    effective_at: str | None
    appeal_until: str | None
    due_at: str | None


class CaseList(Struct):
    """Cases, newest first.

    Args:
        cases: the cases, newest first.
    """

    cases: list[CaseShown]


class CaseQuery(Struct, forbid_unknown_fields=True):
    """Query of the list: one state, or all.

    Args:
        state: its present state.
        limit: most rows of the page.
    """

    state: Annotated[str, Meta(max_length=16, pattern="^[a-z]*$")] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 100


class ImpostorAsked(Body):
    """A look into the list, for a purpose the law names (account-opening, credit, sim-registration).

    Args:
        personal_number: personal number of the person, as the issuer gives it.
        purpose: why it is asked or done.
        reference: the caller's own reference; at most 64 characters.
    """

    personal_number: Annotated[str, Meta(min_length=1, max_length=40)]
    purpose: Annotated[str, Meta(max_length=32)]
    reference: Annotated[Tag, Meta(min_length=3)]


class UseShown(Struct, kw_only=True):
    """One look that met an entry.

    Args:
        use: `all`, or `counter`: checks at a counter and nothing else.
        case: reference of the case for which this is done; it is on record with the look-up.
        party: id of the organisation.
        purpose: why it is asked or done.
        reference: the caller's own reference; at most 64 characters.
        used_at: when it was looked (RFC 3339, UTC).
    """

    use: str
    case: str
    party: str
    purpose: str
    reference: str
    used_at: str


class UseList(Struct):
    """Looks that met an entry, newest first; the person concerned sees the same.

    Args:
        uses: the looks, newest first.
    """

    uses: list[UseShown]


class UseQuery(Struct, forbid_unknown_fields=True):
    """Query of the list of uses.

    Args:
        limit: most rows of the page.
    """

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100


class PassWanted(Body):
    """A pass for the victim of a case, with her consent.

    Args:
        case: reference of the case for which this is done; it is on record with the look-up.
        document: the document.
        consented: the victim has consented.
    """

    case: Annotated[str, Meta(pattern=f"^{CASE_ID}$")]
    document: DocumentFields
    consented: bool


class PassMade(Struct):
    """A victim's pass: give `token` to the victim; it is told once.

    Args:
        id: its id.
        token: the key, shown this once.
        ends_at: when the pass ends (RFC 3339, UTC).
    """

    id: str
    token: str
    ends_at: str


class PassAsked(Body):
    """A pass that is shown at a counter, with the document it is shown for.

    Args:
        token: the key, shown this once.
        document: the document.
    """

    token: Annotated[str, Meta(min_length=1, max_length=64)]
    document: DocumentFields


class PassRevoked(Body):
    """A pass that its holder gives back.

    Args:
        token: the key, shown this once.
    """

    token: Annotated[str, Meta(min_length=1, max_length=64)]


class PassEnded(Struct):
    """Whether a pass ended; an unknown one did not.

    Args:
        ended: the pass ended by this; false: there was none that counted.
    """

    ended: bool


def _shown(view: CaseView) -> CaseShown:
    same = {name: getattr(view, name) for name in CaseShown.__struct_fields__ if hasattr(view, name)}
    return CaseShown(
        case=view.id,
        opened_at=rfc3339(view.opened_at_us),
        decided_at=moment_or_none(view.decided_at_us),
        effective_at=moment_or_none(view.effective_at_us),
        appeal_until=moment_or_none(view.appeal_until_us),
        due_at=moment_or_none(view.due_at_us),
        **same,
    )


def _own(call: Call) -> str | None:
    return call.principal.id if call.principal.role == "relying_party" else None


def _realm(call: Call) -> int:
    return act_of(call).realm_code


async def report(office: Office, call: Call) -> CaseMoved:
    """Open a case."""
    body: CaseReported = call.body
    return await office.conduct.cases.open(act_of(call), misuse=body.misuse, reference=body.reference)


async def cases(office: Office, call: Call) -> CaseList:
    """List cases: a relying party sees those it reported."""
    found = await office.conduct.cases.list(_realm(call), state=call.query.state, party=_own(call), limit=call.query.limit)
    return CaseList([_shown(each) for each in found])


async def case_file(office: Office, call: Call) -> CaseShown:
    """Show a case."""
    return _shown(await office.conduct.cases.view(_realm(call), call.path["case"], party=_own(call)))


async def add_evidence(office: Office, call: Call) -> CaseMoved:
    """Add evidence."""
    pieces = [(piece.sha256, piece.kind) for piece in call.body.evidence]
    return await office.conduct.cases.add_evidence(act_of(call), call.path["case"], pieces, party=_own(call))


async def take_up(office: Office, call: Call) -> CaseMoved:
    """Take a case up."""
    return await office.conduct.cases.take_up(act_of(call), call.path["case"])


async def propose(office: Office, call: Call) -> CaseMoved:
    """Say who it was."""
    body: CaseProposed = call.body
    return await office.conduct.cases.propose(
        act_of(call),
        call.path["case"],
        body.personal_number,
        identified_by=body.identified_by,
        standard=body.standard,
        grounds=body.grounds,
        term_days=body.term_days,
    )


async def decide(office: Office, call: Call) -> CaseMoved:
    """Decide a case or an appeal."""
    return await office.conduct.cases.decide(act_of(call), call.path["case"], call.body.decision, reason=call.body.reason)


async def appeal(office: Office, call: Call) -> CaseMoved:
    """Enter the person's appeal."""
    return await office.conduct.cases.appeal(act_of(call), call.path["case"], words=call.body.words)


async def ask_list(office: Office, call: Call) -> ImpostorAnswer:
    """Ask the list."""
    body: ImpostorAsked = call.body
    return await office.conduct.impostors.ask(
        act_of(call), call.principal, body.personal_number, purpose=body.purpose, reference=body.reference
    )


async def uses(office: Office, call: Call) -> UseList:
    """List uses: a relying party its own, supervisors all."""
    found = await office.conduct.impostors.uses(call.principal.realm, party=_own(call), limit=call.query.limit)
    return UseList(
        [
            UseShown(
                use=each.use,
                case=each.case,
                party=each.party,
                purpose=each.purpose,
                reference=each.reference,
                used_at=rfc3339(each.used_at_us),
            )
            for each in found
        ]
    )


async def give_pass(office: Office, call: Call) -> PassMade:
    """Give a victim a pass."""
    body: PassWanted = call.body
    given = await office.conduct.impostors.give_pass(
        act_of(call), body.case, parse_document(body.document), consented=body.consented
    )
    return PassMade(given.id, given.token, rfc3339(given.ends_at_us))


async def show_pass(office: Office, call: Call) -> PassShown:
    """Say what a pass tells."""
    body: PassAsked = call.body
    return await office.conduct.impostors.show_pass(call.principal.realm, body.token, parse_document(body.document))


async def revoke_pass(office: Office, call: Call) -> PassEnded:
    """End a pass."""
    return PassEnded(await office.conduct.impostors.revoke_pass(act_of(call), call.body.token))


def _moves(path: str, who: Any, handler: Any, summary: str, body: Any = None, status: int = 200, **more: Any) -> Route:
    return post(path, who, handler, summary, body=body, returns=CaseMoved, write=True, status=status, problems=_MOVES, **more)


ROUTES: Final[tuple[Route, ...]] = tagged(
    "cases",
    post(
        "/v1/cases",
        REPORTERS,
        report,
        "Report suspected misuse of a document",
        body=CaseReported,
        returns=CaseMoved,
        write=True,
        status=201,
        problems=("over-quota",),
    ),
    get("/v1/cases", READERS, cases, "List cases; a relying party those it reported", returns=CaseList, query=CaseQuery),
    get("/v1/cases/{case}", READERS, case_file, "Look a case up", returns=CaseShown, patterns=_CASE, problems=("not-found",)),
    _moves("/v1/cases/{case}/evidence", REPORTERS, add_evidence, "Add digests of evidence", EvidenceAdded, patterns=_CASE),
    _moves("/v1/cases/{case}/take-up", POLICE, take_up, "Take a case up as its investigator", patterns=_CASE),
    _moves(
        "/v1/cases/{case}/propose", POLICE, propose, "Say who it was, and for how long to list", CaseProposed, patterns=_CASE
    ),
    _moves(
        "/v1/cases/{case}/decide",
        SUPERVISOR | ISSUER,
        decide,
        "Decide a case (two supervisors), or an appeal (another office)",
        CaseDecided,
        patterns=_CASE,
    ),
    _moves("/v1/cases/{case}/appeal", DESKS, appeal, "Enter the person's appeal", CaseAppealed, patterns=_CASE),
    post(
        "/v1/impostors/ask",
        RELYING,
        ask_list,
        "Ask whether a person is listed; the look is that person's to see",
        body=ImpostorAsked,
        returns=ImpostorAnswer,
        problems=("malformed-number",),
    ),
    get(
        "/v1/impostors/uses",
        RELYING | SUPERVISOR,
        uses,
        "List looks that met an entry",
        returns=UseList,
        query=UseQuery,
    ),
    post(
        "/v1/victims/passes",
        HANDS,
        give_pass,
        "Give the victim of a case a pass, with consent",
        body=PassWanted,
        returns=PassMade,
        status=201,
        problems=(*DOCUMENT_PROBLEMS, "not-found"),
    ),
    post(
        "/v1/victims/passes/show",
        RELYING | HANDS,
        show_pass,
        "Say what a victim's pass tells: one sentence, or nothing",
        body=PassAsked,
        returns=PassShown,
        problems=DOCUMENT_PROBLEMS,
    ),
    post(
        "/v1/victims/passes/revoke",
        HANDS,
        revoke_pass,
        "End a victim's pass, for whoever holds it",
        body=PassRevoked,
        returns=PassEnded,
    ),
)
