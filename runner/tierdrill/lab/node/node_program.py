"""Program `node`: the agent of one node. It leads the node's process group, so that a power cut takes all of it.

It reports to the controller four times a second, does what the answer wishes for, keeps an eye on its replicas and
emulates the node's GPUs. When the controller cannot be reached it carries on with the last wish.
"""

import asyncio
import contextlib
import logging
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tierdrill.lab.json_api import At, Json, JsonApi
from tierdrill.lab.lab_config import NodeConfig, ReplicaSpec, build
from tierdrill.lab.node.emulated_gpus import GpuBoard
from tierdrill.lab.node.http_client import JsonClient
from tierdrill.lab.node.managed_replica import UnknownReplica
from tierdrill.lab.node.replica_processes import Replicas
from tierdrill.lab.node.weight_cache import FOLDER, QUOTA_BYTES, WeightCache
from tierdrill.lab.serving import address_of, bind, run_program, serve_announced
from tierdrill.process.child import SpawnError

PROGRAM = "node"
WEIGHTS_AT = "/var/lib/models"  # as the disk for weights is called in metrics
HEARTBEAT_TIMEOUT_S = 1.0
HEARTBEAT_GAP_S = 0.02  # changes are reported at once, but not more often than this
OVERRIDES_POLL_S = 0.01  # one stat(); how late a GPU trips is how late a planned fault takes effect
_log = logging.getLogger("tierdrill.node")


@dataclass(frozen=True)
class NodeSettings(NodeConfig):
    """The node's configuration file: the node, and what its agent needs."""

    controller: str
    token: str
    state_dir: str
    stores: Mapping[str, str] = field(default_factory=dict)
    heartbeat_s: float = 0.25
    restart_backoff_s: float = 60.0
    listen: str = "127.0.0.1:0"


class Agent:
    """Everything a node does besides serving its API."""

    def __init__(self, config: NodeSettings, address: str) -> None:
        folder = Path(config.state_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.address = address
        self.boot_id = str(uuid.uuid4())
        self._changed = asyncio.Event()
        weights = WeightCache(folder / FOLDER, config.stores)
        self.gpus = GpuBoard(config.name, list(config.gpus), folder, lambda index: self.replicas.users(index))
        self.replicas = Replicas(
            config.name,
            folder,
            self.gpus.state_file,
            token=config.token,
            restart_backoff_s=config.restart_backoff_s,
            listen=f"{address.rpartition(':')[0]}:0",
            changed=self._changed,
            weights=weights,
        )
        self._controller = JsonClient(config.controller, config.token)
        self.exports = True
        self.frozen: bytes | None = None
        self.clock_frozen: bytes | None = None
        self.clock_skew_s = 0.0
        self._last_ok: float | None = None
        self._failing: str | None = None
        self.registry = CollectorRegistry()
        self.registry.register(self.gpus)
        self.registry.register(AnswersCollector(config.name, self.replicas))
        beats = Counter("tierdrill_node_heartbeats", "Heartbeats sent.", ("node", "outcome"), registry=self.registry)
        self._beats_ok = beats.labels(config.name, "ok")
        self._beats_failed = beats.labels(config.name, "failed")
        boot = Gauge("node_boot_time_seconds", "Unix time of the last boot.", ("node",), registry=self.registry)
        boot.labels(config.name).set(time.time())
        disk = ("node", "mountpoint")
        size = Gauge("node_filesystem_size_bytes", "Size of a disk.", disk, registry=self.registry)
        size.labels(config.name, WEIGHTS_AT).set(QUOTA_BYTES)
        free = Gauge("node_filesystem_avail_bytes", "Room that is left on a disk.", disk, registry=self.registry)
        free.labels(config.name, WEIGHTS_AT).set_function(weights.free_bytes)
        self.clock_registry = CollectorRegistry()
        clock = Gauge("node_time_seconds", "System time in Unix seconds.", ("node",), registry=self.clock_registry)
        clock.labels(config.name).set_function(lambda: time.time() + self.clock_skew_s)

    def boot(self) -> None:
        self.gpus.boot(self.boot_id)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat_forever())
            group.create_task(self._watch_overrides())

    async def shutdown(self) -> None:
        await self.replicas.shutdown()
        self._controller.close()

    def status(self) -> dict[str, Any]:
        return {
            "node": self.config.name,
            "agent": self.address,
            "boot_id": self.boot_id,
            "pid": os.getpid(),
            "last_heartbeat_age_s": None if self._last_ok is None else time.monotonic() - self._last_ok,
            "heartbeat_error": self._failing,
            "overrides_error": self.gpus.error,
            "gpus": self.gpus.status(),
            "replicas": self.replicas.heartbeat(),
        }

    async def stop_exporter(self) -> dict[str, Any]:
        """From now on nobody gets metrics, as if the exporter's process had ended. All else goes on."""
        self.exports = False
        return {"exports": False}

    async def start_exporter(self) -> dict[str, Any]:
        """Give metrics again, and as they are now."""
        self.exports, self.frozen, self.clock_frozen = True, None, None
        return {"exports": True}

    async def freeze_exporter(self, with_clock: bool) -> dict[str, Any]:
        """From now on repeat the metrics of this moment, as an exporter does that has lost its source.

        Where its clock goes on nothing shows that; `with_clock` it stands still as well.
        """
        self.frozen = generate_latest(self.registry)
        self.clock_frozen = generate_latest(self.clock_registry) if with_clock else None
        return {"exports": self.exports}

    async def skew_clock(self, seconds: float) -> dict[str, Any]:
        """From now on tell the time so many seconds ahead; 0: as it is."""
        self.clock_skew_s = seconds
        return {"seconds": seconds}

    def metrics(self) -> bytes:
        """What a scrape is given."""
        said = generate_latest(self.registry) if self.frozen is None else self.frozen
        return said + (generate_latest(self.clock_registry) if self.clock_frozen is None else self.clock_frozen)

    async def _beat_forever(self) -> None:
        while True:
            began = time.monotonic()
            self._changed.clear()
            await self._beat()
            self.replicas.reconcile()
            await asyncio.sleep(HEARTBEAT_GAP_S)
            left_s = began + self.config.heartbeat_s - time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(0.0, left_s))

    async def _beat(self) -> None:
        document = {
            "node": self.config.name,
            "agent": self.address,
            "boot_id": self.boot_id,
            "gpus": self.gpus.heartbeat(),
            "replicas": self.replicas.heartbeat(),
        }
        try:
            status, answer = await self._controller.request(
                "POST", "/v1/heartbeat", document, timeout_s=HEARTBEAT_TIMEOUT_S
            )
            if status != 200:
                raise ValueError(f"status {status}: {answer}")
            desired = [build(ReplicaSpec, each, "replica", only_known=True) for each in answer["desired"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._beats_failed.inc()
            reason = f"{type(error).__name__}: {error}"
            if reason != self._failing:
                _log.warning("heartbeat failed: %s", reason)
            self._failing = reason
            return
        self._beats_ok.inc()
        self._last_ok, self._failing = time.monotonic(), None
        self.replicas.want(desired)

    async def _watch_overrides(self) -> None:
        while True:
            if self.gpus.poll():
                self._changed.set()
            await asyncio.sleep(OVERRIDES_POLL_S)


class AnswersCollector(Collector):
    """Whether each replica answers the golden prompts rightly: 1 or 0, nothing where it is not known; and those whose
    weights cannot be had.
    """

    def __init__(self, node: str, replicas: Replicas) -> None:
        self._node, self._replicas = node, replicas

    def collect(self) -> Iterable[Metric]:
        labels = ("replica", "node", "gpu", "model", "tier", "answers")
        family = GaugeMetricFamily(
            "tierdrill_replica_answers_right", "The golden prompts are answered rightly.", labels=labels
        )
        for spec, right, answers in self._replicas.answers():
            family.add_metric([spec.name, self._node, str(spec.gpu), spec.model, spec.tier, answers], float(right))
        yield family
        labels = ("replica", "node", "model", "tier", "store", "reason")
        family = GaugeMetricFamily(
            "tierdrill_replica_weights_missing", "Weights that a replica should have and cannot get.", labels=labels
        )
        for spec, why in self._replicas.blocked():
            family.add_metric([spec.name, self._node, spec.model, spec.tier, why.store, why.reason], 1.0)
        yield family


def build_app(agent: Agent) -> Starlette:
    """The agent's API. What changes something needs the token."""
    replicas = agent.replicas

    async def metrics(_: Request) -> Response:
        if not agent.exports:
            return Response("the exporter does not run\n", 503)
        return Response(agent.metrics(), media_type="text/plain; version=1.0.0; charset=utf-8")

    async def status(_: Request) -> Response:
        return JSONResponse(agent.status())

    def post(path: str, work: Callable[[str, Json], Awaitable[Json]]) -> Route:
        async def done(at: At, said: Json) -> Json:
            return {"ok": True} | await work(at.get("name", ""), said)

        return JsonApi(agent.config.token, {UnknownReplica: 404, SpawnError: 500}).route("POST", path, done)

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/v1/status", status),
            post("/v1/exporter/start", lambda *_: agent.start_exporter()),
            post("/v1/exporter/stop", lambda *_: agent.stop_exporter()),
            post("/v1/exporter/freeze", lambda _, said: agent.freeze_exporter(said.get("with_clock") is True)),
            post("/v1/clock/skew", lambda _, said: agent.skew_clock(float(said["seconds"]))),
            post("/v1/clock/sync", lambda *_: agent.skew_clock(0.0)),
            post("/v1/weights/prune", lambda *_: replicas.prune_weights()),
            post("/v1/replicas/{name}/flip", replicas.flip_bit),
            post("/v1/replicas/{name}/errors", replicas.change_errors),
            post("/v1/replicas/{name}/mirror", lambda name, _: replicas.load_from_mirror(name)),
            post("/v1/replicas/{name}/restart", lambda name, _: replicas.restart(name)),
            post("/v1/replicas/{name}/stop", lambda name, _: replicas.stop(name)),
        ]
    )


async def run(config: Mapping[str, Any], ready_fd: int | None) -> None:
    """Serve until told to stop, or until the power is cut."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # started by hand: a node is a process group of its own all the same
    settings = build(NodeSettings, config, PROGRAM, only_known=True)
    listener = bind(settings.listen)
    agent = Agent(settings, address_of(listener))
    agent.boot()
    try:
        await serve_announced(build_app(agent), listener, PROGRAM, settings.name, ready_fd, agent.run())
    finally:
        await agent.shutdown()


if __name__ == "__main__":
    run_program(PROGRAM, run)
