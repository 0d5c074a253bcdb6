"""May this run be believed: was it whole, was the load generator healthy, did monitoring watch all along.

A doubt here makes a run inconclusive, never passed and never failed: it says nothing about the service.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tierdrill.history.events import Event
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.spec.catalogue import DrillSetting
from tierdrill.spec.units import show_duration, show_ratio

MONITORING_GAP_MAX_S = 3.0
LOOP_LAG_MAX_S = 0.25
RATE_TOLERANCE = 0.1
OWN_CHILDREN = frozenset({"experiment", "load"})
PHASES = ("preflight", "warm-up", "baseline", "fault", "recovery", "clean-up")


def judge_run(events: Sequence[Event], timeline: Timeline) -> list[Check]:
    """Whole, watched, and nothing of the platform died."""
    return [
        _whole(events),
        _preflight(events, timeline),
        _completed(events, timeline),
        _monitoring(events, timeline),
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
    seen = "; ".join(f"{event.data['what']} silent for {event.data['seconds']:.1f}s" for event in gaps)
    if not heard:
        seen = "; ".join(part for part in (seen, "no alert was seen to come through before the fault") if part)
    return check_of(
        "monitoring",
        not gaps and bool(heard),
        "an alert comes the whole way before the fault, then Prometheus and Alertmanager watch without a gap over "
        f"{show_duration(MONITORING_GAP_MAX_S)}",
        seen or "no gap",
        [*heard, *gaps],
    )


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


def judge_load(setting: DrillSetting, events: Sequence[Event], timeline: Timeline) -> list[Check]:
    """The generator kept its schedule and the machine had room; otherwise its numbers are about itself."""
    wanted = setting.drill.load
    span = timeline.span(("baseline", "fault", "recovery"))
    batches = [event for event in events if event.kind == "load.samples"]
    if span is None or not batches:
        return [check_of("samples", False, "samples through all phases", "no samples", batches, group="load")]
    lags: list[float] = []
    dropped = total = 0
    for event in batches:
        columns = event.data["columns"]
        for due, lag, outcome in zip(columns["due"], columns["lag"], columns["outcome"], strict=True):
            if span[0] <= due < span[1]:
                total += 1
                dropped += outcome == "dropped"
                if lag is not None:
                    lags.append(lag)
    lags.sort()
    lag = lags[min(len(lags) - 1, math.ceil(len(lags) * 0.99) - 1)] if lags else math.inf
    share = dropped / total if total else 1.0
    checks = [
        check_of(
            "lag",
            lag <= wanted.lag_p99_max,
            f"p99 of send lag at most {show_duration(wanted.lag_p99_max)}",
            f"{lag * 1000:.1f}ms over {len(lags)} sends" if lags else "no sends",
            [],
            group="load",
            value=lag if lags else None,
            limit=wanted.lag_p99_max,
            samples=len(lags),
        ),
        check_of(
            "dropped",
            share <= wanted.dropped_max,
            f"at most {show_ratio(wanted.dropped_max)} of arrivals dropped by the generator",
            f"{dropped} of {total}",
            [],
            group="load",
            value=share,
            limit=wanted.dropped_max,
            samples=total,
        ),
        _rate(setting, total, span),
    ]
    checks.extend(_machine(setting, events, span))
    return checks


def _rate(setting: DrillSetting, total: int, span: tuple[float, float]) -> Check:
    streams = setting.drill.load.streams
    expected = sum(stream.rate for stream in streams) * (span[1] - span[0])
    shaped = any(stream.shape.kind != "steady" for stream in streams)
    # Poisson arrivals scatter by the root of their number; four of those is chance beyond doubt.
    slack = max(RATE_TOLERANCE * expected, 4 * math.sqrt(max(expected, 1.0)))
    good = total > 0 if shaped else abs(total - expected) <= slack
    return check_of(
        "rate",
        good,
        "arrivals as many as planned" if not shaped else "arrivals as shaped",
        f"{total} of about {expected:.0f}",
        [],
        group="load",
        value=float(total),
        limit=expected,
        samples=total,
    )


def _machine(setting: DrillSetting, events: Sequence[Event], span: tuple[float, float]) -> list[Check]:
    reports = [event for event in events if event.kind == "load.health" and span[0] <= event.at < span[1] + 2]
    floor = setting.environment.idle_floor
    idles = [event.data["machine_idle"] for event in reports if event.data.get("machine_idle") is not None]
    loops = sorted(event.data["loop_lag_s"] for event in reports if event.data.get("loop_lag_s") is not None)
    idle = sum(idles) / len(idles) if idles else None
    loop = loops[min(len(loops) - 1, math.ceil(len(loops) * 0.9) - 1)] if loops else None
    return [
        check_of(
            "machine",
            idle is not None and idle >= floor,
            f"the machine is idle for {show_ratio(floor)} or more of the time",
            f"idle {idle:.0%} on average" if idle is not None else "the generator did not report",
            reports,
            group="load",
            value=idle,
            limit=floor,
            samples=len(idles),
        ),
        check_of(
            "loop",
            loop is not None and loop <= LOOP_LAG_MAX_S,
            f"the generator's event loop is late by at most {show_duration(LOOP_LAG_MAX_S)} (p90 of its reports)",
            f"{loop * 1000:.1f}ms" if loop is not None else "the generator did not report",
            [],
            group="load",
            value=loop,
            limit=LOOP_LAG_MAX_S,
            samples=len(loops),
        ),
    ]
