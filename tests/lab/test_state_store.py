"""The state store is a real etcd: what gateways keep there outlives members, and without a quorum nothing changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tierdrill.cli.folders import find_tools
from tierdrill.injection.undo import await_proof
from tierdrill.lab.client import LabClient
from tierdrill.lab.gateway.gateway_config import GatewayConfig
from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.gateway.state_follower import CIRCUITS, KEPT, NoQuorum, Read, StateFollower, Told
from tierdrill.lab.gateway.state_follower import StateStore as Client
from tierdrill.lab.lab_config import LabConfigError, TierConfig
from tierdrill.lab.supervisor import state_store as supervisor_store
from tierdrill.lab.supervisor.state_store import StateStore
from tierdrill.monitoring.binaries import ETCD, locate
from tierdrill.process.child import Child
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab import state_store
from tierdrill.targets.lab.fault_port import LAB_FAULTS
from tierdrill.targets.lab.lab_facts import LabFacts
from tierdrill.targets.lab.remedy_port import LabRemedies

WITHIN_S = 60.0
"""An election takes a second or two, and many where the disk is busy."""

ETCD_HERE = locate(ETCD, find_tools(Path()))
needs_etcd = pytest.mark.skipif(ETCD_HERE is None, reason="no etcd on this machine: `tierdrill doctor --fetch` gets it")


class Lab:
    """A lab of nothing but a state store, with the calls that faults and remedies make."""

    def __init__(self, folder: Path) -> None:
        self.store = StateStore(str(ETCD_HERE), folder, {})
        self.children: dict[str, Child] = {}

    def status(self) -> dict[str, Any]:
        return {
            "processes": [
                {"name": name, "program": "etcd", "address": self.store.addresses[name], "pid": child.pid}
                | {"ticks": child.identity.ticks, "alive": child.exit_code() is None}
                for name, child in self.children.items()
            ]
        }

    def signal_process(self, name: str, signal: str) -> None:
        assert signal == "KILL"
        self.children[name].stop(0.0)

    def start_process(self, name: str) -> None:
        if name not in self.children or self.children[name].exit_code() is not None:
            self.children[name] = asyncio.run(self.store.start(name))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("store"))
    try:
        for member in lab.store.members:
            lab.start_process(member)
        client = cast(LabClient, lab)
        whole = {"members": list(lab.store.members), "revision": 0}
        assert await_proof(lambda: state_store.whole(client, whole), WITHIN_S).seen
        yield lab
    finally:
        for child in lab.children.values():
            child.stop(0.1)


@contextlib.asynccontextmanager
async def client_of(lab: Lab) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, tuple(lab.store.addresses.values()), "gateway-a")


@needs_etcd
def test_the_quorum_goes_and_comes_back_with_all_that_was_written(lab: Lab) -> None:
    client, fault = cast(LabClient, lab), LAB_FAULTS["state-quorum-lost"]

    async def write(value: int) -> None:
        async with client_of(lab) as store:
            await store.write("policy", {"critical": {"retries": value}})

    async def read() -> Read:
        async with client_of(lab) as store:
            return (await store.read())[1]

    asyncio.run(write(1))
    with pytest.raises(TargetError, match="got store 'state-store-1', expected one of: state-store"):
        fault.bind(client, {}, {"store": "state-store-1"})
    p = fault.bind(client, {}, {"store": "state-store"})
    assert p["members"] == ["state-store-1", "state-store-2"] and fault.gone(client, p).seen
    assert not fault.landed(client, p).seen
    fault.inject(client, p)
    assert await_proof(lambda: fault.landed(client, p), WITHIN_S).seen
    assert not fault.gone(client, p).seen and not state_store.has_quorum(client)
    with pytest.raises(NoQuorum, match="the state store has no quorum"):
        asyncio.run(write(2))
    fault.revert(client, p)
    fault.revert(client, p)
    assert await_proof(lambda: fault.gone(client, p), WITHIN_S).seen
    assert state_store.has_quorum(client) and asyncio.run(read())["policy"] == {"critical": {"retries": 1}}
    # Members that come back without their data know less than was written.
    assert not fault.gone(client, {**p, "revision": p["revision"] + 1000}).seen


@needs_etcd
def test_a_member_is_lost_and_the_others_go_on(lab: Lab) -> None:
    client, fault = cast(LabClient, lab), LAB_FAULTS["state-member-lost"]
    p = {"store": "state-store-3"}
    p |= fault.bind(client, {}, p)
    fault.inject(client, p)
    assert fault.landed(client, p).seen and not fault.gone(client, p).seen
    with pytest.raises(TargetError, match="state-store-3: not running"):
        fault.bind(client, {}, {"store": "state-store-3"})

    async def write_and_hear() -> None:
        async with client_of(lab) as store, client_of(lab) as other:
            for _ in range(20):  # an election takes a second or two
                with contextlib.suppress(NoQuorum):
                    await store.write("flags", {"shedding": True})
                    break
            revision, _ = await other.read()
            heard = asyncio.create_task(other.changed(revision, 30.0))
            while not heard.done():
                await store.write("flags", {"shedding": False})
                await asyncio.wait([heard], timeout=0.1)
            assert (await other.read())[1]["flags"] == {"shedding": False}

    asyncio.run(write_and_hear())
    remedies = LabRemedies.__new__(LabRemedies)
    LabFacts.__init__(remedies, client)
    assert remedies.store_quorum("state-store") and remedies.store_whole("state-store-1")
    assert not remedies.store_whole("state-store-3") and not remedies.store_whole("state-store")
    with pytest.raises(TargetError, match="got store 'store-a', expected one of: state-store, state-store-1"):
        remedies.restart_members({"store": "store-a"})
    # One that is named is started, and no other.
    assert "none" in remedies.restart_members({"store": "state-store-1"}).detail and not fault.gone(client, p).seen
    assert "state-store-3" in remedies.restart_members({"store": "state-store-3"}).detail
    assert await_proof(lambda: fault.gone(client, p), 10.0).seen and remedies.store_whole("state-store")
    fault.revert(client, p)
    assert await_proof(lambda: fault.gone(client, p), WITHIN_S).seen


@pytest.mark.parametrize(("given", "below"), [("32768\t60999\n", True), ("1024\t65535\n", False), (None, False)])
def test_addresses_are_none_that_the_system_gives_where_there_is_room(
    given: str | None, below: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_store, "PORT_RANGE", tmp_path / "range")
    if given is not None:
        (tmp_path / "range").write_text(given)
    found = [int(address.removeprefix("127.0.0.1:")) for address in supervisor_store.free_addresses(30)]
    assert len(set(found)) == 30 and (not below or all(20_000 <= port < 32768 for port in found))


def test_a_lab_without_a_store_says_so() -> None:
    with pytest.raises(TargetError, match=r"the lab has no state store: environments have one with lab\.state_store"):
        state_store.members(cast(LabClient, SimpleNamespace(status=lambda: {"processes": []})))


class Stub:
    """A store in memory, which can lose its quorum."""

    def __init__(self) -> None:
        self.told: Told = {}
        self.quorum = True

    async def read(self) -> tuple[int, Told]:
        if not self.quorum:
            raise NoQuorum("the state store has no quorum")
        return 1, {name: dict(document) for name, document in self.told.items()}

    async def write(self, name: str, document: dict[str, Any]) -> None:
        await self.read()
        self.told[name] = dict(document)


def follower(store: Stub) -> tuple[GatewayCore, StateFollower]:
    tiers = (TierConfig("critical", 1), TierConfig("best-effort", 2))
    core = GatewayCore(GatewayConfig("gateway-a", "http://nowhere", "token", tiers), lambda: 0.0)
    return core, StateFollower(core, cast(Client, store))


SWAPPED = {"critical": {"like": "best-effort"}, "best-effort": {"like": "critical"}}


@pytest.mark.parametrize(("keeps", "state", "in_order"), [(True, "last-known", True), (False, "none", False)])
def test_without_a_quorum_the_last_policy_holds_and_cannot_be_changed(keeps: bool, state: str, in_order: bool) -> None:
    async def scenario() -> None:
        store = Stub()
        core, one = follower(store)
        assert one.state == "unheard" and one.age_s() is None
        await one.step()
        assert one.state == "known" and store.told["flags"] == core.told("flags")
        await one.change("flags", {"keep_last_policy": keeps, "ejection": False})
        await one.change("policy", SWAPPED)
        store.quorum = False
        with pytest.raises(NoQuorum):
            await one.change("policy", {"critical": None, "best-effort": None})
        assert core.told("policy") == SWAPPED
        assert not await one.step() and one.state == state
        assert core.flags.priority_queue == core.flags.preemption == in_order
        assert not core.flags.ejection and core.flags.retries  # what needs no policy is as it was told
        store.quorum = True
        assert await one.step() and one.state == "known" and core.flags.priority_queue

    asyncio.run(scenario())


def test_a_gateway_that_starts_again_goes_by_the_store() -> None:
    async def scenario() -> None:
        store = Stub()
        core, one = follower(store)
        await one.step()
        await one.change("policy", SWAPPED)
        with pytest.raises(LabConfigError):
            await one.change("policy", {"critical": {"like": "nobody"}})
        await one.change("weights", {"node-1": 0.5})
        assert store.told["policy"] == SWAPPED and "weights" not in store.told  # a weight is the gateway's own
        core.open_circuits(["assistant"])
        store.told["circuits"] = {"assistant": "open"}
        again, other = follower(store)
        await other.step()
        assert again.told("policy") == SWAPPED and again.told("weights") == {}
        # The other gateways' changes are not this one's: what it is told by the store, it does.
        store.told["policy"] = {}
        await other.step()
        assert again.told("policy") == {}

    asyncio.run(scenario())


class Slow(Stub):
    """A store whose writes take a moment."""

    async def write(self, name: str, document: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        await super().write(name, document)


def test_of_two_changes_at_once_neither_is_lost_in_the_store() -> None:
    async def scenario() -> None:
        store = Slow()
        core, one = follower(store)
        await one.step()
        await asyncio.gather(one.change("flags", {"ejection": False}), one.change("flags", {"retries": False}))
        assert store.told["flags"] == core.told("flags")
        assert not core.flags.ejection and not core.flags.retries

    asyncio.run(scenario())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["critical", "shedding", "like", "assistant", "x"]), inner, max_size=2)
    ),
    max_leaves=6,
)
written = st.one_of(st.binary(max_size=12), json_values.map(lambda value: json.dumps(value).encode()))


class Odd(Client):
    """A store into which somebody else writes, as etcd answers."""

    def __init__(self, kept: dict[str, bytes]) -> None:
        super().__init__(cast(aiohttp.ClientSession, None), ("nowhere",), "gateway-a")
        self.kept = kept

    async def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if path.endswith("put"):
            self.kept[b64decode(body["key"]).decode().removeprefix(self._prefix)] = b64decode(body["value"])
        found = [
            {"key": b64encode((self._prefix + name).encode()).decode(), "value": b64encode(value).decode()}
            for name, value in self.kept.items()
        ]
        return {"header": {"revision": "7"}, "kvs": found}


@example({"policy": b'{"critical": true}'})
@example({"policy": b'{"critical": {"like": []}}'})
@example({"policy": b'{"critical": {"retries": "x", "retry_ratio": NaN}}'})
@given(st.dictionaries(st.sampled_from([*KEPT, CIRCUITS, "other"]), written))
def test_whatever_somebody_writes_into_it_a_gateway_goes_on(kept: dict[str, bytes]) -> None:
    async def scenario() -> None:
        core, one = follower(cast(Stub, Odd(kept)))
        assert await one.step() == 7 and await one.step() == 7 and one.state == "known"
        assert core.flags.shedding in (True, False)

    asyncio.run(scenario())


def test_what_cannot_be_read_leaves_in_force_what_was_said_before(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        store = Odd({})
        core, one = follower(cast(Stub, store))
        await one.step()
        await one.change("policy", SWAPPED)
        store.kept["policy"] = b"swapped"
        with caplog.at_level("WARNING", "tierdrill.gateway"):
            await one.step()
            await one.step()
        assert core.told("policy") == SWAPPED and store.kept["policy"] == b"swapped"
        assert [record.message for record in caplog.records] == [
            "state store: policy is no JSON object; what it said before stays in force"
        ]
        store.kept["policy"] = b"{}"
        await one.step()
        assert core.told("policy") == {}

    asyncio.run(scenario())
