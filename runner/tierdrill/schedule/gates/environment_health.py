"""Asking an environment's dependencies, each once what it needs is healthy: the cause is named, not what needs it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tierdrill.credentials import ServerLogin
from tierdrill.documents.check.dependencies import split_endpoint
from tierdrill.documents.models.environment import Dependency
from tierdrill.documents.models.external import Credentials
from tierdrill.documents.models.units import show_duration
from tierdrill.schedule.gates.gate_rules import AlertFacts, DependencyFact
from tierdrill.text import read_json

Ask = Callable[[Dependency], Awaitable[tuple[bool, str]]]


async def ask_all(dependencies: Sequence[Dependency], ask: Ask | None = None) -> list[DependencyFact]:
    """Every dependency in the order of the document; those of one level are asked at the same time.

    One that needs something unhealthy is not asked: `healthy` is None.
    """
    asker = ask or ask_one
    found: dict[str, DependencyFact] = {}
    left = list(dependencies)
    while left:
        ready = [one for one in left if all(need in found for need in one.needs)]
        # A circle cannot be: `tierdrill validate` refuses it. Were there one, nobody in it could be asked.
        if not ready:
            for one in left:
                found[one.name] = DependencyFact(one.name, False, "it depends on itself", one.needs)
            break
        healthy = [one for one in ready if all(found[need].healthy for need in one.needs)]
        answers = await asyncio.gather(*(asker(one) for one in healthy))
        for one, (good, seen) in zip(healthy, answers, strict=True):
            found[one.name] = DependencyFact(one.name, good, seen, one.needs)
        for one in ready:
            if one.name not in found:
                behind = ", ".join(need for need in one.needs if not found[need].healthy)
                found[one.name] = DependencyFact(one.name, None, f"not checked: it depends on {behind}", one.needs)
        left = [one for one in left if one.name not in found]
    return [found[one.name] for one in dependencies]


async def ask_one(dependency: Dependency) -> tuple[bool, str]:
    """Whether one dependency is healthy, and what was seen; never later than its timeout."""
    try:
        async with asyncio.timeout(dependency.timeout):
            if dependency.http is not None:
                return await _http(dependency.http, dependency.timeout)
            if dependency.tcp is not None:
                return await _tcp(dependency.tcp)
            return await asyncio.to_thread(_path, dependency.path or "")
    except TimeoutError:
        return False, f"no answer within {show_duration(dependency.timeout)}"


async def _http(url: str, timeout_s: float) -> tuple[bool, str]:
    import httpx

    try:
        async with httpx.AsyncClient(timeout=timeout_s, trust_env=False) as client:
            answer = await client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return False, f"{url}: {error or type(error).__name__}"
    return answer.status_code < httpx.codes.BAD_REQUEST, f"{url}: status {answer.status_code}"


async def _tcp(endpoint: str) -> tuple[bool, str]:
    place = split_endpoint(endpoint)
    if place is None:
        return False, f"{endpoint} is no host:port"
    try:
        _, writer = await asyncio.open_connection(*place)
    except OSError as error:
        return False, f"{endpoint}: {error.strerror or error}"
    writer.close()
    return True, f"{endpoint} accepts connections"


def _path(path: str) -> tuple[bool, str]:
    try:
        Path(path).stat()
    except OSError as error:
        return False, f"{path}: {error.strerror}"
    return True, f"{path} is there"


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


