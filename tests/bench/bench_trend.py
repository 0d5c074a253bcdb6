"""How long a trend over a thousand runs takes, and how large its page is.

Held against what a reader could do without it: open the same database with plain sqlite3, parse the same figures and
take means; and against judging one run again from its events, which every run would cost if figures were not kept.

Run: python tests/bench/bench_trend.py.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from bench_arguments import arguments
from tests.bench.kept import machine
from tests.judge.build import Run, shipped
from tests.judge.nights import DAY, FIRST, nights

from tierdrill.history.history_store import HistoryStore
from tierdrill.judge.judge import judge
from tierdrill.judge.trend.run_figures import FORMAT, RunFigures
from tierdrill.judge.trend.whole_trend import Trend, trend_of
from tierdrill.recovery.finalize import all_figures
from tierdrill.report.trend.html_page import trend_html

DRILLS, NIGHTS = 4, 238
PAGE_MAX_BYTES = 2_000_000
T = TypeVar("T")


def history() -> Iterator[RunFigures]:
    """Four drills over eight months, three tiers each, with their proofs: a thousand runs and a few."""
    for number in range(DRILLS):
        yield from nights(f"drill-{number}", count=NIGHTS, seed=number)


def plain_means(home: Path) -> dict[tuple[str, str], float]:
    """The same database read without tierdrill: the mean of every figure."""
    found: dict[tuple[str, str], list[float]] = {}
    with closing(sqlite3.connect(home / "history.db")) as database:
        for (text,) in database.execute("SELECT data FROM figures"):
            run = json.loads(text)
            for name, value in run["times"].items():
                found.setdefault((run["drill"], name), []).append(value or 0.0)
            for one in run["objectives"]:
                found.setdefault((run["drill"], f"{one['tier']}/{one['objective']}"), []).append(one["value"] or 0.0)
    return {key: fmean(values) for key, values in found.items()}


def best(work: Callable[[], T], times: int = 5) -> tuple[float, T]:
    """The shortest of some tries, and what came of it."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        result = work()
        spent.append(time.perf_counter() - began)
    return min(spent), result


def read_and_judge(home: Path) -> Trend:
    """All that `tierdrill trend` computes."""
    with closing(HistoryStore(home)) as store:
        return trend_of(all_figures(store), FIRST + (NIGHTS + 1) * DAY)


def main() -> int:
    """Print the figures and their ratios; 1 if the page is too large."""
    arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        count = 0
        with closing(HistoryStore(home)) as store:
            store._database.execute("BEGIN")
            for run in history():
                count += 1
                store.begin(run.run, run.drill, run.variant, run.started_at)
                store.finish(run.run, run.started_at + 57, run.status, "")
                store.keep_figures(run.run, FORMAT, run.to_json())
            store._database.execute("COMMIT")
        whole, trend = best(lambda: read_and_judge(home))
        plain, _ = best(lambda: plain_means(home))
        paged, page = best(lambda: trend_html(trend), 3)
    setting = shipped()
    events = Run().events(setting)
    again, _ = best(lambda: judge(events), 3)
    series = sum(len(one.series) for one in trend.drills)
    size = len(page.encode())
    print(f"{count} runs, {DRILLS} drills, 3 tiers, {series} series; {machine()}")
    print(f"trend (read, series, changes, scores and their past): {whole:.3f} s; plain sqlite3 and means {plain:.3f} s")
    print(f"ratio trend/plain: {whole / plain:.1f}")
    print(f"judging every run again from its events: about {again * count:.0f} s; ratio {again * count / whole:.0f}")
    print(f"page: {paged:.3f} s, {size / 1e6:.2f} MB of at most {PAGE_MAX_BYTES / 1e6:.0f} MB")
    return 0 if size < PAGE_MAX_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
