"""The Environment document: where a drill runs, how time is scaled there, and how far a fault may reach."""

import string
from typing import Annotated, Literal

from pydantic import Field

from tierdrill.documents.models.external import Credentials, LoadConnection, Monitoring, Names
from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.documents.models.protections import FLAGS, KEEPS_POLICY
from tierdrill.documents.models.units import Duration, Frozen, Metadata, Name, Network, Part, Ratio
from tierdrill.faults.blast_radius import Limits
from tierdrill.faults.store_names import MODEL_STORES, STATE_MEMBERS, STATE_STORE

SHORTEST_LEASE_S, LONGEST_LEASE_S = 1.0, 3600.0
"""A shorter lease runs out while its run is merely slow; a longer one is none."""
SIGNALS = ("tier", "model", "replica", "queue_wait", "attempts", "rejections", "rejection_reasons", "answers")
HEADER_OF = {"queue_wait": "queue_wait_ms"}


class Autoscale(Part):
    """Replicas that a model of the lab is given while it is short of slots, and loses while it has too many.

    Requests of its own tier and of those above it count, as its gateways tell them. It is short where they leave less
    than `headroom` of its slots free, or one of them has waited for longer than `queue_wait`, for as long as `after`.
    """

    model: Name
    replicas_at_most: int = Field(ge=2, le=64)
    headroom: Ratio = 0.3
    queue_wait: Duration = 0.1
    after: Duration = 1.0
    idle: Duration = 8.0


class LabShape(Part):
    """The embedded lab: how many gateways, nodes and GPUs.

    In `mode: portable` its links are proxies; in `mode: namespace`, on Linux, each node and gateway has a network
    namespace, and it is the kernel that delays, loses and cuts.
    `trusted_callers` are the networks whose word on a request's customer class counts; the `x-customer-class` header
    of anybody else is passed over. `flags_off` are protections that the gateways of this platform do not have.
    With `state_store` the gateways keep flags, policy, overrides and open circuits in an etcd of three members.
    """

    mode: Literal["portable", "namespace"] = "portable"
    gateways: int = Field(default=2, ge=1, le=4)
    nodes: int = Field(default=3, ge=3, le=12)
    gpus_per_node: int = Field(default=2, ge=1, le=8)
    gpu_memory_gib: int = Field(default=80, ge=1)
    gpu_model: str = "NVIDIA H100 80GB HBM3"
    spare_slots_rank1: int = Field(default=1, ge=0, description="places kept free for rank 1")
    node_grace: Duration = 2.0
    eviction_after: Duration = 300.0
    restart_backoff: Duration = 60.0
    trusted_callers: Annotated[tuple[Network, ...], Frozen] = ("127.0.0.0/8", "::1/128")
    flags_off: Annotated[tuple[str, ...], Frozen] = ()
    state_store: bool = False
    autoscale: Annotated[tuple[Autoscale, ...], Frozen] = ()

    @property
    def gateway_names(self) -> tuple[str, ...]:
        """gateway-a, gateway-b and so on."""
        return tuple(f"gateway-{letter}" for letter in string.ascii_lowercase[: self.gateways])

    @property
    def model_stores(self) -> tuple[str, ...]:
        """The model store that nodes get weights from, and its mirror."""
        return MODEL_STORES

    @property
    def protections(self) -> tuple[str, ...]:
        """Those that the gateways have: without a state store there is no policy to lose, nor without an autoscaler
        anything to tell it.
        """
        absent = {*self.flags_off, *(() if self.autoscale else ("autoscaling",))}
        absent |= set() if self.state_store else {KEEPS_POLICY}
        return tuple(flag for flag in FLAGS if flag not in absent)

    @property
    def stores(self) -> tuple[str, ...]:
        """The state store and its members, as they are named."""
        return (STATE_STORE, *STATE_MEMBERS) if self.state_store else ()


class BlastRadius(Part):
    """The most a drill may touch at one time. Small by default; widening it is a reviewed change of this document."""

    nodes: int = Field(default=1, ge=0)
    gpus: int = Field(default=1, ge=0)
    replicas: int = Field(default=1, ge=0)
    links: int = Field(default=2, ge=0)
    gateways: int = Field(default=1, ge=0)
    stores: int = Field(default=1, ge=0, description="stores, or members of one")

    @property
    def limits(self) -> dict[str, int]:
        """By kind of target, how many may be faulted at a time. A stream is no part of the deployment and has none."""
        return {name.removesuffix("s"): limit for name, limit in self}


class Clock(Part):
    """Scale of the alert windows: with scale 300, the one-hour window of production is 12 s here."""

    window_scale: float = Field(default=300.0, ge=1.0)
    scrape_interval: Duration = 1.0
    evaluation_interval: Duration = 1.0
    window_floor: Duration = 3.0


class Cost(Part):
    """What a GPU costs here: `gpu_hour` in the currency."""

    gpu_hour: float = Field(gt=0, examples=[2.5])
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")


class Dependency(Part):
    """Something that must be healthy before an unattended drill starts here. Exactly one of http, tcp, path is given.

    `http` is healthy with a status from 200 to 399 (redirects are not followed), `tcp` (host:port) if it accepts a
    connection, `path` if it is there. One that `needs` others is asked only once they are healthy, so that the cause
    is named and not what hangs on it.
    """

    name: Name
    http: str | None = Field(default=None, examples=["http://registry.example.org/health"])
    tcp: str | None = Field(default=None, examples=["127.0.0.1:5432"])
    path: str | None = Field(default=None, examples=["/var/lib/models"])
    needs: Annotated[tuple[Name, ...], Frozen] = ()
    timeout: Duration = 2.0


class EnvironmentGates(Part):
    """What the scheduler's gates ask before a drill starts here, and what they make of no answer.

    `prometheus` and `alertmanager` are base URLs, each with its `..._credentials` where it asks for some; a kept lab
    has its own and needs none. `without_data` decides where
    an error budget or the alerts are not known: `held` (no data is never a pass), or `open` for an environment in
    which nobody is served. `budget_window` is how far back drills count against the budget of a lab that only lives
    during drills.
    """

    prometheus: str | None = Field(default=None, examples=["http://prometheus.example.org:9090"])
    prometheus_credentials: Credentials | None = None
    alertmanager: str | None = Field(default=None, examples=["http://alertmanager.example.org:9093"])
    alertmanager_credentials: Credentials | None = None
    without_data: Literal["held", "open"] = "held"
    budget_window: Duration = 2_592_000.0


Traffic = Annotated[float, Field(gt=0, le=1000)]


class DrillHere(Part):
    """What is different with one drill here. `within`: of an alert or a playbook that must fire, within what time of
    the fault's effect, in this environment's own seconds, which no pace multiplies. `traffic`: the environment's own
    if left out.
    """

    within: dict[str, Duration] = Field(default_factory=dict, examples=[{"NodeNotReady": "100s"}])
    traffic: Traffic | None = None


class Environment(Part):
    """kind: Environment.

    `region` is where its requests go and its samples are kept; a tier whose `data_residency` leaves it out has no load
    here. Pages go to a stub that speaks PagerDuty's Events v2, never to a person. `target: external` is a platform that
    somebody else runs: `load` and `monitoring` say where it is reached, `names` what there is, and `pace` by how much
    its drills are slower than the lab's: it multiplies their phases, their `within`, the moments of their load shapes,
    the windows of their guardrails and how long a refusal may take. Where alerts hold out no longer than in the lab,
    `blip_pace: 1` keeps blips as short. `traffic` multiplies the rates of their load, for a platform that is larger or
    smaller than the lab; a replay keeps those of its recording. `drills` gives a single one other deadlines or traffic.
    `target: kubernetes` is a cluster, which `kubernetes` describes; load, monitoring, pace and traffic are as with
    external.
    """

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["Environment"]
    metadata: Metadata
    target: Literal["lab", "external", "kubernetes"]
    tiers: Name
    workloads: Name
    region: str | None = Field(default=None, min_length=1, examples=["eu"])
    lab: LabShape = LabShape()
    load: LoadConnection | None = None
    monitoring: Monitoring | None = None
    names: Names = Names()
    kubernetes: KubernetesSettings | None = None
    pace: float = Field(default=1.0, ge=1.0, le=1000.0)
    blip_pace: float | None = Field(default=None, ge=1.0, le=1000.0, description="of a blip's fault; pace if left out")
    traffic: Traffic = 1.0
    drills: dict[Name, DrillHere] = Field(default_factory=dict)
    clock: Clock = Clock()
    lease: Duration = Field(default=5.0, description="time after which a fault that is not renewed is undone; 1s to 1h")
    blast_radius: BlastRadius = BlastRadius()
    protected: Annotated[tuple[str, ...], Frozen] = ()
    cost: Cost | None = None
    pager: Literal["stub"] = "stub"
    idle_floor: Ratio = 0.0
    dependencies: Annotated[tuple[Dependency, ...], Frozen] = ()
    gates: EnvironmentGates = EnvironmentGates()

    @property
    def limits(self) -> Limits:
        """How far faults may reach here, and what they must leave alone."""
        return Limits(self.metadata.name, self.blast_radius.limits, self.protected)

    @property
    def signals(self) -> frozenset[str]:
        """What can be measured here beside status and time, see `documents.measured`; all of it in the lab."""
        if self.target == "lab":
            return frozenset(SIGNALS)
        if self.load is None:
            return frozenset()
        told = self.load.response_headers
        found = {name for name in SIGNALS if getattr(told, HEADER_OF.get(name, name), None) is not None}
        found |= {"rejections"} if self.load.rejected else set()
        found |= {"rejection_reasons"} if any(one.header for one in self.load.rejected) else set()
        return frozenset(found | ({"answers"} if self.load.answers == "golden" else set()))
