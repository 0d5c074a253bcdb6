"""What a drill's process came to: its run's verdict from the history, or what is known without one."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tierdrill.history.history_store import HistoryError, RunRecord, run_named
from tierdrill.process.programs import Program, user_environment
from tierdrill.process.spawn import start
from tierdrill.schedule.store.slot_records import Attempt, SlotState, worst

_BY_CODE = {0: "passed", 1: "failed", 2: "refused", 3: "inconclusive", 4: "aborted", 5: "unclean"}
STOPS_A_SUITE = ("unclean", "aborted", "lost")
"""After one of these the next drill of a suite would begin in an unknown place, or against somebody's will."""


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended. `status` is one of `records.OUTCOMES`."""

    status: str
    reason: str
    exit_code: int | None = None


def outcome_of(record: RunRecord | None, exit_code: int | None, told: str, *, unread: bool = False) -> Outcome:
    """From the run's line in the history (None: there is none), the exit code (None: nobody knows) and stderr's end.

    The history's verdict counts; without one a run is lost, unless the command said that it did not begin. `unread`:
    the history cannot be read, so that there may well be a line; the exit code is all there is then.
    """
    if record is not None and record.status:
        return Outcome(record.status, record.summary or "", exit_code)
    if record is not None:
        return Outcome("lost", f"the run ended without a verdict{_ended(exit_code)}{_and(told)}", exit_code)
    if exit_code in _BY_CODE and exit_code != 0:
        # A Python that cannot even begin (no such program, a broken installation) exits with 1 as well.
        status = "refused" if exit_code == 1 and not unread else _BY_CODE[exit_code]
        return Outcome(status, told or f"exit code {exit_code}, and no run in the history", exit_code)
    return Outcome("lost", f"no run in the history{_ended(exit_code)}{_and(told)}", exit_code)


def _ended(exit_code: int | None) -> str:
    if exit_code is None:
        return "; its process exited"
    if exit_code < 0:
        try:
            return f"; its process was ended by {signal.Signals(-exit_code).name}"
        except ValueError:
            return f"; its process was ended by signal {-exit_code}"
    return f"; its process ended with exit code {exit_code}"


def _and(told: str) -> str:
    return f"; its output: {told}" if told else ""


def conclude(attempts: list[Attempt], unfinished: str = "") -> tuple[SlotState, str, str]:
    """State, outcome and reason of a slot from its attempts; `unfinished` says why not every drill of it was tried.

    Of a drill that was tried again, the last try counts; one that was held is none, and is only told.
    """
    last: dict[int, Attempt] = {}
    for attempt in attempts:
        before = last.get(attempt.member)
        if attempt.status == "held" and before is not None and before.started_at is not None:
            held = f"another try of {attempt.drill} was held: {attempt.reason}"
            unfinished = f"{held}; {unfinished}" if unfinished else held
        else:
            last[attempt.member] = attempt
    if not last:
        return SlotState.MISSED, "", unfinished or "nothing was started"
    outcome = worst([attempt.status for attempt in last.values()])
    reasons = [attempt.reason for attempt in last.values() if attempt.status == outcome and attempt.reason]
    reason = "; ".join([*reasons, *([unfinished] if unfinished else [])])
    if all(attempt.status == "held" for attempt in last.values()):
        return SlotState.HELD, _gate(next(iter(last.values()))), reason
    return (SlotState.LOST if outcome == "lost" else SlotState.FINISHED), outcome, reason


def _gate(attempt: Attempt) -> str:
    return next((str(result["gate"]) for result in attempt.gates if result.get("verdict") == "held"), "")


HEAL_S = 130.0
"""The reaper gives up after 120 s (recovery/reaper.py), and closes the run's books then."""

LOOK_S = 0.25
RETRY_S = 2.0
RECOVER_S = 300.0


def run_record(home: Path, run: str) -> tuple[RunRecord | None, str]:
    """The run's line in the history, None if it has none; and why it could not be read."""
    try:
        return run_named(home, run), ""
    except HistoryError as error:
        return None, str(error)


def reaper_lives(home: Path, run: str) -> bool:
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
