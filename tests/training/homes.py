"""A home with exercises of the past, as an exercise leaves them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tests.training.build import ZERO, Sitting, shipped, well_done
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore
from tierdrill.home import run_folder
from tierdrill.training.results.debrief import debrief_of
from tierdrill.training.results.debrief_views import write_debrief
from tierdrill.training.results.progress import keep_result


def sat(scenario: str = "amber-kettle", trainee: str | None = None, *, late: float = 0.0) -> Sitting:
    """An exercise done well, or late."""
    sitting = well_done(shipped(scenario)[0], late=late)
    sitting.trainee, sitting.rate_rps = trainee, 2.0
    return sitting


def left_behind(home: Path, name: str, sitting: Sitting, *, day: int = 0) -> list[Event]:
    """Store an exercise, its result and its debrief."""
    events = []
    for event in replace(sitting, zero=ZERO + day * 86400.0).events():
        data = {**event.data, "exercise": name} if event.kind == "exercise.started" else event.data
        events.append(replace(event, data=data))
    with closing(HistoryStore(home)) as store:
        store.begin(name, sitting.scenario.metadata.name, "exercise", events[0].at)
        events = store.append_many(name, events)
        by = sitting.trainee or "a trainee"
        store.finish(name, events[-1].at, "completed", f"resolved: {by} said so")
    keep_result(home, events)
    write_debrief(debrief_of(events), run_folder(home, name))
    return events
