"""The demo's monitoring: emulated GPUs' exporter on each node, Prometheus and Alertmanager with the lab's rules."""

from __future__ import annotations

import json
from pathlib import Path

from tierdrill.lab.supervisor.monitoring_programs import PROMETHEUS_OPTIONS, duration, prometheus_text
from tierdrill.monitoring.binaries import working_directory
from tierdrill.monitoring.monitoring_login import web_config
from tierdrill.process.programs import Program
from tierdrill.targets.kubernetes.manifests.demo_plan import (
    ALERTMANAGER,
    CONTROLLER,
    GATEWAY,
    GPU_EXPORTER,
    GPU_STATE,
    PROMETHEUS,
    REPLICAS,
    DemoPlan,
    Json,
    Part,
    digest,
)
from tierdrill.targets.kubernetes.manifests.demo_pods import (
    CONFIG,
    SECRET,
    config_map,
    config_mounts,
    config_volumes,
    daemon_set,
    deployment,
    env,
    pod,
    probes,
    secret,
)
from tierdrill.targets.kubernetes.manifests.pod_runtime import PodRuntime

LOGIN = "login"
DATA = "/data"
JOBS = {"gateway": GATEWAY, "controller": CONTROLLER, "node": GPU_EXPORTER, "replica": REPLICAS}
"""The lab's job of each part."""

DISCOVERY_S = 1.0


def monitoring(plan: DemoPlan) -> list[Json]:
    """Everything of that namespace but its Services."""
    login = plan.login
    files = {"user": login.user, "password": login.password, "web.yml": web_config(login)}
    return [secret(PROMETHEUS, LOGIN, files), *_exporter(plan), *_alertmanager(plan), *_prometheus(plan)]


def _exporter(plan: DemoPlan) -> list[Json]:
    settings = {"gpus": plan.gpus, "memory_gib": plan.gpu_memory_gib, "model_name": plan.gpu_model}
    settings |= {"listen": f"0.0.0.0:{GPU_EXPORTER.port}", "state_dir": GPU_STATE}
    state = plan.gpu_state or {"name": "gpus", "emptyDir": {}}
    container = plan.runtime.container(
        GPU_EXPORTER.name,
        [
            *plan.runtime.command(Program.GPU_EXPORTER),
            *("--config", f"{CONFIG}/exporter.json", "--set", "node=$(NODE_NAME)"),
        ],
        ports=[{"name": "http", "containerPort": GPU_EXPORTER.port}],
        env=env("NODE_NAME"),
        resources={"requests": {"cpu": "10m", "memory": "64Mi"}},
        volumeMounts=[*config_mounts(None), {"name": "gpus", "mountPath": GPU_STATE}],
        **probes("/healthz", ready_s=5),
    )
    template = pod(
        plan,
        GPU_EXPORTER,
        plan.runtime,
        container,
        annotations=digest(settings),
        volumes=[*config_volumes(GPU_EXPORTER.name, None), state],
        system=False,
        **_but_system(plan),
    )
    return [
        config_map(GPU_EXPORTER, GPU_EXPORTER.name, {"exporter.json": json.dumps(settings, indent=1)}),
        daemon_set(GPU_EXPORTER, template),
    ]


def _but_system(plan: DemoPlan) -> Json:
    """Every node but those that are kept for gateways and monitoring, which have no GPUs."""
    if plan.system_nodes is None:
        return {}
    key, value = plan.system_nodes
    terms = [{"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": required}}


def _alertmanager(plan: DemoPlan) -> list[Json]:
    text = plan.config.alertmanager.config
    binary = plan.config.alertmanager.binary or "/bin/alertmanager"
    command = [binary, f"--config.file={CONFIG}/alertmanager.yml"]
    command += [f"--storage.path={DATA}", "--cluster.listen-address="]
    where = {"workingDir": str(working_directory(Path(binary), Path("/")))}
    return _server(plan, ALERTMANAGER, plan.alertmanager, command, {"alertmanager.yml": text}, "64Mi", **where)


def _prometheus(plan: DemoPlan) -> list[Json]:
    config = plan.config.prometheus
    jobs = {
        job: {
            "http_sd_configs": [
                {
                    "url": f"http://{plan.address(CONTROLLER)}/targets/{part.name}",
                    "refresh_interval": duration(DISCOVERY_S),
                }
            ]
        }
        for job, part in JOBS.items()
    }
    text = prometheus_text(config, Path(CONFIG), jobs, plan.address(ALERTMANAGER), plan.login)
    files = {"prometheus.yml": text, **config.rules}
    command = [config.binary or "/bin/prometheus", f"--config.file={CONFIG}/prometheus.yml"]
    command += [f"--storage.tsdb.path={DATA}", f"--storage.tsdb.retention.time={config.retention}", *PROMETHEUS_OPTIONS]
    return _server(plan, PROMETHEUS, plan.prometheus, command, files, "256Mi")


def _server(
    plan: DemoPlan, part: Part, runtime: PodRuntime, command: list[str], files: dict[str, str], memory: str, **more: str
) -> list[Json]:
    """A monitoring program behind the platform's login. Its probes cannot log in: they look for its open port."""
    options = [f"--web.listen-address=0.0.0.0:{part.port}", f"--web.config.file={SECRET}/web.yml", "--log.level=warn"]
    container = runtime.container(
        part.name,
        [*command, *options],
        ports=[{"name": "http", "containerPort": part.port}],
        resources={"requests": {"cpu": "50m", "memory": memory}},
        volumeMounts=[*config_mounts(LOGIN), {"name": "data", "mountPath": DATA}],
        **probes(None, ready_s=2),
        **more,
    )
    template = pod(
        plan,
        part,
        runtime,
        container,
        annotations=digest(files, plan.login.password),
        volumes=[*config_volumes(part.name, LOGIN), {"name": "data", "emptyDir": {}}],
    )
    return [config_map(part, part.name, files), deployment(part.name, part, 1, template, selector=part.labels, surge=0)]
