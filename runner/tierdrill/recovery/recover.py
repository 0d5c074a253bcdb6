"""Undoing whatever is still injected, and ending whatever was left behind, of runs that nobody looks after any more."""

import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tierdrill.history.events import Event, event
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.kinds.exercise_kinds import ExerciseEnded
from tierdrill.history.kinds.run_kinds import LedgerOpen, RunEnded, RunStopping
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import LedgerFault
from tierdrill.history.liveness import forget_the_dead
from tierdrill.history.sealed import EXERCISE, append_to_run, is_sealed
from tierdrill.injection.undo import in_order_of_undo, undo_fault
from tierdrill.judge.judge import NotARun
from tierdrill.process.groups import signal_process
from tierdrill.recovery.cleanup import end_processes
from tierdrill.recovery.finalize import close_books, close_dead, end_run
from tierdrill.recovery.status import live_in, live_runs, reapers, stopped_reapers, stopped_runs
from tierdrill.remedies.remedy import in_words
from tierdrill.targets.base import is_remedy
from tierdrill.targets.target_registry import labs_of

REAPERS_WITHIN_S = 10.0
POLL_S = 0.1
SOURCE = "recover"
DIED = "the runner and its reaper died"
Tell = Callable[[str], object]


def recover(home: Path, tell: Tell, warn: Tell) -> tuple[int, list[str]]:
    """Undo every fault and every change of a playbook, end every process and lab that dead runs have left, and judge
    those runs. How many things were done, each told, and what would not go. Safe beside runs in progress.
    """
    let_reapers_finish(home, tell)
    with closing(Ledger(home)) as ledger:
        work = _Recovery(home, ledger, tell, warn)
        # A dead run's own lab takes its faults along; what is left after that is in labs that are kept.
        left = [*work.end_labs(), *work.undo(), *work.end_processes(), *work.mend_labs()]
        work.end_stopped_reapers()
        work.close_books()
    forget_the_dead(home)
    return work.done, left


def let_reapers_finish(home: Path, tell: Tell) -> None:
    """A reaper that is at work heals its run by itself within moments; only what it leaves is ours."""
    deadline = time.monotonic() + REAPERS_WITHIN_S
    told = False
    while (busy := reapers(home) - set(live_runs(home))) and time.monotonic() < deadline:
        if not told:
            tell(f"the reaper of {', '.join(sorted(busy))} is cleaning up; waiting")
            told = True
        time.sleep(POLL_S)


class _Recovery:
    """One recovery; `done` counts what was undone, ended or mended."""

    def __init__(self, home: Path, ledger: Ledger, tell: Tell, warn: Tell) -> None:
        self.home, self.ledger, self.done = home, ledger, 0
        self._say, self._warn = tell, warn

    def _did(self, text: str) -> None:
        self.done += 1
        self._say(text)

    def _live(self) -> set[str]:
        """The runs in progress. To be asked after what a run left was read: one may have begun since the last look.

        A run holds its environment before it writes anything, and is known by its process only a little later.
        """
        return {run for _, run, _, _ in self.ledger.locks(living=True)} | set(live_in(self.ledger))

    def _record(self, run: str, item: Event) -> None:
        """Into the run's own history, unless that has been closed and judged."""
        try:
            append_to_run(self.home, run, item)
        except HistoryError as error:
            self._warn(f"not recorded: {error}")

    def undo(self) -> list[str]:
        left = []
        for entry in in_order_of_undo(self.ledger.open_faults()):
            run, what = entry.run, _named(entry)
            hangs = entry.expired and run in stopped_runs(self.ledger)
            if run in self._live() and not hangs:
                continue
            if undo_fault(self.ledger, entry, SOURCE, lambda item, run=run: self._record(run, item)):  # type: ignore[misc]
                self._did(f"undone: {what}")
            else:
                notes = {each.id: each.note for each in self.ledger.open_faults()}
                left.append(f"{what}: {notes.get(entry.id, '')}")
        return left

    def end_processes(self) -> list[str]:
        left = []
        for run in sorted({process.run for process in self.ledger.processes()} - self._live()):

            def tell(item: Event, run: str = run) -> None:
                self._record(run, item)
                self._did(f"{item.data.get('text')} of run {run}")

            stubborn = end_processes(self.ledger, run, tell)
            left += [f"process {role} of run {run}" for role in stubborn]
            if not stubborn:
                self.ledger.disown(run)
        return left

    def end_stopped_reapers(self) -> None:
        """A reaper that was stopped heals nobody; what it should have done has been done by now."""
        for run, process in stopped_reapers(self.home).items():
            if run not in self._live() and signal_process(process, signal.SIGKILL):
                self._did(f"ended the stopped reaper (pid {process.pid}) of run {run}")

    def end_labs(self) -> list[str]:
        """End labs that belonged to runs that are dead, and what is left of labs whose supervisor is."""
        left = []
        for lab in labs_of(self.home).standing():
            with closing(HistoryStore(self.home)) as store:
                runs = {record.run for record in store.runs(limit=-1)}
            unclear = lab.state == "unreadable" or (lab.state != "dead" and lab.name not in runs)
            if unclear or lab.name in self._live():
                continue
            left += self._end(lab.name, f"ended: what was left of lab {lab.name}")
        return left

    def _end(self, lab: str, done: str) -> list[str]:
        stubborn = labs_of(self.home).end(lab)
        if not stubborn:
            self._did(done)
        return [f"process {pid} of lab {lab}" for pid in stubborn]

    def mend_labs(self) -> list[str]:
        """Wait for kept labs that have lost a part to start it again; end those that do not."""
        left = []
        used = {environment.partition("/")[2] for environment, _, _, _ in self.ledger.locks(living=True)} | self._live()
        for lab in labs_of(self.home).standing():
            if lab.state != "broken" or lab.name in used:
                continue
            name, parts = lab.name, ", ".join(lab.lost)
            self._say(f"lab {name}: waiting for {parts} to restart")
            if labs_of(self.home).await_mended(name):
                self._did(f"repaired: lab {name} restarted {parts}")
                continue
            gone = f"stopped: lab {name} could not restart {parts}; start a new one with `tierdrill lab up`"
            left += self._end(name, gone)
        return left

    def close_books(self) -> None:
        """Judge the runs that have died together with their reaper, so that they do not look as if they went on."""
        with closing(HistoryStore(self.home)) as store:
            for record in store.runs(limit=1000):
                run = record.run
                if record.status is not None or run in self._live():
                    continue
                open_faults = [entry.id for entry in self.ledger.open_faults(run)]
                if record.variant == EXERCISE:
                    # Its history is opened once nothing that it tells of is injected any more.
                    if not open_faults:
                        self._close_exercise(run)
                    continue
                events = store.events(run)
                if events and not isinstance(events[-1].payload, RunEnded):
                    outcome = "unclean" if open_faults else "aborted"
                    store.append(run, event(RunStopping(by=SOURCE, reason=DIED), SOURCE))
                    store.append(run, event(LedgerOpen(faults=open_faults), SOURCE))
                    store.append(run, event(RunEnded(outcome=outcome, reason=DIED), SOURCE))
                try:
                    verdict = close_books(store, run, time.time(), self.ledger)
                except NotARun as error:
                    end_run(store, run, time.time(), "inconclusive", f"it died before it started: {error}")
                    continue
                self._say(f"closed: run {run} is {verdict.status.value}")

    def _close_exercise(self, exercise: str) -> None:
        try:
            if is_sealed(self.home, exercise):
                append_to_run(self.home, exercise, event(ExerciseEnded(reason="died"), SOURCE))
            close_dead(self.home, exercise, self.ledger)
            self._say(f"closed: exercise {exercise} is aborted")
        except HistoryError as error:
            self._warn(f"not closed: {exercise}: {error}")


def _named(entry: LedgerFault) -> str:
    """What an entry is of. A sealed one is named once its history is opened: a trainee may be looking."""
    target = entry.order.get("target")
    left = f"{in_words(str(target))}, left by a playbook"
    named = left if is_remedy(entry) else f"{entry.order.get('kind')} on {target}"
    return f"{'a sealed fault' if 'sealed' in entry.order else named} (run {entry.run})"
