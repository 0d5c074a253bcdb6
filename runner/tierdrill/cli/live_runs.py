"""Which runs go on: those whose runner, as the ledger has it, still lives; and which dead ones a reaper is healing."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.history.processes import STOPPED, identify

if TYPE_CHECKING:
    from tierdrill.history.ledger import Ledger


def live_runs(home: Path) -> dict[str, int]:
    """The runs that go on, with their runner's process id."""
    from tierdrill.history.ledger import Ledger

    if not (home / "ledger.db").exists():
        return {}
    with closing(Ledger(home)) as ledger:
        return live_in(ledger)


def live_in(ledger: Ledger) -> dict[str, int]:
    """As `live_runs`, of a ledger that is open already."""
    return {
        process.run: process.pid
        for process in ledger.processes()
        if process.role == "runner" and process.process.lives()
    }


def stopped_runs(ledger: Ledger) -> set[str]:
    """The runs whose runner lives and was stopped (SIGSTOP): it renews no lease."""
    return {
        process.run
        for process in ledger.processes()
        if process.role == "runner" and process.process.state() == STOPPED
    }


def reapers(home: Path) -> dict[str, int]:
    """The runs whose reaper works, with its process id: while it does, it heals after a runner that died.

    One that was stopped (SIGSTOP) looks after nothing.
    """
    import psutil

    from tierdrill.history.processes import me

    me()  # says so where processes cannot be looked at
    found = {}
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        works = (one := identify(process.pid)) is not None and one.state() != STOPPED
        if works and "tierdrill.conductor.reaper" in words and _after(words, "--home") == str(home):
            found[_after(words, "--run")] = process.pid
    return found


def _after(words: list[str], option: str) -> str:
    return next((value for word, value in itertools.pairwise(words) if word == option), "")
