"""Where a log goes: to a file in the home for commands that people watch, to stderr for one that runs by itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tierdrill.log_throttle import Seldom
from tierdrill.text import visible, visible_lines

if TYPE_CHECKING:
    from logging import Formatter

LOG = "tierdrill.log"
_TIME = "%Y-%m-%dT%H:%M:%S"


def _lines(form: str, time: str | None = None) -> Formatter:
    """A formatter that gives each record one line, whatever somebody else wrote in it; tracebacks follow as they are.
    """
    import logging

    class Lines(logging.Formatter):
        def formatMessage(self, record: logging.LogRecord) -> str:
            return visible(super().formatMessage(record))

        def formatException(self, ei: Any) -> str:
            return visible_lines(super().formatException(ei))

    return Lines(form, time)


def log_to_file(home: Path) -> None:
    """Send all logging of this process to `tierdrill.log` in the home; what cannot be written is dropped."""
    import logging

    class ToFile(logging.FileHandler):
        def emit(self, record: logging.LogRecord) -> None:
            # It is opened here: what cannot be logged (an undo) must be done all the same.
            with suppress(OSError):
                super().emit(record)

    # A full disk must not turn each warning into a traceback on the terminal.
    logging.raiseExceptions = False
    handler = ToFile(home / LOG, encoding="utf-8", delay=True)
    handler.setFormatter(_lines("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(Seldom())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def log_lines(*, as_json: bool = False) -> None:
    """Send the log to stderr, one line each with the time in UTC; ours from INFO on, others' from WARNING on."""
    import json
    import logging
    import time

    class JsonLines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            line = {"at": record.created, "level": record.levelname, "message": record.getMessage()}
            if record.exc_info:
                line["traceback"] = self.formatException(record.exc_info)
            return visible(json.dumps(line, ensure_ascii=False))

    logging.raiseExceptions = False
    handler = logging.StreamHandler()
    lines = JsonLines() if as_json else _lines("%(asctime)sZ %(levelname)s %(message)s", _TIME)
    lines.converter = time.gmtime
    handler.setFormatter(lines)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("tierdrill").setLevel(logging.INFO)
