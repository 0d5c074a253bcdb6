"""The alerts of the links from gateways to nodes, by the gateways' health probes."""

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.error_budget import scaled
from tierdrill.documents.models.units import promql_duration
from tierdrill.monitoring.gpu_alerts import Rule, on_node
from tierdrill.monitoring.silent_sources import NODE_READY_SERIES

PROBE_SLOW_S = 0.1
"""A health probe on one site's network takes a few milliseconds; 0.1 s is no longer the same network."""

FLAPS_TWICE = 4
"""Each time that a link goes down and comes up is two changes."""

NODE_READY = f"max by (node) ({NODE_READY_SERIES}) == 1"
_NODE_METRICS = f"count by (node) ({on_node('DCGM_FI_DEV_XID_ERRORS')})"
_READY_PODS = (
    'max by (replica) (label_replace(kube_pod_status_ready{condition="true"}, "replica", "$1", "pod", "(.+)")) == 1'
)
# Links are judged by replicas that the control plane calls ready, on nodes that it calls ready and that Prometheus
# itself still reaches: what is broken at the far end is not the link's fault.
_LINK_GUARD = f"and on (node) ({NODE_READY}) and on (node) {_NODE_METRICS}"


def link_alerts(clock: Clock) -> list[Rule]:
    return [
        (
            "NetworkDegraded",
            f"{_fastest('tierdrill_upstream_probe_seconds')} > {PROBE_SLOW_S:g} {_LINK_GUARD}",
            "ticket",
            "The link from {{ $labels.gateway }} to {{ $labels.node }} is slow",
            "Even the fastest probe from the gateway to any ready replica of the node takes over 0.1 s, while the node"
            " itself is well: it is the link and no single replica. Shift the gateway's traffic to other nodes; do not"
            " drain the node.",
        ),
        (
            "EndpointUnreachable",
            f"max by (node, gateway) (tierdrill_upstream_up and on (replica) ({_READY_PODS})) == 0 {_LINK_GUARD}",
            "ticket",
            "{{ $labels.gateway }} reaches no replica of {{ $labels.node }}",
            "No probe from the gateway to the node is answered in time, though the control plane calls the node and its"
            " replicas ready: the network between the two is cut, or so slow that probes time out. Shift the gateway's"
            " traffic away; do not drain the node.",
        ),
        (
            "HandshakesSlow",
            f"({_fastest('tierdrill_upstream_open_seconds')} > {PROBE_SLOW_S:g} unless on (node, gateway)"
            f" {_fastest('tierdrill_upstream_probe_seconds')} > {PROBE_SLOW_S:g}) {_LINK_GUARD}",
            "ticket",
            "New connections from {{ $labels.gateway }} to {{ $labels.node }} take long",
            "What is open is as fast as ever, and even the fastest new connection to a ready replica of the node takes"
            " over 0.1 s: a full accept queue or connection table, a firewall that inspects new flows, lost SYNs. Look"
            " for it on the path and at the node. Restart neither the gateway nor the replicas: that closes every"
            " connection that is still good.",
        ),
        (
            "LinkFlapping",
            f"min by (node, gateway) (changes(tierdrill_upstream_up[{promql_duration(scaled('45m', clock))}])"
            f" and on (replica) ({_READY_PODS})) >= {FLAPS_TWICE} {_LINK_GUARD}",
            "ticket",
            "The link from {{ $labels.gateway }} to {{ $labels.node }} comes and goes",
            "All replicas of the node that are ready became unreachable to the gateway and came back, all of them more"
            " than once: it is the path, and neither of its ends. Requests are sent elsewhere while it is down. Take"
            " the gateway's traffic off it until it is mended, and do not give it back at each moment it is up.",
        ),
    ]


def _fastest(seconds: str) -> str:
    """Of the ready replicas of each node, as each gateway sees them."""
    return f"min by (node, gateway) ({seconds} and on (replica) ({_READY_PODS}))"
