"""A platform that somebody else runs, while one run looks at it and sends it load."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tierdrill.credentials import SecretMissing, ServerLogin, explained, read_secret, stays_so
from tierdrill.documents.check.dependencies import split_endpoint
from tierdrill.documents.models.channels import Secret
from tierdrill.documents.models.drill import Stream
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.external import Connection, LoadConnection
from tierdrill.documents.models.workloads import Model, Workloads
from tierdrill.history.events import Event
from tierdrill.load.load_plan import LoadPlan, Prompt
from tierdrill.load.response import declared_rejection
from tierdrill.monitoring.external_alerts import renaming
from tierdrill.monitoring.query import AlertmanagerClient, NoData, Prometheus
from tierdrill.process.signals import StopSignal
from tierdrill.targets.base import (
    Endpoint,
    Endpoints,
    Finding,
    Inventory,
    RemedyPort,
    RemedyResult,
    TargetError,
)
from tierdrill.targets.external.traffic import GOLDEN_PROMPTS, for_platform

PROBE_S = 5.0
PROBE_AGAIN_S = 1.0
EVALUATIONS_MISSED = 2.5
"""So many intervals without a new evaluation of the rules are a gap."""


class NoRemedies:
    """The port of a platform on which tierdrill itself changes nothing."""

    async def inventory(self) -> Inventory:
        return Inventory((), (), (), ())

    async def fact(self, name: str, subject: str) -> Any:
        raise TargetError(f"fact {name} is not known of a platform that somebody else runs")

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        raise TargetError(f"remedy {action} is not offered on a platform that somebody else runs")


class ExternalSession:
    """Session over what an Environment document names."""

    def __init__(self, environment: Environment, workloads: Workloads) -> None:
        assert environment.monitoring is not None
        self._a_model = workloads.models[0].name
        self._environment, self._monitoring = environment, environment.monitoring
        self.name = environment.metadata.name
        self.place: dict[str, Any] = {"target": "external", "environment": self.name}
        self.state: Mapping[str, Any] = {"nodes": [], "replicas": []}
        self.endpoints = endpoints_of(environment)
        self._found: list[Finding] = []
        self._looked_at = -PROBE_AGAIN_S

    def inventory(self) -> Inventory:
        return Inventory((), (), (), ())

    def remedies(self, run: str, lease_s: float) -> RemedyPort:
        return NoRemedies()

    async def subscribe(self, url: str, token: str, mark: str | None) -> None:
        """Nothing: its own Alertmanager is asked, or has a route to us already."""

    async def preflight(self) -> list[Finding]:
        """Whether each server answers, and takes our credentials; asked once a second at the most."""
        if time.monotonic() - self._looked_at >= PROBE_AGAIN_S:
            self._found = list(await asyncio.gather(self._look_prometheus(), self._look_alertmanager(), *self._looks()))
            self._looked_at = time.monotonic()
        return self._found

    async def _look_prometheus(self) -> Finding:
        prometheus = Prometheus(self.endpoints.prometheus.url, self.endpoints.prometheus.login)
        try:
            answer = await prometheus.instant("vector(1)")
        finally:
            prometheus.close()
        return _finding("prometheus", self.endpoints.prometheus.url, answer)

    async def _look_alertmanager(self) -> Finding:
        url, login = self.endpoints.alertmanager.url, self.endpoints.alertmanager.login
        async with AlertmanagerClient(url, login=login) as alertmanager:
            return _finding("alertmanager", url, await alertmanager.silences())

    def _looks(self) -> list[Coroutine[Any, Any, Finding]]:
        load = self._environment.load
        return [] if load is None else [_look_load(load, load.models.get(self._a_model, self._a_model))]

    def watchers(self, emit: Callable[[Event], object], stop: StopSignal) -> list[Coroutine[Any, Any, None]]:
        return []

    async def renew_leases(self, faults: Sequence[str]) -> None:
        """Nothing here keeps leases of its own."""

    async def settings(self, what: str) -> Mapping[str, Mapping[str, Any]]:
        raise TargetError(f"{what} are not known of a platform that somebody else runs")

    async def log_xid(self, node: str, gpu: int, xid: int) -> None:
        raise TargetError("XID lines are written in the lab only")

    def logs(self) -> dict[str, Path]:
        return {}

    def prompts(self, stream: Stream, models: Sequence[Model]) -> tuple[Prompt, ...]:
        """A few different ones, of about the stream's length; their right answers are the platform's to tell."""
        words = " ".join(f"item {number}" for number in range(max(1, stream.prompt_tokens // 2)))
        return tuple(
            Prompt(f"List {number + 1} of: {words}", stream.max_tokens) for number in range(GOLDEN_PROMPTS)
        )

    def traffic(self, plan: LoadPlan, warm_up_s: float) -> LoadPlan:
        load = self._environment.load
        return plan if load is None else for_platform(plan, load, warm_up_s)

    async def close(self) -> None:
        """Nothing was changed."""

    async def end(self) -> list[str]:
        return []


def endpoints_of(environment: Environment) -> Endpoints:
    """Where the platform is asked and takes load, and how its alerts come."""
    monitoring = environment.monitoring
    assert monitoring is not None
    slowest = max(environment.clock.evaluation_interval, environment.clock.scrape_interval)
    token = monitoring.webhook_token
    return Endpoints(
        load=(environment.load.url,) if environment.load is not None else (),
        prometheus=_endpoint(monitoring.prometheus),
        alertmanager=_endpoint(monitoring.alertmanager),
        gap_s=EVALUATIONS_MISSED * slowest,
        rename=renaming((name, one.alert, one.labels) for name, one in monitoring.alerts.items()),
        alerts=frozenset(monitoring.alerts),
        polled=monitoring.delivery == "poll",
        listen=split_endpoint(monitoring.listen) if monitoring.listen is not None else None,
        token=read_secret(**token.model_dump()) if token is not None else None,
        fault_secret=_if_there(monitoring.fault_secret),
    )


def _if_there(secret: Secret | None) -> str | None:
    """A secret that only `observe` needs, which asks for it before."""
    try:
        return None if secret is None else read_secret(**secret.model_dump())
    except SecretMissing:
        return None


def _endpoint(connection: Connection) -> Endpoint:
    return Endpoint(connection.url, ServerLogin(connection.model_dump()))


def _finding(name: str, url: str, answer: object) -> Finding:
    if isinstance(answer, NoData):
        return Finding(name, False, f"{url}: {answer.reason}", stays_so(answer.reason))
    return Finding(name, True, f"{url} answers")


async def _look_load(load: LoadConnection, model: str) -> Finding:
    """One request for one token: what takes it takes the drill's."""
    login = ServerLogin(load.model_dump())
    url = f"{load.url.rstrip('/')}/completions"
    try:
        async with httpx.AsyncClient(timeout=PROBE_S, trust_env=False, verify=login.tls() or True) as client:
            body = {"model": model, "prompt": "1", "max_tokens": 1}
            answer = await client.post(url, json=body, headers=login.headers())
    except SecretMissing as error:
        return Finding("load", False, str(error), final=True)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return _finding("load", url, NoData(explained(str(error) or type(error).__name__)))
    if answer.status_code in (401, 403):
        return _finding("load", url, NoData(explained(f"HTTP {answer.status_code}")))
    rules = [rule.model_dump() for rule in load.rejected]
    good = answer.is_success or declared_rejection(rules, answer.status_code, answer.headers.get) is not None
    said = "answers" if good else f"HTTP {answer.status_code}: {answer.text.strip()[:200]}"
    return Finding("load", good, f"{url}: {said}")
