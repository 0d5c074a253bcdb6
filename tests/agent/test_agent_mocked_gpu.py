"""What an emulated GPU is told to report, in a file of its exporter's container, and what it was told before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Agent, Pod, Refusal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "overrides.json"
    path.write_text(json.dumps({"all": {"utilization": 5}, "devices": {"1": {"temperature_c": 50, "power_w": 90}}}))
    path.chmod(0o640)
    return path


def wanted(file: Path, **settings: Any) -> dict[str, Any]:
    return {"file": str(file), "gpu": 1, "set": settings}


def test_a_device_is_told_and_gets_back_what_it_was_told_before(agent: Agent, pod: Pod, file: Path) -> None:
    before = json.loads(file.read_text())
    record = agent.inject("overrides", pod.target, **wanted(file, mode="fallen_off_bus", xid=79, temperature_c=95))
    told = json.loads(file.read_text())
    assert told["devices"]["1"] == {"mode": "fallen_off_bus", "xid": 79, "temperature_c": 95, "power_w": 90}
    assert agent.seen(record) and file.stat().st_mode & 0o777 == 0o640
    assert agent.revert(record) == "reverted"
    assert json.loads(file.read_text()) == before
    assert agent.revert(record) == "nothing to do" and not agent.seen(record)


def test_what_somebody_else_has_set_since_stays(agent: Agent, pod: Pod, file: Path) -> None:
    record = agent.inject("overrides", pod.target, **wanted(file, mode="lost", temperature_c=95))
    told = json.loads(file.read_text())
    told["devices"]["1"]["temperature_c"] = 70
    file.write_text(json.dumps(told))
    assert agent.revert(record) == "reverted"
    assert json.loads(file.read_text())["devices"]["1"] == {"temperature_c": 70, "power_w": 90}


def test_two_on_one_device_come_off_in_any_order(agent: Agent, pod: Pod, file: Path) -> None:
    before = json.loads(file.read_text())
    records = [
        agent.inject("overrides", pod.target, **wanted(file, **settings))
        for settings in ({"mode": "lost"}, {"throttle": "power"})
    ]
    for record in records:
        assert agent.revert(record) == "reverted"
    assert json.loads(file.read_text()) == before


@pytest.mark.parametrize(
    ("text", "told"), [(None, "has a file"), ("[]", "has a file"), ("{", "Expecting property name")]
)
def test_a_file_that_is_none_is_refused(agent: Agent, pod: Pod, file: Path, text: str | None, told: str) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(Refusal, match=told):
        agent.bind("overrides", pod.target, **wanted(file, mode="lost"))
    assert [one.name for one in file.parent.iterdir()] in ([], [file.name])
