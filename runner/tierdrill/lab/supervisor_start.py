"""Starting a lab from another program: the supervisor in a process group of its own, and what it needs to begin."""

from __future__ import annotations

import json
import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tierdrill.lab.config import LabConfig, check
from tierdrill.lab.process import Child, SpawnError, program_argv, spawn, spawn_async
from tierdrill.lab.state import MARKER, LabState, down_lab, find_lab, lab_folder, supervisor_lives, write_private

READY_SLACK_S = 5.0


def start_lab(config: LabConfig, home: Path) -> tuple[LabState, Child]:
    """Bring a lab up and wait until it serves. SpawnError says why it would not.

    Unless `config.outlives_starter`, the kernel ends the lab when the calling thread ends, whatever ends it.
    """
    child = spawn(**_order(config, home))
    return _state(config, home, child), child


async def start_lab_async(config: LabConfig, home: Path) -> tuple[LabState, Child]:
    """As `start_lab`, without blocking the loop."""
    child = await spawn_async(**_order(config, home))
    return _state(config, home, child), child


def _order(config: LabConfig, home: Path) -> dict[str, Any]:
    check(config)
    folder = lab_folder(home, config.name)
    former = find_lab(home, config.name)
    if former is not None:
        if supervisor_lives(former):
            raise SpawnError(f"a lab named {config.name!r} is up in {home}")
        down_lab(former)  # what a killed lab has left behind
    lab_id = uuid.uuid4().hex[:16]
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Beside the folder, not in it: the supervisor begins with an empty folder.
    path = folder.parent / f".{config.name}.json"
    document: Mapping[str, Any] = {
        "home": str(home),
        "id": lab_id,
        "token": secrets.token_urlsafe(24),
        "lab": asdict(config),
    }
    write_private(path, json.dumps(document))
    return {
        "argv": program_argv("supervisor", path),
        "log_path": folder.parent / f".{config.name}.log",
        "env": {**os.environ, MARKER: lab_id},
        "new_group": True,
        "ready_timeout_s": config.startup_timeout_s + READY_SLACK_S,
    }


def _state(config: LabConfig, home: Path, child: Child) -> LabState:
    state = find_lab(home, config.name)
    if state is None:
        child.stop()
        raise SpawnError(f"lab {config.name!r} came up without a state file in {home}")
    return state
