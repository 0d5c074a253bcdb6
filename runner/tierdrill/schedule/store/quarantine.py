"""Opening the store: a damaged one is set aside, never deleted, and a new one begun."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tierdrill.history.database_file import inode_of, set_aside
from tierdrill.schedule.store.slot_store import ScheduleStore, StoreCorrupt, StoreError
from tierdrill.schedule.store.store_file import FILE


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
