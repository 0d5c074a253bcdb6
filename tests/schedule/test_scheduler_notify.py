"""A real scheduler that tells a real webhook, with the receiver away at first and the scheduler killed in between."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.schedule.houses import ended, new_house, until
from tests.schedule.servers import HttpServer
from tierdrill.schedule.notify.outbox_store import MessageStore

pytestmark = pytest.mark.timeout(90)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_a_drill_came_to_is_told_although_nobody_was_there_and_the_scheduler_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2-is-a-secret"
    monkeypatch.setenv("SCHEDULER_HOOK_SECRET", secret)
    port = free_port()
    house = new_house(tmp_path)
    house.play(seconds=0.1, status=["failed", "failed", "failed", "passed"])
    house.calendar(
        {"name": "a", "drill": "node-loss", "every": "2s"},
        channels=[
            {"name": "hook", "type": "webhook", "url": f"http://127.0.0.1:{port}/",
             "secret": {"env": "SCHEDULER_HOOK_SECRET"}, "once_within": "1h", "on": ["failed", "recovered"]},
        ],
        notify=["hook"],
    )  # fmt: skip

    def tried() -> bool:
        if not (house.home / MessageStore.FILE).exists():
            return False
        with closing(MessageStore(house.home)) as store:
            return any(line.attempts for line in store.log())

    async def told() -> list[dict[str, Any]]:
        async with HttpServer(port=port) as server:
            second = house.start()
            with ended(second):
                await asyncio.to_thread(until, lambda: len(server.received) >= 2, 40)
                second.send_signal(signal.SIGTERM)
                await asyncio.to_thread(second.wait, 20)
        return [json.loads(one.body) for one in server.received]

    first = house.start()
    with ended(first):
        until(tried, 40)
    came = asyncio.run(told())
    assert [one["notice"]["kind"] for one in came] == ["failed", "recovered"]
    assert came[0]["notice"]["drill"] == "node-loss"
    assert came[0]["notice"]["run"].startswith("node-loss-")
    assert came[0]["notice"]["owner"] == "team"
    assert len({one["id"] for one in came}) == 2
    assert secret not in house.log()
    for path in house.home.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path
