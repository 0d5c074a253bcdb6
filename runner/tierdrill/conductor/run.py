"""One run of a drill, from preflight to clean-up.

The runner never injects and never judges: the experiment child injects, the judge reads the history. What is done here
is to bring the parts together, move them through the phases at their planned instants, stop at the first reason to, and
leave nothing behind whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tierdrill.conductor.cleanup import alive, own_process, undo_all
from tierdrill.conductor.deployment import Deployment, open_deployment
from tierdrill.conductor.errors import RunRefused
from tierdrill.conductor.phases import Phases
from tierdrill.conductor.plan import Plan, PlanError, make_plan, new_run_name
from tierdrill.conductor.provenance import provenance
from tierdrill.conductor.recorder import Recorder
from tierdrill.conductor.safety import ReaperHandle, Signals, start_reaper
from tierdrill.conductor.stop import StopBox
from tierdrill.history.events import Event
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.store import HistoryError, HistoryStore
from tierdrill.home import run_folder
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Verdict
from tierdrill.spec.catalogue import DrillSetting
from tierdrill.targets.lab import MECHANISMS

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class RunOptions:
    """How a drill is run. `variant` is "drill", "blip" or "sabotage:NAME".

    `lab` names a kept lab, None brings one up for the run.
    """

    home: Path
    tools: Path
    variant: str = "drill"
    lab: str | None = None
    author: str = ""
    argv: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunOutcome:
    """A finished run: its name, the folder of its files, its verdict."""

    run: str
    folder: Path
    verdict: Verdict


async def run_drill(setting: DrillSetting, options: RunOptions, listeners: Sequence[Listener] = ()) -> RunOutcome:
    """Run a drill and judge it. RunRefused if it may not start; nothing was touched then."""
    began = time.time()
    try:
        plan = make_plan(setting, new_run_name(setting.drill.metadata.name, began), options.variant, MECHANISMS)
    except PlanError as error:
        raise RunRefused(str(error)) from error
    if setting.environment.target != "lab":
        raise RunRefused(
            f"environment {setting.environment.metadata.name} has target {setting.environment.target}; allowed is lab"
        )
    try:
        ledger = Ledger(options.home)
        store = HistoryStore(options.home)
    except (LedgerError, HistoryError) as error:
        raise RunRefused(str(error)) from error
    _may_start(ledger, plan, options)
    folder = run_folder(options.home, plan.run)
    try:
        folder.mkdir(parents=True, mode=0o700)
        store.begin(plan.run, setting.drill.metadata.name, options.variant, began)
        recorder = Recorder(store, plan.run)
        for listener in listeners:
            recorder.listen(listener)
        recorder.note("run.started", "runner", **provenance(plan, options.argv, options.author))
        await _Run(plan, options, ledger, store, recorder, folder).go()
        verdict = judge(store.events(plan.run))
        store.finish(plan.run, time.time(), verdict.status.value, verdict.summary)
        return RunOutcome(plan.run, folder, verdict)
    finally:
        with contextlib.suppress(LedgerError):
            ledger.unlock(_lock_name(plan, options), plan.run)
        ledger.close()
        store.close()


def _lock_name(plan: Plan, options: RunOptions) -> str:
    # A lab of the run's own is nobody else's; a kept one is shared.
    name = plan.setting.environment.metadata.name
    return f"{name}/{options.lab}" if options.lab else f"{name}/own/{plan.run}"


def _may_start(ledger: Ledger, plan: Plan, options: RunOptions) -> None:
    if halt := ledger.halted():
        raise RunRefused(
            f"the kill switch is thrown: {halt.reason} ({halt.author}); `tierdrill resume --reason ...` lifts it"
        )
    me = own_process(plan.run, "runner", os.getpid())
    try:
        ledger.lock(_lock_name(plan, options), plan.run, os.getpid(), me.created if me else 0.0, options.author, alive)
    except LedgerError as error:
        raise RunRefused(str(error)) from error


class _Run:
    """The parts of one run while it lives."""

    def __init__(
        self, plan: Plan, options: RunOptions, ledger: Ledger, store: HistoryStore, recorder: Recorder, folder: Path
    ) -> None:
        self.plan, self.options, self.ledger, self.store = plan, options, ledger, store
        self.recorder, self.folder = recorder, folder
        self.stop = StopBox()
        self.reaper: ReaperHandle | None = None

    async def go(self) -> None:
        """Everything between run.started and run.ended.

        Never raises for what goes wrong in the world, only for bugs in recording it.
        """
        lab = self.options.lab or self.plan.run
        with Signals(self.stop):
            self.reaper = await start_reaper(
                self.options.home, self.plan.run, None if self.options.lab else lab, self.folder, self.stop
            )
            deployment: Deployment | None = None
            phases: Phases | None = None
            try:
                self._own("runner", os.getpid())
                deployment = await open_deployment(self.plan, self.options, lab, self.recorder, self._own)
                phases = Phases(
                    self.plan, deployment, self.options, self.ledger, self.recorder, self.stop, self.folder, self._own
                )
                await phases.go()
            except (asyncio.CancelledError, KeyboardInterrupt):
                self.stop.stop("signal", "cancelled")
            except Exception as error:
                # Whatever broke, what is injected must be undone and the reason must be in the history.
                self.stop.stop("error", f"{type(error).__name__}: {error}")
                (self.folder / "error.txt").write_text(_trace(error), encoding="utf-8")
            finally:
                await self._clean_up(deployment, phases)

    def _own(self, role: str, pid: int) -> None:
        if (process := own_process(self.plan.run, role, pid)) is not None:
            self.ledger.own(process)

    async def _clean_up(self, deployment: Deployment | None, phases: Phases | None) -> None:
        if self.stop.reason is not None:
            self.recorder.note("run.stopping", "runner", by=self.stop.reason.by, reason=self.stop.reason.reason)
        self.recorder.note("phase.started", "runner", phase="clean-up")
        # The children first: what they still write belongs to the run. Then what is open, in case they did not undo it.
        if phases is not None:
            await phases.close()
        left = await self._undo()
        if deployment is not None:
            await deployment.close()
        if deployment is not None:
            await deployment.end_lab()
        self.recorder.note("phase.ended", "runner", phase="clean-up")
        self.recorder.note("ledger.open", "runner", faults=left)
        reason = self.stop.reason.reason if self.stop.reason else ""
        outcome = "unclean" if left else "aborted" if self.stop.reason else "completed"
        self.recorder.note("run.ended", "runner", outcome=outcome, reason=reason)
        if not left:
            self.ledger.disown(self.plan.run)
        if self.reaper is not None:
            await self.reaper.dismiss()

    async def _undo(self) -> list[str]:
        """Undo what is still open, in a thread with a ledger of its own; its events come back to this one."""
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def work() -> list[str]:
            ledger = Ledger(self.options.home)
            try:
                return undo_all(
                    ledger, self.plan.run, "runner", lambda item: loop.call_soon_threadsafe(events.put_nowait, item)
                )
            finally:
                ledger.close()
                loop.call_soon_threadsafe(events.put_nowait, None)

        task = asyncio.create_task(asyncio.to_thread(work))
        while (item := await events.get()) is not None:
            self.recorder.take(item)
        return await task


def _trace(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))
