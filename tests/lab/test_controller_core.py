"""The controller's decisions, without processes: agents are played by hand and time is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tierdrill.lab.controller.cluster_model import UnknownName, parse_config
from tierdrill.lab.controller.cluster_view import Edge, endpoints, replica_state, state, wanted_edges
from tierdrill.lab.controller.desired_state import DRAIN_S, HANDOVER_TIMEOUT_S, Core
from tierdrill.lab.controller.remedy_actions import (
    REMEDIES,
    BadArguments,
    Refused,
    check_arguments,
    restart_replica,
    taint_gpu,
)

NODES = ("node-1", "node-2", "node-3")


def config(**changes: Any) -> dict[str, Any]:
    models = (("assistant", "critical", 1, 3), ("summarizer", "standard", 2, 3), ("draft", "best-effort", 3, 4))
    return {
        "nodes": [{"name": name, "gpus": [{"index": i, "memory_gib": 80} for i in (0, 1)]} for name in NODES],
        "tiers": [
            {"name": "critical", "may_preempt": ["standard", "best-effort"]},
            {"name": "standard", "may_preempt": ["best-effort"]},
            {"name": "best-effort"},
        ],
        "replicas": [
            {
                "name": f"{model}-{number}",
                "model": model,
                "tier": tier,
                "rank": rank,
                "memory_gib": 40,
                "slots": 8,
                "model_seed": 1,
                "model_size": 64,
                "prefill_ms_per_token": 0.1,
                "decode_ms_per_token": 0.1,
            }
            for model, tier, rank, count in models
            for number in range(count)
        ],
        "node_grace_s": 2.0,
        "eviction_after_s": 300.0,
        "spare_slots_for_rank1": 1,
        **changes,
    }


class World:
    """Nodes that do at once what the controller wishes, as far as they are up."""

    def __init__(self, **changes: Any) -> None:
        self.now = 1000.0
        self.core = Core(parse_config(config(**changes)), self.now)
        self.up = set(NODES)
        self.boots = dict.fromkeys(NODES, 1)
        self.running: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in NODES}
        self.gpu_states: dict[tuple[str, int], str] = {}
        self.broken: set[str] = set()
        self.over_memory: list[str] = []

    def beat(self, node: str) -> list[dict[str, Any]]:
        gpus = [
            {
                "index": index,
                "uuid": f"GPU-{index}",
                "state": self.gpu_states.get((node, index), "healthy"),
                "xid": None,
            }
            for index in (0, 1)
        ]
        document = {
            "node": node,
            "agent": f"127.0.0.1:{9000 + int(node[-1])}",
            "boot_id": f"boot-{self.boots[node]}",
            "gpus": gpus,
            "replicas": list(self.running[node].values()),
        }
        desired = self.core.heartbeat(document, self.now)
        self._obey(node, desired)
        return desired

    def _obey(self, node: str, desired: list[dict[str, Any]]) -> None:
        for index in (0, 1):
            if sum(spec["memory_gib"] for spec in desired if spec["gpu"] == index) > 80:
                self.over_memory.append(node)
        before, self.running[node] = self.running[node], {}
        for spec in desired:
            name = spec["name"]
            ready = name not in self.broken and self.gpu_states.get((node, spec["gpu"]), "healthy") == "healthy"
            former = before.get(name)
            same = former is not None and former["generation"] == spec["generation"]
            pid = former["pid"] if same and former is not None else hash((node, name, spec["generation"])) % 30000 + 2
            self.running[node][name] = {
                "name": name,
                "generation": spec["generation"],
                "gpu": spec["gpu"],
                "state": "ready" if ready else "starting",
                "ready": ready,
                "address": f"127.0.0.1:{10000 + pid}",
                "pid": pid,
                "ticks": 100,
                "restarts": 0,
                "exit_code": None,
            }

    def step(self, seconds: float = 0.25) -> None:
        self.now += seconds
        for node in sorted(self.up):
            self.beat(node)
        self.core.tick(self.now)

    def steps(self, count: int = 4) -> World:
        for _ in range(count):
            self.step()
        return self

    def lose(self, node: str) -> None:
        self.up.discard(node)
        self.running[node] = {}
        self.steps(10)

    def boot(self, node: str) -> None:
        self.boots[node] += 1
        self.up.add(node)
        self.steps(4)

    def do(self, verb: str, **arguments: Any) -> Mapping[str, Any]:
        check_arguments(verb, arguments)
        return REMEDIES[verb](self.core, arguments, self.now)

    def ready(self) -> set[str]:
        return {name for name, held in self.core.held.items() if replica_state(self.core, held)[1]}

    def node_of(self, name: str) -> str | None:
        instance = self.core.held[name].current
        return None if instance is None else instance.spot[0]

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.core.events]

    def serving_events(self) -> list[dict[str, Any]]:
        return [event for event in self.core.events if event["kind"] == "moved"]


ALL = {replica["name"] for replica in config()["replicas"]}
CRITICAL = {name for name in ALL if name.startswith("assistant")}


def test_everything_comes_up_at_home() -> None:
    world = World().steps()
    assert world.ready() == ALL
    assert world.core.places() == world.core.homes
    assert state(world.core, world.now)["spare_slots"] == 2


def test_an_unknown_node_is_told_so() -> None:
    world = World()
    with pytest.raises(UnknownName, match="expected one of: node-1, node-2, node-3"):
        world.core.heartbeat({"node": "node-9", "agent": "a", "boot_id": "b", "gpus": [], "replicas": []}, 1.0)


def test_a_silent_node_is_not_ready_and_its_replicas_wait_for_it() -> None:
    world = World().steps()
    at_home = dict(world.core.places())
    world.lose("node-2")
    assert not world.core.nodes["node-2"].ready
    assert world.core.places() == at_home
    lost = {name for name, spot in at_home.items() if spot[0] == "node-2"}
    assert world.ready() == ALL - lost
    assert not {each["replica"] for each in listed(world)} & lost
    world.boot("node-2")
    assert world.ready() == ALL and not world.serving_events()
    assert {"node-not-ready", "node-booted", "node-ready"} <= set(world.kinds())


def test_a_blink_shorter_than_the_grace_changes_nothing() -> None:
    world = World().steps()
    world.now += 1.9
    world.core.tick(world.now)
    assert world.ready() == ALL


def test_reschedule_moves_critical_then_standard_and_best_effort_pays() -> None:
    world = World().steps()
    lost = {name for name, spot in world.core.places().items() if spot[0] == "node-2"}
    world.lose("node-2")
    first = world.do("reschedule", node="node-2", tiers=["critical"])
    assert set(first["moved"]) == lost & CRITICAL and first["preempted"] == []
    second = world.do("reschedule", node="node-2", tiers=["standard"])
    assert len(second["moved"]) == 1 and len(second["preempted"]) == 1 and second["preempted"][0].startswith("draft")
    world.steps(3)
    assert world.ready() >= CRITICAL
    assert world.node_of(second["preempted"][0]) is None
    again = world.do("reschedule", node="node-2", tiers=["critical"])
    assert again == {"ok": True, "moved": [], "preempted": [], "unplaced": []}
    with pytest.raises(Refused, match="no room"):
        world.do("reschedule", node="node-2")  # what is left of it is best effort, and there is no place for that


def test_after_the_node_is_back_rebalance_brings_everybody_home_without_a_gap_for_rank_1() -> None:
    world = World().steps()
    world.lose("node-2")
    world.do("reschedule", node="node-2", tiers=["critical"])
    world.do("reschedule", node="node-2", tiers=["standard"])
    world.steps(3)
    world.boot("node-2")
    assert world.ready() == ALL  # the preempted one found room as soon as there was any
    world.do("rebalance")
    for _ in range(12):
        assert world.ready() >= CRITICAL
        world.step()
    assert world.core.places() == world.core.homes and world.ready() == ALL
    assert world.over_memory == []


def test_drain_makes_before_it_breaks_and_evicts_what_finds_no_room() -> None:
    world = World().steps()
    answer = world.do("drain", node="node-1")
    assert set(answer["moved"]) >= {n for n in CRITICAL if world.core.homes[n][0] == "node-1"}
    assert world.core.nodes["node-1"].cordoned
    moved = world.core.held["assistant-0"]
    assert moved.leaving is not None and moved.leaving.spot[0] == "node-1"
    for _ in range(int((DRAIN_S + 1) / 0.25)):
        assert world.ready() >= CRITICAL
        world.step()
    assert moved.leaving is None
    assert world.running["node-1"] == {}
    assert world.over_memory == []
    for name in answer["unplaced"]:
        assert world.node_of(name) is None and replica_state(world.core, world.core.held[name]) == ("unplaced", False)
    assert world.do("uncordon", node="node-1")["ok"]
    assert world.steps(3).ready() == ALL


def test_draining_one_gpu_leaves_the_other_alone() -> None:
    world = World().steps()
    stay = [name for name, spot in world.core.places().items() if spot == ("node-1", 1)]
    world.do("drain", node="node-1", gpu="0")
    world.steps(8)
    assert not world.core.nodes["node-1"].cordoned
    assert ("node-1", 0) not in world.core.places().values()
    assert all(world.core.places()[name] == ("node-1", 1) for name in stay)
    with pytest.raises(BadArguments, match="expected one of: 0, 1"):
        world.do("drain", node="node-1", gpu=7)


def test_a_handover_that_does_not_finish_is_given_up() -> None:
    world = World().steps()
    world.broken.add("assistant-0")
    held = world.core.held["assistant-0"]
    world.running["node-1"]["assistant-0"]["ready"] = True
    world.do("drain", node="node-1", tiers=["critical"])
    assert held.leaving is not None
    generation = held.leaving.generation
    for _ in range(int(HANDOVER_TIMEOUT_S / 0.25) + 8):
        for name, report in world.running["node-1"].items():
            report["ready"] = name == "assistant-0" or report["ready"]
        world.step()
    assert held.leaving is None and held.generation > generation


def test_replace_takes_another_gpu_and_a_new_generation() -> None:
    world = World().steps()
    before = world.core.places()["assistant-1"]
    answer = world.do("replace-replica", replica="assistant-1")
    assert answer["moved"] == ["assistant-1"] and answer["preempted"] == []
    after = world.core.places()["assistant-1"]
    assert after != before and world.core.held["assistant-1"].generation == 2
    assert world.core.held["assistant-1"].leaving is None  # the old one hangs: it is killed, not waited for
    assert world.steps(2).ready() == ALL


def test_replace_in_place_where_there_is_nowhere_else() -> None:
    world = World(nodes=[{"name": "node-1", "gpus": [{"index": 0, "memory_gib": 80}, {"index": 1, "memory_gib": 0}]}])
    world.up = {"node-1"}
    world.steps(2)
    here = next(name for name in sorted(world.core.places()))
    before = world.core.places()[here]
    assert world.do("replace-replica", replica=here)["moved"] == [here]
    assert world.core.places()[here] == before and world.core.held[here].generation == 2


def test_nothing_new_on_an_unhealthy_gpu_or_a_cordoned_node() -> None:
    world = World().steps()
    world.gpu_states[("node-3", 1)] = "fallen_off_bus"
    world.steps(2)
    world.do("cordon", node="node-1")
    world.lose("node-2")
    world.do("reschedule", node="node-2", tiers=["critical"])
    moved = world.core.places()["assistant-1"]
    assert moved[0] == "node-3" and moved[1] == 0
    assert "gpu-state" in world.kinds()


def test_after_the_eviction_time_replicas_are_moved_without_a_playbook() -> None:
    world = World(eviction_after_s=5.0).steps()
    world.lose("node-2")
    assert world.node_of("assistant-1") == "node-2"
    world.steps(24)
    assert "eviction" in world.kinds() and world.ready() >= CRITICAL
    assert all(spot[0] != "node-2" for spot in world.core.places().values())


def test_restarts_are_counted_and_a_dead_replica_is_told() -> None:
    world = World().steps()
    report = world.running["node-1"]["assistant-0"]
    report.update(state="exited", ready=False, pid=None, ticks=None, address=None, exit_code=-9)
    world.core.heartbeat(
        {
            "node": "node-1",
            "agent": "127.0.0.1:9001",
            "boot_id": "boot-1",
            "gpus": [],
            "replicas": list(world.running["node-1"].values()),
        },
        world.now,
    )
    assert replica_state(world.core, world.core.held["assistant-0"]) == ("exited", False)
    assert next(e for e in world.core.events if e["kind"] == "replica-exited")["exit_code"] == -9
    report.update(state="ready", ready=True, pid=77, ticks=200, address="127.0.0.1:77", restarts=1)
    world.core.heartbeat(
        {
            "node": "node-1",
            "agent": "127.0.0.1:9001",
            "boot_id": "boot-1",
            "gpus": [],
            "replicas": list(world.running["node-1"].values()),
        },
        world.now,
    )
    assert world.core.held["assistant-0"].restarts == 1


def test_what_was_ready_and_is_silent_on_a_healthy_gpu_hangs() -> None:
    world = World()
    world.broken.add("assistant-0")
    world.steps(3)
    held = world.core.held
    assert replica_state(world.core, held["assistant-0"]) == ("starting", False)  # it never was ready
    world.broken.discard("assistant-0")
    world.steps(2)
    world.broken.add("assistant-0")
    world.steps(3)
    assert replica_state(world.core, held["assistant-0"]) == ("unresponsive", False)
    world.broken.discard("assistant-0")
    world.gpu_states[("node-2", 0)] = "fallen_off_bus"
    world.steps(2)
    assert replica_state(world.core, held["assistant-0"]) == ("ready", True)
    assert replica_state(world.core, held["assistant-1"]) == ("starting", False)  # it answers, with its GPU's error


def test_restart_needs_a_node_that_is_ready() -> None:
    world = World().steps()
    assert restart_replica(world.core, {"replica": "assistant-0"}, world.now).node == "node-1"
    world.lose("node-1")
    with pytest.raises(Refused, match="node-1 is NotReady"):
        restart_replica(world.core, {"replica": "assistant-0"}, world.now)


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        ("explode", {}, "expected one of: cordon"),
        ("cordon", {}, "expected a name"),
        ("cordon", {"nod": "node-1"}, "got argument 'nod'"),
        ("reschedule", {"node": "node-1", "tiers": "critical"}, "expected a list"),
        ("reschedule", {"node": "node-1", "tiers": ["gold"]}, "expected one of: best-effort, critical, standard"),
    ],
)
def test_bad_arguments_are_named(verb: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(BadArguments, match=said):
        World().do(verb, **arguments)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="expected one of: assistant-0"):
        World().do("replace-replica", replica="nobody")


def listed(world: World, everything: bool = False) -> list[dict[str, Any]]:
    edges = {name: (edge, f"via:{edge.target}") for name, edge in wanted_edges(world.core, ["gateway-a"]).items()}
    return endpoints(world.core, "gateway-a", edges, everything=everything)


def test_endpoints_need_an_edge_that_leads_to_the_present_process() -> None:
    world = World().steps()
    assert {each["replica"] for each in listed(world) if each["ready"]} == ALL
    assert endpoints(world.core, "gateway-a", {}, everything=False) == []
    old = {"gateway-a>assistant-0": (Edge("gateway-a", "node-1", "127.0.0.1:1"), "127.0.0.1:2")}
    (only,) = endpoints(world.core, "gateway-a", old, everything=False)
    assert only["address"] == "127.0.0.1:2" and not only["ready"]
    world.lose("node-1")
    assert "assistant-0" not in {each["replica"] for each in listed(world)}
    assert "assistant-0" in {each["replica"] for each in listed(world, everything=True)}


def test_a_moved_replica_gets_an_edge_of_its_own() -> None:
    world = World().steps()
    world.do("drain", node="node-1", tiers=["critical"])
    world.steps(2)
    edges = wanted_edges(world.core, ["gateway-a"])
    assert edges["gateway-a>assistant-0"].destination == "node-1"
    assert edges["gateway-a>assistant-0.2"].destination == world.node_of("assistant-0")
    world.steps(8)
    assert "gateway-a>assistant-0" not in wanted_edges(world.core, ["gateway-a"])


def test_a_revision_is_rolled_out_to_all_replicas_of_its_model_and_rolled_back() -> None:
    world = World(revisions={"assistant": {"reviewed": "r" * 64, "candidate": "c" * 64}})

    def weights() -> dict[str, str]:
        return {spec["name"].rpartition("-")[0]: spec["weights"] for node in NODES for spec in world.beat(node)}

    assert weights() == {"assistant": "r" * 64, "summarizer": "", "draft": ""}
    generations = {name: held.generation for name, held in world.core.held.items()}
    with pytest.raises(Refused, match="not rolled out in any other revision"):
        world.do("roll-back-model", tier="critical", model="assistant")
    world.core.roll_out("assistant", "candidate")
    assert weights()["assistant"] == "c" * 64
    assert state(world.core, world.now)["revisions"] == {"assistant": "candidate"}
    with pytest.raises(BadArguments, match="got model 'assistant', expected one of tier standard"):
        world.do("roll-back-model", tier="standard", model="assistant")
    world.do("roll-back-model", tier="critical", model="assistant")
    assert weights()["assistant"] == "r" * 64
    assert {name: held.generation for name, held in world.core.held.items()} == generations, "nothing is started again"
    for model, revision in (("assistant", "r3"), ("draft", "candidate"), ("nobody", "reviewed")):
        with pytest.raises(UnknownName, match="got revision"):
            world.core.roll_out(model, revision)


def test_a_taint_evicts_whom_its_preview_named_and_nobody_else() -> None:
    world = World().steps()
    homes = dict(world.core.places())
    named = taint_gpu(world.core, "node-1", 0, "None", world.now)["evicts"]
    assert named == [name for name, spot in homes.items() if spot == ("node-1", 0)] != []
    assert taint_gpu(world.core, "node-1", 0, "NoSchedule", world.now)["evicts"] == []
    assert world.steps().core.places() == homes and world.ready() == ALL
    assert taint_gpu(world.core, "node-1", 0, "NoExecute", world.now)["evicts"] == named
    assert all(world.core.held[name].leaving is None for name in named), "nobody waits for a successor"
    assert ("node-1", 0) not in world.steps(8).core.places().values() and world.ready() >= CRITICAL
    taint_gpu(world.core, "node-1", 0, None, world.now)
    assert world.steps(8).ready() == ALL and world.over_memory == []
    for gpu, effect in ((7, "None"), (0, "NoWay")):
        with pytest.raises(BadArguments, match="expected one of node-1's and None, NoSchedule, NoExecute"):
            taint_gpu(world.core, "node-1", gpu, effect, world.now)
