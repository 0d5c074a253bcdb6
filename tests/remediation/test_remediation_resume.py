"""A new engine after a crash: it knows from the history what was left in the middle, and repeats only what may not
have happened.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from remediation_support import EPOCH, Bench, clock, notice, playbook, refuse, run, step

from tierdrill.documents.models.playbook import Playbook
from tierdrill.history.events import Event
from tierdrill.remediation.engine_journal import memory_of, unfinished
from tierdrill.targets.base import RemedyResult

STEPS = [
    step("a", "cordon", rollback={"do": "uncordon", "arguments": {"node": "${target}"}}),
    step("b", "drain"),
    step("c", "power-cycle"),
]
GIVE = {"steps": [step("give", "set-weight")]}


def _history(book: Playbook, *, fails: str | None = None, resolve: bool = False) -> list[Event]:
    async def scene() -> Bench:
        bench = Bench(book)
        if fails:
            bench.port.on[fails] = refuse
        bench.engine.notify(notice())
        await bench.engine.idle()
        if resolve:
            bench.engine.notify(notice(status="resolved"))
            await bench.engine.idle()
        return bench

    return list(run(scene()).events)


def _resumed(book: Playbook, past: list[Event]) -> Bench:
    async def scene() -> Bench:
        bench = Bench(book)
        bench.engine.resume(past)
        for _ in range(3):
            bench.engine.notify(notice())
        await bench.engine.idle()
        bench.engine.notify(notice(status="resolved"))
        await bench.engine.idle()
        bench.events[:0] = past
        return bench

    result: Bench = run(scene())
    return result


WHOLE = _history(playbook(attempts=2, steps=STEPS, on_resolve=GIVE), resolve=True)
FAILED = _history(playbook(attempts=2, steps=STEPS, on_resolve=GIVE), fails="power-cycle", resolve=True)


@pytest.mark.parametrize("cut", range(1, len(WHOLE) + 1))
def test_killed_at_any_event_the_next_engine_finishes(cut: int) -> None:
    past = [Event.from_line(event.to_line()) for event in WHOLE[:cut]]
    bench = _resumed(playbook(attempts=2, steps=STEPS, on_resolve=GIVE), past)
    assert unfinished(bench.events) == []
    assert [(data["phase"], data["ok"]) for data in bench.of("playbook.finished")] == [("act", True), ("resolve", True)]
    assert len(bench.of("playbook.started", phase="act")) == 1, "one incident is one execution, also across a crash"
    for name in ("a", "b", "c", "give"):
        done = [data for data in bench.of("playbook.step", step=name) if data["ok"]]
        assert len(done) == 1, f"{name} was seen to work once and is not repeated"


@pytest.mark.parametrize("cut", range(1, len(FAILED) + 1))
def test_killed_while_failing_the_next_engine_takes_back_first(cut: int) -> None:
    bench = _resumed(playbook(attempts=2, steps=STEPS, on_resolve=GIVE), FAILED[:cut])
    assert unfinished(bench.events) == []
    acts = [data for data in bench.of("playbook.finished") if data["phase"] == "act"]
    assert len(acts) == 1
    open_now = {"a": False}
    for event in bench.events:
        if event.kind == "playbook.step" and event.data["step"] == "a" and event.data["ok"]:
            open_now["a"] = not event.data.get("rollback")
    if not acts[0]["ok"]:
        assert not open_now["a"], "a failed execution leaves nothing cordoned"


def test_unfinished_names_what_was_done() -> None:
    (left,) = unfinished(WHOLE[:4])
    assert (left.playbook, left.target, left.attempt, left.phase) == ("mend", "node-1", 1, "act")
    assert left.done == ("a",)
    assert left.notice.incident == notice().incident
    after_act = next(n for n, event in enumerate(WHOLE) if event.kind == "playbook.finished") + 1
    assert [item.phase for item in unfinished(WHOLE[:after_act])] == ["resolve"]
    assert unfinished([]) == []


def test_throttle_and_fuse_survive_a_crash() -> None:
    book = playbook(throttle={"once_within": "60s"}, fuse={"max_nodes": "25%", "window": "5m"})
    past = _history(book)
    assert memory_of(past, "mend").touched == {"node-1": past[0].at}
    assert memory_of(past, "other").touched == {}

    async def scene() -> Bench:
        bench = Bench(book)
        bench.engine.resume(past)
        bench.engine.notify(notice(at=EPOCH + 5))
        await asyncio.sleep(61)
        bench.engine.notify(notice("node-2", at=EPOCH + 5))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert [data["code"] for data in bench.of("playbook.skipped")] == ["throttled", "fuse"]


def test_a_slot_that_an_unfinished_execution_holds_is_held_again() -> None:
    book = playbook(steps=STEPS, concurrency={"max": 1, "on_limit": "skip"})

    async def scene() -> Bench:
        bench = Bench(book)

        async def slow(_: dict[str, Any]) -> RemedyResult:
            await asyncio.sleep(1)
            return RemedyResult(True, "done")

        bench.port.on["drain"] = slow
        bench.engine.resume(WHOLE[:4])
        bench.engine.notify(notice("node-2"))
        await asyncio.sleep(0.1)
        assert bench.of("playbook.skipped")[0]["code"] == "concurrency"
        await bench.engine.idle()
        bench.engine.notify(notice("node-3"))
        await bench.engine.idle()
        return bench

    assert [data["target"] for data in run(scene()).of("playbook.started")] == ["node-3"]
    assert callable(clock)
