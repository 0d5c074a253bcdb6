"""Program `feed`: on a cluster it stands in for the lab's controller, whose place Kubernetes takes.

It watches nodes and the platform's pods, lists endpoints for the gateways and targets for Prometheus, and has the
controller's metrics. It places nothing and changes nothing. Configuration: {"token", "listen", "namespaces", "platform"
(the pods' `app.kubernetes.io/part-of`), "models": [{"name", "tier", "rank", "slots", "replicas"}]}; and for a server
that is not the pod's own {"api": {"url", "token_file", "ca_file"}}.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tierdrill.lab.controller.cluster_metrics import ClusterCollector, Seen
from tierdrill.lab.controller.edges import Bell
from tierdrill.lab.feed import pod_view
from tierdrill.lab.feed.object_watch import ApiServer, ObjectWatch
from tierdrill.lab.json_api import At, Json, JsonApi, waiting
from tierdrill.lab.lab_config import build
from tierdrill.lab.serving import bind, run_program, serve_announced

PROGRAM = "feed"
ASKED_EVERY_S = ASKED_WITHIN_S = 0.5
OF_ITS_GPU = "tierdrill_gpu_tier_rank"
"""What a replica says of the GPU that it has."""


@dataclass(frozen=True)
class FeedSettings:
    """The configuration file."""

    token: str
    namespaces: tuple[str, ...]
    platform: str
    models: tuple[pod_view.Served, ...]
    listen: str = "127.0.0.1:0"
    resource: str = pod_view.GPU
    api: Mapping[str, str] | None = None

    def server(self) -> ApiServer:
        if self.api is None:
            return ApiServer.of_the_pod()
        files = (Path(self.api[name]) if name in self.api else None for name in ("token_file", "ca_file"))
        return ApiServer(self.api["url"], *files)


class Feed:
    """What is watched, and the list of endpoints that follows from it."""

    def __init__(self, settings: FeedSettings) -> None:
        self.settings = settings
        server, mine = settings.server(), f"{pod_view.PLATFORM}={settings.platform}"
        self._nodes = ObjectWatch(server, "/api/v1/nodes", "", self._changed)
        self._pods = [
            ObjectWatch(server, f"/api/v1/namespaces/{name}/pods", mine, self._changed) for name in settings.namespaces
        ]
        self.version = 1
        self.endpoints: list[dict[str, Any]] = []
        self.published = Bell()
        self._answering: set[str] = set()
        self._gpus: dict[str, int | None] = {}
        self.registry = CollectorRegistry()
        self.registry.register(ClusterCollector(self))

    @property
    def watches(self) -> list[ObjectWatch]:
        return [self._nodes, *self._pods]

    @property
    def complete(self) -> bool:
        """Whether every list has come once: before that, what is left out means nothing."""
        return all(watch.listed for watch in self.watches)

    def pods(self) -> Iterable[pod_view.Object]:
        return [pod for watch in self._pods for pod in watch.objects.values()]

    def seen(self) -> Seen:
        if not self.complete:
            return Seen((), (), {})
        nodes, settings = self._nodes.objects.values(), self.settings
        return pod_view.seen(nodes, self.pods(), settings.models, settings.resource, self._answering)

    async def ask_doubtful(self) -> None:
        """Ask each replica that lost its readiness whether it hangs: a pod's status does not tell that from one that
        answers that it is not ready.
        """
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASKED_WITHIN_S)) as session:
            while True:
                doubtful = {one.name for one in self.seen().replicas if one.state == pod_view.UNRESPONSIVE}
                doubtful |= self._answering
                pods = [pod for pod in self.pods() if pod["metadata"]["name"] in doubtful]
                answers = await asyncio.gather(*(_answers(session, pod) for pod in pods))
                self._answering = {pod["metadata"]["name"] for pod, yes in zip(pods, answers, strict=True) if yes}
                await asyncio.sleep(ASKED_EVERY_S)

    async def ask_gpus(self) -> None:
        """Ask each replica once which GPU it has: the API server knows how many, and not which."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASKED_WITHIN_S)) as session:
            while True:
                pods = {str(pod["metadata"]["name"]): pod for pod in self.pods() if pod_view.is_replica(pod)}
                self._gpus = {name: gpu for name, gpu in self._gpus.items() if name in pods}
                new = [name for name in pods if name not in self._gpus]
                answers = await asyncio.gather(*(_metrics(session, pods[name]) for name in new))
                told = {name: text for name, text in zip(new, answers, strict=True) if text is not None}
                self._gpus |= {name: _gpu_in(text) for name, text in told.items()}
                if told:
                    self._changed()
                await asyncio.sleep(ASKED_EVERY_S)

    def _changed(self) -> None:
        if not self.complete:
            return
        now = pod_view.endpoints(self._nodes.objects.values(), self.pods(), self.settings.models, self._gpus)
        if now != self.endpoints:
            self.endpoints = now
            self.version += 1
            self.published.ring()


async def _metrics(session: aiohttp.ClientSession, pod: pod_view.Object) -> str | None:
    """None where it does not answer (yet)."""
    if (address := pod_view.address_of(pod)) is None:
        return None
    try:
        async with session.get(f"http://{address}/metrics") as answer:
            return await answer.text() if answer.status == HTTPStatus.OK else None
    except (TimeoutError, aiohttp.ClientError, OSError):
        return None


def _gpu_in(metrics: str) -> int | None:
    try:
        families = list(text_string_to_metric_families(metrics))
    except ValueError:
        return None
    told = (sample.labels["gpu"] for family in families if family.name == OF_ITS_GPU for sample in family.samples)
    return next((int(gpu) for gpu in told if gpu.isdecimal()), None)


async def _answers(session: aiohttp.ClientSession, pod: pod_view.Object) -> bool:
    if (address := pod_view.address_of(pod)) is None:
        return False
    try:
        async with session.get(f"http://{address}/v2/health/live") as answer:
            await answer.read()
    except (TimeoutError, aiohttp.ClientError, OSError):
        return False
    return pod_view.condition(pod, "Ready") != "True"


def build_app(feed: Feed) -> Starlette:
    async def list_endpoints(at: At, _: Json) -> Json:
        since, wait_s = waiting(at)
        deadline = time.monotonic() + wait_s
        while (not feed.complete or feed.version == since) and (left_s := deadline - time.monotonic()) > 0:
            await feed.published.wait(left_s)
        if not feed.complete:
            raise ValueError("the API server has not been heard yet")
        return {"version": feed.version, "endpoints": feed.endpoints}

    async def targets(request: Request) -> Response:
        return JSONResponse(pod_view.targets(feed.pods(), request.path_params["part"]))

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(feed.registry), media_type="text/plain; version=1.0.0; charset=utf-8")

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok" if feed.complete else "listing"}, 200 if feed.complete else 503)

    return Starlette(
        routes=[
            JsonApi(feed.settings.token).route("GET", "/v1/endpoints", list_endpoints),
            Route("/targets/{part}", targets),
            Route("/metrics", metrics),
            Route("/healthz", health),
        ]
    )


async def run(config: Mapping[str, Any], ready_fd: int | None) -> None:
    settings = build(FeedSettings, config, PROGRAM, only_known=True)
    feed = Feed(settings)
    working = [feed.ask_doubtful(), feed.ask_gpus(), *(watch.run() for watch in feed.watches)]
    await serve_announced(build_app(feed), bind(settings.listen), PROGRAM, PROGRAM, ready_fd, *working)


if __name__ == "__main__":
    run_program(PROGRAM, run)
