"""What an action of the trainee was, held against the scenario: it mends an incident, harms, is needless, or neither.

Pure. Actions bear the names of the remedies that playbooks use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tierdrill.documents.models.scenario import Harmful, Incident, Mitigation, Scenario
from tierdrill.documents.models.tiers import Tiers
from tierdrill.history.events import Event
from tierdrill.history.kinds.exercise_kinds import TraineeAction
from tierdrill.remedies.known_remedies import REMEDIES
from tierdrill.training.scoring.exercise_timeline import ExerciseTimeline, PageSeen

Kind = Literal["mends", "harms", "needless", "neutral", "refused", "failed"]

WORKED_WITHIN_S = 30.0
"""An action that gave no answer counts if the incident's alert was over so soon after it."""


@dataclass(frozen=True)
class Act:
    """One action: the remedy, every name that its target may be called by, and whether it was carried out."""

    at: float
    remedy: str
    targets: tuple[str, ...]
    parameters: Mapping[str, Any]
    ok: bool
    refused: bool
    seen: str
    event: int

    @property
    def target_form(self) -> str:
        """What kind of thing it was on, as the remedy's record says; "" for a playbook."""
        return REMEDIES[self.remedy].target if self.remedy in REMEDIES else ""

    @property
    def words(self) -> str:
        return f"{self.remedy} {self.targets[0]}" if self.targets else self.remedy


@dataclass(frozen=True)
class Judged:
    """An action and what it was; `incidents` are those it mends."""

    act: Act
    kind: Kind
    why: str
    incidents: tuple[str, ...] = ()


def act_of(event: Event, said: TraineeAction) -> Act:
    remedy, parameters, target = said.action, dict(said.parameters), said.target
    names = [target]
    if remedy in REMEDIES:
        names = [REMEDIES[remedy].target_of(parameters), target]
    elif remedy == "run-playbook":
        playbook = str(parameters.get("playbook") or target.partition(" ")[0])
        of = str(parameters.get("target") or (target if target != playbook else "")).removeprefix(f"{playbook} ")
        names = [f"{playbook} {of}".strip(), playbook]
    return Act(
        at=event.at,
        remedy=remedy,
        targets=tuple(dict.fromkeys(name for name in names if name)),
        parameters=parameters,
        ok=said.ok,
        refused=bool(said.refused),
        seen=said.seen,
        event=event.sequence,
    )


def matches(answer: Mitigation | Harmful, act: Act) -> bool:
    """Whether the action is the one that the scenario names. A weight at every gateway is one at each of them."""
    if answer.remedy != act.remedy:
        return False
    if answer.target is None or answer.target in act.targets:
        return True
    if act.target_form != "link":
        return False
    # Off a place at every gateway is off it at each; off it at one gateway is a part of off it at all.
    gateway, _, place = answer.target.rpartition(">")
    return place in act.targets or (not gateway and any(name.rpartition(">")[2] == place for name in act.targets))


def judge_deeds(timeline: ExerciseTimeline, scenario: Scenario, tiers: Tiers) -> tuple[Judged, ...]:
    return tuple(_judge(act_of(*deed), timeline, scenario, tiers) for deed in timeline.did(TraineeAction))


def _judge(act: Act, timeline: ExerciseTimeline, scenario: Scenario, tiers: Tiers) -> Judged:
    if act.refused:
        return Judged(act, "refused", act.seen or "it was not carried out")
    if act.ok and _gives_back(act):
        return Judged(act, "neutral", "it gives something back")
    begun = [one for one in scenario.incidents if _has_effect(one, timeline, act.at)]
    mended = [one for one in begun if any(matches(answer, act) for answer in one.mitigations)]
    if not act.ok:
        worked = tuple(one.name for one in mended if _worked_all_the_same(act, one, timeline, scenario))
        if worked:
            return Judged(act, "mends", "it reported a failure, and the alert resolved right after it", worked)
        return Judged(act, "failed", act.seen or "it was not carried out")
    if mended:
        return Judged(act, "mends", "it is what this needed", tuple(one.name for one in mended))
    if _about_an_inject(act, timeline, scenario):
        return Judged(act, "neutral", "it is about what the facilitator injected, which is not scored")
    for incident in scenario.incidents:
        for harm in incident.harmful:
            if matches(harm, act) and not any(matches(answer, act) for answer in incident.mitigations):
                return Judged(act, "harms", harm.why)
    if (wrong := _against_the_order(act, tiers)) is not None:
        return Judged(act, "harms", wrong)
    harmless = act.remedy == "roll-back" or (act.remedy in REMEDIES and REMEDIES[act.remedy].harmless)
    if harmless or _is_lowest(act, tiers) or _near(act, begun, timeline):
        return Judged(act, "neutral", "it neither helps nor harms")
    when = "nothing was wrong yet" if not begun else "nothing that was seen called for it"
    return Judged(act, "needless", when)


def _worked_all_the_same(act: Act, incident: Incident, timeline: ExerciseTimeline, scenario: Scenario) -> bool:
    """On a slow platform a remedy may give no answer in time and have happened."""
    return any(
        page.silent_at is not None
        and act.at <= page.silent_at <= act.at + WORKED_WITHIN_S
        and incident_of(page, timeline, scenario) == incident.name
        for page in timeline.pages
    )


def _has_effect(incident: Incident, timeline: ExerciseTimeline, at: float) -> bool:
    seen = timeline.incidents.get(incident.name)
    return seen is not None and seen.effect is not None and seen.effect <= at


def _about_an_inject(act: Act, timeline: ExerciseTimeline, scenario: Scenario) -> bool:
    ours = {one.name for one in scenario.incidents}
    hit = {
        part
        for name, seen in timeline.incidents.items()
        if name not in ours and seen.effect is not None and seen.effect <= act.at
        for target in seen.targets
        for part in parts_of(target)
    }
    return bool(hit & {part for target in act.targets for part in (target, target.rpartition(" ")[2])})


def parts_of(target: str) -> tuple[str, ...]:
    """What a target may be called: itself, the node of a GPU, the far end of a link."""
    return target, target.partition("/")[0], target.rpartition(">")[2]


def _gives_back(act: Act) -> bool:
    if act.target_form == "flag":
        # fail_open is the one flag that is off where all is well.
        return bool(act.parameters.get("value")) != ("fail_open" in act.targets)
    return act.remedy in REMEDIES and REMEDIES[act.remedy].restores(act.parameters)


def _against_the_order(act: Act, tiers: Tiers) -> str | None:
    """Turning away the top tier helps nobody, in any scenario."""
    top = tiers.by_rank()[0]
    if act.target_form == "tier" and top.name in act.targets and len(tiers.tiers) > 1:
        return "it turns away the customers who matter most"
    return None


def _is_lowest(act: Act, tiers: Tiers) -> bool:
    first = min(tiers.tiers, key=lambda tier: tier.shed_order)
    return act.target_form == "tier" and first.name in act.targets


def _near(act: Act, begun: Sequence[Incident], timeline: ExerciseTimeline) -> bool:
    """Closing the node that is hit is a step on the way of every drain."""
    nodes = {target.partition("/")[0] for one in begun for target in timeline.incidents[one.name].targets}
    closes = act.remedy in REMEDIES and REMEDIES[act.remedy].sets == ("cordon",)
    return closes and bool(nodes & set(act.targets))


def incident_of(page: PageSeen, timeline: ExerciseTimeline, scenario: Scenario) -> str | None:
    """The incident that a page is about; None for noise, or where it cannot be told."""
    if page.incident is not None:
        return page.incident if page.incident in timeline.incidents else None
    if any(one.kind == "page" and one.text in (page.key, page.summary) for one in scenario.noise):
        return None
    begun = [
        one for one in scenario.incidents if _has_effect(one, timeline, page.sent_at)
    ]
    if len(begun) == 1 and len(scenario.incidents) == 1:
        return begun[0].name
    best = max(begun, key=lambda one: _mention(page, one, timeline), default=None)
    return best.name if best is not None and _mention(page, best, timeline) > 0 else None


def _mention(page: PageSeen, incident: Incident, timeline: ExerciseTimeline) -> int:
    """How plainly a page speaks of an incident: its target, a part of that, its tier, or not at all."""
    about = page.key.rpartition("/")[2] if "/" not in page.key else page.key.partition("/")[2]
    targets = timeline.incidents[incident.name].targets
    if about in targets or any(target in page.summary.split() for target in targets):
        return 3
    parts = {part for target in targets for part in target.replace(">", "/").split("/") if not part.isdigit()}
    if about in parts or parts & set(about.replace(">", "/").split("/")):
        return 2
    return 1 if page.tier == incident.tier else 0
