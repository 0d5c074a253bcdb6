"""The Drill document: what is broken, under what load, in which phases, and what must and must not happen.

Times in `within` count from the fault's seen effect, not from the inject call.
"""

import math
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from tierdrill.documents.models.playbook import Remedy
from tierdrill.documents.models.units import Duration, Frozen, Metadata, Name, Part, Rate, Ratio

CONNECTIONS_LEAST, CONNECTIONS_MOST = 200, 20000
Scalar = str | int | float | bool


class Shape(Part):
    """How a stream's rate moves over the run: `factor` multiplies it; times count from the schedule's start."""

    kind: Literal["steady", "step", "ramp", "spike", "replay"] = "steady"
    factor: float = Field(default=1.0, gt=0, le=100)
    at: Duration = 0.0
    lasts: Duration | None = None
    file: str | None = None

    @property
    def factor_max(self) -> float:
        """The most that the stream's rate is multiplied by."""
        return self.factor if self.kind == "steady" else max(1.0, self.factor)

    def area(self, begin: float, end: float) -> float:
        """The factor summed over a span (seconds since the schedule's start): arrivals of a rate of one a second.

        A replay's arrivals are the recording's; here it counts as steady.
        """
        if self.kind == "steady":
            return self.factor * (end - begin)
        turns = [self.at, self.at + self.lasts] if self.lasts is not None else [self.at]
        edges = [begin, *(turn for turn in turns if begin < turn < end), end]
        return sum(self._factor_at((since + until) / 2) * (until - since) for since, until in pairwise(edges))

    def _factor_at(self, at: float) -> float:
        if self.kind == "replay" or at < self.at:
            return 1.0
        over = not self.lasts or at >= self.at + self.lasts
        if self.kind == "ramp":
            return self.factor if over else 1.0 + (self.factor - 1.0) * (at - self.at) / (self.lasts or 1.0)
        return 1.0 if over and self.lasts is not None else self.factor


class Stream(Part):
    """One kind of customer: which model it asks, as which class, how often, and how large its requests are."""

    name: Name
    tier: Name
    model: Name
    customer_class: str | None = None
    rate: Rate
    streaming: Ratio = 0.0
    prompt_tokens: int = Field(default=16, ge=1, le=4096)
    max_tokens: int = Field(default=8, ge=1, le=4096)
    timeout: Duration = 5.0
    shape: Shape = Shape()


class Load(Part):
    """All streams, their seed, and the limits beyond which the generator itself is not to be believed.

    `connections_max` is how many requests may be open at once; left out, twice what a total outage takes.
    """

    seed: int = Field(default=1, ge=0)
    streams: Annotated[tuple[Stream, ...], Field(min_length=1), Frozen]
    connections_max: int | None = Field(default=None, ge=1, le=CONNECTIONS_MOST)
    lag_p99_max: Duration = 0.05
    dropped_max: Ratio = 0.01

    @property
    def connections_needed(self) -> int:
        """Requests that are open at once while none is answered, on average: rate x timeout of all streams."""
        paced = [stream for stream in self.streams if stream.shape.kind != "replay"]
        return math.ceil(sum(stream.rate * stream.shape.factor_max * stream.timeout for stream in paced))

    @property
    def connections(self) -> int:
        """How many requests may be open at once: what is given, or room for a total outage and a surge."""
        if self.connections_max is not None:
            return self.connections_max
        return min(CONNECTIONS_MOST, max(CONNECTIONS_LEAST, 2 * self.connections_needed))


class Phases(Part):
    """How long each phase lasts; the load spans all of them."""

    warm_up: Duration
    baseline: Duration
    fault: Duration
    recovery: Duration


ObjectiveName = Literal[
    "availability",
    "error_ceiling",
    "latency",
    "time_to_first_token",
    "queue_wait",
    "stall",
    "time_to_detect",
    "time_to_mitigate",
    "time_to_recover",
    "mttr",
    "integrity",
]


class TierExpectation(Part):
    """What must hold for one tier: its own objectives, judged over the phases named.

    `integrity_within` is for a fault that makes answers wrong: integrity holds before it is injected, and again from
    that long after its effect on.
    """

    tier: Name
    during: Annotated[tuple[Literal["baseline", "fault", "recovery"], ...], Field(min_length=1), Frozen] = (
        "fault",
        "recovery",
    )
    objectives: Annotated[tuple[ObjectiveName, ...], Frozen] = ()
    integrity_within: Duration | None = None


class AlertExpectation(Part):
    """An alert that must fire (or, in must_not_fire, must not), with the labels it must carry."""

    alert: str
    labels: dict[str, str] = Field(default_factory=dict)
    within: Duration | None = None
    resolves: bool = False


class EffectExpectation(Part):
    """What must be seen of a playbook's effect by somebody who did not carry it out, beside its remedies' witnesses."""

    within: Duration | None = Field(default=None, description="of the fault's effect; by default the playbook's within")
    alert_resolves: bool = Field(
        default=False, description="the alert that started it must be over before the fault is undone"
    )


class EscalationExpectation(Part):
    """People must be called for help, because the playbook fails or is held back, and somebody must acknowledge."""

    contact: str | None = Field(default=None, description="who must be paged; by default anybody")
    acknowledged_by: str | None = Field(default=None, description="who must acknowledge; by default anybody")
    within: Duration | None = Field(default=None, description="from the fault's effect to the acknowledgement")


class PlaybookExpectation(Part):
    """A playbook that its alert must start and that must run to success: on which target, how soon, how often, after
    which others, with what effect. With `escalation` it must call for help, and need not succeed or even run.
    """

    playbook: Name
    target: str | None = None
    within: Duration | None = None
    count: int = Field(default=1, ge=1)
    attempts: int = Field(default=1, ge=1, description="it must succeed with so many attempts at the most")
    after: Annotated[tuple[Name, ...], Frozen] = ()
    effect: EffectExpectation = EffectExpectation()
    escalation: EscalationExpectation | None = None


class Alerts(Part):
    """Alerts that must and must not fire; `others` says what an alert in neither list means.

    With `no-pages` it may open a ticket and must not page anybody. `forbidden`: neither. `allowed`: it says nothing.
    What fires under the name of one that must fire, but for something else, counts as in neither list.
    """

    must_fire: Annotated[tuple[AlertExpectation, ...], Frozen] = ()
    must_not_fire: Annotated[tuple[AlertExpectation, ...], Frozen] = ()
    others: Literal["allowed", "no-pages", "forbidden"] = "no-pages"


class Playbooks(Part):
    """Playbooks that must and must not run; by default one in neither list must not run."""

    must_fire: Annotated[tuple[PlaybookExpectation, ...], Frozen] = ()
    must_not_fire: Annotated[tuple[Name, ...], Frozen] = ()
    others: Literal["allowed", "forbidden"] = "forbidden"


InvariantName = Literal[
    "tier-order",
    "refusal-order",
    "best-effort-returns",
    "goodput-holds",
    "rejections-cheap",
    "rejections-labelled",
]


class Invariants(Part):
    """Cross-tier invariants to judge, with their limits."""

    check: Annotated[tuple[InvariantName, ...], Frozen] = (
        "tier-order",
        "refusal-order",
        "best-effort-returns",
        "goodput-holds",
        "rejections-cheap",
        "rejections-labelled",
    )
    goodput_floor: Ratio = 0.5
    returns_to: Ratio = 0.8
    rejection_latency_p99: Duration = 0.1


class Expect(Part):
    """Everything the verdict is about."""

    tiers: Annotated[tuple[TierExpectation, ...], Frozen] = ()
    alerts: Alerts = Alerts()
    playbooks: Playbooks = Playbooks()
    invariants: Invariants = Invariants()
    class_of_failure: Literal["blip", "partial", "systemic"] | None = None


class Guardrail(Part):
    """Abort the run when a tier's availability over a sliding window falls below a floor, for at least `window`."""

    tier: Name
    availability_below: Ratio
    window: Duration = 3.0
    requests_at_least: int = Field(default=20, ge=1)


class Proof(Part):
    """For a stock Chaos Toolkit activity: the probes that prove its fault landed and is gone.

    A probe is named as in the experiment: any probe with a tolerance there, which says what it must return.
    """

    activity: str
    landed: str
    gone: str
    within: Duration = 5.0


class Blip(Part):
    """The blip twin: the same fault, but short; nothing may fire."""

    fault: Duration
    warm_up: Duration | None = None
    baseline: Duration | None = None
    recovery: Duration | None = None


class SabotageAction(Part):
    """One thing taken away or broken: exactly one of the fields is given, `to`, `how` and `late_by` beside theirs.

    A remedy that is broken says that it worked, and its step's own `verify` is not asked: only what else sees the
    effect can tell.
    """

    disable_playbook: Name | None = None
    silence_alert: str | None = None
    retarget_playbook: Name | None = None
    to: str | None = Field(
        default=None, description="with retarget_playbook, or with break_remedy and how wrong-target: the wrong target"
    )
    flags_off: Annotated[tuple[str, ...], Frozen] = ()
    break_remedy: Remedy | None = None
    how: Literal["nothing", "half", "twice", "late", "wrong-target"] | None = Field(
        default=None, description="with break_remedy: what it does instead of what it says"
    )
    late_by: Duration = Field(default=5.0, description="with break_remedy and how late: how much later it is done")
    freeze_exporter: str | None = Field(default=None, description="a node whose exporter repeats its last metrics")
    pager_down: bool = False


class Sabotage(Part):
    """A run with its safety net cut, and the checks (ids; `*` matches within one part) that must fail because of it."""

    name: Name
    why: str = ""
    do: SabotageAction
    fails: Annotated[tuple[str, ...], Field(min_length=1), Frozen]


class OnCall(Part):
    """The person on call, whom the run plays: acknowledges each page that arrives, some time after it."""

    name: str = "on-call"
    acknowledges_after: Duration = 1.0


class DrillFields(Part):
    """What a drill says, and what a template may say for many."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["Drill", "DrillTemplate"]
    metadata: Metadata
    description: str
    experiment: str
    environment: Name
    variables: dict[str, Scalar] = Field(default_factory=dict)
    load: Load
    phases: Phases
    proofs: Annotated[tuple[Proof, ...], Frozen] = ()
    expect: Expect
    guardrails: Annotated[tuple[Guardrail, ...], Frozen] = ()
    on_call: OnCall | None = Field(default=None, description="without it nobody acknowledges a page")
    blip: Blip | None = None
    sabotages: Annotated[tuple[Sabotage, ...], Frozen] = ()
    proves: Annotated[tuple[str, ...] | None, Frozen] = Field(
        default=None,
        description="protections of the gateways and playbooks without which a promise breaks in this drill; none: []",
    )


class DrillTemplate(DrillFields):
    """kind: DrillTemplate: what drills share, as much of a drill as it likes to say. A drill names it as `template`."""

    kind: Literal["DrillTemplate"]


class Drill(DrillFields):
    """kind: Drill.

    What it does not say is as its template says: mappings are merged key by key, a list is one or the other's.
    """

    kind: Literal["Drill"]
    template: Name | None = Field(default=None, description="a DrillTemplate that says what this drill does not")

    @property
    def touched(self) -> frozenset[str]:
        """The tiers that it sends load to, judges or guards."""
        named = (self.load.streams, self.expect.tiers, self.guardrails)
        return frozenset(one.tier for some in named for one in some)
