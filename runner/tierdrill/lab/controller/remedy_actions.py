"""The controller's remedies: each takes its arguments from outside, changes the Core and says what it did."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tierdrill.lab.controller.cluster_model import NO_EFFECT, NO_EXECUTE, TAINTS, Held, Node
from tierdrill.lab.controller.desired_state import Core
from tierdrill.remedies.known_remedies import REMEDIES as KINDS
from tierdrill.remedies.known_remedies import implemented

Answer = dict[str, Any]


class Refused(Exception):
    """The remedy cannot be carried out now; the message says why."""


class BadArguments(ValueError):
    """The arguments make no sense."""


def cordon(core: Core, arguments: Mapping[str, Any], now: float) -> Answer:
    """Place nothing new on a node, or on one GPU of it."""
    node, gpu = _node(core, arguments), _gpu(core, arguments)
    before = node.cordoned if gpu is None else gpu in node.gpus_cordoned
    if gpu is None:
        node.cordoned = True
    else:
        node.gpus_cordoned.add(gpu)
    if not before:
        core.event("cordoned", node=node.name, gpu=gpu)
    return _done()


def uncordon(core: Core, arguments: Mapping[str, Any], now: float) -> Answer:
    """Allow placement again; uncordoning a node uncordons its GPUs."""
    node, gpu = _node(core, arguments), _gpu(core, arguments)
    before = node.cordoned or bool(node.gpus_cordoned) if gpu is None else gpu in node.gpus_cordoned
    if gpu is None:
        node.cordoned = False
        node.gpus_cordoned.clear()
    else:
        node.gpus_cordoned.discard(gpu)
    if before:
        core.event("uncordoned", node=node.name, gpu=gpu)
    core.settle(now)
    return _done()


def reschedule(core: Core, arguments: Mapping[str, Any], now: float) -> Answer:
    """Place a node's replicas elsewhere now, most important first. Those without room wait for their node."""
    node = _node(core, arguments)
    names = _replicas_on(core, node, None, arguments)
    answer = core.apply(core.plan(names, without_node=node.name), "reschedule", now)
    return _unless_stuck(names, answer, node)


def drain(core: Core, arguments: Mapping[str, Any], now: float) -> Answer:
    """Cordon a node or a GPU and move its replicas away; those without room lose their place."""
    node, gpu = _node(core, arguments), _gpu(core, arguments)
    cordon(core, arguments, now)
    names = _replicas_on(core, node, gpu, arguments)
    without = node.name if gpu is None else None
    return _done(core.apply(core.plan(names, without_node=without), "drain", now, evict=True))


def taint_gpu(core: Core, node: str, gpu: int, effect: str | None, now: float) -> Answer:
    """Put a taint on a GPU, or take it off (None). Replicas that it evicts are asked nothing and have no successor
    first; with effect `None` they are only named.
    """
    of = core.node(node)
    if gpu not in of.gpus or effect not in (None, *TAINTS):
        raise BadArguments(f"got GPU {gpu} and effect {effect!r}, expected one of {node}'s and {', '.join(TAINTS)}")
    of.gpu_taints.pop(gpu, None)
    if effect is not None:
        of.gpu_taints[gpu] = effect
    core.event("tainted", node=node, gpu=gpu, effect=effect)
    names = _replicas_on(core, of, gpu, {}) if effect in (NO_EFFECT, NO_EXECUTE) else []
    if effect == NO_EXECUTE:
        core.apply(core.plan(names), "taint", now, gently=False, evict=True)
    core.settle(now)
    return {"ok": True, "evicts": names}


def replace_replica(core: Core, arguments: Mapping[str, Any], now: float) -> Answer:
    """Kill a replica wherever it is and place it anew, elsewhere if there is room."""
    held = _replica(core, arguments)
    name, was = held.config.name, held.current
    plan = core.plan([name], avoid={} if was is None else {name: was.spot})
    if name in plan.unplaced:
        raise Refused(f"no room for {name}")
    if was is not None and plan.places[name] == was.spot:
        core.renew(held, "replace")
        core.event("replaced", replica=name, node=was.spot[0], gpu=was.spot[1])
        return _done({"moved": [name], "preempted": [], "unplaced": []})
    return _done(core.apply(plan, "replace", now, gently=False))


def rebalance(core: Core, arguments: Mapping[str, Any], now: float) -> Answer:
    """Everything back to its home as far as homes are usable, and what waits for room gets a place."""
    usable = {gpu.spot for gpu in core.gpus() if gpu.usable}
    places = core.places()
    prefer = {
        name: home if home in usable else places.get(name, home)
        for name in core.held
        if (home := core.homes.get(name, places.get(name))) is not None
    }
    names = list(core.held)
    return _done(core.apply(core.plan(names, prefer=prefer), "rebalance", now))


@dataclass(frozen=True)
class AgentCall:
    """What the agent of a node has to do for a remedy: a POST."""

    node: str
    path: str


def _by_agent(core: Core, arguments: Mapping[str, Any], verb: str) -> AgentCall:
    """What the agent of a replica's node has to do with it; Refused where none can."""
    held = _replica(core, arguments)
    if held.current is None:
        raise Refused(f"{held.config.name} has no place")
    node = _ready(core.nodes[held.current.spot[0]])
    return AgentCall(node.name, f"/v1/replicas/{held.config.name}/{verb}")


def _ready(node: Node) -> Node:
    """The node, whose agent answers; Refused where it does not."""
    if not node.ready or node.agent is None:
        raise Refused(f"{node.name} is NotReady")
    return node


def restart_replica(core: Core, arguments: Mapping[str, Any], now: float) -> AgentCall:
    """Have the node's agent start a replica again where it is; Refused where none can."""
    return _by_agent(core, arguments, "restart")


def load_from_mirror(core: Core, arguments: Mapping[str, Any], now: float) -> AgentCall:
    """Have the node's agent get a replica's weights from another store, and start it; Refused where none can."""
    return _by_agent(core, arguments, "mirror")


def free_disk(core: Core, arguments: Mapping[str, Any], now: float) -> AgentCall:
    """Have a node's agent delete the weights that none of its replicas needs; Refused where it cannot."""
    return AgentCall(_ready(_node(core, arguments)).name, "/v1/weights/prune")


def sync_clock(core: Core, arguments: Mapping[str, Any], now: float) -> AgentCall:
    """Have a node's agent set the node's clock by the true time; Refused where it cannot."""
    return AgentCall(_ready(_node(core, arguments)).name, "/v1/clock/sync")


def roll_back_model(core: Core, arguments: Mapping[str, Any], now: float) -> Answer:
    """Roll the first published revision of a model out again."""
    tier, model = str(arguments["tier"]), str(arguments["model"])
    if (tier, model) not in {(held.config.tier, held.config.model) for held in core.held.values()}:
        raise BadArguments(f"got model {model!r}, expected one of tier {tier}")
    published = list(core.config.revisions.get(model, ()))
    if not published or core.revisions[model] == published[0]:
        raise Refused(f"{model} is not rolled out in any other revision than the first")
    core.roll_out(model, published[0])
    return _done()


REMEDIES: Mapping[str, Callable[[Core, Mapping[str, Any], float], Answer | AgentCall]] = implemented(KINDS, globals())
"""The remedies that the controller carries out: the functions above, by the names they are named after."""


def check_arguments(verb: str, arguments: Mapping[str, Any]) -> None:
    """BadArguments for a remedy that is not the controller's, or an argument that cannot be."""
    if verb not in REMEDIES:
        raise BadArguments(f"got remedy {verb!r}, expected one of: {', '.join(sorted(REMEDIES))}")
    takes = {one.name: one for one in KINDS[verb].arguments}
    if unknown := sorted(set(arguments) - takes.keys()):
        allowed = ", ".join(sorted(takes)) or "none"
        raise BadArguments(f"{verb}: got argument {unknown[0]!r}, expected {allowed}")
    for key, argument in takes.items():
        value = arguments.get(key)
        if argument.required and not isinstance(value, str):
            raise BadArguments(f"{verb}: {key}: got {value!r}, expected a name")
        names = isinstance(value, list) and all(isinstance(each, str) for each in value)
        if argument.many and value is not None and not names:
            raise BadArguments(f"{verb}: {key}: got {value!r}, expected a list of names")


def _done(answer: Mapping[str, list[str]] | None = None) -> Answer:
    return {"ok": True, **(answer or {"moved": [], "preempted": [], "unplaced": []})}


def _unless_stuck(names: list[str], answer: dict[str, list[str]], node: Node) -> Answer:
    if names and not answer["moved"]:
        raise Refused(f"no room elsewhere for {', '.join(sorted(names))} of {node.name}")
    return _done(answer)


def _node(core: Core, arguments: Mapping[str, Any]) -> Node:
    return core.node(str(arguments["node"]))


def _gpu(core: Core, arguments: Mapping[str, Any]) -> int | None:
    raw = arguments.get("gpu")
    if raw is None:
        return None
    known = sorted(_node(core, arguments).gpus)
    if isinstance(raw, str) and raw.isdecimal():
        raw = int(raw)
    if raw not in known or isinstance(raw, bool):
        raise BadArguments(f"no GPU {raw!r} on {arguments['node']}, expected one of: {', '.join(map(str, known))}")
    return int(raw)


def _replica(core: Core, arguments: Mapping[str, Any]) -> Held:
    return core.replica(str(arguments["replica"]))


def _replicas_on(core: Core, node: Node, gpu: int | None, arguments: Mapping[str, Any]) -> list[str]:
    tiers, models = arguments.get("tiers"), arguments.get("models")
    known_tiers = {held.config.tier for held in core.held.values()}
    known_models = {held.config.model for held in core.held.values()}
    for what, given, known in (("tier", tiers, known_tiers), ("model", models, known_models)):
        if given is not None and (unknown := sorted(set(given) - known)):
            raise BadArguments(f"got {what} {unknown[0]!r}, expected one of: {', '.join(sorted(known))}")
    return [
        name
        for name, spot in core.places().items()
        if spot[0] == node.name
        and gpu in (None, spot[1])
        and (tiers is None or core.held[name].config.tier in tiers)
        and (models is None or core.held[name].config.model in models)
    ]
