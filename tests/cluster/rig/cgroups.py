"""Control groups: what the rig has started is in one of its own, whatever became of the program that started it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "hugetlb", "io")


@cache
def hierarchies() -> tuple[Path, ...]:
    """Where groups are made: one folder with cgroup v2, one for each hierarchy with v1."""
    found = []
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2") and folder not in found:
            found.append(folder)
    return tuple(map(Path, found))


@dataclass(frozen=True)
class Group:
    """One group in every hierarchy; `path` is relative to their roots."""

    path: str

    @property
    def folders(self) -> list[Path]:
        """Those that exist."""
        return [folder for root in hierarchies() if (folder := root / self.path).is_dir()]

    def below(self, name: str) -> Group:
        return Group(f"{self.path}/{name}")

    def make(self) -> Group:
        """Makes it and what is above it, with the controllers and CPUs of what is above. Returns itself."""
        for root in hierarchies():
            above = root
            for part in self.path.split("/"):
                for controller in CONTROLLERS if (above / "cgroup.subtree_control").exists() else ():
                    _try_to_write(above / "cgroup.subtree_control", f"+{controller}")
                folder = above / part
                folder.mkdir(exist_ok=True)
                for name in ("cpuset.cpus", "cpuset.mems"):
                    if (folder / "cgroup.clone_children").exists() and (folder / name).exists():
                        (folder / name).write_text((above / name).read_text())
                above = folder
        return self

    def weigh(self, weight: float) -> None:
        """How much of the processors it may have beside its neighbours where all want more; 1 is usual."""
        for folder in self.folders:
            for name, usual in (("cpu.shares", 1024), ("cpu.weight", 100)):
                if (folder / name).exists():
                    (folder / name).write_text(str(max(2, round(usual * weight))))

    def pids(self) -> set[int]:
        """Every process in it and below it."""
        found: set[int] = set()
        for folder in self.folders:
            for below, _, _ in os.walk(folder):
                try:
                    found.update(map(int, Path(below, "cgroup.procs").read_text().split()))
                except OSError:  # gone meanwhile
                    continue
        return found

    def freeze(self, frozen: bool) -> None:
        """Stops every process in it where it is, or lets them go on."""
        words = {"freezer.state": ("THAWED", "FROZEN"), "cgroup.freeze": ("0", "1")}
        for folder in self.folders:
            for name, states in words.items():
                for below in [folder] if frozen else [where for where, _, _ in os.walk(folder)]:
                    _try_to_write(Path(below, name), states[frozen])

    @property
    def frozen(self) -> bool:
        states = [folder / name for folder in self.folders for name in ("freezer.state", "cgroup.freeze")]
        return any(state.read_text().strip() not in ("THAWED", "0") for state in states if state.exists())

    def kill(self, within_s: float = 20.0) -> None:
        """Ends every process in it. Raises TimeoutError naming those that are still there."""
        end = time.monotonic() + within_s
        while left := self.pids() - {os.getpid()}:
            if time.monotonic() > end:
                raise TimeoutError(f"still running after {within_s:g} s: {sorted(left)}")
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.freeze(False)  # only now: the frozen ones end without going on
            time.sleep(0.02)

    def remove(self) -> None:
        """Removes it and what is below it; its processes must have ended."""
        for folder in self.folders:
            for below, _, _ in os.walk(folder, topdown=False):
                for _ in range(50):  # a group stays busy for some milliseconds after its last process
                    try:
                        Path(below).rmdir()
                        break
                    except FileNotFoundError:
                        break
                    except OSError:
                        time.sleep(0.02)


def _try_to_write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError:  # a controller that this machine does not have, a group that is gone
        pass
