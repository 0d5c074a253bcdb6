"""What the load tests share: a server process, and plans that point at it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.load.load_plan import LoadPlan, Prompt, StreamPlan

SERVER = Path(__file__).with_name("server.py")


@dataclass(frozen=True)
class ModelServer:
    """The server under load."""

    url: str

    def stall(self, seconds: float) -> None:
        body = json.dumps({"seconds": seconds}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/stall", data=body), timeout=5):
            pass

    def seen(self) -> list[str]:
        with urllib.request.urlopen(f"{self.url}/seen", timeout=5) as response:
            return list(json.load(response))


@contextlib.contextmanager
def serving() -> Iterator[ModelServer]:
    """A server for as long as the context lasts."""
    ready_fd, child_fd = os.pipe()
    process = subprocess.Popen([sys.executable, str(SERVER), str(child_fd)], pass_fds=(child_fd,))
    os.close(child_fd)
    try:
        with os.fdopen(ready_fd) as ready:
            port = int(ready.readline())
        yield ModelServer(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait(5)


def stream_plan(name: str, **changes: Any) -> StreamPlan:
    settings: dict[str, Any] = {
        "tier": "critical",
        "model": "echo",
        "rate_rps": 20.0,
        "prompts": (Prompt("one two three", 3, {changes.get("model", "echo"): "one two three"}),),
        "timeout_s": 3.0,
        **changes,
    }
    return StreamPlan(name=name, **settings)


def load_plan(directory: Path, targets: list[str], *streams: StreamPlan, **changes: Any) -> LoadPlan:
    settings: dict[str, Any] = {"duration_s": 2.0, "seed": 7, "connections_max": 64, **changes}
    return LoadPlan(
        targets=tuple(targets),
        streams=streams,
        sample_path=str(directory / "samples"),
        status_path=str(directory / "status"),
        **settings,
    )
