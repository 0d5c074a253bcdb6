"""The runner's side of the experiment child: start, ready, go, its events, abort, end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tierdrill.conductor.plan import Plan
from tierdrill.faults.blast_radius import Limits
from tierdrill.history.events import Event
from tierdrill.history.kinds.run_kinds import RunNote
from tierdrill.process.child import Child
from tierdrill.process.programs import Program, program, user_environment
from tierdrill.process.safe_files import write_private
from tierdrill.process.spawn import shared_pipe, start

READY_WITHIN_S = 15.0
SPEC_FILE = "experiment.json"
Take = Callable[[Event], Any]


class ExperimentError(RuntimeError):
    """The experiment child could not be started or ended before it was ready."""


def write_spec(plan: Plan, folder: Path) -> Path:
    """The child's input: the experiment, the values this run gives its variables, the drill's proofs."""
    path = folder / SPEC_FILE
    spec = {
        "experiment": plan.setting.experiment,
        "variables": plan.variables,
        "proofs": [proof.model_dump(mode="json") for proof in plan.setting.drill.proofs],
    }
    write_private(path, json.dumps(spec, indent=1))
    return path


class ExperimentProcess:
    """One supervised Chaos Toolkit run."""

    def __init__(self, process: Child) -> None:
        self._process = process
        self.ready = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        spec: Path,
        *,
        home: Path,
        run: str,
        place: dict[str, Any],
        lease_s: float,
        limits: Limits | None = None,
        folder: Path,
        take: Take,
        secrets: Iterable[str] = (),
    ) -> ExperimentProcess:
        """Start the child; `take` gets every event it writes. Call from the main thread.

        It runs where the runner was called, with the user's environment but for `secrets`, as under `chaos run`.
        """
        environment = {
            **user_environment(secrets),
            **({"TIERDRILL_LIMITS": json.dumps(vars(limits))} if limits is not None else {}),
            "TIERDRILL_HOME": str(home),
            "TIERDRILL_RUN": run,
            "TIERDRILL_PLACE": json.dumps(place),
            "TIERDRILL_LEASE": str(lease_s),
        }
        try:
            with shared_pipe() as (read_fd, write_fd):
                process = start(
                    program(Program.EXPERIMENT, spec),
                    folder / "experiment.log",
                    stdin=True,
                    env={**environment, "TIERDRILL_EVENTS_FD": str(write_fd)},
                    pass_fds=(write_fd,),
                    session=True,
                )
        except OSError as error:
            raise ExperimentError(f"cannot start the experiment process: {error}") from error
        child = cls(process)
        child._pump = asyncio.create_task(child._read(read_fd, take))
        return child

    @property
    def pid(self) -> int:
        """The child's, and its process group's."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.exit_code()

    async def await_ready(self) -> None:
        """Until everything is loaded; ExperimentError with the log's end otherwise."""
        ended = asyncio.create_task(self._process.wait_async())
        ready = asyncio.create_task(self.ready.wait())
        try:
            done, _ = await asyncio.wait({ended, ready}, timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ended, ready):
                task.cancel()
        if ready not in done:
            raise ExperimentError(f"the experiment could not be loaded: {self._process.log_tail()}")

    async def go(self, inject_at: float) -> None:
        """Let it begin; its first fault waits for `inject_at` (Unix seconds)."""
        try:
            self._process.say(repr(inject_at))
        except OSError as error:
            raise ExperimentError(f"the experiment process exited: {self._process.log_tail()}") from error

    def abort(self) -> None:
        """Ask Chaos Toolkit to stop and play its rollbacks.

        SIGUSR1 to the child alone: the programs of its process actions must not get it, a rollback's least of all.
        """
        self._process.send_signal(signal.SIGUSR1)

    async def end(self, within_s: float) -> int:
        """Wait for its end, kill it after `within_s`, and read its last events."""
        self._process.close_stdin()
        try:
            code = await asyncio.wait_for(self._process.wait_async(), within_s)
        except TimeoutError:
            self._process.signal_group(signal.SIGKILL)
            code = await self._process.wait_async()
        if self._pump is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._pump, 2.0)
        return code

    async def wait(self) -> int:
        return await self._process.wait_async()

    async def _read(self, read_fd: int, take: Take) -> None:
        reader = asyncio.StreamReader(limit=1 << 20)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_fd, "rb")
        )
        try:
            while line := await reader.readline():
                try:
                    item = Event.from_line(line.decode())
                except (ValueError, UnicodeDecodeError):
                    continue
                if item.payload == RunNote(text="ready"):
                    self.ready.set()
                    continue
                take(item)
        finally:
            transport.close()
