"""May this run be believed: was it whole, did it go through every phase, did monitoring watch all along.

A doubt here makes a run inconclusive, never passed and never failed: it says nothing about the service.
"""

from __future__ import annotations

from collections.abc import Sequence

from tierdrill.history.events import Event
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.spec.units import show_duration

MONITORING_GAP_MAX_S = 3.0
MONITORING_GAPS_MAX = 0.1
"""The part of the time from the baseline on in which one way of watching may be silent, all its gaps together."""
OWN_CHILDREN = frozenset({"experiment", "load"})
PHASES = ("preflight", "warm-up", "baseline", "fault", "recovery", "clean-up")


def judge_run(events: Sequence[Event], timeline: Timeline) -> list[Check]:
    """Whole, watched, and nothing of the platform died."""
    return [
        _whole(events),
        _preflight(events, timeline),
        _completed(events, timeline),
        _monitoring(events, timeline),
        _silences(events),
        _processes(events),
    ]


def _whole(events: Sequence[Event]) -> Check:
    """A line that is missing could be the one that decides."""
    wrong = next((event for number, event in enumerate(events, 1) if event.sequence != number), None)
    seen = f"{len(events)} events" if wrong is None else f"after {_before(events, wrong)} comes {wrong.sequence}"
    return check_of("whole", wrong is None, "events 1, 2, 3 and so on, none missing", seen, [wrong] if wrong else [])


def _before(events: Sequence[Event], wrong: Event) -> str:
    place = events.index(wrong)
    return f"event {events[place - 1].sequence}" if place else "the beginning"


def _preflight(events: Sequence[Event], timeline: Timeline) -> Check:
    found = [event for event in events if event.kind == "preflight.check"]
    bad = [event for event in found if not event.data.get("ok")]
    seen = "; ".join(f"{event.data['name']}: {event.data.get('seen', '')}" for event in bad)
    good = bool(found) and not bad and "preflight" in timeline.phases
    seen = seen or ("all well" if found else "nothing was looked at")
    return check_of("preflight", good, "healthy, nothing firing, nothing left over", seen, bad)


def _completed(events: Sequence[Event], timeline: Timeline) -> Check:
    over = {event.data["phase"] for event in events if event.kind == "phase.ended"}
    missing = [phase for phase in PHASES if phase not in timeline.phases or phase not in over]
    ended = [event for event in events if event.kind == "run.ended"]
    broken = [event for event in events if event.kind == "run.stopping"]
    outcome = str(ended[-1].data.get("outcome", "")) if ended else ""
    if broken:
        seen = f"stopped: {broken[0].data.get('reason', '')}"
    elif missing or not ended:
        seen = f"missing: {', '.join(missing) or 'the end'}"
    else:
        seen = "all phases" if outcome == "completed" else f"it ended {outcome or 'without a word'}"
    good = not missing and not broken and outcome == "completed"
    return check_of("completed", good, "every phase, to the end", seen, [*broken, *ended])


def _monitoring(events: Sequence[Event], timeline: Timeline) -> Check:
    """That no alert was heard means something only where one would have been."""
    gaps = [event for event in events if event.kind == "monitoring.gap" and _matters(event, timeline)]
    looked = [event for event in events if event.kind == "preflight.check"]
    heard = [event for event in looked if event.data.get("name") == "pipeline" and event.data.get("ok")]
    told = [f"{event.data['what']} silent for {event.data['seconds']:.1f}s" for event in gaps]
    told += [
        f"{what} silent for {silent:.1f}s in all"
        for what, silent in _silent_in_all(events, timeline).items()
        if not any(event.data["what"] == what for event in gaps)
    ]
    good = bool(heard) and not told
    if not heard:
        told.append("no alert was seen to come through before the fault")
    gaps = [event for event in events if event.kind == "monitoring.gap"]
    return check_of(
        "monitoring",
        good,
        "an alert comes the whole way before the fault, then Prometheus and Alertmanager watch without a gap over "
        f"{show_duration(MONITORING_GAP_MAX_S)}, and for {1 - MONITORING_GAPS_MAX:.0%} of the time",
        "; ".join(told) or "no gap",
        [*heard, *(() if good else gaps)],
    )


def _silent_in_all(events: Sequence[Event], timeline: Timeline) -> dict[str, float]:
    """Ways of watching whose gaps, none of them long, come to too much of the time from the baseline on; in seconds."""
    span = timeline.span(("baseline", "recovery"))
    if span is None:
        return {}
    gaps: dict[tuple[str, float], float] = {}
    for event in events:
        if event.kind == "monitoring.gap":
            seconds = float(event.data.get("seconds", 0))
            began = float(event.data.get("began_at", event.at - seconds))
            within = min(began + seconds, span[1]) - max(began, span[0])
            # A gap is told when it has lasted too long, and once more at its end.
            one = (str(event.data["what"]), began)
            gaps[one] = max(gaps.get(one, 0.0), within)
    silent: dict[str, float] = {}
    for (what, _), seconds in gaps.items():
        silent[what] = silent.get(what, 0.0) + seconds
    most = MONITORING_GAPS_MAX * (span[1] - span[0])
    return {what: seconds for what, seconds in silent.items() if seconds > max(most, MONITORING_GAP_MAX_S)}


def _silences(events: Sequence[Event]) -> Check:
    """An alert that somebody else silenced is not heard, so that it was not heard says nothing."""
    found = [event for event in events if event.kind == "alert.silenced" and event.source == "monitoring"]
    seen = "; ".join(
        f"{event.data.get('by') or 'somebody'} silenced {event.data.get('alert') or 'alerts'}" for event in found
    )
    return check_of("silences", not found, "nobody else silences alerts meanwhile", seen or "nobody did", found)


def _processes(events: Sequence[Event]) -> Check:
    died = [event for event in events if event.kind == "process.exited" and not _meant(event)]
    return check_of(
        "processes",
        not died,
        "nothing of the platform or the runner dies but what the drill breaks",
        "; ".join(f"{event.data['name']} ended ({event.data.get('exit_code')})" for event in died) or "none died",
        died,
    )


def _meant(exited: Event) -> bool:
    """The runner's own children have a schedule to end by themselves; one that ends badly has not kept it."""
    if exited.data.get("name") in OWN_CHILDREN and exited.data.get("exit_code") != 0:
        return False
    return bool(exited.data.get("expected"))


def _matters(gap: Event, timeline: Timeline) -> bool:
    """Whether a gap blinded the run: long enough, and not over before the baseline began; it wakes up in warm-up."""
    if gap.data.get("seconds", 0) <= MONITORING_GAP_MAX_S:
        return False
    baseline = timeline.phases.get("baseline")
    return baseline is None or gap.at > baseline[0]


def check_of(
    name: str,
    good: bool,
    expected: str,
    seen: str,
    events: Sequence[Event],
    group: str = "run",
    **numbers: float | int | None,
) -> Check:
    """A check of the run itself: good, or a doubt."""
    return Check(
        id=f"{group}/{name}",
        group=group,
        status=Status.PASSED if good else Status.INCONCLUSIVE,
        title=name.replace("-", " "),
        expected=expected,
        seen=seen,
        events=tuple(event.sequence for event in events),
        **numbers,  # type: ignore[arg-type]
    )
