"""A terminal that is never waited for: what it cannot take now waits here, and the game day goes on.

Behind a connection that was lost without a word, a terminal takes nothing more until somebody hangs up, minutes later.
Whoever writes to it in the usual way stands still for as long. The terminal is opened once more, so that the shell that
shares the first one keeps it as it was.
"""

from __future__ import annotations

import io
import os
import select
import sys
import time

CLOSE_WITHIN_S = 0.5


class PatientStream(io.TextIOBase):
    """Text out to a terminal, without waiting."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        self._waiting = b""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As standard output has it."""
        return sys.stdout.encoding or "utf-8"

    @property
    def behind(self) -> bool:
        """Whether the terminal has not taken everything yet."""
        self.flush()
        return bool(self._waiting)

    def isatty(self) -> bool:
        """It is one."""
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        """Its descriptor."""
        return self._descriptor

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Keep the text for the terminal. OSError once it is gone."""
        self._waiting += text.encode(self.encoding, "replace")
        self.flush()
        return len(text)

    def flush(self) -> None:
        """Give the terminal as much as it takes."""
        while self._waiting:
            try:
                written = os.write(self._descriptor, self._waiting)
            except BlockingIOError:
                return
            self._waiting = self._waiting[written:]

    def close(self) -> None:
        """Let go of the terminal, after a moment for what still waits."""
        if self._descriptor < 0:
            return
        deadline = time.monotonic() + CLOSE_WITHIN_S
        try:
            while self.behind and (left := deadline - time.monotonic()) > 0:
                select.select([], [self._descriptor], [], left)
        except OSError:
            pass
        os.close(self._descriptor)
        self._descriptor = -1
