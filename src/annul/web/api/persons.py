"""Answer programs about the register of persons: persons, civil events, deaths that wait, enrolment.

Personal numbers and names stand in bodies only. Every look-up of details names its case and is entered in the log first.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from annul.errors import BadInput
from annul.records.person import CivilEvent, Contact, Person
from annul.records.references import WORDS, Given, Reference
from annul.registry.people.enrolment import Consent, EnrolmentView, Face, Finger
from annul.registry.people.views import CivilLine, PersonRecorded, PersonView
from annul.times import rfc3339
from annul.web.api.terms import PROOFS, Body, Case, Moment, ProofName, act_of, happened_us, moment_or_none
from annul.web.door.call import Call, Route, get, post, tagged, write
from annul.web.door.who import DEATH_ID, DECIDERS, DESKS, HANDS, ISSUER, PERSON_ID

if TYPE_CHECKING:
    from annul.web.door.office import Office

ENROL_BYTES_MAX: Final = 1024 * 1024
"""Largest body of an enrolment: a portrait of 512 KiB in base64, and two templates."""
Number = Annotated[str, Meta(min_length=1, max_length=64)]
NameText = Annotated[str, Meta(min_length=1, max_length=200)]


class NewPerson(Body):
    """Enter a person: a birth, an immigration, or one that was missing (details).

    Args:
        person: the person's details.
        event: what happened.
        happened_at: when it happened, not when it was recorded (RFC 3339 with zone); left out: now.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    person: Person
    event: Literal["birth", "immigration", "details"] = "birth"
    happened_at: Moment | None = None
    evidence: Reference = ""


class FindPerson(Body):
    """Ask for a person's details, for a case.

    Args:
        personal_number: personal number of the person, as the issuer gives it.
        case: reference of the case for which this is done; it is on record with the look-up.
    """

    personal_number: Number
    case: Case


class PersonsFound(msgspec.Struct):
    """Persons with this number; more than one is an error of the register that the clean-up has to solve.

    Args:
        persons: the persons.
    """

    persons: list[PersonView]


class Civil(Body, kw_only=True, tag_field="event"):
    """One civil event.

    Args:
        personal_number: personal number of the person, as the issuer gives it.
        happened_at: when it happened, not when it was recorded (RFC 3339 with zone); left out: now.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    personal_number: Number
    happened_at: Moment | None = None
    evidence: Reference = ""


class NameChange(Civil, tag="name_change"):
    """The person has another name now; former names still match. Documents count until replaced, unless they are cancelled.

    Args:
        name: the new name.
        latin_name: the name in Latin letters.
        cancel_documents: the documents that bear the old data are cancelled.
    """

    name: NameText
    latin_name: Annotated[str, Meta(max_length=200)] = ""
    cancel_documents: bool = False


class Marriage(Civil, tag="marriage"):
    """The person married and took another name.

    Args:
        name: the new name.
        latin_name: the name in Latin letters.
        cancel_documents: the documents that bear the old data are cancelled.
    """

    name: NameText
    latin_name: Annotated[str, Meta(max_length=200)] = ""
    cancel_documents: bool = False


class Emigration(Civil, tag="emigration"):
    """The person left the country; with the loss of nationality all documents are cancelled.

    Args:
        loss_of_nationality: the person lost the nationality: all documents are cancelled.
    """

    loss_of_nationality: bool = False


class NumberCorrection(Civil, tag="number_correction"):
    """The personal number was wrong: documents that bear it are cancelled.

    Args:
        corrected_number: the right personal number.
    """

    corrected_number: Number


class ContactChange(Civil, tag="contact"):
    """The person is told of things in another way; refused remotely while a document is suspended (rule 9).

    Args:
        contacts: ways to reach the person, the first one first.
        proof: on what proof.
    """

    contacts: Annotated[list[Contact], Meta(max_length=8)]
    proof: ProofName


class DeathReport(Civil, tag="death"):
    """The person is said to have died. Number, name and birth date must fit; documents are cancelled after the delay.

    Args:
        name: name of the person, which must fit.
        birth_date: day of birth, YYYY-MM-DD; "" when it is not known.
    """

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
    """Object to a reported death.

    Args:
        grounds: why, in words.
    """

    grounds: Annotated[str, Meta(min_length=1, max_length=200, extra=WORDS)]


class DeathShown(msgspec.Struct):
    """A reported death: pending, appealed or carried_out.

    Args:
        death: id of the reported death.
        person: id of the person's record.
        state: its present state.
        happened_at: when it happened, not when it was recorded (RFC 3339, UTC).
        reported_at: when it was reported (RFC 3339, UTC).
        due_at: when it is due (RFC 3339, UTC).
        author: who recorded it: an organisation, or an officer of one.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
        decided_by: who decided it; null before.
        grounds: why, in words.
    """

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
    """One line of a person's past.

    Args:
        position: position in the register log; 0-based and dense.
        event: what happened.
        happened_at: when it happened, not when it was recorded (RFC 3339, UTC).
        recorded_at: when it was recorded (RFC 3339, UTC).
        author: who recorded it: an organisation, or an officer of one.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    position: int
    event: str
    happened_at: str
    recorded_at: str
    author: str
    evidence: str


class PersonPast(msgspec.Struct):
    """What happened to a record, oldest first.

    Args:
        events: what happened to the record, oldest first.
    """

    events: list[PersonLine]


class Revert(Body):
    """Take a change of a record back.

    Args:
        position: position in the register log; 0-based and dense.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    position: Annotated[int, Meta(ge=1, le=2**62)]
    evidence: Given


class Erase(Body):
    """Erase a person for good.

    Args:
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    evidence: Given


class Enrol(Body):
    """Enrol a portrait, one or two fingers, or both; what is on record of the same kind is replaced.

    Args:
        personal_number: personal number of the person, as the issuer gives it.
        consent: on what the enrolment rests.
        face: the portrait; null for none.
        fingers: one or two fingers.
    """

    personal_number: Number
    consent: Consent
    face: Face | None = None
    fingers: Annotated[tuple[Finger, ...], Meta(max_length=2)] = ()


class Enrolled(Body):
    """Ask what is enrolled of a person.

    Args:
        personal_number: personal number of the person, as the issuer gives it.
    """

    personal_number: Number


class EnrolmentLine(msgspec.Struct):
    """One enrolled trait, without its bytes; `ended` says why it is no more.

    Args:
        id: its id.
        trait: `face` or `finger`.
        finger: which finger, by ISO/IEC 19794-2 (1 right thumb to 10 left little finger).
        quality: quality of the sample, 0 to 100.
        media: media type of the image.
        consent: reference of the consent.
        enrolled_at: when it was enrolled (RFC 3339, UTC).
        ended: why it is no more: replaced, withdrawn, erased; null while it counts.
    """

    id: str
    trait: str
    finger: int
    quality: int
    media: str
    consent: str
    enrolled_at: str
    ended: str | None


class EnrolmentList(msgspec.Struct):
    """What is, and was, enrolled of a person.

    Args:
        enrolments: the enrolled traits, newest first.
    """

    enrolments: list[EnrolmentLine]


class WithdrawConsent(Body):
    """Withdraw a person's consents; the enrolled traits are destroyed.

    Args:
        personal_number: personal number of the person, as the issuer gives it.
        evidence: reference of the evidence or the decision, not the evidence itself; at most 200 characters.
    """

    personal_number: Number
    evidence: Given


def _changed(recorded: PersonRecorded) -> PersonChanged:
    return PersonChanged(
        recorded.person,
        recorded.position,
        recorded.documents,
        recorded.death,
        moment_or_none(recorded.due_at_us),
        recorded.effective_after_us / 1000,
    )


# -- persons ----------------------------------------------------------------------------------------------------------------


async def add(office: Office, call: Call) -> PersonChanged:
    """Enter a person."""
    body: NewPerson = call.body
    return _changed(
        await office.people.add(
            act_of(call),
            body.person,
            event=CivilEvent[body.event],
            happened_at_us=happened_us(office, body.happened_at),
            evidence=body.evidence,
        )
    )


async def find(office: Office, call: Call) -> PersonsFound:
    """Answer a person's details; the look-up is accounted for."""
    body: FindPerson = call.body
    return PersonsFound(await office.people.find(act_of(call), body.personal_number, case=body.case))


async def event(office: Office, call: Call) -> PersonChanged:
    """Record one civil event."""
    told: CivilFeed = call.body
    act, people = act_of(call), office.people
    happened = happened_us(office, told.happened_at)
    number, evidence = told.personal_number, told.evidence
    if isinstance(told, NameChange | Marriage):
        kind = CivilEvent.marriage if isinstance(told, Marriage) else CivilEvent.name_change
        recorded = await people.rename(
            act,
            number,
            told.name,
            latin=told.latin_name,
            event=kind,
            cancel_documents=told.cancel_documents,
            happened_at_us=happened,
            evidence=evidence,
        )
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
        found.id,
        found.person,
        found.state,
        rfc3339(found.happened_at_us),
        rfc3339(found.reported_at_us),
        rfc3339(found.due_at_us),
        found.author,
        found.evidence,
        found.decided_by,
        found.grounds,
    )


async def appeal(office: Office, call: Call) -> PersonChanged:
    """Stop a reported death."""
    body: Appeal = call.body
    return _changed(await office.people.appeal_death(act_of(call), call.path["death"], grounds=body.grounds))


# -- enrolment --------------------------------------------------------------------------------------------------------------


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


ROUTES: Final[tuple[Route, ...]] = tagged(
    "persons",
    write("/v1/persons", ISSUER, add, "Enter a person", body=NewPerson, returns=PersonChanged, status=201),
    post(
        "/v1/persons/find",
        HANDS,
        find,
        "Ask for a person's details, for a case; the look-up is accounted for",
        body=FindPerson,
        returns=PersonsFound,
        problems=("not-found", "not-yet-effective"),
    ),
    write(
        "/v1/persons/events",
        ISSUER,
        event,
        "Record a civil event and what follows for documents",
        body=CivilFeed,
        returns=PersonChanged,
        status=201,
    ),
    get(
        "/v1/persons/{id}/past",
        DESKS,
        past,
        "Read what happened to a person's record",
        returns=PersonPast,
        patterns={"id": PERSON_ID},
        problems=("not-found",),
    ),
    write(
        "/v1/persons/{id}/revert",
        ISSUER,
        revert,
        "Take a change of a person's record back",
        body=Revert,
        returns=PersonChanged,
        patterns={"id": PERSON_ID},
    ),
    write(
        "/v1/persons/{id}/erase",
        DECIDERS,
        erase,
        "Erase a person: destroy the key of the details",
        body=Erase,
        returns=PersonChanged,
        patterns={"id": PERSON_ID},
    ),
    get(
        "/v1/persons/deaths/{death}",
        DESKS,
        death,
        "Look a reported death up",
        returns=DeathShown,
        patterns={"death": DEATH_ID},
        problems=("not-found",),
    ),
    write(
        "/v1/persons/deaths/{death}/appeal",
        DESKS,
        appeal,
        "Stop a reported death",
        body=Appeal,
        returns=PersonChanged,
        patterns={"death": DEATH_ID},
    ),
    write(
        "/v1/persons/enrolments",
        ISSUER,
        enrol,
        "Enrol a portrait and fingers, with consent",
        body=Enrol,
        returns=PersonChanged,
        status=201,
        body_bytes_max=ENROL_BYTES_MAX,
        problems=("unknown-version",),
    ),
    post(
        "/v1/persons/enrolments/list",
        ISSUER,
        enrolled,
        "Ask what is enrolled of a person",
        body=Enrolled,
        returns=EnrolmentList,
        problems=("not-found", "conflict"),
    ),
    write(
        "/v1/persons/enrolments/withdraw",
        ISSUER,
        withdraw,
        "Withdraw consents: enrolled traits are destroyed",
        body=WithdrawConsent,
        returns=PersonChanged,
    ),
)
