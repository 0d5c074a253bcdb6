"""Retention at work: the events and folders of old runs go; their lines and figures stay, made first where missing.

Safe to stop at any moment and to repeat: each run's figures are on the disk before its events go, and a folder that was
left is taken the next time. Runs that go on, or whose faults are still open in the ledger, are never touched.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.history.retention import Keep, Ruling, rulings
from tierdrill.home import run_folder
from tierdrill.recovery.finalize import ensure_figures

COMPACT_FROM_SHARE = 0.2
"""The file is only written anew, which takes as much room again for a moment, when so much of it is free."""


@dataclass(frozen=True)
class Bulk:
    """What a run has that may go: how many events, and how large its folder is."""

    events: int
    folder_bytes: int


@dataclass(frozen=True)
class Pruned:
    """What went (or would go), what is kept although it is old because something needs it, and what went wrong."""

    gone: tuple[tuple[Ruling, Bulk], ...]
    needed: tuple[Ruling, ...]
    problems: tuple[str, ...] = ()
    freed_bytes: int = 0
    kept: frozenset[str] = frozenset()
    """The runs that still have their events and folder afterwards."""


def prune(
    home: Path,
    keep: Keep,
    now: float,
    *,
    really: bool,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pruned:
    """Let the bulk of old runs go; without `really` only look.

    HistoryError or LedgerError where those cannot be read; what keeps one run from going is among the problems.
    """
    with HistoryStore.kept(home) as store:
        if store is None:
            return Pruned((), ())
        ruled = rulings(store.runs(limit=-1), keep, now, _needed(home))
        every = [(ruling, _bulk(store, home, ruling.record.run)) for ruling in ruled if ruling.goes]
        candidates = [(ruling, bulk) for ruling, bulk in every if bulk.events or bulk.folder_bytes]
        needed = tuple(ruling for ruling in ruled if ruling.needed)
        kept = frozenset(ruling.record.run for ruling in ruled if not ruling.goes)
        if not really:
            return Pruned(tuple(candidates), needed, kept=kept)
        before = _size(store.path)
        gone, problems = [], []
        for number, (ruling, bulk) in enumerate(candidates):
            progress(number, len(candidates))
            try:
                _remove(store, home, ruling.record.run)
                gone.append((ruling, bulk))
            except (HistoryError, OSError) as error:
                problems.append(f"run {ruling.record.run}: {error}")
                kept |= {ruling.record.run}
        if gone:
            problems += _compact(store, home)
        freed = before - _size(store.path) + sum(bulk.folder_bytes for _, bulk in gone)
    return Pruned(tuple(gone), needed, tuple(problems), freed, kept)


def _needed(home: Path) -> dict[str, str]:
    """The runs that somebody still needs, with the reason."""
    with Ledger.kept(home) as ledger:
        if ledger is None:
            return {}
        living = [one.run for one in ledger.processes() if ledger.alive(one.run, one.process)]
        needed = {lock[1]: f"it holds environment {lock[0]}" for lock in ledger.locks()}
        needed |= dict.fromkeys(living, "one of its processes is still alive")
        for fault in ledger.open_faults():
            needed[fault.run] = "one of its faults is still open; run `tierdrill recover`"
        return needed


def _bulk(store: HistoryStore, home: Path, run: str) -> Bulk:
    return Bulk(store.count(run), _folder_size(run_folder(home, run)))


def _folder_size(folder: Path) -> int:
    total = 0
    if folder.is_symlink():
        return total
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(where, name).lstat().st_size
    return total


def _remove(store: HistoryStore, home: Path, run: str) -> None:
    ensure_figures(store, run)
    store.remove_events(run)
    folder = run_folder(home, run)
    # A name that leads elsewhere is not one that this program gave.
    if folder.parent == home / "runs" and not folder.is_symlink() and folder.is_dir():
        shutil.rmtree(folder)


def _compact(store: HistoryStore, home: Path) -> list[str]:
    with closing(Ledger(home)) as ledger:
        if any(ledger.alive(one.run, one.process) for one in ledger.processes()):
            return ["history.db is not compacted while a run is in progress; its free space is reused"]
    if store.free_share() < COMPACT_FROM_SHARE:
        return []
    try:
        store.compact()
    except HistoryError as error:
        return [f"history.db is not compacted, its free space is reused: {error}"]
    return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
