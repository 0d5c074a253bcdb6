"""What 10,000 XID lines in two seconds cost the node's agent that reads them, against `tail -F | grep` of the same log.

Run: python tests/bench/bench_xid_flood.py [floods, default 3]. On one kept lab the fault gpu-xid-flood begins and ends,
and the agent is asked every 20 ms how many lines it has counted. Lag is from when a line is in the log to when the
agent's answer has it; how often is asked, and the answer's own way, are in it. Budgets: a lag of 1 s, 50 MB of memory,
and each line counted once.
"""

from __future__ import annotations

import bisect
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_arguments import arguments
from tests.bench.kept import await_whole, kept_lab, machine, spent, spread

from tierdrill.lab.client import LabClient
from tierdrill.lab.node.kernel_log import FILE_NAME
from tierdrill.targets.lab.fault_port import LAB_FAULTS

NODE, GPU, XID, LINES, PER_SECOND = "node-1", 1, 95, 10_000, 5000
ASK_EVERY_S = 0.02
WITHIN_S = 30.0
LAG_S, MEMORY_MB = 1.0, 50.0


@contextmanager
def tail_and_grep(path: Path) -> Iterator[list[float]]:
    """They follow the log meanwhile; afterwards the lines they found, and their seconds of processor."""
    told: list[float] = []
    with tempfile.TemporaryFile() as found:
        tail = subprocess.Popen(["tail", "-n", "0", "-F", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        grep = subprocess.Popen(["grep", "--line-buffered", "-iE", r"NVRM:\s*Xid"], stdin=tail.stdout, stdout=found)
        try:
            yield told
        finally:
            took = 0.0
            for process in (tail, grep):
                os.kill(process.pid, signal.SIGKILL)  # Popen's own would reap one that has ended, and its figures
                _, _, used = os.wait4(process.pid, 0)
                process.returncode = -9
                took += used.ru_utime + used.ru_stime
            found.seek(0)
            told[:] = [len(found.readlines()), took]


def counted(client: LabClient) -> int:
    return sum(int(gpu["xid_lines"].get(str(XID), 0)) for gpu in client.agent(NODE)["gpus"])


class Log:
    """When how many lines of the flood were in the log."""

    def __init__(self, path: Path) -> None:
        self._path, self._from = path, path.stat().st_size
        self.at: list[float] = []
        self.lines: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Log:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        with self._path.open("rb") as log:
            log.seek(self._from)
            total = 0
            while not self._over.wait(0.002):
                if fresh := log.read().count(b"): 95,"):
                    total += fresh
                    self.at.append(time.monotonic())
                    self.lines.append(total)

    def written_at(self, lines: int) -> float:
        return self.at[bisect.bisect_left(self.lines, lines)]


def flood(client: LabClient, path: Path, agent: int) -> tuple[list[float], int, float, float]:
    """The lags, the lines counted, and seconds of processor: the agent's, and those of `tail` and `grep`."""
    fault = LAB_FAULTS["gpu-xid-flood"]
    p = {"node": NODE, "gpu": GPU, "xid": XID, "count": LINES, "per_second": PER_SECOND}
    p |= fault.bind(client, client.state(), p)
    before, lags, seen = counted(client), list[float](), 0
    try:
        with tail_and_grep(path) as shell, Log(path) as log:
            (used, _), deadline = spent(agent), time.monotonic() + WITHIN_S
            fault.inject(client, p)
            # The driver's own line at the trip comes on top of the flood's.
            while seen <= LINES and time.monotonic() < deadline:
                asked = counted(client) - before
                if asked > seen and log.lines:
                    lags.append(time.monotonic() - log.written_at(min(asked, log.lines[-1])))
                seen = asked
                time.sleep(ASK_EVERY_S)
            agents = spent(agent)[0] - used
    finally:
        fault.revert(client, p)
    await_whole(client)
    if shell[0] != seen:
        raise SystemExit(f"tail and grep have found {shell[0]:.0f} lines, and the agent {seen}")
    return lags, seen, agents, shell[1]


def main() -> int:
    wanted = arguments(__doc__, floods=3)
    with kept_lab() as (_, state), LabClient(state) as client:
        agent = next(one.process.pid for one in state.processes if one.name == NODE)
        (path,) = (one for one in Path(state.folder).rglob(FILE_NAME) if NODE in one.parts)
        _, idle = spent(agent)
        floods = [flood(client, path, agent) for _ in range(wanted.floods)]
        _, most = spent(agent)
    lags = [lag for one, *_ in floods for lag in one]
    lines = [seen for _, seen, *_ in floods]
    agents, shells = sum(one[2] for one in floods), sum(one[3] for one in floods)
    print(f"{wanted.floods} floods of {LINES} lines, {PER_SECOND} a second; {machine()}")
    print(f"  lag        {spread(lags)} (at most {LAG_S:g} s)")
    print(f"  lines      {', '.join(map(str, lines))} counted, of {LINES} and the driver's own")
    print(f"  memory     {most:.1f} MB at the most, {idle:.1f} MB before (at most {MEMORY_MB:g} MB)")
    per_flood = agents / wanted.floods
    print(f"  processor  {per_flood:.2f} s a flood, all that the agent does meanwhile; tail and grep", end=" ")
    print(f"{shells / wanted.floods:.3f} s ({agents / shells:.0f} times)")
    well = max(lags) <= LAG_S and most <= MEMORY_MB and set(lines) == {LINES + 1}
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
