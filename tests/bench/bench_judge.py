"""How long one million samples take to judge, against reading the same history back from its exported lines.

Run: python tests/bench/bench_judge.py. The export's own parsing is what a user pays anyway to look at a history.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.judge.build import ZERO, Run, shipped

from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.samples import COLUMNS

SAMPLES = 1_000_000
BATCH = 20_000


def history() -> list[Event]:
    """A whole run whose load is replaced by a million samples over its phases."""
    setting = shipped()
    events = [event for event in Run().events(setting) if event.kind != "load.samples"]
    chooser = random.Random(1)
    begin, length = ZERO + 2.1, 48.0
    batches = []
    for first in range(0, SAMPLES, BATCH):
        columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
        for number in range(first, first + BATCH):
            row = {
                "tier": ("critical", "critical", "standard", "best-effort")[number % 4],
                "stream": "s",
                "due": begin + length * number / SAMPLES,
                "lag": 0.0005,
                "latency": chooser.uniform(0.03, 0.06),
                "ttft": 0.01 if number % 3 == 0 else None,
                "status": 200,
                "outcome": "ok",
                "reason": None,
                "replica": "r",
                "gateway": "g",
                "integrity": True,
                "queue_wait": 0.001,
            }
            for name in COLUMNS:
                columns[name].append(row[name])
        batches.append(Event(begin + length * first / SAMPLES, "load.samples", "load", {"columns": columns}))
    merged = sorted([*events, *batches], key=lambda event: event.at)
    return [Event(one.at, one.kind, one.source, one.data, number) for number, one in enumerate(merged, 1)]


def main() -> None:
    """Print both times and their ratio."""
    events = history()
    lines = [event.to_line() for event in events]
    began = time.perf_counter()
    for line in lines:
        json.loads(line)
    read = time.perf_counter() - began
    times = []
    for _ in range(3):
        began = time.perf_counter()
        judge(events)
        times.append(time.perf_counter() - began)
    best = min(times)
    print(f"{SAMPLES} samples: judged in {best:.2f} s (best of {len(times)}), parsed from JSON lines in {read:.2f} s")
    print(f"ratio judge/parse: {best / read:.2f}")


if __name__ == "__main__":
    main()
