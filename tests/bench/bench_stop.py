"""From asking for the undo to the last fault seen gone: each kind on a kept lab, then `tierdrill stop` on a live run.

Run: python tests/bench/bench_stop.py [repetitions per kind, default 20] [live runs, default 2]. Each repetition injects
with the Chaos Toolkit extension, asks for the undo of all that is open as a guardrail does, and waits until the witness
has seen it gone; between repetitions the lab becomes whole again, off the clock. Budget: p99 of 1 s.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from bench_arguments import arguments
from tests.bench.kept import NAME, await_whole, kept_lab, machine, quantile, spread
from tests.e2e.home import COMMAND, environment, short_catalogue, start

from tierdrill.chaos.actions import inject_fault
from tierdrill.faults.known_kinds import KINDS
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.lab.client import LabClient
from tierdrill.lab.lab_files import attach
from tierdrill.recovery.cleanup import undo_all
from tierdrill.targets.lab.labs import lab_place

BUDGET_S = 1.0
RUN = "bench-stop"
LANDS_WITHIN_S = 60.0
WHERE: dict[str, dict[str, Any]] = {
    "replica": {"replica": "assistant-1"},
    "node": {"node": "node-1"},
    "gpu": {"node": "node-1", "gpu": 0},
    "link": {"source": "gateway-a", "destination": "node-2"},
    "gateway": {"gateway": "gateway-a"},
}
LASTING = {"xid-noise": {"count": 5000}}
FAULTS: dict[str, dict[str, Any]] = {
    kind: {**WHERE[fault.target_kind], **LASTING.get(kind, {})}
    for kind, fault in KINDS.items()
    if fault.target_kind in WHERE
}


def undo_times(home: Path, client: LabClient, repetitions: int) -> dict[str, list[float]]:
    """Seconds from asking to gone, per kind."""
    os.environ["TIERDRILL_RUN"] = RUN
    os.environ["TIERDRILL_PLACE"] = json.dumps(lab_place(attach(home, NAME), home))
    os.environ["TIERDRILL_LEASE"] = "600"
    took: dict[str, list[float]] = {kind: [] for kind in FAULTS}
    with closing(Ledger(home)) as ledger:
        for _ in range(repetitions):
            for kind, parameters in FAULTS.items():
                inject_fault(kind, parameters)
                seen: list[Event] = []
                asked = time.time()
                if left := undo_all(ledger, RUN, "bench", seen.append):
                    raise SystemExit(f"still in effect: {left}")
                gone = max(float(item.data["gone_at"]) for item in seen if item.kind == "fault.gone")
                took[kind].append(max(time.time(), gone) - asked)
                await_whole(client)
    return took


def last_run(home: Path) -> str | None:
    """The newest run's name."""
    with closing(HistoryStore(home)) as store:
        record = store.find(None)
        return record.run if record else None


def events_of(home: Path, run: str, kind: str) -> list[Event]:
    """A run's events of one kind."""
    with closing(HistoryStore(home)) as store:
        return [item for item in store.events(run) if item.kind == kind]


def live_stop(home: Path, folder: Path) -> tuple[float, float]:
    """Seconds from the request in the ledger, and from starting the command, to `fault.gone` of a live run."""
    former = last_run(home)
    runner = start(home, "--catalogue", str(folder), "run", "node-loss", "--lab", NAME, "--plain", cwd=folder)
    try:
        deadline = time.monotonic() + LANDS_WITHIN_S
        while (run := last_run(home)) in (None, former) or not events_of(home, run, "fault.landed"):
            if time.monotonic() > deadline or runner.poll() is not None:
                raise SystemExit(f"no fault landed: {(home / 'output.txt').read_text()[-2000:]}")
            time.sleep(0.05)
        began = time.time()
        stopped = subprocess.run(
            [*COMMAND, "stop", run], env=environment(home), capture_output=True, text=True, timeout=60, check=False
        )
        runner.wait(30)
    finally:
        runner.kill()
        runner.wait(5)
    gone = [float(item.data["gone_at"]) for item in events_of(home, run, "fault.gone")]
    with closing(Ledger(home)) as ledger:
        asked = ledger.stop_asked(run)
    if not gone or asked is None:
        raise SystemExit(f"not stopped: {stopped.stdout}{stopped.stderr}")
    return max(gone) - asked.at, max(gone) - began


def main() -> int:
    """Measure, print, judge."""
    given = arguments(__doc__, repetitions=20, live=2)
    repetitions, live = given.repetitions, given.live
    print(machine())
    with kept_lab() as (home, state), LabClient(state) as client:
        took = undo_times(home, client, repetitions)
        for kind, values in took.items():
            print(f"  {kind:20} {spread(values)}")
        whole = [value for values in took.values() for value in values]
        print(f"  {'all kinds':20} {spread(whole)}   (p99 at most {BUDGET_S:g} s)")
        for name in ("TIERDRILL_RUN", "TIERDRILL_PLACE", "TIERDRILL_LEASE"):
            del os.environ[name]
        requests = []
        with tempfile.TemporaryDirectory() as scratch:
            folder = short_catalogue(Path(scratch))
            for _ in range(live):
                await_whole(client)
                request, command = live_stop(home, folder)
                requests.append(request)
                print(
                    f"  tierdrill stop       request to gone {request:.2f} s, from starting the command {command:.2f} s"
                )
    print(machine())
    return 0 if max([quantile(whole, 0.99), *requests]) <= BUDGET_S else 1


if __name__ == "__main__":
    sys.exit(main())
