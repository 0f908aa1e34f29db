"""The demo's desks, counters, people and samples, made through the doors of a running register: once, whole, and right."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from annul import logs
from annul.client import Client
from annul.demo import citizen, counter, desk, samples
from annul.demo.samples import MAKERS, TRY, Desks, Maker
from annul.demo.seeding import OFFICES, make_offices
from annul.errors import AnnulError, NotAuthorised, PurposeNotAllowed
from annul.home import Home
from annul.records.codes import Channel, Purpose, StatusCode
from annul.records.schemes.cn_resident import check_character
from annul.registry.parties.parties import Agreement
from annul.registry.writing.act import Act
from annul.registry.writing.store import connect
from tests.waiting import WAIT_S, until
from tests.web.conftest import House


class Town:
    """A register with the demo's offices, and a client for each of them."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.credentials = house.run(make_offices(house.office.parties))
        self.open = contextlib.ExitStack()
        self.clients = {name: self.client(each["key"]) for name, each in self.credentials.items()}
        until(self._known, "the keys of the offices")
        self.desks = Desks(*(self.clients[name] for name in ("bank", "issuer", "police")))
        self.samples: dict[str, dict[str, Any]] = {}
        self.birth = 0

    def client(self, key: str) -> Client:
        """Connect with a key; closed with the town."""
        return self.open.enter_context(Client(self.house.url, key))

    def _known(self) -> bool:
        try:
            return bool(self.clients["bank"].connection.get("/v1/policies"))
        except NotAuthorised:
            return False

    def get(self, who: str, path: str, **query: object) -> Any:
        """Read a route as an office."""
        return self.clients[who].connection.get(path, query)

    def keep(self) -> list[int]:
        """Bring the samples up to date; return what the progress was told."""
        told: list[int] = []
        self.samples, self.birth = samples.keep(self.desks, self.samples, self.birth, told.append)
        return told

    def entries(self) -> int:
        """Count what the register has written."""
        with connect(str(self.house.settings.database_url)) as db:
            found = db.execute("SELECT next_position FROM log_head").fetchone()
            assert found is not None
            return int(found[0])


@pytest.fixture(scope="module")
def town(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One register for all of this file."""
    logs.configure("error")
    house = House(make_database(), Home(tmp_path_factory.mktemp("offices")))
    house.start()
    made = Town(house)
    made.keep()
    yield made
    made.open.close()
    house.close()


# -- samples -----------------------------------------------------------------------------------------------------------------


def test_there_is_a_sample_for_every_status_code_a_party_with_reasons_can_see() -> None:
    """All codes but the two classes, which stand for reasons that are not told."""
    assert set(MAKERS) == {code.value for code in StatusCode} - {"S00", "I00"}


@pytest.mark.parametrize("code", MAKERS)
def test_a_sample_answers_its_code(code: str, town: Town) -> None:
    """Asked through the doors, by whoever may see reasons."""
    assert town.desks.bank.ask(town.samples[code], purpose="account-opening", channel="in_person").status.code == code


def test_samples_are_of_persons_of_their_own(town: Town) -> None:
    """No number twice but that of two cards; order number 999, which the country never gives; right but for the wrong one."""
    numbers = {code: each["number"] for code, each in town.samples.items() if each["scheme"] == "cn-resident"}
    assert len(set(numbers.values())) == len(numbers)
    for code, number in numbers.items():
        assert number[14:17] == "999"
        assert (check_character(number[:17]) == number[17]) == (code != "U33")


def test_keeping_samples_that_are_right_writes_nothing(town: Town) -> None:
    """A start with samples in order only asks: no entry, the same documents, one step of progress for each."""
    entries, before = town.entries(), dict(town.samples)
    assert town.keep() == [1] * samples.COUNT
    assert town.samples == before
    assert town.entries() == entries


def test_only_what_is_wrong_is_made_anew(town: Town) -> None:
    """The document to try was reported, and one sample is missing: both are made, all others stay."""
    before = dict(town.samples)
    town.desks.police.report(town.samples[TRY], "lost", proof="in_person")
    del town.samples["S13"]
    town.keep()
    changed = {code for code, fields in town.samples.items() if before[code] != fields}
    assert changed == {TRY, "S13"}
    assert town.desks.bank.ask(town.samples[TRY], purpose="account-opening", channel="in_person").outcome == "PASS"
    assert town.desks.bank.ask(before[TRY], purpose="account-opening", channel="in_person").status.code == "S10"


def test_a_sample_that_answers_otherwise_stops_the_demo(town: Town) -> None:
    """Asked by a party that is not told reasons, the reported card answers its class: nothing is called a sample unseen."""
    parties = town.house.office.parties
    agreement = Agreement(frozenset({Purpose.account_opening}), frozenset(channel.value for channel in Channel))
    town.house.run(parties.create(Act("setup"), "blind", "Blind", "relying_party", agreement=agreement))
    issued = town.house.run(parties.issue_key(Act("setup"), "blind", realm="live"))
    assert town.house.run(town.house.office.listings.reached(issued.position, WAIT_S))
    with pytest.raises(AnnulError, match=r"The sample for S10 answers S00\."):
        samples.keep(Desks(town.client(issued.token), town.desks.issuer, town.desks.police), {}, 5_000)
    with pytest.raises(PurposeNotAllowed):
        samples.keep(Desks(town.clients["telecom"], town.desks.issuer, town.desks.police), {}, 6_000)


def test_a_maker_gives_no_number_twice_and_says_where_it_goes_on(town: Town) -> None:
    """Another maker that goes on there continues: an interrupted start makes nobody a second time."""
    first = Maker(town.desks, 25_000)
    given = [first.number(), first.number(), first.booklet_number()]
    second = Maker(town.desks, first.birth)
    given += [second.number(), second.booklet_number()]
    assert len(set(given)) == 5
    assert all(number.startswith("Q") for number in given if len(number) == 9)


# -- the counter -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counted(town: Town) -> Town:
    """The town after the counter was made to look used."""
    counter.keep(town.desks.bank, town.desks.police, _named(town), str(town.house.settings.database_url))
    return town


def _named(town: Town) -> dict[str, dict[str, Any]]:
    return {code: {"document": fields} for code, fields in town.samples.items()}


def test_the_bank_has_a_policy_of_its_own_and_a_draft(counted: Town) -> None:
    """The default is no longer in force; the draft is stricter where data leaked."""
    book = counted.get("bank", "/v1/policies")
    assert book["in_force"] != 1
    (draft,) = [each for each in book["versions"] if each["state"] == "draft"]
    assert draft["policy"]["status"]["V01"]["in_person"] == "REFER"
    found = counted.get("bank", f"/v1/policies/{draft['version']}/differences", old=book["in_force"])
    assert {each["where"] for each in found["differences"]} == {
        "/name",
        "/status/V00/advice",
        "/status/V01/advice",
        "/status/V01/in_person",
    }


def test_the_policy_in_force_decides_every_sample_as_the_default_does(counted: Town) -> None:
    """Samples keep their outcomes: what the guide says of them stays true."""
    default = counted.get("bank", "/v1/policies/1")["policy"]
    ours = counted.get("bank", f"/v1/policies/{counted.get('bank', '/v1/policies')['in_force']}")["policy"]
    assert ours["status"] == default["status"]
    assert ours["copy_age_max_s"] == default["copy_age_max_s"] // 2


def test_departures_are_only_where_the_clerk_did_otherwise(counted: Town) -> None:
    """Each goes against its answer: who passed was refused, who did not was served; words only for `other`."""
    reasons = {reason for _, _, reason, _ in counter.DEPARTURES}
    found = [each for each in counted.get("bank", "/v1/departures", limit=100)["departures"] if each["reason"] in reasons]
    assert 1 <= len(found) <= len(counter.DEPARTURES)
    for each in found:
        assert (each["outcome"] == "PASS") == (each["decision"] == "refused")
        assert bool(each["words"]) == (each["reason"] == "other")
        assert (each["branch"], each["clerk"]) == (counter.BRANCH["branch"], counter.BRANCH["clerk"])


def test_one_urgent_need_is_overdue_and_one_is_open(counted: Town) -> None:
    """The older was served 43 days ago, and its new card was due within a month."""
    found = {each["reference"]: each for each in counted.get("bank", "/v1/urgent-needs")["needs"]}
    assert {name: each["state"] for name, each in found.items()} == {"K-2041": "open", "K-1187": "overdue"}


def test_a_second_start_finds_the_counter_as_it_is(counted: Town) -> None:
    """No second policy, departure or need."""

    def count() -> list[int]:
        return [
            len(counted.get("bank", "/v1/policies")["versions"]),
            len(counted.get("bank", "/v1/departures", limit=100)["departures"]),
            len(counted.get("bank", "/v1/urgent-needs")["needs"]),
            counted.entries(),
        ]

    before = count()
    counter.keep(counted.desks.bank, counted.desks.police, _named(counted), str(counted.house.settings.database_url))
    assert count() == before


# -- people to log in as -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known(town: Town) -> list[dict[str, str]]:
    """The people of demo.json."""
    people, town.birth = citizen.keep(town.desks, town.clients["telecom"], town.birth, [])
    return people


def test_the_people_to_log_in_as_are_in_the_register_with_their_stories(town: Town, known: list[dict[str, str]]) -> None:
    """Each has a number that is right, a record with both names and contacts, and a story to be seen."""
    assert len(known) == len(citizen.PEOPLE)
    for told, made in zip(known, citizen.PEOPLE, strict=True):
        number = told["personal_number"]
        assert check_character(number[:17]) == number[17]
        assert made.name in told["name"]
        assert told["story"]
        asked = {"personal_number": number, "case": "T-1"}
        (view,) = town.clients["issuer"].connection.post("/v1/persons/find", asked)["persons"]
        assert [name["text"] for name in view["person"]["names"]] == [made.name, made.latin]
        assert {each["kind"] for each in view["person"]["contacts"]} == {"email", "phone"}


def test_each_story_is_true(town: Town, known: list[dict[str, str]]) -> None:
    """A stolen passport, a card somebody doubted by telephone, a locked card: as the checks answer."""

    def code(place: int) -> str | None:
        card = {"scheme": "cn-resident", "number": known[place]["personal_number"], "valid_from": "2021-05-04"}
        return town.desks.bank.ask(card, purpose="account-opening", channel="in_person").status.code

    assert [code(place) for place in range(3)] == ["V00", "S12", "S13"]


def test_people_who_are_known_are_not_made_again(town: Town, known: list[dict[str, str]]) -> None:
    """What demo.json holds is returned as it is, and the maker does not move."""
    entries = town.entries()
    assert citizen.keep(town.desks, town.clients["telecom"], 17, known) == (known, 17)
    assert town.entries() == entries


# -- the desks ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def staffed(town: Town) -> Town:
    """The town after the desks were made to look used."""
    conninfo = str(town.house.settings.database_url)
    town.birth = desk.keep(town.desks, town.clients["telecom"], town.clients["supervisor"], town.birth, conninfo)
    return town


def test_found_cards_are_in_every_state(staffed: Town) -> None:
    """Held, to be destroyed, handed out, destroyed; one matches a report, one has a gap in its chain."""
    cards = {
        state: staffed.get("police", "/v1/found", state=state)["cards"]
        for state in ("held", "to_destroy", "handed_out", "destroyed")
    }
    assert {state: len(found) for state, found in cards.items()} == {
        "held": 3,
        "to_destroy": 1,
        "handed_out": 1,
        "destroyed": 1,
    }
    held = [staffed.get("police", f"/v1/found/{card['card']}") for card in cards["held"]]
    assert sum(bool(card["reports"]) for card in held) == 1
    assert sum(card["broken"] for card in held) == 1


def test_disputes_are_of_several_ages_and_one_is_over_its_term(staffed: Town) -> None:
    """Open ones by age, one upheld, one corrected, one that a relying party raised and nobody marked."""
    opened = staffed.get("supervisor", "/v1/disputes", state="open")["disputes"]
    assert sum(each["overdue"] for each in opened) == 1
    assert [each for each in opened if each["case"] == "FB-99" and not each["marked"]]
    assert len(staffed.get("supervisor", "/v1/disputes", state="upheld")["disputes"]) == 1
    assert len(staffed.get("supervisor", "/v1/disputes", state="corrected")["disputes"]) == 1


def test_both_organisations_that_were_told_wrong_have_a_recall(staffed: Town) -> None:
    """The bank's three answers and the telecom company's one, taken back."""
    counts = {who: staffed.get(who, "/v1/recalls")["recalls"][0]["check_count"] for who in ("bank", "telecom")}
    assert counts == {"bank": 3, "telecom": 1}


def test_officers_are_of_three_desks_and_hand_in_points_are_listed(staffed: Town) -> None:
    """Staff numbers as the screen of the demo tells them; each has work to do."""
    ids = {each["id"] for each in staffed.get("supervisor", "/v1/officers")["officers"]}
    of = {office.credential: office.id for office in OFFICES}
    assert ids == {f"{of[party]}/{staff}" for party, staff, _, _ in desk.OFFICERS}
    assert len(staffed.get("police", "/v1/found/points")["points"]) == len(desk.POINTS)


def test_a_second_start_finds_the_desks_as_they_are(staffed: Town) -> None:
    """Nothing is written, and the maker stays where it was."""
    entries = staffed.entries()
    conninfo = str(staffed.house.settings.database_url)
    assert desk.keep(staffed.desks, staffed.clients["telecom"], staffed.clients["supervisor"], 4_321, conninfo) == 4_321
    assert staffed.entries() == entries
