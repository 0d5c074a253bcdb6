"""The alerts of nodes and of taints on their GPUs, by what the control plane and node-exporter say."""

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.error_budget import scaled
from tierdrill.documents.models.units import promql_duration
from tierdrill.monitoring.gpu_alerts import Rule
from tierdrill.monitoring.silent_sources import NODE_READY_SERIES

DISK_FREE_MIN = 0.1
"""The share of a disk below which the kubelet calls it pressure (nodefs.available)."""

CLOCK_OFF_MAX_S = 1.0
"""Time servers keep nodes within milliseconds; a scrape that waits for a busy node takes a part of that."""

LATE_MIN, LATE_OTHERS = 0.25, 2.0
"""The share of its time by which every replica of a starved node is late, and how often as much as on most nodes: where
all of them are late it is no node, but what they have in common.
"""

_NODE_ALERTS: tuple[Rule, ...] = (
    (
        "NodeNotReady",
        f"max by (node) ({NODE_READY_SERIES}) == 0",
        "page",
        "Node {{ $labels.node }} is not ready",
        "The control plane has had no heartbeat from the node for its grace time, and withdrew its replicas from"
        " the gateways. Their work is not moved by itself for minutes: move the critical replicas now, then find"
        " out whether the node lost power, its link or its agent.",
    ),
    (
        "DeviceTainted",
        "max by (node, gpu, effect) (tierdrill_gpu_tainted) == 1",
        "ticket",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} has a taint with the effect {{ $labels.effect }}",
        "With NoExecute its replicas were evicted, past every budget of disruptions; with NoSchedule nothing new is"
        " placed there; with None the rule only says what it would evict. See whose rule it is, and whether its"
        " selector takes in more than was meant. Do not reset or reboot: the taint says nothing of the GPU's health.",
    ),
    (
        "NodeDiskFull",
        "min by (node) (node_filesystem_avail_bytes / node_filesystem_size_bytes)"
        f" < {DISK_FREE_MIN:g} and on (node) max by (node) ({NODE_READY_SERIES}) == 1",
        "ticket",
        "A disk of {{ $labels.node }} is full",
        "Less than a tenth of it is free. What runs there serves on; weights that are not there cannot be fetched, and"
        " the kubelet begins to evict. Delete the weights that none of its replicas needs, then see what fills it. Do"
        " not drain a node whose replicas serve: they would have to be fetched elsewhere.",
    ),
)


def node_alerts(clock: Clock) -> list[Rule]:
    """In a fixed order."""
    return [*_NODE_ALERTS, _clock_alert(clock), _starved_alert(clock)]


def _starved_alert(clock: Clock) -> Rule:
    late = f"min by (node) (rate(tierdrill_replica_late_seconds_total[{promql_duration(scaled('5m', clock))}]))"
    return (
        "NodeStarved",
        f"({late} > {LATE_MIN:g}) > {LATE_OTHERS:g} * scalar(quantile(0.5, {late}))",
        "ticket",
        "Whatever runs on {{ $labels.node }} waits for a processor",
        "Every replica of the node is late for a quarter of the time or more, and those of most nodes are not: a"
        " neighbour takes the CPU, a quota is too low, a hypervisor steals it. It answers slowly and fails nothing, and"
        " requests are led around it. Place nothing new there, and find who takes the CPU (see the node's pressure and"
        " the throttled periods of its pods). Do not drain or reboot a node that serves.",
    )


def _clock_alert(clock: Clock) -> Rule:
    """A node whose clock goes, and goes wrong; one that stands still is an exporter that repeats itself."""
    stands = f"max by (node) (changes(node_time_seconds[{promql_duration(scaled('5m', clock))}])) == 0"
    return (
        "NodeClockSkew",
        "max by (node) (abs(timestamp(node_time_seconds)-node_time_seconds))"
        f" > {CLOCK_OFF_MAX_S:g} unless on (node) {stands}",
        "ticket",
        "The clock of {{ $labels.node }} is {{ $value | humanizeDuration }} off",
        "What the node tells of its time is not the time. It serves as before, and times in its logs are wrong; after"
        " minutes certificates and leases may be as well. Set the clock (see its time daemon). Do not drain or reboot"
        " the node. If many nodes are off, look at the time server, and at the clock of Prometheus.",
    )
