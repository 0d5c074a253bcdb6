"""Pods of the demo and what keeps them: Deployments, DaemonSets, Services, disruption budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tierdrill.targets.kubernetes.manifests.demo_plan import SYSTEM_STAYS_S, DemoPlan, Json, Part, metadata
from tierdrill.targets.kubernetes.manifests.pod_runtime import PodRuntime

CONFIG, SECRET = "/etc/tierdrill/config", "/etc/tierdrill/secret"
GRACE_S = 3
FROM_FIELD = {"POD_NAME": "metadata.name", "NODE_NAME": "spec.nodeName"}


def env(*names: str) -> list[Json]:
    """What a pod knows of itself, as variables; and where Python must not write."""
    told = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": FROM_FIELD[name]}}} for name in names]
    return [*told, {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}]


def config_volumes(config: str, secret: str | None) -> list[Json]:
    secrets = [] if secret is None else [{"name": "secret", "secret": {"secretName": secret, "defaultMode": 0o444}}]
    return [{"name": "config", "configMap": {"name": config}}, *secrets]


def config_mounts(secret: str | None) -> list[Json]:
    secrets = [] if secret is None else [{"name": "secret", "mountPath": SECRET, "readOnly": True}]
    return [{"name": "config", "mountPath": CONFIG, "readOnly": True}, *secrets]


def probes(path: str | None, *, ready_s: int, alive: str | None = None, port: str = "http") -> Json:
    """Readiness every `ready_s`, twice missed; liveness slowly: a hang is for the playbook of the drill to end. Without
    a path (it asks for a password) the port must be open.
    """

    def asked(where: str | None) -> Json:
        return {"tcpSocket": {"port": port}} if where is None else {"httpGet": {"path": where, "port": port}}

    return {
        "readinessProbe": {**asked(path), "periodSeconds": ready_s, "timeoutSeconds": 1, "failureThreshold": 2},
        "livenessProbe": {
            **asked(alive or path),
            "initialDelaySeconds": 10,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
    }


def pod(
    plan: DemoPlan,
    part: Part,
    runtime: PodRuntime,
    container: Json,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    volumes: Sequence[Json] = (),
    account: str | None = None,
    priority_class: str | None = None,
    spread: Mapping[str, str] | None = None,
    system: bool = True,
    **more: Any,
) -> Json:
    """A pod template. Only one with an account of its own gets a token; `spread` are the labels of those that should
    not share a node with it; `system` pods run where the plan has everything but replicas.
    """
    where = {plan.system_nodes[0]: plan.system_nodes[1]} if system and plan.system_nodes else None
    return {
        "metadata": {"labels": {**part.labels, **(labels or {})}, "annotations": dict(annotations or {})},
        "spec": {
            **({"serviceAccountName": account} if account else {}),
            "automountServiceAccountToken": account is not None,
            "enableServiceLinks": False,
            **({"dnsPolicy": "Default"} if plan.services else {}),
            "terminationGracePeriodSeconds": GRACE_S,
            "priorityClassName": priority_class or plan.priority_class(None),
            "tolerations": [
                {
                    "key": f"node.kubernetes.io/{key}",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": SYSTEM_STAYS_S if system else round(plan.config.eviction_after_s),
                }
                for key in ("unreachable", "not-ready")
            ],
            **({"nodeSelector": where} if where else {}),
            **({"topologySpreadConstraints": [_spread(spread)]} if spread else {}),
            "containers": [container],
            "volumes": [*runtime.volumes(), *volumes],
            **more,
        },
    }


def _spread(labels: Mapping[str, str]) -> Json:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(labels)},
    }


def deployment(
    name: str, part: Part, replicas: int, template: Json, *, selector: Mapping[str, str], surge: int
) -> Json:
    """`surge` pods more than wanted may be there during an update; with 0 one is taken away first, as where each needs
    a GPU.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name, part.namespace, template["metadata"]["labels"]),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": dict(selector)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0 if surge else 1},
            },
            "template": template,
        },
    }


def daemon_set(part: Part, template: Json) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(part.name, part.namespace, part.labels),
        "spec": {"selector": {"matchLabels": part.labels}, "template": template},
    }


def service(plan: DemoPlan, part: Part) -> Json:
    opened = plan.node_ports and part.node_port is not None
    ip = plan.cluster_ip(part)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(part.name, part.namespace, part.labels),
        "spec": {
            "type": "NodePort" if opened else "ClusterIP",
            **({"clusterIP": ip} if ip else {}),
            "selector": part.labels,
            "ports": [
                {
                    "name": "http",
                    "port": part.port,
                    "targetPort": "http",
                    **({"nodePort": part.node_port} if opened else {}),
                }
            ],
        },
    }


def disruption_budget(name: str, part: Part, selector: Mapping[str, str]) -> Json:
    """One at a time, whatever their number: a budget that allows none stops every drain. One that is not ready anyway
    may always go, else a model's only replica would keep a node with a broken GPU from being drained.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name, part.namespace, selector),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": dict(selector)},
        },
    }


def config_map(part: Part, name: str, files: Mapping[str, str]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(name, part.namespace, part.labels),
        "data": dict(files),
    }


def secret(part: Part, name: str, files: Mapping[str, str]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(name, part.namespace, part.labels),
        "type": "Opaque",
        "stringData": dict(files),
    }
