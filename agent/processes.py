"""Who runs here: processes by container, by pod, by what they are; all from /proc."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fault import Refused

_UID = r"[0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12}"
_POD = re.compile(rf"[/-]pod({_UID})(?:\.slice)?(?:/+(?:[a-z-]*-)?([0-9a-f]{{32,64}})\b)?")
"""A pod and maybe a container in a cgroup's path, as the drivers cgroupfs and systemd spell it, under v1 and v2."""

FULL_SCAN_S = 5.0
KUBELETS = ("kubelet", "kubelite")


class Process(NamedTuple):
    """One process, and not the next one that gets its pid: `start` is in ticks since boot."""

    pid: int
    start: int


class Stat(NamedTuple):
    """What /proc/PID/stat says."""

    name: str
    state: str
    parent: int
    start: int


class Place(NamedTuple):
    """Whose a process is: pod uid (32 hex digits) and container id, "" where there is none."""

    pod: str
    container: str


def pod_uid(text: str) -> str:
    """A pod's uid in one spelling. Refused for what is none: everything would be hit."""
    plain = str(text).lower().replace("-", "").replace("_", "")
    if not re.fullmatch(r"[0-9a-f]{32}", plain):
        raise Refused(f"got pod {text!r}, expected a pod's uid")
    return plain


def place_in(cgroups: str) -> Place:
    """The pod and the container that the text of /proc/PID/cgroup names; the innermost of nested ones."""
    best = Place("", "")
    for line in cgroups.splitlines():
        for match in _POD.finditer(line.lower()):
            found = Place(pod_uid(match[1]), match[2] or "")
            if found.container or not best.pod:
                best = found
    return best


def read(pid: int, what: str) -> str:
    """A file of /proc/PID; "" where the process is gone."""
    try:
        return Path(f"/proc/{pid}/{what}").read_text(errors="replace")
    except (OSError, ValueError):
        return ""


def stat(pid: int) -> Stat | None:
    """None where there is no such process."""
    text = read(pid, "stat")
    if not text:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Stat(name, fields[0], int(fields[1]), int(fields[19]))


def state(process: Process) -> str:
    """The letter of /proc for that very process; "" where it has ended."""
    now = stat(process.pid)
    return now.state if now is not None and now.start == process.start and now.state not in "ZX" else ""


def age_s(process: Process) -> float:
    """For how long it has been there."""
    up_s = float(Path("/proc/uptime").read_text().split()[0])
    return up_s - process.start / os.sysconf("SC_CLK_TCK")


def identify(pid: int) -> Process:
    """The process that has this pid now; Refused where none has."""
    now = stat(pid)
    if now is None or now.state in "ZX":
        raise Refused(f"there is no process {pid}")
    return Process(pid, now.start)


class Scan:
    """Every process with its place. What was seen before is read again only every few seconds: a look costs little."""

    def __init__(self) -> None:
        self._places: dict[int, Place] = {}
        self._full = -FULL_SCAN_S

    def pids(self) -> dict[int, Place]:
        """By pid."""
        now = time.monotonic()
        if now - self._full >= FULL_SCAN_S:
            self._places, self._full = {}, now
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
        self._places = {
            pid: self._places[pid] if pid in self._places else place_in(read(pid, "cgroup")) for pid in pids
        }
        return self._places

    def forget(self) -> None:
        """Read everything anew next time."""
        self._full = -FULL_SCAN_S


SCAN = Scan()


def in_pod(pod: str, container: str = "") -> list[Process]:
    """The processes of a pod, or of one of its containers (its id or the beginning of it)."""
    uid = pod_uid(pod)
    pids = [pid for pid, at in SCAN.pids().items() if at.pod == uid and at.container.startswith(container)]
    return [Process(pid, now.start) for pid in pids for now in [stat(pid)] if now is not None and now.state not in "ZX"]


def all_but_ours() -> list[Process]:
    """Every process of this machine but its first, the kernel's own (which have no command line), and those of this
    program's pod or family.
    """
    pids = SCAN.pids()
    mine, ours = pids.get(os.getpid(), Place("", "")), {os.getpid(), os.getppid()}
    found = []
    for pid, at in pids.items():
        now = stat(pid)
        spared = pid == 1 or (mine.pod and at.pod == mine.pod)
        if spared or now is None or now.state in "ZX" or ours & {pid, now.parent}:
            continue
        if read(pid, "cmdline"):
            found.append(Process(pid, now.start))
    return found


def first_of(processes: Iterable[Process]) -> Process:
    """The one that a container began with. Refused where there is none.

    It is process 1 of its own PID namespace; where that is shared, the oldest that was not started by another of them.
    """
    members = list(processes)
    pids = {one.pid for one in members}

    def rank(one: Process) -> Any:
        now = stat(one.pid)
        return (not is_first(one.pid), now is None or now.parent in pids, one.start)

    if not members:
        raise Refused("no process of it is running")
    return min(members, key=rank)


def is_first(pid: int) -> bool:
    """Whether it is process 1 of a PID namespace below ours."""
    for line in read(pid, "status").splitlines():
        if line.startswith("NSpid:"):
            numbers = line.split()[1:]
            return len(numbers) > 1 and numbers[-1] == "1"
    return False


def kubelet() -> Process:
    """This machine's kubelet; Refused where it is not found, or there is more than one."""
    found = []
    for pid, at in SCAN.pids().items():
        words = [os.path.basename(word) for word in read(pid, "cmdline").split("\0")[:2]]  # noqa: PTH119
        if not at.pod and any(word in KUBELETS for word in words):
            found.append(identify(pid))
    if len(found) != 1:
        raise Refused(f"got {len(found)} processes named {' or '.join(KUBELETS)} on this node, expected one")
    return found[0]


def holders(device: str) -> list[Process]:
    """The processes of pods that hold a device file open, such as /dev/nvidia0."""
    found = []
    for pid, at in SCAN.pids().items():
        if not at.pod:
            continue
        try:
            folder = f"/proc/{pid}/fd"
            if any(os.readlink(f"{folder}/{fd}") == device for fd in os.listdir(folder)):  # noqa: PTH115, PTH208
                found.append(identify(pid))
        except (OSError, Refused):
            continue
    return found
