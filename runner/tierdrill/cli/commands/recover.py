"""`tierdrill recover`: undo whatever is still injected, end whatever was left behind; name each."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.errors import say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.live_runs import live_in, live_runs, reapers, stopped_reapers, stopped_runs
from tierdrill.cli.logs import log_to_file

if TYPE_CHECKING:
    from tierdrill.history.events import Event
    from tierdrill.history.ledger import Ledger

UNCLEAN = 5
REAPERS_WITHIN_S = 10.0
MENDED_WITHIN_S = 15.0
POLL_S = 0.1


@click.command("recover")
@click.pass_obj
def command(here: Surroundings) -> int:
    """Undo every fault that no run looks after any more, take back what its playbooks left changed, and end the
    processes and labs such runs left behind.

    Safe to repeat, and beside runs that go on. Exit code 0 when everything is clean, 5 when something would not go.
    """
    from tierdrill.history.ledger import Ledger
    from tierdrill.history.liveness import forget_the_dead

    if not here.home.exists():
        click.echo(f"clean: nothing has ever run in {here.home}")
        return 0
    log_to_file(here.home)
    _let_reapers_finish(here.home)
    before = _Count()
    with closing(Ledger(here.home)) as ledger:
        left = [
            # A dead run's own lab takes its faults along; what is left after that is in labs that are kept.
            *_end_labs(here.home, ledger, before),
            *_undo(here.home, ledger, before),
            *_end_processes(here.home, ledger, before),
            *_mend_labs(here.home, ledger, before),
        ]
        _end_stopped_reapers(here.home, ledger, before)
        _close_books(here.home, ledger)
    forget_the_dead(here.home)
    for what in left:
        say(f"still there: {what}")
    if not left:
        click.echo("clean" if before.done else "clean: there was nothing to do")
    return UNCLEAN if left else 0


def _live(ledger: Ledger) -> set[str]:
    """The runs that go on now. To be asked after what a run left was read: one may have begun since the last look.

    A run holds its environment before it writes anything, and is known by its process only a little later.
    """
    return {run for _, run, _, _ in ledger.held()} | set(live_in(ledger))


def _let_reapers_finish(home: Path) -> None:
    """A reaper that is at work heals its run by itself within moments; only what it leaves is ours."""
    deadline = time.monotonic() + REAPERS_WITHIN_S
    told = False
    while (busy := reapers(home) - set(live_runs(home))) and time.monotonic() < deadline:
        if not told:
            click.echo(f"the reaper of {', '.join(sorted(busy))} is at work: waiting for it")
            told = True
        time.sleep(POLL_S)


class _Count:
    """How many things were mended; each is told."""

    def __init__(self) -> None:
        self.done = 0

    def tell(self, text: str) -> None:
        self.done += 1
        click.echo(text)


def _undo(home: Path, ledger: Ledger, count: _Count) -> list[str]:
    from tierdrill.injection.undo import in_order_of_undo, undo_fault
    from tierdrill.targets.base import is_remedy

    left = []
    for entry in in_order_of_undo(ledger.open_faults()):
        hangs = entry.expired and entry.run in stopped_runs(ledger)
        if entry.run in _live(ledger) and not hangs:
            continue
        target = entry.order.get("target")
        named = f"{target}, left by a playbook" if is_remedy(entry) else f"{entry.order.get('kind')} on {target}"
        # Its history is opened only once all is undone; until then a trainee may be looking.
        what = f"{'a sealed fault' if 'sealed' in entry.order else named} (run {entry.run})"
        if undo_fault(ledger, entry, "recover", _into_history(home, entry.run)):
            count.tell(f"undone: {what}")
        else:
            left.append(f"{what}: {next((each.note for each in ledger.open_faults() if each.id == entry.id), '')}")
    return left


def _end_processes(home: Path, ledger: Ledger, count: _Count) -> list[str]:
    from tierdrill.conductor.cleanup import end_processes

    left = []
    for run in sorted({process.run for process in ledger.processes()}):
        if run in _live(ledger):
            continue
        record = _into_history(home, run)

        def tell(event: Event, run: str = run, record: Callable[[Event], None] = record) -> None:
            record(event)
            count.tell(f"{event.data.get('text')} of run {run}")

        stubborn = end_processes(ledger, run, tell)
        left += [f"process {role} of run {run}" for role in stubborn]
        if not stubborn:
            ledger.disown(run)
    return left


def _end_stopped_reapers(home: Path, ledger: Ledger, count: _Count) -> None:
    """A reaper that was stopped heals nobody; what it should have done has been done by now."""
    from tierdrill.process.groups import signal_process

    for run, process in stopped_reapers(home).items():
        if run not in _live(ledger) and signal_process(process, signal.SIGKILL):
            count.tell(f"ended the stopped reaper (pid {process.pid}) of run {run}")


def _end_labs(home: Path, ledger: Ledger, count: _Count) -> list[str]:
    """End labs that belonged to runs that are dead, and what is left of labs whose supervisor is."""
    from tierdrill.history.history_store import HistoryStore
    from tierdrill.lab.lab_files import all_labs, down_lab, supervisor_lives

    left = []
    for state in all_labs(home):
        with closing(HistoryStore(home)) as store:
            runs = {record.run for record in store.runs(limit=-1)}
        if state.name in _live(ledger) or (supervisor_lives(state) and state.name not in runs):
            continue
        if stubborn := down_lab(state):
            left += [f"process {pid} of lab {state.name}" for pid in stubborn]
        else:
            count.tell(f"ended: what was left of lab {state.name}")
    return left


def _mend_labs(home: Path, ledger: Ledger, count: _Count) -> list[str]:
    """Wait for kept labs that have lost a part to start it again; end those that do not."""
    from tierdrill.lab.lab_files import down_lab, lost_parts, running_labs

    left = []
    used = {environment.partition("/")[2] for environment, _, _, _ in ledger.held()} | _live(ledger)
    broken = {one.name: lost_parts(one) for one in running_labs(home) if lost_parts(one) and one.name not in used}
    deadline = time.monotonic() + MENDED_WITHIN_S
    for name, lost in broken.items():
        parts = ", ".join(lost)
        click.echo(f"lab {name} has lost {parts}: waiting for it to start again")
        while (now := next((one for one in running_labs(home) if one.name == name), None)) and lost_parts(now):
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_S)
        if now is not None and not lost_parts(now):
            count.tell(f"mended: lab {name} has started {parts} again")
        elif now is not None and (stubborn := down_lab(now)):
            left += [f"process {pid} of lab {name}" for pid in stubborn]
        else:
            count.tell(f"ended: lab {name}, which could not start {parts} again; `tierdrill lab up` brings one up")
    return left


def _into_history(home: Path, run: str) -> Callable[[Event], None]:
    """Where the events of mending go: into the run's own history, unless that has been closed and judged."""
    from tierdrill.history.history_store import HistoryError
    from tierdrill.history.sealed import append_to_run

    def emit(event: Event) -> None:
        try:
            append_to_run(home, run, event)
        except HistoryError as error:
            say(f"not recorded: {error}")

    return emit


def _close_books(home: Path, ledger: Ledger) -> None:
    """Judge the runs that have died together with their reaper, so that they do not look as if they went on."""
    from tierdrill.conductor.finalize import close_books
    from tierdrill.history.events import event
    from tierdrill.history.history_store import HistoryStore
    from tierdrill.history.sealed import EXERCISE
    from tierdrill.judge.judge import NotARun

    with closing(HistoryStore(home)) as store:
        for record in store.runs(limit=1000):
            if record.status is not None or record.run in _live(ledger):
                continue
            open_faults = [entry.id for entry in ledger.open_faults(record.run)]
            if record.variant == EXERCISE:
                _close_exercise(home, record.run, clean=not open_faults)
                continue
            events = store.events(record.run)
            if events and events[-1].kind != "run.ended":
                outcome = "unclean" if open_faults else "aborted"
                died = "the runner died, and its reaper too"
                store.append(record.run, event("run.stopping", "recover", by="recover", reason=died))
                store.append(record.run, event("ledger.open", "recover", faults=open_faults))
                store.append(record.run, event("run.ended", "recover", outcome=outcome, reason=died))
            try:
                verdict = close_books(store, record.run, time.time(), ledger)
            except NotARun as error:
                store.finish(record.run, time.time(), "inconclusive", f"it died before it began: {error}")
                continue
            click.echo(f"closed: run {record.run} is {verdict.status.value}")


def _close_exercise(home: Path, exercise: str, *, clean: bool) -> None:
    """Open the history of a dead exercise, once nothing that it tells of is injected any more."""
    from tierdrill.history.events import event
    from tierdrill.history.history_store import HistoryError
    from tierdrill.history.sealed import append_to_run, close_exercise, is_sealed

    if not clean:
        return
    try:
        if is_sealed(home, exercise):
            append_to_run(home, exercise, event("exercise.ended", "recover", reason="died"))
        close_exercise(home, exercise)
        click.echo(f"closed: exercise {exercise} is aborted")
    except HistoryError as error:
        say(f"not closed: {exercise}: {error}")
