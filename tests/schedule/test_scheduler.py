"""The real scheduler process with a stand-in for the drill: gates, retries, suites, signals, a broken store."""

from __future__ import annotations

import signal
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.schedule.houses import House, ended, new_house, until
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.kill_switch import throw_kill_switch
from tierdrill.history.ledger import Ledger
from tierdrill.schedule.store.slot_records import SlotRecord, SlotState

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return new_house(tmp_path)


def decided(house: House, count: int = 1, *, entry: str = "a") -> list[SlotRecord]:
    """The first decided slots of an entry, once there are so many."""

    def look() -> list[SlotRecord] | None:
        if not (house.home / "schedule.db").exists():
            return None
        with closing(house.store()) as store:
            found = [one for one in store.latest(100, entry=entry) if one.decided_at is not None]
        return sorted(found, key=lambda one: one.slot.due) if len(found) >= count else None

    return until(look, 40)


def entry(**fields: Any) -> dict[str, Any]:
    return {"name": "a", "drill": "node-loss", "every": "2s", **fields}


def statuses(house: House, record: SlotRecord) -> list[tuple[str, str]]:
    with closing(house.store()) as store:
        return [(one.drill, one.status) for one in store.attempts(record.slot.key)]


def test_a_halted_home_holds_each_slot_and_says_who_halted_it(house: House) -> None:
    with closing(Ledger(house.home)) as ledger:
        throw_kill_switch(ledger.home, "ann", "incident 7")
    house.calendar(entry())
    scheduler = house.start()
    with ended(scheduler):
        first, *_ = decided(house)
        assert (first.state, first.outcome) == (SlotState.HELD, "kill-switch")
        assert first.reason == "kill-switch: on, by ann: incident 7"
        with closing(Ledger(house.home)) as ledger:
            ledger.resume("ann", "over")
        until(lambda: house.starts())
        with closing(house.store()) as store:
            gates = store.attempts(first.slot.key)[0].gates
        assert [gate["verdict"] for gate in gates] == ["held"] + ["not asked"] * 6
        scheduler.send_signal(signal.SIGTERM)
        assert scheduler.wait(30) == 0


@pytest.mark.slow
def test_inconclusive_alone_is_tried_again_and_a_suite_runs_in_order(house: House) -> None:
    drill = (house.root / "drills" / "node-loss.yaml").read_text()
    (house.root / "drills" / "second.yaml").write_text(drill.replace("name: node-loss", "name: second", 1))
    house.play(seconds=0.1, status=["inconclusive", "failed", "passed"])
    house.calendar(
        entry(drill=None, suite="both", every="60m", anchor=soon(), retry={"attempts": 2, "after": "1s"},
              variables={"node": "node-3"}),
        suites={"both": ["node-loss", "second"]},
    )  # fmt: skip
    scheduler = house.start()
    with ended(scheduler):
        (record,) = decided(house)
    assert statuses(house, record) == [
        ("node-loss", "inconclusive"), ("node-loss", "failed"), ("second", "passed"),
    ]  # fmt: skip
    assert (record.state, record.outcome) == (SlotState.FINISHED, "failed")
    starts = [line for line in house.said() if line[0] == "start"]
    assert [line[4:] for line in starts] == [["--set", "node=node-3"]] * 3
    assert {line[2] for line in starts} == {record.slot.key}


@pytest.mark.slow
def test_a_run_that_will_not_begin_is_refused_with_its_own_words(house: House) -> None:
    house.play(refuse="no room in the lab")
    house.calendar(entry())
    scheduler = house.start()
    with ended(scheduler):
        first, *_ = decided(house)
    assert (first.state, first.outcome, first.reason) == (SlotState.FINISHED, "refused", "no room in the lab")


@pytest.mark.slow
def test_two_entries_in_one_environment_do_not_run_at_once(house: House) -> None:
    house.play(seconds=3.0)
    house.calendar(
        entry(every="60m", anchor=soon(), owner="ann"), entry(name="b", every="60m", anchor=soon(1), owner="bob")
    )
    scheduler = house.start()
    with ended(scheduler):
        (second,) = decided(house, entry="b")
        (first,) = decided(house)
    assert (first.state, second.state, second.outcome) == (SlotState.FINISHED, SlotState.HELD, "lock")
    assert f"by {first.slot.key} (owner ann, pid" in second.reason


def test_told_to_end_it_stops_the_drill_as_tierdrill_stop_does(house: House) -> None:
    house.play(seconds=60.0)
    house.calendar(entry(every="60m", anchor=soon()))
    scheduler = house.start()
    with ended(scheduler):
        (line,) = until(lambda: [one for one in house.said() if one[0] == "start"])
        began = time.monotonic()
        scheduler.send_signal(signal.SIGTERM)
        assert scheduler.wait(30) == 0
        assert time.monotonic() - began < 20
    with closing(HistoryStore(house.home)) as store:
        (run,) = [one for one in store.runs() if one.run == line[1]]
    assert run.summary == "stopped: the scheduler ends"
    (record,) = decided(house)
    assert (record.state, record.outcome) == (SlotState.FINISHED, "aborted")


@pytest.mark.slow
def test_a_second_signal_ends_at_once_and_the_next_scheduler_finds_out(house: House) -> None:
    house.play(seconds=60.0)
    house.calendar(entry(every="60m", anchor=soon()))
    scheduler = house.start()
    with ended(scheduler):
        (line,) = until(lambda: [one for one in house.said() if one[0] == "start"])
        until(lambda: _in_history(house, line[1]))
        scheduler.send_signal(signal.SIGSTOP)
        scheduler.send_signal(signal.SIGTERM)
        scheduler.send_signal(signal.SIGINT)
        scheduler.send_signal(signal.SIGCONT)
        assert scheduler.wait(10) == 130
    again = house.start()
    with ended(again):
        (record,) = decided(house)
    assert record.outcome == "aborted"
    assert sum(house.starts().values()) == 1


def _in_history(house: House, run: str) -> bool:
    with closing(HistoryStore(house.home)) as store:
        return store.find(run) is not None


@pytest.mark.slow
def test_a_reload_takes_the_new_calendar_and_keeps_the_old_one_where_it_is_broken(house: House) -> None:
    house.calendar(entry())
    scheduler = house.start()
    with ended(scheduler):
        decided(house)
        good = (house.root / "drills" / "calendar.yaml").read_text()
        (house.root / "drills" / "calendar.yaml").write_text(good.replace("every: 2s", "every: often"))
        scheduler.send_signal(signal.SIGHUP)
        until(lambda: "still using the previous ones" in house.log())
        assert "got 'often'" in house.log()
        decided(house, len(decided(house)) + 1)
        house.calendar(entry(name="other"))
        scheduler.send_signal(signal.SIGHUP)
        decided(house, entry="other")
        with closing(house.store()) as store:
            kinds = [note.kind for note in store.notes(20)]
        assert {"reload.failed", "reloaded"} <= set(kinds)


@pytest.mark.slow
def test_a_store_that_breaks_while_it_runs_is_set_aside_and_nothing_runs_twice(house: House) -> None:
    house.calendar(entry())
    scheduler = house.start()
    with ended(scheduler):
        decided(house)
        path = house.home / "schedule.db"
        for part in ("-wal", "-shm", ""):
            path.with_name(path.name + part).rename(path.with_name(f"gone.db{part}"))
        path.write_bytes(b"not a database" * 1000)
        until(lambda: list(house.home.glob("schedule.db.corrupt-*")))
        decided(house, 2)
        assert "is damaged" in house.log()
        with closing(house.store()) as store:
            assert list(store.known_since()) == [("often", "a")]
        scheduler.send_signal(signal.SIGTERM)
        assert scheduler.wait(30) == 0
    assert max(house.starts().values()) == 1


@pytest.mark.slow
def test_a_store_that_is_locked_holds_everything_up_and_it_is_said(house: House) -> None:
    import sqlite3

    house.calendar(entry(misfire={"grace": "3s"}))
    scheduler = house.start()
    with ended(scheduler):
        decided(house)
        with closing(sqlite3.connect(house.home / "schedule.db", isolation_level=None, timeout=10)) as other:
            other.execute("BEGIN EXCLUSIVE")
            until(lambda: "is unavailable" in house.log())
            held_up = len(house.starts())
            time.sleep(6)
            assert len(house.starts()) <= held_up + 1
            other.execute("ROLLBACK")
        until(lambda: "is available" in house.log())
        until(lambda: len(house.starts()) > held_up + 1)
        with closing(house.store()) as store:
            states = {one.state for one in store.latest(100)}
    assert SlotState.MISSED in states
    assert max(house.starts().values()) == 1


def soon(more_s: float = 0.0) -> str:
    """A moment ahead by more than a scheduler takes to start on a busy machine, as an anchor."""
    return f"{datetime.fromtimestamp(time.time() + 10 + more_s, UTC):%Y-%m-%dT%H:%M:%S}"
