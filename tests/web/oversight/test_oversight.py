"""What a supervisor sees: numbers that are those of the register, lists behind them, live without a script's help."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any, LiteralString

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annul.errors import Conflict
from annul.records.codes import Outcome
from annul.registry.accounts.oversight import percentile
from annul.registry.accounts.pulse import count_years, sample_now, take
from annul.registry.parties.officers import DUTIES
from annul.registry.writing.act import Act
from annul.registry.writing.store import connect
from annul.times import DAY_US
from annul.web.door.session import Sitting
from tests.waiting import until
from tests.web.browser import assert_accessible, assert_fits, chromium, open_page, seat
from tests.web.conftest import House

__all__ = ["chromium"]
PAGES = [
    "/oversight",
    "/oversight/verifiers",
    "/oversight/verifiers?stale=yes",
    "/oversight/disputes",
    "/oversight/lapsed",
    "/oversight/notices",
    "/oversight/parties",
]
LIMITS = [0.001, 0.01, 0.1, 1.0, float("inf")]


@pytest.fixture(scope="module")
def officer(house: House) -> str:
    """A supervisor's officer."""
    with contextlib.suppress(Conflict):
        house.run(house.office.officers.add(Act("supervisor"), "supervisor", "M-9", "Mira Olsen", list(DUTIES)))
    return "supervisor/M-9"


@pytest.fixture
def browser(house: House, officer: str) -> Any:
    """A browser in which the supervisor's officer is signed in."""
    sitting = Sitting(house.office, None)
    house.run(sitting.enter("officer", officer=officer, key_id=house.key_id("supervisor")))
    (cookie,) = sitting.cookies()
    with house.client(cookies={cookie.key: str(cookie.value)}) as made:
        yield made


def test_counts_are_those_of_the_checks(house: House) -> None:
    """Every check that was answered is counted once: by outcome over time, by party, and by its terminal."""
    oversight = house.office.oversight

    def stops() -> int:
        return sum(minute.counts.get(Outcome.STOP.octet, 0) for minute in house.run(oversight.outcomes()))

    lost = house.passport()
    house.report(lost)
    before = stops()
    for _ in range(7):
        house.ask(lost, branch="count-branch", terminal="T9")
    until(lambda: stops() >= before + 7)
    assert stops() == before + 7
    seen = [one for one in house.run(oversight.verifiers()) if one.branch == "count-branch"]
    assert [(one.party, one.terminal) for one in seen] == [("Bank", "T9")]
    card = next(card for card in house.run(oversight.scorecards()) if card.party == "bank")
    assert card.stops >= 7
    assert card.days >= 1


def test_the_pulse_becomes_rates_percentiles_and_years(house: House) -> None:
    """Two samples with checks between them are a rate above zero; the year's figures hold this year's reports."""
    now = house.office.now_us()
    house.report(house.passport())
    with connect(house.settings.database_url) as db:
        take(db, now - 1_000_000)
        for _ in range(5):
            house.ask(house.passport())
        take(db, now + 1)
        count_years(db, now)
    health = house.run(house.office.oversight.health())
    assert health.checks_per_second.value is not None
    assert health.at_us is not None
    _made, years = house.run(house.office.oversight.years())
    assert years[-1].reports["report_lost"] >= 1
    assert years[-1].year == time.gmtime(now / 1e6).tm_year
    until(lambda: sum(sample_now().checks.values()) >= 5)


@given(st.lists(st.integers(0, 1000), min_size=5, max_size=5), st.floats(0.01, 1))
def test_a_percentile_lies_in_the_class_that_holds_it(counts: list[int], share: float) -> None:
    """Never below the class's lower limit, never above its upper one; empty says so."""
    total, after = 0, {}
    for limit, count in zip(LIMITS, counts, strict=True):
        total += count
        after[limit] = float(total)
    found = percentile(after, share)
    if not total:
        assert found is None
        return
    assert found is not None
    upper = next(limit for limit in LIMITS if after[limit] >= share * total)
    lower = max((limit for limit in LIMITS if limit < upper), default=0.0)
    assert lower - 1e-9 <= found <= min(upper, 1.0) + 1e-9


def test_every_number_leads_to_its_list(browser: httpx.Client) -> None:
    """No link of the overview is dead."""
    page = browser.get("/oversight").text
    links = set(re.findall(r'href="(/oversight[^"#]*)', page))
    assert len(links) >= 5
    assert {link: browser.get(link).status_code for link in links} == dict.fromkeys(links, 200)


def test_the_numbers_follow_the_register(browser: httpx.Client) -> None:
    """Server-sent events carry the numbers as the page shows them."""
    with browser.stream("GET", "/oversight/live") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        first = next(stream.iter_text())
    assert first.startswith("data: ")
    assert "checks a second" in first


_TRUE: dict[str, LiteralString] = {
    "stale": "SELECT count(*) FROM verifier WHERE realm = 0 AND freshness <> 1 AND seen_at_us > extract(epoch FROM "
    "now() - interval '1 day') * 1e6",
    "overdue": "SELECT count(*) FROM dispute WHERE realm = 0 AND state = 'open' AND to_timestamp(due_at_us / 1e6) < now()",
    "undelivered": "SELECT count(*) FROM delivery WHERE notice_id IN (SELECT id FROM notice WHERE realm = 0) "
    "AND (state = 'dead' OR (state = 'due' AND to_timestamp(due_at_us / 1e6) < now() - interval '15 minutes'))",
}


def test_the_numbers_on_the_page_are_those_of_the_tables(house: House, browser: httpx.Client) -> None:
    """Counted by hand, also where there are more than a list shows."""
    with connect(house.settings.database_url) as db:
        db.execute(
            "INSERT INTO verifier SELECT 0, 'bank', 'stale', 'T' || g, extract(epoch FROM now()) * 1e6, 2, 1 "
            "FROM generate_series(1, 321) g"
        )
    try:
        for name, query in _TRUE.items():

            def same(name: str = name, query: LiteralString = query) -> bool:
                found = re.search(rf'id="n-{name}".*?<span>([\d,]+)</span></p>', browser.get("/oversight").text, re.DOTALL)
                assert found is not None
                with connect(house.settings.database_url) as db:
                    counted = db.execute(query).fetchone()
                assert counted is not None
                return int(found[1].replace(",", "")) == counted[0] >= (321 if name == "stale" else 0)

            until(same)
    finally:
        with connect(house.settings.database_url) as db:
            db.execute("DELETE FROM verifier WHERE branch = 'stale'")


def test_a_dispute_over_its_term_is_seen(house: House, browser: httpx.Client) -> None:
    """It is counted, named, and stands at the top of its list."""
    lost = house.passport()
    house.report(lost)
    with connect(house.settings.database_url) as db:
        document = db.execute("SELECT max(document_id) FROM report").fetchone()
        assert document is not None
        now = house.office.now_us()
        db.execute(
            "INSERT INTO dispute (id, realm, document_id, raised_by, party, author, fact, ground, case_reference, marked, "
            "opened_at_us, due_at_us, position, state) "
            "VALUES ('d-over', 0, %s, 'holder', 'police', 'police/1', 9, 'other', 'C-1', true, %s, %s, 1, 'open')",
            (document[0], now - 40 * DAY_US, now - 10 * DAY_US),
        )
    try:
        health = house.run(house.office.oversight.health())
        assert health.overdue.value is not None
        assert health.overdue.value >= 1
        assert "d-over" in browser.get("/oversight/disputes").text
        assert "overdue by 10 days" in browser.get("/oversight/disputes").text
    finally:
        with connect(house.settings.database_url) as db:
            db.execute("DELETE FROM dispute WHERE id = 'd-over'")


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_oversight_is_for_everybody(chromium: Any, house: House, officer: str, width: int, language: str) -> None:
    """Accessible at both widths, plots included."""
    page = open_page(chromium, house, width=width, language=language)
    seat(page, house, "officer", officer=officer, key_id=house.key_id("supervisor"))
    for address in PAGES:
        page.goto(address)
        assert_fits(page)
        assert_accessible(page)
    page.context.close()
