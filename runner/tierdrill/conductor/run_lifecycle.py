"""The life of every run, drill or exercise: what it needs to begin, what it keeps while it lives, how it ends.

Whatever goes wrong in it, what is injected is undone, what was started is ended, and the history says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Generic, TypeVar

from tierdrill.conductor.deployment import Deployment
from tierdrill.conductor.external_playbooks import tool_secrets
from tierdrill.conductor.plan import Plan, load_plan
from tierdrill.conductor.preflight import check_health, check_quiet
from tierdrill.conductor.recorder import Recorder, in_thread
from tierdrill.conductor.run_start import RunRecords, RunRefused
from tierdrill.conductor.run_watchers import keep_leases, pump_reports, pump_samples
from tierdrill.documents.models.drill import Guardrail
from tierdrill.history.events import Emit, Event
from tierdrill.history.history_store import HistoryError
from tierdrill.history.kinds.run_kinds import (
    LedgerOpen,
    LoadEnded,
    PhaseEnded,
    PhaseStarted,
    RunEnded,
    RunNote,
    RunStopping,
)
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.payload import Payload
from tierdrill.load.load_child import LoadProcess
from tierdrill.process.signals import Signals, StopSignal
from tierdrill.recovery.cleanup import own_process, undo_all
from tierdrill.recovery.reaper_handle import ReaperHandle, start_reaper
from tierdrill.targets.base import Finding, Opening, Session, TargetError
from tierdrill.targets.target_registry import labs_of, target_of

PUMPS_WITHIN_S = 3.0
_T = TypeVar("_T")
D = TypeVar("D", bound=Deployment)


class RunLifecycle(Generic[D]):
    """One run while it lives. `play` is what happens in it, `end_own` ends what only this kind of run has.

    `kept` names a deployment that is up and stays up; `discreet`: its logs must not tell what is injected.
    """

    source = "runner"
    """Who tells of the run itself in its history."""

    def __init__(
        self,
        plan: Plan,
        records: RunRecords,
        recorder: Recorder,
        *,
        home: Path,
        tools: Path,
        kept: str | None = None,
        discreet: bool = False,
    ) -> None:
        self.plan, self.recorder, self.home, self.tools = plan, recorder, home, tools
        self.ledger, self.folder, self.store = records.ledger, records.folder, records.store
        self.kept, self.discreet = kept, discreet
        self.stop = StopSignal()
        self.reaper: ReaperHandle | None = None
        self.deployment: D | None = None
        self.load: LoadProcess | None = None
        self.left: list[str] = []
        """What is still there at the end: faults and processes."""
        self._tasks: list[asyncio.Task[None]] = []
        self._pumps: list[asyncio.Task[None]] = []

    async def play(self) -> None:
        """From a reaper at its post to the last thing that is measured; ends early once asked to stop."""
        raise NotImplementedError

    def deployment_of(self, session: Session) -> D:
        """What the run puts around its deployment."""
        raise NotImplementedError

    async def end_own(self) -> None:
        """End what only this kind of run has; what it still writes belongs to the run."""

    def closing(self) -> None:
        """The run is being ended: say why."""
        if self.stop.by is not None:
            self.note(RunStopping(by=self.stop.by, reason=self.stop.reason))
        self.note(PhaseStarted(phase="clean-up"))

    def closed(self) -> tuple[str, str]:
        """Everything has ended: what became of the run where it is clean, and why."""
        self.note(PhaseEnded(phase="clean-up"))
        return "aborted" if self.stop.stopped else "completed", self.stop.reason

    async def go(self) -> None:
        """Everything from the reaper's start to its dismissal. Never raises for what goes wrong in the world."""
        of = self.plan.setting
        with Signals(self.stop):
            try:
                own = None if self.kept else self.plan.run
                secrets = tool_secrets(of.playbooks)
                self.reaper = await start_reaper(self.home, self.plan.run, own, self.folder, self.stop, secrets)
                self.own("runner", os.getpid())
                self.spawn(keep_leases(self.ledger, self.plan.run, of.environment.lease, self.stop, self._renew_leases))
                await self.play()
            except (asyncio.CancelledError, KeyboardInterrupt):
                self.stop.stop("signal", "cancelled")
            except RunRefused as refusal:
                self.stop.stop("error", str(refusal))
            except Exception as error:
                # Whatever broke, what is injected must be undone and the reason must be in the history.
                self._broke(error)
            finally:
                await self._clean_up()

    async def bring_up(self) -> D:
        """The deployment: attached to, or brought up; RunRefused where neither can be. A stop cuts it short."""
        of, began = self.plan.setting, time.monotonic()
        opening = Opening(
            self.plan.run, self.home, self.tools, of.environment, of.tiers, of.workloads, self.own, self.kept,
            self.discreet, tuple((fault.kind, fault.target) for fault in self.plan.faults), self.plan.load_s,
            self.plan.fault_s, of.custom_resources,
        )  # fmt: skip
        try:
            session = await self.until_stopped(target_of(of.environment).open(opening))
        except TargetError as error:
            raise RunRefused(str(error)) from error
        up = f" up after {time.monotonic() - began:.1f} s" if self.kept is None else ""
        self.recorder.note(RunNote(text=f"{of.environment.target} {session.name}{up}"), self.source)
        self.deployment = self.deployment_of(session)
        await self.deployment.open()
        return self.deployment

    async def until_stopped(self, work: Awaitable[_T]) -> _T:
        """Its result; CancelledError where the run was asked to stop before it had one."""
        task, stopped = asyncio.ensure_future(work), asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            task.cancel()
        return await task

    async def start_load(self, guardrails: tuple[Guardrail, ...] = ()) -> LoadProcess:
        """The load child, loaded and waiting for its go, and what reads it."""
        assert self.deployment is not None
        self.load_plan = load_plan(self.plan, self.deployment.session, self.folder)
        self.load = await LoadProcess.start(self.load_plan, self.folder)
        self.own("load", self.load.pid)
        name_of = self.deployment.session.endpoints.name_of
        self._pumps = [
            self.spawn(pump_samples(self.load, self.recorder, guardrails, self.stop, name_of)),
            self.spawn(pump_reports(self.load, self.recorder)),
        ]
        return self.load

    def watch(self) -> None:
        """Begin to follow the deployment and its alerts."""
        assert self.deployment is not None
        for work in self.deployment.watchers(self.stop):
            self.spawn(work)

    async def healthy(self) -> list[Finding]:
        """The deployment is well, and nothing is left over from before."""
        assert self.deployment is not None
        return await check_health(self.deployment, self.ledger, self.plan.run)

    async def quiet(self) -> list[Finding]:
        """Alerts come through, and none is firing."""
        assert self.deployment is not None
        return await check_quiet(self.deployment)

    def spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """Let it go on until the run ends. If it breaks, the run cannot be believed any longer, and stops."""
        task = asyncio.create_task(self._guarded(work))
        self._tasks.append(task)
        return task

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            self._broke(error, "a watcher failed: ")

    async def _renew_leases(self, names: list[str]) -> None:
        if self.deployment is not None:
            await self.deployment.session.renew_leases(names)

    def own(self, role: str, pid: int) -> None:
        """A process of the run's, for whoever has to end it."""
        if (process := own_process(self.plan.run, role, pid)) is not None:
            self.ledger.own(process)

    def note(self, said: Payload) -> None:
        """An event of the end: a history that cannot be written any more must keep nothing from being undone."""
        with contextlib.suppress(HistoryError):
            self.recorder.note(said, self.source)

    def trace(self, error: BaseException) -> None:
        """For the maintainers."""
        with contextlib.suppress(OSError), (self.folder / "error.txt").open("a", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))

    def _broke(self, error: Exception, where: str = "") -> None:
        self.stop.stop("error", f"{where}{type(error).__name__}: {error}")
        self.trace(error)

    async def _clean_up(self) -> None:
        """Undo first of all that can fail; every step is tried whatever became of the one before."""
        self.closing()
        await self._tried(self.end_own)
        await self._tried(self.end_load)
        await self._tried(self._end_watchers)
        # What is open, in case the run's own parts did not undo it.
        await self._tried(lambda: self._undo(remedies=False))
        processes: list[str] | None = []
        if self.deployment is not None:
            # The engine gives back what it can; what its playbooks left otherwise is taken back after it.
            await self._tried(self.deployment.close)
            if self.plan.setting.environment.target != "lab":
                # A lab of the run's own takes it along; what stays is given back before the run leaves it.
                await self._tried(lambda: self._undo(remedies=True))
            processes = await self._tried(self.deployment.session.end)
        elif self.kept is None and self.reaper is not None:
            # It may have been cut short while it came up.
            processes = await self._tried(lambda: asyncio.to_thread(labs_of(self.home).end, self.plan.run))
        left = await self._tried(lambda: self._undo(remedies=True))
        faults = left if left is not None else ["unknown"]
        self.left = [*faults, *(processes if processes is not None else ["its deployment"])]
        outcome, reason = self.closed()
        self.note(LedgerOpen(faults=faults, processes=processes or []))
        self.note(RunEnded(outcome="unclean" if self.left else outcome, reason=reason))
        if self.reaper is not None:
            # Not clean, or not known to be: the reaper is left to think the runner died, and heals.
            await self.reaper.dismiss(clean=not self.left)
        if not self.left:
            with contextlib.suppress(LedgerError):
                self.ledger.disown(self.plan.run)

    async def _tried(self, step: Callable[[], Awaitable[_T]]) -> _T | None:
        try:
            return await step()
        except Exception as error:
            self._broke(error, "in clean-up: ")
            return None

    async def end_load(self) -> None:
        """End the load and read what it still says; once."""
        load, self.load = self.load, None
        if load is None:
            return
        await load.stop()
        if self._pumps:
            await asyncio.wait(self._pumps, timeout=PUMPS_WITHIN_S)
        malformed = load.sample_tail.malformed + load.report_tail.malformed
        self.recorder.note(LoadEnded(exit_code=load.exit_code, malformed=malformed), "load")

    async def _end_watchers(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.deployment is not None:
            # It closes what the watchers look through.
            await self.deployment.last_look()

    async def _undo(self, *, remedies: bool) -> list[str]:
        """Undo what is still open, in a thread with a ledger of its own; its events come back to this one."""

        def work(emit: Emit) -> list[str]:
            with contextlib.closing(Ledger(self.home)) as ledger:
                return undo_all(ledger, self.plan.run, "runner", emit, remedies=remedies)

        def take(item: Event) -> None:
            with contextlib.suppress(HistoryError):
                self.recorder.take(item)

        return await in_thread(work, take)
