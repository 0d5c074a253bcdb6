"""Locks on files that no death forgets to give back; and files that are there as a whole, or as they were before."""

import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

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


_NOT_FILES = (Path("/dev"), Path("/proc"))


@contextmanager
def atomic_file(path: Path) -> Iterator[TextIO]:
    """A file to write, put in its place when the block ends well. OSErrors name the place, not the draft.

    A symbolic link stays one, and what it points to is written. What is no plain file (a device, a pipe) is written
    straight into.
    """
    target = Path(os.path.realpath(path))
    if _takes_what_comes(path, target):
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        if error.filename not in (None, str(draft)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        draft.unlink(missing_ok=True)


def _takes_what_comes(path: Path, target: Path) -> bool:
    """Whether it is a device, a pipe or a socket, or a name for something that is open already (/dev/stdout)."""
    if any(path.is_relative_to(folder) or target.is_relative_to(folder) for folder in _NOT_FILES):
        return True
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_atomic(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text)


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read. Readers see the old or the new one; a power cut may take both."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
