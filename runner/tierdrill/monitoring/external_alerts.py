"""Alerts of a platform that somebody else runs: under the names that drills use, delivered by asking for them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Rename = Callable[[Mapping[str, Any]], dict[str, Any]]
"""An alert's labels (alertname among them) as the platform has them, to those that drills use."""


def renaming(names: Iterable[tuple[str, str, Mapping[str, str]]]) -> Rename:
    """From (our name, the platform's, {our label: the platform's label}); other alerts keep their names.

    A label that is renamed keeps its old name beside the new one.
    """
    by_name: dict[str, tuple[str, Mapping[str, str]]] = {}
    for ours, theirs, labels in names:
        by_name.setdefault(theirs, (ours, labels))

    def rename(labels: Mapping[str, Any]) -> dict[str, Any]:
        found = by_name.get(str(labels.get("alertname")))
        if found is None:
            return dict(labels)
        ours, translated = found
        return {**labels, **{new: labels[old] for new, old in translated.items() if old in labels}, "alertname": ours}

    return rename


class PolledAlerts:
    """Turns what Alertmanager holds, again and again, into what it would have delivered to a webhook."""

    def __init__(self) -> None:
        self._firing: dict[str, dict[str, Any]] = {}

    def body(self, alerts: Sequence[Mapping[str, Any]], now: float) -> dict[str, Any] | None:
        """A webhook body (version 4) of the alerts that began or ended since the last call; None without any.

        A silenced or inhibited alert is delivered to nobody. The Watchdog is told each time.
        """
        active = {
            _key(alert): {**alert, "status": "firing"}
            for alert in alerts
            if (alert.get("status") or {}).get("state") == "active"
        }
        ended_at = datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z")
        ended = [
            {**alert, "status": "resolved", "endsAt": ended_at}
            for key, alert in self._firing.items()
            if key not in active
        ]
        begun = [
            alert
            for key, alert in active.items()
            if key not in self._firing or alert["labels"].get("alertname") == "Watchdog"
        ]
        self._firing = active
        return {"version": "4", "alerts": [*begun, *ended]} if begun or ended else None


def _key(alert: Mapping[str, Any]) -> str:
    return f"{alert.get('startsAt')} {sorted((alert.get('labels') or {}).items())}"
