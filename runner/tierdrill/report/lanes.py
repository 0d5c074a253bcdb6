"""The timeline's lanes of things that happen: faults, the deployment, alerts, playbooks, pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.report.describe import label_words
from tierdrill.report.marks import Group, Lane, Mark, Note, Rect, Ruler, joined
from tierdrill.report.model import AlertView, FaultView, MoveView, NodeMark, PlaybookView, RunState
from tierdrill.report.words import fault_words, plural, show_offset, show_seconds
from tierdrill.spec.catalogue import DrillSetting

BAR_HEIGHT = 24
SIGN_WIDTH = 1.5
"""Of a mark, in percent of the plot."""
VIA_SHAPES = {"prometheus": "dot", "alertmanager": "diamond", "webhook": "triangle"}


def checks_of(verdict: Verdict, prefix: str) -> list[Check]:
    """The checks under a path."""
    return [check for check in verdict.checks if check.id.startswith(prefix)]


def fault_checks(verdict: Verdict, fault: FaultView) -> list[Check]:
    """The checks about a fault; they are named by its kind."""
    return checks_of(verdict, f"fault/{fault.id}/") or checks_of(verdict, f"fault/{fault.kind}/")


def worst(checks: Sequence[Check]) -> Status | None:
    """The status that decides among these checks."""
    order = (Status.UNCLEAN, Status.ABORTED, Status.FAILED, Status.INCONCLUSIVE, Status.PASSED)
    return next((status for status in order if any(check.status is status for check in checks)), None)


def fault_group(ruler: Ruler, state: RunState, verdict: Verdict) -> Group:
    """Each fault: intended, in effect as seen, being undone, gone as seen."""
    return Group(
        "Fault",
        tuple(_fault_lane(ruler, fault, state, worst(fault_checks(verdict, fault))) for fault in state.faults.values()),
    )


def _fault_lane(ruler: Ruler, fault: FaultView, state: RunState, judged: Status | None) -> Lane:
    end = fault.gone_at or state.ended or state.now
    rects: list[Rect] = []
    marks: list[Mark] = []
    notes: list[Note] = []
    if fault.intended_at is not None:
        rects.append(
            ruler.bar(
                fault.intended_at,
                fault.effective_at or end,
                "intended",
                y=10.0,
                height=4.0,
                title="intent on the ledger",
            )
        )
    if fault.effective_at is not None:
        title = f"in effect {show_offset(fault.effective_at - ruler.zero)} to {show_offset(end - ruler.zero)}"
        rects.append(ruler.bar(fault.effective_at, end, "fault", y=4.0, height=16.0, title=title))
        place = ruler.place(fault.effective_at)
        notes.append(Note(place + 0.6, 16, f"{fault_words(fault.kind)}: {fault.target}", "onfault"))
    if fault.reverting_at is not None and fault.gone_at is not None:
        rects.append(
            ruler.bar(fault.reverting_at, fault.gone_at, "reverting", y=4.0, height=16.0, title="being undone")
        )
    if fault.trouble and fault.effective_at is None:
        notes.append(Note(ruler.place(fault.intended_at or ruler.zero), 16, fault.trouble, "bad"))
    if fault.gone_at is not None:
        marks.append(Mark(ruler.place(fault.gone_at), 12, "flag", "good", f"seen gone by {fault.gone_by}"))
    landed = fault.effective_at is not None
    result = "landed" if landed else fault.status
    if landed and fault.gone_at is not None:
        result = f"seen for {show_seconds(fault.gone_at - (fault.effective_at or 0))}"
    proven = Status.PASSED if landed and fault.gone_at is not None else Status.INCONCLUSIVE
    witnesses = " and ".join(sorted({name for name in (fault.landed_by, fault.gone_by) if name}))
    return Lane(
        name=fault_words(fault.kind) or fault.id,
        detail=fault.target,
        height=BAR_HEIGHT,
        rects=tuple(rects),
        marks=tuple(marks),
        notes=tuple(notes),
        result=result,
        result_detail=f"witness: {witnesses}" if witnesses else "",
        status=judged or proven,
    )


def deployment_group(ruler: Ruler, state: RunState) -> Group:
    """The nodes that changed condition, and when replicas were moved."""
    by_node: dict[str, list[NodeMark]] = defaultdict(list)
    for mark in state.nodes:
        by_node[mark.node].append(mark)
    end = state.ended or state.now
    lanes = [_node_lane(ruler, node, marks, end) for node, marks in sorted(by_node.items()) if len(marks) > 1]
    calm = sorted(node for node, marks in by_node.items() if len(marks) == 1 and marks[0].condition == "ready")
    if state.moves:
        lanes.append(_moves_lane(ruler, state))
    result = f"{', '.join(calm)} ready throughout" if calm else ""
    return Group("Deployment", tuple(lanes), detail="as the control plane saw it", result=result)


def _node_lane(ruler: Ruler, node: str, marks: Sequence[NodeMark], end: float) -> Lane:
    ends = [mark.at for mark in marks[1:]] + [end]
    rects, notes, away = [], [], 0.0
    for mark, until in zip(marks, ends, strict=True):
        css = mark.condition.replace(" ", "-")
        rects.append(ruler.bar(mark.at, until, f"node {css}", y=6.0, height=12.0, title=f"{node} {mark.condition}"))
        if mark.condition != "ready" and ruler.width(mark.at, until) > 6:
            notes.append(Note(ruler.place(mark.at) + 0.6, 16, mark.condition, "onbar"))
        away += until - mark.at if mark.condition == "not ready" else 0.0
    last = marks[-1].condition
    return Lane(
        name=node,
        height=BAR_HEIGHT,
        rects=tuple(rects),
        notes=tuple(notes),
        result=f"not ready for {show_seconds(away)}" if away else "",
        result_detail="ready again" if last == "ready" else f"{last} at the end",
        status=None if last == "ready" else Status.FAILED,
    )


def _moves_lane(ruler: Ruler, state: RunState) -> Lane:
    marks, notes = [], []
    for together in _at_once(sorted(state.moves, key=lambda move: move.at), ruler):
        at = together[0].at
        lost = sum(not move.to for move in together)
        words = f"{len(together) - lost} moved" if len(together) > lost else ""
        words += f"{', ' if words else ''}{lost} without room" if lost else ""
        notes.append(Note(ruler.place(at) + 1.0, 16, words))
        title = "; ".join(
            f"{show_offset(move.at - ruler.zero)}: {move.replica} ({move.tier}) "
            f"from {move.origin or 'no place'} to {move.to or 'no place'}"
            for move in together
        )
        marks.append(Mark(ruler.place(at), 12, "diamond", "bad" if lost else "plain", title))
    moved = plural(len({move.replica for move in state.moves}), "replica")
    return Lane("replicas moved", BAR_HEIGHT, marks=tuple(marks), notes=joined(notes), result=f"{moved} moved")


def _at_once(moves: Sequence[MoveView], ruler: Ruler) -> list[list[MoveView]]:
    """Moves that are one event to the eye: closer together than their signs are wide."""
    together: list[list[MoveView]] = []
    for move in moves:
        if together and ruler.width(together[-1][0].at, move.at) < SIGN_WIDTH:
            together[-1].append(move)
        else:
            together.append([move])
    return together


def alert_group(ruler: Ruler, setting: DrillSetting, state: RunState, verdict: Verdict) -> Group:
    """Alerts that had to fire, then others that were seen; the heading names those that stayed silent as they must."""
    must = {wanted.alert: wanted.within for wanted in setting.drill.expect.alerts.must_fire}
    forbidden = {wanted.alert for wanted in setting.drill.expect.alerts.must_not_fire}
    seen = {view.alert for view in state.alerts.values()}
    begins = {name: min(mark.at for view in state.alerts_named(name) for mark in view.marks) for name in seen}
    names = [*must, *sorted(seen - set(must), key=lambda name: (begins[name], name))]
    lanes = tuple(_alert_lane(ruler, name, must, forbidden, state, verdict) for name in names)
    silent = sorted(forbidden - {view.alert for view in state.alerts.values() if view.firing_at is not None})
    return Group("Alerts", lanes, result=f"silent, as they must be: {', '.join(silent)}" if silent else "")


def _alert_lane(
    ruler: Ruler, name: str, must: dict[str, float | None], forbidden: set[str], state: RunState, verdict: Verdict
) -> Lane:
    views = state.alerts_named(name)
    end = state.ended or state.now
    rects = list(_deadline(ruler, must.get(name), state))
    marks: list[Mark] = []
    for view in views:
        rects.extend(_alert_bars(ruler, view, end))
        for mark in view.marks:
            if mark.state not in ("firing", "resolved"):
                continue
            title = (
                f"{show_offset(mark.at - ruler.zero)} {mark.state}, seen by {mark.via} {label_words(dict(view.labels))}"
            )
            css = "firing" if mark.state == "firing" else "good"
            marks.append(Mark(ruler.place(mark.at), 12, VIA_SHAPES.get(mark.via, "dot"), css, title))
    firing = min((view.firing_at for view in views if view.firing_at is not None), default=None)
    resolved = [view.resolved_at for view in views if view.firing_at is not None]
    over = max((at for at in resolved if at is not None), default=None) if resolved and None not in resolved else None
    result = "never fired" if firing is None else f"fired {show_offset(firing - ruler.zero)}"
    detail = (
        ""
        if firing is None
        else "still firing at the end"
        if over is None
        else f"resolved {show_offset(over - ruler.zero)}"
    )
    if name in state.silenced:
        detail = "silenced by sabotage" if state.variant.startswith("sabotage") else "silenced"
    elif firing is None and name in must:
        detail = "had to fire"
    elif firing is not None and name in forbidden:
        detail = "must not fire"
    return Lane(
        name=name,
        detail=" / ".join(sorted({label_words(dict(view.labels)) for view in views if view.labels})),
        height=BAR_HEIGHT,
        rects=tuple(rects),
        marks=tuple(marks),
        result=result,
        result_detail=detail,
        status=worst(checks_of(verdict, f"alert/{name}/")),
    )


def _alert_bars(ruler: Ruler, view: AlertView, end: float) -> list[Rect]:
    pending, firing, resolved = view.first("pending"), view.firing_at, view.resolved_at
    bars = []
    if pending is not None and (firing is None or pending < firing):
        over = min(
            (mark.at for mark in view.marks if mark.state in ("resolved", "inactive") and mark.at > pending),
            default=end,
        )
        bars.append(ruler.bar(pending, firing or over, "pending", y=8.0, height=8.0, title="pending"))
    if firing is not None:
        bars.append(ruler.bar(firing, resolved or end, "firing", y=6.0, height=12.0, title="firing"))
    return bars


def _deadline(ruler: Ruler, within: float | None, state: RunState) -> tuple[Rect, ...]:
    if within is None or state.effect is None:
        return ()
    due = state.effect + within
    title = f"had to happen by {show_offset(within)}"
    return (ruler.bar(state.effect, due, "deadline", y=21.0, height=2.0, title=title),)


def playbook_group(ruler: Ruler, setting: DrillSetting, state: RunState, verdict: Verdict) -> Group:
    """Playbooks that had to run, then any other that ran or was turned away."""
    must = {wanted.playbook: wanted for wanted in setting.drill.expect.playbooks.must_fire}
    ran = list(dict.fromkeys([view.playbook for view in state.playbooks] + [skip.playbook for skip in state.skips]))
    names = [*must, *(name for name in ran if name not in must)]
    lanes = []
    for name in names:
        wanted = must.get(name)
        lanes.append(_playbook_lane(ruler, name, wanted.within if wanted else None, wanted is not None, state, verdict))
    silent = sorted(set(setting.drill.expect.playbooks.must_not_fire) - {view.playbook for view in state.playbooks})
    return Group(
        "Playbooks", tuple(lanes), result=f"did not run, as they must not: {', '.join(silent)}" if silent else ""
    )


def _playbook_lane(
    ruler: Ruler, name: str, within: float | None, wanted: bool, state: RunState, verdict: Verdict
) -> Lane:
    end = state.ended or state.now
    views = [view for view in state.playbooks if view.playbook == name]
    rects, marks, notes = list(_deadline(ruler, within, state)), [], []
    for view in views:
        rects.extend(_step_bars(ruler, view, end))
        words = " · ".join(step.words for step in view.steps)
        finish = ruler.place(view.finished or end)
        on_left = finish > 70
        notes.append(
            Note(
                ruler.place(view.started) - 0.8 if on_left else finish + 0.8,
                16,
                words,
                ("" if view.phase == "act" else "later") if view.ok else "bad",
                "end" if on_left else "start",
            )
        )
    for skip in (skip for skip in state.skips if skip.playbook == name):
        verb = "escalated" if skip.escalated else "skipped"
        # Turning a repeated alert away is what a throttle is for; it is bad only where nothing ran at all.
        css = "bad" if skip.escalated or not views else "quiet"
        title = f"{show_offset(skip.at - ruler.zero)} {verb} for {skip.target}: {skip.reason}"
        marks.append(Mark(ruler.place(skip.at), 12, "cross", css, title))
        if css == "bad" and not any(note.css == "bad" for note in notes):
            notes.append(Note(ruler.place(skip.at) + 1.0, 16, f"{verb}: {skip.reason}", "bad"))
    acts = [view for view in views if view.phase == "act"]
    done = [view.finished for view in acts if view.ok and view.finished is not None]
    if done:
        result, detail = (
            f"done {show_offset(min(done) - ruler.zero)}",
            f"started {show_offset(acts[0].started - ruler.zero)}",
        )
    elif acts:
        result, detail = "did not succeed", next((view.reason for view in acts if view.reason), "")
    else:
        result, detail = "never ran", "had to run" if wanted else ""
    return Lane(
        name=name,
        detail=", ".join(dict.fromkeys(view.target for view in views)),
        height=BAR_HEIGHT,
        rects=tuple(rects),
        marks=tuple(marks),
        notes=joined(notes),
        result=result,
        result_detail=detail if within is None or not done else f"{detail}, due by {show_offset(within)}",
        status=worst(checks_of(verdict, f"playbook/{name}/")),
    )


def _step_bars(ruler: Ruler, view: PlaybookView, end: float) -> list[Rect]:
    finish = view.finished or end
    css = "run" if view.ok else "run bad"
    span = f"{show_offset(view.started - ruler.zero)} to {show_offset(finish - ruler.zero)}"
    title = f"{view.playbook} on {view.target}: {span}"
    bars = [ruler.bar(view.started, finish, css, y=6.0, height=12.0, title=title)]
    for step in view.steps:
        state = "done" if step.ok else "failed"
        bars.append(
            ruler.bar(
                step.at - step.seconds,
                step.at,
                "step" if step.ok else "step bad",
                y=6.0,
                height=12.0,
                title=f"{step.words} ({step.action}) {state} in {show_seconds(step.seconds)}: {step.seen}",
            )
        )
    return bars


def page_group(ruler: Ruler, state: RunState) -> Group:
    """Every page and every answer to one, if there were any."""
    if not state.pages:
        return Group("Pages", ())
    marks = tuple(
        Mark(
            ruler.place(page.at),
            12,
            "triangle" if page.action != "acknowledge" else "flag",
            "bad" if page.action == "trigger" else "good",
            f"{show_offset(page.at - ruler.zero)} {page.action} {page.contact}: {page.summary}",
        )
        for page in state.pages
    )
    sent = [page for page in state.pages if page.action not in ("acknowledge", "resolve")]
    names = ", ".join(dict.fromkeys(page.contact for page in sent))
    notes = tuple(Note(ruler.place(page.at) + 1.0, 16, page.contact) for page in sent[:1])
    return Group(
        "People",
        (Lane("pages", BAR_HEIGHT, marks=marks, notes=notes, result=plural(len(sent), "page"), result_detail=names),),
    )
