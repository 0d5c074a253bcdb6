"""How a program tells its starter that it serves: one line into the descriptor it got as `--ready-fd`.

Nobody polls a port or reads a log to find that out. A lab program's line is JSON and says where it serves; that of a
reaper is READY.
"""

import argparse
import json
import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.process.child import readable
from tierdrill.process.programs import Program, program

READY = b"ready\n"
_LINE_BYTES_MAX = 65536


def read_line(descriptor: int, within_s: float) -> bytes:
    """Block until there is a line, and read it; without its end where the other side closed. TimeoutError."""
    deadline = time.monotonic() + within_s
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    received = b""
    while not is_whole(received):
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
        while not is_whole(received):
            await readable(descriptor)
            if not (chunk := os.read(descriptor, 4096)):
                break
            received += chunk
    return received


def is_whole(received: bytes) -> bool:
    """Whether there is a line, or more than one may have."""
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


def announce_ready(ready_fd: int | None, program: str, name: str, address: str) -> None:
    """Tell the starter where this program serves; without a descriptor (started by hand) do nothing."""
    if ready_fd is None:
        return
    line = json.dumps({"program": program, "name": name, "address": address, "pid": os.getpid()}) + "\n"
    try:
        os.write(ready_fd, line.encode())
    finally:
        os.close(ready_fd)


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
