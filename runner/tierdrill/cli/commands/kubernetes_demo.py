"""`tierdrill kubernetes demo`: the lab's tiered deployment for a cluster, as manifests."""

from __future__ import annotations

import secrets
from ipaddress import IPv4Network
from pathlib import Path

import click

from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import Duration, environment_option

DEFAULT_ENVIRONMENT = "lab"
SERVICES_PREFIX_MAX = 28
TOKEN_LENGTH_MIN = 16


class _Network(click.ParamType[IPv4Network]):
    name = "network"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> IPv4Network:
        try:
            network = IPv4Network(value)
        except ValueError as error:
            self.fail(f"got {value!r}, expected a network like 10.96.77.0/28: {error}", param, ctx)
        if network.prefixlen > SERVICES_PREFIX_MAX:
            self.fail(f"got {value!r}, expected at least 16 addresses (/{SERVICES_PREFIX_MAX})", param, ctx)
        return network


class _Label(click.ParamType[tuple[str, str]]):
    name = "label"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        key, _, wanted = value.partition("=")
        if not key:
            self.fail(f"got {value!r}, expected KEY or KEY=VALUE", param, ctx)
        return key, wanted


class _Replicas(click.ParamType[tuple[str, int]]):
    name = "replicas"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        model, _, number = value.partition("=")
        if not (model and number.isdecimal() and int(number) > 0):
            self.fail(f"got {value!r}, expected MODEL=NUMBER, 1 or more", param, ctx)
        return model, int(number)


@click.command("demo")
@click.option("--image", required=True, help="Image with tierdrill; with --host-python any image the nodes have.")
@environment_option("Environment whose tiers and models it serves, by its clock [default: lab].")
@click.option("--host-python", is_flag=True, help="Mount this machine's Python and programs into the pods.")
@click.option("--prometheus-image", help="Image of Prometheus.")
@click.option("--alertmanager-image", help="Image of Alertmanager.")
@click.option(
    "--replicas", type=_Replicas(), multiple=True, metavar="MODEL=NUMBER", help="Another number of a model's replicas."
)
@click.option(
    "--gpus", type=click.IntRange(1, 16), help="Emulated GPUs of a node [default: the environment's]."
)
@click.option("--node-ports", is_flag=True, help="Open ports 30080, 30090 and 30093 on every node.")
@click.option(
    "--service-network",
    "services",
    type=_Network(),
    metavar="NETWORK",
    help="Fixed Service addresses, for a cluster without DNS, from a part of its service network.",
)
@click.option(
    "--system-nodes", type=_Label(), metavar="LABEL", help="Where gateways and monitoring run, away from the replicas."
)
@click.option(
    "--node-grace",
    type=Duration(),
    metavar="DURATION",
    help="How long the cluster waits for a silent node (node-monitor-grace-period) [default: 50s, as Kubernetes].",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The platform's secret, to apply the same again [default: a new one].",
)
@click.pass_obj
def demo(
    here: Surroundings,
    image: str,
    environment: str | None,
    host_python: bool,
    prometheus_image: str | None,
    alertmanager_image: str | None,
    replicas: tuple[tuple[str, int], ...],
    gpus: int | None,
    node_ports: bool,
    services: IPv4Network | None,
    system_nodes: tuple[str, str] | None,
    node_grace: float | None,
    token_file: Path | None,
) -> None:
    """Print a tiered deployment to try drills with.

    The lab's, ready for `kubectl apply -f -`.

    Namespaces serving and monitoring, both open to drills by their label. The output holds the platform's secret.
    """
    from tierdrill.cli.drill_documents import environment_setting
    from tierdrill.targets.kubernetes.manifests import demo as objects

    chosen, tiers, workloads = environment_setting(here.catalogue, environment or DEFAULT_ENVIRONMENT)
    options = objects.DemoOptions(
        image,
        prometheus_image or objects.PROMETHEUS_IMAGE,
        alertmanager_image or objects.ALERTMANAGER_IMAGE,
        host_python,
        node_ports,
        services,
        system_nodes,
        objects.NODE_GRACE_S if node_grace is None else node_grace,
        dict(replicas),
        gpus,
    )
    plan = objects.plan_of(chosen, tiers, workloads, here.tools, _token(token_file), options)
    click.echo(objects.as_yaml(objects.manifests(plan)), nl=False)


def _token(file: Path | None) -> str:
    if file is None:
        return secrets.token_hex(24)
    if len(token := file.read_text(encoding="utf-8").strip()) < TOKEN_LENGTH_MIN:
        raise Refusal(f"--token-file {file}: got {len(token)} characters, expected at least {TOKEN_LENGTH_MIN}")
    return token
