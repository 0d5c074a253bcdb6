"""The runner's end of its reaper, which outlives it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from tierdrill.process.child import Child
from tierdrill.process.programs import Program, program, user_environment
from tierdrill.process.ready_line import await_ready
from tierdrill.process.signals import StopSignal
from tierdrill.process.spawn import shared_pipe, start

READY_WITHIN_S = 10.0
DISMISS_WITHIN_S = 5.0


class ReaperError(RuntimeError):
    """The reaper could not be started, or died before it was at its post."""


class ReaperHandle:
    def __init__(self, process: Child, write_fd: int, stop: StopSignal) -> None:
        self._process = process
        self._write_fd = write_fd
        self._dismissed = False
        self._watch = asyncio.create_task(self._watched(stop))

    @property
    def pid(self) -> int:
        return self._process.pid

    async def _watched(self, stop: StopSignal) -> None:
        code = await self._process.wait_async()
        if not self._dismissed:
            stop.stop("error", f"the reaper died ({code}); nothing may stay injected without it")

    async def dismiss(self, *, clean: bool) -> None:
        """Tell it that all is done; it checks nothing more and ends. Not clean: it is let go to heal what it can."""
        self._dismissed = True
        if clean:
            with contextlib.suppress(OSError):
                os.write(self._write_fd, b"done")
        with contextlib.suppress(OSError):
            os.close(self._write_fd)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait_async(), DISMISS_WITHIN_S)
        self._watch.cancel()


async def start_reaper(
    home: Path, run: str, lab: str | None, folder: Path, stop: StopSignal, secrets: Iterable[str] = ()
) -> ReaperHandle:
    """Start the run's reaper in a session of its own, and wait until it is at its post; ReaperError if it does not.

    Only the runner holds the pipe's writing end: its death is an end of file. `secrets` are variables that it must not
    get; the others it needs as the experiment does, whose rollbacks it may have to play.
    """
    command = program(Program.REAPER, "--home", home, "--run", run)
    if lab is not None:
        command += ["--lab", lab]
    try:
        with shared_pipe(child_reads=True) as (write_fd, parent_fd), shared_pipe() as (heard_fd, ready_fd):
            process = start(
                [*command, "--parent-fd", str(parent_fd), "--ready-fd", str(ready_fd)],
                folder / "reaper.log",
                pass_fds=(parent_fd, ready_fd),
                env=user_environment(secrets),
                session=True,
                outlives=True,
            )
    except OSError as error:
        raise ReaperError(f"the reaper could not be started: {error}") from error
    if not await asyncio.to_thread(await_ready, heard_fd, READY_WITHIN_S):
        os.close(write_fd)
        process.send_signal(signal.SIGKILL)
        code = await process.wait_async()
        raise ReaperError(f"the reaper was not ready within {READY_WITHIN_S:g} s ({code}): see reaper.log")
    return ReaperHandle(process, write_fd, stop)
