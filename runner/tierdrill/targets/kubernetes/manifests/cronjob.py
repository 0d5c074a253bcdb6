"""Scheduled drills without a scheduler that stays up: a CronJob that runs what is due by the calendars, and ends.

The calendars' rules (windows, blackouts, gates, retries, missed slots) are kept by `tierdrill scheduler --once` in the
pod, from its home on a PersistentVolumeClaim; the CronJob only wakes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.home import checkout
from tierdrill.process.programs import Program
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.manifests.pod_runtime import NOBODY, PodRuntime, host_python
from tierdrill.targets.kubernetes.manifests.rbac import LABELS, RUNNER

Json = dict[str, Any]
NAME = "scheduled-drills"
CATALOGUE, HOME, TEMPORARY = "/catalogue", "/home/tierdrill", "/tmp"  # noqa: S108 - the pod's own, empty
CONFIG_MAP_BYTES = 1_000_000
"""etcd takes no object above 1.5 MiB by default, the API server no ConfigMap above 1 MiB."""
STOPS_WITHIN_S = 120
"""A drill that is told to stop undoes its faults first."""
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
RESOURCES = {"requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}


@dataclass(frozen=True)
class CronJobOptions:
    """It looks for what is due `every` so many minutes; `secrets` are names of Secrets with the folders that the
    documents expect them in; a `claim` for its home is made unless it is named. With `own_python` it runs this
    machine's Python, mounted into the image.
    """

    image: str
    every: int
    calendars: Sequence[str]
    claim: str | None = None
    secrets: Sequence[tuple[str, str]] = ()
    suspend: bool = False
    own_python: bool = False


def cronjob_objects(settings: KubernetesSettings, documents: Mapping[str, str], options: CronJobOptions) -> list[Json]:
    """The CronJob, a ConfigMap with the catalogue's documents (by their paths in it), and the claim for its home.

    TargetError where they cannot be carried over.
    """
    if settings.kubeconfig is not None:
        raise TargetError("kubernetes.kubeconfig names a file that a pod does not have: leave it out")
    if (size := sum(len(text.encode()) for text in documents.values())) > CONFIG_MAP_BYTES:
        raise TargetError(f"got {size} bytes of documents, expected at most {CONFIG_MAP_BYTES} for a ConfigMap")
    about = {"name": NAME, "namespace": settings.namespace, "labels": LABELS}
    data = {f"file-{number}": text for number, text in enumerate(documents.values())}
    data["kubeconfig"] = _kubeconfig(settings.context or "in-cluster")
    items = [{"key": f"file-{number}", "path": path} for number, path in enumerate(documents)]
    items.append({"key": "kubeconfig", "path": "kubeconfig"})
    found: list[Json] = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": data}]
    if options.claim is None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
        found.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": about, "spec": spec})
    job = {
        "backoffLimit": 0,
        "template": {"metadata": {"labels": LABELS}, "spec": _pod(settings, items, options)},
    }
    found.append(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": about,
            "spec": {
                "schedule": f"*/{options.every} * * * *",
                "concurrencyPolicy": "Forbid",
                "successfulJobsHistoryLimit": 1,
                "failedJobsHistoryLimit": 3,
                "suspend": options.suspend,
                "jobTemplate": {"metadata": {"labels": LABELS}, "spec": job},
            },
        }
    )
    return found


def _kubeconfig(context: str) -> str:
    """The context that the environment names, as the pod's own account."""
    return f"""\
apiVersion: v1
kind: Config
clusters:
- {{name: here, cluster: {{server: "https://kubernetes.default.svc", certificate-authority: {ACCOUNT}/ca.crt}}}}
users: [{{name: here, user: {{tokenFile: {ACCOUNT}/token}}}}]
contexts: [{{name: "{context}", context: {{cluster: here, user: here}}}}]
current-context: "{context}"
"""


def _pod(settings: KubernetesSettings, items: Iterable[Json], options: CronJobOptions) -> Json:
    # In a checkout the agent's program is beside the package.
    whole = [root] if (root := checkout()) is not None else []
    runtime = host_python(options.image, whole) if options.own_python else PodRuntime(options.image)
    chosen = [word for name in options.calendars for word in ("--calendar", name)]
    argv = ["--home", HOME, "--catalogue", CATALOGUE, "--no-color", "scheduler", "--once", "--json", *chosen]
    volumes = [
        *runtime.volumes(),
        {"name": "catalogue", "configMap": {"name": NAME, "items": list(items)}},
        {"name": "home", "persistentVolumeClaim": {"claimName": options.claim or NAME}},
        {"name": "temporary", "emptyDir": {}},
        *({"name": f"secret-{number}", "secret": {"secretName": name}}
          for number, (name, _) in enumerate(options.secrets)),
    ]  # fmt: skip
    mounts = [
        {"name": "catalogue", "mountPath": CATALOGUE, "readOnly": True},
        {"name": "home", "mountPath": HOME},
        {"name": "temporary", "mountPath": TEMPORARY},
        *({"name": f"secret-{number}", "mountPath": path, "readOnly": True}
          for number, (_, path) in enumerate(options.secrets)),
    ]  # fmt: skip
    container = runtime.container(
        "scheduler",
        [*runtime.command(Program.TIERDRILL), *argv],
        env=[{"name": "KUBECONFIG", "value": f"{CATALOGUE}/kubeconfig"}, {"name": "HOME", "value": HOME}],
        resources=RESOURCES,
        volumeMounts=mounts,
    )
    return {
        "serviceAccountName": RUNNER,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": STOPS_WITHIN_S,
        "securityContext": {"fsGroup": NOBODY},
        "containers": [container],
        "volumes": volumes,
    }
