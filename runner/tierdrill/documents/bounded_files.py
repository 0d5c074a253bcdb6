"""Bytes of a file that somebody named: never without end, and never waiting for a writer."""

import errno
import os
import stat
from pathlib import Path


def read_file(path: Path, most: int) -> bytes:
    """The file's bytes, one more than `most` where it has more; OSError if it cannot be read or is no plain file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a device, a pipe or a socket", str(path))
        return file.read(most + 1)


def is_file(path: Path) -> bool:
    """Whether there is a file of that name; a name that no file can have is one of none."""
    try:
        return path.is_file()
    except OSError:
        return False
