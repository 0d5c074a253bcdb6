"""What Prometheus says of every tier of one place now, by the names that our rules and gateways use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import TYPE_CHECKING

from tierdrill.documents.models.error_budget import BURN_WINDOWS, scaled
from tierdrill.documents.models.tiers import quantile_share
from tierdrill.documents.models.units import promql_duration
from tierdrill.monitoring.prometheus_rules import recording_rule_name
from tierdrill.monitoring.query import NoData, Prometheus, Sample

if TYPE_CHECKING:
    from tierdrill.documents.models.environment import Environment
    from tierdrill.web.watched_places import Place

SCRAPES_AT_LEAST = 10
BAD = {True: ("error", "timeout", "rejected"), False: ("error", "timeout")}
"""The outcomes that break availability where rejections count, and where they do not."""


@dataclass(frozen=True)
class FiringAlert:
    name: str
    severity: str
    about: str
    tier: str = ""


@dataclass(frozen=True)
class TierFigures:
    """A tier's figures over the window that the place looks back; None where nothing is known.

    `burn` is the error ratio of each of the rules' windows, by its name in production time ("1h"). Times in seconds,
    shares from 0 to 1, slots and requests as numbers.
    """

    rate: float | None = None
    success: float | None = None
    refused: float | None = None
    latency: Mapping[str, float] = field(default_factory=dict)
    first_token: Mapping[str, float] = field(default_factory=dict)
    queue_wait: Mapping[str, float] = field(default_factory=dict)
    queued: float | None = None
    in_flight: float | None = None
    slots_ready: float | None = None
    slots_desired: float | None = None
    shed: float | None = None
    burn: Mapping[str, float] = field(default_factory=dict)
    alerts: tuple[FiringAlert, ...] = ()

    @property
    def saturation(self) -> float | None:
        """The share of the tier's ready slots that are busy."""
        return self.in_flight / self.slots_ready if self.in_flight is not None and self.slots_ready else None


@dataclass(frozen=True)
class PlaceFigures:
    """Every tier's figures at one moment, or why there are none. `window_s` is how far they look back."""

    window_s: float
    tiers: Mapping[str, TierFigures] = field(default_factory=dict)
    alerts: tuple[FiringAlert, ...] = ()
    unknown: str = ""


def window_of(environment: Environment) -> float:
    """How far "now" looks back, in seconds: the shortest window of the alerts, and enough scrapes for a quantile."""
    clock = environment.clock
    return max(scaled(BURN_WINDOWS[0].short, clock), SCRAPES_AT_LEAST * clock.scrape_interval)


_QUANTILES = {
    "latency": "tierdrill_request_duration_seconds",
    "first_token": "tierdrill_time_to_first_token_seconds",
    "queue_wait": "tierdrill_queue_wait_seconds",
}
_OBJECTIVE = {"latency": "latency", "first_token": "time_to_first_token", "queue_wait": "queue_wait"}


def expressions(place: Place) -> dict[str, str]:
    """PromQL by what it is asked for, each for all tiers at once."""
    window = promql_duration(window_of(place.environment))
    asked = {
        "outcomes": f"sum by (tier, outcome) (rate(tierdrill_requests_total[{window}]))",
        "queued": "sum by (tier) (tierdrill_queue_depth)",
        "in_flight": "sum by (tier) (tierdrill_inflight)",
        "slots": "sum by (tier, state) (tierdrill_serving_slots)",
        "shed": "max by (tier) (tierdrill_shed_fraction)",
        "burn": '{__name__=~"slo:sli_error:ratio_rate.+"}',
        "alerts": 'ALERTS{alertstate="firing"}',
    }
    for kind, series in _QUANTILES.items():
        promised = {name for tier in place.tiers.tiers for name in getattr(tier.objectives, _OBJECTIVE[kind])}
        for name in sorted(promised | ({"p99"} if kind == "latency" else set())):
            asked[f"{kind} {name}"] = (
                f"histogram_quantile({quantile_share(name):.12g}, sum by (tier, le) (rate({series}_bucket[{window}])))"
            )
    if place.environment.monitoring is not None:
        for tier, counted in place.environment.monitoring.availability.items():
            for part, text in (("good", counted.good), ("total", counted.total)):
                asked[f"{part} {tier}"] = Template(text).safe_substitute(window=window)
    return asked


async def look(place: Place, prometheus: Prometheus) -> PlaceFigures:
    """Ask everything at once."""
    asked = expressions(place)
    answers = dict(zip(asked, await asyncio.gather(*map(prometheus.instant, asked.values())), strict=True))
    return figures_of(place, answers)


def figures_of(place: Place, answers: Mapping[str, list[Sample] | NoData]) -> PlaceFigures:
    """The figures that answers to `expressions` come to."""
    window_s = window_of(place.environment)
    unanswered = [one.reason for one in answers.values() if isinstance(one, NoData) and not _nothing(one)]
    if unanswered and len(unanswered) == sum(isinstance(one, NoData) for one in answers.values()) == len(answers):
        url = place.prometheus.url if place.prometheus is not None else ""
        return PlaceFigures(window_s, unknown=f"Prometheus at {url}: {unanswered[0]}")
    alerts = tuple(_alert(sample.labels) for sample in _samples(answers, "alerts") if _pages(sample.labels))
    tiers = {tier.name: _tier(place, tier.name, answers, alerts) for tier in place.tiers.tiers}
    return PlaceFigures(window_s, tiers, alerts)


def _nothing(answer: NoData) -> bool:
    """Whether Prometheus answered, with no series."""
    return answer.reason in ("empty answer", "not a number")


def _tier(
    place: Place, name: str, answers: Mapping[str, list[Sample] | NoData], alerts: tuple[FiringAlert, ...]
) -> TierFigures:
    objectives = place.tiers.by_name(name).objectives

    def one(asked: str, **labels: str) -> float | None:
        wanted = {"tier": name, **labels}
        return next(_matching(answers, asked, lambda found: wanted.items() <= found.items()), None)

    def quantiles(kind: str) -> dict[str, float]:
        keys = [key for key in answers if key.startswith(f"{kind} ")]
        found = {key.partition(" ")[2]: one(key) for key in keys}
        return {quantile: value for quantile, value in found.items() if value is not None}

    outcomes = {
        sample.labels.get("outcome", ""): sample.value
        for sample in _samples(answers, "outcomes")
        if sample.labels.get("tier") == name
    }
    rate = sum(outcomes.values()) if outcomes else None
    bad = sum(outcomes.get(outcome, 0.0) for outcome in BAD[objectives.rejections_count])
    counted = bad + outcomes.get("ok", 0.0)
    good, total = (next(_matching(answers, f"{part} {name}"), None) for part in ("good", "total"))
    success = 1 - bad / counted if counted else good / total if good is not None and total else None
    if rate is None and total is not None:
        rate = total / window_of(place.environment)
    rules = {
        window: recording_rule_name(scaled(window, place.environment.clock))
        for pair in BURN_WINDOWS
        for window in (pair.long, pair.short)
    }
    burn = {window: one("burn", __name__=rule) for window, rule in rules.items()}
    return TierFigures(
        rate=rate,
        success=success,
        refused=outcomes.get("rejected", 0.0) / rate if rate else None,
        latency=quantiles("latency"),
        first_token=quantiles("first_token"),
        queue_wait=quantiles("queue_wait"),
        queued=one("queued"),
        in_flight=one("in_flight"),
        slots_ready=one("slots", state="ready"),
        slots_desired=one("slots", state="desired"),
        shed=one("shed"),
        burn={window: ratio for window, ratio in burn.items() if ratio is not None},
        alerts=tuple(alert for alert in alerts if alert.tier == name),
    )


def _samples(answers: Mapping[str, list[Sample] | NoData], asked: str) -> list[Sample]:
    found = answers.get(asked)
    return found if isinstance(found, list) else []


def _matching(
    answers: Mapping[str, list[Sample] | NoData],
    asked: str,
    wanted: Callable[[Mapping[str, str]], bool] = lambda labels: True,
) -> Iterator[float]:
    return (sample.value for sample in _samples(answers, asked) if wanted(sample.labels))


def _pages(labels: Mapping[str, str]) -> bool:
    """Whether somebody is told of it: what only says that something is there, as Watchdog does, is left out."""
    return labels.get("severity") not in ("none", "info")


def _alert(labels: Mapping[str, str]) -> FiringAlert:
    about = [labels[key] for key in ("replica", "pod", "node", "gateway", "model", "window") if labels.get(key)]
    tier = labels.get("tier", "")
    return FiringAlert(labels.get("alertname", "?"), labels.get("severity", ""), " ".join([tier, *about]).strip(), tier)
