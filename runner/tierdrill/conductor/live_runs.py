"""Which runs go on: those whose runner, as the ledger has it, still lives; and which dead ones a reaper is healing."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tierdrill.history.ledger import Ledger
from tierdrill.history.liveness import living
from tierdrill.process.identity import STOPPED, ProcessId, me


def live_runs(home: Path) -> dict[str, int]:
    """The runs that go on, with their runner's process id."""
    if not (home / "ledger.db").exists():
        return {}
    with closing(Ledger(home)) as ledger:
        return live_in(ledger)


def live_in(ledger: Ledger) -> dict[str, int]:
    """As `live_runs`, of a ledger that is open already."""
    return {
        process.run: process.pid
        for process in ledger.processes()
        if process.role == "runner" and ledger.alive(process.run, process.process)
    }


def stopped_runs(ledger: Ledger) -> set[str]:
    """The runs whose runner lives and was stopped (SIGSTOP): it renews no lease."""
    return {
        process.run
        for process in ledger.processes()
        if process.role == "runner" and process.process.state() == STOPPED
    }


def stopped_reapers(home: Path) -> dict[str, ProcessId]:
    """The reapers that were stopped (SIGSTOP), by their run."""
    return {run: process for run, process in living(home, "reapers") if process and process.state() == STOPPED}


def reapers(home: Path) -> set[str]:
    """The runs whose reaper works: while it does, it heals after a runner that died.

    One that was stopped (SIGSTOP) looks after nothing.
    """
    me()  # says so where processes cannot be looked at
    return {
        run
        for run, process in living(home, "reapers")
        if process is None or process.state() != STOPPED
    }
