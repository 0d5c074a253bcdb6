"""What a lab and its programs are told, as frozen data with a JSON form. The supervisor takes nothing else: no
documents.
"""

import types
import typing
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tierdrill.documents.request_rules import ANY_MODEL as ANY_MODEL
from tierdrill.text import Explained

_T = TypeVar("_T")
_GPU_NAMESPACE = uuid.UUID("5a0d9c6e-2f2b-4d54-9a35-0c8b6d1f7e11")

PROMPT_TOKENS_MAX = 32768
ANSWER_TOKENS_MAX = 4096
LOOPBACK = ("127.0.0.0/8", "::1/128")


class LabConfigError(Explained, ValueError):
    """A configuration, or a change of one, that cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class TierConfig:
    """One tier, as placement and the gateways enforce it. Rank 1 is the most important."""

    name: str
    rank: int
    reserved_slots: int = 0
    may_preempt: tuple[str, ...] = ()
    shed_order: int = 1
    queue_limit: int = 64
    queue_wait_s: float = 1.0
    deadline_s: float = 5.0
    attempt_timeout_s: float = 1.0
    retries: int = 2
    retry_ratio: float = 0.1
    retry_burst: float = 10.0
    fallback_model: str | None = None
    data_residency: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelConfig:
    """A model and its replicas, named `<model>-0` and so on."""

    name: str
    tier: str
    replicas: int
    memory_gib: float
    slots: int = 8
    model_seed: int = 1
    model_size: int = 4096
    prefill_ms_per_token: float = 0.4
    decode_ms_per_token: float = 4.0
    prompt_tokens_at_most: int = PROMPT_TOKENS_MAX
    max_tokens_at_most: int = ANSWER_TOKENS_MAX


@dataclass(frozen=True)
class AutoscaleConfig:
    """A model that gets more replicas while it is short of slots; see `Autoscale` in the Environment document."""

    model: str
    replicas_at_most: int
    headroom: float = 0.3
    queue_wait_s: float = 0.1
    after_s: float = 1.0
    idle_s: float = 8.0


@dataclass(frozen=True)
class ReplicaConfig:
    """One replica of a model, of a tier of that rank."""

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
class ReplicaSpec(ReplicaConfig):
    """A replica as the controller wants it on a node. `weights` are its weights' SHA-256; "": made from the seed."""

    _: KW_ONLY
    gpu: int
    generation: int = 1
    weights: str = ""


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A gateway's routing rule: all its conditions must hold; the first that matches gives the tier."""

    tier: str
    model: str | None = None
    customer_class: str | None = None
    prompt_tokens_at_least: int | None = None
    prompt_tokens_at_most: int | None = None
    max_tokens_at_least: int | None = None
    max_tokens_at_most: int | None = None
    region: str | None = None
    transaction_at_least: float | None = None
    transaction_at_most: float | None = None
    hours: str | None = None


@dataclass(frozen=True)
class GpuConfig:
    """An emulated GPU, which says so in its model's name."""

    index: int
    uuid: str
    memory_gib: float
    model_name: str
    pci_bus_id: str

    def __post_init__(self) -> None:
        if "emulated" not in self.model_name:
            object.__setattr__(self, "model_name", f"{self.model_name} (emulated)")


@dataclass(frozen=True)
class NodeConfig:
    name: str
    gpus: tuple[GpuConfig, ...]


@dataclass(frozen=True)
class PrometheusConfig:
    """Prometheus: its binary (None leaves it out of the lab) and the full text of its rule files."""

    binary: str | None = None
    scrape_interval_s: float = 1.0
    evaluation_interval_s: float = 1.0
    retention: str = "6h"
    rules: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AlertmanagerConfig:
    """Alertmanager: its binary (None leaves it out) and the full text of its configuration.

    `@WEBHOOK_URL@`, `@WEBHOOK_TOKEN@` and `@WEBHOOK_TOKEN_FILE@` stand for the receiver, which a run names later.
    """

    binary: str | None = None
    config: str = ""


@dataclass(frozen=True)
class Means:
    """What makes namespaces on this machine (the options of `unshare`), and by what the kernel does there what goes
    wrong on links.
    """

    unshare: tuple[str, ...]
    delay: str
    rate: str
    drop: str
    reset: str


@dataclass(frozen=True)
class LabConfig:
    """A whole lab. A `discreet` one logs only what a production platform would: none of what is done to it.

    With `means` it is in namespace mode, else in portable mode. Weights come from the first of its `model_stores`;
    the others are its mirrors.
    `overrides` are rules that its gateways do not enforce until then: TIER/RULE to Unix seconds. `environment` and
    `tiers_document` name the documents that it was brought up from.
    `etcd` is the binary of its state store; None: it has none.
    """

    name: str
    tiers: tuple[TierConfig, ...]
    models: tuple[ModelConfig, ...]
    nodes: tuple[NodeConfig, ...]
    gateways: tuple[str, ...]
    model_stores: tuple[str, ...] = ()
    trusted_callers: tuple[str, ...] = LOOPBACK
    routes: tuple[RouteConfig, ...] = ()
    flags: Mapping[str, bool] = field(default_factory=dict)
    autoscale: tuple[AutoscaleConfig, ...] = ()
    overrides: Mapping[str, float] = field(default_factory=dict)
    node_grace_s: float = 2.0
    eviction_after_s: float = 300.0
    spare_slots_for_rank1: int = 1
    heartbeat_s: float = 0.25
    restart_backoff_s: float = 60.0
    startup_timeout_s: float = 30.0
    outlives_starter: bool = False
    discreet: bool = False
    means: Means | None = None
    environment: str = ""
    tiers_document: str = ""
    prometheus: PrometheusConfig = PrometheusConfig()
    alertmanager: AlertmanagerConfig = AlertmanagerConfig()
    etcd: str | None = None

    @property
    def replica_names(self) -> list[str]:
        return [f"{model.name}-{number}" for model in self.models for number in range(model.replicas)]

    def tier(self, name: str) -> TierConfig:
        """The tier of that name; KeyError if there is none."""
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise KeyError(name)


def make_node(name: str, gpus: int, memory_gib: float, model_name: str) -> NodeConfig:
    """A node whose GPUs have the same UUIDs and PCI addresses in every lab that has a node of that name."""
    return NodeConfig(
        name,
        tuple(
            GpuConfig(
                index=index,
                uuid=f"GPU-{uuid.uuid5(_GPU_NAMESPACE, f'{name}/{index}')}",
                memory_gib=memory_gib,
                model_name=model_name,
                pci_bus_id=f"00000000:{4 + index:02X}:00.0",
            )
            for index in range(gpus)
        ),
    )


def check(config: LabConfig) -> LabConfig:
    """The config itself if its parts fit together; LabConfigError otherwise."""
    tiers = check_tiers(config.tiers, config.routes)
    _unique("node", [node.name for node in config.nodes])
    _unique("gateway", config.gateways)
    _unique("model", [model.name for model in config.models])
    for model in config.models:
        _known_tier(f"model {model.name}: got tier", model.tier, tiers)
    if not (config.nodes and config.gateways and config.models):
        raise LabConfigError("a lab needs at least one node, one gateway and one model")
    models = {model.name for model in config.models}
    for scaled in config.autoscale:
        if scaled.model not in models:
            raise LabConfigError(f"autoscale: got model {scaled.model!r}, expected one of: {', '.join(sorted(models))}")
    for name in config.prometheus.rules:
        if Path(name).name != name:
            raise LabConfigError(f"prometheus.rules: got {name!r}, expected a plain file name")
    return config


def check_tiers(tiers: Iterable[TierConfig], routes: Iterable[RouteConfig]) -> list[str]:
    """The tiers' names, if they are unique and nothing names another; LabConfigError otherwise."""
    tiers = tuple(tiers)
    names = [tier.name for tier in tiers]
    _unique("tier", names)
    for tier in tiers:
        for victim in tier.may_preempt:
            _known_tier(f"tier {tier.name}: may_preempt: got", victim, names)
    for route in routes:
        _known_tier("route: got tier", route.tier, names)
    return names


def _known_tier(found: str, name: str, tiers: list[str]) -> None:
    if name not in tiers:
        raise LabConfigError(f"{found} {name!r}, expected one of: {', '.join(tiers)}")


def build(kind: type[_T], raw: Any, where: str, *, only_known: bool = False) -> _T:
    """A dataclass from plain data, checking keys and types all the way down. With `only_known` it ignores what it does
    not know, as the file may be meant for others too.
    """
    if not isinstance(raw, Mapping):
        raise LabConfigError(f"{where}: got {type(raw).__name__}, expected an object")
    hints, needed = _fields(typing.cast(Any, kind))
    unknown = sorted(set(raw) - set(hints))
    if unknown and not only_known:
        raise LabConfigError(f"{where}: got {unknown[0]!r}, expected one of: {', '.join(sorted(hints))}")
    for name in needed:
        if name not in raw:
            raise LabConfigError(f"{where}: {name} is missing")
    return kind(
        **{name: _value(hint, raw[name], f"{where}.{name}", only_known) for name, hint in hints.items() if name in raw}
    )


@cache
def _fields(kind: Any) -> tuple[Mapping[str, Any], list[str]]:
    """The types of a dataclass's fields by name, and the names of those without a default."""
    hints, known = typing.get_type_hints(kind), fields(kind)
    needed = [each.name for each in known if each.default is MISSING and each.default_factory is MISSING]
    return {each.name: hints[each.name] for each in known}, needed


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise LabConfigError(f"two of them are {what} {name!r}; names must be unique")
        seen.add(name)


def _value(hint: Any, raw: Any, where: str, only_known: bool) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if raw is None and type(None) in arguments:
            return None
        return _value(next(each for each in arguments if each is not type(None)), raw, where, only_known)
    if origin is tuple:
        if not isinstance(raw, list | tuple):
            raise LabConfigError(f"{where}: got {type(raw).__name__}, expected a list")
        return tuple(_value(arguments[0], each, f"{where}[{index}]", only_known) for index, each in enumerate(raw))
    if origin is not None:  # the mappings
        if not isinstance(raw, Mapping):
            raise LabConfigError(f"{where}: got {type(raw).__name__}, expected an object")
        return {str(key): _value(arguments[1], value, f"{where}.{key}", only_known) for key, value in raw.items()}
    if hint is Any:
        return raw
    if is_dataclass(hint):
        return build(typing.cast(type[Any], hint), raw, where, only_known=only_known)
    if hint is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if not isinstance(raw, hint) or (isinstance(raw, bool) and hint is not bool):
        raise LabConfigError(f"{where}: got {raw!r}, expected {hint.__name__}")
    return raw
