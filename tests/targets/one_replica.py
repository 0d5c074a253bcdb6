"""A control plane that knows one replica: a real process, whose answers are a test's endpoint's."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests.targets.endpoint import Answer, Asked, Endpoint
from tierdrill.process.identity import identify


class OneReplica:
    """`assistant-1`, until its process is ended. Without an `address` it has no place."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        endpoint.answer = self.answer
        self.address: str | None = endpoint.address

    def answer(self, asked: Asked) -> Answer:
        """What the replica answers."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        found = identify(self.process.pid)
        pid, ticks = (None, None) if found is None else (found.pid, found.ticks)
        replica = {"name": "assistant-1", "model": "assistant", "address": self.address, "pid": pid, "ticks": ticks}
        return {"replicas": [replica]}

    def end_process(self) -> None:
        self.process.kill()
        self.process.communicate()
