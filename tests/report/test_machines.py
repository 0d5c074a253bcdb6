"""What machines read: JUnit, JSON, and the matrix of a proof."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_synthetic import drill, sabotage, setting

from tierdrill.judge.proof import Ablation, ProofRow, missed, names
from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.report.run.acts import DRILL, ENGINE
from tierdrill.report.run.json_and_junit import json_report, junit_xml
from tierdrill.report.run.prove_matrix import (
    ablation_conclusion,
    ablation_json,
    ablation_table,
    conclusion,
    matrix_json,
    matrix_table,
    proven,
    reason,
)
from tierdrill.report.run.terminal_summary import make_console


def test_junit_has_every_check_once() -> None:
    made = sabotage()
    root = ElementTree.fromstring(junit_xml(made.setting, made.events, made.verdict))
    cases = root.findall(".//testcase")
    assert [case.get("name") for case in cases] and len(cases) == len(made.verdict.checks)
    failed = {case.get("name") for case in cases if case.find("failure") is not None}
    assert failed == {check.id for check in made.verdict.checks if check.status is Status.FAILED}
    assert root.get("tests") == str(len(cases)) and root.get("failures") == str(len(failed))
    assert [suite.get("name") for suite in root.findall("testsuite")] == [
        *("run", "load", "fault", "slo", "invariant", "alert", "playbook")
    ]
    assert root.find(".//property[@name='run']") is not None


def test_junit_inconclusive_is_an_error() -> None:
    check = Check("load/lag", "load", Status.INCONCLUSIVE, "lag", "some data", "none")
    verdict = Verdict("r", "d", "drill", Status.INCONCLUSIVE, "-", ("load/lag",), (check,))
    root = ElementTree.fromstring(junit_xml(setting(), [], verdict))
    assert root.get("errors") == "1" and root.find(".//error") is not None


@pytest.mark.parametrize("status", [Status.ABORTED, Status.UNCLEAN, Status.INCONCLUSIVE, Status.FAILED])
def test_junit_is_never_green_for_a_run_that_did_not_pass(status: Status) -> None:
    made = drill()
    root = ElementTree.fromstring(junit_xml(made.setting, made.events, replace(made.verdict, status=status)))
    assert int(root.get("failures", "0")) + int(root.get("errors", "0")) == 1


@given(st.text(max_size=60))
def test_junit_is_well_formed_for_any_text(text: str) -> None:
    check = Check(text, "run", Status.FAILED, text, text, text)
    root = ElementTree.fromstring(
        junit_xml(setting(), [], Verdict(text, text, text, Status.FAILED, text, (), (check,)))
    )
    assert root.get("tests") == "1"


def test_json_report() -> None:
    made = drill()
    text = json_report(made.setting, made.events, made.verdict)
    assert text == json_report(made.setting, made.events, made.verdict)
    document = json.loads(text)
    assert document["exit_code"] == 0 and document["verdict"]["status"] == "passed"
    assert document["faults"][0]["gone"] == pytest.approx(21.16, abs=0.01)
    assert document["playbooks"][0]["finished"] == pytest.approx(5.7)
    acts = [(act["who"], act["did"], act["on"], act["own"]) for act in document["acts"]]
    assert (DRILL, "node power loss", "node-2", False) in acts and ENGINE in {who for who, *_ in acts}
    assert document["provenance"]["command"] == "tierdrill run node-loss"
    assert json.loads(json_report(setting(), [], made.verdict))["effect"] is None


GOOD = ProofRow(
    "sabotage:a", "failed", "failed", ("playbook/*/fired",), ("playbook/p/fired", "slo/c/x"), True, "1", 58.0
)
ROWS = (
    ProofRow("drill", "passed", "passed", (), (), True, "1", 58.0),
    ProofRow("blip", "silent", "passed", (), (), True, "2", 34.2),
    GOOD,
)
BAD = ProofRow("sabotage:b", "failed", "failed", ("alert/A/fired",), ("slo/c/x",), False, "3", 58.0)


@pytest.mark.parametrize(
    ("pattern", "check", "named"),
    [
        ("slo/critical/*", "slo/critical/latency-p99", True),
        ("slo/critical/latency-*", "slo/critical/latency-p99", True),
        ("slo/*", "slo/critical/latency-p99", False),
        ("slo/critical", "slo/critical/mttr", False),
        ("alert/A/fired", "alert/A/fired", True),
        ("alert/a/fired", "alert/A/fired", False),
    ],
)
def test_a_star_stays_within_one_part(pattern: str, check: str, named: bool) -> None:
    assert names(pattern, check) is named


def test_reasons() -> None:
    assert [reason(row) for row in ROWS] == [
        *("every check passed", "nothing fired", "playbook/p/fired failed (and 1 more)")
    ]
    assert reason(BAD) == "alert/A/fired did not fail; slo/c/x did" and missed(BAD) == ("alert/A/fired",)
    assert reason(replace(BAD, failed_checks=())) == "nothing failed; alert/A/fired had to"
    assert reason(replace(ROWS[0], failed_checks=("slo/c/x",), ok=False)) == "slo/c/x failed"
    assert reason(replace(ROWS[0], status="aborted", ok=False)) == "the run was aborted"


def test_the_reason_of_a_run_that_its_guardrail_aborted() -> None:
    broke = "critical availability under 50% over 4s: 140 of 268 requests failed in the last 4s"
    told = f"aborted by guardrail ({broke})"
    drill, sabotage = (replace(row, status="aborted", guardrail=broke, ok=False) for row in (ROWS[0], BAD))
    assert reason(replace(drill, failed_checks=("slo/c/x",))) == told
    assert reason(sabotage) == f"{told} before alert/A/fired was seen to be broken"
    noticed = replace(sabotage, failed_checks=("alert/A/fired", "slo/c/x"))
    assert reason(replace(noticed, ok=True)) == f"alert/A/fired failed, then {told}"
    doubted = replace(noticed, doubts=("fault/node-power-loss/landed",))
    assert reason(doubted) == f"{told} in a run that cannot be believed: fault/node-power-loss/landed"
    unseen = replace(sabotage, named_checks=("any promise",), failed_checks=())
    unproven = Ablation("retries", (unseen,), ("node-loss",))
    console = make_console(color=False, width=400)
    with console.capture() as capture:
        console.print(ablation_table((unproven,)))
    assert f"unproven: node-loss {told} before any promise was seen to be broken" in capture.get()


NOTICED = replace(ROWS[-1], failed_checks=("slo/critical/availability",), ok=True)
ABLATIONS = (
    Ablation("retries", (replace(BAD, status="passed", failed_checks=()), NOTICED), ("node-loss", "slow-link")),
    Ablation("restart-replica", (replace(BAD, status="passed", failed_checks=()),), ("replica-crash",)),
)


def test_an_ablation_tells_who_notices_by_what_and_what_nobody_does() -> None:
    console = make_console(color=False, width=120)
    with console.capture() as capture:
        console.print(ablation_table(ABLATIONS))
    shown = capture.get()
    assert "protection retries" in shown and "slow-link" in shown and "slo/critical/availability" in shown
    assert "playbook restart-replica" in shown and "unproven: replica-crash passed" in shown
    assert ablation_conclusion(ABLATIONS) == "Unproven: restart-replica. No drill notices without."
    assert ablation_conclusion(ABLATIONS[:1]) == "Nothing is unproven: a promise breaks without retries."
    assert "without each of 2 protections and playbooks." in ablation_conclusion(ABLATIONS[:1] * 2)
    document = json.loads(ablation_json({"node-loss": ROWS[0]}, ABLATIONS))
    assert document["proven"] is False and document["unproven"] == ["restart-replica"]
    assert document["parts"][0]["noticed_by"] == "slow-link" and len(document["parts"][0]["runs"]) == 2
    assert document["drills"]["node-loss"]["status"] == "passed"
    assert not json.loads(ablation_json({}, ()))["proven"] and "nothing was" in ablation_conclusion(())


def test_an_ablation_that_ended_early_does_not_call_unproven_what_it_did_not_ask() -> None:
    left = ["restart-replica", "shedding"]
    document = json.loads(ablation_json({}, ABLATIONS, left))
    assert (document["proven"], document["unproven"], document["left"]) == (False, [], left)
    assert not json.loads(ablation_json({}, ABLATIONS[:1], left))["proven"]
    told = ablation_conclusion(ABLATIONS, left)
    assert told == "The proof ended before it was known of: restart-replica, shedding."
    assert ablation_conclusion(ABLATIONS, left[1:]).startswith("Unproven: restart-replica. ")
    console = make_console(color=False, width=120)
    with console.capture() as capture:
        console.print(ablation_table(ABLATIONS, left=left))
    assert "open: replica-crash passed" in capture.get() and "unproven" not in capture.get()


def test_proven_needs_every_row_and_at_least_one() -> None:
    assert proven(ROWS) and not proven((*ROWS, BAD)) and not proven(())
    assert conclusion("d", (*ROWS, BAD)) == "d is NOT proven: 3 of 4 runs came out as they must."
    assert not proven(ROWS, ["sabotage:b"]) and not json.loads(matrix_json("d", ROWS, ["sabotage:b"]))["proven"]
    told = "d is NOT proven: 3 of 3 runs came out as they must; the proof ended before 1 more."
    assert conclusion("d", ROWS, ["sabotage:b"]) == told


def test_matrix_in_two_forms() -> None:
    rows = (*ROWS, BAD)
    console = make_console(color=False, width=80)
    with console.capture() as captured:
        console.print(matrix_table("node-loss", rows))
    assert captured.get().count("✓") == 3 and captured.get().count("✗") == 1
    assert max(map(len, captured.get().splitlines())) <= 80
    document = json.loads(matrix_json("node-loss", rows))
    assert document["proven"] is False and document["rows"][3]["reason"].startswith("alert/A/fired")
