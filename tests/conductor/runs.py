"""Runs that come out as a test says, in place of real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.judge.build import shipped
from tierdrill.conductor.prove import Ablations, ablate, prove
from tierdrill.conductor.run import Listener, RunOptions, RunOutcome
from tierdrill.conductor.run_start import RunRefused
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.proof import Ablation, ProofRow
from tierdrill.judge.verdict import Check, Status, StopReason, Verdict

OUTCOMES = {
    "passed": (Status.PASSED, ()),
    "broken": (Status.FAILED, ("slo/critical/availability",)),
    "unheard": (Status.FAILED, ("playbook/reschedule-critical/fired",)),
    "doubted": (Status.INCONCLUSIVE, ()),
    "stopped": (Status.ABORTED, ()),
    "halted": (Status.ABORTED, ("slo/critical/availability",)),
    "unclean": (Status.UNCLEAN, ()),
    "guarded": (Status.ABORTED, ()),
    "guarded late": (Status.ABORTED, ("slo/critical/fallback", "slo/critical/availability")),
}
RAISED: Mapping[str, type[BaseException]] = {"refused": RunRefused, "interrupted": KeyboardInterrupt}
"""Outcomes of a run that was never begun, or that came to no outcome."""
STOPPED = {
    "stopped": StopReason("signal", "SIGINT received"),
    "halted": StopReason("halt", "enough"),
    "guarded": StopReason("guardrail", "critical availability under 50% over 4s"),
    "guarded late": StopReason("guardrail", "critical availability under 50% over 4s"),
}


class Runs:
    """Runs that come out as they are told to: passed, unless another outcome is named for a drill's variant.

    `made` are the drills and variants in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **outcomes: Mapping[str, str]) -> None:
        self.made: list[tuple[str, str]] = []
        self.left: list[str] = []
        self.planned = self.runs_left = 0
        self.outcomes = {name.replace("_", "-"): told for name, told in outcomes.items()}
        monkeypatch.setattr("tierdrill.conductor.prove.run_drill", self.run)

    async def run(
        self, setting: DrillSetting, options: RunOptions, listeners: Sequence[Listener] = ()
    ) -> RunOutcome:
        drill = setting.drill.metadata.name
        self.made.append((drill, options.variant))
        outcome = self.outcomes.get(drill, {}).get(options.variant, "passed")
        if outcome in RAISED:
            raise RAISED[outcome](outcome)
        for listener in listeners:
            started = {"drill": drill, "variant": options.variant, "run": "a-run"}
            listener(Event(0.0, "run.started", "runner", started))
        status, failed = OUTCOMES[outcome]
        checks = tuple(Check(one, one.split("/")[0], Status.FAILED, "", "", "") for one in failed)
        verdict = Verdict(
            "a-run", drill, options.variant, status, "", failed, checks, stopped=STOPPED.get(outcome)
        )
        return RunOutcome("a-run", Path(), verdict)

    def prove(self, drill: str) -> list[ProofRow]:
        """The rows of a proof of a shipped drill."""
        return asyncio.run(prove(shipped(drill), RunOptions(home=Path(), tools=Path())))

    def ablate(self, parts: Mapping[str, list[str]]) -> tuple[dict[str, ProofRow], list[Ablation]]:
        """How the drills came out whole, and what came of each part, given the drills that may notice."""
        settings = {part: [shipped(name) for name in drills] for part, drills in parts.items()}
        so_far = Ablations(settings)
        self.planned = so_far.runs_left
        asyncio.run(ablate(so_far, RunOptions(home=Path(), tools=Path())))
        self.left, self.runs_left = so_far.left, so_far.runs_left
        return so_far.whole, so_far.found
