"""The line to a load child that runs: who it is, where it listens, and what it may be asked. Standard library only.

The child writes a control file once it listens. One JSON line goes in, one comes back: `{"token", "stream"}` asks for a
stream's rates, `{"token", "stream", "factor"}` makes it surge (1 ends that), and with `poison_percent` so many of its
requests ask `poison_prompt` (0 ends that).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tierdrill.process.safe_files import write_private

CONTROL_FILE = "load-control.json"
TIMEOUT_S = 2.0
LINE_BYTES_MAX = 4096


class LineError(RuntimeError):
    """There is no load child to speak to, or it refused; the message says which."""


@dataclass(frozen=True, slots=True)
class LoadLine:
    """A load child: where it listens, the token it wants, and its process."""

    host: str
    port: int
    token: str
    pid: int
    ticks: int

    def write(self, path: Path) -> None:
        """Write the control file, readable for this user only."""
        write_private(path, json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> LoadLine:
        """The child that wrote a control file; LineError where none did."""
        try:
            return LoadLine(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise LineError("no load is running whose rate could be changed") from None
        except (OSError, ValueError, TypeError) as error:
            raise LineError(f"{path}: not a control file: {error}") from error

    def ask(self, stream: str, factor: float | None = None, **poison: int | str) -> StreamRates:
        """Ask for a stream's rates, after changing them where a factor is given, or what it asks where `poison_percent`
        and `poison_prompt` are; LineError if the child refuses.
        """
        request: dict[str, Any] = {"token": self.token, "stream": stream, **poison}
        if factor is not None:
            request["factor"] = factor
        try:
            with socket.create_connection((self.host, self.port), TIMEOUT_S) as connection:
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("rb") as file:
                    answer = json.loads(file.readline(LINE_BYTES_MAX))
            if "error" in answer:
                raise LineError(str(answer["error"]))
            return StreamRates(**answer)
        except (OSError, ValueError, TypeError) as error:
            raise LineError(f"the load child is not responding: {error}") from error


@dataclass(frozen=True, slots=True)
class StreamRates:
    """Requests a second: of a stream as planned for now, and of all that the gateways take for its tier's, with what
    surges on them. `tier` is the gateways' word, which need not be the plan's.
    """

    tier: str
    stream_rps: float
    tier_rps: float
    factor: float
    poison_percent: int = 0


READY_FD = "TIERDRILL_READY_FD"
PLAN = "TIERDRILL_LOAD_PLAN"
_LINE_BYTES_MAX = 1024


class Control:
    """The child's side; without a ready descriptor (a run by hand) there is nobody to wait for."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ready = environment.get(READY_FD)
        self.ready_fd = None if ready is None else int(ready)
        self._go_fd: int | None = None
        if self.ready_fd is not None:
            self._go_fd = os.dup(0)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)

    def announce(self, **about: Any) -> None:
        """Say that the imports are done and the connections open."""
        if self.ready_fd is None:
            return
        line = json.dumps({"program": "load", "pid": os.getpid(), **about}) + "\n"
        os.write(self.ready_fd, line.encode())
        os.close(self.ready_fd)
        self.ready_fd = None

    def wait_go(self, readable: Callable[[int], None]) -> float | None:
        """Schedule zero in Unix time from the parent; None where the parent went away or made no sense."""
        assert self._go_fd is not None
        line = b""
        while not line.endswith(b"\n") and len(line) < _LINE_BYTES_MAX:
            readable(self._go_fd)
            piece = os.read(self._go_fd, _LINE_BYTES_MAX)
            if not piece:
                return None
            line += piece
        try:
            return float(line)
        except ValueError:
            return None

    def wait_orphaned(self, readable: Callable[[int], None]) -> None:
        """Until the parent has gone: where the kernel does not kill the child with it, the closed stdin tells."""
        assert self._go_fd is not None
        while True:
            readable(self._go_fd)
            if not os.read(self._go_fd, _LINE_BYTES_MAX):
                return

    @property
    def awaited(self) -> bool:
        return self._go_fd is not None
