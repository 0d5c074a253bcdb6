"""What a trainee works with in the browser: the tools of `tierdrill ops` as forms, and what they answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

TRANSCRIPT_MAX = 30


@dataclass(frozen=True)
class ToolField:
    """What a tool is told: `choices` where it is one of some words, `flag` where it is said or not."""

    name: str
    label: str
    required: bool = False
    choices: tuple[str, ...] = ()
    flag: bool = False
    value: str = ""


@dataclass(frozen=True)
class Tool:
    """One of `tierdrill ops`: its name there, the question that it asks of the exercise, and what it is told."""

    name: str
    question: str
    help: str
    fields: tuple[ToolField, ...] = ()


Tools = Callable[[], Mapping[str, Sequence[Tool]]]
"""The trainee's tools by section."""


@dataclass(frozen=True)
class Said:
    """A question of somebody's and its answer."""

    at: float
    person: str
    words: str
    text: str
    ok: bool


class Transcripts:
    """The last questions and answers of each exercise, for whoever looks at its page."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[Said]] = {}

    def add(self, exercise: str, said: Said) -> None:
        self._kept.setdefault(exercise, deque(maxlen=TRANSCRIPT_MAX)).appendleft(said)

    def of(self, exercise: str) -> list[Said]:
        """The newest first."""
        return list(self._kept.get(exercise, ()))
