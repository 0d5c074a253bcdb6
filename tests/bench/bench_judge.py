"""How long one million samples take to judge, against reading the same history back from its exported lines.

Run: python tests/bench/bench_judge.py. The export's own parsing is what a user pays anyway to look at a history.
"""

from __future__ import annotations

import random
import resource
import time
from collections import Counter
from multiprocessing import Process
from pathlib import Path
from tempfile import TemporaryDirectory

from bench_arguments import arguments
from tests.judge.build import ZERO, Run, shipped

from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.sample_columns import COLUMNS

SAMPLES = 1_000_000
BATCH = 20_000
BAD = 0.02
STREAMS = (
    *(("critical", "enterprise"),) * 3,
    ("critical", "enterprise-chat"),
    *(("standard", "self-service"), ("best-effort", "batch")) * 2,
)


def history() -> list[Event]:
    """A whole run whose load is replaced by a million samples over its phases, in no order, one in fifty bad."""
    setting = shipped()
    events = [event for event in Run().events(setting) if event.kind != "load.samples"]
    chooser = random.Random(1)
    begin, length = ZERO + 2.1, 48.0
    planned: Counter[str] = Counter()
    rows: list[tuple[object, ...]] = []
    for number in range(SAMPLES):
        tier, stream = STREAMS[number % len(STREAMS)]
        bad = chooser.random() < BAD
        row = {
            "tier": tier,
            "stream": stream,
            "due": begin + length * number / SAMPLES,
            "lag": 0.0005,
            "latency": 4.0 if bad else chooser.uniform(0.03, 0.06),
            "ttft": 0.01 if number % 3 == 0 else None,
            "status": 0 if bad else 200,
            "outcome": "timeout" if bad else "ok",
            "reason": "client-timeout" if bad else None,
            "replica": "r",
            "gateway": "g",
            "integrity": None if bad else True,
            "queue_wait": 0.001,
            "served_tier": tier,
            "model": "m",
            "attempts": 1,
            "stall": None,
            "sequence": planned[stream],
        }
        planned[stream] += 1
        rows.append(tuple(row[name] for name in COLUMNS))
    chooser.shuffle(rows)
    batches = []
    for first in range(0, SAMPLES, BATCH):
        columns = dict(zip(COLUMNS, map(list, zip(*rows[first : first + BATCH], strict=True)), strict=True))
        batches.append(Event(begin + length * first / SAMPLES, "load.samples", "load", {"columns": columns}))
    started = next(event for event in events if event.kind == "load.started")
    started.data["planned"] = dict(planned)
    merged = sorted([*events, *batches], key=lambda event: event.at)
    return [Event(one.at, one.kind, one.source, one.data, number) for number, one in enumerate(merged, 1)]


def write(path: Path) -> None:
    """A history as an export has it."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(event.to_line() + "\n" for event in history())


def main() -> None:
    """Print the times, their ratio and the memory that it took."""
    arguments(__doc__)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "history.jsonl"
        # In a process of its own: what it takes to make a history is not what it takes to judge it.
        maker = Process(target=write, args=(path,))
        maker.start()
        maker.join()
        began = time.process_time()
        with path.open(encoding="utf-8") as file:
            events = [Event.from_line(line) for line in file]
        parsed = time.process_time() - began
    times = []
    for _ in range(3):
        began = time.process_time()
        judge(events)
        times.append(time.process_time() - began)
    best = min(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{SAMPLES} samples, processor time: judged in {best:.2f} s (best of {len(times)}), parsed in {parsed:.2f} s")
    print(f"ratio judge/parse: {best / parsed:.2f}; peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
