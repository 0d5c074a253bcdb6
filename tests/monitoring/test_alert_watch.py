"""What the watcher takes for the state of an alert, where Prometheus shows more than is so."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from tierdrill.history.events import Event
from tierdrill.monitoring.alert_names import WATCHDOG
from tierdrill.monitoring.alert_watch import GAP_S, AlertWatcher
from tierdrill.monitoring.query import AlertmanagerClient, NoData, Prometheus, Sample, Series

FALLEN = {"alertname": "GpuFallenOffBus", "node": "node-1", "gpu": "1"}


class Shown:
    """A Prometheus that shows an alert whose last sample is so old, and whose rules hold what is said."""

    def __init__(self, age_s: float, held: list[dict[str, str]] | NoData) -> None:
        self.age_s, self.held, self.asked = age_s, held, 0

    async def instant(self, expression: str) -> list[Sample]:
        assert expression == "timestamp(ALERTS)"
        now = time.time()
        ages = (({"alertname": WATCHDOG}, 0.1), (FALLEN, self.age_s))
        return [Sample({**labels, "alertstate": "firing"}, now - age, now) for labels, age in ages]

    async def range(self, expression: str, start: float, end: float, step_s: float) -> list[Series]:
        """The alert's samples of a second, and the last of them found again for as long as it is looked back."""
        assert expression == 'timestamp(ALERTS{alertstate="firing"})'
        points = [(start + number * step_s, start + min(number * step_s, 1.0)) for number in range(40)]
        return [Series(FALLEN, tuple(points))]

    def close(self) -> None:
        pass

    async def active_alerts(self) -> list[dict[str, str]] | NoData:
        self.asked += 1
        return self.held


@pytest.mark.parametrize(
    ("age_s", "held", "firing", "asked"),
    [
        (0.3, [], True, 0),
        (GAP_S + 60, [{"alertname": WATCHDOG}], False, 1),
        # Rules that are evaluated every two minutes, say; and a Prometheus that does not tell.
        (GAP_S + 60, [{**FALLEN, "alertstate": "firing"}], True, 1),
        (GAP_S + 60, NoData("404"), True, 1),
    ],
)
def test_a_series_without_an_end_is_no_alert(age_s: float, held: Any, firing: bool, asked: int) -> None:
    shown, told = Shown(age_s, held), list[Event]()
    nobody = cast(AlertmanagerClient, None)
    watcher = AlertWatcher(prometheus=cast(Prometheus, shown), alertmanager=nobody, emit=told.append)
    asyncio.run(watcher.look_at_prometheus())
    assert watcher.firing() == ({"GpuFallenOffBus"} if firing else set())
    assert bool(told) == firing and shown.asked == asked


class Silent:
    """An Alertmanager that has nothing to tell."""

    async def alerts(self) -> NoData:
        return NoData("nothing")

    async def close(self) -> None:
        pass


def test_neither_is_one_found_afterwards_longer_than_it_was_so() -> None:
    told: list[Event] = []
    watcher = AlertWatcher(
        prometheus=cast(Prometheus, Shown(GAP_S + 60, [])),
        alertmanager=cast(AlertmanagerClient, Silent()),
        emit=told.append,
    )
    asyncio.run(watcher.finish())
    begun, ended = (one for one in told if one.kind == "alert.state")
    assert [one.data["state"] for one in (begun, ended)] == ["firing", "resolved"]
    assert ended.at - begun.at == pytest.approx(1.0 + GAP_S, abs=0.5)
