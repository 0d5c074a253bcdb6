"""The Workloads document: which models serve which tier, and the rules that route a request to a tier."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from tierdrill.documents.models.units import Duration, Frozen, Metadata, Name, Part
from tierdrill.documents.request_rules import RequestFacts, first_match, minutes_of

PROMPT_TOKENS_MAX = 32768
ANSWER_TOKENS_MAX = 4096


def _readable_hours(hours: str) -> str:
    minutes_of(hours)
    return hours


Hours = Annotated[str, AfterValidator(_readable_hours), Field(examples=["08:00-18:00"])]
"""Hours of the day in UTC; they may go over midnight."""


class ServiceTime(Part):
    """How long a healthy GPU works on a request: linear in the tokens read and the tokens written."""

    prefill_per_token: Duration
    decode_per_token: Duration

    def seconds(self, prompt_tokens: float, max_tokens: float) -> float:
        """The whole of a request's time on a GPU."""
        return self.prefill_per_token * prompt_tokens + self.decode_per_token * max_tokens


class Model(Part):
    """A model, the tier its replicas are placed for, and why it belongs there (risk, impact, frequency).

    A longer prompt than `prompt_tokens_at_most`, or a request for more than `max_tokens_at_most`, is refused (400).
    `replicas`, `memory_gib`, `slots`, `service` and `seed` shape the lab, which needs the first two and `service`.
    """

    name: Name
    tier: Name
    risk: Literal["high", "medium", "low"]
    impact: Literal["high", "medium", "low"]
    frequency: Literal["constant", "daily", "occasional"]
    rationale: str
    replicas: int = Field(default=1, ge=1, le=64)
    memory_gib: int = Field(default=1, ge=1)
    slots: int = Field(default=8, ge=1, le=1024)
    prompt_tokens_at_most: int = Field(default=512, ge=1, le=PROMPT_TOKENS_MAX)
    max_tokens_at_most: int = Field(default=256, ge=1, le=ANSWER_TOKENS_MAX)
    service: ServiceTime = ServiceTime(prefill_per_token=0.0, decode_per_token=0.0)
    seed: int = Field(default=1, ge=0)


class Route(Part):
    """A routing rule: every condition given must hold; the first rule that matches decides the tier.

    `customer_class` and `region` (the customer's) are compared without regard to case; `transaction` is the value that
    is at stake for the customer; `hours` are in UTC.
    """

    model: Name | None = None
    customer_class: str | None = None
    prompt_tokens_at_least: int | None = Field(default=None, ge=1)
    prompt_tokens_at_most: int | None = Field(default=None, ge=1)
    max_tokens_at_least: int | None = Field(default=None, ge=1)
    max_tokens_at_most: int | None = Field(default=None, ge=1)
    region: str | None = None
    transaction_at_least: float | None = Field(default=None, gt=0)
    transaction_at_most: float | None = Field(default=None, gt=0)
    hours: Hours | None = None
    tier: Name

    def takes_all(self, model: str) -> bool:
        """Whether every request to that model matches."""
        return self.model in (None, model) and self == Route(model=self.model, tier=self.tier)


class Workloads(Part):
    """kind: Workloads."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["Workloads"]
    metadata: Metadata
    tiers: Name
    models: Annotated[tuple[Model, ...], Field(min_length=1), Frozen]
    routes: Annotated[tuple[Route, ...], Field(min_length=1), Frozen]

    def model(self, name: str) -> Model | None:
        """The model of that name."""
        return next((model for model in self.models if model.name == name), None)

    def serves(self, tier: str, model: str) -> bool:
        """Whether a route gives requests to that model that tier."""
        return any(route.tier == tier and route.model in (None, model) for route in self.routes)

    def tier_of(self, model: str, customer_class: str | None, prompt_tokens: int, max_tokens: int) -> str | None:
        """The tier the rules give a request of which no more is known; None where no rule matches."""
        number = first_match(self.routes, RequestFacts(model, customer_class, prompt_tokens, max_tokens))
        return None if number is None else self.routes[number].tier
