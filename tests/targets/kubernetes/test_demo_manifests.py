"""The demo's objects fit together, whatever the platform: names, selectors, mounts, quotas, priorities, rights."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from tests.monitoring.monitoring_support import binaries
from tests.monitoring.monitoring_support import tier as tier_entry
from tierdrill.cli.drill_documents import whole_catalogue
from tierdrill.cli.folders import shipped_catalogue
from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.models.kubernetes import OPT_IN
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.lab.feed import feed_program
from tierdrill.lab.feed.pod_view import GPU, MODEL
from tierdrill.lab.gateway.gateway_config import parse_config
from tierdrill.lab.gateway.gateway_program import running
from tierdrill.lab.lab_config import build, make_node
from tierdrill.lab.node.emulated_gpus import GpuBoard
from tierdrill.lab.node.gpu_exporter import ExporterSettings, build_app
from tierdrill.lab.replica.replica_program import Replica, ReplicaSettings
from tierdrill.process.ready_line import program_arguments
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.manifests.demo import DemoOptions, as_yaml, manifests, plan_of
from tierdrill.targets.kubernetes.manifests.demo_plan import CONTROLLER, GATEWAY, PROMETHEUS

TOKEN = "platform-token-of-tests"
NETWORK = IPv4Network("10.96.77.0/28")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return whole_catalogue(shipped_catalogue())


def objects_of(tiers: Tiers, workloads: Workloads, catalogue: Catalogue, **options: Any) -> list[Json]:
    asked = DemoOptions("example.org/tierdrill:1", **options)
    return manifests(plan_of(catalogue.environments["lab"], tiers, workloads, Path("/none"), TOKEN, asked))


def shipped(catalogue: Catalogue, **options: Any) -> list[Json]:
    return objects_of(catalogue.tiers["serving"], catalogue.workloads["models"], catalogue, **options)


def of_kind(objects: Iterable[Json], kind: str) -> list[Json]:
    return [each for each in objects if each["kind"] == kind]


def key(each: Json) -> tuple[str, str, str]:
    return each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]


def templates(objects: Iterable[Json]) -> list[tuple[Json, Json]]:
    """Every Deployment and DaemonSet with its pods' template."""
    return [(each, each["spec"]["template"]) for each in objects if each["kind"] in ("Deployment", "DaemonSet")]


def namespace(each: Json) -> str:
    return str(each["metadata"]["namespace"])


def selects(selector: Json, labels: Json) -> bool:
    return all(labels.get(name) == value for name, value in selector.items())


def check_fits(objects: list[Json]) -> None:
    """What the API server, the scheduler or the kubelet would find missing."""
    keys = [key(each) for each in objects]
    assert len(set(keys)) == len(keys)
    namespaces = {each["metadata"]["name"] for each in of_kind(objects, "Namespace")}
    for each in objects:
        assert each["apiVersion"]
        assert NAME.fullmatch(each["metadata"]["name"]) and len(each["metadata"]["name"]) <= 63, key(each)
        assert each["metadata"].get("namespace", "serving") in namespaces
        for value in each["metadata"]["labels"].values():
            assert isinstance(value, str) and LABEL_VALUE.fullmatch(value) and len(value) <= 63, (key(each), value)
    for owner, template in templates(objects):
        check_pod(owner, template, keys)
    for service in of_kind(objects, "Service"):
        (pods,) = _selected(objects, service, service["spec"]["selector"])
        ports = {port["name"] for port in pods["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for budget in of_kind(objects, "PodDisruptionBudget"):
        assert len(_selected(objects, budget, budget["spec"]["selector"]["matchLabels"])) == 1
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    check_priorities(objects)


def _selected(objects: list[Json], by: Json, selector: Json) -> list[Json]:
    return [
        template
        for owner, template in templates(objects)
        if namespace(owner) == namespace(by) and selects(selector, template["metadata"]["labels"])
    ]


def check_pod(owner: Json, template: Json, keys: list[tuple[str, str, str]]) -> None:
    spec, where = template["spec"], namespace(owner)
    assert selects(owner["spec"]["selector"]["matchLabels"], template["metadata"]["labels"])
    assert ("PriorityClass", "", spec["priorityClassName"]) in keys
    assert ("serviceAccountName" in spec) == spec["automountServiceAccountToken"]
    if "serviceAccountName" in spec:
        assert ("ServiceAccount", where, spec["serviceAccountName"]) in keys
    for constraint in spec.get("topologySpreadConstraints", ()):
        assert selects(constraint["labelSelector"]["matchLabels"], template["metadata"]["labels"])
    assert {one["key"] for one in spec["tolerations"]} == {
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/not-ready",
    }
    on_nodes = template["metadata"]["labels"]["app.kubernetes.io/component"] in ("replica", "gpu-exporter")
    most_s = 300 if on_nodes else 5
    assert all(one["tolerationSeconds"] <= most_s for one in spec["tolerations"])
    volumes = {one["name"]: one for one in spec["volumes"]}
    for one in volumes.values():
        assert "configMap" not in one or ("ConfigMap", where, one["configMap"]["name"]) in keys
        assert "secret" not in one or ("Secret", where, one["secret"]["secretName"]) in keys
    (container,) = spec["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert len({mount["mountPath"] for mount in container["volumeMounts"]}) == len(volumes)
    ports = {port["name"] for port in container["ports"]}
    for name in ("readinessProbe", "livenessProbe"):
        ((_, asked),) = [(how, to) for how, to in container[name].items() if how in ("httpGet", "tcpSocket")]
        assert asked["port"] in ports
    secure = container["securityContext"]
    assert secure["capabilities"] == {"drop": ["ALL"]} and not secure["allowPrivilegeEscalation"]
    assert secure["readOnlyRootFilesystem"] and secure["seccompProfile"] == {"type": "RuntimeDefault"}


def check_priorities(objects: list[Json]) -> None:
    """Rank 1 is served first; every tier's pods fit its quota, once more for those that move."""
    values = {each["metadata"]["name"]: each["value"] for each in of_kind(objects, "PriorityClass")}
    assert all(0 < value < 1_000_000_000 for value in values.values())
    by_rank = {
        int(template["metadata"]["labels"]["rank"]): values[template["spec"]["priorityClassName"]]
        for _, template in templates(objects)
        if "rank" in template["metadata"]["labels"]
    }
    assert [by_rank[rank] for rank in sorted(by_rank)] == sorted(by_rank.values(), reverse=True)
    assert len(set(by_rank.values())) == len(by_rank)
    for _, template in templates(objects):
        if "rank" not in template["metadata"]["labels"]:
            assert values[template["spec"]["priorityClassName"]] > max(by_rank.values())
    for quota in of_kind(objects, "ResourceQuota"):
        (scope,) = quota["spec"]["scopeSelector"]["matchExpressions"]
        wanted = sum(
            owner["spec"]["replicas"]
            for owner, template in templates(objects)
            if template["spec"]["priorityClassName"] in scope["values"]
        )
        assert int(quota["spec"]["hard"]["pods"]) >= wanted + 1 or wanted == 0
        assert quota["spec"]["hard"][f"requests.{GPU}"] == quota["spec"]["hard"]["pods"]


@pytest.mark.parametrize(
    "options",
    [{}, {"services": NETWORK, "node_ports": True, "system_nodes": ("tierdrill.io/system", "true")}],
    ids=["plain", "fixed addresses"],
)
def test_the_shipped_platform_fits_together(catalogue: Catalogue, options: Json) -> None:
    objects = shipped(catalogue, **options)
    check_fits(objects)
    assert list(yaml.safe_load_all(as_yaml(objects))) == objects


def test_this_machines_python_fits_together_and_brings_all_that_it_needs(catalogue: Catalogue) -> None:
    tools = binaries()
    objects = shipped(catalogue, host_python=True)
    check_fits(objects)
    for _, template in templates(objects):
        (container,) = template["spec"]["containers"]
        mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert any(Path(container["command"][0]).is_relative_to(path) for path in mounted)
        hosts = {one["name"]: one["hostPath"] for one in template["spec"]["volumes"] if "hostPath" in one}
        gpus = hosts.pop("gpus", None)
        writes = template["metadata"]["labels"]["app.kubernetes.io/component"] == "gpu-exporter"
        assert (gpus is not None) == (writes or MODEL in template["metadata"]["labels"])
        for mount in container["volumeMounts"]:
            if mount["name"] in hosts:
                assert mount["readOnly"] and mount["mountPath"] == hosts[mount["name"]]["path"]
            elif mount["name"] == "gpus":
                assert mount.get("readOnly", False) is not writes
    commands = {
        owner["metadata"]["name"]: template["spec"]["containers"][0]["command"][0]
        for owner, template in templates(objects)
    }
    assert commands["prometheus"] == str(tools.prometheus)
    levels = {
        each["metadata"]["name"]: each["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for each in of_kind(objects, "Namespace")
    }
    assert levels["serving"] == "privileged"


def test_with_images_nothing_of_a_node_is_mounted_and_nobody_is_root(catalogue: Catalogue) -> None:
    objects = shipped(catalogue)
    for _, template in templates(objects):
        assert not any("hostPath" in volume for volume in template["spec"]["volumes"])
        assert template["spec"]["containers"][0]["securityContext"]["runAsNonRoot"]
    serving = next(each for each in of_kind(objects, "Namespace") if each["metadata"]["name"] == "serving")
    assert serving["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_both_namespaces_are_open_to_drills(catalogue: Catalogue) -> None:
    label, value = OPT_IN
    for each in of_kind(shipped(catalogue), "Namespace"):
        assert each["metadata"]["labels"][label] == value


def test_its_programs_may_read_pods_and_nodes_and_nothing_else(catalogue: Catalogue) -> None:
    objects = shipped(catalogue)
    rules = [rule for each in objects if each["kind"] in ("Role", "ClusterRole") for rule in each["rules"]]
    assert {(group, one) for rule in rules for group in rule["apiGroups"] for one in rule["resources"]} == {
        ("", "pods"),
        ("", "nodes"),
    }
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    cluster_wide = of_kind(objects, "ClusterRole")
    assert [rule["resources"] for each in cluster_wide for rule in each["rules"]] == [["nodes"]]
    with_token = [owner for owner, one in templates(objects) if one["spec"]["automountServiceAccountToken"]]
    assert [owner["metadata"]["name"] for owner in with_token] == [CONTROLLER.name]


def test_secrets_stand_in_secrets_only(catalogue: Catalogue) -> None:
    others = [each for each in shipped(catalogue) if each["kind"] != "Secret"]
    assert TOKEN not in json.dumps(others)


def test_ports_of_nodes_are_opened_only_if_asked_for(catalogue: Catalogue) -> None:
    assert {each["spec"]["type"] for each in of_kind(shipped(catalogue), "Service")} == {"ClusterIP"}
    opened = of_kind(shipped(catalogue, node_ports=True), "Service")
    ports = [port["nodePort"] for each in opened for port in each["spec"]["ports"] if "nodePort" in port]
    assert sorted(ports) == [30080, 30090, 30093]


def test_without_dns_every_address_that_is_told_is_a_services(catalogue: Catalogue) -> None:
    objects = shipped(catalogue, services=NETWORK)
    addresses = [each["spec"]["clusterIP"] for each in of_kind(objects, "Service")]
    assert len(set(addresses)) == 4 and all(ip_address(one) in NETWORK for one in addresses)
    told = json.dumps(of_kind(objects, "ConfigMap"))
    assert ".svc" not in told and f"http://{addresses[1]}:8080" in told
    assert "http://controller.serving.svc:8080" in json.dumps(of_kind(shipped(catalogue), "ConfigMap"))


def test_gateways_and_monitoring_keep_to_the_systems_nodes_and_exporters_off_them(catalogue: Catalogue) -> None:
    objects = shipped(catalogue, system_nodes=("tierdrill.io/system", "true"))
    chosen = {owner["metadata"]["name"] for owner, one in templates(objects) if "nodeSelector" in one["spec"]}
    assert chosen == {"controller", "gateway", "prometheus", "alertmanager"}
    (exporter,) = [one for owner, one in templates(objects) if owner["kind"] == "DaemonSet"]
    assert "NotIn" in json.dumps(exporter["spec"]["affinity"])


def test_each_replica_asks_for_one_gpu_and_moves_before_it_is_replaced(catalogue: Catalogue) -> None:
    for owner, template in templates(shipped(catalogue)):
        limits = template["spec"]["containers"][0]["resources"].get("limits", {})
        assert limits == ({GPU: 1} if MODEL in template["metadata"]["labels"] else {})
        if limits:
            assert owner["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_another_number_of_replicas_is_everywhere(catalogue: Catalogue) -> None:
    objects = shipped(catalogue, replicas={"assistant": 7})
    (assistant,) = [each for each in of_kind(objects, "Deployment") if each["metadata"]["name"] == "assistant"]
    assert assistant["spec"]["replicas"] == 7
    settings_of_feed = json.loads(_file(objects, "controller", "controller.json"))
    assert [one["replicas"] for one in settings_of_feed["models"] if one["name"] == "assistant"] == [7]
    with pytest.raises(TargetError, match="--replicas: got model 'other', expected one of: assistant"):
        shipped(catalogue, replicas={"other": 1})


def test_a_model_cannot_have_the_name_of_a_program(catalogue: Catalogue) -> None:
    workloads = catalogue.workloads["models"]
    models = tuple(model.model_copy(update={"name": "gateway"}) for model in workloads.models[:1])
    with pytest.raises(TargetError, match="model gateway: got a name that a program of the demo has"):
        objects_of(catalogue.tiers["serving"], workloads.model_copy(update={"models": models}), catalogue)


def test_a_change_of_the_configuration_starts_its_pods_anew(catalogue: Catalogue) -> None:
    def digests(objects: list[Json]) -> dict[str, str]:
        return {owner["metadata"]["name"]: str(one["metadata"]["annotations"]) for owner, one in templates(objects)}

    first, again, other = (shipped(catalogue), shipped(catalogue), shipped(catalogue, services=NETWORK))
    assert digests(first) == digests(again)
    changed = {name for name, digest in digests(other).items() if digests(first)[name] != digest}
    assert changed == {"gateway", "prometheus"}, "those that are told a Service's address"


def test_the_rules_are_the_labs_and_wait_for_the_clusters_grace(catalogue: Catalogue) -> None:
    rules = yaml.safe_load(_file(shipped(catalogue, node_grace_s=40.0), "prometheus", "tierdrill-infrastructure.yaml"))
    by_name = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
    assert by_name["NodeNotReady"]["for"] == "2s"
    assert by_name["TelemetryAbsent"]["for"] == "43s"
    assert (by_name["ServingCapacityLow"]["for"], by_name["ServingCapacityLow"]["keep_firing_for"]) == ("2s", "41s")
    config = json.loads(_file(shipped(catalogue), "prometheus", "prometheus.yml"))
    assert {job["job_name"] for job in config["scrape_configs"]} == {"gateway", "controller", "node", "replica"}


def _file(objects: list[Json], config_map: str, name: str) -> str:
    (found,) = [each for each in of_kind(objects, "ConfigMap") if each["metadata"]["name"] == config_map]
    return str(found["data"][name])


def _config(objects: list[Json], name: str, file: str, folder: Path) -> Json:
    """What the program in those pods is told by its files and its command line; $(NAME) stands for itself as NAME."""
    (template,) = [one for owner, one in templates(objects) if owner["metadata"]["name"] == name]
    (folder / "config.json").write_text(_file(objects, name, file))
    (folder / "token.json").write_text(json.dumps({"token": TOKEN}))
    argv: list[str] = template["spec"]["containers"][0]["command"]
    mounted = {f"/etc/tierdrill/config/{file}": "config.json", "/etc/tierdrill/secret/token.json": "token.json"}
    words = [str(folder / mounted[one]) if one in mounted else one for one in argv[argv.index("--config") :]]
    return program_arguments(name, [re.sub(r"\$\((\w+)\)", r"\1", one) for one in words]).config


def _probed(objects: list[Json], name: str) -> set[str]:
    (template,) = [one for owner, one in templates(objects) if owner["metadata"]["name"] == name]
    (container,) = template["spec"]["containers"]
    return {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}


def test_a_replica_takes_its_configuration_and_answers_its_probes(catalogue: Catalogue, tmp_path: Path) -> None:
    objects = shipped(catalogue)
    told = build(ReplicaSettings, _config(objects, "assistant", "replica.json", tmp_path), "replica", only_known=True)
    assert (told.name, told.node, told.model, told.token) == ("POD_NAME", "NODE_NAME", "assistant", TOKEN)
    assert told.listen == "0.0.0.0:8000"
    replica = Replica(told)

    async def status(path: str) -> int:
        said: list[Json] = []

        async def send(message: Any) -> None:
            said.append(message)

        async def receive() -> Json:
            return {"type": "http.request"}

        await replica({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
        return int(said[0]["status"])

    assert {asyncio.run(status(path)) for path in _probed(objects, "assistant")} == {200}


def test_a_gateway_takes_its_configuration_and_answers_its_probes(catalogue: Catalogue, tmp_path: Path) -> None:
    import aiohttp

    objects = shipped(catalogue)
    config = parse_config(_config(objects, "gateway", "gateway.json", tmp_path))
    assert (config.name, config.token, config.listen) == ("POD_NAME", TOKEN, "0.0.0.0:8080")
    assert config.trusts("10.244.1.7") and not config.trusts("8.8.8.8")

    async def statuses() -> set[int]:
        async with running(replace(config, listen="127.0.0.1:0")) as gateway, aiohttp.ClientSession() as session:
            found = set()
            for path in _probed(objects, "gateway"):
                async with session.get(f"http://{gateway.address}{path}") as answer:
                    found.add(answer.status)
            return found

    assert asyncio.run(statuses()) == {200}


def test_feed_and_exporter_take_their_configuration_and_have_their_probes_paths(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    objects = shipped(catalogue)
    of_feed = build(feed_program.FeedSettings, _config(objects, "controller", "controller.json", tmp_path), "feed")
    assert {model.name for model in of_feed.models} == {model.name for model in catalogue.workloads["models"].models}
    of_exporter = build(ExporterSettings, _config(objects, "gpu-exporter", "exporter.json", tmp_path), "exporter")
    gpus = make_node("n", of_exporter.gpus, of_exporter.memory_gib, of_exporter.model_name).gpus
    board = GpuBoard("n", list(gpus), tmp_path, lambda _: [])
    assert "emulated" in board.specs[0].model_name
    for name, app in (
        ("controller", feed_program.build_app(feed_program.Feed(of_feed))),
        ("gpu-exporter", build_app(board, tmp_path)),
    ):
        paths = {route.path for route in app.routes if isinstance(route, Route)}
        assert _probed(objects, name) <= paths
        assert "/metrics" in paths


def test_prometheus_takes_its_configuration_and_rules(catalogue: Catalogue, tmp_path: Path) -> None:
    import subprocess

    tools, objects = binaries(), shipped(catalogue)
    (found,) = [each for each in of_kind(objects, "ConfigMap") if each["metadata"]["name"] == PROMETHEUS.name]
    for name, text in found["data"].items():
        (tmp_path / name).write_text(text.replace("/etc/tierdrill/config", str(tmp_path)))
    (tmp_path / "alertmanager.yml").write_text(_file(objects, "alertmanager", "alertmanager.yml"))
    subprocess.run([tools.promtool, "check", "config", tmp_path / "prometheus.yml"], check=True, capture_output=True)
    subprocess.run([tools.amtool, "check-config", tmp_path / "alertmanager.yml"], check=True, capture_output=True)


word = st.from_regex(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True)


@st.composite
def platforms(draw: st.DrawFn) -> tuple[Tiers, Workloads]:
    names = draw(st.lists(word, min_size=1, max_size=4, unique=True))
    ranks = draw(st.lists(st.integers(1, 9), min_size=len(names), max_size=len(names), unique=True))
    tiers = Tiers.model_validate(
        {
            "apiVersion": "tierdrill/v1",
            "kind": "Tiers",
            "metadata": {"name": "serving"},
            "tiers": [tier_entry(name, rank, availability=0.9) for name, rank in zip(names, ranks, strict=True)],
        }
    )
    own = {GATEWAY.name, CONTROLLER.name}
    models = draw(st.lists(word.filter(lambda name: name not in own), min_size=1, max_size=5, unique=True))
    workloads = Workloads.model_validate(
        {
            "apiVersion": "tierdrill/v1",
            "kind": "Workloads",
            "metadata": {"name": "models"},
            "tiers": "serving",
            "models": [
                {
                    "name": name,
                    "tier": draw(st.sampled_from(names)),
                    "risk": "low",
                    "impact": "low",
                    "frequency": "constant",
                    "rationale": "for the test",
                    "replicas": draw(st.integers(1, 9)),
                    "memory_gib": 40,
                    "service": {"prefill_per_token": 0.001, "decode_per_token": 0.001},
                }
                for name in models
            ],
            "routes": [{"tier": names[0]}],
        }
    )
    return tiers, workloads


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(platform=platforms(), fixed=st.booleans())
def test_any_platform_fits_together(catalogue: Catalogue, platform: tuple[Tiers, Workloads], fixed: bool) -> None:
    check_fits(objects_of(*platform, catalogue, services=NETWORK if fixed else None, node_ports=fixed))
