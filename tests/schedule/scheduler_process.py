"""A real scheduler process with a stand-in for the drill: SCRIPT ROOT HOME HEARTBEAT_S."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tierdrill.cli.logs import log_lines
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.catalogue_reader import read_catalogue
from tierdrill.documents.problems import Problem
from tierdrill.schedule.daemon import Options, Scheduler
from tierdrill.schedule.metrics import Metrics
from tierdrill.schedule.notify.outbox import Outbox
from tierdrill.schedule.observers import Observers
from tierdrill.schedule.slot_context import Commands
from tierdrill.schedule.sweep import load_snapshot

STANDIN = Path(__file__).with_name("standin.py")


def standin_commands(script: Path) -> Commands:
    """The stand-in in place of `tierdrill run` and `tierdrill recover`."""
    program = (sys.executable, str(STANDIN), str(script))
    return Commands(run=(*program, "run"), recover=(*program, "recover"))


def read_unchecked(root: Path) -> tuple[Catalogue, list[Problem]]:
    """The documents without the checks between them: a drill of a minute every two seconds is a collision."""
    reading = read_catalogue(root)
    return reading.catalogue, reading.problems


async def serve(script: Path, root: Path, home: Path, heart_s: float) -> int:
    """Until told to end."""
    snapshot = load_snapshot(root, (), read_unchecked)
    options = Options(
        home=home,
        commands=standin_commands(script),
        reload=lambda: load_snapshot(root, (), read_unchecked),
        heart_s=heart_s,
    )
    return await Scheduler(snapshot, options, Observers(home, Metrics(), Outbox(home))).run()


if __name__ == "__main__":
    log_lines()
    sys.exit(asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))))
