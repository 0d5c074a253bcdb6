"""A sabotage breaks what the drill needs, in a way in which it can break."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.support import DRILL, changed, good_catalogue, lines

DISABLED = "{disable_playbook: reschedule-critical}"


@pytest.mark.parametrize(
    "do",
    [
        "{break_remedy: reschedule, how: nothing}",
        "{break_remedy: reschedule, how: half}",
        "{break_remedy: reschedule, how: late, late_by: 3s}",
        "{break_remedy: reschedule, how: wrong-target, to: node-1}",
        "{freeze_exporter: node-1}",
        "{flags_off: [customer_class]}",
    ],
)
def test_what_can_be_broken(tmp_path: Path, do: str) -> None:
    root = good_catalogue(tmp_path)
    changed(root, DRILL, (DISABLED, do))
    assert lines(root) == []


def test_a_dead_pager_is_noticed_where_somebody_must_be_called(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(
        root, DRILL, (DISABLED, "{pager_down: true}"), ("target: node-2, within: 15s", "target: node-2, escalation: {}")
    )
    changed(root, DRILL, ("[playbook/reschedule-critical/fired]", "[playbook/reschedule-critical/escalation]"))
    changed(root, DRILL, ("blip:", "on_call: {acknowledges_after: 2s}\nblip:"))
    assert lines(root) == []


@pytest.mark.parametrize(
    ("do", "said"),
    [
        ("{break_remedy: reschedule}", "break_remedy without how"),
        ("{how: half, pager_down: true}", "how without break_remedy"),
        ("{break_remedy: reschedule, how: twice}", "twice is something else with power-cycle"),
        ("{break_remedy: shed, how: nothing}", "no playbook that must run here does shed; they do reschedule"),
        ("{break_remedy: reschedule, how: wrong-target}", "how: wrong-target without to"),
        ("{break_remedy: reschedule, how: wrong-target, to: node-9}", "no node named 'node-9'"),
        ("{break_remedy: reschedule, how: half, to: node-1}", "to without a wrong target"),
        ("{break_remedy: reschedule, how: half, late_by: 3s}", "a time above 0, with how: late"),
        ("{freeze_exporter: node-9}", "no node named 'node-9'"),
        ("{pager_down: true}", "nobody is called in this drill"),
        ("{pager_down: true, flags_off: [retries]}", "flags_off and pager_down together"),
        ("{pager_down: false}", "a sabotage that does nothing"),
    ],
)
def test_what_cannot(tmp_path: Path, do: str, said: str) -> None:
    root = good_catalogue(tmp_path)
    changed(root, DRILL, (DISABLED, do))
    found = lines(root)
    assert any(said in line for line in found), found
