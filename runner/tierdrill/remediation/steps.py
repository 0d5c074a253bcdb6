"""Carrying out steps: act, look whether it worked, and take back what was done when a later step fails or the engine
is stopped.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.models.playbook import Action, Step
from tierdrill.history.kinds.response_kinds import StepEnded, StepStarted
from tierdrill.remediation.engine_journal import Journal, JournalError
from tierdrill.remediation.fact_reader import FactReader, Outcome
from tierdrill.targets.base import RemedyPort, TargetError

ROLLBACK_TIMEOUT_S = 5.0
Stage = Mapping[str, Any]
"""Where in an execution steps are: what every event about them says."""


@dataclass(frozen=True)
class StepsResult:
    ok: bool
    reason: str


@dataclass(frozen=True)
class _Done:
    """What a remedy came to. `happened` is true also where nobody knows: a timeout proves nothing."""

    ok: bool
    happened: bool
    seen: str


class StepRunner:
    """Runs steps against a deployment. `budget` says how many seconds a rollback may take now (less once the engine
    stops).
    """

    def __init__(self, port: RemedyPort, facts: FactReader, journal: Journal, budget: Callable[[], float]) -> None:
        self._port = port
        self._facts = facts
        self._journal = journal
        self._budget = budget

    async def run(self, stage: Stage, steps: Sequence[Step], done: frozenset[str] = frozenset()) -> StepsResult:
        """All steps in order, except those already `done`; on failure or cancellation, rollbacks in reverse order."""
        to_undo: list[Step] = [step for step in steps if step.name in done]
        try:
            for step in steps:
                if step.name not in done:
                    # On the list before it is called: cancelled in the middle, it may have happened.
                    to_undo.append(step)
                    result = await self._step(stage, step)
                    if not result.happened:
                        to_undo.pop()
                    if not result.ok:
                        await self.undo(stage, to_undo)
                        return StepsResult(False, f"step {step.name}: {result.seen}")
        except JournalError as error:
            to_undo.pop()
            await self.undo(stage, to_undo)
            return StepsResult(False, f"history not written, so nothing more was done ({error})")
        except asyncio.CancelledError:
            await self.undo(stage, to_undo)
            raise
        return StepsResult(True, "")

    async def _step(self, stage: Stage, step: Step) -> _Done:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._journal.intend(StepStarted(**stage, step=step.name, action=step.do, arguments=step.arguments))
        try:
            result = await self._act(step, step.timeout)
            if result.ok and step.verify:
                outcome = await self._facts.until(step.verify, step.verify.within)
                result = _Done(outcome.met, True, _join(result.seen, outcome))
        except asyncio.CancelledError:
            self._write_step(stage, step, _Done(False, True, "stopped in the middle"), loop.time() - begun)
            raise
        self._write_step(stage, step, result, loop.time() - begun)
        return result

    async def _act(self, action: Action, timeout: float) -> _Done:
        try:
            async with asyncio.timeout(timeout):
                result = await self._port.remedy(action.do, dict(action.arguments))
            return _Done(result.ok, result.ok, result.detail)
        except TimeoutError:
            return _Done(False, True, f"no answer within {timeout:g} s; it may have happened")
        except TargetError as error:
            return _Done(False, True, f"{error}; it may have happened")
        except Exception as error:
            return _Done(False, True, f"{type(error).__name__}: {error}; it may have happened")

    async def undo(self, stage: Stage, steps: Sequence[Step]) -> None:
        """The rollbacks of these steps, last first; one that fails does not keep the others from being tried."""
        for step in reversed(steps):
            if step.rollback is None:
                continue
            begun = asyncio.get_running_loop().time()
            seconds = min(self._budget(), step.timeout, ROLLBACK_TIMEOUT_S)
            if seconds > 0:
                # Not journaled as an intent that may refuse: what was done must be taken back even if the history is
                # gone.
                self._journal.write(
                    StepStarted(
                        **stage,
                        step=step.name,
                        action=step.rollback.do,
                        arguments=step.rollback.arguments,
                        rollback=True,
                    )
                )
                result = await self._act(step.rollback, seconds)
            else:
                result = _Done(False, False, "no time left to take it back")
            rolled_back = step.model_copy(update={"do": step.rollback.do})
            self._write_step(stage, rolled_back, result, asyncio.get_running_loop().time() - begun, rollback=True)

    def _write_step(self, stage: Stage, step: Step, result: _Done, seconds: float, **more: Any) -> None:
        self._journal.write(
            StepEnded(
                **stage,
                step=step.name,
                action=step.do,
                ok=result.ok,
                seen=result.seen,
                happened=result.happened,
                seconds=round(seconds, 6),
                **more,
            )
        )


def _join(detail: str, outcome: Outcome) -> str:
    return f"{detail}; {outcome.seen}" if detail else outcome.seen
