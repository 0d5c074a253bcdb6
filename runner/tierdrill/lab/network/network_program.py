"""Program `fabric`: the lab's network, through which the components on its hosts reach each other.

It is where links are cut, slowed and narrowed, and where a host loses its power: by a proxy of its own, or, where its
configuration has `namespaces`, by the kernel.
"""

import logging
import resource
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from tierdrill.lab.json_api import At, Json, JsonApi
from tierdrill.lab.network.agent_line import AgentRefused
from tierdrill.lab.network.kernel_network import KernelFabric
from tierdrill.lab.network.link_rules import RuleError, parse_edge, parse_rule
from tierdrill.lab.network.proxy_network import Fabric, UnknownEdge
from tierdrill.lab.network.resolver import serve_names
from tierdrill.lab.serving import bind, run_program, serve_announced

PROGRAM = "fabric"
BIND_ATTEMPTS = 5
_log = logging.getLogger("tierdrill.fabric")


def build_app(fabric: Fabric, token: str) -> Starlette:
    async def put_edge(at: At, said: Json) -> Json:
        edge = parse_edge(at["id"], said)
        return {"ok": True, "listen": await fabric.put_edge(edge), "target": fabric.target(edge.id)}

    def delete_edge(at: At, _: Json) -> Json:
        if not fabric.delete_edge(at["id"]):
            raise UnknownEdge(f"no edge {at['id']!r}")
        return {"ok": True}

    async def put_link(_: At, said: Json) -> Json:
        await fabric.put_link(parse_rule(said))
        return {"ok": True, "links": fabric.links()}

    async def renew_links(_: At, said: Json) -> Json:
        names = said.get("names")
        if not isinstance(names, list):
            raise RuleError(f"names: got {names!r}, expected a list of leases")
        return {"renewed": await fabric.renew_links({str(name) for name in names})}

    async def put_host(at: At, said: Json) -> Json:
        state = said.get("state")
        if state not in ("up", "down"):
            raise RuleError(f"state: {state!r} is neither up nor down")
        await fabric.put_host(at["name"], up=state == "up")
        return {"ok": True, "down": fabric.hosts_down()}

    route = JsonApi(token, {UnknownEdge: 404, AgentRefused: 409, OSError: 502}).route
    return Starlette(
        routes=[
            route("PUT", "/edges/{id:path}", put_edge),
            route("DELETE", "/edges/{id:path}", delete_edge),
            route("GET", "/edges", lambda *_: {"edges": fabric.edges()}),
            route("PUT", "/links", put_link),
            route("GET", "/links", lambda *_: {"links": fabric.links()}),
            route("POST", "/links/renew", renew_links),
            route("PUT", "/hosts/{name}", put_host),
            route("GET", "/hosts", lambda *_: {"down": fabric.hosts_down()}),
            route("GET", "/stats", lambda *_: fabric.stats()),
        ]
    )


def bind_both(listen: str | None) -> tuple[socket.socket, socket.socket]:
    """For TCP and for UDP at one address: at that one, or at a port that is free for both."""
    for attempt in range(BIND_ATTEMPTS):
        listener, names = bind(listen or "127.0.0.1:0"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            names.bind(listener.getsockname())
        except OSError:
            listener.close()
            names.close()
            if listen or attempt == BIND_ATTEMPTS - 1:
                raise
        else:
            break
    return listener, names


async def run(config: Mapping[str, Any], ready_fd: int | None) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # held connections cost two descriptors each
    if config.get("discreet"):
        _log.setLevel(logging.WARNING)  # its rules are what somebody being trained has to find out
    kept = Path(config["state"]) if config.get("state") else None
    fabric = KernelFabric(kept) if config.get("namespaces") else Fabric(kept)
    await fabric.restore()
    listener, names = bind_both(config.get("listen"))
    await serve_names(fabric, names)
    app = build_app(fabric, config["token"])
    await serve_announced(app, listener, PROGRAM, config.get("name", PROGRAM), ready_fd, *fabric.working())


if __name__ == "__main__":
    run_program(PROGRAM, run)
