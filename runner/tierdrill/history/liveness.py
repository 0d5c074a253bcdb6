"""Who is alive, as the kernel tells: a process holds a lock on a file of its home for as long as it lives.

A pid says nothing in another PID namespace (a container on the same home); a lock does, whoever asks, and no death
forgets to give it back. What holds it writes down which process it is, for those who can see it.
"""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from tierdrill.process.identity import ProcessId, me, read_identity
from tierdrill.process.safe_files import is_locked, sign, take_lock

Role = Literal["runs", "reapers"]
FOLDER = "living"
HELD_WITHIN_S = 2.0
_held: dict[Path, int] = {}


class AlreadyAlive(OSError):
    """Another process lives under that name."""


def hold(home: Path, role: Role, name: str) -> None:
    """Be alive under that name until this process ends, or `release`. AlreadyAlive where another one is."""
    path = _path(home, role, name)
    if path in _held:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Whoever looks whether somebody lives has a lock as well, for a moment.
    descriptor = take_lock(path, HELD_WITHIN_S)
    if descriptor is None:
        raise AlreadyAlive(errno.EWOULDBLOCK, "another process lives under that name", str(path))
    try:
        sign(descriptor, asdict(me()))
    except BaseException:
        os.close(descriptor)
        raise
    _held[path] = descriptor


def _path(home: Path, role: Role, name: str) -> Path:
    return home / FOLDER / role / quote(name, safe="")


def release(home: Path, role: Role, name: str) -> None:
    """Be alive under that name no more."""
    path = _path(home, role, name)
    descriptor = _held.pop(path, None)
    if descriptor is not None:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def lives(home: Path, role: Role, name: str) -> bool:
    """Whether some process lives under that name, in whichever PID namespace."""
    return file_is_held(_path(home, role, name))


def file_is_held(path: Path) -> bool:
    """Whether a living process holds a lock on that file."""
    if path in _held:
        return True
    try:
        return is_locked(path)
    except OSError:
        return False


def living(home: Path, role: Role) -> Iterator[tuple[str, ProcessId | None]]:
    """Every name of that role under which a process lives, and which that is, where it says so."""
    for path in sorted((home / FOLDER / role).glob("*")):
        if file_is_held(path):
            yield unquote(path.name), _said(path)


def forget_the_dead(home: Path) -> None:
    """Remove the files of processes that were killed."""
    for path in (home / FOLDER).glob("*/*"):
        if not file_is_held(path):
            with contextlib.suppress(OSError):
                path.unlink()


def _said(path: Path) -> ProcessId | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return read_identity(said)
    except (OSError, ValueError, KeyError, TypeError):
        return None
