"""What drills have left on a cluster, found on the cluster itself, from any machine: faults of dead runs are undone by
their ConfigMaps, and then everything goes that bears our label, in every namespace that drills have to do with, and
our marks on every node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.faults.known_kinds import KINDS
from tierdrill.targets.base import FaultOrder, TargetError
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.drill_permissions import needed
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.kubernetes_fault import PREFIX, PRIORITY_AT, PRIORITY_BEFORE, asking
from tierdrill.targets.kubernetes.lease import DrillLease
from tierdrill.targets.kubernetes.ledger_map import orders_in, run_maps
from tierdrill.targets.kubernetes.records import Raw
from tierdrill.targets.kubernetes.survey import SCALED
from tierdrill.targets.kubernetes.warden_program import CONFLICT, GONE, RUN_LABEL, Step, UndoFailed, play, value_at

EMPTY_WITHIN_S = 30.0
LOOK_S = 0.5
FORBIDDEN = 403
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Leftover:
    """Something of ours: `step` takes our marks from a node, and is None for an object that was made by us."""

    what: str
    run: str
    path: str
    uid: str
    step: Step | None = None


def place_for(environment: str, settings: KubernetesSettings) -> Place:
    """The cluster that an environment means, for undoing: no name is looked up in it."""
    told = {
        "environment": environment,
        "kubeconfig": settings.kubeconfig,
        "context": settings.context,
        "cluster": settings.cluster,
        "settings": settings.model_dump(mode="json", exclude_defaults=True),
        "ranks": {},
        "names": {},
    }
    return Place(told)


def recover_runs(place: Place, tell: Tell) -> tuple[int, list[str]]:
    """Undo every fault of runs that nobody keeps alive; how many runs that were, each told, and what would not go. Safe
    beside a run in progress, and beside a warden.
    """
    namespace = place.settings.namespace
    found = list(run_maps(place.cluster, namespace))
    lease = DrillLease(place.cluster, namespace)
    live = lease.look().run if lease.lives() else ""
    port, done, left = KubernetesPort(place.told), 0, []
    for ledger, held in found:
        if ledger.run == live:
            tell(f"run {live} is in progress: it is left alone")
            continue
        stuck = []
        for order in orders_in(held):
            if why := _undo(port, order):
                stuck.append(f"{order.kind} on {order.target} (run {ledger.run}): {why}")
            else:
                tell(f"undone: {order.kind} on {order.target} (run {ledger.run})")
        left += stuck
        if not stuck:
            ledger.delete()
            done += 1
            tell(f"ended: what run {ledger.run} had on the cluster")
    state = lease.look()
    if state.holder and state.run != live and not left:
        lease.release(state.holder)
    return done, left


def _undo(port: KubernetesPort, order: FaultOrder) -> str:
    """Revert it until it is seen gone; what keeps it, "" once it is."""
    deadline = time.monotonic() + order.mechanism.gone_within_s
    while True:
        try:
            port.revert(order)
            proof = port.gone(order)
            why = "" if proof.seen else proof.detail
        except TargetError as error:
            why = str(error)
        if not why or time.monotonic() >= deadline:
            return why
        time.sleep(order.mechanism.poll_s)


def leftovers(cluster: Cluster, settings: KubernetesSettings, warn: Tell) -> list[Leftover]:
    """Everything that bears our label or mark now, that of a run in progress too. What may not be listed is told."""
    return [
        *_objects(cluster, settings, warn),
        *_leases(cluster, settings),
        *_workloads(cluster, settings),
        *_nodes(cluster),
    ]


def _objects(cluster: Cluster, settings: KubernetesSettings, warn: Tell) -> Iterator[Leftover]:
    kinds = {
        (one.resource, one.group, namespace)
        for one in needed(settings, KINDS)
        if one.verb == "delete" and not one.subresource
        for namespace in one.namespaces(settings)
    }
    for resource, group, namespace in sorted(kinds, key=str):
        try:
            for raw in cluster.pages(path_of(resource, namespace, group=group), labels=RUN_LABEL):
                meta = raw["metadata"]
                if _ended(raw):
                    continue
                where = f" in {namespace}" if namespace is not None else ""
                path = path_of(resource, namespace, meta["name"], group=group)
                what = f"{resource.removesuffix('s')} {meta['name']}{where}"
                yield Leftover(what, meta["labels"][RUN_LABEL], path, meta["uid"])
        except ApiError as error:
            if error.status == FORBIDDEN:
                warn(f"not looked at: {error}")
            elif error.status != GONE:
                raise


def _ended(raw: Raw) -> bool:
    """Whether it is a deleted pod whose containers have ended, which only its Job's controller still has to let go:
    there is nothing left to take away, and that controller may need half a minute after its API server was away.
    """
    return "deletionTimestamp" in raw["metadata"] and raw.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _leases(cluster: Cluster, settings: KubernetesSettings) -> Iterator[Leftover]:
    lease = DrillLease(cluster, settings.namespace)
    if (state := lease.look()).holder:
        yield Leftover(f"lease held by {state.holder}", state.run, lease.path, state.holder)


def _workloads(cluster: Cluster, settings: KubernetesSettings) -> Iterator[Leftover]:
    """Those that still ask for a priority class that a drill gave them."""
    for kind, resource in SCALED.items():
        for namespace in settings.namespaces:
            for raw in cluster.pages(path_of(resource, namespace, group="apps")):
                meta = raw["metadata"]
                if (before := (meta.get("annotations") or {}).get(PRIORITY_BEFORE)) is None:
                    continue
                path, what = (
                    path_of(resource, namespace, meta["name"], group="apps"),
                    f"{kind} {namespace}/{meta['name']}",
                )
                now = value_at(raw, PRIORITY_AT)
                fields = [
                    {"at": PRIORITY_AT, "ours": now, "before": before or None},
                    {"at": _annotation(PRIORITY_BEFORE), "ours": before, "before": None},
                ]
                step = {"what": what, "path": path, "uid": meta["uid"], "fields": fields}
                yield Leftover(f"{what}: priority class {now}, before {before or 'none'}", "", path, meta["uid"], step)


def _annotation(key: str) -> str:
    return f"/metadata/annotations/{key.replace('/', '~1')}"


def _nodes(cluster: Cluster) -> Iterator[Leftover]:
    for raw in cluster.pages(path_of("nodes")):
        meta, spec = raw["metadata"], raw["spec"]
        marks = {key: value for key, value in (meta.get("annotations") or {}).items() if key.startswith(PREFIX)}
        taints = [one for one in spec.get("taints") or () if one["key"].startswith(PREFIX)]
        if not marks and not taints:
            continue
        path = path_of("nodes", name=meta["name"])
        fields = [{"at": _annotation(key), "ours": value, "before": None} for key, value in marks.items()]
        if marks and spec.get("unschedulable"):
            fields.append({"at": "/spec/unschedulable", "ours": True, "before": None})
        step = {
            "what": f"node {meta['name']}",
            "path": path,
            "uid": meta["uid"],
            "fields": fields,
            "items": [{"at": "/spec/taints", "item": one} for one in taints],
        }
        found = [*marks, *(f"taint {one['key']}" for one in taints)]
        yield Leftover(f"node {meta['name']}: {', '.join(found)}", "", path, meta["uid"], step)


def sweep(place: Place, tell: Tell, warn: Tell) -> list[Leftover]:
    """Undo and take away all that is left, and look until nothing is; what would not go. TargetError where a run is in
    progress: nothing is touched then.
    """
    lease = DrillLease(place.cluster, place.settings.namespace)
    if lease.lives():
        raise TargetError(f"run {lease.look().run} is in progress; `tierdrill halt` stops it")
    for stuck in recover_runs(place, tell)[1]:
        warn(f"still there: {stuck}")
    deadline = time.monotonic() + EMPTY_WITHIN_S
    tried = set[tuple[str, str]]()
    while left := leftovers(place.cluster, place.settings, warn):
        warn = _quiet
        for one in left:
            if (one.path, one.uid) not in tried and _removed(place, lease, one):
                tried.add((one.path, one.uid))
                tell(f"removed: {one.what}")
        if time.monotonic() >= deadline:
            return left
        time.sleep(LOOK_S)
    return []


def _quiet(text: str) -> None:
    """It has been told."""


def _removed(place: Place, lease: DrillLease, one: Leftover) -> bool:
    """Whether the cluster has taken it."""
    if one.path == lease.path:
        lease.release(one.uid)
        return True
    if one.step is not None:
        try:
            return bool(play(asking(place.cluster), [one.step]))
        except UndoFailed:
            return False
    body: Raw = {"preconditions": {"uid": one.uid}, "propagationPolicy": "Background"}
    status, answer = asking(place.cluster)("DELETE", one.path, body)
    if status >= 400 and status not in (GONE, CONFLICT):
        raise TargetError(str(answer["message"]))
    return True
