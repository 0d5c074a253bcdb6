"""What a step's run came to, as the journal keeps it: enough for the record and for comparing, without the history."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from tierdrill.conductor.guardrails import GuardrailWatch
from tierdrill.documents.models.gameday import AbortCriterion, GameDay
from tierdrill.gameday.gameday_model import REFUSED
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import GuardrailBreached
from tierdrill.judge.judge import NotARun, judge, setting_in
from tierdrill.judge.verdict import Verdict
from tierdrill.report.run.origin import emulated_parts
from tierdrill.report.run_model import Line
from tierdrill.report.run_state import story

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
