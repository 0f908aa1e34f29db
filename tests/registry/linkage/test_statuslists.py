"""A wallet's credential dies with the card; verifiers who never saw this code read the lists."""

from __future__ import annotations

import asyncio
import base64
import gzip
import zlib
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from annul.errors import BadInput, Conflict, NotFound
from annul.home import Home
from annul.records.status import State, mask
from annul.registry.linkage import packing
from annul.registry.linkage.credentials import Credentials
from annul.registry.linkage.press import ListPress
from annul.registry.linkage.rules import INVALID, RULES, SUSPENDED, VALID, state_by, worse
from annul.registry.linkage.signing import CWT, JWT, VC
from annul.registry.writing.store import Fresh
from tests.registry.editions.house import House, card
from tests.registry.editions.test_feed import living
from tests.registry.world import DAY_US, World

BASE = "https://register.example"


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine."""
    return asyncio.run(work)


@pytest.fixture
def house(database: str, tmp_path: Path) -> Iterator[House]:
    """A register with some thousand cards."""
    world = World(database, Home(tmp_path / "home"))
    yield House.filled(world, tmp_path / "edges")
    world.close()


def opened(compressed: bytes, bits: int) -> Any:
    """Return the entries of a Token Status List as a verifier reads them."""
    octets = np.frombuffer(zlib.decompress(compressed), np.uint8)
    return ((octets[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & np.uint8((1 << bits) - 1)).reshape(-1)


def decoded_list(text: str) -> Any:
    """Return the entries of an encodedList as a verifier reads them."""
    raw = gzip.decompress(base64.urlsafe_b64decode(text[1:] + "=" * (-(len(text) - 1) % 4)))
    return np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="big")


def press(house: House) -> ListPress:
    """Return a press that has given out nothing yet."""
    return ListPress(Fresh(house.world.conninfo), house.world.keys, BASE, house.world.clock)


def states(house: House, list_id: int, at_s: int | None = None) -> Any:
    """Return what a list says, verified by a library that is not ours."""
    made = press(house)
    token = run(made.give(str(list_id), JWT, at_s)).decode()
    read = jwt.decode(token, ECKey.import_key(made.signer.jwk), algorithms=["ES256"])
    assert read.header["typ"] == "statuslist+jwt"
    assert read.claims["sub"] == f"{BASE}/v1/statuslists/{list_id}"
    assert read.claims["iat"] < read.claims["exp"]
    lst = read.claims["status_list"]
    return opened(base64.urlsafe_b64decode(lst["lst"] + "=="), lst["bits"])


# -- the specifications' own examples ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "entries", "raw", "lst"),
    [
        (1, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1], "b9a3", "eNrbuRgAAhcBXQ"),
        (2, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3], "c944f9", "eNo76fITAAPfAgc"),
    ],
)
def test_token_status_list_as_the_draft_has_it(bits: int, entries: list[int], raw: str, lst: str) -> None:
    """draft-ietf-oauth-status-list, 4.1 and 4.2: bytes, and the compressed text, to the character."""
    made = packing.packed(entries, bits)
    assert made.hex() == raw
    assert packing.text_of(packing.squeezed(made)) == lst
    assert opened(base64.urlsafe_b64decode(lst + "=="), bits)[: len(entries)].tolist() == entries


def test_bitstring_status_list_as_the_recommendation_has_it() -> None:
    """The encodedList of W3C's example 4: 131,072 entries, none set; and the first entry is the highest bit."""
    example = "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA"
    assert decoded_list(example).tolist() == [0] * 131_072
    made = packing.encoded_list([1, 0, 0])
    assert gzip.decompress(base64.urlsafe_b64decode(made[1:] + "=="))[0] == 0x80


@given(st.sampled_from([1, 2, 4, 8]), st.data())
def test_what_is_packed_is_unpacked(bits: int, data: st.DataObject) -> None:
    """Any states, any number of bits; the padding is VALID."""
    entries = data.draw(st.lists(st.integers(0, (1 << bits) - 1), max_size=70))
    back = opened(packing.squeezed(packing.packed(entries, bits)), bits).tolist()
    assert back == entries + [0] * (len(back) - len(entries))
    assert len(back) - len(entries) < 8


def test_what_does_not_fit_is_refused() -> None:
    """A state beyond the entry's bits, or bits no list has."""
    for entries, bits in (([2], 1), ([4], 2), ([0], 3)):
        with pytest.raises(BadInput):
            packing.packed(entries, bits)


# -- rules ------------------------------------------------------------------


@given(st.sampled_from(sorted(RULES)), st.sets(st.sampled_from(list(State))), st.sampled_from(list(State)))
def test_a_further_fact_never_makes_a_credential_better(rule: str, facts: set[State], more: State) -> None:
    """Whatever stands of a document: one more fact leaves the credential as it is, or makes it worse."""
    standing = mask(*facts)
    before, after = state_by(rule, standing), state_by(rule, standing | more.bit)
    assert worse(before, after) == after


def test_the_table_of_rules() -> None:
    """What each rule makes of what happens to documents."""
    happened = {
        "provisional": mask(State.current, State.suspended),
        "lost": mask(State.current, State.reported_lost),
        "replaced": mask(State.current, State.superseded),
        "lost and replaced": mask(State.current, State.reported_lost, State.superseded),
        "cancelled": mask(State.current, State.cancelled),
        "locked": mask(State.current, State.owner_locked),
        "data compromised": mask(State.current, State.compromised),
    }
    said = {rule: [state_by(rule, standing) for standing in happened.values()] for rule in RULES}
    assert said == {
        "suspended-when-reported": [SUSPENDED, SUSPENDED, INVALID, INVALID, INVALID, SUSPENDED, VALID],
        "dies-when-reported": [SUSPENDED, INVALID, INVALID, INVALID, INVALID, SUSPENDED, VALID],
        "survives-replacement": [SUSPENDED, SUSPENDED, VALID, SUSPENDED, INVALID, SUSPENDED, VALID],
    }


# -- with a register --------------------------------------------------------


def test_credentials_follow_their_document(house: House) -> None:
    """Reported: suspended or dead by rule, in the list, and as it was before when asked about the past."""
    credentials = Credentials(house.world.ground)
    first, second = living(2)
    soft = run(credentials.attach("issuer", "live", card(first), "suspended-when-reported"))
    hard = run(credentials.attach("issuer", "live", card(first), "dies-when-reported"))
    other = run(credentials.attach("issuer", "live", card(second), "dies-when-reported"))
    assert len({soft.place, hard.place, other.place}) == 3
    assert np.count_nonzero(states(house, soft.list_id)) == 0
    house.world.clock.us += 10_000_000
    before_s = house.world.clock() // 1_000_000
    house.world.clock.us += 10_000_000
    house.report(card(first))
    assert run(credentials.follow()) > 0
    now = states(house, soft.list_id)
    assert (now[soft.place], now[hard.place], now[other.place]) == (SUSPENDED, INVALID, VALID)
    assert np.count_nonzero(now) == 2
    assert np.count_nonzero(states(house, soft.list_id, before_s)) == 0
    assert [one.told for one in run(credentials.of_document("live", card(first)))] == [SUSPENDED, INVALID]
    assert run(credentials.follow()) == 0


def test_every_form_says_the_same(house: House) -> None:
    """JWT and CWT with two bits, and one bit a purpose; the verifiable credential of a purpose; each verified from outside."""
    credentials = Credentials(house.world.ground)
    (number,) = living(1)
    made = [
        run(credentials.attach("issuer", "live", card(number), rule))
        for rule in ("suspended-when-reported", "dies-when-reported")
    ]
    house.report(card(number))
    run(credentials.follow())
    lists = press(house)
    listed = str(made[0].list_id)
    key = ECKey.import_key(lists.signer.jwk)
    public = ec.EllipticCurvePublicNumbers(
        *(int.from_bytes(base64.urlsafe_b64decode(lists.signer.jwk[part] + "=="), "big") for part in "xy"),
        ec.SECP256R1(),
    ).public_key()
    for name, bits, wanted in (
        (listed, 2, {made[0].place: 2, made[1].place: 1}),
        (f"{listed}-revocation", 1, {made[1].place: 1}),
    ):
        tag = cbor2.loads(run(lists.give(name, CWT)))
        protected, _, payload, signature = tag.value
        assert tag.tag == 18
        assert cbor2.loads(protected)[16] == "application/statuslist+cwt"
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        signed = cbor2.dumps(["Signature1", protected, b"", payload])
        public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        claims = cbor2.loads(payload)
        assert claims[2] == f"{BASE}/v1/statuslists/{name}"
        assert claims[65534] == 300
        assert claims[65533]["bits"] == bits
        entries = opened(claims[65533]["lst"], bits)
        assert {int(place): int(entries[place]) for place in np.flatnonzero(entries)} == wanted
    for purpose, place in (("revocation", made[1].place), ("suspension", made[0].place)):
        read = jwt.decode(run(lists.give(f"{listed}-{purpose}", VC)).decode(), key, algorithms=["ES256"])
        subject = read.claims["credentialSubject"]
        assert read.header["typ"] == "vc+jwt"
        assert (read.claims["id"], subject["statusPurpose"]) == (f"{BASE}/v1/statuslists/{listed}-{purpose}", purpose)
        assert np.flatnonzero(decoded_list(subject["encodedList"])).tolist() == [place]
    with pytest.raises(BadInput):
        run(lists.give(listed, VC))
    with pytest.raises(BadInput):
        run(lists.give(listed, JWT, house.world.clock() // 1_000_000 + 99))
    with pytest.raises(NotFound):
        run(lists.give("99", JWT))
    with pytest.raises(NotFound):
        run(lists.give(listed, JWT, 1_000))
    assert run(lists.uris()) == [f"{BASE}/v1/statuslists/{listed}{end}" for end in ("", "-revocation", "-suspension")]


def test_invalid_never_revives(house: House) -> None:
    """Stated by its issuer, or by rule: neither a lift nor a statement brings it back; suspended comes and goes."""
    credentials = Credentials(house.world.ground)
    first, second = living(2)
    dead = run(credentials.attach("issuer", "live", card(first), "suspended-when-reported"))
    assert run(credentials.state("issuer", "live", dead.id, SUSPENDED)).told == SUSPENDED
    assert run(credentials.state("issuer", "live", dead.id, VALID)).told == VALID
    assert run(credentials.state("issuer", "live", dead.id, INVALID)).told == INVALID
    for own in (VALID, SUSPENDED):
        with pytest.raises(Conflict):
            run(credentials.state("issuer", "live", dead.id, own))
    by_rule = run(credentials.attach("issuer", "live", card(second), "dies-when-reported"))
    house.report(card(second))
    run(credentials.follow())
    assert states(house, by_rule.list_id)[by_rule.place] == INVALID
    with pytest.raises(Conflict):
        run(credentials.state("issuer", "live", by_rule.id, VALID))
    with pytest.raises(NotFound):
        run(credentials.state("other", "live", by_rule.id, INVALID))


def test_what_cannot_be_attached(house: House) -> None:
    """Unknown documents, unknown rules, dead documents: refused, and no place is given out."""
    credentials = Credentials(house.world.ground)
    dead = next(number for number in range(999) if number * 7919 % 100 in (4, 5))  # superseded
    with pytest.raises(Conflict):
        run(credentials.attach("issuer", "live", card(dead), "suspended-when-reported"))
    with pytest.raises(BadInput):
        run(credentials.attach("issuer", "live", card(1), "lives-for-ever"))
    with pytest.raises(NotFound):
        run(credentials.attach("issuer", "live", card(999_999), "suspended-when-reported"))
    assert run(press(house).uris()) == []


def test_places_are_at_random_and_a_full_list_is_followed_by_another(house: House) -> None:
    """No order of issue shows in the indexes; at nine tenths the next list begins."""
    credentials = Credentials(house.world.ground, size=16)
    made = [run(credentials.attach("issuer", "live", card(number), "survives-replacement")) for number in living(20)]
    assert len({(one.list_id, one.place) for one in made}) == 20
    assert sorted({one.list_id for one in made}) == [made[0].list_id, made[0].list_id + 1]
    assert [one.place for one in made[:15]] != sorted(one.place for one in made[:15])


def test_a_list_is_signed_once_and_anew_when_it_changed(house: House) -> None:
    """From memory within a second, looked up afterwards; a change of one place is in the next one."""
    credentials = Credentials(house.world.ground)
    (number,) = living(1)
    made = run(credentials.attach("issuer", "live", card(number), "dies-when-reported"))
    lists = press(house)
    first = run(lists.give(str(made.list_id), JWT))
    assert run(lists.give(str(made.list_id), JWT)) is first
    kept = lists._kept[str(made.list_id), JWT]
    kept.looked -= 10
    assert run(lists.give(str(made.list_id), JWT)) is first  # looked up, unchanged
    house.world.clock.us += DAY_US
    run(credentials.state("issuer", "live", made.id, INVALID))
    kept.looked -= 10
    assert run(lists.give(str(made.list_id), JWT)) != first
