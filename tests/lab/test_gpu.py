"""Overrides: merge order, strictness, what a reboot clears, and when a GPU trips."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.lab.lab_config import GpuConfig
from tierdrill.lab.node import gpu_errors as gpu

values = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(gpu.MODES),
        "xid": st.one_of(st.none(), st.integers(1, 999)),
        "temperature_c": st.floats(0, 150),
        "power_w": st.floats(0, 2000),
        "clock_factor": st.floats(0.01, 1),
        "utilization": st.floats(0, 100),
        "throttle": st.one_of(st.none(), st.sampled_from(sorted(gpu.THROTTLES))),
    },
)
documents = st.fixed_dictionaries(
    {}, optional={"base": values, "all": values, "devices": st.dictionaries(st.sampled_from(["0", "1"]), values)}
)


@given(documents)
def test_the_most_specific_section_wins(document: dict[str, Any]) -> None:
    overrides = gpu.parse_overrides(document, 2)
    for index in (0, 1):
        settings = gpu.settings_for(overrides, index)
        layers = [
            document.get("devices", {}).get(str(index), {}),
            document.get("all", {}),
            document.get("base", {}),
            asdict(gpu.Settings()),
        ]
        for key in asdict(settings):
            expected = next(layer[key] for layer in layers if key in layer)
            assert getattr(settings, key) == expected


@given(documents)
def test_a_reboot_leaves_nothing_volatile_and_keeps_the_rest(document: dict[str, Any]) -> None:
    rebooted = gpu.without_volatile(document)
    overrides = gpu.parse_overrides(rebooted, 2)
    for index in (0, 1):
        settings = gpu.settings_for(overrides, index)
        assert settings.mode in (gpu.HEALTHY, gpu.DEFECTIVE)
        assert settings.effective_xid is None
        before = gpu.settings_for(gpu.parse_overrides(document, 2), index)
        assert (settings.temperature_c, settings.clock_factor) == (before.temperature_c, before.clock_factor)
        assert settings.throttle == before.throttle, "a reboot cools nothing"
    assert gpu.without_volatile(rebooted) == rebooted


@given(documents, documents)
def test_an_xid_is_reported_once_per_trip(first: dict[str, Any], second: dict[str, Any]) -> None:
    tracked, reported = gpu.Tracked(), 0
    before: tuple[str, int | None] = (gpu.HEALTHY, None)
    for now, document in enumerate([first, first, second, second, {}, {}]):
        settings = gpu.settings_for(gpu.parse_overrides(document, 2), 0)
        tracked, xid = gpu.advance(tracked, settings, float(now))
        after = (settings.mode, settings.effective_xid)
        assert (xid is not None) == (after != before and after[1] is not None)
        if xid is not None:
            tracked, reported = gpu.reported(tracked, xid, float(now)), reported + 1
        before = after
    assert sum(gpu.xid_counts(tracked, 6.0).values()) == reported
    assert gpu.xid_counts(tracked, 6.0 + gpu.XID_WINDOW_S) == {}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "expected an object"),
        ({"device": {}}, "overrides: got 'device'"),
        ({"all": {"temperature": 90}}, "all: got 'temperature'"),
        ({"devices": {"2": {}}}, "GPUs 0 to 1"),
        ({"devices": {"x": {}}}, "GPUs 0 to 1"),
        ({"devices": {"0": {"mode": "broken"}}}, "devices.0.mode"),
        ({"base": {"clock_factor": 0}}, "clock_factor"),
        ({"base": {"clock_factor": 1.5}}, "clock_factor"),
        ({"base": {"clock_factor": None}}, "clock_factor"),
        ({"base": {"throttle": "hot"}}, "none of thermal, power, power_brake"),
        ({"base": {"throttle": 3}}, "throttle"),
        ({"base": {"xid": 79.5}}, "xid"),
        ({"base": {"xid": True}}, "xid"),
        ({"base": {"power_w": "hot"}}, "power_w"),
        ({"base": {"temperature_c": float("nan")}}, "temperature_c"),
    ],
)
def test_one_bad_key_rejects_everything(document: object, complaint: str) -> None:
    with pytest.raises(gpu.OverrideError, match=complaint):
        gpu.parse_overrides(document, 2)


@given(values, values)
def test_changing_some_settings_leaves_the_others(present: dict[str, Any], changes: dict[str, Any]) -> None:
    after = gpu.changed_settings(present, changes)
    assert None not in after.values()
    for key in {*present, *changes}:
        assert after.get(key) == (changes[key] if key in changes else present[key])
    assert gpu.changed_settings(after, dict.fromkeys(after)) == {}


@given(
    st.lists(st.tuples(st.floats(0, 3), st.sampled_from([45, 79, 63]), st.integers(1, 1000)), max_size=40),
)
def test_a_flood_is_counted_to_the_last_line_and_stays_small(told: list[tuple[float, int, int]]) -> None:
    tracked, now, expected = gpu.Tracked(), 0.0, dict[int, int]()
    for pause, xid, count in told:
        now += pause
        tracked = gpu.reported(tracked, xid, now, count)
        expected[xid] = expected.get(xid, 0) + count
        assert tracked.last_xid == xid
    assert gpu.xid_counts(tracked, now) == expected
    assert len(tracked.xids) <= 3 * (now + 1)
    assert gpu.xid_counts(tracked, now + gpu.XID_WINDOW_S + 1) == {}


def test_default_xids() -> None:
    assert gpu.Settings(mode="fallen_off_bus").effective_xid == 79
    assert gpu.Settings(mode="ecc_uncorrectable").effective_xid == 48
    assert gpu.Settings(mode="lost").effective_xid is None
    assert gpu.Settings(mode="ecc_uncorrectable", xid=94).effective_xid == 94


@pytest.mark.parametrize("xid", [13, 31, 94])
def test_an_error_that_asks_for_a_restart_spares_processes_started_after_it(xid: int) -> None:
    spec = GpuConfig(0, "GPU-0", 80, "H100 (emulated)", "00000000:04:00.0")
    settings = gpu.Settings(mode=gpu.XID_ERROR, xid=xid)
    state = gpu.state_document(spec, gpu.advance(gpu.Tracked(), settings, 100.0)[0])
    assert f"Xid {xid}" in (gpu.cuda_error(state, started_at=99.0) or "")
    assert gpu.cuda_error(state, started_at=101.0) is None
    assert (settings.health, gpu.Settings(mode=gpu.XID_ERROR, xid=109).health) == (10, 20)
    assert not gpu.Settings(mode="lost", xid=xid).contained, "whom it answers no more it serves no more"


def test_a_contained_error_spares_processes_started_after_it() -> None:
    spec = GpuConfig(0, "GPU-0", 80, "H100 (emulated)", "00000000:04:00.0")
    contained, _ = gpu.advance(gpu.Tracked(), gpu.Settings(mode="ecc_uncorrectable", xid=94), 100.0)
    state = gpu.state_document(spec, contained)
    assert "ECC" in (gpu.cuda_error(state, started_at=99.0) or "")
    assert gpu.cuda_error(state, started_at=101.0) is None
    uncontained, _ = gpu.advance(gpu.Tracked(), gpu.Settings(mode="ecc_uncorrectable", xid=95), 100.0)
    assert gpu.cuda_error(gpu.state_document(spec, uncontained), started_at=101.0) is not None


def test_every_fault_mode_fails_cuda_calls_and_says_emulated() -> None:
    for mode in set(gpu.MODES) - {gpu.HEALTHY}:
        assert "(emulated)" in (gpu.cuda_error({"mode": mode}, 0.0) or "")
    assert gpu.cuda_error({}, 0.0) is None


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "overrides.json"
    gpu.write_json(path, {"all": {"mode": "lost"}})
    assert gpu.read_json(path) == json.loads(path.read_text()) == {"all": {"mode": "lost"}}
    path.write_text("{", encoding="utf-8")
    with pytest.raises(gpu.OverrideError, match=r"overrides\.json"):
        gpu.read_json(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["overrides.json"]


def test_one_device_is_changed_and_what_is_healthy_again_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "node" / "overrides.json"

    def change(index: int, settings: dict[str, Any]) -> Any:
        gpu.change_overrides(path, 2, index, lambda present: gpu.changed_settings(present, settings))
        return json.loads(path.read_text())["devices"]

    assert change(0, {"temperature_c": 90}) == {"0": {"temperature_c": 90}}
    assert change(1, {"mode": "lost"}) == {"0": {"temperature_c": 90}, "1": {"mode": "lost"}}
    assert change(0, {"clock_factor": 0.5})["0"] == {"temperature_c": 90, "clock_factor": 0.5}
    assert change(1, {"mode": gpu.HEALTHY}) == {"0": {"temperature_c": 90, "clock_factor": 0.5}}
    before = path.read_text()
    with pytest.raises(gpu.OverrideError):
        change(1, {"moed": "lost"})
    assert path.read_text() == before
