"""The real scheduler process, killed with SIGKILL at random moments: no slot runs twice, none is without a record.

TIERDRILL_SCHEDULER_KILLS sets how often it is killed at random (default 12, under ./test --all).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.schedule.houses import House, ended, new_house, until
from tierdrill.schedule.slot_outcome import run_record
from tierdrill.schedule.store.slot_records import SlotState
from tierdrill.schedule.store.slot_store import RELEASED

KILLS = int(os.environ.get("TIERDRILL_SCHEDULER_KILLS", "12"))
FINAL = {SlotState.FINISHED, SlotState.HELD, SlotState.MISSED, SlotState.LOST}


def await_end(scheduler: subprocess.Popen[bytes]) -> None:
    scheduler.send_signal(signal.SIGTERM)
    assert scheduler.wait(30) == 0


def slots_between(first: float, last: float, every: int) -> list[str]:
    start = int(first // every + 1) * every
    return [
        f"often/a/{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}Z"
        for second in range(start, int(last) + 1, every)
    ]


def check_records(house: House, first: float, last: float, every: int) -> dict[str, SlotState]:
    """Every slot between has one final record; whatever was run was run once, and its record says so."""
    with closing(house.store()) as store:
        records = {one.slot.key: one for one in store.latest(1000)}
        attempts = {key: store.attempts(key) for key in records}
    starts = house.starts()
    assert max(starts.values(), default=0) <= 1, [key for key, count in starts.items() if count > 1]
    for key in slots_between(first, last, every):
        assert key in records, f"{key} has no record\n{house.log()}"
    for key, record in records.items():
        released = record.state is SlotState.CLAIMED and record.reason == RELEASED and not attempts[key]
        assert record.state in FINAL or released, f"{key} is {record.state}\n{house.log()}"
        begun = [one for one in attempts[key] if one.started_at is not None]
        assert len(begun) <= 1
        if record.state is SlotState.FINISHED and record.outcome in ("passed", "failed"):
            assert starts[key] == 1, key
        if record.state in (SlotState.MISSED, SlotState.HELD):
            assert starts[key] == 0, key
        if starts[key]:
            assert begun, key
    return {key: record.state for key, record in records.items()}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_random_it_runs_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    house.calendar({"name": "a", "drill": "node-loss", "every": "1s", "misfire": {"grace": "20s", "count": 3}})
    chooser = random.Random()
    first, scheduler = 0.0, house.start()
    with ended(scheduler):
        until(lambda: "considered from now on" in house.log())
        first = time.time()
        until(lambda: house.starts())
        for _ in range(KILLS):
            with pytest.raises(subprocess.TimeoutExpired):
                scheduler.wait(chooser.uniform(0.5, 4.0))
            scheduler.send_signal(signal.SIGKILL)
            scheduler.wait(10)
            scheduler = house.start()
        with ended(scheduler):
            killed_last = time.time()
            until(lambda: any(_after(key, killed_last + 1) for key in house.starts()))
            last = time.time() - 1.0
            await_end(scheduler)
    states = check_records(house, first, last, 1)
    assert list(states.values()).count(SlotState.FINISHED) >= 2


def _after(key: str, moment: float) -> bool:
    return datetime.fromisoformat(key.rsplit("/", 1)[1]).timestamp() > moment


@pytest.mark.timeout(60)
def test_a_drill_that_outlives_its_scheduler_is_adopted(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    house.play(seconds=4.0)
    house.calendar({"name": "a", "drill": "node-loss", "every": "1h", "anchor": soon()})
    scheduler = house.start()
    with ended(scheduler):
        until(lambda: house.starts())
        scheduler.send_signal(signal.SIGKILL)
        scheduler.wait(10)
        second = house.start()
        with ended(second):
            until(lambda: "finished passed" in house.log())
            await_end(second)
    assert [line[0] for line in house.said()] == ["start", "end"]
    with closing(house.store()) as store:
        (record,) = store.latest(10)
        (attempt,) = store.attempts(record.slot.key)
        notes = [note.kind for note in store.notes(20)]
    assert (record.state, record.outcome, record.takeovers) == (SlotState.FINISHED, "passed", 1)
    assert (attempt.status, attempt.exit_code) == ("passed", None)
    assert {"taken-over", "died"} <= set(notes)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_drill_that_died_with_its_scheduler_is_on_record(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    house.play(seconds=30.0)
    house.calendar({"name": "a", "drill": "node-loss", "every": "1h", "anchor": soon()})
    scheduler = house.start()
    with ended(scheduler):
        (line,) = until(lambda: [one for one in house.said() if one[0] == "start"])
        until(lambda: run_record(house.home, line[1])[0])
        scheduler.send_signal(signal.SIGKILL)
        os.kill(int(line[3]), signal.SIGKILL)
        scheduler.wait(10)
        second = house.start()
        with ended(second):
            until(lambda: "finished aborted" in house.log())
            await_end(second)
    with closing(house.store()) as store:
        (record,) = store.latest(10)
    assert (record.outcome, record.reason) == ("aborted", "the runner died")
    assert sum(house.starts().values()) == 1


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_two_schedulers_on_one_home_run_each_slot_once(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    house.calendar({"name": "a", "drill": "node-loss", "every": "1s"})
    first, second = house.start(), house.start()
    with ended(first, second):
        until(lambda: len(house.starts()) >= 6)
        await_end(first)
        count = len(house.starts())
        until(lambda: len(house.starts()) >= count + 2)
        await_end(second)
    assert max(house.starts().values()) == 1
    with closing(house.store()) as store:
        pids = {one.claimant.pid for one in store.latest(100) if one.claimant is not None}
    assert pids <= {first.pid, second.pid}


def soon() -> str:
    """A moment ahead by more than a scheduler takes to start on a busy machine, as an anchor."""
    return f"{datetime.fromtimestamp(time.time() + 10, UTC):%Y-%m-%dT%H:%M:%S}"
