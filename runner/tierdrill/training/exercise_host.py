"""The host of an exercise: brings up its lab and load, plays the scenario, and leaves nothing behind whatever happens.

It is a run like a drill's: intent on the ledger before each fault, leases that the reaper keeps when this process dies,
proofs that a fault landed and is gone. What differs is that all of it is sealed until the end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tierdrill.conductor.plan import new_run_name
from tierdrill.conductor.recorder import Recorder
from tierdrill.conductor.run_errors import RunRefused, begun
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.sealed import EXERCISE, SealedHistory, open_seal
from tierdrill.home import run_folder
from tierdrill.process.identity import me
from tierdrill.training.exercise_run import CLEAN_REASONS, Host
from tierdrill.training.exercise_session import Session
from tierdrill.training.exercise_setting import ExerciseSetting, plan_of

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class ExerciseOptions:
    """How an exercise is run. `trainee` is kept only where it was given; `seed` is the load's, None the document's.

    `responder` is the policy of a scripted one, None where people respond.
    """

    home: Path
    tools: Path
    trainee: str | None = None
    seed: int | None = None
    author: str = ""
    responder: str | None = None


@dataclass(frozen=True)
class ExerciseOutcome:
    """An exercise that has ended: its name, the folder of its files, why it ended, and what is still there."""

    exercise: str
    folder: Path
    reason: str
    why: str
    left: tuple[str, ...]


async def run_exercise(
    setting: ExerciseSetting,
    options: ExerciseOptions,
    listeners: Sequence[Listener] = (),
    on_begin: Callable[[Session], Awaitable[None]] | None = None,
) -> ExerciseOutcome:
    """Play an exercise to its end. RunRefused if it may not start. `on_begin` runs beside it once the pager is on."""
    began = time.time()
    exercise = new_run_name(EXERCISE, began)
    try:
        ledger, store = Ledger(options.home), HistoryStore(options.home)
    except (LedgerError, HistoryError) as error:
        raise RunRefused(str(error)) from error
    lock = f"{setting.environment.metadata.name}/own/{exercise}"
    _may_start(ledger, exercise, lock, options)
    folder = run_folder(options.home, exercise)
    try:
        folder.mkdir(parents=True, mode=0o700)
        store.begin(exercise, EXERCISE, EXERCISE, began)
        with begun(ledger, exercise):
            recorder = Recorder(SealedHistory.create(options.home, exercise), exercise)
            for listener in listeners:
                recorder.listen(listener)
            seed = options.seed if options.seed is not None else setting.scenario.load.seed
            host = Host(plan_of(setting, exercise, seed), setting, options, ledger, recorder, folder, on_begin)
            await host.go()
            return _closed(store, options, exercise, folder, host)
    finally:
        with contextlib.suppress(LedgerError):
            ledger.unlock(lock, exercise)
        ledger.close()
        store.close()


def _may_start(ledger: Ledger, exercise: str, lock: str, options: ExerciseOptions) -> None:
    if halt := ledger.halted():
        raise RunRefused(
            f"the kill switch is thrown: {halt.reason} ({halt.author}); `tierdrill resume --reason ...` lifts it"
        )
    ledger.lock(lock, exercise, me(), options.author)


def _closed(store: HistoryStore, options: ExerciseOptions, exercise: str, folder: Path, host: Host) -> ExerciseOutcome:
    """Open the seal, unless something is still injected: then the reaper does it once it is healed."""
    reason = host.reason
    if not host.left:
        open_seal(options.home, exercise)
        status = "completed" if reason in CLEAN_REASONS else "aborted"
        store.finish(exercise, time.time(), status, f"{reason}: {host.why}")
    return ExerciseOutcome(exercise, folder, reason, host.why, tuple(host.left))
