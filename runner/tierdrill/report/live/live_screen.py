"""What the live view shows at one moment: pure, from documents, state, time and the size of the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.tiers import Tier, quantile_share
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.history.projection import FaultSpan
from tierdrill.report.format import (
    Glyphs,
    fault_words,
    show_latency,
    show_offset,
    show_seconds,
    show_share,
    variant_words,
)
from tierdrill.report.recent_seconds import recent_sli
from tierdrill.report.run_model import RunState

LEVEL_STYLES = {"info": "", "good": "green", "warn": "yellow", "bad": "bold red"}
ROWS_MAX = 4
BAR_WIDTH = 20
BAR_FROM = 80


def phase_lengths(setting: DrillSetting, variant: str) -> dict[str, float]:
    """How long each timed phase lasts in this variant."""
    phases, blip = setting.drill.phases, setting.drill.blip
    lengths = {
        "warm-up": phases.warm_up,
        "baseline": phases.baseline,
        "fault": phases.fault,
        "recovery": phases.recovery,
    }
    if variant == "blip" and blip is not None:
        short = {"warm-up": blip.warm_up, "baseline": blip.baseline, "fault": blip.fault, "recovery": blip.recovery}
        lengths |= {name: length for name, length in short.items() if length is not None}
    return lengths


def planned_lengths(state: RunState) -> dict[str, float]:
    """The lengths that the run itself recorded; empty where it did not."""
    planned = state.origin.planned if state.origin is not None else {}
    return {str(name): float(length) for name, length in planned.items() if isinstance(length, int | float)}


def screen(
    setting: DrillSetting, variant: str, state: RunState, now: float, width: int, height: int, glyphs: Glyphs
) -> RenderableType:
    """Everything that fits: the tiers always, the story in the rows that are left."""
    parts: list[RenderableType] = [cut(_head(setting, variant, state, now, glyphs, width), width, glyphs), Text("")]
    tiers = setting.tiers.by_rank()
    parts += [tier_table(tiers, state, now, glyphs, width), Text("")]
    rows = [*fault_rows(state, now, glyphs), *alert_rows(state, glyphs), *playbook_rows(state, glyphs)]
    rows.append(_load(state, glyphs))
    parts += [cut(row, width, glyphs) for row in rows]
    used = 2 + len(tiers) + 1 + 1 + len(rows)
    if state.stopping:
        parts.append(Text(glyphs.text(f"STOPPING: {state.stopping}"), style="bold red"))
        used += 1
    left = height - used - 1
    if left > 1 and state.lines:
        parts.append(Text(""))
        for line in state.lines[-(left - 1) :]:
            text = Text(f"{show_offset(line.at - state.zero):>9}  ", style="dim")
            parts.append(cut(text.append(glyphs.text(line.text), LEVEL_STYLES[line.level]), width, glyphs))
    return Group(*[_plain(part, glyphs) for part in parts])


def _plain(part: RenderableType, glyphs: Glyphs) -> RenderableType:
    if glyphs.ascii_only and isinstance(part, Text):
        part.plain = glyphs.text(part.plain)
    return part


def cut(text: Text, width: int, glyphs: Glyphs | None = None) -> Text:
    text.truncate(width, overflow="crop" if glyphs and glyphs.ascii_only else "ellipsis")
    text.no_wrap = True
    return text


def _head(setting: DrillSetting, variant: str, state: RunState, now: float, glyphs: Glyphs, width: int) -> Text:
    head = Text.assemble((f"{setting.drill.metadata.name}, {variant_words(variant)}", "bold"))
    phase = state.phase
    if phase is None:
        return head.append("  " + (state.outcome or "starting"), "cyan")
    head.append(f"   {phase.name} ", "bold cyan")
    lengths = planned_lengths(state) or phase_lengths(setting, variant)
    length = lengths.get(phase.name)
    if length:
        spent = min(max(0.0, now - phase.started), length)
        full = round(BAR_WIDTH * spent / length)
        signs = ("#", ".") if glyphs.ascii_only else ("█", "░")
        if width >= BAR_FROM:
            head.append(signs[0] * full, "cyan").append(signs[1] * (BAR_WIDTH - full) + " ", "dim")
        names = list(lengths)
        rest = length - spent + sum(lengths[name] for name in names[names.index(phase.name) + 1 :])
        head.append(f"{length - spent:.0f} s left, {rest:.0f} s in all")
    if state.effect is not None:
        head.append(f"   fault {show_offset(now - state.effect)}", "yellow")
    return head


def tier_table(tiers: list[Tier], state: RunState, now: float, glyphs: Glyphs, width: int) -> Table:
    """Every tier's figures over the last seconds, against what it promises."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    wide = width >= 72
    for name in ("tier", "good (5 s)", "promise", "p99 (5 s)", "promise", *(("refused", "req/s") if wide else ())):
        table.add_column(name, no_wrap=True, overflow="crop" if glyphs.ascii_only else "ellipsis")
    for tier in tiers:
        objectives = tier.objectives
        sli = recent_sli(state, tier.name, now, objectives.rejections_count)
        target = objectives.availability
        if target is None and objectives.error_ceiling is not None:
            target = 1 - objectives.error_ceiling
        quantiles = sorted(objectives.latency.items(), key=lambda item: quantile_share(item[0]))
        limit = quantiles[-1][1] if quantiles else None
        cells = [
            Text(glyphs.text(tier.name), style="bold"),
            _figure(show_share(sli.success, "no data"), sli.success, target, True, glyphs),
            Text(f"{glyphs.at_least} {show_ratio(target)}" if target is not None else glyphs.to, style="dim"),
            _figure(show_latency(sli.p99, "no data"), sli.p99, limit, False, glyphs),
            Text(f"{glyphs.at_most} {show_duration(limit)}" if limit is not None else glyphs.to, style="dim"),
        ]
        if wide:
            cells.append(Text(show_share(sli.rejected, glyphs.to), style="yellow" if sli.rejected else "dim"))
            cells.append(Text(f"{sli.sent / 5:.0f}", style="dim"))
        table.add_row(*cells)
    return table


def _figure(words: str, value: float | None, limit: float | None, at_least: bool, glyphs: Glyphs) -> Text:
    if value is None:
        return Text(f"{glyphs.unknown} {words}", style="yellow")
    if limit is None:
        return Text(f"  {words}")
    good = value >= limit if at_least else value <= limit
    return Text(f"{glyphs.ok if good else glyphs.bad} {words}", style="green" if good else "bold red")


def _label(label: str, index: int = 0) -> Text:
    return Text(f"{label if index == 0 else '':<11}", style="bold")


def fault_rows(state: RunState, now: float, glyphs: Glyphs) -> list[Text]:
    rows = [
        _label("fault", index).append(_fault_words(fault, state, now, glyphs), _fault_style(fault))
        for index, fault in enumerate(list(state.faults.values())[-ROWS_MAX:])
    ]
    return rows or [_label("fault").append("none yet", "dim")]


def _fault_words(fault: FaultSpan, state: RunState, now: float, glyphs: Glyphs) -> str:
    words = f"{fault_words(fault.kind) or fault.id} on {fault.target}: {fault.status}"
    if fault.active and fault.effective_at is not None:
        words += f" for {show_seconds(max(0.0, now - fault.effective_at))}"
    elif fault.gone_at is not None:
        words += f" {show_offset(fault.gone_at - state.zero)}"
    return glyphs.text(words)


def _fault_style(fault: FaultSpan) -> str:
    if fault.trouble and fault.gone_at is None:
        return "bold red"
    return "yellow" if fault.active else "green" if fault.gone_at is not None else ""


def alert_rows(state: RunState, glyphs: Glyphs) -> list[Text]:
    order = {"firing": 0, "pending": 1, "resolved": 2}
    shown = [view for view in state.alerts.values() if view.state != "inactive"]
    views = sorted(shown, key=lambda view: order.get(view.state, 3))
    rows = []
    for index, view in enumerate(views[:ROWS_MAX]):
        at = view.firing_at if view.state == "firing" else view.resolved_at if view.state == "resolved" else None
        when = f" {show_offset(at - state.zero)}" if at is not None else ""
        more = f" and {len(views) - ROWS_MAX} more" if index == ROWS_MAX - 1 and len(views) > ROWS_MAX else ""
        subject = " ".join(value for _, value in view.labels)
        style = {"firing": "bold yellow", "resolved": "green"}.get(view.state, "")
        rows.append(
            _label("alerts", index).append(glyphs.text(f"{view.alert} {subject} {view.state}{when}{more}"), style)
        )
    return rows or [_label("alerts").append("none", "dim")]


def playbook_rows(state: RunState, glyphs: Glyphs) -> list[Text]:
    rows = []
    for index, view in enumerate(state.playbooks[-ROWS_MAX:]):
        last = view.done[-1].name if view.done else "starting"
        if view.finished_at is None:
            words, style = f"running, {last}", "yellow"
        elif view.ok:
            words, style = f"done {show_offset(view.finished_at - state.zero)}", "green"
        else:
            words, style = f"failed {show_offset(view.finished_at - state.zero)}: {view.reason}", "bold red"
        part = " (clean-up)" if view.phase == "resolve" else ""
        rows.append(
            _label("playbooks", index).append(glyphs.text(f"{view.playbook} on {view.target}{part}: {words}"), style)
        )
    return rows or [_label("playbooks").append("none", "dim")]


def _load(state: RunState, glyphs: Glyphs) -> Text:
    health = state.health
    row = _label("load")
    if health is None:
        return row.append(f"{state.sent:,} requests", "dim")
    parts = [f"{state.sent:,} requests"]
    if health.lag_p99_s is not None:
        parts.append(f"lag p99 {show_latency(health.lag_p99_s)}")
    if health.dropped is not None:
        parts.append(f"{health.dropped:g} dropped")
    if health.machine_idle is not None:
        parts.append(f"machine idle {show_share(health.machine_idle)}")
    bad = bool(health.stalled) or bool(health.dropped)
    return row.append(f" {glyphs.dot} ".join(parts), "bold red" if bad else "dim")
