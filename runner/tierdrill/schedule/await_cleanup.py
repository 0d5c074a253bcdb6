"""After a drill's process has died: who still heals, what the history says then, and `tierdrill recover` at last."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tierdrill.history.history_store import HistoryError, HistoryStore, RunRecord
from tierdrill.process.child import start
from tierdrill.process.programs import Program, user_environment

HEAL_S = 130.0
"""The reaper gives up after 120 s (conductor/reaper.py), and closes the run's books then."""

LOOK_S = 0.25
RETRY_S = 2.0
RECOVER_S = 300.0


def run_record(home: Path, run: str) -> tuple[RunRecord | None, str]:
    """The run's line in the history, None if it has none; and why it could not be read."""
    if not (home / "history.db").exists():
        return None, ""
    try:
        with closing(HistoryStore(home)) as store:
            record = store.find(run)
    except HistoryError as error:
        return None, str(error)
    return (record if record is not None and record.run == run else None), ""


def reaper_lives(home: Path, run: str) -> bool:
    """Whether the run's reaper is at work."""
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if Program.REAPER.encode() in words and run.encode() in words and str(home).encode() in words:
            return True
    return False


async def healed(home: Path, run: str, recover: Sequence[str], cwd: Path | None) -> tuple[RunRecord | None, str]:
    """The run's line once its books are closed, by itself or by its reaper; else after `tierdrill recover`.

    For a run whose process has ended. The reaper is not our child, so it is looked for again and again.
    """
    record, why = await asyncio.to_thread(run_record, home, run)
    deadline = asyncio.get_running_loop().time() + HEAL_S
    while why and asyncio.get_running_loop().time() < deadline:
        # Locked, or the disk is full: what the run came to is there and will be readable again.
        await asyncio.sleep(RETRY_S)
        record, why = await asyncio.to_thread(run_record, home, run)
    while record is not None and not record.status and asyncio.get_running_loop().time() < deadline:
        if not await asyncio.to_thread(reaper_lives, home, run):
            record, why = await asyncio.to_thread(run_record, home, run)
            break
        await asyncio.sleep(LOOK_S)
        record, why = await asyncio.to_thread(run_record, home, run)
    if record is not None and not record.status:
        await _recover(recover, cwd)
        record, why = await asyncio.to_thread(run_record, home, run)
    return record, why


async def _recover(command: Sequence[str], cwd: Path | None) -> None:
    """Let `tierdrill recover` undo and close what is left; its exit code says nothing that the history does not."""
    try:
        process = start(command, None, cwd=cwd, env=user_environment(), session=True, outlives=True)
    except OSError:
        return
    try:
        await asyncio.wait_for(process.wait_async(), RECOVER_S)
    except TimeoutError:
        process.send_signal(signal.SIGKILL)
        await process.wait_async()
