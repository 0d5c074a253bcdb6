"""The names of all alerts and the labels each carries, for the checker of documents. Imports nothing: it is read at
every command.
"""

from collections.abc import Mapping
from typing import Any

INFRASTRUCTURE_LABELS: Mapping[str, tuple[str, ...]] = {
    "NodeNotReady": ("node", "severity"),
    "DeviceTainted": ("node", "gpu", "effect", "severity"),
    "NodeDiskFull": ("node", "severity"),
    "NodeClockSkew": ("node", "severity"),
    "NodeStarved": ("node", "severity"),
    "ReplicaDown": ("replica", "node", "model", "tier", "severity"),
    "StalledReplica": ("replica", "node", "model", "tier", "severity"),
    "ReplicaAnswersWrong": ("replica", "node", "model", "tier", "severity"),
    "ModelAnswersDrifted": ("model", "tier", "severity"),
    "TierAnswersWrong": ("tier", "model", "severity"),
    "ColdStartBlocked": ("replica", "node", "model", "tier", "store", "reason", "severity"),
    "ReplicaEjected": ("replica", "node", "model", "tier", "severity"),
    "CircuitOpen": ("model", "severity"),
    "GpuFallenOffBus": ("node", "gpu", "UUID", "severity"),
    "GpuUnhealthy": ("node", "gpu", "UUID", "severity"),
    "GpuPowerCap": ("node", "gpu", "UUID", "severity"),
    "GpuThermalThrottle": ("node", "gpu", "UUID", "severity"),
    "PcieReplayHigh": ("node", "gpu", "UUID", "severity"),
    "NvlinkErrors": ("node", "gpu", "UUID", "severity"),
    "GpuAllocatableDrop": ("node", "gpu", "UUID", "severity"),
    "KvCachePressure": ("node", "gpu", "severity"),
    "RowRemapPending": ("node", "gpu", "UUID", "severity"),
    "RowRemapFailed": ("node", "gpu", "UUID", "severity"),
    "NetworkDegraded": ("node", "gateway", "severity"),
    "EndpointUnreachable": ("node", "gateway", "severity"),
    "EndpointMisdirected": ("replica", "node", "severity"),
    "ResolverFailing": ("gateway", "severity"),
    "RouterDown": ("gateway", "severity"),
    "RouterFailsClosed": ("gateway", "severity"),
    "RouterFailsOpen": ("gateway", "severity"),
    "HandshakesSlow": ("node", "gateway", "severity"),
    "LinkFlapping": ("node", "gateway", "severity"),
    "StateQuorumLost": ("store", "severity"),
    "StateMemberDown": ("store", "member", "severity"),
    "StateMemberSlow": ("store", "member", "severity"),
    "ServingCapacityLow": ("severity",),
    "TierShedding": ("tier", "severity"),
    "TelemetryAbsent": ("source", "severity"),
    "TelemetryStale": ("source", "severity"),
    "Watchdog": ("severity",),
}

KNOWN_ALERTS: Mapping[str, tuple[str, ...]] = {
    "TierErrorBudgetBurn": ("tier", "severity", "window"),
    "TierLatencyHigh": ("tier", "severity", "quantile"),
    "TierInversion": ("tier", "severity"),
    "RetryAmplification": ("tier", "severity"),
    "PoisonRequests": ("tier", "severity"),
    "WatchdogMissing": ("severity",),
    **INFRASTRUCTURE_LABELS,
}
"""Every alert that our rules can raise, with the labels it carries (alertname apart); and the receiver's own one."""

WATCHDOG = "Watchdog"
"""Always firing: what does not deliver it delivers nothing."""

RUN_LABEL = "tierdrill_run"
"""An external label of the lab's Prometheus while a run goes on: a secret of the run, which its receiver asks for.

It is taken off where alerts come in, so neither playbooks nor histories see it.
"""


def unmarked(alert: Mapping[str, Any]) -> dict[str, Any]:
    """An alert of Alertmanager's without the run's mark."""
    labels = alert.get("labels")
    if not isinstance(labels, Mapping):
        return dict(alert)
    return {**alert, "labels": {name: value for name, value in labels.items() if name != RUN_LABEL}}
