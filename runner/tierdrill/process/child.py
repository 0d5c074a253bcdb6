"""How every program is started that is not just a question with an answer: its identity, its input, its end, its log.

A child asks the kernel to be killed when its starter dies (PR_SET_PDEATHSIG), stopped or not, unless it is to outlive
it: so `kill -9` of any lab process leaves nothing behind. The kernel ties that request to the starter's *thread*: start
from a thread that lives as long as the child should, which in practice is the main one.

asyncio is imported where it is awaited: the reaper and a chaos action start sooner without it.
"""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypedDict, Unpack

from tierdrill.process.identity import here, identify
from tierdrill.text import Explained

LOG_TAIL_BYTES = 2000
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02


class SpawnError(Explained, RuntimeError):
    """A program could not be started, or died or stayed silent before it was ready."""


class How(TypedDict, total=False):
    env: Mapping[str, str] | None
    """None: as this process's."""
    cwd: Path | None
    stdin: bool
    """Whether it reads what it is told with `say` or `feed`; else it has nothing to read."""
    session: bool
    """In a session, and with that a process group, of its own."""
    new_group: bool
    """As the leader of a process group of its own."""
    group: int | None
    """In that process group."""
    pass_fds: Sequence[int]
    outlives: bool
    """Whether it lives on when its starter dies."""


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


def start(argv: Sequence[str], output: Path | tuple[BinaryIO, BinaryIO] | None, **how: Unpack[How]) -> Child:
    """Start a program. OSError where the machine will not.

    `output` is a log to append to, two open files for stdout and stderr, or None: nobody reads it.
    """
    session, new_group, group = how.get("session", False), how.get("new_group", False), how.get("group")
    if session + new_group + (group is not None) > 1:
        raise ValueError("session, new_group and group exclude each other")
    env = how.get("env")
    with _opened(output) as (out, err):
        popen = subprocess.Popen(
            list(argv),
            bufsize=0,
            stdin=subprocess.PIPE if how.get("stdin") else subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=None if env is None else dict(env),
            cwd=how.get("cwd"),
            start_new_session=session,
            process_group=0 if new_group else -1 if group is None else group,
            pass_fds=tuple(how.get("pass_fds", ())),
            preexec_fn=None if how.get("outlives") else _die_with_parent(os.getpid()),
        )
    pgid = popen.pid if session or new_group else os.getpgrp() if group is None else group
    return Child(popen, output if isinstance(output, Path) else Path(os.devnull), pgid)


def launch(argv: Sequence[str], *, log_path: Path, **how: Unpack[How]) -> Child:
    """Start a program that does not announce itself (Prometheus, say), or SpawnError."""
    try:
        return start(argv, log_path, **how)
    except OSError as error:
        raise SpawnError(f"cannot start {argv[0]}: {error}") from error


@contextlib.contextmanager
def _opened(output: Path | tuple[BinaryIO, BinaryIO] | None) -> Iterator[tuple[BinaryIO | int, BinaryIO | int]]:
    if isinstance(output, Path):
        with open_log(output) as log:
            yield log, subprocess.STDOUT
    else:
        yield output or (subprocess.DEVNULL, subprocess.DEVNULL)


@contextlib.contextmanager
def shared_pipe(*, child_reads: bool = False) -> Iterator[tuple[int, int]]:
    """A pipe with a program that is started inside: our end, to close later, and the program's, for `pass_fds`."""
    ours, childs = os.pipe()
    if child_reads:
        ours, childs = childs, ours
    try:
        yield ours, childs
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(childs)


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


def outlive_starter() -> None:
    """In a program that has been started: stay when its starter ends after all, or the terminal does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)


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
