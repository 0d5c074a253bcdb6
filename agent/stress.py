"""Pressure on a machine's CPU and memory, by children that end with this process."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

from fault import NOTHING, REVERTED, Fault, Refused
from namespaces import end_child, in_child
from processes import Process, state

PERIOD_S = 0.1
CHUNK = 1 << 24
LEFT_SHARE = 0.05
"""Of the machine's memory, which is never taken: the machine must stay alive to be undone."""


def memory(name: str) -> int:
    """A line of /proc/meminfo, in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def burn(share: float) -> None:
    """Use that much of one CPU, for ever."""
    while True:
        end = time.monotonic() + PERIOD_S * share
        while time.monotonic() < end:
            pass
        time.sleep(PERIOD_S * (1 - share))


def fill(size: int) -> None:
    """Hold so many bytes, and no more than leave the machine alive."""
    held = []
    left = int(memory("MemTotal") * LEFT_SHARE)
    for _ in range(size // CHUNK):
        if memory("MemAvailable") - CHUNK < left:
            break
        held.append(bytearray(os.urandom(4096)) * (CHUNK // 4096))
    while True:
        time.sleep(60)


class Stress(Fault):
    """`cpu_percent` of all CPUs and `memory_percent` of the memory are used, by processes in `cgroup` if given."""

    _children: tuple[Process, ...] = ()

    def bind(self) -> dict[str, Any]:
        cpu, taken = self.number("cpu_percent", 0, 100, 0), self.number("memory_percent", 0, 95, 0)
        if not cpu and not taken:
            raise Refused("got neither cpu_percent nor memory_percent, expected one")
        group = self.parameters.get("cgroup")
        if group is not None and not Path(group, "cgroup.procs").is_file():
            raise Refused(f"cgroup: there is no {group}/cgroup.procs")
        return {"cpus": os.cpu_count() or 1}

    def apply(self) -> None:
        cpu, taken = self.parameters.get("cpu_percent", 0), self.parameters.get("memory_percent", 0)
        work = [lambda: burn(cpu / 100)] * self.found["cpus"] if cpu else []
        work += [lambda: fill(int(memory("MemTotal") * taken / 100))] if taken else []
        self._children = tuple(in_child(one, before=self._join) for one in work)

    def _join(self) -> None:
        if self.parameters.get("cgroup") is not None:
            Path(self.parameters["cgroup"], "cgroup.procs").write_text("0")

    def undo(self) -> str:
        ended = [end_child(one) for one in self._children]
        self._children = ()
        return REVERTED if any(ended) else NOTHING

    def look(self) -> tuple[bool, str]:
        running = sum(bool(state(one)) for one in self._children)
        return running > 0, f"{running} processes of {len(self._children)} are at it"
