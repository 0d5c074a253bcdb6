"""How long the commands that look back take on a thousand nights, against reading the same from a JSON-lines file.

Whole commands on a home with the events of every run, samples too. The rival is the plainest program there is: a bare
interpreter that reads a file with one line for each run (its outcome and figures, nothing else) and prints the same
columns. Such a file could not be written by two processes, nor be judged again; it is what looking back costs at least.

Run: python tests/bench/bench_history.py [RUNS]. Exit code 1 where a command takes over a second
of a processor.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bench_arguments import arguments
from tests.bench.kept import machine
from tests.judge.build import Run, shipped

from tierdrill.history.history_store import HistoryStore
from tierdrill.judge.judge import judge
from tierdrill.judge.trend.run_figures import FORMAT, figures_of

RUNS = 1000
ROUNDS = 7
ALLOWED_S = 1.0
DAY_S = 86400.0
LAST_20 = """
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
for run in lines[-20:]:
    print(run["run"], run["started_at"], run["variant"], run["status"])
"""
ALL_AS_CSV = """
import csv, json, sys
out = csv.writer(sys.stdout)
for line in open(sys.argv[1]):
    run = json.loads(line)
    out.writerow([run["run"], run["drill"], run["variant"], run["status"], run["started_at"], *run["times"].values()])
"""


def fill(home: Path, runs: int) -> tuple[int, Path]:
    """So many runs with all their events; how many events one has, and the rival's file."""
    setting = shipped()
    events = Run().events(setting)
    verdict = judge(events)
    figures = figures_of(events, verdict)
    flat = home / "flat.jsonl"
    now = time.time()
    with closing(HistoryStore(home)) as store, flat.open("w") as file:
        for number in range(runs):
            run, began = f"node-loss-{number:05}", now - (runs - number) * DAY_S
            store.begin(run, "node-loss", "drill", began)
            store.append_many(run, [replace(events[0], data={**events[0].data, "run": run}), *events[1:]])
            store.finish(run, began + 57.0, verdict.status.value, verdict.summary)
            mine = replace(figures, run=run, started_at=began, ended_at=began + 57.0)
            store.keep_figures(run, FORMAT, mine.to_json())
            file.write(json.dumps({"summary": verdict.summary, **json.loads(mine.to_json())}) + "\n")
    return len(events), flat


def seconds(command: list[str], home: Path) -> tuple[float, float]:
    """One start to end: processor time and time on the clock. A command that fails stops the benchmark."""
    environ = {**os.environ, "TIERDRILL_HOME": str(home), "NO_COLOR": "1"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, ended - began


def main() -> int:
    """Print each command, its rival and their ratio."""
    runs = arguments(__doc__, runs=RUNS).runs
    with tempfile.TemporaryDirectory(prefix="tierdrill-bench-") as folder:
        home = Path(folder)
        events, flat = fill(home, runs)
        size = (home / "history.db").stat().st_size
        print(f"{runs} runs of {events} events, history.db {size / 1e6:.0f} MB; {machine()}")
        command = [sys.executable, "-m", "tierdrill"]
        last = [sys.executable, "-c", LAST_20, str(flat)]
        whole = [sys.executable, "-c", ALL_AS_CSV, str(flat)]
        pairs = {
            "history --runs": ([*command, "history", "--runs"], last),
            "history --runs, all": ([*command, "history", "--runs", "--limit", str(runs)], whole),
            "status": ([*command, "status"], last),
            "export (JSON lines)": ([*command, "export"], whole),
            "export (CSV)": ([*command, "export", "--format", "csv"], whole),
            "prune (only looking)": ([*command, "prune"], whole),
        }
        slow = []
        for name, (ours, rival) in pairs.items():
            # One after the other, so that a busy moment hits both.
            times = [(*seconds(ours, home), *seconds(rival, home)) for _ in range(ROUNDS)]
            mine, clock, theirs, their_clock = (statistics.median(column) for column in zip(*times, strict=True))
            told = f"{mine:.3f} s of a processor ({clock:.2f} s on the clock)"
            rivals = f"JSON lines {theirs:.3f} s ({their_clock:.2f} s)"
            print(f"{name:<22} {told}   {rivals}   ratio {mine / theirs:.1f}")
            slow += [name] if mine > ALLOWED_S else []
    print(f"over {ALLOWED_S:g} s of a processor: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
