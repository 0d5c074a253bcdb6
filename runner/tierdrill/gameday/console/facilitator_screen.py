"""What the facilitator's screen shows at one moment: pure, of the state, the run, the desk and the terminal's size."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.gameday.console.input_state import Desk, items
from tierdrill.gameday.console.screen_parts import help_rows, hypothesis_rows, note_rows, people_rows, result_rows
from tierdrill.gameday.gameday_commands import seconds_left
from tierdrill.gameday.gameday_model import GameDayState, StepState
from tierdrill.report.format import Glyphs, show_offset
from tierdrill.report.live.current_rows import phase_lengths, planned_lengths
from tierdrill.report.live.live_screen import (
    LEVEL_STYLES,
    alert_rows,
    cut,
    fault_rows,
    playbook_rows,
    tier_table,
)
from tierdrill.report.run_model import RunState
from tierdrill.text import utc

BAR_WIDTH = 16
WRITE_WORDS = ("o note  f finding  l learned", "o f l write", "o f l")
STATUS_STYLES = {
    "passed": "green",
    "failed": "bold red",
    "inconclusive": "yellow",
    "aborted": "magenta",
    "unclean": "bold red",
    "refused": "bold red",
}


@dataclass(frozen=True)
class Scene:
    """All that is drawn: the game day, the run it follows, its documents, and what disturbs."""

    state: GameDayState
    desk: Desk
    run: RunState | None = None
    setting: DrillSetting | None = None
    now: float = 0.0
    halted: str = ""
    trouble: str = ""


def screen(scene: Scene, width: int, height: int, glyphs: Glyphs) -> RenderableType:
    """Everything that fits: where we are, then what happens, then what was said; the keys always last."""
    head = head_rows(scene, width, glyphs)
    foot = foot_rows(scene, width, glyphs)
    # Of a terminal too small for all of it, the last line stays: what is asked, and the keys.
    foot = foot[-max(1, height - len(head)) :]
    room = max(0, height - len(head) - len(foot) - 1)
    body = _fitting(_body(scene, width, room, glyphs), room)
    filler = [Text("")] * (room - sum(_rows(part) for part in body))
    parts = [*[*head, Text("")][: height - len(foot)], *body, *filler, *foot]
    return Group(*[cut(part, width, glyphs) if isinstance(part, Text) else part for part in parts])


def _fitting(body: Sequence[RenderableType], room: int) -> list[RenderableType]:
    kept: list[RenderableType] = []
    for part in body:
        room -= _rows(part)
        if room < 0:
            break
        kept.append(part)
    return kept


def _rows(part: RenderableType) -> int:
    return part.row_count + 1 if isinstance(part, Table) else 1


def lasting(seconds: float) -> str:
    """A length of time that counts on: "0:03", "12:41", "1:02:03"."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def head_rows(scene: Scene, width: int, glyphs: Glyphs) -> list[Text]:
    """The game day's name and time, its steps, and where the current one stands."""
    state = scene.state
    title = Text(state.document.metadata.name if state.document else "", style="bold")
    title.append(f"  step {max(1, min(state.position, len(state.steps)))} of {len(state.steps)}", "dim")
    if scene.desk.watching:
        title.append("  watching", "yellow")
    time_words = utc(scene.now, "%H:%M:%S UTC")
    if state.begun is not None:
        lasted = (state.ended or scene.now) - state.begun
        time_words = f"{lasting(lasted)} in   {time_words}"
    gap = max(2, width - len(title.plain) - len(time_words))
    title.append(" " * gap + time_words, "dim")
    return [title, _steps(scene, glyphs), _where(scene, width, glyphs)]


def _steps(scene: Scene, glyphs: Glyphs) -> Text:
    line = Text()
    for place, step in enumerate(scene.state.steps):
        if place:
            line.append(f" {glyphs.to} ", "dim")
        sign, style = step_sign(step, glyphs)
        current = place == scene.state.position - 1 and scene.state.attempt is not None
        again = f" ({len(step.attempts)})" if len(step.attempts) > 1 else ""
        line.append(f"{sign} {step.step.title}{again}", "bold cyan" if current else style)
    return line


def step_sign(step: StepState, glyphs: Glyphs) -> tuple[str, str]:
    """One sign and its style: what became of the step."""
    if step.skipped is not None:
        return glyphs.minus, "dim"
    last = step.last
    if last is None:
        return glyphs.dot, "dim"
    if last.finished is None:
        return glyphs.arrow, "bold cyan"
    signs = {"passed": glyphs.ok, "failed": glyphs.bad, "aborted": glyphs.stop}
    return signs.get(last.status, glyphs.unknown), STATUS_STYLES.get(last.status, "yellow")


def _where(scene: Scene, width: int, glyphs: Glyphs) -> Text:
    state, now = scene.state, scene.now
    left = seconds_left(state, now)
    rest = f"   game day: {lasting(left)} left in the plan" if left and width >= 60 else ""
    if state.stage == "ended":
        style = "bold green" if state.outcome == "completed" else "bold magenta"
        return Text(f"the game day has ended: {state.outcome}" + (f" ({state.reason})" if state.reason else ""), style)
    if state.aborting is not None:
        return Text(f"STOPPING EVERYTHING: {state.aborting}", "bold red")
    if state.stage == "running":
        return _run_where(scene, glyphs).append(rest, "dim")
    if state.stage == "before":
        return Text("not started: n starts the first drill", "bold cyan").append(rest, "dim")
    if state.stage == "after":
        return Text("all drills are done: judge (v), tick (c), take notes (o f l), then n ends it", "bold cyan")
    by_clock = state.unattended or (state.document is not None and state.document.next_step == "by-clock")
    over = now - (state.pause_until or now)
    nxt = state.upcoming.step.title if state.upcoming else ""
    if over < 0:
        words = f"pause: {lasting(-over)} left, then {nxt}" + (" by itself" if by_clock else "")
        return Text(words, "bold cyan").append(rest, "dim")
    late = f"over by {lasting(over)}" if over >= 1 else "over"
    return Text(f"pause {late}: n starts {nxt}", "bold yellow").append(rest, "dim")


def _run_where(scene: Scene, glyphs: Glyphs) -> Text:
    run, now, current = scene.run, scene.now, scene.state.current
    if current is not None and current.skipped is not None:
        return Text(f"stopping {current.step.title}, to skip it", "bold yellow")
    phase = run.phase if run is not None else None
    if run is None or phase is None:
        last = run.phases[-1].name if run is not None and run.phases else ""
        return Text(f"after {last}" if last else "starting", "bold cyan")
    line = Text(f"{phase.name} ", "bold cyan")
    lengths = planned_lengths(run) or (phase_lengths(scene.setting, run.variant) if scene.setting is not None else {})
    length = lengths.get(phase.name)
    if length:
        spent = min(max(0.0, now - phase.started), length)
        full = round(BAR_WIDTH * spent / length)
        signs = ("#", ".") if glyphs.ascii_only else ("█", "░")
        line.append(signs[0] * full, "cyan").append(signs[1] * (BAR_WIDTH - full), "dim")
        line.append(f" {length - spent:.0f} s left")
    if run.effect is not None:
        line.append(f"  fault {show_offset(now - run.effect)}", "yellow")
    return line


def _body(scene: Scene, width: int, room: int, glyphs: Glyphs) -> Sequence[RenderableType]:
    desk, state = scene.desk, scene.state
    if desk.mode == "help":
        return help_rows(desk.watching)[:room]
    if desk.mode == "list":
        return _list_rows(scene, glyphs)[:room]
    if state.stage == "running":
        return _running(scene, width, room, glyphs)
    rows: list[Text] = []
    if state.stage == "before":
        rows += people_rows(state, glyphs)
    else:
        rows += result_rows(state, glyphs)
        step = state.current if state.stage in ("after", "ended") else state.upcoming
        if state.stage == "pause" and step is not None:
            rows += [Text(""), Text(f"next: {step.step.title}", "bold"), *hypothesis_rows(step, glyphs)]
    notes = note_rows(state, glyphs, max(2, room - len(rows) - 2))
    keep = max(0, room - (len(notes) + 1 if notes else 0))
    return [*rows[:keep], *([Text(""), *notes] if notes else [])][:room]


def _running(scene: Scene, width: int, room: int, glyphs: Glyphs) -> Sequence[RenderableType]:
    state, run, setting = scene.state, scene.run, scene.setting
    if run is None or setting is None:
        return [Text("the run is starting", "dim"), *note_rows(state, glyphs, 3)][:room]
    table = tier_table(setting.tiers.by_rank(), run, scene.now, glyphs, width)
    left = room - table.row_count - 2
    faults, alerts, playbooks = fault_rows(run, scene.now, glyphs), alert_rows(run, glyphs), playbook_rows(run, glyphs)
    hypotheses = hypothesis_rows(state.current, glyphs) if state.current else []
    notes = note_rows(state, glyphs, 3)
    # What happens comes first; each part keeps a line before another gets its second one.
    parts = [faults, alerts, playbooks, hypotheses, notes]
    shares = share_out(left, [len(part) for part in parts], [2, 3, 3, 3, 3])
    rows: list[RenderableType] = [table, Text("")]
    for part, count in zip(parts, shares, strict=True):
        # Of what grows at its end, the newest.
        rows += part[-count:] if part is notes and count else part[:count]
    spare = left - sum(shares)
    if spare > 1 and run.lines:
        rows.append(Text(""))
        for line in run.lines[-(spare - 1) :]:
            at = Text(f"{show_offset(line.at - run.zero):>9}  ", style="dim")
            rows.append(at.append(glyphs.text(line.text), LEVEL_STYLES[line.level]))
    return rows


def share_out(room: int, wanted: list[int], most: list[int]) -> list[int]:
    """How many rows each part gets: one each in turn, until the room or what is wanted is used up."""
    limits = [min(want, limit) for want, limit in zip(wanted, most, strict=True)]
    shares = [0] * len(limits)
    while room > 0 and any(share < limit for share, limit in zip(shares, limits, strict=True)):
        for place, limit in enumerate(limits):
            if room > 0 and shares[place] < limit:
                shares[place] += 1
                room -= 1
    return shares


def _list_rows(scene: Scene, glyphs: Glyphs) -> list[Text]:
    rows = [Text("toggle with its number, or up, down and space; escape closes", "dim")]
    for number, item in enumerate(items(scene.state)):
        # Signs beside the styles: without colours rich shows no style at all.
        box = f"[{'x' if item.done else ' '}]"
        mark = ">" if number == scene.desk.chosen else " "
        style = "reverse" if number == scene.desk.chosen else "green" if item.done else ""
        rows.append(Text(glyphs.text(f"{mark}{number + 1} {box} {item.text}"), style))
    return rows


def foot_rows(scene: Scene, width: int, glyphs: Glyphs) -> list[Text]:
    """What disturbs, what is asked or was answered, and the keys."""
    state, desk = scene.state, scene.desk
    rows = []
    if scene.halted:
        rows.append(Text(glyphs.text(f"KILL SWITCH: {scene.halted}; `tierdrill resume` turns it off"), "bold red"))
    if scene.trouble:
        rows.append(Text(glyphs.text(scene.trouble), "bold red"))
    due = state.due_announcements()
    if due and desk.mode == "keys":
        one = due[0].announcement
        more = f" (and {len(due) - 1} more)" if len(due) > 1 else ""
        rows.append(Text(glyphs.text(f"due: tell {one.to} by {one.channel}{more}; c ticks it"), "yellow"))
    rows.append(_asked(scene, width, glyphs))
    rows.append(Text(keys_line(scene, width), "dim"))
    return rows


def _asked(scene: Scene, width: int, glyphs: Glyphs) -> Text:
    desk, state = scene.desk, scene.state
    if desk.mode == "confirm":
        return Text(glyphs.text(desk.prompt), "bold yellow")
    if desk.mode == "ask" and (questions := state.open_questions()):
        step, _, hypothesis = questions[0]
        words = f"{state.steps[step].step.title}: \"{hypothesis.words}\" Did it hold? y/n, u: cannot tell"
        return Text(glyphs.text(words), "bold yellow")
    if desk.mode == "line":
        return _typed(desk, width, glyphs)
    return Text(glyphs.text(desk.message), "green" if desk.good else "bold red")


def _typed(desk: Desk, width: int, glyphs: Glyphs) -> Text:
    if desk.message:
        return Text(glyphs.text(desk.message), "bold red").append("  (escape, or correct it)", "dim")
    room = max(8, width - len(desk.prompt) - 2)
    start = max(0, desk.line.cursor - room + 1)
    shown = glyphs.text(desk.line.text[start : start + room])
    at = desk.line.cursor - start
    line = Text(desk.prompt, "bold yellow").append(shown[:at])
    return line.append(shown[at : at + 1] or "_", "reverse").append(shown[at + 1 :])


def keys_line(scene: Scene, width: int) -> str:
    """The keys that mean something now, in fewer words where there is no room for more."""
    desk, stage = scene.desk, scene.state.stage
    if desk.mode == "line":
        return "enter saves, escape cancels"
    if desk.mode in ("confirm", "ask"):
        return "y yes  n no  escape back"
    if desk.mode in ("list", "help"):
        return "escape back"
    if desk.watching:
        return "o note  f finding  l learned  h help  q leave"
    steer = {
        "before": "n start  s skip  c checklist",
        "running": "s stop and skip  a ABORT",
        "pause": "n next  s skip  e extend  r repeat  a ABORT",
        "after": "n end  r repeat  v judge  c checklist",
    }.get(stage, "c checklist")
    judge = "  v judge" if stage == "pause" and scene.state.open_questions() else ""
    lines = [f"{steer}{judge}  {write}  h help  q detach" for write in WRITE_WORDS]
    return next((line for line in lines if len(line) <= width), lines[-1])
