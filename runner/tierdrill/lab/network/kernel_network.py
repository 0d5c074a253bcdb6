"""The network of a lab in namespace mode: the kernel's, between network namespaces.

Gateways and nodes are inside, each in its namespace, and reach each other directly. Controller and Prometheus run
outside, on this machine, and have a namespace that stands for them: what they send leaves there, and what is sent to
them arrives there, through relays. What goes wrong on a link is injected by the agent, with a lease of its own.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from socket import SO_REUSEADDR, SOL_SOCKET, socket
from typing import Any

from tierdrill.home import agent_folder
from tierdrill.lab.network.agent_line import AGENT_ENDED, AgentLine, AgentRefused
from tierdrill.lab.network.kernel_rules import host_orders
from tierdrill.lab.network.link_rules import Edge, LinkRule
from tierdrill.lab.network.namespace_hosts import OUTSIDE, NamespaceHosts, plug, socket_of
from tierdrill.lab.network.pipes import Wire
from tierdrill.lab.network.proxy_network import ActiveRule, Fabric, OpenEdge, log
from tierdrill.lab.serving import BACKLOG, bind
from tierdrill.process.child import Child
from tierdrill.process.spawn import launch

AGENT_FOLDER = Path("agent")
"""In the lab's folder, which this program works in."""

AGENT_LOG = Path("logs/agent.log")
AGENT_WITHIN_S = 10.0
AGENT_POLL_S = 0.02
BEAT_S, UNLEASED_S = 2.0, 10.0
"""A rule without a lease stands for as long as this program beats."""
LATER_S = 0.5
"""By how much the agent's lease is longer than that of the rule: it is for when this program stands still."""

_ANYWHERE = "127.0.0.1:0"
Key = tuple[str, str]


class KernelFabric(Fabric):
    """Edges with relays where one end is outside, rules with what the agent holds for each."""

    def __init__(self, kept: Path | None = None) -> None:
        super().__init__(kept)
        self._hosts = NamespaceHosts.of(Path())
        self._ingress: dict[str, OpenEdge] = {}
        self._port_forwards: dict[str, OpenEdge] = {}
        self._lines: dict[Key, AgentLine] = {}
        self._changing = asyncio.Lock()
        self._agent: Child | None = None
        self._faults = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def put_edge(self, edge: Edge, listen: str = _ANYWHERE, ingress: str = "", forward: str = _ANYWHERE) -> str:
        """Open an edge, or aim it elsewhere; where its source reaches the destination."""
        async with self._opening:
            target = edge.target if self._hosts.has(edge.target) else await self._open_ingress(edge, ingress)
            await self._put_port_forward(edge.destination, target, forward)
            inner = replace(edge, target=target)
            if (known := self._edges.get(edge.id)) is None:
                known = await OpenEdge.at(bind(listen), Wire(inner, made_socket=_made_on(edge.source)))
                self._edges[edge.id] = known
            known.wire.edge = inner
        self._drop_port_forwards()
        self._keep()
        return self.reached(known)

    def reached(self, edge: OpenEdge) -> str:
        return edge.listen if edge.wire.edge.source in OUTSIDE else edge.wire.edge.target

    async def name_sockets(self, port: int) -> list[socket]:
        made = [await socket_of(host, datagrams=True) for host in self._hosts.hosts if host not in OUTSIDE]
        for listener in made:
            listener.bind(("127.0.0.1", port))
        return made

    async def _open_ingress(self, edge: Edge, listen: str) -> str:
        """Where the destination's host takes connections for who is outside, at the edge's target."""
        known = self._ingress.get(edge.id)
        if known is None:
            listener = await socket_of(edge.destination)
            _, _, port = listen.rpartition(":")
            listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            listener.bind((self._hosts.hosts[edge.destination].address, int(port or 0)))
            listener.listen(BACKLOG)
            known = self._ingress[edge.id] = await OpenEdge.at(listener, Wire(edge))
        known.wire.edge = edge
        return known.listen

    async def _put_port_forward(self, host: str, target: str, listen: str) -> None:
        """How this machine reaches a target as if from its own host."""
        if target not in self._port_forwards:
            wire = Wire(Edge(f"forward>{target}", host, host, target), made_socket=_made_on(host))
            self._port_forwards[target] = await OpenEdge.at(bind(listen), wire)

    def _drop_port_forwards(self) -> None:
        wanted = {known.wire.edge.target for known in self._edges.values()}
        for target in self._port_forwards.keys() - wanted:
            self._port_forwards.pop(target).close()

    def delete_edge(self, edge_id: str) -> bool:
        if (ingress := self._ingress.pop(edge_id, None)) is not None:
            ingress.close()
        found = super().delete_edge(edge_id)
        self._drop_port_forwards()
        return found

    def target(self, edge_id: str) -> str:
        return self._port_forwards[self._edges[edge_id].wire.edge.target].listen

    def edges(self) -> list[dict[str, Any]]:
        """As this machine reaches them: `listen` from the source, `target` from the destination itself. `inside` is
        the destination's address in the network.
        """
        return [
            {**one, "target": self.target(one["id"]), "inside": one["target"]}
            | {"ingress": ingress.listen if (ingress := self._ingress.get(one["id"])) else None}
            | {"outside": ingress.wire.edge.target if ingress else None}
            for one in super().edges()
        ]

    async def _restore_edge(self, said: dict[str, Any]) -> None:
        edge = Edge(said["id"], said["source"], said["destination"], said["outside"] or said["inside"])
        await self.put_edge(edge, said["listen"], said["ingress"] or "", said["target"])

    async def put_link(self, rule: LinkRule) -> None:
        async with self._changing:
            await self._lift(rule.key)
            if rule.mode != "pass":
                self._lines[rule.key] = await self._enforce(rule)
            await super().put_link(rule)

    async def _enforce(self, rule: LinkRule) -> AgentLine:
        """A line on which all of the rule is injected; AgentRefused or OSError, and nothing of it is left."""
        lease_s = UNLEASED_S if rule.lease_s is None else rule.lease_s + LATER_S
        addresses = {name: host.address for name, host in self._hosts.hosts.items()}
        line = await self._line(rule.key)
        try:
            for order in host_orders(rule, addresses):
                self._faults += 1
                target = {"netns": self._hosts.hosts[order.host].network}
                await line.enforce(f"link-{self._faults}", order.kind, target, order.parameters)
            await line.arm(lease_s)
        except BaseException:
            with contextlib.suppress(AgentRefused, OSError):
                await line.close()
            raise
        return line

    async def _line(self, key: Key) -> AgentLine:
        return await AgentLine.open(AGENT_FOLDER / "orders.sock", lambda why: self._ended(key, why))

    def _ended(self, key: Key, why: str) -> None:
        if why != AGENT_ENDED and self._lines.pop(key, None) is not None:
            self._rules.pop(key, None)
            log.warning("link %s<>%s: passing again: %s", *key, why)
            self._keep()

    async def _lift(self, key: Key) -> None:
        if (line := self._lines.pop(key, None)) is not None:
            await line.close()

    def _apply(self) -> None:
        self._keep()

    def _flap(self, active: ActiveRule, *, passing: bool = False) -> None:
        """The agent does that."""

    def _expire(self, key: Key) -> None:
        task = asyncio.get_running_loop().create_task(self._lift_expired(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lift_expired(self, key: Key) -> None:
        async with self._changing:
            active = self._rules.get(key)
            if active is None or active.expires_at is None or active.expires_at > time.monotonic():
                return
            try:
                await self._lift(key)
            except (AgentRefused, OSError) as error:
                log.warning("link %s<>%s: %s", *key, error)
            super()._expire(key)

    async def renew_links(self, names: Collection[str]) -> list[Key]:
        renewed = await super().renew_links(names)
        await self._beat([line for key in renewed if (line := self._lines.get(key)) is not None])
        return renewed

    async def _beat(self, lines: Iterable[AgentLine]) -> None:
        await asyncio.gather(*(line.ask("beat") for line in lines), return_exceptions=True)

    async def put_host(self, name: str, *, up: bool) -> None:
        await plug(name, up=up)
        await super().put_host(name, up=up)

    @property
    def agent(self) -> Child:
        """The agent that injects now."""
        assert self._agent is not None
        return self._agent

    def enforced(self) -> bool:
        """Whether the agent holds what is in force, and nothing else."""
        return self._lines.keys() == self._rules.keys() and not self._changing.locked()

    def end(self) -> None:
        """End the agent, which undoes all of it."""
        if self._agent is not None:
            self._agent.stop(AGENT_WITHIN_S)

    def working(self) -> Iterable[Coroutine[Any, Any, None]]:
        return (self._keep_agent(), self._keep_unleased())

    async def restore(self) -> None:
        await self._start_agent()
        await super().restore()
        await self._enforce_all()

    async def _start_agent(self) -> None:
        """It undoes first what an earlier one has left."""
        program = [sys.executable, "-I", "-B", str(agent_folder()), "--serve", str(AGENT_FOLDER)]
        self._agent = launch([*self._hosts.entering(None), *program], log_path=AGENT_LOG)
        async with asyncio.timeout(AGENT_WITHIN_S):
            while True:
                try:
                    await (await self._line(("", ""))).close()
                    return
                except (ConnectionError, FileNotFoundError):
                    await asyncio.sleep(AGENT_POLL_S)

    async def _enforce_all(self) -> None:
        for key, active in list(self._rules.items()):
            try:
                self._lines[key] = await self._enforce(active.rule)
            except (AgentRefused, OSError) as error:
                log.warning("link %s<>%s: passing again: %s", *key, error)
                self._rules.pop(key, None)

    async def _keep_agent(self) -> None:
        """An agent that ends is started again, with the rules that are in force."""
        while True:
            code = await self.agent.wait_async()
            log.warning("the agent ended with %s and is started again", code)
            async with self._changing:
                self._lines.clear()
                await self._start_agent()
                await self._enforce_all()

    async def _keep_unleased(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            unleased = [key for key, active in self._rules.items() if active.rule.lease_s is None]
            await self._beat([line for key in unleased if (line := self._lines.get(key)) is not None])


def _made_on(host: str) -> Callable[[], Awaitable[socket]]:
    return lambda: socket_of(host)
