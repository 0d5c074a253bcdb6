"""A log that nobody outside can fill: what is said again and again is said once in a while, with how often it was."""

import logging
import time
from collections.abc import Callable

EVERY_S = 10.0
KINDS_MAX = 1000
"""So many kinds of records are told apart; beyond them all are one kind."""


class Seldom(logging.Filter):
    """Lets one record of a kind through in `EVERY_S` seconds; INFO always.

    What a client can bring about (a request that is none, a handler that breaks on it) comes as often as the client
    likes, and with a traceback each time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[object, ...], tuple[float, int]] = {}  # when it was last said, how often it was not

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged; how many like it were not is added to it."""
        if record.levelno < logging.WARNING:
            return True
        kind = _kind(record)
        if kind not in self._said and len(self._said) >= KINDS_MAX:
            kind = ()
        now = self._clock()
        since, left_out = self._said.get(kind, (-EVERY_S, 0))
        if now - since < EVERY_S:
            self._said[kind] = since, left_out + 1
            return False
        self._said[kind] = now, 0
        if left_out:
            record.msg = f"{record.getMessage()} (and {left_out} like it in {now - since:.0f} s)"
            record.args = ()
        return True


def _kind(record: logging.LogRecord) -> tuple[object, ...]:
    """What counts as the same: a web server's message, or a traceback's error, whatever the request; else the text."""
    if record.exc_info or record.name.partition(".")[0] in ("uvicorn", "aiohttp", "asyncio"):
        return record.name, record.levelno, str(record.msg), record.exc_info and record.exc_info[0]
    return record.name, record.levelno, record.getMessage()


def log_to_stderr(form: str) -> None:
    """Log from INFO on to stderr, in that form, each kind of trouble once in a while."""
    handler = logging.StreamHandler()
    handler.addFilter(Seldom())
    logging.basicConfig(level=logging.INFO, format=form, handlers=[handler])
