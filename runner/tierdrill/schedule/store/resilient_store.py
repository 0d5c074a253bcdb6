"""The store as the daemon uses it: opened again where it moved, set aside where it is damaged, tried again where it
is locked or the disk is full. Everything of that kind is said once, loudly, and once when it is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tierdrill.schedule.store.quarantine import open_store
from tierdrill.schedule.store.slot_store import NotOurs, ScheduleStore, StoreCorrupt, StoreError, StoreMoved
from tierdrill.schedule.wall_clock import Clock

RETRY_S = 1.0
LAST_TRIES = 10
"""How often it is tried once the scheduler was told to end: whoever comes next finds out from the history."""

_Value = TypeVar("_Value")
_log = logging.getLogger(__name__)


class Shelf:
    """Holds the store. `tell(kind, text)` hears of trouble: "damaged", "unavailable", "available", "moved"."""

    def __init__(
        self, home: Path, clock: Clock, tell: Callable[[str, str], None], stop: asyncio.Event | None = None
    ) -> None:
        self._home, self._clock, self._tell = home, clock, tell
        self._stop = stop or asyncio.Event()
        self._store: ScheduleStore | None = None
        self._failing = ""

    @property
    def store(self) -> ScheduleStore:
        """The store, opened if it is not; StoreError while it cannot be."""
        if self._store is None:
            opened = open_store(self._home, self._clock.read().wall)
            self._store = opened.store
            if opened.aside is not None:
                self._tell("damaged", f"{opened.why}; kept as {opened.aside}, a new store was begun")
        return self._store

    def trouble(self, error: StoreError) -> None:
        """Say what is wrong; a store that is damaged, or not in its place, is opened anew at the next use."""
        if isinstance(error, StoreCorrupt | StoreMoved):
            self.close()
        if isinstance(error, StoreMoved):
            self._tell("moved", str(error))
        elif str(error) != self._failing and not isinstance(error, StoreCorrupt):
            self._failing = str(error)
            self._tell("unavailable", str(error))

    def fine(self) -> None:
        if self._failing:
            self._failing = ""
            self._tell("available", str(self._home / "schedule.db"))

    async def keep(self, step: Callable[[ScheduleStore], _Value], *, patient: bool = True) -> _Value:
        """Do something with the store, again and again until it works.

        NotOurs is no trouble: it goes through. StoreError once it still fails a few times after the scheduler was told
        to end, or from the start where nobody waits (not `patient`).
        """
        last_tries = LAST_TRIES
        while True:
            try:
                value = step(self.store)
            except NotOurs:
                raise
            except StoreError as error:
                self.trouble(error)
                last_tries -= self._stop.is_set() or not patient
                if last_tries <= 0:
                    raise
                await asyncio.sleep(RETRY_S)
                continue
            self.fine()
            return value

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
