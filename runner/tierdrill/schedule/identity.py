"""Which process that is: its pid, when it started in ticks since boot, which boot, and which PID namespace.

psutil's `create_time` is wall-clock time and moves when the clock is set; a scheduler must not be taken for dead, and
its slot run a second time, because NTP stepped. Field 22 of /proc/PID/stat (proc(5), starttime) never moves. In another
PID namespace (another container on the same home) a pid means nothing; there only a heartbeat tells.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tierdrill.history.ledger import boot_identity

_STATE, _STARTTIME = 0, 19
"""Places in /proc/PID/stat after the command's closing parenthesis: fields 3 and 22."""


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

    def lives(self) -> bool:
        """Whether that very process, if visible, still runs.

        A zombie does not, nor does anything of an earlier boot.
        """
        if self.boot != boot_identity() or self.space != pid_space():
            return False
        found = _stat(self.pid)
        return found is not None and int(found[_STARTTIME]) == self.ticks and found[_STATE] not in ("Z", "X")


def identify(pid: int) -> ProcessId | None:
    """Who has this pid now; None when nobody."""
    found = _stat(pid)
    return None if found is None else ProcessId(pid, int(found[_STARTTIME]), boot_identity(), pid_space())


def pid_space() -> str:
    """The PID namespace of this process."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "unknown"


def me() -> ProcessId:
    """This process."""
    found = identify(os.getpid())
    if found is None:
        raise OSError("/proc is not mounted; allowed is a Linux with /proc")
    return found


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The command's name is in parentheses and may hold spaces and parentheses of its own.
    fields = text.rpartition(")")[2].split()
    return fields if len(fields) > _STARTTIME else None
