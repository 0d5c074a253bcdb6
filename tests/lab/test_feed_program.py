"""The feed before an API server that answers as it was told to: breaks, silence, pods replaced, nodes gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web
from tests.lab.test_feed_view import LATER, node, pod

from tierdrill.lab.feed.feed_program import Feed, FeedSettings, build_app
from tierdrill.lab.feed.pod_view import Served
from tierdrill.monitoring.loopback import Loopback

TOKEN = "feed-token"
NODES, PODS = "/api/v1/nodes", "/api/v1/namespaces/serving/pods"
WITHIN_S = 20.0


class Cluster:
    """Lists, and watches that stay open until they are broken off; each begins with what came since its version."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, dict[str, Any]]] = {NODES: {}, PODS: {}}
        self.version = 100
        self.lists: list[str] = []
        self.watches: dict[str, list[asyncio.Queue[Any]]] = {NODES: [], PODS: []}
        self.past: dict[str, list[dict[str, Any]]] = {NODES: [], PODS: []}
        self.refuse = 0
        self.refused = asyncio.Event()
        self.too_old: set[str] = set()
        self.silent: set[str] = set()
        self.asked: list[dict[str, str]] = []

    def put(self, path: str, item: dict[str, Any]) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        known = item["metadata"]["uid"] in self.items[path]
        self.items[path][item["metadata"]["uid"]] = item
        self._tell(path, "MODIFIED" if known else "ADDED", item)

    def remove(self, path: str, uid: str) -> None:
        self.version += 1
        item = self.items[path].pop(uid)
        item["metadata"]["resourceVersion"] = str(self.version)
        self._tell(path, "DELETED", item)

    def _tell(self, path: str, kind: str, item: dict[str, Any]) -> None:
        event = {"type": kind, "object": json.loads(json.dumps(item))}
        self.past[path].append(event)
        for queue in () if path in self.silent else self.watches[path]:
            queue.put_nowait(event)

    def end_watches(self, path: str) -> None:
        for queue in self.watches[path]:
            queue.put_nowait(None)

    def garble(self, path: str) -> None:
        for queue in self.watches[path]:
            queue.put_nowait(b'{"type": "MODIF\n')

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if self.refuse:
            self.refused.set()
            return web.json_response({"kind": "Status", "code": self.refuse}, status=self.refuse)
        if request.query.get("watch") == "true":
            return await self._watch(request)
        self.lists.append(request.path)
        every = list(self.items[request.path].values())
        since = int(request.query.get("continue", 0))
        more = {"continue": str(since + 1)} if since + 1 < len(every) else {}
        meta = {"resourceVersion": str(self.version), **more}
        return web.json_response({"items": every[since : since + 1], "metadata": meta})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if request.path in self.too_old:
            self.too_old.discard(request.path)
            gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
            return web.Response(text=json.dumps(gone) + "\n")
        answer = web.StreamResponse()
        await answer.prepare(request)
        queue: asyncio.Queue[Any] = asyncio.Queue()
        for event in self.past[request.path]:
            if int(event["object"]["metadata"]["resourceVersion"]) > int(request.query["resourceVersion"]):
                queue.put_nowait(event)
        self.watches[request.path].append(queue)
        try:
            while (event := await queue.get()) is not None:
                await answer.write(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n")
        finally:
            self.watches[request.path].remove(queue)
        return answer


@asynccontextmanager
async def following(cluster: Cluster, watch_s: float = 30.0) -> AsyncIterator[tuple[Feed, httpx.AsyncClient]]:
    """A feed at work before this cluster, and a gateway's way to ask it."""
    app = web.Application()
    app.router.add_get("/{path:.*}", cluster.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}".format(*runner.addresses[0][:2])
    models = (Served("assistant", "critical", 1, 4, 2),)
    feed = Feed(FeedSettings(TOKEN, ("serving",), "demo", models, api={"url": url}))
    for watch in feed.watches:
        watch.watch_s, watch.slack_s = watch_s, 0.1
    tasks = [asyncio.create_task(watch.run()) for watch in feed.watches]
    server = Loopback(build_app(feed))
    await server.start()
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False) as client:
            yield feed, client
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.stop()
        await runner.cleanup()


def run(scenario: Callable[[Cluster, Feed, httpx.AsyncClient], Awaitable[None]], **how: float) -> Cluster:
    """A scenario with node-1 and the replica `a` on it."""
    cluster = Cluster()
    cluster.put(NODES, node("node-1"))
    cluster.put(NODES, node("node-2"))
    cluster.put(PODS, pod("a"))

    async def whole() -> None:
        async with asyncio.timeout(WITHIN_S), following(cluster, **how) as (feed, client):
            await until(client, lambda listed: names(listed) == ["a"])
            await scenario(cluster, feed, client)

    asyncio.run(whole())
    return cluster


def test_a_replica_is_asked_once_which_gpu_it_has() -> None:
    asked = []

    async def metrics(_: web.Request) -> web.Response:
        asked.append(1)
        return web.Response(text='tierdrill_gpu_tier_rank{node="node-1",gpu="3",tier="critical"} 1.0\n')

    async def scenario(cluster: Cluster, feed: Feed, client: httpx.AsyncClient) -> None:
        app = web.Application()
        app.router.add_get("/metrics", metrics)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        here = pod("a", ip="127.0.0.1")
        here["spec"]["containers"][0]["ports"][0]["containerPort"] = runner.addresses[0][1]
        cluster.put(PODS, here)
        await until(client, lambda listed: listed[0]["address"].startswith("127.0.0.1:"))
        asking = asyncio.create_task(feed.ask_gpus())
        try:
            await until(client, lambda listed: listed[0]["gpu"] == 3)
        finally:
            asking.cancel()
            await runner.cleanup()

    run(scenario)
    assert asked == [1]


def names(listed: list[dict[str, Any]]) -> list[str]:
    return [one["replica"] for one in listed if one["ready"]]


async def until(client: httpx.AsyncClient, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Long-poll as a gateway does, until the list is as wanted."""
    since = 0
    while True:
        query = {"gateway": "gateway-x", "since": str(since), "wait": "5"}
        answer = (await client.get("/v1/endpoints", params=query, timeout=10)).raise_for_status().json()
        if wanted(answer["endpoints"]):
            listed: list[dict[str, Any]] = answer["endpoints"]
            return listed
        since = answer["version"]


async def metrics(client: httpx.AsyncClient) -> str:
    return (await client.get("/metrics")).text


def test_a_pod_that_is_replaced_and_a_node_that_is_lost_reach_the_gateways_at_once() -> None:
    async def scenario(cluster: Cluster, feed: Feed, client: httpx.AsyncClient) -> None:
        cluster.put(PODS, pod("a", deletionTimestamp="2026-03-01T10:00:20Z"))
        await until(client, lambda listed: listed == [])
        cluster.put(PODS, pod("b", "node-2", ready="False"))
        cluster.put(PODS, pod("b", "node-2", ip="10.0.0.9"))
        assert (await until(client, lambda listed: names(listed) == ["b"]))[0]["address"] == "10.0.0.9:8000"
        cluster.put(NODES, node("node-2", ready="Unknown"))
        await until(client, lambda listed: listed == [])
        assert 'kube_node_status_condition{condition="Ready",node="node-2",status="true"} 0.0' in await metrics(client)
        cluster.remove(NODES, "node-2")
        cluster.remove(PODS, "b")
        cluster.put(PODS, pod("c"))
        await until(client, lambda listed: names(listed) == ["c"])
        assert "node-2" not in await metrics(client)

    run(scenario)


@pytest.mark.parametrize("way", ["too old", "garbled", "ended"])
def test_what_a_broken_watch_missed_is_seen_after_it(way: str) -> None:
    async def scenario(cluster: Cluster, feed: Feed, client: httpx.AsyncClient) -> None:
        if way == "too old":
            cluster.too_old.add(PODS)
        if way == "garbled":
            cluster.garble(PODS)
        else:
            cluster.end_watches(PODS)
        cluster.remove(PODS, "a")
        cluster.put(PODS, pod("b"))
        await until(client, lambda listed: names(listed) == ["b"])

    cluster = run(scenario)
    assert (cluster.lists.count(PODS) > 1) == (way != "ended")


def test_a_watch_that_is_silent_for_too_long_is_begun_again() -> None:
    async def scenario(cluster: Cluster, feed: Feed, client: httpx.AsyncClient) -> None:
        cluster.silent.add(PODS)
        cluster.put(PODS, pod("b"))
        cluster.silent.discard(PODS)
        await until(client, lambda listed: names(listed) == ["a", "b"])

    run(scenario, watch_s=0.5)


def test_while_the_api_server_is_away_the_last_list_stands() -> None:
    async def scenario(cluster: Cluster, feed: Feed, client: httpx.AsyncClient) -> None:
        cluster.refuse = 503
        cluster.end_watches(PODS)
        await cluster.refused.wait()
        assert names(await until(client, bool)) == ["a"], "an API server that is away takes nothing from the gateways"
        cluster.put(PODS, pod("b"))
        cluster.refuse = 0
        await until(client, lambda listed: names(listed) == ["a", "b"])

    run(scenario)


def test_a_replica_that_lost_its_readiness_is_asked_whether_it_hangs() -> None:
    async def scenario(cluster: Cluster, feed: Feed, client: httpx.AsyncClient) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        def lost(name: str, port: int) -> dict[str, Any]:
            one = pod(name, ready="False", since=LATER, ip="127.0.0.1")
            one["spec"]["containers"][0]["ports"][0]["containerPort"] = port
            return one

        async def state_of(name: str, wanted: str) -> None:
            line = f'tierdrill_replica_state{{replica="{name}",state="{wanted}"}} 1.0'
            for _ in range(200):
                if line in await metrics(client):
                    return
                await asyncio.sleep(0.05)
            raise AssertionError(f"{name} never was {wanted}")

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            asking = asyncio.create_task(feed.ask_doubtful())
            cluster.put(PODS, lost("a", server.sockets[0].getsockname()[1]))
            cluster.put(PODS, lost("b", 1))
            await state_of("a", "starting")
            await state_of("b", "unresponsive")
            asking.cancel()

    run(scenario)


def test_pages_are_put_together_and_selectors_are_sent() -> None:
    async def scenario(cluster: Cluster, feed: Feed, client: httpx.AsyncClient) -> None:
        assert {one["metadata"]["name"] for one in feed.watches[0].objects.values()} == {"node-1", "node-2"}

    asked = run(scenario).asked
    assert {one["labelSelector"] for one in asked if "labelSelector" in one} == {"app.kubernetes.io/part-of=demo"}


def test_before_the_first_list_it_is_not_ready_and_lists_nothing() -> None:
    async def scenario() -> None:
        cluster = Cluster()
        cluster.refuse = 403
        async with asyncio.timeout(WITHIN_S), following(cluster) as (_, client):
            assert (await client.get("/healthz")).status_code == 503
            assert (await client.get("/v1/endpoints", params={"gateway": "x"})).status_code == 400
            assert "kube_node" not in "".join(
                line for line in (await metrics(client)).splitlines() if not line.startswith("#")
            )

    asyncio.run(scenario())


def test_endpoints_want_the_token_and_targets_do_not() -> None:
    async def scenario(cluster: Cluster, feed: Feed, client: httpx.AsyncClient) -> None:
        wrong = {"Authorization": "Bearer other"}
        assert (await client.get("/v1/endpoints", headers=wrong)).status_code == 401
        found = (await client.get("/targets/replica", headers=wrong)).json()
        assert found[0]["targets"] == ["10.0.0.7:8000"]

    run(scenario)


def test_a_gateway_of_ours_takes_its_list() -> None:
    from tierdrill.lab.gateway.gateway_config import parse_config
    from tierdrill.lab.gateway.gateway_program import running

    async def scenario(cluster: Cluster, feed: Feed, client: httpx.AsyncClient) -> None:
        tier = {"name": "critical", "rank": 1}
        config = {"name": "gateway-x", "controller": str(client.base_url), "token": TOKEN, "tiers": [tier]}
        async with running(parse_config(config)) as gateway, aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"http://{gateway.address}/healthz") as answer:
                    if (await answer.json())["endpoints"] == 1:
                        return
                await asyncio.sleep(0.02)

    run(scenario)
