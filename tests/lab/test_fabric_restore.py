"""A fabric that is started again is the same network: addresses, rules and what is left of their leases, dark hosts."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tierdrill.lab.network import proxy_network
from tierdrill.lab.network.link_rules import Edge, LinkRule
from tierdrill.lab.network.proxy_network import Fabric


async def answering(name: str) -> tuple[asyncio.Server, str]:
    """A server that says its name."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name.encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, "{}:{}".format(*server.sockets[0].getsockname()[:2])


async def said(address: str) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        return await asyncio.wait_for(reader.read(), 5.0)
    finally:
        writer.close()


def test_it_is_the_same_network(tmp_path: Path) -> None:
    async def scenario() -> None:
        server, target = await answering("node-1")
        former = Fabric(tmp_path / "fabric.json")
        listen = await former.put_edge(Edge("gateway-a>node-1", "gateway-a", "node-1", target))
        dark = await former.put_edge(Edge("gateway-a>node-2", "gateway-a", "node-2", target))
        await former.put_link(LinkRule("gateway-a", "node-3", "delay", delay_ms=100.0, lease_s=60.0))
        await former.put_link(LinkRule("gateway-b", "node-3", "blackhole"))
        await former.put_host("node-2", up=False)
        edges = former.edges()
        told = (tmp_path / "fabric.json").read_text()
        for edge in edges:
            former.delete_edge(edge["id"])
        # As at its death: what it closed by itself is not what it was told.
        (tmp_path / "fabric.json").write_text(told)
        again = Fabric(tmp_path / "fabric.json")
        await again.restore()
        assert again.edges() == edges and again.hosts_down() == ["node-2"]
        assert await said(listen) == b"node-1"
        assert again.stats()["edges"]["gateway-a>node-2"]["silent"] and dark
        rules = {(one["source"], one["mode"]): one["lease_remaining_s"] for one in again.links()}
        assert rules.keys() == {("gateway-a", "delay"), ("gateway-b", "blackhole")}
        assert rules["gateway-b", "blackhole"] is None and 0 < rules["gateway-a", "delay"] <= 60.0
        server.close()

    asyncio.run(scenario())


def test_a_lease_that_ran_out_while_nobody_kept_it_has_run_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        former = Fabric(tmp_path / "fabric.json")
        await former.put_link(LinkRule("gateway-a", "node-1", "blackhole", lease_s=5.0))
        await former.put_link(LinkRule("gateway-a", "node-2", "blackhole", lease_s=50.0))
        now = proxy_network.since_boot()
        monkeypatch.setattr(proxy_network, "since_boot", lambda: now + 20.0)
        again = Fabric(tmp_path / "fabric.json")
        await again.restore()
        (left,) = again.links()
        assert left["destination"] == "node-2" and left["lease_remaining_s"] <= 30.0

    asyncio.run(scenario())


def test_a_lease_that_is_renewed_begins_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        fabric = Fabric()
        await fabric.put_link(LinkRule("gateway-a", "node-1", "blackhole", lease_s=0.3, lease="fault-1"))
        assert await fabric.renew_links(["fault-2"]) == []
        until = time.monotonic() + 0.9
        while time.monotonic() < until:
            assert await fabric.renew_links(["fault-1"]) == [("gateway-a", "node-1")]
            await asyncio.sleep(0)
        assert len(fabric.links()) == 1
        await asyncio.sleep(0.5)
        assert fabric.links() == []

    asyncio.run(scenario())
