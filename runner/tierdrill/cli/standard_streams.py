"""The process's standard streams: there from the start, and what an end of their readers comes to."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tierdrill.text import visible_lines

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
    if isinstance(sys.stdin, io.TextIOWrapper):
        # What is typed or piped in is text, whatever bytes it is made of.
        sys.stdin.reconfigure(errors="replace")
    for name in ("stdout", "stderr"):
        if type(stream := getattr(sys, name)) is io.TextIOWrapper:
            setattr(sys, name, _Output.instead_of(stream))


class OutputLost(OSError):
    """Our output cannot be written, to a disk that is full, say; whatever else was done is done."""


class _Output(io.TextIOWrapper):
    """Standard output, or error: what others wrote cannot act on a terminal, and its errors are known from others'.

    Control, bidi and escape characters are spelled out, and so is what the encoding has no letter for.
    """

    @staticmethod
    def instead_of(stream: io.TextIOWrapper) -> _Output:
        encoding, lines, through = stream.encoding, stream.line_buffering, stream.write_through
        return _Output(
            stream.detach(), encoding, errors="backslashreplace", line_buffering=lines, write_through=through
        )

    def write(self, text: str) -> int:
        return self.write_raw(visible_lines(text))

    def write_raw(self, text: str) -> int:
        with _lost():
            return super().write(text)

    @property
    def controls(self) -> _Controls:
        """The same stream for who moves the cursor and colours, and makes texts of others visible by itself."""
        return _Controls(self)

    def flush(self) -> None:
        with _lost():
            super().flush()


class _Controls:
    def __init__(self, output: _Output) -> None:
        self._output = output

    def write(self, text: str) -> int:
        return self._output.write_raw(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(error.errno, error.strerror) from error


UNREAD = (BrokenPipeError, SystemExit)
"""What says that nobody reads our output. Click and rich leave by SystemExit then, and nothing else here does, with a
code that means failed to us."""


def reader_gone() -> int:
    """The exit code where whoever read our output has gone; what is still buffered goes nowhere."""
    _say_no_more()
    return READER_GONE


def _say_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def say_output_is_lost(error: OutputLost, more: str = "") -> None:
    """Say so on stderr; what is still buffered goes nowhere, and neither does what comes after it."""
    _say_no_more()
    with suppress(OSError):
        sys.stderr.write(f"tierdrill: the output cannot be written: {error.strerror}{more}\n")


@contextmanager
def unread() -> Iterator[None]:
    """What is written here may find no reader, or no room; what comes after it is done all the same."""
    try:
        yield
    except UNREAD:
        reader_gone()
    except OutputLost as error:
        say_output_is_lost(error, "; what was asked for is done")
