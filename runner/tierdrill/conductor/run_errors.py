"""What keeps a run from starting, and what breaks one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tierdrill.history.history_store import HistoryError
from tierdrill.history.ledger import Ledger, LedgerError


class RunRefused(Exception):
    """The run was not started, and nothing was touched: halted, locked, impossible to plan, or no lab.

    The message says why.
    """


class RunBroken(Exception):
    """A run that had begun could not be seen through: its files or its history cannot be written or read any more.

    `exit_code` is the verdict's that such a run has: unclean where something may still be injected, else inconclusive.
    """

    def __init__(self, run: str, error: Exception, *, clean: bool) -> None:
        what = f"{error.filename or ''}: {error.strerror}" if isinstance(error, OSError) else str(error)
        left = "" if clean else "; something may still be injected: `tierdrill recover`"
        super().__init__(f"run {run} broke: {what}{left}")
        self.exit_code = 3 if clean else 5


@contextmanager
def begun(ledger: Ledger, run: str) -> Iterator[None]:
    """A run has begun: RunBroken for what breaks from here on, and is no bad input."""
    try:
        yield
    except (OSError, HistoryError, LedgerError) as error:
        raise RunBroken(run, error, clean=_is_clean(ledger, run)) from error


def _is_clean(ledger: Ledger, run: str) -> bool:
    """Whether it is known that nothing of that run is injected."""
    try:
        return not ledger.open_faults(run)
    except LedgerError:
        return False
