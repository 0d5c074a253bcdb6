"""A stream that is made to surge while the load runs: more at once, all accounted for, then no more."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from load_support import ModelServer, load_plan, stream_plan

from tierdrill.load.arrival_schedule import planned
from tierdrill.load.child_line import CONTROL_FILE, LineError, LoadLine
from tierdrill.load.load_child import LoadProcess
from tierdrill.load.load_plan import LoadPlan
from tierdrill.load.sample_writer import Sample
from tierdrill.process.identity import here

pytestmark = pytest.mark.lab

FROM_S, UNTIL_S = 1.0, 2.5
TIER_SEEN = "standard"


def surging_plan(tmp_path: Path, server: ModelServer, **changes: Any) -> LoadPlan:
    return load_plan(
        tmp_path,
        [server.url],
        stream_plan("batch-plain", rate_rps=15.0, tier="best-effort"),
        stream_plan("batch-streamed", rate_rps=5.0, tier="best-effort", stream=True),
        stream_plan("other", rate_rps=20.0),
        control_path=str(tmp_path / CONTROL_FILE),
        **{"duration_s": 4.0, "connections_max": 200, **changes},
    )


def reports(tmp_path: Path) -> list[dict[str, Any]]:
    (file,) = tmp_path.glob("status.*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


async def surge(plan: LoadPlan, tmp_path: Path) -> list[Sample]:
    """Run a plan with batch at six times its rate for a while."""
    load = await LoadProcess.start(plan, tmp_path)
    try:
        line = LoadLine.read(tmp_path / CONTROL_FILE)
        assert line.pid == load.pid and here(line.pid, line.ticks).lives()
        zero = time.time() + 0.2
        await load.go(zero)
        await asyncio.sleep(zero + FROM_S - time.time())
        during = await asyncio.to_thread(line.ask, "batch", 6.0)
        # The server calls every request's tier so, and there they are counted.
        assert (during.tier, during.stream_rps, during.tier_rps, during.factor) == (TIER_SEEN, 20.0, 140.0, 6.0)
        poisoned = await asyncio.to_thread(line.ask, "other", poison_percent=25, poison_prompt="poison")
        assert (poisoned.poison_percent, poisoned.stream_rps) == (25, 20.0)
        await asyncio.sleep(zero + UNTIL_S - time.time())
        assert (await asyncio.to_thread(line.ask, "other", poison_percent=0, poison_prompt="")).poison_percent == 0
        after = await asyncio.to_thread(line.ask, "batch", 1.0)
        assert (after.factor, after.tier_rps) == (1.0, 40.0)
        samples = [sample async for batch in load.samples() for sample in batch]
        assert await load.wait() == 0, load.log_path.read_text()
        return samples
    finally:
        await load.kill()


def test_a_stream_surges_and_stops(server: ModelServer, tmp_path: Path) -> None:
    plan = surging_plan(tmp_path, server)
    samples = asyncio.run(surge(plan, tmp_path))
    due = planned(plan.schedule())
    extra = [sample for sample in samples if sample.sequence >= due[sample.stream]]
    assert {sample.stream for sample in extra} == {"batch-plain", "batch-streamed"}
    begun, ended = (report for report in reports(tmp_path) if report["kind"] == "surge")
    assert (begun["stream"], begun["factor"], begun["arrivals"]) == ("batch", 6.0, None)
    assert (ended["stream"], ended["factor"]) == ("batch", 1.0)
    # Of another one a fourth asked what it was told to, of which no right answer is known, and only for as long.
    others = [one for one in samples if one.stream == "other"]
    while_told = [one for one in others if begun["at"] < one.due < ended["at"]]
    poisoned = [one for one in others if one.integrity is None]
    assert abs(4 * len(poisoned) - len(while_told)) <= 8 and len(poisoned) > 2
    assert all(one.integrity for one in others if one not in poisoned)
    # Each stream is numbered without a gap: the planned ones are all there, whatever came on top.
    for stream, count in due.items():
        mine = sorted(sample.sequence for sample in samples if sample.stream == stream)
        assert mine == list(range(count + ended["arrivals"].get(stream, 0)))
    # 100 a second on top, Poisson: six standard deviations.
    span = ended["at"] - begun["at"]
    assert abs(len(extra) - 100 * span) <= 6 * (100 * span) ** 0.5
    assert all(begun["at"] - 0.01 <= sample.due <= ended["at"] + 0.01 for sample in extra)


def test_what_cannot_be_is_refused_in_words(server: ModelServer, tmp_path: Path) -> None:
    async def orders() -> None:
        load = await LoadProcess.start(surging_plan(tmp_path, server), tmp_path)
        try:
            assert stat.S_IMODE((tmp_path / CONTROL_FILE).stat().st_mode) == 0o600
            line = LoadLine.read(tmp_path / CONTROL_FILE)
            with pytest.raises(LineError, match="the load has not begun"):
                line.ask("batch", 2.0)
            await load.go(time.time())
            await asyncio.sleep(0.3)
            with pytest.raises(LineError, match="got stream 'bach', expected one of: batch-plain"):
                line.ask("bach", 2.0)
            for factor in (0.5, 1000.0, float("nan")):
                with pytest.raises(LineError, match="expected 1 to 100"):
                    line.ask("batch", factor)
            with pytest.raises(LineError, match="got poison_percent 101, expected 0 to 100"):
                line.ask("batch", poison_percent=101, poison_prompt="p")
            with pytest.raises(LineError, match="not an order"):
                line.ask("batch", poison_percent=10)
            with pytest.raises(LineError, match="wrong token"):
                LoadLine(line.host, line.port, "guessed", line.pid, line.ticks).ask("batch", 2.0)
        finally:
            await load.kill()
        with pytest.raises(LineError, match="is not responding"):
            line.ask("batch", 1.0)

    asyncio.run(orders())


def test_a_surge_that_nobody_ended_is_counted_to_the_end(server: ModelServer, tmp_path: Path) -> None:
    async def forgotten() -> list[Sample]:
        load = await LoadProcess.start(surging_plan(tmp_path, server, duration_s=1.5), tmp_path)
        try:
            line = LoadLine.read(tmp_path / CONTROL_FILE)
            await load.go(time.time())
            await asyncio.sleep(0.5)
            await asyncio.to_thread(line.ask, "batch", 4.0)
            samples = [sample async for batch in load.samples() for sample in batch]
            assert await load.wait() == 0
            return samples
        finally:
            await load.kill()

    plan = surging_plan(tmp_path, server, duration_s=1.5)
    samples = asyncio.run(forgotten())
    last = [report for report in reports(tmp_path) if report["kind"] == "surge"][-1]
    assert sum(last["arrivals"].values()) == len(samples) - sum(planned(plan.schedule()).values()) > 0


def test_nobody_to_speak_to(tmp_path: Path) -> None:
    with pytest.raises(LineError, match="no load is running"):
        LoadLine.read(tmp_path / CONTROL_FILE)
    (tmp_path / CONTROL_FILE).write_text('{"host": 1}')
    with pytest.raises(LineError, match="not a control file"):
        LoadLine.read(tmp_path / CONTROL_FILE)
