"""The process's standard streams: there from the start, and what an end of their readers comes to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

READER_GONE = 141
"""128 + SIGPIPE, as a shell gives it for other programs: neither passed nor failed."""


def hold_standard_streams() -> None:
    """Put /dev/null where a standard stream was closed (`>&-`), so that no file we open takes its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one: those below it are open by now.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


UNREAD = (BrokenPipeError, SystemExit)
"""What says that nobody reads our output. Click and rich leave by SystemExit then, and nothing else here does, with a
code that means failed to us."""


def reader_gone() -> int:
    """The exit code where whoever read our output has gone; what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return READER_GONE


@contextmanager
def unread() -> Iterator[None]:
    """What is written here may find no reader; what comes after it is done all the same."""
    try:
        yield
    except UNREAD:
        reader_gone()
