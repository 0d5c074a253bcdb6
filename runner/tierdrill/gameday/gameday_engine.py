"""The engine: carries out what the journal says, once a tick. It starts runs, follows them, stops them, and paces.

It keeps nothing that is not in the journal, in the run's history or in the run's own files, so that an engine that is
started again after the first one was killed goes on where that one was.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.variables import show_guardrail
from tierdrill.gameday import gameday_commands as pace
from tierdrill.gameday.gameday_commands import Command, Decision, decide
from tierdrill.gameday.gameday_model import Attempt, GameDayState
from tierdrill.gameday.journal import Journal
from tierdrill.gameday.record.step_outcome import UNCLEAN, outcome_of, refused, told
from tierdrill.gameday.step_runs import RunChild
from tierdrill.history.events import event
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.kill_switch import halted
from tierdrill.history.kinds.gameday_kinds import ClockMoved, RunEvent, RunFinished, RunNamed, RunStarting
from tierdrill.history.kinds.run_kinds import RunStarted
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.switch_file import Halt
from tierdrill.judge.judge import NotARun, setting_in
from tierdrill.report.run_model import RunState
from tierdrill.report.run_state import reduce

BOOKS_WITHIN_S = 150.0
"""How long a dead runner's reaper may take to heal and to close the history: its own patience and a margin."""
LOOK_AT_SWITCH_S = 1.0
CLOCK_STEP_S = 2.0
"""Above what slewing makes in a tick, below what would matter to a pause."""


def since_boot() -> float:
    """Seconds since the machine booted, those in which it slept among them; nobody can set this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Followed:
    """The run that is followed: its child, what its history said so far, and what was asked of it."""

    step: int
    attempt: int
    child: RunChild
    read: int = 0
    state: RunState = field(default_factory=RunState)
    setting: DrillSetting | None = None
    stop_asked: bool = False
    dead_since: float | None = None


class Engine:
    """One game day, driven by `tick`. With `hands_off` it only watches: for those who are not the facilitator."""

    def __init__(
        self,
        journal: Journal,
        author: str,
        *,
        hands_off: bool = False,
        clock: Callable[[], float] = time.time,
        boot_clock: Callable[[], float] = since_boot,
        new_child: Callable[[Path, int, int], RunChild] = RunChild,
    ) -> None:
        self.journal = journal
        self.author = author
        self.hands_off = hands_off
        self.trouble = ""
        self.halt: Halt | None = None
        self.followed: Followed | None = None
        self._clock = clock
        self._boot_clock = boot_clock
        self._clocks = (clock(), boot_clock())
        self._new_child = new_child
        self._looked_at = 0.0

    @property
    def state(self) -> GameDayState:
        """The game day as far as the journal was read."""
        return self.journal.state

    @property
    def run(self) -> RunState | None:
        """The run that goes on, or went on last, as far as its history was read."""
        return self.followed.state if self.followed is not None else None

    @property
    def setting(self) -> DrillSetting | None:
        """The documents of that run, once it has begun."""
        return self.followed.setting if self.followed is not None else None

    def do(self, command: Command) -> Decision:
        """Carry out what somebody asks for; the decision says what came of it, also where it could not be written."""
        command = replace(command, author=command.author or self.author)
        try:
            decision = decide(self.journal.read(), command, self._clock())
            if decision.events:
                self.journal.write(decision.events)
            return decision
        except HistoryError as error:
            return Decision(say=f"not written: {' '.join(str(error).split())}", ok=False)

    def tick(self) -> None:
        """Read on, follow the run, and do what is due. Trouble with the files is told and tried again next time."""
        try:
            state = self.journal.read()
            self._look_at_clock(state)
            self._look_at_switch()
            if state.attempt is not None:
                self._follow(state, state.attempt)
            if not self.hands_off and (command := pace.due(self.state, self._clock())) is not None:
                self.do(command)
            self.trouble = ""
        except (HistoryError, LedgerError, OSError) as error:
            self.trouble = " ".join(str(error).split())

    def kill_run(self) -> None:
        """End the run at once: its reaper undoes what it injected. For those who cannot wait for a clean stop."""
        if self.followed is None:
            return
        self.followed.child.kill()
        if (name := self.followed.child.name()) is not None:
            with closing(Ledger(self.journal.home)) as ledger:
                runners = [one for one in ledger.processes(name) if one.role == "runner"]
            for one in runners:
                if one.process.lives():
                    with suppress(ProcessLookupError):
                        os.kill(one.pid, signal.SIGKILL)

    def _look_at_clock(self, state: GameDayState) -> None:
        """A wall clock that went another way than boot time was set, by hand or by NTP."""
        before, self._clocks = self._clocks, (self._clock(), self._boot_clock())
        moved = (self._clocks[0] - before[0]) - (self._clocks[1] - before[1])
        if abs(moved) >= CLOCK_STEP_S and not self.hands_off and state.ended is None:
            self.journal.write([event(ClockMoved(seconds=moved), pace.ENGINE, self._clocks[0])])

    def _look_at_switch(self) -> None:
        now = self._clock()
        if abs(now - self._looked_at) < LOOK_AT_SWITCH_S:
            return
        self._looked_at = now
        self.halt = halted(self.journal.home)

    def _follow(self, state: GameDayState, attempt: Attempt) -> None:
        step = state.position - 1
        followed = self.followed
        if followed is None or (followed.step, followed.attempt) != (step, attempt.number):
            child = self._new_child(self.journal.folder, step, attempt.number)
            followed = self.followed = Followed(step, attempt.number, child)
        if attempt.starting is None:
            if not self.hands_off:
                self._start(state, attempt, followed)
            return
        # Looked at before its history: what a run wrote last was written while it lived.
        goes_on = followed.child.alive()
        self._read_run(attempt, followed)
        current = state.current
        if self.hands_off:
            return
        if state.aborting is not None or (current is not None and current.skipped is not None):
            self._ask_stop(state, attempt, followed)
        if not goes_on:
            self._finish(state, followed)

    def _start(self, state: GameDayState, attempt: Attempt, followed: Followed) -> None:
        current = state.current
        if state.aborting is not None or current is None or current.skipped is not None:
            self._write(followed, RunFinished, **refused("stopped before it began"))
            return
        # In the journal first: a facilitator killed in between leaves an attempt that is seen not to have begun.
        self._write(followed, RunStarting)
        followed.child.start(run_arguments(state, self.journal.home), self.author)

    def _read_run(self, attempt: Attempt, followed: Followed) -> None:
        name = attempt.run or followed.child.name()
        if name is None:
            return
        if attempt.run is None and not self.hands_off:
            self._write(followed, RunNamed, run=name)
        with closing(HistoryStore(self.journal.home)) as store:
            fresh = store.events(name, after=followed.read)
        for one in fresh:
            followed.state = reduce(followed.state, one)
            if isinstance(one.payload, RunStarted):
                with suppress(NotARun, LookupError, TypeError, ValueError):
                    followed.setting = setting_in([one])
        followed.read = fresh[-1].sequence if fresh else followed.read

    def _ask_stop(self, state: GameDayState, attempt: Attempt, followed: Followed) -> None:
        if followed.stop_asked:
            return
        name = attempt.run or followed.child.name()
        if name is None:
            return
        current = state.current
        reason = state.aborting or (current.skipped if current is not None else None) or "game day"
        with closing(Ledger(self.journal.home)) as ledger:
            ledger.ask_stop(name, state.abort_by or self.author, f"game day {state.identity}: {reason}")
        followed.stop_asked = True

    def _finish(self, state: GameDayState, followed: Followed) -> None:
        assert state.document is not None
        name = followed.child.name()
        if name is None:
            self._write(followed, RunFinished, **refused(followed.child.complaint()))
            return
        with closing(HistoryStore(self.journal.home)) as store:
            record = store.find(name)
            events = store.events(name) if record is not None and record.status is not None else []
        if record is not None and record.status is not None:
            self._write(followed, RunFinished, **outcome_of(state.document, name, events))
            return
        now = self._clock()
        followed.dead_since = followed.dead_since or now
        if abs(now - followed.dead_since) >= BOOKS_WITHIN_S:
            summary = "its runner died; `tierdrill recover` cleans up"
            self._write(followed, RunFinished, **told(name, UNCLEAN, summary))

    def _write(self, followed: Followed, kind: Callable[..., RunEvent], **data: Any) -> None:
        said = kind(step=followed.step, attempt=followed.attempt, **data)
        self.journal.write([event(said, pace.ENGINE, self._clock())])


def run_arguments(state: GameDayState, home: Path) -> list[str]:
    assert state.document is not None and state.current is not None
    step = state.current.step
    arguments = ["--home", str(home), "--catalogue", state.catalogue, "run", step.drill, "--json"]
    if step.variant == "blip":
        arguments.append("--blip")
    elif step.variant != "drill":
        arguments += ["--sabotage", step.variant.partition(":")[2]]
    for name, value in step.variables.items():
        arguments += ["--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
    for criterion in state.document.abort:
        if criterion.guardrail is not None:
            arguments += ["--guardrail", show_guardrail(criterion.guardrail)]
    if state.lab is not None:
        arguments += ["--lab", state.lab]
    if state.in_maintenance:
        arguments += ["--in-maintenance", state.in_maintenance]
    return arguments
