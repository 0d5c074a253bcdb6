"""The node's replicas as processes: started into the node's process group, watched, probed, ended."""

import asyncio
import contextlib
import functools
import json
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from tierdrill.lab.lab_config import ReplicaSpec
from tierdrill.lab.node.emulated_gpus import GpuUser
from tierdrill.lab.node.http_client import JsonClient
from tierdrill.lab.node.managed_replica import Managed, UnknownReplica
from tierdrill.lab.node.reconcile import BLOCKED, EXITED, READY, STARTING, STOPPED, Actual, reconcile
from tierdrill.lab.node.weight_cache import PullFailed, WeightCache
from tierdrill.process import spawn as spawn
from tierdrill.process.child import Child, SpawnError
from tierdrill.process.ready_line import program_argv
from tierdrill.process.safe_files import write_private

PROBE_INTERVAL_S = 0.25
PROBE_TIMEOUT_S = 0.3
GOLDEN_INTERVAL_S = 1.0
GOLDEN_TIMEOUT_S = 1.0
TELL_TIMEOUT_S = 2.0
PROBE_TIMEOUTS_MAX = 2  # one late answer on a busy machine is no outage; a refusal counts at once
START_TIMEOUT_S = 10.0
BLOCKED_RETRY_S = 0.25
STOP_GRACE_S = 0.3
_log = logging.getLogger("tierdrill.node")


class Replicas:
    def __init__(
        self,
        node: str,
        state_dir: Path,
        gpu_state_file: Callable[[int], Path],
        *,
        token: str,
        restart_backoff_s: float,
        listen: str,
        changed: asyncio.Event,
        weights: WeightCache,
    ) -> None:
        self._node = node
        self._weights = weights
        self._dir = state_dir / "replicas"
        self._gpu_state_file = gpu_state_file
        self._token = token
        self._backoff_s = restart_backoff_s
        self._listen = listen
        self._changed = changed
        self._desired: Sequence[ReplicaSpec] = ()
        self._managed: dict[str, Managed] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._dir.mkdir(parents=True, exist_ok=True)

    def want(self, desired: Sequence[ReplicaSpec]) -> None:
        """The controller's wish, which stays in force until the next one."""
        self._desired = desired
        self.reconcile()

    def reconcile(self) -> None:
        """Begin what there is to do; what is already being worked on is left to finish."""
        actual = [
            Actual(name, of.spec.generation, of.spec.gpu, of.phase, of.ended_at, of.spec.weights, of.retry_at)
            for name, of in self._managed.items()
        ]
        for name, spec in reconcile(self._desired, actual, time.monotonic(), self._backoff_s).items():
            managed = self._managed.get(name)
            if name not in self._tasks and (managed is None or not managed.lock.locked()):
                self._begin(name, self._remove(name) if spec is None else self._start(spec))

    async def restart(self, name: str) -> dict[str, Any]:
        """Kill it if it is alive and start it now, whatever the backoff says."""
        managed = self._find(name)
        await self._start(managed.spec)
        if not managed.alive:
            raise SpawnError(f"{name} did not start: {managed.blocked or f'exit code {managed.exit_code}'}")
        return managed.heartbeat()

    async def load_from_mirror(self, name: str) -> dict[str, Any]:
        """Get its weights from another model store than the usual one, and start it if it waits for them."""
        managed = self._find(name)
        for store in self._weights.mirrors:
            try:
                await self._weights.pull(managed.spec.weights, store)
            except PullFailed as failed:
                _log.warning("%s: %s", name, failed)
                continue
            return managed.heartbeat() if managed.alive else await self.restart(name)
        raise SpawnError(f"{name}: no other model store has its weights")

    async def prune_weights(self) -> dict[str, Any]:
        """Delete the weights that none of its replicas has or is to have."""
        keep = {spec.weights for spec in (*self._desired, *(one.spec for one in self._managed.values()))}
        return {"freed_bytes": self._weights.prune(keep)}

    async def stop(self, name: str) -> dict[str, Any]:
        """End it; it stays stopped until a restart or a new generation."""
        managed = self._find(name)
        async with managed.lock:
            await self._end(managed, grace_s=STOP_GRACE_S)
        self._changed.set()
        return managed.heartbeat()

    async def flip_bit(self, name: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Have a bit of a weight flipped in the replica's memory, or as it was made."""
        return await self._tell(name, "/internal/weights/flip", document)

    async def change_errors(self, name: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Have the replica answer that many percent of its requests with errors; 0 for none."""
        return await self._tell(name, "/internal/errors", document)

    async def _tell(self, name: str, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        managed = self._find(name)
        if managed.child is None or not managed.alive:
            raise SpawnError(f"{name} does not run")
        client = JsonClient(managed.child.address, self._token)
        try:
            status, said = await client.request("POST", path, document, timeout_s=TELL_TIMEOUT_S)
        finally:
            client.close()
        if status != 200:
            raise SpawnError(f"{name} refuses: {said['error']['message']}")
        return dict(said)

    def answers(self) -> list[tuple[ReplicaSpec, bool, str]]:
        """Each replica whose answers to the golden prompts are known, whether they are right, and their checksum."""
        return [
            (managed.spec, managed.answers_right, managed.answers)
            for managed in self._managed.values()
            if managed.answers_right is not None
        ]

    def blocked(self) -> list[tuple[ReplicaSpec, PullFailed]]:
        """Each replica that cannot have the weights it should, and why."""
        return [(one.spec, one.blocked) for one in self._managed.values() if one.blocked is not None]

    def heartbeat(self) -> list[dict[str, Any]]:
        return [managed.heartbeat() for managed in self._managed.values()]

    def users(self, gpu_index: int) -> list[GpuUser]:
        return [
            GpuUser(managed.spec.name, managed.child.pid, managed.spec.memory_gib, managed.busy)
            for managed in self._managed.values()
            if managed.spec.gpu == gpu_index and managed.child is not None and managed.alive
        ]

    async def shutdown(self) -> None:
        """End all at once; what survives the grace is killed."""
        self._desired = ()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._end(managed, grace_s=STOP_GRACE_S) for managed in self._managed.values()))

    def _find(self, name: str) -> Managed:
        try:
            return self._managed[name]
        except KeyError:
            raise UnknownReplica(f"no replica {name!r} on {self._node}") from None

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        # Known by name before it runs at all: the next reconcile may come first and must not begin it twice.
        task = self._tasks[name] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(functools.partial(self._finished, name))

    def _finished(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        if not task.cancelled() and task.exception() is not None:
            _log.error("unexpected failure", exc_info=task.exception())
        self._changed.set()

    async def _start(self, spec: ReplicaSpec) -> None:
        managed = self._managed.setdefault(spec.name, Managed(spec))
        async with managed.lock:
            if not await self._has_weights(managed, spec) or await self._reloaded(managed, spec):
                return
            await self._end(managed, grace_s=0.0)
            managed.spec = spec
            managed.phase, managed.exit_code, managed.ended_at = STARTING, None, None
            managed.starts += 1
            self._changed.set()
            try:
                child = await spawn.spawn_async(
                    program_argv("replica", self._write_config(spec)),
                    log_path=self._dir / f"{spec.name}.log",
                    ready_timeout_s=START_TIMEOUT_S,
                    on_started=lambda child: setattr(managed, "child", child),
                )
            except SpawnError as error:
                _log.error("%s: %s", spec.name, error)
                managed.phase, managed.ended_at = EXITED, time.monotonic()
                managed.exit_code = None if managed.child is None else managed.child.exit_code()
                return
            managed.address = child.address
            _log.info("%s: pid %d at %s, generation %d", spec.name, child.pid, child.address, spec.generation)
            managed.watch = asyncio.get_running_loop().create_task(self._watch(managed, child))
        self._changed.set()

    async def _has_weights(self, managed: Managed, spec: ReplicaSpec) -> bool:
        """Whether they are here. A replica that has none is blocked; one that runs serves on with what it has."""
        try:
            if spec.weights:
                await self._weights.need(spec.weights)
            managed.blocked = None
        except PullFailed as failed:
            managed.blocked, managed.retry_at = failed, time.monotonic() + BLOCKED_RETRY_S
            if not managed.alive:
                managed.spec, managed.phase = spec, BLOCKED
        return managed.blocked is None

    async def _reloaded(self, managed: Managed, spec: ReplicaSpec) -> bool:
        """Load other weights into a replica that is all else that it should be, while it serves on."""
        if managed.phase != READY or vars(managed.spec) != {**vars(spec), "weights": managed.spec.weights}:
            return False
        if managed.spec.weights == spec.weights:
            return False
        loaded = {"file": str(self._weights.path(spec.weights)), "weights": spec.weights}
        try:
            await self._tell(spec.name, "/internal/weights/load", loaded)
        except (SpawnError, OSError) as error:
            _log.warning("%s: %s", spec.name, error)
            managed.retry_at = time.monotonic() + BLOCKED_RETRY_S
        else:
            managed.spec = spec
            _log.info("%s: weights %s loaded", spec.name, spec.weights[:12])
        return True

    async def _remove(self, name: str) -> None:
        managed = self._managed[name]
        async with managed.lock:
            await self._end(managed, grace_s=STOP_GRACE_S)
            self._managed.pop(name, None)
        _log.info("%s: removed", name)

    async def _end(self, managed: Managed, *, grace_s: float) -> None:
        managed.phase, managed.busy, managed.answers_right = STOPPED, 0.0, None
        if managed.watch is not None:
            managed.watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await managed.watch
            managed.watch = None
        if managed.child is None:
            return
        if grace_s <= 0:
            managed.child.send_signal(signal.SIGKILL)
        managed.exit_code = await managed.child.stop_async(max(grace_s, 0.01))
        managed.ended_at = time.monotonic()

    async def _watch(self, managed: Managed, child: Child) -> None:
        loop = asyncio.get_running_loop()
        probing = [loop.create_task(probe(managed, child.address)) for probe in (self._probe, self._probe_answers)]
        try:
            code = await child.wait_async()
        finally:
            for task in probing:
                task.cancel()
            await asyncio.gather(*probing, return_exceptions=True)
        managed.phase, managed.exit_code, managed.ended_at = EXITED, code, time.monotonic()
        managed.busy, managed.answers_right = 0.0, None
        _log.warning("%s: pid %d ended with %d", managed.spec.name, child.pid, code)
        self._changed.set()

    async def _probe(self, managed: Managed, address: str) -> None:
        client = JsonClient(address)
        timeouts = 0
        try:
            while True:
                began = time.monotonic()
                try:
                    status, said = await client.request("GET", "/v2/health/ready", timeout_s=PROBE_TIMEOUT_S)
                    ready, timeouts = status == 200, 0
                    managed.busy = said.get("running", 0) / max(1, said.get("slots", 1))
                except TimeoutError:
                    timeouts += 1
                    ready = managed.phase == READY and timeouts < PROBE_TIMEOUTS_MAX
                except OSError:
                    ready, timeouts = False, 0
                phase = READY if ready else STARTING
                if phase != managed.phase:
                    managed.phase = phase
                    self._changed.set()
                await asyncio.sleep(max(0.0, began + PROBE_INTERVAL_S - time.monotonic()))
        finally:
            client.close()

    async def _probe_answers(self, managed: Managed, address: str) -> None:
        """Ask the golden prompts again and again: weights that changed in memory show by nothing else.

        Only an answer changes what is known: a replica that is busy or gone has not become right or wrong.
        """
        client = JsonClient(address)
        try:
            while True:
                began = time.monotonic()
                with contextlib.suppress(OSError):
                    if managed.phase == READY:
                        status, said = await client.request("GET", "/internal/golden", timeout_s=GOLDEN_TIMEOUT_S)
                        if status == 200:
                            managed.answers_right, managed.answers = bool(said["ok"]), str(said["checksum"])
                await asyncio.sleep(max(0.0, began + GOLDEN_INTERVAL_S - time.monotonic()))
        finally:
            client.close()

    def _write_config(self, spec: ReplicaSpec) -> Path:
        path = self._dir / f"{spec.name}.json"
        told = {"node": self._node, "gpu_state_file": str(self._gpu_state_file(spec.gpu)), "token": self._token}
        if spec.weights:
            told["weights_file"] = str(self._weights.path(spec.weights))
        write_private(path, json.dumps({**vars(spec), **told, "listen": self._listen}))
        return path
