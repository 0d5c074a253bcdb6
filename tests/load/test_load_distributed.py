"""The same locust file with a master and two workers: every arrival is sent once, by one of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from load_support import ModelServer, load_plan, stream_plan

from tierdrill.load.child_line import PLAN
from tierdrill.load.load_child import LoadProcess, locust_command
from tierdrill.load.load_plan import LoadPlan
from tierdrill.load.sample_tail import ReportTail, SampleTail
from tierdrill.process.programs import bare_environment

pytestmark = pytest.mark.lab
WORKERS = 2


def test_two_workers_cover_every_arrival_once(server: ModelServer, tmp_path: Path) -> None:
    prompts_seen_before = len(server.seen())
    plan = load_plan(
        tmp_path,
        [server.url],
        stream_plan("plain", rate_rps=60.0),
        stream_plan("stream", rate_rps=20.0, stream=True),
        duration_s=2.0,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    plan_path = tmp_path / "worker-plan.json"
    plan.write(plan_path)
    command = locust_command("--worker", "--master-host", "127.0.0.1", "--master-port", port)
    environment = {**bare_environment(plan_path.parent), PLAN: str(plan_path)}
    with (tmp_path / "workers.log").open("wb") as log:
        workers = [
            subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
            for _ in range(WORKERS)
        ]
    try:
        code = asyncio.run(_master(plan, tmp_path, port))
        codes = [worker.wait(5) for worker in workers]
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(5)
    logs = (tmp_path / "workers.log").read_text()
    assert (code, codes) == (0, [0] * WORKERS), logs
    samples = SampleTail(plan.sample_path).poll()
    assert sorted((one.stream, one.sequence) for one in samples) == sorted((a.stream, a.turn) for a in plan.schedule())
    assert {sample.outcome for sample in samples} == {"ok"}
    assert len(server.seen()) - prompts_seen_before == len(samples)
    ends = [report for report in ReportTail(plan.status_path).poll() if report["kind"] == "end"]
    assert len({report["pid"] for report in ends}) == WORKERS and all(report["complete"] for report in ends)


async def _master(plan: LoadPlan, directory: Path, port: str) -> int:
    bind = ("--master-bind-host", "127.0.0.1", "--master-bind-port", port)
    arguments = ("--master", "--expect-workers", str(WORKERS), *bind)
    load = await LoadProcess.start(plan, directory / "master", locust_arguments=arguments)
    try:
        assert load.about["workers"] == WORKERS
        await load.go(time.time() + 0.3)
        return await asyncio.wait_for(load.wait(), 15.0)
    finally:
        await load.kill()
