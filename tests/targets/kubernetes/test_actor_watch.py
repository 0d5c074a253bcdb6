"""What is seen of workloads, Jobs, custom resources and Kubernetes Events while a run lives, and what cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.kubernetes_api import FakeApi, Refusal
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.history.events import Event
from tierdrill.history.kinds.response_kinds import RemediationSeen
from tierdrill.history.kinds.run_kinds import PlatformEvent
from tierdrill.targets.kubernetes.actor_watch import NEEDS, ActorWatch, looking_for
from tierdrill.targets.kubernetes.connect import Cluster
from tierdrill.targets.kubernetes.names import NameTable, Slot
from tierdrill.targets.kubernetes.records import ObjectRef

REBOOT = "RebootNode.janitor.dgxc.nvidia.com"
REBOOTS = "/apis/janitor.dgxc.nvidia.com/v1alpha1/rebootnodes"
SETTINGS = KubernetesSettings.model_validate(
    {"tiers": {"critical": {"namespaces": ["serving"], "selector": "tier=critical"}}}
)
NAMES = NameTable(
    {"node-1": ObjectRef("Node", "", "worker-1", "n")},
    {"assistant-1": Slot(ObjectRef("Pod", "serving", "assistant-7d4f-1", "p"), None)},
)


def seen(
    kubeconfig: Path, act: Callable[[], object], wanted: Callable[[list[Event], list[str]], bool], *kinds: str
) -> tuple[list[Event], list[str]]:
    """What is told, and what is said not to be watched, of what is done once everything was listed."""

    async def look() -> tuple[list[Event], list[str]]:
        told: list[Event] = []
        gaps: list[str] = []
        cluster = Cluster(str(kubeconfig))
        watch = ActorWatch(cluster, SETTINGS, lambda: NAMES, lambda what, seconds, why: gaps.append(what), kinds)
        following = asyncio.create_task(watch.follow(told.append))
        async with asyncio.timeout(30):
            await watch.listed()
            act()
            while not wanted(told, gaps):  # noqa: ASYNC110 - gaps come from threads
                await asyncio.sleep(0.02)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return told, gaps

    return asyncio.run(look())


DEEDS = ("scale", "rollout", "budget", "job", "custom-resource")


def served(api: FakeApi) -> None:
    api.put("/apis", {"groups": [{"name": "janitor.dgxc.nvidia.com", "preferredVersion": {"version": "v1alpha1"}}]})


def done(told: list[Event], *deeds: str) -> bool:
    return {one.payload.do for one in told if isinstance(one.payload, RemediationSeen)} >= set(deeds)


def test_what_others_do_to_workloads_jobs_and_their_own_resources_is_told(api: FakeApi, kubeconfig: Path) -> None:
    served(api)
    web = "/apis/apps/v1/namespaces/serving/deployments/web"
    api.put(web, {"spec": {"replicas": 2, "template": {"image": "a"}}})
    budget = "/apis/policy/v1/namespaces/serving/poddisruptionbudgets/web"
    api.put(budget, {"spec": {"minAvailable": 2}})
    api.put(f"{REBOOTS}/old", {"spec": {"nodeName": "worker-1"}})

    def act() -> None:
        api.change(web, lambda found: found["spec"].update(replicas=1), "robot")
        api.change(web, lambda found: found["spec"].update(template={"image": "b"}), "argocd-controller")
        api.change(budget, lambda found: found["spec"].update(minAvailable=0), "robot")
        api.put("/apis/batch/v1/namespaces/serving/jobs/repair", {"spec": {}}, "robot")
        api.put(f"{REBOOTS}/new", {"spec": {"nodeName": "worker-1"}}, "fault-remediation")
        api.put(f"{REBOOTS}/ours", {"spec": {"nodeName": "worker-1"}}, "tierdrill")

    told, gaps = seen(kubeconfig, act, lambda told, _: done(told, *DEEDS))
    found = {(said.do, said.object, said.actor) for one in told if isinstance(said := one.payload, RemediationSeen)}
    assert found == {
        ("scale", "web", "robot"),
        ("rollout", "web", "argocd-controller"),
        ("budget", "web", "robot"),
        ("job", "repair", "robot"),
        ("custom-resource", "new", "fault-remediation"),
    }
    [reboot] = [said for one in told if isinstance(said := one.payload, RemediationSeen) and said.kind == REBOOT]
    assert reboot.node == "node-1"
    assert not gaps


def test_events_about_what_the_drill_knows_are_kept_under_its_names(api: FakeApi, kubeconfig: Path) -> None:
    def put(namespace: str, name: str, kind: str, about: str) -> None:
        api.put(
            f"/api/v1/namespaces/{namespace}/events/{name}",
            {"involvedObject": {"kind": kind, "name": about}, "reason": name, "source": {"component": "kubelet"}},
        )

    put("serving", "before", "Pod", "assistant-7d4f-1")

    def act() -> None:
        put("serving", "foreign", "Pod", "something-else")
        put("default", "nodenotready", "Node", "worker-1")
        put("serving", "unhealthy", "Pod", "assistant-7d4f-1")

    told, _ = seen(kubeconfig, act, lambda told, _: len(told) >= 2)
    found = {(said.object, said.reason, said.by) for one in told if isinstance(said := one.payload, PlatformEvent)}
    assert found == {("node-1", "nodenotready", "kubelet"), ("assistant-1", "unhealthy", "kubelet")}


def test_what_may_not_be_watched_or_is_not_there_is_said(api: FakeApi, kubeconfig: Path) -> None:
    served(api)

    def forbidden(method: str, path: str, body: Any) -> None:
        if path.endswith(("/jobs", "/rebootnodes")):
            raise Refusal(403, "Forbidden", f"cannot list {path}")

    api.meddle = forbidden
    _, gaps = seen(kubeconfig, lambda: None, lambda _, gaps: len(gaps) >= 3, "NodeRepair.example.com")
    assert set(gaps) == {"watch:jobs", f"watch:{REBOOT}", "watch:NodeRepair.example.com"}


def test_it_needs_to_list_and_watch_and_nothing_else() -> None:
    needed = (*NEEDS, *looking_for([REBOOT]))
    assert {one.verb for one in needed} == {"list", "watch"}
    assert {(one.resource, one.scope) for one in needed} >= {("rebootnodes", "cluster"), ("events", "default")}
