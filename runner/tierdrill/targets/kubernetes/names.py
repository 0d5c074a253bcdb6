"""Which object of a cluster each name in the documents stands for. Pure.

Documents keep the names of the lab: `node-2`, `assistant-1`, `gateway-a`, `node-2/0` for a GPU. A replica's name is a
slot: when its pod is replaced, the new pod of the same workload takes it over.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from typing import Any

from tierdrill.documents.models.kubernetes import Choice, KubernetesSettings
from tierdrill.documents.models.workloads import Model, Workloads
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.records import NodeRecord, ObjectRef, PodRecord
from tierdrill.text import listed

_NODE = re.compile(r"node-[1-9][0-9]*\Z")
KINDS = ("node", "replica", "gateway")
FORMER_MAX = 20
GPU = "Gpu"
"""The kind of what a GPU's name stands for: `NODE/NUMBER`."""


@dataclass(frozen=True)
class Slot:
    """One name of a pod: the pod that has it now, or had it last, and the names of earlier ones."""

    ref: ObjectRef
    workload: tuple[str, str] | None
    former: tuple[str, ...] = ()


@dataclass(frozen=True)
class NameTable:
    """The names of nodes, and of the pods of models and gateways. Those of GPUs follow from their nodes'; `gpus` are
    the numbers of those that were chosen, and of those that they took them from.
    """

    nodes: Mapping[str, ObjectRef] = field(default_factory=dict)
    replicas: Mapping[str, Slot] = field(default_factory=dict)
    gateways: Mapping[str, Slot] = field(default_factory=dict)
    gpus: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def pods(self) -> dict[str, Slot]:
        """Those of models and gateways."""
        return {**self.replicas, **self.gateways}

    def ref(self, alias: str) -> ObjectRef:
        """The object that a name stands for now; of a GPU its node. TargetError lists the names that there are."""
        host = alias.partition("/")[0]
        if host in self.nodes:
            return self.nodes[host]
        if alias in self.pods:
            return self.pods[alias].ref
        raise TargetError(f"nothing here is named {alias!r}, expected one of: {listed([*self.nodes, *self.pods])}")

    def alias(self, kind: str, name: str) -> str:
        """The name for a real one, by kind: node, gpu (`REAL/0`), replica, gateway, or source, which is any of these;
        itself where it has no other.
        """
        if kind == "source":
            return next((told for one in KINDS if (told := self.alias(one, name)) != name), name)
        if kind in ("node", "gpu"):
            real, slash, index = name.partition("/")
            node = self._aliases["node"].get(real, real)
            return self._gpu_aliases.get(node + slash + index, node + slash + index)
        return self._aliases.get(kind, {}).get(name, name)

    def gpu_number(self, node: str, gpu: int) -> int:
        """The number that a GPU really has on a node, both by the names that drills use."""
        return self.gpus.get(f"{node}/{gpu}", gpu)

    def real_gpu(self, alias: str) -> str:
        """Its node's real name with its number: `node-2/0` may be `ip-10-0-3-17/3`."""
        node, _, index = alias.partition("/")
        return f"{self.ref(node).name}/{self.gpu_number(node, int(index))}"

    @cached_property
    def _gpu_aliases(self) -> dict[str, str]:
        return {f"{alias.partition('/')[0]}/{number}": alias for alias, number in self.gpus.items()}

    @cached_property
    def _aliases(self) -> dict[str, dict[str, str]]:
        """The names by kind and real name; that of a pod which is there comes before one that it had earlier."""
        found = {"node": {ref.name: alias for alias, ref in reversed([*self.nodes.items()])}}
        for kind, slots in (("replica", self.replicas), ("gateway", self.gateways)):
            last = [*slots.items()][::-1]
            found[kind] = {name: alias for alias, slot in last for name in slot.former}
            found[kind] |= {slot.ref.name: alias for alias, slot in last}
        return found

    def renamed(self, labels: Mapping[str, Any]) -> dict[str, Any]:
        """An alert's labels, which have the drill's own keys (node, gpu, replica, gateway), with the drill's names."""
        found = {key: self.alias(key, value) if isinstance(value, str) else value for key, value in labels.items()}
        if "node" in found and "gpu" in found:
            named = f"{found['node']}/{found['gpu']}"
            found["gpu"] = type(found["gpu"])(self._gpu_aliases.get(named, named).rpartition("/")[2])
        return found

    def plain(self) -> dict[str, dict[str, str]]:
        """Each name with its object, as the ledger and reports hold it; a pod's with the workload that it is of."""
        gpus = {
            alias: ObjectRef(GPU, "", self.real_gpu(alias), "").plain() for alias in self.gpus
        }
        pods = {
            alias: slot.ref.plain() | ({"workload": " ".join(slot.workload)} if slot.workload is not None else {})
            for alias, slot in self.pods.items()
        }
        return {alias: ref.plain() for alias, ref in self.nodes.items()} | gpus | pods


def table_of(
    settings: KubernetesSettings,
    workloads: Workloads,
    nodes: Sequence[NodeRecord],
    pods: Mapping[str, Sequence[PodRecord]],
    gateways: Sequence[PodRecord],
    desired: Mapping[tuple[str, str], int] | None = None,
    before: NameTable | None = None,
    gpus: Mapping[str, int] | None = None,
) -> NameTable:
    """The names for what is there (`pods` by tier); those of `before` are kept as long as their objects, or slots, are.
    New pods of a model are numbered by their nodes' names, as the lab's are.

    `desired` is how many pods each workload (kind, name) should have: a slot more than that ends with its pod. `gpus`
    are the numbers of those that pods have, by the pods' names. TargetError where the document's `names` ask for what
    is not there.
    """
    was = before or NameTable()
    want = desired or {}
    models = workloads.models
    serving = {one.name: model_pods(settings, workloads, one, pods.get(one.tier, ())) for one in models}
    named = was.nodes or _node_names(settings, nodes, pods, serving)
    order = {ref.name: number for number, ref in enumerate(named.values())}
    replicas: dict[str, Slot] = {}
    for model, unsorted in serving.items():
        of_it = {name: slot for name, slot in was.replicas.items() if name.rpartition("-")[0] == model}
        mine = sorted(unsorted, key=lambda pod: (order.get(pod.node or "", len(order)), pod.created, pod.name))
        replicas |= _filled(of_it, mine, partial("{}-{}".format, model), settings.names, want)
    arrived = sorted((pod for pod in gateways if not pod.ended), key=_age)
    return NameTable(
        nodes=named,
        replicas=replicas,
        gateways=_filled(was.gateways, arrived, _gateway, settings.names, want),
        gpus=was.gpus if before is not None else _gpu_names(settings, named, serving, gpus or {}),
    )


def model_pods(
    settings: KubernetesSettings, workloads: Workloads, model: Model, pods: Iterable[PodRecord]
) -> list[PodRecord]:
    """Those of its tier's pods that serve a model, and have not ended."""
    alone = sum(one.tier == model.tier for one in workloads.models) == 1
    labels = settings.labels_of(model.name, alone)
    return [pod for pod in pods if not pod.ended and labels.items() <= pod.labels.items()]


def by_name(name: str) -> list[tuple[bool, int, str]]:
    """A sorting key by which worker-9 is before worker-10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"([0-9]+)", name)]


def _filled(
    slots: Mapping[str, Slot],
    pods: Sequence[PodRecord],
    name_of: Callable[[int], str],
    names: Mapping[str, Choice],
    desired: Mapping[tuple[str, str], int],
) -> dict[str, Slot]:
    found = dict(slots)
    standing = {pod.uid for pod in pods if not pod.deleting}
    known = {slot.ref.uid for slot in slots.values()}
    chosen = {choice.name: alias for alias, choice in names.items() if choice.name is not None}
    new = [pod for pod in pods if pod.uid in standing and pod.uid not in known]
    free = {alias: slot for alias, slot in slots.items() if slot.ref.uid not in standing}
    unused = (name for name in map(name_of, count()) if name not in found and name not in names)
    for pod in new:
        alias = next((one for one, slot in free.items() if slot.ref.name == pod.name), None)
        alias = alias or next((one for one, slot in free.items() if slot.workload == pod.workload), None)
        asked = chosen.get(pod.name)
        if alias is None and asked is not None and asked not in found:
            alias = asked
        alias = alias or next(unused)
        free.pop(alias, None)
        former = (found[alias].ref.name, *found[alias].former)[:FORMER_MAX] if alias in found else ()
        found[alias] = Slot(pod.ref, pod.workload, former)
    there = {pod.uid for pod in pods}
    of = Counter(slot.workload for slot in found.values())
    for alias in sorted(found, key=by_name, reverse=True):
        workload = found[alias].workload
        if (
            workload is not None
            and found[alias].ref.uid not in there
            and of[workload] > desired.get(workload, math.inf)
        ):
            of[workload] -= 1
            del found[alias]
    return {alias: found[alias] for alias in sorted(found, key=by_name)}


def _gateway(number: int) -> str:
    letters = string.ascii_lowercase
    return f"gateway-{letters[number]}" if number < len(letters) else f"gateway-z{number - len(letters) + 1}"


def _age(pod: PodRecord) -> tuple[float, str]:
    return pod.created, pod.name


def _node_names(
    settings: KubernetesSettings,
    nodes: Sequence[NodeRecord],
    pods: Mapping[str, Sequence[PodRecord]],
    serving: Mapping[str, Sequence[PodRecord]],
) -> dict[str, ObjectRef]:
    """A node whose own name is like one of ours keeps it, unless that is given to another one; the others that may be
    drilled take the free numbers.
    """
    there = {node.name: node for node in sorted(nodes, key=lambda one: by_name(one.name))}
    drilled = {name: node for name, node in there.items() if settings.opted_in(node.labels)}
    found: dict[str, ObjectRef] = {}
    for alias, choice in settings.names.items():
        if "/" not in alias and alias.rpartition("-")[0] not in {*serving, "gateway"}:
            left = {name: node for name, node in drilled.items() if node.ref not in found.values()}
            found[alias] = _chosen(alias, choice, there, left, pods, serving).ref
    taken = {ref.uid for ref in found.values()}
    others = [node for node in drilled.values() if node.uid not in taken]
    found |= {node.name: node.ref for node in others if _NODE.match(node.name) and node.name not in found}
    kept = {name for name, node in there.items() if node.uid not in taken}
    free = (name for name in map("node-{}".format, count(1)) if name not in kept and name not in found)
    taken = {ref.uid for ref in found.values()}
    found |= {next(free): node.ref for node in others if node.uid not in taken}
    return {alias: found[alias] for alias in sorted(found, key=by_name)}


def _chosen(
    alias: str,
    choice: Choice,
    there: Mapping[str, NodeRecord],
    left: Mapping[str, NodeRecord],
    pods: Mapping[str, Sequence[PodRecord]],
    serving: Mapping[str, Sequence[PodRecord]],
) -> NodeRecord:
    if choice.name is not None:
        if choice.name not in there:
            raise TargetError(
                f"kubernetes.names.{alias}: no node named {choice.name}, expected {listed(list(there), 8)}"
            )
        return there[choice.name]
    found = serving.get(choice.serves, ()) if choice.serves is not None else pods.get(choice.hosting or "", ())
    hosts = {pod.node for pod in found if not pod.ended}
    hosting = [node for name, node in left.items() if name in hosts]
    if choice.pick > len(hosting):
        does = f"serve {choice.serves}" if choice.serves is not None else f"host tier {choice.hosting}"
        raise TargetError(
            f"kubernetes.names.{alias}: {len(hosting)} nodes that may be drilled and have no other name there "
            f"{does}, expected {choice.pick} at least"
        )
    return hosting[choice.pick - 1]


def _gpu_names(
    settings: KubernetesSettings,
    nodes: Mapping[str, ObjectRef],
    serving: Mapping[str, Sequence[PodRecord]],
    numbers: Mapping[str, int],
) -> dict[str, int]:
    """The numbers of the GPUs whose names were chosen, and of those whose numbers that were."""
    found: dict[str, int] = {}
    for alias, choice in settings.names.items():
        node, slash, index = alias.partition("/")
        if not slash or choice.serves is None or node not in nodes:
            continue
        here = sorted((pod for pod in serving.get(choice.serves, ()) if pod.node == nodes[node].name), key=_age)
        known = sorted({numbers[pod.name] for pod in here if pod.name in numbers})
        where = f"kubernetes.names.{alias}: {node} ({nodes[node].name})"
        if not here:
            raise TargetError(f"{where} serves no {choice.serves}, expected a GPU of it that does")
        if choice.pick > len(known):
            told = f"Prometheus tells of {len(known)} GPUs of {listed([pod.name for pod in here], 4)}"
            raise TargetError(f"{where}: {told}, expected {choice.pick} at least")
        number, mine = known[choice.pick - 1], found.get(alias, int(index))
        other = next((one for one, has in found.items() if has == number and one.startswith(f"{node}/")), "")
        found |= {other or f"{node}/{number}": mine, alias: number}
    return found
