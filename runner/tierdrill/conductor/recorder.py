"""Everything that happens in a run passes here.

It is stored, then shown to whoever listens (the live view, the JSON stream).
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tierdrill.history.events import Emit, Event, event
from tierdrill.history.kinds.run_kinds import ClockStepped
from tierdrill.history.payload import Payload
from tierdrill.history.sealed import EventSink

Listener = Callable[[Event], None]
T = TypeVar("T")
STEP_S = 0.2
"""By so much the wall clock may part from the monotonic one before that is told."""


class Recorder:
    """Appends to one run's history. A listener that fails is dropped and does not disturb the run.

    Where the machine's wall clock was set meanwhile, that is told before the next event.
    """

    def __init__(
        self,
        store: EventSink,
        run: str,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._apart = wall() - monotonic()
        self._store = store
        self._run = run
        self._listeners: list[Listener] = []
        self._thread = threading.get_ident()
        self.dropped_listeners: list[str] = []

    def listen(self, listener: Listener) -> None:
        """Show every later event to `listener`, after it is stored."""
        self._listeners.append(listener)

    def take(self, item: Event) -> Event:
        apart = self._wall() - self._monotonic()
        if abs(stepped := apart - self._apart) > STEP_S:
            self._apart = apart
            self._put(event(ClockStepped(seconds=stepped), "runner", at=self._wall()))
        return self._put(item)

    def _put(self, item: Event) -> Event:
        stored = self._store.append(self._run, item)
        for listener in list(self._listeners):
            try:
                listener(stored)
            except Exception as error:
                # A broken view must not end a run that has faults open.
                self._listeners.remove(listener)
                self.dropped_listeners.append(f"{type(error).__name__}: {error}")
        return stored

    def note(self, said: Payload, source: str, at: float | None = None) -> Event:
        """Make and take an event."""
        return self.take(event(said, source, at))


async def in_thread(work: Callable[[Emit], T], take: Emit) -> T:
    """Do `work` in a thread; what it emits is taken here, in the loop and in order."""
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(item: Event | None) -> None:
        loop.call_soon_threadsafe(events.put_nowait, item)

    def worked() -> T:
        try:
            return work(tell)
        finally:
            tell(None)

    task = asyncio.create_task(asyncio.to_thread(worked))
    # Whoever waits may be cancelled; the thread goes on, and nobody asks any more what became of it.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    while (item := await events.get()) is not None:
        take(item)
    return await task
