"""The unattended loop: wakes when a slot is due, runs what may run, and leaves a record of everything.

APScheduler wakes it for the next slot of any entry; a heartbeat on the monotonic clock beside it finds what a timer
cannot see: a wall clock that was set, a machine that slept, slots of another scheduler that died. What is due is always
worked out from the store and the wall clock, so a wake too many does nothing and one too few is made up for.
"""

import asyncio
import contextlib
import functools
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.documents.problems import SpecError
from tierdrill.process.identity import me
from tierdrill.schedule.observers import Observers
from tierdrill.schedule.rollout.stage_moves import Follow
from tierdrill.schedule.slot_context import Commands, Surroundings
from tierdrill.schedule.slot_run import SlotRun
from tierdrill.schedule.slot_work import Work, members_of
from tierdrill.schedule.store.resilient_store import Shelf
from tierdrill.schedule.store.slot_records import SlotName
from tierdrill.schedule.store.slot_store import ScheduleStore, StoreError
from tierdrill.schedule.sweep import EntryPlan, Snapshot, sweep, timing_of
from tierdrill.schedule.takeover import Leftovers
from tierdrill.schedule.timer import NextSlotTimer
from tierdrill.schedule.wall_clock import Clock, Drift, Reading, SystemClock, drift
from tierdrill.text import utc

HEART_S = 5.0
"""How often it is looked for what a timer cannot see; so late may a start be after a sleep or a jump."""

BEAT_S = 30.0
"""How often a scheduler says on the disk that it lives."""

FORGET_EVERY_S = 86400.0
ENDED_AT_ONCE = 130

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What a scheduler is given. `reload` reads the documents again; `once`: decide what is due, see it through, end.
    """

    home: Path
    commands: Commands
    reload: Callable[[], Snapshot]
    once: bool = False
    author: str = "scheduler"
    heart_s: float = HEART_S


class Scheduler:
    """One scheduler process. `run` returns when it was told to end and everything is cleaned up."""

    def __init__(
        self, snapshot: Snapshot, options: Options, observers: Observers, clock: Clock | None = None
    ) -> None:
        self._snapshot, self._options, self._observers = snapshot, options, observers
        self._clock = clock or SystemClock()
        self._me = me()
        self._stop = asyncio.Event()
        self._shelf = Shelf(options.home, self._clock, self._trouble, self._stop)
        self._plans: dict[tuple[str, str], EntryPlan] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer = NextSlotTimer(self._sweep_due)
        self._last: Reading = self._clock.read()
        self._beaten: float | None = None
        self._forgot: float | None = None
        self._why_late = ""
        self._replan = False
        self._signals = 0
        follow = Follow(options.home, lambda: self._snapshot.catalogue, lambda: self._shelf.store)
        observers.after_slot = follow.after_slot
        self._around = Surroundings(
            home=options.home, commands=options.commands, clock=self._clock, shelf=self._shelf, me=self._me,
            listener=observers, rollout=follow.stage, stop=self._stop, author=options.author,
        )  # fmt: skip
        self._leftovers = Leftovers(self._around)

    async def run(self) -> int:
        """Until it is told to end (SIGTERM or SIGINT); the exit code."""
        with self._listening():
            await self._begin()
            if self._options.once:
                await self._see_through()
            else:
                self._timer.start()
                await self._live()
            await self._end()
        return 0

    async def _begin(self) -> None:
        names = ", ".join(timetable.name for timetable in self._snapshot.timetables)
        # What is started every few minutes must end when its home cannot be written, for the next one to be started.
        keep = functools.partial(self._shelf.keep, patient=not self._options.once)
        await keep(lambda store: self._since_when(store))
        await keep(lambda store: store.note(self._now(), "started", f"pid {self._me.pid}: {names}"))
        await keep(lambda store: self._observers.remember(store))
        _log.info("scheduler %d serves %s in %s", self._me.pid, names, self._options.home)
        await keep(self._beat)
        await keep(self._plan)
        self._look()

    def _since_when(self, store: ScheduleStore) -> None:
        """Why slots may be late at the start: since when no scheduler has run."""
        seen = [one[2] for one in store.schedulers()]
        last = max([*seen, *(note.at for note in store.notes(1))], default=None)
        if last is not None and self._now() - last > BEAT_S:
            self._why_late = f"no scheduler ran since {utc(last)}"

    async def _live(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._options.heart_s)
            if not self._stop.is_set():
                self.heartbeat()

    def heartbeat(self) -> None:
        """Look at the clocks, and for what is due or left behind."""
        reading = self._clock.read()
        moved, self._last = drift(self._last, reading), reading
        if moved:
            self._moved(moved)
        self._look()
        self._why_late = ""

    def _moved(self, moved: Drift) -> None:
        _log.warning("%s", moved)
        self._why_late = str(moved)
        self._observers.clock_moved(moved)
        try:
            self._shelf.store.note(self._now(), "clock", str(moved))
            if moved.slept_s:
                self._shelf.store.slept(self._last.boottime, moved.slept_s)
            for plan in self._plans.values():
                plan.look_ahead(self._now())
                # What was jumped over is due, however far ahead the next slot is.
                plan.next_due = self._now() if moved.jumped_s > 0 or moved.slept_s else plan.next_due
        except StoreError as error:
            self._shelf.trouble(error)

    def _look(self) -> None:
        """Decide what is due, take over what was left behind, say that we live."""
        try:
            store = self._shelf.store
            store.check_place()
            if self._replan:
                self._plan(store)
            if self._forgot is None or self._clock.read().boottime - self._forgot >= FORGET_EVERY_S:
                self._forgot = self._clock.read().boottime
                store.forget(self._now())
            if self._beaten is None or self._clock.read().boottime - self._beaten >= BEAT_S:
                self._beat(store)
            for step in self._leftovers.take(store, self._snapshot):
                self._spawn(step)
            self._shelf.fine()
        except StoreError as error:
            self._shelf.trouble(error)
        self._sweep_due()

    def _sweep_due(self) -> None:
        """Decide the slots of every entry whose time has come, and wake again at the next."""
        now = self._now()
        try:
            for plan in [one for one in self._plans.values() if one.next_due is not None and one.next_due <= now]:
                if not self._stop.is_set():
                    self._sweep(self._shelf.store, plan)
        except StoreError as error:
            self._shelf.trouble(error)
        # What could not be decided now is for the heartbeat: it is overdue, and a timer for it would spin.
        self._timer.set(plan.next_due for plan in self._plans.values() if (plan.next_due or 0.0) > now)

    def _sweep(self, store: ScheduleStore, plan: EntryPlan) -> None:
        swept = sweep(plan, store, self._me, self._now(), self._why_late)
        self._observers.passed_over(plan, swept)
        self._observers.next_due(plan.name, plan.next_due)
        if swept.claimed:
            # By the documents of this moment: those of a reload in between need not have its drill any more.
            self._spawn(self._batch([self._work(plan, slot, held) for slot, held in swept.claimed]))
        if swept.trouble is not None:
            raise swept.trouble

    async def _batch(self, works: Sequence[Work]) -> None:
        """Slots of one entry that are due together, one after the other."""
        for work in works:
            await SlotRun(self._around, work).go()

    def _work(self, plan: EntryPlan, slot: SlotName, held: str | None) -> Work:
        calendar, entry = plan.timetable.calendar, plan.times.entry
        return Work(slot, calendar, entry, members_of(self._snapshot.catalogue, calendar, entry, slot.key), held)

    def _plan(self, store: ScheduleStore) -> None:
        """Follow every entry of the calendars as they are now."""
        now = self._now()
        timings = {(times.calendar, times.entry.name): timing_of(times) for _, times in self._snapshot.entries()}
        # A store that was begun anew knows no entry; what was followed until now is followed on.
        marks = {
            name: plan.until for name, plan in self._plans.items() if timing_of(plan.times) == timings.get(name)
        }
        until, fresh = store.considered(timings, now, marks)
        self._replan = False
        plans = {}
        for timetable, times in self._snapshot.entries():
            name = (times.calendar, times.entry.name)
            plans[name] = EntryPlan(timetable, times, until[name])
            plans[name].look_ahead(until[name] if until[name] < now else now)
            self._observers.next_due(name, plans[name].next_due)
        for name in self._plans.keys() - plans.keys():
            self._observers.forget(name)
        self._plans = plans
        for name in fresh:
            self._observers.known_since(name, now)
        if fresh:
            _log.info("new or changed entries, effective from now on: %s", ", ".join("/".join(one) for one in fresh))
        self._observers.serve(self._snapshot)
        self._timer.set(plan.next_due for plan in plans.values())

    def _beat(self, store: ScheduleStore) -> None:
        reading = self._clock.read()
        store.beat(self._me, reading.wall, reading.boottime, [one.name for one in self._snapshot.timetables])
        self._beaten = reading.boottime
        self._observers.beat(reading.wall)

    async def reload(self) -> bool:
        """Read the documents again; broken ones change nothing, and it is said."""
        try:
            self._snapshot = await asyncio.to_thread(self._options.reload)
        except (SpecError, LookupError, OSError, ValueError) as error:
            text = "; ".join(str(error).splitlines()[:3])
            _log.error("the calendars are invalid; still using the previous ones: %s", text)
            self._observers.reloaded(ok=False, text=text)
            await self._shelf.keep(lambda store: store.note(self._now(), "reload.failed", text))
            return False
        await self._shelf.keep(self._plan)
        await self._shelf.keep(lambda store: store.note(self._now(), "reloaded", ""))
        _log.info("calendars reloaded: %s", ", ".join(one.name for one in self._snapshot.timetables))
        self._observers.reloaded(ok=True, text="")
        return True

    async def _see_through(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _end(self) -> None:
        self._timer.stop()
        await self._see_through()
        await self._observers.close()
        try:
            self._shelf.store.note(self._now(), "ended", f"pid {self._me.pid}")
            self._shelf.store.retire(self._me)
        except StoreError as error:
            self._shelf.trouble(error)
        self._shelf.close()
        _log.info("scheduler %d has ended", self._me.pid)

    def _spawn(self, step: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a slot's task failed", exc_info=error)
            self._observers.broke(error)

    def _trouble(self, kind: str, text: str) -> None:
        _log.log(logging.INFO if kind == "available" else logging.ERROR, "the schedule's store is %s: %s", kind, text)
        self._replan = self._replan or kind in ("damaged", "moved")
        self._observers.store_trouble(kind, text)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_end, number)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self._reload()))
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def _reload(self) -> None:
        await self.reload()

    def _told_to_end(self, number: signal.Signals) -> None:
        self._signals += 1
        name = signal.Signals(number).name
        if self._signals > 1:
            _log.warning("%s again: exiting at once; the reapers clean up", name)
            self._leftovers.kill_all()
            os._exit(ENDED_AT_ONCE)
        _log.warning("%s: stopping active drills; a second one exits at once", name)
        self._stop.set()

    def _now(self) -> float:
        return self._clock.read().wall
