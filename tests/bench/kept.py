"""What the lab benchmarks share: a temporary home, a lab kept for as long as the figure takes, what a process
has spent, how figures are shown.

A lab that a benchmark started is down and its home gone when the block is left, whatever happened inside.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.home import ROOT

from tierdrill.cli.drill_documents import whole_catalogue
from tierdrill.cli.folders import find_tools
from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_config import LabConfig
from tierdrill.lab.lab_files import LabState, down_lab
from tierdrill.targets.lab.start import bring_up, config_of

NAME = "bench"
WHOLE_WITHIN_S = 20.0


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A home for one benchmark, in force for this process and its children."""
    before = os.environ.get("TIERDRILL_HOME")
    with tempfile.TemporaryDirectory(prefix="tierdrill-bench-") as folder:
        os.environ["TIERDRILL_HOME"] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ["TIERDRILL_HOME"]
            else:
                os.environ["TIERDRILL_HOME"] = before


def shipped_lab(home: Path) -> LabConfig:
    """The lab of the shipped environment, under the benchmarks' name."""
    catalogue = whole_catalogue(ROOT)
    environment = catalogue.environments["lab"]
    tiers, workloads = catalogue.tiers[environment.tiers], catalogue.workloads[environment.workloads]
    return config_of(NAME, environment, tiers, workloads, find_tools(home), outlives_starter=True)


@contextmanager
def kept_lab() -> Iterator[tuple[Path, LabState]]:
    """A lab of its own home, up and whole."""
    with temporary_home() as home:
        state = asyncio.run(bring_up(home, shipped_lab(home), lambda pid: None))
        try:
            with LabClient(state) as client:
                await_whole(client)
            yield home, state
        finally:
            if left := down_lab(state):
                print(f"left over: {', '.join(left)}")


def await_whole(client: LabClient) -> float:
    """Wait until every node and every replica is ready; how long that took. TimeoutError names what is not."""
    began, version = time.monotonic(), None
    while True:
        wrong = ["the controller is not responding"]
        try:
            seen = client.state(since=version, wait_s=1.0)
            version = seen.get("version")
            wrong = [each["name"] for part in ("nodes", "replicas") for each in seen[part] if not each["ready"]]
            wrong += [
                f"{node['name']}/{gpu['index']}"
                for node in seen["nodes"]
                for gpu in node["gpus"] or []
                if gpu["state"] != "healthy"
            ]
        except LabError:
            time.sleep(0.1)
        if not wrong:
            return time.monotonic() - began
        if time.monotonic() - began > WHOLE_WITHIN_S:
            raise TimeoutError(f"not well after {WHOLE_WITHIN_S:g} s: {', '.join(wrong)}")


def spent(pid: int) -> tuple[float, float]:
    """Seconds of processor time so far, and megabytes at the most, of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    status = Path(f"/proc/{pid}/status").read_text()
    most = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return (int(fields[11]) + int(fields[12])) / ticks, int(most) / 1024


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile: a value that was really seen."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def spread(values: Sequence[float], unit: str = "s", factor: float = 1.0, digits: int = 2) -> str:
    """`n 20   min ...   p50 ...   p99 ...   max ...` of one figure."""
    if not values:
        return "n 0"
    parts = {
        "min": min(values),
        "p50": quantile(values, 0.5),
        "p90": quantile(values, 0.9),
        "p99": quantile(values, 0.99),
        "max": max(values),
    }
    return f"n {len(values):3}   " + "   ".join(f"{k} {v * factor:.{digits}f}" for k, v in parts.items()) + f" {unit}"


def machine() -> str:
    """What the figures were measured on, and how busy it was."""
    one, five, _ = os.getloadavg()
    return f"{os.cpu_count()} CPUs, load average {one:.1f} (1 min) {five:.1f} (5 min)"
