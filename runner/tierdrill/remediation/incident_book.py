"""Alert notifications as the engine takes them, and how they are read from an Alertmanager webhook.

An *incident* is one firing of one alert: Alertmanager's fingerprint (the label set) plus startsAt. Alertmanager
repeats a notification for as long as the alert fires; a playbook runs once per incident, however often it is told.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from tierdrill.documents.models.playbook import Match

WEBHOOK_VERSION = "4"


class NoticeError(ValueError):
    """A webhook body that is not an Alertmanager notification; the message says what was found."""


@dataclass(frozen=True)
class AlertNotice:
    """One alert in one notification. Times are Unix seconds."""

    alert: str
    status: Literal["firing", "resolved"]
    labels: Mapping[str, str]
    fingerprint: str
    starts_at: float
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def incident(self) -> str:
        """The dedup key: equal for every repetition of the same firing."""
        return f"{self.fingerprint}@{self.starts_at:.3f}"


def matches(match: Match, notice: AlertNotice) -> bool:
    """Is this the alert the playbook waits for, with every label it asks for?"""
    return match.alert == notice.alert and all(notice.labels.get(name) == value for name, value in match.labels.items())


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """A stable name for a label set, for senders that give none."""
    text = json.dumps(sorted(labels.items()), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse_instant(text: object) -> float:
    """Unix seconds from RFC 3339 as Alertmanager writes it (nanoseconds, Z)."""
    if not isinstance(text, str):
        raise NoticeError(f"got {text!r}, expected an RFC 3339 time")
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise NoticeError(f"got {text!r}, expected an RFC 3339 time") from error
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def notices_of(payload: Any) -> list[AlertNotice]:
    """The alerts of one webhook body (Alertmanager's version 4); NoticeError if it is something else.

    A body that tells no version is one of a sender that imitates Alertmanager, and is read as version 4.
    """
    version = payload.get("version") if isinstance(payload, Mapping) else None
    if version not in (None, WEBHOOK_VERSION):
        raise NoticeError(
            f"got an Alertmanager webhook body of version {str(version)[:20]!r}, expected version "
            f"{WEBHOOK_VERSION!r}, which Alertmanager sends since 0.6"
        )
    alerts = payload.get("alerts") if isinstance(payload, Mapping) else None
    if not isinstance(alerts, list):
        raise NoticeError("no list `alerts`, expected an Alertmanager webhook body (version 4)")
    return [_notice_of(alert) for alert in alerts]


def _notice_of(alert: Any) -> AlertNotice:
    if not isinstance(alert, Mapping):
        raise NoticeError(f"got {alert!r} in `alerts`, expected an object")
    labels = _texts(alert.get("labels"))
    status = alert.get("status")
    if "alertname" not in labels:
        raise NoticeError("got an alert without the label alertname")
    if status not in ("firing", "resolved"):
        raise NoticeError(f"got status {status!r}, expected firing or resolved")
    return AlertNotice(
        alert=labels["alertname"],
        status=status,
        labels=labels,
        fingerprint=str(alert.get("fingerprint") or fingerprint_of(labels)),
        starts_at=parse_instant(alert.get("startsAt")),
        annotations=_texts(alert.get("annotations")),
    )


def _texts(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise NoticeError(f"got {value!r}, expected an object of texts")
    return {str(name): str(text) for name, text in value.items()}


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
