"""The exporter of emulated GPUs: changed by a program beside it, as a cluster's faults do."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tierdrill.lab.node.gpu_exporter import change, take_back
from tierdrill.process.programs import Program, program
from tierdrill.process.spawn import spawn


def test_a_change_is_reported_and_taken_back(tmp_path: Path) -> None:
    config = tmp_path / "exporter.json"
    told = {"gpus": 2, "memory_gib": 80, "model_name": "H100", "state_dir": str(tmp_path / "gpus"), "node": "node-1"}
    config.write_text(json.dumps(told))
    exporter = spawn(program(Program.GPU_EXPORTER, "--config", config), log_path=tmp_path / "log")
    try:
        with httpx.Client(base_url=f"http://{exporter.address}", trust_env=False) as client:

            def until(mode: str) -> dict[str, object]:
                for _ in range(300):
                    gpu: dict[str, object] = client.get("/gpus").json()["gpus"][1]
                    if gpu["state"] == mode:
                        return gpu
                    time.sleep(0.05)
                raise AssertionError(f"GPU 1 never was {mode}")

            assert change(["--config", str(config), "--change", '1={"mode": "fallen_off_bus", "xid": 79}']) == 0
            assert until("fallen_off_bus")["telemetry"] is None
            text = client.get("/metrics").text
            assert 'xid="79"' in text and 'DCGM_FI_DEV_SM_CLOCK{UUID' in text
            state = json.loads((tmp_path / "gpus" / "gpu-1.state").read_text())
            assert state["mode"] == "fallen_off_bus"
            assert change(["--config", str(config), "--change", '1={"mode": null, "xid": null}']) == 0
            assert until("healthy")["telemetry"] is not None
    finally:
        exporter.stop(1.0)


def tell_to_go(holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None and holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    holder.stdin.write("go\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "held\n"


def test_an_exporter_repeats_itself_as_long_as_somebody_holds_it(tmp_path: Path) -> None:
    config = tmp_path / "exporter.json"
    told = {"gpus": 1, "memory_gib": 80, "model_name": "H100", "state_dir": str(tmp_path / "gpus"), "node": "node-1"}
    config.write_text(json.dumps(told))
    exporter = spawn(program(Program.GPU_EXPORTER, "--config", config), log_path=tmp_path / "log")
    command = program(Program.GPU_EXPORTER, "--config", config, "--freeze", "--hold", "60")
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=f"http://{exporter.address}", trust_env=False) as client:
            tell_to_go(holder)
            assert change(["--config", str(config), "--change", '0={"temperature_c": 91.5}']) == 0
            for _ in range(300):
                if client.get("/gpus").json()["gpus"][0]["telemetry"]["temperature_c"] == 91.5:
                    break
                time.sleep(0.05)
            assert client.get("/gpus").json()["frozen"] and " 91.5" not in client.get("/metrics").text
            holder.communicate()
            assert not client.get("/gpus").json()["frozen"] and " 91.5" in client.get("/metrics").text
    finally:
        holder.kill()
        exporter.stop(1.0)


def test_a_held_change_lasts_as_long_as_somebody_holds_it(tmp_path: Path) -> None:
    config = tmp_path / "exporter.json"
    config.write_text(json.dumps({"gpus": 2, "state_dir": str(tmp_path)}))
    overrides = tmp_path / "overrides.json"

    def devices() -> object:
        return json.loads(overrides.read_text())["devices"]

    command = program(Program.GPU_EXPORTER, "--config", config, "--change", '1={"clock_factor": 0.4}', "--hold", "60")
    for ends in (subprocess.Popen.kill, lambda one: one.stdin.close()):
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        tell_to_go(holder)
        assert devices() == {"1": {"clock_factor": 0.4}}
        ends(holder)
        holder.wait()
        assert holder.stdout is not None
        holder.stdout.close()
        if holder.returncode:
            take_back(tmp_path, 2)
        assert devices() == {} and json.loads((tmp_path / "held.json").read_text()) == {}
    silent = [*command[:-3], '0={"allocatable": false}', "--hold", "0.05"]
    holder = subprocess.Popen(silent, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None and holder.stdout is not None
    holder.stdin.write(b"go\n")
    holder.stdin.flush()
    assert (holder.wait(), holder.stdout.read(), devices()) == (0, b"ready\nheld\n", {})
    holder.communicate()
    for unsaid in (b"", b"\n\n", b"no\n"):
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out, _ = holder.communicate(unsaid)
        assert (holder.returncode, out, devices()) == (0, b"ready\n", {})


@pytest.mark.parametrize(("told", "words"), [('7={"mode": "lost"}', "has GPUs 0 to 1"), ('0={"mode": "odd"}', "odd")])
def test_what_makes_no_sense_changes_nothing(
    tmp_path: Path, told: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "exporter.json"
    config.write_text(json.dumps({"gpus": 2, "state_dir": str(tmp_path)}))
    with pytest.raises(SystemExit) as ended:
        change(["--config", str(config), "--change", told])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "overrides.json").exists()
