"""The catalogue of faults: what each is in the real world, what it touches, what it must make visible and how it is
undone.

Mechanisms (how an environment really does it) belong to the targets; this is the vocabulary that documents, plans and
reports share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tierdrill.spec.faultactions import FAULTS

TargetKind = Literal["node", "gpu", "replica", "link", "gateway", "stream"]


@dataclass(frozen=True)
class Parameter:
    """An argument of a fault: its type, its unit in words, and its bounds where it has any."""

    name: str
    type: Literal["text", "whole number"]
    meaning: str
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault. `action` and `undo` are the functions of tierdrill.chaos.actions."""

    kind: str
    target_kind: TargetKind
    action: str
    undo: str
    parameters: tuple[Parameter, ...]
    cause: str
    visible: str
    undone: str


class UnknownFault(ValueError):
    """No such fault, or arguments it cannot have; the message says what is allowed."""


_REPLICA = Parameter("replica", "text", "the replica's name, such as assistant-1")
_NODE = Parameter("node", "text", "the node's name, such as node-2")
_GPU = Parameter("gpu", "whole number", "the GPU's index on its node", 0, 63)
_SOURCE = Parameter("source", "text", "where the link begins, such as gateway-a")
_DESTINATION = Parameter("destination", "text", "where the link ends, such as node-2")
_GATEWAY = Parameter("gateway", "text", "the gateway's name, such as gateway-a")
_STREAM = Parameter("stream", "text", "the stream's name in the drill's load, such as batch")
_RATE = Parameter("rate_percent", "whole number", "its rate, in percent of what it would be", 110, 10_000)
_DELAY = Parameter("delay_ms", "whole number", "added round-trip time in milliseconds", 1, 60000)
_CLOCK = Parameter("clock_percent", "whole number", "the clock that is left, in percent of full speed", 5, 80)
_COUNT = Parameter("count", "whole number", "how many lines in all", 1, 100_000)
_PER_SECOND = Parameter("per_second", "whole number", "how many lines a second", 1, 5_000)
_TEMPERATURE = Parameter("temperature_c", "whole number", "the GPU's temperature in degrees Celsius", 60, 130)
_WEIGHT = Parameter("weight", "whole number", "which weight of the model", 0, 4095)
_BIT = Parameter("bit", "whole number", "which bit of the weight", 0, 31)
_ERRORS = Parameter("error_percent", "whole number", "how many of its answers are errors, in percent", 10, 100)

CATALOGUE: dict[str, FaultKind] = {
    fault.kind: fault
    for fault in (
        FaultKind(
            "replica-crash",
            "replica",
            "crash_replica",
            "recover_replica",
            (_REPLICA,),
            "a segmentation fault, the OOM killer, an unhandled CUDA error",
            "its port refuses, its agent reports it exited, requests move to other replicas",
            "the agent starts it again",
        ),
        FaultKind(
            "replica-hang",
            "replica",
            "hang_replica",
            "resume_replica",
            (_REPLICA,),
            "a GPU hang (XID 109, GSP time-out 119), a deadlock in the server",
            "its port accepts and nothing answers; readiness times out",
            "the process goes on",
        ),
        FaultKind(
            "bit-flip",
            "replica",
            "flip_bit",
            "unflip_bit",
            (_REPLICA, _WEIGHT, _BIT),
            "silent data corruption: a bad cell of the GPU's memory that its error correction did not catch",
            "answers that read the weight are wrong; latency, errors, readiness and telemetry are as before",
            "the bit is as it was made (a new process has the same effect)",
        ),
        FaultKind(
            "replica-errors",
            "replica",
            "begin_replica_errors",
            "end_replica_errors",
            (_REPLICA, _ERRORS),
            "a CUDA error that stays in the process (XID 13, 31, 43), a damaged adapter, a credential that has run out",
            "it answers requests with status 500, and at once; readiness and telemetry are as before",
            "it answers as before (a new process has the same effect)",
        ),
        FaultKind(
            "node-power-loss",
            "node",
            "power_off_node",
            "power_on_node",
            (_NODE,),
            "a power supply, a board, a reset by its management controller",
            "heartbeats stop, callers see time-outs, its replicas are gone",
            "power comes back and the node boots",
        ),
        FaultKind(
            "gpu-fallen-off-bus",
            "gpu",
            "drop_gpu_off_bus",
            "restore_gpu",
            (_NODE, _GPU),
            "XID 79: a PCIe link, power or heat problem; NVIDIA's immediate action is RESTART_BM, a reboot of the node",
            "an XID 79 line in the kernel log, the GPU's telemetry stops, its replicas answer with CUDA errors",
            "the GPU answers again (a reboot of the node has the same effect)",
        ),
        FaultKind(
            "gpu-thermal-throttle",
            "gpu",
            "throttle_gpu",
            "cool_gpu",
            (_NODE, _GPU, _CLOCK, _TEMPERATURE),
            "a failed fan, a blocked inlet, a hot aisle: hardware thermal slowdown",
            "its temperature rises, its clocks drop, its event reasons say thermal; replicas on it slow down",
            "the temperature falls and the clocks are back (a reboot cools nothing)",
        ),
        FaultKind(
            "xid-noise",
            "node",
            "begin_xid_noise",
            "end_xid_noise",
            (_NODE, _COUNT, _PER_SECOND),
            "XID 45, preemptive cleanup: a job ended with its channels open, on every GPU it had; nothing is broken",
            "XID 45 lines in the kernel log; no alert, no playbook and no tier may notice",
            "the lines stop",
        ),
        FaultKind(
            "telemetry-loss",
            "node",
            "stop_exporter",
            "start_exporter",
            (_NODE,),
            "an exporter that was killed, paused or upgraded, a scrape that is refused",
            "the node's metrics are gone while the node, its GPUs and its replicas are well",
            "the exporter answers again (a restart of it has the same effect)",
        ),
        FaultKind(
            "link-latency",
            "link",
            "delay_link",
            "heal_link",
            (_SOURCE, _DESTINATION, _DELAY),
            "a congested or rerouted path, a failing transceiver",
            "round trips over the link take the added time; nothing is lost",
            "the link is as before",
        ),
        FaultKind(
            "link-partition",
            "link",
            "partition_link",
            "heal_link",
            (_SOURCE, _DESTINATION),
            "a switch port, a cable, a wrong network policy",
            "nothing passes between the two; open connections go silent",
            "the link is as before",
        ),
        FaultKind(
            "router-fail-closed",
            "gateway",
            "lose_picker",
            "return_picker",
            (_GATEWAY,),
            "the endpoint picker is lost, and the pool's failureMode is FailClose, the default",
            "the gateway answers every tier with errors at once, though replicas are ready and idle",
            "the picker answers again (a restart of the gateway has the same effect)",
        ),
        FaultKind(
            "load-surge",
            "stream",
            "begin_load_surge",
            "end_load_surge",
            (_STREAM, _RATE),
            "a batch job without a limit, a launch, a customer's script in a loop, clients that retry in step",
            "more requests of one kind arrive at the gateways than they were sized for; nothing is broken",
            "the requests on top stop (they also do when the load ends)",
        ),
    )
}


def target_name(kind: str, parameters: dict[str, Any]) -> str:
    """The canonical name of what a fault touches: `node-2`, `node-1/0`, `assistant-1`, `gateway-a>node-2`."""
    target_kind = CATALOGUE[kind].target_kind
    if target_kind == "gpu":
        return f"{parameters['node']}/{parameters['gpu']}"
    if target_kind == "link":
        return f"{parameters['source']}>{parameters['destination']}"
    return str(parameters[target_kind])


def checked_parameters(kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a fault with their types made right and what was left out filled in; UnknownFault names the
    first that is not allowed.
    """
    if kind not in CATALOGUE:
        raise UnknownFault(f"found fault {kind!r}; allowed are {', '.join(sorted(CATALOGUE))}")
    checked: dict[str, Any] = {}
    given = {**FAULTS[CATALOGUE[kind].action].defaults, **parameters}
    for parameter in CATALOGUE[kind].parameters:
        if parameter.name not in given:
            raise UnknownFault(f"{kind}: {parameter.name} is missing ({parameter.meaning})")
        value = given[parameter.name]
        if parameter.type == "text":
            if not isinstance(value, str) or not value:
                raise UnknownFault(f"{kind}: found {parameter.name}={value!r}; allowed is {parameter.meaning}")
            checked[parameter.name] = value
            continue
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise UnknownFault(f"{kind}: found {parameter.name}={value!r}; allowed is a whole number") from None
        low, high = parameter.minimum, parameter.maximum
        if (low is not None and number < low) or (high is not None and number > high):
            raise UnknownFault(f"{kind}: found {parameter.name}={number}; allowed is {low} to {high}")
        checked[parameter.name] = number
    return checked


def kind_of_action(function: str) -> FaultKind | None:
    """The fault an action function injects, if it injects one."""
    return next((fault for fault in CATALOGUE.values() if fault.action == function), None)
