"""Two tiers on the cluster of the tests, and a place that faults are injected into as the runner's own account."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from tests.cluster.api_witness import ApiWitness, pod_ready
from tests.cluster.pod_image import pod_image
from tests.kubernetes_api import workloads_of
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.faults.known_kinds import KINDS
from tierdrill.targets.kubernetes.drill_permissions import needed
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.manifests.rbac import role_objects

ALLOWED = {"tierdrill.io/drills": "allowed"}
TIERS = {"critical": 3, "best-effort": 2}
MODELS = {"critical": "assistant", "best-effort": "batch"}
GATEWAY = "gateway"
CREATED = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


@dataclass(frozen=True)
class Drilled:
    """`namespace` has the tiers' pods, `own` is tierdrill's; `place` is reached as the runner's account."""

    api: ApiWitness
    namespace: str
    own: str
    place: dict[str, Any]

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    def port(self) -> KubernetesPort:
        """The cluster with each name standing for what has it now."""
        return KubernetesPort({**self.place, "names": self.names()})

    def names(self) -> dict[str, dict[str, str]]:
        """All nodes, the ready pods of each model, and the gateway's."""
        names = node_names(self.api)
        for tier, model in MODELS.items():
            found = self.api.get(self.pods, labelSelector=f"tier={tier}")["items"]
            ready = sorted((one for one in found if pod_ready(one)), key=lambda one: str(one["metadata"]["name"]))
            names |= {f"{model}-{number}": ref("Pod", one) for number, one in enumerate(ready)}
        for one in filter(pod_ready, self.api.get(self.pods, labelSelector=f"app={GATEWAY}")["items"]):
            names["gateway-a"] = ref("Pod", one)
        return names

    def settled(self) -> None:
        """Every tier, and the gateway, has as many ready pods as it should, and no others."""
        for labels, wanted in [*((f"tier={tier}", wanted) for tier, wanted in TIERS.items()), (f"app={GATEWAY}", 1)]:
            self.api.wait(
                self.pods,
                lambda pods, wanted=wanted: len(pods) == wanted and all(map(pod_ready, pods.values())),  # type: ignore[misc]
                labelSelector=labels,
            )


def drilled_nodes(api: ApiWitness) -> list[str]:
    """The nodes that have opted in, in the order of their names."""
    found = api.get("/api/v1/nodes")["items"]
    return sorted(one["metadata"]["name"] for one in found if ALLOWED.items() <= one["metadata"]["labels"].items())


def node_names(api: ApiWitness) -> dict[str, dict[str, str]]:
    """All nodes by their names, and those that have opted in as node-1 and so on, whatever they are called."""
    names = {one["metadata"]["name"]: ref("Node", one) for one in api.get("/api/v1/nodes")["items"]}
    return names | {f"node-{number}": names[name] for number, name in enumerate(drilled_nodes(api), 1)}


def ref(kind: str, raw: dict[str, Any]) -> dict[str, str]:
    """The object as a name stands for it."""
    meta = raw["metadata"]
    return {"kind": kind, "namespace": meta.get("namespace", ""), "name": meta["name"], "uid": meta["uid"]}


@contextmanager
def two_tiers(api: ApiWitness, kubeconfig: Path, folder: Path) -> Iterator[Drilled]:
    """The tiers, in namespaces of their own that are deleted with them."""
    mark = secrets.token_hex(3)
    namespace, own = f"served-{mark}", f"tierdrill-{mark}"
    settings = KubernetesSettings.model_validate(
        {
            "namespace": own,
            "image": pod_image().settings,
            "tiers": {tier: {"namespaces": [namespace], "selector": f"tier={tier}"} for tier in TIERS},
            "gateways": {"namespaces": [namespace], "selector": f"app={GATEWAY}"},
        }
    )
    made = [f"/api/v1/namespaces/{namespace}", f"/api/v1/namespaces/{own}"]
    try:
        api.send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace, "labels": ALLOWED}})
        for tier, (priority, replicas) in zip(TIERS, ((100_000, 3), (1000, 2)), strict=True):
            name = f"{tier}-{mark}"
            classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
            api.send("POST", classes, {"metadata": {"name": name}, "value": priority})
            made.append(f"{classes}/{name}")
            one = deployment(MODELS[tier], {"tier": tier}, replicas, name)
            api.send("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", one)
        one = deployment(GATEWAY, {"app": GATEWAY}, 1, name)
        api.send("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", one)
        for one in role_objects(settings, needed(settings, KINDS)):
            path = CREATED[one["kind"]].format(one["metadata"].get("namespace", ""))
            with contextlib.suppress(client.ApiException):
                api.send("POST", path, one)
            if one["metadata"].get("namespace", one["metadata"]["name"]) not in (namespace, own):
                made.append(f"{path}/{one['metadata']['name']}")
        place = {
            "target": "kubernetes",
            "environment": "rig",
            "kubeconfig": str(as_runner(api, kubeconfig, own, folder)),
            "context": None,
            "cluster": api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"],
            "namespace": own,
            "settings": settings.model_dump(mode="json", exclude_defaults=True),
            "ranks": {"critical": 1, "best-effort": 3},
            "workloads": workloads_of({model: tier for tier, model in MODELS.items()}),
            "names": {},
        }
        found = Drilled(api, namespace, own, place)
        found.settled()
        yield found
    finally:
        for path in made:
            with contextlib.suppress(client.ApiException):
                api.send("DELETE", path)


def deployment(name: str, labels: dict[str, str], replicas: int, priority_class: str) -> dict[str, Any]:
    """Pods that take connections, spread over the nodes that have opted in, which end at once."""
    image = pod_image()
    container = {
        "name": "server",
        **image.container,
        "command": ["sh", "-c", f"trap exit TERM; {image.serve} & while :; do sleep 0.1; done"],
        "ports": [{"containerPort": 8080}],
    }
    lost = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    pod = {
        "priorityClassName": priority_class,
        "nodeSelector": ALLOWED,
        "terminationGracePeriodSeconds": 2,
        "automountServiceAccountToken": False,
        "containers": [container],
        "tolerations": [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2} for key in lost
        ],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
        ],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def as_runner(api: ApiWitness, kubeconfig: Path, own: str, folder: Path) -> Path:
    """A kubeconfig by which the cluster is reached as the runner's service account."""
    asked = {"spec": {"expirationSeconds": 3600}}
    path = f"/api/v1/namespaces/{own}/serviceaccounts/runner/token"
    token = api.send("POST", path, asked)["status"]["token"]
    told = yaml.safe_load(kubeconfig.read_text())
    cluster = told["clusters"][0]["cluster"]
    if "certificate-authority" in cluster:
        data = (kubeconfig.parent / cluster.pop("certificate-authority")).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(data).decode()
    told["users"] = [{"name": told["contexts"][0]["context"]["user"], "user": {"token": token}}]
    found = folder / "runner.kubeconfig"
    found.write_text(json.dumps(told))
    return found
