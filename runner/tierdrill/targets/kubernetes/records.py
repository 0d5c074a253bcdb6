"""What is kept of the API's raw JSON: frozen records of nodes, pods, workloads and disruption budgets. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from sys import intern
from typing import Any

from kubernetes.utils.quantity import parse_quantity
from pydantic_core import SchemaValidator, core_schema

from tierdrill.documents.label_selectors import Selector

Raw = Mapping[str, Any]
Shape = core_schema.CoreSchema
ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
MIRROR = "kubernetes.io/config.mirror"
TEMPLATE_HASH = "pod-template-hash"


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """One object of the cluster; a later one of the same name has another uid. `namespace` is "" for nodes."""

    kind: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        """`Pod serving/web-1`, `Node worker-3`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def plain(self) -> dict[str, str]:
        """As the ledger holds it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node. `ready` is its condition: True, False, or Unknown where its kubelet says nothing any more.

    `capacity` and `allocatable` are by resource, in cores, bytes and pieces; `taints` are (key, value, effect).
    """

    name: str
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    ready: str
    cordoned: bool
    boot_id: str
    zone: str
    address: str
    taints: tuple[tuple[str, str, str], ...]
    capacity: Mapping[str, float]
    allocatable: Mapping[str, float]

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef("Node", "", self.name, self.uid)


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """A container of a pod, as the kubelet last told."""

    name: str
    id: str
    ready: bool
    restarts: int


@dataclass(frozen=True, slots=True)
class PodRecord:
    """A pod. `controller` is what made it and `workload` what people wrote: its ReplicaSet, and that one's Deployment.

    `node` is None while it has no place; `state` is what its kubelet last told of it: ready, starting, unresponsive,
    exited, or unplaced; `requests` are the sums over its containers, by resource; `disruption` is the
    reason of its DisruptionTarget condition, such as EvictionByEvictionAPI.
    """

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str]
    created: float
    node: str | None
    phase: str
    state: str
    deleting: bool
    ip: str
    priority: int
    host_network: bool
    mirror: bool
    controller: tuple[str, str] | None
    workload: tuple[str, str] | None
    containers: tuple[ContainerRecord, ...]
    requests: Mapping[str, float]
    disruption: str

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef("Pod", self.namespace, self.name, self.uid)

    @property
    def ready(self) -> bool:
        """Whether it may be sent requests, as its kubelet last told."""
        return self.state == "ready"

    @property
    def restarts(self) -> int:
        """Of all its containers."""
        return sum(one.restarts for one in self.containers)

    @property
    def ended(self) -> bool:
        """It will not run again."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class WorkloadRecord:
    """A Deployment or StatefulSet: how many pods it should have, and the field managers that have changed it."""

    kind: str
    namespace: str
    name: str
    uid: str
    desired: int
    ready: int
    managers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BudgetRecord:
    """A PodDisruptionBudget: whose pods it counts, and how many more of them may be evicted now."""

    namespace: str
    name: str
    selector: Selector
    allowed: int
    healthy: int
    wanted: int


def _object(leaves: str, **parts: Shape) -> Shape:
    fields = {name: core_schema.any_schema() for name in leaves.split()} | {
        name: core_schema.nullable_schema(part) for name, part in parts.items()
    }
    return core_schema.typed_dict_schema(
        {name: core_schema.typed_dict_field(one, required=False) for name, one in fields.items()}
    )


def _list_of(item: Shape) -> SchemaValidator:
    items = core_schema.nullable_schema(core_schema.list_schema(item))
    return SchemaValidator(_object("metadata", items=items))


NODE_LIST = _list_of(
    _object(
        "",
        metadata=_object("name uid resourceVersion labels"),
        spec=_object("unschedulable taints"),
        status=_object("addresses allocatable capacity conditions nodeInfo"),
    )
)
"""What is read of a list of nodes, for `node_of`; all else in it is passed over, which takes half the time."""
POD_LIST = _list_of(
    _object(
        "",
        metadata=_object(
            "namespace name uid resourceVersion labels annotations creationTimestamp deletionTimestamp ownerReferences"
        ),
        spec=_object("hostNetwork nodeName priority", containers=core_schema.list_schema(_object("resources"))),
        status=_object("conditions containerStatuses phase podIP"),
    )
)
"""What is read of a list of pods, for `pod_of`."""


def node_of(raw: Raw) -> NodeRecord:
    """From an item of `GET /api/v1/nodes`."""
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels = meta.get("labels") or {}
    addresses = {one["type"]: one["address"] for one in status.get("addresses") or ()}
    return NodeRecord(
        name=meta["name"],
        uid=meta["uid"],
        resource_version=meta.get("resourceVersion", ""),
        labels=labels,
        ready=_condition(status, "Ready").get("status", "Unknown"),
        cordoned=bool(spec.get("unschedulable")),
        boot_id=(status.get("nodeInfo") or {}).get("bootID", ""),
        zone=next((labels[label] for label in ZONE_LABELS if label in labels), ""),
        address=addresses.get("InternalIP", ""),
        taints=tuple((one["key"], one.get("value") or "", one["effect"]) for one in spec.get("taints") or ()),
        capacity=_summed(_amounts(status.get("capacity"))),
        allocatable=_summed(_amounts(status.get("allocatable"))),
    )


def pod_of(raw: Raw) -> PodRecord:
    """From an item of `GET /api/v1/pods`."""
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels = _shared(tuple((meta.get("labels") or {}).items()))
    containers = spec.get("containers") or ()
    owner = next((one for one in meta.get("ownerReferences") or () if one.get("controller")), None)
    controller = _owner(owner["kind"], owner["name"]) if owner is not None else None
    return PodRecord(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        labels=labels,
        created=seconds(meta.get("creationTimestamp")),
        node=intern(spec["nodeName"]) if spec.get("nodeName") else None,
        phase=intern(status.get("phase", "Unknown")),
        state=_state(spec, status),
        deleting="deletionTimestamp" in meta,
        ip=status.get("podIP", ""),
        priority=spec.get("priority") or 0,
        host_network=bool(spec.get("hostNetwork")),
        mirror=MIRROR in (meta.get("annotations") or {}),
        controller=controller,
        workload=_workload(controller, labels),
        containers=tuple(
            ContainerRecord(one["name"], one.get("containerID", ""), bool(one.get("ready")), one.get("restartCount", 0))
            for one in status.get("containerStatuses") or ()
        ),
        requests=_summed(
            tuple(amount for one in containers for amount in _amounts((one.get("resources") or {}).get("requests")))
        ),
        disruption=_condition(status, "DisruptionTarget").get("reason", ""),
    )


def workload_of(kind: str, raw: Raw) -> WorkloadRecord:
    """From an item of a list of Deployments or StatefulSets, whose items do not tell their kind."""
    meta, status = raw["metadata"], raw.get("status") or {}
    desired = (raw.get("spec") or {}).get("replicas", 1)
    managers = tuple(sorted({one.get("manager", "") for one in meta.get("managedFields") or ()} - {""}))
    ready = status.get("readyReplicas") or 0
    return WorkloadRecord(kind, meta["namespace"], meta["name"], meta["uid"], desired, ready, managers)


def budget_of(raw: Raw) -> BudgetRecord:
    """From an item of a list of PodDisruptionBudgets."""
    meta, status = raw["metadata"], raw.get("status") or {}
    return BudgetRecord(
        meta["namespace"],
        meta["name"],
        Selector.of((raw.get("spec") or {}).get("selector")),
        status.get("disruptionsAllowed") or 0,
        status.get("currentHealthy") or 0,
        status.get("desiredHealthy") or 0,
    )


@lru_cache(maxsize=4096)
def quantity(text: str) -> float:
    """`500m` is 0.5, `2Gi` is 2147483648.0."""
    return float(parse_quantity(text))


def seconds(timestamp: str | None) -> float:
    """Unix seconds of an API timestamp; 0.0 for none."""
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else 0.0


def _condition(status: Raw, kind: str) -> Raw:
    return next((one for one in status.get("conditions") or () if one.get("type") == kind), {})


def _state(spec: Raw, status: Raw) -> str:
    ready, told = _condition(status, "Ready"), status.get("containerStatuses") or ()
    if ready.get("status") == "True":
        return "ready"
    if not spec.get("nodeName"):
        return "unplaced"
    running = [one["state"]["running"] for one in told if (one.get("state") or {}).get("running")]
    if not running or len(running) < len(told):
        ended = any("terminated" in (one.get(when) or {}) for one in told for when in ("state", "lastState"))
        return "exited" if ended else "starting"
    # Not ready since before its last container began: on its way. Since later: it was ready, and is no more.
    began_at = max(seconds(one.get("startedAt")) for one in running)
    return "unresponsive" if seconds(ready.get("lastTransitionTime")) > began_at else "starting"


def _workload(controller: tuple[str, str] | None, labels: Mapping[str, str]) -> tuple[str, str] | None:
    """A ReplicaSet that a Deployment made is called after it, with the hash of its template at the end."""
    if controller is not None and controller[0] == "ReplicaSet":
        name = controller[1].removesuffix(f"-{labels.get(TEMPLATE_HASH, '')}")
        return _owner("Deployment", name) if name != controller[1] else controller
    return controller


def _amounts(told: Raw | None) -> tuple[tuple[str, str], ...]:
    return tuple((told or {}).items())


# Nodes of one kind, and pods of one workload, are alike: what they have in common is kept once.
@lru_cache(maxsize=4096)
def _owner(kind: str, name: str) -> tuple[str, str]:
    return kind, name


@lru_cache(maxsize=4096)
def _shared(items: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    return dict(items)


@lru_cache(maxsize=4096)
def _summed(amounts: tuple[tuple[str, str], ...]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for name, amount in amounts:
        found[name] = found.get(name, 0.0) + quantity(amount)
    return found
