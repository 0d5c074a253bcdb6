"""What an alert, a replica, a node, a GPU or a link is to the tiers: the most important one that it touches. Pure."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tierdrill.documents.models.tiers import Tier, Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.remedies.known_remedies import REMEDIES
from tierdrill.remedies.remedy import RemedyKind
from tierdrill.targets.base import Inventory, ReplicaState


def alert_target(labels: Mapping[str, str]) -> str:
    """What an alert is about, as documents name it: `assistant-1`, `node-1/0`, `gateway-a>node-2`, a tier; or ""."""
    if labels.get("replica"):
        return labels["replica"]
    node = labels.get("node", "")
    if node and labels.get("gpu"):
        return f"{node}/{labels['gpu']}"
    if node and labels.get("gateway"):
        return f"{labels['gateway']}>{node}"
    named = ("gateway", "tier", "store", "source")
    return node or next((labels[name] for name in named if labels.get(name)), "")


def tier_of_alert(labels: Mapping[str, str], inventory: Inventory, tiers: Tiers) -> str:
    """The tier whose ladder an alert goes up: its own label, or that of what it is about; the top one where neither."""
    named = labels.get("tier", "")
    if named in {tier.name for tier in tiers.tiers}:
        return named
    return tier_of_target(alert_target(labels), inventory, tiers) or tiers.by_rank()[0].name


def tier_of_target(target: str, inventory: Inventory, tiers: Tiers) -> str | None:
    """The most important tier that has a replica there; None where none has (any more)."""
    if target in {tier.name for tier in tiers.tiers}:
        return target
    if target in inventory.gateways:
        return tiers.by_rank()[0].name
    node, _, gpu = target.rpartition(">")[2].partition("/")
    touched = {
        replica.tier
        for replica in inventory.replicas
        if replica.name == target or (replica.node == node and gpu in ("", str(replica.gpu)))
    }
    return next((tier.name for tier in tiers.by_rank() if tier.name in touched), None)


Arguments = Mapping[str, Any]
GUARDS = ("priority_queue", "reserved_slots", "preemption", "shedding")
"""Flags that keep the order of the tiers; without one of them a lower tier can take from a higher one."""


@dataclass(frozen=True)
class Situation:
    """What the rules look at.

    `shed` and `caps` are by tier, `weights` by gateway and node; what is not named is 0, none and 1.
    """

    tiers: Tiers
    workloads: Workloads
    gpu_memory_gib: float
    inventory: Inventory
    shed: Mapping[str, float] = field(default_factory=dict)
    caps: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def top(self) -> Tier:
        return self.tiers.by_rank()[0]

    def ready(self, tier: str) -> list[ReplicaState]:
        return [replica for replica in self.inventory.replicas if replica.tier == tier and replica.ready]


@dataclass(frozen=True)
class Breach:
    """A rule that a remedy would break: its id, the tier that is harmed (whose `rights.override` counts), and why."""

    rule: str
    tier: str
    text: str


def breach_of(action: str, arguments: Mapping[str, Any], now: Situation) -> Breach | None:
    """The first tier rule that the remedy would break; None where it breaks none."""
    kind = REMEDIES.get(action)
    return _RULES[kind.tier_rule](kind, arguments, now) if kind is not None and kind.tier_rule else None


def override_problem(breach: Breach, role: str | None, reason: str | None, tiers: Tiers) -> str | None:
    """Why the override does not count; None if it does."""
    allowed = tiers.by_name(breach.tier).may_override
    if role is None:
        roles = " or ".join(allowed) or "nobody"
        return f"{breach.text} (rule {breach.rule}); with --override ROLE --reason TEXT it takes {roles}"
    if role not in allowed:
        rule = f"rule {breach.rule} of tier {breach.tier}"
        return f"--override: got {role!r}, expected a role that may override {rule}: {', '.join(allowed)}"
    if not (reason or "").strip():
        return "--override needs --reason TEXT"
    return None


def _shed(kind: RemedyKind, arguments: Arguments, now: Situation) -> Breach | None:
    tier, fraction = str(arguments["tier"]), float(arguments["fraction"])
    mine, before = now.tiers.by_name(tier), now.shed.get(tier, 0.0)
    if fraction > before:
        for other in now.tiers.tiers:
            less = now.shed.get(other.name, 0.0)
            if other.shed_order < mine.shed_order and less < fraction:
                text = f"{other.name} is shed before {tier}: {less:.0%} of it is turned away, of {tier} {fraction:.0%}"
                return Breach("shed-order", tier, text)
    if fraction < before:
        for other in now.tiers.tiers:
            more = now.shed.get(other.name, 0.0)
            if other.shed_order > mine.shed_order and more > fraction:
                text = f"{other.name} is admitted before {tier}: {more:.0%} of it is still rejected"
                return Breach("shed-order", other.name, text)
    return None


def _cap(kind: RemedyKind, arguments: Arguments, now: Situation) -> Breach | None:
    if kind.restores(arguments):
        return None
    tier = str(arguments["tier"])
    mine = now.tiers.by_name(tier)
    for other in now.tiers.tiers:
        held = other.name in now.caps or now.shed.get(other.name, 0.0) > 0
        if other.shed_order < mine.shed_order and not held:
            return Breach(
                "cap-order", tier, f"{other.name} comes in unchecked while {tier}, which is above it, is capped"
            )
    return None


def _flag(kind: RemedyKind, arguments: Arguments, now: Situation) -> Breach | None:
    flag = str(arguments["flag"])
    if arguments["value"] or flag not in GUARDS:
        return None
    text = f"{flag} keeps lower tiers from taking what {now.top.name} needs"
    return Breach("order-guard", now.top.name, text)


def _weight(kind: RemedyKind, arguments: Arguments, now: Situation) -> Breach | None:
    if float(arguments["weight"]) > 0:
        return None
    only, place = arguments.get("gateway"), kind.target_of({**arguments, "gateway": None})
    for gateway in now.inventory.gateways:
        if only not in (None, gateway):
            continue
        before = now.weights.get(gateway, {})
        reached = [one for one in now.ready(now.top.name) if _reaches(before, one)]
        for model in sorted({one.model for one in reached}):
            if not any(_reaches({**before, place: 0.0}, one) for one in reached if one.model == model):
                text = f"{gateway} would reach no replica of {model} ({now.top.name}) any more"
                return Breach("last-replica", now.top.name, text)
    return None


def _reaches(weights: Mapping[str, float], replica: ReplicaState) -> bool:
    """Whether a gateway with these weights sends to the replica: a GPU counts its node's weight as well."""
    return weights.get(replica.node or "", 1.0) > 0 and weights.get(f"{replica.node}/{replica.gpu}", 1.0) > 0


def _last_replica(now: Situation, names: Collection[str], what: str) -> Breach | None:
    """Whether all ready replicas of one of the top tier's models are among `names`."""
    ready = now.ready(now.top.name)
    for model in sorted({replica.model for replica in ready}):
        mine = {replica.name for replica in ready if replica.model == model}
        if mine <= set(names):
            gone = ", ".join(sorted(mine))
            return Breach("last-replica", now.top.name, f"{what} takes the last ready replica of {model} ({gone})")
    return None


def _replica(kind: RemedyKind, arguments: Arguments, now: Situation) -> Breach | None:
    return _last_replica(now, {str(arguments["replica"])}, f"{kind.name} {arguments['replica']}")


def _reboot(kind: RemedyKind, arguments: Arguments, now: Situation) -> Breach | None:
    """A node's replicas go down with it."""
    last, hurt = _on_node(kind, arguments, now)
    if last is not None or not hurt:
        return last
    names, lowest = ", ".join(one.name for one in hurt), now.tiers.by_rank()[-1].name
    text = f"{names} would go down with {arguments['node']} while {lowest} is served: drain it first"
    return Breach("top-capacity", now.top.name, text)


def _move(kind: RemedyKind, arguments: Arguments, now: Situation) -> Breach | None:
    """A node's replicas need a place elsewhere."""
    last, hurt = _on_node(kind, arguments, now)
    if last is not None or not hurt or (short := _short(str(arguments["node"]), arguments.get("gpu"), hurt, now)) <= 0:
        return last
    text = f"{short} replicas of {now.top.name} would find no place while {now.tiers.by_rank()[-1].name} is served"
    return Breach("top-capacity", now.top.name, text)


def _on_node(kind: RemedyKind, arguments: Arguments, now: Situation) -> tuple[Breach | None, list[ReplicaState]]:
    """The breach that it takes the top tier's last replica; else its ready ones there, while the lowest is let in."""
    node, gpu = str(arguments["node"]), arguments.get("gpu")
    on_it = [one for one in now.inventory.replicas if one.node == node and (gpu is None or one.gpu == int(gpu))]
    last = _last_replica(now, {replica.name for replica in on_it}, f"{kind.name} {node}")
    hurt = [one for one in on_it if one.tier == now.top.name and one.ready]
    return last, hurt if _lowest_admitted(now) else []


def _lowest_admitted(now: Situation) -> bool:
    lowest = now.tiers.by_rank()[-1]
    return lowest.name != now.top.name and now.shed.get(lowest.name, 0.0) < 1.0


def _short(node: str, gpu: Any, moved: list[ReplicaState], now: Situation) -> int:
    """How many of the top tier's replicas would find no place elsewhere, taking what it may preempt."""
    memory = {model.name: model.memory_gib for model in now.workloads.models}
    usable = {
        (one.node, one.index)
        for one in now.inventory.gpus
        if one.state == "healthy" and not (one.node == node and gpu in (None, one.index)) and _open(one.node, now)
    }
    free = dict.fromkeys(usable, now.gpu_memory_gib)
    keep = [one for one in now.inventory.replicas if one.tier not in now.top.may_preempt and one not in moved]
    for replica in keep:
        spot = (replica.node or "", -1 if replica.gpu is None else replica.gpu)
        if spot in free:
            free[spot] -= memory.get(replica.model, 0)
    short = 0
    for replica in moved:
        need = memory.get(replica.model, 0)
        spot = max(free, key=lambda place: free[place], default=("", -1))
        if free.get(spot, 0.0) < need:
            short += 1
        else:
            free[spot] -= need
    return short


def _open(node: str, now: Situation) -> bool:
    return any(one.name == node and one.ready and not one.cordoned for one in now.inventory.nodes)


_RULES: Mapping[str, Callable[[RemedyKind, Arguments, Situation], Breach | None]] = {
    "shed-order": _shed,
    "cap-order": _cap,
    "order-guard": _flag,
    "weight": _weight,
    "last-replica": _replica,
    "reboot": _reboot,
    "move": _move,
}
"""By what the remedies' records say of the rule that each may break."""
