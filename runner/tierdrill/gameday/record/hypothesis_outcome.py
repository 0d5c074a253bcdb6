"""Whether a hypothesis held: from the verdict's checks where it names some, else from what somebody said. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tierdrill.documents.problems import listed
from tierdrill.documents.variables import fill
from tierdrill.gameday.gameday_model import CANNOT_TELL, HELD, NOT_HELD, Attempt, StepState
from tierdrill.judge.trend.proof import names

OPEN = "not judged"
"""Nobody has said yet, or the step has not run."""

CONCLUDED = ("passed", "failed")


@dataclass(frozen=True)
class Judged:
    """`held` is one of the answers, or `not judged`; `because` says what it rests on."""

    held: str
    because: str


def judged(step: StepState, number: int) -> Judged:
    """What became of a step's hypothesis in its last run."""
    hypothesis = step.step.hypotheses[number]
    last = step.last
    if step.skipped is not None:
        return Judged(OPEN, f"the step was skipped: {step.skipped}")
    if last is None or last.finished is None:
        return Judged(OPEN, "the step has not run" if last is None else "the step is in progress")
    if not hypothesis.checks:
        if (answer := step.answer(number)) is not None:
            return Judged(answer[0], f"said by {answer[1]}")
        return Judged(OPEN, "not judged yet")
    return _from_checks(last, hypothesis.checks)


def _from_checks(last: Attempt, patterns: tuple[str, ...]) -> Judged:
    variables = last.outcome.variables or {}
    filled = [str(fill(pattern, variables)) for pattern in patterns]
    mine = [check for check in last.checks if any(names(pattern, str(check["id"])) for pattern in filled)]
    lacking = [pattern for pattern in filled if not any(names(pattern, str(check["id"])) for check in last.checks)]
    # A run that was stopped or is not to be believed shows nothing, whatever single checks say.
    if last.status not in CONCLUDED:
        return Judged(CANNOT_TELL, f"the run was {last.status}: {last.summary}")
    failed = [check for check in mine if check["status"] == "failed"]
    if failed:
        seen = listed([f"{check['title']}: {check['seen']}" for check in failed], 3)
        return Judged(NOT_HELD, seen)
    if lacking:
        return Judged(CANNOT_TELL, f"the verdict has no check {listed(lacking)}")
    unsure = [check for check in mine if check["status"] != "passed"]
    if unsure:
        return Judged(CANNOT_TELL, listed([f"{check['title']}: {check['seen']}" for check in unsure], 3))
    return Judged(HELD, f"{len(mine)} of {len(mine)} checks passed")
