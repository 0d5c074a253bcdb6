"""What this machine can do for drills: quick probes of its programs, kernel and limits, without lasting effect."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One probe: `need` says whether tierdrill can do without."""

    name: str
    ok: bool
    need: bool
    seen: str


def python() -> Finding:
    seen = f"{sys.version.split()[0]} at {sys.executable}"
    return Finding("python", sys.version_info >= (3, 11), True, seen)


def packages() -> Finding:
    """The libraries that runs are made of."""
    from importlib.metadata import PackageNotFoundError, version

    found, missing = [], []
    for name in ("chaostoolkit", "chaostoolkit-lib", "locust", "pydantic", "aiohttp"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    seen = ", ".join(found) + (f"; missing: {', '.join(missing)}" if missing else "")
    return Finding("packages", not missing, True, seen)


def monitoring(tools: Path) -> list[Finding]:
    """Prometheus, Alertmanager and their checkers; etcd, which only labs with a state store need."""
    from tierdrill.monitoring.binaries import ETCD, NAMES, MonitoringUnavailable, locate

    findings = []
    for name in (*NAMES, ETCD):
        need = name in NAMES
        try:
            path = locate(name, tools)
        except MonitoringUnavailable as error:
            findings.append(Finding(name, False, need, str(error)))
            continue
        seen = f"{_version(path)} at {path}" if path else "not found; `tierdrill doctor --fetch` gets it without root"
        findings.append(Finding(name, path is not None, need, seen))
    return findings


def home(folder: Path) -> Finding:
    """Whether the state can be written, and how much room there is."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free / 1e9
    fine = os.access(existing, os.W_OK) and free > 0.2
    return Finding("home", fine, True, f"{folder}, {free:.1f} GB free" + ("" if fine else "; not writable or too full"))


def set_aside(folder: Path) -> list[Finding]:
    """Databases that were found corrupt and are kept; nothing if there are none."""
    from tierdrill.history.database_file import kept_copies

    kept = kept_copies(folder)
    said = ", ".join(path.name for path in kept)
    return [Finding("set aside", False, False, f"corrupt, kept as a copy, recreated: {said}")] if kept else []


def capacity() -> Finding:
    """Processors and memory: below two processors the load generator and the lab fight, and runs are inconclusive."""
    import psutil

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory()
    fine = cpus >= 2 and memory.available > 800e6
    return Finding("capacity", fine, False, f"{cpus} processors, {memory.available / 1e9:.1f} GB of memory available")


def loopback() -> Finding:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return Finding("loopback", True, True, f"ports can be opened, such as {server.getsockname()[1]}")
    except OSError as error:
        return Finding("loopback", False, True, f"no port can be opened on 127.0.0.1: {error.strerror}")


def user_namespaces() -> Finding:
    """Unprivileged (or privileged) network namespaces: what the namespace mode of the lab needs."""
    ok, seen = _try(["unshare", "-Urmn", "true"])
    return Finding("user namespaces", ok, False, "available" if ok else f"not available: {seen}")


def netem() -> Finding:
    """The kernel's own network emulation."""
    ok, seen = _try(["unshare", "-Urn", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"])
    return Finding("netem", ok, False, "available" if ok else f"not available: {seen}")


def cgroups() -> Finding:
    """Whether control groups v2 are there and ours to write in."""
    root = Path("/sys/fs/cgroup")
    if not (root / "cgroup.controllers").exists():
        return Finding("cgroups", False, False, "no control groups v2 here")
    fine = os.access(root / "cgroup.procs", os.W_OK)
    return Finding("cgroups", fine, False, "v2, writable" if fine else "v2, not writable for this user")


def findings(tools: Path, state: Path) -> list[Finding]:
    """Every probe, in the order people read them."""
    return [
        python(),
        packages(),
        *monitoring(tools),
        home(state),
        *set_aside(state),
        capacity(),
        loopback(),
        user_namespaces(),
        netem(),
        cgroups(),
    ]


def _version(path: Path) -> str:
    ok, seen = _try([str(path), "--version"])
    words = seen.split()
    at = next((at for at, word in enumerate(words[:-1]) if word.lower().rstrip(":") == "version"), None)
    return words[at + 1] if ok and at is not None else "unknown version"


def _try(command: Sequence[str]) -> tuple[bool, str]:
    """Whether a command succeeds, and its first line."""
    try:
        done = subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return False, f"{command[0]} is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    said = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode == 0, said[0] if said else ""
