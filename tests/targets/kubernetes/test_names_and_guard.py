"""Which object a name stands for, whatever becomes of pods; and what must be left alone in a cluster."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.documents.label_selectors import Selector
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.documents.models.workloads import Model, Route, Workloads
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.cluster_place import names_from
from tierdrill.targets.kubernetes.guard import (
    budget_objections,
    homeless,
    namespace_refused,
    network_refused,
    node_refused,
    pod_refused,
    repair_objections,
    zone_objections,
)
from tierdrill.targets.kubernetes.names import NameTable, table_of
from tierdrill.targets.kubernetes.records import BudgetRecord, NodeRecord, PodRecord, node_of, pod_of, quantity

ALLOWED = {"tierdrill.io/drills": "allowed"}
COUNTER = itertools.count(1)


def settings(**more: Any) -> KubernetesSettings:
    tiers = {"critical": {"namespaces": ["serving"], "selector": "tier=critical"}}
    return KubernetesSettings.model_validate({"context": "c", "tiers": tiers, **more})


def workloads(*models: str) -> Workloads:
    said = {"risk": "high", "impact": "high", "frequency": "constant", "rationale": "x", "tier": "critical"}
    found = tuple(Model.model_validate({"name": name, **said}) for name in models)
    about = {"apiVersion": "tierdrill/v1", "kind": "Workloads", "metadata": {"name": "w"}, "tiers": "t"}
    return Workloads.model_validate({**about, "models": found, "routes": (Route(tier="critical"),)})


def node(name: str, labels: dict[str, str] = ALLOWED, zone: str = "", ready: str = "True", **more: Any) -> NodeRecord:
    raw = {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {**labels, "topology.kubernetes.io/zone": zone}},
        "status": {"conditions": [{"type": "Ready", "status": ready}], "allocatable": {"cpu": "4", "pods": "10"}},
    }
    return replace(node_of(raw), **more)


def pod(name: str, on: str | None = "worker-1", created: float = 0.0, **more: Any) -> PodRecord:
    about = {"name": name, "namespace": "serving", "uid": f"uid-{next(COUNTER)}"}
    raw = {
        "metadata": {**about, "labels": {"tier": "critical"}},
        "spec": {"nodeName": on},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    of = {"controller": ("ReplicaSet", "a-1"), "workload": ("Deployment", "a"), "created": created}
    return replace(pod_of(raw), **{**of, **more})


def named(
    nodes: Iterable[NodeRecord] = (), pods: Iterable[PodRecord] = (), before: NameTable | None = None, **more: Any
) -> NameTable:
    return table_of(settings(**more), workloads("assistant"), [*nodes], {"critical": [*pods]}, [], before=before)


def real(table: NameTable) -> dict[str, str]:
    return {alias: ref["name"] for alias, ref in table.plain().items()}


def test_nodes_that_have_opted_in_are_numbered_by_their_names() -> None:
    there = [node("worker-10"), node("worker-9"), node("worker-2", labels={}), node("worker-1")]
    table = named(there)
    assert real(table) == {"node-1": "worker-1", "node-2": "worker-9", "node-3": "worker-10"}
    assert table.alias("node", "worker-9") == "node-2" and table.alias("gpu", "worker-9/1") == "node-2/1"
    assert table.alias("node", "worker-2") == "worker-2"
    assert table.ref("node-2/1").name == "worker-9"


def test_a_node_that_is_called_so_keeps_its_name() -> None:
    there = [node("node-2"), node("node-3", labels={}), node("alpha")]
    assert real(named(there)) == {"node-1": "alpha", "node-2": "node-2"}


def test_the_document_may_choose_nodes_and_pods() -> None:
    there = [node("a"), node("b"), node("c")]
    pods = [pod("x", "c"), pod("y", "b"), pod("z", "b")]
    table = named(there, pods, names={"node-2": {"hosting": "critical", "pick": 2}, "assistant-7": {"name": "y"}})
    assert real(table) == {
        "node-1": "a", "node-2": "c", "node-3": "b", "assistant-0": "x", "assistant-1": "z", "assistant-7": "y",
    }  # fmt: skip
    with pytest.raises(TargetError, match=r"kubernetes.names.node-2: 2 nodes .* host tier critical, expected 3"):
        named(there, pods, names={"node-2": {"hosting": "critical", "pick": 3}})
    with pytest.raises(TargetError, match="no node named q"):
        named(there, names={"node-2": {"name": "q"}})


def serving(names: dict[str, dict[str, Any]], gpus: dict[str, int]) -> NameTable:
    """Three nodes that are called as the lab's are; the reasoner and an assistant are on the last."""
    there = [node("node-1"), node("node-2"), node("node-3")]
    of = {"assistant": ("node-3", "node-2", "node-1"), "reasoner": ("node-3",)}
    pods = [
        pod(f"{model}-{host}", host, created=number, labels={"m": model})
        for model, hosts in of.items()
        for number, host in enumerate(hosts)
    ]
    told = settings(models={model: {"m": model} for model in of}, names=names)
    return table_of(told, workloads(*of), there, {"critical": pods}, [], gpus=gpus)


def test_a_name_may_stand_for_what_serves_a_model() -> None:
    names = {"node-1": {"serves": "reasoner"}, "node-2": {"serves": "assistant"}, "node-1/1": {"serves": "reasoner"}}
    table = serving(names, {"reasoner-node-3": 3, "assistant-node-3": 1})
    assert real(table) == {
        "node-1": "node-3", "node-2": "node-1", "node-3": "node-2", "node-1/1": "node-3/3", "node-1/3": "node-3/1",
        "assistant-0": "assistant-node-3", "assistant-1": "assistant-node-1", "assistant-2": "assistant-node-2",
        "reasoner-0": "reasoner-node-3",
    }  # fmt: skip
    assert [table.gpu_number("node-1", gpu) for gpu in range(4)] == [0, 3, 2, 1]
    assert table.alias("gpu", "node-3/3") == "node-1/1" and table.alias("gpu", "node-2/3") == "node-3/3"
    assert table.renamed({"node": "node-3", "gpu": "3"}) == {"node": "node-1", "gpu": "1"}
    assert table.renamed({"source": "node-3", "replica": "x"}) == {"source": "node-1", "replica": "x"}
    assert names_from(table.plain()).gpus == table.gpus


def test_a_name_for_what_nothing_serves_is_refused() -> None:
    with pytest.raises(TargetError, match=r"names.node-2: 0 nodes .* serve reasoner, expected 1"):
        serving({"node-1": {"serves": "reasoner"}, "node-2": {"serves": "reasoner"}}, {})
    with pytest.raises(TargetError, match=r"names.node-2/0: node-2 \(node-2\) serves no reasoner"):
        serving({"node-2/0": {"serves": "reasoner"}}, {})
    with pytest.raises(TargetError, match=r"names.node-3/0: .* Prometheus tells of 0 GPUs of reasoner-node-3"):
        serving({"node-3/0": {"serves": "reasoner"}}, {})


def test_a_new_pod_takes_the_place_of_the_one_that_went() -> None:
    first, second = pod("a-1", created=1), pod("a-2", created=2)
    table = named(pods=[first, second])
    assert real(table) == {"assistant-0": "a-1", "assistant-1": "a-2"}
    alone = named(pods=[second], before=table)
    assert real(alone) == {"assistant-0": "a-1", "assistant-1": "a-2"}, "a slot without a pod stays"
    after = named(pods=[second, pod("a-3", created=3)], before=alone)
    assert real(after) == {"assistant-0": "a-3", "assistant-1": "a-2"}
    assert after.alias("replica", "a-1") == "assistant-0", "late alerts still know it"
    assert after.renamed({"replica": "a-3", "n": 1}) == {"replica": "assistant-0", "n": 1}


def test_a_pod_that_is_ending_gives_its_place_only_to_another() -> None:
    first = pod("a-1", created=1)
    table = named(pods=[first])
    ending = replace(first, deleting=True)
    assert real(named(pods=[ending], before=table)) == {"assistant-0": "a-1"}
    assert real(named(pods=[ending, pod("a-2", created=2)], before=table)) == {"assistant-0": "a-2"}


def test_a_gateway_that_has_ended_has_no_name_of_its_own() -> None:
    first, second = pod("g-1", created=1), pod("g-2", created=2)
    table = table_of(settings(), workloads("assistant"), [], {}, [first, second])
    ended = [replace(first, phase="Failed"), second, pod("g-3", created=3)]
    for before in (table, None):
        assert set(real(table_of(settings(), workloads("assistant"), [], {}, ended, before=before)).values()) == {
            "g-2", "g-3",
        }  # fmt: skip


def test_a_place_beyond_what_the_workload_wants_ends_with_its_pod() -> None:
    pods = [pod(f"a-{number}", created=number) for number in range(3)]
    table = named(pods=pods)
    left = {"critical": pods[:2]}
    wanted = {("Deployment", "a"): 2}
    after = table_of(settings(), workloads("assistant"), [], left, [], wanted, before=table)
    assert real(after) == {"assistant-0": "a-0", "assistant-1": "a-1"}


def test_models_of_one_tier_are_told_by_their_labels() -> None:
    of = settings(models={"reasoner": {"app": "r"}})
    mine = pod("m", labels={"tier": "critical", "tierdrill.io/model": "assistant"})
    pods = [mine, pod("r", labels={"tier": "critical", "app": "r"}), pod("other")]
    table = table_of(of, workloads("assistant", "reasoner"), [], {"critical": pods}, [])
    assert real(table) == {"assistant-0": "m", "reasoner-0": "r"}


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40))
def test_a_name_never_stands_for_two_pods_and_no_pod_has_two(steps: list[tuple[int, bool]]) -> None:
    table, living = NameTable(), dict[str, PodRecord]()
    for number, (which, comes) in enumerate(steps):
        if comes:
            living[f"p{number}"] = pod(f"p{number}", created=float(number))
        elif living:
            del living[sorted(living)[which % len(living)]]
        before, table = table, named(pods=living.values(), before=table)
        refs = [slot.ref for slot in table.replicas.values()]
        assert len({ref.uid for ref in refs}) == len(refs)
        assert {one.uid for one in living.values()} <= {ref.uid for ref in refs}
        for alias, slot in before.replicas.items():
            if slot.ref.uid in {one.uid for one in living.values()}:
                assert table.replicas[alias].ref == slot.ref, "who lives keeps the name"
    assert len(table.replicas) <= max(1, len(steps))


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("app=web", {"app": "web"}, True),
        ("app==web,tier in (a, b)", {"app": "web", "tier": "b"}, True),
        ("tier notin (a),!canary", {"tier": "b"}, True),
        ("tier notin (a),!canary", {"canary": ""}, False),
        ("app!=web", {}, True),
        ("canary", {"canary": ""}, True),
        ("a.example.org/x=1", {"a.example.org/x": "2"}, False),
    ],
)
def test_selectors_match_as_kubectls_do(text: str, labels: dict[str, str], matches: bool) -> None:
    assert Selector.parse(text).matches(labels) is matches


@pytest.mark.parametrize("text", ["app=a b", "in (a)", "a in (b", "=x", "a=b=c", "app in (a b)"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected label selectors"):
        Selector.parse(text)


def test_quantities_are_numbers() -> None:
    assert [quantity(one) for one in ("500m", "2", "1Ki", "1e3", "2G")] == [0.5, 2.0, 1024.0, 1000.0, 2e9]


def test_what_has_not_opted_in_or_is_protected_is_refused() -> None:
    of = settings()
    assert namespace_refused(of, "serving", ALLOWED) == ""
    assert "has not opted in: it lacks the label tierdrill.io/drills=allowed" in namespace_refused(of, "serving", {})
    assert namespace_refused(of, "serving", None) == "there is no namespace serving"
    assert "is protected" in namespace_refused(of, "kube-system", ALLOWED)
    assert node_refused(of, node("a")) == ""
    assert "has not opted in" in node_refused(of, node("a", labels={}))
    plane = {**ALLOWED, "node-role.kubernetes.io/control-plane": ""}
    assert "is protected" in node_refused(of, node("a", labels=plane))
    assert node_refused(of, node("a"), own_node="a") == "tierdrill itself runs on node a"
    assert pod_refused(of, pod("p")) == ""
    assert "static pod" in pod_refused(of, pod("p", mirror=True))
    assert "priority 2000000000" in pod_refused(of, pod("p", priority=2_000_000_000))
    assert "hostNetwork" in network_refused(pod("p", host_network=True)) and not network_refused(pod("p"))


def test_an_eviction_that_no_budget_allows_is_refused_and_a_failure_only_told() -> None:
    selector = Selector.parse("tier=critical")
    budgets = [BudgetRecord("serving", "b", selector, 0, 2, 2), BudgetRecord("other", "o", selector, 0, 2, 2)]
    told = budget_objections(budgets, [pod("p")], evicts=True)
    assert len(told.refusals) == 1 and "serving/b allows 0 disruptions now (2 healthy, 2 wanted)" in told.refusals[0]
    told = budget_objections(budgets, [pod("p")], evicts=False)
    assert not told.refusals and len(told.remarks) == 1
    allowed = [replace(budgets[0], allowed=1)]
    assert budget_objections(allowed, [pod("p")], evicts=True) == type(told)()
    assert len(budget_objections(allowed, [pod("p"), pod("q")], evicts=True).remarks) == 1


@pytest.mark.parametrize(
    ("ready", "down", "refused"),
    [(3, 1, False), (3, 2, False), (3, 3, True), (5, 2, False), (5, 3, True), (8, 4, False), (60, 40, False)],
)
def test_evictions_freeze_as_the_node_controller_does_it(ready: int, down: int, refused: bool) -> None:
    """From pkg/controller/nodelifecycle: more than two nodes, and 55% of their zone; a whole zone does not count."""
    nodes = [node(f"n{number}", zone="z") for number in range(ready)]
    told = zone_objections(nodes, [one.name for one in nodes[:down]])
    assert bool(told.refusals) is refused
    assert refused or down < 2 or told.remarks


def test_another_zone_that_is_well_keeps_evictions_going() -> None:
    nodes = [*(node(f"a{number}", zone="a") for number in range(3)), node("b", zone="b")]
    assert zone_objections(nodes, ["a0", "a1", "a2"]).refusals == ()
    lost = [replace(nodes[0], ready="Unknown"), *nodes[1:]]
    more = [*lost, node("a3", zone="a"), node("a4", zone="a")]
    assert "3 of 5 nodes of zone a would be down (60%)" in zone_objections(more, ["a1", "a2"]).refusals[0]


def test_a_repair_that_is_quicker_than_the_fault_is_refused() -> None:
    of = settings(external_repair={"karpenter": 600.0, "medik8s": 60.0})
    told = repair_objections(of, 120.0).refusals
    assert told == ("medik8s replaces a node after 60s, and the fault lasts 120s",)
    assert repair_objections(of, 30.0).refusals == ()


@given(st.lists(st.integers(1, 4), max_size=8), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_what_is_placed_never_exceeds_what_there_is(asked: list[int], room: list[int]) -> None:
    hosts = [node(f"h{number}", allocatable={"cpu": float(cores), "pods": 10.0}) for number, cores in enumerate(room)]
    going = [pod(f"p{number}", requests={"cpu": float(cores)}) for number, cores in enumerate(asked)]
    left = homeless(going, hosts, {})
    placed = sum(asked) - sum(int(one.requests["cpu"]) for one in left)
    assert placed <= sum(room)
    assert all(one.requests["cpu"] > max(room) or placed + one.requests["cpu"] > min(room) for one in left)
    assert not left or sum(asked) > min(room) or max(asked) > max(room)


def test_room_is_what_is_left_beside_what_is_there() -> None:
    host = node("h", allocatable={"cpu": 2.0, "nvidia.com/gpu": 1.0, "pods": 10.0})
    gpu = pod("p", requests={"cpu": 1.0, "nvidia.com/gpu": 1.0})
    assert homeless([gpu], [host], {"h": [pod("q", requests={"cpu": 1.0})]}) == []
    assert homeless([gpu], [host], {"h": [pod("q", requests={"nvidia.com/gpu": 1.0})]}) == [gpu]
    assert homeless([gpu], [replace(host, allocatable={"cpu": 9.0, "pods": 9.0})], {}) == [gpu], "no GPU there at all"


def test_what_pods_of_a_workload_have_in_common_is_kept_once() -> None:
    def raw(name: str) -> dict[str, Any]:
        # Each text is another object, as those of two pages of a list are.
        return json.loads(
            json.dumps(
                {
                    "metadata": {
                        "name": name,
                        "namespace": "serving",
                        "uid": f"uid-{name}",
                        "labels": {"tier": "critical", "pod-template-hash": "7d4f"},
                        "ownerReferences": [{"kind": "ReplicaSet", "name": "assistant-7d4f", "controller": True}],
                    },
                    "spec": {
                        "nodeName": "worker-1",
                        "containers": [{"resources": {"requests": {"cpu": "200m", "memory": "64Mi"}}}],
                    },
                    "status": {"phase": "Running"},
                }
            )
        )

    one, other = pod_of(raw("a")), pod_of(raw("b"))
    assert one.workload == ("Deployment", "assistant") and one.requests == {"cpu": 0.2, "memory": 64 * 2**20}
    for name in ("labels", "node", "phase", "controller", "workload", "requests"):
        assert getattr(one, name) is getattr(other, name), name
