"""The summary's rows of what happened: what went wrong, faults, alerts, playbooks, pages, times."""

from collections.abc import Sequence

from rich.text import Text

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.report.charts.deployment_lanes import checks_of, fault_checks, worst
from tierdrill.report.format import Glyphs, fault_words, show_offset, show_seconds
from tierdrill.report.run_model import RunState
from tierdrill.text import plural

STYLES = {
    Status.PASSED: "bold green",
    Status.FAILED: "bold red",
    Status.INCONCLUSIVE: "bold yellow",
    Status.ABORTED: "bold magenta",
    Status.UNCLEAN: "bold red",
    Status.NOT_MEASURED: "dim",
}
LABEL_WIDTH = 10


def row(label: str, *parts: str | Text) -> Text:
    """A line with its label on the left."""
    line = Text(f"{label:<{LABEL_WIDTH}}", style="")
    line.stylize("bold", 0, LABEL_WIDTH)
    for part in parts:
        line.append(part if isinstance(part, Text) else Text(part))
    return line


def wrong_rows(verdict: Verdict, wrong: Sequence[Check], glyphs: Glyphs, at_most: int) -> list[Text]:
    """Checks beside the tiers' that did not pass, those that decided first."""
    order = {name: index for index, name in enumerate(verdict.reasons)}
    ranked = sorted(wrong, key=lambda check: order.get(check.id, len(order)))
    # Of several aspects of one alert or playbook, the first says enough here.
    firsts = list(
        {
            check.id.rpartition("/")[0] if check.group in ("alert", "playbook") else check.id: check
            for check in reversed(ranked)
        }.values()
    )[::-1]
    firsts.sort(key=ranked.index)
    lines, said = [], ""
    for check in firsts[:at_most]:
        text = Text(f"{glyphs.status(check.status)} {glyphs.text(check.title)}: ", style=STYLES[check.status])
        text.append(Text(glyphs.text(f"{check.seen} (expected {check.expected})"), style=""))
        label = {Status.FAILED: "failed", Status.INCONCLUSIVE: "doubts"}.get(check.status, "wrong")
        lines.append(row(label if label != said else "", text))
        said = label
    return lines


def _sign(checks: Sequence[Check], glyphs: Glyphs) -> Text:
    status = worst(checks)
    return Text(f"{glyphs.status(status)} ", style=STYLES[status]) if status else Text(f"{glyphs.dot} ", style="dim")


def happening_rows(
    setting: DrillSetting, verdict: Verdict, state: RunState, glyphs: Glyphs, everything: bool
) -> list[Text]:
    """Faults, alerts, playbooks and pages; without `everything`, only what the drill names."""
    lines = []
    for index, fault in enumerate(state.faults.values()):
        landed = show_offset(fault.effective_at - state.zero) if fault.effective_at is not None else "not seen"
        gone = show_offset(fault.gone_at - state.zero) if fault.gone_at is not None else "not seen"
        text = f"{fault_words(fault.kind)} on {fault.target}: landed {landed}, gone {gone}"
        lines.append(row("fault" if index == 0 else "", _sign(fault_checks(verdict, fault), glyphs), glyphs.text(text)))
    must = [wanted.alert for wanted in setting.drill.expect.alerts.must_fire]
    fired = [view.alert for view in state.alerts.values() if view.firing_at is not None]
    forbidden = [wanted.alert for wanted in setting.drill.expect.alerts.must_not_fire if wanted.alert in fired]
    for index, name in enumerate(dict.fromkeys([*must, *forbidden])):
        text = glyphs.text(f"{name} {_alert_words(state, name)}")
        lines.append(row("alerts" if index == 0 else "", _sign(checks_of(verdict, f"alert/{name}/"), glyphs), text))
    others = sorted(set(fired) - set(must) - set(forbidden))
    if others and everything:
        lines.append(
            row(
                "" if must or forbidden else "alerts",
                Text(f"{glyphs.dot} ", style="dim"),
                glyphs.text(f"also {', '.join(others)}"),
            )
        )
    wanted_runs = [wanted.playbook for wanted in setting.drill.expect.playbooks.must_fire]
    ran = [view.playbook for view in state.playbooks]
    for index, name in enumerate(dict.fromkeys([*wanted_runs, *ran])):
        text = glyphs.text(f"{name} {_playbook_words(state, name)}")
        lines.append(
            row("playbooks" if index == 0 else "", _sign(checks_of(verdict, f"playbook/{name}/"), glyphs), text)
        )
    pages = [page for page in state.pages if page.action not in ("acknowledge", "resolve")]
    if pages and everything:
        who = ", ".join(dict.fromkeys(page.contact for page in pages))
        lines.append(row("pages", f"{glyphs.dot} ", glyphs.text(f"{plural(len(pages), 'page')} to {who}")))
    # One that did not pass is told among what went wrong.
    classes = [check for check in verdict.checks if check.group == "class" and check.status is Status.PASSED]
    lines += [row("class", _sign([check], glyphs), glyphs.text(check.seen)) for check in classes]
    return lines


def _alert_words(state: RunState, name: str) -> str:
    views = [view for view in state.alerts_named(name) if view.firing_at is not None]
    if not views:
        return "never fired (silenced)" if name in state.silenced else "never fired"
    fired = min(view.firing_at for view in views if view.firing_at is not None)
    over = [view.resolved_at for view in views]
    known = [at for at in over if at is not None]
    ending = f"resolved {show_offset(max(known) - state.zero)}" if len(known) == len(over) else "still firing"
    return f"fired {show_offset(fired - state.zero)}, {ending}"


def _playbook_words(state: RunState, name: str) -> str:
    acts = [view for view in state.playbooks if view.playbook == name and view.phase == "act"]
    if not acts:
        skip = next((skip for skip in state.skips if skip.playbook == name), None)
        return f"never ran ({skip.reason})" if skip else "never ran"
    done = next((view for view in acts if view.ok and view.finished_at is not None), None)
    start = f"on {acts[0].target}: started {show_offset(acts[0].started_at - state.zero)}"
    if done is None or done.finished_at is None:
        why = next((view.reason for view in acts if view.reason), "")
        return f"{start}, did not succeed{': ' + why if why else ''}"
    return f"{start}, done {show_offset(done.finished_at - state.zero)}"


def ending_rows(verdict: Verdict, glyphs: Glyphs) -> list[Text]:
    """Times, and how many checks passed."""
    times = verdict.times
    named = (("detect", times.mttd), ("acknowledge", times.mtta), ("mitigate", times.mitigate), ("recover", times.mttr))
    shown = [f"{name} {show_seconds(value)}" for name, value in named if value is not None]
    lines = [row("times", glyphs.text(f" {glyphs.dot} ".join(shown)))] if shown else []
    passed = sum(check.status is Status.PASSED for check in verdict.checks)
    blind = sum(check.status is Status.NOT_MEASURED for check in verdict.checks)
    words = f"{passed} of {len(verdict.checks)} passed" + (f", {blind} {Status.NOT_MEASURED}" if blind else "")
    lines.append(row("checks", words, glyphs.text(f" {glyphs.dot} run {verdict.run}")))
    return lines
