"""Which labs there are: each keeps one state file that says how to reach it and how to end it, even over its corpse.

`<home>/labs/<name>/lab.json`, readable by its owner only because it holds the lab's token.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tierdrill.history.liveness import file_is_held
from tierdrill.lab.lab_config import LabConfigError, Means, build
from tierdrill.monitoring.monitoring_login import Login, lab_login
from tierdrill.process.groups import signal_process
from tierdrill.process.identity import ProcessId, identify, started_about
from tierdrill.process.safe_files import write_private
from tierdrill.text import Explained

STATE_FILE = "lab.json"
LOCK_FILE = "lock"
"""Held by the supervisor for as long as it lives."""

LOG_FILE = "supervisor.log"
MARKER = "TIERDRILL_LAB_ID"
"""Environment variable that every process of a lab carries, so that strays can be found without their parents."""

_SWEEPS_MAX = 20
STRAY_WAIT_S = 0.25
KILLED_WAIT_S = 2.0
ELSEWHERE = "in another PID namespace, which cannot be ended from here"


class NoSuchLab(Explained, LookupError):
    """No lab of that name, or it is not up."""


@dataclass(frozen=True)
class ProcessRecord:
    """A process of a lab, and which that is: a pid alone may by now belong to somebody else."""

    name: str
    program: str
    process: ProcessId
    pgid: int
    address: str | None = None


@dataclass(frozen=True)
class LabState:
    id: str
    name: str
    folder: str
    address: str
    token: str
    supervisor: ProcessRecord
    created_at: float
    ready: bool = False
    gateways: Mapping[str, str] = field(default_factory=dict)
    controller: str | None = None
    fabric: str | None = None
    prometheus: str | None = None
    alertmanager: str | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    processes: tuple[ProcessRecord, ...] = ()
    lost: tuple[str, ...] = ()
    environment: str = ""
    tiers_document: str = ""
    means: Means | None = None

    @property
    def login(self) -> Login:
        """What Prometheus and Alertmanager ask for."""
        return lab_login(self.token)

    @property
    def path(self) -> Path:
        return Path(self.folder) / STATE_FILE


def lab_folder(home: Path, name: str) -> Path:
    if not name or Path(name).name != name or name.startswith("."):
        raise NoSuchLab(f"lab name: got {name!r}, expected a plain name")
    return home / "labs" / name


def make_lab_folder(home: Path, name: str) -> Path:
    """The folder of a lab's files, made if it is not there. NoSuchLab for one that leads elsewhere: it is emptied."""
    folder = lab_folder(home, name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise NoSuchLab(f"{folder} is a symbolic link, or somebody else's, expected a folder of your own")
    return folder


def write_state(state: LabState) -> None:
    write_private(state.path, json.dumps(asdict(state), indent=1) + "\n")


def find_lab(home: Path, name: str) -> LabState | None:
    """The lab of that name as its state file has it, alive or not; None where there is no (readable) state file."""
    try:
        folder = lab_folder(home, name)
        document = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        # Where it is from here: another container may have the home somewhere else.
        return build(LabState, {**_as_now(document), "folder": str(folder)}, STATE_FILE)
    except (OSError, ValueError, LookupError, TypeError, LabConfigError):
        return None


def _as_now(document: dict[str, Any]) -> dict[str, Any]:
    """The state file of a lab that an earlier version brought up has the wall-clock times of its processes' starts."""
    for record in (document["supervisor"], *document["processes"]):
        if "start_time" in record:
            record["process"] = asdict(started_about(record.pop("pid"), record.pop("start_time")))
    return document


def all_labs(home: Path) -> list[LabState]:
    """Every lab with a state file, alive or not."""
    folders = sorted((home / "labs").glob("*/" + STATE_FILE))
    return [state for folder in folders if (state := find_lab(home, folder.parent.name)) is not None]


def unreadable_labs(home: Path) -> list[str]:
    """Names of labs whose state file is there and cannot be read: nobody can tell whether they are up."""
    names = [path.parent.name for path in sorted((home / "labs").glob("*/" + STATE_FILE))]
    return [name for name in names if find_lab(home, name) is None and (home / "labs" / name / STATE_FILE).exists()]


def running_labs(home: Path) -> list[LabState]:
    return [state for state in all_labs(home) if supervisor_lives(state)]


def attach(home: Path, name: str) -> LabState:
    """The lab of that name; NoSuchLab unless it is up."""
    state = find_lab(home, name)
    if state is not None and supervisor_lives(state):
        return state
    up = ", ".join(each.name for each in running_labs(home)) or "none"
    raise NoSuchLab(f"lab {name!r} is not up; up are: {up}")


def supervisor_lives(state: LabState) -> bool:
    """Whether the very process that wrote the file still runs (a zombie does not). Of one in another PID namespace the
    kernel's lock on the lab's name tells.
    """
    process = state.supervisor.process
    return process.lives() or (not process.here() and file_is_held(Path(state.folder) / LOCK_FILE))


def lost_parts(state: LabState) -> list[str]:
    """Processes that the lab needs and that have ended, as it says and as anybody can see."""
    ended = [one.name for one in state.processes if one.process.here() and not one.process.lives()]
    return sorted({*state.lost, *ended})


def lab_processes(lab_id: str) -> list[psutil.Process]:
    """Every living process that carries the lab's marker, but for the caller."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARKER) == lab_id and _counts(process):
                found.append(process)
        except psutil.Error:
            continue
    return found


def down_lab(state: LabState, *, timeout_s: float = 5.0) -> list[str]:
    """End a lab, whatever is left of it, and remove its state file. Returns what would not die (normally nothing).

    A living supervisor is asked first (SIGTERM), since it knows its processes; then recorded groups and marked strays
    are killed.
    """
    if supervisor_lives(state):
        with contextlib.suppress(PermissionError):
            signal_process(state.supervisor.process, signal.SIGTERM)
        _wait_gone([state.supervisor.process], timeout_s)
    _kill_recorded((state.supervisor, *state.processes))
    left = kill_strays(state.id)
    # What was killed takes a moment to be gone, in which it has no environment to be found by.
    _wait_gone([state.supervisor.process], KILLED_WAIT_S)
    if not left and supervisor_lives(state):
        here = state.supervisor.process.here()
        left = [f"{state.supervisor.process.pid}" if here else f"supervisor {ELSEWHERE}"]
    if not left:
        remove_state(state)
    return left


def kill_strays(lab_id: str) -> list[str]:
    """SIGKILL everything that carries the lab's marker, but for the caller; the pids that would not die."""
    # Again until none is found: a process may start another between our look and our signal.
    for _ in range(_SWEEPS_MAX):
        strays = lab_processes(lab_id)
        if not strays:
            return []
        for stray in strays:
            try:
                stray.kill()  # psutil compares the start time first
            except psutil.Error:
                continue
        # Only watched: psutil's own wait would take the exit status away from whoever started the process.
        _wait_gone([found for stray in strays if (found := identify(stray.pid))], STRAY_WAIT_S)
    return [f"{stray.pid}" for stray in lab_processes(lab_id)]


def remove_state(state: LabState) -> None:
    """Forget a lab, unless another one has taken its name."""
    try:
        document = json.loads(state.path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(document, dict) and document.get("id") == state.id:
        state.path.unlink(missing_ok=True)


def _kill_recorded(records: Iterable[ProcessRecord]) -> None:
    for record in records:
        # Only a group whose leader is still the recorded process is surely ours; members of others carry the marker.
        if not record.process.lives():
            continue
        try:
            if record.pgid == record.process.pid and record.pgid != os.getpgrp():
                os.killpg(record.pgid, signal.SIGKILL)
            else:
                os.kill(record.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _counts(process: psutil.Process) -> bool:
    return bool(process.status() != psutil.STATUS_ZOMBIE)


def _wait_gone(processes: Iterable[ProcessId], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    for process in processes:
        while process.lives() and time.monotonic() < deadline:
            time.sleep(0.02)


def describe(state: LabState) -> dict[str, Any]:
    """What may be shown of a lab: everything but its token."""
    shown = asdict(state)
    del shown["token"]
    return shown
