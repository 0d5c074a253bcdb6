"""Signalling and awaiting exactly the process that was meant; killing a process group at once, as a power cut does."""

import contextlib
import os
import signal
import time

import psutil

from tierdrill.process.child import readable
from tierdrill.process.identity import ProcessId, identify


def signal_process(process: ProcessId, number: int) -> bool:
    """Signal exactly that process; False when it is gone or its pid is somebody else's."""
    if process.state() is None:
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


async def gone(process: ProcessId) -> None:
    """Until a process that need not be our child has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        # The pid may have gone to somebody else before the descriptor was there; afterwards it cannot.
        if process.lives():
            await readable(descriptor)
    finally:
        os.close(descriptor)


def group_members(pgid: int) -> list[int]:
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == pgid and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue
    return members


def signal_group(pgid: int, leader: ProcessId, number: int) -> bool:
    """Signal a whole group at once; False when nothing of it is left, or its number is somebody else's."""
    if not _ours(pgid, leader):
        return False
    try:
        os.killpg(pgid, number)
    except ProcessLookupError:
        return False
    return True


def kill_group(pgid: int, leader: ProcessId, *, timeout_s: float = 2.0) -> bool:
    """SIGKILL a whole group at once, as a power cut does; True when none of its members lives any more.

    If the leader's pid belongs to another process by now, the group is not ours and is left alone; nor is one of that
    number ours when the leader was of an earlier boot or of another PID namespace. A leader that is merely gone does
    not free its group's number while members live, so they are killed.
    """
    if not _ours(pgid, leader):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pgid, signal.SIGKILL)
    deadline = time.monotonic() + timeout_s
    while group_members(pgid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _ours(pgid: int, leader: ProcessId) -> bool:
    if pgid <= 1 or pgid == os.getpgrp():
        raise ValueError(f"refusing to signal process group {pgid}")
    return leader.can_have_left_a_group() and identify(leader.pid) in (None, leader)
