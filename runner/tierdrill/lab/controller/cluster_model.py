"""What the controller knows, as data: its configuration, what agents report, and each node and replica."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tierdrill.lab.controller.placement import Rules, Spot
from tierdrill.lab.lab_config import AutoscaleConfig, ReplicaConfig, build


class UnknownName(LookupError):
    """No node, GPU or replica of that name; the message lists the known ones."""


@dataclass(frozen=True)
class ControllerConfig:
    """The controller's configuration file, but for what concerns its connections."""

    replicas: tuple[ReplicaConfig, ...]
    nodes: Mapping[str, tuple[tuple[int, float], ...]]
    rules: Rules = field(default_factory=Rules)
    node_grace_s: float = 2.0
    eviction_after_s: float = 300.0
    revisions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of each model what is published, by its revision's name: the SHA-256 of its weights. The first is in force."""
    autoscale: tuple[AutoscaleConfig, ...] = ()

    def sibling(self, model: str, number: int) -> ReplicaConfig:
        """Another replica of a model, as its first one is."""
        return replace(next(each for each in self.replicas if each.model == model), name=f"{model}-{number}")


NO_EFFECT, NO_SCHEDULE, NO_EXECUTE = TAINTS = ("None", "NoSchedule", "NoExecute")
"""What a GPU's taint does: nothing but to say what it would do, nothing new is placed there, what is there goes."""


@dataclass(frozen=True)
class Report:
    """An instance of a replica as its agent reports it."""

    name: str
    gpu: int
    state: str
    ready: bool
    generation: int = 1
    address: str | None = None
    pid: int | None = None
    ticks: int | None = None
    restarts: int = 0
    exit_code: int | None = None


@dataclass
class Node:
    name: str
    gpus: dict[int, float]
    ready: bool = False
    cordoned: bool = False
    gpus_cordoned: set[int] = field(default_factory=set)
    gpu_taints: dict[int, str] = field(default_factory=dict)
    heard_at: float | None = None
    silent_since: float | None = None
    evicted: bool = False
    agent: str | None = None
    boot_id: str | None = None
    gpu_reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)

    def gpu_healthy(self, index: int) -> bool:
        """As last reported; a GPU nobody has reported yet is taken for healthy."""
        return str(self.gpu_reports.get(index, {}).get("state", "healthy")) == "healthy"

    def gpu_allocatable(self, index: int) -> bool:
        """Whether it is healthy, and offered for work as far as its node says."""
        return self.gpu_healthy(index) and bool(self.gpu_reports.get(index, {}).get("allocatable", True))

    def gpu_usable(self, index: int) -> bool:
        kept_free = self.cordoned or index in self.gpus_cordoned or self.gpu_taints.get(index, NO_EFFECT) != NO_EFFECT
        return self.ready and not kept_free and self.gpu_allocatable(index)


@dataclass(frozen=True)
class Instance:
    """A replica's process, past or present: which generation, where."""

    generation: int
    spot: Spot


@dataclass
class Held:
    """A replica and its place. `leaving` is the former instance while it still serves (make before break)."""

    config: ReplicaConfig
    current: Instance | None = None
    generation: int = 0
    leaving: Instance | None = None
    leaving_since: float = 0.0
    leaving_until: float | None = None
    retiring_until: float | None = None  # it gets no new requests, and goes then
    restarts: int = 0
    addresses: dict[int, str] = field(default_factory=dict)  # by generation, the last one known


def parse_config(document: Mapping[str, Any]) -> ControllerConfig:
    """From the configuration file; KeyError or TypeError when something is missing."""
    return ControllerConfig(
        replicas=tuple(build(ReplicaConfig, each, "replica", only_known=True) for each in document["replicas"]),
        nodes={
            each["name"]: tuple((int(gpu["index"]), float(gpu["memory_gib"])) for gpu in each["gpus"])
            for each in document["nodes"]
        },
        rules=Rules(
            may_preempt={each["name"]: tuple(each.get("may_preempt") or ()) for each in document.get("tiers", ())},
            spare_for_rank1=int(document.get("spare_slots_for_rank1", 1)),
        ),
        node_grace_s=float(document.get("node_grace_s", 2.0)),
        eviction_after_s=float(document.get("eviction_after_s", 300.0)),
        revisions=document.get("revisions") or {},
        autoscale=tuple(build(AutoscaleConfig, each, "autoscale") for each in document.get("autoscale", ())),
    )
