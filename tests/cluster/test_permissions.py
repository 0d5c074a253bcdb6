"""The roles that `tierdrill kubernetes rbac` prints, on a real API server: they suffice, and allow nothing else."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from tests.cli.support import tierdrill
from tests.cluster.conftest import ClusterInUse
from tests.cluster.drilled_workloads import CREATED, Drilled, two_tiers
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.faults.known_kinds import KINDS
from tierdrill.targets.kubernetes import connect
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import MERGE_PATCH, Cluster, path_of
from tierdrill.targets.kubernetes.drill_permissions import denied, needed
from tierdrill.targets.kubernetes.manifests.rbac import admission_objects, role_objects
from tierdrill.targets.kubernetes.permissions import Permission

pytestmark = pytest.mark.cluster
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
NEVER = (("secrets", "", ""), ("nodes", "", "proxy"), ("pods", "", "attach"), ("pods", "", "portforward"))
ESCALATING = (("clusterroles", "bind"), ("clusterroles", "escalate"), ("serviceaccounts", "impersonate"))
PATIENCE_S = 10.0
DOCUMENTS = """
apiVersion: tierdrill/v1
kind: Tiers
metadata: {name: two}
tiers:
  - {name: critical, rank: 1, owner: x, rationale: Customers wait., shed_order: 2, objectives: {availability: 98%},
     escalation: [{contact: "pager:serving", acknowledge_within: 5m}]}
  - {name: best-effort, rank: 2, owner: x, rationale: Nobody waits., shed_order: 1, objectives: {availability: 90%},
     escalation: [{contact: "ticket:batch", acknowledge_within: 1h}]}
---
apiVersion: tierdrill/v1
kind: Workloads
metadata: {name: two}
tiers: two
models:
  - {name: assistant, tier: critical, risk: high, impact: high, frequency: constant, rationale: Answers customers.}
  - {name: batch, tier: best-effort, risk: low, impact: low, frequency: constant, rationale: Sums up.}
routes: [{model: assistant, tier: critical}, {model: batch, tier: best-effort}]
"""


@pytest.fixture(scope="module")
def drilled(cluster: ClusterInUse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drilled]:
    with two_tiers(cluster.api, cluster.kubeconfig, tmp_path_factory.mktemp("runner")) as found:
        yield found


@pytest.fixture(scope="module")
def settings(drilled: Drilled) -> KubernetesSettings:
    return KubernetesSettings.model_validate(drilled.place["settings"])


@pytest.fixture
def runner(drilled: Drilled, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster as the runner's account reaches it, as often as a test wants to ask."""
    monkeypatch.setattr(connect, "CALLS_PER_S", 1000.0)
    found = Cluster(drilled.place["kubeconfig"])
    yield found
    found.close()


def test_the_roles_suffice(runner: Cluster, settings: KubernetesSettings) -> None:
    permissions = needed(settings, KINDS)
    assert len(permissions) > 20
    assert denied(runner, settings, permissions) == ()


def test_nothing_that_they_leave_out_is_allowed(runner: Cluster, settings: KubernetesSettings) -> None:
    permissions = needed(settings, KINDS)
    given = {(one.resource, one.group, one.subresource, one.verb, where)
             for one in permissions for where in one.namespaces(settings) if not one.names}  # fmt: skip
    resources = {(one.resource, one.group, one.subresource) for one in permissions}
    spaces = [None, *settings.namespaces, settings.namespace, "default", "kube-system"]
    allowed, asked = [], 0
    for (resource, group, subresource), verb, where in itertools.product((*resources, *NEVER), VERBS, spaces):
        if {(resource, group, subresource, verb, where), (resource, group, subresource, verb, None)} & given:
            continue
        asked += 1
        if runner.can(Permission(resource, verb, group, subresource), where)[0]:
            allowed.append(f"{verb} {resource}/{subresource} in {where}")
    for resource, verb in ESCALATING:
        group = "rbac.authorization.k8s.io" if resource == "clusterroles" else ""
        if runner.can(Permission(resource, verb, group))[0]:
            allowed.append(f"{verb} {resource}")
    assert asked > 300 and allowed == []


def test_each_verb_that_is_taken_away_is_denied_and_named(
    runner: Cluster, drilled: Drilled, settings: KubernetesSettings
) -> None:
    permissions = needed(settings, KINDS)
    for gone in permissions:
        if not gone.namespaces(settings):
            continue  # this document names no such place
        if any(one != gone and one.resource == gone.resource and one.verb == gone.verb and one.scope == "cluster"
               and one.subresource == gone.subresource and not one.names for one in permissions):  # fmt: skip
            continue  # what the whole cluster allows, no namespace takes away
        replace_roles(drilled, settings, tuple(one for one in permissions if one != gone))
        words = until(lambda gone=gone: denied(runner, settings, [gone]), gone)  # type: ignore[misc]
        assert all(str(gone) in one for one in words)
    replace_roles(drilled, settings, permissions)
    until(lambda: not denied(runner, settings, permissions), "all of them again")


def until(true: Any, what: object) -> Any:
    """The API server learns of new roles a moment after they were made."""
    end = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < end, f"nothing changed for {what}"
    return found


def replace_roles(drilled: Drilled, settings: KubernetesSettings, permissions: tuple[Permission, ...]) -> None:
    """With these permissions alone; where nothing is left of a role it goes."""
    there = {(one["kind"], one["metadata"].get("namespace", "")): one for one in role_objects(settings, permissions)
             if one["kind"] in ("Role", "ClusterRole") and one["metadata"]["name"].endswith("-runner")}  # fmt: skip
    every = {one.namespaces(settings) for one in needed(settings, KINDS)}
    for scope in {namespace or "" for namespaces in every for namespace in namespaces}:
        kind = "Role" if scope else "ClusterRole"
        path = f"{CREATED[kind].format(scope)}/{settings.namespace}-runner"
        with contextlib.suppress(client.ApiException):
            drilled.api.send("PUT", path, there.get((kind, scope), {"metadata": {"name": path.rpartition("/")[2]}}))


def test_what_the_runner_may_not_is_refused_when_it_is_done(runner: Cluster, drilled: Drilled) -> None:
    for path in (path_of("secrets", drilled.namespace), path_of("configmaps", "kube-system")):
        with pytest.raises(ApiError, match="`tierdrill kubernetes rbac` prints the roles") as caught:
            runner.get(path)
        assert caught.value.status == 403
    with pytest.raises(ApiError) as caught:
        runner.send("DELETE", path_of("deployments", drilled.namespace, "assistant", group="apps"))
    assert caught.value.status == 403


def test_the_admission_policy_holds_it_to_the_nodes_that_have_opted_in(
    runner: Cluster, drilled: Drilled, settings: KubernetesSettings
) -> None:
    node = next(name for name, ref in drilled.names().items() if ref["kind"] == "Node")
    path, label = path_of("nodes", name=node), "tierdrill.io/drills"
    was = drilled.api.get(path)["metadata"]["labels"].get(label)
    policies = "/apis/admissionregistration.k8s.io/v1"
    policy, binding = admission_objects(settings)

    def annotate() -> int:
        body = {"metadata": {"annotations": {"tierdrill.io/test": "1"}}}
        try:
            runner.send("PATCH", path, body, content_type=MERGE_PATCH, query={"dryRun": "All"})
        except ApiError as error:
            assert "has not opted in to drills" in str(error)
            return error.status
        return 200

    try:
        drilled.api.send("PATCH", path, {"metadata": {"labels": {label: None}}})
        drilled.api.send("POST", f"{policies}/validatingadmissionpolicies", policy)
        drilled.api.send("POST", f"{policies}/validatingadmissionpolicybindings", binding)
        until(lambda: annotate() == 422, "the policy")
        drilled.api.send("PATCH", path, {"metadata": {"labels": {label: "allowed"}}})
        until(lambda: annotate() == 200, "the node's label")
        assert denied(runner, settings, needed(settings, KINDS)) == ()
    finally:
        for plural, one in (("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)):
            with contextlib.suppress(client.ApiException):
                drilled.api.send("DELETE", f"{policies}/{plural}/{one['metadata']['name']}")
        drilled.api.send("PATCH", path, {"metadata": {"labels": {label: was}}})


def test_check_finds_everything_as_the_runner(drilled: Drilled, tmp_path: Path) -> None:
    told = {**drilled.place["settings"], "cluster": drilled.place["cluster"]}
    environment = {"apiVersion": "tierdrill/v1", "kind": "Environment", "metadata": {"name": "here"},
                   "target": "kubernetes", "tiers": "two", "workloads": "two", "kubernetes": told}  # fmt: skip
    (tmp_path / "here.yaml").write_text(json.dumps(environment))
    (tmp_path / "two.yaml").write_text(DOCUMENTS)
    (tmp_path / "values.yaml").write_text("{not: [tierdrill, at, all")
    config = {"KUBECONFIG": drilled.place["kubeconfig"]}
    asked = ("kubernetes", "check", "--environment", tmp_path / "here.yaml")
    done = tierdrill(tmp_path / "home", *asked, "--json", **config)
    found = json.loads(done.out)
    assert done.code == 0, [one for one in found["findings"] if not one["ok"]]
    assert found["cluster"] == drilled.place["cluster"]
    assert {"assistant-0", "assistant-1", "assistant-2", "batch-0", "batch-1"} <= set(found["names"])
    told["cluster"] = "00000000-0000-4000-8000-000000000000"
    (tmp_path / "here.yaml").write_text(json.dumps(environment))
    other = tierdrill(tmp_path / "home", *asked, **config)
    assert other.code == 2 and "is another cluster" in other.err and "nothing was touched" in other.err
