"""One execution of a playbook: from the notification to the end of its attempts, and later to giving back what was
taken while the alert fired; and the tasks that executions run in.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import weakref
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal

from tierdrill.history.kinds.response_kinds import PlaybookFinished, PlaybookStarted
from tierdrill.remediation.engine_journal import Journal, Unfinished, notice_data
from tierdrill.remediation.incident_book import Incident
from tierdrill.remediation.steps import StepRunner
from tierdrill.remediation.substitution import Bound

_log = logging.getLogger(__name__)

State = Literal["considered", "declined", "closed", "begun"]
DEDUP_KEY_MAX = 255


@dataclass(eq=False)
class Execution:
    """One playbook's way through one incident. `declined` may be considered again when the alert is repeated (its
    guards looked at facts that change); `closed` may not.

    `given` are the on_resolve steps that an engine before this one was seen to have done; `said` is the last reason for
    a skip that was written, so that a repeated alert does not repeat it.
    """

    bound: Bound
    incident: Incident
    arrived: float
    state: State = "considered"
    has_slot: bool = False
    touched: bool = False
    given: frozenset[str] = frozenset()
    said: str | None = None
    acted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        return self.bound.playbook.metadata.name

    @property
    def id(self) -> str:
        """The execution's name: the same incident gives the same name, also after a restart."""
        digest = hashlib.sha256(f"{self.name} {self.incident.key}".encode()).hexdigest()
        return f"{self.name}-{digest[:10]}"

    @property
    def page_key(self) -> str:
        """What makes all pages about this playbook on this target one incident for the pager."""
        key = f"tierdrill/{self.name}/{self.bound.target}"
        return key if len(key) <= DEDUP_KEY_MAX else hashlib.sha256(key.encode()).hexdigest()

    def same_work(self, other: Execution) -> bool:
        """The same playbook on the same target."""
        return (self.name, self.bound.target) == (other.name, other.bound.target)

    def stage(self, attempt: int, phase: str) -> dict[str, Any]:
        """What every event of this attempt and phase says."""
        return {**self.identity(), "attempt": attempt, "phase": phase}

    def identity(self) -> dict[str, Any]:
        """What every event about this execution says."""
        base = {"playbook": self.name, "execution": self.id, "target": self.bound.target}
        return {**base, "retargeted": True} if self.bound.retargeted else base

    def started_data(self, attempt: int) -> dict[str, Any]:
        """`playbook.started`, with what a new engine needs in order to go on after a crash."""
        return {
            **self.identity(),
            "alert": self.incident.notice.alert,
            "attempt": attempt,
            "phase": "act",
            "notice": notice_data(self.incident.notice),
            "group": list(self.bound.group),
            "nodes": sorted(self.bound.nodes),
            "gives_back": bool(self.bound.on_resolve),
        }


@dataclass(frozen=True)
class End:
    """How an execution ended; `escalate` is false where a failure needs nobody any more."""

    ok: bool
    reason: str
    escalate: bool = True


class Attempts:
    """Runs executions. What one playbook does to one target happens one after the other: giving back a weight must
    not overtake taking it.
    """

    def __init__(self, runner: StepRunner, journal: Journal) -> None:
        self._runner = runner
        self._journal = journal
        self._locks: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()

    async def act(self, execution: Execution, left: Unfinished | None = None) -> End:
        """All attempts, from where an engine before this one `left` it. JournalError if not even the start can be
        written.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if left is None:
            self._journal.intend(PlaybookStarted(**execution.started_data(attempt=1)))
        try:
            async with self._lock(execution):
                end = await self._try(execution, left)
        except asyncio.CancelledError:
            self._finished(execution, "act", End(False, "the engine was stopped"), loop.time() - begun)
            raise
        self._finished(execution, "act", end, loop.time() - begun)
        return end

    async def _try(self, execution: Execution, left: Unfinished | None) -> End:
        bound = execution.bound
        if bound.problem:
            return End(False, bound.problem)
        if left and left.to_undo:
            steps = [step for step in bound.steps if step.name in left.to_undo]
            await self._runner.undo(execution.stage(left.attempt, "act"), steps)
        first = left.attempt if left else 1
        reason = "every attempt was used up before the engine was started again"
        for attempt in range(first, bound.playbook.attempts + 1):
            if attempt > 1 and not execution.incident.firing:
                return End(False, f"the alert resolved before attempt {attempt}; {reason}", escalate=False)
            done = frozenset(left.done) if left and attempt == first else frozenset()
            execution.touched = True
            result = await self._runner.run(execution.stage(attempt, "act"), bound.steps, done)
            if result.ok:
                return End(True, "" if attempt == 1 else f"attempt {attempt} of {bound.playbook.attempts}")
            reason = f"attempt {attempt} of {bound.playbook.attempts}: {result.reason}"
        return End(False, reason)

    async def give_back(self, execution: Execution, because: str) -> End:
        """The on_resolve steps. Cancelled in the middle, no end is written, so that the next engine finds it
        unfinished.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        end = End(False, "not tried")
        async with self._lock(execution):
            self._journal.write(
                PlaybookStarted(
                    **execution.identity(),
                    alert=execution.incident.notice.alert,
                    attempt=1,
                    phase="resolve",
                    reason=because,
                )
            )
            for attempt in range(1, execution.bound.playbook.attempts + 1):
                stage = execution.stage(attempt, "resolve")
                result = await self._runner.run(stage, execution.bound.on_resolve, execution.given)
                end = End(result.ok, result.reason)
                if result.ok:
                    break
                execution.given = frozenset()
        self._finished(execution, "resolve", end, loop.time() - begun)
        return end

    def _lock(self, execution: Execution) -> asyncio.Lock:
        return self._locks.setdefault((execution.name, execution.bound.target), asyncio.Lock())

    def _finished(self, execution: Execution, phase: str, end: End, seconds: float) -> None:
        self._journal.write(
            PlaybookFinished(
                **execution.identity(),
                ok=end.ok,
                reason=end.reason,
                seconds=round(seconds, 6),
                phase=phase,
                touched=execution.touched,
            )
        )


class Tasks:
    """What is under way. Once `stop_by` was called, everything must be over by then."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop_at: float | None = None

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def stopping(self) -> bool:
        """Has `stop_by` been called?"""
        return self._stop_at is not None

    def stop_by(self, seconds: float) -> None:
        """From now on there are so many seconds left."""
        self._stop_at = asyncio.get_running_loop().time() + seconds

    def left(self) -> float:
        """Seconds left; without end while nobody has asked to stop."""
        if self._stop_at is None:
            return float("inf")
        return max(0.0, self._stop_at - asyncio.get_running_loop().time())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("an execution ended with an error: %r", error, exc_info=error)

    async def idle(self) -> None:
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def settle(self) -> None:
        """Until nothing is under way or the time is up."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self.left())

    async def cancel(self) -> None:
        """Cancel everything; what takes something back first may use the time that is left, and not more."""
        for task in self._tasks:
            task.cancel()
        await self.settle()
        stuck = set(self._tasks)
        for task in stuck:
            task.cancel()
        if stuck:
            await asyncio.wait(stuck, timeout=0.1)
