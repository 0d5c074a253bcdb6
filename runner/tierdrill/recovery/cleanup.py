"""Ending what a run started and undoing what it injected.

Shared by the run itself, the reaper and `tierdrill recover`.
"""

import contextlib
import os

import psutil

from tierdrill.history.events import Emit, event
from tierdrill.history.history_store import HistoryError
from tierdrill.history.kinds.run_kinds import RunNote
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import OwnedProcess
from tierdrill.injection.undo import in_order_of_undo, undo_fault
from tierdrill.process.groups import group_members, kill_group
from tierdrill.process.identity import identify
from tierdrill.targets.base import is_remedy

RUN_VARIABLE = "TIERDRILL_RUN"
RUNNER = "runner"
"""The runner's own role. Its group is not the run's: it may be a shell's job, with what reads the runner's output."""


def own_process(run: str, role: str, pid: int) -> OwnedProcess | None:
    """A child as the ledger records it; None if it has gone already."""
    process = identify(pid)
    if process is None:
        return None
    try:
        return OwnedProcess(run, role, process, os.getpgid(pid))
    except ProcessLookupError:
        return None


def undo_all(
    ledger: Ledger, run: str | None, by: str, emit: Emit, *, within_s: float | None = None, remedies: bool = True
) -> list[str]:
    """Undo every open fault of a run (or of all runs), newest first, and with `remedies` what its playbooks left
    changed; the ids of those that would not go.
    """
    entries = [entry for entry in ledger.open_faults(run) if remedies or not is_remedy(entry)]
    return [
        entry.id for entry in in_order_of_undo(entries) if not undo_fault(ledger, entry, by, emit, within_s=within_s)
    ]


def end_processes(ledger: Ledger, run: str, emit: Emit, *, spare: tuple[int, ...] = ()) -> list[str]:
    """Kill every recorded process group that a run started and that still lives; the roles of those that would not die.

    The runner itself is left alone: it is dead, or it waits for its reaper to mend what it could not.
    """
    left = []
    for process in ledger.processes(run):
        if process.role == RUNNER or not process.process.can_have_left_a_group():
            continue
        # A leader may be dead and what it started alive, in its group.
        if process.pid in spare or process.pgid != process.pid or not group_members(process.pgid):
            continue
        if kill_group(process.pgid, process.process):
            _tell(emit, f"ended {process.role} (pid {process.pid})")
        else:
            left.append(process.role)
    return left + _end_strays(run, emit, spare)


def _end_strays(run: str, emit: Emit, spare: tuple[int, ...]) -> list[str]:
    """Processes of the run's experiment that have left its group; they carry the run's name in their environment."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.pid in spare or process.environ().get(RUN_VARIABLE) != run:
                continue
            process.kill()
            process.wait(2.0)
            _tell(emit, f"ended stray process {process.pid}")
        except psutil.TimeoutExpired:
            left.append(f"pid {process.pid}")
        except psutil.Error:
            continue
    return left


def _tell(emit: Emit, text: str) -> None:
    with contextlib.suppress(HistoryError):
        emit(event(RunNote(text=text), "cleanup"))
