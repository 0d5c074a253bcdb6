"""Builds histories of exercises for the score's tests, in the events that an exercise writes.

Test data, not a simulation of results: every time and outcome is set by the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.shipped import shipped_documents as catalogue
from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.scenario import Scenario
from tierdrill.documents.models.tiers import Tiers
from tierdrill.faults.known_kinds import KINDS
from tierdrill.history.events import Event
from tierdrill.judge.sample_columns import samples_event_data

ZERO = 1_700_000_000.0
EFFECT_LAG_S = 0.5
PAGE_LAG_S = 6.0


def shipped(name: str) -> tuple[Scenario, Tiers, dict[str, Playbook]]:
    """A shipped scenario with what its score needs."""
    scenario = catalogue().scenarios[name]
    environment = catalogue().environments[scenario.environment]
    return scenario, catalogue().tiers[environment.tiers], dict(catalogue().playbooks)


Bad = Callable[[str, float], bool]


def all_well(tier: str, at: float) -> bool:
    """No request is bad."""
    return False


@dataclass
class Sitting:
    """What happens in the history that is built. Times are seconds from the exercise's begin.

    `acts` are (at, remedy, target, parameters); `bad(tier, at)` says which requests fail.
    """

    scenario: Scenario
    seconds: float | None = None
    trainee: str | None = None
    landed: bool = True
    acknowledged: dict[str, float] = field(default_factory=dict)
    hypotheses: list[tuple[float, str, str | None]] = field(default_factory=list)
    acts: list[tuple[float, str, str, dict[str, Any]]] = field(default_factory=list)
    refused: list[tuple[float, str, str]] = field(default_factory=list)
    updates: list[tuple[float, str]] = field(default_factory=list)
    hints: list[tuple[float, int]] = field(default_factory=list)
    looks: list[tuple[float, str]] = field(default_factory=list)
    pauses: list[tuple[float, float]] = field(default_factory=list)
    paged: bool = True
    bad: Bad = all_well
    rate_rps: float = 8.0
    load: bool = True
    idle: float = 0.4
    automation: str = "off"
    reason: str = "over"
    zero: float = ZERO

    def events(self) -> list[Event]:
        """The history."""
        end = self.seconds if self.seconds is not None else self.scenario.duration
        made: list[tuple[float, str, str, dict[str, Any]]] = [
            (
                0.0, "exercise.started", "exercise",
                {
                    "exercise": "ex-1", "scenario": self.scenario.model_dump(mode="json"), "trainee": self.trainee,
                    "settings": settings(self.scenario), "automation": self.automation, "seed": 1,
                },
            )
        ]  # fmt: skip
        for incident in self.scenario.incidents:
            if incident.at < end:
                made += self._incident(incident.name)
        made += [(at, "trainee.hypothesis", "trainee", _hypothesis(c, i)) for at, c, i in self.hypotheses]
        made += [
            (at, "trainee.action", "trainee", {"action": a, "target": t, "parameters": p, "ok": True, "seen": "done"})
            for at, a, t, p in self.acts
        ]
        made += [
            (at, "trainee.action", "trainee", {"action": a, "target": t, "parameters": {}, "ok": False, "seen": "no"})
            for at, a, t in self.refused
        ]
        made += [(at, "trainee.update", "trainee", {"text": text}) for at, text in self.updates]
        made += [(at, "trainee.looked", "trainee", {"what": what}) for at, what in self.looks]
        made += [(at, "facilitator.hint", "facilitator", {"hint": "a hint", "cost": cost}) for at, cost in self.hints]
        for since, until in self.pauses:
            made += [(since, "facilitator.pause", "facilitator", {}), (until, "facilitator.resume", "facilitator", {})]
        if self.load:
            made += self._samples(end)
        made.append((end, "exercise.ended", "exercise", {"reason": self.reason}))
        made.sort(key=lambda one: one[0])
        return [Event(self.zero + at, *rest, n) for n, (at, *rest) in enumerate(made, start=1)]

    def _incident(self, name: str) -> list[tuple[float, str, str, dict[str, Any]]]:
        incident = next(one for one in self.scenario.incidents if one.name == name)
        made: list[tuple[float, str, str, dict[str, Any]]] = []
        effect = incident.at + EFFECT_LAG_S
        for number, parameters in enumerate(incident.parameters):
            fault, target = f"{name}-{number}", KINDS[incident.fault].target(parameters)
            told = {"incident": name, "fault": fault, "kind": incident.fault, "target": target, "tier": incident.tier}
            made.append((incident.at, "exercise.incident", "exercise", told))
            landed = {"fault": fault, "effective_at": self.zero + effect, "witness": "w", "seen": "s"}
            made.append((effect + 0.1, "fault.landed" if self.landed else "fault.not_landed", "witness", landed))
        key = f"Alert/{KINDS[incident.fault].target(incident.parameters[0])}"
        if self.paged:
            page = {"dedup_key": key, "tier": incident.tier, "level": 1, "action": "trigger", "summary": "it is broken"}
            made.append((effect + PAGE_LAG_S, "page.sent", "pager", page))
            if (at := self.acknowledged.get(name)) is not None:
                made.append((at, "page.acknowledged", "pager", {"dedup_key": key, "by": self.trainee or "trainee"}))
        return made

    def _samples(self, end: float) -> list[tuple[float, str, str, dict[str, Any]]]:
        rows = []
        for tier in sorted({stream.tier for stream in self.scenario.load.streams}):
            for number in range(int(end * self.rate_rps)):
                at = number / self.rate_rps
                failed = self.bad(tier, at)
                rows.append(
                    {
                        "tier": tier, "stream": tier, "due": self.zero + at, "lag": 0.0, "latency": 0.04, "ttft": 0.02,
                        "status": 503 if failed else 200, "outcome": "error" if failed else "ok", "reason": "",
                        "integrity": None if failed else True, "queue_wait": 0.001,
                    }
                )  # fmt: skip
        samples = (end, "load.samples", "load", samples_event_data(rows))
        health = {"machine_idle": self.idle, "lag_p99_s": 0.001, "stalled": False, "interval_s": 1.0}
        return [samples, *((float(at), "load.health", "load", health) for at in range(1, int(end)))]


def settings(scenario: Scenario) -> dict[str, Any]:
    """The documents around a scenario, as an exercise keeps them."""
    environment = catalogue().environments[scenario.environment]
    return {
        "environment": environment.model_dump(mode="json"),
        "tiers": catalogue().tiers[environment.tiers].model_dump(mode="json"),
        "workloads": catalogue().workloads[environment.workloads].model_dump(mode="json"),
        "playbooks": [one.model_dump(mode="json") for one in catalogue().playbooks.values()],
    }


def _hypothesis(cause: str, incident: str | None) -> dict[str, Any]:
    return {"cause": cause} if incident is None else {"cause": cause, "incident": incident}


def parameters_of(remedy: str, target: str) -> dict[str, Any]:
    """The parameters that an exercise records for a remedy on a target."""
    if remedy == "set-weight":
        gateway, _, node = target.rpartition(">")
        return {"node": node, "weight": 0.0, **({"gateway": gateway} if gateway else {})}
    if remedy == "run-playbook":
        playbook, _, on = target.partition(" ")
        return {"playbook": playbook, "target": on}
    if remedy in ("shed", "cap"):
        return {"tier": target, **({"fraction": 0.5} if remedy == "shed" else {"rate": 5.0})}
    if remedy in ("drain", "cordon", "uncordon", "power-cycle", "reschedule"):
        node, _, gpu = target.partition("/")
        return {"node": node, **({"gpu": int(gpu)} if gpu else {})}
    if remedy == "set-flag":
        return {"flag": target, "value": False}
    return {"replica": target}


def well_done(scenario: Scenario, *, late: float = 0.0) -> Sitting:
    """An exercise as it should go; `late` seconds later in everything if so wished."""
    sitting = Sitting(scenario)
    by_rank = sorted(scenario.incidents, key=lambda one: (one.tier != "critical", one.tier != "standard", one.at))
    last = max(one.at for one in by_rank)
    for number, one in enumerate(by_rank):
        effect = one.at + EFFECT_LAG_S
        sitting.acknowledged[one.name] = effect + PAGE_LAG_S + 3.0 + late
        sitting.hypotheses.append((last + 15.0 + 5 * number + late, one.cause, one.name))
        if one.playbook is not None:
            answer = next(m for m in one.mitigations if m.remedy == "run-playbook")
        else:
            answer = one.mitigations[0]
        target = answer.target or ""
        parameters = parameters_of(answer.remedy, target)
        sitting.acts.append((last + 25.0 + 8 * number + late, answer.remedy, target, parameters))
    first = min(one.at for one in by_rank)
    every = scenario.updates_every
    at = first + every * 0.6
    while at < scenario.duration:
        sitting.updates.append((at, "we are on it"))
        at += every * 0.8
    return sitting
