"""Locks on files: a process holds one for as long as it lives, and no death forgets to give it back.

Whoever asks learns of it, in another PID namespace (a container on the same home) too, where a pid says nothing. A
child that inherits the descriptor holds the lock as well.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_POLL_S = 0.01


def take_lock(path: Path, within_s: float = 0.0) -> int | None:
    """Lock a file, made where it is missing: the descriptor to close to give the lock back.

    None where somebody else has kept it for so long. OSError where the file cannot be opened or is a symbolic link.
    """
    descriptor = _opened(path)
    deadline = time.monotonic() + within_s
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    break
            time.sleep(_POLL_S)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """While inside, the file is locked, however long that had to be awaited; its descriptor, for a child to inherit."""
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def sign(descriptor: int, holder: Mapping[str, Any]) -> None:
    """Write into a locked file who holds it."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock; nobody holds one on a file that is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at the same moment do not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
