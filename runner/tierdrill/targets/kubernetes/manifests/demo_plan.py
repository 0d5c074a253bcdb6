"""What the demo on a cluster consists of, before it becomes objects: names, ports, addresses, labels, secrets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from tierdrill.lab.feed.pod_view import PART, PLATFORM, REPLICA
from tierdrill.lab.lab_config import LOOPBACK, LabConfig, ModelConfig
from tierdrill.monitoring.monitoring_login import Login, lab_login
from tierdrill.targets.kubernetes.manifests.pod_runtime import PodRuntime

Json = dict[str, Any]

SERVING, MONITORING = "serving", "monitoring"
NAME = "tierdrill-demo"
PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
"""Whoever reaches a gateway from these is inside: a gateway's Service is not open to others."""

SYSTEM_STAYS_S = 2
"""How long what all tiers need stays bound to a node that is lost, in seconds. Replicas stay as long as the environment
says, by default Kubernetes' 5 minutes: to move them sooner is a playbook's job.
"""


GPU_FOLDER = {"path": "/run/tierdrill/gpus", "type": "DirectoryOrCreate"}
GPU_STATE = "/var/lib/tierdrill"


@dataclass(frozen=True)
class Part:
    """A program of the demo: its namespace, its port, and the one on every node where it has one."""

    name: str
    namespace: str
    port: int
    node_port: int | None = None

    @property
    def labels(self) -> dict[str, str]:
        return {PLATFORM: NAME, PART: self.name}


GATEWAY = Part("gateway", SERVING, 8080, 30080)
CONTROLLER = Part("controller", SERVING, 8080)
PROMETHEUS = Part("prometheus", MONITORING, 9090, 30090)
ALERTMANAGER = Part("alertmanager", MONITORING, 9093, 30093)
REPLICAS = Part(REPLICA, SERVING, 8000)
GPU_EXPORTER = Part("gpu-exporter", MONITORING, 9400)
SERVICES = (GATEWAY, CONTROLLER, PROMETHEUS, ALERTMANAGER)
"""Those that are reached by an address of their own, in the order of those addresses."""


@dataclass(frozen=True)
class DemoPlan:
    """The platform, and how it is put on a cluster.

    `services` gives the Services fixed addresses, for a cluster without DNS; `node_ports` opens those of every node;
    `system_nodes` (a label and its value) is where everything but the replicas runs; `gpus` of a node are emulated.
    """

    config: LabConfig
    runtime: PodRuntime
    prometheus: PodRuntime
    alertmanager: PodRuntime
    token: str
    gateways: int
    gpus: int
    gpu_memory_gib: float
    gpu_model: str
    services: IPv4Network | None = None
    node_ports: bool = False
    system_nodes: tuple[str, str] | None = None

    @property
    def gpu_state(self) -> Json | None:
        """The volume in which a node's exporter and its replicas share the state of its emulated GPUs: a folder of the
        node, which pods that are held to a security standard may not have.
        """
        return None if self.runtime.restricted() else {"name": "gpus", "hostPath": GPU_FOLDER}

    @property
    def login(self) -> Login:
        """In front of Prometheus and Alertmanager."""
        return lab_login(self.token)

    @property
    def trusted_callers(self) -> tuple[str, ...]:
        """Those that the environment names; where it leaves it at loopback, which is the pod itself, the cluster."""
        named = tuple(self.config.trusted_callers)
        return named if named != LOOPBACK else (*LOOPBACK, *PRIVATE_NETWORKS)

    def address(self, part: Part) -> str:
        """host:port of a part's Service."""
        ip = self.cluster_ip(part)
        return f"{ip or f'{part.name}.{part.namespace}.svc'}:{part.port}"

    def cluster_ip(self, part: Part) -> str | None:
        return None if self.services is None else str(self.services[1 + SERVICES.index(part)])

    def priority_class(self, tier: str | None) -> str:
        """Of a tier; without one, of what serves all of them."""
        return f"{NAME}-{tier}" if tier else NAME

    def rank(self, model: ModelConfig) -> int:
        return self.config.tier(model.tier).rank


def metadata(name: str, namespace: str | None, labels: Mapping[str, str]) -> Json:
    return {"name": name, **({"namespace": namespace} if namespace else {}), "labels": dict(labels)}


def digest(*parts: object) -> Json:
    """An annotation that changes with what a program reads at its start only, so that a change of it starts it anew."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return {"tierdrill.io/configuration": hashlib.sha256(text.encode()).hexdigest()[:16]}
