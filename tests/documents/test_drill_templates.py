"""What drills share by reference: merged as documented, and each problem told in the file that says it."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.documents.test_schema import complaints
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.documents.problems import Problem
from tierdrill.documents.reading.drill_templates import merged
from tierdrill.documents.reading.json_schema import json_schema
from tierdrill.monitoring.alert_names import KNOWN_ALERTS

SHORT = """\
apiVersion: tierdrill/v1
kind: Drill
metadata: {name: short, title: A short one, owner: me}
description: A link is slow.
template: usual
experiment: network/slow-link
expect: {alerts: {must_fire: [{alert: NetworkDegraded, within: 8s}]}}
"""

NESTED = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2) | st.none(),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
)
MAPPINGS = st.dictionaries(st.sampled_from("abcd"), NESTED, max_size=4)


def read(tmp_path: Path, drill: str, **template: Any) -> tuple[Catalogue, list[Problem]]:
    """The shipped catalogue with that one drill, and the template changed at its top."""
    for folder in ("drills/platform", "experiments", "playbooks"):
        shutil.copytree(folder, tmp_path / folder)
    (tmp_path / "drills/short.yaml").write_text(drill)
    path = tmp_path / "drills/platform/templates.yaml"
    path.write_text(path.read_text() + "".join(f"{key}: {value}\n" for key, value in template.items()))
    return load_catalogue(tmp_path, KNOWN_ALERTS, unused=False)


def told(problems: list[Problem]) -> list[str]:
    return [str(one) for one in problems]


@given(MAPPINGS, MAPPINGS)
def test_what_is_merged_says_what_either_says_and_the_drill_first(base: dict[str, Any], over: dict[str, Any]) -> None:
    kept = copy.deepcopy((base, over))
    both = merged(base, over)
    assert (base, over) == kept and both.keys() == base.keys() | over.keys()
    for key, value in both.items():
        if key in base and key in over and isinstance(base[key], dict) and isinstance(over[key], dict):
            assert value == merged(base[key], over[key])
        else:
            assert value == (over[key] if key in over else base[key])


def test_a_drill_of_seven_lines_is_whole(tmp_path: Path) -> None:
    catalogue, problems = read(tmp_path, SHORT + "phases: {fault: 14s}\nblip: null\n")
    assert not problems
    drill = catalogue.drills["short"]
    assert drill.environment == "lab" and drill.template == "usual" and drill.blip is None
    assert (drill.phases.fault, drill.phases.warm_up) == (14.0, 12.0)
    assert [one.tier for one in drill.expect.tiers] == ["critical", "standard", "best-effort"]
    assert [one.alert for one in drill.expect.alerts.must_fire] == ["NetworkDegraded"]


def test_a_list_is_the_drills_or_the_templates(tmp_path: Path) -> None:
    stream = "{name: one, tier: critical, model: assistant, rate: 99/s}"
    catalogue, problems = read(tmp_path, SHORT + f"load: {{streams: [{stream}]}}\n")
    assert [one.name for one in catalogue.drills["short"].load.streams] == ["one"], problems


def test_a_problem_is_told_in_the_file_that_says_it(tmp_path: Path) -> None:
    _, problems = read(tmp_path, SHORT.replace("NetworkDegraded", "NetworkDegrade"))
    assert [(one.path, one.line) for one in problems] == [("drills/short.yaml", 7)]
    _, problems = read(tmp_path / "other", SHORT, proofs="[{activity: nothing, landed: a, gone: b}]")
    assert problems and {one.path for one in problems} == {"drills/platform/templates.yaml"}


def test_a_template_with_a_mistake_is_told_once(tmp_path: Path) -> None:
    _, problems = read(tmp_path, SHORT, guardrail="[]")
    (problem,) = problems
    assert problem.path == "drills/platform/templates.yaml" and "unknown key 'guardrail'" in str(problem)


def test_a_template_without_a_name_is_told(tmp_path: Path) -> None:
    _, problems = read(tmp_path, SHORT)
    assert problems == []
    (tmp_path / "drills/nameless.yaml").write_text("apiVersion: tierdrill/v1\nkind: DrillTemplate\n")
    (problem,) = load_catalogue(tmp_path, KNOWN_ALERTS, unused=False)[1]
    assert problem.path == "drills/nameless.yaml" and "no key 'metadata'" in str(problem)


def test_a_template_may_say_all_of_a_drill(tmp_path: Path) -> None:
    read(tmp_path, SHORT)
    path = tmp_path / "drills/platform/templates.yaml"
    path.write_text(path.read_text() + "description: d\nexperiment: network/slow-link\n")
    catalogue, problems = load_catalogue(tmp_path, KNOWN_ALERTS, unused=False)
    assert not problems and catalogue.drills["short"].description == "A link is slow."
    assert catalogue.templates["usual"].metadata.title


@pytest.mark.parametrize("written", ["5", "[usual]", "{name: usual}", "true"])
def test_a_template_is_named_by_text(tmp_path: Path, written: str) -> None:
    _, problems = read(tmp_path, SHORT.replace("template: usual", f"template: {written}"))
    assert "drills/short.yaml:5:" in "".join(told(problems))


def test_a_template_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    _, problems = read(tmp_path, SHORT.replace("template: usual", "template: usuall"))
    (problem,) = problems
    assert (problem.path, problem.line) == ("drills/short.yaml", 5)
    assert "no template named 'usuall'" in str(problem) and "did you mean usual?" in str(problem)


def test_what_neither_says_is_missing(tmp_path: Path) -> None:
    _, problems = read(tmp_path, SHORT.replace("experiment: network/slow-link\n", ""))
    assert ["no key 'experiment'" in str(one) for one in problems] == [True]


def test_editors_ask_for_no_more_than_the_reader() -> None:
    schema = json_schema("Drill")
    assert complaints(yaml.safe_load(SHORT + "phases: {fault: 14s}\n"), schema, schema) == []
    whole = yaml.safe_load(SHORT.replace("template: usual\n", "phases: {fault: 14s}\n"))
    missing = complaints(whole, schema, schema)
    assert any(one.endswith("load: required") for one in missing)
    assert any(one.endswith("warm_up: required") for one in missing)
