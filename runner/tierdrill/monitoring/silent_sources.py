"""Which sources of metrics have fallen silent, as PromQL: gateways, the controller, and nodes that it calls ready."""

from tierdrill.monitoring.alert_names import WATCHDOG

PROMETHEUS_SETTLES = "15s"
"""A Prometheus that has just started discovers its targets only after five to ten seconds."""

MEMORY_OF_SOURCES = "2m"
"""How long a source of metrics that was once seen is missed."""
AS_A_RULE, LOOKS_EVERY = 0.9, "2s"
"""So many are there as are seen in this share of that time at the most: where pods are replaced, for a moment more."""

NODE_READY_SERIES = 'kube_node_status_condition{condition="Ready",status="true"}'
_GATEWAYS = "tierdrill_inflight"
_SETTLED = f'and on () count(ALERTS{{alertname="{WATCHDOG}"}} offset {PROMETHEUS_SETTLES})'


def silent_gateways() -> str:
    """Gateways, as `gateway`, that were there and give no metrics any more."""
    return f"({_silent(_GATEWAYS, 'gateway', 'gateway')}) {_SETTLED}"


def absent_sources() -> str:
    """A silent gateway or controller, or a node that the controller calls ready while it exports nothing."""
    nodes = f'max by (source) (label_replace({NODE_READY_SERIES}, "source", "$1", "node", "(.+)")) == 1'
    missing = " or ".join(
        (
            f"({_silent(_GATEWAYS, 'source', 'gateway')})",
            f'sum by (source) (label_replace(absent({_GATEWAYS}), "source", "gateway", "", ""))',
            f'sum by (source) (label_replace(absent({NODE_READY_SERIES}), "source", "controller", "", ""))',
            f"({nodes} unless on (source) {_by('source', 'DCGM_FI_DEV_XID_ERRORS', 'hostname')})",
        )
    )
    return f"({missing}) {_SETTLED}"


def stale_sources(window: str) -> str:
    """Nodes that answer every scrape, and whose own time has not changed in so long."""
    stands = f"changes(node_time_seconds[{window}]) == 0 and node_time_seconds"
    return f'max by (source) (label_replace({stands}, "source", "$1", "node", "(.+)"))'


def _by(label: str, series: str, of: str) -> str:
    """The sources of a series by their label `of`, called `label`."""
    return f'count by ({label}) (label_replace({series}, "{label}", "$1", "{of}", "(.+)"))'


def _silent(series: str, label: str, of: str) -> str:
    """Sources that gave a series lately and give none now, and that no other one has come for."""
    now = f"count(count by ({of}) ({series}))"
    return (
        f"{_by(label, f'last_over_time({series}[{MEMORY_OF_SOURCES}])', of)}"
        f" unless on ({label}) {_by(label, series, of)}"
        f" and on () (({now} or vector(0)) < quantile_over_time({AS_A_RULE}, {now}[{MEMORY_OF_SOURCES}:{LOOKS_EVERY}]))"
    )
