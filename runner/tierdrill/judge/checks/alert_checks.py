"""Did the right alerts fire, in time, and reach somebody; and did the others keep quiet."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tierdrill.documents.models.drill import AlertExpectation, Alerts
from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.units import show_duration
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.response_kinds import AlertState
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import SECONDS, Check, Status

QUIET_SEVERITIES = frozenset({"none", "info"})
PAGE_SEVERITIES = frozenset({"page", "critical"})
TARGET_LABELS: dict[str, tuple[str, ...]] = {
    "node": ("node",),
    "gpu": ("node", "gpu"),
    "replica": ("replica",),
    "link": ("gateway", "node"),
    "gateway": ("gateway",),
    "store": ("store",),
}
"""The labels in which an alert about a fault of that kind names its target."""


@dataclass(frozen=True)
class Firing:
    at: float
    alert: str
    labels: dict[str, str]
    severity: str
    via: str
    state: str
    event: int


def judged_sightings(events: Sequence[Event], timeline: Timeline) -> list[Firing]:
    """The sightings that count: from the baseline on, and what fired before it and had not resolved by then."""
    seen = sightings(events)
    baseline = timeline.phases.get("baseline")
    if baseline is None:
        return seen
    over = {
        _identity(one) for one in seen if one.state == "resolved" and one.at < baseline[0]
    }  # a lab that has just come up may raise alerts that its own start explains
    return [one for one in seen if one.at >= baseline[0] or (one.state == "firing" and _identity(one) not in over)]


def _identity(one: Firing) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return one.alert, one.via, tuple(sorted(one.labels.items()))


def sightings(events: Sequence[Event]) -> list[Firing]:
    """Every alert.state event that is not merely pending."""
    return [
        Firing(
            at=event.at,
            alert=said.alert,
            labels={key: str(value) for key, value in said.labels.items()},
            severity=said.severity,
            via=said.via,
            state=said.state,
            event=event.sequence,
        )
        for event, said in each(events, AlertState)
        if said.state in ("firing", "resolved")
    ]


def judge_alerts(wanted: Alerts, clock: Clock, events: Sequence[Event], timeline: Timeline) -> list[Check]:
    """The alert checks of a drill; deadlines count from the effect of the fault that the alert is about."""
    seen = judged_sightings(events, timeline)
    ours = [one for one in seen if any(_is_about(expectation, one, timeline) for expectation in wanted.must_fire)]
    checks = []
    for expectation in wanted.must_fire:
        mine = [one for one in seen if one.alert != expectation.alert or one in ours]
        checks.append(_fired(expectation, clock, mine, timeline, seen))
        if expectation.resolves:
            checks.append(_resolved(expectation, mine, timeline))
    checks.extend(
        _silent(expectation.alert, _matching(expectation, seen, ("firing",)), "no such alert")
        for expectation in wanted.must_not_fire
    )
    if wanted.others != "allowed":
        forbidden = {expectation.alert for expectation in wanted.must_not_fire}
        loud = [
            one
            for one in seen
            if one.state == "firing"
            and one not in ours
            and one.alert not in forbidden
            and (one.severity in PAGE_SEVERITIES if wanted.others == "no-pages" else _is_loud(one))
        ]
        expected = "no page but those named" if wanted.others == "no-pages" else "no alert but those named"
        expects = {expectation.alert for expectation in wanted.must_fire}
        for name in sorted({one.alert for one in loud}):
            hits = [one for one in loud if one.alert == name]
            checks.append(_elsewhere(name, hits) if name in expects else _silent(name, hits, expected))
    return checks


def _is_loud(one: Firing) -> bool:
    return one.severity not in QUIET_SEVERITIES


def _is_about(expectation: AlertExpectation, one: Firing, timeline: Timeline) -> bool:
    """Whether a sighting is of the alert that is expected: its name, its labels, and what the faults are on."""
    if one.alert != expectation.alert:
        return False
    if any(one.labels.get(key) != value for key, value in expectation.labels.items()):
        return False
    return all(
        value in named
        for key, value in one.labels.items()
        if key not in expectation.labels and (named := _broken(key, timeline)) is not None
    )


def _broken(label: str, timeline: Timeline) -> set[str] | None:
    """The values of a label that name what is broken; None where the faults do not say."""
    found: set[str] = set()
    for fault in timeline.faults:
        labels = TARGET_LABELS.get(fault.target_kind, ())
        if label not in labels:
            return None
        found |= set(fault.target.replace(">", "/").split("/"))
    return None if "*" in found else found or None


def _elsewhere(name: str, hits: Sequence[Firing]) -> Check:
    return Check(
        id=f"alert/{name}/elsewhere",
        group="alert",
        status=Status.FAILED,
        title=f"{name} fires for nothing else",
        expected="only for what is broken",
        seen=f"it fired {_labels(hits[0].labels)} (seen by {hits[0].via})",
        events=tuple(hit.event for hit in hits),
    )


def judge_quiet(events: Sequence[Event], timeline: Timeline, known: Collection[str] | None = None) -> list[Check]:
    """For a blip: no alert that pages or opens a ticket fires at all. With `known` these alone are looked at: what else
    fires on a platform that others share is not the drill's affair.
    """
    loud = [
        one
        for one in judged_sightings(events, timeline)
        if one.state == "firing" and _is_loud(one) and (known is None or one.alert in known)
    ]
    if not loud:
        return [
            Check(
                "alert/all/silent", "alert", Status.PASSED, "alerts keep quiet", "no page and no ticket", "none fired"
            )
        ]
    return [
        _silent(name, [one for one in loud if one.alert == name], "no page and no ticket on a blip")
        for name in sorted({one.alert for one in loud})
    ]


def _matching(expectation: AlertExpectation, seen: Sequence[Firing], states: tuple[str, ...]) -> list[Firing]:
    return [
        one
        for one in seen
        if one.alert == expectation.alert
        and one.state in states
        and all(one.labels.get(key) == value for key, value in expectation.labels.items())
    ]


def _labels(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) + "}" if labels else ""


def _came_before(hit: Firing, begun: float, clock: Clock) -> bool:
    """Whether it fired before that moment. Prometheus dates an alert by when the scrape that tells it was begun, and
    the target may answer as late as the next one is due.
    """
    return hit.at < begun - (clock.scrape_interval if hit.via == "prometheus" else 0.0)


def _fired(
    expectation: AlertExpectation,
    clock: Clock,
    seen: Sequence[Firing],
    timeline: Timeline,
    whole: Sequence[Firing],
) -> Check:
    name, targets = expectation.alert, list(expectation.labels.values())
    begun, effect = timeline.begun_on(targets), timeline.effect_on(targets)
    wanted = f"{name}{_labels(expectation.labels)} fires and is delivered"
    if expectation.within is not None:
        wanted += f" within {show_duration(expectation.within)} of the fault's effect"
    hits = _matching(expectation, seen, ("firing",))
    status, text, took = Status.FAILED, "it never fired", None
    if begun is None or effect is None:
        status, text = Status.INCONCLUSIVE, "no fault was seen to land"
    elif any(_came_before(hit, begun, clock) for hit in hits):
        text = "it was firing before the fault"
    elif hits:
        delivered = [hit for hit in hits if hit.via == "webhook"]
        first = min(hits, key=lambda hit: hit.at)
        if not delivered:
            text = f"it fired after {max(first.at - effect, 0.0):.1f}s (seen by {first.via}) but nobody was notified"
        else:
            took = max(min(hit.at for hit in delivered) - effect, 0.0)
            text = f"fired after {max(first.at - effect, 0.0):.1f}s, delivered after {took:.1f}s"
            status = Status.PASSED if expectation.within is None or took <= expectation.within else Status.FAILED
    elif others := [one for one in whole if one.alert == name and one.state == "firing"]:
        text = f"it fired, but for {_labels(others[0].labels)}"
    return Check(
        id=f"alert/{name}/fired",
        group="alert",
        status=status,
        title=f"{name} fires",
        expected=wanted,
        seen=text,
        events=tuple(hit.event for hit in hits),
        value=took,
        limit=expectation.within,
        unit=SECONDS,
    )


def _resolved(expectation: AlertExpectation, seen: Sequence[Firing], timeline: Timeline) -> Check:
    """Whether, after the fault, none of the alerts that fired still does, whichever way one looks at it.

    A playbook may end an alert while the fault is still there; one that fires again afterwards has not resolved.
    """
    gone = [fault.gone_at for fault in timeline.faults_on(expectation.labels.values())]
    name, healed = expectation.alert, None if None in gone else max((at for at in gone if at is not None), default=None)
    hits = sorted(_matching(expectation, seen, ("firing", "resolved")), key=lambda hit: (hit.at, hit.event))
    last = {_identity(hit): hit for hit in hits}
    still = [hit for hit in last.values() if hit.state == "firing"]
    if healed is None:
        status, text = Status.INCONCLUSIVE, "no fault was seen to be gone"
    elif still:
        ways = ", ".join(sorted({hit.via for hit in still}))
        status, text = Status.FAILED, f"still firing at the end {_labels(still[0].labels)} (seen by {ways})".strip()
    elif not any(hit.state == "firing" for hit in hits):
        status, text = Status.FAILED, "it never fired, so it never resolved"
    else:
        after = max(hit.at for hit in last.values()) - healed
        when = f"{after:.1f}s after" if after >= 0 else f"{-after:.1f}s before"
        status, text = Status.PASSED, f"resolved {when} the fault was gone, and not firing since"
    return Check(
        id=f"alert/{name}/resolved",
        group="alert",
        status=status,
        title=f"{name} resolves",
        expected="once the fault is gone it no longer fires, on any of its targets, seen any way",
        seen=text,
        events=tuple(hit.event for hit in hits),
    )


def _silent(name: str, hits: Sequence[Firing], expected: str) -> Check:
    return Check(
        id=f"alert/{name}/silent",
        group="alert",
        status=Status.FAILED if hits else Status.PASSED,
        title=f"{name} keeps quiet",
        expected=expected,
        seen=f"it fired {_labels(hits[0].labels)} (seen by {hits[0].via})" if hits else "it did not fire",
        events=tuple(hit.event for hit in hits),
    )
