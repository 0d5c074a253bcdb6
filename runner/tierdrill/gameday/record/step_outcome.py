"""What a step's run came to, whether its hypotheses held, and who said what in its notes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.conductor.guardrails import GuardrailWatch
from tierdrill.documents.models.gameday import AbortCriterion, GameDay, Participant
from tierdrill.documents.variables import fill
from tierdrill.gameday.gameday_model import CANNOT_TELL, HELD, NOT_HELD, REFUSED, Attempt, StepState
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import GuardrailBreached
from tierdrill.judge.judge import NotARun, judge, setting_in
from tierdrill.judge.proof import names
from tierdrill.judge.verdict import Verdict
from tierdrill.report.run.origin import emulated_parts
from tierdrill.report.run_model import Line
from tierdrill.report.run_state import story
from tierdrill.text import listed


def speaker(text: str, participants: Sequence[Participant], default: str) -> tuple[str, str]:
    """The author and the words of "scribe: the pager rang", or of a note that names nobody."""
    head, colon, rest = text.partition(":")
    word = head.strip().lower()
    if colon and word and rest.strip():
        for one in participants:
            if word in (one.name.lower(), one.role, one.name.split()[0].lower()):
                return shown(one), rest.strip()
    return default, text.strip()


def shown(participant: Participant) -> str:
    """How a participant stands beside what they said."""
    return f"{participant.name} ({participant.role})"


def author_of(name: str, participants: Sequence[Participant]) -> str:
    """The author's name as it is shown: with the role of the participant that goes by that name or role."""
    word = name.strip().lower()
    for one in participants:
        if word in (one.name.lower(), one.role):
            return shown(one)
    return name.strip()


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


STORY_MAX = 60
UNCLEAN = "unclean"
_VIA = re.compile(r" \((?:webhook|prometheus|alertmanager)\)$")


def outcome_of(document: GameDay, run: str, events: Sequence[Event]) -> dict[str, Any]:
    """The data of `run.finished`, judged from the run's history; what cannot be judged is inconclusive."""
    try:
        verdict = judge(events)
        setting = setting_in(events)
    except (NotARun, LookupError, TypeError, ValueError) as error:
        return told(run, "inconclusive", f"its history cannot be judged: {error}")
    state = story(events)
    return {
        "run": run,
        "status": verdict.status.value,
        "summary": verdict.summary,
        "times": {name: getattr(verdict.times, name) for name in ("mttd", "mtta", "mitigate", "mttr")},
        "reasons": list(verdict.reasons),
        "checks": _checks(verdict),
        "breached": breached(document.abort, events),
        "story": _story(state.lines),
        "variables": dict(setting.drill.variables),
        "tiers": [tier.name for tier in setting.tiers.by_rank()],
        "emulated": list(emulated_parts(setting, state)),
    }


def told(run: str | None, status: str, summary: str) -> dict[str, Any]:
    """The data of `run.finished` for a run that there is no verdict on."""
    return {"run": run, "status": status, "summary": summary}


def refused(complaint: str) -> dict[str, Any]:
    """The data of `run.finished` for a run that never began."""
    return told(None, REFUSED, complaint or "its process ended before the run began")


def _story(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """What a reader wants of a run's story: what went well or not, and each alert once, by its first witness."""
    told: dict[str, Line] = {}
    for line in lines:
        if line.level != "info":
            key = _VIA.sub("", line.text) if line.text.startswith("alert ") else f"{line.at} {line.text}"
            told.setdefault(key, line)
    found = list(told.values())[-STORY_MAX:]
    return [{"at": line.at, "text": _VIA.sub("", line.text), "level": line.level} for line in found]


def _checks(verdict: Verdict) -> list[dict[str, Any]]:
    return [
        {
            "id": check.id,
            "status": check.status.value,
            "title": check.title,
            "expected": check.expected,
            "seen": check.seen,
            "value": check.value,
            "low": check.low,
            "high": check.high,
            "limit": check.limit,
            "samples": check.samples,
        }
        for check in verdict.checks
    ]


def breached(criteria: Iterable[AbortCriterion], events: Iterable[Event]) -> list[str]:
    """The abort criteria, in their words, that a run broke: it watched them as guardrails of its own."""
    names = {said.guardrail for _, said in each(events, GuardrailBreached)}
    return [
        criterion.words
        for criterion in criteria
        if criterion.guardrail is not None and GuardrailWatch(criterion.guardrail).name in names
    ]
