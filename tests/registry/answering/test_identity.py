"""The identity axis of a check: M0 to M3 and M9, in the same window, with nothing leaked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from annul.demo import numbers
from annul.listings import Listings, pack
from annul.listings.values import WHOLE_LIFE
from annul.proof.words import explain
from annul.records.check import Answer, Holder
from annul.records.document import DocumentFields
from annul.records.status import State
from annul.registry.answering.checks import Checks
from annul.registry.parties.parties import Principal
from tests.registry.answering.desk import TEST, NameDesk, card, parsed, principal, question

STRANGER = "440524198001010013"
PAIRS = 60
"""Pairs of windows of the sign test: outside 15 to 85 % by chance once in 30 million runs."""
CITIZENS = [
    number.decode() for number in numbers.personal_numbers(np.full(200, 110105), np.arange(200) * 40, np.full(200, 11)).tolist()
]
TRAVEL = DocumentFields(scheme="icao-9303", issuer="UTO", kind="P", number="L898902C3")


def bank(*, identity: bool = True, realm: str = "live") -> Principal:
    """A relying party with or without the right to ask for identities."""
    made = principal("bank" if identity else "kiosk", realm=realm)
    assert made.agreement is not None
    return msgspec.structs.replace(made, agreement=msgspec.structs.replace(made.agreement, identity_allowed=identity))


def run(home: Path, walk: Callable[[NameDesk], Coroutine[Any, Any, None]]) -> None:
    """Run a walk with a desk."""

    async def inner() -> None:
        desk = NameDesk(home)
        try:
            await walk(desk)
        finally:
            await desk.close()

    asyncio.run(inner())


async def ask(checks: Checks, who: Principal, name: str | None, fields: DocumentFields | None = None) -> Answer:
    """Ask with a name."""
    holder = None if name is None else Holder(name)
    return (await checks.ask(who, question(fields, holder=holder))).answer


def test_the_four_answers(tmp_path: Path) -> None:
    """Match with and without a portrait on record, other name, number unknown; and not asked."""

    async def walk(desk: NameDesk) -> None:
        checks = desk.open_checks()
        desk.know(card(), "王小明")
        desk.know(TRAVEL, "Eriksson, Anna Maria", photo=True)
        expected = [
            (card(), "王小明", "M1", "PASS"),
            (card(), "王 小明", "M1", "PASS"),
            (card(), "王小朋", "M2", "REFER"),
            (card(number=STRANGER), "王小明", "M3", None),
            (card(), None, "M9", "PASS"),
            (TRAVEL, "ANNA MARIA ERIKSSON", "M0", None),
            (TRAVEL, "ANNA MARIE ERIKSSON", "M2", None),
            (card(valid_from=None), "王小明", "M1", None),
            (card(number="123"), "王小明", "M9", "REFER"),
        ]
        for fields, name, code, outcome in expected:
            answer = await ask(checks, bank(), name, fields)
            assert answer.identity.code == code
            assert outcome is None or answer.outcome == outcome
            assert explain(msgspec.convert(answer.receipt, dict[str, Any]))["identity"] == code
        refused = await ask(checks, bank(), "王小朋")
        assert refused.detail == "The name and the number do not belong together: ask for a second document."

    run(tmp_path, walk)


def test_one_window_answers_each_question_by_its_own_name(tmp_path: Path) -> None:
    """Batches mix parties' realms, schemes, names with two forms and none: nobody gets another's answer."""

    async def walk(desk: NameDesk) -> None:
        checks = desk.open_checks()
        desk.know(card(), "王小明")
        desk.know(card(), "李雷", keys=TEST, photo=True)
        desk.know(TRAVEL, "Jürgen Müller")
        live = [
            (card(), "王小明", "M1"),
            (TRAVEL, "MUELLER JUERGEN", "M1"),
            (card(), None, "M9"),
            (TRAVEL, "Muller Jurgen", "M1"),
            (card(number="1"), "王小明", "M9"),
            (card(), "李雷", "M2"),
            (TRAVEL, "Müller Jürgen", "M1"),
            (card(number=STRANGER), "王", "M3"),
            (card(), "Iv\u0430nov", "M2"),
            (card(valid_from=None), "王小明", "M1"),
        ] * 7
        test = [(card(), "李雷", "M0"), (card(), "王小明", "M2"), (TRAVEL, "Müller", "M3")] * 9

        def asked(rows: list[Any]) -> list[Any]:
            return [question(fields, holder=Holder(name) if name else None) for fields, name, _ in rows]

        answers = await asyncio.gather(
            checks.ask_many(bank(), asked(live)),
            checks.ask_many(bank(realm="test"), asked(test)),
            checks.ask_many(bank(identity=False), asked(live)),
        )
        assert [each.answer.identity.code for each in answers[0]] == [code for *_, code in live]
        assert [each.answer.identity.code for each in answers[1]] == [code for *_, code in test]
        assert {each.answer.identity.code for each in answers[2]} == {"M9"}

    run(tmp_path, walk)


def test_a_party_without_the_right_learns_nothing(tmp_path: Path) -> None:
    """Known number or not, right name or not: answers of the same code, size and work."""

    async def walk(desk: NameDesk) -> None:
        checks = desk.open_checks()
        looked: list[int] = []
        lookup = checks._answerer._people.lookup  # type: ignore[union-attr]
        checks._answerer._people.lookup = lambda keys: looked.append(len(keys)) or lookup(keys)  # type: ignore[method-assign, union-attr, func-returns-value]
        desk.know(card(), "王小明", photo=True)
        for fields in (card(), card(number=STRANGER)):
            desk.put(parsed(fields), pack(State.current, 0, WHOLE_LIFE))
        sizes = set()
        for fields in (card(), card(number=STRANGER)):
            for name in ("王小明", "王小朋", "Iv\u0430nov"):
                body = (await checks.ask(bank(identity=False), question(fields, holder=Holder(name)))).body
                sizes.add(len(body))
                assert b'"identity":{"code":"M9"}' in body
        assert len(sizes) == 1
        assert not looked

    run(tmp_path, walk)


def test_time_does_not_tell_a_known_number_from_an_unknown_one(tmp_path: Path) -> None:
    """For a party without the right: of many pairs of windows, neither side is the slower one more often than chance makes it.

    A sign test that fails by chance once in some millions of runs; the same test does tell a window that looks names up.
    """

    async def walk(desk: NameDesk) -> None:
        checks = desk.open_checks()
        known = [card(number=number) for number in CITIZENS[::2]]
        unknown = [card(number=number) for number in CITIZENS[1::2]]
        for fields in known:
            desk.know(fields, "王小明", photo=True)
        for fields in (*known, *unknown):
            desk.put(parsed(fields), pack(State.current, 0, WHOLE_LIFE))

        async def spent(who: Principal, rows: list[DocumentFields], name: str | None) -> float:
            asked = [question(fields, holder=Holder(name) if name else None) for fields in rows]
            begun = time.process_time()
            await checks.ask_many(who, asked)
            return time.process_time() - begun

        async def slower(one: Callable[[], Any], other: Callable[[], Any]) -> int:
            count = 0
            for pair in range(-5, PAIRS):
                first = await (one() if pair % 2 else other())
                second = await (other() if pair % 2 else one())
                count += pair >= 0 and (first > second) == bool(pair % 2)
            return count

        kiosk, own = bank(identity=False), bank()
        even = await slower(lambda: spent(kiosk, known, "王小明"), lambda: spent(kiosk, unknown, "王小明"))
        assert PAIRS * 0.15 < even < PAIRS * 0.85
        told = await slower(lambda: spent(own, known, "Jürgen Müller-Lüdenscheidt"), lambda: spent(own, known, None))
        assert told >= PAIRS * 0.85

    run(tmp_path, walk)


def test_a_party_with_the_right_sees_no_more_than_the_code(tmp_path: Path) -> None:
    """M2 is the same answer for a near and a far name: same size, same look-up."""

    async def walk(desk: NameDesk) -> None:
        checks = desk.open_checks()
        desk.know(card(), "王小明")
        bodies = [
            (await checks.ask(bank(), question(holder=Holder(name)))).body for name in ("王小朋", "李雷", "Иван", "Iv\u0430n")
        ]
        assert len({len(body) for body in bodies}) == 1
        assert all("王小明".encode() not in body for body in bodies)

    run(tmp_path, walk)


def test_without_a_table_of_names_no_identity_is_invented(tmp_path: Path) -> None:
    """No table, or one that cannot be trusted: M9, and the status stands."""

    async def walk(desk: NameDesk) -> None:
        assert (await ask(desk.checks(), bank(), "王小明")).identity.code == "M9"
        desk.know(card(), "王小明")
        checks = desk.checks(worker=1, people=Listings(desk.home / "people"))
        assert (await ask(checks, bank(), "王小明")).identity.code == "M1"
        desk.names.close()
        broken = checks._answerer._people
        assert broken is not None

        def gone(_keys: bytes) -> Any:
            raise _corrupt()

        broken.lookup = gone  # type: ignore[method-assign]
        answer = await ask(checks, bank(), "王小明")
        assert (answer.identity.code, answer.status.code) == ("M9", "V00")

    run(tmp_path, walk)


def _corrupt() -> Exception:
    from annul.errors import Corrupt

    return Corrupt("The table's header is damaged.", where="table-1.slots")


@pytest.mark.parametrize("name", ["x", "王" * 200, "\u202eevil", "O'x" * 60])
def test_odd_names_are_answered(tmp_path: Path, name: str) -> None:
    """One or two hundred characters, direction marks: an answer, never an error."""

    async def walk(desk: NameDesk) -> None:
        checks = desk.open_checks()
        desk.know(card(), "王小明")
        assert (await ask(checks, bank(), name)).identity.code == "M2"

    run(tmp_path, walk)
