"""Chaos Toolkit actions: each fault of the catalogue and its undo. They return plain numbers and names, for the
journal.

Every fault action writes its intent and its undo to the ledger first, returns once a witness has seen the fault in
effect, and keeps a lease (`lease_s`, seconds) after which the reaper undoes it whatever became of the caller.
"""

from __future__ import annotations

from typing import Any

from tierdrill.chaos.injection import inject, undo

__all__ = [
    "begin_load_surge",
    "begin_replica_errors",
    "begin_xid_noise",
    "cool_gpu",
    "crash_replica",
    "delay_link",
    "drop_gpu_off_bus",
    "end_load_surge",
    "end_replica_errors",
    "end_xid_noise",
    "flip_bit",
    "hang_replica",
    "heal_link",
    "lose_picker",
    "partition_link",
    "power_off_node",
    "power_on_node",
    "recover_replica",
    "restore_gpu",
    "resume_replica",
    "return_picker",
    "start_exporter",
    "stop_exporter",
    "throttle_gpu",
    "unflip_bit",
]


def crash_replica(replica: str, lease_s: float | None = None) -> dict[str, Any]:
    """Kill one replica's process.

    Its node's agent does not start it again by itself while the crash-loop back-off lasts.
    """
    return inject("replica-crash", {"replica": replica}, lease_s)


def recover_replica(replica: str) -> dict[str, Any]:
    """Undo crash_replica: the agent starts the replica unless it runs already."""
    return undo(("replica-crash",), {"replica": replica})


def hang_replica(replica: str, lease_s: float | None = None) -> dict[str, Any]:
    """Stop one replica's process while its port stays open."""
    return inject("replica-hang", {"replica": replica}, lease_s)


def resume_replica(replica: str) -> dict[str, Any]:
    """Undo hang_replica."""
    return undo(("replica-hang",), {"replica": replica})


def flip_bit(replica: str, weight: int = 500, bit: int = 13, lease_s: float | None = None) -> dict[str, Any]:
    """Flip one bit of one weight in a replica's memory: some of its answers are wrong from then on."""
    return inject("bit-flip", {"replica": replica, "weight": weight, "bit": bit}, lease_s)


def unflip_bit(replica: str) -> dict[str, Any]:
    """Undo flip_bit."""
    return undo(("bit-flip",), {"replica": replica})


def begin_replica_errors(replica: str, error_percent: int = 100, lease_s: float | None = None) -> dict[str, Any]:
    """Let a replica answer a share of its requests with status 500 while its readiness says that all is well."""
    return inject("replica-errors", {"replica": replica, "error_percent": error_percent}, lease_s)


def end_replica_errors(replica: str) -> dict[str, Any]:
    """Undo begin_replica_errors."""
    return undo(("replica-errors",), {"replica": replica})


def power_off_node(node: str, lease_s: float | None = None) -> dict[str, Any]:
    """Cut a node's power: its links go silent and every process on it ends."""
    return inject("node-power-loss", {"node": node}, lease_s)


def power_on_node(node: str) -> dict[str, Any]:
    """Undo power_off_node: the node boots."""
    return undo(("node-power-loss",), {"node": node})


def drop_gpu_off_bus(node: str, gpu: int = 0, lease_s: float | None = None) -> dict[str, Any]:
    """Let a GPU fall off the bus (XID 79)."""
    return inject("gpu-fallen-off-bus", {"node": node, "gpu": gpu}, lease_s)


def restore_gpu(node: str, gpu: int = 0) -> dict[str, Any]:
    """Undo drop_gpu_off_bus."""
    return undo(("gpu-fallen-off-bus",), {"node": node, "gpu": gpu})


def throttle_gpu(
    node: str, gpu: int = 0, clock_percent: int = 40, temperature_c: int = 92, lease_s: float | None = None
) -> dict[str, Any]:
    """Let heat hold a GPU's clocks down: `clock_percent` of full speed is left, at `temperature_c` degrees Celsius."""
    parameters = {"node": node, "gpu": gpu, "clock_percent": clock_percent, "temperature_c": temperature_c}
    return inject("gpu-thermal-throttle", parameters, lease_s)


def cool_gpu(node: str, gpu: int = 0) -> dict[str, Any]:
    """Undo throttle_gpu."""
    return undo(("gpu-thermal-throttle",), {"node": node, "gpu": gpu})


def begin_xid_noise(
    node: str, count: int = 500, per_second: int = 50, lease_s: float | None = None
) -> dict[str, Any]:
    """Write a burst of XID 45 lines into a node's kernel log: noise, by which nobody may be alarmed."""
    return inject("xid-noise", {"node": node, "count": count, "per_second": per_second}, lease_s)


def end_xid_noise(node: str) -> dict[str, Any]:
    """Undo begin_xid_noise: what is left of the burst is not written."""
    return undo(("xid-noise",), {"node": node})


def delay_link(source: str, destination: str, delay_ms: int = 400, lease_s: float | None = None) -> dict[str, Any]:
    """Add round-trip time (milliseconds) between two hosts, both ways together."""
    return inject("link-latency", {"source": source, "destination": destination, "delay_ms": delay_ms}, lease_s)


def partition_link(source: str, destination: str, lease_s: float | None = None) -> dict[str, Any]:
    """Let nothing pass between two hosts."""
    return inject("link-partition", {"source": source, "destination": destination}, lease_s)


def heal_link(source: str, destination: str) -> dict[str, Any]:
    """Undo delay_link and partition_link."""
    return undo(("link-latency", "link-partition"), {"source": source, "destination": destination})


def lose_picker(gateway: str, lease_s: float | None = None) -> dict[str, Any]:
    """Take a gateway's endpoint picker away: it fails closed and refuses every request, of every tier."""
    return inject("router-fail-closed", {"gateway": gateway}, lease_s)


def return_picker(gateway: str) -> dict[str, Any]:
    """Undo lose_picker."""
    return undo(("router-fail-closed",), {"gateway": gateway})


def stop_exporter(node: str, lease_s: float | None = None) -> dict[str, Any]:
    """Let a node export no metrics, while the node and all that runs on it are well."""
    return inject("telemetry-loss", {"node": node}, lease_s)


def start_exporter(node: str) -> dict[str, Any]:
    """Undo stop_exporter."""
    return undo(("telemetry-loss",), {"node": node})


def begin_load_surge(stream: str, rate_percent: int = 300, lease_s: float | None = None) -> dict[str, Any]:
    """Let more requests of one of the drill's streams come: its rate becomes `rate_percent` of what it would be."""
    return inject("load-surge", {"stream": stream, "rate_percent": rate_percent}, lease_s)


def end_load_surge(stream: str) -> dict[str, Any]:
    """Undo begin_load_surge."""
    return undo(("load-surge",), {"stream": stream})
