"""Noise in a kernel log: how many lines, how fast, for whom; and that it stops."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest

from tierdrill.lab.node import kernel_log as kmsg
from tierdrill.lab.supervisor.kernel_log_noise import Burst, KernelNoise, write_burst
from tierdrill.lab.supervisor.lab_events import EventLog

PCI = ["00000000:04:00.0", "00000000:05:00.0"]


def lines(path: Path) -> list[kmsg.XidLine]:
    found = [kmsg.parse_xid(line) for line in path.read_text().splitlines()] if path.exists() else []
    assert None not in found
    return [line for line in found if line is not None]


def test_every_line_is_an_xid_spread_over_the_gpus(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    began = time.monotonic()
    written = asyncio.run(write_burst(path, PCI, Burst(45, 101, 500), lambda: time.time() - 7))
    assert written == 101 and time.monotonic() - began > 0.15
    found = lines(path)
    assert {line.xid for line in found} == {45}
    assert Counter(line.pci_bus_id for line in found) == {"0000:04:00": 51, "0000:05:00": 50}
    assert all(7 <= float(line[1 : line.index("]")]) < 9 for line in path.read_text().splitlines())


def test_a_node_without_power_logs_nothing(tmp_path: Path) -> None:
    written = asyncio.run(write_burst(tmp_path / "kmsg", PCI, Burst(45, 50, 500), lambda: None))
    assert written == 0 and lines(tmp_path / "kmsg") == []


def test_it_stops_at_once_and_a_second_burst_takes_the_place_of_the_first(tmp_path: Path) -> None:
    async def scene() -> tuple[int, int]:
        noise, path = KernelNoise(EventLog()), tmp_path / "kmsg"
        assert not noise.stop("node-1")
        noise.start("node-1", path, PCI, Burst(45, 100_000, 1000), time.time)
        await asyncio.sleep(0.2)
        noise.start("node-1", path, PCI, Burst(13, 100_000, 1000), time.time)
        await asyncio.sleep(0.2)
        assert noise.stop("node-1") and not noise.stop("node-1")
        before = len(lines(path))
        await asyncio.sleep(0.2)
        return before, len(lines(path))

    before, after = asyncio.run(scene())
    assert before == after > 50
    xids = [line.xid for line in lines(tmp_path / "kmsg")]
    assert xids == sorted(xids, reverse=True) and set(xids) == {45, 13}


def test_a_burst_of_one_gpu_and_one_of_its_node_do_not_end_each_other(tmp_path: Path) -> None:
    async def scene() -> tuple[bool, bool, bool]:
        noise, path = KernelNoise(EventLog()), tmp_path / "kmsg"
        noise.start("node-1", path, PCI, Burst(45, 100_000, 1000), time.time)
        noise.start("node-1", path, PCI[1:], Burst(95, 100_000, 1000, gpu=1), time.time)
        return noise.stop("node-1", 1), noise.stop("node-1", 1), noise.stop("node-1")

    assert asyncio.run(scene()) == (True, False, True)


def test_a_full_disk_ends_the_burst_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        noise = KernelNoise(EventLog())
        noise.start("node-1", tmp_path / "no-such-folder" / "kmsg", PCI, Burst(45, 10, 10), time.time)
        await asyncio.sleep(0.1)
        assert not noise.stop("node-1")

    asyncio.run(scene())
    assert "the burst ended early" in caplog.text


@pytest.mark.parametrize(
    ("xid", "count", "per_second", "wrong"),
    [(0, 1, 1, "xid"), (45, 0, 1, "count"), (45, 100_001, 1, "count"), (45, 1, 5001, "per_second"),
     (45, 1.5, 1, "count"), (45, True, 1, "count"), ("45", 1, 1, "xid")],
)  # fmt: skip
def test_a_burst_that_is_none_is_refused(xid: int, count: int, per_second: int, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Burst(xid, count, per_second)
