"""Values and modules of an experiment that Chaos Toolkit takes as they are, and that come to nothing when it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.support import DRILL, EXPERIMENT, changed, good_catalogue, lines

NODE = "node: node-1"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ((NODE, "node: {type: evn, key: N, default: node-1}"), "type: got 'evn', expected env or probe (did you"),
        ((NODE, "node: {key: N, default: node-1}"), "no key 'type', expected env or probe"),
        ((NODE, "node: {type: env, key: N, defualt: node-1}"), "unknown key 'defualt'"),
        ((NODE, "node: {type: env, key: N, default: [node-1]}"), "default: got a list of 1"),
        (
            ("lease_s: 5", "lease_s: {type: env, key: L, default: 5s, env_var_type: int}"),
            "default: got '5s'; a value of env_var_type int",
        ),
        (
            ("lease_s: 5", "lease_s: {type: env, key: L, default: inf, env_var_type: float}"),
            "default: got 'inf'; a value of env_var_type float",
        ),
        (("tierdrill.chaos.actions", "tierdrill.chaos.action"), "no module named 'tierdrill.chaos.action'"),
        ((NODE, "node: {type: env, key: 1 s}"), "key: got '1 s'; the name of an environment variable"),
        (('{node: "${node}", lease_s', '{node: "", lease_s'), "nothing for node; power_off_node needs to know which"),
        (
            (
                'power_off_node\n      arguments: {node: "${node}"',
                'throttle_gpu\n      arguments: {node: "${node}", clock_percent: 90',
            ),
            "clock_percent: got 90, expected a whole number from 5 to 80",
        ),
        (("tierdrill.chaos.actions", "my tools"), "module: got 'my tools'; the dotted name"),
    ],
)  # fmt: skip
def test_a_value_that_would_come_to_nothing_is_told(tmp_path: Path, edit: tuple[str, str], said: str) -> None:
    root = good_catalogue(tmp_path)
    changed(root, EXPERIMENT, edit)
    found = [line for line in lines(root) if line.startswith(EXPERIMENT)]
    assert any(said in line for line in found), found


def test_an_experiment_that_breaks_nothing_is_no_drill(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, EXPERIMENT, ("power_off_node", "power_on_node"), (', lease_s: "${lease_s}"', ""))
    assert f"{DRILL}:5:13: experiment node/power-loss breaks nothing; its method has a fault" in lines(root)


def test_a_fault_that_is_undone_at_once_is_told_where_a_drill_uses_it(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, EXPERIMENT, ("    pauses: {after: 20}\n", ""))
    assert any(
        line.startswith(DRILL) and "experiment node/power-loss undoes power_off_node at once" in line
        for line in lines(root)
    )
