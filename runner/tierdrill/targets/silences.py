"""Silences in an Alertmanager, by their comment: made, looked for, and taken back. httpx.HTTPError where it refuses."""

from datetime import UTC, datetime, timedelta

import httpx


def silence(alertmanager: httpx.Client, alert: str, comment: str, for_s: float) -> None:
    """Deliver nothing of that alert for so many seconds."""
    now = datetime.now(UTC)
    body = {
        "matchers": [{"name": "alertname", "value": alert, "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(seconds=for_s)).isoformat(),
        "createdBy": "tierdrill",
        "comment": comment,
    }
    alertmanager.post("/api/v2/silences", json=body).raise_for_status()


def silences(alertmanager: httpx.Client, comment: str) -> list[str]:
    """The ids of those with that comment that have not expired."""
    answer = alertmanager.get("/api/v2/silences")
    answer.raise_for_status()
    return [one["id"] for one in answer.json() if one["comment"] == comment and one["status"]["state"] != "expired"]


def lift(alertmanager: httpx.Client, comment: str) -> None:
    """End those with that comment."""
    for one in silences(alertmanager, comment):
        alertmanager.delete(f"/api/v2/silence/{one}").raise_for_status()
