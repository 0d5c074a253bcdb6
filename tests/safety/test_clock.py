"""The machine's clock is set in the middle of a run: the run stops, and no lease is longer or shorter for it."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from pathlib import Path

import pytest

from tierdrill.conductor.stop import StopBox
from tierdrill.conductor.watchers import CLOCK_TICK_S, keep_leases, watch_clock
from tierdrill.history.ledger import Ledger


class Clocks:
    """A wall clock and a boot clock; the wall clock is set by `steps` (seconds), one at each look."""

    def __init__(self, *steps: float) -> None:
        self.steps, self.wall_s, self.boot_s, self.looks = list(steps), 1_700_000_000.0, 500.0, 0

    def wall(self) -> float:
        return self.wall_s

    def boot(self) -> float:
        return self.boot_s

    async def sleep(self, seconds: float) -> None:
        if not self.steps:
            raise asyncio.CancelledError
        self.looks += 1
        self.boot_s += seconds
        self.wall_s += seconds + self.steps.pop(0)


def watched(*steps: float) -> StopBox:
    stop, clocks = StopBox(), Clocks(*steps)

    async def play() -> None:
        try:
            await watch_clock(stop, clocks.wall, clocks.boot, clocks.sleep)
        except asyncio.CancelledError:
            assert clocks.looks == len(steps)

    asyncio.run(play())
    return stop


@pytest.mark.parametrize("step", [3600.0, -3600.0, 1.0, -1.0])
def test_a_clock_that_is_set_stops_the_run(step: float) -> None:
    reason = watched(0.0, 0.0, step, 0.0).reason
    assert reason is not None and reason.by == "error"
    assert reason.reason == f"the machine's clock was set by {step:+.1f} s in the middle of the run"


def test_a_clock_that_is_slewed_does_not() -> None:
    slew = 0.0005 * CLOCK_TICK_S
    assert watched(*[slew] * 10_000).reason is None
    assert watched(*[-slew] * 10_000).reason is None


@pytest.mark.parametrize("step", [86_400.0, -86_400.0])
def test_no_lease_is_longer_or_shorter_for_it(step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order, place = {"kind": "x"}, {"target": "lab"}
    real = time.time
    with closing(Ledger(tmp_path)) as ledger:
        ledger.intend("short", "r1", order, place, 0.0)
        ledger.intend("long", "r1", order, place, 60.0)
        monkeypatch.setattr(time, "time", lambda: real() + step)
        assert {entry.id: entry.expired for entry in ledger.open_faults()} == {"short": True, "long": False}
        ledger.intend("set back", "r1", order, place, 60.0)
        monkeypatch.setattr(time, "time", real)
        assert {entry.id: entry.expired for entry in ledger.open_faults()} == {
            "short": True, "long": False, "set back": False,
        }  # fmt: skip


def test_the_kill_switch_is_obeyed_and_leases_are_renewed_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, real = StopBox(), time.time
    renewed: list[list[str]] = []

    async def renew(names: list[str]) -> None:
        renewed.append(names)
        monkeypatch.setattr(time, "time", lambda: real() + (3600.0 if len(renewed) % 2 else -3600.0))
        if len(renewed) == 3:
            ledger.halt("anna", "enough")

    async def play() -> None:
        keeping = asyncio.create_task(keep_leases(ledger, "r1", 1.0, stop, renew))
        await stop.wait()
        keeping.cancel()

    with closing(Ledger(tmp_path)) as ledger:
        ledger.intend("f1", "r1", {"kind": "x"}, {"target": "lab"}, 1.0)
        asyncio.run(play())
        assert renewed[:3] == [["f1"]] * 3
    assert stop.reason is not None and stop.reason.by == "halt"
