"""Prometheus rules from the tiers' objectives: error ratios, burn-rate and latency alerts, and the infrastructure
alerts.

The same text for the same documents, byte for byte: rule files are reviewed like code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from tierdrill.documents.models.environment import Clock, Environment, LabShape
from tierdrill.documents.models.error_budget import BURN_WINDOWS, BurnWindow, burn_threshold, scaled
from tierdrill.documents.models.tiers import Tier, Tiers, quantile_share
from tierdrill.documents.models.units import promql_duration, show_duration, show_ratio
from tierdrill.documents.models.workloads import Workloads
from tierdrill.monitoring.infrastructure_alerts import infrastructure_alerts
from tierdrill.monitoring.policy_alerts import policy_alerts
from tierdrill.tier_policy.slo_export import Series

HISTORY_SHARE = 0.9
"""A burn alert counts only once this share of its long window's scrapes is there."""

LATENCY_FOR_S = 3.0
"""A latency alert holds this long beyond its short window: a fault of two seconds stays in a short window for its
length and two more.
"""

SAMPLES_BEYOND_QUANTILE = 3
"""Requests that must lie beyond a quantile before it means anything: p99 wants 300 requests, p90 wants 30."""

SLO_FILE = "tierdrill-slo.yaml"
INFRASTRUCTURE_FILE = "tierdrill-infrastructure.yaml"

Rule = dict[str, Any]



@dataclass(frozen=True)
class _Outcomes:
    """Which outcomes of tierdrill_requests_total are bad and which count at all. A cancelled request is neither good
    nor bad: the client left.
    """

    bad: str
    counted: str


_COUNTING = _Outcomes(bad="error|rejected|timeout", counted="error|ok|rejected|timeout")
_EXCUSING = _Outcomes(bad="error|timeout", counted="error|ok|timeout")


def prometheus_rules(tiers: Tiers, workloads: Workloads, environment: Environment) -> dict[str, str]:
    """Rule files by name, ready to be written beside the Prometheus configuration."""
    clock = environment.clock
    groups = []
    for tier in tiers.by_rank():
        rules = _tier_rules(tier, _served_models(tier, workloads), clock)
        if rules:
            groups.append(_group(f"tierdrill-slo-{tier.name}", rules, clock))
    slower_s = max(0.0, environment.lab.node_grace - LabShape().node_grace)
    alerts = infrastructure_alerts(clock, slower_s) + policy_alerts(tiers, clock)
    infrastructure = _text({"groups": [_group("tierdrill-infrastructure", alerts, clock)]})
    return {SLO_FILE: _text({"groups": groups}), INFRASTRUCTURE_FILE: infrastructure}


def recording_rule_name(window_s: float) -> str:
    """Sloth's name for the error ratio over a window: slo:sli_error:ratio_rate12s."""
    return f"slo:sli_error:ratio_rate{promql_duration(window_s)}"


def _group(name: str, rules: list[Rule], clock: Clock) -> Rule:
    return {"name": name, "interval": promql_duration(clock.evaluation_interval), "rules": rules}


def _text(document: Rule) -> str:
    text: str = yaml.safe_dump(document, sort_keys=False, width=4096, allow_unicode=True)
    return text


def _served_models(tier: Tier, workloads: Workloads) -> str:
    return ", ".join(sorted(model.name for model in workloads.models if model.tier == tier.name)) or "none"


def _tier_rules(tier: Tier, models: str, clock: Clock) -> list[Rule]:
    """Recordings first: rules of a group run in order, so alerts see this evaluation's ratios."""
    rules: list[Rule] = []
    budget = tier.objectives.error_budget
    if budget is not None:
        lengths = {scaled(name, clock) for pair in BURN_WINDOWS for name in (pair.long, pair.short)}
        rules += [_error_ratio(tier, length) for length in sorted(lengths)]
        for pair in BURN_WINDOWS:
            # An error ratio cannot exceed one: such an alert can never fire, and a rule that cannot fire misleads.
            if burn_threshold(pair.factor, budget) < 1.0:
                rules.append(_burn_alert(tier, models, pair, budget, clock))
    latency = _latency_alert(tier, models, clock)
    return rules if latency is None else [*rules, latency]


def slo_series(tier: Tier) -> Series:
    """The gateways' series that tell whether a tier's promises are kept."""
    outcomes = _COUNTING if tier.objectives.rejections_count else _EXCUSING
    return Series(
        bad=f'tierdrill_requests_total{{tier="{tier.name}",outcome=~"{outcomes.bad}"}}',
        counted=f'tierdrill_requests_total{{tier="{tier.name}",outcome=~"{outcomes.counted}"}}',
        buckets=f'tierdrill_request_duration_seconds_bucket{{tier="{tier.name}"}}',
        count=f'tierdrill_request_duration_seconds_count{{tier="{tier.name}"}}',
    )


def _error_ratio(tier: Tier, window_s: float) -> Rule:
    series = slo_series(tier)
    window = promql_duration(window_s)
    bad = f"sum by (tier) (rate({series.bad}[{window}]))"
    counted = f"sum by (tier) (rate({series.counted}[{window}]))"
    # No traffic: no ratio. A 0/0 would be NaN, which compares false and so looks like a pass.
    expr = f"{bad} / ({counted} > 0)"
    return {"record": recording_rule_name(window_s), "expr": expr, "labels": {"tier": tier.name}}


def _burn_alert(tier: Tier, models: str, pair: BurnWindow, budget: float, clock: Clock) -> Rule:
    long_s, short_s = scaled(pair.long, clock), scaled(pair.short, clock)
    threshold = f"{burn_threshold(pair.factor, budget):.12g}"
    selector = f'{{tier="{tier.name}"}}'
    return {
        "alert": "TierErrorBudgetBurn",
        "expr": (
            f"{recording_rule_name(long_s)}{selector} > {threshold}"
            f" and on (tier) {recording_rule_name(short_s)}{selector} > {threshold}"
            f" and on (tier) {_filled(tier, long_s, clock)}"
        ),
        "labels": {"tier": tier.name, "severity": pair.severity, "window": pair.long},
        "annotations": {
            "summary": f"Tier {tier.name} spends its error budget {pair.factor:g} times too fast",
            "description": (
                f"More than {show_ratio(burn_threshold(pair.factor, budget))} of the requests of tier {tier.name}"
                f" (models: {models}) failed over"
                f" both {pair.long} and {pair.short} of production time ({show_duration(long_s)} and"
                f" {show_duration(short_s)} here); its budget is"
                f" {show_ratio(budget)}. See which outcome and reason grows in tierdrill_requests_total and"
                " tierdrill_rejections_total, then look"
                f" for an infrastructure alert that began earlier. Owner: {tier.owner}."
            ),
        },
    }


def _filled(tier: Tier, window_s: float, clock: Clock) -> str:
    """True once the longest-scraped gateway has the window nearly full of samples."""
    scrapes = f"{HISTORY_SHARE * window_s / clock.scrape_interval:.6g}"
    series = f'tierdrill_requests_total{{tier="{tier.name}",outcome="ok"}}[{promql_duration(window_s)}]'
    return f"max by (tier) (count_over_time({series})) >= {scrapes}"


def _latency_alert(tier: Tier, models: str, clock: Clock) -> Rule | None:
    """p99 where it is promised, else the highest quantile that is."""
    promised = tier.objectives.latency
    if not promised:
        return None
    name = "p99" if "p99" in promised else max(promised, key=quantile_share)
    share, limit = round(quantile_share(name), 12), promised[name]
    long_s, short_s = scaled("1h", clock), scaled("5m", clock)

    def quantile(window_s: float) -> str:
        buckets = f'tierdrill_request_duration_seconds_bucket{{tier="{tier.name}"}}[{promql_duration(window_s)}]'
        return f"histogram_quantile({share:.12g}, sum by (tier, le) (rate({buckets}))) > {limit:.12g}"

    count = f'tierdrill_request_duration_seconds_count{{tier="{tier.name}"}}[{promql_duration(long_s)}]'
    samples = round(SAMPLES_BEYOND_QUANTILE / (1.0 - share), 6)
    return {
        "alert": "TierLatencyHigh",
        "expr": (
            f"{quantile(long_s)} and on (tier) {quantile(short_s)}"
            f" and on (tier) sum by (tier) (increase({count})) >= {samples:.6g}"
        ),
        "for": promql_duration(short_s + LATENCY_FOR_S),
        "labels": {"tier": tier.name, "severity": "ticket", "quantile": name},
        "annotations": {
            "summary": f"Tier {tier.name} answers too slowly: {name} above {show_duration(limit)}",
            "description": (
                f"The {name} of request durations of tier {tier.name} (models: {models}), from the gateways'"
                " histograms, is above its objective"
                f" over both {show_duration(long_s)} and {show_duration(short_s)}. Compare"
                " tierdrill_queue_wait_seconds (too little capacity) with"
                f" tierdrill_upstream_probe_seconds (a slow link or replica). Owner: {tier.owner}."
            ),
        },
    }
