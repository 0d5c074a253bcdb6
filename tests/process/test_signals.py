"""What stops a run: the first who asks."""

from __future__ import annotations

import asyncio

from tierdrill.process.signals import StopSignal


def test_the_first_reason_counts_and_everybody_hears() -> None:
    async def go() -> None:
        stop = StopSignal()
        waiting = [asyncio.create_task(stop.wait()) for _ in range(3)]
        asleep = asyncio.create_task(stop.sleep(30))
        await asyncio.sleep(0)
        assert not stop.stopped
        stop.stop("guardrail", "first")
        stop.stop("signal", "second")
        assert await asyncio.wait_for(asleep, 1) is False
        await asyncio.wait_for(asyncio.gather(*waiting), 1)
        assert (stop.by, stop.reason) == ("guardrail", "first")
        assert await stop.sleep(30) is False and await stop.sleep(0) is False

    asyncio.run(go())


def test_a_sleep_that_nobody_ends_is_whole() -> None:
    async def go() -> None:
        stop = StopSignal()
        assert await stop.sleep(0.01) is True and await stop.sleep(-1) is True

    asyncio.run(go())
