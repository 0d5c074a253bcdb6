"""The timers: one APScheduler job for each entry, which wakes the scheduler when the entry's next slot is due.

APScheduler only wakes: which slots are due, and whether they may still start, is worked out elsewhere from the store.
So none of its traps matter here: no job store on the disk, no crontab of its own, UTC throughout, no grace that drops.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from tierdrill.schedule.loading import only
from tierdrill.schedule.slots import due_slots
from tierdrill.schedule.sweep import EntryPlan

Name = tuple[str, str]


class SlotTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires when the entry's next slot is due."""

    def __init__(self, plan: EntryPlan) -> None:
        self._plan = plan

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """The next slot's due time after now; at once for one that is overdue and was not looked at yet."""
        if previous is None and self._plan.next_due is not None:
            return datetime.fromtimestamp(self._plan.next_due, UTC)
        after = max(now.astimezone(UTC), previous or now)
        slot = next(iter(due_slots([only(self._plan.timetable, self._plan.times)], after)), None)
        return slot.due if slot is not None else None


class EntryTimer:
    """Calls `wake` with the name of each entry whose time has come."""

    def __init__(self, wake: Callable[[Name], Awaitable[None]]) -> None:
        self._wake = wake
        self._scheduler = AsyncIOScheduler(
            jobstores={"default": MemoryJobStore()},
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Begin to wake."""
        self._scheduler.start()

    def replan(self, plans: Mapping[Name, EntryPlan]) -> None:
        """Forget all timers and set one for each entry."""
        self._scheduler.remove_all_jobs()
        for name, plan in plans.items():
            if plan.next_due is not None:
                self._scheduler.add_job(self._woken, SlotTrigger(plan), args=(name,), id="/".join(name))

    async def _woken(self, name: Name) -> None:
        await self._wake(name)

    def stop(self) -> None:
        """Wake no more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    @property
    def jobs(self) -> list[Any]:
        """The jobs, for tests."""
        return list(self._scheduler.get_jobs())
