"""How late a fault takes effect after its planned instant, for each kind, through the runner's own experiment child.

Run: python tests/bench/bench_instant.py [repetitions per kind, default 10]. Each repetition starts the child with the
shipped experiment and a fault of moments, lets it go a second ahead as a run does, and takes from its events when the
witness dates the effect. The kernel's process table and a request through a link date it to their look; a GPU's trip is
dated by the node's agent. Budget: p99 of 50 ms.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import yaml
from bench_arguments import arguments
from tests.bench.kept import NAME, await_whole, kept_lab, machine, quantile, spread
from tests.e2e.home import ROOT

from tierdrill.conductor.experiment_runner import ExperimentProcess
from tierdrill.history.events import Event
from tierdrill.lab.client import LabClient
from tierdrill.lab.lab_files import attach
from tierdrill.targets.lab.labs import lab_place

BUDGET_S = 0.050
AHEAD_S = 1.0
FAULT_S = 0.1
ENDS_WITHIN_S = 15.0
EXPERIMENTS = (
    "replica/crash",
    "replica/hang",
    "node/power-loss",
    "gpu/fallen-off-bus",
    "network/slow-link",
    "network/partition",
)


async def lateness(home: Path, experiment: str, number: int) -> tuple[float, float]:
    """Seconds from the planned instant to the effect as it is dated, and to the moment the proof was there."""
    run = f"instant-{number}"
    (folder := home / run).mkdir()
    document = yaml.safe_load((ROOT / "experiments" / f"{experiment}.yaml").read_text())
    spec = folder / "experiment.json"
    spec.write_text(json.dumps({"experiment": document, "variables": {"fault_seconds": FAULT_S}, "proofs": []}))
    seen: list[Event] = []
    place = lab_place(attach(home, NAME), home)
    child = await ExperimentProcess.start(
        spec, home=home, run=run, place=place, lease_s=60.0, folder=folder, take=seen.append
    )
    try:
        await child.await_ready()
        planned = time.time() + AHEAD_S
        await child.go(planned)
    finally:
        await child.end(ENDS_WITHIN_S)
    landed = [item for item in seen if item.kind == "fault.landed"]
    if not landed or not any(item.kind == "fault.gone" for item in seen):
        raise SystemExit(f"{experiment}: {[(item.kind, item.data) for item in seen]}")
    return float(landed[0].data["effective_at"]) - planned, landed[0].at - planned


def main() -> int:
    """Measure, print, judge."""
    repetitions = arguments(__doc__, repetitions=10).repetitions
    print(machine())
    effects: dict[str, list[float]] = {name: [] for name in EXPERIMENTS}
    proofs: dict[str, list[float]] = {name: [] for name in EXPERIMENTS}
    number = 0
    with kept_lab() as (home, state), LabClient(state) as client:
        os.environ.pop("TIERDRILL_INJECT_AT", None)
        for _ in range(repetitions):
            for name in EXPERIMENTS:
                number += 1
                effect, proof = asyncio.run(lateness(home, name, number))
                effects[name].append(effect)
                proofs[name].append(proof)
                await_whole(client)
    for name in EXPERIMENTS:
        print(f"  {name:20} effective {spread(effects[name], 'ms', 1000, 1)}")
        print(f"  {'':20} proven    {spread(proofs[name], 'ms', 1000, 1)}")
    whole = [value for values in effects.values() for value in values]
    print(f"  {'all kinds':20} effective {spread(whole, 'ms', 1000, 1)}   (p99 at most {BUDGET_S * 1000:g} ms)")
    print(machine())
    return 0 if quantile(whole, 0.99) <= BUDGET_S else 1


if __name__ == "__main__":
    sys.exit(main())
