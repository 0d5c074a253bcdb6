"""What a run puts around its deployment: whose death stops it, which webhooks it takes, who acknowledges its pages."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from tests.raw_event import event
from tierdrill.conductor.deployment import Deployment
from tierdrill.documents.models.drill import OnCall
from tierdrill.history.kinds.run_kinds import RunNote
from tierdrill.monitoring.pagerduty import PageNotSent, PagerClient, PagerStub
from tierdrill.process.signals import StopSignal


@pytest.mark.parametrize(
    ("name", "expected", "source", "faulted", "stops"),
    [
        ("gateway-a", False, "lab", False, True),
        ("gateway-a", False, "lab", True, False),
        ("prometheus", False, "lab", True, True),
        ("gateway-a", True, "lab", False, False),
        ("load", False, "runner", False, False),
    ],
)
def test_what_dies_stops_the_run_unless_a_fault_may_have_killed_it(
    name: str, expected: bool, source: str, faulted: bool, stops: bool
) -> None:
    one, stop = Deployment.__new__(Deployment), StopSignal()
    vars(one).update(_stop=stop, _faulted=set())
    if faulted:
        one._seen(event("fault.intended", "experiment", kind="node-power-loss", target="node-2"))
    one._seen(event("process.exited", source, name=name, exit_code=-9, expected=expected))
    assert stop.stopped is stops and stop.reason == (f"{name} ended unexpectedly (-9)" if stops else "")


def test_a_watcher_that_a_fault_is_to_kill_stops_no_run() -> None:
    one, stop = Deployment.__new__(Deployment), StopSignal()
    vars(one).update(_stop=stop, _faulted=set())
    one._seen(event("fault.intended", "experiment", kind="alertmanager-lost", target="alertmanager"))
    one._seen(event("process.exited", "lab", name="alertmanager", exit_code=-9, expected=False))
    assert not stop.stopped
    one._seen(event("process.exited", "lab", name="prometheus", exit_code=-9, expected=False))
    assert stop.stopped


def test_a_webhook_of_another_version_is_noted_once_and_taken_by_nobody() -> None:
    class Notes:
        def __init__(self) -> None:
            self.texts: list[str] = []

        def note(self, said: RunNote, source: str) -> None:
            self.texts.append(said.text)

    one, notes = Deployment.__new__(Deployment), Notes()
    vars(one).update(recorder=notes, _refused=set())
    for _ in range(2):
        with pytest.raises(ValueError, match="version '5'"):
            one._alerts({"version": "5", "alerts": []})
    assert len(notes.texts) == 1 and notes.texts[0].startswith("a webhook was refused: got an Alertmanager webhook")


def test_the_person_on_call_acknowledges_what_arrives_and_nothing_that_does_not() -> None:
    async def scenario() -> list[tuple[str, str]]:
        taken: list[tuple[str, str]] = []
        heard = asyncio.Event()

        def acknowledged(dedup_key: str, by: str) -> None:
            taken.append((dedup_key, by))
            heard.set()

        one, pager = Deployment.__new__(Deployment), PagerStub(on_acknowledge=acknowledged)
        await pager.start()
        drill = SimpleNamespace(on_call=OnCall(name="night watch", acknowledges_after=0.0))
        plan = SimpleNamespace(setting=SimpleNamespace(drill=drill))
        client = PagerClient(pager.url, pager.routing_key)
        vars(one).update(plan=plan, pager=pager, pager_client=client, _answers=set())
        await one._page("pager:primary", 1, "critical", "k", "trigger", "node-2 is lost")
        await heard.wait()
        await one._page("pager:primary", 1, "critical", "k", "resolve", "")
        await pager.stop()
        with pytest.raises(PageNotSent):
            await one._page("pager:primary", 1, "critical", "l", "trigger", "node-3 is lost")
        await asyncio.gather(*one._answers)
        await client.close()
        return taken

    assert asyncio.run(scenario()) == [("k", "night watch")]
