"""The wire between terminals and an exercise, the facilitator's seat, and what is typed there. A real socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.build import catalogue
from tests.training.test_rules import inventory
from tierdrill.documents.models.scenario import Inject
from tierdrill.history.events import Event
from tierdrill.training.exercise_setting import draw_scenario
from tierdrill.training.facilitator.facilitator_actions import Facilitator
from tierdrill.training.facilitator.facilitator_console import BadLine, understood
from tierdrill.training.ops.manual_playbooks import NoSuchTarget, labels_for
from tierdrill.training.ops.tier_health import Pulse
from tierdrill.training.protocol import Answer, NoExercise, answer, ask, connect, find_exercise, short_path
from tierdrill.training.terminal_server import Desk


async def echo(do: str, said: dict[str, Any], token: str) -> Answer:
    if do == "break":
        raise RuntimeError("on purpose")
    return answer(f"{do} {said} {token}", said)


def with_desk(home: Path, name: str, work: Any) -> None:
    async def play() -> None:
        folder = home / "exercises" / name
        folder.mkdir(parents=True)
        desk = Desk(folder, echo)
        await desk.start()
        try:
            await work(folder)
        finally:
            await desk.stop()
        assert not (folder / "socket").exists()

    asyncio.run(play())


def test_a_question_is_answered_and_the_socket_is_private(tmp_path: Path) -> None:
    # Deeper than a socket's own path may be.
    home = tmp_path / ("deep" * 20) / ("er" * 30)

    async def work(folder: Path) -> None:
        assert (folder / "socket").stat().st_mode & 0o777 == 0o600
        found = await asyncio.to_thread(ask, home, "look", {"a": 1}, token="t")
        assert found == {"ok": True, "code": 0, "text": "look {'a': 1} t", "data": {"a": 1}}
        broken = await asyncio.to_thread(ask, home, "break", {})
        assert not broken["ok"] and "RuntimeError" in broken["text"]
        assert (await asyncio.to_thread(ask, home, "again", {}))["ok"], "the exercise goes on"

    with_desk(home, "exercise-1", work)


def test_nonsense_on_the_socket_is_answered_and_harms_nobody(tmp_path: Path) -> None:
    def shout(folder: Path, line: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection, short_path(folder) as path:
            connection.connect(path)
            connection.sendall(line + b"\n")
            return json.loads(connection.makefile().readline())  # type: ignore[no-any-return]

    async def work(folder: Path) -> None:
        for line in (b"no json", b"[]", b"{}", b'{"do": "x", "with": 3}', b'"' + b"x" * 100_000 + b'"'):
            said = await asyncio.to_thread(shout, folder, line)
            assert said["code"] == 2, line[:20]
        assert (await asyncio.to_thread(ask, tmp_path, "still here", {}))["ok"]

    with_desk(tmp_path, "exercise-1", work)


def test_which_exercise_is_meant(tmp_path: Path) -> None:
    with pytest.raises(NoExercise, match="no exercise in progress"):
        find_exercise(tmp_path)
    (tmp_path / "exercises" / "dead-one").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left, short_path(tmp_path / "exercises" / "dead-one") as path:
        left.bind(path)
    assert connect(tmp_path / "exercises" / "dead-one") is None

    async def work(folder: Path) -> None:
        name, connection = find_exercise(tmp_path)
        connection.close()
        assert name == "exercise-1", "one whose host has died is passed over"
        with pytest.raises(NoExercise, match="exercise-1"):
            find_exercise(tmp_path, "exercise-9")
        second = folder.parent / "exercise-2"
        second.mkdir()
        desk = Desk(second, echo)
        await desk.start()
        with pytest.raises(NoExercise, match="--exercise"):
            find_exercise(tmp_path)
        found = await asyncio.to_thread(lambda: ask(tmp_path, "x", {}, exercise="exercise-2"))
        assert found["ok"]
        await desk.stop()

    with_desk(tmp_path, "exercise-1", work)


def test_the_trainee_s_commands_load_nothing_heavy() -> None:
    heavy = ["pydantic", "httpx", "aiohttp", "rich", "yaml", "sqlite3", "asyncio", "requests", "psutil", "starlette"]
    code = (
        "import sys; from tierdrill.cli.main import main; main(['ops', 'tiers']); main(['ops', 'restart', '--help']);"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    nowhere = {**os.environ, "TIERDRILL_HOME": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=nowhere)
    assert done.stdout.strip().endswith("[]"), done.stdout


class Stage:
    """What the facilitator acts on."""

    def __init__(self) -> None:
        self.did: list[Any] = []
        self.paused = False

    async def perform(self, inject: Inject, by: str) -> str:
        if inject.node == "node-9":
            raise ValueError("got node-9")
        self.did.append(inject)
        return "done"

    def message(self, sender: str, text: str) -> None:
        self.did.append((sender, text))

    def pause(self) -> bool:
        was, self.paused = self.paused, True
        return not was

    def resume(self) -> bool:
        was, self.paused = self.paused, False
        return was

    def end(self, reason: str, why: str) -> None:
        self.did.append((reason, why))

    def truth(self) -> dict[str, Any]:
        return {"the": "truth"}


def test_the_facilitator_s_seat_is_taken_once_and_seen_to_be() -> None:
    async def work() -> None:
        events: list[Event] = []
        joined: list[bool] = []
        stage = Stage()
        scenario = catalogue().scenarios["amber-kettle"]
        desk = Facilitator(scenario, stage, events.append, lambda: joined.append(True))
        assert not (await desk.handle("truth", {}, ""))["ok"], "nobody has the seat: its token cannot be empty"
        token = (await desk.handle("join", {}, ""))["data"]["token"]
        assert joined == [True] and [one.kind for one in events] == ["facilitator.joined"]
        refused = await desk.handle("join", {}, "")
        assert not refused["ok"] and refused["data"] is None
        for do in ("truth", "inject", "message", "hint", "pause", "end", "fault", "clue"):
            assert not (await desk.handle(do, {"text": "x", "name": "customer"}, "guess"))["ok"]
        assert stage.did == [] and not stage.paused
        assert (await desk.handle("truth", {}, token))["data"] == {"the": "truth"}
        assert (await desk.handle("inject", {"name": "customer"}, token))["ok"]
        assert stage.did[-1].name == "customer"
        assert (await desk.handle("inject", {"name": "nothing"}, token))["code"] == 2
        assert not (await desk.handle("clue", {"node": "node-9", "gpu": 0, "xid": 45}, token))["ok"]
        assert (await desk.handle("hint", {"text": "look there", "cost": 7}, token))["ok"]
        assert events[-1].data == {"hint": "look there", "cost": 7, "asked": False}
        assert (await desk.handle("hint", {"text": "dear", "cost": 77}, token))["code"] == 2
        assert (await desk.handle("pause", {}, token))["ok"] and not (await desk.handle("pause", {}, token))["ok"]
        assert (await desk.handle("resume", {}, token))["ok"] and not (await desk.handle("resume", {}, token))["ok"]
        assert (await desk.handle("end", {"why": "lunch"}, token))["ok"] and stage.did[-1] == ("facilitator", "lunch")

    asyncio.run(work())


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("", ("truth", {})),
        ("inject customer", ("inject", {"name": "customer"})),
        ("message @boss how long?", ("message", {"text": "how long?", "sender": "boss"})),
        ("message hello there", ("message", {"text": "hello there", "sender": "facilitator"})),
        ("hint 10 look up", ("hint", {"cost": 10, "text": "look up"})),
        ("hint look up", ("hint", {"text": "look up"})),
        ("clue node-1 0 45", ("clue", {"node": "node-1", "gpu": 0, "xid": 45})),
        ("fault replica-crash replica=r", ("fault", {"fault": "replica-crash", "parameters": {"replica": "r"}})),
        ("fault link-latency source=a destination=b delay_ms=300",
         ("fault", {"fault": "link-latency", "parameters": {"source": "a", "destination": "b", "delay_ms": 300}})),
        ("end all is said", ("end", {"why": "all is said"})),
    ],
)  # fmt: skip
def test_the_facilitator_s_lines(line: str, meant: tuple[str, dict[str, Any]]) -> None:
    assert understood(line) == meant


@pytest.mark.parametrize("line", ["dance", "clue node-1", "clue node-1 x 45", "fault", "fault x y", "fault 'x"])
def test_a_line_that_is_none_says_what_is(line: str) -> None:
    with pytest.raises(BadLine, match=r"expected|No closing"):
        understood(line)


def test_scenarios_are_drawn_as_often_as_they_are_met() -> None:
    scenarios = list(catalogue().scenarios.values())
    drawn = Counter(draw_scenario(scenarios, None, seed) for seed in range(3000))
    whole = sum(one.weight for one in scenarios)
    for one in scenarios:
        share = one.weight / whole
        assert abs(drawn[one.metadata.name] / 3000 - share) < 0.04, one.metadata.name
    assert draw_scenario(scenarios, None, 7) == draw_scenario(reversed(scenarios), None, 7)
    hard = {one.metadata.name for one in scenarios if one.level == "hard"}
    assert {draw_scenario(scenarios, "hard", seed) for seed in range(50)} <= hard
    with pytest.raises(LookupError):
        draw_scenario([], None, 1)


def test_a_playbook_by_hand_gets_the_labels_of_its_target() -> None:
    playbooks, seen = catalogue().playbooks, inventory()
    labels = labels_for(playbooks["restart-replica"], "assistant-1", seen)
    assert (labels["replica"], labels["node"], labels["tier"]) == ("assistant-1", "node-2", "critical")
    assert labels_for(playbooks["drain-and-reboot-gpu-node"], "node-1/0", seen) == {"node": "node-1", "gpu": "0"}
    link = labels_for(playbooks["shift-traffic"], "gateway-a>node-2", seen)
    assert link == {"gateway": "gateway-a", "node": "node-2"}
    assert labels_for(playbooks["shed-best-effort"], "best-effort", seen) == {}
    for name, target in (
        ("restart-replica", "nobody"),
        ("shift-traffic", "node-2"),
        ("drain-and-reboot-gpu-node", "node-9/0"),
    ):
        with pytest.raises(NoSuchTarget):
            labels_for(playbooks[name], target, seen)


@given(st.lists(st.sampled_from(["ok", "error", "rejected", "timeout"]), min_size=1, max_size=200))
def test_a_tier_s_pulse_counts_what_its_objectives_count(outcomes: list[str]) -> None:
    tiers = catalogue().tiers["serving"]
    pulse = Pulse(tiers)
    size = len(outcomes)
    for tier in ("critical", "best-effort"):
        pulse.feed({"tier": [tier] * size, "due": [100.0] * size, "latency": [0.05] * size, "outcome": outcomes})
    fares = {fare.tier: fare for fare in pulse.fares(101.0)}
    good = outcomes.count("ok")
    assert fares["critical"].availability == good / size
    counted = size - outcomes.count("rejected")
    assert fares["best-effort"].availability == (good / counted if counted else None)
    if size < 10:
        assert fares["critical"].kept is None, "too few to say"
    elif good == size:
        assert fares["critical"].kept is True
    elif size - good > 2:
        assert fares["critical"].kept is False and fares["critical"].missed
    assert fares["standard"].kept is None and fares["standard"].requests == 0
    assert all(fare.requests == 0 for fare in pulse.fares(200.0)), "what is old is forgotten"
