"""The Scenario document: a fault that somebody learning to be on call is put in front of, and what a good answer is.

What a trainee may read of it before the debrief is its name, title, level and brief, and the hints they ask for; the
rest is the facilitator's. Times count from the begin of the exercise, those of an incident's evidence from its effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, WithJsonSchema

from tierdrill.documents.models.drill import Load, Scalar
from tierdrill.documents.models.units import Duration, Frozen, Metadata, Name, Part
from tierdrill.faults.known_kinds import KINDS
from tierdrill.remedies.known_remedies import REMEDIES

Level = Literal["first-day", "intermediate", "hard"]
LEVELS: tuple[Level, ...] = ("first-day", "intermediate", "hard")
Look = Literal[
    "alerts", "pages", "tiers", "replicas", "nodes", "gpus", "links", "gateways", "logs", "metrics", "playbooks"
]  # fmt: skip
"""Where a trainee can look; what they looked at is recorded under these words."""

FaultName = Annotated[str, WithJsonSchema({"type": "string", "enum": list(KINDS)})]
"""A kind of fault. An unknown one is found by the checks, with the place where it stands and the nearest."""

if TYPE_CHECKING:
    AnyRemedy = str
else:
    AnyRemedy = Literal[(*REMEDIES, "run-playbook", "roll-back")]
"""What a trainee can do: every remedy, a whole playbook, taking an action back."""


class Mitigation(Part):
    """An action that mends the incident, or takes it away from customers.

    `target` is as in alerts and playbooks: `node-1`, `node-1/0`, `assistant-1`, `gateway-a>node-2`, a tier or a flag;
    for run-playbook the playbook's name, with the target after a space where it matters. Left out: any target.
    """

    remedy: AnyRemedy
    target: str | None = None


class Harmful(Part):
    """An action that makes it worse here, and why; without a target: on whatever target that is no mitigation."""

    remedy: AnyRemedy
    target: str | None = None
    why: str


class Evidence(Part):
    """What a good responder would have seen: where, what, and how long after the incident took effect."""

    where: Look
    what: str
    after: Duration = 0.0


class Incident(Part):
    """One thing that goes wrong: a kind of fault, on one target or several at once, and the right answer.

    `parameters` has one mapping for each injection of the fault. `tier` is the most important tier that it hurts. The
    three `within` are the times for full points: from the page to its acknowledgement (left out: what the tier's own
    escalation allows, scaled), and from the effect to a right hypothesis and to mitigation. At three times as long
    there are none.
    """

    name: Name
    at: Duration
    fault: FaultName
    parameters: Annotated[tuple[dict[str, Scalar], ...], Field(min_length=1), Frozen]
    tier: Name
    cause: str
    accept: Annotated[tuple[str, ...], Frozen] = ()
    acknowledge_within: Duration | None = None
    hypothesis_within: Duration = 45.0
    mitigate_within: Duration = 60.0
    mitigations: Annotated[tuple[Mitigation, ...], Field(min_length=1), Frozen]
    harmful: Annotated[tuple[Harmful, ...], Frozen] = ()
    playbook: Name | None = Field(default=None, description="the playbook a good responder follows, if there is one")
    evidence: Annotated[tuple[Evidence, ...], Field(min_length=1), Frozen]

    @property
    def right_causes(self) -> tuple[str, ...]:
        """Every hypothesis that counts as right, the best first."""
        return (self.cause, *self.accept)


class Sign(Part):
    """What there is to see: an XID line in a node's kernel log, a message to the trainee, or a page."""

    node: str | None = None
    gpu: int | None = Field(default=None, ge=0, le=63)
    xid: int | None = Field(default=None, ge=1, le=999)
    sender: str | None = None
    tier: Name | None = None
    text: str | None = None


class Noise(Sign):
    """A sign that means nothing: an XID line in a node's kernel log, a message to the trainee, a page."""

    at: Duration
    kind: Literal["xid", "message", "page"]


class Inject(Sign):
    """Something that the facilitator may do at a moment of their choice: a second fault, a message, a false clue."""

    name: Name
    kind: Literal["fault", "xid", "message", "page"]
    why: str = ""
    fault: FaultName | None = None
    parameters: dict[str, Scalar] = Field(default_factory=dict)


class Hint(Part):
    """One hint and the points it costs; hints are given in order."""

    text: str
    cost: int = Field(default=5, ge=1, le=50)


class Wrong(Part):
    """Automation that is wrong on purpose: this playbook acts on that target, whatever its alert says."""

    playbook: Name
    target: str


class Points(Part):
    """The most points of each line of the score; they are scaled to 100 together. Hints only cost."""

    acknowledge: int = Field(default=15, ge=0, le=100)
    hypothesis: int = Field(default=20, ge=0, le=100)
    mitigation: int = Field(default=25, ge=0, le=100)
    harm: int = Field(default=15, ge=0, le=100)
    priority: int = Field(default=5, ge=0, le=100)
    objectives: int = Field(default=10, ge=0, le=100)
    playbook: int = Field(default=5, ge=0, le=100)
    updates: int = Field(default=5, ge=0, le=100)


class Scenario(Part):
    """kind: Scenario. `metadata.name` is a code name, and neither it nor the title says what is broken.

    `time_scale` divides the tiers' `acknowledge_within`, so that escalation happens within an exercise. `weight` is how
    often this is met in the field, for scenarios that are drawn.
    """

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["Scenario"]
    metadata: Metadata
    level: Level
    environment: Name
    brief: str
    truth: str
    load: Load
    duration: Duration
    time_scale: float = Field(default=20.0, ge=1, le=1000)
    incidents: Annotated[tuple[Incident, ...], Field(min_length=1), Frozen]
    noise: Annotated[tuple[Noise, ...], Frozen] = ()
    injects: Annotated[tuple[Inject, ...], Frozen] = ()
    hints: Annotated[tuple[Hint, ...], Frozen] = ()
    automation: Literal["on", "off", "wrong"] = "off"
    wrong: Wrong | None = None
    updates_every: Duration = 45.0
    reading: str = Field(description="the document to read next: a path from the catalogue's root, or an address")
    weight: float = Field(default=1.0, ge=0, le=1000)
    points: Points = Points()
