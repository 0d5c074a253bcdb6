"""Alert notifications as the engine takes them, and how they are read from an Alertmanager webhook.

An *incident* is one firing of one alert: Alertmanager's fingerprint (the label set) plus startsAt. Alertmanager
repeats a notification for as long as the alert fires; a playbook runs once per incident, however often it is told.
"""

from __future__ import annotations

import hashlib
import json
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
