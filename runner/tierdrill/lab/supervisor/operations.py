"""What can be done to a running lab: power, signals, GPUs, links, gateway settings, remedies, the webhook's address.

Every change is an event with the instant it took effect. All of them can be repeated without harm.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import psutil

from tierdrill.lab.lab_files import MARKER
from tierdrill.lab.network.link_rules import RESOLVER
from tierdrill.lab.node import gpu_errors
from tierdrill.lab.node import kernel_log as kmsg
from tierdrill.lab.supervisor.kernel_log_noise import Burst, KernelNoise
from tierdrill.lab.supervisor.lab_lifecycle import CONTROLLER, FABRIC, Lab
from tierdrill.lab.supervisor.monitoring_programs import ALERTMANAGER, ask
from tierdrill.lab.supervisor.node_stalls import NodeStalls, Stalls
from tierdrill.lab.supervisor.program_calls import CallFailed
from tierdrill.monitoring.alertmanager_config import NOWHERE_URL
from tierdrill.process.child import SpawnError
from tierdrill.process.groups import signal_process
from tierdrill.process.identity import here

SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP, "CONT": signal.SIGCONT, "TERM": signal.SIGTERM}
REPLICA_SIGNALS = ("KILL", "STOP", "CONT")
CHANGE_TIMEOUT_S = 10.0
GATEWAY_KNOWS_WITHIN_S = 3.0
POWER_STATES = ("on", "off", "cycle")
GATEWAY_SETTINGS = ("flags", "weights", "shed", "caps", "retries", "policy", "picker", "overrides")

Answer = dict[str, Any]


class Refused(Exception):
    """It cannot be done now; the message says why. `status` is what HTTP calls it."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.status = status


class Operations:
    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._events = lab.events
        self._nodes = {node.name: node for node in lab.config.nodes}
        self._locks = lab.locks
        self._off: set[str] = set()
        self._noise, self._stalls = KernelNoise(lab.events), NodeStalls(lab.processes, lab.events)
        self._receiver = (NOWHERE_URL, "none")

    def powered(self) -> dict[str, str]:
        return {name: "off" if name in self._off else "on" for name in self._nodes}

    async def agent(self, node: str) -> Answer:
        self._running_node(node)
        return {**await self._lab.call(node, "GET", "/v1/status"), "agent": self._lab.address(node)}

    async def power(self, node: str, state: str) -> Answer:
        """Cut, give or cycle a node's power. Cut: its links fall silent first, then all its processes die at once."""
        self.known_node(node)
        if state not in POWER_STATES:
            raise Refused(f"state: got {state!r}, expected one of: {', '.join(POWER_STATES)}", 400)
        async with self._locks[node]:
            changed = False
            if state in ("off", "cycle"):
                changed = await self._power_off(node)
            if state in ("on", "cycle"):
                changed = await self._power_on(node) or changed
        return {"ok": True, "node": node, "power": self.powered()[node], "changed": changed}

    async def _power_off(self, node: str) -> bool:
        if node in self._off:
            return False
        began = time.time()
        await self._lab.call(FABRIC, "PUT", f"/hosts/{quote(node, safe='')}", {"state": "down"})
        self._off.add(node)
        dark_at = time.time()
        gone = await self._lab.processes.kill_group(node)
        self._events.add("power", node=node, state="off", asked_at=began, dark_at=dark_at, gone=gone)
        if not gone:
            raise Refused(f"{node}: some of its processes would not die", 500)
        return True

    async def _power_on(self, node: str) -> bool:
        if node not in self._off and self._lab.processes.alive(node):
            return False
        began = time.time()
        # Its network is up before its programs are: until then connections are refused, as on any host that boots.
        await self._lab.call(FABRIC, "PUT", f"/hosts/{quote(node, safe='')}", {"state": "up"})
        try:
            await self._lab.start(node)
        except SpawnError as error:
            raise Refused(f"{node} did not start: {error}", 500) from error
        self._off.discard(node)
        self._events.add("power", node=node, state="on", asked_at=began)
        return True

    async def signal_replica(self, replica: str, name: str) -> Answer:
        """KILL, STOP or CONT exactly the process that serves as this replica now."""
        number = _signal(name, REPLICA_SIGNALS)
        seen = await self.replica(replica)
        if not seen.get("pid") or seen.get("ticks") is None:
            raise Refused(f"{replica} is not running (it is {seen['state']})")
        process = here(int(seen["pid"]), int(seen["ticks"]))
        if not self._ours(process.pid) or not signal_process(process, number):
            raise Refused(f"{replica}: process {process.pid} has ended")
        at = time.time()
        self._events.add("signal", at, process=replica, signal=name, pid=process.pid, node=seen["node"])
        return {"ok": True, "replica": replica, "pid": process.pid, "ticks": process.ticks, "at": at}

    async def start_replica(self, replica: str) -> Answer:
        """Start a replica that is not running; one that runs (or is starting) is left alone."""
        seen = await self.replica(replica)
        if seen.get("pid") or seen["state"] == "starting":
            return {"ok": True, "replica": replica, "changed": False}
        await self._lab.call(CONTROLLER, "POST", "/v1/remedies/restart-replica", {"replica": replica}, CHANGE_TIMEOUT_S)
        self._events.add("replica-start", replica=replica)
        return {"ok": True, "replica": replica, "changed": True}

    async def flip_bit(self, replica: str, index: int, bit: int, flipped: bool) -> Answer:
        """Have a bit of a weight flipped in a replica's memory, or as it was made."""
        document = {"index": index, "bit": bit, "flipped": flipped}
        await self._tell_replica(replica, "flip", document)
        self._events.add("flip", replica=replica, **document)
        return {"ok": True, "replica": replica, **document}

    async def change_errors(self, replica: str, percent: int) -> Answer:
        """Have a replica answer that many percent of its requests with errors; 0 for none."""
        await self._tell_replica(replica, "errors", {"percent": percent})
        self._events.add("errors", replica=replica, percent=percent)
        return {"ok": True, "replica": replica, "percent": percent}

    async def _tell_replica(self, replica: str, what: str, document: Answer) -> None:
        seen = await self.replica(replica)
        if not seen.get("pid") or seen.get("node") is None:
            raise Refused(f"{replica} is not running (it is {seen['state']})")
        await self._lab.call(seen["node"], "POST", f"/v1/replicas/{quote(replica, safe='')}/{what}", document)

    async def replica(self, name: str) -> Answer:
        state = await self._lab.call(CONTROLLER, "GET", "/v1/state")
        replicas: dict[str, Answer] = {each["name"]: each for each in state["replicas"]}
        if name not in replicas:
            raise Refused(f"got replica {name!r}, expected one of: {', '.join(sorted(replicas))}", 404)
        return replicas[name]

    def signal_process(self, process: str, name: str) -> Answer:
        number = _signal(name, tuple(SIGNALS))
        sent = self._lab.processes.signal(process, number)
        at = time.time()
        if not sent:
            raise Refused(f"{process} has ended")
        self._events.add("signal", at, process=process, signal=name)
        return {"ok": True, "process": process, "at": at}

    async def start_process(self, process: str) -> Answer:
        """Start a gateway, Prometheus or Alertmanager again after its death."""
        if process in self._nodes:
            return await self.power(process, "on")
        self._startable(process)
        async with self._locks[process]:
            if self._lab.processes.alive(process):
                return {"ok": True, "process": process, "changed": False}
            await self._start_again(process)
        return {"ok": True, "process": process, "changed": True}

    async def restart_process(self, process: str) -> Answer:
        """End a process, if it runs, and start it again: a gateway keeps its address and loses what it was told since
        its last start. A node is power-cycled.
        """
        if process in self._nodes:
            return await self.power(process, "cycle")
        self._startable(process)
        async with self._locks[process]:
            if self._lab.processes.alive(process):
                await self._lab.processes.end(process)
            await self._start_again(process)
            if process in self._lab.config.gateways:
                with contextlib.suppress(TimeoutError, CallFailed):
                    await asyncio.wait_for(self._lab.gateway_knows(process), GATEWAY_KNOWS_WITHIN_S)
        return {"ok": True, "process": process, "changed": True}

    def _startable(self, process: str) -> None:
        known = self._lab.startable()
        if process not in known:
            raise Refused(f"got process {process!r}, expected one of: {', '.join(known)}", 404)

    async def _start_again(self, process: str) -> None:
        try:
            await self._lab.start(process)
        except SpawnError as error:
            raise Refused(str(error), 500) from error

    async def set_gpu(self, node: str, index: int, settings: Mapping[str, Any]) -> Answer:
        """Write a GPU's overrides; only {"mode": "healthy"} (or nothing) takes them away."""
        self.known_node(node)
        async with self._locks[node]:  # a booting agent writes the file as well
            return self._write_gpu(node, index, lambda _: settings)

    async def change_gpu(self, node: str, index: int, changes: Mapping[str, Any]) -> Answer:
        """Set some of a GPU's overrides; None takes one away. The others stay, so that two faults on one GPU do not
        undo each other.
        """
        self.known_node(node)
        async with self._locks[node]:
            return self._write_gpu(node, index, lambda present: gpu_errors.changed_settings(present, changes))

    def _write_gpu(
        self, node: str, index: int, settings_after: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> Answer:
        known = [gpu.index for gpu in self._nodes[node].gpus]
        if index not in known:
            raise Refused(f"no GPU {index} on {node}, expected one of: {', '.join(map(str, known))}", 404)
        path = self._lab.node_folder(node) / "overrides.json"
        try:
            document, settings = gpu_errors.change_overrides(path, len(known), index, settings_after)
        except gpu_errors.OverrideError as error:
            raise Refused(str(error), 400) from error
        self._events.add("gpu", node=node, gpu=index, settings=dict(settings))
        return {"ok": True, "node": node, "gpu": index, "overrides": document}

    def kernel_noise(self, node: str, burst: Burst) -> Answer:
        """Begin a burst of XID lines in a node's kernel log."""
        self._running_node(node)
        pci = [gpu.pci_bus_id for gpu in self._nodes[node].gpus if burst.gpu in (None, gpu.index)]
        if not pci:
            raise Refused(f"no GPU {burst.gpu} on {node}", 404)
        self._noise.start(node, self._lab.node_folder(node) / kmsg.FILE_NAME, pci, burst, lambda: self._booted_at(node))
        return {"ok": True, "node": node}

    def stop_kernel_noise(self, node: str, gpu: int | None) -> Answer:
        self.known_node(node)
        return {"ok": True, "node": node, "stopped": self._noise.stop(node, gpu)}

    def stall(self, node: str, stalls: Stalls | None) -> Answer:
        """Let the processes of a node, or another process that can be started, stand still; None: they run again."""
        self._startable(node)
        return self._stalls.change(node, stalls)

    def _booted_at(self, node: str) -> float | None:
        processes = self._lab.processes
        return processes.entry(node).child.started_at if processes.alive(node) else None

    async def set_exporter(self, node: str, up: bool, *, frozen: bool = False, with_clock: bool = False) -> Answer:
        """Stop a node's exporter, start it again, or have it repeat what it gives now (`frozen`, `with_clock`)."""
        self._running_node(node)
        verb = "stop" if not up else "freeze" if frozen else "start"
        answer = await self._lab.call(node, "POST", f"/v1/exporter/{verb}", {"with_clock": with_clock})
        self._events.add("exporter", node=node, up=up, frozen=frozen)
        return {"ok": True, "node": node, "exports": answer["exports"]}

    async def set_link(self, rule: Mapping[str, Any]) -> Answer:
        hosts = (*self.hosts(), *((RESOLVER, *self._lab.config.replica_names) if RESOLVER in rule.values() else ()))
        for end in ("source", "destination"):
            if rule.get(end) not in (*hosts, "*"):
                raise Refused(f"{end}: got {rule.get(end)!r}, expected one of: {', '.join(hosts)} and *", 404)
        answer = await self._lab.call(FABRIC, "PUT", "/links", dict(rule), CHANGE_TIMEOUT_S)
        self._events.add("link", **rule)
        return answer

    def hosts(self) -> tuple[str, ...]:
        return (*self._nodes, *self._lab.config.gateways, CONTROLLER, "prometheus")

    async def from_gateways(self, what: str, gateway: str | None) -> Answer:
        """Flags, weights, shed fractions or picker of each gateway, or of one."""
        names = self._these_gateways(what, gateway)
        answers = await asyncio.gather(*(self._lab.call(name, "GET", f"/admin/{what}") for name in names))
        return dict(zip(names, answers, strict=True))

    async def to_gateways(self, what: str, changes: Mapping[str, Any], gateway: str | None) -> Answer:
        """Change flags, weights, shed fractions or picker of all gateways, or of one."""
        names = self._these_gateways(what, gateway)
        calls = (self._lab.call(name, "PUT", f"/admin/{what}", dict(changes)) for name in names)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        changed = [name for name, answer in zip(names, answers, strict=True) if not isinstance(answer, BaseException)]
        if changed:
            self._events.add(what, gateways=changed, changes=dict(changes))
        if what == "overrides" and changed:
            # Unlike what a drill or a playbook told them, it must outlive a gateway.
            kept = {**self._lab.overrides, **changes}
            self._lab.overrides = {name: until for name, until in kept.items() if until is not None}
        if failed:
            raise failed[0]
        return dict(zip(names, answers, strict=True))

    def _these_gateways(self, what: str, gateway: str | None) -> tuple[str, ...]:
        if what not in GATEWAY_SETTINGS:
            raise Refused(f"got setting {what!r}, expected one of: {', '.join(GATEWAY_SETTINGS)}", 404)
        names = self._lab.config.gateways
        if gateway not in (None, *names):
            raise Refused(f"got gateway {gateway!r}, expected one of: {', '.join(names)}", 404)
        return names if gateway is None else (gateway,)

    async def remedy(self, verb: str, arguments: dict[str, Any]) -> Answer:
        path = f"/v1/remedies/{quote(verb, safe='')}"
        answer = await self._lab.call(CONTROLLER, "POST", path, arguments, CHANGE_TIMEOUT_S)
        self._events.add("remedy", verb=verb, arguments=arguments, answer=answer)
        return answer

    async def set_webhook(self, url: str, token: str = "", mark: str | None = None) -> Answer:
        """Where Alertmanager notifies from now on, and what the alerts sent there carry. A configuration it refuses is
        taken back.
        """
        if not str(url).startswith(("http://", "https://")):
            raise Refused(f"url: got {url!r}, expected an http address", 400)
        if not self._lab.processes.alive(ALERTMANAGER):
            raise Refused("Alertmanager is not running in this lab")
        former, receiver = self._receiver, (url, token or "none")
        self._lab.monitoring.write_receiver(*receiver)
        try:
            status, said = await ask("POST", self._lab.address(ALERTMANAGER), "/-/reload", self._lab.monitoring.login)
        except OSError as error:
            raise CallFailed(f"Alertmanager is not responding: {error}") from error
        if status != 200:
            self._lab.monitoring.write_receiver(*former)
            raise CallFailed(f"Alertmanager refuses the configuration: {said.strip()}")
        self._receiver = receiver
        await self._lab.mark_alerts(mark)
        self._events.add("webhook", url=url)
        return {"ok": True, "url": url}

    def known_node(self, node: str) -> None:
        if node not in self._nodes:
            raise Refused(f"got node {node!r}, expected one of: {', '.join(sorted(self._nodes))}", 404)

    def _running_node(self, node: str) -> None:
        self.known_node(node)
        if not self._lab.processes.alive(node):
            raise Refused(f"the agent of {node} does not run")

    def _ours(self, pid: int) -> bool:
        # The pid came over the network: never signal what does not carry this lab's mark.
        try:
            return pid != os.getpid() and psutil.Process(pid).environ().get(MARKER) == self._lab.state.id
        except psutil.Error:
            return False


def _signal(name: str, allowed: tuple[str, ...]) -> signal.Signals:
    if name not in allowed:
        raise Refused(f"signal: got {name!r}, expected one of: {', '.join(allowed)}", 400)
    return SIGNALS[name]
