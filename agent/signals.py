"""Faults of processes: killed, killed again whenever they come back, or stopped for a while."""

from __future__ import annotations

import os
import signal
from typing import Any

from fault import NOTHING, REVERTED, Fault, Refused
from processes import (
    SCAN,
    Process,
    age_s,
    all_but_ours,
    first_of,
    holders,
    identify,
    in_pod,
    kubelet,
    read,
    stat,
    state,
)  # fmt: skip

PASSES = 5
"""So often is looked for what was forked while the others were stopped."""


def send(process: Process, number: int) -> bool:
    """Signal that very process; False where it has ended."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if not state(process):
            return False
        signal.pidfd_send_signal(fd, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)


def members(target: dict[str, Any]) -> list[Process]:
    """The processes that a target stands for: of a container, of pods, of a process with its children, of a GPU, the
    kubelet, or all of the node's but this program's own.
    """
    if "pod" in target:
        found = in_pod(target["pod"], str(target.get("container", "")))
        return found if target.get("container") else [one for one in found if _name(one) != "pause"]
    if "pods" in target:
        return [one for pod in target["pods"] for one in members({"pod": pod})]
    if target.get("node") is True:
        return all_but_ours()
    if "pid" in target:
        return _family(_meant(target))
    if "device" in target:
        return holders(str(target["device"]))
    if target.get("kubelet") is True:
        return [kubelet()]
    raise Refused(f"got target {target}, expected one with processes: pod, pods, node, pid, device or kubelet")


def _name(process: Process) -> str:
    now = stat(process.pid)
    return "" if now is None else now.name


def _meant(target: dict[str, Any]) -> Process:
    process = identify(int(target["pid"]))
    if "start" in target and process.start != target["start"]:
        raise Refused(f"process {process.pid} is another one by now")
    return process


def _family(root: Process) -> list[Process]:
    children: dict[int, list[Process]] = {}
    for pid in SCAN.pids():
        now = stat(pid)
        if now is not None and now.state not in "ZX":
            children.setdefault(now.parent, []).append(Process(pid, now.start))
    found = [root]
    for one in found:
        found += children.get(one.pid, [])
    return found


def _words(process: Process) -> str:
    return read(process.pid, "cmdline").replace("\0", " ").strip()


class Crash(Fault):
    """SIGKILL to the first process of a container, to one process, or to those that hold a device. `again_after_s`: so
    long after its start also to each with the same command line that comes to the pod in another container than those
    that are there now.
    """

    tick_s: float | None = 0.2

    def bind(self) -> dict[str, Any]:
        SCAN.forget()
        if "pid" in self.target:
            hit = [_meant(self.target)]
        else:
            found = members(self.target)
            hit = found if "device" in self.target else [first_of(found)]
        self._again_after_s()
        if not hit:
            raise Refused(f"nothing holds {self.target['device']} open")
        here = SCAN.pids()
        others = {at.container for at in here.values() if at.pod and at.pod == here[hit[0].pid].pod}
        beside = sorted(others - {here[hit[0].pid].container})
        return {"hit": hit, "command": _words(hit[0]), "beside": beside}

    def apply(self) -> None:
        if not sum(send(Process(*one), signal.SIGKILL) for one in self.found["hit"]):
            raise Refused("its process has ended before it could be killed")

    def tick(self) -> None:
        after_s = self._again_after_s()
        if after_s is None or "pod" not in self.target:
            self.tick_s = None
            return
        for one in self._successors():
            if age_s(one) >= after_s and send(one, signal.SIGKILL):
                self.tell("again", pid=one.pid)

    def _again_after_s(self) -> float | None:
        return self.number("again_after_s", 0.0, 3600.0) if "again_after_s" in self.parameters else None

    def _successors(self) -> list[Process]:
        """Who has come in the place of what was killed."""
        if "pod" not in self.target:
            return []
        hit = [Process(*one) for one in self.found["hit"]]
        others = [one for one in in_pod(self.target["pod"]) if one not in hit]
        places = SCAN.pids()
        return [
            one
            for one in others
            if places[one.pid].container not in self.found["beside"] and _words(one) == self.found["command"]
        ]

    def undo(self) -> str:
        """Nobody kills it any more; who starts it again is the kubelet."""
        return REVERTED if "again_after_s" in self.parameters else NOTHING

    def look(self) -> tuple[bool, str]:
        hit = [Process(*one) for one in self.found["hit"]]
        ended = [one for one in hit if not state(one)]
        again = self._successors()
        told = f"{len(ended)} of {len(hit)} processes have ended, {len(again)} came in their place"
        return len(ended) == len(hit) and not again, told


class Hang(Fault):
    """SIGSTOP to every process that a target stands for, and to those that come. What was stopped before stays so."""

    tick_s = 0.25

    def bind(self) -> dict[str, Any]:
        SCAN.forget()
        found = members(self.target)
        if not found:
            raise Refused(f"no process of {self.target} is running here")
        if os.getpid() in {one.pid for one in found}:
            raise Refused("this program is among the processes that would be stopped")
        before = [one for one in found if state(one) == "T"]
        if len(before) == len(found):
            raise Refused("all its processes are stopped already")
        return {"before": before, "expected": found}

    def apply(self) -> None:
        if not any(state(Process(*one)) for one in self.found["expected"]):
            raise Refused("its processes have ended")
        self.tick()

    def tick(self) -> None:
        for _ in range(PASSES):
            running = [one for one in self._members() if state(one) not in ("T", "t", "")]
            if not sum(send(one, signal.SIGSTOP) for one in running):
                return
            SCAN.forget()

    def _members(self) -> list[Process]:
        try:
            return members(self.target)
        except Refused:
            return []

    def undo(self) -> str:
        SCAN.forget()
        before = {Process(*one) for one in self.found["before"]}
        stopped = [one for one in self._members() if state(one) == "T" and one not in before]
        return REVERTED if sum(send(one, signal.SIGCONT) for one in stopped) else NOTHING

    def look(self) -> tuple[bool, str]:
        SCAN.forget()
        states = [state(one) for one in self._members()]
        stopped = sum(one == "T" for one in states)
        return bool(states) and stopped == len(states), f"{stopped} of {len(states)} processes are stopped"
