"""Every member of every body, query and form is known: a reference is marked as one, and no door takes a number in it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import inspect

from annul.web.routes import ROUTES
from tests.web.conftest import House

CITIZEN = "11010519491231002X"
_REFERENCES = """
evidence case shelf branch terminal clerk reference customer label staff point given_by taken_by grounds words note reason
"""
_OTHERS = """
access act address after attempt back birth_date cancel_documents cause challenge change channel channels client_assertion
client_assertion_type client_id contact corrected_number credential cursor custody_broken day days death_date decision
delay_days delay_ground do duties edge email expiry_timestamp fact father finder follow_up genuine grant_type ground
happened_day happened_month happened_year hours how id id_type issuer key kind language latin_name lines mark marked match
metadata minutes mother mrz name need next_case number on organisation origin party person person_number personal_number phone
place proof purpose purposes receipt region remove reporter requesttime rule said scheme scope sealed search series sex show
signer stale state statement status sure text time to token unexpired urgent url valid_from valid_until value version wanted
what when where which window
"""
REFERENCES = frozenset(_REFERENCES.split())
"""Names of members by which people refer to their own files, places and persons, or say why."""
OTHERS = frozenset(_OTHERS.split())
"""Names of members that are something else: choices, numbers of documents, names, dates, what is sealed, proofs, cursors."""
CHOICES = frozenset(
    {
        ("ActForm", "reason"),  # a code of the list of reasons
        ("DepartureForm", "reason"),
        ("NewAcknowledgement", "note"),  # what the register signed, handed back
        ("Reference", "reference"),  # a report's own id, as the register gave it
    }
)
"""Members of such a name that are chosen, not written."""


def _texts(told: inspect.Type, owner: str, name: str, seen: set[type]) -> Iterator[tuple[str, str, str, bool]]:
    """Yield (struct, member, mark, has a pattern) for every text in a type."""
    mark = ""
    if isinstance(told, inspect.Metadata):
        mark, told = str((told.extra or {}).get("annul", "")), told.type
    if isinstance(told, inspect.StrType):
        yield owner, name, mark, told.pattern is not None
    elif isinstance(told, inspect.UnionType):
        for each in told.types:
            for struct, member, own, pattern in _texts(each, owner, name, seen):
                yield struct, member, own or mark, pattern
    elif isinstance(told, inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType):
        yield from _texts(told.item_type, owner, name, seen)
    elif isinstance(told, inspect.DictType):
        yield from _texts(told.value_type, owner, name, seen)
    elif isinstance(told, inspect.StructType) and told.cls not in seen:
        seen.add(told.cls)
        for field in told.fields:
            yield from _texts(field.type, told.cls.__name__, field.name, seen)


def test_every_text_that_a_door_takes_is_known_and_references_are_marked() -> None:
    """Over the whole table of routes; a new member has to be put on one side or the other."""
    found: set[tuple[str, str, str, bool]] = set()
    for route in ROUTES:
        for read in (route.body, route.query):
            if read is not None:
                found |= set(_texts(inspect.type_info(read), "", "", set()))
    unmarked = {(struct, name) for struct, name, mark, pattern in found if name in REFERENCES and not mark and not pattern}
    assert unmarked <= CHOICES
    marked = {name for _, name, mark, _ in found if mark}
    assert {name for _, name, mark, pattern in found if not mark and not pattern} - OTHERS - REFERENCES == set()
    assert marked >= REFERENCES, "a name here is no member of anything"


def test_no_door_takes_a_number_in_a_reference(house: House) -> None:
    """As evidence of a report, as case of a question, as a check's own reference, as Idempotency-Key: refused."""
    document = {"scheme": "ru-internal", "number": "4509123456"}
    report = {"document": document, "kind": "lost", "proof": "in_person", "evidence": f"no. {CITIZEN}"}
    question = {"document": document, "purpose": "account-opening", "channel": "remote"}
    for path, party, body, where, headers in (
        ("/v1/reports", "police", report, "/evidence", {}),
        ("/v1/reports", "police", report | {"evidence": "K-1"}, "Idempotency-Key", {"Idempotency-Key": CITIZEN}),
        ("/v1/documents/checks", "supervisor", {"document": document, "case": CITIZEN}, "/case", {}),
        ("/v1/checks", "bank", question | {"reference": CITIZEN}, "/reference", {}),
        ("/v1/checks", "bank", question | {"branch": "a\u202eb"}, "/branch", {}),
    ):
        refused = house.call("POST", path, party, json=body, headers=headers)
        assert (refused.status_code, refused.json().get("where")) == (400, where), refused.text
        assert "1949" not in refused.text
    batch = {"checks": [question, question | {"clerk": CITIZEN}]}
    answers = house.call("POST", "/v1/checks/batch", "bank", json=batch).json()["answers"]
    assert [answer["error"]["code"] for answer in answers] == ["E00", "E94"]


def test_a_supervisor_erases_what_an_entry_refers_to(house: House) -> None:
    """By position, for a decision; nobody else may, and a second time there is nothing left."""
    document = {"scheme": "ru-internal", "number": "4509123457"}
    report = {"document": document, "kind": "lost", "proof": "in_person", "evidence": "Ivanov, Ivan"}
    position = house.call("POST", "/v1/reports", "police", json=report).json()["position"]
    path = f"/v1/entries/{position}/erase"
    assert house.call("POST", path, "police", json={"evidence": "decision 9"}).status_code == 403
    assert house.call("POST", path, "supervisor", json={"evidence": "decision 9"}).status_code == 200
    assert house.call("POST", path, "supervisor", json={"evidence": "decision 9"}).status_code == 404
    assert house.call("POST", "/v1/entries/99999999/erase", "supervisor", json={"evidence": "x"}).status_code == 404
