"""Where warnings and tracebacks of the libraries and of our own tasks go: a file in the home, never the terminal."""

from __future__ import annotations

from pathlib import Path

LOG = "tierdrill.log"


def log_to_file(home: Path) -> None:
    """Send all logging of this process to `tierdrill.log` in the home; what cannot be written is dropped."""
    import logging

    # A full disk must not turn each warning into a traceback on the terminal.
    logging.raiseExceptions = False
    handler = logging.FileHandler(home / LOG, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
