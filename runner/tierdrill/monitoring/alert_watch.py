"""Watching alerts for the length of a run: three ways at once, one timeline, and a note of every gap in the watching.

An alert that was not seen did not necessarily not fire. So whenever Prometheus or Alertmanager gives no answer, or an
answer without the Watchdog that always fires, the time is counted, and past a limit it is an event that makes the run's
verdict inconclusive.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.history.events import Event, event
from tierdrill.history.kinds.response_kinds import AlertSilenced, MonitoringGap
from tierdrill.monitoring.alert_names import WATCHDOG
from tierdrill.monitoring.alert_transitions import (
    SOURCE,
    AlertKey,
    Sighting,
    Span,
    alert_event,
    api_sightings,
    key_of,
    missed,
    notified,
    spans_of,
    told_spans,
    webhook_sightings,
    whole_picture,
)
from tierdrill.monitoring.external_alerts import Rename
from tierdrill.monitoring.query import AlertmanagerClient, NoData, Prometheus, Series

PROMETHEUS_PERIOD_S = 0.5
ALERTMANAGER_PERIOD_S = 1.0
GAP_S = 2.0
WEBHOOK_GAP_S = 10.0
"""The Watchdog is delivered every few seconds (see the Alertmanager configuration); this long without it is a gap."""

RANGE_STEP_S = 0.25
MISSED_SLACK_S = 2.0
COMMENT_CHARACTERS = 500
FIRING = 'timestamp(ALERTS{alertstate="firing"})'


class Silence:
    """How long a way of watching has shown nothing. Tells of a gap when it passes the limit and again when it ends."""

    def __init__(self, what: str, limit_s: float, emit: Callable[[Event], object]) -> None:
        self._what, self._limit_s, self._emit = what, limit_s, emit
        self._since: float | None = None
        self._told_s: float | None = None
        self._reason = ""
        self._waking = True

    def good(self, now: float) -> None:
        self._end(now)
        self._since, self._waking = now, False

    def bad(self, now: float, reason: str) -> None:
        """No answer, or none that can be believed."""
        if self._since is None:
            self._since = now
        self._reason = reason
        if self._told_s is None and now - self._since > self._limit_s:
            self._tell(now)

    def close(self, now: float) -> None:
        """The watching ends; a gap that is open is told whole."""
        self._end(now)
        self._since = None

    def _end(self, now: float) -> None:
        since = self._since
        if since is not None and now - since > self._limit_s and (self._told_s is None or now - since > self._told_s):
            self._tell(now)
        self._told_s = None

    def _tell(self, now: float) -> None:
        assert self._since is not None
        seconds = self._told_s = now - self._since
        self._emit(
            event(
                MonitoringGap(
                    what=self._what,
                    seconds=round(seconds, 3),
                    began_at=self._since,
                    reason=self._reason or "nothing was asked",
                    waking=self._waking,
                ),
                SOURCE,
                now,
            )
        )


class AlertWatcher:
    """Watches from `run` to `finish`; `take` is for the receiver's webhook bodies.

    `gap_s` is how long a way of watching may show nothing, `rename` gives alerts the names that drills use, and
    `on_poll` gets what Alertmanager holds at each look.
    """

    def __init__(
        self,
        *,
        prometheus: Prometheus,
        alertmanager: AlertmanagerClient,
        emit: Callable[[Event], object],
        webhook: bool = False,
        own_silence: Callable[[Mapping[str, Any]], bool] = lambda silence: False,
        gap_s: float = GAP_S,
        rename: Rename = dict,
        on_poll: Callable[[list[dict[str, Any]]], object] = lambda alerts: None,
    ) -> None:
        self._prometheus, self._alertmanager = prometheus, alertmanager
        self._gap_s, self._rename, self._on_poll = gap_s, rename, on_poll
        self._emit = emit
        self._own_silence = own_silence
        self._silences_told: set[str] = set()
        self._known: dict[str, dict[AlertKey, Sighting]] = {"prometheus": {}, "alertmanager": {}, "webhook": {}}
        self._told: list[Sighting] = []
        self._began_at = time.time()
        self._silences = {
            "prometheus": Silence("prometheus", gap_s, emit),
            "alertmanager": Silence("alertmanager", gap_s, emit),
        }
        if webhook:
            self._silences["webhook"] = Silence("webhook", WEBHOOK_GAP_S, emit)
        self.heard_watchdog = asyncio.Event()
        """Set once a notification of the Watchdog came: the whole way from rule to receiver works."""

    async def run(self) -> None:
        self._began_at = time.time()
        for silence in self._silences.values():
            silence.bad(self._began_at, "no answer yet")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._every(PROMETHEUS_PERIOD_S, self.look_at_prometheus))
            group.create_task(self._every(ALERTMANAGER_PERIOD_S, self.look_at_alertmanager))

    def take(self, payload: Mapping[str, Any]) -> None:
        now = time.time()
        seen = webhook_sightings(payload, now)
        if any(sighting.key[0] == WATCHDOG and sighting.state == "firing" for sighting in seen):
            self.heard_watchdog.set()
            if "webhook" in self._silences:
                self._silences["webhook"].good(now)
        self._known["webhook"], changes = notified(self._known["webhook"], seen)
        self._tell("webhook", changes)

    def firing(self) -> set[str]:
        """Names of the alerts that fire now, as Prometheus last showed them; without the Watchdog."""
        known = self._known["prometheus"].values()
        return {sighting.key[0] for sighting in known if sighting.state == "firing"} - {WATCHDOG}

    async def finish(self) -> None:
        """A last look: at the present, and back over the run for firings that were too short to be seen."""
        await asyncio.gather(self.look_at_prometheus(), self.look_at_alertmanager())
        await self._look_back()
        now = time.time()
        for silence in self._silences.values():
            silence.close(now)
        self._prometheus.close()
        await self._alertmanager.close()

    async def look_at_prometheus(self) -> None:
        """One poll of the ALERTS series. Their timestamp is the rule evaluation's: when it was so, not when we
        looked.
        """
        answer = await self._prometheus.instant("timestamp(ALERTS)")
        now = time.time()
        silence = self._silences["prometheus"]
        if isinstance(answer, NoData):
            silence.bad(now, answer.reason)
            return
        seen = []
        for sample in answer:
            if sample.labels.get("alertname") and sample.labels.get("alertstate") in ("pending", "firing"):
                at = min(sample.value, now)
                seen.append(Sighting(key_of(self._rename(sample.labels)), sample.labels["alertstate"], at, at))
        heard = [sighting.at for sighting in seen if sighting.key[0] == WATCHDOG and sighting.state == "firing"]
        if not heard or now - max(heard) > self._gap_s:
            # The server answers, but its rules are not evaluated: what it says about alerts is old.
            silence.bad(now, "the Watchdog does not fire")
            return
        silence.good(now)
        seen = await self._without_ended(seen, max(heard))
        self._known["prometheus"], changes = whole_picture(self._known["prometheus"], seen, now)
        self._tell("prometheus", changes)

    async def _without_ended(self, seen: list[Sighting], evaluated_at: float) -> list[Sighting]:
        """Those that the rules still hold. A series whose end Prometheus could not mark is found for five minutes more:
        a sample that is older than the Watchdog's is of such a one, or of rules that are evaluated less often.
        """
        recent = evaluated_at - self._gap_s
        if all(one.at >= recent for one in seen):
            return seen
        active = await self._prometheus.active_alerts()
        if isinstance(active, NoData):
            return seen
        held = {key_of(self._rename(labels)) for labels in active if labels.get("alertname")}
        return [one for one in seen if one.at >= recent or one.key in held]

    async def look_at_alertmanager(self) -> None:
        answer = await self._alertmanager.alerts()
        now = time.time()
        if "webhook" in self._silences:
            self._silences["webhook"].bad(now, "no notification of the Watchdog")
        silence = self._silences["alertmanager"]
        if isinstance(answer, NoData):
            silence.bad(now, answer.reason)
            return
        answer = [{**alert, "labels": self._rename(alert.get("labels") or {})} for alert in answer]
        self._on_poll(answer)
        seen = api_sightings(answer, now)
        if not any(sighting.key[0] == WATCHDOG for sighting in seen):
            silence.bad(now, "it does not have the Watchdog")
            return
        silence.good(now)
        self._known["alertmanager"], changes = whole_picture(self._known["alertmanager"], seen, now)
        self._tell("alertmanager", changes)
        await self._look_for_silences()

    async def _look_for_silences(self) -> None:
        """Tell of each silence in force that is not the run's own, once."""
        answer = await self._alertmanager.silences()
        for silence in () if isinstance(answer, NoData) else answer:
            name = str(silence.get("id", ""))
            active = silence.get("status", {}).get("state") == "active"
            if not active or name in self._silences_told or self._own_silence(silence):
                continue
            self._silences_told.add(name)
            self._emit(
                event(
                    AlertSilenced(
                        alert=silenced_alert(silence),
                        by=str(silence.get("createdBy", "")),
                        comment=str(silence.get("comment", ""))[:COMMENT_CHARACTERS],
                        silence=name,
                    ),
                    SOURCE,
                    time.time(),
                )
            )

    async def _look_back(self) -> None:
        until = time.time()
        answer = await self._prometheus.range(FIRING, self._began_at, until, RANGE_STEP_S)
        if isinstance(answer, NoData):
            self._silences["prometheus"].bad(until, answer.reason)
            return
        step_s = _step(answer)
        spans: list[Span] = []
        for series in answer:
            if series.labels.get("alertname"):
                key = key_of(self._rename(series.labels))
                last = self._known["prometheus"].get(key)
                firing_now = last is not None and last.state == "firing"
                # Of a series without a marked end the last sample is found for minutes.
                times = [at for at, evaluated_at in series.points if at - evaluated_at <= self._gap_s]
                spans += spans_of(key, times, step_s, firing_now=firing_now)
        self._tell("prometheus", missed(spans, told_spans(self._told), MISSED_SLACK_S))

    def _tell(self, via: str, changes: list[Sighting]) -> None:
        for sighting in changes:
            if sighting.key[0] == WATCHDOG:
                continue  # it says that we hear, not that something is wrong
            if via == "prometheus":
                self._told.append(sighting)
            self._emit(alert_event(sighting, via))

    async def _every(self, period_s: float, look: Callable[[], Any]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await look()
            due = max(due + period_s, loop.time())
            await asyncio.sleep(due - loop.time())


def silenced_alert(silence: Mapping[str, Any]) -> str:
    """What a silence is about, in a few words: the alert's name, or its matchers as Alertmanager writes them."""
    signs = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}
    parts = []
    for one in silence.get("matchers", ()):
        sign = signs[bool(one.get("isEqual", True)), bool(one.get("isRegex", False))]
        if one.get("name") == "alertname" and sign == "=":
            return str(one.get("value", ""))
        parts.append(f'{one.get("name")}{sign}"{one.get("value")}"')
    return "{" + ", ".join(parts) + "}"


def _step(answer: list[Series]) -> float:
    """The step that was really used: the query widens it over long ranges."""
    gaps = [b[0] - a[0] for series in answer for a, b in zip(series.points, series.points[1:], strict=False)]
    return min(gaps, default=RANGE_STEP_S)
