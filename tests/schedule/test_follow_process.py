"""What surrounds the runs of a real scheduler: its rollout's stage before, the moves after, regressions told once."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.schedule.houses import House, new_house
from tests.schedule.test_daemon import TestClock, lived, records
from tierdrill.documents.catalogue_reader import read_catalogue
from tierdrill.documents.models.calendar import Calendar
from tierdrill.history.history_store import HistoryStore
from tierdrill.judge.trend.run_figures import FORMAT, RunFigures
from tierdrill.judge.verdict import Times
from tierdrill.schedule.daemon import Scheduler
from tierdrill.schedule.rollout.rollout_store import RolloutStore
from tierdrill.schedule.rollout.stage_moves import Follow, read_verdict
from tierdrill.schedule.slot_work import Work, members_of
from tierdrill.schedule.store.slot_records import SlotName, SlotState

ROLLOUT = {
    "stages": [
        {"name": "pilot", "variant": "blip", "clean_runs": 2},
        {"name": "all", "variables": {"node": "node-3"}, "reach": {"nodes": 1}, "clean_runs": 1},
    ]
}


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = new_house(tmp_path)
    house.calendar({"name": "a", "drill": "node-loss", "every": "10m", "rollout": ROLLOUT})
    return house


async def slots(scheduler: Scheduler, clock: TestClock, count: int) -> None:
    for _ in range(count):
        clock.passes(600)
        scheduler.heartbeat()
        await scheduler._see_through()


def test_a_drill_climbs_after_clean_runs_and_steps_down_after_a_failed_one(house: House) -> None:
    house.play(seconds=0.0, verdicts=True, status=["passed", "passed", "failed", "passed"])
    lived(house, lambda scheduler, clock: slots(scheduler, clock, 4))
    options = [line[4:] for line in house.said() if line[0] == "start"]
    assert options == [["--blip"], ["--blip"], ["--set", "node=node-3", "--reach", "nodes=1"], ["--blip"]]
    with closing(RolloutStore(house.home)) as store:
        moves = [(move.kind, move.before, move.after) for move in reversed(store.moves("often", "a"))]
    assert moves[1:] == [("climbed", "pilot", "all"), ("stepped-down", "all", "pilot")]
    with closing(house.store()) as store:
        gates = store.attempts(records(house)[2].slot.key)[0].gates
    assert gates[-1] == {"gate": "rollout", "verdict": "open", "reason": "at stage all", "about": "all"}


def test_a_rollout_that_holds_its_drill_says_why(house: House) -> None:
    held = {**ROLLOUT, "on_failure": "hold"}
    house.calendar({"name": "a", "drill": "node-loss", "every": "10m", "rollout": held})
    house.play(seconds=0.0, verdicts=True, status="failed")
    lived(house, lambda scheduler, clock: slots(scheduler, clock, 2))
    first, second = records(house)
    assert (first.state, first.outcome) == (SlotState.FINISHED, "failed")
    assert (second.state, second.outcome) == (SlotState.HELD, "rollout")
    assert "failed at stage pilot; continue with `tierdrill rollout set`" in second.reason
    assert sum(house.starts().values()) == 1


def test_a_verdict_comes_back_as_it_was_written(house: House, tmp_path: Path) -> None:
    assert read_verdict(tmp_path) is None
    house.play(seconds=0.0, verdicts=True)
    lived(house, lambda scheduler, clock: slots(scheduler, clock, 1))
    (folder,) = (house.home / "runs").iterdir()
    verdict = read_verdict(folder)
    assert verdict is not None
    assert verdict.to_json() == (folder / "verdict.json").read_text()
    (folder / "verdict.json").write_text("{}")
    assert read_verdict(folder) is None


def test_a_regression_is_told_once_and_again_when_it_comes_back(house: House) -> None:
    def keep(store: HistoryStore, number: int, mttr: float) -> None:
        at = 1000.0 + number
        run = RunFigures(f"r{number:03}", "node-loss", "drill", "passed", at, at + 1, "lab", Times(mttr=mttr))
        run = replace(run, watched_s=60.0)
        store.begin(run.run, "node-loss", "drill", at)
        store.finish(run.run, at + 1, "passed", "")
        store.keep_figures(run.run, FORMAT, run.to_json())

    catalogue = read_catalogue(house.root).catalogue
    calendar: Calendar = catalogue.calendars["often"]
    work = Work(
        SlotName("often/a/1", "often", "a", 1.0, 1.0), calendar, calendar.entries[0],
        members_of(catalogue, calendar, calendar.entries[0], "often/a/1"),
    )  # fmt: skip
    with closing(house.store()) as store, closing(HistoryStore(house.home)) as history:
        follow = Follow(house.home, lambda: catalogue, lambda: store)
        for number in range(30):
            keep(history, number, 5.0 + number % 3 * 0.1)

        def news() -> list[tuple[str, str]]:
            found = asyncio.run(asyncio.to_thread(follow._worse, {"node-loss"}, 2000.0))
            return [(one.kind, one.summary) for one in follow._news(work, {"node-loss"}, found)]

        assert news() == []
        for number in range(30, 45):
            keep(history, number, 50.0 + number % 3 * 0.1)
        ((kind, summary),) = news()
        assert kind == "regression"
        assert "mttr" in summary
        assert "50" in summary
        assert news() == []
        for number in range(45, 90):
            keep(history, number, 5.0 + number % 3 * 0.1)
        assert [kind for kind, _ in news()] == ["recovered"]
        assert news() == []
        for number in range(90, 105):
            keep(history, number, 50.0 + number % 3 * 0.1)
        assert [kind for kind, _ in news()] == ["regression"]
