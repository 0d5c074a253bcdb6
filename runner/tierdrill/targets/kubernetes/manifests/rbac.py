"""The roles that drills in a cluster need, and no more, as objects for `kubectl apply`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.targets.kubernetes.permissions import Permission

Json = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
RUNNER, WARDEN = "runner", "warden"
LABELS = {"app.kubernetes.io/name": "tierdrill"}
POD_SECURITY = "pod-security.kubernetes.io/enforce"


def role_objects(
    settings: KubernetesSettings,
    needed: Sequence[Permission],
    subjects: Sequence[tuple[str, str]] = (),
    nodes: Iterable[str] | None = None,
) -> list[Json]:
    """Our namespace, two service accounts, and what each may do where.

    `subjects` (User or Group, name) may do what the runner may. `nodes` are the only ones that may be changed; None
    leaves that to their labels, which RBAC cannot see.
    """
    images = (settings.image, settings.load.image if settings.load is not None else None)
    hosts = any(image is not None and image.host_paths for image in images)
    level = "privileged" if settings.agent == "per-run" or hosts else "restricted"
    own = settings.namespace
    about = {"name": own, "labels": {**LABELS, POD_SECURITY: level}}
    found: list[Json] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": about}]
    for account in (RUNNER, WARDEN):
        mine = {"name": account, "namespace": own, "labels": LABELS}
        found.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": mine})
    people = [{"apiGroup": GROUP, "kind": kind, "name": name} for kind, name in subjects]
    for account, permissions in ((RUNNER, needed), (WARDEN, [one for one in needed if one.undo])):
        who = [{"kind": "ServiceAccount", "name": account, "namespace": own}]
        who += people if account == RUNNER else []
        for namespace, rules in sorted(_rules(settings, permissions, nodes).items()):
            found += _role(f"{own}-{account}", namespace or None, rules, who)
    return found


def admission_objects(settings: KubernetesSettings) -> list[Json]:
    """A policy by which the API server itself holds our accounts to what has opted in, whatever their roles say.

    Policies themselves are subject to none: of those, the roles alone decide.
    """
    own, name = settings.namespace, f"{settings.namespace}-opted-in-only"
    accounts = [f"system:serviceaccount:{own}:{account}" for account in (RUNNER, WARDEN)]
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": ["*"],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"],
                    "resources": ["*/*"],
                }
            ]
        },
        "matchConditions": [
            {"name": "tierdrill", "expression": f"request.userInfo.username in {_cel_list(accounts)}"},
            {"name": "no-review", "expression": "request.resource.group != 'authorization.k8s.io'"},
            {"name": "elsewhere", "expression": f"!has(request.namespace) || request.namespace != '{own}'"},
        ],
        "validations": [
            {
                "expression": f"!has(request.namespace) || {_has('namespaceObject', settings.opt_in)}",
                "message": "the namespace has not opted in to drills",
            },
            {
                "expression": f"has(request.namespace) || (oldObject != null && {_has('oldObject', settings.opt_in)})",
                "message": "the object has not opted in to drills",
            },
        ],
    }
    binding = {"policyName": name, "validationActions": ["Deny"]}
    api = "admissionregistration.k8s.io/v1"
    about = {"name": name, "labels": LABELS}
    return [
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": about, "spec": spec},
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": about, "spec": binding},
    ]


def _has(what: str, labels: Mapping[str, str]) -> str:
    there = [f"'{key}' in {what}.metadata.labels && {what}.metadata.labels['{key}'] == '{value}'"
             for key, value in sorted(labels.items())]  # fmt: skip
    return f"(has({what}.metadata.labels) && {' && '.join(there)})"


def _cel_list(words: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{word}'" for word in words) + "]"


def _rules(
    settings: KubernetesSettings, permissions: Iterable[Permission], nodes: Iterable[str] | None
) -> dict[str, list[Json]]:
    """The rules by namespace ("" is the whole cluster): one for each resource, with all of its verbs."""
    verbs: dict[str, dict[tuple[str, str, tuple[str, ...]], set[str]]] = defaultdict(lambda: defaultdict(set))
    for one in permissions:
        resource = f"{one.resource}/{one.subresource}" if one.subresource else one.resource
        names = tuple(sorted(nodes)) if one.changes_nodes and nodes is not None else one.names
        for namespace in one.namespaces(settings):
            verbs[namespace or ""][one.group, resource, names].add(one.verb)
    return {
        namespace: [
            {
                "apiGroups": [group],
                "resources": [resource],
                "verbs": sorted(said),
                **({"resourceNames": list(names)} if names else {}),
            }
            for (group, resource, names), said in sorted(of.items())
        ]
        for namespace, of in verbs.items()
    }


def _role(name: str, namespace: str | None, rules: list[Json], subjects: list[Json]) -> list[Json]:
    kind = "Role" if namespace is not None else "ClusterRole"
    about = {"name": name, **({"namespace": namespace} if namespace is not None else {}), "labels": LABELS}
    reference = {"apiGroup": GROUP, "kind": kind, "name": name}
    return [
        {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": about, "rules": rules},
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": f"{kind}Binding",
            "metadata": about,
            "roleRef": reference,
            "subjects": subjects,
        },
    ]
