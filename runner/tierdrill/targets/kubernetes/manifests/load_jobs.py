"""Load from inside the cluster: a Job with locust's master, and one with its workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tierdrill.documents.models.kubernetes import LoadJobs
from tierdrill.process.programs import Program
from tierdrill.targets.kubernetes.manifests.pod_runtime import NOBODY, PodRuntime
from tierdrill.targets.kubernetes.manifests.warden_job import off_nodes
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.warden_program import PART_LABEL

Json = dict[str, Any]
MASTER, WORKER = "load-master", "load-worker"
CONTAINER = "load"
NEEDS = (
    *may("jobs", "create", "list", "delete", group="batch", scope="own"),
    *may("pods", "list", "delete", scope="own"),
    *may("pods", "get", "create", subresource="exec", scope="own"),
)
RESOURCES = {"requests": {"cpu": "100m", "memory": "96Mi"}, "limits": {"memory": "1Gi"}}
GRACE_S = 2


def runtime_of(told: LoadJobs) -> PodRuntime:
    image = told.image
    return PodRuntime(image.name, image.python, 0 if image.host_paths else NOBODY, image.host_paths)


def load_jobs(
    told: LoadJobs, run: str, labels: dict[str, str], owner: Json, avoid: Iterable[str], deadline_s: float
) -> list[Json]:
    """Both Jobs, owned by the run's ConfigMap (`owner` as an ownerReference), named for `run`. Their pods keep off the
    nodes of these names, wait to be told what to do, and end with the deadline.
    """
    nodes = sorted(avoid)
    runtime = runtime_of(told)
    container = runtime.container(
        CONTAINER,
        [*runtime.command(Program.LOAD_POD), "wait"],
        imagePullPolicy=told.image.pull_policy,
        resources=RESOURCES,
        volumeMounts=[{"name": "temporary", "mountPath": "/tmp"}],  # noqa: S108 - the pod's own, empty
    )
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_S,
        **off_nodes(nodes),
        "imagePullSecrets": [{"name": one} for one in told.image.pull_secrets],
        "containers": [container],
        "volumes": [*runtime.volumes(), {"name": "temporary", "emptyDir": {"medium": "Memory"}}],
    }
    found = []
    for part, count in ((MASTER, 1), (WORKER, told.workers)):
        mine = {**labels, PART_LABEL: part}
        spec = {
            "parallelism": count,
            "completions": count,
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(deadline_s),
            "template": {"metadata": {"labels": mine}, "spec": pod},
        }
        about = {"name": f"{part}-{run}"[:63], "labels": mine, "ownerReferences": [owner]}
        found.append({"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": spec})
    return found
