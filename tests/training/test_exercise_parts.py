"""The parts of an exercise that decide without a lab: its documents, its automation, and when it is over."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.raw_event import event
from tests.training.build import catalogue
from tests.training.test_rules import inventory
from tierdrill.conductor.plan import load_plan
from tierdrill.history.events import Event
from tierdrill.monitoring.query import Sample
from tierdrill.targets.base import Inventory
from tierdrill.training.exercise_ending import HOLD_S, Ending, Wellness
from tierdrill.training.exercise_platform import Platform
from tierdrill.training.exercise_setting import CannotBeWrong, ExerciseSetting, exercise_setting, plan_of
from tierdrill.training.ops.inspection import _series
from tierdrill.training.ops.tier_health import Pulse
from tierdrill.training.trainee_console import Terminal


def test_an_exercise_takes_the_scenario_s_documents_and_automation() -> None:
    setting = exercise_setting(catalogue(), "copper-thread")
    assert setting.automation == "wrong" and setting.wrong is not None
    assert exercise_setting(catalogue(), "copper-thread", "on").wrong is None
    assert exercise_setting(catalogue(), "amber-kettle").automation == "off"
    with pytest.raises(CannotBeWrong, match="on or off"):
        exercise_setting(catalogue(), "amber-kettle", "wrong")
    with pytest.raises(KeyError):
        exercise_setting(catalogue(), "no-such-scenario")


@pytest.mark.parametrize("name", sorted(catalogue().scenarios))
def test_every_shipped_scenario_makes_a_plan_whose_load_outlasts_it(name: str, tmp_path: Path) -> None:
    setting = exercise_setting(catalogue(), name)
    plan = plan_of(setting, "exercise-1", 7)
    load = load_plan(plan, None, tmp_path)
    assert load.seed == 7 and load.duration_s > setting.scenario.duration
    assert {stream.tier for stream in load.streams} == {tier.name for tier in setting.tiers.tiers}
    assert plan.faults == () and plan.fault_s == 0, "what is injected is in no plan"


@pytest.mark.parametrize(("automation", "runs"), [("off", 0), ("on", None), ("wrong", None)])
def test_automation_is_off_on_or_wrong(automation: Any, runs: int | None) -> None:
    platform = Platform.__new__(Platform)
    platform.setting = exercise_setting(catalogue(), "copper-thread", automation)
    disabled, retarget = platform.cut_automation()
    every = set(catalogue().playbooks)
    assert len(every - disabled) == (runs if runs is not None else len(every))
    wrong = platform.setting.wrong
    assert retarget == ({wrong.playbook: wrong.target} if automation == "wrong" and wrong else {})


class Pages:
    """The pager's part that an ending asks."""

    def __init__(self) -> None:
        self.unresolved: list[Any] = []


def wellness(setting: ExerciseSetting, pages: Pages, seen: list[Inventory]) -> tuple[Wellness, Pulse]:
    pulse = Pulse(setting.tiers)
    return Wellness(setting, pulse, pages, lambda: seen[-1]), pulse  # type: ignore[arg-type]


def answered(pulse: Pulse, outcome: str) -> None:
    now = time.time()
    size = 50
    columns = {"tier": ["critical"] * size, "due": [now - 0.1] * size, "latency": [0.01] * size}
    pulse.feed({**columns, "outcome": [outcome] * size})


PAGE = event("page.sent", "pager", action="trigger", dedup_key="ReplicaDown/assistant-1")


def test_it_is_over_only_when_it_happened_rang_and_has_been_well_for_a_while() -> None:
    pages, seen = Pages(), [inventory()]
    watch, pulse = wellness(exercise_setting(catalogue(), "amber-kettle"), pages, seen)
    assert not watch.over(0.0) and not watch.over(100.0), "nothing has happened yet"
    watch.happened("replica")
    assert not watch.over(101.0) and not watch.over(150.0), "nobody was paged about it yet"
    seen.append(inventory(down=("assistant-1",)))
    watch.heard(PAGE, 30.0)
    pages.unresolved = [object()]
    assert not watch.over(151.0)
    pages.unresolved = []
    assert not watch.over(160.0) and not watch.over(170.0), "a replica is still down"
    seen.append(inventory())
    answered(pulse, "error")
    assert not watch.over(171.0), "a promise is missed"
    pulse.feed({"tier": [], "due": [], "latency": [], "outcome": []})
    for _ in range(2000):
        answered(pulse, "ok")
    assert not watch.over(172.0) and not watch.over(172.0 + HOLD_S - 0.1)
    assert watch.over(172.0 + HOLD_S)


def test_a_page_that_was_quicker_than_the_fault_s_proof_counts() -> None:
    watch, _ = wellness(exercise_setting(catalogue(), "amber-kettle"), Pages(), [inventory()])
    watch.heard(PAGE, 30.0)
    watch.happened("replica", PAGE.at - 1.0)
    assert watch.not_relieved() is None
    watch.happened("another", PAGE.at + 1.0)
    assert watch.not_relieved() == "your shift continues", "nobody was paged about that"


def test_relief_is_refused_in_words_that_give_nothing_away() -> None:
    pages, seen = Pages(), [inventory()]
    watch, pulse = wellness(exercise_setting(catalogue(), "iron-orchard"), pages, seen)
    assert watch.not_relieved() == "your shift continues"
    watch.happened(exercise_setting(catalogue(), "iron-orchard").scenario.incidents[0].name)
    watch.heard(PAGE, 30.0)
    assert watch.not_relieved() == "your shift continues", "a second incident is to come, which nobody may learn here"
    answered(pulse, "error")
    assert "critical misses its promise" in (watch.not_relieved() or "")


def test_the_first_reason_to_end_is_the_one_that_counts() -> None:
    ending = Ending()
    ending.end("resolved", "all is well")
    ending.end("error", "later")
    assert (ending.reason, ending.why) == ("resolved", "all is well") and ending.ended.is_set()


def test_the_terminal_shows_what_rings_and_nothing_of_what_was_injected() -> None:
    shown = io.StringIO()
    terminal = Terminal(Console(file=shown, width=80, no_color=True), named=False)
    setting = exercise_setting(catalogue(), "amber-kettle")
    terminal.welcome("exercise-1", setting)
    secret = {"fault": "exercise-1/1", "kind": "replica-crash", "target": "assistant-1", "incident": "replica"}
    page: dict[str, Any] = {"contact": "pager:one", "level": 1, "tier": "critical", "summary": "it is slow"}
    events = [
        event("exercise.started", "exercise", scenario=setting.scenario.model_dump(mode="json")),
        *(event(kind, "exercise", **secret) for kind in (
            "fault.landed", "fault.injected", "fault.reverting", "run.note", "facilitator.inject",
        )),
        event("page.sent", "pager", action="trigger", **page),
        event("page.sent", "pager", action="resolve", **page),
        event("facilitator.message", "facilitator", sender="boss", text="well?"),
    ]  # fmt: skip
    for one in events:
        terminal.feed(Event(one.at, one.kind, one.source, one.data))
    text = shown.getvalue()
    assert text.count("it is slow") == 1 and "boss: well?" in text
    assert "an exercise (first-day)" in text, "one that was drawn has no name"
    for word in ("replica-crash", "assistant-1", "amber", setting.scenario.truth, str(setting.scenario.metadata.title)):
        assert word not in text


def test_on_a_terminal_words_are_not_cut_in_two() -> None:
    sink = io.StringIO()
    console = Terminal(Console(file=sink, width=40, force_terminal=True, color_system=None))
    console.line("best-effort is shed before standard: 0% of it is turned away")
    lines = [line.rstrip() for line in sink.getvalue().splitlines()]
    assert " ".join(line.strip() for line in lines).endswith("before standard: 0% of it is turned away")
    assert max(map(len, lines)) <= 40


def test_a_series_is_shown_as_it_would_be_asked_for() -> None:
    sample = Sample({"__name__": "up", "job": "node", "node": "node-1"}, 1.0, 0.0)
    assert _series(sample) == 'up{job="node", node="node-1"}'
