"""Hypotheses: judged from checks where they name some, asked of people elsewhere, and never from too little."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gameday.support import AT, begun, finished, state_of
from tierdrill.gameday.record.step_outcome import judged
from tierdrill.history.events import Event


def check(name: str, status: str) -> dict[str, Any]:
    return {"id": name, "title": name, "status": status, "seen": "seen", "expected": "wanted"}


@pytest.mark.parametrize(
    ("status", "checks", "held"),
    [
        ("passed", ["passed", "passed"], "held"),
        ("failed", ["passed", "passed"], "held"),
        ("failed", ["passed", "failed"], "not held"),
        ("failed", ["inconclusive", "failed"], "not held"),
        ("failed", ["passed", "inconclusive"], "cannot tell"),
        ("failed", [], "cannot tell"),
        ("inconclusive", ["passed", "failed"], "cannot tell"),
        ("aborted", ["passed"], "cannot tell"),
        ("unclean", ["passed"], "cannot tell"),
    ],
)
def test_checks_decide(status: str, checks: list[str], held: str) -> None:
    named = [check(f"playbook/reschedule-critical/{number}", one) for number, one in enumerate(checks)]
    others = [check("slo/critical/availability", "failed"), check("playbook/other/fired", "failed")]
    state = state_of(begun(), finished(status=status, checks=[*named, *others]))
    assert judged(state.steps[0], 0).held == held


def test_variables_of_the_run_fill_the_patterns() -> None:
    from tests.gameday.support import document

    step = {"drill": "node-loss", "hypotheses": [{"words": "w", "checks": ["fault/${node}/landed"]}]}
    state = state_of(
        begun(), finished(variables={"node": "node-3"}, checks=[check("fault/node-3/landed", "passed")]),
        of=document(steps=[step]),
    )  # fmt: skip
    assert judged(state.steps[0], 0).held == "held"


def test_people_say_what_no_check_does_and_the_last_word_counts() -> None:
    answers = [
        Event(AT + 110 + n, "hypothesis.answered", f"p{n}", {"step": 0, "hypothesis": 1, "held": held})
        for n, held in enumerate(["held", "not held"])
    ]
    assert judged(state_of(begun(), finished()).steps[0], 1).held == "not judged"
    found = judged(state_of(begun(), finished(), *answers).steps[0], 1)
    assert (found.held, found.because) == ("not held", "said by p1")


def test_what_did_not_run_shows_nothing() -> None:
    assert judged(state_of().steps[0], 0).held == "not judged"
    assert judged(state_of(begun()).steps[0], 0).because == "the step is in progress"
    skipped = state_of(Event(AT, "step.skipped", "x", {"step": 0, "reason": "late"}))
    assert judged(skipped.steps[0], 0).because == "the step was skipped: late"
