"""The network of a lab in portable mode: one TCP proxy that every connection between two hosts passes through.

Rules have leases that are kept here, so that a drill that dies leaves no broken network behind. What it was told is
kept in a file, if one is named, so that one that is started again is the same network, at the same addresses.
"""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Collection, Coroutine, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tierdrill.lab.dns_messages import NOERROR, NXDOMAIN, SERVFAIL, Answer
from tierdrill.lab.network.link_rules import RESOLVER, Behaviour, Edge, LinkRule, behaviour
from tierdrill.lab.network.pipes import Wire
from tierdrill.lab.serving import BACKLOG, address_of, bind
from tierdrill.process.identity import since_boot
from tierdrill.process.safe_files import write_private

log = logging.getLogger("tierdrill.fabric")


TTL_S = 2
"""For how long an answer of the resolver holds."""


class UnknownEdge(LookupError):
    """No edge of that name."""


@dataclass
class OpenEdge:
    wire: Wire
    server: asyncio.Server
    listen: str

    @classmethod
    async def at(cls, listener: socket.socket, wire: Wire) -> "OpenEdge":
        """Let connections to that socket pass through the wire."""
        server = await asyncio.get_running_loop().create_server(wire.accept, sock=listener, backlog=BACKLOG)
        return cls(wire, server, address_of(listener))

    def close(self) -> None:
        self.server.close()
        self.wire.reset_all()


@dataclass
class ActiveRule:
    rule: LinkRule
    expires_at: float | None
    timer: asyncio.TimerHandle | None
    passing: bool = False  # it comes and goes, and is not there now


class Fabric:
    """Edges, rules and hosts, and what they amount to for each edge."""

    def __init__(self, kept: Path | None = None) -> None:
        self._kept = kept
        self._edges: dict[str, OpenEdge] = {}
        self._rules: dict[tuple[str, str], ActiveRule] = {}
        self._down: set[str] = set()
        self._opening = asyncio.Lock()

    async def put_edge(self, edge: Edge, listen: str = "127.0.0.1:0") -> str:
        """Open an edge (at that address), or aim it elsewhere; its address stays."""
        async with self._opening:
            known = self._edges.get(edge.id)
            if known is None:
                known = self._edges[edge.id] = await OpenEdge.at(bind(listen), Wire(edge))
        known.wire.edge = edge
        known.wire.apply(self._behaviour(edge))
        self._keep()
        return known.listen

    def delete_edge(self, edge_id: str) -> bool:
        known = self._edges.pop(edge_id, None)
        if known is None:
            return False
        known.close()
        self._keep()
        return True

    def look_up(self, replica: str, source: str) -> Answer | None:
        """Where a replica is, as the resolver tells the source; None: it says nothing."""
        now = self._behaviour(Edge("", source, RESOLVER, ""))
        if now.silent:
            return None
        if now.refused:
            return Answer(SERVFAIL)
        wrong = self._rules.get(LinkRule(RESOLVER, replica.partition(".")[0], "misdirect").key)
        if wrong is not None and wrong.rule.leads_to is not None:
            replica = wrong.rule.leads_to
        known = self._edges.get(f"{source}>{replica}")
        return Answer(NXDOMAIN) if known is None else Answer(NOERROR, self.reached(known), TTL_S)

    def reached(self, edge: OpenEdge) -> str:
        """Where an edge is for its source."""
        return edge.listen

    async def name_sockets(self, port: int) -> list[socket.socket]:
        """One on the loopback of each host that has a network of its own, where it asks for names."""
        return []

    def target(self, edge_id: str) -> str:
        """Where who serves behind an edge is reached from this machine, not through the network."""
        return self._edges[edge_id].wire.edge.target

    async def put_link(self, rule: LinkRule) -> None:
        """Put a rule in force in place of the link's former one; `pass` removes it."""
        former = self._rules.pop(rule.key, None)
        if former is not None and former.timer is not None:
            former.timer.cancel()
        if rule.mode != "pass":
            self._rules[rule.key] = ActiveRule(rule, None, None)
            if rule.lease_s is not None:
                self._lease(self._rules[rule.key], rule.lease_s)
            self._flap(self._rules[rule.key])
        log.info("link %s<>%s: %s", *rule.key, rule.mode)
        self._apply()

    async def renew_links(self, names: Collection[str]) -> list[tuple[str, str]]:
        """Let the leases of these names begin anew; their links."""
        leased = [active for active in self._rules.values() if active.rule.lease_s and active.rule.lease in names]
        for active in leased:
            self._lease(active, active.rule.lease_s or 0.0)
        if leased:
            self._keep()
        return [active.rule.key for active in leased]

    def _flap(self, active: ActiveRule, *, passing: bool = False) -> None:
        """Where a rule comes and goes, let it do so for as long as it is in force."""
        rule = active.rule
        if rule.period_ms and self._rules.get(rule.key) is active:
            active.passing = passing
            self._apply()
            percent = 100.0 - rule.down_percent if passing else rule.down_percent
            after_s = rule.period_ms / 1000 * percent / 100
            asyncio.get_running_loop().call_later(after_s, lambda: self._flap(active, passing=not passing))

    def _lease(self, active: ActiveRule, left_s: float) -> None:
        if active.timer is not None:
            active.timer.cancel()
        active.expires_at = time.monotonic() + left_s
        active.timer = asyncio.get_running_loop().call_later(left_s, self._expire, active.rule.key)

    async def put_host(self, name: str, *, up: bool) -> None:
        (self._down.discard if up else self._down.add)(name)
        log.info("host %s: %s", name, "up" if up else "down")
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
            log.warning("link %s<>%s: lease ran out, passing again", *key)
            self._apply()

    def _behaviour(self, edge: Edge) -> Behaviour:
        return behaviour(edge, (active.rule for active in self._rules.values() if not active.passing), self._down)

    def _apply(self) -> None:
        for known in self._edges.values():
            known.wire.apply(self._behaviour(known.wire.edge))
        self._keep()

    def _keep(self) -> None:
        if self._kept is not None:
            document = {"edges": self.edges(), "links": self.links(), "down": self.hosts_down(), "at": since_boot()}
            write_private(self._kept, json.dumps(document))

    def working(self) -> Iterable[Coroutine[Any, Any, None]]:
        """What must go on for as long as it serves."""
        return ()

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
                self._rules[rule.key] = ActiveRule(rule, None, None)
                self._flap(self._rules[rule.key])
                if left_s is not None:
                    self._lease(self._rules[rule.key], left_s - passed_s)
        for said in document["edges"]:
            await self._restore_edge(said)
        self._kept = former
        self._keep()

    async def _restore_edge(self, said: dict[str, Any]) -> None:
        listen = said.pop("listen")
        await self.put_edge(Edge(**said), listen)
