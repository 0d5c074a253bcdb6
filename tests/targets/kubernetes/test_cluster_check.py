"""What `check`, `plan` and `rbac` say of a cluster, by a stand-in API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.support import ROOT, Done, tierdrill
from tests.kubernetes_api import KUBE_SYSTEM, FakeApi, Refusal
from tests.targets.kubernetes.conftest import ALLOWED, NODES, PODS, pod
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.targets.base import SABOTAGE
from tierdrill.targets.kubernetes.connect import Cluster
from tierdrill.targets.kubernetes.drill_permissions import denied, needed
from tierdrill.targets.kubernetes.permissions import may


@pytest.fixture
def document(api: FakeApi, kubeconfig: Path, tmp_path: Path) -> dict[str, Any]:
    """An environment for the cluster of the stand-in, whose tiers are those of the good documents."""
    api.put("/version", {"gitVersion": "v1.36.3"})
    api.put(f"{PODS}/sum-1", pod("sum-1", "worker-2", "standard", "sum-77aa"))
    api.put(f"{PODS}/gw-1", pod("gw-1", "worker-2", "gateway", "gw-55cc"))
    for number in (1, 2):
        labels = {**ALLOWED, "topology.kubernetes.io/zone": f"z{number}"}
        api.change(f"{NODES}/worker-{number}", lambda node, labels=labels: node["metadata"].update(labels=labels))
        api.change(f"{NODES}/worker-{number}", lambda node: node["spec"].update(taints=[]))
        api.change(f"{NODES}/worker-{number}", lambda node: node["status"].update(allocatable={"pods": "20"}))
    for number, name in enumerate(("assistant-7d4f", "batch-99aa")):
        for each in (1, 2):
            stamp = f"2026-01-01T00:0{number}:0{each}Z"
            api.change(f"{PODS}/{name}-{each}", lambda one, at=stamp: one["metadata"].update(creationTimestamp=at))
    tiers = {tier: {"namespaces": ["serving"], "selector": f"tier={tier}"}
             for tier in ("critical", "standard", "best-effort")}  # fmt: skip
    word = ["echo", "{node}"]
    document: dict[str, Any] = yaml.safe_load((ROOT / "tests" / "cluster" / "environment.yaml").read_text())
    document |= {"tiers": "serving", "workloads": "models"}
    document["kubernetes"] = {
        "kubeconfig": str(kubeconfig),
        "context": "fake",
        "tiers": tiers,
        "models": {"assistant": {"pod-template-hash": "7d4f"}, "reasoner": {"app": "reasoner"}},
        "image": {"name": "python:3"},
        "power": {"off": word, "on": word, "state": word},
        "silence_alerts": True,
        "gateways": {
            "namespaces": ["serving"],
            "selector": "tier=gateway",
            "admin": {"port": 8080, "token": {"file": str(kubeconfig)}},
        },
        "exporter": {"namespaces": ["serving"], "selector": "tier=exporter"},
    }
    return document


def ask(document: dict[str, Any], folder: Path, *words: str) -> Done:
    path = folder / "fake.yaml"
    path.write_text(json.dumps(document))
    return tierdrill(folder / "home", *words, "--environment", path)


def findings(done: Done) -> dict[str, tuple[bool, str]]:
    return {one["name"]: (one["ok"], one["seen"]) for one in json.loads(done.out)["findings"]}


def test_a_cluster_that_has_everything_is_ready(api: FakeApi, document: dict[str, Any], tmp_path: Path) -> None:
    done = ask(document, tmp_path, "kubernetes", "check", "--json")
    assert done.code == 0, done
    found = json.loads(done.out)
    assert found["cluster"] == KUBE_SYSTEM and found["version"] == "v1.36.3"
    assert {alias: ref["name"] for alias, ref in found["names"].items()} == {
        "node-1": "worker-1", "node-2": "worker-2",
        "assistant-0": "assistant-7d4f-1", "assistant-1": "assistant-7d4f-2",
        "gateway-a": "gw-1", "summarizer-0": "sum-1", "draft-0": "batch-99aa-1", "draft-1": "batch-99aa-2",
    }  # fmt: skip
    assert "zone z1: 1 of 1 node ready" in found["remarks"]
    assert all(method == "GET" or path.endswith(("reviews", "/tierdrill/pods"))
               for method, path in api.calls)  # fmt: skip
    assert not [path for path in api.objects if path.startswith("/api/v1/namespaces/tierdrill/pods")]
    shown = ask(document, tmp_path, "kubernetes", "check")
    assert "ready for drills" in shown.out and KUBE_SYSTEM in shown.out


def test_what_is_missing_is_named(api: FakeApi, document: dict[str, Any], tmp_path: Path) -> None:
    api.change("/api/v1/namespaces/serving", lambda one: one["metadata"].update(labels={}))
    api.remove("/api/v1/namespaces/tierdrill")
    api.remove(f"{PODS}/sum-1")
    for number in (1, 2):
        api.change(f"{NODES}/worker-{number}", lambda one: one["metadata"].update(labels={}))
    document["kubernetes"]["tiers"]["best-effort"]["selector"] = "tier=critical"
    done = ask(document, tmp_path, "kubernetes", "check", "--json")
    found = findings(done)
    assert done.code == 1
    assert found["namespace serving"] == (
        False, "namespace serving has not opted in: it lacks the label tierdrill.io/drills=allowed"
    )  # fmt: skip
    assert found["namespace tierdrill"] == (False, "is missing; `tierdrill kubernetes rbac` prints it")
    assert found["nodes"][0] is False and "0 of 2 may be drilled, 2 are ready" in found["nodes"][1]
    assert found["tier standard"][1].startswith("0 pods")
    assert "pods of another tier: assistant-7d4f-1 (critical too)" in found["tier best-effort"][1]


def test_a_kill_switch_and_a_drill_that_runs_are_told(api: FakeApi, document: dict[str, Any], tmp_path: Path) -> None:
    lease = "/apis/coordination.k8s.io/v1/namespaces/tierdrill/leases/drill"
    spec = {"holderIdentity": "night-1@ci", "renewTime": "2026-01-01T00:00:00.000000Z", "leaseDurationSeconds": 5}
    api.put(lease, {"metadata": {"annotations": {"tierdrill.io/halt": "incident 7"}}, "spec": spec})
    done = ask(document, tmp_path, "kubernetes", "check", "--json")
    assert done.code == 1 and findings(done)["kill switch"] == (False, "on: incident 7")
    assert any(one.startswith("night-1@ci holds the Lease") for one in json.loads(done.out)["remarks"])


def test_admission_that_says_no_is_told_before_a_run(api: FakeApi, document: dict[str, Any], tmp_path: Path) -> None:
    def meddle(method: str, path: str, body: Any) -> None:
        privileged = body and body["spec"].get("hostPID") if path.endswith("/tierdrill/pods") else False
        if privileged:
            raise Refusal(403, "Forbidden", 'pods "agent" is forbidden: violates PodSecurity "restricted:latest"')

    api.meddle = meddle
    found = findings(ask(document, tmp_path, "kubernetes", "check", "--json"))
    ok, told = found["agent pod"]
    assert not ok and "pod-security.kubernetes.io/enforce label decides" in told
    assert found["warden pod"] == (True, "would be admitted") == found["scout pod"]


def test_a_cluster_that_does_not_answer_is_inconclusive_and_another_one_is_refused(
    api: FakeApi, document: dict[str, Any], tmp_path: Path
) -> None:
    document["kubernetes"]["cluster"] = KUBE_SYSTEM[:-1] + "2"
    done = ask(document, tmp_path, "kubernetes", "check")
    assert done.code == 2 and "is another cluster" in done.err
    api.meddle = lambda method, path, body: True
    done = ask(document, tmp_path, "kubernetes", "check")
    assert done.code == 3 and "cannot be reached" in done.err


@pytest.mark.parametrize("words", [("kubernetes", "check"), ("plan", "node-loss")], ids=" ".join)
def test_credentials_and_contexts_that_are_wrong_are_bad_input(
    api: FakeApi, document: dict[str, Any], tmp_path: Path, words: tuple[str, ...]
) -> None:
    def expired(method: str, path: str, body: Any) -> None:
        raise Refusal(401, "Unauthorized", "Unauthorized")

    api.meddle = expired
    done = ask(document, tmp_path, *words)
    assert (done.code, done.out) == (2, "") and "the token has expired or was revoked; log in again" in done.err
    document["kubernetes"]["context"] = "prod"
    done = ask(document, tmp_path, *words)
    assert (done.code, done.out) == (2, "") and "has no context 'prod', expected one of: fake" in done.err


def test_a_forbidden_list_is_a_finding(api: FakeApi, document: dict[str, Any], tmp_path: Path) -> None:
    def meddle(method: str, path: str, body: Any) -> None:
        if path == NODES:
            raise Refusal(403, "Forbidden", 'User "u" cannot list resource "nodes" in API group ""')

    api.meddle = meddle
    done = ask(document, tmp_path, "kubernetes", "check", "--json")
    assert done.code == 1 and 'cannot list resource "nodes"' in findings(done)["inventory"][1]


def test_a_plan_shows_what_it_comes_to_and_is_the_same_twice(
    api: FakeApi, document: dict[str, Any], tmp_path: Path
) -> None:
    done = ask(document, tmp_path, "plan", "node-loss", "--json")
    assert done.code == 0, done
    told = json.loads(done.out)["preview"]
    (target,) = told["falls"]
    real = told["names"][target]
    assert real in ("worker-1", "worker-2") and told["refusals"] == [] and told["missing"] == []
    assert f"assistant-{real[-1:] == '2':d} (serving/assistant-7d4f-{real[-1]}, critical)" in told["falls"][target]
    assert "critical: 1 of 2 pods (50%)" in told["falls"][target]
    assert ask(document, tmp_path, "plan", "node-loss", "--json").out == done.out
    assert not [call for call in api.calls if call[0] != "GET" and not call[1].endswith("reviews")]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"labels": {}}, "nothing here is named 'node-1'"),
        ({"labels": {**ALLOWED, "node-role.kubernetes.io/control-plane": ""}}, "node worker-1 is protected"),
    ],
)
def test_a_plan_names_why_a_run_would_be_refused(
    api: FakeApi, document: dict[str, Any], tmp_path: Path, change: dict[str, Any], refusal: str
) -> None:
    for number in (1, 2):
        api.change(f"{NODES}/worker-{number}", lambda one: one["metadata"].update(change))
    done = ask(document, tmp_path, "plan", "node-loss", "--json")
    assert done.code == 1
    assert any(one.startswith(refusal) for one in json.loads(done.out)["preview"]["refusals"])
    ran = ask(document, tmp_path, "run", "node-loss")
    assert ran.code == 2 and not [call for call in api.calls if call[0] in ("PATCH", "DELETE")]


def test_repair_tools_protected_pods_and_fewer_rooms_are_told(
    api: FakeApi, document: dict[str, Any], tmp_path: Path
) -> None:
    document["kubernetes"]["external_repair"] = {"karpenter": "1s"}
    document["kubernetes"]["protected"] = {"priority_at_least": 500}
    for number in (1, 2):
        api.change(f"{NODES}/worker-{number}", lambda one: one["status"].update(allocatable={"pods": "1"}))
    done = ask(document, tmp_path, "plan", "node-loss", "--json")
    told = json.loads(done.out)["preview"]
    assert done.code == 1
    assert any(one.startswith("karpenter replaces a node after 1s") for one in told["refusals"])
    assert any("has priority 1000, protected from 500 on" in one for one in told["refusals"])
    assert any(one.startswith("no room anywhere else, by requests, for") for one in told["remarks"])


def test_a_link_is_broken_at_its_far_end_where_the_gateways_node_may_not_be_drilled(
    api: FakeApi, document: dict[str, Any], tmp_path: Path
) -> None:
    api.change(f"{PODS}/gw-1", lambda one: one["spec"].update(nodeName="worker-2"))
    link = ("plan", "slow-link", "--set", "destination=node-1", "--json")
    told = json.loads(ask(document, tmp_path, *link).out)["preview"]
    assert told["falls"] == {"gateway-a>node-1": ["in the network of serving/gw-1"]} and told["refusals"] == []
    api.change(f"{NODES}/worker-2", lambda one: one["metadata"].update(labels={}))
    api.change(f"{PODS}/batch-99aa-1", lambda one: one["spec"].update(hostNetwork=True))
    told = json.loads(ask(document, tmp_path, *link).out)["preview"]
    assert "in the network of serving/assistant-7d4f-1" in told["falls"]["gateway-a>node-1"]
    assert told["refusals"] == ["Pod serving/batch-99aa-1 has hostNetwork: its network is its node's"]


def test_rbac_names_the_nodes_and_gives_no_more_than_is_needed(
    api: FakeApi, document: dict[str, Any], tmp_path: Path
) -> None:
    reading = list(yaml.safe_load_all(ask(document, tmp_path, "kubernetes", "rbac").out))
    verbs = {verb for one in reading for rule in one.get("rules", ()) for verb in rule["verbs"]}
    assert verbs == {"get", "list"}
    more = ("--admission", "--bind", "group:oncall")
    acting = ask(document, tmp_path, "kubernetes", "rbac", "--for", "node-loss", *more)
    objects = list(yaml.safe_load_all(acting.out))
    rules = [rule for one in objects for rule in one.get("rules", ())]
    assert not [rule for rule in rules if "*" in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])]
    assert not [rule for rule in rules if "secrets" in rule["resources"]]
    changing = [rule for rule in rules if rule["resources"] == ["nodes"] and "patch" in rule["verbs"]]
    assert changing and all(rule["resourceNames"] == ["worker-1", "worker-2"] for rule in changing)
    bound = [one for one in objects if one["kind"].endswith("Binding") and "subjects" in one]
    assert {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "oncall"} in bound[0]["subjects"]
    assert [one["kind"] for one in objects][-2:] == ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
    for number in (1, 2):
        api.change(f"{NODES}/worker-{number}", lambda one: one["metadata"].update(labels={}))
    refused = ask(document, tmp_path, "kubernetes", "rbac", "--for", "node-loss")
    assert refused.code == 2 and "no node has opted in" in refused.err


def test_check_asks_whether_pods_that_send_load_would_be_admitted(
    api: FakeApi, document: dict[str, Any], tmp_path: Path
) -> None:
    def strict(method: str, path: str, body: Any) -> None:
        if method == "POST" and path.endswith("/pods") and body["metadata"]["name"] == "load-check":
            raise Refusal(403, "Forbidden", "violates PodSecurity restricted")

    assert not [one for one in checked(document, tmp_path) if one["name"] == "load pod"]
    document["kubernetes"]["load"] = {"image": {"name": "example.org/tierdrill:1"}}
    assert [one["ok"] for one in checked(document, tmp_path) if one["name"] == "load pod"] == [True]
    api.meddle = strict
    (load,) = [one for one in checked(document, tmp_path) if one["name"] == "load pod"]
    assert not load["ok"] and "violates PodSecurity" in load["seen"]


def checked(document: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """What `check` finds."""
    return list(json.loads(ask(document, folder, "kubernetes", "check", "--json").out)["findings"])


def test_a_frozen_exporter_needs_what_its_fault_needs(document: dict[str, Any]) -> None:
    settings = KubernetesSettings.model_validate(document["kubernetes"])
    more = set(needed(settings, [SABOTAGE])) - set(needed(settings, []))
    assert {one.scope for one in more} == {"exporter"}
    assert {str(one) for one in more} == {"get pods/exec", "create pods/exec", "get pods/proxy"}


@pytest.mark.parametrize(("named", "lacks"), [(2, ()), (1, ("patch nodes worker-2",)), (0, ())])
def test_a_role_that_names_the_nodes_is_enough(
    document: dict[str, Any], kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, named: int, lacks: tuple[str, ...]
) -> None:
    """As `rbac` prints it: without a name nobody may change nodes."""
    granted = [f"worker-{number + 1}" for number in range(named)] or [""]
    monkeypatch.setattr(Cluster, "can", lambda self, permission, namespace=None, name="": (name in granted, ""))
    settings = KubernetesSettings.model_validate(document["kubernetes"])
    assert denied(Cluster(str(kubeconfig)), settings, may("nodes", "patch")) == lacks


def test_the_capacity_of_tiers_is_that_of_the_clusters_replicas(document: dict[str, Any], tmp_path: Path) -> None:
    load = tmp_path / "load.jsonl"
    load.write_text("".join(f'{{"at": {number}, "model": "assistant"}}\n' for number in range(20)))
    done = ask(document, tmp_path, "tiers", "capacity", "--load", load, "--json")
    told = json.loads(done.out)
    assert told["nodes"] == 2
    slots = {row["model"]: row["slots"] for row in told["rows"]}
    # Two replicas of four slots on two nodes; of the reasoner there is none.
    assert (slots["assistant"], slots["reasoner"]) == ([8, 4, 0], [0, 0, 0])
    assert (told["ok"], done.code) == (True, 0)
