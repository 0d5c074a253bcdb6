"""The outbox: what the scheduler hands its notices to, and the courier that delivers them.

For whoever runs drills by themselves:

    outbox = Outbox(home)
    outbox.know(calendar.metadata.name, calendar.channels)      # at the start, and after each reload
    outbox.post(channels, notice)                               # never waits, never raises
    await outbox.deliver_forever(stop)                          # beside everything else, until `stop` is set
    outbox.close()

`channels` are those that the entry notifies; each is asked by the outbox whether it wants this notice. Post every
result, also `passed`: that is how a channel learns that a drill has recovered. Make notices of runs with
`notice_of_verdict`; leave `key` empty unless the same entry and drill has several things that can be wrong at once.
"""

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tierdrill.documents.models.channels import Channel
from tierdrill.redaction import Secrets
from tierdrill.schedule.notify.notification import Answer, Notice, given_up, own_holder, still_holds, wait_before
from tierdrill.schedule.notify.outbox_store import MessageStore, OutboxError, Waiting

POST_WAIT_S = 0.25
LOOK_EVERY_S = 2.0
"""How soon what another process posted, or a message whose time has come, is seen."""
LAST_ATTEMPTS_S = 5.0
FORGET_EVERY_S = 3600.0
UNSAVED_MAX = 1000

_log = logging.getLogger(__name__)


class Outbox:
    """Posts notices and delivers them. `clock` gives Unix seconds, `chance` a number from 0 to 1."""

    def __init__(
        self, home: Path, clock: Callable[[], float] = time.time, chance: Callable[[], float] = random.random
    ) -> None:
        self._home = home
        self._clock = clock
        self._chance = chance
        self._secrets = Secrets()
        self._lock = threading.Lock()
        self._store: MessageStore | None = None
        self._unsaved: list[tuple[tuple[Channel, ...], Notice, float]] = []
        self._unsettled: list[tuple[str, Answer, float, float | None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._holder = own_holder()

    def _opened(self) -> MessageStore:
        if self._store is None:
            self._store = MessageStore(self._home, POST_WAIT_S)
        return self._store

    def know(self, calendar: str, channels: Sequence[Channel]) -> None:
        """Messages that wait go to where the channels of this calendar lead now."""
        try:
            with self._lock:
                self._opened().know(calendar, channels)
        except OutboxError as error:
            _log.error("the channels of %s are not kept: %s", calendar, error)

    def post(self, channels: Sequence[Channel], notice: Notice) -> bool:
        """Keep a notice for every channel that wants it; True if it is on the disk.

        Where it cannot be kept (disk full, file locked), it is held in memory and tried again by the courier.
        """
        at = self._clock()
        try:
            with self._lock:
                store = self._opened()
                self._catch_up(store)
                store.post(channels, notice, at)
        except Exception as error:
            _log.error("notice %s of %s is not on the disk yet: %s", notice.kind, notice.subject, error)
            with self._lock:
                if len(self._unsaved) < UNSAVED_MAX:
                    self._unsaved.append((tuple(channels), notice, at))
                else:
                    _log.error("notice %s of %s is lost: the in-memory queue is full", notice.kind, notice.subject)
            return False
        self._call_courier()
        return True

    def _call_courier(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    async def deliver_forever(self, stop: asyncio.Event) -> None:
        """Deliver what is due until `stop` is set; then, for a few seconds, what was posted last and is under way."""
        self._loop = asyncio.get_running_loop()
        tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        stopped = asyncio.create_task(stop.wait())
        forgot_at = float("-inf")
        told = ""
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    if time.monotonic() - forgot_at > FORGET_EVERY_S:
                        forgot_at = time.monotonic()
                        with self._lock:
                            self._opened().forget(self._clock())
                    self._begin_due(tasks)
                    told = ""
                except OutboxError as error:
                    if str(error) != told:
                        told = str(error)
                        _log.error("nothing can be delivered: %s", error)
                await self._something(stopped, tasks)
                tasks = {key: task for key, task in tasks.items() if not task.done()}
        finally:
            stopped.cancel()
            await self._last_attempts(tasks)
            self._loop = None

    def _begin_due(self, tasks: dict[tuple[str, str], asyncio.Task[None]]) -> None:
        for waiting in self._due(tuple(tasks)):
            tasks[waiting.calendar, waiting.channel.name] = asyncio.create_task(self._deliver(waiting))

    async def deliver_due(self) -> int:
        """Try once everything that is due now; how many attempts that were."""
        attempts = 0
        while due := self._due(()):
            attempts += len(due)
            await asyncio.gather(*(self._deliver(waiting) for waiting in due))
        return attempts

    def _due(self, busy: Sequence[tuple[str, str]]) -> list[Waiting]:
        with self._lock:
            store = self._opened()
            self._catch_up(store)
            now = self._clock()
            for holder, since in store.holders().items():
                if holder != self._holder and not still_holds(holder, now - since):
                    store.release(holder)
            return store.claim(now, self._holder, busy)

    def _catch_up(self, store: MessageStore) -> None:
        """Write what could not be written when it happened, in its order."""
        while self._unsettled:
            store.settle(*self._unsettled[0])
            self._unsettled.pop(0)
        while self._unsaved:
            store.post(*self._unsaved[0])
            self._unsaved.pop(0)

    async def _something(
        self, stopped: asyncio.Task[Any], tasks: dict[tuple[str, str], asyncio.Task[None]]
    ) -> None:
        """Wait for a post, an attempt that ended, the stop, or a while."""
        woken: asyncio.Task[Any] = asyncio.create_task(self._wake.wait())
        try:
            everything: set[asyncio.Task[Any]] = {woken, stopped, *tasks.values()}
            await asyncio.wait(everything, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()

    async def _last_attempts(self, tasks: dict[tuple[str, str], asyncio.Task[None]]) -> None:
        deadline = time.monotonic() + LAST_ATTEMPTS_S
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(OutboxError):
                self._begin_due(tasks)
            if not tasks:
                break
            await asyncio.wait(tasks.values(), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            tasks = {key: task for key, task in tasks.items() if not task.done()}
        for task in tasks.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks.values())
        with contextlib.suppress(OutboxError), self._lock:
            self._opened().release(self._holder)

    async def _deliver(self, waiting: Waiting) -> None:
        # Imported here: the HTTP client would sit in the scheduler's memory where nobody is told anything.
        from tierdrill.schedule.notify.send import send

        answer = await send(waiting.channel, waiting.message, self._secrets)
        now, attempts = self._clock(), waiting.attempts + 1
        next_at = None
        over = given_up(attempts, now - waiting.created_at, waiting.channel.give_up_after)
        if not answer.ok and answer.again and not over:
            next_at = now + wait_before(attempts, self._chance(), answer.wait_s)
        if not answer.ok:
            self._tell_failure(waiting, attempts, answer.seen, given_up=next_at is None)
        with self._lock:
            self._unsettled.append((waiting.message.id, answer, now, next_at))
        try:
            with self._lock:
                self._catch_up(self._opened())
        except OutboxError as error:
            _log.error("what became of message %s is not on the disk yet: %s", waiting.message.id, error)

    @staticmethod
    def _tell_failure(waiting: Waiting, attempts: int, seen: str, *, given_up: bool) -> None:
        level, what = (logging.ERROR, "FAILED") if given_up else (logging.WARNING, "not delivered yet")
        _log.log(
            level,
            "notification %s of %s to %s: %s after %d attempts: %s",
            waiting.message.notice.kind,
            waiting.message.subject,
            waiting.channel.name,
            what,
            attempts,
            seen,
        )

    def close(self) -> None:
        """Release the file; say what could not be kept."""
        with self._lock:
            for _, notice, _ in self._unsaved:
                _log.error("notice %s of %s is lost: it was never written to disk", notice.kind, notice.subject)
            if self._store is not None:
                self._store.close()
                self._store = None

