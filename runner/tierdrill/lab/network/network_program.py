"""Program `fabric`: the lab's network, one TCP proxy that every connection between two hosts passes through.

It is where links are cut, slowed and narrowed, and where a host loses its power. Rules have leases that the fabric
itself keeps, so that a drill that dies leaves no broken network behind. What it was told is kept in its file `state`
(if its configuration names one), so that one that is started again is the same network, at the same addresses.
"""

import asyncio
import json
import logging
import resource
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from tierdrill.lab.json_api import At, Json, JsonApi
from tierdrill.lab.network.link_rules import Behaviour, Edge, LinkRule, RuleError, behaviour, parse_edge, parse_rule
from tierdrill.lab.network.pipes import Wire
from tierdrill.lab.serving import BACKLOG, address_of, bind, run_program, serve_announced
from tierdrill.process.identity import since_boot
from tierdrill.process.safe_files import write_private

PROGRAM = "fabric"
_log = logging.getLogger("tierdrill.fabric")


class UnknownEdge(LookupError):
    """No edge of that name."""


@dataclass
class _OpenEdge:
    wire: Wire
    server: asyncio.Server
    listen: str


@dataclass
class _ActiveRule:
    rule: LinkRule
    expires_at: float | None
    timer: asyncio.TimerHandle | None


class Fabric:
    """Edges, rules and hosts, and what they amount to for each edge."""

    def __init__(self, kept: Path | None = None) -> None:
        self._kept = kept
        self._edges: dict[str, _OpenEdge] = {}
        self._rules: dict[tuple[str, str], _ActiveRule] = {}
        self._down: set[str] = set()
        self._opening = asyncio.Lock()

    async def put_edge(self, edge: Edge, listen: str = "127.0.0.1:0") -> str:
        """Open an edge (at that address), or aim it elsewhere; its address stays."""
        async with self._opening:
            known = self._edges.get(edge.id)
            if known is None:
                listener = bind(listen)
                wire = Wire(edge)
                server = await asyncio.get_running_loop().create_server(wire.accept, sock=listener, backlog=BACKLOG)
                known = self._edges[edge.id] = _OpenEdge(wire, server, address_of(listener))
        known.wire.edge = edge
        known.wire.apply(self._behaviour(edge))
        self._keep()
        return known.listen

    def delete_edge(self, edge_id: str) -> bool:
        known = self._edges.pop(edge_id, None)
        if known is None:
            return False
        known.server.close()
        known.wire.reset_all()
        self._keep()
        return True

    def put_link(self, rule: LinkRule) -> None:
        """Put a rule in force in place of the link's former one; `pass` removes it."""
        former = self._rules.pop(rule.key, None)
        if former is not None and former.timer is not None:
            former.timer.cancel()
        if rule.mode != "pass":
            self._rules[rule.key] = _ActiveRule(rule, None, None)
            if rule.lease_s is not None:
                self._lease(self._rules[rule.key], rule.lease_s)
        _log.info("link %s<>%s: %s", *rule.key, rule.mode)
        self._apply()

    def renew_links(self, names: Collection[str]) -> list[tuple[str, str]]:
        """Let the leases of these names begin anew; their links."""
        leased = [active for active in self._rules.values() if active.rule.lease_s and active.rule.lease in names]
        for active in leased:
            self._lease(active, active.rule.lease_s or 0.0)
        if leased:
            self._keep()
        return [active.rule.key for active in leased]

    def _lease(self, active: _ActiveRule, left_s: float) -> None:
        if active.timer is not None:
            active.timer.cancel()
        active.expires_at = time.monotonic() + left_s
        active.timer = asyncio.get_running_loop().call_later(left_s, self._expire, active.rule.key)

    def put_host(self, name: str, *, up: bool) -> None:
        (self._down.discard if up else self._down.add)(name)
        _log.info("host %s: %s", name, "up" if up else "down")
        self._apply()

    def edges(self) -> list[dict[str, Any]]:
        return [asdict(known.wire.edge) | {"listen": known.listen} for known in self._edges.values()]

    def links(self) -> list[dict[str, Any]]:
        now = time.monotonic()
        return [
            asdict(active.rule)
            | {"lease_remaining_s": None if active.expires_at is None else max(0.0, active.expires_at - now)}
            for active in self._rules.values()
        ]

    def hosts_down(self) -> list[str]:
        return sorted(self._down)

    def stats(self) -> dict[str, Any]:
        edges = {
            edge_id: asdict(known.wire.counters)
            | {"open_connections": len(known.wire.pairs), "silent": known.wire.behaviour.silent}
            for edge_id, known in self._edges.items()
        }
        return {"edges": edges}

    def _expire(self, key: tuple[str, str]) -> None:
        if self._rules.pop(key, None) is not None:
            _log.warning("link %s<>%s: lease ran out, passing again", *key)
            self._apply()

    def _behaviour(self, edge: Edge) -> Behaviour:
        return behaviour(edge, (active.rule for active in self._rules.values()), self._down)

    def _apply(self) -> None:
        for known in self._edges.values():
            known.wire.apply(self._behaviour(known.wire.edge))
        self._keep()

    def _keep(self) -> None:
        if self._kept is not None:
            document = {"edges": self.edges(), "links": self.links(), "down": self.hosts_down(), "at": since_boot()}
            write_private(self._kept, json.dumps(document))

    async def restore(self) -> None:
        """Become what the fabric before this one was. A lease that ran out meanwhile has run out."""
        if self._kept is None or not self._kept.exists():
            return
        former, self._kept = self._kept, None
        document = json.loads(former.read_text(encoding="utf-8"))
        passed_s = max(0.0, since_boot() - float(document["at"]))
        self._down = set(document["down"])
        for said in document["links"]:
            left_s = said.pop("lease_remaining_s")
            if left_s is None or left_s > passed_s:
                rule = LinkRule(**said)
                self._rules[rule.key] = _ActiveRule(rule, None, None)
                if left_s is not None:
                    self._lease(self._rules[rule.key], left_s - passed_s)
        for said in document["edges"]:
            listen = said.pop("listen")
            await self.put_edge(Edge(**said), listen)
        self._kept = former
        self._keep()


def build_app(fabric: Fabric, token: str) -> Starlette:
    async def put_edge(at: At, said: Json) -> Json:
        return {"ok": True, "listen": await fabric.put_edge(parse_edge(at["id"], said))}

    def delete_edge(at: At, _: Json) -> Json:
        if not fabric.delete_edge(at["id"]):
            raise UnknownEdge(f"no edge {at['id']!r}")
        return {"ok": True}

    def put_link(_: At, said: Json) -> Json:
        fabric.put_link(parse_rule(said))
        return {"ok": True, "links": fabric.links()}

    def renew_links(_: At, said: Json) -> Json:
        names = said.get("names")
        if not isinstance(names, list):
            raise RuleError(f"names: got {names!r}, expected a list of leases")
        return {"renewed": fabric.renew_links({str(name) for name in names})}

    def put_host(at: At, said: Json) -> Json:
        state = said.get("state")
        if state not in ("up", "down"):
            raise RuleError(f"state: {state!r} is neither up nor down")
        fabric.put_host(at["name"], up=state == "up")
        return {"ok": True, "down": fabric.hosts_down()}

    route = JsonApi(token, {UnknownEdge: 404}).route
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


async def run(config: Mapping[str, Any], ready_fd: int | None) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # held connections cost two descriptors each
    if config.get("discreet"):
        _log.setLevel(logging.WARNING)  # its rules are what somebody being trained has to find out
    fabric = Fabric(Path(config["state"]) if config.get("state") else None)
    await fabric.restore()
    listener = bind(config.get("listen") or "127.0.0.1:0")
    app = build_app(fabric, config["token"])
    await serve_announced(app, listener, PROGRAM, config.get("name", PROGRAM), ready_fd)


if __name__ == "__main__":
    run_program(PROGRAM, run)
