"""Which process that is: its pid, when it started in ticks since boot, which boot, and which PID namespace.

psutil's `create_time` is wall-clock time and moves when the clock is set; a runner or a scheduler must not be taken for
dead, and its environment or its slot be given away, because NTP stepped. Field 22 of /proc/PID/stat (proc(5),
starttime) never moves. In another PID namespace (another container on the same home) a pid means nothing.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STOPPED = "T"

_STATE, _STARTTIME = 0, 19
"""Places in /proc/PID/stat after the command's closing parenthesis: fields 3 and 22."""

_ABOUT_S = 2.0
"""By how much a start that was written down by the wall clock may be off."""


@dataclass(frozen=True)
class ProcessId:
    """One process, of this boot or of an earlier one, in the PID namespace `space`."""

    pid: int
    ticks: int
    boot: str
    space: str

    def visible(self) -> bool:
        """Whether it can be looked for from here: something of an earlier boot can (it is gone)."""
        return self.boot != boot_identity() or self.space == pid_space()

    def state(self) -> str | None:
        """Its letter in /proc (proc(5), state); None where its pid is nobody's by now, somebody else's, or not visible.
        """
        if not self.here():
            return None
        found = _stat(self.pid)
        return None if found is None or int(found[_STARTTIME]) != self.ticks else found[_STATE]

    def can_have_left_a_group(self) -> bool:
        """Whether a process group of its number may be its own: not after a reboot, and not in another PID namespace.

        A group outlives its leader, and daemons commonly let theirs die; so a pid that is nobody's proves nothing.
        """
        return self.here()

    def here(self) -> bool:
        """Whether its pid means anything to this process: of this boot, and in this PID namespace."""
        return self.boot == boot_identity() and self.space == pid_space()

    def lives(self) -> bool:
        """Whether that very process, if visible, still runs.

        A zombie does not, nor does anything of an earlier boot.
        """
        return self.state() not in (None, "Z", "X")


def read_identity(said: Mapping[str, Any]) -> ProcessId:
    """A process as somebody wrote it down as JSON. KeyError, TypeError or ValueError where that is none."""
    return ProcessId(int(said["pid"]), int(said["ticks"]), str(said["boot"]), str(said["space"]))


def here(pid: int, ticks: int) -> ProcessId:
    """The process with that pid and start, of this boot and in this PID namespace."""
    return ProcessId(pid, ticks, boot_identity(), pid_space())


def identify(pid: int) -> ProcessId | None:
    """Who has this pid now; None when nobody (a zombie still counts: its pid is not free)."""
    found = _stat(pid)
    return None if found is None else here(pid, int(found[_STARTTIME]))


def started_about(pid: int, wall: float) -> ProcessId:
    """The process with that pid that started at that wall-clock time, as older records have it; a dead one if it is not
    there any more.
    """
    found = identify(pid)
    if found is not None:
        age_s = since_boot() - found.ticks / os.sysconf("SC_CLK_TCK")
        if abs(time.time() - age_s - wall) < _ABOUT_S:
            return found
    return ProcessId(pid, 0, "", "")


def boot_identity() -> str:
    """Changes when the machine restarts."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def since_boot() -> float:
    """Seconds that no step of the wall clock changes, and in which the machine's sleep counts (CLOCK_MONOTONIC's do
    not).
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pid_space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "unknown"


def me() -> ProcessId:
    found = identify(os.getpid())
    if found is None:
        raise OSError("/proc is not mounted, expected a Linux with /proc")
    return found


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The command's name is in parentheses and may hold spaces and parentheses of its own.
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > _STARTTIME else None
