"""The lab's own leases: what nobody renews is undone by the lab itself, until it says that it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tierdrill.lab.supervisor.lab_events import EventLog
from tierdrill.lab.supervisor.lab_leases import LEASE_S_MAX, BadLease, Leases, Undo

ON = {"method": "POST", "path": "/v1/nodes/node-1/power", "body": {"state": "on"}}
PASS = {"method": "PUT", "path": "/v1/links", "body": {"mode": "pass"}}


class Api:
    """The lab's own API: what was asked; the first `refusals` requests are refused."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals, self.asked = refusals, list[str]()

    async def ask(self, undo: Undo) -> None:
        self.asked.append(f"{undo.method} {undo.path}")
        if self.refusals:
            self.refusals -= 1
            raise OSError("not now")


def states(leases: Leases) -> dict[str, str]:
    return {one["name"]: one["state"] for one in leases.show()}


async def event(log: EventLog, kind: str) -> None:
    seen = 0
    while kind not in [one["kind"] for one in log.since(0)]:
        seen = max((one["sequence"] for one in await log.wait(seen, 5.0)), default=seen)


def played(scene: Callable[[Leases, Api, EventLog], Any], refusals: int = 0) -> Api:
    api, log = Api(refusals), EventLog()

    async def play() -> None:
        await scene(Leases(api.ask, log), api, log)

    asyncio.run(play())
    return api


def test_what_nobody_renews_is_undone_by_the_lab() -> None:
    async def scene(leases: Leases, api: Api, log: EventLog) -> None:
        leases.put("r/power/node-1", {"lease_s": 0.05, "undo": [ON, PASS]})
        assert states(leases) == {"r/power/node-1": "held"}
        await event(log, "lease-undone")
        assert states(leases) == {"r/power/node-1": "undone"}

    assert played(scene).asked == ["POST /v1/nodes/node-1/power", "PUT /v1/links"]


def test_a_refusal_is_tried_again_and_what_was_done_is_not() -> None:
    async def scene(leases: Leases, api: Api, log: EventLog) -> None:
        leases.put("f", {"lease_s": 0.01, "undo": [ON, PASS]})
        await event(log, "lease-undone")

    assert played(scene, refusals=1).asked == [
        "POST /v1/nodes/node-1/power", "PUT /v1/links", "POST /v1/nodes/node-1/power",
    ]  # fmt: skip


def test_a_lease_that_is_renewed_or_given_back_does_nothing() -> None:
    async def scene(leases: Leases, api: Api, log: EventLog) -> None:
        leases.put("kept", {"lease_s": 0.2, "undo": [ON]})
        leases.put("back", {"lease_s": 0.2, "undo": [ON]})
        assert leases.release("back") and not leases.release("back")
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.5
        while loop.time() < until:
            assert leases.renew(["kept", "back", "unknown"]) == ["kept"]
            await asyncio.sleep(0)
        assert states(leases) == {"kept": "held"} and api.asked == []
        leases.release("kept")

    played(scene)


def test_what_was_undone_is_not_renewed() -> None:
    async def scene(leases: Leases, api: Api, log: EventLog) -> None:
        leases.put("f", {"lease_s": 0.01, "undo": [ON]})
        await event(log, "lease-undone")
        assert leases.renew(["f"]) == []

    assert len(played(scene).asked) == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"undo": [ON]}, "lease_s: got .*, expected seconds"),
        ({"lease_s": float("nan"), "undo": [ON]}, "lease_s: got .*, expected seconds"),
        ({"lease_s": True, "undo": [ON]}, "lease_s: got .*, expected seconds"),
        ({"lease_s": 0, "undo": [ON]}, "expected above 0"),
        ({"lease_s": LEASE_S_MAX * 2, "undo": [ON]}, "at most"),
        ({"lease_s": 5}, "at least one request"),
        ({"lease_s": 5, "undo": ["on"]}, "undo: got str, expected an object"),
        ({"lease_s": 5, "undo": [{**ON, "method": "GET"}]}, "method 'GET'"),
        ({"lease_s": 5, "undo": [{**ON, "path": "/v1/down"}]}, "path '/v1/down'"),
        ({"lease_s": 5, "undo": [{**ON, "path": "/v1/leases/x"}]}, "path '/v1/leases/x'"),
        ({"lease_s": 5, "undo": [{**ON, "path": "http://elsewhere/v1/links"}]}, "path 'http"),
        ({"lease_s": 5, "undo": [{**ON, "body": "on"}]}, "undo.body: got str, expected an object"),
    ],
)
def test_a_lease_that_makes_no_sense_is_refused(said: dict[str, Any], why: str) -> None:
    async def scene(leases: Leases, api: Api, log: EventLog) -> None:
        with pytest.raises(BadLease, match=why.replace("'", ".")):
            leases.put("f", said)
        assert leases.show() == []

    played(scene)
