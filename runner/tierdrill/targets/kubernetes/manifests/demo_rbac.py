"""Accounts of the demo's programs, each with the right to read what it watches, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from tierdrill.targets.kubernetes.manifests.demo_plan import Json, Part, metadata

READ = ["get", "list", "watch"]
_GROUP = "rbac.authorization.k8s.io"
_API = f"{_GROUP}/v1"


def pod_reader(part: Part, namespaces: Iterable[str]) -> list[Json]:
    """The part's account, and a Role in each namespace by which it reads the pods there."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(part.name, part.namespace, part.labels),
        "automountServiceAccountToken": False,
    }
    found = [account]
    for namespace in namespaces:
        about = metadata(f"{part.name}-reads-pods", namespace, part.labels)
        found += [
            {"apiVersion": _API, "kind": "Role", "metadata": about, "rules": _rules("pods")},
            {"apiVersion": _API, "kind": "RoleBinding", "metadata": about, **_bound(part, "Role", about["name"])},
        ]
    return found


def cluster_reader(part: Part, name: str, resource: str) -> list[Json]:
    """For what belongs to no namespace."""
    about = metadata(name, None, part.labels)
    return [
        {"apiVersion": _API, "kind": "ClusterRole", "metadata": about, "rules": _rules(resource)},
        {"apiVersion": _API, "kind": "ClusterRoleBinding", "metadata": about, **_bound(part, "ClusterRole", name)},
    ]


def _rules(resource: str) -> list[Json]:
    return [{"apiGroups": [""], "resources": [resource], "verbs": READ}]


def _bound(part: Part, kind: str, role: str) -> Json:
    return {
        "roleRef": {"apiGroup": _GROUP, "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": part.name, "namespace": part.namespace}],
    }
