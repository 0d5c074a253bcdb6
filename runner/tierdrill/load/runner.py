"""The load child from the conductor's side: start, ready, go, samples, stop.

locust must never be imported into the conductor: it patches the standard library. So it runs in a process group of its
own, is ready when it says so on a pipe, and is killed by the kernel when the conductor dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.load.control import PLAN, READY_FD
from tierdrill.load.plan import LoadPlan
from tierdrill.load.recorder import Sample
from tierdrill.load.tail import ReportTail, SampleTail
from tierdrill.process.programs import bare_environment, program

LOCUST_FILE = Path(__file__).with_name("locustfile.py")
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 1.0
LOG_TAIL_BYTES = 2000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class LoadError(RuntimeError):
    """The load child could not be started, or died or stayed silent before it was ready."""


@dataclass(frozen=True, slots=True)
class LoadReady:
    """What the child says once it could send; `about` holds the connections it has open per target."""

    pid: int
    about: dict[str, Any]


def die_with_parent() -> None:
    """In a child before exec: ask the kernel to kill it when its starter dies (Linux; elsewhere nothing)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class LoadProcess:
    """One load child. Call `start`, `go`, read `samples`, then `wait` or `stop`; `kill` is always safe."""

    def __init__(self, process: asyncio.subprocess.Process, plan: LoadPlan, ready: LoadReady, log_path: Path) -> None:
        self._process = process
        self._plan = plan
        self.ready = ready
        self.log_path = log_path
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
        timeout_s: float = READY_TIMEOUT_S,
    ) -> LoadProcess:
        """Start the child and wait until it is ready to send; LoadError where it does not get there.

        `locust_arguments` make it a master, say: `("--master", "--expect-workers", "2")`. Call from the main thread:
        the kernel ties the child's life to the thread that started it.
        """
        directory.mkdir(parents=True, exist_ok=True)
        plan_path, log_path = directory / "load-plan.json", directory / "load.log"
        plan.write(plan_path)
        ready_fd, child_fd = os.pipe()
        environment = {PLAN: str(plan_path.resolve()), READY_FD: str(child_fd)}
        try:
            with log_path.open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *locust_command(*locust_arguments),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=directory,
                    # Its home is its folder: somebody's ~/.locust.conf or LOCUST_RUN_TIME must not shape a drill.
                    env={**bare_environment(directory.resolve()), **environment},
                    pass_fds=(child_fd,),
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
        except BaseException:
            os.close(ready_fd)
            raise
        finally:
            os.close(child_fd)
        try:
            about = await _ready_line(ready_fd, timeout_s)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            if isinstance(error, LoadError):
                raise LoadError(f"{error}: {_log_tail(log_path)}") from None
            raise
        return cls(process, plan, LoadReady(process.pid, about), log_path)

    @property
    def pid(self) -> int:
        """The child's, and its process group's."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 0 after a whole schedule or a stop."""
        return self._process.returncode

    async def go(self, start_at: float) -> None:
        """Tell the child schedule zero, in Unix time; best a few hundred milliseconds ahead."""
        if self._process.stdin is None:
            raise LoadError("the load child has no stdin")
        try:
            self._process.stdin.write(f"{start_at!r}\n".encode())
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise LoadError(f"the load child is gone: {_log_tail(self.log_path)}") from error

    async def samples(self) -> AsyncIterator[list[Sample]]:
        """The samples in batches as they come, until the child has ended and its files are read."""
        async for batch in self.sample_tail.follow(self._ended):
            yield batch

    async def reports(self) -> AsyncIterator[list[dict[str, Any]]]:
        """The child's self-reports, likewise."""
        async for batch in self.report_tail.follow(self._ended):
            yield batch

    async def wait(self) -> int:
        """Until the child has ended; its exit code."""
        return await asyncio.shield(self._watch)

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """End the child: asked first, so that it flushes, then killed. Returns its exit code."""
        self._signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.wait(), timeout_s)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End the child's whole process group now."""
        self._signal(signal.SIGKILL)
        return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        # Only while the child is not yet reaped does its number surely still mean its group.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def _watched(self) -> int:
        code = await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._ended.set()
        return code


def locust_command(*arguments: str) -> list[str]:
    """The child's argument list: this interpreter, so that it finds this package."""
    base = program("locust", "-f", LOCUST_FILE, "--only-summary", "--loglevel", "INFO")
    return [*base, *arguments] if "--worker" in arguments else [*base, "--headless", *arguments]


async def _ready_line(ready_fd: int, timeout_s: float) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ready_fd, "rb"))
    try:
        line = await asyncio.wait_for(reader.readline(), timeout_s)
    except TimeoutError:
        raise LoadError(f"load child not ready within {timeout_s:g} s") from None
    finally:
        transport.close()
    try:
        about = json.loads(line)
    except ValueError:
        raise LoadError("load child ended before it was ready") from None
    return dict(about)


def _log_tail(path: Path) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
        return file.read().decode(errors="replace").strip()
    return "no log"
