"""Builds histories for the judge's tests: a small, whole run as events, with knobs for what goes wrong.

Test data, not a simulation of results.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tierdrill.history.events import Event
from tierdrill.judge.samples import samples_event_data
from tierdrill.spec.catalogue import DrillSetting, setting_of
from tierdrill.spec.load import load_catalogue

ROOT = Path(__file__).resolve().parents[2]
ZERO = 1_700_000_000.0
PHASES = (
    ("preflight", 2.0),
    ("warm-up", 12.0),
    ("baseline", 8.0),
    ("fault", 16.0),
    ("recovery", 12.0),
    ("clean-up", 1.0),
)


def shipped(drill: str = "node-loss") -> DrillSetting:
    """A shipped drill with its documents."""
    catalogue, problems = load_catalogue(ROOT)
    assert not problems, "\n".join(map(str, problems))
    return setting_of(catalogue, drill)


Outcome = Callable[[str, float], tuple[str, float, str | None]]


def all_well(tier: str, since_fault: float) -> tuple[str, float, str | None]:
    """Every request answered in 40 ms."""
    return "ok", 0.04, None


@dataclass
class Run:
    """What happens in the history that is built."""

    variant: str = "drill"
    outcome: Outcome = all_well
    landed: bool = True
    gone: bool = True
    alerts: tuple[tuple[float, str, str, dict[str, str], str], ...] = (
        (4.0, "NodeNotReady", "firing", {"node": "node-2"}, "webhook"),
        (4.2, "ServingCapacityLow", "firing", {}, "webhook"),
        (18.5, "NodeNotReady", "resolved", {"node": "node-2"}, "webhook"),
    )
    playbooks: tuple[tuple[float, float, str, str, bool], ...] = (
        (4.1, 5.0, "reschedule-critical", "node-2", True),
        (4.3, 4.5, "shed-best-effort", "best-effort", True),
    )
    extra: list[Event] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    lag: float = 0.001
    idle: float = 0.4
    cut_at: float | None = None
    rates: dict[str, float] = field(default_factory=lambda: {"critical": 62.0, "standard": 20.0, "best-effort": 20.0})

    def events(self, setting: DrillSetting) -> list[Event]:
        """The history, in order and numbered."""
        made: list[tuple[float, str, str, dict[str, Any]]] = [
            (
                ZERO,
                "run.started",
                "runner",
                {
                    "run": "r1",
                    "drill": setting.drill.metadata.name,
                    "variant": self.variant,
                    "setting": setting.to_json(),
                },
            )
        ]
        at = ZERO + 0.1
        spans: dict[str, tuple[float, float]] = {}
        for phase, seconds in PHASES:
            made.append((at, "phase.started", "runner", {"phase": phase}))
            spans[phase] = (at, at + seconds)
            at += seconds
            made.append((at, "phase.ended", "runner", {"phase": phase}))
        effect = spans["fault"][0] + 0.02
        fault = {"fault": "r1/node-power-loss/node-2"}
        made.append(
            (
                effect - 0.1,
                "fault.intended",
                "experiment",
                {
                    **fault,
                    "kind": "node-power-loss",
                    "target": "node-2",
                    "target_kind": "node",
                    "mechanism": "test",
                    "planned_at": spans["fault"][0],
                },
            )
        )
        if self.landed:
            made.append(
                (effect, "fault.landed", "experiment", {**fault, "effective_at": effect, "witness": "w", "seen": "s"})
            )
        else:
            made.append((effect, "fault.not_landed", "experiment", {**fault, "witness": "w", "seen": "nothing"}))
        if self.gone:
            made.append(
                (
                    effect + 16.5,
                    "fault.gone",
                    "experiment",
                    {**fault, "gone_at": effect + 16.5, "witness": "w", "seen": "s"},
                )
            )
        for delay, alert, state, labels, via in self.alerts:
            made.append(
                (
                    effect + delay,
                    "alert.state",
                    "monitoring",
                    {"alert": alert, "state": state, "labels": labels, "severity": "page", "via": via},
                )
            )
        for number, (begin, end, playbook, target, ok) in enumerate(self.playbooks):
            common = {"playbook": playbook, "execution": f"e{number}", "target": target}
            made.append((effect + begin, "playbook.started", "engine", {**common, "alert": "a", "attempt": 1}))
            made.append(
                (
                    effect + end,
                    "playbook.finished",
                    "engine",
                    {**common, "ok": ok, "reason": "", "seconds": end - begin},
                )
            )
        made.extend(self._load(spans, effect))
        made.append((at + 0.1, "ledger.open", "runner", {"faults": self.left}))
        made.append((at + 0.2, "run.ended", "runner", {"outcome": "completed", "reason": ""}))
        made.extend((one.at, one.kind, one.source, one.data) for one in self.extra)
        made.sort(key=lambda item: item[0])
        if self.cut_at is not None:
            made = [item for item in made if item[0] < ZERO + self.cut_at]
        return [
            Event(moment, kind, source, data, number) for number, (moment, kind, source, data) in enumerate(made, 1)
        ]

    def _load(
        self, spans: dict[str, tuple[float, float]], effect: float
    ) -> list[tuple[float, str, str, dict[str, Any]]]:
        chooser = random.Random(5)
        begin, end = spans["warm-up"][0], spans["recovery"][1]
        made: list[tuple[float, str, str, dict[str, Any]]] = []
        rows: list[dict[str, Any]] = []
        for tier, rate in self.rates.items():
            due = begin
            while (due := due + chooser.expovariate(rate)) < end:
                outcome, latency, reason = self.outcome(tier, due - effect)
                rows.append(
                    {
                        "tier": tier,
                        "stream": tier,
                        "due": due,
                        "lag": self.lag,
                        "latency": latency,
                        "ttft": latency / 2,
                        "status": 200 if outcome == "ok" else 500,
                        "outcome": outcome,
                        "reason": reason,
                        "replica": "x",
                        "gateway": "gateway-a",
                        "integrity": True if outcome == "ok" else None,
                        "queue_wait": 0.001,
                    }
                )
        rows.sort(key=lambda row: row["due"])
        for second in range(int(begin), int(end) + 1):
            batch = [row for row in rows if second <= row["due"] < second + 1]
            if batch:
                made.append((second + 1.0, "load.samples", "load", samples_event_data(batch)))
            made.append(
                (second + 1.0, "load.health", "load", {"machine_idle": self.idle, "loop_lag_s": 0.002, "cpu": 0.1})
            )
        return made
