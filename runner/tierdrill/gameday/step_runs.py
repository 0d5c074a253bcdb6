"""Opening a game day: everything it needs is looked at before the first line of its journal is written."""

import json
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tierdrill import __version__
from tierdrill.conductor.plan import make_plan
from tierdrill.conductor.run_start import may_run_in_maintenance
from tierdrill.documents.catalogue import Catalogue, setting_of
from tierdrill.documents.models.gameday import GameDay
from tierdrill.documents.variables import changed
from tierdrill.gameday.journal import Journal, new_identity
from tierdrill.history.events import Event, event
from tierdrill.history.kinds.gameday_kinds import GameDayOpened
from tierdrill.history.kinds.run_kinds import RunStarted
from tierdrill.process.child import Child, tail
from tierdrill.process.programs import Program, program, user_environment
from tierdrill.process.safe_files import is_locked, locked
from tierdrill.process.spawn import start
from tierdrill.targets.target_registry import mechanisms_of

SETTING_UP_S = 12.0
"""About what a run takes besides its phases: a lab that comes up, preflight, clean-up. Only for the time left."""


@dataclass(frozen=True)
class Opening:
    author: str
    lab: str | None = None
    unattended: bool = False
    pauses: bool = True
    in_maintenance: str = ""


def planned_seconds(document: GameDay, catalogue: Catalogue) -> list[float]:
    """About how long each step's run takes. PlanError if one cannot be planned."""
    lengths = []
    for step in document.steps:
        setting = changed(setting_of(catalogue, step.drill), step.variables, ())
        plan = make_plan(setting, f"{step.drill}-planned", step.variant, mechanisms_of(setting.environment))
        lengths.append(sum(phase.seconds for phase in plan.phases) + SETTING_UP_S)
    return lengths


def open_gameday(home: Path, document: GameDay, catalogue: Catalogue, opening: Opening) -> Journal:
    """A new game day with its journal. PlanError or HistoryError where it cannot be; RunRefused while a maintenance of
    its drills' tiers goes on, but for a role that may declare one.
    """
    for step in document.steps:
        setting = setting_of(catalogue, step.drill)
        may_run_in_maintenance(setting.tiers, setting.drill.touched, opening.in_maintenance)
    planned = planned_seconds(document, catalogue)
    at = time.time()
    identity = new_identity(document.metadata.name, at)
    opened = event(
        GameDayOpened(
            gameday=identity,
            document=document.model_dump(mode="json"),
            catalogue=str(catalogue.root),
            lab=opening.lab,
            unattended=opening.unattended,
            pauses=opening.pauses,
            in_maintenance=opening.in_maintenance,
            planned=planned,
            version=__version__,
        ),
        opening.author,
        at=at,
    )
    return Journal.create(home, identity, opened)


COMMAND = tuple(program(Program.TIERDRILL))
ERRORS_MAX = 4000


class RunChild:
    """One attempt's run, from its files alone."""

    def __init__(self, folder: Path, step: int, attempt: int) -> None:
        stem = f"step-{step + 1}-{attempt}"
        self._lock = folder / f"{stem}.lock"
        self._output = folder / f"{stem}.jsonl"
        self._errors = folder / f"{stem}.err"
        self._child: Child | None = None
        self._name: str | None = None

    def start(self, arguments: Sequence[str], author: str) -> None:
        """Start `tierdrill` with these arguments, under that name. OSError if it cannot be started."""
        # At most somebody looks at the lock for a moment; nobody else ever holds it. The child has the open file, and
        # with it the lock, when it is closed here.
        with locked(self._lock) as lock, self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._child = start(
                [*COMMAND, *arguments],
                (output, errors),
                pass_fds=(lock,),
                env=user_environment(author=author),
                session=True,
                outlives=True,
            )

    def alive(self) -> bool:
        """Whether the run's process lives, whoever started it."""
        if self._child is not None:
            # Collects it when it has ended.
            self._child.exit_code()
        return is_locked(self._lock)

    def kill(self) -> None:
        """End the run's process at once, if it was started here; its reaper undoes what it injected."""
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL)

    def name(self) -> str | None:
        """The run's name, once it has begun."""
        if self._name is None:
            try:
                with self._output.open(encoding="utf-8") as lines:
                    line = lines.readline()
            except (FileNotFoundError, UnicodeDecodeError):
                return None
            if line.endswith("\n"):
                self._name = _named(line)
        return self._name

    def complaint(self) -> str:
        """What it said on stderr, as one line: why it did not begin."""
        lines = [line.removeprefix("tierdrill: ").strip() for line in tail(self._errors, ERRORS_MAX).splitlines()]
        return "; ".join(line for line in lines if line)[:600]


def _named(line: str) -> str | None:
    try:
        first = Event.from_line(line)
    except (ValueError, json.JSONDecodeError):
        return None
    return said.run if isinstance(said := first.payload, RunStarted) else None
