"""Spawning a program, which tells its starter that it serves: one line into the descriptor it got as `--ready-fd`.

Nobody polls a port or reads a log to find that out. A lab program's line is JSON and says where it serves; that of a
reaper is READY.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from tierdrill.process.child import Child, How, Ready, SpawnError, launch, readable, shared_pipe
from tierdrill.process.programs import Program, program

READY = b"ready\n"
READY_TIMEOUT_S = 10.0
_LINE_BYTES_MAX = 65536


def read_line(descriptor: int, within_s: float) -> bytes:
    """Block until there is a line, and read it; without its end where the other side closed. TimeoutError."""
    deadline = time.monotonic() + within_s
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    received = b""
    while not _is_whole(received):
        left_ms = (deadline - time.monotonic()) * 1000
        if left_ms <= 0 or not poller.poll(left_ms):
            raise TimeoutError
        if not (chunk := os.read(descriptor, 4096)):
            break
        received += chunk
    return received


async def read_line_async(descriptor: int, within_s: float) -> bytes:
    """As `read_line`, without blocking the loop."""
    import asyncio  # not needed by who only tells or blocks, and slow to import

    received = b""
    async with asyncio.timeout(within_s):
        while not _is_whole(received):
            await readable(descriptor)
            if not (chunk := os.read(descriptor, 4096)):
                break
            received += chunk
    return received


def _is_whole(received: bytes) -> bool:
    return b"\n" in received or len(received) > _LINE_BYTES_MAX


def tell_ready(descriptor: int | None) -> None:
    """A reaper's word to who started it: from now on it is at its post."""
    if descriptor is not None:
        os.write(descriptor, READY)
        os.close(descriptor)


def await_ready(descriptor: int, within_s: float) -> bool:
    """Wait for that word on the other end; False if it did not come. Closes the descriptor."""
    try:
        return read_line(descriptor, within_s) == READY
    except TimeoutError:
        return False
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Arguments:
    """The command line every lab program takes."""

    config: dict[str, Any]
    ready_fd: int | None


def program_argv(name: str, config_path: Path) -> list[str]:
    """The command line that starts one of this package's lab programs."""
    return program(Program[name.upper()], "--config", config_path)


def program_arguments(name: str, argv: Sequence[str] | None = None) -> Arguments:
    """Parse `--config FILE.json ... [--set NAME=VALUE ...] [--ready-fd N]`.

    Of several files, and of what is set by hand, the later one counts: a pod has its secret in a file of its own, and
    its name and node in variables.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tierdrill.lab.{name}")
    parser.add_argument("--config", required=True, type=Path, action="append")
    parser.add_argument("--set", type=_setting, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--ready-fd", type=int, default=None)
    options = parser.parse_args(argv)
    config: dict[str, Any] = {}
    for path in options.config:
        part = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(part, dict):
            parser.error(f"{path}: expected a JSON object")
        config |= part
    return Arguments(config=config | dict(options.set), ready_fd=options.ready_fd)


def _setting(written: str) -> tuple[str, str]:
    name, mark, value = written.partition("=")
    if not (name and mark):
        raise argparse.ArgumentTypeError(f"got {written!r}, expected NAME=VALUE")
    return name, value


def announce_ready(ready_fd: int | None, program: str, name: str, address: str) -> None:
    """Tell the starter where this program serves; without a descriptor (started by hand) do nothing."""
    if ready_fd is None:
        return
    line = json.dumps({"program": program, "name": name, "address": address, "pid": os.getpid()}) + "\n"
    try:
        os.write(ready_fd, line.encode())
    finally:
        os.close(ready_fd)


def spawn(
    argv: Sequence[str], *, log_path: Path, ready_timeout_s: float = READY_TIMEOUT_S, **how: Unpack[How]
) -> Child:
    """Start a lab program and block until it is ready; otherwise kill it and raise with its log's tail."""
    child, ready_fd = _spawn_unready(argv, log_path, how)
    with _killed_unless_ready(child, argv, ready_fd, ready_timeout_s):
        child.ready = _parse_ready(child, argv, read_line(ready_fd, ready_timeout_s))
    return child


async def spawn_async(
    argv: Sequence[str],
    *,
    log_path: Path,
    ready_timeout_s: float = READY_TIMEOUT_S,
    on_started: Callable[[Child], None] | None = None,
    **how: Unpack[How],
) -> Child:
    """As `spawn`, without blocking the loop. `on_started` sees the child before it is ready (to show its pid)."""
    child, ready_fd = _spawn_unready(argv, log_path, how)
    with _killed_unless_ready(child, argv, ready_fd, ready_timeout_s):
        if on_started is not None:
            on_started(child)
        child.ready = _parse_ready(child, argv, await read_line_async(ready_fd, ready_timeout_s))
    return child


def _spawn_unready(argv: Sequence[str], log_path: Path, how: How) -> tuple[Child, int]:
    with shared_pipe() as (ours, childs):
        how["pass_fds"] = (*how.get("pass_fds", ()), childs)
        child = launch([*argv, "--ready-fd", str(childs)], log_path=log_path, **how)
    return child, ours


@contextlib.contextmanager
def _killed_unless_ready(child: Child, argv: Sequence[str], ready_fd: int, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        error = _not_ready(child, argv, f"was not ready within {timeout_s:g} s")
        _abandon(child)
        raise error from None
    except BaseException:
        _abandon(child)
        raise
    finally:
        os.close(ready_fd)


def _abandon(child: Child) -> None:
    if child.send_signal(signal.SIGKILL):
        child.wait(5.0)


def _parse_ready(child: Child, argv: Sequence[str], received: bytes) -> Ready:
    if not _is_whole(received):
        raise _not_ready(child, argv, "closed its ready descriptor without a word")
    try:
        said = json.loads(received.split(b"\n", 1)[0])
        return Ready(str(said["program"]), str(said["name"]), str(said["address"]), int(said["pid"]))
    except (ValueError, KeyError, TypeError):
        raise _not_ready(child, argv, f"announced itself with {received[:200]!r}") from None


def _not_ready(child: Child, argv: Sequence[str], what: str) -> SpawnError:
    code = child.wait(0.2)  # it usually just died: say so, with its code
    state = "still running" if code is None else f"exit code {code}"
    said = child.log_tail() or "(it printed nothing)"
    errors = [line for line in said.splitlines() if " ERROR " in line]
    # Where it says what went wrong, all that it did before is in the way.
    said = errors[-1] if errors else said
    return SpawnError(f"{' '.join(argv[:4])} {what} ({state}); log {child.log_path}:\n{said}")
