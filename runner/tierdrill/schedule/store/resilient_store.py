"""The store as the daemon uses it: opened again where it moved, set aside where it is damaged (never deleted),
tried again where it is locked or the disk is full. Everything of that kind is said once, loudly, and
once when it is over.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tierdrill.history.database_file import inode_of, set_aside
from tierdrill.schedule.store.slot_store import NotOurs, ScheduleStore, StoreCorrupt, StoreError, StoreMoved
from tierdrill.schedule.store.store_file import FILE
from tierdrill.schedule.wall_clock import Clock


@dataclass(frozen=True)
class Opened:
    """The store, and where a damaged one was put, with the reason; both empty where the store was whole."""

    store: ScheduleStore
    aside: Path | None = None
    why: str = ""


def open_store(home: Path, now: float) -> Opened:
    """The store of a home; a damaged one is set aside first. StoreError if it is locked, or cannot be written.

    The new store knows no slot: entries count from now on, so nothing that the old one ran can run again.
    """
    inode = inode_of(home / FILE)
    try:
        return Opened(_whole(home))
    except StoreCorrupt as error:
        try:
            aside = set_aside(error.path, inode)
        except OSError as why:
            raise StoreError(f"{error}; it cannot be moved away: {why.strerror}", error.path) from why
        # Another scheduler may have been quicker: then there is a new one already.
        store = _whole(home)
        if aside is not None:
            store.note(now, "store.damaged", f"{error}; kept as {aside.name}, a new store was begun")
        return Opened(store, aside, str(error))


def _whole(home: Path) -> ScheduleStore:
    store = ScheduleStore(home)
    try:
        store.check()
    except BaseException:
        store.close()
        raise
    return store


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
