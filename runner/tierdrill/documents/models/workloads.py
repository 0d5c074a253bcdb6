"""The Workloads document: which models serve which tier, and the rules that route a request to a tier."""

from typing import Annotated, Literal

from pydantic import Field

from tierdrill.documents.models.units import Duration, Frozen, Metadata, Name, Part

PROMPT_TOKENS_MAX = 32768
ANSWER_TOKENS_MAX = 4096


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

    `customer_class` is compared without regard to case.
    """

    model: Name | None = None
    customer_class: str | None = None
    prompt_tokens_at_least: int | None = Field(default=None, ge=1)
    prompt_tokens_at_most: int | None = Field(default=None, ge=1)
    max_tokens_at_least: int | None = Field(default=None, ge=1)
    max_tokens_at_most: int | None = Field(default=None, ge=1)
    tier: Name

    def is_for(self, model: str, customer_class: str | None) -> bool:
        """Whether requests of that class to that model can match, by their size alone."""
        return self.model in (None, model) and (
            self.customer_class is None or same_class(self.customer_class, customer_class)
        )

    def takes(self, prompt_tokens: int, max_tokens: int) -> bool:
        """Whether a request of that size can match."""
        return (
            prompt_tokens >= (self.prompt_tokens_at_least or 0)
            and (self.prompt_tokens_at_most is None or prompt_tokens <= self.prompt_tokens_at_most)
            and max_tokens >= (self.max_tokens_at_least or 0)
            and (self.max_tokens_at_most is None or max_tokens <= self.max_tokens_at_most)
        )


def same_class(one: str, other: str | None) -> bool:
    """Whether two names of a customer class mean the same: case does not matter."""
    return other is not None and one.casefold() == other.casefold()


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

    def tier_of(self, model: str, customer_class: str | None, prompt_tokens: int, max_tokens: int) -> str | None:
        """The tier the rules give a request; None where no rule matches."""
        for rule in self.routes:
            if rule.is_for(model, customer_class) and rule.takes(prompt_tokens, max_tokens):
                return rule.tier
        return None
