"""The durable store: claims that are atomic over threads and processes, take-overs, locks, and files gone wrong."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tierdrill.process.identity import ProcessId, me
from tierdrill.schedule.store.resilient_store import LAST_TRIES, Shelf, open_store
from tierdrill.schedule.store.slot_records import Attempt, EnvironmentLock, SlotName, SlotState
from tierdrill.schedule.store.slot_store import NotOurs, ScheduleStore, StoreCorrupt, StoreError, StoreMoved
from tierdrill.schedule.wall_clock import SystemClock

SLOT = SlotName("c/e/1", "c", "e", 100.0, 100.0)
DEAD = ProcessId(1, 1, "an earlier boot", "pid:[1]")


def attempt(number: int = 0) -> Attempt:
    return Attempt("c/e/1", number, 0, "d", f"run-{number}", "prepared", None, None, None, "", None, "", ())


def test_of_many_claims_at_once_one_succeeds(tmp_path: Path) -> None:
    ScheduleStore(tmp_path).close()
    start = threading.Barrier(8)

    def claim(number: int) -> bool:
        with closing(ScheduleStore(tmp_path)) as store:
            start.wait()
            return store.claim(SLOT, replace(me(), pid=number), 100.0, 0.0)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(8))) == 1


def test_of_many_take_overs_at_once_one_succeeds(tmp_path: Path) -> None:
    with closing(ScheduleStore(tmp_path)) as store:
        assert store.claim(SLOT, DEAD, 100.0, 0.0)
    start = threading.Barrier(6)

    def take(number: int) -> bool:
        with closing(ScheduleStore(tmp_path)) as store:
            start.wait()
            return store.take_over(SLOT.key, DEAD, replace(me(), pid=number))

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, range(6))) == 1


def test_who_lost_a_slot_cannot_write_to_it(tmp_path: Path) -> None:
    with closing(ScheduleStore(tmp_path)) as store:
        store.claim(SLOT, DEAD, 100.0, 0.0)
        store.prepare(attempt(), DEAD)
        assert store.take_over(SLOT.key, DEAD, me())
        for step in (
            lambda: store.prepare(attempt(1), DEAD),
            lambda: store.started(SLOT.key, 0, me(), DEAD, 101.0),
            lambda: store.finish(SLOT.key, DEAD, SlotState.FINISHED, "passed", "", 102.0),
            lambda: store.release(SLOT.key, DEAD),
        ):
            with pytest.raises(NotOurs):
                step()
        store.started(SLOT.key, 0, me(), me(), 101.0)
        store.ended(SLOT.key, 0, "passed", 0, "well", 102.0)
        store.finish(SLOT.key, me(), SlotState.FINISHED, "passed", "well", 103.0)
        with pytest.raises(NotOurs):
            store.finish(SLOT.key, me(), SlotState.LOST, "lost", "", 104.0)
        record = store.slot(SLOT.key)
        assert record is not None
        assert (record.state, record.outcome, record.takeovers) == (SlotState.FINISHED, "passed", 1)
        assert store.last_success() == {("c", "e"): 103.0}


def test_what_is_long_past_is_forgotten_but_for_the_last_success(tmp_path: Path) -> None:
    day = 86400.0
    with closing(ScheduleStore(tmp_path)) as store:
        for number, outcome in enumerate(("passed", "failed", "passed", "failed")):
            slot = replace(SLOT, key=f"c/e/{number}", due=number * day)
            store.claim(slot, me(), slot.due, 0.0)
            store.prepare(replace(attempt(), key=slot.key, run=f"r{number}", gates=({"gate": "lock"},)), me())
            store.ended(slot.key, 0, outcome, 0, "", slot.due)
            store.finish(slot.key, me(), SlotState.FINISHED, outcome, "", slot.due)
        store.forget(100 * day)
        assert len(store.latest(10)) == 4
        assert [store.attempts(f"c/e/{number}")[0].gates for number in range(4)] == [()] * 4
        store.forget(500 * day)
        assert [one.slot.key for one in store.latest(10)] == ["c/e/3", "c/e/2"]
        assert store.last_success() == {("c", "e"): 2 * day}


def test_an_environment_is_held_while_its_holder_lives(tmp_path: Path) -> None:
    def wanted(key: str, holder: ProcessId) -> EnvironmentLock:
        return EnvironmentLock("lab", key, "team", holder, 100.0, 60.0, 0.0)

    with closing(ScheduleStore(tmp_path)) as store:
        assert store.lock(wanted("a", me()), 10.0, ProcessId.lives) is None
        held = store.lock(wanted("b", me()), 10_000.0, ProcessId.lives)
        assert held is not None
        assert (held.key, held.owner, held.lease_until) == ("a", "team", 70.0)
        assert store.lock(wanted("a", me()), 20.0, ProcessId.lives) is None
        assert store.lock(wanted("c", DEAD), 30.0, lambda process: False) is None
        assert store.lock(wanted("d", me()), 40.0, ProcessId.lives) is None
        assert [lock.key for lock in store.locks()] == ["d"]


def test_an_environment_stays_held_while_a_drill_that_died_is_healed(tmp_path: Path) -> None:
    def wanted(key: str) -> EnvironmentLock:
        return EnvironmentLock("lab", key, "team", me(), 100.0, 60.0, 0.0)

    with closing(ScheduleStore(tmp_path)) as store:
        store.claim(SLOT, me(), 100.0, 0.0)
        assert store.lock(wanted(SLOT.key), 10.0, ProcessId.lives) is None
        store.prepare(attempt(), me())
        store.started(SLOT.key, 0, DEAD, me(), 101.0)
        store.died(SLOT.key)
        held = store.lock(wanted("b"), 11.0, ProcessId.lives)
        assert held is not None
        assert (held.key, held.holder) == (SLOT.key, me())
        store.finish(SLOT.key, me(), SlotState.LOST, "lost", "", 102.0)
        assert store.lock(wanted("b"), 12.0, ProcessId.lives) is None


def test_a_scheduler_of_another_container_lives_by_its_heartbeat(tmp_path: Path) -> None:
    elsewhere = replace(me(), space="pid:[7]")
    with closing(ScheduleStore(tmp_path)) as store:
        assert not store.lives(elsewhere, None, 1000.0)
        store.beat(elsewhere, 5.0, 1000.0, ["c"])
        assert store.lives(elsewhere, None, 1050.0)
        assert not store.lives(elsewhere, None, 1200.0)
        # It slept with the machine: what lay before counts, and the time since.
        store.slept(1900.0, 850.0)
        assert store.lives(elsewhere, None, 1950.0)
        store.slept(2000.0, 5.0)
        assert not store.lives(elsewhere, None, 2000.0)
        store.retire(elsewhere)
        assert not store.lives(elsewhere, None, 1950.0)


@pytest.mark.parametrize("damage", ["noise", "cut", "empty-page", "another"])
def test_a_damaged_store_is_kept_and_a_new_one_begun(tmp_path: Path, damage: str) -> None:
    with closing(ScheduleStore(tmp_path)) as store:
        slots = [replace(SLOT, key=f"c/e/{number}" * 20) for number in range(300)]
        store.pass_over([(slot, SlotState.MISSED, "", "late") for slot in slots], 100.0)
    path = tmp_path / "schedule.db"
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    whole = path.read_bytes()
    path.write_bytes(
        {
            "noise": b"\x00nothing that sqlite wrote" * 300,
            "cut": whole[: len(whole) // 2],
            "empty-page": whole[:8192] + b"\xff" * 8192 + whole[16384:],
            "another": b"",
        }[damage]
    )
    if damage == "another":
        with closing(sqlite3.connect(path)) as other:
            other.executescript("CREATE TABLE recipes (soup TEXT); PRAGMA user_version=1")
    opened = open_store(tmp_path, 200.0)
    assert opened.aside is not None
    assert opened.aside.exists()
    assert opened.store.latest(10) == []
    assert [note.kind for note in opened.store.notes(5)] == ["store.damaged"]
    opened.store.close()
    again = open_store(tmp_path, 201.0)
    assert again.aside is None
    again.store.close()


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    ScheduleStore(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "schedule.db")) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="newer tierdrill") as raised:
        open_store(tmp_path, 1.0)
    assert not isinstance(raised.value, StoreCorrupt)


def test_a_locked_store_is_said_and_works_again(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    shelf = Shelf(tmp_path, SystemClock(), lambda kind, text: told.append((kind, text)))
    shelf.store.note(1.0, "n", "")
    with closing(sqlite3.connect(tmp_path / "schedule.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(2):
            with pytest.raises(StoreError) as raised:
                shelf.store.claim(SLOT, me(), 100.0, 0.0)
            shelf.trouble(raised.value)
        other.execute("ROLLBACK")
    assert shelf.store.claim(SLOT, me(), 100.0, 0.0)
    shelf.fine()
    assert [kind for kind, _ in told] == ["unavailable", "available"]
    assert "locked" in told[0][1]
    shelf.close()


def test_a_full_disk_is_said_and_nothing_is_claimed(tmp_path: Path) -> None:
    with closing(ScheduleStore(tmp_path)) as store:
        pages = store._database.execute("PRAGMA page_count").fetchone()[0]
        store._database.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreError, match="full") as raised:
            for number in range(2000):
                store.claim(replace(SLOT, key=f"k{number}" * 50), me(), 100.0, 0.0)
        assert not isinstance(raised.value, StoreCorrupt)
        store._database.execute("PRAGMA max_page_count=100000")
        assert store.claim(SLOT, me(), 100.0, 0.0)


def test_a_store_that_was_moved_away_takes_no_claim(tmp_path: Path) -> None:
    with closing(ScheduleStore(tmp_path)) as store:
        (tmp_path / "schedule.db").rename(tmp_path / "elsewhere.db")
        with pytest.raises(StoreMoved):
            store.claim(SLOT, me(), 100.0, 0.0)


def test_who_is_started_again_and_again_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`scheduler --once` on a home that cannot be written: it ends, for the next one to be started."""
    monkeypatch.setattr("tierdrill.schedule.store.resilient_store.RETRY_S", 0.0)
    tried: list[int] = []

    def fails(store: ScheduleStore) -> None:
        tried.append(1)
        raise StoreError("read-only", tmp_path)

    shelf = Shelf(tmp_path, SystemClock(), lambda kind, text: None)
    with pytest.raises(StoreError, match="read-only"):
        asyncio.run(shelf.keep(fails, patient=False))
    assert len(tried) == LAST_TRIES
    shelf.close()
