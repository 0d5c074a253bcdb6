"""From what is seen of alerts to what happened to them: each state of each alert is told once per way it was seen.

Three ways see the same alert: Prometheus (its ALERTS series), Alertmanager (its API) and the webhook. They see it at
different moments and need not agree; that is the point of having three.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tierdrill.history.events import Event, event
from tierdrill.history.kinds.response_kinds import AlertState

SOURCE = "monitoring"
HIDDEN_LABELS = frozenset({"__name__", "alertname", "alertstate"})

AlertKey = tuple[str, tuple[tuple[str, str], ...]]
"""An alert: its name and its other labels, sorted."""


@dataclass(frozen=True)
class Sighting:
    """One alert as one way shows it. `at` is when it was so, `starts_at` since when."""

    key: AlertKey
    state: str
    at: float
    starts_at: float


@dataclass(frozen=True)
class Span:
    """A time in which an alert fired; `end` is None while it still does."""

    key: AlertKey
    start: float
    end: float | None


Known = Mapping[AlertKey, Sighting]
"""What one way showed last."""


def key_of(labels: Mapping[str, Any]) -> AlertKey:
    """The alert that labels belong to; ValueError where they name none."""
    name = labels.get("alertname")
    if not isinstance(name, str) or not name:
        raise ValueError("got labels without alertname")
    return name, tuple(sorted((str(k), str(v)) for k, v in labels.items() if k not in HIDDEN_LABELS))


def alert_event(sighting: Sighting, via: str) -> Event:
    """The history's event of one state of one alert."""
    name, labels = sighting.key
    plain = dict(labels)
    said = AlertState(
        alert=name,
        state=sighting.state,
        labels=plain,
        severity=plain.get("severity", ""),
        starts_at=sighting.starts_at,
        via=via,
    )
    return event(said, SOURCE, sighting.at)


def whole_picture(
    known: Known, seen: Iterable[Sighting], now: float
) -> tuple[dict[AlertKey, Sighting], list[Sighting]]:
    """What changed, where a way shows all its alerts at once. One that fired and is no longer shown has resolved; one
    that was only pending has come to nothing and is inactive again.
    """
    after = _strongest(seen)
    changes = [sighting for key, sighting in after.items() if _is_news(known.get(key), sighting)]
    for key, before in known.items():
        if before.state == "firing" and (key not in after or after[key].state != "firing"):
            changes.append(Sighting(key, "resolved", now, before.starts_at))
        elif before.state == "pending" and key not in after:
            changes.append(Sighting(key, "inactive", now, before.starts_at))
    return after, _in_order(changes)


def notified(known: Known, seen: Sequence[Sighting]) -> tuple[dict[AlertKey, Sighting], list[Sighting]]:
    """What changed, where a way tells of one alert at a time, again and again, and not always in order."""
    after, changes = dict(known), []
    for sighting in seen:
        before = after.get(sighting.key)
        if before is None and sighting.state == "resolved":
            continue  # it fired before we listened
        if before is not None and _is_late(before, sighting):
            continue
        if _is_news(before, sighting) or (before is not None and _fired_again(before, sighting)):
            changes.append(sighting)
        after[sighting.key] = sighting
    return after, changes


def missed(spans: Iterable[Span], told: Iterable[Span], slack_s: float) -> list[Sighting]:
    """Firings that looking now and then did not see: none told of the same alert lies near them."""
    by_key: dict[AlertKey, list[Span]] = {}
    for span in told:
        by_key.setdefault(span.key, []).append(span)
    found: list[Sighting] = []
    for span in spans:
        if any(_overlap(span, other, slack_s) for other in by_key.get(span.key, ())):
            continue
        found.append(Sighting(span.key, "firing", span.start, span.start))
        if span.end is not None:
            found.append(Sighting(span.key, "resolved", span.end, span.start))
    return _in_order(found)


def spans_of(key: AlertKey, times: Sequence[float], step_s: float, *, firing_now: bool) -> list[Span]:
    """Consecutive samples of a range query as spans; the last one is open if the alert still fires."""
    ends: list[tuple[float, float]] = []
    for at in times:
        if ends and at - ends[-1][1] <= 1.5 * step_s:
            ends[-1] = (ends[-1][0], at)
        else:
            ends.append((at, at))
    spans = [Span(key, start, end + step_s) for start, end in ends]
    if spans and firing_now:
        spans[-1] = Span(key, spans[-1].start, None)
    return spans


def told_spans(sightings: Iterable[Sighting]) -> list[Span]:
    """Firings and resolutions that were told, as spans."""
    spans: list[Span] = []
    opened: dict[AlertKey, float] = {}
    for sighting in sightings:
        if sighting.state == "firing":
            opened.setdefault(sighting.key, sighting.at)
        elif sighting.state == "resolved" and sighting.key in opened:
            spans.append(Span(sighting.key, opened.pop(sighting.key), sighting.at))
    return spans + [Span(key, start, None) for key, start in opened.items()]


def api_sightings(alerts: Iterable[Mapping[str, Any]], now: float) -> list[Sighting]:
    """Alertmanager's alerts as sightings. A silenced one fires too: Alertmanager has it, and tells nobody."""
    return [
        Sighting(key_of(alert.get("labels", {})), "firing", now, instant(alert.get("startsAt"), now))
        for alert in alerts
        if isinstance(alert.get("labels"), Mapping) and alert["labels"].get("alertname")
    ]


def webhook_sightings(payload: Mapping[str, Any], now: float) -> list[Sighting]:
    """A webhook body's alerts as sightings; what is malformed in it is left out."""
    found = []
    for alert in payload.get("alerts") or ():
        if not isinstance(alert, Mapping) or alert.get("status") not in ("firing", "resolved"):
            continue
        labels = alert.get("labels")
        if isinstance(labels, Mapping) and labels.get("alertname"):
            found.append(Sighting(key_of(labels), alert["status"], now, instant(alert.get("startsAt"), now)))
    return found


def instant(text: object, otherwise: float) -> float:
    """Unix seconds from RFC 3339."""
    if not isinstance(text, str):
        return otherwise
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return seconds if math.isfinite(seconds) else otherwise


def _strongest(seen: Iterable[Sighting]) -> dict[AlertKey, Sighting]:
    """One sighting an alert: for a moment Prometheus may show it both pending and firing."""
    found: dict[AlertKey, Sighting] = {}
    for sighting in seen:
        if sighting.key not in found or sighting.state == "firing":
            found[sighting.key] = sighting
    return found


def _is_news(before: Sighting | None, after: Sighting) -> bool:
    return before is None or before.state != after.state


def _fired_again(before: Sighting, after: Sighting) -> bool:
    # Alertmanager folds a resolution and a new firing into one notification if both come within its group interval.
    return after.state == "firing" and after.starts_at > before.starts_at + 0.001


def _is_late(before: Sighting, after: Sighting) -> bool:
    """Whether it tells of an earlier firing than is known, or of the begin of one whose end is known."""
    if before.state == "resolved" and after.state == "firing":
        return after.starts_at <= before.starts_at + 0.001
    return after.starts_at < before.starts_at - 0.001


def _overlap(one: Span, other: Span, slack_s: float) -> bool:
    return (
        one.start <= (math.inf if other.end is None else other.end) + slack_s
        and other.start <= (math.inf if one.end is None else one.end) + slack_s
    )


def _in_order(sightings: Iterable[Sighting]) -> list[Sighting]:
    return sorted(sightings, key=lambda sighting: (sighting.at, sighting.key, sighting.state))
