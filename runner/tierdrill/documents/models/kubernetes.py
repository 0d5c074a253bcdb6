"""What an Environment document says of a cluster: which one, what in it stands for the tiers, and what may be
touched there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from tierdrill.documents.models.channels import SecretHere, WholePath
from tierdrill.documents.models.units import Duration, Frozen, Name, Part

OPT_IN = ("tierdrill.io/drills", "allowed")
MODEL_LABEL = "tierdrill.io/model"
UID_PATTERN = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

Texts = Annotated[tuple[str, ...], Frozen]
Namespaces = Annotated[tuple[Name, ...], Field(min_length=1), Frozen]
Command = Annotated[tuple[str, ...], Field(min_length=1), Frozen]


class Pods(Part):
    """Pods by their labels, in namespaces that are named one by one."""

    namespaces: Namespaces
    selector: str = Field(min_length=1, examples=["app.kubernetes.io/part-of=llm,tier=critical"])


class TierPods(Pods):
    """The pods that serve a tier; `container` is the one of each that does it (else its first)."""

    container: str | None = None


class GatewayAdministration(Part):
    """Where tierdrill's own gateway is told flags, weights, sheds and caps: its pods' port and its token."""

    port: int = Field(ge=1, le=65535)
    token: SecretHere


class GatewayPods(Pods):
    """The pods that requests come in by; `picker` are those, if any, that they ask where a request should go.

    `admin` is for tierdrill's own gateway: only such a one can shed, cap and weigh, and have its flags set.
    """

    picker: Pods | None = None
    admin: GatewayAdministration | None = None


class ProtectedObjects(Part):
    """What no drill may touch, whatever its opt-in label says.

    `namespaces` are patterns (kube-*), `nodes` are label selectors, `priority_at_least` is the priority of a pod from
    which on it is left alone, and with it every node that it runs on where a fault would end it there.
    """

    namespaces: Texts = ("kube-*",)
    nodes: Texts = ("node-role.kubernetes.io/control-plane",)
    priority_at_least: int = Field(default=1_000_000_000, ge=1)


class PodImage(Part):
    """The image of the pods that a drill starts, which needs Python 3.9 or later.

    `host_paths` are folders of the node that are mounted into them at the same path, read-only: for nodes that have a
    Python and no registry.
    """

    name: str = Field(min_length=1, examples=["registry.example.org/python:3.12-slim"])
    python: str = Field(default="python3", min_length=1)
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: Texts = ()
    host_paths: Texts = ()


class Gpus(Part):
    """The resource by which pods ask for a GPU."""

    resource: str = Field(default="nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$")


class Power(Part):
    """Commands that switch a node's power from where tierdrill runs, as lists of words, with {node} for its real name.

    `state` prints a text with `on` or `off` in it. A node is back within `boots_within`.
    """

    off: Command = Field(examples=[["ipmitool", "-H", "{node}.bmc.example.org", "power", "off"]])
    on: Command = Field(examples=[["ipmitool", "-H", "{node}.bmc.example.org", "power", "on"]])
    state: Command = Field(examples=[["ipmitool", "-H", "{node}.bmc.example.org", "power", "status"]])
    boots_within: Duration = 600.0


class LoadJobs(Part):
    """Load that is sent by Jobs in the cluster, a master and so many `workers`, rather than from where tierdrill runs.

    `image` has tierdrill itself, and `python` of it is the interpreter that does. `url` is what the environment's
    `load.url` is called there, where that is something else.
    """

    image: PodImage
    workers: int = Field(default=2, ge=1, le=100)
    url: str | None = Field(default=None, examples=["http://gateway.serving.svc:8080/v1"])


class Choice(Part):
    """Which object a name stands for: one by its real name, the `pick`-th node that hosts pods of a tier, or the
    `pick`-th that serves a model. Of a GPU's name (`node-2/0`): the GPU of that node that serves the model.
    """

    name: str | None = Field(default=None, min_length=1)
    hosting: Name | None = None
    serves: Name | None = None
    pick: int = Field(default=1, ge=1)


class KubernetesSettings(Part):
    """A cluster as the place of drills.

    `context` is one of the kubeconfig's, and `cluster` the uid of the cluster's namespace kube-system, as `tierdrill
    kubernetes check` prints it: drills are refused where they meet another cluster. `namespace` is tierdrill's own.
    Nothing is touched unless both its namespace and its node have the labels of `opt_in`. `agent: forbidden` leaves out
    every fault that needs a privileged pod on a node.

    `tiers` says which pods serve each tier, `models` which of those have which labels, where a tier has several models;
    a model without labels there has the label tierdrill.io/model with its name. `exporter` is what tells the GPUs'
    state on each node. With `load` it is Jobs that send the load. `names` gives nodes, replicas and gateways the names
    that drills use, beside the usual ones.
    `external_repair` are tools that replace nodes which are not ready, and after what time: no node is taken away for
    longer.
    """

    kubeconfig: WholePath | None = None
    context: str | None = Field(default=None, min_length=1)
    cluster: str | None = Field(default=None, pattern=UID_PATTERN)
    namespace: Name = "tierdrill"
    opt_in: dict[str, str] = Field(default_factory=lambda: dict([OPT_IN]), min_length=1)
    protected: ProtectedObjects = ProtectedObjects()
    image: PodImage | None = None
    agent: Literal["per-run", "forbidden"] = "per-run"
    tiers: dict[Name, TierPods] = Field(min_length=1)
    models: dict[Name, dict[str, str]] = Field(default_factory=dict)
    gateways: GatewayPods | None = None
    exporter: Pods | None = None
    gpu: Gpus = Gpus()
    power: Power | None = None
    load: LoadJobs | None = None
    external_repair: dict[str, Duration] = Field(default_factory=dict)
    silence_alerts: bool = False
    names: dict[str, Choice] = Field(default_factory=dict)

    def labels_of(self, model: str, alone: bool) -> dict[str, str]:
        """The labels by which a model's pods are told from others of its tier; none where it is `alone` in it."""
        return self.models.get(model, {} if alone else {MODEL_LABEL: model})

    def opted_in(self, labels: Mapping[str, str]) -> bool:
        """Whether a namespace or node with these labels may be drilled."""
        return self.opt_in.items() <= labels.items()

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that drills have to do with, beside tierdrill's own."""
        return tuple(sorted({name for _, group in self.groups for name in group.namespaces}))

    @property
    def groups(self) -> tuple[tuple[tuple[str, ...], Pods], ...]:
        """Every group of pods that the document names, with its place in it."""
        found: list[tuple[tuple[str, ...], Pods | None]] = [
            (("tiers", name), pods) for name, pods in self.tiers.items()
        ]
        found += [(("gateways",), self.gateways), (("exporter",), self.exporter)]
        found += [(("gateways", "picker"), self.gateways.picker)] if self.gateways is not None else []
        return tuple((where, pods) for where, pods in found if pods is not None)
