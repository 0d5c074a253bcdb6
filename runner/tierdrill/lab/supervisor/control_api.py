"""The lab's control API: HTTP in front of the operations. Every call carries the lab's token."""

from __future__ import annotations

import functools
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tierdrill.lab.json_bodies import json_object
from tierdrill.lab.supervisor.kernel_log_noise import Burst
from tierdrill.lab.supervisor.lab_leases import Leases, Undo
from tierdrill.lab.supervisor.lab_lifecycle import CONTROLLER, FABRIC, Lab
from tierdrill.lab.supervisor.node_stalls import Stalls
from tierdrill.lab.supervisor.operations import Operations, Refused
from tierdrill.lab.supervisor.processes import UnknownProcess
from tierdrill.lab.supervisor.program_calls import CallFailed, call_program

WAIT_MAX_S = 30.0
UNDO_TIMEOUT_S = 20.0
_SLACK_S = 3.0
GATEWAY_SETTINGS = ("flags", "weights", "shed", "caps", "picker")

Handler = Callable[[Request], Awaitable[Response]]
Json = dict[str, Any]


def build_app(lab: Lab, operations: Operations, stop: Callable[[], None]) -> Starlette:
    """The routes."""
    expected = f"Bearer {lab.state.token}".encode()

    def guarded(handler: Callable[[Request], Awaitable[Json]]) -> Handler:
        @functools.wraps(handler)
        async def checked(request: Request) -> Response:
            if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
                return _refusal(401, "a valid token is needed")
            try:
                return JSONResponse(await handler(request))
            except (Refused, CallFailed) as error:
                return _refusal(error.status, str(error))
            except UnknownProcess as error:
                return _refusal(404, str(error))
            except (ValueError, KeyError, TypeError) as error:
                return _refusal(400, f"{type(error).__name__}: {error}")

        return checked

    async def status(_: Request) -> Json:
        shown = asdict(lab.state)
        addresses = {key: shown[key] for key in ("address", "controller", "fabric", "prometheus", "alertmanager")}
        return {
            "id": lab.state.id,
            "name": lab.state.name,
            "folder": lab.state.folder,
            "created_at": lab.state.created_at,
            "ready": lab.state.ready,
            "ready_in_s": lab.ready_in_s,
            "addresses": {**addresses, "gateways": shown["gateways"]},
            "power": operations.powered(),
            "skipped": shown["skipped"],
            "supervisor": {**shown["supervisor"], **shown["supervisor"]["process"]},
            "processes": lab.processes.status(),
        }

    async def events(request: Request) -> Json:
        since, wait_s = int(request.query_params.get("since", "0")), _wait(request)
        return {"events": await lab.events.wait(since, wait_s)}

    async def state(request: Request) -> Json:
        since, wait_s = request.query_params.get("since"), _wait(request)
        query = "" if since is None else f"?since={int(since)}&wait={wait_s:g}"
        return await lab.call(CONTROLLER, "GET", f"/v1/state{query}", timeout_s=wait_s + _SLACK_S)

    async def agent(request: Request) -> Json:
        node = request.path_params["node"]
        known = [each.name for each in lab.config.nodes]
        if node not in known:
            raise Refused(f"found node {node!r}; known are {', '.join(known)}", 404)
        if not lab.processes.alive(node):
            raise Refused(f"the agent of {node} does not run")
        return await lab.call(node, "GET", "/v1/status")

    async def power(request: Request) -> Json:
        return await operations.power(request.path_params["node"], str((await json_object(request))["state"]))

    async def signal_replica(request: Request) -> Json:
        return await operations.signal_replica(request.path_params["name"], str((await json_object(request))["signal"]))

    async def start_replica(request: Request) -> Json:
        return await operations.start_replica(request.path_params["name"])

    async def flip_bit(request: Request) -> Json:
        said = await json_object(request)
        return await operations.flip_bit(
            request.path_params["name"], int(said["index"]), int(said["bit"]), bool(said["flipped"])
        )

    async def change_errors(request: Request) -> Json:
        said = await json_object(request)
        return await operations.change_errors(request.path_params["name"], int(said["percent"]))

    async def signal_process(request: Request) -> Json:
        return operations.signal_process(request.path_params["name"], str((await json_object(request))["signal"]))

    async def start_process(request: Request) -> Json:
        return await operations.start_process(request.path_params["name"])

    async def restart_process(request: Request) -> Json:
        return await operations.restart_process(request.path_params["name"])

    async def set_gpu(request: Request) -> Json:
        node, index = request.path_params["node"], request.path_params["index"]
        write = operations.change_gpu if request.method == "PATCH" else operations.set_gpu
        return await write(node, index, await json_object(request))

    async def kernel_noise(request: Request) -> Json:
        node = request.path_params["node"]
        if request.method == "DELETE":
            return operations.kernel_noise(node, None)
        said = await json_object(request)
        return operations.kernel_noise(node, Burst(said["xid"], said["count"], said["per_second"]))

    async def stall(request: Request) -> Json:
        node = request.path_params["node"]
        if request.method == "DELETE":
            return operations.stall(node, None)
        said = await json_object(request)
        return operations.stall(node, Stalls(said["stopped_ms"], said["runs_ms"]))

    async def exporter(request: Request) -> Json:
        said = await json_object(request)
        return await operations.set_exporter(
            request.path_params["node"], bool(said["up"]), frozen=bool(said.get("frozen", False))
        )

    async def links(request: Request) -> Json:
        if request.method == "PUT":
            return await operations.set_link(await json_object(request))
        return await lab.call(FABRIC, "GET", "/links")

    async def edges(_: Request) -> Json:
        return await lab.call(FABRIC, "GET", "/edges")

    async def fabric(_: Request) -> Json:
        return {**await lab.call(FABRIC, "GET", "/stats"), **await lab.call(FABRIC, "GET", "/hosts")}

    def settings(what: str) -> Handler:
        async def handle(request: Request) -> Json:
            gateway = request.query_params.get("gateway")
            if request.method == "GET":
                return await operations.from_gateways(what, gateway)
            return await operations.to_gateways(what, await json_object(request), gateway)

        return guarded(handle)

    async def remedy(request: Request) -> Json:
        return await operations.remedy(request.path_params["verb"], await json_object(request))

    async def webhook(request: Request) -> Json:
        said = await json_object(request)
        mark = str(said["mark"]) if said.get("mark") else None
        return await operations.set_webhook(str(said["url"]), str(said.get("token") or "none"), mark)

    async def ask_here(undo: Undo) -> object:
        return await call_program(
            lab.state.address, lab.state.token, "the lab", undo.method, undo.path, dict(undo.body or {}), UNDO_TIMEOUT_S
        )

    leases = Leases(ask_here, lab.events)

    async def lease(request: Request) -> Json:
        name = request.path_params["name"]
        if request.method == "DELETE":
            return {"ok": True, "released": leases.release(name)}
        leases.put(name, await json_object(request))
        return {"ok": True}

    async def all_leases(request: Request) -> Json:
        if request.method == "GET":
            return {"leases": leases.show()}
        names = [str(name) for name in (await json_object(request))["renew"]]
        renewed = leases.renew(names)
        if renewed:
            await lab.call(FABRIC, "POST", "/links/renew", {"names": renewed})
        return {"ok": True, "renewed": renewed}

    async def down(_: Request) -> Json:
        lab.events.add("down")
        stop()
        return {"ok": True}

    return Starlette(
        routes=[
            Route("/v1/status", guarded(status)),
            Route("/v1/events", guarded(events)),
            Route("/v1/state", guarded(state)),
            Route("/v1/nodes/{node}/agent", guarded(agent)),
            Route("/v1/nodes/{node}/exporter", guarded(exporter), methods=["PUT"]),
            Route("/v1/nodes/{node}/stall", guarded(stall), methods=["PUT", "DELETE"]),
            Route("/v1/nodes/{node}/kernel-noise", guarded(kernel_noise), methods=["PUT", "DELETE"]),
            Route("/v1/nodes/{node}/power", guarded(power), methods=["POST"]),
            Route("/v1/replicas/{name}/signal", guarded(signal_replica), methods=["POST"]),
            Route("/v1/replicas/{name}/start", guarded(start_replica), methods=["POST"]),
            Route("/v1/replicas/{name}/flip", guarded(flip_bit), methods=["POST"]),
            Route("/v1/replicas/{name}/errors", guarded(change_errors), methods=["POST"]),
            Route("/v1/signals/{name}", guarded(signal_process), methods=["PUT"]),
            Route("/v1/processes/{name}/restart", guarded(restart_process), methods=["POST"]),
            Route("/v1/processes/{name}/start", guarded(start_process), methods=["POST"]),
            Route("/v1/gpus/{node}/{index:int}", guarded(set_gpu), methods=["POST", "PATCH"]),
            Route("/v1/links", guarded(links), methods=["GET", "PUT"]),
            Route("/v1/edges", guarded(edges)),
            Route("/v1/fabric", guarded(fabric)),
            *(Route(f"/v1/{what}", settings(what), methods=["GET", "PUT"]) for what in GATEWAY_SETTINGS),
            Route("/v1/remedies/{verb}", guarded(remedy), methods=["POST"]),
            Route("/v1/leases", guarded(all_leases), methods=["GET", "POST"]),
            Route("/v1/leases/{name:path}", guarded(lease), methods=["PUT", "DELETE"]),
            Route("/v1/webhook", guarded(webhook), methods=["PUT"]),
            Route("/v1/down", guarded(down), methods=["POST"]),
        ]
    )


def _wait(request: Request) -> float:
    return min(WAIT_MAX_S, max(0.0, float(request.query_params.get("wait", "0"))))


def _refusal(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"ok": False, "reason": reason}, status)
