"""The columns of the load's samples, and what their values say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

COLUMNS = (
    *("tier", "stream", "due", "lag", "latency", "ttft", "status", "outcome", "reason", "replica", "gateway"),
    *("integrity", "queue_wait", "served_tier", "model", "attempts", "stall", "sequence"),
)


CHOICE_REASONS = frozenset({"shed", "capped", "queue-full", "preempted"})
"""Why a gateway turns a request away on purpose; for any other reason, or for none, it is an outage."""
UNEXPLAINED = frozenset({"", "too-many-requests"})
"""Of a rejection that does not say why: somebody before the gateway may have turned it away."""
UNKNOWN = frozenset({"dropped", "missing"})
"""Outcomes that say nothing of the service: what they would have been is judged at its best and at its worst."""

SINCE_LATER = frozenset(("gateway", "served_tier", "model", "attempts", "stall", "sequence"))
# What the judge looks at, of those.
JUDGED = ("due", "latency", "outcome", "ttft", "integrity", "queue_wait", "reason", "stream", *SINCE_LATER)


def samples_event_data(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The data of a load.samples event from sample rows; the inverse of `collect`."""
    kept = list(rows)
    return {"columns": {name: [row.get(name) for row in kept] for name in COLUMNS}}
