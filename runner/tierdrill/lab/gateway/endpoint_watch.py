"""The gateway's background conversations: the controller's endpoint list, how busy it is for the controller's
autoscaler, and health probes of every replica.

Neither stands between a request and its answer: with the controller gone the last list is served on, and a probe that
hangs costs its own timeout.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.gateway.name_lookup import NameLookup
from tierdrill.lab.gateway.routing import Endpoint, Replica
from tierdrill.lab.lab_config import build

PROBE_PERIOD_S = 0.5
PROBE_TIMEOUT_S = 0.25
PROBES_PER_CONNECTION = 4
"""Every so many probes one more is made on a new connection: those that are kept do not show what opening takes."""

REPORT_EVERY_S = 0.5
REPORT_TIMEOUT_S = 1.0
TELL_EVERY_S = 0.05
POLL_WAIT_S = 5.0
POLL_SLACK_S = 1.5
BACKOFF_MIN_S = 0.1
BACKOFF_MAX_S = 1.0
PUMP_PERIOD_S = 0.1
RESTART_GRACE_S = 2.0

log = logging.getLogger("tierdrill.gateway")


class EndpointFollower:
    """Long-polls the controller for as long as the gateway lives."""

    def __init__(self, core: GatewayCore, session: aiohttp.ClientSession, names: NameLookup) -> None:
        self._core = core
        self._session = session
        self._names = names
        self._version = 0
        self._newest = 0
        self.restarted_at: float | None = None
        self.heard_at: float | None = None

    async def run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while True:
            try:
                await self._poll()
                backoff_s = BACKOFF_MIN_S
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
                log.warning("controller: %s: %s", type(error).__name__, error)
                self._version = 0  # whoever answers next may be another controller: ask for the whole list
                await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the gateways
                backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)

    async def _poll(self) -> None:
        wait_s = POLL_WAIT_S if self.restarted_at is None else RESTART_GRACE_S / 2
        query = {"gateway": self._core.config.name, "since": str(self._version), "wait": f"{wait_s:g}"}
        began = self._core.clock()
        async with (
            asyncio.timeout(POLL_WAIT_S + POLL_SLACK_S),
            self._session.get(
                f"{self._core.config.controller}/v1/endpoints",
                params=query,
                headers={"Authorization": f"Bearer {self._core.config.token}"},
            ) as response,
        ):
            response.raise_for_status()
            answer = await response.json(content_type=None)
        version = int(answer["version"])
        endpoints = [build(Endpoint, each, "endpoint", only_known=True) for each in answer["endpoints"]]
        self._core.quarantine.hear(answer.get("suspects", {}))
        unchanged = version == self._version
        self._version = version
        self.heard_at = self._core.clock()
        self._names.take(self._mend(version, endpoints))
        if unchanged and self.heard_at - began < BACKOFF_MIN_S:
            await asyncio.sleep(BACKOFF_MIN_S)  # a controller that does not hold the poll must not make us spin

    def _mend(self, version: int, endpoints: list[Endpoint]) -> list[Endpoint]:
        """A restarted controller knows nothing until its nodes have reported: for that long, believe what it lists but
        not what it leaves out."""
        now = self._core.clock()
        if version < self._newest:
            self.restarted_at = now
        self._newest = version
        if self.restarted_at is None:
            return endpoints
        if now - self.restarted_at > RESTART_GRACE_S:
            self.restarted_at = None
            return endpoints
        listed = {endpoint.replica for endpoint in endpoints}
        return endpoints + [r.endpoint for r in self._core.router.replicas if r.name not in listed]


class LoadReporter:
    """Tells the controller how busy models are, for its autoscaler."""

    def __init__(self, core: GatewayCore, session: aiohttp.ClientSession) -> None:
        self._core, self._session = core, session

    async def run(self) -> None:
        config = self._core.config
        while config.autoscaled:
            await asyncio.sleep(REPORT_EVERY_S)
            if self._core.flags.autoscaling:
                await _tell(self._core, self._session, "load", {"gateway": config.name, "models": self._core.busy()})


class SuspectReporter:
    """Tells the controller, and so the other gateways, under which prompts replicas ended."""

    def __init__(self, core: GatewayCore, session: aiohttp.ClientSession) -> None:
        self._core, self._session = core, session

    async def run(self) -> None:
        quarantine = self._core.quarantine
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            said, quarantine.news = quarantine.news, {}
            if said:
                await _tell(self._core, self._session, "suspects", said)


async def _tell(core: GatewayCore, session: aiohttp.ClientSession, what: str, said: Mapping[str, Any]) -> None:
    """Tell the controller something; that it does not hear is a line in the log."""
    url, key = f"{core.config.controller}/v1/{what}", {"Authorization": f"Bearer {core.config.token}"}
    try:
        async with asyncio.timeout(REPORT_TIMEOUT_S), session.post(url, json=said, headers=key) as response:
            response.raise_for_status()
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        log.warning("controller: %s not told: %s: %s", what, type(error).__name__, error)


class Prober:
    """Asks every replica whether it is ready. Results are always shown; they steer only while health_checks is on.

    Connections of `session` are kept, those of `unkept` are not: how long one takes there is shown and steers nothing.
    """

    def __init__(self, core: GatewayCore, session: aiohttp.ClientSession, unkept: aiohttp.ClientSession) -> None:
        self._core = core
        self._session, self._unkept = session, unkept
        self._tasks: dict[Replica, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Keep one probing task per listed replica."""
        try:
            while True:
                listed = set(self._core.router.replicas)
                for replica in [known for known in self._tasks if known not in listed]:
                    self._tasks.pop(replica).cancel()
                for replica in listed - self._tasks.keys():
                    self._tasks[replica] = asyncio.create_task(self._watch(replica))
                await asyncio.sleep(PUMP_PERIOD_S)
                self._core.pump()  # ejections run out by time alone, nobody announces it
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _watch(self, replica: Replica) -> None:
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        for turn in itertools.count():
            await self._probe(replica)
            if turn % PROBES_PER_CONNECTION == 0:
                await self._open(replica)
            next_at = max(next_at + PROBE_PERIOD_S, loop.time())
            await asyncio.sleep(next_at - loop.time())

    async def _open(self, replica: Replica) -> None:
        """How long it takes until a new connection is answered on, at most PROBE_TIMEOUT_S."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S), self._unkept.get(_health_url(replica)) as response:
                await response.read()
        except TimeoutError:
            pass
        except (aiohttp.ClientError, OSError, ValueError):
            return  # refused or reset at once: that is no slow one
        if replica in self._core.router.replicas:
            took_s = min(PROBE_TIMEOUT_S, loop.time() - began)
            self._core.metrics.opened(replica.node, replica.name, took_s)

    async def _probe(self, replica: Replica) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        ok = timed_out = misdirected = False
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                async with self._session.get(_health_url(replica)) as response:
                    await response.read()
                    ok = response.status == 200
                    misdirected = response.headers.get("x-replica", replica.name) != replica.name
                    ok = ok and not (misdirected and self._core.flags.identity_check)
            rtt_s = loop.time() - began
        except TimeoutError:
            timed_out = True
            rtt_s = PROBE_TIMEOUT_S
        except (aiohttp.ClientError, OSError, ValueError):
            rtt_s = loop.time() - began
        if replica not in self._core.router.replicas:
            return  # withdrawn meanwhile: nothing to say about it
        changed = self._core.router.probed(replica, ok=ok, rtt_s=rtt_s, timed_out=timed_out)
        self._core.metrics.probed(replica.node, replica.name, up=ok, rtt_s=rtt_s, misdirected=misdirected)
        if changed is None:
            return
        if changed:
            self._core.pump()
        elif self._core.flags.health_checks:
            for ticket in self._core.running_on(replica):
                if ticket.owner is not None:
                    ticket.owner.replica_lost()


def _health_url(replica: Replica) -> URL:
    return URL(f"http://{replica.endpoint.address}/v2/health/ready", encoded=True)
