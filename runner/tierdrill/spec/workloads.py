"""The Workloads document: which models serve which tier, and the rules that route a request to a tier."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tierdrill.spec.units import Duration, Frozen, Metadata, Name, Part


class ServiceTime(Part):
    """How long a healthy GPU works on a request: linear in the tokens read and the tokens written."""

    prefill_per_token: Duration
    decode_per_token: Duration


class Model(Part):
    """A model, the tier its replicas are placed for, and why it belongs there (risk, impact, frequency)."""

    name: Name
    tier: Name
    risk: Literal["high", "medium", "low"]
    impact: Literal["high", "medium", "low"]
    frequency: Literal["constant", "daily", "occasional"]
    rationale: str
    replicas: int = Field(ge=1, le=64)
    memory_gib: int = Field(ge=1)
    slots: int = Field(default=8, ge=1, le=1024)
    service: ServiceTime
    seed: int = Field(default=1, ge=0)


class Route(Part):
    """A routing rule: every condition given must hold; the first rule that matches decides the tier."""

    model: Name | None = None
    customer_class: str | None = None
    max_tokens_at_least: int | None = Field(default=None, ge=1)
    max_tokens_at_most: int | None = Field(default=None, ge=1)
    tier: Name


class Workloads(Part):
    """kind: Workloads."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["Workloads"]
    metadata: Metadata
    tiers: Name
    models: Annotated[tuple[Model, ...], Field(min_length=1), Frozen]
    routes: Annotated[tuple[Route, ...], Field(min_length=1), Frozen]

    def tier_of(self, model: str, customer_class: str | None, max_tokens: int) -> str | None:
        """The tier the rules give a request; None where no rule matches."""
        for rule in self.routes:
            if rule.model not in (None, model) or rule.customer_class not in (None, customer_class):
                continue
            if rule.max_tokens_at_least is not None and max_tokens < rule.max_tokens_at_least:
                continue
            if rule.max_tokens_at_most is not None and max_tokens > rule.max_tokens_at_most:
                continue
            return rule.tier
        return None
