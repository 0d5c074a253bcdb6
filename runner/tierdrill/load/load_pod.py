"""The load child in a pod of a cluster: a program of that pod, as long as somebody is at the other end of its input.

The first line in is an order: the plan, the files and variables that it refers to, and locust's arguments. Then come
`go TIME` and `stop`; an end of the input stops it too. Each line out begins with a letter: T the pod's clock (Unix
seconds), R what locust said once it was ready, S a sample, G a self-report, E what kept it from being ready, X its exit
code.

    python -m tierdrill.load.load_pod wait     # what the pod itself does: nothing, until it is told to end
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tierdrill.load.load_child import LoadError, LoadProcess
from tierdrill.load.load_plan import plan_of
from tierdrill.load.sample_writer import Sample

ORDER_BYTES_MAX = 8 << 20
STOP_S = 4.0
"""A master lets its workers go first."""


def main() -> int:
    """A program's main."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    if sys.argv[1:] == ["wait"]:
        signal.sigwait({signal.SIGTERM})
        return 0
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return asyncio.run(_serve())


async def _serve() -> int:
    told = asyncio.StreamReader(limit=ORDER_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    order = json.loads(await told.readline())
    _say("T", repr(time.time()))
    with tempfile.TemporaryDirectory() as folder:
        try:
            load = await _started(order, Path(folder))
        except LoadError as error:
            _say("E", json.dumps(str(error)))
            return 1
        try:
            _say("R", json.dumps(load.about))
            pumps = [
                asyncio.create_task(_pump(load.samples(), _sample_said)),
                asyncio.create_task(_pump(load.reports(), lambda one: _say("G", json.dumps(one)))),
            ]
            telling = asyncio.create_task(_obey(told, load))
            code = await load.wait()
            await asyncio.gather(*pumps)
            telling.cancel()
        finally:
            await load.kill()
    _say("X", str(code))
    return 0


async def _started(order: dict[str, Any], folder: Path) -> LoadProcess:
    for name, content in order["files"].items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(content))
    os.environ.update(order["variables"])
    plan = replace(plan_of(order["plan"]), sample_path=str(folder / "samples"), status_path=str(folder / "generator"))
    return await LoadProcess.start(plan, folder, locust_arguments=order["arguments"])


async def _pump(batches: AsyncIterator[list[Any]], say: Callable[[Any], None]) -> None:
    async for batch in batches:
        for one in batch:
            say(one)


def _sample_said(sample: Sample) -> None:
    _say("S", sample.to_line())


async def _obey(told: asyncio.StreamReader, load: LoadProcess) -> None:
    while line := (await told.readline()).split():
        if line[0] == b"go":
            await load.go(float(line[1]))
        elif line[0] == b"stop":
            break
    await load.stop(STOP_S)


def _say(letter: str, text: str) -> None:
    sys.stdout.write(f"{letter}{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
