"""The warden of one run: a Job, so that another pod takes over where its node is lost or drained."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tierdrill.documents.models.kubernetes import PodImage
from tierdrill.targets.kubernetes.kubernetes_fault import TAINT
from tierdrill.targets.kubernetes.manifests.pod_runtime import NOBODY, PodRuntime
from tierdrill.targets.kubernetes.manifests.rbac import WARDEN
from tierdrill.targets.kubernetes.permissions import may

NEEDS = (
    *may("jobs", "create", group="batch", scope="own"),
    *may("jobs", "list", "delete", group="batch", scope="own", undo=True),
    *may("pods", "list", "delete", scope="own", undo=True),
)
PROGRAM_FOLDER = "/program"
TOLERATION_S = 5
RESOURCES = {"requests": {"cpu": "100m", "memory": "24Mi"}, "limits": {"memory": "64Mi"}}
"""It has to act in time on a node that is busy, too."""
Json = dict[str, Any]


def off_nodes(names: Iterable[str]) -> Json:
    """What keeps a pod off the nodes of these names, as a part of its spec."""
    values = sorted(names)
    term = {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": [one]} for one in values]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    return {"affinity": affinity} if values else {}


def warden_job(
    image: PodImage,
    name: str,
    labels: dict[str, str],
    owner: Json,
    program: str,
    config: Json,
    avoid: Iterable[str],
    deadline_s: float,
) -> Json:
    """The Job, owned by the run's ConfigMap (`owner` as an ownerReference), which has the program under that key. It
    keeps off the nodes of these names, where the drill's faults will be.
    """
    runtime = PodRuntime(image.name, image.python, 0 if image.host_paths else NOBODY, image.host_paths)
    container = runtime.container(
        "warden",
        [image.python, f"{PROGRAM_FOLDER}/{program}"],
        imagePullPolicy=image.pull_policy,
        env=[{"name": "WARDEN", "value": json.dumps(config, sort_keys=True)}],
        resources=RESOURCES,
        volumeMounts=[{"name": "program", "mountPath": PROGRAM_FOLDER, "readOnly": True}],
    )
    lost = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    pod = {
        "serviceAccountName": WARDEN,
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": 2,
        **off_nodes(avoid),
        "tolerations": [
            *(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_S}
                for key in lost
            ),
            # A drill's own taint: the one who is to take it away must not be driven off by it.
            {"key": TAINT, "operator": "Exists"},
        ],
        "imagePullSecrets": [{"name": one} for one in image.pull_secrets],
        "containers": [container],
        "volumes": [
            *runtime.volumes(),
            {"name": "program", "configMap": {"name": owner["name"], "items": [{"key": program, "path": program}]}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "backoffLimit": 1000,
            "activeDeadlineSeconds": int(deadline_s),
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
