"""A program that was started: its identity, its input, its end, its log.

asyncio is imported where it is awaited: the reaper and a chaos action start sooner without it.
"""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tierdrill.process.identity import here, identify
from tierdrill.text import Explained

LOG_TAIL_BYTES = 2000
_POLL_S = 0.02


class SpawnError(Explained, RuntimeError):
    """A program could not be started, or died or stayed silent before it was ready."""


@dataclass(frozen=True)
class Ready:
    """What a program says once it serves."""

    program: str
    name: str
    address: str
    pid: int


class Child:
    """A started program: its readiness, its identity and how to end it."""

    def __init__(self, popen: subprocess.Popen[bytes], log_path: Path, pgid: int) -> None:
        self._popen = popen
        self.log_path = log_path
        self.pid = popen.pid
        self.pgid = pgid
        self.identity = identify(popen.pid) or here(popen.pid, 0)
        self.started_at = time.time()
        self.ready: Ready | None = None

    @property
    def address(self) -> str:
        """Where it serves; only a program that announced itself has one."""
        if self.ready is None:
            raise SpawnError(f"process {self.pid} has not announced an address")
        return self.ready.address

    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._popen.poll()

    def send_signal(self, number: int) -> bool:
        """Signal it; False when it has already ended (Popen never signals a reused pid)."""
        if self._popen.poll() is not None:
            return False
        self._popen.send_signal(number)
        return True

    def signal_group(self, number: int) -> bool:
        """Signal all of its own process group; False when it has ended, since the number may then be another's."""
        if self.pgid != self.pid:
            raise ValueError(f"process {self.pid} leads no group of its own")
        if self._popen.poll() is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pgid, number)
        return True

    def say(self, line: str) -> None:
        """Write a short line to its stdin; OSError (BrokenPipeError) when it reads no more."""
        if self._popen.stdin is None:
            raise ValueError(f"process {self.pid} was started without stdin")
        self._popen.stdin.write(f"{line}\n".encode())

    def feed(self, data: bytes, within_s: float) -> int | None:
        """Write all of its input and block until it ends; None when the time runs out."""
        try:
            self._popen.communicate(data, timeout=within_s)
        except subprocess.TimeoutExpired:
            return None
        return self._popen.returncode

    def close_stdin(self) -> None:
        if self._popen.stdin is not None:
            self._popen.stdin.close()

    def wait(self, timeout_s: float) -> int | None:
        """Block until it ends or the time runs out."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    async def wait_async(self) -> int:
        """Await its end. Bound it with asyncio.wait_for where a bound is wanted."""
        code = self._popen.poll()
        if code is not None:
            return code
        try:
            pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            import asyncio

            while (code := self._popen.poll()) is None:  # noqa: ASYNC110 - this system has no pidfd to await
                await asyncio.sleep(_POLL_S)
            return code
        try:
            await readable(pidfd)
        finally:
            os.close(pidfd)
        return self._popen.wait(1.0)

    def stop(self, grace_s: float = 1.0) -> int:
        """SIGTERM, then SIGKILL after the grace. A stopped (SIGSTOP) process is killed as well."""
        self.send_signal(signal.SIGTERM)
        code = self.wait(grace_s)
        if code is None:
            self.send_signal(signal.SIGKILL)
            code = self._popen.wait(5.0)
        return code

    async def stop_async(self, grace_s: float = 1.0) -> int:
        """As `stop`, without blocking the loop."""
        import asyncio

        self.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.wait_async(), grace_s)
        except TimeoutError:
            self.send_signal(signal.SIGKILL)
            return await asyncio.wait_for(self.wait_async(), 5.0)

    def log_tail(self) -> str:
        return tail(self.log_path)


def tail(path: Path, size: int = LOG_TAIL_BYTES) -> str:
    """The last bytes of a log, as text; an unreadable log is an empty one."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - size))
            return log.read().decode(errors="replace").strip()
    except OSError:
        return ""


async def readable(fd: int) -> None:
    """Await that there is something to read, or an end of file."""
    import asyncio

    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, wake)
    try:
        await ready
    finally:
        loop.remove_reader(fd)
