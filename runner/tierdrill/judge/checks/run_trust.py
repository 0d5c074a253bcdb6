"""May this run be believed: was it whole, did it go through every phase as planned, did monitoring watch all along.

A doubt here makes a run inconclusive, never passed and never failed: it says nothing about the service. The one
exception is monitoring: that it was blind for a while explains what was not heard, but no failed request.
"""

import math
from collections.abc import Sequence

from tierdrill.documents.models.units import show_duration
from tierdrill.faults.known_kinds import KINDS
from tierdrill.history.events import Event, each
from tierdrill.history.kinds import run_kinds
from tierdrill.history.kinds.response_kinds import WATCH, WATCHDOG_MISSING, AlertSilenced, MonitoringGap
from tierdrill.judge.timeline import TARGET_PARTS, Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.text import plural

MONITORING_GAP_MAX_S = 3.0
MONITORING_GAPS_MAX = 0.1
"""The part of the time from the baseline on in which one way of watching may be silent, all its gaps together."""
HEARD_EVERY_S = 6.0
"""So long before a fault the Watchdog may have come for the last time."""
BACK_WITHIN_S = 15.0
"""So long after its fault's end a way of watching may show nothing: Prometheus finds its targets anew."""
OWN_CHILDREN = frozenset({"experiment", "load"})
WITNESSES = frozenset({"prometheus", "alertmanager"})
PHASES = ("preflight", "warm-up", "baseline", "fault", "recovery", "clean-up")


def judge_run(events: Sequence[Event], timeline: Timeline) -> list[Check]:
    """Whole, watched, and nothing of the platform died."""
    return [
        _whole(events),
        _preflight(events, timeline),
        _completed(events, timeline),
        _as_planned(events, timeline),
        _monitoring(events, timeline),
        _silences(events),
        _processes(events, timeline),
    ]


def _whole(events: Sequence[Event]) -> Check:
    """A line that is missing could be the one that decides."""
    wrong = next((event for number, event in enumerate(events, 1) if event.sequence != number), None)
    seen = plural(len(events), "event") if wrong is None else f"after {_before(events, wrong)} comes {wrong.sequence}"
    return check_of("whole", wrong is None, "events 1, 2, 3 and so on, none missing", seen, [wrong] if wrong else [])


def _before(events: Sequence[Event], wrong: Event) -> str:
    place = events.index(wrong)
    return f"event {events[place - 1].sequence}" if place else "the beginning"


def _preflight(events: Sequence[Event], timeline: Timeline) -> Check:
    found = each(events, run_kinds.PreflightCheck)
    bad = [event for event, said in found if not said.ok]
    seen = "; ".join(f"{said.name}: {said.seen}" for _, said in found if not said.ok)
    good = bool(found) and not bad and "preflight" in timeline.phases
    seen = seen or ("all well" if found else "nothing was looked at")
    return check_of("preflight", good, "healthy, nothing firing, no leftovers", seen, bad)


def _completed(events: Sequence[Event], timeline: Timeline) -> Check:
    over = {said.phase for _, said in each(events, run_kinds.PhaseEnded)}
    missing = [phase for phase in PHASES if phase not in timeline.phases or phase not in over]
    ended, broken = each(events, run_kinds.RunEnded), each(events, run_kinds.RunStopping)
    outcome = ended[-1][1].outcome if ended else ""
    if broken:
        seen = f"stopped: {broken[0][1].reason}"
    elif missing or not ended:
        seen = f"missing: {', '.join(missing) or 'the end'}"
    else:
        seen = "all phases" if outcome == "completed" else f"it ended {outcome or 'without a word'}"
    good = not missing and not broken and outcome == "completed"
    return check_of("completed", good, "every phase, to the end", seen, [event for event, _ in (*broken, *ended)])


def _as_planned(events: Sequence[Event], timeline: Timeline) -> Check:
    """One run, of one plan: each phase once, in order, for its time, and with the safety net that the variant says."""
    starts = [said for _, said in each(events, run_kinds.RunStarted)]
    wrong = []
    if len(starts) > 1:
        wrong.append(f"{len(starts)} runs were started")
    others = {fault.id.partition("/")[0] for fault in timeline.faults if "/" in fault.id} - {starts[0].run}
    if others:
        wrong.append(f"faults of {', '.join(sorted(others))}")
    told = [said.phase for _, said in each(events, run_kinds.PhaseStarted)]
    wrong.extend(f"{phase} began {told.count(phase)} times" for phase in dict.fromkeys(told) if told.count(phase) > 1)
    if told != sorted(told, key=lambda phase: PHASES.index(phase) if phase in PHASES else -1):
        wrong.append(f"the phases came as {', '.join(told)}")
    # The phase in which it was stopped is as long as it could be; that it was stopped is a check of its own.
    stopped_in = [phase for phase in told if phase != "clean-up"][-1:] if each(events, run_kinds.RunStopping) else []
    for phase, wanted in starts[0].planned.items():
        begin, end = timeline.phases.get(phase, (0.0, float(wanted)))
        least = -math.inf if phase in stopped_in else -_slack(wanted, 0.05, 0.5)
        if not least <= end - begin - float(wanted) <= _slack(wanted, 0.1, 2.0):
            wrong.append(f"{phase} took {end - begin:.1f}s of {wanted:g}s")
    wrong.extend(_sabotage(starts[0], events))
    return check_of("plan", not wrong, "one run, as it was planned", "; ".join(wrong) or "as planned", [])


def _slack(seconds: float, share: float, least: float) -> float:
    return max(share * seconds, least)


def _sabotage(start: run_kinds.RunStarted, events: Sequence[Event]) -> list[str]:
    """What the history says of a safety net that was cut, against what the variant says."""
    variant = start.variant
    notes = [said.text for _, said in each(events, run_kinds.RunNote)]
    cut = {note.removeprefix("sabotage ").partition(":")[0] for note in notes if note.startswith("sabotage ")}
    known = {str(one["name"]) for one in start.setting["drill"].get("sabotages", ())}
    cut |= {said.by for _, said in each(events, AlertSilenced)} & known
    meant = variant.removeprefix("sabotage:") if variant.startswith("sabotage:") else None
    wrong = [f"sabotage {name} in a run of {variant}" for name in sorted(cut) if name != meant]
    return wrong if meant is None or meant in cut else [*wrong, f"no word that sabotage {meant} was done"]


def _monitoring(events: Sequence[Event], timeline: Timeline) -> Check:
    """That no alert was heard means something only where one would have been."""
    every = [(event, said) for event, said in each(events, MonitoringGap) if not said.what.startswith(WATCH)]
    by_fault = [(event, said) for event, said in every if _of_a_fault(events, event, said, timeline)]
    gaps = [said for event, said in every if _matters(event, said, timeline) and (event, said) not in by_fault]
    heard = [event for event, said in each(events, run_kinds.PreflightCheck) if said.name == "pipeline" and said.ok]
    told = [f"{gap.what} silent for {gap.seconds:.1f}s" for gap in gaps]
    told += [
        f"{what} silent for {silent:.1f}s in all"
        for what, silent in _silent_in_all(events, timeline).items()
        if not any(gap.what == what for gap in gaps)
    ]
    good = bool(heard) and not told
    if not heard:
        told.append("no alert was seen to come through before the fault")
    return check_of(
        "monitoring",
        good,
        "an alert comes the whole way before the fault, then Prometheus and Alertmanager watch without a gap over "
        f"{show_duration(MONITORING_GAP_MAX_S)}, and for {1 - MONITORING_GAPS_MAX:.0%} of the time",
        "; ".join([*told, *_blinded(by_fault)]) or "no gap",
        [*heard, *(() if good else [event for event, _ in every])],
    )


def _of_a_fault(events: Sequence[Event], told: Event, gap: MonitoringGap, timeline: Timeline) -> bool:
    """Whether a fault is to take that way of watching along, did so for no longer than it lasted, and the drill asks
    for somebody to be told that nobody is watching (a blip is over before that).
    """
    start = each(events, run_kinds.RunStarted)[0][1]
    asked = [one["alert"] for one in start.setting["drill"]["expect"].get("alerts", {}).get("must_fire", ())]
    if start.variant != "blip" and WATCHDOG_MISSING not in asked:
        return False
    began = _began(told, gap)
    return any(
        gap.what in KINDS[fault.kind].blinds
        and fault.intended_at is not None
        and fault.gone_at is not None
        and fault.intended_at - HEARD_EVERY_S <= began
        and began + gap.seconds <= fault.gone_at + BACK_WITHIN_S
        for fault in timeline.faults
        if fault.kind in KINDS
    )


def _blinded(gaps: Sequence[tuple[Event, MonitoringGap]]) -> list[str]:
    """What was not seen because of a fault: no pass of what did not fire says anything of these times."""
    longest: dict[str, float] = {}
    for _, gap in gaps:
        longest[gap.what] = max(longest.get(gap.what, 0.0), gap.seconds)
    return [f"{what} silent for {seconds:.1f}s by the fault itself" for what, seconds in longest.items()]


def _began(told: Event, gap: MonitoringGap) -> float:
    return told.at - gap.seconds if gap.began_at is None else gap.began_at


def _silent_in_all(events: Sequence[Event], timeline: Timeline) -> dict[str, float]:
    """Ways of watching whose gaps, none of them long, come to too much of the time from the baseline on; in seconds."""
    span = timeline.span(("baseline", "recovery"))
    if span is None:
        return {}
    gaps: dict[tuple[str, float], float] = {}
    for event, gap in each(events, MonitoringGap):
        if gap.what.startswith(WATCH) or _of_a_fault(events, event, gap, timeline):
            continue
        began = _began(event, gap)
        within = min(began + gap.seconds, span[1]) - max(began, span[0])
        # A gap is told when it has lasted too long, and once more at its end.
        gaps[gap.what, began] = max(gaps.get((gap.what, began), 0.0), within)
    silent: dict[str, float] = {}
    for (what, _), seconds in gaps.items():
        silent[what] = silent.get(what, 0.0) + seconds
    most = MONITORING_GAPS_MAX * (span[1] - span[0])
    return {what: seconds for what, seconds in silent.items() if seconds > max(most, MONITORING_GAP_MAX_S)}


def _silences(events: Sequence[Event]) -> Check:
    """An alert that somebody else silenced is not heard, so that it was not heard says nothing."""
    found = [(event, said) for event, said in each(events, AlertSilenced) if event.source == "monitoring"]
    seen = "; ".join(f"{said.by or 'somebody'} silenced {said.alert or 'alerts'}" for _, said in found)
    cited = [event for event, _ in found]
    return check_of("silences", not found, "nobody else silences alerts meanwhile", seen or "nobody did", cited)


def _processes(events: Sequence[Event], timeline: Timeline) -> Check:
    """What dies of the fault is the service's affair: its objectives say whether that was well."""
    stopped = next((event.sequence for event, _ in each(events, run_kinds.RunStopping)), math.inf)
    died = [(event, said) for event, said in each(events, run_kinds.ProcessExited) if not _meant(event, said, stopped)]
    by_fault = [said for event, said in died if _of_the_fault(event, said, timeline)]
    doubtful = [said for _, said in died if not any(said is one for one in by_fault)]
    seen = [f"{said.name} ended ({said.exit_code})" for said in doubtful]
    seen += [f"{said.name} ended ({said.exit_code}) under the fault" for said in by_fault]
    return check_of(
        "processes",
        not doubtful,
        "nothing of the platform or the runner dies but what the drill breaks, or of it",
        "; ".join(seen) or "none died",
        [event for event, _ in died],
    )


def _of_the_fault(exited: Event, said: run_kinds.ProcessExited, timeline: Timeline) -> bool:
    """Whether a fault explains the end: it is the fault's target or a member of that, or a part of the service that
    ended after it.
    """
    name = said.name
    if name in OWN_CHILDREN:
        return False
    targets = [fault.target for fault in timeline.faults]
    if any(name in TARGET_PARTS.split(target) or name.startswith(f"{target}-") for target in targets):
        return True
    return name not in WITNESSES and timeline.begun is not None and exited.at >= timeline.begun


def _meant(exited: Event, said: run_kinds.ProcessExited, stopped: float) -> bool:
    """The runner's own children have a schedule to end by themselves; one that ends badly has not kept it.

    After the event of that number a run that is stopped ends them, by force where they do not.
    """
    return exited.sequence > stopped if said.name in OWN_CHILDREN and said.exit_code != 0 else said.expected


def _matters(told: Event, gap: MonitoringGap, timeline: Timeline) -> bool:
    """Whether a gap blinded the run: long enough, and not over before the baseline began; it wakes up in warm-up."""
    baseline = timeline.phases.get("baseline")
    return gap.seconds > MONITORING_GAP_MAX_S and (baseline is None or told.at > baseline[0])


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
