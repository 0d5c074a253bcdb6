"""What is judged of automation that is observed in the cluster's API: its cause, its giving back, and that nobody else
acts; and whether the API was watched all the while.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from tierdrill.documents.models.playbook import Look, Playbook
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.response_kinds import WATCH, MonitoringGap, RemediationSeen
from tierdrill.history.kinds.run_kinds import PlatformCondition, RunStarted
from tierdrill.history.observed_playbooks import GIVING_BACK
from tierdrill.history.playbook_spans import Execution
from tierdrill.history.projection import project
from tierdrill.judge.checks.escalation_checks import aspect_of
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status

ALWAYS_SEEN = frozenset({"nodes", "pods"})
SEEN_BY = {"job": "jobs", "scale": "workloads", "rollout": "workloads", "budget": "budgets"}
"""By which watch what an automation does is seen, where it is neither of nodes nor of pods."""


def not_by_condition(one: Execution, condition: str, events: Sequence[Event]) -> str:
    """Why a node's condition (TYPE=STATUS) cannot have started an execution; "" if it can."""
    name, _, status = condition.partition("=")
    told = [
        (event.at, said.status)
        for event, said in each(events, PlatformCondition)
        if (said.object, said.condition) == (one.target, name)
    ]
    before = [seen for at, seen in told if at <= one.started_at]
    if before and before[-1] == status:
        return ""
    later = [at - one.started_at for at, seen in told if seen == status and at > one.started_at]
    if later:
        return f"it was started {later[0]:.1f}s before {one.target} had {condition}"
    if before:
        return f"{one.target} had {name}={before[-1]} when it was started"
    return f"{one.target} was not seen to have {condition}"


def given_back(playbook: Playbook, good: Sequence[Execution], events: Sequence[Event]) -> list[Check]:
    """Nothing where the document does not say that what was observed is taken back."""
    looks = playbook.observed
    if not good or not looks or looks[-1].do not in GIVING_BACK:
        return []
    back = {one.execution: one for one in project(events).playbooks if one.phase == "resolve"}
    missing = [
        one.problem if (one := back.get(run.execution)) else f"{looks[-1].do} of {run.target} was not seen"
        for run in good
    ]
    missing = [problem for problem in missing if problem]
    cited = tuple(number for run in good for number in (back[run.execution].events if run.execution in back else ()))
    return [
        aspect_of(
            playbook.metadata.name,
            "given-back",
            Status.FAILED if missing else Status.PASSED,
            "what it changed is taken back before the run ends",
            "; ".join(missing) or "it was",
            cited,
        )
    ]


def strangers(events: Sequence[Event], ran: Sequence[Execution], expected: str) -> list[Check]:
    """One failed check for each who acts on the platform and whom no playbook here names. Whom the API does not tell
    is nobody, and what the platform does by itself is no remediation.
    """
    known = {number for one in ran for number in one.events}
    known |= {number for one in project(events).playbooks for number in one.events}
    acts: dict[str, list[tuple[Event, RemediationSeen]]] = {}
    for event, said in each(events, RemediationSeen):
        if said.actor and not said.own and event.sequence not in known:
            acts.setdefault(said.actor, []).append((event, said))
    return [
        Check(
            id=f"playbook/{actor}/silent",
            group="playbook",
            status=Status.FAILED,
            title=f"{actor} stays out of it",
            expected=expected,
            seen=f"it did {', '.join(dict.fromkeys(f'{said.do} {said.object}' for _, said in seen))}",
            events=tuple(event.sequence for event, _ in seen),
        )
        for actor, seen in sorted(acts.items())
    ]


def _concerns(what: str, looks: Sequence[Look]) -> bool:
    """Whether what was not watched is something that is looked for; nodes and pods always are."""
    named = [look for look in looks if look.do == "custom-resource"]
    return (
        what in ALWAYS_SEEN
        or any(SEEN_BY.get(look.do) == what for look in looks)
        or any(fnmatchcase(what.lower(), str(look.kind).lower()) or what == "custom resources" for look in named)
    )


def judge_watches(looks: Sequence[Look], events: Sequence[Event], timeline: Timeline) -> list[Check]:
    """On Kubernetes: its API told of every change from the fault to the end of recovery, without a gap."""
    gaps = [(event, gap) for event, gap in each(events, MonitoringGap) if gap.what.startswith(WATCH)]
    starts = [said for _, said in each(events, RunStarted)]
    if not gaps and not (starts and starts[0].setting.get("environment", {}).get("target") == "kubernetes"):
        return []
    begin = timeline.phases.get("fault", (timeline.started_at, 0.0))[0]
    end = timeline.phases.get("recovery", (0.0, timeline.ended_at))[1]
    blind = [
        (event, gap)
        for event, gap in gaps
        if _concerns(gap.what.removeprefix(WATCH), looks)
        # One of no length was never watched.
        and (event.at >= begin or not gap.seconds)
        and (event.at - gap.seconds if gap.began_at is None else gap.began_at) <= end
    ]
    # A gap that lasts is told more than once.
    longest = {gap.what: gap for _, gap in sorted(blind, key=lambda one: one[1].seconds)}
    told = [
        f"{what.removeprefix(WATCH)} unseen{f' for {gap.seconds:.1f}s' if gap.seconds else ''}: {gap.reason}"
        for what, gap in longest.items()
    ]
    return [
        Check(
            id="run/watches",
            group="run",
            status=Status.INCONCLUSIVE if blind else Status.PASSED,
            title="the cluster's API is watched",
            expected="every change of the cluster is seen from the fault to the end of recovery",
            seen="; ".join(told) or "no gap",
            events=tuple(event.sequence for event, _ in blind),
        )
    ]
