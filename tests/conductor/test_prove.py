"""Ablation runs what it must and no more: each drill whole first, then without one part, until a drill notices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.judge.build import shipped
from tierdrill.conductor.prove import ablate
from tierdrill.conductor.run import RunOptions, RunOutcome
from tierdrill.judge.proof import Ablation, ProofRow
from tierdrill.judge.verdict import Check, Status, Verdict

OUTCOMES = {
    "passed": (Status.PASSED, ()),
    "broken": (Status.FAILED, ("slo/critical/availability",)),
    "unheard": (Status.FAILED, ("playbook/reschedule-critical/fired",)),
    "doubted": (Status.INCONCLUSIVE, ()),
    "stopped": (Status.ABORTED, ()),
}
RETRIES, MOVED = "sabotage:without-retries", "sabotage:without-reschedule-critical"


class Runs:
    """Runs that come out as they are told to: passed, unless another outcome is named for a drill's variant."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **outcomes: Mapping[str, str]) -> None:
        self.made: list[tuple[str, str]] = []
        self.outcomes = {name.replace("_", "-"): told for name, told in outcomes.items()}
        monkeypatch.setattr("tierdrill.conductor.prove.run_drill", self.run)

    async def run(self, setting: Any, options: RunOptions, listeners: Any = ()) -> RunOutcome:
        drill = setting.drill.metadata.name
        self.made.append((drill, options.variant))
        status, failed = OUTCOMES[self.outcomes.get(drill, {}).get(options.variant, "passed")]
        checks = tuple(Check(one, one.split("/")[0], Status.FAILED, "", "", "") for one in failed)
        return RunOutcome("a-run", Path(), Verdict("a-run", drill, options.variant, status, "", failed, checks))

    def ablate(self, parts: Mapping[str, list[str]]) -> tuple[dict[str, ProofRow], list[Ablation]]:
        settings = {part: [shipped(name) for name in drills] for part, drills in parts.items()}
        return asyncio.run(ablate(settings, RunOptions(home=Path(), tools=Path())))


def test_it_stops_at_the_first_drill_that_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, node_loss={MOVED: "unheard"}, slow_link={RETRIES: "broken", MOVED: "broken"})
    whole, found = runs.ablate(
        {
            "retries": ["slow-link", "node-loss"],
            "reschedule-critical": ["node-loss", "slow-link"],
        }
    )
    assert runs.made == [
        ("slow-link", "drill"),
        ("slow-link", RETRIES),
        ("node-loss", "drill"),
        ("node-loss", MOVED),
        ("slow-link", MOVED),
    ]
    assert [one.noticed_by for one in found] == ["slow-link", "slow-link"]
    assert found[1].drills == ("node-loss", "slow-link") and all(row.ok for row in whole.values())


def test_what_no_drill_notices_is_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, node_loss={RETRIES: "doubted"})
    _, found = runs.ablate({"retries": ["node-loss", "slow-link"], "fallback": []})
    assert [(one.part, one.noticed_by, one.drills) for one in found] == [
        ("retries", None, ("node-loss", "slow-link")),
        ("fallback", None, ()),
    ]


def test_a_drill_that_does_not_pass_whole_notices_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, node_loss={"drill": "broken", RETRIES: "broken"})
    whole, found = runs.ablate({"retries": ["node-loss"]})
    assert runs.made == [("node-loss", "drill")]
    assert not whole["node-loss"].ok and found[0].noticed_by is None


@pytest.mark.parametrize("at", ["drill", RETRIES])
def test_a_run_that_somebody_stopped_ends_it(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    runs = Runs(monkeypatch, node_loss={at: "stopped"})
    _, found = runs.ablate({"retries": ["node-loss", "slow-link"], "fallback": ["slow-link"]})
    assert runs.made[-1] == ("node-loss", at) and all(one.noticed_by is None for one in found)
