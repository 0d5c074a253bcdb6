"""How lab programs start: the starter's side (spawn, kill a group) and the program's side (arguments, ready).

A program tells its starter that it serves by writing one JSON line to the descriptor it got as `--ready-fd`. Nobody
polls a port or reads a log to find that out. Every child asks the kernel to be killed when its starter dies
(PR_SET_PDEATHSIG), so that `kill -9` of any lab process leaves nothing behind, stopped children included.

The kernel ties that request to the starter's *thread*: spawn from a thread that lives as long as the child should,
which in practice is the main one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.history.processes import ProcessId, here, identify

READY_TIMEOUT_S = 10.0
LOG_TAIL_BYTES = 2000
_READY_LINE_BYTES_MAX = 65536
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


@dataclass(frozen=True)
class Arguments:
    """The command line every lab program takes."""

    config: dict[str, Any]
    ready_fd: int | None


def program_arguments(program: str, argv: Sequence[str] | None = None) -> Arguments:
    """Parse `--config FILE.json [--ready-fd N]`."""
    parser = argparse.ArgumentParser(prog=f"python -m tierdrill.lab.{program}")
    parser.add_argument("--config", required=True, type=Path)
    parser.add_argument("--ready-fd", type=int, default=None)
    options = parser.parse_args(argv)
    config = json.loads(options.config.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        parser.error(f"{options.config}: expected a JSON object")
    return Arguments(config=config, ready_fd=options.ready_fd)


def announce_ready(ready_fd: int | None, program: str, name: str, address: str) -> None:
    """Tell the starter where this program serves; without a descriptor (started by hand) do nothing."""
    if ready_fd is None:
        return
    line = json.dumps({"program": program, "name": name, "address": address, "pid": os.getpid()}) + "\n"
    try:
        os.write(ready_fd, line.encode())
    finally:
        os.close(ready_fd)


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
            await _readable(pidfd)
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


def program_argv(program: str, config_path: Path) -> list[str]:
    """The command line that starts one of this package's lab programs."""
    return [sys.executable, "-m", f"tierdrill.lab.{program}", "--config", str(config_path)]


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
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
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


def spawn(
    argv: Sequence[str],
    *,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    new_group: bool = False,
    group: int | None = None,
    ready_timeout_s: float = READY_TIMEOUT_S,
) -> Child:
    """Start a lab program and block until it is ready; otherwise kill it and raise with its log's tail."""
    child, ready_fd = _spawn_unready(argv, log_path=log_path, env=env, cwd=cwd, new_group=new_group, group=group)
    deadline = time.monotonic() + ready_timeout_s
    received = b""
    poller = select.poll()
    poller.register(ready_fd, select.POLLIN)
    try:
        while not _line_complete(received):
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0 or not poller.poll(left_ms):
                raise _not_ready(child, argv, f"was not ready within {ready_timeout_s:g} s")
            chunk = os.read(ready_fd, 4096)
            if not chunk:
                raise _not_ready(child, argv, "closed its ready descriptor without a word")
            received += chunk
        child.ready = _parse_ready(child, argv, received)
    except BaseException:
        _abandon(child)
        raise
    finally:
        os.close(ready_fd)
    return child


async def spawn_async(
    argv: Sequence[str],
    *,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    new_group: bool = False,
    group: int | None = None,
    ready_timeout_s: float = READY_TIMEOUT_S,
    on_started: Callable[[Child], None] | None = None,
) -> Child:
    """As `spawn`, without blocking the loop. `on_started` sees the child before it is ready (to show its pid)."""
    child, ready_fd = _spawn_unready(argv, log_path=log_path, env=env, cwd=cwd, new_group=new_group, group=group)
    received = b""
    try:
        if on_started is not None:
            on_started(child)
        async with asyncio.timeout(ready_timeout_s):
            while not _line_complete(received):
                await _readable(ready_fd)
                chunk = os.read(ready_fd, 4096)
                if not chunk:
                    raise _not_ready(child, argv, "closed its ready descriptor without a word")
                received += chunk
        child.ready = _parse_ready(child, argv, received)
    except TimeoutError:
        error = _not_ready(child, argv, f"was not ready within {ready_timeout_s:g} s")
        _abandon(child)
        raise error from None
    except BaseException:
        _abandon(child)
        raise
    finally:
        os.close(ready_fd)
    return child


def tail(path: Path, size: int = LOG_TAIL_BYTES) -> str:
    """The last bytes of a log, as text; an unreadable log is an empty one."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - size))
            return log.read().decode(errors="replace").strip()
    except OSError:
        return ""


def signal_process(process: ProcessId, number: int) -> bool:
    """Signal exactly that process; False when it is gone or its pid is somebody else's."""
    if process.state() is None:
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def group_members(pgid: int) -> list[int]:
    """Living (not zombie) processes of a group."""
    import psutil  # here, not above: replicas import this module and have no use for it

    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == pgid and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue
    return members


def kill_group(pgid: int, leader: ProcessId, *, timeout_s: float = 2.0) -> bool:
    """SIGKILL a whole group at once, as a power cut does; True when none of its members lives any more.

    If the leader's pid belongs to another process by now, the group is not ours and is left alone. A leader that is
    merely gone does not free its group's number while members live, so they are killed.
    """
    if pgid <= 1 or pgid == os.getpgrp():
        raise ValueError(f"refusing to kill process group {pgid}")
    if identify(leader.pid) not in (None, leader):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pgid, signal.SIGKILL)
    deadline = time.monotonic() + timeout_s
    while group_members(pgid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


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


def _spawn_unready(
    argv: Sequence[str],
    *,
    log_path: Path,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    new_group: bool,
    group: int | None,
) -> tuple[Child, int]:
    read_fd, write_fd = os.pipe()
    try:
        child = launch(
            [*argv, "--ready-fd", str(write_fd)],
            log_path=log_path,
            env=env,
            cwd=cwd,
            new_group=new_group,
            group=group,
            pass_fds=(write_fd,),
        )
    except BaseException:
        os.close(read_fd)
        raise
    finally:
        os.close(write_fd)
    return child, read_fd


def _line_complete(received: bytes) -> bool:
    return b"\n" in received or len(received) > _READY_LINE_BYTES_MAX


def _parse_ready(child: Child, argv: Sequence[str], received: bytes) -> Ready:
    try:
        said = json.loads(received.split(b"\n", 1)[0])
        return Ready(str(said["program"]), str(said["name"]), str(said["address"]), int(said["pid"]))
    except (ValueError, KeyError, TypeError):
        raise _not_ready(child, argv, f"announced itself with {received[:200]!r}") from None


def _not_ready(child: Child, argv: Sequence[str], what: str) -> SpawnError:
    code = child.wait(0.2)  # it usually just died: say so, with its code
    state = "still running" if code is None else f"exit code {code}"
    said = child.log_tail() or "(it printed nothing)"
    return SpawnError(f"{' '.join(argv[:4])} {what} ({state}); log {child.log_path}:\n{said}")


def _abandon(child: Child) -> None:
    if child.exit_code() is None:
        child.send_signal(signal.SIGKILL)
        child.wait(5.0)


async def _readable(fd: int) -> None:
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
