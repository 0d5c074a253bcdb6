"""The kinds of faults by the names that documents use, and the action of `tierdrill.chaos.actions` that does each.

Written down here because documents are checked on the ground floor, below the catalogue of faults; a test holds the two
against each other.
"""

from __future__ import annotations

from tierdrill.spec.faultactions import FAULTS, FaultAction

FAULT_KINDS: dict[str, str] = {
    "replica-crash": "crash_replica",
    "replica-hang": "hang_replica",
    "bit-flip": "flip_bit",
    "replica-errors": "begin_replica_errors",
    "node-power-loss": "power_off_node",
    "gpu-fallen-off-bus": "drop_gpu_off_bus",
    "gpu-thermal-throttle": "throttle_gpu",
    "xid-noise": "begin_xid_noise",
    "telemetry-loss": "stop_exporter",
    "link-latency": "delay_link",
    "link-partition": "partition_link",
    "router-fail-closed": "lose_picker",
    "load-surge": "begin_load_surge",
}
"""Fault kind to action."""


def action_of(kind: str) -> FaultAction:
    """What documents may ask of that kind; KeyError for an unknown one."""
    return FAULTS[FAULT_KINDS[kind]]


def target_of(kind: str, parameters: dict[str, str | int | float | bool]) -> str:
    """The target as alerts and playbooks name it: `node-1`, `node-1/0`, `assistant-0` or `gateway-a>node-2`."""
    action = action_of(kind)
    words = [str(parameters.get(name, action.defaults.get(name, ""))) for name in action.identity]
    return {"gpu": "/", "link": ">"}.get(action.reach, "").join(words)
