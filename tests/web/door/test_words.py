"""Next steps are worded as the law of a document's scheme has them."""

from __future__ import annotations

from annul.web.door.words import NEXT, next_steps


def test_nobody_is_told_to_keep_a_card_that_the_law_forbids_to_keep() -> None:
    """A6 falls away for resident cards of China and stays for a passport; of an unknown scheme it stays too."""
    assert next_steps(["A6", "A8"], "cn-resident", str) == [NEXT["A8"]]
    assert next_steps(["A6", "A8"], "icao-9303", str) == [NEXT["A6"], NEXT["A8"]]
    assert next_steps(["A6"], None, str) == [NEXT["A6"]]
    assert NEXT["A6"].startswith("Do not keep")
