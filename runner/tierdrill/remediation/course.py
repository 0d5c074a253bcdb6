"""One playbook's way through one incident: from the notification to the end of its steps, and later to giving back."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from tierdrill.remediation.engine_journal import notice_data
from tierdrill.remediation.incident_book import Incident
from tierdrill.remediation.steps import Stage
from tierdrill.remediation.substitution import Bound

State = Literal["considered", "declined", "closed", "begun"]
DEDUP_KEY_MAX = 255


@dataclass(eq=False)
class Course:
    """`declined` may be considered again when the alert is repeated (its guards looked at facts that change);
    `closed` may not.

    `given` are the on_resolve steps that an engine before this one was seen to have done; `said` is the last reason for
    a skip that was written, so that a repeated alert does not repeat it.
    for a skip that was written, so that a repeated alert does not repeat it.
    """

    bound: Bound
    incident: Incident
    arrived: float
    state: State = "considered"
    has_slot: bool = False
    touched: bool = False
    given: frozenset[str] = frozenset()
    said: str | None = None
    acted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        """The playbook's name."""
        return self.bound.playbook.metadata.name

    @property
    def execution(self) -> str:
        """The execution's name: the same incident gives the same name, also after a restart."""
        digest = hashlib.sha256(f"{self.name} {self.incident.key}".encode()).hexdigest()
        return f"{self.name}-{digest[:10]}"

    @property
    def page_key(self) -> str:
        """What makes all pages about this playbook on this target one incident for the pager."""
        key = f"tierdrill/{self.name}/{self.bound.target}"
        return key if len(key) <= DEDUP_KEY_MAX else hashlib.sha256(key.encode()).hexdigest()

    def same_work(self, other: Course) -> bool:
        """The same playbook on the same target."""
        return (self.name, self.bound.target) == (other.name, other.bound.target)

    def stage(self, attempt: int, phase: str) -> Stage:
        """Where events of this attempt and phase belong."""
        return Stage(self.name, self.execution, self.bound.target, attempt, phase, self.bound.retargeted)

    def identity(self) -> dict[str, Any]:
        """What every event about this execution says."""
        base = {"playbook": self.name, "execution": self.execution, "target": self.bound.target}
        return {**base, "retargeted": True} if self.bound.retargeted else base

    def started_data(self, attempt: int) -> dict[str, Any]:
        """`playbook.started`, with what a new engine needs in order to go on after a crash."""
        return {
            **self.identity(),
            "alert": self.incident.notice.alert,
            "attempt": attempt,
            "phase": "act",
            "notice": notice_data(self.incident.notice),
            "group": list(self.bound.group),
            "nodes": sorted(self.bound.nodes),
            "gives_back": bool(self.bound.on_resolve),
        }
