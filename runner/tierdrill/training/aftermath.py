"""What is said of an exercise once it is over."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.history.store import HistoryStore
from tierdrill.training.documents import NotAnExercise
from tierdrill.training.host import ExerciseOutcome
from tierdrill.training.scoring import score_history


@dataclass(frozen=True)
class Told:
    """The last words: for people, and as one line of JSON."""

    text: str
    line: dict[str, Any]


def aftermath(home: Path, outcome: ExerciseOutcome, *, color: bool) -> Told:
    """Score the exercise and say where its debrief is."""
    with closing(HistoryStore(home)) as store:
        events = store.events(outcome.exercise)
    line: dict[str, Any] = {"kind": "score", "exercise": outcome.exercise, "reason": outcome.reason, "why": outcome.why}
    try:
        card = score_history(events)
    except NotAnExercise as error:
        return Told(
            f"{outcome.exercise} ended: {outcome.why}; no score: {error}",
            {**line, "score": None, "no_score": str(error)},
        )
    line |= card.to_json()
    shown = f"{card.score:g} of {card.out_of:g} points" if card.score is not None else f"no score: {card.no_score}"
    text = (
        f"{outcome.exercise} ended ({outcome.reason}: {outcome.why})\nscenario {card.scenario} ({card.level}): {shown}"
    )
    return Told(text, line)
