"""The scheduler's heart with a clock of the test's own: a wall clock that is set, a machine that sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.schedule.houses import House, new_house
from tests.schedule.scheduler_process import read_unchecked, standin_commands
from tierdrill.process.identity import ProcessId
from tierdrill.schedule.daemon import Options, Scheduler
from tierdrill.schedule.metrics import Metrics
from tierdrill.schedule.notify.outbox import Outbox
from tierdrill.schedule.observers import Observers
from tierdrill.schedule.store.slot_records import SlotName, SlotRecord, SlotState
from tierdrill.schedule.sweep import load_snapshot
from tierdrill.schedule.wall_clock import Reading

START = datetime(2026, 11, 26, 2, 0, 30, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86400.0


class TestClock:
    """Goes only when it is told to."""

    __test__ = False

    def __init__(self) -> None:
        self.now = Reading(START, 1000.0, 900.0)

    def read(self) -> Reading:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now = Reading(self.now.wall + seconds, self.now.boottime + seconds, self.now.monotonic + seconds)

    def sleeps(self, seconds: float) -> None:
        self.now = replace(self.now, wall=self.now.wall + seconds, boottime=self.now.boottime + seconds)

    def is_set(self, seconds: float) -> None:
        self.now = replace(self.now, wall=self.now.wall + seconds)


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = new_house(tmp_path)
    house.play(seconds=0.0)
    house.calendar({"name": "a", "drill": "node-loss", "every": "10m", "misfire": {"grace": "15m", "count": 1}})
    return house


def lived(
    house: House, life: Callable[[Scheduler, TestClock], Coroutine[Any, Any, None]], calendars: tuple[str, ...] = ()
) -> Metrics:
    """A scheduler that lives as the test says, serving these calendars (all); its metrics."""
    metrics, clock = Metrics(), TestClock()

    async def live() -> None:
        options = Options(house.home, standin_commands(house.script), lambda: snapshot)
        scheduler = Scheduler(snapshot, options, Observers(house.home, metrics, Outbox(house.home)), clock)
        await scheduler._begin()
        await life(scheduler, clock)
        await scheduler._end()

    snapshot = load_snapshot(house.root, calendars, read_unchecked)
    asyncio.run(live())
    return metrics


def records(house: House) -> list[SlotRecord]:
    with closing(house.store()) as store:
        return sorted(store.latest(10_000), key=lambda one: one.slot.due)


def notes(house: House) -> list[str]:
    with closing(house.store()) as store:
        return [note.text for note in store.notes(100) if note.kind == "clock"]


def test_after_a_sleep_one_drill_runs_and_the_rest_is_missed_because_of_it(house: House) -> None:
    async def life(scheduler: Scheduler, clock: TestClock) -> None:
        clock.sleeps(7 * HOUR)
        scheduler.heartbeat()
        await scheduler._see_through()

    metrics = lived(house, life)
    found = records(house)
    assert [one.state for one in found] == [SlotState.MISSED] * 41 + [SlotState.FINISHED]
    assert found[0].reason.endswith("at most 900s is allowed; the machine slept for 7.0 h")
    assert notes(house) == ["the machine slept for 7.0 h"]
    assert metrics.sleeps._value.get() == 1
    assert sum(house.starts().values()) == 1


def test_a_clock_that_was_set_forward_and_back_runs_no_slot_twice(house: House) -> None:
    async def life(scheduler: Scheduler, clock: TestClock) -> None:
        clock.passes(600)
        scheduler.heartbeat()
        await scheduler._see_through()
        for jump in (DAY, -DAY, -2 * HOUR, 2 * HOUR):
            clock.is_set(jump)
            scheduler.heartbeat()
            await scheduler._see_through()
        for _ in range(6):
            clock.passes(600)
            scheduler.heartbeat()
            await scheduler._see_through()

    metrics = lived(house, life)
    assert max(house.starts().values()) == 1
    assert metrics.clock_jumps._value.get() == 4
    assert "the wall clock was set back by 24.0 h" in notes(house)
    ran = [one.slot.key[-9:-1] for one in records(house) if one.state is SlotState.FINISHED]
    # The first on time, one of the day that was jumped over, and each of the hour after the clock was right again.
    assert len(ran) == 1 + 1 + 6


def test_the_first_slot_after_a_clock_was_set_back_runs(house: House) -> None:
    async def life(scheduler: Scheduler, clock: TestClock) -> None:
        for jump in (DAY, -DAY):
            clock.is_set(jump)
            scheduler.heartbeat()
            await scheduler._see_through()
        for _ in range(2):
            clock.passes(600)
            scheduler.heartbeat()
            await scheduler._see_through()

    lived(house, life)
    ran = [one.slot.key[-20:] for one in records(house) if one.state is SlotState.FINISHED]
    assert ran == ["2026-11-26T02:10:00Z", "2026-11-26T02:20:00Z", "2026-11-27T02:00:00Z"]


def test_slots_in_hand_are_seen_through_whatever_the_store_or_a_reload_does_meanwhile(house: House) -> None:
    house.calendar({"name": "a", "drill": "node-loss", "every": "10m", "misfire": {"grace": "1h", "count": 2}})

    async def life(scheduler: Scheduler, clock: TestClock) -> None:
        database = scheduler._shelf.store._database
        database.execute(
            "CREATE TRIGGER broken BEFORE UPDATE ON entries BEGIN SELECT RAISE(FAIL, 'locked by a test'); END"
        )
        clock.passes(HOUR)
        scheduler.heartbeat()
        # The drill leaves the catalogue while the first of two slots runs.
        scheduler._snapshot.catalogue.drills.pop("node-loss")
        await scheduler._see_through()
        database.execute("DROP TRIGGER broken")
        scheduler.heartbeat()

    lived(house, life)
    assert [one.state for one in records(house)] == [SlotState.MISSED] * 4 + [SlotState.FINISHED] * 2


def test_a_slot_taken_over_is_seen_through_although_that_could_not_be_noted(house: House) -> None:
    dead = ProcessId(1, 1, "an earlier boot", "pid:[1]")

    async def life(scheduler: Scheduler, clock: TestClock) -> None:
        store = scheduler._shelf.store
        store.claim(SlotName("often/a/2026-11-26T02:00:00Z", "often", "a", START - 30, START - 30), dead, START, 0.0)
        store._database.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON notes BEGIN SELECT RAISE(FAIL, 'locked by a test'); END"
        )
        scheduler.heartbeat()
        store._database.execute("DROP TRIGGER broken")
        await scheduler._see_through()

    lived(house, life)
    assert [one.state for one in records(house)] == [SlotState.FINISHED]


def test_a_slot_of_a_calendar_that_another_scheduler_served_is_no_orphan(house: House) -> None:
    dead = ProcessId(1, 1, "an earlier boot", "pid:[1]")
    often = house.root / "drills" / "calendar.yaml"
    (house.root / "drills" / "other.yaml").write_text(often.read_text().replace("name: often", "name: other"))

    async def life(scheduler: Scheduler, clock: TestClock) -> None:
        store = scheduler._shelf.store
        store.claim(SlotName("often/a/2026-11-26T02:00:00Z", "often", "a", START - 30, START - 30), dead, START, 0.0)
        store.claim(SlotName("gone/a/2026-11-26T02:00:00Z", "gone", "a", START - 20, START - 20), dead, START, 0.0)
        scheduler.heartbeat()
        await scheduler._see_through()

    lived(house, life, ("other",))
    assert [(one.state, one.reason) for one in records(house)] == [
        (SlotState.FINISHED, "as the script says"), (SlotState.MISSED, "its entry is no longer in a calendar"),
    ]  # fmt: skip


def test_what_happens_between_two_heartbeats_of_a_steady_clock_is_no_jump(house: House) -> None:
    async def life(scheduler: Scheduler, clock: TestClock) -> None:
        for _ in range(50):
            clock.passes(5.0)
            clock.is_set(0.0025)
            scheduler.heartbeat()
        await scheduler._see_through()

    metrics = lived(house, life)
    assert metrics.clock_jumps._value.get() == 0
    assert metrics.sleeps._value.get() == 0
    assert notes(house) == []


def test_a_defect_leaves_no_slot_without_a_decision(house: House) -> None:
    async def life(scheduler: Scheduler, clock: TestClock) -> None:
        async def broken(work: object, member: object) -> object:
            raise ZeroDivisionError("oh")

        scheduler._around = replace(scheduler._around, rollout=broken)  # type: ignore[arg-type]
        clock.passes(600)
        scheduler.heartbeat()
        await scheduler._see_through()

    metrics = lived(house, life)
    (record,) = records(house)
    assert (record.state, record.outcome) == (SlotState.LOST, "lost")
    assert record.reason == "internal error (ZeroDivisionError: oh)"
    assert metrics.faults._value.get() == 1
    assert not house.starts()


def test_downtime_is_the_reason_of_what_was_missed_in_it(house: House) -> None:
    async def life(scheduler: Scheduler, clock: TestClock) -> None:
        await scheduler._see_through()

    lived(house, life)
    clock_of_later = START + 5 * HOUR

    class Later(TestClock):
        def __init__(self) -> None:
            self.now = Reading(clock_of_later, 1000.0 + 5 * HOUR, 900.0 + 5 * HOUR)

    async def again() -> None:
        snapshot = load_snapshot(house.root, (), read_unchecked)
        options = Options(house.home, standin_commands(house.script), lambda: snapshot)
        observers = Observers(house.home, Metrics(), Outbox(house.home))
        scheduler = Scheduler(snapshot, options, observers, Later())
        await scheduler._begin()
        await scheduler._see_through()
        await scheduler._end()

    asyncio.run(again())
    missed = [one for one in records(house) if one.state is SlotState.MISSED]
    assert len(missed) == 29
    assert all(one.reason.endswith("no scheduler ran since 2026-11-26 02:00:30Z") for one in missed)
    assert sum(house.starts().values()) == 1
