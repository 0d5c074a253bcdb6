"""Did the right playbooks run.

To success, on the right target, in time, as often as they should, in order, and no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tierdrill.history.events import Event
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.spec.drill import PlaybookExpectation, Playbooks
from tierdrill.spec.units import show_duration


@dataclass(frozen=True)
class Execution:
    """One execution of a playbook. `ok` is None while it has not finished."""

    playbook: str
    execution: str
    target: str
    started_at: float
    finished_at: float | None
    ok: bool | None
    reason: str
    events: tuple[int, ...]


def executions(events: Sequence[Event]) -> list[Execution]:
    """Every execution that started, in order; the steps run when the alert resolved are not counted as one."""
    found: dict[str, Execution] = {}
    for event in events:
        data = event.data
        if event.kind == "playbook.started" and data.get("phase", "act") == "act" and data["execution"] not in found:
            found[data["execution"]] = Execution(
                data["playbook"], data["execution"], data.get("target", ""), event.at, None, None, "", (event.sequence,)
            )
        elif event.kind in ("playbook.finished", "playbook.step") and (one := found.get(data.get("execution", ""))):
            if data.get("phase", "act") != "act":
                continue
            done = event.kind == "playbook.finished"
            found[one.execution] = Execution(
                one.playbook,
                one.execution,
                one.target,
                one.started_at,
                event.at if done else one.finished_at,
                bool(data["ok"]) if done else one.ok,
                str(data.get("reason", "")) if done else one.reason,
                (*one.events, event.sequence),
            )
    return list(found.values())


def judge_playbooks(wanted: Playbooks, events: Sequence[Event], timeline: Timeline) -> list[Check]:
    """The playbook checks of a drill."""
    ran = executions(events)
    checks = []
    for expectation in wanted.must_fire:
        checks.extend(_must_fire(expectation, ran, events, timeline))
    checks.extend(
        _silent(name, [one for one in ran if one.playbook == name], "it must not run in this drill")
        for name in wanted.must_not_fire
    )
    if wanted.others == "forbidden":
        named = {expectation.playbook for expectation in wanted.must_fire} | set(wanted.must_not_fire)
        for name in sorted({one.playbook for one in ran} - named):
            mine = [one for one in ran if one.playbook == name]
            checks.append(_silent(name, mine, "no playbook but those named"))
    return checks


def judge_no_playbooks(events: Sequence[Event]) -> list[Check]:
    """For a blip: nothing runs at all."""
    ran = executions(events)
    if not ran:
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


def _must_fire(
    expectation: PlaybookExpectation, ran: Sequence[Execution], events: Sequence[Event], timeline: Timeline
) -> list[Check]:
    name = expectation.playbook
    mine = [one for one in ran if one.playbook == name]
    evidence = tuple(number for one in mine for number in one.events)
    good = [one for one in mine if one.ok]
    checks = [_fired(expectation, mine, good, events, evidence, timeline)]
    if expectation.target is not None:
        wrong = sorted({one.target for one in mine if one.target != expectation.target})
        checks.append(
            _check(
                name,
                "target",
                Status.PASSED if mine and not wrong else Status.FAILED,
                f"on {expectation.target} and nothing else",
                "it did not run" if not mine else f"on {', '.join(sorted({one.target for one in mine}))}",
                evidence,
            )
        )
    if expectation.within is not None:
        checks.append(_deadline(expectation, good, evidence, timeline))
    status = Status.PASSED if len(mine) == expectation.count else Status.FAILED
    times = "once" if expectation.count == 1 else f"{expectation.count} times"
    checks.append(_check(name, "count", status, f"exactly {times}", f"{len(mine)} executions", evidence))
    for earlier in expectation.after:
        before = [one.started_at for one in ran if one.playbook == earlier]
        ordered = bool(before) and bool(mine) and min(before) <= min(one.started_at for one in mine)
        checks.append(
            _check(
                name,
                "order",
                Status.PASSED if ordered else Status.FAILED,
                f"after {earlier} has started",
                "in that order" if ordered else f"{earlier} had not started before",
                evidence,
            )
        )
    return checks


def _check(
    name: str,
    aspect: str,
    status: Status,
    expected: str,
    seen: str,
    events: tuple[int, ...],
    value: float | None = None,
    limit: float | None = None,
) -> Check:
    return Check(
        id=f"playbook/{name}/{aspect}",
        group="playbook",
        status=status,
        title=f"{name}: {aspect}",
        expected=expected,
        seen=seen,
        events=events,
        value=value,
        limit=limit,
    )


def _fired(
    expectation: PlaybookExpectation,
    mine: Sequence[Execution],
    good: Sequence[Execution],
    events: Sequence[Event],
    evidence: tuple[int, ...],
    timeline: Timeline,
) -> Check:
    name, effect = expectation.playbook, timeline.effect
    expected = "it runs to success after the fault took effect"
    if effect is None:
        return _check(name, "fired", Status.INCONCLUSIVE, expected, "no fault was seen to land", evidence)
    if early := [one for one in mine if one.started_at < effect]:
        return _check(
            name,
            "fired",
            Status.FAILED,
            expected,
            f"it ran {effect - early[0].started_at:.1f}s before the fault",
            evidence,
        )
    if good:
        return _check(
            name,
            "fired",
            Status.PASSED,
            expected,
            f"succeeded {(good[0].finished_at or 0) - effect:.1f}s after the effect",
            evidence,
        )
    if mine:
        reason = mine[-1].reason or "it had not finished"
        return _check(name, "fired", Status.FAILED, expected, f"it ran but did not succeed: {reason}", evidence)
    skipped = [event for event in events if event.kind == "playbook.skipped" and event.data.get("playbook") == name]
    seen = f"it was held back: {skipped[-1].data.get('reason', '')}" if skipped else "it never ran"
    return _check(name, "fired", Status.FAILED, expected, seen, tuple(event.sequence for event in skipped))


def _deadline(
    expectation: PlaybookExpectation, good: Sequence[Execution], evidence: tuple[int, ...], timeline: Timeline
) -> Check:
    name, limit, effect = expectation.playbook, expectation.within or 0.0, timeline.effect
    expected = f"done within {show_duration(limit)} of the fault's effect"
    if effect is None:
        return _check(name, "deadline", Status.INCONCLUSIVE, expected, "no fault was seen to land", evidence)
    if not good:
        return _check(name, "deadline", Status.FAILED, expected, "it did not succeed", evidence, limit=limit)
    took = (good[0].finished_at or 0.0) - effect
    status = Status.PASSED if took <= limit else Status.FAILED
    return _check(name, "deadline", status, expected, f"done after {took:.1f}s", evidence, value=took, limit=limit)
