"""Opening the store: a damaged one is set aside, never deleted, and a new one begun."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tierdrill.schedule.store import ScheduleStore, StoreCorrupt, StoreError

_PARTS = ("", "-wal", "-shm")


@dataclass(frozen=True)
class Opened:
    """The store, and where a damaged one was put, with the reason; both empty where the store was whole."""

    store: ScheduleStore
    aside: Path | None = None
    why: str = ""


def open_store(home: Path, now: float, *, thorough: bool = True) -> Opened:
    """The store of a home; a damaged one is moved to `schedule.db.damaged-TIME` first. StoreError if locked or full.

    The new store knows no slot: entries count from now on, so nothing that the old one ran can run again.
    """
    try:
        return Opened(_whole(home, thorough))
    except StoreCorrupt:
        pass
    with _alone(home):
        try:
            # Another scheduler may have been quicker.
            return Opened(_whole(home, thorough))
        except StoreCorrupt as error:
            aside = _set_aside(home, now)
            store = ScheduleStore(home)
            store.note(now, "store.damaged", f"{error}; kept as {aside.name}, a new store was begun")
            return Opened(store, aside, str(error))


def _whole(home: Path, thorough: bool) -> ScheduleStore:
    store = ScheduleStore(home)
    try:
        if thorough:
            store.check()
    except BaseException:
        store.close()
        raise
    return store


def _set_aside(home: Path, now: float) -> Path:
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
    path = home / f"schedule.db.damaged-{moment}-{os.urandom(2).hex()}"
    try:
        for part in _PARTS:
            old = home / f"schedule.db{part}"
            if old.exists():
                old.rename(path.with_name(path.name + part))
    except OSError as error:
        raise StoreError(f"{home / 'schedule.db'}: damaged, and cannot be set aside: {error.strerror}") from error
    return path


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One at a time, over all processes of this home."""
    try:
        with (home / "schedule.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise StoreError(f"{home / 'schedule.lock'}: {error.strerror}") from error
