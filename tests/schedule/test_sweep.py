"""Decisions on record under every clock: set forward and back, asleep, late, two schedulers. The clock is injected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierdrill.documents.models.calendar import Calendar
from tierdrill.documents.timetable import timetable_of
from tierdrill.process.identity import ProcessId, me
from tierdrill.schedule.store.slot_records import SlotState
from tierdrill.schedule.store.slot_store import ScheduleStore, StoreError
from tierdrill.schedule.sweep import ROWS_MOST, EntryPlan, sweep, timing_of
from tierdrill.schedule.wall_clock import Drift, Reading, drift

START = datetime(2026, 11, 26, 2, 0, 30, tzinfo=UTC).timestamp()


def plan_of(store: ScheduleStore, now: float, **entry: Any) -> EntryPlan:
    document = {
        "apiVersion": "tierdrill/v1", "kind": "Calendar", "metadata": {"name": "c"},
        "entries": [{"name": "e", "drill": "d", **entry}],
    }  # fmt: skip
    timetable = timetable_of(Calendar.model_validate(document), Path("c.yaml"))
    times = timetable.entries["e"]
    until, _ = store.considered({("c", "e"): timing_of(times)}, now)
    return EntryPlan(timetable, times, until["c", "e"])


@contextmanager
def new_store() -> Iterator[ScheduleStore]:
    with TemporaryDirectory() as folder, closing(ScheduleStore(Path(folder))) as store:
        yield store


@settings(max_examples=12, deadline=None)
@given(steps=st.lists(st.floats(-90_000, 90_000), min_size=1, max_size=25), count=st.integers(0, 3))
def test_no_slot_is_claimed_twice_however_the_clock_jumps(steps: list[float], count: int) -> None:
    with new_store() as store:
        now, claims = START, Counter[str]()
        plan = plan_of(store, now, every="10m", misfire={"grace": "30m", "count": count})
        for step in steps:
            now += step
            swept = sweep(plan, store, me(), now)
            claims.update(slot.key for slot, _ in swept.claimed)
            assert len(swept.claimed) <= max(1, count)
            assert all(0 <= now - slot.due <= 1800 for slot, _ in swept.claimed)
        assert max(claims.values(), default=0) <= 1


@settings(max_examples=10, deadline=None)
@given(steps=st.lists(st.floats(0.1, 5_000), min_size=1, max_size=25), jitter=st.sampled_from(["0s", "4m"]))
def test_with_a_clock_that_goes_forward_every_slot_has_a_record(steps: list[float], jitter: str) -> None:
    with new_store() as store:
        now = START
        plan = plan_of(store, now, every="5m", jitter=jitter, misfire={"grace": "10m", "count": 1})
        for step in steps:
            now += step
            sweep(plan, store, me(), now)
        from tierdrill.schedule.slots import due_slots

        first, last = datetime.fromtimestamp(START, UTC), datetime.fromtimestamp(now, UTC)
        every = {slot.key for slot in due_slots([plan.timetable], first, last)}
        assert {one.slot.key for one in store.latest(10_000)} == every


def test_a_clock_set_forward_by_a_year_starts_one_drill_and_is_told_in_one_gap() -> None:
    with new_store() as store:
        plan = plan_of(store, START, every="10m", misfire={"grace": "15m", "count": 1})
        swept = sweep(plan, store, me(), START + 366 * 86400, "the wall clock was set forward by 366.0 d")
        assert len(swept.claimed) == 1
        assert len(swept.passed) == ROWS_MOST
        assert swept.gap is not None
        assert swept.gap.count + ROWS_MOST + 1 == 366 * 144
        assert "set forward" in swept.gap.reason


def test_slots_that_a_fast_clock_passed_over_run_when_their_time_really_comes() -> None:
    with new_store() as store:
        plan = plan_of(store, START, every="10m", misfire={"grace": "15m", "count": 1})
        ahead = sweep(plan, store, me(), START + 86_400)
        ran = {slot.key for slot, _ in ahead.claimed}
        for slot, _ in ahead.claimed:
            store.finish(slot.key, me(), SlotState.FINISHED, "passed", "", START + 86_401)
        now, claims = START + 60, Counter[str]()
        sweep(plan, store, me(), now)
        while now < START + 90_000:
            now += 300
            claims.update(slot.key for slot, _ in sweep(plan, store, me(), now).claimed)
        assert max(claims.values()) == 1
        assert not ran & claims.keys()
        assert len(claims) >= 140


def broken(store: ScheduleStore, when: str) -> None:
    """From now on the store takes no write of that kind, as if somebody had it locked."""
    store._database.execute(f"CREATE TRIGGER broken BEFORE {when} BEGIN SELECT RAISE(FAIL, 'locked by a test'); END")


def test_a_slot_that_was_claimed_before_the_store_failed_is_still_handed_out() -> None:
    with new_store() as store:
        plan = plan_of(store, START, every="10m", misfire={"grace": "15m", "count": 1})
        broken(store, "UPDATE ON entries")
        swept = sweep(plan, store, me(), START + 3600)
        assert [slot.key for slot, _ in swept.claimed] == ["c/e/2026-11-26T03:00:00Z"]
        assert "locked by a test" in str(swept.trouble)
        with pytest.raises(StoreError, match="locked by a test"):
            sweep(plan, store, me(), START + 3605)
        store._database.execute("DROP TRIGGER broken")
        again = sweep(plan, store, me(), START + 3610)
        assert (again.claimed, again.passed, again.trouble) == ([], [], None)


@pytest.mark.parametrize(
    "when", ["INSERT ON slots WHEN NEW.state = 'missed'", "INSERT ON slots WHEN NEW.state != 'missed'"]
)
def test_a_look_that_was_cut_short_leaves_no_room_for_more_than_may_run(when: str) -> None:
    with new_store() as store, closing(ScheduleStore(store.path.parent)) as second:
        policy = {"grace": "1h", "count": 1}
        mine, theirs = (plan_of(each, START, every="10m", misfire=policy) for each in (store, second))
        broken(store, when)
        with pytest.raises(StoreError):
            sweep(mine, store, me(), START + 3600)
        store._database.execute("DROP TRIGGER broken")
        other = ProcessId(1, 1, "another", "another")
        claimed = [*sweep(theirs, second, other, START + 3601).claimed, *sweep(mine, store, me(), START + 3605).claimed]
        assert [slot.key for slot, _ in claimed] == ["c/e/2026-11-26T03:00:00Z"]
        assert len(store.latest(100)) == 6


def test_two_schedulers_that_look_at_once_share_the_slots() -> None:
    other = ProcessId(1, 1, "another", "another")
    with new_store() as store, closing(ScheduleStore(store.path.parent)) as second:
        mine, theirs = plan_of(store, START, every="10m"), plan_of(second, START, every="10m")
        claims = Counter[str]()
        for step in range(1, 40):
            for plan, each, who in ((mine, store, me()), (theirs, second, other))[:: 1 if step % 2 else -1]:
                claims.update(slot.key for slot, _ in sweep(plan, each, who, START + step * 300).claimed)
        assert len(claims) == 19
        assert set(claims.values()) == {1}


def test_a_slot_in_a_blackout_is_held_and_not_missed_however_late_it_is_seen() -> None:
    with new_store() as store:
        plan = plan_of(store, START, every="1h", blackouts={"dates": [{"date": "2026-11-26", "reason": "freeze"}]})
        swept = sweep(plan, store, me(), START + 5 * 3600)
        assert {(one.state, one.outcome) for one in swept.passed} == {(SlotState.HELD, "window")}
        assert "freeze" in swept.passed[0].reason


def test_an_entry_counts_from_when_it_was_first_seen_and_anew_when_its_times_change() -> None:
    with new_store() as store:
        first = plan_of(store, START, every="10m")
        assert sweep(first, store, me(), START).claimed == []
        changed = plan_of(store, START + 86_400, every="20m")
        assert changed.until == START + 86_400
        assert plan_of(store, START + 90_000, every="20m").until == START + 86_400


BEFORE = Reading(1000.0, 500.0, 400.0)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (Reading(1005.0, 505.0, 405.0), Drift()),
        (Reading(1005.9, 505.0, 405.0), Drift()),
        (Reading(4605.0, 505.0, 405.0), Drift(jumped_s=3600.0)),
        (Reading(405.0, 505.0, 405.0), Drift(jumped_s=-600.0)),
        (Reading(8205.0, 7705.0, 405.0), Drift(slept_s=7200.0)),
        (Reading(8305.0, 7705.0, 405.0), Drift(jumped_s=100.0, slept_s=7200.0)),
    ],
)
def test_a_clock_that_was_set_is_told_from_a_machine_that_slept(after: Reading, expected: Drift) -> None:
    found = drift(BEFORE, after)
    assert found == expected
    assert bool(found) == (expected != Drift())


def test_a_drift_reads_well() -> None:
    assert str(Drift(jumped_s=-7200.0)) == "the wall clock was set back by 2.0 h"
    assert str(Drift(100.0, 30.0)) == "the wall clock was set forward by 100.0 s and the machine slept for 30.0 s"
