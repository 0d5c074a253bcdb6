"""What the scheduler costs while it has nothing to do, and how exactly it starts what is due.

Run: python tests/bench/bench_scheduler.py [SECONDS]. A real scheduler process serves 1,000 entries for so many seconds
(default 60) of which none is due: its memory and its share of one core. Then one entry is due every two seconds, run by
a stand-in for the drill: from when a slot was due to when its drill was let go. Exit code 1 over a budget.
"""

from __future__ import annotations

import signal
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil
from bench_arguments import arguments
from tests.schedule.houses import House, ended, new_house, until

MEMORY_MIB = 60.0
CPU_SHARE = 0.005
START_ERROR_S = 1.0
ENTRIES = 1000
HEART_S = 5.0
STARTS = 20


def idle(house: House, seconds: float) -> bool:
    """Memory and CPU with nothing due."""
    house.calendar(
        *({"name": f"e{number}", "drill": "node-loss", "cron": f"{number % 60} 3 1 1 *"} for number in range(ENTRIES))
    )
    scheduler = house.start(HEART_S)
    with ended(scheduler):
        until(lambda: "considered from now on" in house.log(), 60)
        process = psutil.Process(scheduler.pid)
        time.sleep(2.0)
        before, began = process.cpu_times(), time.monotonic()
        time.sleep(seconds)
        after, lasted = process.cpu_times(), time.monotonic() - began
        memory = process.memory_info().rss / 2**20
        share = (after.user + after.system - before.user - before.system) / lasted
        scheduler.send_signal(signal.SIGTERM)
        scheduler.wait(20)
    print(f"idle with {ENTRIES} entries: {memory:.1f} MiB of {MEMORY_MIB:g}, {share:.3%} of a core of {CPU_SHARE:.1%}")
    return memory <= MEMORY_MIB and share <= CPU_SHARE


def starts(house: House) -> bool:
    """Lateness of starts, as the store has it."""
    house.calendar({"name": "a", "drill": "node-loss", "every": "2s"})
    scheduler = house.start(HEART_S)
    with ended(scheduler):
        until(lambda: len(house.starts()) > STARTS, 120)
        memory = psutil.Process(scheduler.pid).memory_info().rss / 2**20
        scheduler.send_signal(signal.SIGTERM)
        scheduler.wait(20)
    with closing(house.store()) as store:
        slots = {one.slot.key: one.slot.due for one in store.latest(1000)}
        begun = [(slots[key], store.attempts(key)[0].started_at) for key in slots if store.attempts(key)]
    # The first slot may have come while the scheduler was starting.
    errors = sorted(at - due for due, at in sorted(begun)[1:] if at is not None)
    print(
        f"start error of {len(errors)} drills: median {statistics.median(errors):.3f} s, "
        f"p95 {errors[int(0.95 * (len(errors) - 1))]:.3f} s, max {errors[-1]:.3f} s of {START_ERROR_S:g}; "
        f"{memory:.1f} MiB after them"
    )
    return errors[-1] <= START_ERROR_S


def main() -> int:
    """Both, each in a home of its own."""
    seconds = arguments(__doc__, seconds=60.0).seconds
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        good = [idle(new_house(Path(first)), seconds), starts(new_house(Path(second)))]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
