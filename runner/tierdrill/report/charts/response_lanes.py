"""The timeline's lanes of what answered the fault: alerts, playbooks, and the people who were paged."""

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.playbook_spans import Execution
from tierdrill.judge.verdict import Verdict
from tierdrill.report.charts.deployment_lanes import BAR_HEIGHT, checks_of, worst
from tierdrill.report.charts.marks import Group, Lane, Mark, Note, Rect, Ruler, joined
from tierdrill.report.event_text import label_words
from tierdrill.report.format import show_offset, show_seconds
from tierdrill.report.run_model import AlertView, RunState
from tierdrill.text import plural

NOTE_MAX = 60
VIA_SHAPES = {"prometheus": "dot", "alertmanager": "diamond", "webhook": "triangle"}


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
        words = " · ".join(step.words for step in view.done)
        finish = ruler.place(view.finished_at or end)
        on_left = finish > 70
        notes.append(
            Note(
                ruler.place(view.started_at) - 0.8 if on_left else finish + 0.8,
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
            words = f"{verb}: {skip.reason}"
            words = words if len(words) <= NOTE_MAX else f"{words[: NOTE_MAX - 1]}…"
            notes.append(Note(ruler.place(skip.at) + 1.0, 16, words, "bad"))
    acts = [view for view in views if view.phase == "act"]
    done = [view.finished_at for view in acts if view.ok and view.finished_at is not None]
    if done:
        result, detail = (
            f"done {show_offset(min(done) - ruler.zero)}",
            f"started {show_offset(acts[0].started_at - ruler.zero)}",
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


def _step_bars(ruler: Ruler, view: Execution, end: float) -> list[Rect]:
    finish = view.finished_at or end
    css = "run" if view.ok else "run bad"
    span = f"{show_offset(view.started_at - ruler.zero)} to {show_offset(finish - ruler.zero)}"
    title = f"{view.playbook} on {view.target}: {span}"
    bars = [ruler.bar(view.started_at, finish, css, y=6.0, height=12.0, title=title)]
    for step in view.done:
        state = "done" if step.ok else "failed"
        bars.append(
            ruler.bar(
                (step.ended_at or step.started_at) - step.seconds,
                step.ended_at or step.started_at,
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
