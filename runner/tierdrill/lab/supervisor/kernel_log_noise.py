"""Noise in the kernel log of a node, as its driver would write it: many XID lines over some time.

It is written where the node's monitors read, and into nothing else: no GPU trips and no process notices.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tierdrill.lab.node import kernel_log as kmsg
from tierdrill.lab.supervisor.lab_events import EventLog

BATCH_S = 0.05
COUNT_MAX = 100_000
PER_SECOND_MAX = 5_000
_log = logging.getLogger("tierdrill.noise")


@dataclass(frozen=True)
class Burst:
    """So many lines of one XID, of one GPU or evenly over all of a node."""

    xid: int
    count: int
    per_second: int
    gpu: int | None = None

    def __post_init__(self) -> None:
        for name, most in (("xid", 999), ("count", COUNT_MAX), ("per_second", PER_SECOND_MAX)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise ValueError(f"{name}: got {value!r}, expected a whole number from 1 to {most}")


async def write_burst(path: Path, pci_bus_ids: list[str], burst: Burst, booted_at: Callable[[], float | None]) -> int:
    """Append the lines, a few at a time; returns how many.

    `booted_at` is the Unix time of the node's boot, None while it has no power: then nothing is written, and what is
    due meanwhile is lost, as the log of a node that is off is nobody's.
    """
    loop = asyncio.get_running_loop()
    began, written, gpus = loop.time(), 0, itertools.cycle(pci_bus_ids)
    due = 0
    while due < burst.count:
        upto = min(burst.count, int((loop.time() - began) * burst.per_second) + 1)
        boot = booted_at()
        if boot is not None and upto > due:
            uptime_s = time.time() - boot
            # The job has ended: the driver knows its processes no longer.
            lines = [
                kmsg.format_xid(uptime_s, pci, burst.xid, pid=None, name=None)
                for pci in itertools.islice(gpus, upto - due)
            ]
            kmsg.append(path, "\n".join(lines))
            written += len(lines)
        due = upto
        await asyncio.sleep(BATCH_S)
    return written


class KernelNoise:
    """At most one burst of each GPU, and one of all GPUs of a node."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._tasks: dict[tuple[str, int | None], asyncio.Task[int]] = {}

    def start(
        self, node: str, path: Path, pci_bus_ids: list[str], burst: Burst, booted_at: Callable[[], float | None]
    ) -> None:
        """Begin; a burst of the same that goes on already ends first."""
        self.stop(node, burst.gpu)
        self._events.add("kernel-noise", node=node, **asdict(burst))
        task = self._tasks[node, burst.gpu] = asyncio.create_task(write_burst(path, pci_bus_ids, burst, booted_at))
        task.add_done_callback(_tell_failure)

    def stop(self, node: str, gpu: int | None = None) -> bool:
        """End the burst of a GPU, or that of all of a node; whether there was one that still went on."""
        task = self._tasks.pop((node, gpu), None)
        stopped = task is not None and task.cancel()
        self._events.add("kernel-noise", node=node, gpu=gpu, xid=None, stopped=stopped)
        return stopped


def _tell_failure(task: asyncio.Task[int]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("the burst ended early: %s", task.exception())
