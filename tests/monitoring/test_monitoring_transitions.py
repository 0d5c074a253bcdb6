"""From sightings of alerts to events: each state once, nothing lost, nothing made up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tierdrill.history.events import Event
from tierdrill.monitoring.alert_transitions import (
    AlertKey,
    Sighting,
    Span,
    alert_event,
    api_sightings,
    instant,
    key_of,
    missed,
    notified,
    spans_of,
    told_spans,
    webhook_sightings,
    whole_picture,
)
from tierdrill.monitoring.alert_watch import Silence

NODE: AlertKey = ("NodeNotReady", (("node", "node-2"), ("severity", "page")))
GPU: AlertKey = ("GpuFallenOffBus", (("gpu", "0"), ("node", "node-1"), ("severity", "page")))


def _polls(*states: tuple[float, dict[AlertKey, str]]) -> list[tuple[float, str, str]]:
    known: dict[AlertKey, Sighting] = {}
    told = []
    for at, shown in states:
        seen = [Sighting(key, state, at, at) for key, state in shown.items()]
        known, changes = whole_picture(known, seen, at)
        told += [(change.at, change.key[0], change.state) for change in changes]
    return told


def test_the_life_of_an_alert_is_told_once_each() -> None:
    assert _polls(
        (1, {}),
        (2, {NODE: "pending"}),
        (3, {NODE: "pending"}),
        (4, {NODE: "firing"}),
        (5, {NODE: "firing"}),
        (6, {}),
        (7, {}),
    ) == [(2, "NodeNotReady", "pending"), (4, "NodeNotReady", "firing"), (6, "NodeNotReady", "resolved")]


def test_a_pending_alert_that_comes_to_nothing_has_not_resolved() -> None:
    assert _polls((1, {NODE: "pending"}), (2, {})) == [(1, "NodeNotReady", "pending"), (2, "NodeNotReady", "inactive")]


def test_an_alert_that_fires_twice_is_told_twice() -> None:
    told = _polls((1, {NODE: "firing"}), (2, {}), (3, {NODE: "firing"}), (4, {NODE: "pending"}))
    assert [state for _, _, state in told] == ["firing", "resolved", "firing", "pending", "resolved"]


@given(st.lists(st.dictionaries(st.sampled_from([NODE, GPU]), st.sampled_from(["pending", "firing"])), max_size=30))
def test_firings_and_resolutions_alternate(history: list[dict[AlertKey, str]]) -> None:
    told = _polls(*((float(at), shown) for at, shown in enumerate(history)))
    for name in ("NodeNotReady", "GpuFallenOffBus"):
        states = [state for _, alert, state in told if alert == name and state in ("firing", "resolved")]
        assert states == ["firing", "resolved"] * (len(states) // 2) + ["firing"] * (len(states) % 2)
    assert [at for at, _, _ in told] == sorted(at for at, _, _ in told)


def _notification(status: str, starts_at: str = "2026-01-01T00:00:00Z", **labels: str) -> dict[str, object]:
    return {"alerts": [{"status": status, "labels": {"alertname": "NodeNotReady", **labels}, "startsAt": starts_at}]}


def test_repeated_notifications_are_one() -> None:
    known: dict[AlertKey, Sighting] = {}
    told = []
    for at, status in enumerate(("resolved", "firing", "firing", "resolved", "resolved")):
        known, changes = notified(known, webhook_sightings(_notification(status, node="n"), float(at)))
        told += [(change.at, change.state) for change in changes]
    assert told == [(1.0, "firing"), (3.0, "resolved")]


def test_what_comes_late_changes_nothing() -> None:
    first, second = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"
    order = [("firing", first), ("resolved", first), ("firing", first), ("firing", second), ("resolved", first)]
    known: dict[AlertKey, Sighting] = {}
    told = []
    for at, (status, starts) in enumerate(order):
        known, changes = notified(known, webhook_sightings(_notification(status, starts), float(at)))
        told += [(change.at, change.state) for change in changes]
    assert told == [(0.0, "firing"), (1.0, "resolved"), (3.0, "firing")]


def test_a_new_firing_without_a_resolution_between_is_told() -> None:
    known, first = notified({}, webhook_sightings(_notification("firing"), 1.0))
    known, second = notified(known, webhook_sightings(_notification("firing", "2026-01-01T00:00:09Z"), 2.0))
    assert len(first) == len(second) == 1


def test_malformed_notifications_are_left_out() -> None:
    payload = {
        "alerts": [
            "text",
            {"status": "firing"},
            {"status": "firing", "labels": {"severity": "page"}},
            {"status": "odd", "labels": {"alertname": "A"}},
            {"status": "firing", "labels": {"alertname": "A"}, "startsAt": 7},
        ]
    }
    assert [sighting.key for sighting in webhook_sightings(payload, 5.0)] == [("A", ())]
    assert webhook_sightings({"alerts": None}, 5.0) == []


def test_api_alerts_fire_silenced_or_not() -> None:
    alerts = [
        {"labels": {"alertname": "A"}, "status": {"state": "suppressed"}, "startsAt": "2026-01-01T00:00:00.5Z"},
        {"labels": {}, "status": {"state": "active"}},
    ]
    assert api_sightings(alerts, 9.0) == [Sighting(("A", ()), "firing", 9.0, 1767225600.5)]


def test_instants() -> None:
    assert instant("2026-01-01T00:00:00.123456789Z", 0.0) == 1767225600.123456
    assert instant("2026-01-01T01:00:00+01:00", 0.0) == 1767225600.0
    assert instant("soon", 4.0) == instant(None, 4.0) == 4.0


def test_the_event_has_what_the_vocabulary_says() -> None:
    made = alert_event(Sighting(NODE, "firing", 7.0, 6.0), "prometheus")
    assert made == Event.from_line(made.to_line())
    assert made.data == {
        "alert": "NodeNotReady",
        "state": "firing",
        "labels": {"node": "node-2", "severity": "page"},
        "severity": "page",
        "starts_at": 6.0,
        "via": "prometheus",
    }


def test_key_ignores_prometheus_own_labels() -> None:
    labels = {"__name__": "ALERTS", "alertname": "NodeNotReady", "alertstate": "firing", "node": "node-2"}
    assert key_of({**labels, "severity": "page"}) == NODE


def test_spans_of_a_range_query() -> None:
    times = [1.0, 1.25, 1.5, 4.0, 9.75, 10.0]
    first = [Span(NODE, 1.0, 1.75), Span(NODE, 4.0, 4.25)]
    assert spans_of(NODE, times, 0.25, firing_now=True) == [*first, Span(NODE, 9.75, None)]
    assert spans_of(NODE, times, 0.25, firing_now=False) == [*first, Span(NODE, 9.75, 10.25)]
    assert spans_of(NODE, [], 0.25, firing_now=True) == []


def test_looking_back_finds_only_what_was_not_told() -> None:
    told = told_spans([Sighting(NODE, "firing", 1.2, 1.0), Sighting(NODE, "resolved", 3.0, 1.0)])
    spans = [Span(NODE, 1.0, 2.9), Span(NODE, 20.0, 20.3), Span(GPU, 2.0, None)]
    assert [(one.key, one.state, one.at) for one in missed(spans, told, 2.0)] == [
        (GPU, "firing", 2.0),
        (NODE, "firing", 20.0),
        (NODE, "resolved", 20.3),
    ]


class TestSilence:
    def _watch(self, *looks: tuple[float, bool], close: float | None = None) -> list[float]:
        told: list[Event] = []
        silence = Silence("prometheus", 2.0, told.append)
        for at, good in looks:
            silence.good(at) if good else silence.bad(at, "refused")
        if close is not None:
            silence.close(close)
        assert all(one.kind == "monitoring.gap" and one.data["what"] == "prometheus" for one in told)
        return [one.data["seconds"] for one in told]

    def test_short_silences_are_nothing(self) -> None:
        assert self._watch((0, True), (1, False), (2, False), (2.0, True), (3, True), close=4) == []

    def test_a_gap_is_told_when_it_is_one_and_when_it_ends(self) -> None:
        assert self._watch((0, True), (1, False), (2.5, False), (6, False), (8, True), (9, True)) == [2.5, 8.0]

    def test_an_open_gap_is_told_at_the_end(self) -> None:
        assert self._watch((0, True), (3, False), close=10) == [3.0, 10.0]

    def test_time_in_which_nobody_looked_is_a_gap(self) -> None:
        assert self._watch((0, True), (5, True)) == [5.0]

    def test_what_was_never_awake_is_told_as_waking(self) -> None:
        told: list[Event] = []
        silence = Silence("alertmanager", 2.0, told.append)
        for at, good in ((0.0, False), (3.0, False), (5.0, True), (8.0, False)):
            silence.good(at) if good else silence.bad(at, "it does not have the Watchdog")
        assert [(one.data["seconds"], one.data["waking"]) for one in told] == [(3.0, True), (5.0, True), (3.0, False)]

    def test_it_may_happen_twice(self) -> None:
        assert self._watch((0, True), (3, False), (4, True), (7, False), (8, True)) == [3.0, 4.0, 3.0, 4.0]
