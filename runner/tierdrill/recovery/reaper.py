"""The reaper: outlives the runner and heals after it.

One per run, in a session of its own. It says when it is at its post (`--ready-fd`); nothing is injected before that. It
holds the read end of a pipe whose only writer is the runner: the runner's last act is to write "done"; an end of file
without that word means that it died, whatever killed it. Then, or when a lease runs out while the runner hangs, every
open fault is undone and every process of the run is ended, and the history is closed with what happened. Started
without a pipe (`--until-clean`, under plain `chaos run`) it only keeps the leases of that run, and obeys the kill
switch for it.
"""

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tierdrill.history.events import Event, event
from tierdrill.history.history_store import HistoryError
from tierdrill.history.kinds.exercise_kinds import ExerciseEnded
from tierdrill.history.kinds.run_kinds import LedgerOpen, RunEnded, RunNote, RunStopping
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.ledger_tables import LedgerFault
from tierdrill.history.liveness import AlreadyAlive, hold
from tierdrill.history.sealed import append_to_run, is_sealed
from tierdrill.injection.undo import in_order_of_undo, undo_fault
from tierdrill.judge.judge import NotARun
from tierdrill.process.ready_line import tell_ready
from tierdrill.recovery.cleanup import end_processes
from tierdrill.recovery.finalize import close_dead
from tierdrill.targets.target_registry import labs_of

TICK_S = 0.2
RETRY_S = 1.0
GIVE_UP_S = 120.0


class Reaper:
    def __init__(self, home: Path, run: str, lab: str | None) -> None:
        self.home = home
        self.run = run
        self.lab = lab
        self.ledger = Ledger(home)
        self.known: list[LedgerFault] = []

    def emit(self, item: Event) -> None:
        """Write to the run's history, if the history can be written: healing must go on in any case."""
        try:
            append_to_run(self.home, self.run, item)
        except HistoryError as error:
            sys.stderr.write(f"reaper: {error}\n")

    def watch(self, parent_fd: int) -> int:
        """Until the runner says done or dies."""
        told = b""
        while True:
            readable, _, _ = select.select([parent_fd], [], [], TICK_S)
            if readable:
                chunk = os.read(parent_fd, 64)
                told += chunk
                if not chunk:
                    break
            self.undo_expired()
        if told.endswith(b"done"):
            return 0
        self.heal()
        return 0

    def keep_leases(self) -> int:
        """Until nothing of this run is open any more; bounded by the longest lease and a margin."""
        entries = self._open()
        deadline = time.monotonic() + GIVE_UP_S + max((entry.lease_s for entry in entries), default=0.0)
        while self._open() and time.monotonic() < deadline:
            if self._halted():
                # No runner is there to obey the kill switch.
                self._undo_all()
            self.undo_expired()
            time.sleep(TICK_S)
        return 0

    def undo_expired(self) -> None:
        """Undo what has outstayed its lease. A fault being reverted counts too: its reverter may have died."""
        for entry in in_order_of_undo(self._open()):
            if entry.expired:
                self.emit(event(RunNote(text=f"lease of {entry.id} ran out after {entry.lease_s:g} s"), "reaper"))
                undo_fault(self.ledger, entry, "reaper", self.emit)

    def _halted(self) -> bool:
        try:
            return self.ledger.halted() is not None
        except LedgerError as error:
            sys.stderr.write(f"reaper: {error}\n")
            return False

    def _open(self) -> list[LedgerFault]:
        """What is open; with a ledger that cannot be read, what was open when it last could."""
        try:
            self.known = self.ledger.open_faults(self.run)
        except LedgerError as error:
            sys.stderr.write(f"reaper: {error}\n")
        return self.known

    def heal(self) -> None:
        """The runner is dead: undo, end, close the books. No step keeps the next from being tried."""
        self.emit(event(RunStopping(by="reaper", reason="the runner died"), "reaper"))
        if is_sealed(self.home, self.run):
            self.emit(event(ExerciseEnded(reason="died"), "reaper"))
        deadline = time.monotonic() + GIVE_UP_S
        # Nobody may inject any more; and faults in a lab of the run's own are gone with it.
        stubborn = self._tried(lambda: end_processes(self.ledger, self.run, self.emit, spare=(os.getpid(),)))
        if self.lab is not None:
            lab = self.lab
            stubborn += self._tried(lambda: labs_of(self.home).end(lab))
        left = self._undo_all()
        while left and time.monotonic() < deadline:
            time.sleep(RETRY_S)
            left = self._undo_all()
        self.emit(event(LedgerOpen(faults=left, processes=stubborn), "reaper"))
        outcome = "unclean" if left or stubborn else "aborted"
        self.emit(event(RunEnded(outcome=outcome, reason="the runner died"), "reaper"))
        self._close_books()
        if not stubborn:
            self._tried(self._disown)

    def _disown(self) -> list[str]:
        self.ledger.disown(self.run)
        return []

    def _undo_all(self) -> list[str]:
        entries = in_order_of_undo(self._open())
        return [entry.id for entry in entries if not undo_fault(self.ledger, entry, "reaper", self.emit)]

    def _tried(self, step: Callable[[], list[str]]) -> list[str]:
        try:
            return step()
        except Exception as error:
            sys.stderr.write(f"reaper: {type(error).__name__}: {error}\n")
            return []

    def _close_books(self) -> None:
        try:
            close_dead(self.home, self.run, self.ledger)
        except (HistoryError, NotARun, KeyError, ValueError) as error:
            sys.stderr.write(f"reaper: {error}\n")


def main() -> int:
    """Entry: --home DIR --run RUN [--lab LAB] [--ready-fd N] (--parent-fd N | --until-clean)."""
    parser = argparse.ArgumentParser(prog="python -m tierdrill.recovery.reaper", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--lab")
    parser.add_argument("--parent-fd", type=int)
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--until-clean", action="store_true")
    options = parser.parse_args()
    # A Ctrl-C or a closed terminal ends the runner; the reaper must live to clean up after it.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    try:
        hold(options.home, "reapers", options.run)
        reaper = Reaper(options.home, options.run, options.lab)
        tell_ready(options.ready_fd)
        if options.until_clean or options.parent_fd is None:
            return reaper.keep_leases()
        return reaper.watch(options.parent_fd)
    except (LedgerError, AlreadyAlive) as error:
        sys.stderr.write(f"reaper: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
