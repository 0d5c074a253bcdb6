"""The GameDay document: several drills in one sitting, with people in their roles."""

from typing import Annotated, Literal

from pydantic import Field

from tierdrill.documents.models.drill import Guardrail, Scalar
from tierdrill.documents.models.units import Duration, Frozen, Metadata, Name, Part

Role = Literal["facilitator", "on-call", "scribe", "observer"]
Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Participant(Part):
    """Who sits at the table, and as what. One name may stand for a whole team."""

    name: Text
    role: Role
    contact: str = ""


class Checklist(Part):
    """What is to be seen to before the first drill and after the last one; each line is ticked by somebody."""

    before: Annotated[tuple[Text, ...], Frozen] = ()
    after: Annotated[tuple[Text, ...], Frozen] = ()


class Announcement(Part):
    """Who is told what, when and by which channel.

    It falls due at a moment of the game day: so long `ahead` of it, at its start, when each step begins, when each
    step ends, at the end, or when it is aborted. Somebody tells it and ticks it; tierdrill sends nothing.
    """

    to: Text
    channel: Text
    when: Literal["ahead", "start", "step", "step-end", "end", "abort"]
    ahead: Duration | None = Field(default=None, description="with when: ahead")
    text: Text


class Hypothesis(Part):
    """What the team expects of a step, in words.

    `checks` are the verdict's checks (ids; `*` matches within one part) that it stands for: it held if all of them
    passed. Without any, the facilitator says whether it held.
    """

    words: Text
    checks: Annotated[tuple[str, ...], Frozen] = ()


class Step(Part):
    """One drill of the game day. `pause` follows it, before the next step."""

    drill: Name
    name: Name | None = Field(default=None, description="where one drill is run twice")
    variant: str = "drill"
    variables: dict[str, Scalar] = Field(default_factory=dict)
    hypotheses: Annotated[tuple[Hypothesis, ...], Frozen] = ()
    pause: Duration | None = None

    @property
    def title(self) -> str:
        """The name by which people call the step."""
        return self.name or self.drill


class AbortCriterion(Part):
    """When everything is stopped: in words, for people; with a guardrail every run watches it by itself."""

    words: Text
    guardrail: Guardrail | None = None


class GameDay(Part):
    """kind: GameDay."""

    apiVersion: Literal["tierdrill/v1"]
    kind: Literal["GameDay"]
    metadata: Metadata
    goal: Text
    environment: Name
    participants: Annotated[tuple[Participant, ...], Field(min_length=1), Frozen]
    checklist: Checklist = Checklist()
    communications: Annotated[tuple[Announcement, ...], Frozen] = ()
    abort: Annotated[tuple[AbortCriterion, ...], Frozen] = ()
    steps: Annotated[tuple[Step, ...], Field(min_length=1), Frozen]
    next_step: Literal["by-hand", "by-clock"] = Field(
        default="by-hand", description="whether a pause that is over begins the next step, or the facilitator does"
    )
    extend_by: Duration = Field(default=300.0, description="how much longer a pause gets each time it is extended")
