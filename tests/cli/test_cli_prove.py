"""What `tierdrill prove` tells of its runs, and with which exit code it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conductor.runs import Runs
from tests.judge.build import shipped
from tierdrill.cli.commands import prove
from tierdrill.cli.commands.prove import exit_code
from tierdrill.cli.main import main
from tierdrill.judge.trend.proof import ProofRow, variants_of

DRILL = ProofRow("drill", "passed", "passed", (), (), True, "r1", 50.0)
NOTICED = ProofRow("sabotage:s", "failed", "failed", ("slo/a/b",), ("slo/a/b",), True, "r2", 50.0)
BROKE = "critical availability under 50% over 4s"
WITHOUT_FALLBACK, WITHOUT_RETRIES = "sabotage:without-fallback", "sabotage:without-retries"
TWO_PARTS = ("--ablate", "node-loss", "--without", "fallback", "--without", "retries")


class Told:
    """What a command came to: its exit code, its document on stdout, its lines on stderr, the runs it made."""

    def __init__(self, code: int, out: str, err: str, made: list[tuple[str, str]]) -> None:
        self.code, self.out, self.lines, self.made = code, out, err.splitlines(), made

    @property
    def document(self) -> dict[str, Any]:
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def proving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `tierdrill prove` with runs that come out as they are told to."""
    monkeypatch.setattr(prove, "check_place", lambda here, settings, lab: None)
    monkeypatch.setattr(prove, "log_to_file", lambda home: None)
    for name in ("stored_events", "judged", "try_reports"):
        monkeypatch.setattr(prove, name, lambda *arguments: None)

    def run(*words: str, **outcomes: Mapping[str, str]) -> Told:
        runs = Runs(monkeypatch, **outcomes)
        code = main(["--home", str(tmp_path / "home"), "prove", *words])
        return Told(code, *capsys.readouterr(), runs.made)

    return run


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([DRILL, NOTICED], 0),
        ([], 1),
        ([DRILL, replace(NOTICED, status="passed", ok=False)], 1),
        ([DRILL, replace(NOTICED, status="inconclusive", ok=False)], 3),
        # A guardrail's abort: the drill failed, a sabotage shows what was seen by then or nothing.
        ([replace(DRILL, status="aborted", ok=False, guardrail=BROKE), NOTICED], 1),
        ([DRILL, replace(NOTICED, status="aborted", guardrail=BROKE)], 0),
        ([DRILL, replace(NOTICED, status="aborted", guardrail=BROKE, failed_checks=(), ok=False)], 3),
        ([DRILL, replace(NOTICED, status="aborted", ok=False)], 4),
        ([DRILL, replace(NOTICED, status="unclean", ok=False)], 5),
    ],
)
def test_the_exit_code_is_the_gravest_of_what_is_wrong(rows: list[ProofRow], code: int) -> None:
    assert exit_code(rows) == code


def test_it_is_told_which_run_of_how_many_is_made(proving: Any) -> None:
    told = proving("node-loss")
    variants = variants_of(shipped("node-loss"))
    runs = [line for line in told.lines if line.startswith("run ")]
    assert len(runs) == len(variants) == len(told.made)
    assert runs[0] == f"run 1 of {len(variants)}: node-loss, drill: a-run"
    assert runs[2] == f"run 3 of {len(variants)}: node-loss, sabotage playbook-disabled: a-run"


def test_an_ablation_takes_only_the_named_parts_away(proving: Any) -> None:
    told = proving(*TWO_PARTS, "--json", node_loss={WITHOUT_FALLBACK: "broken", WITHOUT_RETRIES: "broken"})
    assert told.code == 0 and told.document["proven"] and told.document["left"] == []
    assert [variant for _, variant in told.made] == ["drill", WITHOUT_RETRIES, WITHOUT_FALLBACK]
    assert told.lines[0] == "2 protections and playbooks, removed one at a time: 3 runs at most"
    assert [line for line in told.lines if line.startswith("run ")] == [
        "run 1 of at most 3: node-loss, drill: a-run",
        "run 2 of at most 3: node-loss, sabotage without-retries: a-run",
        "run 3 of at most 3: node-loss, sabotage without-fallback: a-run",
    ]


def test_a_part_that_no_drill_could_notice_is_unproven(proving: Any) -> None:
    told = proving("--ablate", "node-loss", "--without", "ejection", "--json")
    assert told.code == 1 and told.document["unproven"] == ["ejection"] and not told.made


@pytest.mark.parametrize(
    ("how", "code", "rows"), [("stopped", 4, 1), ("halted", 4, 1), ("refused", 2, 0), ("interrupted", 130, 0)]
)
def test_what_an_interrupted_ablation_found_is_a_document(proving: Any, how: str, code: int, rows: int) -> None:
    told = proving(*TWO_PARTS, "--json", node_loss={WITHOUT_RETRIES: "broken", WITHOUT_FALLBACK: how})
    assert told.code == code
    assert (told.document["proven"], told.document["unproven"]) == (False, [])
    assert told.document["left"] == ["fallback"]
    noticed, *others = told.document["parts"]
    assert noticed["noticed_by"] == "node-loss" and [len(one["runs"]) for one in others] == [1] * rows


@pytest.mark.parametrize(("how", "code"), [("stopped", 4), ("unclean", 5), ("refused", 2), ("interrupted", 130)])
def test_what_an_interrupted_proof_found_is_a_document(proving: Any, how: str, code: int) -> None:
    told = proving("node-loss", "slow-link", "--json", node_loss={"blip": how})
    assert told.code == code and told.document["proven"] is False and told.document["left"] == ["slow-link"]
    (drill,) = told.document["drills"]
    first = variants_of(shipped("node-loss"))
    assert [row["variant"] for row in drill["rows"]] + drill["left"] == first and not drill["proven"]


def test_people_are_told_that_a_proof_ended_early(proving: Any) -> None:
    told = proving("node-loss", "slow-link", node_loss={"blip": "interrupted"})
    assert told.code == 130 and "slow-link" not in told.out
    assert "1 of 1 run came out as they must; the proof ended before 6 more." in " ".join(told.out.split())


def test_a_proof_goes_on_after_a_guardrail(proving: Any) -> None:
    first = variants_of(shipped("node-loss"))[2]
    told = proving("node-loss", "--json", node_loss={"drill": "guarded", first: "guarded late"})
    assert told.code == 1 and told.document["left"] == []
    (drill,) = told.document["drills"]
    rows = {row["variant"]: row for row in drill["rows"]}
    assert list(rows) == variants_of(shipped("node-loss"))
    assert rows["drill"]["reason"] == f"aborted by guardrail ({BROKE})"
    assert rows[first]["ok"] and "slo/critical/fallback" in rows[first]["reason"]
