"""How truthful the load generator is on this machine; run by `python tests/bench/bench_generator.py`.

Prints (1) the send lag of 300 requests a second for 10 s against a bare server, and (2) what a server stall of 1 s
looks like to our open loop and to locust's own closed loop (constant_throughput) at the same rate: p99s and ratio.
Exit code 1 where the lag's p99 is over 10 ms or the open loop does not show the stall.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "load"))
from bench_arguments import arguments
from load_support import ModelServer, load_plan, serving, stream_plan

from tierdrill.judge.statistics import quantile
from tierdrill.load.load_child import LoadProcess
from tierdrill.load.sample_writer import Sample
from tierdrill.process.programs import bare_environment

RATE_RPS = 300.0
STEADY_S = 10.0
STALL_RUN_S = 6.0
STALL_AT_S = 2.0
STALL_S = 1.0
LAG_P99_MAX_S = 0.010
CLOSED_USERS = 3
CLOSED_LOOP = """
import json, os, time
from locust import FastHttpUser, constant_throughput, events, task

latencies = []

class Closed(FastHttpUser):
    host = os.environ["BENCH_TARGET"]
    wait_time = constant_throughput(float(os.environ["BENCH_RATE_RPS"]))

    @task
    def ask(self):
        self.client.post("/v1/completions", data=os.environ["BENCH_BODY"])

@events.request.add_listener
def on_request(response_time, **_):
    latencies.append(response_time / 1000.0)

@events.quitting.add_listener
def on_quitting(**_):
    with open(os.environ["BENCH_OUT"], "w") as file:
        json.dump(latencies, file)
"""


async def open_loop(
    server: ModelServer, directory: Path, duration_s: float, stall: bool
) -> tuple[list[Sample], list[dict[str, Any]], int]:
    """Our generator's samples and reports, and how many arrivals were planned."""
    plan = load_plan(
        directory,
        [server.url],
        stream_plan("bench", rate_rps=RATE_RPS, timeout_s=5.0),
        duration_s=duration_s,
        connections_max=1000,
    )
    load = await LoadProcess.start(plan, directory)
    try:
        start_at = time.time() + 0.5
        await load.go(start_at)
        if stall:
            await asyncio.sleep(start_at + STALL_AT_S - time.time())
            await asyncio.to_thread(server.stall, STALL_S)
        samples = [sample async for batch in load.samples() for sample in batch]
        await load.wait()
        return samples, load.report_tail.poll(), sum(1 for _ in plan.schedule())
    finally:
        await load.kill()


def closed_loop(server: ModelServer, directory: Path) -> list[float]:
    """Latencies as locust's closed loop sees them, with the same stall."""
    script, out = directory / "closed.py", directory / "closed.json"
    script.write_text(CLOSED_LOOP)
    environment = {
        **bare_environment(directory),
        "BENCH_TARGET": server.url,
        "BENCH_RATE_RPS": str(RATE_RPS / CLOSED_USERS),
        "BENCH_BODY": json.dumps({"model": "echo", "prompt": "one two three", "max_tokens": 3, "stream": False}),
        "BENCH_OUT": str(out),
    }
    users = str(CLOSED_USERS)
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(script),
        "--headless",
        "--only-summary",
        "-u",
        users,
        "-r",
        users,
    ]
    process = subprocess.Popen(
        [*command, "-t", f"{STALL_RUN_S:g}s"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(STALL_AT_S + 1.0)  # imports take about a second
        server.stall(STALL_S)
        process.wait(60)
    finally:
        process.kill()
        process.wait(5)
    return list(json.loads(out.read_text()))


def at(ordered: list[float], share: float) -> float:
    """The quantile of ascending times; infinite where there are none."""
    found = quantile(ordered, share)
    return float("inf") if found is None else found.value


def show(name: str, latencies: list[float]) -> float:
    """One line of a loop's figures; its p99."""
    ordered = sorted(latencies)
    p99 = at(ordered, 0.99)
    late = sum(latency >= 0.2 for latency in ordered) / max(len(ordered), 1)
    print(f"  {name:12} {len(ordered):5} requests   p99 {p99 * 1000:7.1f} ms   {late:6.1%} at 200 ms or more")
    return p99


def main() -> int:
    """Run both measurements, print them, judge them."""
    arguments(__doc__)
    with tempfile.TemporaryDirectory() as temporary, serving() as server:
        (first := Path(temporary, "steady")).mkdir()
        samples, reports, planned = asyncio.run(open_loop(server, first, STEADY_S, stall=False))
        lags = sorted(sample.lag_s for sample in samples)
        latencies = sorted(sample.latency_s for sample in samples)
        vitals = [report for report in reports if report["kind"] == "report"]
        cpu, loop_lag_s = (max(report[name] for report in vitals) for name in ("cpu", "loop_lag_s"))
        idle = [report["machine_idle"] for report in vitals if report["machine_idle"] is not None]
        lag_p99 = at(lags, 0.99)
        print(f"{RATE_RPS:g} rps for {STEADY_S:g} s, {os.cpu_count()} CPUs: {len(samples)} of {planned} planned")
        print(f"  send lag     p50 {1000 * at(lags, 0.5):.2f} ms   p99 {1000 * lag_p99:.2f} ms", end="   ")
        print(f"max {1000 * lags[-1]:.2f} ms   (p99 at most {1000 * LAG_P99_MAX_S:g} ms)")
        print(f"  latency      p50 {1000 * at(latencies, 0.5):.2f} ms", end="   ")
        print(f"p99 {1000 * at(latencies, 0.99):.2f} ms")
        print(f"  generator    busiest second {cpu:.0%} of a CPU", end="   ")
        print(f"loop lag at most {1000 * loop_lag_s:.1f} ms")
        print(f"  machine      {sum(idle) / len(idle) if idle else 0:.0%} idle")

        (second := Path(temporary, "stall")).mkdir()
        stalled, _, _ = asyncio.run(open_loop(server, second, STALL_RUN_S, stall=True))
        print(f"a stall of {STALL_S:g} s in {STALL_RUN_S:g} s at {RATE_RPS:g} rps, as seen by")
        open_p99 = show("open loop", [sample.latency_s for sample in stalled])
        closed_p99 = show("closed loop", closed_loop(server, second))
        print(f"  ratio of the p99s: {open_p99 / max(closed_p99, 1e-9):.1f}x")
    return 0 if lag_p99 <= LAG_P99_MAX_S and open_p99 > 0.8 * STALL_S else 1


if __name__ == "__main__":
    sys.exit(main())
