"""The lab's control API: HTTP in front of the operations. Every call carries the lab's token."""

from collections.abc import Callable
from dataclasses import asdict
from urllib.parse import quote

from starlette.applications import Starlette

from tierdrill.lab.json_api import At, Json, JsonApi, waiting
from tierdrill.lab.node.weight_cache import FOLDER, fill
from tierdrill.lab.supervisor.kernel_log_noise import Burst
from tierdrill.lab.supervisor.lab_leases import Leases, Undo
from tierdrill.lab.supervisor.lab_lifecycle import CONTROLLER, FABRIC, Lab
from tierdrill.lab.supervisor.node_stalls import Stalls
from tierdrill.lab.supervisor.operations import Operations, Refused
from tierdrill.lab.supervisor.processes import UnknownProcess
from tierdrill.lab.supervisor.program_calls import CallFailed, call_program

UNDO_TIMEOUT_S = 20.0
_SLACK_S = 3.0


def build_app(lab: Lab, operations: Operations, stop: Callable[[], None]) -> Starlette:
    def status(*_: object) -> Json:
        shown = asdict(lab.state)
        addresses = ("address", "controller", "fabric", "prometheus", "alertmanager", "gateways")
        return {
            **{key: shown[key] for key in ("id", "name", "folder", "created_at", "ready", "skipped")},
            "ready_in_s": lab.ready_in_s,
            "addresses": {key: shown[key] for key in addresses},
            "power": operations.powered(),
            "supervisor": {**shown["supervisor"], **shown["supervisor"]["process"]},
            "processes": lab.processes.status(),
        }

    async def events(at: At, _: Json) -> Json:
        since, wait_s = waiting(at)
        return {"events": await lab.events.wait(since or 0, wait_s)}

    async def state(at: At, _: Json) -> Json:
        since, wait_s = waiting(at)
        query = "" if since is None else f"?since={since}&wait={wait_s:g}"
        return await lab.as_reached(await lab.call(CONTROLLER, "GET", f"/v1/state{query}", timeout_s=wait_s + _SLACK_S))

    async def ask_here(undo: Undo) -> object:
        return await call_program(
            lab.state.address, lab.state.token, "the lab", undo.method, undo.path, dict(undo.body or {}), UNDO_TIMEOUT_S
        )

    leases = Leases(ask_here, lab.events)

    def put_lease(at: At, said: Json) -> Json:
        leases.put(at["name"], said)
        return {"ok": True}

    async def renew_leases(_: At, said: Json) -> Json:
        renewed = leases.renew([str(name) for name in said["renew"]])
        if renewed:
            await lab.call(FABRIC, "POST", "/links/renew", {"names": renewed})
        return {"ok": True, "renewed": renewed}

    async def roll_out(at: At, said: Json) -> Json:
        return await lab.call(CONTROLLER, "PUT", f"/v1/models/{quote(at['model'], safe='')}/revision", said)

    async def taint(at: At, said: Json) -> Json:
        return await lab.call(CONTROLLER, "PUT", f"/v1/gpus/{quote(at['node'], safe='')}/{at['index']}/taint", said)

    def fill_disk(at: At, said: Json) -> Json:
        operations.known_node(at["node"])
        fill(lab.node_folder(at["node"]) / FOLDER, said["free_percent"])
        return {"ok": True}

    def down(*_: object) -> Json:
        lab.events.add("down")
        stop()
        return {"ok": True}

    does = operations
    route = JsonApi(lab.state.token, {Refused: 409, CallFailed: 502, UnknownProcess: 404}).route
    return Starlette(
        routes=[
            route("GET", "/v1/status", status),
            route("GET", "/v1/events", events),
            route("GET", "/v1/state", state),
            route("GET", "/v1/nodes/{node}/agent", lambda at, _: does.agent(at["node"])),
            route("PUT", "/v1/nodes/{node}/exporter", lambda at, said: does.set_exporter(at["node"], **said)),
            route("PUT", "/v1/nodes/{node}/kernel-noise", lambda at, to: does.kernel_noise(at["node"], Burst(**to))),
            route(
                "DELETE",
                "/v1/nodes/{node}/kernel-noise",
                lambda at, _: does.stop_kernel_noise(at["node"], int(at["gpu"]) if "gpu" in at else None),
            ),
            route("PUT", "/v1/nodes/{node}/disk", fill_disk),
            route("PUT", "/v1/nodes/{node}/clock", lambda at, to: lab.call(at["node"], "POST", "/v1/clock/skew", to)),
            route("PUT", "/v1/nodes/{node}/stall", lambda at, said: does.stall(at["node"], Stalls(**said))),
            route("DELETE", "/v1/nodes/{node}/stall", lambda at, _: does.stall(at["node"], None)),
            route("POST", "/v1/nodes/{node}/power", lambda at, said: does.power(at["node"], said["state"])),
            route("POST", "/v1/replicas/{name}/signal", lambda at, to: does.signal_replica(at["name"], to["signal"])),
            route("POST", "/v1/replicas/{name}/start", lambda at, _: does.start_replica(at["name"])),
            route("POST", "/v1/replicas/{name}/flip", lambda at, said: does.flip_bit(at["name"], **said)),
            route("POST", "/v1/replicas/{name}/errors", lambda at, said: does.change_errors(at["name"], **said)),
            route("PUT", "/v1/signals/{name}", lambda at, said: does.signal_process(at["name"], said["signal"])),
            route("POST", "/v1/processes/{name}/restart", lambda at, _: does.restart_process(at["name"])),
            route("POST", "/v1/processes/{name}/start", lambda at, _: does.start_process(at["name"])),
            route("POST", "/v1/gpus/{node}/{index:int}", lambda at, to: does.set_gpu(at["node"], at["index"], to)),
            route("PATCH", "/v1/gpus/{node}/{index:int}", lambda at, to: does.change_gpu(at["node"], at["index"], to)),
            route("PUT", "/v1/gpus/{node}/{index:int}/taint", taint),
            route("PUT", "/v1/stores/{name}", lambda at, said: lab.call(at["name"], "PUT", "/corruption", said)),
            route("PUT", "/v1/models/{model}/revision", roll_out),
            route("GET", "/v1/links", lambda *_: lab.call(FABRIC, "GET", "/links")),
            route("PUT", "/v1/links", lambda _, said: does.set_link(said)),
            route("GET", "/v1/edges", lambda *_: lab.call(FABRIC, "GET", "/edges")),
            route("GET", "/v1/fabric", lambda *_: lab.call(FABRIC, "GET", "/hosts")),
            route("POST", "/v1/remedies/{verb}", lambda at, said: does.remedy(at["verb"], said)),
            route("GET", "/v1/leases", lambda *_: {"leases": leases.show()}),
            route("POST", "/v1/leases", renew_leases),
            route("PUT", "/v1/leases/{name:path}", put_lease),
            route("DELETE", "/v1/leases/{name:path}", lambda at, _: {"released": leases.release(at["name"])}),
            route("PUT", "/v1/webhook", lambda _, said: does.set_webhook(**said)),
            route("POST", "/v1/down", down),
            route("GET", "/v1/{what}", lambda at, _: does.from_gateways(at["what"], at.get("gateway"))),
            route("PUT", "/v1/{what}", lambda at, said: does.to_gateways(at["what"], said, at.get("gateway"))),
        ]
    )
