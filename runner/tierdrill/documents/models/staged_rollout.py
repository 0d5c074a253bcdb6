"""A staged rollout: a drill begins small and climbs, stage by stage, only after clean proven runs. Part of a Calendar.

A clean proven run has passed: its fault was seen to land and to be gone, nothing was left behind, its load is to be
believed and every promise was kept (a passed verdict is all of that). A failed or unclean run steps the drill down.
"""

from typing import Annotated, Literal

from pydantic import Field

from tierdrill.documents.models.units import Duration, Frozen, Name, Part

Scalar = str | int | float | bool


class Reach(Part):
    """The most that a stage may touch at one time. It only ever narrows what the environment allows."""

    nodes: int | None = Field(default=None, ge=0)
    gpus: int | None = Field(default=None, ge=0)
    replicas: int | None = Field(default=None, ge=0)
    links: int | None = Field(default=None, ge=0)
    gateways: int | None = Field(default=None, ge=0)
    stores: int | None = Field(default=None, ge=0)


class Stage(Part):
    """One stage: what differs from the entry here, and how many clean runs in a row lead on to the next.

    `variables` are laid over the entry's (a pilot on one workload, one tier); `drill` and `environment` stand in for
    the entry's (the same fault with fewer targets and its own expectations; staging before production); `variant: blip`
    runs the drill's blip twin; `reach` narrows the environment's blast radius.
    """

    name: Name
    drill: Name | None = None
    environment: Name | None = None
    variant: Literal["drill", "blip"] = "drill"
    variables: dict[str, Scalar] = Field(default_factory=dict)
    reach: Reach = Reach()
    clean_runs: int = Field(default=3, ge=1, le=1000)


class Rollout(Part):
    """The stages in order, smallest first, and what a failed or unclean run does.

    `step_down` goes one stage back, `restart` to the first, `hold` stays and lets the drill start no more until
    somebody has set its stage by hand. `owner` is told of every move; the entry's owner where none is named. A count of
    clean runs older than `stale_after` begins again, since what it showed may no longer hold.
    """

    stages: Annotated[tuple[Stage, ...], Field(min_length=2), Frozen]
    on_failure: Literal["step_down", "restart", "hold"] = "step_down"
    stale_after: Duration = 2_592_000.0
    owner: str = ""
