"""Program `supervisor`: owns one lab, from its first process to its last.

Configuration: {"home", "id", "token", "lab": LabConfig as JSON}. It announces itself once everything serves. On SIGTERM
or POST /v1/down it ends everything and removes the lab's state file; if it is killed, the kernel ends the rest.
"""

import asyncio
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tierdrill.lab.lab_config import LabConfig, build, check
from tierdrill.lab.lab_files import LOCK_FILE, LOG_FILE, LabState, ProcessRecord, make_lab_folder, write_state
from tierdrill.lab.serving import address_of, bind, configure_logging, serve
from tierdrill.lab.supervisor.control_api import build_app
from tierdrill.lab.supervisor.golden_requests import keep_asking
from tierdrill.lab.supervisor.lab_events import EventLog
from tierdrill.lab.supervisor.lab_lifecycle import Lab
from tierdrill.lab.supervisor.operations import Operations
from tierdrill.lab.supervisor.program_calls import CallFailed
from tierdrill.process.child import SpawnError
from tierdrill.process.identity import me
from tierdrill.process.ready_line import announce_ready, program_arguments
from tierdrill.process.safe_files import take_lock
from tierdrill.process.spawn import outlive_starter

PROGRAM = "supervisor"
_log = logging.getLogger("tierdrill.supervisor")


class NameTaken(Exception):
    """A lab of that name is up."""


def prepare_folder(home: Path, name: str) -> tuple[Path, int]:
    """The lab's folder, empty, and a lock that is held for as long as this process lives."""
    folder = make_lab_folder(home, name)
    folder.chmod(0o700)
    lock = take_lock(folder / LOCK_FILE)
    if lock is None:
        raise NameTaken(f"a lab named {name!r} is up in {home}")
    for former in folder.iterdir():
        if former.is_dir() and not former.is_symlink():
            shutil.rmtree(former, ignore_errors=True)
        elif former.name not in (LOCK_FILE, LOG_FILE):
            former.unlink()
    return folder, lock


def first_state(config: LabConfig, document: Mapping[str, Any], folder: Path, address: str) -> LabState:
    skipped = {
        name: f"no {name} binary is configured"
        for name, part in (("prometheus", config.prometheus), ("alertmanager", config.alertmanager))
        if part.binary is None
    }
    return LabState(
        id=str(document["id"]),
        name=config.name,
        folder=str(folder),
        address=address,
        token=str(document["token"]),
        supervisor=ProcessRecord(PROGRAM, PROGRAM, me(), os.getpgrp(), address),
        created_at=time.time(),
        skipped=skipped,
        environment=config.environment,
        tiers_document=config.tiers_document,
        means=config.means,
    )


async def run(document: Mapping[str, Any], ready_fd: int | None) -> int:
    config = check(build(LabConfig, document["lab"], "lab"))
    folder, _lock = prepare_folder(Path(document["home"]), config.name)
    listener = bind()
    state = first_state(config, document, folder, address_of(listener))
    write_state(state)
    lab = Lab(config, state, EventLog(discreet=config.discreet))
    pid = os.getpid()
    # Serving ends on SIGTERM; asking this process to stop is the same path whoever asks.
    app = build_app(lab, Operations(lab), lambda: os.kill(pid, signal.SIGTERM))
    serving = asyncio.create_task(serve(app, listener, on_ready=lambda: None))
    starting = asyncio.create_task(lab.up())
    try:
        await asyncio.wait((serving, starting), return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            starting.result()
            announce_ready(ready_fd, PROGRAM, config.name, state.address)
            asking = asyncio.create_task(keep_asking(lab))
            try:
                await serving
            finally:
                asking.cancel()
        return 0
    except (SpawnError, CallFailed, TimeoutError, OSError) as error:
        _log.error("the lab did not start: %s: %s", type(error).__name__, error)
        return 1
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # it is ending already; a second request must not cut that short
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await lab.down()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def main() -> int:
    configure_logging()
    arguments = program_arguments(PROGRAM)
    if arguments.config["lab"].get("outlives_starter"):
        outlive_starter()
    try:
        return asyncio.run(run(arguments.config, arguments.ready_fd))
    except (NameTaken, ValueError, LookupError) as error:
        _log.error("%s", error)
        return 2


if __name__ == "__main__":
    sys.exit(main())
