"""Both gateways stand still for a while: a total outage is a failure, whatever it does to the generator meanwhile."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.e2e.home import await_none, processes, short_catalogue, start, tierdrill
from tests.e2e.test_doubt import await_phase


def catalogue(folder: Path) -> Path:
    """The shipped drill with its own load and phases, judged by the critical tier's promises; no guardrail ends it."""
    root = short_catalogue(folder)
    shipped = yaml.safe_load((Path(__file__).parents[2] / "drills" / "platform" / "templates.yaml").read_text())
    path = root / "drills" / "node-loss.yaml"
    document = yaml.safe_load(path.read_text())
    document |= {"phases": shipped["phases"], "guardrails": []}
    document["expect"]["tiers"] = [{"tier": "critical", "objectives": ["availability", "latency"]}]
    path.write_text(yaml.safe_dump(document))
    return root


def gateways(home: Path) -> list[psutil.Process]:
    found = []
    for process in processes(home):
        try:
            if "tierdrill.lab.gateway.gateway_program" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seconds", [2.0, 4.0, 8.0])
def test_frozen_gateways_fail_the_critical_tiers_promise(seconds: float, tmp_path: Path) -> None:
    home = tmp_path / "home"
    runner = start(home, "--catalogue", str(catalogue(tmp_path / "c")), "run", "node-loss", "--plain", cwd=tmp_path)
    try:
        await_phase(home, "fault", runner, within_s=90.0)
        frozen = gateways(home)
        assert len(frozen) == 2
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        for process in frozen:
            process.send_signal(signal.SIGCONT)
        runner.wait(120)
        output = (home / "output.txt").read_text()
        verdict = json.loads(tierdrill(home, "judge", "--json").stdout)
        seen = {check["id"]: check["seen"] for check in verdict["checks"]}
        assert verdict["status"] == "failed" and runner.returncode == 1, (verdict["reasons"], seen, output)
        assert verdict["reasons"][0].startswith("slo/critical/"), verdict["reasons"]
        assert seen["load/dropped"].startswith("0 of "), seen["load/dropped"]
        assert await_none(home, 8) == []
    finally:
        for process in processes(home):
            process.kill()
