"""Locks of environments: one run at a time in each. A lock whose holder is dead is free for the taking."""

import time
from dataclasses import astuple
from pathlib import Path

from tierdrill.history.database_file import DatabaseFile
from tierdrill.history.liveness import hold, lives, release
from tierdrill.history.switch_file import stop_switch
from tierdrill.process.identity import ProcessId, me


class EnvironmentLocks(DatabaseFile):
    """The part of the ledger that says which run has which environment."""

    home: Path

    def lock(self, environment: str, run: str, holder: ProcessId, owner: str) -> None:
        """Take the environment for one run.

        A lock whose holder is dead is taken over; LedgerError if held.
        """
        with self._transaction() as database:
            row = database.execute(
                "SELECT run, owner, pid, ticks, boot, space FROM locks WHERE environment = ?", (environment,)
            ).fetchone()
            if row and row[0] != run and self.alive(row[0], ProcessId(*row[2:])):
                raise self.FAILURE(f"environment {environment} is in use by run {row[0]} (pid {row[2]}, {row[1]})")
            database.execute(
                "INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (environment, run, *astuple(holder), owner, time.time()),
            )
            if holder == me():
                hold(self.home, "runs", run)
        stop_switch(self.home, run).prepare()

    def alive(self, run: str, process: ProcessId) -> bool:
        """Whether a process of a run lives. Of one in another PID namespace the kernel's lock on the run tells."""
        return process.lives() or (not process.here() and lives(self.home, "runs", run))

    def locks(self, *, living: bool = False) -> list[tuple[str, str, int, str]]:
        """Every environment in use: its name, the run, the run's process, its owner.

        `living`: only those whose holder lives; a dead one's is free for the taking.
        """
        rows = self._rows("SELECT environment, run, owner, pid, ticks, boot, space FROM locks ORDER BY environment")
        return [
            (str(environment), str(run), int(process[0]), str(owner))
            for environment, run, owner, *process in rows
            if not living or self.alive(run, ProcessId(*process))
        ]

    def unlock(self, environment: str, run: str) -> None:
        """Give the environment back."""
        self._do("DELETE FROM locks WHERE environment = ? AND run = ?", environment, run)
        release(self.home, "runs", run)
        stop_switch(self.home, run).remove()
