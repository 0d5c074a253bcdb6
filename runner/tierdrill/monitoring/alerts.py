"""The names of all alerts and the labels each carries, for the checker of documents. Imports nothing: it is read at
every command.
"""

from __future__ import annotations

from collections.abc import Mapping

INFRASTRUCTURE_LABELS: Mapping[str, tuple[str, ...]] = {
    "NodeNotReady": ("node", "severity"),
    "ReplicaDown": ("replica", "node", "model", "tier", "severity"),
    "StalledReplica": ("replica", "node", "model", "tier", "severity"),
    "GpuFallenOffBus": ("node", "gpu", "UUID", "severity"),
    "GpuThermalThrottle": ("node", "gpu", "UUID", "severity"),
    "NetworkDegraded": ("node", "gateway", "severity"),
    "EndpointUnreachable": ("node", "gateway", "severity"),
    "RouterFailsClosed": ("gateway", "severity"),
    "RouterFailsOpen": ("gateway", "severity"),
    "ServingCapacityLow": ("severity",),
    "TierShedding": ("tier", "severity"),
    "TelemetryAbsent": ("source", "severity"),
    "Watchdog": ("severity",),
}

KNOWN_ALERTS: Mapping[str, tuple[str, ...]] = {
    "TierErrorBudgetBurn": ("tier", "severity", "window"),
    "TierLatencyHigh": ("tier", "severity", "quantile"),
    **INFRASTRUCTURE_LABELS,
}
"""Every alert that our rules can raise, with the labels it carries (alertname apart)."""

known_alerts = KNOWN_ALERTS

WATCHDOG = "Watchdog"
"""Always firing: what does not deliver it delivers nothing."""
