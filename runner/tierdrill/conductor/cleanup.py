"""Ending what a run started and undoing what it injected.

Shared by the run itself, the reaper and `tierdrill recover`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tierdrill.history.events import Event, event
from tierdrill.history.ledger import Ledger, OwnedProcess
from tierdrill.lab.process import Identity, identify, kill_group, same_process
from tierdrill.lab.state import down_lab, find_lab
from tierdrill.targets.undo import undo_fault

Emit = Callable[[Event], object]


def own_process(run: str, role: str, pid: int) -> OwnedProcess | None:
    """A child as the ledger records it; None if it has gone already."""
    identity = identify(pid)
    if identity is None:
        return None
    try:
        return OwnedProcess(run, role, pid, os.getpgid(pid), identity.start_time)
    except ProcessLookupError:
        return None


def alive(pid: int, created: float) -> bool:
    """Whether that very process still lives."""
    return same_process(Identity(pid, created))


def undo_all(ledger: Ledger, run: str | None, by: str, emit: Emit, *, within_s: float = 10.0) -> list[str]:
    """Undo every open fault of a run (or of all runs), newest first; the ids of those that would not go."""
    faults = ledger.open_faults(run)
    return [entry.id for entry in reversed(faults) if not undo_fault(ledger, entry, by, emit, within_s=within_s)]


def end_processes(ledger: Ledger, run: str, emit: Emit, *, spare: tuple[int, ...] = ()) -> list[str]:
    """Kill every recorded process group of a run that still lives; the roles of those that would not die."""
    left = []
    for process in ledger.processes(run):
        if process.pid in spare or not alive(process.pid, process.created):
            continue
        leads = process.pgid == process.pid
        if leads and not kill_group(process.pgid, Identity(process.pid, process.created)):
            left.append(process.role)
        emit(event("run.note", "cleanup", text=f"ended {process.role} (pid {process.pid})"))
    return left


def end_lab(home: Path, lab: str) -> None:
    """End a lab that a run brought up for itself, whatever state it is in; a lab that is gone is fine."""
    state = find_lab(home, lab)
    if state is not None:
        down_lab(state)
