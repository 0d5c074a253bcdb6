"""Everything that drills in a cluster need to be allowed: for reading, for what is tierdrill's own, for faults and
remedies. Roles, checks and plans are made from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.targets.base import SABOTAGE
from tierdrill.targets.kubernetes import actor_watch, gateway_admin, lease, ledger_map, remedy_port, sabotage_fault
from tierdrill.targets.kubernetes.actor_watch import looking_for
from tierdrill.targets.kubernetes.connect import Cluster, path_of
from tierdrill.targets.kubernetes.fault_port import faults_of
from tierdrill.targets.kubernetes.manifests import load_jobs, warden_job
from tierdrill.targets.kubernetes.permissions import Permission, may, merged, reading
from tierdrill.targets.kubernetes.records import node_of

WATCHING = (*may("nodes", "watch"), *may("pods", "get", "watch", scope="drilled"))
OF_EVERY_RUN = (*WATCHING, *actor_watch.NEEDS, *lease.NEEDS, *ledger_map.NEEDS, *warden_job.NEEDS, *remedy_port.NEEDS)


def needed(
    settings: KubernetesSettings, kinds: Iterable[str] | None = None, custom_resources: Iterable[str] = ()
) -> tuple[Permission, ...]:
    """What drills with these kinds of fault need, whose playbooks are seen by these custom resources (KIND.GROUP).

    None: what `check` and plans need, which change nothing.
    """
    if kinds is None:
        return merged(reading(settings))
    known = {**faults_of(settings), SABOTAGE: sabotage_fault.FAULT}
    faults = (one for kind in kinds if kind in known for one in known[kind].needs)
    told = settings.gateways is not None and settings.gateways.admin is not None
    gateways = gateway_admin.NEEDS if told else ()
    jobs = load_jobs.NEEDS if settings.load is not None else ()
    return merged((*reading(settings), *OF_EVERY_RUN, *jobs, *gateways, *faults, *looking_for(custom_resources)))


def denied(cluster: Cluster, settings: KubernetesSettings, permissions: Iterable[Permission]) -> tuple[str, ...]:
    """Those that we have not, in words. A namespace's rules are read at once; what they do not tell is asked singly."""
    found = []
    rules: dict[str, list[dict[str, Any]]] = {}
    for permission in merged(permissions):
        for namespace in permission.namespaces(settings):
            if namespace is not None and namespace not in rules:
                rules[namespace] = cluster.rules(namespace)
            if namespace is not None and any(_covers(rule, permission) for rule in rules[namespace]):
                continue
            for name in _asked_of(cluster, settings, permission):
                if not cluster.can(permission, namespace, name)[0]:
                    of = f" {name}" if name else ""
                    where = f" in namespace {namespace}" if namespace is not None else ""
                    found.append(f"{permission}{of}{where}")
    return tuple(found)


def _asked_of(cluster: Cluster, settings: KubernetesSettings, permission: Permission) -> tuple[str, ...]:
    """The names that it is needed for: a role for what changes nodes names those that have opted in."""
    if permission.names or not permission.changes_nodes or cluster.can(permission)[0]:
        return permission.names or ("",)
    there = cluster.records(path_of("nodes"), node_of)
    return tuple(node.name for node in there if settings.opted_in(node.labels)) or ("",)


def _covers(rule: Mapping[str, Any], permission: Permission) -> bool:
    """Whether a rule allows it on every object."""
    resource = f"{permission.resource}/{permission.subresource}" if permission.subresource else permission.resource
    asked = (("verbs", permission.verb), ("apiGroups", permission.group), ("resources", resource))
    return not rule.get("resourceNames") and all({word, "*"} & set(rule.get(part) or ()) for part, word in asked)
