"""The vocabulary of history: one payload for each kind of event, by family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tierdrill.history.payload import KINDS, Payload, Unknown


def payload_of(kind: str, data: Mapping[str, Any]) -> Payload:
    """The typed payload of an event. The families are imported with the first: not every process reads events."""
    if kind not in KINDS:
        from tierdrill.history.kinds import exercise_kinds, gameday_kinds, response_kinds, run_kinds  # noqa: F401
    return KINDS.get(kind, Unknown).read(data)
