"""The TierTests document: requests, and the tier that each must get or why it must be refused."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tierdrill.documents.models.units import Frozen, Metadata, Name, Part, Ratio
from tierdrill.documents.request_rules import RequestFacts

Refusal = Literal["no-such-model", "prompt-too-long", "answer-too-long", "residency"]


class TierCase(Part):
    """One request and what becomes of it: exactly one of `tier` and `refused`. `time` is the hour in UTC."""

    name: str = Field(min_length=1)
    model: str
    customer_class: str | None = None
    transaction: float | None = Field(default=None, ge=0)
    region: str | None = None
    prompt_tokens: int = Field(default=16, ge=1)
    max_tokens: int = Field(default=8, ge=1)
    time: str | None = Field(default=None, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:30"])
    tier: Name | None = None
    refused: Refusal | None = None

    @model_validator(mode="after")
    def _one_outcome(self) -> "TierCase":
        if (self.tier is None) == (self.refused is None):
            raise ValueError("got both or neither, expected exactly one of tier and refused")
        return self

    @property
    def request(self) -> RequestFacts:
        """What the rules look at."""
        minute = int(self.time[:2]) * 60 + int(self.time[3:]) if self.time is not None else None
        return RequestFacts(
            self.model, self.customer_class, self.prompt_tokens, self.max_tokens, self.region, self.transaction, minute
        )


class TierTests(Part):
    """kind: TierTests. Of the routing rules at least the share `coverage` must be reached by a case."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["TierTests"]
    metadata: Metadata
    workloads: Name
    coverage: Ratio = 1.0
    cases: Annotated[tuple[TierCase, ...], Field(min_length=1), Frozen]
