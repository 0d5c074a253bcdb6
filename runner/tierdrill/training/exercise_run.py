"""What goes with an exercise from its begin: the terminal that shows it, and a scripted responder if one is wanted."""

import asyncio
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tierdrill.conductor.plan import Plan, new_run_name
from tierdrill.conductor.preflight import settle
from tierdrill.conductor.recorder import Recorder
from tierdrill.conductor.run_lifecycle import RunLifecycle
from tierdrill.conductor.run_start import RunRecords, RunRefused, begin_run, may_run_in_maintenance
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.kinds.exercise_kinds import ExerciseEnded, ExerciseNote, ExerciseStarted
from tierdrill.history.kinds.run_kinds import LoadStarted, RunNote
from tierdrill.history.sealed import EXERCISE, SealedHistory, exercise_folder, open_seal, sealed_order
from tierdrill.injection.injector import Injector
from tierdrill.load.load_child import LoadError
from tierdrill.recovery.finalize import end_run
from tierdrill.report.run.terminal_summary import make_console
from tierdrill.targets import base
from tierdrill.targets.base import Finding
from tierdrill.training.exercise_platform import Platform
from tierdrill.training.exercise_session import Session
from tierdrill.training.exercise_setting import ExerciseSetting, plan_of
from tierdrill.training.facilitator.facilitator_actions import ExerciseFaults
from tierdrill.training.protocol import NoExercise, exchange, find_exercise
from tierdrill.training.responders import Over, Policy, Responder
from tierdrill.training.terminal_server import Desk
from tierdrill.training.trainee_console import Terminal

LOG_FILE = "responder.log"


def opening(
    setting: ExerciseSetting,
    home: Path,
    folder_of: Callable[[str], Path],
    auto: Policy | None,
    terminal: Terminal | None,
) -> tuple[list[Callable[[Event], None]], Callable[[Session], Awaitable[None]]]:
    """The listeners of an exercise, and what runs beside it once it has begun."""

    async def begin(session: Session) -> None:
        if terminal is not None:
            terminal.elapsed = lambda: session.clock.elapsed
            terminal.welcome(session.exercise, setting)
        if auto is not None:
            await respond(session, home, folder_of(session.exercise), auto, setting.scenario.duration)

    return ([] if terminal is None else [terminal.feed]), begin


async def respond(session: Session, home: Path, folder: Path, policy: Policy, at_most_s: float) -> None:
    """Let a scripted responder work, over the socket like anybody else, until the exercise ends."""
    over = threading.Event()
    work = asyncio.create_task(asyncio.to_thread(_work, home, session.exercise, folder, policy, at_most_s, over))
    try:
        await session.ending.ended.wait()
    finally:
        over.set()
        await asyncio.wait([work], timeout=5.0)


def _work(home: Path, exercise: str, folder: Path, policy: Policy, at_most_s: float, over: threading.Event) -> None:
    try:
        _, connection = find_exercise(home, exercise)
    except NoExercise:
        return

    def put(do: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
        if over.is_set():
            raise Over
        try:
            return exchange(connection, exercise, do, dict(said))
        except NoExercise as error:
            raise Over from error

    def wait(seconds: float) -> None:
        if over.wait(seconds):
            raise Over

    with closing(connection):
        log = Responder(policy, put, wait, time.monotonic).run(at_most_s)
    (folder / LOG_FILE).write_text("".join(f"{line}\n" for line in log), encoding="utf-8")


def make_terminal(*, color: bool, named: bool) -> Terminal:
    """The exercise's own terminal. `named`: the scenario was chosen, so its title may be told."""
    return Terminal(make_console(color=color), named=named)


HEALTHY_WITHIN_S = 20.0
PIPELINE_WITHIN_S = 40.0
GO_AHEAD_S = 0.4
CLEAN_REASONS = ("resolved", "given-up", "time", "facilitator")
STOPPED_BY = {"signal": "interrupted", "halt": "stopped", "stop": "stopped"}
OnBegin = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True)
class ExerciseOptions:
    """How an exercise is run. `trainee` is kept only where it was given; `seed` is the load's, None the document's.

    `responder` is the policy of a scripted one, None where people respond. `in_maintenance` is the role as which it may
    start although a maintenance of its tiers goes on.
    """

    home: Path
    tools: Path
    trainee: str | None = None
    seed: int | None = None
    author: str = ""
    responder: str | None = None
    in_maintenance: str = ""


@dataclass(frozen=True)
class ExerciseOutcome:
    """An exercise that has ended: its name, the folder of its files, why it ended, and what is still there."""

    exercise: str
    folder: Path
    reason: str
    why: str
    left: tuple[str, ...]


class ExerciseRun(RunLifecycle[Platform]):
    """One exercise while it lives. Why it ended is known once it has."""

    source = "exercise"

    def __init__(
        self,
        plan: Plan,
        setting: ExerciseSetting,
        options: ExerciseOptions,
        records: RunRecords,
        recorder: Recorder,
        on_begin: OnBegin | None,
    ) -> None:
        super().__init__(plan, records, recorder, home=options.home, tools=options.tools, discreet=True)
        self.setting, self.options, self._on_begin = setting, options, on_begin
        self.reason, self.why = "error", "it never started"
        self.session: Session | None = None
        self.desk: Desk | None = None

    @property
    def exercise(self) -> str:
        return self.plan.run

    def deployment_of(self, session: base.Session) -> Platform:
        """The platform, with the exercise's session that hears its alerts and acknowledgements from the beginning."""
        platform = Platform(self.plan, session, self.recorder, self.setting)
        environment, take = self.setting.environment, self.recorder.take
        seal = partial(sealed_order, self.home, self.exercise, SealedHistory.find(self.home, self.exercise).seal)
        injector = Injector(self.home, self.exercise, session.place, "exercise", take, seal, environment.limits)
        self.session = Session(
            exercise=self.exercise,
            setting=self.setting,
            platform=platform,
            faults=ExerciseFaults(injector, environment.lease),
            recorder=self.recorder,
            trainee=self.options.trainee,
        )
        return platform

    async def play(self) -> None:
        """Bring everything up, then play; a stop cuts either short."""
        text = "starting the platform; you will be on call in a moment"
        self.recorder.note(ExerciseNote(text=text), "exercise")
        await self.bring_up()
        assert self.session is not None
        await self.until_stopped(self._prepare(self.session))
        if not self.stop.stopped:
            await self._play(self.session)

    async def _prepare(self, session: Session) -> None:
        self.watch()
        try:
            await self.start_load()
        except LoadError as error:
            raise RunRefused(str(error)) from error
        # The child has read it; how the load will move is part of what the trainee has to find out.
        (self.folder / "load-plan.json").unlink(missing_ok=True)
        await self._settled(self.healthy, HEALTHY_WITHIN_S)
        await self._settled(self.quiet, PIPELINE_WITHIN_S)
        self.desk = Desk(exercise_folder(self.home, self.exercise), session.handle)
        await self.desk.start()

    async def _settled(self, look: Callable[[], Awaitable[list[Finding]]], within_s: float) -> None:
        findings = await settle(look, within_s)
        bad = [finding for finding in findings if not finding.ok]
        if bad:
            raise RunRefused("the lab is not healthy: " + "; ".join(f"{one.name}: {one.seen}" for one in bad))

    async def quiet(self) -> list[Finding]:
        """Also: what there is was seen, or there is nothing to show to a trainee."""
        assert self.deployment is not None
        shown = bool(self.deployment.session.state["nodes"])
        return [*await super().quiet(), Finding("state", shown, "seen" if shown else "no control plane report")]

    async def _play(self, session: Session) -> None:
        assert self.load is not None
        zero = time.time() + GO_AHEAD_S
        await self.load.go(zero)
        session.begin(GO_AHEAD_S)
        self._note_begin(zero)
        for work in session.work():
            self.spawn(work())
        self.spawn(self._watch_load(session))
        if self._on_begin is not None:
            self.spawn(self._on_begin(session))
        ended, stopped = asyncio.create_task(session.ending.ended.wait()), asyncio.create_task(self.stop.wait())
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, stopped):
            task.cancel()
        if self.stop.by is not None:
            session.ending.end(STOPPED_BY.get(self.stop.by, "error"), self.stop.reason)

    def _note_begin(self, zero: float) -> None:
        said = ExerciseStarted(
            exercise=self.exercise,
            scenario=self.setting.scenario.model_dump(mode="json"),
            settings=self.setting.to_json(),
            trainee=self.options.trainee,
            responder=self.options.responder,
            automation=self.setting.automation,
            seed=self.plan.setting.drill.load.seed,
        )
        self.recorder.note(said, "exercise", at=zero)
        self.recorder.note(LoadStarted(schedule_zero=zero, planned={}), "load")

    async def _watch_load(self, session: Session) -> None:
        assert self.load is not None
        code = await self.load.wait()
        if not session.ending.ended.is_set():
            session.ending.end("time" if code == 0 else "error", f"the load ended ({code})")

    async def end_own(self) -> None:
        try:
            if self.desk is not None:
                await self.desk.stop()
        finally:
            if self.session is not None:
                await self.session.close()

    def closing(self) -> None:
        ending = self.session.ending if self.session is not None else None
        if ending is not None and ending.ended.is_set():
            self.reason, self.why = ending.reason, ending.why
        elif self.stop.by is not None:
            self.reason = STOPPED_BY.get(self.stop.by, "error")
            self.why = self.stop.reason
        self.note(ExerciseEnded(reason=self.reason, why=self.why))

    def closed(self) -> tuple[str, str]:
        return "completed" if self.reason in CLEAN_REASONS else "aborted", self.why

    def trace(self, error: BaseException) -> None:
        """Sealed like everything, for a traceback may tell what was injected."""
        self.note(RunNote(text="".join(traceback.format_exception(error))[-4000:]))


async def run_exercise(
    setting: ExerciseSetting,
    options: ExerciseOptions,
    listeners: Sequence[Callable[[Event], None]] = (),
    on_begin: OnBegin | None = None,
) -> ExerciseOutcome:
    """Play an exercise to its end. RunRefused if it may not start. `on_begin` runs beside it once the pager is on."""
    touched = {stream.tier for stream in setting.scenario.load.streams}
    maintenance = may_run_in_maintenance(setting.tiers, touched, options.in_maintenance)
    began = time.time()
    exercise = new_run_name(EXERCISE, began)
    lock = f"{setting.environment.metadata.name}/own/{exercise}"
    books = begin_run(
        options.home, exercise, EXERCISE, EXERCISE, began, lock=lock, author=options.author,
        in_maintenance=options.in_maintenance if maintenance else "",
    )  # fmt: skip
    with books as records:
        recorder = Recorder(SealedHistory.create(options.home, exercise), exercise)
        for listener in listeners:
            recorder.listen(listener)
        seed = options.seed if options.seed is not None else setting.scenario.load.seed
        run = ExerciseRun(plan_of(setting, exercise, seed), setting, options, records, recorder, on_begin)
        await run.go()
        return _closed(records.store, options, run)


def _closed(store: HistoryStore, options: ExerciseOptions, run: ExerciseRun) -> ExerciseOutcome:
    """Open the seal, unless something is still injected: then the reaper does it once it is healed."""
    if not run.left:
        open_seal(options.home, run.exercise)
        status = "completed" if run.reason in CLEAN_REASONS else "aborted"
        end_run(store, run.exercise, time.time(), status, f"{run.reason}: {run.why}", options.author)
    return ExerciseOutcome(run.exercise, run.folder, run.reason, run.why, tuple(run.left))
