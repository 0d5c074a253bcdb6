"""The controller's mind: where each replica belongs and what each node should run. No I/O, time is an argument.

A node that is silent for the grace is NotReady: its endpoints are withdrawn and its replicas wait for it, as pods do on
Kubernetes, until the eviction time. Moving them sooner is a playbook's job.
"""

import itertools
import math
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tierdrill.lab.controller.cluster_model import (
    ControllerConfig,
    Held,
    Instance,
    Node,
    Report,
    UnknownName,
)
from tierdrill.lab.controller.placement import Gpu, Plan, Replica, Spot, home, place, spare_rooms
from tierdrill.lab.lab_config import ReplicaConfig, build

EVENTS_KEPT = 200
UNRESPONSIVE = "unresponsive"
DRAIN_S = 1.0  # how long a replaced instance may finish what it was asked
HANDOVER_TIMEOUT_S = 8.0


class Core:
    def __init__(self, config: ControllerConfig, now: float) -> None:
        self.config = config
        self.started_at = now
        self.version = 1
        self.nodes = {name: Node(name, dict(gpus), silent_since=now) for name, gpus in config.nodes.items()}
        self.held = {replica.name: Held(replica) for replica in config.replicas}
        self.revisions = {model: next(iter(published)) for model, published in config.revisions.items()}
        self.golden: dict[tuple[str, str, str], bool | None] = {}  # see `Seen`
        self.moves: dict[tuple[str, str], int] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=EVENTS_KEPT)
        self._event_sequence = 0
        self._no_room_in: object = None
        self._shapes = {each.name: _shape(each) for each in config.replicas}
        self.homes = dict(home(self._shapes, self.gpus(), config.rules).places)
        for name, spot in self.homes.items():
            self._put(self.held[name], spot)
        for name in sorted(set(self.held) - set(self.homes)):
            self.event("unplaced", replica=name, reason="no room")

    def event(self, kind: str, **data: Any) -> None:
        """Note what happened; state readers see a new version."""
        self._event_sequence += 1
        self.events.append({"sequence": self._event_sequence, "at": time.time(), "kind": kind, **data})
        self.version += 1

    def node(self, name: str) -> Node:
        try:
            return self.nodes[name]
        except KeyError:
            raise UnknownName(f"got node {name!r}, expected one of: {', '.join(sorted(self.nodes))}") from None

    def replica(self, name: str) -> Held:
        try:
            return self.held[name]
        except KeyError:
            raise UnknownName(f"got replica {name!r}, expected one of: {', '.join(sorted(self.held))}") from None

    def gpus(self, without_node: str | None = None) -> list[Gpu]:
        """All GPUs as placement sees them; none of `without_node` is usable."""
        return [
            Gpu(node.name, index, memory, node.gpu_usable(index) and node.name != without_node)
            for node in self.nodes.values()
            for index, memory in sorted(node.gpus.items())
        ]

    def places(self) -> dict[str, Spot]:
        """Where every placed replica belongs now."""
        return {name: held.current.spot for name, held in self.held.items() if held.current is not None}

    def plan(
        self,
        wanted: Iterable[str],
        *,
        without_node: str | None = None,
        prefer: Mapping[str, Spot] | None = None,
        avoid: Mapping[str, Spot] | None = None,
    ) -> Plan:
        gpus = self.gpus(without_node)
        return place(wanted, self._shapes, gpus, self.places(), self.config.rules, prefer=prefer, avoid=avoid)

    def report(self, name: str, instance: Instance | None) -> Report | None:
        """What the agent says of that very instance; None when it says nothing."""
        if instance is None:
            return None
        found = self.nodes[instance.spot[0]].reports.get(name)
        if found is None or (found.generation, found.gpu) != (instance.generation, instance.spot[1]):
            return None
        return found

    def instance_ready(self, name: str, instance: Instance | None) -> bool:
        """Whether it can serve: reported ready, by a node that is heard."""
        found = self.report(name, instance)
        return found is not None and found.ready and instance is not None and self.nodes[instance.spot[0]].ready

    def serving(self, held: Held) -> Instance | None:
        """The instance that requests should go to."""
        name = held.config.name
        if held.leaving is not None and self.instance_ready(name, held.leaving):
            return held.current if self.instance_ready(name, held.current) else held.leaving
        return held.current

    def heartbeat(self, document: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
        """Take an agent's report; the answer is what its node should run."""
        node = self.node(str(document["node"]))
        told = (build(Report, each, "replica", only_known=True) for each in document["replicas"])
        reports = {report.name: report for report in told}
        gpus = {int(each["index"]): dict(each) for each in document["gpus"]}
        boot_id = str(document["boot_id"])
        if node.boot_id != boot_id:
            self.event("node-booted", node=node.name, boot_id=boot_id)
            node.boot_id, node.reports = boot_id, {}
        node.agent = str(document["agent"])
        node.heard_at = now
        self._gpus_reported(node, gpus)
        self._replicas_reported(node, reports)
        if not node.ready:
            node.ready, node.silent_since, node.evicted = True, None, False
            self.event("node-ready", node=node.name)
        self.settle(now)
        return self.desired(node.name)

    def tick(self, now: float) -> None:
        for node in self.nodes.values():
            if node.ready and node.heard_at is not None and now - node.heard_at > self.config.node_grace_s:
                node.ready, node.silent_since = False, now
                self.event("node-not-ready", node=node.name, silent_s=round(now - node.heard_at, 3))
            silent = node.silent_since is not None and now - node.silent_since >= self.config.eviction_after_s
            if silent and not node.evicted:
                node.evicted = True
                names = [name for name, spot in self.places().items() if spot[0] == node.name]
                self.event("eviction", node=node.name, replicas=names)
                self.apply(self.plan(names, without_node=node.name), "eviction", now, evict=True)
        self.settle(now)

    def scale(self, model: str, count: int, now: float) -> None:
        """Give a model so many replicas. A new one is placed as any other; one that goes may finish its requests."""
        mine = [held for held in self.held.values() if held.config.model == model]
        staying = [held for held in mine if held.retiring_until is None]
        for held in staying[count:]:
            held.retiring_until = now + DRAIN_S
        missing = count - len(staying)
        for held in [held for held in mine if held.retiring_until is not None][: max(0, missing)]:
            held.retiring_until, missing = None, missing - 1
        taken = {held.config.name for held in mine}
        free = (number for number in itertools.count() if f"{model}-{number}" not in taken)
        for number in itertools.islice(free, max(0, missing)):
            config = self.config.sibling(model, number)
            self.held[config.name] = Held(config)
            self._shapes[config.name] = _shape(config)
        self.event("scaled", model=model, before=len(staying), replicas=count)
        self.settle(now)

    def settle(self, now: float) -> None:
        """Finish handovers that are done, and place what waits for room."""
        for name in [name for name, held in self.held.items() if (held.retiring_until or math.inf) <= now]:
            del self.held[name], self._shapes[name]
            self.version += 1
        for name, held in self.held.items():
            if held.leaving is None:
                continue
            if not self.instance_ready(name, held.leaving) or now - held.leaving_since > HANDOVER_TIMEOUT_S:
                self._leave(held)
            elif held.leaving_until is None and self.instance_ready(name, held.current):
                held.leaving_until = now + DRAIN_S
                self.version += 1
            elif held.leaving_until is not None and now >= held.leaving_until:
                self._leave(held)
        self._place_waiting(now)

    def _place_waiting(self, now: float) -> None:
        waiting = [name for name, held in self.held.items() if held.current is None]
        situation = (tuple(gpu.spot for gpu in self.gpus() if gpu.usable), tuple(sorted(self.places().items())))
        if not waiting or situation == self._no_room_in:
            return
        plan = self.plan(waiting, prefer=self.homes)
        if plan.placed:
            self.apply(plan, "pending", now)
        else:
            self._no_room_in = situation

    def apply(
        self, plan: Plan, reason: str, now: float, *, gently: bool = True, evict: bool = False
    ) -> dict[str, list[str]]:
        """Carry out a plan. What found no place keeps its old one, unless it is to be evicted.

        `gently` lets an instance serve on until its successor is ready, where both can be had.
        """
        moved: list[str] = []
        preempted = set(plan.preempted)
        for name in plan.preempted:
            held = self.held[name]
            spot = plan.places.get(name)
            was = held.current.spot if held.current is not None else None
            self.event("preempted", replica=name, by_reason=reason, source=_place(was), destination=_place(spot))
            self._move(held, spot, "preemption", now, gently=False)
        for name in plan.placed:
            held = self.held[name]
            if name not in preempted and (held.current is None or held.current.spot != plan.places[name]):
                was = held.current.spot if held.current is not None else None
                self._move(held, plan.places[name], reason, now, gently=gently)
                self.event(
                    "moved", replica=name, source=_place(was), destination=_place(plan.places[name]), reason=reason
                )
                moved.append(name)
        for name in plan.unplaced:
            held = self.held[name]
            if held.current is not None and (evict or self._overfull(held.current.spot)):
                self._move(held, None, reason, now, gently=False)
                self.event("unplaced", replica=name, reason=reason)
        return {"moved": moved, "preempted": list(plan.preempted), "unplaced": list(plan.unplaced)}

    def renew(self, held: Held, reason: str) -> None:
        """A new generation at the same place: the agent kills the process and starts another."""
        if held.current is not None:
            self._put(held, held.current.spot)
            self._count_move(held.config.name, reason)
            self.version += 1

    def desired(self, node: str) -> list[dict[str, Any]]:
        """What the node should run. What does not fit yet, because something is still leaving, waits for its turn."""
        specs: list[dict[str, Any]] = []
        for index, memory in sorted(self.nodes[node].gpus.items()):
            spot, free = (node, index), memory
            leaving = [held for held in self.held.values() if held.leaving is not None and held.leaving.spot == spot]
            coming = [held for held in self.held.values() if held.current is not None and held.current.spot == spot]
            coming.sort(key=lambda held: (held.config.rank, held.config.name))
            for held, instance in [(h, h.leaving) for h in leaving] + [(h, h.current) for h in coming]:
                if instance is not None and held.config.memory_gib <= free + 1e-9:
                    free -= held.config.memory_gib
                    place = {"gpu": instance.spot[1], "generation": instance.generation}
                    specs.append({**vars(held.config), **place, "weights": self.weights(held.config.model)})
        return specs

    def weights(self, model: str) -> str:
        """The SHA-256 of the weights that its replicas should have; "" where none are published."""
        return self.config.revisions[model][self.revisions[model]] if model in self.revisions else ""

    def roll_out(self, model: str, revision: str) -> None:
        """Have all replicas of a model load another revision while they serve; UnknownName."""
        published = self.config.revisions.get(model, {})
        if revision not in published:
            raise UnknownName(f"{model}: got revision {revision!r}, expected {', '.join(published) or 'a known model'}")
        if self.revisions[model] != revision:
            self.event("rolled-out", model=model, revision=revision, former=self.revisions[model])
            self.revisions[model] = revision

    def spare_slots(self) -> int:
        """How many more replicas of rank 1 would find room now."""
        return spare_rooms(self._shapes, self.gpus(), self.places())

    def _overfull(self, spot: Spot) -> bool:
        there = [name for name, place in self.places().items() if place == spot]
        used = sum(self._shapes[name].memory_gib for name in there)
        return used > self.nodes[spot[0]].gpus[spot[1]] + 1e-9

    def _move(self, held: Held, spot: Spot | None, reason: str, now: float, *, gently: bool) -> None:
        name, before = held.config.name, held.current
        serving = self.serving(held)
        if spot is None:
            held.current, held.leaving, held.leaving_until = None, None, None
        else:
            self._put(held, spot)
            # An agent runs one instance per name, so a handover needs two nodes.
            if gently and serving is not None and serving.spot[0] != spot[0] and self.instance_ready(name, serving):
                held.leaving, held.leaving_since, held.leaving_until = serving, now, None
            else:
                held.leaving, held.leaving_until = None, None
        if before is not None:
            self._count_move(name, reason)
        self._forget_addresses(held)
        self.version += 1

    def _put(self, held: Held, spot: Spot) -> None:
        held.generation += 1
        held.current = Instance(held.generation, spot)

    def _leave(self, held: Held) -> None:
        held.leaving, held.leaving_until = None, None
        self._forget_addresses(held)
        self.version += 1

    def _forget_addresses(self, held: Held) -> None:
        known = {instance.generation for instance in (held.current, held.leaving) if instance is not None}
        held.addresses = {generation: at for generation, at in held.addresses.items() if generation in known}

    def _count_move(self, name: str, reason: str) -> None:
        self.moves[(name, reason)] = self.moves.get((name, reason), 0) + 1

    def _gpus_reported(self, node: Node, gpus: dict[int, dict[str, Any]]) -> None:
        for index, gpu in gpus.items():
            before = node.gpu_reports.get(index, {}).get("state", "healthy")
            if gpu.get("state") != before:
                state, xid = gpu.get("state"), gpu.get("xid")
                self.event("gpu-state", node=node.name, gpu=index, before=before, state=state, xid=xid)
        node.gpu_reports = gpus

    def _replicas_reported(self, node: Node, reports: dict[str, Report]) -> None:
        before = node.reports
        node.reports = {name: self._judged(node, report, before.get(name)) for name, report in reports.items()}
        for name, report in node.reports.items():
            held, former = self.held.get(name), before.get(name)
            if held is None:
                continue
            if former is not None and report.generation == former.generation and report.restarts > former.restarts:
                held.restarts += report.restarts - former.restarts
                self.event("replica-restarted", replica=name, node=node.name, restarts=held.restarts)
            instance = Instance(report.generation, (node.name, report.gpu))
            if instance not in (held.current, held.leaving):
                continue
            if report.address is not None and held.addresses.get(report.generation) != report.address:
                held.addresses[report.generation] = report.address
                self.version += 1
            if former is None or (former.state, former.ready, former.pid) != (report.state, report.ready, report.pid):
                kind = "replica-ready" if report.ready else f"replica-{report.state}"
                self.event(
                    kind, replica=name, node=node.name, gpu=report.gpu, pid=report.pid, exit_code=report.exit_code
                )

    @staticmethod
    def _judged(node: Node, report: Report, former: Report | None) -> Report:
        # Agents call everything that is alive and not ready "starting". A process that was ready already and whose
        # GPU is well is not starting: it hangs.
        was_up = former is not None and former.pid == report.pid and (former.ready or former.state == UNRESPONSIVE)
        if report.state == "starting" and report.pid is not None and was_up and node.gpu_healthy(report.gpu):
            return replace(report, state=UNRESPONSIVE)
        return report


def _shape(of: ReplicaConfig) -> Replica:
    return Replica(of.name, of.model, of.tier, of.rank, of.memory_gib)


def _place(spot: Spot | None) -> str | None:
    return None if spot is None else f"{spot[0]}/{spot[1]}"
