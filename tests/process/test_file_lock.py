"""Locks on files: one holder, who is seen and whose death gives the lock back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tierdrill.process.safe_files import is_locked, locked, sign, take_lock
from tierdrill.process.spawn import start

HOLDER = """
import sys
from pathlib import Path
from tierdrill.process.safe_files import take_lock
assert take_lock(Path(sys.argv[1])) is not None
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_has_one_holder_and_is_free_when_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        assert is_locked(path) and take_lock(path) is None and take_lock(path, 0.05) is None
        holder.kill()
    assert not is_locked(path)
    descriptor = take_lock(path)
    assert descriptor is not None and is_locked(path)
    sign(descriptor, {"author": "somebody with a long name"})
    sign(descriptor, {"author": "Ana"})
    assert path.read_text() == '{"author": "Ana"}'
    os.close(descriptor)
    assert not is_locked(path)


def test_a_child_that_inherits_the_descriptor_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path) as descriptor:
        child = start([sys.executable, "-c", "import time; time.sleep(60)"], None, pass_fds=(descriptor,))
    try:
        assert is_locked(path)
    finally:
        child.stop()
    with locked(path):
        assert is_locked(path)
    assert not is_locked(path)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        take_lock(path)
    assert not (tmp_path / "elsewhere").exists()
