"""How idle the machine is, from the kernel's own counters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tierdrill.load import generator_health as vitals


@pytest.mark.parametrize(("priority", "idle"), [(0, 10 + 300 + 40), (-5, 10 + 300 + 40), (5, 300 + 40)])
def test_what_work_of_lower_priority_uses_is_ours_to_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, priority: int, idle: int
) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 10 200 300 40 5 6 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    monkeypatch.setattr(vitals, "_STAT", stat)
    monkeypatch.setattr(os, "getpriority", lambda which, who: priority)
    assert vitals.machine_times() == (idle, 7, 100 + 10 + 200 + 300 + 40 + 5 + 6 + 7)


def test_what_its_hypervisor_takes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(vitals, "_STAT", stat)
    stat.write_text("cpu  100 0 100 300 0 0 0 50 0 0\n")
    generator = vitals.Vitals()
    stat.write_text("cpu  150 0 120 310 0 0 0 70 0 0\n")
    report = generator.report(in_flight=0)
    assert (report["machine_idle"], report["machine_stolen"]) == (0.1, 0.2)


def test_without_counters_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "_STAT", tmp_path / "none")
    assert vitals.machine_times() is None
