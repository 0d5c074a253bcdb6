"""The Playbook document: which alert starts which remedy, on what, how often at the most, and who is told if it fails.

Throttle words are those of Ansible's event-driven rules (once_within, once_after, accumulate_within). `${...}` in a
value is a plain look-up (`${target}`, `${labels.node}`), never code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tierdrill.documents.models.units import Duration, Frozen, Metadata, Name, Part, Ratio
from tierdrill.remedies.facts import FACTS
from tierdrill.remedies.known_remedies import IN_PLAYBOOKS

Scalar = str | int | float | bool
TargetKind = Literal["node", "gpu", "replica", "link", "gateway", "tier", "store", "service"]

if TYPE_CHECKING:
    Remedy = str
else:
    Remedy = Literal[IN_PLAYBOOKS]
"""What a playbook's step can do."""


class Match(Part):
    """The alert that starts the playbook; every label given must be equal. What is observed may start by a node's
    `condition` instead, such as `GpuXid=True`.
    """

    alert: str = ""
    condition: str | None = Field(default=None, pattern="^[^=]+=(True|False|Unknown)$", examples=["GpuXid=True"])
    labels: dict[str, str] = Field(default_factory=dict)


class Condition(Part):
    """A fact about the deployment that must hold, e.g. fact `node.ready` of subject `${labels.node}` is false."""

    fact: str = Field(json_schema_extra={"enum": list(FACTS)})
    subject: str = ""
    equals: Scalar | None = None
    at_least: float | None = Field(default=None)
    at_most: float | None = Field(default=None)


class Verify(Condition):
    """A condition that must come true within a time after a step."""

    within: Duration = 5.0


class Throttle(Part):
    """At most once in a window per group; or only after N alerts have come in a window."""

    once_within: Duration | None = None
    once_after: Duration | None = None
    accumulate_within: Duration | None = None
    threshold: int = Field(default=1, ge=1)
    group_by: Annotated[tuple[str, ...], Frozen] = ()


class Concurrency(Part):
    """How many runs at once that share the value of `key` (a label), and what happens to one too many."""

    key: str = ""
    max: int = Field(default=1, ge=1)
    on_limit: Literal["skip", "queue"] = "skip"


class Fuse(Part):
    """Stops the playbook when it would touch more of the nodes than this in the window (NVSentinel: 50% in 5 min)."""

    max_nodes: Ratio = 0.5
    window: Duration = 300.0


class Action(Part):
    """A remedy by name, with its arguments."""

    do: Remedy
    arguments: dict[str, Scalar | list[str]] = Field(default_factory=dict)


class Step(Action):
    """One step: the remedy, how to see that it worked, and how to take it back if the playbook fails later.

    A step whose effect lasts (a shed, a weight, a flag, a cordon) has a rollback, or on_resolve takes it back,
    or it says that it stays, and why. What stays is put back at the end of the run.
    """

    name: str
    timeout: Duration = 5.0
    verify: Verify | None = None
    rollback: Action | None = None
    stays: bool = False
    why: str = ""


class OnResolve(Part):
    """Steps to run when the alert that started the playbook resolves (lift a shed, give a weight back)."""

    steps: Annotated[tuple[Step, ...], Frozen] = ()


class Escalation(Part):
    """Whom to tell when every attempt failed or a guard refused: the ladder of that tier."""

    tier: Name
    summary: str = ""


class Look(Part):
    """One thing that an automation is seen to do, in the API of the cluster.

    `by` is a pattern for the field manager that did it, and `key` one for that of a taint or label. `kind` is that of a
    custom resource, with its group (RebootNode.janitor.dgxc.nvidia.com), or a pattern for a workload's. A custom
    resource or Job has succeeded once `done` holds, such as `phase=Succeeded` or `conditions[NodeReady]=True`; a drain
    once no replica is left on the node.
    """

    do: Literal[
        "cordon", "uncordon", "taint", "untaint", "label", "drain", "evict", "delete", "scale", "rollout", "budget",
        "job", "custom-resource",
    ]
    by: str | None = Field(default=None, min_length=1, examples=["*fault-quarantine*"])
    kind: str | None = Field(default=None, min_length=1, examples=["RebootNode.janitor.dgxc.nvidia.com"])
    key: str | None = Field(default=None, min_length=1, examples=["node.kubernetes.io/out-of-service"])
    done: str | None = Field(default=None, pattern="^[^=]+=.+$", examples=["conditions[NodeReady]=True"])


class External(Part):
    """The playbook runs in another tool: it reports start and finish to our receiver, signed with HMAC-SHA256, or it
    reports nothing, and what it does is seen in the cluster's API (`observe`, in that order).

    `secret_env` names the environment variable that holds the shared secret; the secret itself is never written down.
    `webhook` is where the tool takes alerts: the run posts each that matches there, with the address for its reports. A
    tool that does not report in time counts as failed, and so does one whose last step comes later than
    `finish_within` after the first. `opt_out` are the labels by which the tool leaves a node alone: what the sabotage
    `disable_playbook` puts on it for one run.
    """

    tool: str
    secret_env: str | None = None
    observe: Annotated[tuple[Look, ...], Frozen] = ()
    opt_out: dict[str, str] = Field(
        default_factory=dict, examples=[{"k8saas.nvidia.com/ManagedByNVSentinel": "false"}]
    )
    webhook: str | None = Field(default=None, examples=["http://127.0.0.1:9101/alerts"])
    start_within: Duration = 30.0
    finish_within: Duration = 300.0


class Playbook(Part):
    """kind: Playbook."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["Playbook"]
    metadata: Metadata
    engine: Literal["tierdrill", "external"] = "tierdrill"
    match: Match
    when: Annotated[tuple[Condition, ...], Frozen] = ()
    forbidden_when: Annotated[tuple[Condition, ...], Frozen] = ()
    target: str
    target_kind: TargetKind
    throttle: Throttle = Throttle()
    concurrency: Concurrency = Concurrency()
    fuse: Fuse | None = None
    attempts: int = Field(default=2, ge=1, le=10)
    steps: Annotated[tuple[Step, ...], Frozen] = ()
    on_resolve: OnResolve = OnResolve()
    escalation: Escalation | None = None
    external: External | None = None
    dry_run: bool = False

    @property
    def observed(self) -> tuple[Look, ...]:
        """What is looked for of a playbook of a tool that reports nothing."""
        return self.external.observe if self.external is not None else ()
