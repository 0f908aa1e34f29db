"""Who has a document on file hears of its death; the register sees noise until then."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from voprf.ristretto import BlindedInput, Client, Evaluator, PublicKey, VerifiableBatchOutput

from annul.errors import BadInput, Conflict, NotFound, OverQuota
from annul.home import Home
from annul.records.document import Document, DocumentKeys, block
from annul.registry.linkage.blinding import PROOF_BYTES, TOKEN_BYTES, Blinding
from annul.registry.linkage.book import Subscriptions
from annul.registry.linkage.misuse import Misuse
from annul.registry.linkage.watch import Watch
from annul.times import DAY_US
from tests.registry.editions.house import House, card
from tests.registry.editions.test_feed import living
from tests.registry.world import World


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine."""
    return asyncio.run(work)


@pytest.fixture
def house(database: str, tmp_path: Path) -> Iterator[House]:
    """A register with some thousand cards."""
    world = World(database, Home(tmp_path / "home"))
    yield House.filled(world, tmp_path / "edges")
    world.close()


def book(house: House, *, tokens_max: int = 10_000, blindings_max: int = 10_000) -> Subscriptions:
    """Return the book of a register."""
    return Subscriptions(house.world.ground, tokens_max=tokens_max, blindings_max=blindings_max)


def tokens_of(subscriptions: Subscriptions, documents: list[Document], party: str = "bank") -> list[bytes]:
    """Return tokens as a party makes them: blind, have evaluated, verify, unblind."""
    parameters = subscriptions.parameters("live")
    carried = DocumentKeys(parameters.carried)
    blinded = [Client.blind(carried.blind(block(document))) for document in documents]
    made = run(subscriptions.blind(party, "live", [bytes(point.serialize()) for _, point in blinded]))
    outputs = VerifiableBatchOutput.deserialize(made.proof + b"".join(made.elements))
    finished = Client.finalize_batch([client for client, _ in blinded], outputs, PublicKey.deserialize(parameters.public_key))
    return [bytes(each)[:TOKEN_BYTES] for each in finished]


def follow(house: House) -> int:
    """Follow the register to its end, with a watch that begins anew each time, as after a restart."""
    read = 0
    while step := run(Watch(house.world.ground).step()):
        read += step
    return read


VECTORS = (
    (
        "00",
        "863f330cc1a1259ed5a5998a23acfd37fb4351a793a5b3c090b642ddc439b945",
        "aa8fa048764d5623868679402ff6108d2521884fa138cd7f9c7669a9a014267e",
        "b58cfbe118e0cb94d79b5fd6a6dafb98764dff49c14e1770b566e42402da1a7da4d8527693914139caee5bd03903af43a491351d23b430948dd50cde10d32b3c",
    ),
    (
        "5a" * 17,
        "cc0b2a350101881d8a4cba4c80241d74fb7dcbfde4a61fde2f91443c2bf9ef0c",
        "60a59a57208d48aca71e9e850d22674b611f752bed48b36f7a91b372bd7ad468",
        "8a9a2f3c7f085b65933594309041fc1898d42d0858e59f90814ae90571a6df60356f4610bf816f27afdd84f47719e480906d27ecd994985890e5f539e7ea74b6",
    ),
)
"""Source: RFC 9497, appendix A.1.2 (VOPRF mode, test vectors 1 and 2): input, blinded element, evaluation element, output."""


@pytest.mark.parametrize(("given", "blinded", "evaluated", "output"), VECTORS)
def test_the_function_is_that_of_the_rfc(given: str, blinded: str, evaluated: str, output: str) -> None:
    """DeriveKeyPair, BlindEvaluate and Evaluate of the package give the RFC's own bytes, in the form that is sent."""
    evaluator = Evaluator.from_seed(b"\xa3" * 32, b"test key")
    assert bytes(evaluator.public_key.serialize()).hex() == "c803e2cc6b05fc15064549b5920659ca4a77b2cca6f04f6b357009335476ad4e"
    raw = bytes(evaluator.evaluate_batch([BlindedInput.deserialize(bytes.fromhex(blinded))]).serialize())
    assert raw[PROOF_BYTES:].hex() == evaluated
    assert bytes(evaluator.evaluate_known_input(bytes.fromhex(given))).hex() == output


def test_a_document_on_file_dies_and_its_party_hears(house: House) -> None:
    """Reported after subscribing, or before; each party hears of its own once, with a deadline; until it acknowledges."""
    subscriptions = book(house)
    first, second, other = living(3)
    tokens = tokens_of(subscriptions, [card(first), card(second)])
    follow(house)
    assert run(subscriptions.subscribe("bank", "live", tokens, 1)) == (2, 0)
    house.report(card(first))
    house.report(card(other))
    follow(house)
    (told,) = run(subscriptions.events("bank", "live", 0, 100))
    assert (told.number, told.token, told.kind, told.acknowledged_at_us) == (1, tokens[0], "reported", None)
    assert told.act_by_us - told.told_at_us == DAY_US
    late = tokens_of(subscriptions, [card(other)], "hotel")
    assert run(subscriptions.subscribe("hotel", "live", late, 1)) == (1, 1)  # dead already: told at once
    assert run(subscriptions.subscribe("hotel", "live", late, 1)) == (1, 0)
    assert run(subscriptions.acknowledge("bank", "live", 1)) == 1
    assert run(subscriptions.acknowledge("bank", "live", 1)) == 0
    with pytest.raises(NotFound):
        run(subscriptions.acknowledge("bank", "live", 2))
    assert run(subscriptions.events("bank", "live", 1, 100)) == []
    standing = {one.party: (one.tokens, one.open) for one in run(subscriptions.standing())}
    assert standing == {"bank": (2, 0), "hotel": (1, 1)}
    assert run(subscriptions.end("bank", "live", tokens)) == 0


def test_the_register_holds_no_key_beside_a_token(house: House) -> None:
    """What is stored of a subscription is what the party sent: no document, number or carried key is in its row."""
    subscriptions = book(house)
    (number,) = living(1)
    (token,) = tokens_of(subscriptions, [card(number)])
    run(subscriptions.subscribe("bank", "live", [token], 1))
    with house.database() as db:
        rows = db.execute("SELECT * FROM subscription").fetchall()
        key = db.execute("SELECT document_key, carried_key FROM document LIMIT 1").fetchone()
    assert len(rows) == 1
    assert key is not None
    assert {type(value) for value in rows[0]} == {str, int, bytes}
    assert [value for value in rows[0] if isinstance(value, bytes)] == [token]


def test_screening_at_home_finds_what_the_register_says(house: House) -> None:
    """The whole log of changes, compared with a file's tokens: exactly the listed ones, and pages never tear a position."""
    subscriptions = book(house)
    numbers = list(range(200))
    tokens = tokens_of(subscriptions, [card(number) for number in numbers])
    follow(house)
    status: dict[bytes, int] = {}
    cursor = 0
    while True:
        page, reached = run(subscriptions.changes("live", cursor, 7))
        status |= {one.token: one.code for one in page}
        if reached == cursor:
            break
        cursor = reached
    from annul.registry.editions.saying import code_of_standing
    from tests.registry.editions.house import state_of

    assert [status.get(token, 0) for token in tokens] == [
        code_of_standing(state_of(number), disputed=False) for number in numbers
    ]


def test_a_watch_that_dies_at_random_misses_and_doubles_nothing(house: House) -> None:
    """500 steps broken off before their commit, at random: each death is told once, numbers are dense."""
    subscriptions = book(house)
    numbers = living(40)
    tokens = tokens_of(subscriptions, [card(number) for number in numbers])
    run(subscriptions.subscribe("bank", "live", tokens, 1))
    dice = random.Random(9)

    class Killed(Exception):
        pass

    class Dying(Watch):
        async def _tell(self, db: Any, tokens: Any) -> None:
            await super()._tell(db, tokens)
            if dice.random() < 0.9:
                raise Killed

    deaths = 0
    for number in numbers:
        house.report(card(number))
        for _ in range(12):
            try:
                run(Dying(house.world.ground).step())
            except Killed:
                deaths += 1
    follow(house)
    told = run(subscriptions.events("bank", "live", 0, 1_000))
    assert deaths > 200
    assert [one.number for one in told] == list(range(1, len(numbers) + 1))
    assert sorted(one.token for one in told) == sorted(tokens)


def test_bad_input_changes_nothing(house: House) -> None:
    """Points that are none, a million tokens, another epoch, more than a day's points: refused, and nothing is counted."""
    subscriptions = book(house, tokens_max=5, blindings_max=8)
    good = bytes(Client.blind(b"x")[1].serialize())
    for points in ([b"\xff" * 32], [bytes(32)], [good, good[:31]], [good, b""], [], [good] * 1_001):
        with pytest.raises(BadInput):
            run(subscriptions.blind("bank", "live", points))
    run(subscriptions.blind("bank", "live", [good] * 8))
    with pytest.raises(OverQuota):
        run(subscriptions.blind("bank", "live", [good]))
    run(subscriptions.blind("hotel", "live", [good]))
    house.world.clock.us += DAY_US
    run(subscriptions.blind("bank", "live", [good]))
    many = [number.to_bytes(32, "big") for number in range(6)]
    with pytest.raises(Conflict):
        run(subscriptions.subscribe("bank", "live", many, 1))
    with pytest.raises(BadInput):
        run(subscriptions.subscribe("bank", "live", [bytes(32)] * 1_000_000, 1))
    with pytest.raises(BadInput):
        run(subscriptions.subscribe("bank", "live", [b"short"], 1))
    with pytest.raises(Conflict):
        run(subscriptions.subscribe("bank", "live", many[:1], 2))
    assert run(subscriptions.standing()) == []
    assert run(subscriptions.subscribe("bank", "live", many[:5], 1)) == (5, 0)


def test_realms_have_functions_of_their_own(house: House) -> None:
    """A token of test data is no token of live data; each realm has its own proof key."""
    live, test = Blinding(house.world.keys, "live"), Blinding(house.world.keys, "test")
    assert live.public_key != test.public_key
    assert live.token(bytes(16)) != test.token(bytes(16))


def test_a_party_that_does_not_act_is_told_again(house: House) -> None:
    """Once a day, as long as an event is open behind its time; never after it acknowledged."""
    subscriptions = book(house)
    (number,) = living(1)
    run(subscriptions.subscribe("bank", "live", tokens_of(subscriptions, [card(number)]), 1))
    house.report(card(number))
    follow(house)
    watch = Watch(house.world.ground)
    assert run(watch.remind()) == 0
    house.world.clock.us += 2 * DAY_US
    assert run(watch.remind()) == run(watch.remind()) == 1
    with house.database() as db:
        rows = db.execute("SELECT kind FROM notice WHERE party = 'bank' ORDER BY created_at_us").fetchall()
    assert [kind for (kind,) in rows] == ["subscription", "subscription_overdue"]
    run(subscriptions.acknowledge("bank", "live", 1))
    assert run(watch.remind()) == 0


def test_a_statement_is_a_row_and_a_note_and_no_verdict(house: House) -> None:
    """It names a document or an own check; the document's state is as before; who builds cases finds it."""
    misuse = Misuse(house.world.ground)
    (number,) = living(1)
    now = house.world.clock()
    with pytest.raises(BadInput):
        run(misuse.state("bank", "live", "forged", None, happened_at_us=now))
    with pytest.raises(BadInput):
        run(misuse.state("bank", "live", "forged", card(number), happened_at_us=now + DAY_US))
    with pytest.raises(NotFound):
        run(misuse.state("bank", "live", "forged", None, check_id="0" * 32, happened_at_us=now))
    statement, position = run(misuse.state("bank", "live", "used_by_another", card(number), branch="0421", happened_at_us=now))
    (found,) = run(misuse.waiting("live"))
    assert (found.id, found.position, found.kind, found.branch) == (statement, position, "used_by_another", "0421")
    assert found.document_id is not None
    assert run(misuse.waiting("test")) == []
    follow(house)
    with house.database() as db:
        row = db.execute("SELECT standing FROM document WHERE id = %s", (found.document_id,)).fetchone()
    from tests.registry.editions.house import state_of

    assert row == (state_of(number),)
