"""Starting a lab from another program: the supervisor in a process group of its own, and what it needs to begin."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tierdrill.lab.lab_config import LabConfig, check
from tierdrill.lab.lab_files import (
    LOG_FILE,
    MARKER,
    LabState,
    down_lab,
    find_lab,
    make_lab_folder,
    supervisor_lives,
)
from tierdrill.process.atomic_file import write_private
from tierdrill.process.child import Child, SpawnError
from tierdrill.process.programs import bare_environment
from tierdrill.process.spawn import program_argv, spawn, spawn_async

READY_SLACK_S = 5.0


def start_lab(config: LabConfig, home: Path) -> tuple[LabState, Child]:
    """Bring a lab up and wait until it serves. SpawnError says why it would not.

    Unless `config.outlives_starter`, the kernel ends the lab when the calling thread ends, whatever ends it.
    """
    order = _order(config, home)
    try:
        child = spawn(**order)
    except BaseException:
        _clear(config, home, order)
        raise
    finally:
        _config_path(order).unlink(missing_ok=True)
    return _state(config, home, child), child


async def start_lab_async(config: LabConfig, home: Path) -> tuple[LabState, Child]:
    """As `start_lab`, without blocking the loop."""
    order = _order(config, home)
    try:
        child = await spawn_async(**order)
    except BaseException:
        _clear(config, home, order)
        raise
    finally:
        _config_path(order).unlink(missing_ok=True)
    return _state(config, home, child), child


def _order(config: LabConfig, home: Path) -> dict[str, Any]:
    check(config)
    home = home.resolve()
    # Where the lab is the first thing in a home: what is kept there later is not for everybody's eyes.
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = make_lab_folder(home, config.name)
    former = find_lab(home, config.name)
    if former is not None:
        if supervisor_lives(former):
            raise SpawnError(f"a lab named {config.name!r} is up in {home}")
        down_lab(former)  # what a killed lab has left behind
    lab_id = uuid.uuid4().hex[:16]
    (folder / LOG_FILE).unlink(missing_ok=True)
    path = folder / f"supervisor-{lab_id}.json"  # holds the token: gone as soon as it has been read
    document: Mapping[str, Any] = {
        "home": str(home),
        "id": lab_id,
        "token": secrets.token_urlsafe(24),
        "lab": asdict(config),
    }
    write_private(path, json.dumps(document))
    return {
        "argv": program_argv("supervisor", path),
        "log_path": folder / LOG_FILE,
        "env": {**bare_environment(folder), MARKER: lab_id},
        "new_group": True,
        "ready_timeout_s": config.startup_timeout_s + READY_SLACK_S,
    }


def _clear(config: LabConfig, home: Path, order: Mapping[str, Any]) -> None:
    # Interrupted while it came up: the supervisor was killed and could not tidy up after itself.
    state = find_lab(home, config.name)
    if state is not None and state.id == order["env"][MARKER]:
        down_lab(state)


def _config_path(order: Mapping[str, Any]) -> Path:
    return Path(order["argv"][-1])


def _state(config: LabConfig, home: Path, child: Child) -> LabState:
    state = find_lab(home, config.name)
    if state is None:
        child.stop()
        raise SpawnError(f"lab {config.name!r} came up without a state file in {home}")
    return state
