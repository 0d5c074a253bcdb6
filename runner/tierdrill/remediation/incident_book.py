"""The book of incidents: which notification is news, which a repetition, which comes too late.

Alertmanager repeats, reorders under load and, after a restart, may never say that something resolved. The book
answers with plain facts and remembers a bounded number of label sets.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tierdrill.remediation.alert_notice import AlertNotice

LABEL_SETS_MAX = 50_000

_SELECTOR = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\{([^{}]*)\})?\Z")

Kind = Literal["new", "repeated", "resolved", "stale"]


@dataclass
class Incident:
    """One firing of one alert, and whether it still fires."""

    notice: AlertNotice
    firing: bool = True
    resolved: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        """The dedup key."""
        return self.notice.incident

    def end(self) -> None:
        """It resolved."""
        self.firing = False
        self.resolved.set()


@dataclass(frozen=True)
class News:
    """What a notification means. `superseded` is an older incident of the same labels that must have ended unseen."""

    kind: Kind
    incident: Incident | None
    superseded: Incident | None = None


class IncidentBook:
    """The newest incident of every label set."""

    def __init__(self, label_sets_max: int = LABEL_SETS_MAX) -> None:
        self._newest: dict[str, Incident] = {}
        self._by_alert: dict[str, dict[str, Incident]] = {}
        self._max = label_sets_max

    def take(self, notice: AlertNotice) -> News:
        """Enter a notification. A firing one whose end is already known, or that is older than what is known, is
        stale.
        """
        known = self._newest.get(notice.fingerprint)
        if known and known.key == notice.incident:
            if notice.status == "resolved":
                if not known.firing:
                    return News("stale", None)
                known.end()
                return News("resolved", known)
            return News("repeated", known) if known.firing else News("stale", None)
        if known and notice.starts_at < known.notice.starts_at:
            return News("stale", None)
        superseded = known if known and known.firing else None
        if superseded:
            superseded.end()
        incident = Incident(notice)
        if notice.status == "resolved":
            incident.end()
        self._keep(incident)
        return News("new" if incident.firing else "resolved", incident, superseded)

    def firing(self, subject: str) -> bool:
        """Does an alert of this name, with these labels, fire? ValueError if the subject cannot be read."""
        name, labels = alert_selector(subject)
        return any(
            all(incident.notice.labels.get(label) == value for label, value in labels.items())
            for incident in self._by_alert.get(name, {}).values()
            if incident.firing
        )

    def _keep(self, incident: Incident) -> None:
        fingerprint = incident.notice.fingerprint
        self._forget(fingerprint)
        self._newest[fingerprint] = incident
        # By alert as well, so that a storm of one alert does not slow down questions about another.
        self._by_alert.setdefault(incident.notice.alert, {})[fingerprint] = incident
        if len(self._newest) > self._max:
            self._forget(next(iter(self._newest)))

    def _forget(self, fingerprint: str) -> None:
        gone = self._newest.pop(fingerprint, None)
        if gone is not None:
            self._by_alert[gone.notice.alert].pop(fingerprint, None)


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
        raise ValueError(f"got {subject!r}, expected AlertName or AlertName{{label=value}}")
    return found[1], labels
