"""Answer the JSON API: reports, the issuer's feed, disputes, accounts of checks, bulk events, parties.

Each handler parses what the wire gave into terms of the register, calls one function of it, and puts the result into the words
of the wire. A write has left this room only when the listings table answers accordingly; if that takes too long, the register
raises NotYetEffective, and the same request with the same Idempotency-Key may be sent again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from annul import metrics
from annul.errors import BadInput, Forbidden, NotYetEffective
from annul.records.check import purpose_of
from annul.records.document import parse_document
from annul.records.status import Event, Proof
from annul.registry.parties.parties import Party
from annul.registry.writing.act import Act, Idempotency
from annul.registry.writing.personal import Reporter
from annul.registry.writing.register import Recorded
from annul.times import rfc3339
from annul.web.api import terms as wire
from annul.web.api.terms import moment, moment_or_none
from annul.web.door.call import Call

if TYPE_CHECKING:
    from annul.web.door.office import Office

PROOFS: Final = {proof.value: proof for proof in Proof}
CANCELS: Final = {"nationality": Event.cancel_nationality, "data": Event.cancel_data}
REVOKES: Final = {"error": Event.revoke_error, "fraud": Event.revoke_fraud, "misuse": Event.revoke_misuse}
CHANGES: Final[dict[type, Event]] = {
    wire.Compromise: Event.compromise,
    wire.Surrender: Event.surrender,
    wire.Return: Event.return_to_holder,
    wire.Destroy: Event.destroy,
    wire.BlankStolen: Event.blank_stolen,
    wire.Lock: Event.owner_lock,
}
"""Events of the feed that change one document and nothing else."""

HANDED_IN: Final = (wire.Surrender, wire.Return, wire.Destroy)
"""Events a police desk records too: found documents are handed in there. All others are the issuer's."""


def act_of(call: Call) -> Act:
    """Return who acts, in which realm, under which Idempotency-Key; the key covers address and body."""
    who = call.principal
    idempotency = None
    if call.idempotency_key:
        address = call.request.url.path.encode()
        body = msgspec.json.encode(call.body, order="deterministic")
        idempotency = Idempotency.of(who.id, call.idempotency_key, address, body)
    return Act(who.id, who.realm, idempotency)


def _happened(office: Office, at: Any) -> int:
    return office.now_us() if at is None else moment(at, "/happened_at")


def _accepted(recorded: Recorded) -> wire.ReportAccepted:
    return wire.ReportAccepted(
        report=recorded.id,
        state=recorded.state,
        position=recorded.position,
        refused_after_ms=recorded.effective_after_us / 1000,
        lapses_at=moment_or_none(recorded.lapses_at_us),
    )


def _written(recorded: Recorded) -> wire.Written:
    return wire.Written(
        state=recorded.state,
        position=recorded.position,
        effective_after_ms=recorded.effective_after_us / 1000,
        changed=recorded.changed,
        documents=recorded.documents,
    )


# -- reports -----------------------------------------------------------------------------------------------------------------


async def report(office: Office, call: Call) -> wire.ReportAccepted:
    """Record a report; acknowledged only when the check path refuses the document."""
    body: wire.Report = call.body
    given = body.reporter
    named = given is not None and (given.name or given.contact)
    recorded = await office.register.report(
        act_of(call), parse_document(body.document), body.kind, happened_at_us=_happened(office, body.happened_at),
        proof=PROOFS[body.proof], evidence=body.evidence, by_holder=given is not None and given.role == "holder",
        reporter=Reporter(given.name, given.contact) if given is not None and named else None,
    )  # fmt: skip
    if not recorded.replayed:
        metrics.REPORTS.labels(body.kind).inc()
        metrics.REFUSED_AFTER_SECONDS.observe(recorded.effective_after_us / 1e6)
    return _accepted(recorded)


async def report_state(office: Office, call: Call) -> wire.ReportState:
    """Answer the state of a report."""
    view = await office.register.view(call.path["id"], call.principal.realm)
    return wire.ReportState(
        report=view.id, kind=view.event, state=view.state, proof=view.proof, author=view.author, evidence=view.evidence,  # type: ignore[arg-type]
        happened_at=rfc3339(view.happened_at_us), recorded_at=rfc3339(view.recorded_at_us), position=view.position,
        lapses_at=moment_or_none(view.lapses_at_us),
    )  # fmt: skip


async def confirm(office: Office, call: Call) -> wire.ReportAccepted:
    """Confirm a provisional report."""
    body: wire.Confirm = call.body
    happened = None if body.happened_at is None else moment(body.happened_at, "/happened_at")
    recorded = await office.register.confirm(
        act_of(call), call.path["id"], proof=PROOFS[body.proof], happened_at_us=happened, evidence=body.evidence
    )
    return _accepted(recorded)


async def withdraw(office: Office, call: Call) -> wire.ReportAccepted:
    """Withdraw a provisional report."""
    body: wire.Withdraw = call.body
    recorded = await office.register.withdraw(act_of(call), call.path["id"], proof=PROOFS[body.proof], evidence=body.evidence)
    return _accepted(recorded)


async def lift(office: Office, call: Call) -> wire.ReportAccepted:
    """Lift a report: the holder has the document again."""
    body: wire.Lift = call.body
    recorded = await office.register.lift_report(
        act_of(call), call.path["id"], happened_at_us=_happened(office, body.happened_at), proof=PROOFS[body.proof],
        evidence=body.evidence, custody_broken=body.custody_broken,
    )  # fmt: skip
    return _accepted(recorded)


async def reporter(office: Office, call: Call) -> wire.ReporterShown:
    """Tell who reported: to the desk that took the report, and to the supervisor."""
    act, report_id = act_of(call), call.path["id"]
    view = await office.register.view(report_id, act.realm)
    if call.principal.role != "supervisor" and view.author.partition("/")[0] != call.principal.id:
        raise Forbidden("Another desk took this report.", mend="Ask that desk, or the supervisor.")
    found = await office.register.reporter(act, report_id, case=call.body.case)
    return wire.ReporterShown(report_id, found.name, found.contact)


async def erase(office: Office, call: Call) -> wire.ReportAccepted:
    """Destroy the key of a reporter's details; the log stays verifiable."""
    act = act_of(call)
    await office.register.view(call.path["id"], act.realm)  # a report of the other realm is not there
    return _accepted(await office.register.erase(act, call.path["id"], evidence=call.body.evidence))


# -- the issuer's feed -------------------------------------------------------------------------------------------------------


async def feed(office: Office, call: Call) -> wire.Written:
    """Record one event of a document's life."""
    event: Any = call.body
    if call.principal.role != "issuer" and not isinstance(event, HANDED_IN):
        raise Forbidden("Only the issuer records this event.", mend="A police desk records surrender, return and destroy.")
    act = act_of(call)
    happened = _happened(office, event.happened_at)
    document = parse_document(event.document)
    register = office.register
    if isinstance(event, wire.Issue):
        recorded = await register.issue(
            act, document, happened_at_us=happened, person_number=event.person_number,
            replaces=[parse_document(old) for old in event.replaces], evidence=event.evidence,
        )  # fmt: skip
    elif isinstance(event, wire.Replace):
        recorded = await register.replace(
            act, parse_document(event.replaces), document, happened_at_us=happened, person_number=event.person_number,
            evidence=event.evidence,
        )  # fmt: skip
    elif isinstance(event, wire.Unlock) and (event.purpose is not None or event.until is not None):
        recorded = await _unlock_for(office, act, document, event)
    else:
        proof = PROOFS[event.proof] if hasattr(event, "proof") else None
        recorded = await register.change(
            act, document, _change_of(event), happened_at_us=happened, proof=proof, evidence=event.evidence
        )
    return _written(recorded)


def _change_of(event: Any) -> Event:
    if isinstance(event, wire.Cancel):
        return CANCELS[event.reason]
    if isinstance(event, wire.Revoke):
        return REVOKES[event.reason]
    return Event.owner_unlock if isinstance(event, wire.Unlock) else CHANGES[type(event)]


async def _unlock_for(office: Office, act: Act, document: Any, event: wire.Unlock) -> Recorded:
    if event.purpose is None or event.until is None:
        raise BadInput("A timed unlock has a purpose and an end.", where="/purpose", mend="Give both `purpose` and `until`.")
    purpose = purpose_of(event.purpose)
    until = moment(event.until, "/until")
    return await office.register.unlock_for(act, document, purpose, until, proof=PROOFS[event.proof], evidence=event.evidence)


async def death(office: Office, call: Call) -> wire.Written:
    """Record a person's death; it fans out to all documents of the person."""
    body: wire.Death = call.body
    happened = moment(body.happened_at, "/happened_at")
    return _written(
        await office.register.death(act_of(call), body.personal_number, happened_at_us=happened, evidence=body.evidence)
    )


async def dispute(office: Office, call: Call) -> wire.Written:
    """Open or close a dispute about a document's status."""
    body: wire.Dispute = call.body
    if body.action == "close" and call.principal.role == "police":
        raise Forbidden("A police desk opens disputes; it does not close them.", mend="The issuer or the supervisor closes it.")
    act, document = act_of(call), parse_document(body.document)
    if body.action == "open":
        recorded = await office.disputes.open(act, document, by="officer", ground="other", case=body.evidence)
    else:
        recorded = await office.disputes.close(act, document, evidence=body.evidence)
    return _written(recorded)


# -- parties -----------------------------------------------------------------------------------------------------------------


async def parties(office: Office, _call: Call) -> wire.PartiesShown:
    """List all parties with their keys."""
    return wire.PartiesShown([_party(party) for party in await office.parties.list()])


def _party(party: Party) -> wire.PartyShown:
    keys = [
        wire.KeyShown(key.id, key.realm, key.label, rfc3339(key.created_at_us), moment_or_none(key.expires_at_us),
                      moment_or_none(key.revoked_at_us), key.use)
        for key in party.keys
    ]  # fmt: skip
    return wire.PartyShown(
        party.id, party.name, party.role, party.organisation, party.agreement, party.active, keys, party.client_keys
    )


async def settled(office: Office, position: int, what: str) -> None:
    """Wait until the workers of this machine have taken up a change of parties.

    Raises:
        NotYetEffective: they have not in time.
    """
    if not await office.listings.reached(position, office.settings.acknowledge_ms_max / 1000):
        raise NotYetEffective(f"{what}, but not every worker knows it yet.", position=position)


async def create_party(office: Office, call: Call) -> wire.PartyChanged:
    """Record a new party."""
    body: wire.NewParty = call.body
    changed = await office.parties.create(
        act_of(call), body.id, body.name, body.role, organisation=body.organisation, agreement=body.agreement
    )
    await settled(office, changed.position, "The party is recorded")
    return wire.PartyChanged(changed.position)


async def issue_key(office: Office, call: Call) -> wire.KeyIssued:
    """Issue an API key; its token is told this once, so it leaves even when a worker does not know it yet."""
    body: wire.NewKey = call.body
    until = moment(body.expires_at, "/expires_at") if body.expires_at else 0
    if until and until <= office.now_us():
        raise BadInput("The key would have expired already.", where="/expires_at", mend="Give a time to come.")
    issued = await office.parties.issue_key(
        act_of(call), call.path["id"], realm=body.realm, label=body.label, expires_at_us=until, use=body.use
    )
    with contextlib.suppress(NotYetEffective):
        await settled(office, issued.position, "The key is recorded")
    return wire.KeyIssued(issued.id, issued.token, issued.position)


async def revoke_key(office: Office, call: Call) -> wire.PartyChanged:
    """Revoke an API key for ever; acknowledged only when no worker takes it any more."""
    changed = await office.parties.revoke_key(act_of(call), call.path["key"])
    await settled(office, changed.position, "The key is revoked")
    return wire.PartyChanged(changed.position)


async def suspend_party(office: Office, call: Call) -> wire.PartyChanged:
    """Suspend a party; acknowledged only when no worker takes a key of it any more."""
    return await _set_active(office, call, False, "The party is suspended")


async def restore_party(office: Office, call: Call) -> wire.PartyChanged:
    """Let a suspended party in again; acknowledged when every worker knows it."""
    return await _set_active(office, call, True, "The party is restored")


async def _set_active(office: Office, call: Call, active: bool, what: str) -> wire.PartyChanged:
    changed = await office.parties.set_active(act_of(call), call.path["id"], active)
    await settled(office, changed.position, what)
    return wire.PartyChanged(changed.position)


async def agreement(office: Office, call: Call) -> wire.PartyChanged:
    """Replace a party's agreement; acknowledged when every worker knows it."""
    changed = await office.parties.set_agreement(act_of(call), call.path["id"], call.body.agreement)
    await settled(office, changed.position, "The agreement is recorded")
    return wire.PartyChanged(changed.position)


async def client_keys(office: Office, call: Call) -> wire.PartyChanged:
    """Replace the public keys of a party's OAuth client; acknowledged when every worker knows them."""
    body: wire.ClientKeys = call.body
    changed = await office.parties.set_client_keys(act_of(call), call.path["id"], body.keys, realm=body.realm)
    await settled(office, changed.position, "The keys are recorded")
    return wire.PartyChanged(changed.position)
