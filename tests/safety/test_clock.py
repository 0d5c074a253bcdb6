"""The machine's clock is set in the middle of a run: no phase, no fault and no lease is longer or shorter for it."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from pathlib import Path

import pytest

from tierdrill.conductor.phases import PlanClock
from tierdrill.conductor.run_watchers import keep_leases
from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.history.ledger import Ledger
from tierdrill.injection.injector import wait_until
from tierdrill.process.signals import StopSignal


class Clocks:
    """A wall clock that somebody sets, and the monotonic one, which nobody can."""

    def __init__(self) -> None:
        self.step_s, self.now_s = 0.0, 500.0

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now_s + self.step_s

    def monotonic(self) -> float:
        return self.now_s


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_no_planned_instant_moves_with_the_clock(step: float) -> None:
    clocks = Clocks()
    clock = PlanClock(clocks.wall, clocks.monotonic)
    at = clocks.wall() + 10.0
    assert clock.left(at) == pytest.approx(10.0)
    clocks.step_s, clocks.now_s = step, 504.0
    assert clock.left(at) == pytest.approx(6.0)
    # Whoever reads the wall clock from now on waits as long.
    assert clock.as_told_now(at) - clocks.wall() == pytest.approx(6.0)
    clocks.now_s = 511.0
    assert clock.left(at) == pytest.approx(-1.0)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_whoever_waits_for_an_instant_waits_no_longer_and_no_shorter(
    step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, slept = time.time, list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        monkeypatch.setattr(time, "time", lambda: real() + step)
        clocks.now_s += seconds

    clocks = Clocks()
    monkeypatch.setattr(time, "monotonic", clocks.monotonic)
    monkeypatch.setattr(time, "sleep", sleep)
    wait_until(real() + 0.5)
    assert sum(slept) == pytest.approx(0.5, abs=0.1)


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
    stop, real = StopSignal(), time.time
    renewed: list[list[str]] = []

    async def renew(names: list[str]) -> None:
        renewed.append(names)
        monkeypatch.setattr(time, "time", lambda: real() + (3600.0 if len(renewed) % 2 else -3600.0))
        if len(renewed) == 3:
            throw_kill_switch(ledger.home, "anna", "enough")

    async def play() -> None:
        keeping = asyncio.create_task(keep_leases(ledger, "r1", 1.0, stop, renew))
        await stop.wait()
        keeping.cancel()

    with closing(Ledger(tmp_path)) as ledger:
        ledger.intend("f1", "r1", {"kind": "x"}, {"target": "lab"}, 1.0)
        asyncio.run(play())
        assert renewed[:3] == [["f1"]] * 3
    assert stop.by == "halt"
