"""Was the load what was planned: each arrival accounted for, sent on time, by a generator that had room to work.

With a doubt here a run does not pass, and a time that missed its limit narrowly may have done so for the generator's
sake. It explains no error, no time-out and no lost goodput.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Load, Stream
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.sample_size import BAD_AT_LEAST
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import (
    LoadEnded,
    LoadHealth,
    LoadSamples,
    LoadStarted,
    MonitoringAvailability,
    RunStarted,
)
from tierdrill.judge.arrivals import StreamBook, surged_arrivals
from tierdrill.judge.checks.objective_check import side, slo_check
from tierdrill.judge.checks.run_trust import check_of
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.statistics import wilson
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.text import plural

STOLEN_TOLD = 0.01
"""So much of its processors that a machine's hypervisor gives to others is told."""
LOOP_LAG_MAX_S = 0.25
RATE_TOLERANCE = 0.1
ACCOUNTED_MIN = 0.99
REPORT_GAP_MAX_S = 5.0
JUDGED_PHASES = ("baseline", "fault", "recovery")


def judge_load(
    setting: DrillSetting,
    events: Sequence[Event],
    timeline: Timeline,
    told: Mapping[str, TierSamples],
    books: Mapping[str, StreamBook],
    *,
    stopped: bool = False,
) -> list[Check]:
    """The generator kept its schedule and the machine had room; otherwise its numbers are about itself.

    Of a run that was `stopped`, that is asked of the phases up to then.
    """
    wanted = setting.drill.load
    span = timeline.span([phase for phase in JUDGED_PHASES if phase in timeline.phases or not stopped])
    batches = [event for event, _ in each(events, LoadSamples)]
    if span is None or not batches:
        return [check_of("samples", False, "samples through all phases", "no samples", batches, group="load")]
    lags, lag, dropped, total = sends(told, span)
    share = dropped / total if total else 1.0
    checks = [
        _accounted(wanted, events, books),
        _told(events),
        check_of(
            "lag",
            lag <= wanted.lag_p99_max,
            f"p99 of send lag at most {show_duration(wanted.lag_p99_max)}",
            f"{lag * 1000:.1f}ms over {plural(len(lags), 'send')}" if lags else "no sends",
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
        _rate(setting, events, total, span),
    ]
    checks.extend(_machine(setting, events, span))
    return checks


def sends(told: Mapping[str, TierSamples], span: tuple[float, float]) -> tuple[list[float], float, int, int]:
    """Lags of the sends in a span and their p99, how many arrivals were dropped, and how many there were."""
    cuts = [part.cut(*span) for part in told.values()]
    lags = sorted([lag for cut in cuts for lag in cut.column("lag") if lag is not None])
    p99 = lags[min(len(lags) - 1, math.ceil(len(lags) * 0.99) - 1)] if lags else math.inf
    return lags, p99, sum(cut.counts["dropped"] for cut in cuts), sum(map(len, cuts))


def _accounted(wanted: Load, events: Sequence[Event], books: Mapping[str, StreamBook]) -> Check:
    """Whatever became of an arrival, there is one sample of it: one that is missing may have been a failure."""
    started = [event for event, _ in each(events, LoadStarted)]
    planned = {stream for stream, book in books.items() if book.planned is not None}
    due = {stream.tier: 0 for stream in wanted.streams}
    seen = dict.fromkeys(due, 0)
    wrong, told = [], []
    for stream, book in books.items():
        if not book.tier:
            wrong.append(f"{stream} is no stream of the drill")
        elif stream not in planned:
            wrong.append(f"how many arrivals {stream} has was not reported")
        else:
            due[book.tier] += book.planned or 0
            seen[book.tier] += book.rows - book.repeated if book.numbered else book.rows
            told.extend([f"{book.missing} of {stream} are missing"] if book.missing else [])
            told.extend([f"{book.repeated} of {stream} are told twice"] if book.repeated else [])
            wrong.extend([f"{book.strange} of {stream} were not planned"] if book.strange else [])
    for tier, count in due.items():
        if not count:
            wrong.append(f"no {tier} arrivals were planned")
        elif not count * ACCOUNTED_MIN <= seen[tier] <= count:
            wrong.append(f"{seen[tier]} of {count} {tier}")
    good = not wrong and not any(book.repeated for book in books.values())
    counted = [f"{seen[tier]} of {count} {tier}" for tier, count in due.items()]
    return check_of(
        "samples",
        good,
        f"one sample of each planned arrival, {show_ratio(ACCOUNTED_MIN)} of each tier's at least, over the whole run; "
        "the others count as good and as bad",
        "; ".join([*(wrong or counted), *told]),
        started,
        group="load",
        value=float(sum(seen.values())),
        limit=float(sum(due.values())),
    )


def owners_of(load: Load) -> dict[str, str]:
    """The tier of each stream, by the names under which the generator sends them."""
    return {part: stream.tier for stream in load.streams for part in sent_as(stream)}


def sent_as(stream: Stream) -> tuple[str, ...]:
    """The names under which the generator sends a stream: two, where it asks for streamed and for plain answers."""
    both = 0 < stream.streaming < 1
    return (f"{stream.name}-plain", f"{stream.name}-streamed") if both else (stream.name,)


def _told(events: Sequence[Event]) -> Check:
    """The generator ended well, and every line it wrote could be read."""
    ended = each(events, LoadEnded)
    # Histories from before the planned faults were told have no such event.
    start = events[0].payload
    old = isinstance(start, RunStarted) and start.faults is None
    malformed = sum(said.malformed for _, said in ended)
    codes = [said.exit_code for _, said in ended]
    good = (bool(ended) or old) and not malformed and not any(code != 0 for code in codes)
    if not ended:
        seen = "it was not reported"
    else:
        seen = f"ended with {', '.join(map(str, codes))}, {malformed} lines that cannot be read"
    return check_of(
        "ended",
        good,
        "the generator ends well, and all it wrote can be read",
        seen,
        [event for event, _ in ended],
        group="load",
    )


def _stalled(reports: Sequence[tuple[Event, LoadHealth]], span: tuple[float, float]) -> Check:
    """A generator that stood still sent nothing meanwhile, and what it then sent was late by its own doing."""
    # A report is about the interval that ends with it. One that does not say is no good word.
    stalled = [
        event
        for event, said in reports
        if said.stalled is not False and span[0] < event.at and event.at - said.interval_s < span[1]
    ]
    moments = [span[0], *(min(max(event.at, span[0]), span[1]) for event, _ in reports), span[1]]
    gap = max(later - earlier for earlier, later in pairwise(sorted(moments)))
    if stalled:
        seen = f"it stood still before {', '.join(f'+{event.at - span[0]:.1f}s' for event in stalled[:3])}"
    elif gap > REPORT_GAP_MAX_S:
        seen = f"it reported nothing for {gap:.1f}s"
    else:
        seen = f"it did not; it reported every {gap:.1f}s at least"
    return check_of(
        "stalled",
        not stalled and gap <= REPORT_GAP_MAX_S,
        f"the generator never stalls, and reports every {show_duration(REPORT_GAP_MAX_S)}",
        seen,
        stalled,
        group="load",
        value=gap,
        limit=REPORT_GAP_MAX_S,
        samples=len(reports),
    )


def _rate(setting: DrillSetting, events: Sequence[Event], total: int, span: tuple[float, float]) -> Check:
    """As many arrivals as the documents say, at the rates that their shapes have in the span."""
    streams = setting.drill.load.streams
    started = [said.schedule_zero for _, said in each(events, LoadStarted)]
    zero = started[-1] if started and started[-1] is not None else None
    replayed = any(stream.shape.kind == "replay" for stream in streams)
    moving = any(stream.shape.kind != "steady" for stream in streams)
    if replayed or (moving and zero is None):
        expected, good = float(total), total > 0
    else:
        since = float(zero) if zero is not None else span[0]
        expected = sum(stream.rate * stream.shape.area(span[0] - since, span[1] - since) for stream in streams)
        expected += sum(surged_arrivals(events).values())
        # Poisson arrivals scatter by the root of their number; four of those is chance beyond doubt.
        good = abs(total - expected) <= max(RATE_TOLERANCE * expected, 4 * math.sqrt(max(expected, 1.0)))
    return check_of(
        "rate",
        good,
        "as many arrivals as recorded" if replayed else "as many arrivals as planned",
        f"{total}" if replayed else f"{total} of about {expected:.0f}",
        [],
        group="load",
        value=float(total),
        limit=expected,
        samples=total,
    )


def _machine(setting: DrillSetting, events: Sequence[Event], span: tuple[float, float]) -> list[Check]:
    reports = [(event, said) for event, said in each(events, LoadHealth) if span[0] <= event.at < span[1] + 2]
    floor = setting.environment.idle_floor
    idles = [said.machine_idle for _, said in reports if said.machine_idle is not None]
    taken = [said.machine_stolen for _, said in reports if said.machine_stolen is not None]
    stolen = sum(taken) / len(taken) if taken else 0.0
    by_others = f", and {stolen:.0%} taken by its hypervisor" if stolen >= STOLEN_TOLD else ""
    loops = sorted(said.loop_lag_s for _, said in reports if said.loop_lag_s is not None)
    idle = sum(idles) / len(idles) if idles else None
    loop = loops[min(len(loops) - 1, math.ceil(len(loops) * 0.9) - 1)] if loops else None
    return [
        _stalled(reports, span),
        check_of(
            "machine",
            idle is not None and idle >= floor,
            f"the machine is idle, or at work of lower priority, for {show_ratio(floor)} or more of the time",
            f"idle {idle:.0%} on average{by_others}" if idle is not None else "the generator did not report",
            [event for event, _ in reports],
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


MEASURED_BY_LOAD = frozenset({"slo", "invariant", "class"})
OF_ALERTS = "time_to_detect"


def without_load(checks: Sequence[Check], setting: DrillSetting, events: Sequence[Event]) -> list[Check]:
    """The checks, those that rest on load not measured, and availability as the platform's monitoring counted it."""
    counted = {said.tier: (event, said) for event, said in each(events, MonitoringAvailability)}
    found = []
    for check in checks:
        _, _, rest = check.id.partition("/")
        tier, _, name = rest.partition("/")
        if check.group == "slo" and name == "availability" and tier in counted:
            found.append(_availability(tier, setting, *counted[tier]))
        elif check.group in MEASURED_BY_LOAD and name != OF_ALERTS:
            seen = f"{Status.NOT_MEASURED}: no load was sent"
            found.append(replace(check, status=Status.NOT_MEASURED, seen=seen, value=None, low=None, high=None))
        else:
            found.append(check)
    return found


def _availability(tier: str, setting: DrillSetting, event: Event, said: MonitoringAvailability) -> Check:
    objective = setting.tiers.by_name(tier).objectives.availability or 0.0
    total = max(0, round(said.total))
    bad = min(total, max(0, round(said.total - said.good)))
    interval = wilson(total - bad, total)
    if interval is None:
        status, seen = Status.INCONCLUSIVE, "its monitoring counted no requests"
    else:
        status = side(interval.low >= objective, interval.high < objective and bad >= BAD_AT_LEAST)
        seen = (
            f"{interval.value:.4%} (95%: {interval.low:.3%} to {interval.high:.3%}; {bad} bad of {total}, as its "
            f"monitoring counted over {said.window})"
        )
    return slo_check(
        tier,
        "availability",
        status,
        "availability in fault+recovery",
        f"at least {show_ratio(objective)}",
        seen,
        (event.sequence,),
        measured=interval,
        limit=objective,
    )
