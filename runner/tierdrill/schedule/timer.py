"""The timer: an APScheduler job that wakes the scheduler when the next slot of any entry is due.

APScheduler only wakes: which slots are due, and whether they may still start, is worked out elsewhere from the store.
So none of its traps matter here: no job store on the disk, no crontab of its own, UTC throughout, no grace that drops.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

_JOB = "next-slot"


class NextSlotTimer:
    """Calls `wake` when a slot is due. It must be `set` again then."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._call = wake
        self._scheduler = AsyncIOScheduler(
            jobstores={"default": MemoryJobStore()},
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        self._scheduler.start()

    def set(self, dues: Iterable[float | None]) -> None:
        """Wake at the earliest of these moments (Unix seconds); never, if there is none."""
        known = [due for due in dues if due is not None]
        if self._scheduler.get_job(_JOB) is not None:
            self._scheduler.remove_job(_JOB)
        if known:
            trigger = DateTrigger(datetime.fromtimestamp(min(known), UTC))
            self._scheduler.add_job(self._woken, trigger, id=_JOB)

    async def _woken(self) -> None:
        self._call()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
