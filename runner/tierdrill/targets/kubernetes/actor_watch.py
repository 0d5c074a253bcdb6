"""Who else acts on a cluster while a run lives: changes of nodes and pods that the run's view has seen, and watches of
workloads, Jobs, custom resources of known tools, and Kubernetes Events, told as events of the run.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.history.events import Emit, event
from tierdrill.history.kinds.response_kinds import WATCH, RemediationSeen
from tierdrill.history.kinds.run_kinds import RunNote
from tierdrill.history.payload import Payload
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes import evidence
from tierdrill.targets.kubernetes.cluster_view import NODES, Gap
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.names import NameTable
from tierdrill.targets.kubernetes.permissions import Permission, may
from tierdrill.targets.kubernetes.remediators import RESOURCES, CustomResource, resource_of
from tierdrill.targets.kubernetes.watch import Change, ObjectWatch

SOURCE = "kubernetes"
NAMES_SHARE = 4.0
"""So many times as long as names took to be made, they are good enough."""
EVENTS_MAX = 500
"""So many Kubernetes Events of one run are kept."""
WORKLOADS = (
    ("workloads", "deployments", "apps", "Deployment"),
    ("workloads", "statefulsets", "apps", "StatefulSet"),
    ("jobs", "jobs", "batch", "Job"),
    ("budgets", "poddisruptionbudgets", "policy", "PodDisruptionBudget"),
)
DEEDS = {"workloads": "workload", "jobs": "job", "budgets": "budget"}
IN_SCOPE = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "Job", "PodDisruptionBudget"})
"""Kinds of which every Event in a drilled namespace is kept; of nodes and pods, those that the drill knows."""


Tell = Callable[[Change, evidence.Aliases], Iterable[Payload]]


@dataclass(frozen=True)
class _Followed:
    """A list that is followed beside the view's."""

    what: str
    path: str
    keep: Callable[[Mapping[str, Any]], Any]
    tell: Tell


NEEDS: tuple[Permission, ...] = (
    *(one for _, plural, group, _ in WORKLOADS for one in may(plural, "list", "watch", group=group, scope="drilled")),
    *may("events", "list", "watch", scope="drilled"),
    *may("events", "list", "watch", scope="default"),
)
"""What it needs beside what every plan reads; without one of them the run goes on and says what it does not see."""


def looking_for(kinds: Iterable[str]) -> tuple[Permission, ...]:
    """What it needs to see custom resources of these kinds (KIND.GROUP)."""
    return tuple(one for kind in kinds for one in resource_of(kind).permissions)


class OwnDeeds:
    """What a run does to objects of which the platform will not tell who did it. Any thread may use it."""

    def __init__(self) -> None:
        self._deeds: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def expect(self, do: str, uid: str, times: int = 1) -> None:
        """It is about to be done to the object of that uid; with -1 times it was not done after all."""
        with self._lock:
            self._deeds[do, uid] += times

    def ours(self, said: Payload) -> bool:
        """Whether tierdrill did it itself: its playbooks' steps tell of that. Each deed accounts for one change."""
        if not isinstance(said, RemediationSeen):
            return False
        with self._lock:
            if self._deeds[said.do, said.uid] > 0:
                self._deeds[said.do, said.uid] -= 1
                return True
        return fnmatchcase(said.actor, evidence.OURS)


class ActorWatch:
    """Made inside the event loop. `names` gives the names as they are now; `gap` is told what was not heard of.

    `kinds` are those of custom resources (KIND.GROUP) that must be seen; others of known tools are where they may be.
    `take` gets each change of the view, from any thread; `follow` is to run as long as the run does.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: KubernetesSettings,
        names: Callable[[], NameTable],
        gap: Gap,
        kinds: Iterable[str] = (),
        deeds: OwnDeeds | None = None,
    ) -> None:
        self._cluster, self._settings, self._names, self._gap = cluster, settings, names, gap
        self._kinds, self._deeds = tuple(kinds), deeds or OwnDeeds()
        self._loop = asyncio.get_running_loop()
        self._changes: asyncio.Queue[tuple[Change, Tell]] = asyncio.Queue()
        self._events = 0
        self._table, self._anew_at, self._changed = NameTable(), 0.0, True
        self._watches: list[ObjectWatch] = []
        self._begun = asyncio.Event()

    def take(self, what: str, change: Change) -> None:
        """A node (`what` is nodes), a gateway's pod (gateways) or a tier's, before and after."""
        self._changed = True
        if what == NODES:
            self._put(change, _node_said)
        else:
            self._put(change, functools.partial(_pod_said, "gateway" if what == "gateways" else "replica"))

    def _put(self, change: Change, tell: Tell) -> None:
        # The loop is closed once the run is over.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changes.put_nowait, (change, tell))

    async def follow(self, emit: Emit) -> None:
        """Until cancelled."""
        watches = self._watches
        try:
            for one in self._followed(await asyncio.to_thread(self._resources)):
                watches.append(self._watch(one))
                threading.Thread(target=self._run, args=(one, watches[-1]), name=one.path, daemon=True).start()
            self._begun.set()
            while True:
                change, tell = await self._changes.get()
                for said in tell(change, self._alias):
                    if not self._deeds.ours(said):
                        emit(event(said, SOURCE, change.at))
        finally:
            for watch in watches:
                watch.close()

    async def listed(self) -> None:
        """Until everything that may be watched was listed once."""
        await self._begun.wait()
        for watch in self._watches:
            await asyncio.to_thread(watch.listed.wait)

    def _alias(self, kind: str, name: str) -> str:
        """Names are made anew where one is not known that may have come since: in a large cluster that takes a while,
        and many events are about others' objects.
        """
        known = self._table.alias(kind, name)
        if known == name and self._changed and (began := time.monotonic()) >= self._anew_at:
            self._changed, self._table = False, self._names()
            now = time.monotonic()
            self._anew_at = now + NAMES_SHARE * (now - began)
            known = self._table.alias(kind, name)
        return known

    def _resources(self) -> list[tuple[CustomResource, str]]:
        """The custom resources that the cluster serves, each with its version."""
        wanted = {one.name: one for one in RESOURCES} | {name: resource_of(name) for name in self._kinds}
        try:
            groups = self._cluster.get("/apis").get("groups") or ()
            versions = {one["name"]: str(one["preferredVersion"]["version"]) for one in groups}
        except TargetError as error:
            self._gap(f"{WATCH}custom resources", 0.0, str(error))
            return []
        for name in self._kinds:
            if wanted[name].group not in versions:
                self._gap(f"{WATCH}{name}", 0.0, f"the cluster has no API group {wanted[name].group}")
        return [(one, versions[one.group]) for one in wanted.values() if one.group in versions]

    def _followed(self, resources: Iterable[tuple[CustomResource, str]]) -> Iterator[_Followed]:
        for resource, version in resources:
            tell = functools.partial(_object_said, "custom-resource")
            for path in resource.paths(version, self._settings.namespaces):
                yield _Followed(resource.name, path, evidence.resource_sight(resource), tell)
        for namespace in self._settings.namespaces:
            for what, plural, group, kind in WORKLOADS:
                path = path_of(plural, namespace, group=group)
                tell = functools.partial(_object_said, DEEDS[what])
                yield _Followed(what, path, functools.partial(evidence.object_sight, kind), tell)
        for namespace in sorted({*self._settings.namespaces, "default"}):
            yield _Followed("events", path_of("events", namespace), evidence.event_sight, self._event_said)

    def _watch(self, one: _Followed) -> ObjectWatch:
        return ObjectWatch(
            self._cluster,
            one.path,
            lambda change: self._put(change, one.tell),
            lambda seconds, why: self._gap(f"{WATCH}{one.what}", seconds, why),
            keep=one.keep,
        )

    def _run(self, one: _Followed, watch: ObjectWatch) -> None:
        try:
            watch.run()
        except TargetError as error:
            self._gap(f"{WATCH}{one.what}", 0.0, str(error))
            # Nobody need wait for it any more.
            watch.listed.set()

    def _event_said(self, change: Change, alias: evidence.Aliases) -> Iterator[Payload]:
        sight: evidence.EventSight | None = change.after
        if change.before is not None or sight is None or change.first or self._events > EVENTS_MAX:
            return
        kind, _, name = sight.about
        known = alias({"Node": "node", "Pod": "replica"}.get(kind, ""), name)
        if kind not in IN_SCOPE and known == name and name not in self._table.nodes:
            return
        self._events += 1
        if self._events > EVENTS_MAX:
            yield RunNote(text=f"more than {EVENTS_MAX} Kubernetes Events; the others are not kept")
            return
        yield evidence.event_said(sight, known)


def _node_said(change: Change, alias: evidence.Aliases) -> Iterator[Payload]:
    return evidence.node_changes(change.before, change.after, alias, change.relisted)


def _pod_said(kind: str, change: Change, alias: evidence.Aliases) -> Iterator[Payload]:
    return evidence.pod_changes(change.before, change.after, kind, alias, change.relisted)


def _object_said(do: str, change: Change, alias: evidence.Aliases) -> Iterator[Payload]:
    return evidence.object_changes(do, change.before, change.after, alias, change.relisted, change.first)
