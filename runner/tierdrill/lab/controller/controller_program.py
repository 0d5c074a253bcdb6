"""Program `controller`: hears the nodes, places replicas, lists endpoints for the gateways, carries out remedies.

Configuration: {"token", "replicas", "nodes", "tiers", "node_grace_s", "eviction_after_s", "spare_slots_for_rank1",
"autoscale", "sources" (the names that reach replicas: gateways, prometheus), "revisions", "fabric"}. The fabric is
{"address", "token"}, or "direct" for a lab without one, or null: then it is told later (PUT /v1/fabric), so that both
can start at once.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tierdrill.lab.controller.autoscaler import autoscaler_of
from tierdrill.lab.controller.cluster_metrics import ClusterCollector
from tierdrill.lab.controller.cluster_model import UnknownName, parse_config
from tierdrill.lab.controller.cluster_view import CoreSeen, state
from tierdrill.lab.controller.desired_state import Core
from tierdrill.lab.controller.edges import Bell, EdgeKeeper
from tierdrill.lab.controller.remedy_actions import REMEDIES, AgentCall, Refused, check_arguments, taint_gpu
from tierdrill.lab.gateway.quarantine import Quarantine
from tierdrill.lab.json_api import At, Json, JsonApi, waiting
from tierdrill.lab.node.http_client import JsonClient
from tierdrill.lab.serving import bind, run_program, serve_announced

PROGRAM = "controller"
TICK_S = 0.1
AGENT_TIMEOUT_S = 8.0
_log = logging.getLogger("tierdrill.controller")


class Controller:
    """The Core with a clock and connections."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._token = str(config["token"])
        fabric = config.get("fabric")
        known = (fabric["address"], fabric["token"]) if isinstance(fabric, Mapping) else None
        self.core = Core(parse_config(config), time.monotonic())
        self.autoscaler = autoscaler_of(self.core.config, config.get("tiers", ()))
        self.sources = tuple(config.get("sources") or ())
        self.edges = EdgeKeeper(self.core, self.sources, known, direct=fabric == "direct")
        self.suspects = Quarantine(time.time)
        self.changed = Bell()
        self._told = self.core.version
        self.registry = CollectorRegistry()
        self.registry.register(ClusterCollector(CoreSeen(self.core)))

    def tell(self) -> None:
        """Wake who waits, if there is anything new."""
        if self.core.version != self._told:
            self._told = self.core.version
            self.edges.refresh()
            self.changed.ring()

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.core.tick(time.monotonic())
            self.scale(time.monotonic())
            self.tell()

    def scale(self, now: float) -> None:
        """Give models the replicas that the autoscaler asks for."""
        for model in self.autoscaler.models:
            mine = [held for held in self.core.held.values() if held.config.model == model]
            there = sum(held.retiring_until is None for held in mine)
            at_least = sum(each.model == model for each in self.core.config.replicas)
            if (count := self.autoscaler.wanted(model, there, at_least, now)) != there:
                self.core.scale(model, count, now)

    async def remedy(self, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Carry out a remedy; it is noted whatever comes of it."""
        try:
            check_arguments(verb, arguments)
            found = REMEDIES[verb](self.core, arguments, time.monotonic())
            answer = await self._ask_agent(found) if isinstance(found, AgentCall) else found
        except Refused as refusal:
            self.core.event("remedy", verb=verb, arguments=arguments, ok=False, reason=str(refusal))
            self.tell()
            raise
        self.core.event("remedy", verb=verb, arguments=arguments, **answer)
        self.tell()
        return answer

    async def _ask_agent(self, call: AgentCall) -> dict[str, Any]:
        address = self.edges.address(f"controller>{call.node}")
        if address is None:
            raise Refused(f"the agent of {call.node} cannot be reached")
        client = JsonClient(address, self._token)
        try:
            status, said = await client.request("POST", call.path, {}, timeout_s=AGENT_TIMEOUT_S)
        except OSError as error:
            raise Refused(f"the agent of {call.node} did not answer: {type(error).__name__} {error}") from error
        finally:
            client.close()
        if status != 200:
            raise Refused(f"the agent of {call.node} refused: {said}")
        return {"ok": True, "moved": [], "preempted": [], "unplaced": []}


def build_app(controller: Controller, token: str) -> Starlette:
    core, edges = controller.core, controller.edges

    def heartbeat(_: At, said: Json) -> Json:
        desired = core.heartbeat(said, time.monotonic())
        controller.tell()
        return {"desired": desired}

    def hear_load(_: At, said: Json) -> Json:
        controller.autoscaler.hear(str(said["gateway"]), said["models"], time.monotonic())
        return {"ok": True}

    def hear_suspects(_: At, said: Json) -> Json:
        controller.suspects.hear({prompt: dict(replicas) for prompt, replicas in said.items()})
        edges.publish_anew()
        return {"ok": True}

    async def list_endpoints(at: At, _: Json) -> Json:
        source, everything = at["gateway"], at.get("all") == "1"
        if source not in controller.sources:
            raise UnknownName(f"got gateway {source!r}, expected one of: {', '.join(controller.sources)}")
        since, wait_s = waiting(at)
        deadline = time.monotonic() + wait_s
        version, listed = edges.listing(source, everything=everything)
        while version == since and (left_s := deadline - time.monotonic()) > 0:
            await edges.published.wait(left_s)
            version, listed = edges.listing(source, everything=everything)
        return {"version": version, "endpoints": listed, "suspects": controller.suspects.suspects()}

    async def show_state(at: At, _: Json) -> Json:
        since, wait_s = waiting(at)
        deadline = time.monotonic() + wait_s
        while core.version == since and (left_s := deadline - time.monotonic()) > 0:
            await controller.changed.wait(left_s)
        return state(core, time.monotonic())

    def put_fabric(_: At, said: Json) -> Json:
        edges.use_fabric(str(said["address"]), str(said["token"]))
        return {"ok": True}

    def put_revision(at: At, said: Json) -> Json:
        core.roll_out(at["model"], str(said["revision"]))
        controller.tell()
        return {"ok": True, "revision": core.revisions[at["model"]]}

    def put_taint(at: At, said: Json) -> Json:
        done = taint_gpu(core, at["node"], at["gpu"], said["effect"], time.monotonic())
        controller.tell()
        return done

    def put_golden(_: At, said: Json) -> Json:
        of = (str(said["tier"]), str(said["model"]))
        core.golden |= {(str(gateway), *of): right for gateway, right in said["right"].items()}
        return {"ok": True}

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(controller.registry), media_type="text/plain; version=1.0.0; charset=utf-8")

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    route = JsonApi(token, {UnknownName: 404, Refused: 409}).route
    return Starlette(
        routes=[
            route("POST", "/v1/heartbeat", heartbeat),
            route("POST", "/v1/load", hear_load),
            route("POST", "/v1/suspects", hear_suspects),
            route("GET", "/v1/endpoints", list_endpoints),
            route("GET", "/v1/state", show_state),
            route("POST", "/v1/remedies/{verb}", lambda at, said: controller.remedy(at["verb"], said)),
            route("PUT", "/v1/fabric", put_fabric),
            route("PUT", "/v1/models/{model}/revision", put_revision),
            route("PUT", "/v1/gpus/{node}/{gpu:int}/taint", put_taint),
            route("PUT", "/v1/golden", put_golden),
            Route("/metrics", metrics),
            Route("/healthz", health),
        ]
    )


async def run(config: Mapping[str, Any], ready_fd: int | None) -> None:
    controller = Controller(config)
    listener = bind(config.get("listen") or "127.0.0.1:0")
    app, name = build_app(controller, config["token"]), config.get("name", PROGRAM)
    work = (controller.tick(), controller.edges.run())
    await serve_announced(app, listener, PROGRAM, name, ready_fd, *work, elsewhere=bool(config.get("elsewhere")))


if __name__ == "__main__":
    run_program(PROGRAM, run)
