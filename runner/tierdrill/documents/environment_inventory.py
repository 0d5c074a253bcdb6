"""What an environment has in it by name, as far as its documents tell."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tierdrill.documents.models.drill import Load
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.documents.reading.fault_actions import Call
from tierdrill.faults.blast_radius import ConcurrentFaults, Layout, Violation, hosts_of, links_of
from tierdrill.faults.kind import IDENTITY
from tierdrill.faults.known_kinds import ACTIONS, UNDOS


@dataclass(frozen=True)
class Inventory:
    """The names of everything in an environment, by kind of target; `tier_of` is of replicas."""

    nodes: tuple[str, ...]
    gpus: tuple[str, ...]
    replicas: tuple[str, ...]
    gateways: tuple[str, ...]
    tiers: tuple[str, ...]
    streams: tuple[str, ...] = ()
    tier_of: Mapping[str, str] = field(default_factory=dict)
    stores: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Both ends that a link can have."""
        return hosts_of(self.gateways, self.nodes)

    @property
    def links(self) -> tuple[str, ...]:
        """Links that carry something, `from>to`."""
        return links_of(self.gateways, self.nodes)

    @property
    def layout(self) -> Layout:
        """What falls with a node: its GPUs. Where replicas will be only the platform knows."""
        falls = {node: tuple(gpu for gpu in self.gpus if gpu.startswith(f"{node}/")) for node in self.nodes}
        falls |= {one: tuple(other for other in self.stores if other.startswith(f"{one}-")) for one in self.stores}
        return Layout(self.links, falls, self.tier_of)

    def of_kind(self, kind: str) -> tuple[str, ...]:
        by_kind = {
            "node": self.nodes,
            "gpu": self.gpus,
            "replica": self.replicas,
            "link": self.links,
            "gateway": self.gateways,
            "tier": self.tiers,
            "stream": self.streams,
            "store": self.stores,
            "model": self.models,
        }
        # What there is one of is called by its kind.
        return by_kind.get(kind, tuple(one for one, named in IDENTITY.items() if one == kind and not named))


def inventory_of(
    environment: Environment, tiers: Tiers, workloads: Workloads, load: Load | None = None
) -> Inventory | None:
    """What the lab will have under that load, or what the document of a platform says; None for a cluster, which only
    knows at run time.
    """
    named = tuple(tier.name for tier in tiers.tiers)
    streams = tuple(stream.name for stream in load.streams) if load is not None else ()
    models = tuple(model.name for model in workloads.models)
    if environment.target == "external" and environment.names.model_fields_set:
        return Inventory(**environment.names.model_dump(), tiers=named, streams=streams, models=models)
    if environment.target != "lab":
        return None
    shape = environment.lab
    nodes = tuple(f"node-{number}" for number in range(1, shape.nodes + 1))
    tier_of = {f"{model.name}-{number}": model.tier for model in workloads.models for number in range(model.replicas)}
    return Inventory(
        nodes=nodes,
        gpus=tuple(f"{node}/{gpu}" for node in nodes for gpu in range(shape.gpus_per_node)),
        replicas=tuple(tier_of),
        gateways=shape.gateway_names,
        tiers=named,
        streams=streams,
        tier_of=tier_of,
        stores=(*shape.stores, *shape.model_stores),
        models=models,
    )


def violations(
    used: Iterable[Call], environment: Environment, inventory: Inventory | None
) -> Iterator[tuple[Call, Violation]]:
    """Where an experiment's method, whose variables are filled in, goes beyond what its environment allows."""
    reach = ConcurrentFaults(environment.limits, inventory.layout if inventory is not None else Layout())
    for call in used:
        if call.section != "method":
            continue
        if call.func in ACTIONS:
            yield from ((call, problem) for problem in reach.add(call.fault.kind, call.target))
        else:
            reach.remove((fault.kind for fault in UNDOS[call.func]), call.target)
