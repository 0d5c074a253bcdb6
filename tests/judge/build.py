"""Builds histories for the judge's tests: a small, whole run as events, with knobs for what goes wrong.

Test data, not a simulation of results.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from tests.shipped import shipped_documents
from tierdrill.documents.catalogue import DrillSetting, setting_of
from tierdrill.history.events import Event
from tierdrill.judge.sample_columns import samples_event_data

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
    """A shipped drill with its documents, which are the caller's own."""
    data = deepcopy(setting_of(shipped_documents(), drill).to_json())
    # The histories that are built here are of that node.
    data["drill"]["variables"].update({"node": "node-2"} if drill == "node-loss" else {})
    return DrillSetting.from_json(data)


Outcome = Callable[[str, float], tuple[str, float, str | None]]


def all_well(tier: str, since_fault: float) -> tuple[str, float, str | None]:
    """Every request answered in 40 ms."""
    return "ok", 0.04, None


Made = tuple[float, str, str, dict[str, Any]]


def parts_of(setting: DrillSetting, tier: str) -> list[tuple[str, bool, float]]:
    """A tier's streams as the generator sends them: name, whether it streams, weight."""
    parts = []
    for stream in setting.drill.load.streams:
        for streaming, share in ((False, 1.0 - stream.streaming), (True, stream.streaming)):
            if stream.tier == tier and share > 0:
                suffix = ("-streamed" if streaming else "-plain") if 0 < stream.streaming < 1 else ""
                parts.append((stream.name + suffix, streaming, stream.rate * share))
    return parts


def _rates(setting: DrillSetting) -> dict[str, float]:
    rates = dict.fromkeys(("critical", "standard", "best-effort"), 0.0)
    for stream in setting.drill.load.streams:
        rates[stream.tier] += stream.rate
    return rates


@dataclass
class Run:
    """What happens in the history that is built."""

    variant: str = "drill"
    seconds: dict[str, float] = field(default_factory=dict)
    outcome: Outcome = all_well
    landed: bool = True
    gone: bool = True
    gone_after: float = 16.5
    reverted: tuple[tuple[float, str], ...] = ((16.1, "experiment"),)
    planned: tuple[tuple[str, str], ...] | None = (("node-power-loss", "node-2"),)
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
    without: Callable[[Event], bool] = lambda event: False
    left: list[str] = field(default_factory=list)
    left_processes: list[str] = field(default_factory=list)
    lag: float = 0.001
    idle: float = 0.4
    lost: Callable[[str, float], bool] = lambda tier, since_fault: False
    down: tuple[tuple[float, tuple[str, ...], tuple[str, ...]], ...] = (
        (2.0, ("node-2",), ("assistant-1", "summarizer-1", "draft-1")),
        (18.0, (), ()),
    )
    cut_at: float | None = None
    rates: dict[str, float] | None = None
    """Requests a second of each tier; None: as the drill has them."""

    def events(self, setting: DrillSetting) -> list[Event]:
        """The history, in order and numbered."""
        start = {
            "run": "r1",
            "drill": setting.drill.metadata.name,
            "variant": self.variant,
            "setting": setting.to_json(),
        }
        start["planned"] = {phase: self.seconds.get(phase, usual) for phase, usual in PHASES[1:-1]}
        if self.planned is not None:
            start["faults"] = [{"activity": f"a-{kind}", "kind": kind, "target": to} for kind, to in self.planned]
        made: list[Made] = [(ZERO, "run.started", "runner", start)]
        at = ZERO + 0.1
        spans: dict[str, tuple[float, float]] = {}
        for phase, usual in PHASES:
            seconds = self.seconds.get(phase, usual)
            made.append((at, "phase.started", "runner", {"phase": phase, "planned_at": at}))
            spans[phase] = (at, at + seconds)
            at += seconds
            made.append((at, "phase.ended", "runner", {"phase": phase}))
        effect = spans["fault"][0] + 0.02
        made.extend(_preflight(spans))
        if self.variant.startswith("sabotage:"):
            text = f"{self.variant.replace(':', ' ')}: its reason"
            made.append((spans["preflight"][1], "run.note", "runner", {"text": text}))
        made.extend(self._fault(spans, effect))
        made.extend(self._answers(setting, effect))
        made.extend(self._load(setting, spans, effect))
        made.append((at + 0.1, "ledger.open", "runner", {"faults": self.left, "processes": self.left_processes}))
        made.append((at + 0.2, "run.ended", "runner", {"outcome": "completed", "reason": ""}))
        made.extend((one.at, one.kind, one.source, one.data) for one in self.extra)
        made.sort(key=lambda item: item[0])
        if self.cut_at is not None:
            made = [item for item in made if item[0] < ZERO + self.cut_at]
        made = [item for item in made if not self.without(Event(*item))]
        return [
            Event(moment, kind, source, data, number) for number, (moment, kind, source, data) in enumerate(made, 1)
        ]

    def _fault(self, spans: dict[str, tuple[float, float]], effect: float) -> list[Made]:
        """The node loses power and gets it back."""
        fault = {"fault": "r1/node-power-loss/node-2"}
        about = {"kind": "node-power-loss", "target": "node-2", "target_kind": "node", "mechanism": "test"}
        witness = {"witness": "w", "seen": "s"}
        planned = {"planned_at": spans["fault"][0]}
        made: list[Made] = [(effect - 0.1, "fault.intended", "experiment", {**fault, **about, **planned})]
        if self.landed:
            made.append((effect, "fault.landed", "experiment", {**fault, **witness, "effective_at": effect}))
        else:
            made.append((effect, "fault.not_landed", "experiment", {**fault, "witness": "w", "seen": "nothing"}))
        for after, by in self.reverted:
            made.append((effect + after, "fault.reverting", by, {**fault, "by": by}))
        if self.gone:
            at = effect + self.gone_after
            made.append((at, "fault.gone", "experiment", {**fault, **witness, "gone_at": at}))
        return made

    def _answers(self, setting: DrillSetting, effect: float) -> list[Made]:
        """What the platform, its alerts and its playbooks did about it."""
        made: list[Made] = []
        for delay, nodes, replicas in ((-10.0, (), ()), *self.down):
            state = {
                "nodes": [{"name": f"node-{i}", "ready": f"node-{i}" not in nodes} for i in (1, 2, 3)],
                "replicas": [
                    {"name": f"{model}-{i}", "ready": f"{model}-{i}" not in replicas}
                    for model in ("assistant", "summarizer", "draft")
                    for i in (0, 1, 2)
                ],
            }
            made.append((effect + delay, "platform.state", "lab", state))
        for delay, alert, alert_state, labels, via in self.alerts:
            data = {"alert": alert, "state": alert_state, "labels": labels, "severity": "page", "via": via}
            made.append((effect + delay, "alert.state", "monitoring", data))
        starts = {playbook.metadata.name: playbook.match.alert for playbook in setting.playbooks}
        for number, (begin, end, playbook, target, ok) in enumerate(self.playbooks):
            common = {"playbook": playbook, "execution": f"e{number}", "target": target}
            done = {**common, "ok": ok, "reason": "", "seconds": end - begin}
            made.append((effect + begin, "playbook.started", "engine", {**common, "alert": starts[playbook]}))
            made.append((effect + end, "playbook.finished", "engine", done))
        return made

    def _load(self, setting: DrillSetting, spans: dict[str, tuple[float, float]], effect: float) -> list[Made]:
        chooser = random.Random(5)
        begin, end = spans["warm-up"][0], spans["recovery"][1]
        planned: Counter[str] = Counter()
        rows: list[dict[str, Any]] = []
        for tier, rate in (_rates(setting) if self.rates is None else self.rates).items():
            parts = parts_of(setting, tier)
            due = begin
            while (due := due + chooser.expovariate(rate)) < end:
                [(stream, streaming, _)] = chooser.choices(parts, [weight for _, _, weight in parts])
                outcome, latency, reason = self.outcome(tier, due - effect)
                sequence = planned[stream]
                planned[stream] += 1
                if self.lost(tier, due - effect):
                    continue
                rows.append(
                    {
                        "tier": tier,
                        "stream": stream,
                        "due": due,
                        "lag": self.lag,
                        "latency": latency,
                        "ttft": latency / 2 if streaming and outcome == "ok" else None,
                        "status": 200 if outcome == "ok" else 500,
                        "outcome": outcome,
                        "reason": reason,
                        "replica": "x",
                        "gateway": "gateway-a",
                        "integrity": True if outcome == "ok" else None,
                        "queue_wait": 0.001,
                        "served_tier": tier,
                        "model": "m",
                        "attempts": 1,
                        "stall": latency / 4 if streaming and outcome == "ok" else None,
                        "sequence": sequence,
                    }
                )
        rows.sort(key=lambda row: row["due"])
        batches = {second: [*batch] for second, batch in groupby(rows, key=lambda row: int(row["due"]))}
        made: list[Made] = [(begin, "load.started", "load", {"schedule_zero": begin, "planned": dict(planned)})]
        for second in range(int(begin), int(end) + 1):
            if batch := batches.get(second):
                made.append((second + 1.0, "load.samples", "load", samples_event_data(batch)))
            health = {"machine_idle": self.idle, "loop_lag_s": 0.002, "cpu": 0.1, "interval_s": 1.0, "stalled": False}
            made.append((second + 1.0, "load.health", "load", health))
        made.append((spans["clean-up"][0] + 0.2, "load.ended", "load", {"exit_code": 0, "malformed": 0}))
        return made


def _preflight(spans: dict[str, tuple[float, float]]) -> list[Made]:
    """Every check good: of the deployment in preflight, of the alert pipeline at the end of warm-up."""
    moments = {"nodes": "preflight", "replicas": "preflight", "pipeline": "warm-up", "alerts": "warm-up"}
    return [
        (spans[phase][1] - 0.01, "preflight.check", "runner", {"name": name, "ok": True, "seen": "fine"})
        for name, phase in moments.items()
    ]
