"""Somebody else's automation: it cordons and drains a node that has a condition, and uncordons it when that is over.

And a look at it while it works, as a run has it, judged as a run's.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.judge.test_observed import FAULT_AT, NAME, history, setting
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.history.events import Event, event
from tierdrill.history.kinds.run_kinds import PlatformCondition, PlatformState
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status, Verdict
from tierdrill.targets.kubernetes.actor_watch import ActorWatch
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.cluster_view import ClusterView, shown
from tierdrill.targets.kubernetes.connect import MERGE_PATCH, Cluster, path_of

CONDITION = "GpuXid"
MANAGER = "test-remediator"
PATIENCE_S = 60.0
DONE_WITHIN_S = 4.0
GONE_AFTER_S = 16.6
"""When the fault of the history that is judged is over, in seconds after its effect."""


class ForeignRemediator(threading.Thread):
    """Acts on a node that has a condition, which has lasted `hold_s`: on it, or on another (`on`, its real name), so
    many `times`. `done` is set when the node is drained and `back` when it was uncordoned, once the condition
    is over.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        *,
        hold_s: float = 0.0,
        on: str = "",
        times: int = 1,
        condition: tuple[str, str] = (CONDITION, "True"),
    ) -> None:
        super().__init__(daemon=True)
        self._condition = condition
        self._cluster, self._namespace = cluster, namespace
        self._hold_s, self._on, self._times = hold_s, on, times
        self.done, self.back, self.stop = threading.Event(), threading.Event(), threading.Event()

    def run(self) -> None:
        since: dict[str, float] = {}
        held: list[str] = []
        while not self.stop.wait(0.05):
            bad = {node["metadata"]["name"] for node in self._cluster.pages(path_of("nodes")) if self._is_bad(node)}
            since = {name: since.get(name, time.monotonic()) for name in bad}
            for name, began in since.items():
                if name not in held and time.monotonic() - began >= self._hold_s:
                    held.append(name)
                    for number in range(self._times):
                        self._cordon(self._on or name, bool(number))
                    self.done.set()
            for name in [one for one in held if one not in bad]:
                held.remove(name)
                self._unschedulable(self._on or name, False)
                self.back.set()

    def _cordon(self, node: str, again: bool) -> None:
        if again:
            self._unschedulable(node, False)
        self._unschedulable(node, True)
        for pod in self._cluster.pages(path_of("pods", self._namespace), fields=f"spec.nodeName={node}"):
            self._evict(pod["metadata"]["name"])

    def _evict(self, name: str) -> None:
        """Again and again while a disruption budget is in the way."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": self._namespace}}
        while True:
            try:
                self._cluster.send("POST", path_of("pods", self._namespace, name, "eviction"), body)
            except ApiError as error:
                if error.status == 429 and not self.stop.wait(0.5):
                    continue
                if error.status not in (404, 429):
                    raise
            return

    def _unschedulable(self, node: str, value: bool) -> None:
        body = {"spec": {"unschedulable": value or None}}
        query = {"fieldManager": MANAGER}
        self._cluster.send("PATCH", path_of("nodes", name=node), body, content_type=MERGE_PATCH, query=query)

    def _is_bad(self, node: Any) -> bool:
        told = (node.get("status") or {}).get("conditions") or ()
        return any((one["type"], one["status"]) == self._condition for one in told)


def judged(
    cluster: Cluster,
    settings: KubernetesSettings,
    documents: tuple[Tiers, Workloads],
    remediator: ForeignRemediator | None,
    condition: Callable[[bool], None],
    *,
    variant: str = "drill",
    lasts_s: float | None = None,
    late_s: float = 0.0,
) -> Verdict:
    """What a run judges of the remediator, whose cause `condition` sets and takes away: once it is done, or after so
    many seconds.

    Whatever this machine takes for it, in the history that is judged it takes DONE_WITHIN_S, and comes `late_s` later.
    """
    return asyncio.run(_judged(cluster, settings, documents, remediator, condition, variant, lasts_s, late_s))


async def _judged(
    cluster: Cluster,
    settings: KubernetesSettings,
    documents: tuple[Tiers, Workloads],
    remediator: ForeignRemediator | None,
    condition: Callable[[bool], None],
    variant: str,
    lasts_s: float | None,
    late_s: float,
) -> Verdict:
    loop = asyncio.get_running_loop()
    events: list[Event] = []
    changed = asyncio.Event()

    def moved(what: str, change: Any) -> None:
        actors.take(what, change)
        loop.call_soon_threadsafe(changed.set)

    view = ClusterView(cluster, settings, *documents, moved, lambda *gap: None)
    actors = ActorWatch(cluster, settings, lambda: view.look()[0], lambda *gap: None)
    threads = [threading.Thread(target=watch.run, daemon=True) for watch in view.watches]

    async def states() -> None:
        while True:
            changed.clear()
            names, inventory = view.look()
            events.append(event(PlatformState(**shown(inventory, names)), "kubernetes"))
            await changed.wait()
            await asyncio.sleep(0.05)

    for thread in threads:
        thread.start()
    await asyncio.to_thread(view.await_lists)
    following = [asyncio.create_task(actors.follow(events.append)), asyncio.create_task(states())]
    try:
        if remediator is not None:
            remediator.start()
        began = time.time()
        await asyncio.to_thread(condition, True)
        if remediator is not None and lasts_s is None:
            assert await asyncio.to_thread(remediator.done.wait, PATIENCE_S)
            await _until(view, events, lambda state: _drained(state, "node-2" if not remediator._on else "node-1"))
        else:
            await asyncio.sleep(lasts_s or 1.0)
        over = time.time()
        await asyncio.to_thread(condition, False)
        if remediator is not None and remediator.done.is_set():
            assert await asyncio.to_thread(remediator.back.wait, PATIENCE_S)
            await _until(view, events, lambda state: not any(node["cordoned"] for node in state.nodes))
        await asyncio.sleep(0.5)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        view.close()
        if remediator is not None:
            remediator.stop.set()

    end = max(one.at for one in events) + 0.1

    def told(one: Event) -> Event:
        if one.at < began:
            after = one.at - began
        elif one.at < over:
            late = 0.0 if isinstance(one.payload, PlatformCondition) else late_s
            after = DONE_WITHIN_S * (one.at - began) / (over - began) + late
        else:
            after = GONE_AFTER_S + DONE_WITHIN_S * (one.at - over) / (end - over)
        return Event(FAULT_AT + after, one.kind, one.source, one.data)

    return judge(history([told(one) for one in events], _setting(), variant))


def _setting() -> DrillSetting:
    data = setting(f"{CONDITION}=True").to_json()
    data["playbooks"][0]["external"]["observe"][0]["by"] = MANAGER
    return DrillSetting.from_json(data)


def _drained(state: PlatformState, node: str) -> bool:
    return all(replica["node"] != node for replica in state.replicas)


async def _until(view: ClusterView, events: list[Event], holds: Callable[[PlatformState], bool]) -> None:
    """Until the last state that was told is like that."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            states = [said for one in events if isinstance(said := one.payload, PlatformState)]
            if states and holds(states[-1]):
                return
            await asyncio.sleep(0.02)


def of(found: Verdict) -> dict[str, Status]:
    """The checks of the remediator, by their aspect."""
    prefix = f"playbook/{NAME}/"
    return {one.id.removeprefix(prefix): one.status for one in found.checks if one.id.startswith(prefix)}


def wrong(found: Verdict) -> set[str]:
    """The aspects of it that failed."""
    return {aspect for aspect, status in of(found).items() if status is Status.FAILED}
