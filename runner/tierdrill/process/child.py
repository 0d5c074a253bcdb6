"""A program that was started: how one is, its identity, its end, its log.

Every child asks the kernel to be killed when its starter dies (PR_SET_PDEATHSIG), so that `kill -9` of any lab process
leaves nothing behind, stopped children included. The kernel ties that request to the starter's *thread*: launch from a
thread that lives as long as the child should, which in practice is the main one.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tierdrill.process.identity import here, identify

LOG_TAIL_BYTES = 2000
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02


class SpawnError(RuntimeError):
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
        self.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.wait_async(), grace_s)
        except TimeoutError:
            self.send_signal(signal.SIGKILL)
            return await asyncio.wait_for(self.wait_async(), 5.0)

    def log_tail(self) -> str:
        """The end of what it printed."""
        return tail(self.log_path)


def launch(
    argv: Sequence[str],
    *,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    new_group: bool = False,
    group: int | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start a program that does not announce itself (Prometheus, say).

    `new_group` makes it the leader of its own process group, `group` puts it into an existing one.
    """
    if new_group and group is not None:
        raise ValueError("new_group and group exclude each other")
    process_group = 0 if new_group else -1 if group is None else group
    with open_log(log_path) as log:
        try:
            popen = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                process_group=process_group,
                pass_fds=tuple(pass_fds),
                preexec_fn=_die_with_parent(os.getpid()),
            )
        except OSError as error:
            raise SpawnError(f"cannot start {argv[0]}: {error}") from error
    pgid = popen.pid if new_group else os.getpgrp() if group is None else group
    return Child(popen, log_path, pgid)


def open_log(path: Path) -> BinaryIO:
    """A child's log, to append to; nowhere where it cannot be opened: a log keeps nothing from being started or undone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        logging.getLogger("tierdrill").warning("no log: %s: %s", path, error.strerror)
        return Path(os.devnull).open("ab")


def tail(path: Path, size: int = LOG_TAIL_BYTES) -> str:
    """The last bytes of a log, as text; an unreadable log is an empty one."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - size))
            return log.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _die_with_parent(parent: int) -> Callable[[], None]:
    """What the child does between fork and exec: ask to be killed when `parent` dies (Linux; elsewhere nothing)."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the parent died before we could ask

    return ask


async def readable(fd: int) -> None:
    """Await that there is something to read, or an end of file."""
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
