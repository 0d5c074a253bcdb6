"""One execution: attempts until one succeeds, and later the steps that give back what was taken while the alert
fired.
"""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass

from tierdrill.remediation.course import Course
from tierdrill.remediation.engine_journal import Journal, Unfinished
from tierdrill.remediation.steps import StepRunner


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

    async def act(self, course: Course, left: Unfinished | None = None) -> End:
        """All attempts, from where an engine before this one `left` it. JournalError if not even the start can be
        written.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if left is None:
            self._journal.intend("playbook.started", **course.started_data(attempt=1))
        try:
            async with self._lock(course):
                end = await self._try(course, left)
        except asyncio.CancelledError:
            self._finished(course, "act", End(False, "the engine was stopped"), loop.time() - begun)
            raise
        self._finished(course, "act", end, loop.time() - begun)
        return end

    async def _try(self, course: Course, left: Unfinished | None) -> End:
        bound = course.bound
        if bound.problem:
            return End(False, bound.problem)
        if left and left.to_undo:
            steps = [step for step in bound.steps if step.name in left.to_undo]
            await self._runner.undo(course.stage(left.attempt, "act"), steps)
        first = left.attempt if left else 1
        reason = "every attempt was used up before the engine was started again"
        for attempt in range(first, bound.playbook.attempts + 1):
            if attempt > 1 and not course.incident.firing:
                return End(False, f"the alert resolved before attempt {attempt}; {reason}", escalate=False)
            done = frozenset(left.done) if left and attempt == first else frozenset()
            course.touched = True
            result = await self._runner.run(course.stage(attempt, "act"), bound.steps, done)
            if result.ok:
                return End(True, "" if attempt == 1 else f"attempt {attempt} of {bound.playbook.attempts}")
            reason = f"attempt {attempt} of {bound.playbook.attempts}: {result.reason}"
        return End(False, reason)

    async def give_back(self, course: Course, because: str) -> End:
        """The on_resolve steps. Cancelled in the middle, no end is written, so that the next engine finds it
        unfinished.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        end = End(False, "not tried")
        async with self._lock(course):
            self._journal.write(
                "playbook.started",
                **course.identity(),
                alert=course.incident.notice.alert,
                attempt=1,
                phase="resolve",
                reason=because,
            )
            for attempt in range(1, course.bound.playbook.attempts + 1):
                result = await self._runner.run(course.stage(attempt, "resolve"), course.bound.on_resolve, course.given)
                end = End(result.ok, result.reason)
                if result.ok:
                    break
                course.given = frozenset()
        self._finished(course, "resolve", end, loop.time() - begun)
        return end

    def _lock(self, course: Course) -> asyncio.Lock:
        return self._locks.setdefault((course.name, course.bound.target), asyncio.Lock())

    def _finished(self, course: Course, phase: str, end: End, seconds: float) -> None:
        self._journal.write(
            "playbook.finished",
            **course.identity(),
            ok=end.ok,
            reason=end.reason,
            seconds=round(seconds, 6),
            phase=phase,
            touched=course.touched,
        )
