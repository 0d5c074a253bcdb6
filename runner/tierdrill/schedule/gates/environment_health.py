"""Asking the environment's own Prometheus and Alertmanager before a drill starts there.

Light on purpose: the scheduler sits idle for most of its life, and `monitoring/query.py` with its client library would
sit in memory with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tierdrill.credentials import ServerLogin
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.external import Credentials
from tierdrill.documents.models.tiers import Tier
from tierdrill.monitoring.burn_rate_windows import BURN_WINDOWS, promql_duration, scaled
from tierdrill.schedule.gates.gate_rules import AlertFacts, BudgetFact
from tierdrill.text import read_json

TIMEOUT_S = 2.5
QUIET = frozenset({"none", "info"})
"""Severities that neither page nor open a ticket, as in a run's own preflight."""


@dataclass(frozen=True)
class Service:
    """Where something is asked: its base URL, and the value of `Authorization` that it wants ("": none)."""

    url: str
    login: str = field(default="", repr=False)


def logged_in(url: str, credentials: Credentials | None) -> Service:
    """The service with what it asks for, read now; SecretMissing where that is not to be had. It is kept nowhere."""
    if credentials is None:
        return Service(url)
    return Service(url, ServerLogin(credentials.model_dump()).headers()["Authorization"])


async def get_json(service: Service, path: str, query: Mapping[str, str]) -> tuple[Any, str]:
    """The JSON of an answer, or None and why there is none."""
    import httpx

    url = f"{service.url}{path}"
    headers = {"Authorization": service.login} if service.login else {}
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            answer = await client.get(url, params=dict(query), headers=headers)
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            refused = "its credentials are refused" if service.login else "it asks for credentials"
            return None, f"{url}: {refused} (status {answer.status_code})"
        if answer.status_code != httpx.codes.OK:
            return None, f"{url}: status {answer.status_code}"
        return read_json(answer.content), ""
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return None, f"{url}: {error or type(error).__name__}"


async def alert_facts(alertmanager: Service) -> AlertFacts:
    """What fires and what is silenced, by the v2 API."""
    source = f"Alertmanager at {alertmanager.url}"
    alerts, why = await get_json(alertmanager, "/api/v2/alerts", {"active": "true", "silenced": "false"})
    silences, also = await get_json(alertmanager, "/api/v2/silences", {})
    if not isinstance(alerts, list) or not isinstance(silences, list):
        return AlertFacts(source=source, unknown=why or also or f"{alertmanager.url}: not an Alertmanager answer")
    return AlertFacts(firing=_firing(alerts), silenced=_silenced(silences), source=source)


def _firing(alerts: list[Any]) -> tuple[str, ...]:
    names = []
    for alert in alerts:
        labels = alert.get("labels", {})
        if labels.get("severity") not in QUIET and alert.get("status", {}).get("state") == "active":
            about = labels.get("tier") or labels.get("node") or labels.get("pod") or ""
            names.append(f"{labels.get('alertname', '?')}{f' on {about}' if about else ''}")
    return tuple(sorted(set(names)))


def _silenced(silences: list[Any]) -> tuple[str, ...]:
    told = []
    for silence in silences:
        if silence.get("status", {}).get("state") == "active":
            what = ",".join(
                f"{one.get('name')}{'=' if one.get('isEqual', True) else '!='}"
                f"{'~' if one.get('isRegex') else ''}{one.get('value')}"
                for one in silence.get("matchers", [])
            )
            told.append(f"{what} by {silence.get('createdBy') or '?'}: {silence.get('comment') or 'no comment'}")
    return tuple(sorted(told))


async def budget_fact(prometheus: Service, tier: Tier, environment: Environment) -> BudgetFact | None:
    """What the generated rules' series say of a tier's budget, over their longest window; None where it has none.

    The error ratio over the window divided by the budget is the share that was spent (the window's burn rate). No
    traffic in the whole window spends nothing; a tier that no gateway reports is not known.
    """
    budget = tier.objectives.error_budget
    if budget is None:
        return None
    name = BURN_WINDOWS[-1].long
    window = promql_duration(scaled(name, environment.clock))
    source = f"Prometheus at {prometheus.url}, {name} of production time"
    ratio, why = await _number(prometheus, f'slo:sli_error:ratio_rate{window}{{tier="{tier.name}"}}')
    if ratio is not None:
        left = 1.0 - ratio / budget if budget > 0 else (1.0 if ratio == 0 else 0.0)
        return BudgetFact(tier.name, left, source, f"error ratio {ratio:.3%} of {budget:.3%}")
    if why:
        return BudgetFact(tier.name, None, source, why)
    counted = f'sum(increase(tierdrill_requests_total{{tier="{tier.name}"}}[{window}]))'
    requests, why = await _number(prometheus, counted)
    if requests is None:
        return BudgetFact(tier.name, None, source, why or "no series of this tier")
    if requests > 0:
        return BudgetFact(tier.name, None, source, "requests, but no error ratio")
    return BudgetFact(tier.name, 1.0, source, "no requests")


async def _number(prometheus: Service, expression: str) -> tuple[float | None, str]:
    """The one value of an expression; None with a reason, or with "" where the answer is empty."""
    answer, why = await get_json(prometheus, "/api/v1/query", {"query": expression})
    if why:
        return None, why
    try:
        result = answer["data"]["result"]
        value = float(result[0]["value"][1]) if result else math.nan
    except (KeyError, IndexError, TypeError, ValueError):
        return None, f"{prometheus.url}: not a Prometheus answer"
    return (None, "") if math.isnan(value) else (value, "")
