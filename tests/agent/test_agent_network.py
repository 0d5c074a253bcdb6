"""Packets between two real hosts that are dropped, refused, lost and delayed: seen by a caller on one of them."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest

from conftest import OTHER, PEER, Refusal, Start, TwoHosts, until
from fault import Refused
from namespaces import Network, in_found, same_network

FOREIGN = "iptables -A OUTPUT -d 10.9.0.77 -j DROP"


@pytest.fixture
def hosts(two_hosts: TwoHosts) -> TwoHosts:
    if subprocess.run(["sh", "-c", "command -v iptables"], capture_output=True, check=False).returncode:
        pytest.skip("no iptables on this machine")
    return two_hosts


def rules(hosts: TwoHosts) -> str:
    return hosts.run("iptables -S", inside=True)


def test_a_partition_cuts_off_its_peers_only_and_leaves_foreign_rules_alone(
    start_agent: Start, hosts: TwoHosts
) -> None:
    hosts.run(FOREIGN, inside=True)
    before = rules(hosts)
    agent = start_agent(hosts.prefix)
    assert agent.probe(hosts.target, path="/")["status"] == 200
    record = agent.inject("drop", hosts.target, peers=[PEER])
    assert agent.probe(hosts.target) == {"to": f"{PEER}:8080", "error": "no answer"}
    assert "connect_ms" in agent.probe(hosts.target, OTHER)
    assert agent.seen(record)
    chain = next(line for line in rules(hosts).splitlines() if line.startswith("-A OUTPUT")).split()[-1]
    assert chain.startswith("TIERDRILL-")
    assert agent.revert(record) == "reverted"
    assert "connect_ms" in agent.probe(hosts.target)
    assert rules(hosts) == before and not agent.seen(record)
    assert agent.revert(record) == "nothing to do"


@pytest.mark.parametrize("direction", ["in", "out"])
def test_a_partition_may_be_one_way(start_agent: Start, hosts: TwoHosts, direction: str) -> None:
    agent = start_agent(hosts.prefix)
    agent.inject("drop", hosts.target, peers=[f"{PEER}/32"], direction=direction)
    assert agent.probe(hosts.target)["error"] == "no answer"
    hook, other = ("INPUT", "OUTPUT") if direction == "in" else ("OUTPUT", "INPUT")
    assert f"-A {hook} -j" in rules(hosts) and f"-A {other} -j" not in rules(hosts)


def test_a_reset_is_refused_at_once(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    agent.inject("drop", hosts.target, peers=[PEER], reject=True)
    assert agent.probe(hosts.target)["error"] == "refused"


def test_loss_makes_some_connections_late(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    record = agent.inject("drop", hosts.target, peers=[PEER], percent=50)
    wanted = [{"to": f"{PEER}:8080"}] * 40
    results = agent.do("probe", target=hosts.target, probes=wanted, within_s=0.5)["results"]
    answered = [one for one in results if "connect_ms" in one]
    assert 0 < len(answered) < 40
    agent.revert(record)
    assert all("connect_ms" in one for one in agent.do("probe", target=hosts.target, probes=wanted)["results"])


@pytest.mark.parametrize("first", [0, 1])
def test_two_faults_on_one_host_come_off_in_any_order(start_agent: Start, hosts: TwoHosts, first: int) -> None:
    agent = start_agent(hosts.prefix)
    before = rules(hosts)
    records = [agent.inject("drop", hosts.target, peers=[peer]) for peer in (PEER, OTHER)]
    agent.revert(records[first])
    answers = ["connect_ms" in agent.probe(hosts.target, peer) for peer in (PEER, OTHER)]
    assert answers == [first == 0, first == 1]
    agent.revert(records[1 - first])
    assert rules(hosts) == before


def test_delay_is_added_to_every_round_trip_to_a_peer(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    record = agent.inject("shape", hosts.target, peers=[PEER], delay_ms=120, jitter_ms=10)
    delayed = agent.probe(hosts.target, path="/", within_s=5)
    assert delayed["connect_ms"] >= 100 and delayed["answer_ms"] >= 200 and delayed["status"] == 200
    assert agent.probe(hosts.target, OTHER)["connect_ms"] < 100
    assert agent.seen(record)
    assert agent.revert(record) == "reverted"
    assert agent.probe(hosts.target)["connect_ms"] < 100
    assert not agent.seen(record) and agent.revert(record) == "nothing to do"


def test_delay_and_partition_of_one_host_do_not_meet(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    slow = agent.inject("shape", hosts.target, peers=[PEER, OTHER], delay_ms=120)
    cut = agent.inject("drop", hosts.target, peers=[PEER])
    assert agent.probe(hosts.target)["error"] == "no answer"
    agent.revert(slow)
    assert agent.probe(hosts.target)["error"] == "no answer"
    assert agent.probe(hosts.target, OTHER)["connect_ms"] < 100
    agent.revert(cut)
    assert agent.probe(hosts.target)["connect_ms"] < 100


def test_a_bandwidth_holds_and_is_taken_back(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    asked: dict[str, Any] = {"path": "/", "pad": 16_000, "within_s": 9.0}
    assert agent.probe(hosts.target, **asked)["status"] == 200
    record = agent.inject("shape", hosts.target, peers=[PEER], rate_kbit=64)
    assert agent.seen(record)
    assert agent.probe(hosts.target, **asked)["answer_ms"] > 1500  # 16 kB at 8 kB a second
    if "tc" in record["found"]:
        with pytest.raises(Refusal, match=f"another fault shapes ip dst {PEER}/32 already"):
            agent.bind("shape", hosts.target, peers=[PEER], rate_kbit=2000)
    assert agent.revert(record) == "reverted"
    until(lambda: agent.probe(hosts.target, **asked).get("answer_ms", 9000) < 1000)
    assert not agent.seen(record) and agent.revert(record) == "nothing to do"


def test_only_new_connections_have_a_slow_handshake(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    record = agent.inject("shape", hosts.target, peers=[PEER], delay_ms=150, syn=True)
    slow = agent.probe(hosts.target, path="/", within_s=5)
    assert slow["connect_ms"] >= 150 and slow["answer_ms"] - slow["connect_ms"] < 150
    assert agent.probe(hosts.target, OTHER)["connect_ms"] < 100
    with pytest.raises(Refusal, match="another fault"):
        agent.bind("shape", hosts.target, peers=[PEER], delay_ms=30)
    assert agent.revert(record) == "reverted" and agent.probe(hosts.target)["connect_ms"] < 100


def test_a_link_flaps_until_it_is_taken_back(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    before = rules(hosts)
    record = agent.inject("drop", hosts.target, peers=[PEER], period_ms=600, down_percent=50)
    for _ in range(2):
        until(lambda: "connect_ms" in agent.probe(hosts.target, within_s=0.1))
        assert agent.seen(record)
        until(lambda: "connect_ms" not in agent.probe(hosts.target, within_s=0.1))
    agent.revert(record)
    assert rules(hosts) == before and not agent.seen(record)


def test_the_same_is_not_delayed_twice(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    agent.inject("shape", hosts.target, peers=[PEER], delay_ms=60)
    with pytest.raises(Refusal, match="another fault"):
        agent.bind("shape", hosts.target, peers=[OTHER, PEER], delay_ms=30)
    agent.inject("shape", hosts.target, peers=[OTHER], delay_ms=60)
    assert all(agent.probe(hosts.target, peer)["connect_ms"] >= 55 for peer in (PEER, OTHER))


@pytest.mark.parametrize("first", [0, 1])
def test_two_bandwidths_of_one_host_come_off_in_any_order(start_agent: Start, hosts: TwoHosts, first: int) -> None:
    agent = start_agent(hosts.prefix)
    before = hosts.run("tc qdisc show", inside=True)
    pairs = [(PEER, 64), (OTHER, 80)]
    records = {peer: agent.inject("shape", hosts.target, peers=[peer], rate_kbit=rate) for peer, rate in pairs}
    asked: dict[str, Any] = {"path": "/", "pad": 16_000, "within_s": 9.0}
    assert all(agent.probe(hosts.target, peer, **asked)["answer_ms"] > 1000 for peer in records)
    gone, left = (PEER, OTHER)[first], (OTHER, PEER)[first]
    assert agent.revert(records[gone]) == "reverted"
    assert agent.seen(records[left]) and not agent.seen(records[gone])
    assert agent.probe(hosts.target, left, **asked)["answer_ms"] > 1000
    assert agent.revert(records[left]) == "reverted"
    assert hosts.run("tc qdisc show", inside=True) == before


def test_nothing_is_delayed_any_more_where_the_agent_is_killed(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    if "tc" in agent.inject("shape", hosts.target, peers=[PEER], delay_ms=400)["found"]:
        pytest.skip("this kernel has netem, whose delay needs a restart to go")
    agent.process.kill()
    agent.process.wait()
    again = start_agent(hosts.prefix)
    until(lambda: again.probe(hosts.target).get("connect_ms", 1000) < 100)


def test_rules_that_outlive_their_network_are_nothing_to_undo(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    record = agent.inject("drop", hosts.target, peers=[PEER])
    subprocess.run(["kill", "-9", str(hosts.pod)], check=True)
    until(lambda: not agent.seen(record))
    assert agent.revert(record) == "nothing to do"


def test_a_network_that_ends_while_it_is_worked_in_is_gone(hosts: TwoHosts) -> None:
    inode = Network(hosts.target).inode

    def refused(network: Network) -> str:
        raise Refused("cannot be run there")

    def ends(network: Network) -> str:
        os.kill(hosts.pod, signal.SIGKILL)
        until(lambda: same_network(hosts.target, inode) is None)
        return refused(network)

    with pytest.raises(Refused, match="cannot be run there"):
        in_found(hosts.target, inode, refused, "gone")
    assert in_found(hosts.target, inode, ends, "gone") == "gone"


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"peers": ["node-2"]}, "expected IP addresses"),
        ({"peers": [PEER], "direction": "up"}, "expected in, out or both"),
        ({"peers": [PEER], "percent": 0}, "expected a number from"),
        ({"peers": [PEER], "percent": "20"}, "expected a number from"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    start_agent: Start, hosts: TwoHosts, parameters: dict[str, object], told: str
) -> None:
    with pytest.raises(Refusal, match=told):
        start_agent(hosts.prefix).bind("drop", hosts.target, **parameters)


def test_the_nodes_own_network_is_only_cut_at_named_interfaces(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    with pytest.raises(Refusal, match="interfaces must be named"):
        agent.bind("drop", {"host": True})
    with pytest.raises(Refusal, match="other than lo"):
        agent.inject("drop", hosts.target, interfaces=["lo"])
    assert agent.do("list")["faults"] == []


def test_an_interface_is_cut_for_what_is_forwarded_too(start_agent: Start, hosts: TwoHosts) -> None:
    agent = start_agent(hosts.prefix)
    record = agent.inject("drop", hosts.target, interfaces=["eth0"])
    assert "-A FORWARD -j" in rules(hosts)
    assert agent.probe(hosts.target)["error"] == "no answer"
    agent.revert(record)
    assert "TIERDRILL" not in rules(hosts)
