"""Did the right playbooks run, and was it they that helped.

Judged is the whole chain: the alert fires, it starts the playbook, on the right target, every step works, somebody who
did not carry it out sees the effect, in time and while the fault is there; as often as it should, in order, nobody had
to be called, and no other playbook ran.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import PlaybookExpectation
from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.units import show_duration
from tierdrill.history.events import Event, each
from tierdrill.history.kinds import response_kinds
from tierdrill.history.playbook_spans import Execution
from tierdrill.judge.checks.alert_checks import Firing, sightings
from tierdrill.judge.checks.escalation_checks import aspect_of, escalated, escalations, not_escalated
from tierdrill.judge.checks.observed_checks import given_back, not_by_condition, strangers
from tierdrill.judge.checks.remedy_effects import Effect, Witnesses
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.timeline import Timeline, executions
from tierdrill.judge.verdict import Check, Status
from tierdrill.text import plural


@dataclass(frozen=True)
class _Past:
    """All that the checks of one run look at."""

    events: Sequence[Event]
    timeline: Timeline
    ran: Sequence[Execution]
    sightings: Sequence[Firing]
    witnesses: Witnesses
    playbooks: Mapping[str, Playbook]

    def effect(self, one: Execution | None, target: str | None) -> float | None:
        """When the fault took effect that an execution, or an expectation, is about."""
        return self.timeline.effect_on(one.names if one else {target or ""})

    def begun(self, one: Execution) -> float | None:
        """Since when the fault that an execution is about can have acted."""
        return self.timeline.begun_on(one.names)

    def undone(self, one: Execution) -> float:
        """When the fault that an execution is about was begun to be undone, or was gone; else the end of history."""
        moments = [
            min([fault.gone_at or self.timeline.ended_at, *(at for at, _ in fault.reverts)])
            for fault in self.timeline.faults_on(one.names)
        ]
        return max(moments, default=self.timeline.ended_at)

    def gone(self, one: Execution) -> float | None:
        """When the fault that an execution is about was gone; None while it was not."""
        moments = [fault.gone_at for fault in self.timeline.faults_on(one.names)]
        return None if None in moments else max((at for at in moments if at is not None), default=None)


def judge_playbooks(
    setting: DrillSetting, events: Sequence[Event], timeline: Timeline, samples: Mapping[str, TierSamples]
) -> list[Check]:
    wanted = setting.drill.expect.playbooks
    ran = executions(events)
    past = _Past(
        events,
        timeline,
        ran,
        sightings(events),
        Witnesses(events, samples, timeline, setting.environment.lab.gateway_names),
        {playbook.metadata.name: playbook for playbook in setting.playbooks},
    )
    checks = []
    for expectation in wanted.must_fire:
        checks.extend(_must_fire(expectation, past))
    named = {expectation.playbook for expectation in wanted.must_fire}
    checks.extend(
        _silent(name, [one for one in ran if one.playbook == name], "it must not run in this drill")
        for name in wanted.must_not_fire
    )
    if wanted.others == "forbidden":
        for name in sorted({one.playbook for one in ran} - named - set(wanted.must_not_fire)):
            mine = [one for one in ran if one.playbook == name]
            checks.append(_silent(name, mine, "no playbook but those named"))
        checks.extend(strangers(events, ran, "nobody but the playbooks named acts"))
    others = {said.playbook for _, said in each(events, response_kinds.PlaybookEscalated)} - named
    checks.extend(not_escalated(name, events) for name in sorted(others))
    return checks


def judge_no_playbooks(events: Sequence[Event]) -> list[Check]:
    """For a blip: nothing runs at all, and nobody is called."""
    ran = executions(events)
    acted = strangers(events, ran, "nobody acts on a blip")
    called = each(events, response_kinds.PlaybookEscalated)
    if called:
        first = called[0][1]
        return [
            *_ran_on_a_blip(ran),
            *acted,
            Check(
                "playbook/all/escalation",
                "playbook",
                Status.FAILED,
                "nobody is called",
                "nobody is called on a blip",
                f"{first.playbook} called for help: {first.reason}",
                tuple(event.sequence for event, _ in called),
            ),
        ]
    if not ran and not acted:
        return [
            Check(
                "playbook/all/silent",
                "playbook",
                Status.PASSED,
                "no playbook runs",
                "nothing runs on a blip",
                "none ran",
            )
        ]
    return [*_ran_on_a_blip(ran), *acted]


def _ran_on_a_blip(ran: Sequence[Execution]) -> list[Check]:
    return [
        _silent(name, [one for one in ran if one.playbook == name], "nothing runs on a blip")
        for name in sorted({one.playbook for one in ran})
    ]


def _silent(name: str, ran: Sequence[Execution], expected: str) -> Check:
    return Check(
        id=f"playbook/{name}/silent",
        group="playbook",
        status=Status.FAILED if ran else Status.PASSED,
        title=f"{name} stays out of it",
        expected=expected,
        seen=f"it ran on {', '.join(sorted({one.target for one in ran}))}" if ran else "it did not run",
        events=tuple(number for one in ran for number in one.events),
    )


def _must_fire(expectation: PlaybookExpectation, past: _Past) -> list[Check]:
    name = expectation.playbook
    mine = [one for one in past.ran if one.playbook == name]
    good = [one for one in mine if not one.problem]
    evidence = tuple(number for one in mine for number in one.events)
    checks = [_fired(expectation, mine, good, past, evidence)]
    if mine:
        checks.append(_cause(name, mine, past, evidence))
    if expectation.target is not None:
        checks.append(_target(expectation, mine, past, evidence))
    if expectation.escalation is not None:
        effect = past.effect(mine[0] if mine else None, expectation.target)
        checks.append(escalated(expectation, effect, past.events))
    else:
        if expectation.within is not None:
            checks.append(_deadline(expectation, good, past, evidence))
        checks.extend(_attempts(expectation, mine, evidence))
        checks.append(not_escalated(name, past.events))
    checks.extend(_effect(expectation, good, past))
    if name in past.playbooks:
        checks.extend(given_back(past.playbooks[name], good, past.events))
    checks.append(_count(expectation, mine, evidence))
    for earlier in expectation.after:
        before = [one.started_at for one in past.ran if one.playbook == earlier]
        ordered = bool(before) and bool(mine) and min(before) <= min(one.started_at for one in mine)
        checks.append(
            aspect_of(
                name,
                "order",
                Status.PASSED if ordered else Status.FAILED,
                f"after {earlier} has started",
                "in that order" if ordered else f"{earlier} had not started before",
                evidence,
            )
        )
    return checks


def _fired(
    expectation: PlaybookExpectation,
    mine: Sequence[Execution],
    good: Sequence[Execution],
    past: _Past,
    evidence: tuple[int, ...],
) -> Check:
    """It ran while the fault was there, and to success; one that must call for help may fail, or be held back."""
    name, helpless = expectation.playbook, expectation.escalation is not None
    expected = "it runs while the fault is there" + (", or is held back" if helpless else ", to success")
    if past.effect(mine[0] if mine else None, expectation.target) is None:
        return aspect_of(name, "fired", Status.INCONCLUSIVE, expected, "no fault was seen to land", evidence)
    for one in mine:
        begun, gone = past.begun(one), past.gone(one)
        if begun is not None and one.started_at < begun:
            early = f"it ran {begun - one.started_at:.1f}s before the fault"
            return aspect_of(name, "fired", Status.FAILED, expected, early, evidence)
        if gone is not None and one.started_at > gone:
            late = f"it ran {one.started_at - gone:.1f}s after the fault was gone"
            return aspect_of(name, "fired", Status.FAILED, expected, late, evidence)
    if good:
        after = max((good[0].finished_at or 0.0) - (past.effect(good[0], None) or 0.0), 0.0)
        return aspect_of(name, "fired", Status.PASSED, expected, f"succeeded {after:.1f}s after the effect", evidence)
    held = tuple(event.sequence for event, _ in _held_back(name, past))
    status = Status.PASSED if helpless and (mine or held) else Status.FAILED
    return aspect_of(name, "fired", status, expected, _why_not(name, mine, past), evidence or held)


def _held_back(name: str, past: _Past) -> list[tuple[Event, response_kinds.PlaybookSkipped]]:
    return [(event, said) for event, said in each(past.events, response_kinds.PlaybookSkipped) if said.playbook == name]


def _why_not(name: str, mine: Sequence[Execution], past: _Past) -> str:
    if mine:
        return f"it ran but did not succeed: {mine[-1].problem}"
    skipped = _held_back(name, past)
    return f"it was held back: {skipped[-1][1].reason}" if skipped else "it never ran"


def _cause(name: str, mine: Sequence[Execution], past: _Past, evidence: tuple[int, ...]) -> Check:
    """Each execution was started by the alert that its document names, while that fires."""
    playbook = past.playbooks.get(name)
    if playbook and (condition := playbook.match.condition):
        expected, seen = f"started by {condition}, which holds", ""
        seen = next((why for one in mine if (why := not_by_condition(one, condition, past.events))), "")
        status = Status.FAILED if seen else Status.PASSED
        return aspect_of(name, "cause", status, expected, seen or f"by {condition}", evidence)
    alert = playbook.match.alert if playbook else mine[0].alert
    expected = f"started by {alert or 'its alert'}, which fires"
    seen = ""
    for one in mine:
        labels = playbook.match.labels if playbook else {}
        if playbook and playbook.observed:
            labels = {**labels, playbook.target_kind: one.target}
        seen = _not_caused(one, alert, labels, past)
        if seen:
            return aspect_of(name, "cause", Status.FAILED, expected, seen, evidence)
    return aspect_of(name, "cause", Status.PASSED, expected, f"by {alert}", evidence)


def _not_caused(one: Execution, alert: str, labels: Mapping[str, str], past: _Past) -> str:
    """Why an alert cannot have started an execution; "" if it can."""
    if one.alert and one.alert != alert:
        return f"it was started by {one.alert}"
    wanted = {**labels, **(one.labels or {})}
    fired = [
        seen
        for seen in past.sightings
        if seen.alert == alert and all(wanted.get(key, value) == value for key, value in seen.labels.items())
    ]
    begins = [seen.at for seen in fired if seen.state == "firing"]
    if not begins:
        return f"{alert} was not seen to fire"
    if min(begins) > one.started_at:
        return f"it was started {min(begins) - one.started_at:.1f}s before {alert} fired"
    known: dict[tuple[str, str], str] = {}
    for seen in sorted(fired, key=lambda seen: (seen.at, seen.event)):
        if seen.at <= one.started_at:
            known[seen.via, str(sorted(seen.labels.items()))] = seen.state
    return "" if "firing" in known.values() else f"{alert} was over when it was started"


def _target(
    expectation: PlaybookExpectation, mine: Sequence[Execution], past: _Past, evidence: tuple[int, ...]
) -> Check:
    found = {one.target for one in mine}
    if expectation.escalation is not None:
        found |= {said.target for _, said in escalations(expectation.playbook, past.events)}
    status = Status.PASSED if found == {expectation.target} else Status.FAILED
    seen = f"on {', '.join(sorted(found))}" if found else "it did not run"
    expected = f"on {expectation.target} and nothing else"
    return aspect_of(expectation.playbook, "target", status, expected, seen, evidence)


def _deadline(
    expectation: PlaybookExpectation, good: Sequence[Execution], past: _Past, evidence: tuple[int, ...]
) -> Check:
    name, limit = expectation.playbook, expectation.within or 0.0
    effect = past.effect(good[0] if good else None, expectation.target)
    expected = f"done within {show_duration(limit)} of the fault's effect"
    if effect is None:
        return aspect_of(name, "deadline", Status.INCONCLUSIVE, expected, "no fault was seen to land", evidence)
    if not good:
        return aspect_of(name, "deadline", Status.FAILED, expected, "it did not succeed", evidence, limit=limit)
    took = max((good[0].finished_at or 0.0) - effect, 0.0)
    status = Status.PASSED if took <= limit else Status.FAILED
    return aspect_of(name, "deadline", status, expected, f"done after {took:.1f}s", evidence, value=took, limit=limit)


def _count(expectation: PlaybookExpectation, mine: Sequence[Execution], evidence: tuple[int, ...]) -> Check:
    times = "once" if expectation.count == 1 else f"{expectation.count} times"
    helpless = expectation.escalation is not None
    good = len(mine) <= expectation.count if helpless else len(mine) == expectation.count
    status = Status.PASSED if good else Status.FAILED
    expected = f"{times} at the most" if helpless else f"exactly {times}"
    return aspect_of(expectation.playbook, "count", status, expected, plural(len(mine), "execution"), evidence)


def _attempts(expectation: PlaybookExpectation, mine: Sequence[Execution], evidence: tuple[int, ...]) -> list[Check]:
    """Nothing where history tells no steps."""
    made = max((one.attempt for one in mine), default=0)
    if not made:
        return []
    limit = expectation.attempts
    expected = "at the first attempt" if limit == 1 else f"with {limit} attempts at the most"
    status = Status.PASSED if made <= limit else Status.FAILED
    return [
        aspect_of(expectation.playbook, "attempts", status, expected, f"{made} made", evidence, value=made, limit=limit)
    ]


def _effect(expectation: PlaybookExpectation, good: Sequence[Execution], past: _Past) -> list[Check]:
    """What the witnesses saw of each remedy. Nothing where no step has a witness, or none was done."""
    found = [(one, effect) for one in good for effect in _effects(expectation, one, past)]
    if not found:
        return []
    limit = expectation.effect.within or expectation.within
    witnesses = " and by ".join(sorted({effect.witness for _, effect in found}))
    expected = f"its effect is seen by {witnesses}, before the fault is undone"
    if limit is not None:
        expected += f", within {show_duration(limit)} of the fault's effect"
    worst, took = Status.PASSED, 0.0
    said: list[str] = []
    for one, effect in found:
        status, seen = effect.status, f"{effect.witness}: {effect.seen}"
        if status is Status.PASSED and effect.at is not None:
            after = effect.at - (past.effect(one, expectation.target) or effect.at)
            took = max(took, after)
            if limit is not None and after > limit:
                status, seen = Status.FAILED, f"{seen}, {after:.1f}s after the fault's effect"
        if status is Status.FAILED or (status is Status.INCONCLUSIVE and worst is Status.PASSED):
            said = [seen] if status is not worst else [*said, seen]
            worst = status
        elif status is worst:
            said.append(seen)
    evidence = tuple(number for _, effect in found for number in effect.events)
    value = took if worst is Status.PASSED else None
    return [aspect_of(expectation.playbook, "effect", worst, expected, "; ".join(said), evidence, value, limit)]


def _effects(expectation: PlaybookExpectation, one: Execution, past: _Past) -> list[Effect]:
    until = past.undone(one)
    seen = [past.witnesses.effect(one, step, until) for step in one.last_steps]
    found = [effect for effect in seen if effect is not None]
    if expectation.effect.alert_resolves:
        found.append(past.witnesses.alert_over(one, None, until))
    return found
