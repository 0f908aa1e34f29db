"""Answer programs about conduct: duties, business events, findings and what is said to them, scorecards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from annul.errors import BadInput
from annul.records.document import DocumentFields, parse_document
from annul.records.references import Tag, Words
from annul.registry.conduct.abuse import AlarmJudged, AlarmView
from annul.registry.conduct.duties import Duty, DutySet
from annul.registry.conduct.events import FILE_BYTES_MAX, KEYS_MAX, BusinessEvent
from annul.registry.conduct.findings import RECEIPTS_MAX, Defence, Finding, FindingMoved, FoundEvent
from annul.registry.conduct.scorecard import DAYS_MAX, Scorecard
from annul.times import DAY_US, rfc3339
from annul.web.api.terms import DOCUMENT_PROBLEMS, PAGE_MAX, Body, Reason, act_of, moment_or_none
from annul.web.door.call import Call, Route, get, post, tagged
from annul.web.door.who import ALARM_ID, FINDING_ID, PARTY_ID, RELYING, SUPERVISOR

if TYPE_CHECKING:
    from annul.web.door.office import Office

WATCHED: Final = RELYING | SUPERVISOR
"""Who reads findings and scorecards: a relying party its own, a supervisor all."""

WHY: Final = {
    "volume": "{seen} checks in a day; usual for this clerk, on a day like it: {usual}.",
    "misses": "{seen} checks about numbers that no document has; usual: {usual}.",
    "no_business": "{seen} checks without a reference; usual in this organisation: {usual}.",
    "curiosity": "{seen} times about one document within a week.",
    "crowd": "{seen} clerks of several branches asked about one document in a day.",
    "travel": "{seen} times at two branches within ten minutes.",
    "odd_hours": "{seen} checks at hours when this organisation does not ask.",
    "pace": "{seen} checks in a row, each within three seconds of the one before.",
}
"""Pattern -> the reason in words."""
_DECIDES: Final = ("conflict", "not-found", "forbidden")
_FINDING: Final = {"finding": FINDING_ID}


class DutiesSet(Body):
    """Duties of a relying party; kinds of business that are not named stay as they are.

    Args:
        party: id of the organisation.
        duties: what the officer may do.
    """

    party: Annotated[str, Meta(pattern=f"^{PARTY_ID}$")]
    duties: Annotated[list[Duty], Meta(min_length=1, max_length=64)]


class DutiesShown(Struct):
    """The caller's duties that are in force, by kind of business.

    Args:
        duties: what the officer may do.
    """

    duties: list[Duty]


class EventKeysWanted(Body):
    """Documents whose event keys are wanted.

    Args:
        documents: the documents.
    """

    documents: Annotated[list[DocumentFields], Meta(min_length=1, max_length=KEYS_MAX)]


class EventKeysMade(Struct):
    """Event keys in the order of the documents; they fit the caller alone, and nothing was looked up for them.

    Args:
        keys: event keys in the order of the documents.
    """

    keys: list[str]


class EventsAccepted(Struct):
    """A file of business events that was taken in.

    Args:
        events: how many it had; all were taken in.
        first_at, last_at: time of the first and of the last business.
        sha256: of the file, in hexadecimal.
    """

    events: int
    first_at: str
    last_at: str
    sha256: str


class FindingShown(Struct, kw_only=True):
    """One finding: a place, a kind of fault, its events, what was said and decided.

    Args:
        kind: late, unchecked, departed (from STOP), or forged (a check was named that is none).
        event_count, open_count: events it was opened with, and those no receipt has covered since.
        from_at, until_at: first and last of them.
        due_at: end of the term that runs: of the answer, of an appeal, of the appeal's decision.
        evidence: SHA-256 of the events, as the log holds it.
        finding: id of the finding.
        party: id of the organisation.
        branch: branch of the relying party, in its own words; at most 64 characters.
        state: its present state.
        noticed_at: when it was opened (RFC 3339, UTC).
        answer: what the party said to it.
        decided_by: who decided it; null before.
        decided_at: when it was decided (RFC 3339, UTC); null before.
        reason: why, in words.
        appeal: what the party objected to the decision.
        position: position in the register log; 0-based and dense.
    """

    finding: str
    party: str
    branch: str
    kind: Literal["late", "unchecked", "departed", "forged"]
    state: Literal["noticed", "answered", "upheld", "appealed", "final", "dismissed", "cleared"]
    event_count: int
    open_count: int
    from_at: str
    until_at: str
    noticed_at: str
    due_at: str
    evidence: str
    answer: str
    decided_by: str | None
    decided_at: str | None
    reason: str
    appeal: str
    position: int


class BusinessEventShown(Struct, kw_only=True):
    """One event of a finding.

    Args:
        check, checked_at: the check that was found instead of the one owed; "" and null when there is none.
        cleared_by: id of the check whose receipt covers it since; "" while it is open.
        reference: the caller's own reference; at most 64 characters.
        happened_at: when it happened, not when it was recorded (RFC 3339 with zone); left out: now.
        business: kind of business that owed the check.
        terminal: terminal of the relying party, in its own words; at most 64 characters.
    """

    reference: str
    happened_at: str
    business: str
    terminal: str
    check: str
    checked_at: str | None
    cleared_by: str


class FindingFile(Struct):
    """A finding with its first 500 events, open ones first.

    Args:
        finding: the finding.
        events: what happened to the record, oldest first.
    """

    finding: FindingShown
    events: list[BusinessEventShown]


class FindingList(Struct):
    """Findings, those whose term ends first at the top; `after` is that of the next page, "" at the end.

    Args:
        findings: the findings, those whose term ends first at the top.
        after: where to go on: what the last page or answer said.
    """

    findings: list[FindingShown]
    after: str


class FindingQuery(Struct, forbid_unknown_fields=True):
    """Query of the list: one state ("" all that are not closed), one branch, one party (supervisors), behind `after`.

    Args:
        state: its present state.
        branch: branch of the relying party, in its own words; at most 64 characters.
        party: id of the organisation.
        after: where to go on: what the last page or answer said.
        limit: most rows of the page.
    """

    state: Literal["", "noticed", "answered", "upheld", "appealed", "final", "dismissed", "cleared"] = ""
    branch: Tag = ""
    party: Annotated[str, Meta(max_length=24)] = ""
    after: Annotated[str, Meta(max_length=27)] = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100


class FindingAnswer(Body):
    """What a party says to a finding; each receipt of a check of that document in time covers its event at once.

    Args:
        words: the clerk's own words; no personal data.
        receipts: receipts of checks in time; each covers its event at once.
    """

    words: Words = ""
    receipts: Annotated[tuple[Defence, ...], Meta(max_length=RECEIPTS_MAX)] = ()


class FindingDecided(Body):
    """The decision of a finding, or of the appeal against it.

    Args:
        decision: what was decided.
        reason: why, in words.
    """

    decision: Literal["upheld", "dismissed"]
    reason: Reason


class FindingAppeal(Body):
    """Why the decision is wrong.

    Args:
        words: the clerk's own words; no personal data.
    """

    words: Annotated[Words, Meta(min_length=3)]


class AlarmShown(Struct, kw_only=True):
    """One alarm about look-ups; it changes nothing by itself.

    Args:
        why: the reason in words, with its figures.
        score: how far beyond the limit, 1 at the limit.
        response: what is asked for: watch, ask, hold.
        alarm: id of the alarm.
        party: id of the organisation.
        branch: branch of the relying party, in its own words; at most 64 characters.
        clerk: clerk of the relying party, in its own words; at most 64 characters.
        pattern: what was noticed, by name.
        day: day of the look-ups.
        state: its present state.
        raised_at: when it was raised (RFC 3339, UTC).
        decided_by: who decided it; null before.
        reason: why, in words.
    """

    alarm: str
    party: str
    branch: str
    clerk: str
    pattern: str
    day: str
    why: str
    score: float
    response: Literal["watch", "ask", "hold"]
    state: Literal["open", "explained", "misuse", "dismissed"]
    raised_at: str
    decided_by: str | None
    reason: str


class AlarmList(Struct):
    """Alarms, the gravest first.

    Args:
        alarms: the alarms, the gravest first.
    """

    alarms: list[AlarmShown]


class AlarmQuery(Struct, forbid_unknown_fields=True):
    """Query of the list of alarms: one state, one party.

    Args:
        state: its present state.
        party: id of the organisation.
        limit: most rows of the page.
    """

    state: Literal["open", "explained", "misuse", "dismissed"] = "open"
    party: Annotated[str, Meta(max_length=24)] = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 100


class AlarmDecided(Body):
    """What was found out about an alarm.

    Args:
        decision: what was decided.
        reason: why, in words.
    """

    decision: Literal["explained", "misuse", "dismissed"]
    reason: Reason


class ScoreQuery(Struct, forbid_unknown_fields=True):
    """Query of a scorecard: places, days back, one branch, one party (supervisors).

    Args:
        level: what is compared: party, branch or terminal.
        days: days back from now.
        branch: branch of the relying party, in its own words; at most 64 characters.
        party: id of the organisation.
    """

    level: Literal["organisation", "branch", "terminal"] = "branch"
    days: Annotated[int, Meta(ge=1, le=DAYS_MAX)] = 30
    branch: Tag = ""
    party: Annotated[str, Meta(max_length=24)] = ""


def _whose(call: Call, wanted: str) -> str | None:
    """Return the party a caller may see: its own, or the one a supervisor asks for (None: all)."""
    if call.principal.role != "supervisor":
        if wanted not in ("", call.principal.id):
            raise BadInput("A party sees its own alone.", where="?party", mend="Leave it out.")
        return call.principal.id
    return wanted or None


def _finding(each: Finding) -> FindingShown:
    same = {name: getattr(each, name) for name in FindingShown.__struct_fields__ if hasattr(each, name)}
    return FindingShown(
        finding=each.id,
        from_at=rfc3339(each.from_us),
        until_at=rfc3339(each.until_us),
        noticed_at=rfc3339(each.noticed_at_us),
        due_at=rfc3339(each.due_at_us),
        decided_at=moment_or_none(each.decided_at_us),
        **same,
    )


def _event(each: FoundEvent) -> BusinessEventShown:
    same = {name: getattr(each, name) for name in BusinessEventShown.__struct_fields__ if hasattr(each, name)}
    return BusinessEventShown(happened_at=rfc3339(each.happened_at_us), checked_at=moment_or_none(each.checked_at_us), **same)


async def set_duties(office: Office, call: Call) -> DutySet:
    """Set duties of a relying party."""
    return await office.conduct.duties.put(act_of(call), call.body.party, call.body.duties)


async def duties(office: Office, call: Call) -> DutiesShown:
    """Show the caller's duties."""
    return DutiesShown(await office.conduct.duties.of(call.principal.id))


async def event_keys(office: Office, call: Call) -> EventKeysMade:
    """Make event keys."""
    documents = []
    for place, fields in enumerate(call.body.documents):
        try:
            documents.append(parse_document(fields))
        except BadInput as refused:
            raise BadInput(refused.message, where=f"/documents/{place}", mend=refused.mend) from None
    return EventKeysMade(office.conduct.events.keys_for(call.principal.id, call.principal.realm, documents))


async def send_events(office: Office, call: Call) -> EventsAccepted:
    """Take in a file of business events, whole or not at all."""
    taken = await office.conduct.events.take(act_of(call), call.principal.id, call.body)
    return EventsAccepted(taken.events, rfc3339(taken.from_us), rfc3339(taken.until_us), taken.sha256)


async def findings(office: Office, call: Call) -> FindingList:
    """List findings."""
    query: FindingQuery = call.query
    found = await office.conduct.findings.list(
        call.principal.realm,
        party=_whose(call, query.party),
        branch=query.branch or None,
        state=query.state,
        after=query.after,
        limit=query.limit,
    )
    return FindingList([_finding(each) for each in found], found[-1].id if len(found) == query.limit else "")


async def finding_file(office: Office, call: Call) -> FindingFile:
    """Show a finding and its events."""
    shown, events = await office.conduct.findings.view(call.principal.realm, call.path["finding"], party=_whose(call, ""))
    return FindingFile(_finding(shown), [_event(each) for each in events])


async def answer(office: Office, call: Call) -> FindingMoved:
    """Answer a finding."""
    body: FindingAnswer = call.body
    finding = call.path["finding"]
    return await office.conduct.findings.answer(
        act_of(call), call.principal.id, finding, words=body.words, receipts=body.receipts
    )


async def decide(office: Office, call: Call) -> FindingMoved:
    """Decide a finding or an appeal."""
    body: FindingDecided = call.body
    return await office.conduct.findings.decide(act_of(call), call.path["finding"], body.decision, reason=body.reason)


async def appeal(office: Office, call: Call) -> FindingMoved:
    """Appeal against a decision."""
    return await office.conduct.findings.appeal(act_of(call), call.principal.id, call.path["finding"], words=call.body.words)


async def scorecard(office: Office, call: Call) -> Scorecard:
    """Make a scorecard."""
    query: ScoreQuery = call.query
    return await office.conduct.scorecards.make(
        call.principal.realm,
        query.level,
        party=_whose(call, query.party),
        branch=query.branch or None,
        days=query.days,
    )


def _alarm(each: AlarmView) -> AlarmShown:
    same = {name: getattr(each, name) for name in AlarmShown.__struct_fields__ if name != "day" and hasattr(each, name)}
    why = WHY[each.pattern].format(seen=f"{each.seen:g}", usual=f"{each.usual:g}")
    day = rfc3339(each.day * DAY_US)[:10]
    return AlarmShown(alarm=each.id, day=day, why=why, raised_at=rfc3339(each.raised_at_us), **same)


async def alarms(office: Office, call: Call) -> AlarmList:
    """List alarms."""
    query: AlarmQuery = call.query
    found = await office.conduct.abuse.list(
        call.principal.realm, state=query.state, party=query.party or None, limit=query.limit
    )
    return AlarmList([_alarm(each) for each in found])


async def judge(office: Office, call: Call) -> AlarmJudged:
    """Decide about an alarm."""
    body: AlarmDecided = call.body
    return await office.conduct.abuse.judge(act_of(call), call.path["alarm"], body.decision, reason=body.reason)


def _acts(path: str, who: Any, handler: Any, summary: str, body: type) -> Route:
    return post(path, who, handler, summary, body=body, returns=FindingMoved, write=True, problems=_DECIDES, patterns=_FINDING)


ROUTES: Final[tuple[Route, ...]] = tagged(
    "conduct",
    post(
        "/v1/conduct/duties",
        SUPERVISOR,
        set_duties,
        "Set duties of a relying party: which business needs which check, by when",
        body=DutiesSet,
        returns=DutySet,
        write=True,
        problems=("not-found",),
    ),
    get("/v1/conduct/duties", RELYING, duties, "Show your duties", returns=DutiesShown),
    post(
        "/v1/conduct/keys",
        RELYING,
        event_keys,
        "Get the event keys of documents, by which your business events name them",
        body=EventKeysWanted,
        returns=EventKeysMade,
        problems=DOCUMENT_PROBLEMS,
        body_bytes_max=512 * 1024,
    ),
    post(
        "/v1/conduct/events",
        RELYING,
        send_events,
        "Send business events (NDJSON, in order, at most 100,000)",
        lines=BusinessEvent,
        returns=EventsAccepted,
        status=201,
        problems=("conflict",),
        body_bytes_max=FILE_BYTES_MAX,
    ),
    get(
        "/v1/conduct/findings",
        WATCHED,
        findings,
        "List findings: business without its check",
        returns=FindingList,
        query=FindingQuery,
    ),
    get(
        "/v1/conduct/findings/{finding}",
        WATCHED,
        finding_file,
        "Show a finding with its events",
        returns=FindingFile,
        patterns=_FINDING,
        problems=("not-found",),
    ),
    post(
        "/v1/conduct/findings/{finding}/answer",
        RELYING,
        answer,
        "Answer a finding; receipts clear their events",
        body=FindingAnswer,
        returns=FindingMoved,
        write=True,
        problems=(*_DECIDES, "verification-failed"),
        patterns=_FINDING,
        body_bytes_max=2 * 1024 * 1024,
    ),
    _acts("/v1/conduct/findings/{finding}/decide", SUPERVISOR, decide, "Decide a finding, or an appeal", FindingDecided),
    _acts("/v1/conduct/findings/{finding}/appeal", RELYING, appeal, "Appeal against a decision", FindingAppeal),
    get(
        "/v1/conduct/alarms",
        SUPERVISOR,
        alarms,
        "List alarms about look-ups that do not look like business",
        returns=AlarmList,
        query=AlarmQuery,
    ),
    post(
        "/v1/conduct/alarms/{alarm}/decide",
        SUPERVISOR,
        judge,
        "Decide about an alarm",
        body=AlarmDecided,
        returns=AlarmJudged,
        write=True,
        problems=_DECIDES,
        patterns={"alarm": ALARM_ID},
    ),
    get(
        "/v1/conduct/scorecard",
        WATCHED,
        scorecard,
        "Show how many events were covered, beside what chance allows",
        returns=Scorecard,
        query=ScoreQuery,
    ),
)
