"""From a considered incident to a permitted run: guards, throttle, concurrency, fuse, with the waiting that some of
them ask for.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from tierdrill.remediation.execution import Execution
from tierdrill.remediation.fact_reader import FactReader, FactUnavailable, wait_for, wait_for_any
from tierdrill.remediation.guards import (
    Decision,
    Go,
    GuardMemory,
    Refuse,
    Wait,
    concurrency,
    fuse,
    throttle,
)
from tierdrill.remediation.substitution import SubstitutionError

GUARD_PATIENCE_S = 2.0
RESOLVED = Refuse("resolved", "the alert resolved before the playbook began")


class Admission:
    """Asks the guards. A decision and its record are made without an await between them, so two incidents cannot both
    take the last place.
    """

    def __init__(self, facts: FactReader, clock: Callable[[], float]) -> None:
        self._facts = facts
        self._clock = clock
        self._freed = asyncio.Event()

    def slot_freed(self) -> None:
        """A run has ended: who queues asks again."""
        self._freed.set()
        self._freed = asyncio.Event()

    async def admit(self, execution: Execution, memory: GuardMemory) -> Refuse | None:
        """None: it may run, and is counted as started. The facts are read again after every wait, because time has
        passed.
        """
        while True:
            freed = self._freed
            decision = await self._ask(execution, memory)
            if isinstance(decision, Go):
                return None
            if isinstance(decision, Refuse):
                return decision
            if isinstance(decision, Wait):
                await wait_for(execution.incident.resolved, max(0.01, decision.until - self._clock()))
            else:
                memory.queued += 1
                try:
                    await wait_for_any(freed, execution.incident.resolved)
                finally:
                    memory.queued -= 1

    async def _ask(self, execution: Execution, memory: GuardMemory) -> Decision:
        bound, incident = execution.bound, execution.incident
        if not incident.firing:
            return RESOLVED
        # A storm is refused here, before it reads a single fact.
        if early := self._throttled_already(execution, memory):
            return early
        nodes_total = 0
        try:
            if refusal := await self._facts.guards(bound.when, bound.forbidden_when, GUARD_PATIENCE_S):
                return RESOLVED if not incident.firing else refusal
            if bound.playbook.fuse is not None and bound.nodes:
                nodes_total = await self._facts.nodes_total()
        except FactUnavailable as error:
            return Refuse("blind", f"cannot determine whether it may run: {error}") if incident.firing else RESOLVED
        except SubstitutionError as error:
            execution.bound = bound = replace(bound, problem=bound.problem or str(error))
        return self._decide(execution, memory, nodes_total) if incident.firing else RESOLVED

    def _throttled_already(self, execution: Execution, memory: GuardMemory) -> Refuse | None:
        policy = execution.bound.playbook.throttle
        if policy.once_within is None and policy.once_after is None:
            return None
        pauses = policy.model_copy(update={"accumulate_within": None})
        decision, _ = throttle(
            pauses, memory.group(execution.bound.group), execution.incident.key, execution.arrived, self._clock()
        )
        return decision if isinstance(decision, Refuse) else None

    def _decide(self, execution: Execution, memory: GuardMemory, nodes_total: int) -> Decision:
        bound, playbook, now = execution.bound, execution.bound.playbook, self._clock()
        decision, group = throttle(
            playbook.throttle, memory.group(bound.group), execution.incident.key, execution.arrived, now
        )
        memory.remember(bound.group, group)
        if isinstance(decision, Go):
            decision = concurrency(playbook.concurrency, memory.running.get(bound.slot, 0), memory.queued)
        if isinstance(decision, Go) and bound.problem is None:
            decision = fuse(playbook.fuse, memory.touched, bound.nodes, nodes_total, now)
        if isinstance(decision, Go):
            memory.record_start(bound.group, bound.nodes, now)
            memory.take_slot(bound.slot)
            execution.has_slot = True
        return decision
