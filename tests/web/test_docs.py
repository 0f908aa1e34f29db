"""docs/api.md is true: every address has a command, and every command does what it says."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from annul.demo.portraits import portrait
from annul.edge.store import Store
from annul.records.document import DocumentFields, parse_document
from annul.records.person import Name, Person
from annul.registry.conduct.duties import Duty
from annul.registry.conduct.reconcile import Reconciler
from annul.registry.people.reading import read_one
from annul.registry.writing.act import Act
from annul.registry.writing.ground import Ground
from annul.registry.writing.store import connect
from annul.times import DAY_US, now_us, rfc3339
from annul.web.door.call import Route
from annul.web.routes import ROUTES
from tests.web.api.test_editions import journal
from tests.web.api.test_feed import acknowledged
from tests.web.api.test_subscriptions import told
from tests.web.conftest import House
from tests.web.review.test_review import enter, somebody

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
COMMANDS = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
TIMEOUT_S = 240


CALLS = [part.split("\n\n")[0] for part in COMMANDS.split("curl --")[1:]]
"""Each command from its curl to the next empty line or the next curl."""


def _called(route: Route) -> bool:
    address = re.escape(re.sub(r":path}", "}", route.path)).replace(r"\{log\}", "register")
    pattern = re.compile(r'"\$ANNUL' + re.sub(r"\\{(path)?\w*\\}", r"(?:[^\"]+)", address) + r'(?:\?[^"]*)?"')
    posts = [" -d " in call or "-X POST" in call for call in CALLS if pattern.search(call)]
    return (route.method == "POST") in posts


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.page], ids=lambda route: route.name)
def test_every_address_has_a_command(route: Route) -> None:
    """A route that is not shown here is not documented."""
    assert _called(route)


def _staged_persons(house: House, number: str) -> str:
    person = Person(personal_number=number, names=[Name("李雷")])
    return house.office.person_imports.stage_lines(Act("issuer"), [[(1, read_one(person))]]).id


def _finding(house: House) -> str:
    """Let the bank have done business three weeks ago without a check, and return what was found."""
    office = house.office
    ground = Ground(office.pool, office.keys, house.settings.home, now_us)
    house.run(office.conduct.duties.put(Act("supervisor"), "bank", [Duty(business="account-opening")]))
    document = parse_document(DocumentFields(scheme="ru-internal", series="4509", number="700030"))
    event = {
        "reference": "docs-1",
        "happened_at": rfc3339(now_us() - 21 * DAY_US),
        "business": "account-opening",
        "document": office.conduct.events.keys_for("bank", "live", [document])[0],
    }
    house.run(office.conduct.events.take(Act("bank"), "bank", json.dumps(event).encode()))
    found = house.run(Reconciler(ground, house.settings.database_url).run())
    assert found.unchecked == 1
    (one,) = house.run(office.conduct.findings.list("live", party="bank"))
    return str(one.id)


def _alarm(house: House) -> str:
    """Keep an alarm as a night raises it."""
    with connect(house.settings.database_url) as db:
        db.execute(
            "INSERT INTO abuse_alarm (id, realm, party, branch, clerk, pattern, day, score, facts, response, state, "
            "raised_at_us, "
            "position) VALUES ('aa_' || repeat('0', 24), 0, 'bank', '0421', 'C-17', 'volume', 20000, 2, "
            """'{"seen": 90, "usual": 20}', 'ask', 'open', 0, 0)"""
        )
    return "aa_" + "0" * 24


@pytest.mark.skipif(shutil.which("curl") is None or shutil.which("bash") is None, reason="curl or bash is not installed")
def test_every_command_does_what_it_says(house: House, tmp_path: Path) -> None:
    """All commands of the page, in their order, in one shell that stops at the first failure."""
    told(house)  # the bank has a document on file that died
    staged = []
    for number in (1, 2):
        file = house.settings.home / f"docs-{number}.csv"
        file.write_text(f"PASSP_SERIES,PASSP_NUMBER\n4510,90000{number}\n")
        staged.append(house.run(house.stage(file)))
    impostor = somebody("李四", sex="M")
    enter(house, impostor)
    enter(house, somebody("王明", sex="F"))  # the clean-up has something to decide
    key = OKPKey.generate_key("Ed25519")
    now = int(time.time())
    claims = {"iss": "docs-hotel", "sub": "docs-hotel", "aud": house.url, "exp": now + 250, "jti": str(uuid.uuid4())}
    environment = {
        "PATH": os.environ["PATH"],
        "ANNUL": house.url,
        "BANK": house.keys["bank"],
        "POLICE": house.keys["police"],
        "ISSUER": house.keys["issuer"],
        "SUPERVISOR": house.keys["supervisor"],
        "BULK": staged[0],
        "JOURNAL": journal(house, tmp_path / "edges", "edge-docs"),
        "ACKNOWLEDGEMENT": acknowledged(Store(tmp_path / "edges" / "edge-docs"), 1),
        "BULK2": staged[1],
        "FINDING": _finding(house),
        "ALARM": _alarm(house),
        "IMPOSTOR": str(impostor.personal_number),
        "SECOND": house.keys["second"],
        "PERSONS": _staged_persons(house, "11010519850101001X"),
        "PERSONS2": _staged_persons(house, "440524198001010013"),
        "PORTRAIT": base64.b64encode(portrait(1)).decode(),
        "JWK": json.dumps(key.as_dict(private=False)),
        "ASSERTION": jwt.encode({"alg": "Ed25519"}, claims, key, algorithms=["Ed25519"]),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", COMMANDS],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
