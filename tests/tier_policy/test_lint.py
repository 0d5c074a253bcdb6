"""Every rule of `tiers lint` finds what breaks it, at its place, and the shipped platform breaks none."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from tests.cli.support import ROOT, copied_catalogue
from tests.documents.support import changed
from tests.tier_policy.support import Tierdrill
from tierdrill.documents.catalogue_reader import read_files
from tierdrill.tier_policy.lint import RULES, Finding, lint
from tierdrill.tier_policy.tier_set import tier_sets

TIERS, WORKLOADS, LAB = "drills/platform/tiers.yaml", "drills/platform/workloads.yaml", "drills/platform/lab.yaml"
BREAKS = {
    "ranks-without-gaps": (TIERS, "rank: 3", "rank: 4"),
    "shed-order-is-the-reverse-of-rank": (TIERS, "shed_order: 2", "shed_order: 4"),
    "preempts-lower-tiers-only": (TIERS, "may_preempt: []", "may_preempt: [standard]"),
    "higher-rank-promises-no-less": (TIERS, "availability: 97%", "availability: 99.9%"),
    "ceiling-fits-availability": (TIERS, "error_ceiling: 0.5%", "error_ceiling: 0.6%"),
    "rank-one-counts-rejections": (TIERS, "      error_ceiling", "      rejections_count: false\n      error_ceiling"),
    "waiting-and-attempts-fit-the-deadline": (TIERS, "deadline: 3s", "deadline: 2s"),
    "promised-times-can-be-kept": (TIERS, "queue_wait: {p90: 1s}", "queue_wait: {p90: 1.1s}"),
    "escalation-ends-at-a-person": (TIERS, "person:head-of-batch", "chat:batch-leads"),
    "every-tier-has-an-owner": (TIERS, "owner: team-batch", 'owner: ""'),
    "somebody-may-override": (TIERS, "override: [incident-commander]", "override: []"),
    "reviews-are-not-overdue": (TIERS, "reviewed: 2026-11-02", "reviewed: 2020-01-01"),
    "nothing-is-left-to-be-decided": (TIERS, "override: [team-batch, incident", 'override: [to be decided, incident'),
    "every-workload-has-an-owner": (WORKLOADS, "  owner: team-serving-core\n", ""),
    "fallback-stays-near": (TIERS, "fallback_model: summarizer", "fallback_model: draft"),
    "single-replica-has-a-fallback": (TIERS, "    fallback_model: summarizer\n", ""),
    "every-request-has-a-tier": (WORKLOADS, "  - {model: reasoner, tier: standard}\n", ""),
    "no-route-is-shadowed": (WORKLOADS, "max_tokens_at_most: 32, tier", "max_tokens_at_most: 32, tier"),
    "reserved-slots-survive-a-node": (TIERS, "reserved_slots: 2", "reserved_slots: 4"),
    "rank-one-peak-survives-a-node": (WORKLOADS, "decode_per_token: 4ms", "decode_per_token: 40ms"),
    "region-keeps-residency": (TIERS, "data_residency: [eu]", "data_residency: [us]"),
}


def findings(root: Path) -> list[Finding]:
    reading = read_files([*sorted((root / "drills/platform").glob("*.yaml")), root / "drills/node-loss.yaml"], root)
    assert not reading.problems
    return lint(tier_sets(reading, date(2026, 1, 1)))


def test_the_shipped_platform_keeps_every_rule() -> None:
    assert findings(ROOT) == []


def test_every_rule_has_an_id_a_name_and_a_reason_of_its_own() -> None:
    assert len({rule.id for rule in RULES}) == len({rule.name for rule in RULES}) == len(RULES)
    assert {rule.name for rule in RULES} == set(BREAKS)
    assert all(len(rule.reason) > 20 for rule in RULES)


@pytest.mark.parametrize("name", sorted(BREAKS))
def test_every_rule_finds_what_breaks_it(tmp_path: Path, name: str) -> None:
    root = copied_catalogue(tmp_path)
    path, old, new = BREAKS[name]
    changed(root, path, (old, new))
    if name == "no-route-is-shadowed":
        changed(root, path, ("  - {customer_class", "  - {model: draft, tier: standard}\n  - {customer_class"))
    found = [one for one in findings(root) if one.name == name]
    assert found
    for one in found:
        place = root / one.problem.path
        assert place.read_text().splitlines()[one.problem.line - 1].strip()
        assert f": {one.rule} {name}: " in str(one)


def test_the_command_tells_findings_by_its_exit_code_and_as_json(tmp_path: Path, tierdrill: Tierdrill) -> None:
    root = copied_catalogue(tmp_path / "mine")
    assert tierdrill("tiers", "lint", "--rule", "TP001").code == 0
    changed(root, TIERS, BREAKS["ranks-without-gaps"][1:])
    done = tierdrill("--catalogue", root, "tiers", "lint")
    assert done.code == 1
    assert "tiers.yaml:" in done.out
    assert "TP001 ranks-without-gaps: best-effort has rank 4" in done.out
    told = json.loads(tierdrill("--catalogue", root, "tiers", "lint", "--json", "--rule", "TP001").out)
    assert (told["ok"], [one["rule"] for one in told["findings"]]) == (False, ["TP001"])
    assert tierdrill("--catalogue", root, "tiers", "lint", "--rule", "preempts-lower-tiers-only").code == 0


def test_bad_input_is_told_by_exit_code_two(tmp_path: Path, tierdrill: Tierdrill) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("apiVersion: tierdrill/v1\nkind: Tiers\nmetadata: {name: Mine}\ntiers: []\n")
    done = tierdrill("tiers", "lint", wrong)
    assert done.code == 2
    assert "wrong.yaml:3:18: metadata.name" in done.err
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no Tiers document" in tierdrill("tiers", "lint", empty).err
    assert "did you mean" in tierdrill("tiers", "lint", "--rule", "TP00").err
