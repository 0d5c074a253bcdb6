"""Starting a lab from another program: the supervisor in a process group of its own, and what it needs to begin."""

import asyncio
import json
import secrets
import uuid
from dataclasses import asdict
from pathlib import Path

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
from tierdrill.process.child import Child, SpawnError
from tierdrill.process.programs import bare_environment
from tierdrill.process.ready_line import program_argv
from tierdrill.process.safe_files import write_private
from tierdrill.process.spawn import spawn_async

READY_SLACK_S = 5.0


def start_lab(config: LabConfig, home: Path) -> tuple[LabState, Child]:
    """As `start_lab_async`, outside a loop."""
    return asyncio.run(start_lab_async(config, home))


async def start_lab_async(config: LabConfig, home: Path) -> tuple[LabState, Child]:
    """Bring a lab up and wait until it serves. SpawnError says why it would not.

    Unless `config.outlives_starter`, the kernel ends the lab when the calling thread ends, whatever ends it.
    """
    home = home.resolve()
    folder, lab_id = _prepare(check(config), home), uuid.uuid4().hex[:16]
    path = folder / f"supervisor-{lab_id}.json"  # holds the token: gone as soon as it has been read
    token = secrets.token_urlsafe(24)
    write_private(path, json.dumps({"home": str(home), "id": lab_id, "token": token, "lab": asdict(config)}))
    try:
        child = await spawn_async(
            program_argv("supervisor", path),
            log_path=folder / LOG_FILE,
            env={**bare_environment(folder), MARKER: lab_id},
            new_group=True,
            ready_timeout_s=config.startup_timeout_s + READY_SLACK_S,
        )
    except BaseException:
        # Interrupted while it came up: the supervisor was killed and could not tidy up after itself.
        if (state := find_lab(home, config.name)) is not None and state.id == lab_id:
            down_lab(state)
        raise
    finally:
        path.unlink(missing_ok=True)
    if (state := find_lab(home, config.name)) is None:
        child.stop()
        raise SpawnError(f"lab {config.name!r} came up without a state file in {home}")
    return state, child


def _prepare(config: LabConfig, home: Path) -> Path:
    """The lab's folder, with nothing left of a killed one of its name; SpawnError where one is up."""
    # Where the lab is the first thing in a home: what is kept there later is not for everybody's eyes.
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = make_lab_folder(home, config.name)
    if (former := find_lab(home, config.name)) is not None:
        if supervisor_lives(former):
            raise SpawnError(f"a lab named {config.name!r} is up in {home}")
        down_lab(former)
    (folder / LOG_FILE).unlink(missing_ok=True)
    return folder
