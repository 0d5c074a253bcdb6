"""How the load child is started and let go: one line out when ready, one line in with schedule zero.

Both are plain descriptors, taken before locust looks at stdin for keys: the child blocks on a read, nobody polls.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

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
