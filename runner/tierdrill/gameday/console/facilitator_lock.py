"""The facilitator's seat: one at a time on one game day. It is free the moment its holder is gone, however it went."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.process.identity import ProcessId, me, read_identity
from tierdrill.process.safe_files import is_locked, sign, take_lock
from tierdrill.text import Explained

FILE = "facilitator.lock"
POLL_S = 0.05
LEAVES_WITHIN_S = 3.0


@dataclass(frozen=True)
class Holder:
    """Who sits there."""

    author: str
    process: ProcessId

    def __str__(self) -> str:
        return f"{self.author} (pid {self.process.pid})"


class SeatTaken(Explained):
    """Somebody else is the facilitator; the message says who."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(f"{holder or 'somebody'} is the facilitator of this game day")
        self.holder = holder


@contextmanager
def environment_held(home: Path, environment: str, identity: str, author: str) -> Iterator[None]:
    """While inside, the environment is a game day's: no scheduled drill begins in it, not in a pause either.

    Its own runs are not kept out: each takes a lock of its own. LedgerError if the ledger cannot be written.
    """
    name = f"{environment}/own/{identity}"
    with closing(Ledger(home)) as ledger:
        ledger.lock(name, identity, me(), author)
    try:
        yield
    finally:
        # What cannot be given back is free all the same once this process is gone.
        with suppress(LedgerError), closing(Ledger(home)) as ledger:
            ledger.unlock(name, identity)


class Seat:
    """Held from `take` to `leave`, or to the end of the process. Children do not inherit it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file: int | None = None

    def take(self, author: str) -> None:
        """Sit down; SeatTaken if somebody sits there."""
        file = take_lock(self._path)
        if file is None:
            raise SeatTaken(self.holder())
        sign(file, {"author": author, **asdict(me())})
        self._file = file

    def take_over(self, author: str) -> None:
        """Sit down in the place of whoever sits there.

        Its process is told that its terminal closed, and leaves. One that stands still (stopped, or stuck in a write
        to a dead terminal) is ended: nothing hangs on a facilitator's process. SeatTaken if it is not ours to end.
        """
        signals = [signal.SIGHUP, signal.SIGKILL]
        deadline = time.monotonic()
        while True:
            try:
                self.take(author)
                return
            except SeatTaken as taken:
                holder = taken.holder
                if time.monotonic() >= deadline:
                    if not signals or holder is None or not holder.process.lives():
                        raise
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(holder.process.pid, signals.pop(0))
                    deadline = time.monotonic() + LEAVES_WITHIN_S
            time.sleep(POLL_S)

    def holder(self) -> Holder | None:
        """Who wrote their name there last; only meaningful while somebody sits there."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return Holder(str(found["author"]), read_identity(found))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def taken(self) -> bool:
        return is_locked(self._path)

    def leave(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
