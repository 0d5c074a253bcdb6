"""How lab programs are started, and how the starter gets to know that they serve.

A program tells its starter that it serves by writing one JSON line to the descriptor it got as `--ready-fd`. Nobody
polls a port or reads a log to find that out.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tierdrill.process import programs
from tierdrill.process.child import Child, Ready, SpawnError, launch, readable

READY_TIMEOUT_S = 10.0
_READY_LINE_BYTES_MAX = 65536


def program_argv(program: str, config_path: Path) -> list[str]:
    """The command line that starts one of this package's lab programs."""
    return programs.program(f"tierdrill.lab.{program}", "--config", config_path)


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
                await readable(ready_fd)
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
