"""The kill switch of a home: throwing it, whatever state ledger and disk are in, and asking whether it is thrown."""

import time
from contextlib import closing
from pathlib import Path

from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.switch_file import Halt, kill_switch
from tierdrill.text import valid


def halted(home: Path) -> Halt | None:
    """The halt in force in that home, if any; nothing is made where nothing is."""
    with Ledger.kept(home) as ledger:
        return ledger.halted() if ledger else kill_switch(home).thrown()


def throw_kill_switch(home: Path, author: str, reason: str) -> str:
    """Throw the kill switch of that home, whatever state its ledger and the disk are in.

    Returns why the ledger has no record of it; "" where it has. LedgerError only if it could not be thrown at all.
    """
    unthrown = None
    asked = Halt(time.time(), valid(author), valid(reason))
    try:
        kill_switch(home).throw(asked)
    except OSError as error:
        unthrown = error
    try:
        with closing(Ledger(home)) as ledger:
            ledger.record(asked)
    except LedgerError as error:
        if unthrown is not None:
            causes = dict.fromkeys((f"{unthrown.filename or home}: {unthrown.strerror}", str(error)))
            raise LedgerError(f"NOT halted: {'; '.join(causes)}") from unthrown
        return str(error)
    return ""
