"""How long a whole lab takes to come up, what it weighs, and what the shipped load leaves idle.

Run: python tests/bench/bench_lab_up.py [repetitions, default 5]. Up means: from calling for it until the supervisor
says that everything serves; then every replica is asked for. Weight is the sum of the proportional set sizes of all its
processes after a moment of load. Budgets: 5 s, 600 MB, a quarter of the CPUs idle under the shipped drill's load.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import psutil
from bench_arguments import arguments
from tests.bench.kept import (
    await_whole,
    machine,
    quantile,
    shipped_lab,
    spread,
    temporary_home,
)
from tests.e2e.home import ROOT

from tierdrill.cli.drill_documents import whole_catalogue
from tierdrill.conductor.plan import load_plan, make_plan
from tierdrill.documents.catalogue import setting_of
from tierdrill.lab.client import LabClient
from tierdrill.lab.lab_files import LabState, down_lab, lab_processes
from tierdrill.load.load_child import LoadProcess
from tierdrill.targets.lab.fault_port import MECHANISMS
from tierdrill.targets.lab.session import LabSession
from tierdrill.targets.lab.start import bring_up

DRILL = "node-loss"
UP_S = 5.0
WEIGHT_MB = 600.0
IDLE_AT_LEAST = 0.25
SETTLE_S = 3.0
LOAD_S = 10.0


def pss_mb(process: psutil.Process) -> float:
    """A process's proportional set size."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def program(process: psutil.Process) -> str:
    """What to call it."""
    line = process.cmdline()
    if "-m" in line:
        return line[line.index("-m") + 1].removeprefix("tierdrill.lab.")
    return Path(line[0]).name


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """CPU time used so far."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


async def under_load(state: LabState, folder: Path) -> tuple[float, float, float]:
    """Idle share of the machine, CPU share of the lab and of the generator, under the shipped drill's load."""
    plan = make_plan(setting_of(whole_catalogue(ROOT), DRILL), "bench", "drill", MECHANISMS)
    load = await LoadProcess.start(load_plan(plan, LabSession(state, folder, kept=True), folder), folder)
    try:
        await load.go(time.time() + 0.3)
        await asyncio.sleep(SETTLE_S)
        lab, generator = lab_processes(state.id), [psutil.Process(load.pid)]
        before = psutil.cpu_times(), cpu_seconds(lab), cpu_seconds(generator), time.monotonic()
        await asyncio.sleep(LOAD_S)
        wall = (time.monotonic() - before[3]) * (psutil.cpu_count() or 1)
        idle = (psutil.cpu_times().idle - before[0].idle) / wall
        return idle, (cpu_seconds(lab) - before[1]) / wall, (cpu_seconds(generator) - before[2]) / wall
    finally:
        await load.kill()


def main() -> int:
    """Measure, print, judge."""
    repetitions = arguments(__doc__, repetitions=5).repetitions
    print(machine())
    ups, whole, downs = [], [], []
    weights: defaultdict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    with temporary_home() as home:
        for number in range(repetitions):
            config = shipped_lab(home)
            began = time.monotonic()
            state = asyncio.run(bring_up(home, config, lambda pid: None))
            try:
                ups.append(time.monotonic() - began)
                with LabClient(state) as client:
                    whole.append(ups[-1] + await_whole(client))
                if number == repetitions - 1:
                    (folder := home / "load").mkdir()
                    idle, lab, generator = asyncio.run(under_load(state, folder))
                    for process in lab_processes(state.id):
                        weights[program(process)] += pss_mb(process)
                        counts[program(process)] += 1
            finally:
                began = time.monotonic()
                if left := down_lab(state):
                    print(f"left over: {', '.join(left)}")
                downs.append(time.monotonic() - began)
    total = sum(weights.values())
    print(f"  up           {spread(ups)}   (at most {UP_S:g} s)")
    print(f"  all ready    {spread(whole)}")
    print(f"  down         {spread(downs)}")
    print(f"  weight       {total:.0f} MB in {sum(counts.values())} processes   (at most {WEIGHT_MB:g} MB)")
    for name, weight in sorted(weights.items(), key=lambda item: -item[1]):
        print(f"    {name:14} {counts[name]:2} x {weight / counts[name]:5.1f} MB")
    print(f"  {DRILL}'s load: machine {idle:.0%} idle (at least {IDLE_AT_LEAST:.0%}), ", end="")
    print(f"lab {lab:.0%}, generator {generator:.0%} of all CPUs; others {max(0.0, 1 - idle - lab - generator):.0%}")
    print(machine())
    return 0 if quantile(ups, 0.99) <= UP_S and total <= WEIGHT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
