"""What happens to documents between issue and end: provisional reports, theft, replacement, death, locks, disputes."""

from __future__ import annotations

import asyncio
import datetime

import httpx

from annul import keys as key_file
from annul.listings import Listings
from annul.records.document import DocumentFields, parse_document
from annul.records.status import Proof
from annul.registry.postgres import Embedded
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.register import Recorded, Register
from annul.registry.writing.store import Fresh
from annul.times import now_us
from tests.scenarios.conftest import Fields, Town
from tests.waiting import until


def refused_by_rule(answered: httpx.Response, rule: int) -> bool:
    """Tell whether a write was refused by this rule of the domain, as a problem document."""
    problem = answered.json()
    return answered.status_code == 409 and problem["type"] == "/problems/transition-refused" and problem["rule"] == rule


def test_a_telephone_call_suspends_and_one_step_undoes_it(town: Town) -> None:
    """Weak proof gives S12 with a time at which it lapses; withdrawn, the card passes; history keeps both."""
    for proof in ("phone", "online"):
        card = town.issue()
        report = town.report(card, proof=proof)
        assert report["state"] == "suspended"
        assert report["lapses_at"]
        assert town.code(card) == "S12"
        withdrawn = town.post(f"/v1/reports/{report['report']}/withdraw", {"proof": "online_strong"}, "police")
        assert withdrawn.status_code == 200, withdrawn.text
        assert town.code(card, min_position=withdrawn.json()["position"]) == "V00"
        assert town.http.get(f"/v1/reports/{report['report']}", headers=town.headers("police")).json()["state"] == "withdrawn"


def test_strong_proof_confirms_a_provisional_report(town: Town) -> None:
    """S12 becomes S10; weak proof cannot confirm."""
    card = town.issue()
    report = town.report(card, proof="phone")
    path = f"/v1/reports/{report['report']}/confirm"
    assert refused_by_rule(town.post(path, {"proof": "online"}, "police"), 5)
    assert town.code(card) == "S12"
    confirmed = town.post(path, {"proof": "online_strong"}, "police")
    assert confirmed.json()["state"] == "reported_lost"
    assert town.code(card) == "S10"
    assert town.post(path, {"proof": "online_strong"}, "police").status_code == 409


def test_a_provisional_report_lapses_by_itself(town: Town) -> None:
    """Recorded with a short time to live by the register itself, ended by the running follower."""
    card = town.issue()

    async def call_in() -> Recorded:
        connections, listings = Fresh(Embedded(town.home).conninfo), Listings(town.home / "listings")
        ground = Ground(connections, key_file.load(town.home), town.home, now_us, listings=listings)
        register = Register(ground, provisional_us=1_500_000)
        document = parse_document(DocumentFields(**card))
        return await register.report(Act("police-desk"), document, "lost", happened_at_us=now_us(), proof=Proof.phone)

    report = asyncio.run(call_in())
    until(lambda: town.code(card) == "V00", "the end of the suspension", pause_s=0.1)
    shown = town.http.get(f"/v1/reports/{report.id}", headers=town.headers("police")).json()
    assert shown["state"] == "lapsed"


def test_a_stolen_card_never_lifts_and_a_lost_one_only_in_person(town: Town) -> None:
    """Rule 6: custody was broken by the theft; a lost card lifts on biometric proof, not by telephone."""
    stolen = town.issue()
    report = town.report(stolen, "stolen", "in_person_fingerprint")
    lift = f"/v1/reports/{report['report']}/lift"
    assert refused_by_rule(town.post(lift, {"proof": "in_person_fingerprint"}, "police"), 6)
    found = {"document": stolen, "kind": "found", "proof": "in_person_fingerprint", "reporter": {"role": "holder"}}
    assert refused_by_rule(town.post("/v1/reports", found, "police"), 6)
    assert town.code(stolen) == "S11"
    lost = town.issue()
    report = town.report(lost)
    lift = f"/v1/reports/{report['report']}/lift"
    assert refused_by_rule(town.post(lift, {"proof": "phone"}, "police"), 6)
    assert refused_by_rule(town.post(lift, {"proof": "in_person", "custody_broken": True}, "police"), 6)
    assert town.code(lost) == "S10"
    assert town.post(lift, {"proof": "in_person"}, "police").json()["state"] == "current"
    assert town.code(lost) == "V00"


def test_a_replacement_supersedes_and_the_old_card_stays_dead(town: Town) -> None:
    """Rules 1, 2 and 6: the old card answers I20 and is never lifted or issued again; the number alone is U31."""
    old = town.issue(since="2016-10-06", until="2036-10-06")
    report = town.report(old)
    new = old | {"valid_from": "2026-11-01", "valid_until": "2046-11-01"}
    replaced = town.post("/v1/documents", {"event": "replace", "document": new, "replaces": old}, "issuer")
    assert replaced.status_code == 201, replaced.text
    assert (town.code(old), town.code(new)) == ("S10", "V00")
    lifted = town.post(f"/v1/reports/{report['report']}/lift", {"proof": "in_person"}, "police")
    assert refused_by_rule(lifted, 6) or refused_by_rule(lifted, 1)
    assert town.feed("issue", old).status_code == 409
    plain = town.issue()
    after = town.issue(plain["number"], "2026-11-02", "2046-11-02")
    assert (town.code(plain), town.code(after)) == ("I20", "V00")
    number = {"scheme": "cn-resident", "number": plain["number"]}
    assert town.code(number) == "U31"
    assert town.code(plain | {"valid_from": "2016-10-08"}) == "U32"
    unclear = town.post("/v1/reports", {"document": number, "kind": "lost", "proof": "in_person"}, "police")
    assert (unclear.status_code, unclear.json()["type"]) == (409, "/problems/ambiguous-document")


def test_a_death_fans_out_to_all_documents_of_the_person_and_to_no_other(town: Town) -> None:
    """Rule 3: card and passport of the person answer I22; a neighbour's card still passes."""
    card, neighbour = town.issue(), town.issue()
    passport = {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": f"Z{town.person()[6:14]}"}
    assert town.feed("issue", passport, person_number=card["number"]).status_code == 201
    assert (town.code(card), town.code(passport)) == ("V00", "V00")
    death = {"personal_number": card["number"], "happened_at": "2026-11-20T05:00:00Z", "evidence": "civil event 17"}
    died = town.post("/v1/persons/death", death, "issuer")
    assert died.status_code == 201, died.text
    assert died.json()["documents"] == 2
    assert [town.code(document) for document in (card, passport, neighbour)] == ["I22", "I22", "V00"]
    assert refused_by_rule(town.feed("issue", card | {"valid_from": "2026-11-21", "valid_until": "2046-11-21"}), 3)


def test_one_card_reported_touches_no_other_document_of_its_holder(town: Town) -> None:
    """Rule 3: the passport passes while the card of the same person stops."""
    card = town.issue()
    passport = {"scheme": "icao-9303", "issuer": "UTO", "kind": "P", "number": f"Y{town.person()[6:14]}"}
    town.feed("issue", passport, person_number=card["number"])
    town.report(card)
    assert (town.code(card), town.code(passport)) == ("S10", "V00")


def test_the_owners_lock_opens_for_one_purpose_until_a_time(town: Town) -> None:
    """Rule 10: locked S13, payments pass while it is open for them, everything else stays shut; unlocked for good, V00."""
    card = town.issue()
    assert town.feed("lock", card, proof="online_strong").json()["state"] == "owner_locked"
    assert town.code(card) == "S13"
    until = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)).isoformat()
    assert town.feed("unlock", card, proof="online_strong", purpose="payment").status_code == 400
    opened = town.feed("unlock", card, proof="online_strong", purpose="payment", until=until)
    assert opened.status_code == 201, opened.text
    assert town.code(card, purpose="payment") == "V00"
    assert town.code(card) == "S13"
    assert town.feed("unlock", card, proof="online_strong").json()["state"] == "current"
    assert town.code(card) == "V00"


def test_a_lock_does_not_hide_a_theft(town: Town) -> None:
    """Rule 8: the worst wins, also when the lock is open for a purpose."""
    card = town.issue()
    town.feed("lock", card, proof="online_strong")
    until = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=2)).isoformat()
    town.feed("unlock", card, proof="online_strong", purpose="payment", until=until)
    town.report(card, "stolen")
    assert (town.code(card), town.code(card, purpose="payment")) == ("S11", "S11")
    expired = town.issue(since="2006-01-02", until="2016-01-02")
    assert town.code(expired) == "I21"
    town.report(expired, "stolen")
    assert town.code(expired) == "S11"


def test_a_disputed_listing_answers_u34_until_the_dispute_is_closed(town: Town) -> None:
    """The supervisor opens, the police cannot close, the issuer closes; the listing is there again."""
    card = town.issue()
    town.report(card)

    def dispute(action: str, who: str) -> httpx.Response:
        body = {"action": action, "document": card, "evidence": "file 2026-12"}
        return town.post("/v1/disputes", body, who)

    assert dispute("open", "supervisor").status_code == 201
    asked = town.ask(card)
    assert (asked["status"]["code"], asked["outcome"]) == ("U34", "REFER")
    assert dispute("close", "police").status_code == 403
    assert dispute("close", "issuer").status_code == 201
    assert town.code(card) == "S10"


def test_a_found_card_is_held_until_it_is_returned_on_proof_of_identity(town: Town) -> None:
    """Rule 7: handed in by a finder, I25; not given back on a telephone call."""
    card = town.issue()
    held = town.report(card, "found", "in_person", reporter={"role": "finder"})
    assert held["state"] == "found_held"
    assert town.code(card) == "I25"
    assert town.feed("return", card, proof="phone").status_code == 409
    assert town.feed("return", card, proof="in_person_fingerprint").json()["state"] == "current"
    assert town.code(card) == "V00"


def test_the_status_at_a_time_as_known_at_a_time(town: Town) -> None:
    """Two times on every entry: lost on the 1st, told today; as known yesterday nothing was wrong."""
    card = town.issue()
    lost = "2026-11-01T08:00:00Z"
    report = town.report(card, happened_at=lost)

    def state(at: str, known_at: str | None) -> str:
        asked: Fields = {"document": card, "case": "S-1", "at": at}
        answered = town.post("/v1/documents/status", asked | ({"known_at": known_at} if known_at else {}), "supervisor")
        assert answered.status_code == 200, answered.text
        return str(answered.json()["state"])

    before = town.post("/v1/documents/status", {"document": card, "case": "S-1"}, "supervisor").json()
    assert before["state"] == "reported_lost"
    recorded = town.http.get(f"/v1/reports/{report['report']}", headers=town.headers("police")).json()["recorded_at"]
    earlier = (datetime.datetime.fromisoformat(recorded) - datetime.timedelta(milliseconds=1)).isoformat()
    assert state(recorded, None) == "reported_lost"
    assert state(recorded, earlier) == "current"


def test_who_reported_can_be_erased_and_the_logs_still_verify(town: Town) -> None:
    """The key of name and contact is destroyed once; a test credential, a police desk and a second time are refused."""
    card = town.issue()
    report = town.report(card, reporter={"role": "holder", "name": "王小明", "contact": "+86 10 5555"})
    path, body = f"/v1/reports/{report['report']}/erase", {"evidence": "request 31"}
    assert town.post(path, body, "police").status_code == 403
    assert town.post(path, body, "supervisor", realm="test").status_code == 404
    assert town.post(path, {}, "supervisor").status_code == 400
    assert town.annul("report", "erase", report["report"], "--evidence", "request 31").code == 0
    assert town.post(path, body, "supervisor").status_code == 404
    assert town.code(card) == "S10"
    assert town.annul("log", "verify", "--json").json["verified"] is True
