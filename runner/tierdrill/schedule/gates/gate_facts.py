"""Gathering what the gates ask about: ledger, locks, budgets, alerts and dependencies of one slot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.credentials import SecretMissing
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.switch_file import Halt
from tierdrill.judge.trend.run_figures import RunFigures
from tierdrill.schedule.gates import gate_rules as gates
from tierdrill.schedule.gates.environment_health import Service, alert_facts, ask_all, logged_in
from tierdrill.schedule.gates.error_budget_left import budget_fact, budget_from_drills
from tierdrill.schedule.gates.gate_rules import AlertFacts, BudgetFact, GateResult
from tierdrill.schedule.slot_work import Member
from tierdrill.schedule.slots import spoken
from tierdrill.schedule.store.slot_records import EnvironmentLock

if TYPE_CHECKING:
    from tierdrill.targets.base import Endpoint


TakeLock = Callable[[Member], Awaitable[EnvironmentLock | None]]
"""Takes the member's environment for the slot; who has it, if somebody else does."""

Gate = Callable[[], Awaitable[GateResult]]


class Facts:
    """Asks the world for one drill of one slot. `now` is Unix seconds."""

    def __init__(self, home: Path, member: Member, held: str | None, take_lock: TakeLock, now: float) -> None:
        self._home, self._member, self._held = home, member, held
        self._take_lock, self._now = take_lock, now

    def gates(self, rollout: Gate) -> list[Gate]:
        """Every gate, in the order in which they are asked."""
        return [
            self.kill_switch, self.window, self.lock, self.budget, self.alerts, self.dependencies, rollout,
        ]  # fmt: skip

    async def kill_switch(self) -> GateResult:
        """From the ledger. One that cannot be read might hold a halt, so it holds."""
        try:
            with closing(Ledger(self._home)) as ledger:
                return gates.kill_switch(ledger.halted())
        except LedgerError as error:
            return gates.kill_switch(Halt(self._now, "nobody", f"the ledger cannot be read: {error}"))

    async def window(self) -> GateResult:
        """From the calendar, at the time the slot was due; and from the maintenance of the tiers that it touches."""
        return gates.window(self._held or gates.maintained(self._member.maintenance, self._now))

    async def lock(self) -> GateResult:
        """From the schedule's locks, and from the ledger's for runs that people started."""
        held = await self._take_lock(self._member)
        if held is not None:
            since = spoken(max(0.0, self._now - held.taken_at))
            owner = held.owner or "not set"
            words = f"by {held.key} (owner {owner}, pid {held.holder.pid}) for {since}, lease {spoken(held.lease_s)}"
            return gates.lock(self._member.lock, words)
        return gates.lock(self._member.lock, await asyncio.to_thread(self._run_inside))

    def _run_inside(self) -> str | None:
        """A run, or a game day, that was not started by the schedule and goes on in the environment."""
        name = self._member.environment.metadata.name
        try:
            with closing(Ledger(self._home)) as ledger:
                for environment, run, pid, owner in ledger.locks(living=True):
                    if environment == self._member.lock or environment.startswith(f"{name}/own/"):
                        return f"by run {run} (owner {owner or 'not set'}, pid {pid})"
        except LedgerError as error:
            return f"holder unknown: {error}"
        return None

    async def budget(self) -> GateResult:
        """From Prometheus where the environment has one that goes on, else from the figures of drills."""
        rule = self._member.environment.gates.without_data
        prometheus, why = self._service("prometheus")
        if why:
            return gates.budget([BudgetFact(tier.name, None, why) for tier in self._member.tiers], rule)
        if prometheus:
            found = [await budget_fact(prometheus, tier, self._member.environment) for tier in self._member.tiers]
            return gates.budget([fact for fact in found if fact is not None], rule)
        return gates.budget(await asyncio.to_thread(self._from_drills), rule)

    def _from_drills(self) -> list[BudgetFact]:
        # Imported here: the judge is not needed while nothing is due.

        name, window_s = self._member.environment.metadata.name, self._member.environment.gates.budget_window
        try:
            with closing(HistoryStore(self._home)) as store:
                kept = [record.data for record in store.figures(since=self._now - window_s) if record.data]
            figures = [RunFigures.from_json(data) for data in kept]
        except (HistoryError, ValueError) as error:
            return [BudgetFact(tier.name, None, f"the history cannot be read: {error}") for tier in self._member.tiers]
        return budget_from_drills(self._member.tiers, figures, name, window_s)

    async def alerts(self) -> GateResult:
        """From Alertmanager where the environment has one that goes on."""
        rule = self._member.environment.gates.without_data
        alertmanager, why = self._service("alertmanager")
        if why:
            return gates.alerts(AlertFacts(unknown=why), rule)
        return gates.alerts(await alert_facts(alertmanager) if alertmanager else AlertFacts(), rule)

    async def dependencies(self) -> GateResult:
        """From each dependency itself."""
        return gates.dependencies(await ask_all(self._member.environment.dependencies))

    def _service(self, part: str) -> tuple[Service | None, str]:
        """A monitoring part with what it asks for (None: there is none), or why that is not known."""
        named: str | None = getattr(self._member.environment.gates, part)
        if named:
            try:
                credentials = getattr(self._member.environment.gates, f"{part}_credentials")
                return logged_in(named.rstrip("/"), credentials), ""
            except SecretMissing as error:
                return None, str(error)
        if self._member.lab is None:
            return None, ""
        from tierdrill.targets.base import TargetError
        from tierdrill.targets.target_registry import labs_of

        try:
            found: Endpoint = getattr(labs_of(self._home).endpoints(self._member.lab), part)
        except TargetError as error:
            return None, str(error)
        return Service(found.url, found.login.headers()["Authorization"] if found.login else ""), ""


async def ask_gates(ordered: list[Gate]) -> tuple[GateResult, ...]:
    """One gate after the other, until one holds; all of them in the answer."""
    results: list[GateResult] = []
    for gate in ordered:
        results.append(await gate())
        if results[-1].verdict == "held":
            break
    return gates.complete(results)
