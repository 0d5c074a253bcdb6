"""What `tierdrill prove` tells of its runs, and with which exit code it ends."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conductor.runs import Runs
from tests.judge.build import shipped
from tests.shipped import shipped_documents
from tierdrill.cli.commands import prove
from tierdrill.cli.commands.prove import exit_code
from tierdrill.cli.drill_documents import check_place
from tierdrill.cli.main import main
from tierdrill.conductor import provenance
from tierdrill.conductor.provenance import build_of
from tierdrill.documents import catalogue_reader
from tierdrill.documents.catalogue import DrillSetting, setting_of
from tierdrill.judge.proof import ProofRow, variants_of
from tierdrill.judge.trend.run_figures import RunFigures
from tierdrill.monitoring.binaries import NAMES
from tierdrill.targets.base import TargetError

DRILL = ProofRow("drill", "passed", "passed", (), (), True, "r1", 50.0)
NOTICED = ProofRow("sabotage:s", "failed", "failed", ("slo/a/b",), ("slo/a/b",), True, "r2", 50.0)
BROKE = "critical availability under 50% over 4s"
WITHOUT_FALLBACK, WITHOUT_RETRIES = "sabotage:without-fallback", "sabotage:without-retries"
CODE = {"commit": "abc", "changed": False}
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


@pytest.fixture
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The shipped catalogue with these drills alone."""
    drills = ["node-loss", "replica-errors", "slow-link"]
    for folder in ("drills/platform", "experiments", "playbooks"):
        shutil.copytree(folder, tmp_path / "few" / folder)
    for drill in drills:
        shutil.copy(f"drills/{drill}.yaml", tmp_path / "few/drills")
    monkeypatch.setenv("TIERDRILL_CATALOGUE", str(tmp_path / "few"))
    return drills


def rows_of(page: Path) -> dict[str, str]:
    """The text of each drill's row of a page, its spaces made one."""
    found = re.findall(r'<tr id="([\w-]+)">(.*?)</tr>', page.read_text("utf-8"), re.DOTALL)
    return {drill: " ".join(re.sub(r"<[^>]+>", " ", row).split()) for drill, row in found}


def test_all_drills_are_proven_on_one_page(proving: Any, few: list[str], tmp_path: Path) -> None:
    told = proving("--all", "--json", slow_link={"drill": "broken"})
    assert [one["drill"] for one in told.document["drills"]] == few and told.document["skipped"] == {}
    page = tmp_path / "home" / "prove.html"
    assert f"page: {page}" in told.lines
    rows = rows_of(page)
    assert list(rows) == few
    assert " not proven " in rows["slow-link"] and "slo/critical/availability failed" in rows["slow-link"]
    text = page.read_text("utf-8")
    assert "0 of 3 drills proven, 3 not: " in text and f" {len(told.made)} runs in " in text


def test_a_page_tells_what_was_not_run(proving: Any, tmp_path: Path) -> None:
    told = proving("node-loss", "slow-link", "--page", str(tmp_path / "p.html"), node_loss={"blip": "interrupted"})
    rows = rows_of(tmp_path / "p.html")
    assert told.code == 130 and " open " in rows["node-loss"] and "not run" in rows["node-loss"]
    assert "2 not run to the end: 1 run in" in (tmp_path / "p.html").read_text("utf-8")


def earlier(drill: str, variant: str, *, as_expected: bool = True, **build: Any) -> RunFigures:
    """A run of before, of this build and these documents unless another is said."""
    setting = setting_of(shipped_documents(), drill)
    status = "failed" if variant.startswith("sabotage:") == as_expected else "passed"
    return RunFigures(
        f"{drill}-{variant}", drill, variant, status, 1e9, 1e9 + 50, environment=setting.environment.metadata.name,
        build=replace(build_of(setting, CODE), **build), variants=tuple(variants_of(setting)),
        as_expected=as_expected,
    )  # fmt: skip


def test_a_proof_is_resumed_with_what_is_still_to_be_shown(
    proving: Any, few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, errors, slow = (variants_of(shipped(drill)) for drill in few)
    before = [
        *(earlier("node-loss", one) for one in loss),
        earlier("replica-errors", "drill"),
        earlier("replica-errors", "blip", as_expected=False),
        earlier("replica-errors", errors[-1]),
        *(earlier("slow-link", one, documents="others") for one in slow),
    ]
    monkeypatch.setattr(provenance, "git_state", lambda: CODE)
    monkeypatch.setattr("tierdrill.recovery.finalize.figures_in", lambda home: before)
    told = proving("--all", "--resume", "--json")
    assert told.made == [*(("replica-errors", one) for one in errors[1:-1]), *(("slow-link", one) for one in slow)]
    # Runs that are made here all pass, also those that must not.
    assert [one["proven"] for one in told.document["drills"]] == [True, False, False]
    assert f"{len(loss) + 2} runs of before count as made" in told.lines
    assert f"run 1 of {len(errors) - 2 + len(slow)}: replica-errors, blip twin: a-run" in told.lines
    assert [len(one["rows"]) for one in told.document["drills"]] == [len(loss), len(errors), len(slow)]
    assert [row["variant"] for row in told.document["drills"][1]["rows"]] == errors
    named = {row["variant"]: bool(row["named_checks"]) for row in told.document["drills"][0]["rows"]}
    assert named == {one: one.startswith("sabotage:") for one in loss}
    assert "1 of 3 drills proven, 2 not" in (tmp_path / "home" / "prove.html").read_text("utf-8")
    before = [replace(one, build=replace(one.build, changed=True)) for one in before]
    assert len(proving("--all", "--resume", "--json").made) == len(loss) + len(errors) + len(slow)


def test_what_cannot_be_run_in_an_environment_is_skipped(proving: Any, few: list[str], tmp_path: Path) -> None:
    told = proving("--all", "--json", "--environment", "tests/cluster/environment.yaml")
    skipped = told.document["skipped"]
    assert list(skipped) == ["replica-errors"] and "replica-errors" in skipped["replica-errors"]
    assert not set(skipped) & {drill for drill, _ in told.made}
    rows = rows_of(tmp_path / "home" / "prove.html")
    assert all(" skipped " in rows[drill] for drill in skipped)


@pytest.mark.parametrize("environment", ["lab-wide", "tests/cluster/environment.yaml"])
def test_the_catalogue_is_read_as_often_for_many_drills_as_for_few(
    proving: Any, few: list[str], monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    reads = list[object]()
    read = catalogue_reader.read_catalogue
    monkeypatch.setattr(catalogue_reader, "read_catalogue", lambda *given: reads.append(given) or read(*given))
    told = proving("--all", "--json", "--environment", environment)
    assert told.made and len(reads) <= 3, reads


def test_a_drill_with_a_state_store_is_skipped_without_etcd(
    proving: Any, few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy("drills/quorum-lost.yaml", tmp_path / "few/drills")
    monkeypatch.setattr(prove, "check_place", check_place)
    for program in NAMES:
        monkeypatch.setenv(f"TIERDRILL_{program.upper()}", sys.executable)
    monkeypatch.setenv("TIERDRILL_ETCD", str(tmp_path / "nowhere"))
    told = proving("--all", "--json")
    assert list(told.document["skipped"]) == ["quorum-lost"]
    assert told.document["skipped"]["quorum-lost"].startswith("TIERDRILL_ETCD names")
    assert {drill for drill, _ in told.made} == set(few)


def test_an_environment_that_is_not_there_is_an_error(proving: Any, few: list[str]) -> None:
    told = proving("--all", "--environment", "shopp")
    assert told.code == 2 and not told.made and "no environment named 'shopp'" in told.lines[-1]


def test_an_environment_is_asked_once_for_all_its_drills(
    proving: Any, few: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def away(here: object, settings: list[DrillSetting], lab: object) -> None:
        asked.extend(one.environment.metadata.name for one in settings)
        raise TargetError("nobody answers")

    monkeypatch.setattr(prove, "check_place", away)
    told = proving("--all")
    assert told.code == 2 and not told.made and asked == ["lab"]
    assert "node-loss: nobody answers" in told.lines[-1]
