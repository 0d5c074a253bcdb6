"""The Tiers document: what each tier promises, to whom, and what it may do to others when capacity is short."""

from collections.abc import Collection
from datetime import UTC, date, timedelta
from typing import Annotated, Literal

from pydantic import Field

from tierdrill.documents.calendar.moments import ends_at, starts_at
from tierdrill.documents.models.error_budget import QUICK_PAGE, budget_of, burn_threshold
from tierdrill.documents.models.units import Date, Duration, Frozen, Metadata, Moment, Name, Part, Ratio
from tierdrill.text import listed

WINDOW_LOSS_MAX = 0.5
Quantile = Literal["p50", "p90", "p95", "p99", "p99.9"]


QUANTILE_OBJECTIVES = ("latency", "time_to_first_token", "queue_wait", "stall")
"""The objectives that limit quantiles of a time."""
STREAMED_OBJECTIVES = frozenset({"time_to_first_token", "stall"})
"""Those of them that only streamed answers tell of."""
RETRY_BURST = 10.0
"""So many retries of a tier a gateway may make at once, before the ratio of its retry budget holds it."""


def quantile_share(name: str) -> float:
    """The share a quantile's name stands for: "p99.9" -> 0.999."""
    return float(name[1:]) / 100.0


class WorstWindow(Part):
    """A floor for every window of this length in the judged phases, however good the rest of the run was."""

    lasts: Duration = 10.0
    availability: Ratio

    @property
    def outage_s(self) -> float:
        """The longest total outage that it bears, in seconds."""
        return self.lasts * (1.0 - self.availability)


class Objectives(Part):
    """What a tier promises; every field left out is not promised and not judged.

    Latencies count from the intended send, so waiting in the client counts too; `stall` is the longest wait for a
    further piece of a streamed answer. For ranks that count rejections
    (`rejections_count`), a shed request is a bad request; otherwise availability is that of admitted requests.
    Times count from the fault's effect: to the expected alert delivered (`time_to_detect`), to the tier back in target
    (`time_to_mitigate`), to the fault gone as well (`time_to_recover`). `typical` is the share of requests that go bad
    when a fault is handled as it should be: what the size of a drill's load is made for. `fallback_at_most` is the
    share of answers that may come from another model than the one asked, `Tier.fallback_allowed` says what holds
    without it. Without a `worst_window` there is one all the same: `any_window`.
    """

    availability: Ratio | None = None
    error_ceiling: Ratio | None = None
    latency: dict[Quantile, Duration] = Field(default_factory=dict)
    time_to_first_token: dict[Quantile, Duration] = Field(default_factory=dict)
    queue_wait: dict[Quantile, Duration] = Field(default_factory=dict)
    stall: dict[Quantile, Duration] = Field(default_factory=dict)
    time_to_detect: Duration | None = None
    time_to_mitigate: Duration | None = None
    time_to_recover: Duration | None = None
    mttr: Duration | None = Field(default=None, description="the older name of time_to_mitigate")
    integrity: Ratio | None = None
    fallback_at_most: Ratio | None = None
    rejections_count: bool = True
    typical: Ratio | None = None
    worst_window: WorstWindow | None = None

    @property
    def mitigate_within(self) -> float | None:
        """The time to mitigate, under whichever name the document has it."""
        return self.mttr if self.time_to_mitigate is None else self.time_to_mitigate

    @property
    def error_budget(self) -> float | None:
        """The share of requests that may fail; None where neither availability nor an error ceiling is promised."""
        return budget_of(self.availability, self.error_ceiling)

    @property
    def any_window(self) -> WorstWindow | None:
        """The floor of every window: as stated, or else ten seconds at the burn rate that pages, half of them at most.

        None where there is no error budget.
        """
        if self.worst_window is not None or not self.error_budget:
            return self.worst_window
        loss = min(WINDOW_LOSS_MAX, burn_threshold(QUICK_PAGE.factor, self.error_budget))
        return WorstWindow(availability=1.0 - loss)


class EscalationLevel(Part):
    """One rung of the on-call ladder: whom to page, and how long to wait for an acknowledgement before the next."""

    contact: str
    acknowledge_within: Duration


class RetryBudget(Part):
    """Retries allowed: at most `attempts` tries a request, and at most `ratio` of the tier's requests in total."""

    attempts: int = Field(default=3, ge=1, le=10)
    ratio: Ratio = 0.1


class Queue(Part):
    """How many requests of the tier may wait in a gateway for one model, and for how long."""

    limit: int = Field(default=64, ge=0)
    wait: Duration = 1.0


Roles = Annotated[tuple[str, ...], Frozen]


class Rights(Part):
    """Decision rights: the roles that may decide something about a tier, alone and in an incident too.

    `scale`: how many replicas serve it; `fail_over`: where they are, and where its requests go; `override`: to lift one
    of its rules for a while; `declare_maintenance`: to excuse its objectives for a while; `approve_change`: to make a
    promise of it weaker. A right that names nobody is not restricted, but for `override`, which nobody has then.
    """

    scale: Roles = ()
    fail_over: Roles = ()
    override: Roles = ()
    declare_maintenance: Roles = ()
    approve_change: Roles = ()


class Approval(Part):
    """That somebody with the right to `approve_change` approved a change of a tier: of which fields, when and why."""

    tier: Name
    fields: Annotated[tuple[str, ...], Frozen] = Field(min_length=1, examples=[["objectives.availability"]])
    by: str
    on: Date
    reason: str


class Maintenance(Part):
    """A declared maintenance: scheduled drills are held, and what the tiers promise is excused and marked so.

    A date as the `end` is that whole day; times are UTC unless they say otherwise. No `tiers`: all of them.
    """

    start: Moment
    end: Moment
    declared_by: str
    reason: str
    tiers: Annotated[tuple[Name, ...], Frozen] = ()

    @property
    def span(self) -> tuple[float, float]:
        """Unix seconds of its begin, and of the first moment that is no longer in it."""
        return starts_at(self.start, UTC).timestamp(), ends_at(self.end, UTC).timestamp()

    def goes_on(self, at: float) -> bool:
        """Whether that moment (Unix seconds) is in it."""
        start, end = self.span
        return start <= at < end

    def covers(self, tier: str) -> bool:
        """Whether it is of that tier."""
        return not self.tiers or tier in self.tiers

    def __str__(self) -> str:
        tiers = listed(self.tiers) if self.tiers else "every tier"
        return f"maintenance of {tiers} until {self.end}, declared by {self.declared_by}: {self.reason}"


class Tier(Part):
    """One tier. Rank 1 is the most important, everywhere.

    `rights` says who may decide about it. What it promises is `reviewed` by its owner every `review_every`.
    `fallback_lowest_tier` is the least important tier that its `fallback_model` may be of: the next below, where it
    says nothing. `data_residency` names the regions in which its requests may be served and kept; `any` is everywhere.
    """

    name: Name
    rank: int = Field(ge=1, le=100)
    owner: str
    rationale: str
    escalation: Annotated[tuple[EscalationLevel, ...], Frozen]
    objectives: Objectives
    reserved_slots: int = Field(default=0, ge=0)
    may_preempt: Annotated[tuple[Name, ...], Frozen] = ()
    shed_order: int = Field(ge=1, description="1 is shed first")
    queue: Queue = Queue()
    deadline: Duration = 5.0
    attempt_timeout: Duration = 1.0
    retry_budget: RetryBudget = RetryBudget()
    fallback_model: Name | None = None
    fallback_lowest_tier: Name | None = None
    data_residency: Annotated[tuple[str, ...], Frozen] = ()
    rights: Rights = Rights()
    override_by: Roles = Field(default=(), description="the older name of rights.override")
    reviewed: Date | None = None
    review_every: Duration | None = Field(default=None, examples=["90d"])

    @property
    def may_override(self) -> tuple[str, ...]:
        """The roles with the right to lift one of its rules, under whichever name the document has it."""
        return self.rights.override or self.override_by

    @property
    def review_due(self) -> date | None:
        """The day by which it must be reviewed again; None where no review is asked for."""
        if self.review_every is None or self.reviewed is None:
            return None
        return date.fromisoformat(self.reviewed) + timedelta(seconds=self.review_every)

    def review_overdue(self, today: date) -> bool:
        """Whether it was to be reviewed before today."""
        return self.review_due is not None and self.review_due < today

    @property
    def fallback_allowed(self) -> float | None:
        """The share of answers that may come from another model: none of a tier without a `fallback_model`.

        None where a document of an earlier version names one and does not say how often.
        """
        stated = self.objectives.fallback_at_most
        return 0.0 if stated is None and self.fallback_model is None else stated


class Tiers(Part):
    """kind: Tiers."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["Tiers"]
    metadata: Metadata
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1), Frozen]
    approvals: Annotated[tuple[Approval, ...], Frozen] = ()
    maintenance: Annotated[tuple[Maintenance, ...], Frozen] = ()

    def by_name(self, name: str) -> Tier:
        """The tier of that name; KeyError if there is none."""
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise KeyError(name)

    def maintenance_at(self, moment: float, touched: Collection[str]) -> list[Maintenance]:
        """What goes on at a moment (Unix seconds) and covers one of the tiers that are touched."""
        return [one for one in self.maintenance if one.goes_on(moment) and any(map(one.covers, touched))]

    def by_rank(self) -> list[Tier]:
        """Most important first."""
        return sorted(self.tiers, key=lambda tier: (tier.rank, tier.name))
