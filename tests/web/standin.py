"""A dashboard on a home in a temporary folder, and a Prometheus that says what it is told."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.cli.support import COMMAND, FOLDERS, ROOT
from tierdrill.cli.commands.ops import tools
from tierdrill.cli.drill_documents import read
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.problems import Problem
from tierdrill.monitoring.loopback import Loopback
from tierdrill.web.access_tokens import Token, TokenStore
from tierdrill.web.dashboard_app import application
from tierdrill.web.dashboard_state import Options

BASE = "http://localhost"
T = TypeVar("T")

Answers = Mapping[str, list[tuple[dict[str, str], float]]]
"""Series by the beginning of the expression that asks for them."""


def well(tier: str, rate: float = 10.0, p99: float = 0.2) -> dict[str, list[tuple[dict[str, str], float]]]:
    """A tier that keeps its promises."""
    of = {"tier": tier}
    return {
        "sum by (tier, outcome)": [({**of, "outcome": "ok"}, rate), ({**of, "outcome": "error"}, 0.0)],
        "histogram_quantile": [(of, p99)],
        "sum by (tier) (tierdrill_queue_depth)": [(of, 0.0)],
        "sum by (tier) (tierdrill_inflight)": [(of, 4.0)],
        "sum by (tier, state)": [({**of, "state": "ready"}, 16.0), ({**of, "state": "desired"}, 16.0)],
        "max by (tier) (tierdrill_shed_fraction)": [(of, 0.0)],
        '{__name__=~"slo:': [({**of, "__name__": f"slo:sli_error:ratio_rate{window}"}, 0.0) for window in WINDOWS],
    }


WINDOWS = ("3s", "6s", "12s", "24s", "72s", "288s", "864s")


def together(*some: Answers) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The series of several tiers."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for each in some:
        for asked, series in each.items():
            found.setdefault(asked, []).extend(series)
    return found


class StandInPrometheus:
    """Answers instant queries. `answers` may be changed at any time; None lets it fail."""

    def __init__(self, answers: Answers | None) -> None:
        self.answers = answers
        self.asked = 0
        self.server = Loopback(Starlette(routes=[Route("/api/v1/query", self._query)]))

    async def _query(self, request: Request) -> Response:
        self.asked += 1
        if self.answers is None:
            return Response("broken", 500)
        expression = request.query_params["query"]
        series = next((found for asked, found in self.answers.items() if expression.startswith(asked)), [])
        result = [{"metric": labels, "value": [0, str(value)]} for labels, value in series]
        return JSONResponse({"status": "success", "data": {"resultType": "vector", "result": result}})


def catalogue_with(folder: Path, prometheus: str | None = None) -> Path:
    """A copy of the shipped documents whose environment `lab` names a Prometheus."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    if prometheus is not None:
        path = folder / "drills" / "platform" / "lab.yaml"
        path.write_text(f"{path.read_text()}\ngates:\n  prometheus: {prometheus}\n")
    return folder


def options(home: Path, catalogue: Path = ROOT, **more: Any) -> Options:
    home.mkdir(exist_ok=True, mode=0o700)
    command = (*COMMAND, "--home", str(home), "--catalogue", str(catalogue))
    return Options(home, catalogue, _shipped if catalogue == ROOT else read, command, tools, **more)


@cache
def _shipped(root: Path) -> tuple[Catalogue, list[Problem]]:
    """The shipped documents, read once for all tests."""
    return read(root)


class Browser:
    """A browser with its cookies; requests are answered in this process. It follows no redirect."""

    def __init__(self, options: Options, app: Starlette | None = None) -> None:
        self.options = options
        self.app = app or application(options)
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._open())

    async def _open(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=BASE, headers={"accept": "text/html"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.aclose())
        for dashboard in self.app.state.dashboards:
            self._runner.run(dashboard.close())
        self._runner.close()

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Something else in the loop that answers."""
        return self._runner.run(work)

    async def ask(self, path: str, **more: Any) -> httpx.Response:
        return await self._client.get(path, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self._runner.run(self.ask(path, **more))

    def post(self, path: str, form: Mapping[str, str], **more: Any) -> httpx.Response:
        """Send a form as it is."""
        return self._runner.run(self._client.post(path, data=dict(form), **more))

    def submit(self, path: str, page: str = "/now", /, **fields: str) -> httpx.Response:
        """Send a form of that page."""
        return self.post(path, {"csrf": csrf_of(self.get(page).text), **fields})

    def sign_in(self, role: str, person: str = "ada", lasts_s: float = 3600.0) -> Token:
        """Sign in with a new token."""
        token, text = TokenStore(self.options.home).make(person, role, lasts_s)
        answer = self.submit("/login", "/login", token=text)
        assert answer.status_code == 303, answer.text
        return token


def csrf_of(page: str) -> str:
    return page.split('name="csrf" value="', 1)[1].split('"', 1)[0]
