"""Which runs go on: those whose runner, as the ledger has it, still lives."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path


def live_runs(home: Path) -> dict[str, int]:
    """The runs that go on, with their runner's process id."""
    from tierdrill.conductor.cleanup import alive
    from tierdrill.history.ledger import Ledger

    if not (home / "ledger.db").exists():
        return {}
    with closing(Ledger(home)) as ledger:
        return {
            process.run: process.pid
            for process in ledger.processes()
            if process.role == "runner" and alive(process.pid, process.created)
        }
