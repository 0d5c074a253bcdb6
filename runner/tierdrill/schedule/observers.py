"""Who hears of what the scheduler does: the log, the metrics, and the people whom a calendar names."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from tierdrill.documents.models.calendar import Calendar
from tierdrill.documents.models.channels import NoticeKind
from tierdrill.home import run_folder
from tierdrill.schedule.metrics import Metrics
from tierdrill.schedule.notify.notification import DETAILS_MAX, Notice
from tierdrill.schedule.notify.outbox import Outbox
from tierdrill.schedule.slot_work import Member, Work
from tierdrill.schedule.slots import spoken
from tierdrill.schedule.store.slot_records import Attempt, Gap, SlotState, words_of
from tierdrill.schedule.store.slot_store import ScheduleStore
from tierdrill.schedule.sweep import EntryPlan, PassedOver, Snapshot, Swept
from tierdrill.schedule.wall_clock import Drift

AfterSlot = Callable[[Work, Sequence[Attempt]], Awaitable[list[Notice]]]
"""What else follows the runs of a slot: a move in its rollout, a regression. Notices to post."""

_KINDS: dict[str, NoticeKind] = {
    "passed": "passed",
    "failed": "failed",
    "inconclusive": "inconclusive",
    "aborted": "aborted",
    "unclean": "unclean",
    "held": "held",
    # A run without a verdict, and one that never began: somebody has to look.
    "lost": "aborted",
    "refused": "missed",
}

_log = logging.getLogger(__name__)


class Observers:
    def __init__(self, home: Path, metrics: Metrics, outbox: Outbox, after_slot: AfterSlot | None = None) -> None:
        self._home, self.metrics, self._outbox = home, metrics, outbox
        self.after_slot = after_slot
        self._snapshot: Snapshot | None = None
        self._stop = asyncio.Event()
        self._courier: asyncio.Task[None] | None = None

    # The scheduler itself.

    def serve(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        for timetable, times in snapshot.entries():
            self.metrics.know((timetable.name, times.entry.name))
        for timetable in snapshot.timetables:
            self._outbox.know(timetable.name, timetable.calendar.channels)
        if self._courier is None:
            self._courier = asyncio.create_task(self._outbox.deliver_forever(self._stop))

    def remember(self, store: ScheduleStore) -> None:
        """Take the last times from the store, which a restart does not forget."""
        since = store.known_since()
        for name, at in {**since, **store.last_run()}.items():
            self.metrics.last_run.labels(*name).set(at)
        for name, at in {**since, **store.last_success()}.items():
            self.metrics.last_success.labels(*name).set(at)

    def next_due(self, name: tuple[str, str], at: float | None) -> None:
        """When the entry is due next; None for never."""
        self.metrics.next_due.labels(*name).set(at if at is not None else float("inf"))

    def known_since(self, name: tuple[str, str], at: float) -> None:
        """A new entry has nothing to show for itself yet; it counts from now."""
        for gauge in (self.metrics.last_run, self.metrics.last_success):
            if not _value(gauge, name):
                gauge.labels(*name).set(at)

    def forget(self, name: tuple[str, str]) -> None:
        self.metrics.forget(name)

    def beat(self, at: float) -> None:
        self.metrics.heartbeat.set(at)

    def clock_moved(self, moved: Drift) -> None:
        if moved.jumped_s:
            self.metrics.clock_jumps.inc()
        if moved.slept_s:
            self.metrics.sleeps.inc()

    def reloaded(self, *, ok: bool, text: str) -> None:
        self.metrics.calendars_good.set(1 if ok else 0)
        if ok:
            self._own_trouble("calendars", "the calendars are valid again", over=True)
        else:
            self._own_trouble("calendars", f"the calendars are invalid; still using the previous ones: {text}")

    def store_trouble(self, kind: str, text: str) -> None:
        """The store was damaged, cannot be written, or can again."""
        if kind == "damaged":
            self.metrics.store_damaged.inc()
            self._own_trouble("store", f"the scheduler's store was corrupt: {text}")
        elif kind in ("unavailable", "available"):
            self.metrics.store_up.set(1 if kind == "available" else 0)
            if kind == "unavailable":
                self._own_trouble("store", f"nothing runs: the scheduler's store is unusable: {text}")
            else:
                self._own_trouble("store", "the scheduler's store is usable again", over=True)

    def broke(self, error: BaseException) -> None:
        self.metrics.faults.inc()
        self._own_trouble("defect", f"internal error in a slot's task ({type(error).__name__}: {error})")

    # Slots.

    def passed_over(self, plan: EntryPlan, swept: Swept) -> None:
        """Slots that do not run, as they were recorded."""
        if swept.gap is not None:
            self._gap(plan, swept.gap)
        for one in swept.passed:
            _log.warning("%s: %s", one.slot.key, words_of(one.state.value, one.outcome, one.reason))
            self._count(plan.name, one.state, one.outcome)
        told = [one for one in swept.passed if one.state is SlotState.MISSED]
        if told:
            self._missed(plan, told)

    def started(self, work: Work, attempt: Attempt, lateness_s: float) -> None:
        self.metrics.running.labels(work.slot.calendar, work.slot.entry).inc()
        if attempt.number == 0:
            self.metrics.lateness.observe(lateness_s)
        _log.info("%s: run %s started, %s after it was due", work.slot.key, attempt.run, spoken(lateness_s))

    async def attempt_ended(self, work: Work, member: Member, attempt: Attempt) -> None:
        name = (work.slot.calendar, work.slot.entry)
        if attempt.started_at is not None:
            self.metrics.running.labels(*name).set(max(0.0, _value(self.metrics.running, name) - 1))
        _log.info("%s: %s %s: %s", work.slot.key, attempt.run or attempt.drill, attempt.status, attempt.reason)
        notice = Notice(
            kind=_KINDS.get(attempt.status, "aborted"),
            calendar=work.slot.calendar,
            entry=work.slot.entry,
            drill=attempt.drill,
            run=attempt.run,
            status=attempt.status,
            reason=attempt.reason if attempt.status in ("held", "lost", "refused") else "",
            summary=attempt.reason,
            at=attempt.ended_at or 0.0,
            report=self._report(attempt),
            owner=work.owner,
            rank=member.rank,
            details=await asyncio.to_thread(self._details, attempt.run),
        )
        self._post(work.calendar, work.entry, notice)

    async def decided(
        self, work: Work, attempts: Sequence[Attempt], state: SlotState, outcome: str, reason: str
    ) -> None:
        name = (work.slot.calendar, work.slot.entry)
        _log.info("%s: %s", work.slot.key, words_of(state.value, outcome, reason))
        self._count(name, state, outcome)
        if state is SlotState.MISSED:
            notice = self._notice(work.calendar, name[1], work.owner, "missed", reason)
            self._post(work.calendar, work.entry, notice)
        if self.after_slot is not None:
            for also in await self.after_slot(work, attempts):
                _log.warning("%s: %s: %s", work.slot.key, also.kind, also.summary)
                self._post(work.calendar, work.entry, also)

    async def close(self) -> None:
        """Let what can be delivered now be delivered, and serve no longer."""
        self._stop.set()
        if self._courier is not None:
            await self._courier
        self._outbox.close()
        self.metrics.close()

    # Helpers.

    def _count(self, name: tuple[str, str], state: SlotState, outcome: str, times: int = 1) -> None:
        now_s = _now()
        self.metrics.decisions.labels(*name, state.value, outcome).inc(times)
        if state is SlotState.MISSED:
            self.metrics.missed.labels(*name).inc(times)
        elif state is SlotState.HELD:
            self.metrics.held.labels(*name, outcome).inc(times)
        elif outcome in ("passed", "failed", "inconclusive"):
            self.metrics.last_run.labels(*name).set(now_s)
            if outcome == "passed":
                self.metrics.last_success.labels(*name).set(now_s)

    def _gap(self, plan: EntryPlan, gap: Gap) -> None:
        _log.error("%s/%s: %d slots were missed at once: %s", *plan.name, gap.count, gap.reason)
        self._count(plan.name, SlotState.MISSED, "", gap.count)

    def _missed(self, plan: EntryPlan, told: list[PassedOver]) -> None:
        """One notice, however many there are."""
        calendar, entry = plan.timetable.calendar, plan.times.entry
        more = f", and {len(told) - 1} before it" if len(told) > 1 else ""
        reason = f"{told[-1].slot.key}{more}: {told[-1].reason}"
        notice = self._notice(calendar, entry.name, calendar.owner_of(entry), "missed", reason)
        self._post(calendar, entry, notice)

    def _notice(self, calendar: Calendar, entry: str, owner: str, kind: NoticeKind, reason: str) -> Notice:
        return Notice(
            kind=kind, calendar=calendar.metadata.name, entry=entry, reason=reason, summary=reason, at=_now(),
            owner=owner,
        )  # fmt: skip

    def _post(self, calendar: Calendar, entry: Any, notice: Notice) -> None:
        channels = calendar.channels_of(entry)
        if channels:
            self._outbox.post(channels, notice)

    def _own_trouble(self, what: str, text: str, *, over: bool = False) -> None:
        """Something is wrong with the scheduler itself, or no longer: told on every channel of every calendar."""
        for timetable in self._snapshot.timetables if self._snapshot is not None else ():
            if timetable.calendar.channels:
                name = timetable.name
                notice = Notice(
                    kind="recovered" if over else "missed", calendar=name, entry="scheduler", summary=text, at=_now(),
                    key=f"{name}/scheduler/{what}", owner=timetable.calendar.metadata.owner,
                )  # fmt: skip
                self._outbox.post(timetable.calendar.channels, notice)

    def _report(self, attempt: Attempt) -> str:
        path = run_folder(self._home, attempt.run) / "report.html" if attempt.run else None
        return str(path) if path is not None and path.exists() else ""

    def _details(self, run: str) -> tuple[str, ...]:
        """The checks that decided the verdict, as the run wrote them."""
        if not run:
            return ()
        try:
            verdict = json.loads((run_folder(self._home, run) / "verdict.json").read_text(encoding="utf-8"))
            checks = {check["id"]: check for check in verdict["checks"]}
            deciding = [checks[one] for one in verdict["reasons"] if one in checks]
        except (OSError, ValueError, KeyError, TypeError):
            return ()
        lines = [f"{one['id']}: expected {one['expected']}; seen {one['seen']}" for one in deciding[:DETAILS_MAX]]
        more = len(deciding) - DETAILS_MAX
        return (*lines, f"and {more} more") if more > 0 else tuple(lines)


def _now() -> float:
    import time

    return time.time()


def _value(gauge: Any, name: tuple[str, str]) -> float:
    return float(gauge.labels(*name)._value.get())
