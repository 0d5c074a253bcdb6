"""The load child from the conductor's side: start, ready, go, samples, stop.

locust must never be imported into the conductor: it patches the standard library. So it runs in a process group of its
own, is ready when it says so on a pipe, and is killed by the kernel when the conductor dies.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from tierdrill.credentials import ServerLogin
from tierdrill.load.child_line import PLAN, READY_FD
from tierdrill.load.load_plan import LoadPlan
from tierdrill.load.sample_tail import ReportTail, SampleTail
from tierdrill.load.sample_writer import Sample
from tierdrill.process.child import Child
from tierdrill.process.programs import Program, bare_environment, program, user_environment
from tierdrill.process.ready_line import read_line_async
from tierdrill.process.spawn import shared_pipe, start
from tierdrill.text import Explained

LOCUST_FILE = Path(__file__).with_name("locustfile.py")
READY_TIMEOUT_S, STOP_TIMEOUT_S = 30.0, 1.0
JOBS_READY_S, JOBS_STOP_S = 150.0, 6.0
"""Pods take longer than a process."""


class LoadError(Explained, RuntimeError):
    """The load child could not be started, or died or stayed silent before it was ready."""


def _secrets_of(plan: LoadPlan) -> list[str]:
    return ServerLogin(plan.connection or {}).variables()


class LoadProcess:
    """One load child. Call `start`, `go`, read `samples`, then `wait` or `stop`; `kill` is always safe."""

    def __init__(self, process: Child, plan: LoadPlan, about: dict[str, Any]) -> None:
        self._process = process
        self._plan = plan
        self.about = about
        """What the child said once it could send: the connections it has open per target."""
        self.log_path = process.log_path
        self._ended = asyncio.Event()
        self._watch = asyncio.create_task(self._watched())
        self.sample_tail = SampleTail(plan.sample_path)
        self.report_tail = ReportTail(plan.status_path)

    @classmethod
    async def start(
        cls,
        plan: LoadPlan,
        directory: Path,
        *,
        locust_arguments: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> LoadProcess:
        """Start the child and wait until it is ready to send; LoadError where it does not get there.

        `locust_arguments` make it a master, say: `("--master", "--expect-workers", "2")`. Call from the main thread:
        the kernel ties the child's life to the thread that started it.
        """
        directory.mkdir(parents=True, exist_ok=True)
        plan_path, log_path = directory / "load-plan.json", directory / "load.log"
        plan.write(plan_path)
        if timeout_s is None:
            timeout_s = READY_TIMEOUT_S if plan.jobs is None else JOBS_READY_S
        try:
            with shared_pipe() as (ready_fd, child_fd):
                process = start(
                    locust_command(*locust_arguments) if plan.jobs is None else program(Program.LOAD_JOBS),
                    log_path,
                    stdin=True,
                    cwd=directory,
                    # Its home is its folder: somebody's ~/.locust.conf or LOCUST_RUN_TIME must not shape a drill.
                    # Who reaches a cluster may need all that a kubeconfig's login program does.
                    env={
                        **(bare_environment(directory.resolve()) if plan.jobs is None else user_environment()),
                        PLAN: str(plan_path.resolve()),
                        READY_FD: str(child_fd),
                        **{name: os.environ[name] for name in _secrets_of(plan) if name in os.environ},
                    },
                    pass_fds=(child_fd,),
                    session=True,
                )
        except OSError as error:
            raise LoadError(f"cannot start the load child: {error}") from error
        try:
            about = json.loads(await read_line_async(ready_fd, timeout_s))
        except BaseException as error:
            process.signal_group(signal.SIGKILL)
            await process.wait_async()
            if isinstance(error, TimeoutError):
                why = f"load child not ready within {timeout_s:g} s"
            elif isinstance(error, ValueError):
                why = "load child ended before it was ready"
            else:
                raise
            raise LoadError(f"{why}: {_said(process)}") from None
        finally:
            os.close(ready_fd)
        return cls(process, plan, dict(about))

    @property
    def pid(self) -> int:
        """The child's, and its process group's."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 0 after a whole schedule or a stop."""
        return self._process.exit_code()

    async def go(self, start_at: float) -> None:
        """Tell the child schedule zero, in Unix time; best a few hundred milliseconds ahead."""
        try:
            self._process.say(repr(start_at))
        except OSError as error:
            raise LoadError(f"the load child is gone: {_said(self._process)}") from error

    async def samples(self) -> AsyncIterator[list[Sample]]:
        """The samples in batches as they come, until the child has ended and its files are read."""
        async for batch in self.sample_tail.follow(self._ended):
            yield batch

    async def reports(self) -> AsyncIterator[list[dict[str, Any]]]:
        """The child's self-reports, likewise."""
        async for batch in self.report_tail.follow(self._ended):
            yield batch

    async def wait(self) -> int:
        return await asyncio.shield(self._watch)

    async def stop(self, timeout_s: float | None = None) -> int:
        """End the child: asked first, so that it flushes, then killed. Returns its exit code."""
        if timeout_s is None:
            timeout_s = STOP_TIMEOUT_S if self._plan.jobs is None else JOBS_STOP_S
        self._process.signal_group(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.wait(), timeout_s)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End the child's whole process group now."""
        self._process.signal_group(signal.SIGKILL)
        return await self.wait()

    async def _watched(self) -> int:
        code = await self._process.wait_async()
        self._process.close_stdin()
        self._ended.set()
        return code


def locust_command(*arguments: str) -> list[str]:
    """The child's argument list: this interpreter, so that it finds this package."""
    base = program(Program.LOCUST, "-f", LOCUST_FILE, "--only-summary", "--loglevel", "INFO")
    return [*base, *arguments] if "--worker" in arguments else [*base, "--headless", *arguments]


def _said(process: Child) -> str:
    return process.log_tail() or "its log is empty"
