"""What every kind of fault is: it looks at its target, is applied, holds, tells what is to be seen, and is undone."""

from __future__ import annotations

import hashlib
from typing import Any, Callable

REVERTED = "reverted"
NOTHING = "nothing to do"

Record = dict[str, Any]
"""A fault as plain data, in the journal before it is applied: fault, kind, target, parameters, and what was `found`."""


class Refused(Exception):
    """What was asked for cannot or must not be done; the message says why."""


def short(fault: str) -> str:
    """A name for a fault of any length, which the kernel's names have room for."""
    return hashlib.sha256(fault.encode()).hexdigest()[:12]


class Fault:
    """One fault. `undo` may be called at any time and as often as one likes, also by a later process that has only the
    record.
    """

    tick_s: float | None = None
    """How often `tick` wants to be called while the fault stands; None: never."""

    def __init__(self, record: Record, tell: Callable[..., None] = lambda event, **data: None) -> None:
        self.record, self.tell = record, tell
        self.target: dict[str, Any] = record["target"]
        self.parameters: dict[str, Any] = record["parameters"]
        self.found: dict[str, Any] = record.get("found") or {}

    def bind(self) -> dict[str, Any]:
        """What is found of the target now. Refused if it is not there, is not to be touched, or this machine has no
        means.
        """
        raise NotImplementedError

    def apply(self) -> None:
        """Do it to what was found. Refused if that is not there any more."""
        raise NotImplementedError

    def tick(self) -> None:
        """Hold it: what is new since is hit as well."""

    def undo(self) -> str:
        """Take it back: REVERTED or NOTHING. Refused if that is not possible at the moment."""
        raise NotImplementedError

    def look(self) -> tuple[bool, str]:
        """Whether the kernel shows it in effect, and what there is to see."""
        raise NotImplementedError

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """A parameter that is a number within bounds."""
        value = self.parameters.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise Refused(f"{name}: got {value!r}, expected a number from {low:g} to {high:g}")
        return value
