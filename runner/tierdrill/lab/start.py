"""Starting a lab: write its configuration, start its supervisor, wait until everything in it is ready."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tierdrill.lab.config import LabConfig, to_json
from tierdrill.lab.process import Child, program_argv, spawn_async
from tierdrill.lab.state import LabState, attach, find_lab, lab_folder, lab_is_gone, supervisor_lives, write_private

CONFIG_FILE = "config.json"


class LabInUse(RuntimeError):
    """A lab of that name is up already."""


async def start_lab(home: Path, config: LabConfig, *, on_started: Callable[[Child], None] | None = None) -> LabState:
    """Bring a lab up and return how to reach it; LabInUse or SpawnError otherwise.

    With `outlives_starter` in the configuration it goes on after the caller has ended; otherwise the kernel ends it with the caller.
    """
    former = find_lab(home, config.name)
    if former is not None:
        if supervisor_lives(former) or not lab_is_gone(former):
            raise LabInUse(f"lab {config.name} is up already; `tierdrill lab down --name {config.name}` ends it")
        former.path.unlink(missing_ok=True)
    folder = lab_folder(home, config.name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / CONFIG_FILE
    write_private(path, to_json(replace(config)))
    await spawn_async(
        program_argv("supervisor", path),
        log_path=folder / "supervisor.log",
        env=dict(os.environ),
        cwd=folder,
        new_group=True,
        ready_timeout_s=config.startup_timeout_s + 5.0,
        on_started=on_started,
    )
    return attach(home, config.name)
