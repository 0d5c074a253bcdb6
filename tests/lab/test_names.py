"""Replicas are found by name: DNS messages, the lab's resolver, and gateways that keep what it told them last."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.lab.dns_messages import (
    NOERROR,
    NXDOMAIN,
    SERVFAIL,
    Answer,
    BadMessage,
    answer,
    answered,
    asked,
    parts,
    question,
    service,
)
from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.gateway.name_lookup import NameLookup
from tierdrill.lab.gateway.routing import Endpoint
from tierdrill.lab.network import network_program
from tierdrill.lab.network.proxy_network import Fabric
from tierdrill.lab.network.resolver import Resolver
from tierdrill.lab.serving import bind

LABEL = st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True)
ADDRESS = st.builds(lambda host, port: f"{host}:{port}", st.ip_addresses(v=4), st.integers(1, 65535))


@given(st.integers(0, 65535), LABEL, LABEL, ADDRESS, st.integers(0, 2**31 - 1))
def test_what_is_asked_and_answered_comes_back(number: int, replica: str, source: str, address: str, ttl: int) -> None:
    name = service(replica, source)
    assert parts(name) == (replica, source)
    got, told, repeated = asked(question(number, name))
    assert (got, told) == (number, name)
    for said in (Answer(NOERROR, address, ttl), Answer(SERVFAIL), Answer(NXDOMAIN)):
        assert answered(answer(number, repeated, said)) == (number, said)


@given(st.binary(max_size=200), st.integers(0, 120))
def test_nonsense_is_refused_and_ends(noise: bytes, cut: int) -> None:
    whole = answer(7, asked(question(7, service("assistant-0", "gateway-a")))[2], Answer(NOERROR, "10.0.0.1:80", 2))
    for data in (noise, whole[:cut] + noise, question(7, "a.b")[:cut]):
        for read in (asked, answered):
            try:
                read(data)
            except BadMessage:
                continue


@pytest.mark.parametrize("name", ["c00c", "c00e", "0161c00c", "0161c00d", "00c00c01610162c00f"])
def test_a_pointer_that_leads_round_is_refused(name: str) -> None:
    with pytest.raises(BadMessage, match=r"forward or round|cut off|something else"):
        asked(bytes.fromhex(f"000701000001000000000000{name}00210001"))


def test_a_port_whose_number_somebody_has_for_udp_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    listener, taken = network_program.bind_both(None)
    with taken:
        theirs = "{}:{}".format(*taken.getsockname())
        listeners = [listener, bind()]
        monkeypatch.setattr(network_program, "bind", lambda listen: listeners.pop(0) if listeners else bind(listen))
        both = network_program.bind_both(None)
        assert both[0].getsockname() == both[1].getsockname() != taken.getsockname() and not listeners
        for one in both:
            one.close()
        monkeypatch.setattr(network_program, "bind", bind)
        with pytest.raises(OSError, match="in use"):
            network_program.bind_both(theirs)


def test_a_gateway_keeps_what_it_knew_while_the_resolver_fails() -> None:
    said: dict[str, Answer | None] = {"assistant-0": Answer(NOERROR, "127.0.0.1:7", 0)}
    fabric = SimpleNamespace(look_up=lambda replica, source: said.get(replica, Answer(NXDOMAIN)))
    taken: list[dict[str, str]] = []
    failing: list[int] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        at.bind(("127.0.0.1", 0))
        server, _ = await loop.create_datagram_endpoint(lambda: Resolver(cast(Fabric, fabric)), sock=at)
        flags = SimpleNamespace(stale_answers=True)
        host, port = at.getsockname()
        core: Any = SimpleNamespace(
            config=SimpleNamespace(name="gateway-a", resolver=f"{host}:{port}"),
            flags=flags,
            clock=loop.time,
            metrics=SimpleNamespace(resolver=SimpleNamespace()),
            take_endpoints=lambda listed: taken.append({one.replica: one.address for one in listed}),
        )
        names = NameLookup(cast(GatewayCore, core))
        asking = asyncio.create_task(names.run())
        listed = [Endpoint(f"assistant-{n}", "m", "node-1", "elsewhere:1", name=f"assistant-{n}") for n in (0, 1)]

        asked_again = asyncio.Event()
        core.metrics.resolver.set = lambda value: (failing.append(value), asked_again.set())

        async def until(known: dict[str, str], fails: int) -> None:
            names.take(listed)
            before = len(failing)
            async with asyncio.timeout(20):
                while len(failing) <= before or taken[-1] != known or failing[-1] != fails:
                    await asked_again.wait()
                    asked_again.clear()

        await until({"assistant-0": "127.0.0.1:7"}, 0)
        said["assistant-0"] = Answer(SERVFAIL)
        await until({"assistant-0": "127.0.0.1:7"}, 1)
        said["assistant-0"] = None
        await until({"assistant-0": "127.0.0.1:7"}, 1)
        said["assistant-0"] = Answer(NOERROR, "127.0.0.1:8", 0)
        await until({"assistant-0": "127.0.0.1:8"}, 0)
        said["assistant-0"], flags.stale_answers = Answer(SERVFAIL), False
        await until({}, 1)
        asking.cancel()
        server.close()

    asyncio.run(scenario())
