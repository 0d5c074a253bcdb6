"""Label selectors of Kubernetes, as `kubectl -l` takes them and as objects hold them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]

_KEY = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
_EQUALS = re.compile(rf"\s*({_KEY})\s*(==?|!=)\s*({_VALUE})\s*\Z")
_IN = re.compile(rf"\s*({_KEY})\s+(in|notin)\s*\(([^()]*)\)\s*\Z")
_THERE = re.compile(rf"\s*(!?)\s*({_KEY})\s*\Z")
_COMMA = re.compile(r",(?![^(]*\))")


@dataclass(frozen=True)
class Requirement:
    """One condition of a selector: a label's key, and for In and NotIn its values."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels meets it; NotIn is met where the label is missing, as in Kubernetes."""
        if self.operator in ("Exists", "DoesNotExist"):
            return (self.key in labels) == (self.operator == "Exists")
        return (labels.get(self.key) in self.values) == (self.operator == "In")


@dataclass(frozen=True)
class Selector:
    """All its requirements must hold. One without any selects everything."""

    requirements: tuple[Requirement, ...]

    @classmethod
    def parse(cls, text: str) -> Selector:
        """From `app=web,tier in (a, b),!canary`; ValueError says which part is none."""
        return cls(tuple(_requirement(part) for part in _COMMA.split(text) if part.strip()))

    @classmethod
    def of(cls, plain: Mapping[str, Any] | None) -> Selector:
        """From an object's `selector`, with matchLabels and matchExpressions."""
        said = plain or {}
        equal = [Requirement(key, "In", frozenset({value})) for key, value in (said.get("matchLabels") or {}).items()]
        more = [
            Requirement(one["key"], one["operator"], frozenset(one.get("values") or ()))
            for one in said.get("matchExpressions") or ()
        ]
        return cls((*equal, *more))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(one.matches(labels) for one in self.requirements)


def equal_to(labels: Mapping[str, str]) -> str:
    """The selector's text for objects that have all these labels."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _requirement(part: str) -> Requirement:
    if found := _EQUALS.match(part):
        return Requirement(found[1], "NotIn" if found[2] == "!=" else "In", frozenset({found[3]}))
    if found := _IN.match(part):
        values: Sequence[str] = [one.strip() for one in found[3].split(",")]
        if all(re.fullmatch(_VALUE, one) for one in values):
            return Requirement(found[1], "In" if found[2] == "in" else "NotIn", frozenset(values))
    elif found := _THERE.match(part):
        return Requirement(found[2], "DoesNotExist" if found[1] else "Exists")
    raise ValueError(f"got {part.strip()!r}, expected label selectors such as app=web, tier in (a, b), !canary")
