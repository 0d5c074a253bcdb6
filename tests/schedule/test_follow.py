"""What surrounds a run: the stage its rollout gives it, the move its verdict makes, regressions that come and go."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.judge.build import Run, shipped
from tests.schedule.houses import House, new_house
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.home import run_folder
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status
from tierdrill.schedule.gates.gate_rules import GateResult
from tierdrill.schedule.notify.notification import Notice
from tierdrill.schedule.rollout.rollout_store import RolloutStore
from tierdrill.schedule.rollout.stage_moves import Follow
from tierdrill.schedule.slot_work import Work, members_of, run_arguments
from tierdrill.schedule.store.slot_records import Attempt, SlotName

STAGES = [
    {"name": "twin", "variant": "blip", "clean_runs": 1},
    {"name": "pilot", "variables": {"node": "node-3"}, "reach": {"nodes": 1, "links": 0}, "clean_runs": 1},
    {"name": "all"},
]
ENTRY = {"name": "nightly", "drill": "node-loss", "cron": "0 2 * * *"}


def work_in(house: House, due: float = 1e9, **entry: Any) -> Work:
    """A slot of the one entry."""
    house.calendar({**ENTRY, **entry})
    catalogue, problems = load_catalogue(house.root)
    assert problems == []
    calendar = catalogue.calendars["often"]
    slot = SlotName(f"often/nightly/{due:.0f}", "often", "nightly", due, due)
    return Work(slot, calendar, calendar.entries[0], members_of(catalogue, calendar, calendar.entries[0], slot.key))


def attempt(run: str, gate: GateResult, status: str = "passed") -> Attempt:
    gates = ({"gate": "rollout", "verdict": gate.verdict, "about": gate.about},)
    return Attempt("k", 0, 0, "node-loss", run, "ended", None, 1e9, 1e9 + 60, status, 0, "", gates)


def follow(house: House) -> Follow:
    catalogue, store = load_catalogue(house.root)[0], house.store()
    return Follow(house.home, lambda: catalogue, lambda: store)


def leave_verdict(home: Path, run: str, status: Status = Status.PASSED) -> None:
    """What a run leaves in its folder."""
    verdict = replace(judge(Run().events(shipped())), run=run, status=status)
    folder = run_folder(home, run)
    folder.mkdir(parents=True)
    (folder / "verdict.json").write_text(verdict.to_json())


def test_an_entry_climbs_by_its_runs_and_steps_down(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    work = work_in(house, rollout={"stages": STAGES})
    around = follow(house)

    async def night(run: str, status: Status) -> tuple[list[str], list[Notice]]:
        member, gate = await around.stage(work, work.members[0])
        assert gate.verdict == "open"
        leave_verdict(house.home, run, status)
        told = await around.after_slot(work, [attempt(run, gate, status.value)])
        # A scheduler that was killed here and takes the slot up again moves nothing twice.
        assert await around.after_slot(work, [attempt(run, gate, status.value)]) == []
        return run_arguments(member, run, work.slot.key), told

    words, told = asyncio.run(night("r1", Status.PASSED))
    assert "--blip" in words
    assert [(one.kind, one.summary, one.owner) for one in told] == [
        ("rollout", "climbed: from twin to pilot", "team"),
    ]  # fmt: skip
    words, told = asyncio.run(night("r2", Status.INCONCLUSIVE))
    assert told == []
    assert words[words.index("--set") + 1] == "node=node-3"
    assert [words[n + 1] for n, word in enumerate(words) if word == "--reach"] == ["nodes=1", "links=0"]
    assert "--blip" not in words
    assert [one.summary for one in asyncio.run(night("r3", Status.PASSED))[1]] == ["climbed: from pilot to all"]
    words, told = asyncio.run(night("r4", Status.FAILED))
    assert "--set" not in words
    assert [one.summary for one in told] == ["stepped down: from all to pilot"]


def test_a_passed_run_that_left_no_verdict_does_not_count(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    work = work_in(house, rollout={"stages": STAGES})
    around = follow(house)

    async def scenario() -> list[Notice]:
        _, gate = await around.stage(work, work.members[0])
        return await around.after_slot(work, [attempt("r1", gate)])

    assert asyncio.run(scenario()) == []
    with closing(RolloutStore(house.home)) as store:
        state = store.state("often", "nightly")
    assert state is not None
    assert (state.stage, state.clean) == ("twin", 0)


def test_a_hold_shuts_the_gate(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    work = work_in(house, rollout={"stages": STAGES, "on_failure": "hold"})
    around = follow(house)

    async def scenario() -> GateResult:
        _, gate = await around.stage(work, work.members[0])
        leave_verdict(house.home, "r1", Status.FAILED)
        await around.after_slot(work, [attempt("r1", gate, "failed")])
        return (await around.stage(work, work.members[0]))[1]

    gate = asyncio.run(scenario())
    assert gate.verdict == "held"
    assert "run r1 failed at stage twin" in gate.reason


def test_a_regression_is_told_once_and_when_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = new_house(tmp_path)
    work = work_in(house)
    around = follow(house)
    worse: dict[str, tuple[str, str]] = {}
    monkeypatch.setattr(around, "_worse", lambda drills, now: dict(worse))

    def night() -> list[tuple[str, str]]:
        gate = GateResult("rollout", "open", "")
        told = asyncio.run(around.after_slot(work, [attempt("r1", gate)]))
        assert all(one.key.startswith("often/nightly/regression/") for one in told)
        return [(one.kind, one.summary) for one in told]

    assert night() == []
    worse["node-loss/critical/mttr"] = ("node-loss", "critical mttr: 2 before, 5 now")
    assert night() == [("regression", "critical mttr: 2 before, 5 now")]
    assert night() == []
    worse.clear()
    assert night() == [("recovered", "node-loss/critical/mttr is as it was before")]
    assert night() == []


def suite_in(house: House, entry: str, **more: Any) -> Work:
    """A slot of that entry, which runs two drills."""
    house.calendar(
        *({**ENTRY, "name": name, "suite": "both", "drill": None, **more} for name in ("nightly", "weekly")),
        suites={"both": ["node-loss", "other"]},
    )
    catalogue, _ = load_catalogue(house.root)
    calendar = catalogue.calendars["often"]
    chosen = next(one for one in calendar.entries if one.name == entry)
    member = members_of(catalogue, calendar, chosen.model_copy(update={"suite": None, "drill": "node-loss"}), "key")[0]
    slot = SlotName(f"often/{entry}/1", "often", entry, 1e9, 1e9)
    return Work(slot, calendar, chosen, (member, replace(member, drill="other")))


def test_a_regression_is_not_over_because_its_drill_did_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = new_house(tmp_path)
    nightly, weekly = suite_in(house, "nightly"), suite_in(house, "weekly")
    around = follow(house)
    worse = {"node-loss/critical/mttr": ("node-loss", "2 before, 5 now")}
    monkeypatch.setattr(around, "_worse", lambda drills, now: {k: v for k, v in worse.items() if v[0] in drills})

    def night(work: Work, drill: str) -> list[str]:
        ran = replace(attempt("r1", GateResult("rollout", "open", "")), drill=drill)
        return [f"{one.kind} {one.entry}" for one in asyncio.run(around.after_slot(work, [ran]))]

    assert night(nightly, "node-loss") == ["regression nightly"]
    assert night(nightly, "other") == []
    assert night(nightly, "node-loss") == []
    # Another entry tells its own people, of the beginning and of the end.
    assert night(weekly, "node-loss") == ["regression weekly"]
    worse.clear()
    assert night(nightly, "node-loss") == ["recovered nightly"]
    assert night(weekly, "node-loss") == ["recovered weekly"]


def test_a_suite_of_which_a_drill_was_held_does_not_climb(tmp_path: Path) -> None:
    house = new_house(tmp_path)
    work = suite_in(house, "nightly", rollout={"stages": STAGES})
    around = follow(house)
    leave_verdict(house.home, "r1")
    leave_verdict(house.home, "r2")

    async def scenario() -> tuple[list[Notice], list[Notice]]:
        _, gate = await around.stage(work, work.members[0])
        first = attempt("r1", gate)
        second = replace(attempt("r2", gate), drill="other", number=1, member=1)
        held = replace(second, run="", started_at=None, status="held")
        return await around.after_slot(work, [first, held]), await around.after_slot(work, [first, second])

    incomplete, complete = asyncio.run(scenario())
    assert incomplete == []
    assert [one.summary for one in complete] == ["climbed: from twin to pilot"]
