"""What the controller knows, as data: its configuration, what agents report, and each node and replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tierdrill.lab.controller.placement import Rules, Spot
from tierdrill.lab.lab_config import ANSWER_TOKENS_MAX, PROMPT_TOKENS_MAX


class UnknownName(LookupError):
    """No node, GPU or replica of that name; the message lists the known ones."""


@dataclass(frozen=True)
class ReplicaConfig:
    """A replica as configured."""

    name: str
    model: str
    tier: str
    rank: int
    memory_gib: float
    slots: int
    model_seed: int
    model_size: int
    prefill_ms_per_token: float
    decode_ms_per_token: float
    prompt_tokens_at_most: int = PROMPT_TOKENS_MAX
    max_tokens_at_most: int = ANSWER_TOKENS_MAX


@dataclass(frozen=True)
class ControllerConfig:
    """The controller's configuration file, but for what concerns its connections."""

    replicas: tuple[ReplicaConfig, ...]
    nodes: Mapping[str, tuple[tuple[int, float], ...]]
    rules: Rules = field(default_factory=Rules)
    node_grace_s: float = 2.0
    eviction_after_s: float = 300.0


@dataclass(frozen=True)
class Report:
    """An instance of a replica as its agent reports it."""

    name: str
    generation: int
    gpu: int
    state: str
    ready: bool
    address: str | None
    pid: int | None
    ticks: int | None
    restarts: int
    exit_code: int | None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Report:
        """From a heartbeat; ValueError, KeyError or TypeError when it is not one."""
        return cls(
            name=str(raw["name"]),
            generation=int(raw.get("generation", 1)),
            gpu=int(raw["gpu"]),
            state=str(raw["state"]),
            ready=bool(raw["ready"]),
            address=raw.get("address"),
            pid=raw.get("pid"),
            ticks=raw.get("ticks"),
            restarts=int(raw.get("restarts") or 0),
            exit_code=raw.get("exit_code"),
        )


@dataclass
class Node:
    """A node as the controller knows it."""

    name: str
    gpus: dict[int, float]
    ready: bool = False
    cordoned: bool = False
    gpus_cordoned: set[int] = field(default_factory=set)
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

    def gpu_usable(self, index: int) -> bool:
        """Whether something new may be placed there."""
        return self.ready and not self.cordoned and index not in self.gpus_cordoned and self.gpu_healthy(index)


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
    restarts: int = 0
    addresses: dict[int, str] = field(default_factory=dict)  # by generation, the last one known


def parse_config(document: Mapping[str, Any]) -> ControllerConfig:
    """From the configuration file; KeyError or TypeError when something is missing."""
    known = ReplicaConfig.__dataclass_fields__
    return ControllerConfig(
        replicas=tuple(
            ReplicaConfig(**{key: value for key, value in each.items() if key in known})
            for each in document["replicas"]
        ),
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
    )
