"""A verdict says what its run was made under: rules that were lifted, and maintenance that excuses objectives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.judge.build import ZERO, Outcome, Run, all_well, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.tiers import Maintenance
from tierdrill.history.events import Event, event
from tierdrill.history.kinds.run_kinds import RuleLifted, RuleRestored
from tierdrill.judge.judge import judge
from tierdrill.judge.proof import row_of
from tierdrill.judge.trend.run_figures import RunFigures, figures_of
from tierdrill.judge.trend.run_series import DrillRuns
from tierdrill.judge.verdict import Status
from tierdrill.report.run.prove_matrix import reason
from tierdrill.report.trend.wording import unjudged_words

LIFTED = {
    "tiers": "serving", "tier": "critical", "rule": "queue-limit", "role": "incident-commander", "who": "ann",
    "why": "a surge", "granted_at": ZERO, "until": ZERO + 600,
}  # fmt: skip


def with_events(events: list[Event], *more: Event) -> list[Event]:
    every = sorted([*events, *more], key=lambda one: one.at)
    return [replace(one, sequence=number) for number, one in enumerate(every, 1)]


def test_an_override_is_in_the_notes_and_in_the_summary() -> None:
    events = Run().events(shipped())
    plain = judge(events)
    found = judge(with_events(events, event(RuleLifted(**LIFTED), "override", ZERO + 5)))
    assert found.status is plain.status
    assert found.summary == f"{plain.summary} [under override of critical/queue-limit]"
    assert found.notes[0].startswith("Override: queue-limit of critical was lifted from ")
    assert "by ann as incident-commander: a surge" in found.notes[0]
    assert found.notes[1:] == plain.notes
    assert (plain.under, found.under) == ((), ("override of critical/queue-limit",))


def broken(tier: str, since_fault: float) -> tuple[str, float, str | None]:
    return ("error", 0.05, "5xx") if tier == "critical" and since_fault > 0 else ("ok", 0.05, None)


def figures(variant: str = "drill", *more: Event, outcome: Outcome = all_well) -> RunFigures:
    events = with_events(Run(variant=variant, outcome=outcome).events(shipped()), *more)
    return figures_of(events, judge(events))


def test_a_pass_under_an_override_is_shown_as_such_and_proves_nothing() -> None:
    lifted = event(RuleLifted(**LIFTED), "override", ZERO + 5)
    plain, under = figures(), figures("drill", lifted)
    assert (plain.outcome, plain.came_to, plain.as_expected) == ("passed", "passed", True)
    assert (under.outcome, under.as_expected, under.status) == ("", False, "passed")
    assert under.came_to == "passed under override of critical/queue-limit"
    assert RunFigures.from_json(under.to_json()) == under
    runs = DrillRuns("node-loss", "lab", (plain, replace(under, run="r2")))
    assert (len(runs.judged), len(runs.unjudged)) == (1, 1)
    assert unjudged_words(runs) == "1 of 2 could not be judged (1 passed under override of critical/queue-limit)"
    # What failed all the same counts.
    assert figures("drill", lifted, outcome=broken).outcome == "failed"


def test_no_row_of_a_proof_is_as_required_under_an_override() -> None:
    events = with_events(Run().events(shipped()), event(RuleLifted(**LIFTED), "override", ZERO + 5))
    row = row_of(shipped(), "drill", judge(events), 1.0)
    assert (row.ok, row.says) == (False, "inconclusive")
    assert reason(row) == "every check passed; under override of critical/queue-limit, which proves nothing"


def test_one_of_other_tiers_is_not_and_one_that_was_revoked_says_when() -> None:
    events = Run().events(shipped())
    for elsewhere in ({"tiers": "others"}, {"environment": "staging"}):
        other = event(RuleLifted(**{**LIFTED, **elsewhere}), "override", ZERO + 5)
        assert judge(with_events(events, other)).summary == judge(events).summary
        assert judge(with_events(events, other)).notes == judge(events).notes
    lifted = event(RuleLifted(**LIFTED), "override", ZERO + 5)
    revoked = RuleRestored(tiers="serving", tier="critical", rule="queue-limit", who="bob", why="over")
    found = judge(with_events(events, lifted, event(revoked, "override", ZERO + 9)))
    assert "until bob revoked it at " in found.notes[0]


def declared(setting: DrillSetting, **about: Any) -> DrillSetting:
    def moment(at: float) -> str:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M")

    given = {
        "start": moment(ZERO - 600),
        "end": moment(ZERO + 600),
        "declared_by": "sre",
        "reason": "switches",
        **about,
    }
    tiers = setting.tiers.model_copy(update={"maintenance": (Maintenance(**given),)})
    return replace(setting, tiers=tiers)


@pytest.mark.parametrize(
    ("about", "excused"),
    [({}, True), ({"tiers": ("critical",)}, True), ({"tiers": ("standard",)}, False), ({"end": "2020-01-01"}, False)],
)
def test_maintenance_excuses_the_objectives_of_its_tiers_and_marks_them(about: dict[str, Any], excused: bool) -> None:
    if "end" in about:
        about = {**about, "start": "2019-12-31"}
    verdict = judge(Run(outcome=broken).events(declared(shipped(), **about)))
    check = verdict.check("slo/critical/availability")
    assert check is not None
    assert (check.status, check.seen.startswith("excused by maintenance (switches): ")) == (
        (Status.NOT_MEASURED, True) if excused else (Status.FAILED, False)
    )
    assert ("declared maintenance" in verdict.summary) == ("end" not in about)
    assert any(note.startswith("Maintenance of ") for note in verdict.notes) == ("end" not in about)
    failed = {one.id for one in verdict.checks if one.status is Status.FAILED and one.id.startswith("slo/critical/")}
    assert bool(failed) is not excused
