"""Bringing a lab up and down: which program gets which configuration, in which order, and which edges join them.

The fabric and the controller start first, at once; then nodes, gateways, Prometheus and Alertmanager, all at once.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tierdrill.faults.store_names import STATE_STORE
from tierdrill.lab.lab_config import LabConfig, NodeConfig
from tierdrill.lab.lab_files import MARKER, LabState, kill_strays, remove_state, write_state
from tierdrill.lab.serving import bind
from tierdrill.lab.supervisor import program_configs as configs
from tierdrill.lab.supervisor.lab_events import EventLog
from tierdrill.lab.supervisor.lab_hosts import NAMESPACES, LabHosts
from tierdrill.lab.supervisor.monitoring_programs import ALERTMANAGER, PROMETHEUS, Monitoring
from tierdrill.lab.supervisor.processes import ProcessTable
from tierdrill.lab.supervisor.program_calls import CALL_TIMEOUT_S, CallFailed, call_program, together
from tierdrill.lab.supervisor.state_store import JOB, PROGRAM, StateStore
from tierdrill.monitoring.monitoring_login import lab_login
from tierdrill.process.child import Child, SpawnError
from tierdrill.process.programs import bare_environment

POLL_WAIT_S = 5.0
RETRY_S = 0.2
MENDS_MAX = 3
MENDS_WITHIN_S = 60.0
"""A process that ends so often in so long a time is not started again: the lab stays broken, and says so."""

READY_POLL_S = 0.05
CONTROLLER = "controller"
FABRIC = "fabric"

Starter = Callable[[], Coroutine[Any, Any, None]]


class Lab:
    def __init__(self, config: LabConfig, state: LabState, events: EventLog) -> None:
        self.config = config
        self.state = state
        self.overrides: dict[str, float] = dict(config.overrides)
        """What gateways are told of overrides when they start again; see `LabConfig`."""
        self.events = events
        self.folder = Path(state.folder)
        self.processes = ProcessTable(events, self._save, self._lost)
        self.ready_in_s: float | None = None
        self.stopping = False
        self._began = time.monotonic()
        self._waiting_for = "the fabric and the controller"
        self._env = {**bare_environment(Path(state.folder)), MARKER: state.id}
        self._hosts = LabHosts(config, self.folder, self._env)
        self.monitoring = Monitoring(config, self.folder, self._env, lab_login(state.token))
        self._store = StateStore(config.etcd, self.folder, self._env)
        self._starters: dict[str, Starter] = {
            NAMESPACES: self._start_namespaces,
            FABRIC: self._start_fabric,
            CONTROLLER: self._start_controller,
            PROMETHEUS: self._start_prometheus,
            ALERTMANAGER: self._start_alertmanager,
            **{node.name: partial(self._start_node, node) for node in config.nodes},
            **{gateway: partial(self._start_gateway, gateway) for gateway in config.gateways},
            **{member: partial(self._start_member, member) for member in self._store.members},
            **{name: partial(self._start_model_store, name) for name in config.model_stores},
        }
        self._model_stores: dict[str, str] = {}  # where each listens
        self._background: list[asyncio.Task[None]] = []
        self._mended: dict[str, list[float]] = {}
        self.locks = {name: asyncio.Lock() for name in (NAMESPACES, FABRIC, CONTROLLER, *self.startable())}
        """Held by who starts or ends a process."""

    async def up(self) -> None:
        """Start everything and wait until all of it serves."""
        try:
            await asyncio.wait_for(self._up(), self.config.startup_timeout_s)
        except TimeoutError:
            within_s = self.config.startup_timeout_s
            raise CallFailed(f"not up within {within_s:g} s, waiting for {self._waiting_for}") from None
        self.ready_in_s = round(time.monotonic() - self._began, 3)
        self.state = replace(self.state, ready=True)
        self._save()
        self.events.add("ready", seconds=self.ready_in_s)

    async def _up(self) -> None:
        # Prometheus first finds its targets and its Alertmanager five seconds after its start, so it starts first.
        monitoring = asyncio.create_task(self._start_monitoring())
        self._background.append(monitoring)
        if self.config.means is not None:
            await self.start(NAMESPACES)
        await together(*map(self.start, (FABRIC, CONTROLLER, *self._store.members)))
        await together(self._tell_controller(), *map(self.start, self.config.model_stores))
        await self._join("controller", PROMETHEUS, CONTROLLER, self.address(CONTROLLER), {})
        if self.config.prometheus.binary is not None:
            self._background.append(asyncio.create_task(self._follow_replicas()))
        self._waiting_for = "nodes, gateways and monitoring"
        await together(
            *(self.start(node.name) for node in self.config.nodes),
            *(self.start(gateway) for gateway in self.config.gateways),
            monitoring,
        )
        await self._replicas_ready()
        self._waiting_for = "gateways to hear of every model, and of their policy"
        await together(*(self.gateway_knows(gateway) for gateway in self.config.gateways))

    async def down(self) -> None:
        """End everything and remove what must not stay."""
        self.stopping = True
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.processes.end_all()
        left = await asyncio.to_thread(kill_strays, self.state.id)
        for name in ("prometheus-data", "alertmanager-data", "state-store", "targets", "config"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        if not left:
            remove_state(self.state)

    async def start(self, name: str) -> None:
        """Start one of `startable`, the fabric or the controller."""
        await self._starters[name]()

    def startable(self) -> list[str]:
        """Nodes, gateways, stores and the monitoring programs."""
        nodes, stores = [node.name for node in self.config.nodes], (*self._store.members, *self.config.model_stores)
        return [*nodes, *self.config.gateways, *stores, *self.monitoring.names()]

    def address(self, name: str) -> str:
        address = self.processes.address(name)
        if address is None:
            raise CallFailed(f"{name} is not there")
        return address

    def node_folder(self, node: str) -> Path:
        """A node's state: GPU overrides, kernel log, its replicas' logs."""
        return self.folder / "nodes" / node

    async def call(
        self,
        program: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> dict[str, Any]:
        """Ask one of the lab's programs, directly and not through the fabric. CallFailed unless it says yes."""
        return await call_program(self.address(program), self.state.token, program, method, path, body, timeout_s)

    async def edge(self, source: str, destination: str, target: str) -> str:
        """An edge of the fabric, by the usual name; returns where it listens."""
        return str((await self._put_edge(f"{source}%3E{destination}", source, destination, target))["listen"])

    async def _put_edge(self, name: str, source: str, destination: str, target: str) -> dict[str, Any]:
        body = {"source": source, "destination": destination, "target": target}
        return await self.call(FABRIC, "PUT", f"/edges/{name}", body)

    async def as_reached(self, state: dict[str, Any]) -> dict[str, Any]:
        """The controller's state, with its replicas' addresses as this machine reaches them."""
        if self.config.means is not None:
            edges = (await self.call(FABRIC, "GET", "/edges"))["edges"]
            reached = {edge["inside"]: edge["target"] for edge in edges}
            for replica in state["replicas"]:
                replica["address"] = reached.get(replica["address"])
        return state

    async def _start_program(self, program: str, name: str, config: dict[str, Any], *fds: int) -> Child:
        child = await self._hosts.spawn(program, name, {"token": self.state.token, **config}, fds)
        reached = child.address
        if self._hosts.is_inside(reached):
            reached = str((await self._put_edge(f"forward%3E{name}", name, name, reached))["target"])
        self.processes.add(name, program, child, reached)
        return child

    async def _start_namespaces(self) -> None:
        child = await self._hosts.start()
        self.processes.add(NAMESPACES, NAMESPACES, child, child.address)

    async def _start_fabric(self) -> None:
        config = configs.fabric(self.config, self.processes.address(FABRIC), self.folder / "fabric.json")
        await self._start_program(FABRIC, FABRIC, config)

    async def _start_controller(self) -> None:
        config = configs.controller(self.config, self.processes.address(CONTROLLER))
        await self._start_program(CONTROLLER, CONTROLLER, config)

    async def _tell_controller(self) -> None:
        told = {"address": self.address(FABRIC), "token": self.state.token}
        await self.call(CONTROLLER, "PUT", "/v1/fabric", told)

    async def _start_node(self, node: NodeConfig) -> None:
        controller = await self.edge(node.name, CONTROLLER, self.address(CONTROLLER))
        stores = {name: await self.edge(node.name, name, self._model_stores[name]) for name in self.config.model_stores}
        listen = self._hosts.listen(node.name)
        config = configs.node(self.config, node, controller, stores, self.node_folder(node.name), listen)
        child = await self._start_program("node", node.name, config)
        await self._join("node", PROMETHEUS, node.name, child.address, {"node": node.name})

    async def _start_model_store(self, name: str) -> None:
        listen = self._model_stores.get(name) or self._hosts.listen(name)
        config = configs.model_store(self.config, listen, self.folder / "stores" / name)
        self._model_stores[name] = (await self._start_program("store", name, config)).address

    async def _start_gateway(self, name: str) -> None:
        controller, fabric = await self.edge(name, CONTROLLER, self.address(CONTROLLER)), self.address(FABRIC)
        # The store's members are where the controller is: what cuts that off cuts them off.
        store = [
            str((await self._put_edge(f"{name}%3E{member}", name, CONTROLLER, at))["listen"])
            for member, at in self._store.addresses.items()
        ]
        # Clients know the address of its last start. They are on this machine, wherever the gateway is.
        with contextlib.closing(bind(self.processes.address(name) or "127.0.0.1:0")) as listener:
            config = configs.gateway(self.config, controller, listener.fileno(), self.overrides, store, fabric)
            await self._start_program("gateway", name, config, listener.fileno())
        await self._join("gateway", PROMETHEUS, name, self.address(name), {"gateway": name})

    async def _start_member(self, member: str) -> None:
        address = self._store.addresses[member]
        self.processes.add(member, PROGRAM, await self._store.start(member), address)
        self.monitoring.watch(JOB, member, address, {"store": STATE_STORE})

    async def _join(self, job: str, source: str, name: str, address: str, labels: dict[str, str]) -> None:
        if self.config.prometheus.binary is None:
            return
        listen = await self.edge(source, name, address)
        self.monitoring.watch(job, name, listen, labels)

    async def _start_monitoring(self) -> None:
        for name in self.monitoring.names():
            await self.start(name)

    async def _start_alertmanager(self) -> None:
        child, address = await self.monitoring.start_alertmanager(self.processes.address(ALERTMANAGER))
        self.processes.add(ALERTMANAGER, ALERTMANAGER, child, address)

    async def _start_prometheus(self) -> None:
        address = self.processes.address
        child, at = await self.monitoring.start_prometheus(address(ALERTMANAGER), address(PROMETHEUS))
        self.processes.add(PROMETHEUS, PROMETHEUS, child, at)

    async def mark_alerts(self, mark: str | None) -> None:
        """Let every alert that Prometheus sends from now on carry this mark; CallFailed where it does not take it."""
        self.monitoring.mark = mark
        if not self.processes.alive(PROMETHEUS):
            return
        child, address = self.processes.entry(PROMETHEUS).child, self.address(PROMETHEUS)
        try:
            await self.monitoring.take_mark(child, address, self.processes.address(ALERTMANAGER))
        except (TimeoutError, OSError) as error:
            raise CallFailed(f"Prometheus did not take the run's mark: {error or 'no answer in time'}") from error

    async def _replicas_ready(self) -> None:
        since: int | None = None
        while True:
            query = "" if since is None else f"?since={since}&wait={POLL_WAIT_S:g}"
            state = await self.call(CONTROLLER, "GET", f"/v1/state{query}", timeout_s=POLL_WAIT_S + CALL_TIMEOUT_S)
            since = state["version"]
            placed = [replica for replica in state["replicas"] if replica["node"] is not None]
            missing = {model.name for model in self.config.models} - {replica["model"] for replica in placed}
            if missing:
                raise CallFailed(f"no GPU has room for any replica of {', '.join(sorted(missing))}")
            waiting = [each["name"] for each in (*state["nodes"], *placed) if not each["ready"]]
            if not waiting:
                return
            self._waiting_for = f"{', '.join(waiting)} to be ready"

    async def gateway_knows(self, gateway: str) -> None:
        """Wait until a gateway has heard of a replica of every model, and of its policy where a store has that."""
        # A gateway has nobody to tell that its list has come; it is asked until it has.
        wanted = len(self.config.models)
        while True:
            health = await self.call(gateway, "GET", "/healthz")
            usable = health.get("usable") or {}
            if sum(count > 0 for count in usable.values()) >= wanted and health.get("policy") != "unheard":
                return
            await asyncio.sleep(READY_POLL_S)

    async def _follow_replicas(self) -> None:
        """Keep Prometheus' list of replicas as the controller has it."""
        since = 0
        while True:
            path = f"/v1/endpoints?gateway={PROMETHEUS}&all=1&since={since}&wait={POLL_WAIT_S:g}"
            try:
                answer = await self.call(CONTROLLER, "GET", path, timeout_s=POLL_WAIT_S + CALL_TIMEOUT_S)
            except CallFailed:
                await asyncio.sleep(RETRY_S)
                continue
            if answer["version"] != since:
                since = answer["version"]
                self.monitoring.watch_replicas(answer["endpoints"])

    def _lost(self, name: str) -> None:
        """A process has ended and nobody wanted it to: start it again, at its address and with what it knew."""
        if self.state.ready and not self.stopping:
            self._background.append(asyncio.create_task(self._mend(name)))

    async def _mend(self, name: str) -> None:
        tried = self._mended.setdefault(name, [])
        while self.processes.entry(name).lost and not self.stopping:
            now = time.monotonic()
            tried[:] = [at for at in tried if now - at < MENDS_WITHIN_S]
            if len(tried) >= MENDS_MAX:
                self.events.add("given-up", name=name, tries=len(tried))
                return
            tried.append(now)
            try:
                if name != FABRIC:
                    await asyncio.wait_for(self._until_alive(FABRIC), self.config.startup_timeout_s)
                async with self.locks[name]:
                    if self.processes.entry(name).lost:
                        await self.processes.kill_rest(name)
                        await self._start_again(name)
            except (SpawnError, CallFailed, OSError, TimeoutError) as error:
                self.events.add("not-mended", name=name, error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                self.events.add("mended", name=name)

    async def _until_alive(self, name: str) -> None:
        while not self.processes.alive(name):
            await self.events.wait(self.events.newest, RETRY_S)

    async def _start_again(self, name: str) -> None:
        await self.start(name)
        if name == CONTROLLER:
            await self._tell_controller()
        if name == ALERTMANAGER:
            # It may be somewhere else now.
            await self.mark_alerts(self.monitoring.mark)

    def _save(self) -> None:
        if self.stopping:
            return
        address = self.processes.address
        self.state = replace(
            self.state,
            gateways={name: at for name in self.config.gateways if (at := address(name)) is not None},
            controller=address(CONTROLLER),
            fabric=address(FABRIC),
            prometheus=address(PROMETHEUS),
            alertmanager=address(ALERTMANAGER),
            processes=self.processes.records(),
            lost=self.processes.lost() if self.state.ready else (),
        )
        with contextlib.suppress(FileNotFoundError):
            write_state(self.state)
