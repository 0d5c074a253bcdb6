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
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tierdrill.conductor.cleanup import own_process, undo_all
from tierdrill.conductor.deployment import Deployment, open_deployment
from tierdrill.conductor.experiment_runner import SPEC_FILE
from tierdrill.conductor.external_playbooks import tool_secrets, without_secret
from tierdrill.conductor.finalize import close_books
from tierdrill.conductor.phases import Phases
from tierdrill.conductor.plan import Plan, PlanError, make_plan, new_run_name
from tierdrill.conductor.provenance import provenance
from tierdrill.conductor.reaper_handle import ReaperHandle, start_reaper
from tierdrill.conductor.recorder import Recorder, in_thread
from tierdrill.conductor.run_errors import RunRefused, begun
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Emit, Event
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.kinds.run_kinds import LedgerOpen, PhaseEnded, PhaseStarted, RunEnded, RunStopping
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.payload import Payload
from tierdrill.home import run_folder
from tierdrill.judge.judge import NotARun
from tierdrill.judge.verdict import Status, Verdict
from tierdrill.process.identity import me
from tierdrill.process.signals import Signals, StopSignal
from tierdrill.targets.base import TargetError
from tierdrill.targets.experiment import forget_values
from tierdrill.targets.open import mechanisms_of

Listener = Callable[[Event], None]
_T = TypeVar("_T")


@dataclass(frozen=True)
class RunOptions:
    """How a drill is run. `variant` is "drill", "blip" or "sabotage:NAME".

    `lab` names a kept lab, None brings one up for the run. `run` is the run's name, None makes one. `origin` says what
    asked for the run (a calendar's slot, say); it goes into the history.
    """

    home: Path
    tools: Path
    variant: str = "drill"
    lab: str | None = None
    author: str = ""
    argv: tuple[str, ...] = ()
    run: str | None = None
    origin: Mapping[str, str] = field(default_factory=dict)


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
        run = options.run or new_run_name(setting.drill.metadata.name, began)
        plan = make_plan(setting, run, options.variant, mechanisms_of(setting.environment))
    except (PlanError, TargetError) as error:
        raise RunRefused(str(error)) from error
    cut = plan.sabotage.do.disable_playbook if plan.sabotage else None
    needed = {one.playbook for one in setting.drill.expect.playbooks.must_fire} - {cut}
    if missing := without_secret(setting.playbooks, needed):
        raise RunRefused("; ".join(missing))
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
        with begun(ledger, plan.run):
            recorder = Recorder(store, plan.run)
            for listener in listeners:
                recorder.listen(listener)
            recorder.note(provenance(plan, options.argv, options.author, options.origin), "runner")
            await _Run(plan, options, ledger, store, recorder, folder).go()
            return RunOutcome(plan.run, folder, _verdict(store, ledger, plan))
    finally:
        with contextlib.suppress(LedgerError):
            ledger.unlock(_lock_name(plan, options), plan.run)
        ledger.close()
        store.close()


def _verdict(store: HistoryStore, ledger: Ledger, plan: Plan) -> Verdict:
    """Judge the run; where its history cannot be read, say so: no data is never a pass."""
    try:
        return close_books(store, plan.run, time.time(), ledger)
    except (HistoryError, NotARun) as error:
        try:
            left = [entry.id for entry in ledger.open_faults(plan.run)]
        except LedgerError:
            left = ["unknown"]
        status = Status.UNCLEAN if left else Status.INCONCLUSIVE
        drill = plan.setting.drill.metadata.name
        return Verdict(
            plan.run, drill, plan.variant, status, f"the history cannot be judged: {error}", ("run/whole",), ()
        )


def _lock_name(plan: Plan, options: RunOptions) -> str:
    # A lab of the run's own is nobody else's; a kept one is shared, and so is what somebody else runs.
    name = plan.setting.environment.metadata.name
    if plan.setting.environment.target != "lab":
        return name
    return f"{name}/{options.lab}" if options.lab else f"{name}/own/{plan.run}"


def _may_start(ledger: Ledger, plan: Plan, options: RunOptions) -> None:
    if halt := ledger.halted():
        raise RunRefused(
            f"the kill switch is thrown: {halt.reason} ({halt.author}); `tierdrill resume --reason ...` lifts it"
        )
    name = _lock_name(plan, options)
    try:
        ledger.lock(name, plan.run, me(), options.author)
        if options.lab and (by := holder_of_lab(ledger.held(), options.lab, plan.run)):
            ledger.unlock(name, plan.run)
            raise RunRefused(f"lab {options.lab} is in use {by}")
    except LedgerError as error:
        raise RunRefused(str(error)) from error


def holder_of_lab(held: Sequence[tuple[str, str, int, str]], lab: str, run: str) -> str:
    """Who else uses a kept lab, by way of whichever environment; "" where nobody does."""
    for environment, other, pid, owner in held:
        if environment.partition("/")[2] == lab and other != run:
            return f"by run {other} (pid {pid}, {owner})"
    return ""


class _Run:
    """The parts of one run while it lives."""

    def __init__(
        self, plan: Plan, options: RunOptions, ledger: Ledger, store: HistoryStore, recorder: Recorder, folder: Path
    ) -> None:
        self.plan, self.options, self.ledger, self.store = plan, options, ledger, store
        self.recorder, self.folder = recorder, folder
        self.stop = StopSignal()
        self.reaper: ReaperHandle | None = None

    async def go(self) -> None:
        """Everything between run.started and run.ended.

        Never raises for what goes wrong in the world, only for bugs in recording it.
        """
        with Signals(self.stop):
            deployment: Deployment | None = None
            phases: Phases | None = None
            try:
                self.reaper = await start_reaper(
                    self.options.home,
                    self.plan.run,
                    None if self.options.lab else self.plan.run,
                    self.folder,
                    self.stop,
                    tool_secrets(self.plan.setting.playbooks),
                )
                self._own("runner", os.getpid())
                deployment = await open_deployment(self.plan, self.options, self.recorder, self._own)
                phases = Phases(
                    self.plan, deployment, self.options, self.ledger, self.recorder, self.stop, self.folder, self._own
                )
                await phases.go()
            except (asyncio.CancelledError, KeyboardInterrupt):
                self.stop.stop("signal", "cancelled")
            except RunRefused as refusal:
                self.stop.stop("error", str(refusal))
            except Exception as error:
                # Whatever broke, what is injected must be undone and the reason must be in the history.
                self.stop.stop("error", f"{type(error).__name__}: {error}")
                self._write_trace(error)
            finally:
                await self._clean_up(deployment, phases)

    def _own(self, role: str, pid: int) -> None:
        if (process := own_process(self.plan.run, role, pid)) is not None:
            self.ledger.own(process)

    async def _clean_up(self, deployment: Deployment | None, phases: Phases | None) -> None:
        """Undo first of all that can fail; every step is tried whatever became of the one before."""
        if self.stop.by is not None:
            self._note(RunStopping(by=self.stop.by, reason=self.stop.reason))
        self._note(PhaseStarted(phase="clean-up"))
        # The children first: what they still write belongs to the run. Then what is open, in case they did not undo it.
        if phases is not None:
            await self._tried(phases.close())
        await self._tried(self._undo(remedies=False))
        if deployment is not None:
            # The engine gives back what it can; what its playbooks left otherwise is taken back after it.
            await self._tried(deployment.close())
        processes = await self._tried(deployment.session.end()) if deployment is not None else []
        left = await self._tried(self._undo(remedies=True))
        self._note(PhaseEnded(phase="clean-up"))
        clean = left == [] and processes == []
        self._note(LedgerOpen(faults=left if left is not None else ["unknown"], processes=processes or []))
        outcome = "unclean" if not clean else "aborted" if self.stop.stopped else "completed"
        self._note(RunEnded(outcome=outcome, reason=self.stop.reason))
        if self.reaper is not None:
            # Not clean, or not known to be: the reaper is left to think the runner died, and heals.
            await self.reaper.dismiss(clean=clean)
        if clean:
            forget_values(self.folder / SPEC_FILE)
            with contextlib.suppress(LedgerError):
                self.ledger.disown(self.plan.run)

    async def _tried(self, step: Coroutine[Any, Any, _T]) -> _T | None:
        try:
            return await step
        except Exception as error:
            self.stop.stop("error", f"in clean-up: {type(error).__name__}: {error}")
            self._write_trace(error)
            return None

    def _note(self, said: Payload) -> None:
        with contextlib.suppress(HistoryError):
            self.recorder.note(said, "runner")

    def _take(self, item: Event) -> None:
        with contextlib.suppress(HistoryError):
            self.recorder.take(item)

    def _write_trace(self, error: BaseException) -> None:
        with contextlib.suppress(OSError), (self.folder / "error.txt").open("a", encoding="utf-8") as file:
            file.write("".join(traceback.format_exception(error)))

    async def _undo(self, *, remedies: bool) -> list[str]:
        """Undo what is still open, in a thread with a ledger of its own; its events come back to this one."""

        def work(emit: Emit) -> list[str]:
            with contextlib.closing(Ledger(self.options.home)) as ledger:
                return undo_all(ledger, self.plan.run, "runner", emit, remedies=remedies)

        return await in_thread(work, self._take)
