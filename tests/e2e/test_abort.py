"""Every way of stopping a run in mid-fault: it ends as aborted, soon, and nothing is left behind."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.e2e.home import await_none, environment, processes, short_catalogue, start, tierdrill
from tests.e2e.test_doubt import await_phase
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger

BARE = ["retries", "ejection", "health_checks", "latency_routing", "fallback"]
ENDS_WITHIN_S = 8.0


def without_net(catalogue: Path) -> Path:
    """The short drill with a variant that protects nobody, and a guardrail that notices."""
    path = catalogue / "drills" / "node-loss.yaml"
    drill = yaml.safe_load(path.read_text())
    drill["phases"]["fault"] = "12s"
    drill["guardrails"] = [{"tier": "critical", "availability_below": "90%", "window": "1s"}]
    drill["expect"]["tiers"] = [{"tier": "critical", "objectives": ["integrity"]}]
    drill["sabotages"] = [{"name": "bare", "do": {"flags_off": BARE}, "fails": ["slo/critical/integrity"]}]
    path.write_text(yaml.safe_dump(drill))
    return catalogue


def history(home: Path) -> list[Event]:
    store = HistoryStore(home)
    run = store.find(None)
    events = store.events(run.run) if run else []
    store.close()
    return events


def at(events: list[Event], kind: str) -> float:
    return next(event.at for event in events if event.kind == kind)


def await_event(home: Path, kind: str) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not any(event.kind == kind for event in history(home)):
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["guardrail", "interrupt", "interrupt twice", "terminate", "stop", "halt"])
def test_a_stopped_run_leaves_nothing(how: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    catalogue = without_net(short_catalogue(tmp_path / "catalogue"))
    variant = ["--sabotage", "bare"] if how == "guardrail" else []
    runner = start(home, "--catalogue", str(catalogue), "run", "node-loss", "--plain", *variant, cwd=tmp_path)
    try:
        if how != "guardrail":
            await_phase(home, "fault", runner)
            await_event(home, "fault.landed")
        if how.startswith("interrupt"):
            runner.send_signal(signal.SIGINT)
        if how == "interrupt twice":
            await_event(home, "run.stopping")
            runner.send_signal(signal.SIGINT)
        if how == "terminate":
            runner.send_signal(signal.SIGTERM)
        if how == "stop":
            assert tierdrill(home, "stop").returncode == 0
        if how == "halt":
            assert tierdrill(home, "halt", "--reason", "a test").returncode == 0
        runner.wait(40 if how == "guardrail" else ENDS_WITHIN_S)
        assert runner.returncode == (130 if how == "interrupt twice" else 4), (home / "output.txt").read_text()
        assert await_none(home, ENDS_WITHIN_S) == []
        assert Ledger(home).open_faults() == []
        events = history(home)
        store = HistoryStore(home)
        run = store.find(None)
        store.close()
        assert run is not None and run.status == "aborted"
        gone = at(events, "fault.gone")
        if how == "guardrail":
            print(f"breach to gone: {gone - at(events, 'guardrail.breached'):.2f} s")
        if how == "halt":
            refused = subprocess.run(
                ["tierdrill", "--catalogue", str(catalogue), "run", "node-loss"],
                env=environment(home),
                capture_output=True,
                text=True,
                check=False,
            )
            assert refused.returncode == 2 and "a test" in refused.stderr
    finally:
        for process in processes(home):
            process.kill()
