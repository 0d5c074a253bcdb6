"""A lab program's own side of its start: its command line, and the line that says that it serves."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
