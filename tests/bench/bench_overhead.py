"""What `tierdrill run` costs beyond a drill's phases, and against a bare `chaos run` with plain locust beside it.

Run: python tests/bench/bench_overhead.py [pairs, default 2] [--short]. On one kept lab, in turns: node-loss with
`tierdrill run --lab`, and the same experiment under `chaos run` with pauses as long as the phases while plain locust
sends as many requests through the same time. Both pay for their own start. Once more with a lab of the run's own, which
is what `./drill` does. With --short the phases are 14 s instead of 48 s: quicker, and the harsher ratio, since what is
fixed weighs more. Budgets: 5 s beyond the phases, a ratio of 1.3.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_arguments import arguments
from tests.bench.kept import NAME, await_whole, kept_lab, machine, temporary_home
from tests.e2e.home import COMMAND, ROOT, environment, short_catalogue

from tierdrill.cli.drill_documents import drill_setting
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.lab.client import LabClient
from tierdrill.lab.lab_files import LabState

DRILL = "node-loss"
BEYOND_S = 5.0
RATIO = 1.3
RUN_WITHIN_S = 180.0
LOCUST_FILE = """
import json, os
from locust import FastHttpUser, constant_throughput, task

class Client(FastHttpUser):
    host = os.environ["BENCH_TARGET"]
    wait_time = constant_throughput(1)
    network_timeout = connection_timeout = 4.0
    body = json.dumps({"model": "assistant", "prompt": "one two three", "max_tokens": 8})

    @task
    def ask(self):
        self.client.post("/v1/completions", data=self.body, headers={"x-customer-class": "enterprise"})
"""


def bare_experiment(setting: DrillSetting) -> dict[str, Any]:
    """The drill's experiment with its phases as pauses."""
    phases = setting.drill.phases
    experiment = json.loads(json.dumps(setting.experiment))
    for name, value in setting.drill.variables.items():
        experiment["configuration"][name] = value
    experiment["method"][0]["pauses"] = {"before": phases.warm_up + phases.baseline, "after": phases.fault}
    experiment["rollbacks"][0]["pauses"] = {"after": phases.recovery}
    return dict(experiment)


def tool(home: Path, catalogue: Path, *arguments: str) -> tuple[float, str]:
    """Wall time of one run, and how it ended."""
    began = time.monotonic()
    done = subprocess.run(
        [*COMMAND, "--catalogue", str(catalogue), "run", DRILL, "--plain", *arguments],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=RUN_WITHIN_S,
        check=False,
    )
    took = time.monotonic() - began
    if done.returncode not in (0, 1, 3):
        raise SystemExit(f"exit {done.returncode}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
    return took, {0: "passed", 1: "failed", 3: "inconclusive"}[done.returncode]


def bare(home: Path, state: LabState, setting: DrillSetting) -> tuple[float, str]:
    """Wall time of `chaos run` and locust side by side, and the journal's status."""
    phases = setting.drill.phases
    load_s = phases.warm_up + phases.baseline + phases.fault + phases.recovery
    users = round(sum(stream.rate for stream in setting.drill.load.streams))
    (folder := home / "bare").mkdir(exist_ok=True)
    (folder / "locustfile.py").write_text(LOCUST_FILE)
    (folder / "experiment.json").write_text(json.dumps(bare_experiment(setting)))
    around = {
        **environment(home),
        "TIERDRILL_LAB": NAME,
        "BENCH_TARGET": f"http://{next(iter(state.gateways.values()))}",
    }
    locust = [sys.executable, "-m", "locust", "-f", "locustfile.py", "--headless", "--only-summary"]
    chaos = [str(Path(sys.executable).with_name("chaos")), "--no-version-check", "run", "experiment.json"]
    began = time.monotonic()
    with (folder / "output.txt").open("wb") as output:
        both = [
            subprocess.Popen(command, cwd=folder, env=around, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            for command in ([*locust, "-u", f"{users}", "-r", f"{users}", "-t", f"{load_s:g}s"], chaos)
        ]
        try:
            for process in both:
                process.wait(RUN_WITHIN_S)
        finally:
            for process in both:
                process.kill()
                process.wait(5)
    took = time.monotonic() - began
    journal = json.loads((folder / "journal.json").read_text())
    return took, f"{journal['status']}, {users} requests a second"


def main() -> int:
    """Measure, print, judge."""
    given = arguments(__doc__, pairs=2, short=False)
    with tempfile.TemporaryDirectory() as scratch:
        return measure(given.pairs, short_catalogue(Path(scratch)) if given.short else ROOT)


def measure(pairs: int, catalogue: Path) -> int:
    """Print every pair and the worst of them; 1 where a budget is missed."""
    setting = drill_setting(catalogue, DRILL)
    phases = setting.drill.phases
    planned = phases.warm_up + phases.baseline + phases.fault + phases.recovery
    print(machine())
    print(f"  {DRILL}: phases {planned:g} s")
    beyond, ratios = [], []
    with kept_lab() as (home, state), LabClient(state) as client:
        for _ in range(pairs):
            took, verdict = tool(home, catalogue, "--lab", NAME)
            await_whole(client)
            alone, status = bare(home, state, setting)
            await_whole(client)
            beyond.append(took - planned)
            ratios.append(took / alone)
            print(f"  kept lab: tierdrill run {took:.1f} s ({verdict}, {took - planned:.1f} s beyond), ", end="")
            print(f"chaos run with locust {alone:.1f} s ({status}), ratio {took / alone:.2f}")
    with temporary_home() as home:
        os.environ.pop("TIERDRILL_LAB", None)
        took, verdict = tool(home, catalogue)
        print(f"  own lab:  tierdrill run {took:.1f} s ({verdict}), {took - planned:.1f} s beyond its phases")
        beyond.append(took - planned)
    print(f"  beyond the phases: at most {max(beyond):.1f} s (budget {BEYOND_S:g} s)", end="   ")
    print(f"ratio to bare: at most {max(ratios):.2f} (budget {RATIO:g})")
    print(machine())
    return 0 if max(beyond) <= BEYOND_S and max(ratios) <= RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
