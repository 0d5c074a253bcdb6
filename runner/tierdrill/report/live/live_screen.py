"""What the live view shows at one moment: pure, from documents, state, time and the size of the terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.tiers import Tier
from tierdrill.report.format import Glyphs, show_offset, show_share, variant_words
from tierdrill.report.live import current_rows
from tierdrill.report.live.current_rows import Figure, Row, progress, tier_rows
from tierdrill.report.run_model import RunState

LEVEL_STYLES = {"info": "", "good": "green", "warn": "yellow", "bad": "bold red"}
BAR_WIDTH = 20
BAR_FROM = 80


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
    done = progress(setting, variant, state, now)
    if done is not None:
        full = round(BAR_WIDTH * done.spent / done.length)
        signs = ("#", ".") if glyphs.ascii_only else ("█", "░")
        if width >= BAR_FROM:
            head.append(signs[0] * full, "cyan").append(signs[1] * (BAR_WIDTH - full) + " ", "dim")
        head.append(f"{done.left:.0f} s left, {done.rest:.0f} s in all")
    if state.effect is not None:
        head.append(f"   fault {show_offset(now - state.effect)}", "yellow")
    return head


def tier_table(tiers: list[Tier], state: RunState, now: float, glyphs: Glyphs, width: int) -> Table:
    """Every tier's figures over the last seconds, against what it promises."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    wide = width >= 72
    for name in ("tier", "good (5 s)", "promise", "p99 (5 s)", "promise", *(("refused", "req/s") if wide else ())):
        table.add_column(name, no_wrap=True, overflow="crop" if glyphs.ascii_only else "ellipsis")
    for row in tier_rows(tiers, state, now, glyphs):
        cells = [
            Text(glyphs.text(row.name), style="bold"),
            _figure(row.success, glyphs),
            Text(row.success.promise, style="dim"),
            _figure(row.p99, glyphs),
            Text(row.p99.promise, style="dim"),
        ]
        if wide:
            cells.append(Text(show_share(row.rejected, glyphs.to), style="yellow" if row.rejected else "dim"))
            cells.append(Text(f"{row.sent / 5:.0f}", style="dim"))
        table.add_row(*cells)
    return table


def _figure(figure: Figure, glyphs: Glyphs) -> Text:
    if not figure.known:
        return Text(f"{glyphs.unknown} {figure.words}", style="yellow")
    if figure.good is None:
        return Text(f"  {figure.words}")
    return Text(
        f"{glyphs.ok if figure.good else glyphs.bad} {figure.words}", style="green" if figure.good else "bold red"
    )


def _label(label: str, index: int = 0) -> Text:
    return Text(f"{label if index == 0 else '':<11}", style="bold")


def _labelled(label: str, rows: Sequence[Row], none: str, glyphs: Glyphs) -> list[Text]:
    shown = [
        _label(label, index).append(glyphs.text(row.words), LEVEL_STYLES[row.level]) for index, row in enumerate(rows)
    ]
    return shown or [_label(label).append(none, "dim")]


def fault_rows(state: RunState, now: float, glyphs: Glyphs) -> list[Text]:
    return _labelled("fault", current_rows.fault_rows(state, now), "none yet", glyphs)


def alert_rows(state: RunState, glyphs: Glyphs) -> list[Text]:
    return _labelled("alerts", current_rows.alert_rows(state), "none", glyphs)


def playbook_rows(state: RunState, glyphs: Glyphs) -> list[Text]:
    return _labelled("playbooks", current_rows.playbook_rows(state), "none", glyphs)


def _load(state: RunState, glyphs: Glyphs) -> Text:
    row = current_rows.load_row(state, glyphs)
    return _label("load").append(row.words, "bold red" if row.level == "bad" else "dim")
