"""The lab's tiered deployment as Kubernetes objects: its own gateways and replicas, on a cluster's scheduler.

What the lab's controller does there is Kubernetes' own work here; the feed tells gateways and Prometheus of it. Tiers
become PriorityClasses, quotas and disruption budgets; the rules, and so the alerts, are the lab's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.kubernetes import OPT_IN
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.lab.feed.pod_view import GPU, MODEL, PLATFORM
from tierdrill.lab.lab_config import LabConfigError, ModelConfig
from tierdrill.lab.lab_plan import lab_config
from tierdrill.monitoring.alertmanager_config import alertmanager_config
from tierdrill.monitoring.binaries import MonitoringUnavailable, require
from tierdrill.monitoring.prometheus_rules import prometheus_rules
from tierdrill.process.programs import Program
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.manifests.demo_monitoring import monitoring
from tierdrill.targets.kubernetes.manifests.demo_plan import (
    CONTROLLER,
    GATEWAY,
    GPU_STATE,
    MONITORING,
    NAME,
    REPLICAS,
    SERVICES,
    SERVING,
    DemoPlan,
    Json,
    digest,
    metadata,
)
from tierdrill.targets.kubernetes.manifests.demo_pods import (
    CONFIG,
    SECRET,
    config_map,
    config_mounts,
    config_volumes,
    deployment,
    disruption_budget,
    env,
    pod,
    probes,
    secret,
    service,
)
from tierdrill.targets.kubernetes.manifests.demo_rbac import cluster_reader, pod_reader
from tierdrill.targets.kubernetes.manifests.pod_runtime import PodRuntime, host_python
from tierdrill.tier_policy.priority_export import kubernetes_priority as priority

TOKEN = "platform-token"  # noqa: S105 - its name
PROMETHEUS_IMAGE, ALERTMANAGER_IMAGE = "prom/prometheus:v3.5.0", "prom/alertmanager:v0.28.1"
NODE_GRACE_S = 50.0
"""After so many seconds without a word from a node Kubernetes calls it not ready, if nothing else is set."""

MOVED = 2
"""A replica that moves away from a lost node counts twice against its quota until the old one is given up."""


def manifests(plan: DemoPlan) -> list[Json]:
    """Every object, in an order in which each finds what it needs."""
    return [
        *_namespaces(plan),
        *_priorities(plan),
        *_quotas(plan),
        secret(GATEWAY, TOKEN, {"token.json": json.dumps({"token": plan.token})}),
        *(service(plan, part) for part in SERVICES),
        *_controller(plan),
        *_gateways(plan),
        *(each for model in plan.config.models for each in _replicas(plan, model)),
        *monitoring(plan),
    ]


@dataclass(frozen=True)
class DemoOptions:
    """What is asked for on the command line: images, `host_python` instead of them, and how the cluster is."""

    image: str
    prometheus_image: str = PROMETHEUS_IMAGE
    alertmanager_image: str = ALERTMANAGER_IMAGE
    host_python: bool = False
    node_ports: bool = False
    services: IPv4Network | None = None
    system_nodes: tuple[str, str] | None = None
    node_grace_s: float = NODE_GRACE_S
    replicas: Mapping[str, int] = field(default_factory=dict)
    gpus: int | None = None


def plan_of(
    environment: Environment, tiers: Tiers, workloads: Workloads, tools: Path, token: str, options: DemoOptions
) -> DemoPlan:
    """The plan of an environment's platform. TargetError where its parts do not fit together, or where this machine's
    programs are asked for and not there.
    """
    shape = environment.lab
    patient = shape.model_copy(update={"node_grace": options.node_grace_s})
    if unknown := sorted(set(options.replicas) - {model.name for model in workloads.models}):
        names = ", ".join(model.name for model in workloads.models)
        raise TargetError(f"--replicas: got model {unknown[0]!r}, expected one of: {names}")
    for taken in {GATEWAY.name, CONTROLLER.name} & {model.name for model in workloads.models}:
        raise TargetError(f"model {taken}: got a name that a program of the demo has, expected another")
    try:
        found = require(tools) if options.host_python else None
        config = lab_config(
            NAME,
            environment,
            tiers,
            workloads,
            prometheus=found.prometheus if found else None,
            alertmanager=found.alertmanager if found else None,
            rules=prometheus_rules(tiers, workloads, environment.model_copy(update={"lab": patient})),
            alertmanager_text=alertmanager_config(asked=True),
        )
    except (MonitoringUnavailable, LabConfigError) as error:
        raise TargetError(str(error)) from error
    models = (replace(model, replicas=options.replicas.get(model.name, model.replicas)) for model in config.models)
    if found:
        runtime = prometheus = alertmanager = host_python(
            options.image, (found.prometheus.parent.parent, found.alertmanager.parent.parent)
        )
    else:
        runtime, prometheus = PodRuntime(options.image), PodRuntime(options.prometheus_image)
        alertmanager = PodRuntime(options.alertmanager_image)
    return DemoPlan(
        replace(config, models=tuple(models)),
        runtime,
        prometheus,
        alertmanager,
        token,
        gateways=shape.gateways,
        gpus=options.gpus or shape.gpus_per_node,
        gpu_memory_gib=float(shape.gpu_memory_gib),
        gpu_model=shape.gpu_model,
        services=options.services,
        node_ports=options.node_ports,
        system_nodes=options.system_nodes,
    )


def as_yaml(objects: list[Json]) -> str:
    """For `kubectl apply -f`."""
    text: str = yaml.safe_dump_all(objects, sort_keys=False, width=120, explicit_start=True)
    return text


def _namespaces(plan: DemoPlan) -> list[Json]:
    levels = {SERVING: "restricted" if plan.runtime.restricted() else "privileged", MONITORING: "privileged"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": metadata(
                name, None, {**dict([OPT_IN]), PLATFORM: NAME, "pod-security.kubernetes.io/enforce": level}
            ),
        }
        for name, level in levels.items()
    ]


def _priorities(plan: DemoPlan) -> list[Json]:
    def priority_class(name: str, value: int, preempts: bool, text: str) -> Json:
        return {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": metadata(name, None, {PLATFORM: NAME}),
            "value": value,
            "preemptionPolicy": "PreemptLowerPriority" if preempts else "Never",
            "description": text,
        }

    tiers = [
        priority_class(
            plan.priority_class(tier.name), priority(tier.rank), bool(tier.may_preempt), f"Tier of rank {tier.rank}"
        )
        for tier in plan.config.tiers
    ]
    whole = priority_class(plan.priority_class(None), priority(0), True, "Gateways and monitoring: all tiers need them")
    return [whole, *tiers]


def _quotas(plan: DemoPlan) -> list[Json]:
    found = []
    for tier in plan.config.tiers:
        most = MOVED * sum(model.replicas for model in plan.config.models if model.tier == tier.name)
        scope = {"operator": "In", "scopeName": "PriorityClass", "values": [plan.priority_class(tier.name)]}
        found.append(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": metadata(f"tier-{tier.name}", SERVING, {PLATFORM: NAME}),
                "spec": {
                    "hard": {"pods": str(most), f"requests.{GPU}": str(most)},
                    "scopeSelector": {"matchExpressions": [scope]},
                },
            }
        )
    return found


def _controller(plan: DemoPlan) -> list[Json]:
    """The feed, under the name that gateways and alerts have for it."""
    settings = {
        "namespaces": [SERVING, MONITORING],
        "platform": NAME,
        "models": [
            {name: getattr(model, name) for name in ("name", "tier", "slots", "replicas")} | {"rank": plan.rank(model)}
            for model in plan.config.models
        ],
        "listen": f"0.0.0.0:{CONTROLLER.port}",
    }
    container = plan.runtime.container(
        CONTROLLER.name,
        [*plan.runtime.command(Program.FEED), *_configs("controller.json", "token.json")],
        **_serves(CONTROLLER.port),
        env=env(),
        resources=_resources("50m", "96Mi"),
        volumeMounts=config_mounts(TOKEN),
        **probes("/healthz", ready_s=2),
    )
    template = pod(
        plan,
        CONTROLLER,
        plan.runtime,
        container,
        account=CONTROLLER.name,
        annotations=digest(settings, plan.token),
        volumes=config_volumes(CONTROLLER.name, TOKEN),
    )
    return [
        *pod_reader(CONTROLLER, [SERVING, MONITORING]),
        *cluster_reader(CONTROLLER, f"{NAME}-nodes", "nodes"),
        config_map(CONTROLLER, CONTROLLER.name, {"controller.json": json.dumps(settings, indent=1)}),
        deployment(CONTROLLER.name, CONTROLLER, 1, template, selector=CONTROLLER.labels, surge=1),
    ]


def _gateways(plan: DemoPlan) -> list[Json]:
    settings: dict[str, Any] = {
        "controller": f"http://{plan.address(CONTROLLER)}",
        "listen": f"0.0.0.0:{GATEWAY.port}",
        "share": plan.gateways,
        "tiers": [asdict(tier) for tier in plan.config.tiers],
        "routes": [asdict(route) for route in plan.config.routes],
        "trusted_callers": plan.trusted_callers,
        "flags": dict(plan.config.flags),
    }
    container = plan.runtime.container(
        GATEWAY.name,
        [*plan.runtime.command(Program.GATEWAY), *_configs("gateway.json", "token.json"), "--set", "name=$(POD_NAME)"],
        **_serves(GATEWAY.port),
        env=env("POD_NAME"),
        resources=_resources(_cpu(1), "128Mi"),
        volumeMounts=config_mounts(TOKEN),
        **probes("/healthz", ready_s=1),
    )
    template = pod(
        plan,
        GATEWAY,
        plan.runtime,
        container,
        annotations=digest(settings, plan.token),
        volumes=config_volumes(GATEWAY.name, TOKEN),
        spread=GATEWAY.labels,
    )
    return [
        config_map(GATEWAY, GATEWAY.name, {"gateway.json": json.dumps(settings, indent=1)}),
        deployment(GATEWAY.name, GATEWAY, plan.gateways, template, selector=GATEWAY.labels, surge=1),
        disruption_budget(GATEWAY.name, GATEWAY, GATEWAY.labels),
    ]


def _replicas(plan: DemoPlan, model: ModelConfig) -> list[Json]:
    told = {"tier": model.tier, "rank": str(plan.rank(model)), MODEL: model.name}
    selector = {**REPLICAS.labels, MODEL: model.name}
    # Inside its container a program sees its own GPU only, as the first.
    settings = asdict(model) | {"model": model.name, "rank": plan.rank(model), "gpu": 0}
    settings["listen"] = f"0.0.0.0:{REPLICAS.port}"
    gpus = [plan.gpu_state] if plan.gpu_state else []
    settings |= {"gpu_state_dir": GPU_STATE} if gpus else {}
    container = plan.runtime.container(
        REPLICAS.name,
        [
            *plan.runtime.command(Program.REPLICA),
            *_configs("replica.json", "token.json"),
            *("--set", "name=$(POD_NAME)", "--set", "node=$(NODE_NAME)"),
        ],
        **_serves(REPLICAS.port),
        env=env("POD_NAME", "NODE_NAME"),
        resources={**_resources(_cpu(plan.rank(model)), "64Mi"), "limits": {GPU: 1}},
        volumeMounts=[
            *config_mounts(TOKEN),
            *({"name": one["name"], "mountPath": GPU_STATE, "readOnly": True} for one in gpus),
        ],
        **probes("/v2/health/ready", ready_s=1, alive="/v2/health/live"),
    )
    template = pod(
        plan,
        REPLICAS,
        plan.runtime,
        container,
        labels=told,
        annotations=digest(settings, plan.token),
        volumes=[*config_volumes(model.name, TOKEN), *gpus],
        priority_class=plan.priority_class(model.tier),
        spread=selector,
        system=False,
    )
    return [
        config_map(REPLICAS, model.name, {"replica.json": json.dumps(settings, indent=1)}),
        deployment(model.name, REPLICAS, model.replicas, template, selector=selector, surge=0),
        disruption_budget(model.name, REPLICAS, selector),
    ]


def _configs(public: str, private: str) -> list[str]:
    return ["--config", f"{CONFIG}/{public}", "--config", f"{SECRET}/{private}"]


def _serves(port: int) -> Json:
    return {"ports": [{"name": "http", "containerPort": port}]}


def _cpu(rank: int) -> str:
    """What a node gives first to the tiers that come first, where its processors are short: 200m, 50m, 20m."""
    return f"{max(20, 200 // 4 ** (rank - 1))}m"


def _resources(cpu: str, memory: str) -> Json:
    return {"requests": {"cpu": cpu, "memory": memory}}
