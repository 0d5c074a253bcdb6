"""Which slots that are due still run: the misfire policy, for every set of slots and every moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tierdrill.documents.models.calendar import Misfire
from tierdrill.schedule.misfire import ON_TIME_S, decide
from tierdrill.schedule.slots import Slot

NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)


def slots_late(*seconds: float) -> list[Slot]:
    moments = [NOW - timedelta(seconds=late) for late in seconds]
    return [
        Slot("nightly", f"e{number}", moment, moment, None, f"nightly/e{number}")
        for number, moment in enumerate(moments)
    ]


@given(
    late=st.lists(st.floats(0, 1e7), max_size=60),
    grace=st.floats(1, 1e6),
    count=st.integers(0, 100),
)
def test_every_slot_is_decided_and_no_burst_runs(late: list[float], grace: float, count: int) -> None:
    decided = decide(slots_late(*late), NOW, Misfire(grace=grace, count=count))
    assert len(decided) == len(late)
    running = [one for one in decided if not one.missed]
    on_time = [one for one in decided if one.late_s <= ON_TIME_S]
    assert all(not one.missed for one in on_time)
    assert all(one.late_s <= max(grace, ON_TIME_S) for one in running)
    assert len(running) <= max(len(on_time), count)
    # What runs late is newer than what is missed although it might have started.
    startable = [one.late_s for one in decided if one.missed and one.late_s <= grace]
    assert not startable or all(one.late_s <= min(startable) for one in running)


@given(late=st.lists(st.floats(0, 1e5), min_size=1, max_size=20), count=st.integers(1, 5))
def test_a_late_start_within_grace_is_used(late: list[float], count: int) -> None:
    decided = decide(slots_late(*late), NOW, Misfire(grace=2e5, count=count))
    assert sum(not one.missed for one in decided) >= min(count, len(late))


def test_the_reason_says_how_late_and_why() -> None:
    old, held, new = decide(
        slots_late(7200, 800, 100), NOW, Misfire(grace=900.0, count=1), "the machine slept for 2.0 h"
    )
    assert old.missed == "2.0 h late, and at most 900s is allowed; the machine slept for 2.0 h"
    assert held.missed == "800 s late, and only the newest of the entry's slots run; the machine slept for 2.0 h"
    assert new.missed == ""


def test_what_is_due_now_counts_among_those_that_run() -> None:
    decided = decide(slots_late(400, 200, 0), NOW, Misfire(grace=900.0, count=1))
    assert [bool(one.missed) for one in decided] == [True, True, False]
    (alone,) = decide(slots_late(200), NOW, Misfire(grace=900.0, count=0))
    assert alone.missed == "200 s late, and none that was missed of the entry's slots run"


def test_a_slot_that_the_calendar_holds_back_takes_nobody_s_place() -> None:
    may, held = slots_late(400, 200)
    held = replace(held, held="blackout: freeze")
    assert [bool(one.missed) for one in decide([may, held], NOW, Misfire(grace=900.0, count=1))] == [False, True]
    due_now = replace(slots_late(400, 0)[1], held="blackout: freeze")
    assert [bool(one.missed) for one in decide([may, due_now], NOW, Misfire(grace=900.0, count=1))] == [False, False]
    both = [replace(may, held="blackout: freeze"), held]
    assert [bool(one.missed) for one in decide(both, NOW, Misfire(grace=900.0, count=1))] == [True, False]
