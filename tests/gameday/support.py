"""What tests of game days share: a document, events, journals in a folder, commands carried out in turn."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tierdrill.documents.models.gameday import GameDay
from tierdrill.gameday.gameday_commands import Command, Decision, decide
from tierdrill.gameday.gameday_model import GameDayState
from tierdrill.gameday.gameday_state import fold
from tierdrill.gameday.journal import Journal
from tierdrill.history.events import Event

AT = 1_790_000_000.0
ANA = "Ana Ruiz (facilitator)"


def document(**more: Any) -> GameDay:
    """Two steps, all roles, every kind of announcement."""
    return GameDay.model_validate(
        {
            "apiVersion": "tierdrill/v1",
            "kind": "GameDay",
            "metadata": {"name": "quick", "title": "Two | quick ones"},
            "goal": "See it work.",
            "environment": "lab",
            "participants": [
                {"name": "Ana Ruiz", "role": "facilitator"},
                {"name": "Ben", "role": "on-call", "contact": "pager:ben"},
                {"name": "Cleo", "role": "scribe"},
            ],
            "checklist": {"before": ["everybody is here", "nothing is injected"], "after": ["all is clean"]},
            "communications": [
                {"to": "support", "channel": "chat", "when": "ahead", "ahead": 3600.0, "text": "soon"},
                {"to": "support", "channel": "chat", "when": "start", "text": "it begins"},
                {"to": "Ben", "channel": "voice", "when": "step", "text": "say what you see"},
                {"to": "support", "channel": "chat", "when": "end", "text": "it is over"},
                {"to": "all", "channel": "chat", "when": "abort", "text": "it was stopped"},
            ],
            "abort": [
                {"words": "somebody says stop"},
                {
                    "words": "half of it is gone",
                    "guardrail": {"tier": "critical", "availability_below": 0.4, "window": 3.0},
                },
            ],
            "steps": [
                {
                    "drill": "node-loss",
                    "hypotheses": [
                        {"words": "the playbook runs", "checks": ["playbook/reschedule-critical/*"]},
                        {"words": "Ben names the node"},
                    ],
                    "pause": 300.0,
                },
                {"drill": "node-loss", "name": "without-the-playbook", "variant": "sabotage:playbook-disabled"},
            ],
            "extend_by": 120.0,
            **more,
        }
    )


def opened(of: GameDay | None = None, at: float = AT, **more: Any) -> Event:
    """The first event of a journal."""
    data = {
        "gameday": "quick-1",
        "document": (of or document()).model_dump(mode="json"),
        "catalogue": "/nowhere",
        "lab": None,
        "unattended": False,
        "pauses": True,
        "planned": [48.0, 50.0],
        "version": "0",
        **more,
    }
    return Event(at, "gameday.opened", ANA, data)


def state_of(*events: Event, **more: Any) -> GameDayState:
    """The state after an opening and these events."""
    return fold([opened(**more), *events])


def finished(step: int = 0, attempt: int = 1, at: float = AT + 100, status: str = "passed", **more: Any) -> Event:
    """A run's outcome."""
    data = {"step": step, "attempt": attempt, "run": f"r{step}-{attempt}", "status": status, "summary": "so it went"}
    return Event(at, "run.finished", "tierdrill", {**data, **more})


def begun(step: int = 0, attempt: int = 1, at: float = AT + 10) -> Event:
    """A step's beginning."""
    return Event(at, "step.begun", ANA, {"step": step, "attempt": attempt})


def carried_out(state: GameDayState, commands: Iterable[Command], at: float = AT + 1) -> tuple[GameDayState, Decision]:
    """The state after the commands, a second apart, and the last decision."""
    decision = Decision()
    for number, command in enumerate(commands):
        decision = decide(state, command, at + number)
        state = fold(decision.events, state)
    return state, decision


def journal(home: Path, *events: Event, **more: Any) -> Journal:
    """A journal on the disk."""
    made = Journal.create(home, "quick-1", opened(**more))
    if events:
        made.write(events)
    made.read()
    return made
