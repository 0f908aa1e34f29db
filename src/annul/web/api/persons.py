"""Answer the doors of the register of persons: persons, civil events, deaths that wait, imports, enrolment, portraits.

Personal numbers and names stand in bodies only. Every look-up of details names its case and is entered in the log first.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from annul.errors import BadInput, Forbidden, NotFound
from annul.proof import receipt as receipts
from annul.records.check import IdentityCode
from annul.records.document import DocumentFields, canonical, parse_document
from annul.records.person import CivilEvent, Contact, Person
from annul.registry.people.enrolment import Consent, EnrolmentView, Face, Finger
from annul.registry.people.imports import PersonReport
from annul.registry.people.register import CivilLine, PersonRecorded, PersonView
from annul.times import MINUTE_US, rfc3339
from annul.web.api.reports import PROOFS, act_of
from annul.web.api.terms import Body, Case, Evidence, Moment, ProofName, Staged, moment, moment_or_none
from annul.web.door.call import Call, Reply

if TYPE_CHECKING:
    from annul.web.door.office import Office

ENROL_BYTES_MAX: Final = 1024 * 1024
"""Largest body of an enrolment: a portrait of 512 KiB in base64, and two templates."""
PHOTO_WITHIN_US: Final = 15 * MINUTE_US
"""How long after a check its portrait is given out: the bearer is still at the counter."""

Number = Annotated[str, Meta(min_length=1, max_length=64)]
NameText = Annotated[str, Meta(min_length=1, max_length=200)]


class NewPerson(Body):
    """Enter a person: a birth, an immigration, or one that was missing (details)."""

    person: Person
    event: Literal["birth", "immigration", "details"] = "birth"
    happened_at: Moment | None = None
    evidence: Evidence = ""


class FindPerson(Body):
    """Ask for a person's details, for a case."""

    personal_number: Number
    case: Case


class PersonsFound(msgspec.Struct):
    """Persons with this number; more than one is an error of the register that the clean-up has to solve."""

    persons: list[PersonView]


class Civil(Body, kw_only=True, tag_field="event"):
    """One civil event."""

    personal_number: Number
    happened_at: Moment | None = None
    evidence: Evidence = ""


class NameChange(Civil, tag="name_change"):
    """The person has another name now; former names still match. Documents count until replaced, unless they are cancelled."""

    name: NameText
    latin_name: Annotated[str, Meta(max_length=200)] = ""
    cancel_documents: bool = False


class Marriage(Civil, tag="marriage"):
    """The person married and took another name."""

    name: NameText
    latin_name: Annotated[str, Meta(max_length=200)] = ""
    cancel_documents: bool = False


class Emigration(Civil, tag="emigration"):
    """The person left the country; with the loss of nationality all documents are cancelled."""

    loss_of_nationality: bool = False


class NumberCorrection(Civil, tag="number_correction"):
    """The personal number was wrong: documents that bear it are cancelled."""

    corrected_number: Number


class ContactChange(Civil, tag="contact"):
    """The person is told of things in another way; refused remotely while a document is suspended (rule 9)."""

    contacts: Annotated[list[Contact], Meta(max_length=8)]
    proof: ProofName


class DeathReport(Civil, tag="death"):
    """The person is said to have died. Number, name and birth date must fit; documents are cancelled after the delay."""

    name: NameText
    birth_date: date


CivilFeed = NameChange | Marriage | Emigration | NumberCorrection | ContactChange | DeathReport


class PersonChanged(msgspec.Struct):
    """What was recorded about a person.

    Args:
        person: id of the record.
        position: position in the register log.
        documents: how many documents the event changed.
        death, due_at: id of a reported death, and when its consequences follow.
        effective_after_ms: milliseconds from the commit until the check path answered accordingly.
    """

    person: int
    position: int
    documents: int
    death: str
    due_at: str | None
    effective_after_ms: float


class Appeal(Body):
    """Object to a reported death."""

    grounds: Annotated[str, Meta(min_length=1, max_length=200)]


class DeathShown(msgspec.Struct):
    """A reported death: pending, appealed or carried_out."""

    death: str
    person: int
    state: str
    happened_at: str
    reported_at: str
    due_at: str
    author: str
    evidence: str
    decided_by: str | None
    grounds: str


class PersonLine(msgspec.Struct):
    """One line of a person's past."""

    position: int
    event: str
    happened_at: str
    recorded_at: str
    author: str
    evidence: str


class PersonPast(msgspec.Struct):
    """What happened to a record, oldest first."""

    events: list[PersonLine]


class Revert(Body):
    """Take a change of a record back."""

    position: Annotated[int, Meta(ge=1, le=2**62)]
    evidence: Annotated[str, Meta(min_length=1, max_length=200)]


class Erase(Body):
    """Erase a person for good."""

    evidence: Annotated[str, Meta(min_length=1, max_length=200)]


class Enrol(Body):
    """Enrol a portrait, one or two fingers, or both; what is on record of the same kind is replaced."""

    personal_number: Number
    consent: Consent
    face: Face | None = None
    fingers: Annotated[tuple[Finger, ...], Meta(max_length=2)] = ()


class Enrolled(Body):
    """Ask what is enrolled of a person."""

    personal_number: Number


class EnrolmentLine(msgspec.Struct):
    """One enrolled trait, without its bytes; `ended` says why it is no more."""

    id: str
    trait: str
    finger: int
    quality: int
    media: str
    consent: str
    enrolled_at: str
    ended: str | None


class EnrolmentList(msgspec.Struct):
    """What is, and was, enrolled of a person."""

    enrolments: list[EnrolmentLine]


class WithdrawConsent(Body):
    """Withdraw a person's consents; the enrolled traits are destroyed."""

    personal_number: Number
    evidence: Annotated[str, Meta(min_length=1, max_length=200)]


class PhotoQuestion(Body):
    """Ask for the portrait on record, with the answer of the check that matched.

    Args:
        document: as it was checked.
        receipt, opening: as the answer to the check holds them.
    """

    document: DocumentFields
    receipt: dict[str, Any]
    opening: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class ImportShown(Staged, kw_only=True):
    """One import of persons, without any of them; `applied`: the check path has taken all of it up, or back."""

    person_count: int
    report: PersonReport
    applied: bool


class ImportList(msgspec.Struct):
    """All imports of persons, newest first."""

    imports: list[ImportShown]


class ImportAct(Body):
    """Confirm or undo an import, with the reference of the decision."""

    evidence: Annotated[str, Meta(min_length=1, max_length=200)]


def _changed(recorded: PersonRecorded) -> PersonChanged:
    return PersonChanged(
        recorded.person, recorded.position, recorded.documents, recorded.death, moment_or_none(recorded.due_at_us),
        recorded.effective_after_us / 1000,
    )  # fmt: skip


def _happened(office: Office, at: Any) -> int:
    return office.now_us() if at is None else moment(at, "/happened_at")


# -- persons -----------------------------------------------------------------------------------------------------------------


async def add(office: Office, call: Call) -> PersonChanged:
    """Enter a person."""
    body: NewPerson = call.body
    return _changed(
        await office.people.add(
            act_of(call), body.person, event=CivilEvent[body.event], happened_at_us=_happened(office, body.happened_at),
            evidence=body.evidence,
        )
    )  # fmt: skip


async def find(office: Office, call: Call) -> PersonsFound:
    """Answer a person's details; the look-up is accounted for."""
    body: FindPerson = call.body
    return PersonsFound(await office.people.find(act_of(call), body.personal_number, case=body.case))


async def event(office: Office, call: Call) -> PersonChanged:
    """Record one civil event."""
    told: CivilFeed = call.body
    act, people = act_of(call), office.people
    happened = _happened(office, told.happened_at)
    number, evidence = told.personal_number, told.evidence
    if isinstance(told, NameChange | Marriage):
        kind = CivilEvent.marriage if isinstance(told, Marriage) else CivilEvent.name_change
        recorded = await people.rename(
            act, number, told.name, latin=told.latin_name, event=kind, cancel_documents=told.cancel_documents,
            happened_at_us=happened, evidence=evidence,
        )  # fmt: skip
    elif isinstance(told, Emigration):
        recorded = await people.emigrate(
            act, number, loss_of_nationality=told.loss_of_nationality, happened_at_us=happened, evidence=evidence
        )
    elif isinstance(told, NumberCorrection):
        recorded = await people.correct_number(act, number, told.corrected_number, happened_at_us=happened, evidence=evidence)
    elif isinstance(told, ContactChange):
        recorded = await people.set_contacts(
            act, number, told.contacts, proof=PROOFS[told.proof], happened_at_us=happened, evidence=evidence
        )
    else:
        if told.happened_at is None:
            raise BadInput("A report of a death says when.", where="/happened_at")
        recorded = await people.report_death(
            act, number, told.name, told.birth_date.isoformat(), happened_at_us=happened, evidence=evidence
        )
    return _changed(recorded)


async def past(office: Office, call: Call) -> PersonPast:
    """Answer what happened to a record."""
    lines = await office.people.past(act_of(call), int(call.path["id"]))
    return PersonPast([_line(line) for line in lines])


def _line(line: CivilLine) -> PersonLine:
    return PersonLine(
        line.position, line.event, rfc3339(line.happened_at_us), rfc3339(line.recorded_at_us), line.author, line.evidence
    )


async def revert(office: Office, call: Call) -> PersonChanged:
    """Take a change of a record back."""
    body: Revert = call.body
    return _changed(
        await office.people.revert(
            act_of(call), int(call.path["id"]), body.position, happened_at_us=office.now_us(), evidence=body.evidence
        )
    )


async def erase(office: Office, call: Call) -> PersonChanged:
    """Erase a person."""
    body: Erase = call.body
    return _changed(await office.people.erase(act_of(call), int(call.path["id"]), evidence=body.evidence))


async def death(office: Office, call: Call) -> DeathShown:
    """Answer the state of a reported death."""
    found = await office.people.death(act_of(call), call.path["death"])
    return DeathShown(
        found.id, found.person, found.state, rfc3339(found.happened_at_us), rfc3339(found.reported_at_us),
        rfc3339(found.due_at_us), found.author, found.evidence, found.decided_by, found.grounds,
    )  # fmt: skip


async def appeal(office: Office, call: Call) -> PersonChanged:
    """Stop a reported death."""
    body: Appeal = call.body
    return _changed(await office.people.appeal_death(act_of(call), call.path["death"], grounds=body.grounds))


# -- enrolment and portraits -------------------------------------------------------------------------------------------------


async def enrol(office: Office, call: Call) -> PersonChanged:
    """Enrol traits."""
    body: Enrol = call.body
    return _changed(
        await office.enrolments.enrol(act_of(call), body.personal_number, body.consent, face=body.face, fingers=body.fingers)
    )


async def enrolled(office: Office, call: Call) -> EnrolmentList:
    """Answer what is enrolled of a person."""
    body: Enrolled = call.body
    return EnrolmentList([_trait(each) for each in await office.enrolments.enrolled(act_of(call), body.personal_number)])


def _trait(each: EnrolmentView) -> EnrolmentLine:
    return EnrolmentLine(
        each.id, each.trait, each.finger, each.quality, each.media, each.consent, rfc3339(each.enrolled_at_us), each.ended
    )


async def withdraw(office: Office, call: Call) -> PersonChanged:
    """Withdraw consents."""
    body: WithdrawConsent = call.body
    return _changed(await office.enrolments.withdraw(act_of(call), body.personal_number, evidence=body.evidence))


async def photo(office: Office, call: Call) -> Reply:
    """Give the portrait on record for a check that was just made and matched, marked with the check's number.

    Raises:
        Forbidden: the agreement does not allow it.
        VerificationFailed: the receipt is not ours.
        NotFound: the check is another party's, of another document, too old, or did not match; or there is no portrait.
            Which of these is not told.
    """
    who, body = call.principal, call.body
    agreement = who.agreement
    if agreement is None or not agreement.photo_allowed:
        raise Forbidden("The agreement does not allow portraits.")
    verified = receipts.verify(body.receipt, office.keys.receipt_signer().verifier)
    leaf = verified.leaf
    document = parse_document(body.document)
    receipts.verify_document(verified, bytes.fromhex(body.opening), canonical(document))
    act = act_of(call)
    mine = leaf.party.rstrip(b"\0") == who.id.encode() and leaf.flags & 1 == act.code.octet
    fresh = 0 <= office.now_us() - leaf.checked_at_us <= PHOTO_WITHIN_US
    matched = leaf.identity == IdentityCode.M0.octet
    nothing = NotFound("There is no portrait for this check.", mend="Ask within 15 minutes after a check that answered M0.")
    if verified.receipt.check != call.path["check"] or not (mine and fresh and matched):
        raise nothing
    try:
        image = await office.enrolments.portrait_of(act, document, mark=call.path["check"])
    except NotFound:
        raise nothing from None
    return Reply(image, "image/jpeg", headers={"cache-control": "no-store", "content-disposition": "inline"})


# -- imports -----------------------------------------------------------------------------------------------------------------


async def imports(office: Office, call: Call) -> ImportList:
    """List imports of persons."""
    return ImportList([ImportShown.of(view) for view in await office.person_imports.list(act_of(call))])


async def one_import(office: Office, call: Call) -> ImportShown:
    """Look an import up."""
    return ImportShown.of(await office.person_imports.view(act_of(call), call.path["id"]))


async def confirm_import(office: Office, call: Call) -> ImportShown:
    """Put a staged import in force."""
    return ImportShown.of(await office.person_imports.confirm(act_of(call), call.path["id"], evidence=call.body.evidence))


async def undo_import(office: Office, call: Call) -> ImportShown:
    """Take an import back as one event."""
    return ImportShown.of(await office.person_imports.undo(act_of(call), call.path["id"], evidence=call.body.evidence))


async def discard_import(office: Office, call: Call) -> ImportShown:
    """Drop a staged import."""
    return ImportShown.of(await office.person_imports.discard(act_of(call), call.path["id"]))
