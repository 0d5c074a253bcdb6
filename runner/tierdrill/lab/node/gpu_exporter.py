"""Program `gpu-exporter`: the lab's emulated GPUs without the lab's node: telemetry of a node in dcgm-exporter's names.

On a cluster it runs on each node with GPUs; every metric says that it is emulated. What its GPUs are is changed as in
the lab, by a file in the state folder, which `--config FILE.json --change INDEX={...}` writes: null takes a setting
back. With `--hold SECONDS` that program says "ready", makes the change once it reads "go", says "held", and the change
lasts as long as somebody writes lines to it: it is taken back when its input ends, or nothing came for so long; where
it cannot, by the exporter's next start. Replicas that share the folder feel it. `--freeze --hold SECONDS` lets the
exporter repeat its metrics of that moment for as long.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tierdrill.lab.lab_config import build, make_node
from tierdrill.lab.node.emulated_gpus import OVERRIDES_FILE, GpuBoard
from tierdrill.lab.node.gpu_errors import (
    HOLDER_GO,
    HOLDER_HELD,
    HOLDER_READY,
    OverrideError,
    change_overrides,
    changed_settings,
    read_json,
    write_json,
)
from tierdrill.lab.serving import bind, run_program, serve_announced

PROGRAM = "gpu-exporter"
POLL_S = 0.2
FROZEN = "frozen"
"""A file that is there as long as the exporter repeats itself."""
HELD = "held.json"
"""Which settings of which GPU are somebody's, for as long as that one holds them."""


@dataclass(frozen=True)
class ExporterSettings:
    """The configuration file."""

    node: str
    gpus: int
    memory_gib: float
    model_name: str
    state_dir: str
    listen: str = "127.0.0.1:0"


def build_app(board: GpuBoard, folder: Path) -> Starlette:
    registry = CollectorRegistry()
    registry.register(board)
    said = generate_latest(registry)

    async def metrics(_: Request) -> Response:
        nonlocal said
        if not (folder / FROZEN).exists():
            said = generate_latest(registry)
        return Response(said, media_type="text/plain; version=1.0.0; charset=utf-8")

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "overrides_error": board.error})

    async def gpus(_: Request) -> Response:
        return JSONResponse({"gpus": board.status(), "frozen": (folder / FROZEN).exists()})

    return Starlette(routes=[Route("/metrics", metrics), Route("/healthz", health), Route("/gpus", gpus)])


def change(argv: list[str]) -> int:
    """Change one GPU as `--change` says, or let the exporter repeat itself, while it runs."""
    parser = argparse.ArgumentParser(prog=f"tierdrill {PROGRAM}")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--change", metavar="INDEX=JSON")
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--hold", type=float, metavar="SECONDS")
    options = parser.parse_args(argv)
    told = json.loads(options.config.read_text(encoding="utf-8"))
    if options.freeze:
        if options.change is not None or options.hold is None:
            parser.error("--freeze has --hold, and no --change")
        return _freeze(Path(told["state_dir"]), options.hold)
    if options.change is None:
        parser.error("--change says what")
    index, _, written = options.change.partition("=")
    changes = json.loads(written)
    folder, gpus = Path(told["state_dir"]), int(told["gpus"])
    if options.hold is not None and not _told_to(options.hold):
        return 0
    try:
        if options.hold is not None:
            _note(folder, index, list(changes))
        _apply(folder, gpus, index, changes)
    except OverrideError as error:
        _note(folder, index, [])
        parser.error(str(error))
    if options.hold is not None:
        _hold(options.hold)
        _apply(folder, gpus, index, dict.fromkeys(changes))
        _note(folder, index, [])
    return 0


def _apply(folder: Path, gpus: int, index: str, changes: Mapping[str, Any]) -> None:
    change_overrides(folder / OVERRIDES_FILE, gpus, int(index), lambda present: changed_settings(present, changes))


def _freeze(folder: Path, hold_s: float) -> int:
    if not _told_to(hold_s):
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FROZEN).touch()
    _hold(hold_s)
    (folder / FROZEN).unlink(missing_ok=True)
    return 0


def _told_to(within_s: float) -> bool:
    """Say that it can be done at once, and wait for the word; False where the input ends, or nothing comes for so long.
    """
    _say(HOLDER_READY)
    go, said = f"{HOLDER_GO}\n".encode(), b""
    while go not in said and select.select([0], [], [], within_s)[0] and (more := os.read(0, 4096)):
        said = said[-len(go) :] + more
    return go in said


def _hold(within_s: float) -> None:
    """Say so, and wait until the input ends, or nothing comes for so long."""
    _say(HOLDER_HELD)
    while select.select([0], [], [], within_s)[0] and os.read(0, 4096):
        pass


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _held(folder: Path) -> dict[str, list[str]]:
    found = read_json(folder / HELD) if (folder / HELD).exists() else {}
    return found if isinstance(found, dict) else {}


def _note(folder: Path, index: str, settings: list[str]) -> None:
    """These settings of a GPU are somebody's now, or nobody's any more."""
    held = {**_held(folder), index: settings}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / HELD, {gpu: names for gpu, names in held.items() if names})


def take_back(folder: Path, gpus: int) -> None:
    """Whoever held a setting has ended with the container that this one follows."""
    (folder / FROZEN).unlink(missing_ok=True)
    for index, settings in _held(folder).items():
        _apply(folder, gpus, index, dict.fromkeys(settings))
        _note(folder, index, [])


async def run(config: Mapping[str, Any], ready_fd: int | None) -> None:
    settings = build(ExporterSettings, config, PROGRAM, only_known=True)
    specs = make_node(settings.node, settings.gpus, settings.memory_gib, settings.model_name).gpus
    folder = Path(settings.state_dir)
    folder.mkdir(parents=True, exist_ok=True)
    take_back(folder, settings.gpus)
    board = GpuBoard(settings.node, list(specs), folder, lambda _: [])
    board.boot(str(uuid.uuid4()))

    async def watch() -> None:
        while True:
            board.poll()
            await asyncio.sleep(POLL_S)

    await serve_announced(build_app(board, folder), bind(settings.listen), PROGRAM, settings.node, ready_fd, watch())


if __name__ == "__main__":
    if {"--change", "--freeze"} & {*sys.argv}:
        sys.exit(change(sys.argv[1:]))
    run_program(PROGRAM, run)
