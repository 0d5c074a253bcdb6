"""Is a condition met by a fact's value? And which alerts a subject such as `NodeNotReady{node=node-2}` means. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.models.playbook import Condition

_SELECTOR = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\{([^{}]*)\})?\Z")


@dataclass(frozen=True)
class Outcome:
    """Whether a condition held, and what was seen, in words for the history."""

    met: bool
    seen: str


def judge(condition: Condition, value: Any) -> Outcome:
    """A fact's value against what is asked of it. Without a comparison the fact must be true."""
    problems = [text for text in (_equals(condition, value), *_bounds(condition, value)) if text]
    seen = f"{name_of(condition)} is {_show(value)}"
    return Outcome(not problems, f"{seen}, not {' and '.join(problems)}" if problems else seen)


def name_of(condition: Condition) -> str:
    """`node.ready of node-2`."""
    return f"{condition.fact} of {condition.subject}" if condition.subject else condition.fact


def _equals(condition: Condition, value: Any) -> str | None:
    asked = condition.equals
    if asked is None:
        bare = condition.at_least is None and condition.at_most is None
        return "true" if bare and value is not True else None
    # Python holds True == 1; a fact that is a number must not pass for one that is yes or no.
    same = value == asked and isinstance(value, bool) == isinstance(asked, bool)
    return None if same else _show(asked)


def _bounds(condition: Condition, value: Any) -> list[str]:
    bounds = []
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    # Written so that NaN, which compares false with everything, is out of bounds.
    if condition.at_least is not None and not (number is not None and number >= condition.at_least):
        bounds.append(f"at least {condition.at_least:g}")
    if condition.at_most is not None and not (number is not None and number <= condition.at_most):
        bounds.append(f"at most {condition.at_most:g}")
    return bounds


def _show(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def alert_selector(subject: str) -> tuple[str, Mapping[str, str]]:
    """`NodeNotReady{node=node-2}` -> name and labels; ValueError with what is allowed."""
    found = _SELECTOR.match(subject.strip())
    labels: dict[str, str] = {}
    for part in filter(None, (found[2] or "").split(",") if found else []):
        name, equals, value = part.partition("=")
        if not equals:
            found = None
            break
        labels[name.strip()] = value.strip().strip('"')
    if not found:
        raise ValueError(f"found {subject!r}; allowed is AlertName or AlertName{{label=value}}")
    return found[1], labels
