"""Was each fault that was planned injected, seen to land, seen to be gone, and only then ended: when it was planned to,
by the experiment itself. One that was not planned, or that was hardly in effect, is as much of a doubt.

What is proven here is what the rest of the verdict rests on: a fault that somebody else ended early, or that outlived
the time in which the service was to recover, makes deadlines and objectives say nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import ExperimentHypothesis, ExperimentRollbacks
from tierdrill.history.projection import FaultSpan
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status

UNDO_BEGINS_WITHIN_S = 5.0
"""So long after the planned end of a fault its undo may begin; how long it may take says the fault's mechanism."""
EARLY_S = 1.0
BEFORE_PHASE_S = 0.5
LOST_SHARE = 0.2
"""A fault may be in effect for so much less of its planned time, or for a second (half of it at most) where that is
more."""
UNDOER, INJECTOR = "experiment", "its injector"
"""Who ends a fault as planned: the drill's own experiment, or whoever injected one that is only observed."""
OBSERVED = "somebody else's, as told"
"""The mechanism of a fault that is only observed: this run has left nothing behind where it goes on."""
UNDOERS = frozenset({UNDOER, INJECTOR})


@dataclass(frozen=True)
class _Subject:
    """One fault that was planned or intended; `span` is None where it was never intended."""

    kind: str
    target: str
    activity: str
    span: FaultSpan | None
    planned: bool = True


def judge_faults(planned: Sequence[Mapping[str, Any]], timeline: Timeline) -> list[Check]:
    """Each fault was seen to land, and seen to be gone, by a witness that did not inject.

    `planned` are the activities of run.started; empty for a history that does not tell them.
    """
    subjects = _subjects(planned, timeline)
    if not subjects:
        seen = "none was"
        return [Check("fault/any/landed", "fault", Status.INCONCLUSIVE, "a fault", "at least one is injected", seen)]
    checks: list[Check] = []
    for path, subject in zip(_paths(subjects), subjects, strict=True):
        if subject.span is None:
            checks.append(_not_intended(path, subject))
        else:
            landed = _landed(path, subject.span, timeline, planned=subject.planned)
            checks.extend([landed, _gone(path, subject.span, timeline)])
    return checks


def _subjects(planned: Sequence[Mapping[str, Any]], timeline: Timeline) -> list[_Subject]:
    wanted = {(str(one["kind"]), str(one["target"])) for one in planned}
    found = [
        _Subject(span.kind, span.target, "", span, not wanted or (span.kind, span.target) in wanted)
        for span in timeline.faults
    ]
    unmatched = Counter((span.kind, span.target) for span in timeline.faults)
    for one in planned:
        about = str(one["kind"]), str(one["target"])
        if unmatched[about]:
            unmatched[about] -= 1
        else:
            found.append(_Subject(*about, str(one.get("activity", "")), None))
    return found


def _paths(subjects: Iterable[_Subject]) -> list[str]:
    """The first part of each fault's check ids: its kind, its target too where the kind is not unique in the run."""
    kinds = Counter(subject.kind for subject in subjects)
    paths: list[str] = []
    for subject in subjects:
        plain = f"fault/{subject.kind}"
        if kinds[subject.kind] > 1:
            plain += f"/{subject.target.replace('/', ':')}"
        path, again = plain, 1
        while path in paths:
            again += 1
            path = f"{plain}:{again}"
        paths.append(path)
    return paths


def _not_intended(path: str, subject: _Subject) -> Check:
    return Check(
        f"{path}/landed",
        "fault",
        Status.INCONCLUSIVE,
        f"{subject.kind} on {subject.target} takes effect",
        f"it is injected, as planned by {subject.activity or 'the experiment'}",
        "it was never intended",
    )


def _landed(path: str, fault: FaultSpan, timeline: Timeline, *, planned: bool) -> Check:
    effect, during = fault.effective_at, timeline.phases.get("fault")
    late = (effect or 0.0) - (fault.planned_at or effect or 0.0)
    if effect is None:
        status, seen = Status.INCONCLUSIVE, "; ".join(map(": ".join, fault.problems)) or "no witness saw it"
    else:
        seen = f"in effect at +{effect - timeline.started_at:.2f}s, {late * 1000:.0f}ms after plan ({fault.mechanism})"
        # An effect that begins when it should be over was not there while the service was watched for it.
        doubts = [] if planned else ["not planned"]
        if during is None or not during[0] - BEFORE_PHASE_S <= effect <= during[1]:
            doubts.append("not within the fault phase")
        status = Status.INCONCLUSIVE if doubts else Status.PASSED
        seen = ", ".join([seen, *doubts])
    return Check(
        f"{path}/landed",
        "fault",
        status,
        f"{fault.kind} on {fault.target} takes effect",
        "it was planned, and a witness that did not inject it sees it in effect within the fault phase",
        seen,
        fault.events,
        value=late if effect is not None and fault.planned_at else None,
    )


def _gone(path: str, fault: FaultSpan, timeline: Timeline) -> Check:
    landed, gone = fault.effective_at is not None, fault.gone_at
    doubts: list[str] = []
    if gone is None:
        status = Status.UNCLEAN if landed and fault.mechanism != OBSERVED else Status.INCONCLUSIVE
        seen = "; ".join(map(": ".join, fault.problems)) or "no witness saw it gone"
    else:
        doubts = _doubts(fault, gone, timeline)
        status = Status.INCONCLUSIVE if doubts else Status.PASSED
        seen = "; ".join([f"gone at +{gone - timeline.started_at:.2f}s", *doubts])
    return Check(
        f"{path}/gone",
        "fault",
        status,
        f"{fault.kind} on {fault.target} is gone",
        "a witness sees it gone: ended by the experiment, no sooner than planned, within "
        f"{_undone_within(fault):g}s of that and before clean-up",
        seen,
        fault.events,
    )


def _doubts(fault: FaultSpan, gone: float, timeline: Timeline) -> list[str]:
    """Why its end was not the planned one. Comparisons are such that a time which is no number is a doubt."""
    during, recovery, clean_up = (timeline.phases.get(name) for name in ("fault", "recovery", "clean-up"))
    if during is None or recovery is None or clean_up is None:
        return ["the run did not go through fault, recovery and clean-up"]
    end = timeline.planned.get("recovery", recovery[0])
    early = min(EARLY_S, max(0.0, end - timeline.planned.get("fault", during[0])) / 2)
    others = sorted({by for at, by in fault.reverts if by not in UNDOERS and not at >= clean_up[0]})
    doubts = [f"undone by {by or 'an unknown process'} before clean-up" for by in others]
    if not any(by in UNDOERS and at <= gone for at, by in fault.reverts):
        doubts.append(f"not undone by the {UNDOER}")
    if not gone >= end - early:
        doubts.append(f"{end - gone:.1f}s before the planned end of the fault")
    if fault.effective_at is not None and not gone >= fault.effective_at:
        doubts.append("before it took effect")
    elif fault.effective_at is not None and (lacking := _lacking(fault, gone - fault.effective_at, end)):
        doubts.append(lacking)
    if not gone <= recovery[0] + _undone_within(fault):
        doubts.append(f"{gone - recovery[0]:.1f}s into recovery")
    if not gone <= clean_up[0]:
        doubts.append("after the begin of clean-up")
    return doubts


def _undone_within(fault: FaultSpan) -> float:
    return UNDO_BEGINS_WITHIN_S + fault.gone_within_s


def _lacking(fault: FaultSpan, lasted: float, end: float) -> str:
    """Why it was in effect for too little of its time; empty if it was not."""
    begin = fault.intended_at if fault.planned_at is None else fault.planned_at
    wanted = max(0.0, end - begin) if begin is not None else 0.0
    least = wanted - max(LOST_SHARE * wanted, min(EARLY_S, wanted / 2))
    return "" if lasted >= least else f"in effect for {lasted:.1f}s of {wanted:.1f}s"


TITLES = {
    "before": "the experiment's hypothesis holds before its method",
    "during": "the experiment's hypothesis holds during its method",
    "after": "the experiment's hypothesis holds after its method",
}


def judge_experiment(events: Sequence[Event]) -> list[Check]:
    """A check for each time its hypothesis was asked, and one of its rollbacks; none for a history without them."""
    asked = each(events, ExperimentHypothesis)
    checks = []
    for when, title in TITLES.items():
        if mine := [(event, said) for event, said in asked if said.when == when]:
            checks.append(_hypothesis(when, title, mine))
    if played := each(events, ExperimentRollbacks):
        checks.append(_rollbacks(played))
    return checks


def _hypothesis(when: str, title: str, told: Sequence[tuple[Event, ExperimentHypothesis]]) -> Check:
    # Nothing but true is an answer that it held.
    unmet = [said for _, said in told if said.met is not True]
    decisive = next((said for said in unmet if said.met is False), unmet[0] if unmet else told[0][1])
    if not unmet:
        status = Status.PASSED
    elif when == "before" or decisive.met is not False:
        status = Status.INCONCLUSIVE
    else:
        status = Status.FAILED
    seen = decisive.seen or "not reported"
    return Check(
        f"experiment/hypothesis/{when}",
        "experiment",
        status,
        title,
        "every probe of it is within its tolerance",
        f"{seen}; the method was not played" if unmet and when == "before" else seen,
        tuple(event.sequence for event, _ in told),
    )


def _rollbacks(played: Sequence[tuple[Event, ExperimentRollbacks]]) -> Check:
    # Played again, only what failed the last time is left.
    last = played[-1][1]
    failed = [one for one in last.failed if isinstance(one, dict)]
    # What tierdrill's own undo could not mend is on the ledger, and judged there.
    own = all(one.get("own") for one in failed)
    status = (Status.INCONCLUSIVE if own else Status.UNCLEAN) if failed else Status.PASSED
    seen = "; ".join(f"{one.get('activity')}: {one.get('seen')}" for one in failed)
    return Check(
        "experiment/rollbacks",
        "experiment",
        status,
        "the experiment's rollbacks succeed",
        "none of them fails",
        seen or f"{last.played} played",
        tuple(event.sequence for event, _ in played),
    )
