"""How soon a trainee's `ops` command answers, interpreter start and all, in an exercise that goes on: under 300 ms.

    python tests/bench/bench_ops.py [rounds, default 5] [scenario, default amber-kettle]

Starts an exercise of its own (the shipped first-day scenario) and asks every look and a few of the rest, each several
times, in a fresh process each. Exit code 1 if the slowest median is over the limit.
"""

from __future__ import annotations

import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench_arguments import arguments
from tests.e2e.home import await_none, start, tierdrill

LIMIT_S = 0.3
COMMANDS = (
    ("status",), ("pages",), ("tiers",), ("replicas",), ("nodes",), ("gpus",), ("links",), ("gateways",), ("alerts",),
    ("playbooks",), ("actions",), ("logs", "node-1", "-n", "50"), ("query", "up"), ("causes",),
    ("hypothesis", "dead-replica"), ("update", "looking"), ("shed", "critical", "1"), ("shed", "best-effort", "0.1"),
    ("power-cycle", "node-3", "--override", "incident-commander", "--reason", "a benchmark"),
)  # fmt: skip


def main() -> int:
    """Measure and print one line for each command."""
    options = arguments(__doc__, rounds=5, scenario="amber-kettle")
    home = Path(tempfile.mkdtemp(prefix="bench-ops-"))
    host = start(home, "train", options.scenario)
    try:
        deadline = time.monotonic() + 120
        while tierdrill(home, "ops", "status").returncode != 0:
            if host.poll() is not None or time.monotonic() > deadline:
                print((home / "output.txt").read_text())
                return 3
        medians = {}
        for words in COMMANDS:
            times = []
            for _ in range(options.rounds):
                began = time.perf_counter()
                tierdrill(home, "ops", *words)
                times.append(time.perf_counter() - began)
            name = " ".join(words)
            medians[name] = statistics.median(times)
            print(f"{name:<40} median {medians[name] * 1000:6.0f} ms, most {max(times) * 1000:6.0f} ms")
        slowest = max(medians, key=lambda one: medians[one])
        print(f"slowest: {slowest} {medians[slowest] * 1000:.0f} ms; the limit is {LIMIT_S * 1000:.0f} ms")
        return 0 if medians[slowest] < LIMIT_S else 1
    finally:
        host.send_signal(signal.SIGINT)
        host.wait(60)
        await_none(home, 10)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
