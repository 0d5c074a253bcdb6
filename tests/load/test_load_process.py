"""The load child against a real server: open loop, first token, integrity, saturation, failover, end and stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from load_support import ModelServer, load_plan, stream_plan

from tierdrill.judge.statistics import quantile
from tierdrill.load.load_child import LoadError, LoadProcess
from tierdrill.load.load_plan import LoadPlan, Prompt
from tierdrill.load.sample_writer import Sample

pytestmark = pytest.mark.lab


async def run_load(
    plan: LoadPlan, directory: Path, server: ModelServer | None = None
) -> tuple[list[Sample], LoadProcess]:
    """Run a whole plan; with a server, stall it for 1 s in the middle."""
    load = await LoadProcess.start(plan, directory)
    try:
        start_at = time.time() + 0.2
        await load.go(start_at)
        if server is not None:
            await asyncio.sleep(start_at + plan.duration_s / 3 - time.time())
            await asyncio.to_thread(server.stall, 1.0)
        samples = [sample async for batch in load.samples() for sample in batch]
        assert await load.wait() == 0, load.log_path.read_text()
        return samples, load
    finally:
        await load.kill()


def test_every_kind_of_answer(server: ModelServer, tmp_path: Path) -> None:
    prompts = tuple(Prompt(text, 4, {"echo": text}) for text in ("a b c d", "e f g h"))
    plan = load_plan(
        tmp_path,
        [server.url],
        stream_plan("plain", rate_rps=60.0, customer_class="gold", prompts=prompts),
        stream_plan("stream", rate_rps=20.0, stream=True, prompts=prompts, path="/v1/chat/completions"),
        stream_plan("lie", rate_rps=10.0, model="lie"),
        stream_plan("lie-stream", rate_rps=10.0, model="lie", stream=True),
        stream_plan("fallback", rate_rps=10.0, model="fallback"),
        stream_plan("shed", rate_rps=10.0, model="shed"),
        stream_plan("boom", rate_rps=10.0, model="boom", stream=True),
        stream_plan("break", rate_rps=10.0, model="break", stream=True),
        stream_plan("late", rate_rps=5.0, model="slow", timeout_s=0.2),
        stream_plan("unknown", rate_rps=10.0, prompts=(Prompt("x y", 2),)),
    )
    samples, load = asyncio.run(run_load(plan, tmp_path))
    by_stream: dict[str, list[Sample]] = {}
    for sample in samples:
        by_stream.setdefault(sample.stream, []).append(sample)

    schedule = list(plan.schedule())
    at = {(arrival.stream, arrival.turn): arrival.at_s for arrival in schedule}
    assert sorted((sample.stream, sample.sequence) for sample in samples) == sorted(at)
    zero = samples[0].due - at[samples[0].stream, samples[0].sequence]
    assert all(abs(sample.due - zero - at[sample.stream, sample.sequence]) < 1e-5 for sample in samples)

    def seen(name: str) -> set[tuple[int, str, str | None, bool | None]]:
        return {(sample.status, sample.outcome, sample.reason, sample.integrity) for sample in by_stream[name]}

    assert seen("plain") == {(200, "ok", None, True)}
    assert seen("stream") == {(200, "ok", None, True)}
    assert seen("lie") == {(200, "ok", None, False)}
    assert seen("lie-stream") == {(200, "ok", None, False)}
    assert seen("fallback") == {(200, "ok", "fallback", None)}
    assert seen("shed") == {(429, "rejected", "shed", None)}
    assert seen("boom") == {(500, "error", "status-500", None)}
    assert seen("break") == {(200, "error", "truncated", None)}
    assert seen("late") == {(0, "timeout", "client-timeout", None)}
    assert seen("unknown") == {(200, "ok", None, None)}
    first = by_stream["plain"][0]
    assert (first.tier, first.served_tier, first.replica, first.gateway) == ("critical", "gold", "echo-0", 0)
    assert (first.model, first.attempts, by_stream["fallback"][0].model) == ("echo", 2, "draft")
    assert first.queue_wait_ms == 1.5 and first.ttft_s is None and first.stall_s is None
    # Four pieces, 50 ms apart: the first must be seen long before the last.
    for sample in by_stream["stream"]:
        assert sample.ttft_s is not None and sample.latency_s - sample.ttft_s > 0.12
        assert sample.stall_s is not None and 0.03 < sample.stall_s < sample.latency_s - sample.ttft_s
    assert all(0.2 <= sample.latency_s < 0.6 for sample in by_stream["late"])

    reports = load.report_tail.poll()
    assert reports[-1] == {**reports[-1], "kind": "end", "complete": True, "unfinished": 0}
    vitals = [report for report in reports if report["kind"] == "report"]
    assert any(report["cpu"] > 0 for report in vitals) and all(report["dropped"] == 0 for report in vitals)


def test_a_server_stall_shows_as_an_open_loop_must_show_it(server: ModelServer, tmp_path: Path) -> None:
    plan = load_plan(tmp_path, [server.url], stream_plan("plain", rate_rps=100.0), duration_s=4.0, connections_max=400)
    samples, _ = asyncio.run(run_load(plan, tmp_path, server))
    latencies = sorted(sample.latency_s for sample in samples)
    # A stall of 1 s in 4 s holds up a quarter of the arrivals, evenly from 1 s down to nothing.
    assert {sample.outcome for sample in samples} == {"ok"}
    assert sum(latency > 0.2 for latency in latencies) / len(latencies) == pytest.approx(0.2, abs=0.08)
    p99 = quantile(latencies, 0.99)
    assert p99 is not None and p99.value > 0.8
    assert max(sample.lag_s for sample in samples) < 0.3


def test_arrivals_without_a_free_connection_are_dropped_and_counted(server: ModelServer, tmp_path: Path) -> None:
    plan = load_plan(tmp_path, [server.url], stream_plan("slow", model="slow"), connections_max=4, duration_s=1.5)
    samples, load = asyncio.run(run_load(plan, tmp_path))
    dropped = [sample for sample in samples if sample.outcome == "dropped"]
    planned = sum(1 for _ in plan.schedule())
    assert len(samples) == planned and dropped
    assert {(sample.status, sample.reason) for sample in dropped} == {(-1, "saturated")}
    told = max(report.get("dropped", 0) for report in load.report_tail.poll())
    assert 0 < told <= len(dropped)


def test_a_dead_gateway_is_passed_over(server: ModelServer, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}"
        plan = load_plan(tmp_path, [dead, server.url], stream_plan("plain", rate_rps=40.0), duration_s=1.0)
        samples, load = asyncio.run(run_load(plan, tmp_path))
        assert {(sample.outcome, sample.gateway) for sample in samples} == {("ok", 1)}
        assert load.about["connections"] == [0, 16]
        alone = load_plan(tmp_path / "alone", [dead], stream_plan("plain", rate_rps=40.0), duration_s=0.5)
        samples, _ = asyncio.run(run_load(alone, tmp_path / "alone"))
        assert {(sample.status, sample.outcome, sample.reason) for sample in samples} == {
            (0, "error", "connect-refused")
        }


def test_stop_does_not_wait_for_requests_under_way_and_flushes_the_files(server: ModelServer, tmp_path: Path) -> None:
    async def stopped() -> tuple[list[Sample], LoadProcess, float]:
        plan = load_plan(tmp_path, [server.url], stream_plan("plain", rate_rps=100.0), duration_s=60.0)
        slow = stream_plan("slow", model="slow", rate_rps=10.0)
        load = await LoadProcess.start(replace(plan, streams=(*plan.streams, slow)), tmp_path)
        try:
            await load.go(time.time())
            await asyncio.sleep(1.5)
            asked = time.time()
            assert await load.stop(5.0) == 0
            return load.sample_tail.poll(), load, asked
        finally:
            await load.kill()

    samples, load, asked = asyncio.run(stopped())
    # What was answered before the request to stop is there, and so is each request that was still under way.
    assert max(sample.due + sample.latency_s for sample in samples) > asked - 0.15
    end = load.report_tail.poll()[-1]
    open_ones = [sample for sample in samples if sample.outcome == "unfinished"]
    assert end["kind"] == "end" and end["complete"] is False and end["unfinished"] == len(open_ones) >= 1
    assert all(abs(sample.due + sample.latency_s - end["at"]) < 0.2 for sample in open_ones)
    for name in ("plain", "slow"):
        turns = sorted(sample.sequence for sample in samples if sample.stream == name)
        assert turns == list(range(len(turns)))
    with pytest.raises(ProcessLookupError):
        os.killpg(load.pid, 0)


@pytest.mark.parametrize("gone", [False, True])
def test_the_child_ends_with_its_parents_end_of_the_pipe(server: ModelServer, tmp_path: Path, gone: bool) -> None:
    async def left() -> int:
        plan = load_plan(tmp_path, [server.url], stream_plan("plain"), duration_s=60.0)
        load = await LoadProcess.start(plan, tmp_path)
        if gone:
            await load.go(time.time())
        load._process.close_stdin()
        return await asyncio.wait_for(load.wait(), 5.0)

    assert asyncio.run(left()) == 3


PARENT = """
import asyncio, sys, time
from pathlib import Path
from tierdrill.load.load_plan import read_plan
from tierdrill.load.load_child import LoadProcess

async def main():
    load = await LoadProcess.start(read_plan(Path(sys.argv[1])), Path(sys.argv[2]))
    await load.go(time.time())
    print(load.pid, flush=True)
    await load.wait()

asyncio.run(main())
"""


def test_the_child_dies_with_its_parent_even_when_stopped(server: ModelServer, tmp_path: Path) -> None:
    plan = load_plan(tmp_path, [server.url], stream_plan("plain"), duration_s=60.0)
    plan.write(tmp_path / "plan.json")
    command = [sys.executable, "-c", PARENT, str(tmp_path / "plan.json"), str(tmp_path / "run")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    child.suspend()
    parent.kill()
    parent.wait(5)
    parent.stdout.close()
    gone, alive = psutil.wait_procs([child], timeout=2.0)
    # Nobody may have reaped an orphan yet; it is dead all the same.
    assert gone or alive[0].status() == psutil.STATUS_ZOMBIE


def test_a_stop_before_go(server: ModelServer, tmp_path: Path) -> None:
    async def stopped() -> float:
        load = await LoadProcess.start(load_plan(tmp_path, [server.url], stream_plan("plain")), tmp_path)
        asked = time.monotonic()
        assert await load.stop() == 0
        return time.monotonic() - asked

    assert asyncio.run(stopped()) < 1.0


def test_neither_side_imports_the_others_libraries() -> None:
    check = "import sys; bad = {0} & set(sys.modules); assert not bad, bad"
    modules = ("response", "child_line", "load_plan", "sample_writer", "generator_health")
    child = "import tierdrill.load." + ", tierdrill.load.".join(modules)
    parent = "import tierdrill.load.load_child"
    for imports, forbidden in ((child, {"pydantic", "httpx", "asyncio"}), (parent, {"gevent", "locust", "pydantic"})):
        subprocess.run([sys.executable, "-c", f"{imports}; {check.format(forbidden)}"], check=True, timeout=20)


def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    plan = replace(load_plan(tmp_path, ["http://127.0.0.1:1"], stream_plan("plain")), targets=("ftp://nowhere",))
    with pytest.raises(LoadError, match="ftp://nowhere"):
        asyncio.run(LoadProcess.start(plan, tmp_path))


def test_a_killed_child_is_seen(server: ModelServer, tmp_path: Path) -> None:
    async def killed() -> int:
        load = await LoadProcess.start(load_plan(tmp_path, [server.url], stream_plan("plain")), tmp_path)
        await load.go(time.time())
        os.kill(load.pid, signal.SIGKILL)
        assert [batch async for batch in load.samples()] == []
        return await load.wait()

    assert asyncio.run(killed()) == -signal.SIGKILL
