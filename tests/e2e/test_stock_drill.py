"""A user's own drill around a stock experiment, end to end: programs freeze a replica of the lab, probes prove it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.home import await_none, processes, short_catalogue, tierdrill

# What a user might have lying about: it knows nothing of tierdrill but the home that its lab's processes carry.
SCRIPT = """
import os, sys, psutil

def replicas(name):
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            mine = process.environ().get("TIERDRILL_HOME") == os.environ["TIERDRILL_HOME"]
            if mine and "tierdrill.lab.replica.replica_program" in line and any(name in part for part in line):
                yield process
        except psutil.Error:
            continue

verb, found = sys.argv[1], list(replicas(sys.argv[2]))
frozen = [process for process in found if process.status() == psutil.STATUS_STOPPED]
if verb == "freeze":
    for process in found:
        process.suspend()
elif verb == "thaw":
    for process in frozen:
        process.resume()
else:
    sys.exit(0 if bool(frozen) == (verb == "frozen") else 1)
"""
PROOFS = [{"activity": "freeze", "landed": "frozen", "gone": "thawed", "within": "2s"}]


def experiment(script: Path) -> dict[str, Any]:
    """Plain Chaos Toolkit: process activities with argument lists."""

    def activity(kind: str, name: str, verb: str, **more: Any) -> dict[str, Any]:
        provider = {"type": "process", "path": sys.executable, "arguments": [str(script), verb, "${replica}"]}
        return {"type": kind, "name": name, "provider": {**provider, "timeout": 5}, **more}

    return {
        "title": "A replica freezes",
        "description": "Every process of one replica is stopped, and continued after a while.",
        "configuration": {
            "replica": {"type": "env", "key": "FREEZE_REPLICA", "default": "summarizer-0"},
            "fault_seconds": {"type": "env", "key": "FREEZE_SECONDS", "default": "5", "env_var_type": "float"},
        },
        "runtime": {"rollbacks": {"strategy": "always"}},
        "method": [
            activity("action", "freeze", "freeze"),
            activity("probe", "frozen", "frozen", tolerance=0, pauses={"after": "${fault_seconds}"}),
        ],
        "rollbacks": [activity("action", "thaw", "thaw"), activity("probe", "thawed", "thawed", tolerance=0)],
    }


def catalogue(folder: Path, proofs: list[dict[str, Any]]) -> Path:
    """The shipped catalogue, with one drill turned to the user's own experiment."""
    short_catalogue(folder)
    script = folder / "freeze.py"
    script.write_text(SCRIPT)
    own = folder / "experiments" / "own" / "freeze.yaml"
    own.parent.mkdir()
    own.write_text(yaml.safe_dump(experiment(script), sort_keys=False))
    path = folder / "drills" / "node-loss.yaml"
    drill = yaml.safe_load(path.read_text())
    drill["metadata"] = {"name": "freeze", "title": "A replica freezes", "owner": "team-serving-core"}
    drill.update(experiment="own/freeze", variables={"replica": "summarizer-1"}, proofs=proofs)
    (folder / "drills" / "freeze.yaml").write_text(yaml.safe_dump(drill))
    path.unlink()
    return folder


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(150)
@pytest.mark.parametrize("proven", [True, False], ids=["proven", "unproven"])
def test_a_stock_experiment_is_believed_on_the_word_of_its_probes(proven: bool, tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = catalogue(tmp_path / "catalogue", PROOFS if proven else [])
    try:
        run = tierdrill(home, "--catalogue", str(folder), "run", "freeze", "--plain", cwd=tmp_path)
        judged = tierdrill(home, "judge", "--json")
        verdict = json.loads(judged.stdout)
        checks = {check["id"]: check for check in verdict["checks"]}
        landed, gone = checks["fault/foreign/landed"], checks["fault/foreign/gone"]
        if proven:
            assert (landed["status"], gone["status"]) == ("passed", "passed"), (landed, gone, run.stdout)
            assert landed["value"] < 1.0, "in effect when it was planned"
        else:
            assert run.returncode == judged.returncode == 3, run.stdout + run.stderr
            assert verdict["status"] == "inconclusive" and "fault/foreign/landed" in verdict["reasons"]
            assert "names no proof" in landed["seen"]
        assert checks["run/clean"]["status"] == "passed"
        assert await_none(home, 8) == []
    finally:
        for process in processes(home):
            process.kill()
