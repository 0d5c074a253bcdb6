"""A platform that somebody else runs, as documents: what is measured there, at which pace, by which alerts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.support import DRILL, ENVIRONMENT, GOOD, WORKLOADS, changed, good_catalogue, lines
from tierdrill.documents.catalogue import Catalogue, setting_of
from tierdrill.documents.catalogue_reader import load_catalogue, read_catalogue
from tierdrill.documents.pace import paced, paced_playbook
from tierdrill.documents.problems import Problem

ENVIRONMENT_TEXT = """
apiVersion: tierdrill/v1
kind: Environment
metadata: {name: lab}
target: external
tiers: default
workloads: default
pace: 10
load: {url: "https://llm.example.org/v1", bearer: {env: LLM_KEY}%s}
monitoring:
  prometheus: {url: "https://prom.example.org", user: drills, password: {file: /run/secrets/prom}}
  alertmanager: {url: "https://am.example.org", client_cert: /etc/tls/c.pem, client_key: /etc/tls/c.key}
  alerts:
    NodeNotReady: {alert: KubeNodeNotReady, labels: {node: instance}}
"""
ALL_TOLD = (
    ", answers: golden, rejected: [{status: 429, header: x-why}],"
    " response_headers: {queue_wait_ms: x-wait, model: x-model}"
)


def read(folder: Path, told: str = "") -> tuple[Catalogue, list[Problem]]:
    root = good_catalogue(folder)
    (root / ENVIRONMENT).write_text(ENVIRONMENT_TEXT % told)
    return load_catalogue(root, {"NodeNotReady": ("node",), "TierErrorBudgetBurn": ("tier",)})


def not_measured(catalogue: Catalogue) -> list[str]:
    return [str(one) for one in catalogue.warnings if "not measured here" in str(one)]


def test_what_the_platform_does_not_tell_is_said_before_the_run(tmp_path: Path) -> None:
    catalogue, _ = read(tmp_path)
    said = "\n".join(not_measured(catalogue))
    assert "integrity of critical is not measured here; environment lab has no load.answers: golden" in said
    for name in ("tier-order", "refusal-order", "rejections-cheap", "rejections-labelled"):
        assert f"invariant {name} is not measured here" in said
    assert "best-effort-returns" not in said and "availability" not in said


def test_of_what_it_tells_nothing_is_said(tmp_path: Path) -> None:
    assert not_measured(read(tmp_path, ALL_TOLD)[0]) == []
    assert not_measured(load_catalogue(GOOD)[0]) == []


def test_a_drill_there_may_name_its_alerts_only(tmp_path: Path) -> None:
    _, problems = read(tmp_path)
    said = [str(one) for one in problems if "no alert named" in str(one)]
    assert said and all("'NodeNotReady'" not in one and "expected NodeNotReady" in one for one in said)


def test_a_drill_is_as_slow_as_its_environment_says(tmp_path: Path) -> None:
    catalogue, _ = read(tmp_path)
    written, drill = read_catalogue(GOOD).catalogue.drills["node-loss"], setting_of(catalogue, "node-loss").drill
    assert drill.phases.fault == 10 * written.phases.fault and drill.phases.warm_up == 10 * written.phases.warm_up
    pairs = zip(drill.expect.alerts.must_fire, written.expect.alerts.must_fire, strict=True)
    assert all(one.within == 10 * (other.within or 0.0) for one, other in pairs)
    assert [one.window for one in drill.guardrails] == [10 * one.window for one in written.guardrails]
    assert drill.load.streams[0].timeout == written.load.streams[0].timeout
    assert paced(written, 1.0) == written


def test_a_blip_may_be_as_short_as_in_the_lab(tmp_path: Path) -> None:
    written = read_catalogue(GOOD).catalogue.drills["node-loss"].blip
    there = setting_of(read(tmp_path)[0], "node-loss").drill.blip
    assert written is not None and there is not None and there.fault == 10 * written.fault
    changed(tmp_path, ENVIRONMENT, ("pace: 10\n", "pace: 10\nblip_pace: 2\n"))
    there = setting_of(read_catalogue(tmp_path).catalogue, "node-loss").drill.blip
    assert there == written.model_copy(update={"fault": 2 * written.fault})


def test_traffic_multiplies_the_rates_of_all_drills_or_of_one(tmp_path: Path) -> None:
    written = read_catalogue(GOOD).catalogue.drills["node-loss"].load.streams
    read(tmp_path)
    changed(tmp_path, ENVIRONMENT, ("pace: 10\n", "pace: 10\ntraffic: 20\n"))
    there = setting_of(read_catalogue(tmp_path).catalogue, "node-loss").drill.load.streams
    assert [one.rate for one in there] == [20 * one.rate for one in written]
    changed(tmp_path, ENVIRONMENT, ("traffic: 20\n", "traffic: 20\ndrills: {node-loss: {traffic: 0.5}}\n"))
    there = setting_of(read_catalogue(tmp_path).catalogue, "node-loss").drill.load.streams
    assert [one.rate for one in there] == [0.5 * one.rate for one in written]


def test_a_drill_with_nothing_of_its_own_is_told_so(tmp_path: Path) -> None:
    read(tmp_path)
    changed(tmp_path, ENVIRONMENT, ("pace: 10\n", "pace: 10\ndrills: {node-loss: {}}\n"))
    _, problems = load_catalogue(tmp_path, {"NodeNotReady": ("node",)})
    assert any("nothing that is different; within, traffic" in str(one) for one in problems)


def test_a_drill_may_have_other_deadlines_there(tmp_path: Path) -> None:
    drill = read_catalogue(GOOD).catalogue.drills["node-loss"]
    alert, playbook = drill.expect.alerts.must_fire[0].alert, drill.expect.playbooks.must_fire[0].playbook
    read(tmp_path)
    times = f"drills: {{node-loss: {{within: {{{alert}: 100s, {playbook}: 3m}}}}}}\n"
    changed(tmp_path, ENVIRONMENT, ("pace: 10\n", f"pace: 10\n{times}"))
    catalogue = read_catalogue(tmp_path).catalogue
    there = setting_of(catalogue, "node-loss").drill.expect
    assert (there.alerts.must_fire[0].within, there.playbooks.must_fire[0].within) == (100.0, 180.0)
    paced_ones = [one.within for one in there.alerts.must_fire[1:]]
    assert paced_ones == [10 * (one.within or 0) for one in drill.expect.alerts.must_fire[1:]]
    wrong = (f"{alert}: 100s", "NodeNotReadi: 100s"), ("{node-loss: {", "{node-los: {within: {A: 1s}}, node-loss: {")
    changed(tmp_path, ENVIRONMENT, *wrong)
    assert "no alert or playbook named 'NodeNotReadi'" in "\n".join(lines(tmp_path))
    # Its drills may be another folder's: that one is not here is worth a look only.
    changed(tmp_path, ENVIRONMENT, ("NodeNotReadi", alert))
    there, _ = load_catalogue(tmp_path, {"NodeNotReady": ("node",)})
    assert any("no drill named 'node-los'" in str(one) for one in there.warnings)


def test_a_playbook_has_as_much_more_time_for_its_steps() -> None:
    written = read_catalogue(GOOD).catalogue.playbooks["reschedule-critical"]
    (before, *_), (step, *_) = written.steps, paced_playbook(written, 10.0).steps
    assert step.timeout == 10 * before.timeout
    assert step.verify is not None and before.verify is not None
    assert (step.verify.within, step.verify.at_least) == (10 * before.verify.within, before.verify.at_least)
    assert paced_playbook(written, 1.0) == written


@pytest.mark.parametrize("field", ["memory_gib: 40", "replicas: 3"])
def test_the_lab_needs_what_a_platform_has_by_itself(field: str, tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, WORKLOADS, (f"    {field}\n", ""))
    assert any(f"no key {field.partition(':')[0]} in model assistant" in one for one in lines(root))


def test_a_drill_needs_a_load_there(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    (root / ENVIRONMENT).write_text(
        "\n".join(line for line in ENVIRONMENT_TEXT.splitlines() if not line.startswith("load"))
    )
    assert any(DRILL in one and "environment lab has no load" in one for one in lines(root))
