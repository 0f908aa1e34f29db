"""Questions of one party to the database follow one another; those of others do not wait for them."""

from __future__ import annotations

import asyncio

import pytest

from annul.errors import OverQuota
from annul.web.door import readers
from annul.web.door.readers import AT_ONCE_MAX, WAITING_MAX, Readers


def test_a_party_in_a_hurry_waits_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are answered at once, some wait, more are refused with a pause; another party goes through meanwhile."""
    monkeypatch.setattr(readers, "WAIT_MAX_S", 60.0)

    async def go() -> None:
        line, let, at_once, most = Readers(), asyncio.Event(), 0, 0

        async def ask() -> None:
            nonlocal at_once, most
            async with line.turn("bank"):
                at_once += 1
                most = max(most, at_once)
                await let.wait()
                at_once -= 1

        asking = [asyncio.ensure_future(ask()) for _ in range(AT_ONCE_MAX + WAITING_MAX)]
        while at_once < AT_ONCE_MAX:
            await asyncio.sleep(0)
        with pytest.raises(OverQuota) as refused:
            await ask()
        assert refused.value.extra["retry_after_s"] == 1
        async with line.turn("police"):
            assert at_once == AT_ONCE_MAX
        let.set()
        await asyncio.gather(*asking)
        assert (most, at_once) == (AT_ONCE_MAX, 0)
        await ask()

    asyncio.run(go())


def test_a_turn_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits longer than a second is refused, and leaves the line in order."""
    monkeypatch.setattr(readers, "WAIT_MAX_S", 0.01)

    async def go() -> None:
        line = Readers()
        async with line.turn("bank"), line.turn("bank"):
            with pytest.raises(OverQuota):
                async with line.turn("bank"):
                    raise AssertionError("three at once")
        async with line.turn("bank"), line.turn("bank"):
            pass

    asyncio.run(go())
