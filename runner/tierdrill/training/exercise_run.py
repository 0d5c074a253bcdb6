"""The parts of one exercise while it lives: brought up in order, played, and taken down whatever happened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tierdrill.conductor.cleanup import own_process, undo_all
from tierdrill.conductor.deployment import open_session
from tierdrill.conductor.external_playbooks import tool_secrets
from tierdrill.conductor.plan import Plan
from tierdrill.conductor.planned_load import load_plan
from tierdrill.conductor.preflight import check_alerts, check_inventory, settle
from tierdrill.conductor.reaper_handle import ReaperHandle, start_reaper
from tierdrill.conductor.recorder import Recorder, in_thread
from tierdrill.conductor.run_errors import RunRefused
from tierdrill.conductor.watchers import keep_leases, pump_reports, pump_samples
from tierdrill.history.events import Emit, Event
from tierdrill.history.history_store import HistoryError
from tierdrill.history.kinds.exercise_kinds import ExerciseEnded, ExerciseNote, ExerciseStarted
from tierdrill.history.kinds.run_kinds import LedgerOpen, LoadEnded, LoadStarted, RunEnded, RunNote
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.payload import Payload
from tierdrill.history.sealed import SealedHistory, exercise_folder, sealed_order
from tierdrill.injection.injector import Injector
from tierdrill.load.load_child import LoadError, LoadProcess
from tierdrill.process.signals import Signals, StopSignal
from tierdrill.targets.base import Finding, TargetError
from tierdrill.targets.open import end_platform
from tierdrill.training.exercise_platform import Platform
from tierdrill.training.exercise_session import Session
from tierdrill.training.exercise_setting import ExerciseSetting
from tierdrill.training.facilitator.exercise_faults import ExerciseFaults
from tierdrill.training.terminal_server import Desk

if TYPE_CHECKING:
    from tierdrill.training.exercise_host import ExerciseOptions

HEALTHY_WITHIN_S = 20.0
PIPELINE_WITHIN_S = 40.0
GO_AHEAD_S = 0.4
CLEAN_REASONS = ("resolved", "given-up", "time", "facilitator")
STOPPED_BY = {"signal": "interrupted", "halt": "stopped", "stop": "stopped"}


class Host:
    """The parts of one exercise while it lives."""

    def __init__(
        self,
        plan: Plan,
        setting: ExerciseSetting,
        options: ExerciseOptions,
        ledger: Ledger,
        recorder: Recorder,
        folder: Path,
        on_begin: Callable[[Session], Awaitable[None]] | None,
    ) -> None:
        self.plan, self.setting, self.options, self.ledger = plan, setting, options, ledger
        self.recorder, self.folder, self._on_begin = recorder, folder, on_begin
        self.stop = StopSignal()
        self.reason, self.why, self.left = "error", "it never began", list[str]()
        self.reaper: ReaperHandle | None = None
        self.platform: Platform | None = None
        self.load: LoadProcess | None = None
        self.session: Session | None = None
        self.desk: Desk | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._pumps: list[asyncio.Task[None]] = []

    @property
    def exercise(self) -> str:
        """Its name."""
        return self.plan.run

    async def go(self) -> None:
        """Everything from the reaper's start to its dismissal. Never raises for what goes wrong in the world."""
        with Signals(self.stop):
            try:
                self.reaper = await start_reaper(
                    self.options.home,
                    self.exercise,
                    self.exercise,
                    self.folder,
                    self.stop,
                    tool_secrets(self.setting.playbooks),
                )
                self._own("runner", os.getpid())
                lease_s = self.setting.environment.lease
                self._spawn(keep_leases(self.ledger, self.exercise, lease_s, self.stop, self._renew_leases))
                await self._until_stopped(self._prepare())
                if self.session is not None and not self.stop.stopped:
                    await self._play(self.session)
            except (asyncio.CancelledError, KeyboardInterrupt):
                self.stop.stop("signal", "cancelled")
            except RunRefused as refusal:
                self.stop.stop("error", str(refusal))
            except Exception as error:
                self.stop.stop("error", f"{type(error).__name__}: {error}")
                self._write_trace(error)
            finally:
                await self._clean_up()

    async def _renew_leases(self, names: list[str]) -> None:
        if self.platform is not None:
            await self.platform.session.renew_leases(names)

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Bring up, but let a Ctrl-C cut it short."""
        task, stopped = asyncio.create_task(work), asyncio.create_task(self.stop.wait())
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _prepare(self) -> None:
        options = self.options
        self._say("the platform is being brought up; you are on call in a moment")
        session = await open_session(self.plan, options.home, options.tools, self._own, discreet=True)
        self.platform = Platform(self.plan, session, self.recorder, self.setting)
        folder, environment = exercise_folder(options.home, self.exercise), self.setting.environment
        seal = partial(sealed_order, options.home, self.exercise, SealedHistory.find(options.home, self.exercise).seal)
        injector = Injector(
            options.home, self.exercise, session.place, "exercise", self.recorder.take, seal, environment.limits
        )
        self.session = Session(
            exercise=self.exercise,
            setting=self.setting,
            platform=self.platform,
            faults=ExerciseFaults(injector, environment.lease),
            recorder=self.recorder,
            trainee=options.trainee,
        )
        await self.platform.open()
        for work in self.platform.watchers(self.stop):
            self._spawn(work)
        await self._start_load()
        await self._settled(self._healthy, HEALTHY_WITHIN_S)
        await self._settled(self._quiet, PIPELINE_WITHIN_S)
        self.desk = Desk(folder, self.session.handle)
        await self.desk.start()

    async def _start_load(self) -> None:
        assert self.platform is not None
        plan = load_plan(self.plan, self.platform.session, self.folder)
        try:
            self.load = await LoadProcess.start(plan, self.folder)
        except LoadError as error:
            raise RunRefused(str(error)) from error
        self._own("load", self.load.pid)
        # The child has read it; how the load will move is part of what the trainee has to find out.
        (self.folder / "load-plan.json").unlink(missing_ok=True)
        self._pumps = [
            self._spawn(pump_samples(self.load, self.recorder, (), self.stop)),
            self._spawn(pump_reports(self.load, self.recorder)),
        ]

    async def _settled(self, look: Callable[[], Awaitable[list[Finding]]], within_s: float) -> None:
        findings = await settle(look, within_s)
        bad = [finding for finding in findings if not finding.ok]
        if bad:
            raise RunRefused("the lab is not well: " + "; ".join(f"{one.name}: {one.seen}" for one in bad))

    async def _healthy(self) -> list[Finding]:
        assert self.platform is not None
        try:
            return check_inventory(await self.platform.remedies.inventory())
        except TargetError as error:
            return [Finding("platform", False, str(error))]

    async def _quiet(self) -> list[Finding]:
        assert self.platform is not None
        alerts = await self.platform.active_alerts()
        heard = self.platform.pipeline_heard and bool(self.platform.session.state["nodes"])
        quiet = check_alerts(alerts) if alerts is not None else Finding("alerts", False, "Alertmanager does not answer")
        return [Finding("pipeline", heard, "heard" if heard else "no alert came through"), quiet]

    async def _play(self, session: Session) -> None:
        assert self.load is not None
        zero = time.time() + GO_AHEAD_S
        await self.load.go(zero)
        session.begin(GO_AHEAD_S)
        self._note_begin(zero)
        for work in session.work():
            self._spawn(work())
        self._spawn(self._watch_load(session))
        if self._on_begin is not None:
            self._spawn(self._on_begin(session))
        ended, stopped = asyncio.create_task(session.ending.ended.wait()), asyncio.create_task(self.stop.wait())
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (ended, stopped):
            task.cancel()
        if self.stop.by is not None:
            session.ending.end(STOPPED_BY.get(self.stop.by, "error"), self.stop.reason)

    def _note_begin(self, zero: float) -> None:
        self.recorder.note(
            ExerciseStarted(
                exercise=self.exercise,
                scenario=self.setting.scenario.model_dump(mode="json"),
                settings=self.setting.to_json(),
                trainee=self.options.trainee,
                responder=self.options.responder,
                automation=self.setting.automation,
                seed=self.plan.setting.drill.load.seed,
            ),
            "exercise",
            at=zero,
        )
        self.recorder.note(LoadStarted(schedule_zero=zero, planned={}), "load")

    def _say(self, text: str) -> None:
        self.recorder.note(ExerciseNote(text=text), "exercise")

    async def _watch_load(self, session: Session) -> None:
        assert self.load is not None
        code = await self.load.wait()
        if not session.ending.ended.is_set():
            session.ending.end("time" if code == 0 else "error", f"the load ended ({code})")

    def _spawn(self, work: Coroutine[Any, Any, None] | Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work))
        self._tasks.append(task)
        return task

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._write_trace(error)
            self.stop.stop("error", f"{type(error).__name__}: {error}")

    def _own(self, role: str, pid: int) -> None:
        if (process := own_process(self.exercise, role, pid)) is not None:
            self.ledger.own(process)

    async def _clean_up(self) -> None:
        """Undo first of all that can fail; every step is tried whatever became of the one before."""
        self._decide()
        self._note(ExerciseEnded(reason=self.reason, why=self.why))
        steps: list[Callable[[], Awaitable[Any]]] = []
        if self.desk is not None:
            steps.append(self.desk.stop)
        if self.session is not None:
            steps.append(self.session.close)
        for step in steps:
            await self._tried(step())
        await self._tried(self._undo(remedies=False))
        for tail in (self._end_load, self._end_watchers):
            await self._tried(tail())
        processes: list[str] | None = []
        if self.platform is not None:
            await self._tried(self.platform.close())
            processes = await self._tried(self.platform.session.end())
        elif self.reaper is not None:
            # It may have been cut short while it came up.
            processes = await self._tried(asyncio.to_thread(end_platform, self.options.home, self.exercise))
        # What was done to the platform has ended with it.
        left = await self._tried(self._undo(remedies=True))
        self.left = [*(left if left is not None else ["unknown"]), *(processes if processes is not None else ["lab"])]
        self._note(LedgerOpen(faults=left if left is not None else ["unknown"], processes=processes or []))
        clean = not self.left
        outcome = "unclean" if not clean else "completed" if self.reason in CLEAN_REASONS else "aborted"
        self._note(RunEnded(outcome=outcome, reason=self.why))
        if self.reaper is not None:
            # Not clean: the reaper is left to think that this process died, and heals.
            await self.reaper.dismiss(clean=clean)
        if clean:
            with contextlib.suppress(LedgerError):
                self.ledger.disown(self.exercise)

    def _decide(self) -> None:
        ending = self.session.ending if self.session is not None else None
        if ending is not None and ending.ended.is_set():
            self.reason, self.why = ending.reason, ending.why
        elif self.stop.by is not None:
            self.reason = STOPPED_BY.get(self.stop.by, "error")
            self.why = self.stop.reason

    async def _end_load(self) -> None:
        if self.load is None:
            return
        await self.load.stop()
        if self._pumps:
            await asyncio.wait(self._pumps, timeout=3.0)
        malformed = self.load.sample_tail.malformed + self.load.report_tail.malformed
        self._note(LoadEnded(exit_code=self.load.exit_code, malformed=malformed))

    async def _end_watchers(self) -> None:
        if self.platform is not None and self.session is not None:
            await self.platform.last_look()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tried(self, step: Awaitable[Any]) -> Any:
        try:
            return await step
        except Exception as error:
            self._write_trace(error)
            return None

    def _note(self, said: Payload) -> None:
        with contextlib.suppress(HistoryError):
            self.recorder.note(said, "exercise")

    def _write_trace(self, error: BaseException) -> None:
        """For the maintainers; sealed like everything, for a traceback may tell what was injected."""
        self._note(RunNote(text="".join(traceback.format_exception(error))[-4000:]))

    async def _undo(self, *, remedies: bool) -> list[str]:
        def work(emit: Emit) -> list[str]:
            with contextlib.closing(Ledger(self.options.home)) as ledger:
                return undo_all(ledger, self.exercise, "runner", emit, remedies=remedies)

        def take(item: Event) -> None:
            with contextlib.suppress(HistoryError):
                self.recorder.take(item)

        return await in_thread(work, take)
