"""Whatever is wrong in a request: a problem document or the right code, nothing written, nothing of the number echoed."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.scenarios.conftest import Fields, Town
from tests.waiting import until

SECRETS = ("110105198702037713", "7718445566", "445566")
"""Numbers that stand in the requests of this file; they may come back nowhere."""

CARD = {"scheme": "cn-resident", "number": "110105198702037713", "valid_from": "2016-10-06", "valid_until": "2036-10-06"}
LISTED = {"scheme": "ru-internal", "series": "7718", "number": "445566"}
LONG = "7718445566" * 40


def bare(body: Fields, *without: str) -> Fields:
    """Return a body without some members."""
    return {name: value for name, value in body.items() if name not in without}


CHECK: Fields = {"document": LISTED, "purpose": "account-opening", "channel": "in_person"}
REPORT: Fields = {"document": LISTED, "kind": "lost", "happened_at": "2026-11-01T10:00:00Z", "proof": "in_person"}

DOCUMENTS: dict[str, tuple[Any, int]] = {
    "missing": (None, 400),
    "a text": ("7718445566", 400),
    "a list": ([LISTED], 400),
    "no scheme": (bare(LISTED, "scheme"), 400),
    "unknown scheme": (LISTED | {"scheme": "7718445566"}, 400),
    "scheme not a text": (LISTED | {"scheme": 7}, 400),
    "unknown member": (LISTED | {"7718445566": 1}, 400),
    "number missing": (bare(LISTED, "number"), 400),
    "number a number": (LISTED | {"number": 445566}, 400),
    "number too long": (LISTED | {"number": LONG}, 400),
    "series of a scheme without": (CARD | {"series": "7718"}, 400),
    "no such date": (CARD | {"valid_from": "2016-02-30"}, 400),
    "a date of another form": (CARD | {"valid_from": "06.10.2016"}, 400),
    "end before start": (CARD | {"valid_until": "2006-10-06"}, 400),
    "zone lines not a list": ({"scheme": "icao-9303", "mrz": "P<UTO7718445566"}, 400),
    "five zone lines": ({"scheme": "icao-9303", "mrz": ["7718445566"] * 5}, 400),
    "a scheme's field missing": ({"scheme": "icao-9303", "number": "445566"}, 400),
}
MALFORMED: dict[str, Fields] = {
    "number too short": LISTED | {"number": "44556"},
    "wrong check digit": CARD | {"number": "110105198702037715"},
    "unknown division": CARD | {"number": "990105198702037711"},
    "number in Chinese": CARD | {"number": "一一〇一〇五一九八七〇二〇三"},
    "number in Cyrillic": LISTED | {"number": "ДДБЗЗЖ"},
    "number with a control character": LISTED | {"number": "4455\u00006"},
    "zone with wrong check digits": {"scheme": "icao-9303", "mrz": ["P<UTO" + "<" * 39, "7718445566UTO" + "9" * 31]},
}
QUESTIONS: dict[str, tuple[Any, int]] = {
    "no purpose": (bare(CHECK, "purpose"), 400),
    "unknown purpose": (CHECK | {"purpose": "curiosity"}, 400),
    "a purpose outside the agreement": (CHECK | {"purpose": "law-enforcement"}, 403),
    "no channel": (bare(CHECK, "channel"), 400),
    "unknown channel": (CHECK | {"channel": "telepathy"}, 400),
    "holder a text": (CHECK | {"holder": "7718445566"}, 400),
    "holder without a name": (CHECK | {"holder": {}}, 400),
    "empty name": (CHECK | {"holder": {"name": ""}}, 400),
    "name too long": (CHECK | {"holder": {"name": "王" * 201}}, 400),
    "branch too long": (CHECK | {"branch": "7" * 65}, 400),
    "terminal a number": (CHECK | {"terminal": 7}, 400),
    "clerk with a line end": (CHECK | {"clerk": "a\nb"}, 400),
    "reference with U+0000": (CHECK | {"reference": "a\u0000"}, 400),
    "negative position": (CHECK | {"min_position": -1}, 400),
    "position a text": (CHECK | {"min_position": "1"}, 400),
    "a position no register has": (CHECK | {"min_position": 10**30}, 504),
    "unknown member": (CHECK | {"7718445566": 1}, 400),
    "a list": ([CHECK], 400),
    "null": (None, 400),
    "no JSON": (b"{7718445566", 400),
    "no UTF-8": (b'{"purpose": "\xff\xfe"}', 400),
    "half a surrogate": (b'{"document":{"scheme":"\\ud800"}}', 400),
    "nothing": (b"", 400),
    "very deep": (b'{"document":' * 50_000, 400),
    "1 MB": (b'{"document":"' + b"7718445566" * 110_000 + b'"}', 413),
}
REPORTS: dict[str, tuple[Any, int]] = {
    "no kind": (bare(REPORT, "kind"), 400),
    "unknown kind": (REPORT | {"kind": "eaten"}, 400),
    "no proof": (bare(REPORT, "proof"), 400),
    "unknown proof": (REPORT | {"proof": "hearsay"}, 400),
    "in the future": (REPORT | {"happened_at": "2199-01-01T00:00:00Z"}, 400),
    "without a zone": (REPORT | {"happened_at": "2026-11-01T10:00:00"}, 400),
    "no time": (REPORT | {"happened_at": "7718445566"}, 400),
    "long ago": (REPORT | {"happened_at": "0026-11-01T10:00:00Z"}, 400),
    "reporter a text": (REPORT | {"reporter": "7718445566"}, 400),
    "reporter of no known role": (REPORT | {"reporter": {"role": "king"}}, 400),
    "reporter's name too long": (REPORT | {"reporter": {"name": "王" * 201}}, 400),
    "evidence too long": (REPORT | {"evidence": "7" * 201}, 400),
    "evidence with U+0000": (REPORT | {"evidence": "a\u0000"}, 400),
    "unknown member": (REPORT | {"7718445566": 1}, 400),
    "a number as position": (REPORT | {"position": 3}, 400),
    "null": (None, 400),
    "no JSON": (b"{7718445566", 400),
    "no UTF-8": (b'{"evidence": "\xff\xfe"}', 400),
    "1 MB": (b'{"document":"' + b"7718445566" * 110_000 + b'"}', 413),
}


def hold_problem(answered: httpx.Response, status: int, what: str) -> None:
    """Hold that an answer is an RFC 9457 problem with the next step, and repeats nothing of the request."""
    assert answered.status_code == status, (what, answered.status_code, answered.text[:300])
    assert answered.headers["content-type"] == "application/problem+json", what
    problem = answered.json()
    assert problem["status"] == status, what
    assert problem["type"].startswith("/problems/"), what
    assert problem["title"], what
    assert problem["mend"], what
    hold_silent(answered, what)


def hold_silent(answered: httpx.Response, what: str) -> None:
    """Hold that no number of the request is in the answer."""
    told = answered.text + json.dumps(dict(answered.headers))
    assert not [number for number in SECRETS if number in told], what


def whole_document(body: Fields, document: Any) -> Fields:
    """Put a document into a body; None leaves it out."""
    return bare(body, "document") if document is None else body | {"document": document}


def test_every_wrong_field_of_a_question_is_a_problem_and_writes_nothing(town: Town) -> None:
    """Each field wrong, missing, too long, in the wrong script: no answer, no account of one, no entry."""
    position = town.position
    accounts = checks_asked(town)
    for what, (document, status) in DOCUMENTS.items():
        hold_problem(town.post("/v1/checks", whole_document(CHECK, document), "bank"), status, what)
    for what, (body, status) in QUESTIONS.items():
        answered = town.post("/v1/checks", body, "bank")
        hold_problem(answered, status, what)
        assert answered.json()["outcome"] == "NO_ANSWER", what
    assert town.position == position
    assert checks_asked(town) == accounts


def checks_asked(town: Town) -> int:
    """Return how many answers stand in the check log."""
    from annul.registry.answering.checklog import read_windows, worker_folder, workers

    checks = town.home / "checks"
    return sum(window.stated.count for worker in workers(checks) for window in read_windows(worker_folder(checks, worker)))


def test_every_wrong_field_of_a_report_is_a_problem_and_writes_nothing(town: Town) -> None:
    """The register's position stands still, and the document still passes."""
    position = town.position
    for what, (document, status) in DOCUMENTS.items():
        hold_problem(town.post("/v1/reports", whole_document(REPORT, document), "police"), status, what)
    for what, malformed in MALFORMED.items():
        answered = town.post("/v1/reports", REPORT | {"document": malformed}, "police")
        assert answered.status_code in (400, 422), what
        hold_problem(answered, answered.status_code, what)
    for what, (body, status) in REPORTS.items():
        hold_problem(town.post("/v1/reports", body, "police"), status, what)
    assert town.position == position
    assert town.code(LISTED) == "V00"


def test_a_number_that_cannot_be_one_is_u33_and_says_what_to_do(town: Town) -> None:
    """Not an error of the caller: REFER, and the sentence is for the user, not about the number."""
    for what, document in MALFORMED.items():
        answered = town.post("/v1/checks", CHECK | {"document": document}, "bank")
        assert answered.status_code == 200, (what, answered.text)
        answer = answered.json()
        assert (answer["status"]["code"], answer["outcome"]) == ("U33", "REFER"), what
        assert "again" in answer["detail"], what
        hold_silent(answered, what)
        town.answers.append(answer)


def test_a_date_to_come_fits_no_document(town: Town) -> None:
    """A card that starts in the future is no card of this number (U32), and cannot be issued or reported."""
    card = town.issue()
    hold_problem(town.post("/v1/checks", CHECK | {"document": card | {"valid_from": "2450-01-02"}}, "bank"), 400, "year 2450")
    future = card | {"valid_from": "2060-01-02", "valid_until": "2080-01-02"}
    answer = town.ask(future)
    assert (answer["status"]["code"], answer["outcome"]) == ("U32", "STOP")
    assert town.post("/v1/reports", REPORT | {"document": future}, "police").status_code in (400, 404)
    born_later = CARD | {"number": "110105218702037719"}
    assert town.code(born_later) == "U33"


def test_numbers_are_read_in_every_writing(town: Town) -> None:
    """Full-width and Arabic-Indic digits, spaces and a lower-case x name the same card."""
    card = town.issue()
    wide = card["number"].translate({ord("0") + n: 0xFF10 + n for n in range(10)} | {ord("X"): "Ｘ"})
    arabic = card["number"].translate({ord("0") + n: 0x0660 + n for n in range(10)})
    spaced = f" {card['number'][:6]} {card['number'][6:14]} {card['number'][14:].lower()} "
    for number in (wide, arabic, spaced):
        assert town.code(card | {"number": number}) == "V00"


def test_ten_thousand_and_one_checks_are_refused_as_a_whole(town: Town) -> None:
    """413 for one too many; a batch with bad ones in it answers the good ones, each in its place."""
    accounts = checks_asked(town)
    hold_problem(town.post("/v1/checks/batch", {"checks": [CHECK] * 10_001}, "bank"), 413, "10,001")
    assert checks_asked(town) == accounts
    hold_problem(town.post("/v1/checks/batch", {"checks": CHECK}, "bank"), 400, "not a list")
    hold_problem(town.post("/v1/checks/batch", {}, "bank"), 400, "no list")
    torn = b'{"checks": [{"purpose": "' + b"\xff" + b'"}]}'
    assert town.post("/v1/checks/batch", torn, "bank").status_code in (200, 400)
    mixed = [
        CHECK,
        bare(CHECK, "purpose"),
        7,
        CHECK | {"purpose": "law-enforcement"},
        CHECK | {"document": CARD | {"number": "1"}},
    ]
    answered = town.post("/v1/checks/batch", {"checks": mixed}, "bank")
    hold_silent(answered, "mixed")
    answers = answered.json()["answers"]
    town.answers += answers
    assert [(answer["outcome"], answer["error"]["code"]) for answer in answers] == [
        ("PASS", "E00"),
        ("NO_ANSWER", "E94"),
        ("NO_ANSWER", "E94"),
        ("NO_ANSWER", "E93"),
        ("REFER", "E00"),
    ]


@pytest.mark.parametrize("path", ["/v1/checks", "/v1/checks/batch", "/v1/reports"])
def test_other_methods_and_strangers_are_turned_away(town: Town, path: str) -> None:
    """PUT, PATCH and DELETE, no credential, a wrong one, one of a wrong form: never an answer."""
    for method in ("PUT", "PATCH", "DELETE"):
        answered = town.http.request(method, path, headers=town.headers("bank"), content=json.dumps(CHECK))
        hold_problem(answered, 405, f"{method} {path}")
        assert answered.headers["allow"]
    for bearer in (
        None,
        "Bearer live_0000000000000000_00",
        "Bearer",
        "Basic Zm9vOmJhcg==",
        "Bearer a.b.c",
        f"Bearer {'x' * 5000}",
    ):
        headers = {"Content-Type": "application/json"} | ({"Authorization": bearer} if bearer else {})
        answered = town.http.post(path, headers=headers, content=json.dumps(CHECK))
        hold_problem(answered, 401, f"{bearer} {path}")
        assert answered.headers["www-authenticate"].startswith("Bearer")
    assert town.http.get("/v1/checks/batch", headers=town.headers("bank")).status_code == 405


def test_an_expired_and_a_revoked_key_are_no_keys(town: Town) -> None:
    """A key that ends in a moment works until then; a revoked one is refused by the next request."""
    import datetime

    lasting = town.post("/v1/parties/first-bank/keys", {"label": "revoked"}, "supervisor").json()
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=12)
    made = town.post("/v1/parties/first-bank/keys", {"expires_at": ends.isoformat(), "label": "short"}, "supervisor")
    assert made.status_code in (200, 201), made.text

    def ask(token: str) -> httpx.Response:
        return town.http.post("/v1/checks", headers={"Authorization": f"Bearer {token}"}, json=CHECK)

    assert ask(made.json()["token"]).status_code == 200
    assert ask(lasting["token"]).status_code == 200
    revoked = town.post(f"/v1/keys/{lasting['id']}/revoke", b"", "supervisor")
    assert revoked.status_code == 200, revoked.text
    hold_problem(ask(lasting["token"]), 401, "revoked")
    until(lambda: ask(made.json()["token"]).status_code != 200, "the end of the key", pause_s=0.2)
    hold_problem(ask(made.json()["token"]), 401, "expired")
    hold_problem(
        town.http.get("/v1/checks", headers={"Authorization": f"Bearer {made.json()['token']}"}), 401, "expired, behind"
    )
    past = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)).isoformat()
    hold_problem(town.post("/v1/parties/first-bank/keys", {"expires_at": past}, "supervisor"), 400, "a key of the past")


def test_no_number_is_ever_in_a_log_line_a_file_name_or_a_count(town: Town) -> None:
    """After everything above: the server's output at its most talkative, its metrics and its files hold no number."""
    card = town.issue()
    for _ in range(2):
        town.report(card)
    town.post("/v1/checks", b'{"document": {"number": "' + card["number"].encode() + b'"', "bank")
    told = town.error_log.read_text() + town.http.get("/metrics").text
    assert "started" in told  # the log is there and talks
    numbers = [*SECRETS, card["number"], card["number"].lower()]
    assert not [number for number in numbers if number in told]
    names = [str(path) for path in town.home.rglob("*")]
    assert not [number for number in numbers if any(number in name for name in names)]
    for log in (town.home / "checks").rglob("*.log"):
        assert not [number for number in numbers if number.encode() in log.read_bytes()]
