"""The run of a step, as a child of its own that outlives whoever started it.

`tierdrill run` is started in a session of its own, its output in files of the game day's folder, so that neither a
closed terminal nor a killed facilitator touches it. It holds a lock on a file for as long as it lives (the lock goes
with the open file from the starter to the child): whoever comes later tells from that lock, without a gap and without
trusting process ids, whether the run goes on.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path

from tierdrill.history.events import Event
from tierdrill.history.kinds.run_kinds import RunStarted
from tierdrill.process.child import Child, start, tail
from tierdrill.process.file_lock import is_locked, locked
from tierdrill.process.programs import Program, program, user_environment

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

    def start(self, arguments: Sequence[str]) -> None:
        """Start `tierdrill` with these arguments. OSError if it cannot be started."""
        # At most somebody looks at the lock for a moment; nobody else ever holds it. The child has the open file, and
        # with it the lock, when it is closed here.
        with locked(self._lock) as lock, self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._child = start(
                [*COMMAND, *arguments],
                (output, errors),
                pass_fds=(lock,),
                env=user_environment(),
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
