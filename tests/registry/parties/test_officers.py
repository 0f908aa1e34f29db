"""Officers: who they are, how they sign in, and what ends a passkey."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import psycopg
import pytest

from annul.errors import AnnulError, BadInput, Conflict, NotAuthorised, NotFound
from annul.records.entry import EntryKind, decode
from annul.registry.parties.officers import CHALLENGE_LIFE_US, Officer, Officers, passkey_host
from annul.registry.parties.parties import Parties
from annul.registry.writing.act import Act, same_person
from annul.registry.writing.store import Fresh
from tests.registry.parties.authenticator import Authenticator
from tests.registry.parties.test_parties import Board
from tests.registry.world import World

OPERATOR = Act("operator")


class Station:
    """A police desk with one officer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.board = Board(world.conninfo)
        self.parties = Parties(Fresh(world.conninfo), self.board, world.clock)
        self.officers = Officers(Fresh(world.conninfo), self.parties, world.clock, base_url="http://127.0.0.1:8480")
        run(self.parties.create(OPERATOR, "police", "Police", "police"))
        run(self.parties.create(OPERATOR, "other", "Other police", "police"))
        self.key = run(self.parties.issue_key(OPERATOR, "police"))
        run(self.officers.add(OPERATOR, "police", "0417", "Mei Lin", ["desk", "found"]))
        self.board.publish()

    def officer(self) -> Officer:
        """Return her as she is on record now."""
        return run(self.officers.officer("police/0417"))

    def enrol(self, device: Authenticator) -> str:
        """Make a passkey for her, signed in with her party's key; return its id."""
        asked = run(self.officers.begin_registration(self.officer()))
        act = Act("police/0417", credential=self.key.id)
        made = run(
            self.officers.finish_registration(act, self.officer(), asked.challenge, device.make(asked.options), "blue key")
        )
        return str(made.id)

    def sign_in(self, device: Authenticator) -> str:
        """Sign in and return the officer's id."""
        asked = run(self.officers.begin_sign_in())
        return run(self.officers.finish_sign_in(asked.challenge, device.use(asked.options)))[0].id


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine."""
    return asyncio.run(work)


@pytest.fixture
def station(world: World) -> Station:
    """A police desk with one officer."""
    return Station(world)


def test_an_officer_signs_in_by_key_until_she_has_a_passkey(station: Station) -> None:
    """The party's key and her number let her in; with a passkey the key does not suffice any more."""
    officer, principal = run(station.officers.sign_in_by_key(station.key.token, "0417"))
    assert (officer.id, officer.duties, principal.role) == ("police/0417", ["desk", "found"], "police")
    for bearer, staff in (("live_x", "0417"), (station.key.token, "0418"), (station.key.token, "")):
        with pytest.raises(NotAuthorised):
            run(station.officers.sign_in_by_key(bearer, staff))
    station.enrol(Authenticator())
    with pytest.raises(NotAuthorised, match="passkey"):
        run(station.officers.sign_in_by_key(station.key.token, "0417"))


def test_several_passkeys_of_one_officer_sign_in(station: Station) -> None:
    """Each of them says who she is; the counter is kept."""
    blue, red = Authenticator(), Authenticator()
    station.enrol(blue)
    station.enrol(red)
    assert [station.sign_in(device) for device in (blue, red, blue)] == ["police/0417"] * 3
    kept = run(station.officers.passkeys("police/0417"))
    assert [each.ended for each in kept] == [None, None]
    assert all(each.used_at_us for each in kept)


def test_a_challenge_works_once(station: Station) -> None:
    """The same answer is refused the second time, whatever came of the first; so is one that took too long."""
    device = Authenticator()
    station.enrol(device)
    asked = run(station.officers.begin_sign_in())
    answer = device.use(asked.options)
    run(station.officers.finish_sign_in(asked.challenge, answer))
    with pytest.raises(NotAuthorised):
        run(station.officers.finish_sign_in(asked.challenge, answer))
    slow = run(station.officers.begin_sign_in())
    station.world.clock.us += CHALLENGE_LIFE_US + 1
    with pytest.raises(NotAuthorised):
        run(station.officers.finish_sign_in(slow.challenge, device.use(slow.options)))


def test_a_copied_passkey_ends_with_its_sessions(station: Station) -> None:
    """A counter that went back tells of a copy: refused, ended for ever, and in the log."""
    device = Authenticator()
    station.enrol(device)
    station.sign_in(device)
    station.sign_in(device)
    _begin_session(station, "police/0417")
    device.counter = 0
    with pytest.raises(NotAuthorised, match="copied"):
        station.sign_in(device)
    device.counter = 100
    with pytest.raises(NotAuthorised):
        station.sign_in(device)
    assert [each.ended for each in run(station.officers.passkeys("police/0417"))] == ["copied"]
    assert _open_sessions(station) == 0


@pytest.mark.parametrize("attack", ["origin", "unverified", "another key", "no json", "for another officer"])
def test_a_passkey_that_is_not_right_is_refused(station: Station, attack: str) -> None:
    """Another site's origin, no user verification, a wrong signature, garbage: one sentence, no reason."""
    device = Authenticator()
    station.enrol(device)
    asked = run(station.officers.begin_sign_in())
    if attack == "origin":
        device.origin = "http://localhost.evil.example"
    elif attack == "unverified":
        device.verified = False
    elif attack == "another key":
        device.key = Authenticator().key
    elif attack == "for another officer":
        device.handle = b"x" * 32
    answer = b"{" if attack == "no json" else device.use(asked.options)
    with pytest.raises(NotAuthorised, match="not accepted"):
        run(station.officers.finish_sign_in(asked.challenge, answer))


def test_a_registration_of_another_officer_is_refused(station: Station) -> None:
    """A challenge made for one officer does not add a passkey to another."""
    run(station.officers.add(OPERATOR, "police", "0418", "Jun", ["desk"]))
    other = run(station.officers.officer("police/0418"))
    asked = run(station.officers.begin_registration(station.officer()))
    with pytest.raises(NotAuthorised):
        run(
            station.officers.finish_registration(Act(other.id), other, asked.challenge, Authenticator().make(asked.options), "")
        )
    asked = run(station.officers.begin_registration(station.officer()))
    with pytest.raises(BadInput):
        run(station.officers.finish_registration(Act("police/0417"), station.officer(), asked.challenge, b'{"id": "x"}', ""))


def test_who_is_removed_is_gone_at_once(station: Station) -> None:
    """Inactive: no sign-in, no presence, sessions ended, her passkey refused; restored: all but the sessions works."""
    device = Authenticator()
    passkey = station.enrol(device)
    _begin_session(station, "police/0417")
    assert run(station.officers.present("police/0417", passkey))[1].role == "police"
    run(station.officers.change(OPERATOR, "police/0417", active=False))
    assert _open_sessions(station) == 0
    for attempt in (
        station.officers.present("police/0417", passkey),
        station.officers.sign_in_by_key(station.key.token, "0417"),
    ):
        with pytest.raises(NotAuthorised):
            run(attempt)
    with pytest.raises(NotAuthorised):
        station.sign_in(device)
    run(station.officers.change(OPERATOR, "police/0417", active=True, duties=["disputes"]))
    assert station.sign_in(device) == "police/0417"
    assert station.officer().duties == ["disputes"]


def test_a_session_by_key_ends_with_the_key(station: Station) -> None:
    """Presence is asked anew at every page: a revoked key, another party's key or realm refuses."""
    run(station.officers.present("police/0417", station.key.id))
    with pytest.raises(NotAuthorised):
        run(station.officers.present("police/0417", station.key.id, "test"))
    run(station.officers.add(OPERATOR, "other", "0417", "Her double", ["desk"]))
    with pytest.raises(NotAuthorised):
        run(station.officers.present("other/0417", station.key.id))
    run(station.parties.revoke_key(OPERATOR, station.key.id))
    station.board.publish()
    with pytest.raises(NotAuthorised):
        run(station.officers.present("police/0417", station.key.id))


def test_a_removed_passkey_does_not_sign_in(station: Station) -> None:
    """Removed once; a second removal, or one of another officer's, finds nothing."""
    device = Authenticator()
    station.enrol(device)
    (kept,) = run(station.officers.passkeys("police/0417"))
    with pytest.raises(NotFound):
        run(station.officers.remove_passkey(OPERATOR, "police/0418", kept.id))
    run(station.officers.remove_passkey(OPERATOR, "police/0417", kept.id))
    with pytest.raises(NotFound):
        run(station.officers.remove_passkey(OPERATOR, "police/0417", kept.id))
    with pytest.raises(NotAuthorised):
        station.sign_in(device)
    assert run(station.officers.sign_in_by_key(station.key.token, "0417"))[0].passkeys == 0


BAD: list[tuple[str, str, list[str], type[AnnulError]]] = [
    ("0417", "Twin", ["desk"], Conflict),
    ("", "Nobody", ["desk"], BadInput),
    ("a/b", "Slash", ["desk"], BadInput),
    ("0500", "", ["desk"], BadInput),
    ("0500", "Ann", ["everything"], BadInput),
]


@pytest.mark.parametrize(("staff", "name", "duties", "error"), BAD)
def test_a_bad_officer_is_refused(station: Station, staff: str, name: str, duties: list[str], error: type[AnnulError]) -> None:
    """Nothing is recorded of an officer that cannot be."""
    with pytest.raises(error):
        run(station.officers.add(OPERATOR, "police", staff, name, duties))
    assert [each.id for each in run(station.officers.list("police"))] == ["police/0417"]


def test_every_change_of_officers_is_in_the_log(station: Station) -> None:
    """Add, passkey, removal: one note each, by its author."""
    device = Authenticator()
    station.enrol(device)
    run(station.officers.change(Act("police/0001"), "police/0417", active=False))
    with psycopg.connect(station.world.conninfo) as db:
        entries = [decode(bytes(row[0])) for row in db.execute("SELECT entry FROM register_log ORDER BY position")]
    notes = [(entry.author, entry.body) for entry in entries if entry.kind is EntryKind.note]
    assert notes == [
        ("operator", b"officer: add"),
        ("police/0417", b"officer: passkey added"),
        ("police/0001", b"officer: remove"),
    ]


def test_an_officer_and_her_party_are_not_two_persons() -> None:
    """Two officers of a party are two persons; an officer and the party's key may be one."""
    assert not same_person("police/1", "police/2")
    assert not same_person("police", "police-2")
    assert same_person("police", "police/1")
    assert same_person("police/1", "police")
    assert same_person("police/1", "police/1")


def test_passkeys_belong_to_a_name() -> None:
    """At an address of this machine they are bound to localhost, elsewhere to the host of the public address."""
    assert passkey_host("http://127.0.0.1:8480") == ("localhost", frozenset({"http://localhost:8480"}))
    assert passkey_host("https://annul.example.org") == ("annul.example.org", frozenset({"https://annul.example.org"}))


def _begin_session(station: Station, officer_id: str, name: bytes = b"s" * 32) -> None:
    with psycopg.connect(station.world.conninfo) as db:
        db.execute(
            "INSERT INTO session (id, kind, subject, realm, began_at_us, until_us) VALUES (%s, 'officer', %s, 0, 0, 1)",
            (name, officer_id),
        )


def _open_sessions(station: Station) -> int:
    with psycopg.connect(station.world.conninfo) as db:
        row = db.execute("SELECT count(*) FROM session WHERE ended_at_us IS NULL").fetchone()
    return int(row[0]) if row else -1


def test_a_key_for_counters_signs_no_officer_in(station: Station) -> None:
    """It lies in every branch: with a staff number it would be everybody's way to the policies."""
    run(station.parties.create(OPERATOR, "bank", "Bank", "relying_party"))
    run(station.officers.add(OPERATOR, "bank", "0417", "Head Office", ["policy"]))
    counter = run(station.parties.issue_key(OPERATOR, "bank", use="counter"))
    full = run(station.parties.issue_key(OPERATOR, "bank"))
    station.board.publish()
    assert station.parties.principal(counter.token).id == "bank"  # the key itself is good
    with pytest.raises(NotAuthorised, match="do not belong together"):
        run(station.officers.sign_in_by_key(counter.token, "0417"))
    assert run(station.officers.sign_in_by_key(full.token, "0417"))[0].id == "bank/0417"
    assert run(station.officers.sign_in_by_key(station.key.token, "0417"))[0].id == "police/0417"


def test_who_is_removed_without_ever_having_had_a_passkey_does_not_sign_in_by_key(station: Station) -> None:
    """Nor does a session of hers by key go on; restored, she signs in again."""
    run(station.officers.change(OPERATOR, "police/0417", active=False))
    with pytest.raises(NotAuthorised, match="do not belong together"):
        run(station.officers.sign_in_by_key(station.key.token, "0417"))
    with pytest.raises(NotAuthorised):
        run(station.officers.present("police/0417", station.key.id))
    run(station.officers.change(OPERATOR, "police/0417", active=True))
    assert run(station.officers.sign_in_by_key(station.key.token, "0417"))[0].active


def test_a_removed_passkey_ends_its_officers_sessions(station: Station) -> None:
    """Whoever lost it may have lost a signed-in browser with it; sessions of others go on."""
    run(station.officers.add(OPERATOR, "police", "0418", "Jun", ["desk"]))
    station.enrol(Authenticator())
    (kept,) = run(station.officers.passkeys("police/0417"))
    _begin_session(station, "police/0417")
    run(station.officers.remove_passkey(OPERATOR, "police/0417", kept.id))
    assert _open_sessions(station) == 0
    _begin_session(station, "police/0418", b"t" * 32)
    with pytest.raises(NotFound):
        run(station.officers.remove_passkey(OPERATOR, "police/0417", kept.id))
    assert _open_sessions(station) == 1


def test_a_counter_that_stays_equal_ends_the_passkey(station: Station) -> None:
    """Two devices with one passkey count alike: equal is as bad as lower, unless the device never counts (always 0)."""
    device = Authenticator()
    station.enrol(device)
    station.sign_in(device)
    device.counter -= 1
    with pytest.raises(NotAuthorised, match="copied"):
        station.sign_in(device)
    assert [each.ended for each in run(station.officers.passkeys("police/0417"))] == ["copied"]


def test_a_device_that_never_counts_is_no_copy(station: Station) -> None:
    """Passkeys of today's telephones say 0 for ever. Source: Web Authentication Level 2, section 6.1.1."""
    device = Authenticator()
    station.enrol(device)
    for _ in range(3):
        device.counter = -1
        assert station.sign_in(device) == "police/0417"


def test_a_ceremony_takes_five_minutes_at_most(station: Station) -> None:
    """To the microsecond, as a number."""
    device = Authenticator()
    station.enrol(device)
    for late, works in ((0, True), (1_000_000, False)):
        asked = run(station.officers.begin_sign_in())
        station.world.clock.us += 299_000_000 + late
        if works:
            run(station.officers.finish_sign_in(asked.challenge, device.use(asked.options)))
        else:
            with pytest.raises(NotAuthorised, match="too long"):
                run(station.officers.finish_sign_in(asked.challenge, device.use(asked.options)))
