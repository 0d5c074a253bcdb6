"""What a person sees of an error: one clear line and an exit code; a traceback only ever goes to a file."""

import errno
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

import click

from tierdrill.text import Explained

BAD_INPUT = 2
INCONCLUSIVE = 3
INTERRUPTED = 130
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# How SQLite says it: a write that failed, too, is a disk that is full or breaks, or a limit on the size of files.
NO_ROOM_OF_SQLITE = {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE", "SQLITE_IOERR_SHMSIZE"}


class Refusal(click.ClickException):
    """Something asked of a command that it cannot do; nothing was touched."""

    exit_code = BAD_INPUT

    def show(self, file: object = None) -> None:
        say(self.message)


def say(text: str) -> None:
    """A line on stderr, from us."""
    try:
        click.echo(f"tierdrill: {text}", err=True)
    except OSError:
        pass


def explain(error: BaseException, home: Path | None, verbose: bool = False) -> int:
    """Tell the user what happened; the exit code. Never raises, whatever state the machine is in."""
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED
    if isinstance(error, Explained):
        if error.lines:
            click.echo(str(error), err=True)
        else:
            room = "; the disk is full or failing; free space and try again"
            say(_one_line(error) + room * _no_room(error))
        # One that tells what was already done knows better which.
        known: int | None = getattr(error, "exit_code", None)
        return known if known is not None else INCONCLUSIVE if _no_room(error) else BAD_INPUT
    if isinstance(error, OSError):
        if _no_room(error):
            say(f"disk full: {_one_line(error)}; free space and try again")
            return INCONCLUSIVE
        say(_one_line(error))
        return BAD_INPUT
    where = keep_traceback(error, home)
    told = f"; see {where}" if where else ""
    say(f"internal error ({type(error).__name__}: {_one_line(error)}){told}")
    say("`tierdrill status` shows whether a fault is still injected")
    return INCONCLUSIVE


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        # Of two files, as in a copy, the second is the one that was written.
        name = error.filename2 or error.filename
        return f"{name}: {error.strerror}" if name is not None else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _no_room(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in NO_ROOM:
            return True
        if getattr(seen, "sqlite_errorname", "") in NO_ROOM_OF_SQLITE:
            return True
        seen = seen.__cause__
    return False


def keep_traceback(error: BaseException, home: Path | None) -> Path | None:
    """Write the traceback to a file in the home, or in the temporary directory; None if neither can be written."""
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {sys.argv}\n" + "".join(
        traceback.format_exception(error)
    )
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}.txt"
    folders = [home / "crashes"] if home is not None else []
    for folder in (*folders, Path(tempfile.gettempdir()) / f"tierdrill-crashes-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                # In the temporary directory anybody may have made it, to be written where they choose.
                continue
            path = folder / name
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            return path
        except OSError:
            continue
    return None
