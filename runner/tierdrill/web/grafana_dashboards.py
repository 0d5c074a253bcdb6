"""Dashboards for Grafana, as JSON: the tiers, a drill as it runs, the scheduler. On the metric names that gateways,
replicas, the control plane, the generated rules and the scheduler use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 39
"""Grafana's version of the dashboard's own form; later ones read it and bring it up to date."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "[$__rate_interval]"
TIER = '{tier=~"$tier"}'
WIDTH, HEIGHT, COLUMNS = 8, 8, 24


@dataclass(frozen=True)
class Panel:
    """One panel: its queries with the names of their series, and Grafana's word for the unit."""

    title: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    about: str = ""
    width: int = WIDTH


def _quantile(share: str, series: str, by: str = "tier") -> str:
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({series}_bucket{TIER}{RATE})))"


TIERS: Sequence[Panel] = (
    Panel(
        "Good requests",
        {
            "1 - sum by (tier) (rate(tierdrill_requests_total"
            f'{{tier=~"$tier",outcome=~"error|rejected|timeout"}}{RATE}))'
            " / (sum by (tier) (rate(tierdrill_requests_total"
            f'{{tier=~"$tier",outcome!="cancelled"}}{RATE})) > 0)': "{{tier}}",
        },
        "percentunit",
        about="Refused requests count as bad here, for every tier.",
    ),
    Panel(
        "Error ratio over the alerts' windows",
        {'{__name__=~"slo:sli_error:ratio_rate.+",tier=~"$tier"}': "{{tier}} {{__name__}}"},
        "percentunit",
    ),
    Panel(
        "Alerts that fire",
        {'ALERTS{alertstate="firing",severity!="none"}': "{{alertname}} {{tier}} {{node}} {{replica}}"},
        kind="table",
    ),
    Panel(
        "Latency",
        {
            _quantile("0.5", "tierdrill_request_duration_seconds"): "{{tier}} p50",
            _quantile("0.99", "tierdrill_request_duration_seconds"): "{{tier}} p99",
        },
        "s",
    ),
    Panel("Time to first token, p95", {_quantile("0.95", "tierdrill_time_to_first_token_seconds"): "{{tier}}"}, "s"),
    Panel("Queue wait, p99", {_quantile("0.99", "tierdrill_queue_wait_seconds"): "{{tier}}"}, "s"),
    Panel(
        "Requests",
        {f"sum by (tier, outcome) (rate(tierdrill_requests_total{TIER}{RATE}))": "{{tier}} {{outcome}}"},
        "reqps",
    ),
    Panel(
        "Refused, by reason",
        {f"sum by (tier, reason) (rate(tierdrill_rejections_total{TIER}{RATE}))": "{{tier}} {{reason}}"},
        "reqps",
    ),
    Panel("Share shed by order", {f"max by (tier) (tierdrill_shed_fraction{TIER})": "{{tier}}"}, "percentunit"),
    Panel(
        "Slots busy",
        {
            f"sum by (tier) (tierdrill_inflight{TIER})"
            ' / sum by (tier) (tierdrill_serving_slots{tier=~"$tier",state="ready"})': "{{tier}}"
        },
        "percentunit",
    ),
    Panel("Waiting", {f"sum by (tier) (tierdrill_queue_depth{TIER})": "{{tier}}"}),
    Panel(
        "Preempted and retried",
        {
            f"sum by (tier) (rate(tierdrill_preemptions_total{TIER}{RATE}))": "{{tier}} preempted",
            f"sum by (tier) (rate(tierdrill_retries_total{TIER}{RATE}))": "{{tier}} retried",
        },
        "reqps",
    ),
)

RUN: Sequence[Panel] = (
    *TIERS[:6],
    Panel(
        "Nodes ready",
        {'kube_node_status_condition{condition="Ready",status="true"}': "{{node}}"},
        kind="state-timeline",
    ),
    Panel("Replicas ready", {'kube_pod_status_ready{condition="true"}': "{{pod}} on {{node}}"}, kind="state-timeline"),
    Panel("Replicas ejected", {"max by (replica) (tierdrill_upstream_ejected)": "{{replica}}"}, kind="state-timeline"),
    Panel(
        "Slots, ready and desired",
        {f"sum by (tier, state) (tierdrill_serving_slots{TIER})": "{{tier}} {{state}}"},
    ),
    Panel("Health probes' round trip", {"max by (node) (tierdrill_upstream_probe_seconds)": "{{node}}"}, "s"),
    Panel("Failed attempts", {f"sum by (kind) (rate(tierdrill_upstream_failures_total{RATE}))": "{{kind}}"}, "reqps"),
    Panel("Replicas moved", {"sum by (replica, reason) (tierdrill_placement_moves_total)": "{{replica}} {{reason}}"}),
    Panel("Protections that are off", {"min by (flag) (tierdrill_flag) == 0": "{{flag}}"}, kind="table"),
    Panel("Requests in a model's engine", {"sum by (model_name) (vllm:num_requests_running)": "{{model_name}}"}),
)

_ENTRY = "{{calendar}}/{{entry}}"
SCHEDULER: Sequence[Panel] = (
    Panel("Seconds until the next slot", {"tierdrill_scheduler_next_due_timestamp_seconds - time()": _ENTRY}, "s"),
    Panel("Since a drill last ran", {"time() - tierdrill_scheduler_last_run_timestamp_seconds": _ENTRY}, "s"),
    Panel("Since it last passed", {"time() - tierdrill_scheduler_last_success_timestamp_seconds": _ENTRY}, "s"),
    Panel("Running", {"tierdrill_scheduler_running": _ENTRY}),
    Panel(
        "Slots by what became of them",
        {"sum by (state, outcome) (increase(tierdrill_scheduler_decisions_total[$__range]))": "{{state}} {{outcome}}"},
        kind="bargauge",
    ),
    Panel(
        "Held back, by gate",
        {"sum by (gate) (increase(tierdrill_scheduler_held_slots_total[$__range]))": "{{gate}}"},
        kind="bargauge",
    ),
    Panel("Missed", {"sum by (calendar, entry) (increase(tierdrill_scheduler_missed_slots_total[$__range]))": _ENTRY}),
    Panel(
        "Start lateness, p99",
        {
            "histogram_quantile(0.99, sum by (le) "
            f"(rate(tierdrill_scheduler_start_lateness_seconds_bucket{RATE})))": "p99",
        },
        "s",
    ),
    Panel("Since its last look", {"time() - tierdrill_scheduler_heartbeat_timestamp_seconds": "scheduler"}, "s"),
)


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard, by the name of its file without the ending."""
    return {
        "tierdrill-tiers": _dashboard("tierdrill-tiers", "tierdrill: tiers", TIERS, "now-30m", tiers=True),
        "tierdrill-run": _dashboard("tierdrill-run", "tierdrill: a drill as it runs", RUN, "now-5m", tiers=True),
        "tierdrill-scheduler": _dashboard("tierdrill-scheduler", "tierdrill: scheduler", SCHEDULER, "now-24h"),
    }


def expressions() -> list[str]:
    """Every query of every dashboard."""
    return [query for panels in (TIERS, RUN, SCHEDULER) for panel in panels for query in panel.queries]


def _dashboard(uid: str, title: str, panels: Sequence[Panel], since: str, *, tiers: bool = False) -> dict[str, Any]:
    source = {
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0,
        "refresh": 1, "regex": "",
    }  # fmt: skip
    tier = {
        "name": "tier", "label": "Tier", "type": "query", "datasource": SOURCE, "hide": 0, "refresh": 2, "sort": 1,
        "query": {"query": "label_values(tierdrill_requests_total, tier)", "refId": "tiers"},
        "definition": "label_values(tierdrill_requests_total, tier)", "regex": "/^(?!unclassified$).*/",
        "multi": True, "includeAll": True, "allValue": ".+", "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip
    fires = {
        "name": "Alerts", "enable": True, "hide": False, "iconColor": "red", "datasource": SOURCE,
        "expr": 'ALERTS{alertstate="firing",severity!~"none|info"}', "step": "5s",
        "titleFormat": "{{alertname}}", "textFormat": "{{tier}} {{node}} {{replica}}", "tagKeys": "severity",
    }  # fmt: skip
    return {
        "uid": uid,
        "title": title,
        "tags": ["tierdrill"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": since, "to": "now"},
        "timezone": "utc",
        "templating": {"list": [source, *([tier] if tiers else [])]},
        "annotations": {"list": [fires] if tiers else []},
        "links": [],
        "panels": list(_placed(panels)),
    }


def _placed(panels: Sequence[Panel]) -> Iterable[dict[str, Any]]:
    """The panels in rows, from left to right."""
    x = y = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        yield _panel(number, panel, x, y)
        x += panel.width


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    table = panel.kind == "table"
    share = {"min": 0, "max": 1} if panel.unit == "percentunit" else {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, **share}, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend,
                "instant": table,
                "range": not table,
                "format": "table" if table else "time_series",
            }
            for place, (query, legend) in enumerate(panel.queries.items())
        ],
    }
