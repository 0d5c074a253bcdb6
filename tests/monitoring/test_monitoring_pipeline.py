"""The whole way with the real programs: an exporter goes bad, Prometheus fires, Alertmanager delivers, all is told
once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from monitoring_support import Stack, silenced_alert, stack

from tierdrill.history.events import Event
from tierdrill.monitoring.alert_watch import AlertWatcher
from tierdrill.monitoring.query import AlertmanagerClient, NoData, Prometheus
from tierdrill.monitoring.webhook_receiver import Receiver

pytestmark = pytest.mark.lab
TOKEN = "pipeline-token"


@pytest.fixture(scope="module")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("stack")) as started:
        yield started


def _metrics(*, ready: bool) -> str:
    node = f'kube_node_status_condition{{node="node-2",condition="Ready",status="true"}} {int(ready)}'
    rest = [
        'DCGM_FI_DEV_XID_ERRORS{gpu="0",UUID="GPU-1",hostname="node-2"} 0',
        'tierdrill_inflight{gateway="gateway-a",tier="critical"} 0',
    ]
    return "\n".join([node, *rest]) + "\n"


class Watch:
    """A watcher with its receiver, and what it told."""

    def __init__(self, on: Stack) -> None:
        self.told: list[Event] = []
        self._news = asyncio.Event()
        self.watcher = AlertWatcher(
            prometheus=Prometheus(on.prometheus),
            alertmanager=AlertmanagerClient(on.alertmanager),
            emit=self._take,
            webhook=True,
        )

    def _take(self, event: Event) -> None:
        self.told.append(event)
        self._news.set()

    async def until(self, seen: Callable[[], bool], within_s: float) -> None:
        async with asyncio.timeout(within_s):
            while not seen():
                self._news.clear()
                await self._news.wait()

    def states(self, alert: str, via: str | None = None) -> list[tuple[str, str]]:
        return [
            (event.data["via"], event.data["state"])
            for event in self.told
            if event.kind == "alert.state" and event.data["alert"] == alert and via in (None, event.data["via"])
        ]

    def gaps(self, what: str) -> list[float]:
        return [
            event.data["seconds"]
            for event in self.told
            if event.kind == "monitoring.gap" and event.data["what"] == what
        ]


@contextlib.asynccontextmanager
async def watching(on: Stack, *, delivered: bool = True) -> AsyncIterator[Watch]:
    """Watch for the length of the block; with `delivered`, from when notifications are seen to come."""
    watch = Watch(on)
    receiver = Receiver(token=TOKEN, on_alerts=watch.watcher.take)
    await receiver.start()
    on.webhook(f"{receiver.url}/alertmanager", TOKEN)
    async with asyncio.timeout(15):
        await _prometheus_evaluates(on)
        if delivered:
            await watch.watcher.heard_watchdog.wait()
    task = asyncio.create_task(watch.watcher.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait({task})
        await watch.watcher.finish()
        await receiver.stop()


async def _until_data(prometheus: Prometheus, expression: str, *, there: bool = True) -> None:
    """Wait until an expression has a value, or has none any more."""
    for _ in range(100):
        if isinstance(await prometheus.instant(expression), NoData) != there:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{expression} was never {'there' if there else 'gone'}")


async def _prometheus_evaluates(on: Stack) -> None:
    prometheus = Prometheus(on.prometheus)
    await _until_data(prometheus, 'ALERTS{alertname="Watchdog"}')
    prometheus.close()


def test_a_fault_is_seen_three_ways_on_one_timeline(running_stack: Stack) -> None:
    async def scenario() -> Watch:
        running_stack.set(_metrics(ready=True))
        async with watching(running_stack) as watch:
            running_stack.set(_metrics(ready=False))
            effect = time.time()
            await watch.until(lambda: len(watch.states("NodeNotReady")) >= 4, 10.0)
            assert watch.watcher.firing() >= {"NodeNotReady"}
            held = await Prometheus(running_stack.prometheus).active_alerts()
            assert {"alertname": "NodeNotReady", "node": "node-2", "severity": "page"} in list(held or ())
            running_stack.set(_metrics(ready=True))
            await watch.until(lambda: len(watch.states("NodeNotReady")) >= 7, 10.0)
        watch.told = [event for event in watch.told if event.at >= effect]
        return watch

    watch = asyncio.run(scenario())
    for via in ("alertmanager", "webhook"):
        assert watch.states("NodeNotReady", via) == [(via, "firing"), (via, "resolved")]
    assert [state for _, state in watch.states("NodeNotReady", "prometheus")] == ["pending", "firing", "resolved"]
    node = [event for event in watch.told if event.data.get("alert") == "NodeNotReady"]
    assert all(event.data["labels"] == {"node": "node-2", "severity": "page"} for event in node)
    at = {(event.data["via"], event.data["state"]): event.at for event in node}
    assert at["prometheus", "pending"] < at["prometheus", "firing"] <= at["webhook", "firing"] + 0.6
    assert at["webhook", "firing"] < at["webhook", "resolved"]
    began = {event.data["starts_at"] for event in node if event.data["state"] == "firing"}
    assert max(began) - min(began) < 1.1  # the three agree since when it fires
    assert at["webhook", "firing"] - at["prometheus", "pending"] < 4.5
    assert not [event for event in watch.told if event.kind == "monitoring.gap"]


def test_a_firing_too_short_to_be_polled_is_found_afterwards(running_stack: Stack) -> None:
    async def scenario() -> Watch:
        running_stack.set(_metrics(ready=True))
        watch = Watch(running_stack)
        prometheus = Prometheus(running_stack.prometheus)
        await _prometheus_evaluates(running_stack)
        running_stack.set(_metrics(ready=False))
        await _until_data(prometheus, 'ALERTS{alertname="NodeNotReady",alertstate="firing"}')
        running_stack.set(_metrics(ready=True))
        await _until_data(prometheus, 'ALERTS{alertname="NodeNotReady"}', there=False)
        await watch.watcher.finish()  # nobody has polled until now
        return watch

    watch = asyncio.run(scenario())
    assert watch.states("NodeNotReady", "prometheus") == [("prometheus", "firing"), ("prometheus", "resolved")]


def test_a_silenced_alert_fires_and_is_not_delivered(running_stack: Stack) -> None:
    async def scenario() -> Watch:
        running_stack.set(_metrics(ready=True))
        async with (
            watching(running_stack, delivered=False) as watch,
            AlertmanagerClient(running_stack.alertmanager) as client,
        ):
            with silenced_alert(running_stack.alertmanager, "NodeNotReady", "test", "a sabotage"):
                running_stack.set(_metrics(ready=False))
                await watch.until(lambda: bool(watch.states("NodeNotReady", "alertmanager")), 10.0)
                shown, told = await client.alerts(), await client.alerts(delivered_only=True)
                assert shown and "NodeNotReady" in [alert["labels"]["alertname"] for alert in shown]
                assert told and "NodeNotReady" not in [alert["labels"]["alertname"] for alert in told]
                running_stack.set(_metrics(ready=True))
                await watch.until(lambda: len(watch.states("NodeNotReady", "alertmanager")) == 2, 10.0)
            silences = await client.silences()
            assert silences and all(one["status"]["state"] == "expired" for one in silences)
            async with asyncio.timeout(10):
                await watch.watcher.heard_watchdog.wait()  # other notifications do come
        return watch

    watch = asyncio.run(scenario())
    assert watch.states("NodeNotReady", "webhook") == []
    assert [event.data["alert"] for event in watch.told if event.kind == "alert.silenced"] == ["NodeNotReady"]


def test_queries_against_the_real_prometheus(running_stack: Stack) -> None:
    async def scenario() -> None:
        running_stack.set(_metrics(ready=True) + "one_metric 7\nodd_metric NaN\n")
        prometheus = Prometheus(running_stack.prometheus)
        await _until_data(prometheus, "one_metric")
        for expression in ("one_metric", "scalar(one_metric)"):
            samples = await prometheus.instant(expression)
            assert samples and [sample.value for sample in samples] == [7.0]
        assert await prometheus.instant("odd_metric") == NoData("not a number")
        assert await prometheus.instant("no_metric") == NoData("empty answer")
        assert isinstance(await prometheus.instant("up{"), NoData)
        now = time.time()
        series = await prometheus.range("one_metric", now - 2.25, now, 0.25)
        assert series and series[0].points[-1][1] == 7.0
        assert series[0].points[-1][0] > now - 0.3  # not rounded to whole seconds
        prometheus.close()

    asyncio.run(scenario())


def test_dead_monitoring_is_a_gap(tmp_path: Path) -> None:
    async def scenario() -> Watch:
        with stack(tmp_path) as own:
            own.set(_metrics(ready=True))
            async with watching(own, delivered=False) as watch:
                for name in ("prometheus", "alertmanager"):
                    own.processes[name].kill()
                await watch.until(lambda: bool(watch.gaps("prometheus") and watch.gaps("alertmanager")), 10.0)
        return watch

    watch = asyncio.run(scenario())
    assert min(max(watch.gaps("prometheus")), max(watch.gaps("alertmanager"))) > 2.0
    assert watch.watcher.firing() == set()
