"""Program `controller`: hears the nodes, places replicas, lists endpoints for the gateways, carries out remedies.

Configuration: {"token", "replicas", "nodes", "tiers", "node_grace_s", "eviction_after_s", "spare_slots_for_rank1",
"sources" (the names that reach replicas: gateways, prometheus), "fabric"}. The fabric is {"address", "token"}, or
"direct" for a lab without one, or null: then it is told later (PUT /v1/fabric), so that both can start at once.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tierdrill.lab.controller.cluster_model import UnknownName, parse_config
from tierdrill.lab.controller.cluster_view import ControllerCollector, state
from tierdrill.lab.controller.desired_state import Core
from tierdrill.lab.controller.edges import Bell, EdgeKeeper
from tierdrill.lab.controller.remedy_actions import REMEDIES, AgentCall, BadArguments, Refused, check_arguments
from tierdrill.lab.json_bodies import json_object
from tierdrill.lab.node.http_client import JsonClient
from tierdrill.lab.serving import address_of, bind, configure_logging, serve
from tierdrill.process.spawn import announce_ready, program_arguments

PROGRAM = "controller"
TICK_S = 0.1
WAIT_MAX_S = 30.0
AGENT_TIMEOUT_S = 8.0
_log = logging.getLogger("tierdrill.controller")


class Controller:
    """The Core with a clock and connections."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._token = str(config["token"])
        fabric = config.get("fabric")
        known = (fabric["address"], fabric["token"]) if isinstance(fabric, Mapping) else None
        self.core = Core(parse_config(config), time.monotonic())
        self.sources = tuple(config.get("sources") or ())
        self.edges = EdgeKeeper(self.core, self.sources, known, direct=fabric == "direct")
        self.changed = Bell()
        self._told = self.core.version
        self.registry = CollectorRegistry()
        self.registry.register(ControllerCollector(self.core))

    def tell(self) -> None:
        """Wake who waits, if there is anything new."""
        if self.core.version != self._told:
            self._told = self.core.version
            self.edges.refresh()
            self.changed.ring()

    async def tick(self) -> None:
        """Let time pass."""
        while True:
            await asyncio.sleep(TICK_S)
            self.core.tick(time.monotonic())
            self.tell()

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

    def authorized(self, request: Request) -> bool:
        """Whether the request carries the token."""
        given = request.headers.get("authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {self._token}".encode())


Handler = Callable[[Request], Awaitable[Response]]


def build_app(controller: Controller) -> Starlette:
    """The controller's API."""
    core, edges = controller.core, controller.edges

    def guarded(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def checked(request: Request) -> Response:
            if not controller.authorized(request):
                return _refusal(401, "a valid token is needed")
            try:
                return await handler(request)
            except UnknownName as error:
                return _refusal(404, str(error))
            except Refused as error:
                return _refusal(409, str(error))
            except (BadArguments, ValueError, KeyError, TypeError) as error:
                return _refusal(400, f"{type(error).__name__}: {error}")

        return checked

    async def heartbeat(request: Request) -> Response:
        desired = core.heartbeat(await json_object(request), time.monotonic())
        controller.tell()
        return JSONResponse({"desired": desired})

    async def list_endpoints(request: Request) -> Response:
        source, everything = request.query_params["gateway"], request.query_params.get("all") == "1"
        if source not in controller.sources:
            raise UnknownName(f"found gateway {source!r}; known are {', '.join(controller.sources)}")
        since, deadline = _waiting(request)
        version, listed = edges.listing(source, everything=everything)
        while version == since and (left_s := deadline - time.monotonic()) > 0:
            await edges.published.wait(left_s)
            version, listed = edges.listing(source, everything=everything)
        return JSONResponse({"version": version, "endpoints": listed})

    async def show_state(request: Request) -> Response:
        since, deadline = _waiting(request)
        while core.version == since and (left_s := deadline - time.monotonic()) > 0:
            await controller.changed.wait(left_s)
        return JSONResponse(state(core, time.monotonic()))

    async def remedy(request: Request) -> Response:
        return JSONResponse(await controller.remedy(request.path_params["verb"], await json_object(request)))

    async def put_fabric(request: Request) -> Response:
        said = await json_object(request)
        edges.use_fabric(str(said["address"]), str(said["token"]))
        return JSONResponse({"ok": True})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(controller.registry), media_type="text/plain; version=1.0.0; charset=utf-8")

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/heartbeat", guarded(heartbeat), methods=["POST"]),
            Route("/v1/endpoints", guarded(list_endpoints)),
            Route("/v1/state", guarded(show_state)),
            Route("/v1/remedies/{verb}", guarded(remedy), methods=["POST"]),
            Route("/v1/fabric", guarded(put_fabric), methods=["PUT"]),
            Route("/metrics", metrics),
            Route("/healthz", health),
        ]
    )


def _waiting(request: Request) -> tuple[int | None, float]:
    since = request.query_params.get("since")
    wait_s = min(WAIT_MAX_S, max(0.0, float(request.query_params.get("wait", "0"))))
    return None if since is None else int(since), time.monotonic() + wait_s


def _refusal(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"ok": False, "reason": reason}, status)


async def run(config: Mapping[str, Any], ready_fd: int | None) -> None:
    """Serve until told to stop."""
    controller = Controller(config)
    listener = bind(config.get("listen") or "127.0.0.1:0")
    name, address = config.get("name", PROGRAM), address_of(listener)
    ready = functools.partial(announce_ready, ready_fd, PROGRAM, name, address)
    working = [asyncio.create_task(controller.tick()), asyncio.create_task(controller.edges.run())]
    serving = asyncio.create_task(serve(build_app(controller), listener, on_ready=ready))
    try:
        done, _ = await asyncio.wait((*working, serving), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a controller that stopped thinking must not look alive
    finally:
        for task in (*working, serving):
            task.cancel()
        await asyncio.gather(*working, serving, return_exceptions=True)


def main() -> None:
    """Entry point of `python -m tierdrill.lab.controller.controller_program`."""
    configure_logging()
    arguments = program_arguments(PROGRAM)
    asyncio.run(run(arguments.config, arguments.ready_fd))


if __name__ == "__main__":
    main()
