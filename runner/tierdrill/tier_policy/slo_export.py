"""Tiers' promises as SLO documents of other tools. Pure. What a format has no place for is named beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tierdrill.documents.models.tiers import Tier, Tiers, quantile_share
from tierdrill.documents.models.units import show_duration

Document = dict[str, Any]
WINDOW = "28d"
"""Over which error budgets are counted there; our own documents have no such window."""


@dataclass(frozen=True)
class Series:
    """The series that an SLO is made of: bad requests, those that count, and the histogram of the time they took."""

    bad: str
    counted: str
    buckets: str
    count: str


@dataclass
class Exported:
    """Documents in another tool's format, and what could not be said in it."""

    documents: list[Document] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


SeriesOf = Callable[[Tier], Series]


@dataclass(frozen=True)
class _Slo:
    """A share of requests: those that are good, or those that take no longer than `limit` seconds."""

    name: str
    share: float
    text: str
    limit: float | None = None

    def good(self, series: Series) -> str:
        """The series of requests within the limit."""
        assert self.limit is not None
        return series.buckets.replace("{", f'{{le="{self.limit:g}",', 1)


def _slos(tier: Tier) -> Iterator[_Slo]:
    promised = tier.objectives
    if promised.error_budget:
        counts = "rejections count" if promised.rejections_count else "of admitted requests"
        yield _Slo("availability", 1.0 - promised.error_budget, f"Requests of tier {tier.name} that succeed, {counts}.")
    for quantile, limit in promised.latency.items():
        text = f"Requests of tier {tier.name} that take at most {show_duration(limit)}."
        yield _Slo(f"latency-{quantile.replace('.', '-')}", quantile_share(quantile), text, limit)


def _percent(share: float) -> float:
    return round(share * 100, 6)


def _with_lost(tiers: Tiers) -> Exported:
    """Nothing yet, but for what none of these formats has a place for."""
    out = Exported()
    for tier in tiers.by_rank():
        promised = tier.objectives
        names = [
            name
            for name in type(promised).model_fields
            if name not in ("availability", "error_ceiling", "latency", "rejections_count")
            and name in promised.model_fields_set
        ]
        if promised.availability is not None and promised.error_ceiling is not None:
            names.append("error_ceiling")
        out.lost += [f"{tier.name}: objectives.{name}" for name in names]
        kept = ("name", "owner", "objectives", "rationale")
        said = [name for name in type(tier).model_fields if name not in kept and _said(tier, name)]
        out.lost += [f"{tier.name}: {name}" for name in said]
    return out


def _said(tier: Tier, name: str) -> bool:
    return name in tier.model_fields_set and getattr(tier, name) not in ((), None, 0)


def sloth(tiers: Tiers, series_of: SeriesOf) -> Exported:
    """One `prometheus/v1` document of Sloth for each tier."""
    out = _with_lost(tiers)
    for tier in tiers.by_rank():
        series = series_of(tier)
        slos = []
        for slo in _slos(tier):
            total = f"sum(rate({series.counted if slo.limit is None else series.count}[{{{{.window}}}}]))"
            if slo.limit is None:
                error = f"sum(rate({series.bad}[{{{{.window}}}}]))"
            else:
                error = f"{total} - sum(rate({slo.good(series)}[{{{{.window}}}}]))"
            slos.append(
                {
                    "name": slo.name,
                    "objective": _percent(slo.share),
                    "description": slo.text,
                    "sli": {"events": {"error_query": error, "total_query": total}},
                    "alerting": {
                        "name": f"{tier.name}-{slo.name}",
                        "page_alert": {"labels": {"severity": "page"}},
                        "ticket_alert": {"labels": {"severity": "ticket"}},
                    },
                }
            )
        if slos:
            labels = {"owner": tier.owner, "tier": tier.name}
            service = f"{tiers.metadata.name}-{tier.name}"
            out.documents.append({"version": "prometheus/v1", "service": service, "labels": labels, "slos": slos})
    return out


def pyrra(tiers: Tiers, series_of: SeriesOf) -> Exported:
    """A `ServiceLevelObjective` of Pyrra for each promise."""
    out = _with_lost(tiers)
    for tier in tiers.by_rank():
        series = series_of(tier)
        for slo in _slos(tier):
            if slo.limit is None:
                indicator = {"ratio": {"errors": {"metric": series.bad}, "total": {"metric": series.counted}}}
            else:
                indicator = {"latency": {"success": {"metric": slo.good(series)}, "total": {"metric": series.count}}}
            out.documents.append(
                {
                    "apiVersion": "pyrra.dev/v1alpha1",
                    "kind": "ServiceLevelObjective",
                    "metadata": {
                        "name": f"{tiers.metadata.name}-{tier.name}-{slo.name}",
                        "labels": {"pyrra.dev/tier": tier.name, "pyrra.dev/owner": tier.owner},
                    },
                    "spec": {
                        "target": f"{_percent(slo.share):g}",
                        "window": WINDOW,
                        "description": slo.text,
                        "indicator": indicator,
                    },
                }
            )
    return out


def openslo(tiers: Tiers, series_of: SeriesOf) -> Exported:
    """A Service for each tier and an SLO for each promise, as `openslo/v1`."""
    out = _with_lost(tiers)
    source = f"{tiers.metadata.name}-prometheus"
    head = {"apiVersion": "openslo/v1", "kind": "DataSource", "metadata": {"name": source}}
    out.documents.append({**head, "spec": {"type": "Prometheus", "connectionDetails": {}}})
    for tier in tiers.by_rank():
        series, service = series_of(tier), f"{tiers.metadata.name}-{tier.name}"
        labels = {"owner": tier.owner, "tier": tier.name, "rank": str(tier.rank)}
        metadata = {"name": service, "labels": labels}
        described = {"description": " ".join(tier.rationale.split())}
        out.documents.append({"apiVersion": "openslo/v1", "kind": "Service", "metadata": metadata, "spec": described})
        for slo in _slos(tier):

            def metric(query: str) -> Document:
                return {"metricSource": {"metricSourceRef": source, "type": "Prometheus", "spec": {"query": query}}}

            if slo.limit is None:
                ratio = {"counter": True, "bad": metric(series.bad), "total": metric(series.counted)}
            else:
                ratio = {"counter": True, "good": metric(slo.good(series)), "total": metric(series.count)}
            out.documents.append(
                {
                    "apiVersion": "openslo/v1",
                    "kind": "SLO",
                    "metadata": {"name": f"{service}-{slo.name}", "labels": labels},
                    "spec": {
                        "description": slo.text,
                        "service": service,
                        "indicator": {"metadata": {"name": f"{service}-{slo.name}"}, "spec": {"ratioMetric": ratio}},
                        "timeWindow": [{"duration": WINDOW, "isRolling": True}],
                        "budgetingMethod": "Occurrences",
                        "objectives": [{"displayName": slo.text, "target": round(slo.share, 9)}],
                    },
                }
            )
    out.lost.append("alerts: an AlertCondition has one window, and burn rates are held over two")
    return out
