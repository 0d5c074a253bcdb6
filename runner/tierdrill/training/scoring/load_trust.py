"""Whether the requests of an exercise can be believed: a starved machine looks like a broken platform. Pure.

The rules are those of a drill's load, over the time from the first effect to the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tierdrill.documents.models.drill import Load
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import LoadHealth, LoadSamples


def load_doubt(events: Sequence[Event], load: Load, idle_floor: float, begin: float, end: float) -> str:
    """Why the samples between two instants say nothing about the trainee; "" where they can be believed.

    `idle_floor` is the environment's: the share of time in which the machine must be idle.
    """
    reports = [said for event, said in each(events, LoadHealth) if begin <= event.at <= end]
    if not reports:
        return "the load generator reported nothing about itself"
    idles = [one.machine_idle for one in reports if one.machine_idle is not None]
    if idle_floor > 0 and not idles:
        return "it is not told how busy the machine was"
    if idles and (idle := sum(idles) / len(idles)) < idle_floor:
        return f"the machine was idle {idle:.1%} of the time, and {show_ratio(idle_floor)} is the least"
    lags, dropped = _sends(events, begin, end)
    if lags and (lag := lags[min(len(lags) - 1, math.ceil(len(lags) * 0.99) - 1)]) > load.lag_p99_max:
        return f"requests were sent {lag * 1000:.0f} ms late (p99), and {show_duration(load.lag_p99_max)} is the most"
    if lags and dropped / len(lags) > load.dropped_max:
        return f"the generator could not send {dropped} of {len(lags)} requests"
    return ""


def _sends(events: Sequence[Event], begin: float, end: float) -> tuple[list[float], int]:
    """Ascending lags of the requests due in that time, and how many could not be sent."""
    lags: list[float] = []
    dropped = 0
    for _, said in each(events, LoadSamples):
        columns = said.columns
        for due, lag, outcome in zip(columns["due"], columns["lag"], columns["outcome"], strict=True):
            if begin <= due <= end:
                lags.append(float(lag or 0.0))
                dropped += outcome == "dropped"
    return sorted(lags), dropped
