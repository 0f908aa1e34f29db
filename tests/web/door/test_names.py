"""Organisations and officers have one name each; what is no id is its own name."""

from __future__ import annotations

from annul.registry.writing.act import Act
from annul.web.door.names import names_of, organisation
from tests.web.conftest import House


def test_an_author_is_named_with_her_office(house: House) -> None:
    """Officers read who it was; holders read the organisation alone; a typed place and a party that is gone stay."""

    async def ask() -> list[str]:
        await house.office.officers.add(Act("setup"), "police", "77", "Ines Varga", ["desk"])
        ids = ["police/77", "police", "(holder)", "annul", "Van 3", None]
        full = await names_of(house.office, ids, str)
        holder = await names_of(house.office, ids, str, officers=False)
        return [*(full(one) for one in ids if one), holder("police/77")]

    officer, party, person, register, place, seen = house.run(ask())
    assert officer == f"Ines Varga (77), {party}"
    assert party != "police"
    assert (person, register, place, seen) == ("the holder", "the register itself", "Van 3", party)


def test_a_receipts_reader_sees_the_name(house: House) -> None:
    """The public page needs no database for it, and shows an id that is gone as it stands."""
    assert organisation(house.office, "bank") not in ("bank", "")
    assert organisation(house.office, "long-gone") == "long-gone"
