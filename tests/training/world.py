"""A stand-in for an exercise: answers commands in the shapes of the real looks, in a time that tests move.

It knows the physics of each fault (what is seen, which remedy ends it), not what the scenario calls right or harmful,
so that the scenario's answers are tested with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.training.build import EFFECT_LAG_S, PAGE_LAG_S, ZERO, Sitting, catalogue, parameters_of, settings
from tierdrill.documents.models.scenario import Incident, Scenario
from tierdrill.faults.known_kinds import KINDS
from tierdrill.history.events import Event
from tierdrill.training.responders import LOOKS, Over

NODES = ("node-1", "node-2", "node-3")
ALERTS = {
    "replica-crash": "ReplicaDown",
    "replica-hang": "StalledReplica",
    "node-power-loss": "NodeNotReady",
    "gpu-fallen-off-bus": "GpuFallenOffBus",
    "gpu-thermal-throttle": "GpuThermalThrottle",
    "link-latency": "NetworkDegraded",
    "link-partition": "EndpointUnreachable",
    "router-fail-closed": "RouterFailsClosed",
    "priority-swap": "TierInversion",
    "state-quorum-lost": "StateQuorumLost",
    "bit-flip": "ReplicaAnswersWrong",
}
ENDS = {
    "replica-crash": ("restart-replica", "replace-replica", "run-playbook"),
    "replica-hang": ("restart-replica", "replace-replica", "run-playbook"),
    "node-power-loss": ("reschedule", "power-cycle", "run-playbook"),
    "gpu-fallen-off-bus": ("drain", "power-cycle", "run-playbook"),
    "gpu-thermal-throttle": ("set-weight", "run-playbook"),
    "link-latency": ("set-weight", "run-playbook"),
    "link-partition": ("set-weight", "run-playbook"),
    "router-fail-closed": ("restart-gateway", "run-playbook", "set-flag"),
    "priority-swap": ("run-playbook",),
    "state-quorum-lost": ("restart-members", "run-playbook"),
    "bit-flip": ("restart-replica", "replace-replica", "run-playbook"),
}
REMEDIES = {
    "restart": "restart-replica", "replace": "replace-replica", "drain": "drain", "cordon": "cordon", "shed": "shed",
    "uncordon": "uncordon", "reschedule": "reschedule", "power-cycle": "power-cycle", "set-weight": "set-weight",
}  # fmt: skip


@dataclass
class Trouble:
    """One incident going on."""

    incident: Incident
    effect: float
    mended: float | None = None

    @property
    def targets(self) -> list[str]:
        return [KINDS[self.incident.fault].target(parameters) for parameters in self.incident.parameters]


class World:
    """One exercise; `ask` and `wait` are what a responder is given."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.time = scenario, 0.0
        self.sitting = Sitting(scenario, rate_rps=4.0)
        self.troubles = [Trouble(one, one.at + EFFECT_LAG_S) for one in scenario.incidents]
        self.taken: dict[str, float] = {}
        self.cordoned: set[str] = set()
        self.hurt: list[tuple[float, float]] = []
        self.ended: str | None = None
        self.raw: list[tuple[float, str, dict[str, Any]]] = []
        self.log: list[str] = []
        self._hints = 0

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += seconds
        wrong = self.scenario.wrong
        if wrong is not None and any(self.time >= one.effect + PAGE_LAG_S for one in self.troubles):
            self.cordoned.add(wrong.target.partition("/")[0])
        if self.time >= self.scenario.duration:
            self.ended = self.ended or "time"
        if self.ended:
            raise Over

    def ask(self, do: str, said: Mapping[str, Any]) -> dict[str, Any]:
        if self.ended:
            raise Over
        self.log.append(do)
        if do in LOOKS or do in ("pages", "logs"):
            self.raw.append((self.time, "trainee.looked", {"what": do}))
        answer = getattr(self, f"_{do.replace('-', '_')}", None)
        if answer is not None:
            return {"ok": True, "code": 0, "text": do, "data": None, **answer(said)}
        if do in REMEDIES or do == "playbook":
            return self._remedy(do, said)
        raise AssertionError(f"a trainee has no command {do}")

    # -- looks

    def _going_on(self, after: float = 0.0) -> list[Trouble]:
        return [one for one in self.troubles if self.time >= one.effect + after and one.mended is None]

    def _key(self, trouble: Trouble) -> str:
        return f"{ALERTS[trouble.incident.fault]}/{trouble.targets[0]}"

    def _pages(self, said: Mapping[str, Any]) -> dict[str, Any]:
        rows = [
            {
                "id": f"P{number}", "key": self._key(one), "tier": one.incident.tier, "summary": "it is broken",
                "state": "acknowledged" if one.incident.name in self.taken else "triggered",
            }
            for number, one in enumerate(self.troubles, start=1)
            if self.time >= one.effect + PAGE_LAG_S
        ]  # fmt: skip
        return {"data": rows}

    def _acknowledge(self, said: Mapping[str, Any]) -> dict[str, Any]:
        trouble = self.troubles[int(str(said["page"])[1:]) - 1]
        self.taken.setdefault(trouble.incident.name, self.time)
        return {}

    def _alerts(self, said: Mapping[str, Any]) -> dict[str, Any]:
        rows = [
            {"alert": ALERTS[one.incident.fault], "severity": "page", "about": target, "labels": {}, "summary": ""}
            for one in self._going_on(PAGE_LAG_S - 0.5)
            for target in one.targets
        ]
        return {"data": rows}

    def _nodes(self, said: Mapping[str, Any]) -> dict[str, Any]:
        down = {one.targets[0] for one in self._going_on() if one.incident.fault == "node-power-loss"}
        rows = [{"name": name, "ready": name not in down, "cordoned": name in self.cordoned} for name in NODES]
        return {"data": rows}

    def _replicas(self, said: Mapping[str, Any]) -> dict[str, Any]:
        states = {
            one.targets[0]: {"replica-crash": "exited", "replica-hang": "unresponsive"}.get(one.incident.fault)
            for one in self._going_on()
        }
        workloads = catalogue().workloads["models"]
        names = [(f"{model.name}-{n}", model.tier) for model in workloads.models for n in range(model.replicas)]
        rows = []
        for number, (name, tier) in enumerate(names):
            state = states.get(name) or "ready"
            place = {"node": NODES[number % 3], "gpu": number // 3 % 2}
            rows.append({"name": name, "tier": tier, **place, "state": state, "ready": state == "ready"})
        return {"data": rows}

    def _gpus(self, said: Mapping[str, Any]) -> dict[str, Any]:
        return {"data": [{"name": f"{node}/{gpu}", "state": "healthy"} for node in NODES for gpu in (0, 1)]}

    def _links(self, said: Mapping[str, Any]) -> dict[str, Any]:
        return {"data": []}

    def _playbooks(self, said: Mapping[str, Any]) -> dict[str, Any]:
        return {"data": []}

    def _logs(self, said: Mapping[str, Any]) -> dict[str, Any]:
        return {"data": {"log": said["what"], "lines": []}}

    def _tiers(self, said: Mapping[str, Any]) -> dict[str, Any]:
        return {"data": [{"tier": one.name, "rank": one.rank} for one in catalogue().tiers["serving"].by_rank()]}

    # -- words

    def _hypothesis(self, said: Mapping[str, Any]) -> dict[str, Any]:
        about = {"about": said["about"]} if said.get("about") else {}
        self.raw.append((self.time, "trainee.hypothesis", {"cause": said["cause"], **about}))
        return {}

    def _update(self, said: Mapping[str, Any]) -> dict[str, Any]:
        self.sitting.updates.append((self.time, str(said["text"])))
        return {}

    def _hint(self, said: Mapping[str, Any]) -> dict[str, Any]:
        if self._hints >= len(self.scenario.hints):
            return {"ok": False, "code": 1}
        self.sitting.hints.append((self.time, self.scenario.hints[self._hints].cost))
        self._hints += 1
        return {}

    def _done(self, said: Mapping[str, Any]) -> dict[str, Any]:
        if any(one.mended is None or one.incident.name not in self.taken for one in self.troubles):
            return {"ok": False, "code": 1, "text": "not yet: the alert is firing"}
        self.ended = "resolved"
        return {}

    def _give_up(self, said: Mapping[str, Any]) -> dict[str, Any]:
        self.ended = "given-up"
        return {}

    # -- remedies

    def _remedy(self, do: str, said: Mapping[str, Any]) -> dict[str, Any]:
        if do == "playbook":
            action, target = "run-playbook", f"{said['playbook']} {said['target']}"
        else:
            action, target = REMEDIES[do], str(said["target"])
        parameters = parameters_of(action, target)
        if "fraction" in said:
            parameters["fraction"] = float(said["fraction"])
        self.sitting.acts.append((self.time, action, target, parameters))
        on = target.rpartition(" ")[2]
        hit = False
        for trouble in self.troubles:
            places = {part for one in trouble.targets for part in (one, one.partition("/")[0])}
            if self.time >= trouble.effect and action in ENDS[trouble.incident.fault] and on in places:
                trouble.mended, hit = trouble.mended or self.time + 1.0, True
        if action == "uncordon":
            self.cordoned.discard(on)
        elif not hit and action in ("drain", "restart-replica", "power-cycle"):
            self.hurt.append((self.time, self.time + 15.0))
        self.time += 1.0
        return {"ok": True, "code": 0, "text": "done", "data": {}}

    def events(self) -> list[Event]:
        """The history that this exercise leaves."""
        self.sitting.seconds = self.time
        self.sitting.acknowledged = dict(self.taken)
        self.sitting.reason = self.ended or "time"
        self.sitting.bad = self._bad
        made = self.sitting.events()
        extra = [Event(ZERO + at, kind, "trainee", data, 10_000 + n) for n, (at, kind, data) in enumerate(self.raw)]
        return [*made, *extra]

    def _bad(self, tier: str, at: float) -> bool:
        if any(begin <= at < end for begin, end in self.hurt):
            return int(at * 4) % 3 == 0
        return any(
            one.incident.tier == tier and one.effect <= at < (one.mended or self.time) and int(at * 4) % 4 == 0
            for one in self.troubles
        )


__all__ = ["World", "settings"]
