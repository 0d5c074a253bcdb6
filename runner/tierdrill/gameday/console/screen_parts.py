"""Parts of the facilitator's screen: people and goal, what a step came to, hypotheses, notes, the help."""

import textwrap

from rich.text import Text

from tierdrill.gameday.gameday_model import CANNOT_TELL, HELD, NOT_HELD, GameDayState, Note, StepState
from tierdrill.gameday.record.step_outcome import judged
from tierdrill.report.format import Glyphs, show_seconds
from tierdrill.text import CLOCK, utc

NOTE_STYLES = {"note": "", "lesson": "cyan", "action": "dim", "trouble": "bold red", "finding": "yellow"}
LABEL_WIDTH = 11
GOAL_WIDTH = 66
HELP = (
    ("n", "next: start the next drill; after the last one, end the game day"),
    ("s", "skip the next step; in a drill: stop it and skip it"),
    ("e", "extend the pause by the document's extend_by"),
    ("r", "repeat the last step; its last run counts"),
    ("a", "abort: stop the run, wait for the clean-up, end the game day"),
)
HELP_WRITE = (
    ("o", 'note; "scribe: ..." makes it the scribe\'s'),
    ("f", "finding: text, owner, due date"),
    ("l", "lesson learned"),
)
HELP_MORE = (
    ("c", "checklist, and the announcements that are due"),
    ("v", "judge the hypotheses without checks"),
)
HELP_LEAVE = (
    ("q", "detach: the run continues, no further step starts; gameday --resume returns"),
    ("Ctrl-C", "abort; twice: at once, the reapers clean up"),
)


def help_rows(watching: bool) -> list[Text]:
    if watching:
        keys: tuple[tuple[str, str], ...] = (*HELP_WRITE, ("q", "leave"))
    else:
        keys = (*HELP, *HELP_WRITE, *HELP_MORE, *HELP_LEAVE)
    return [Text(f"{key:<8}", "bold").append(words, "") for key, words in keys]


def label(name: str, first: bool = True) -> Text:
    """The name of a part at the left edge, on its first line only."""
    return Text(f"{name if first else '':<{LABEL_WIDTH}}", style="bold")


def people_rows(state: GameDayState, glyphs: Glyphs) -> list[Text]:
    """Before it begins: why we are here, who, what is still to be done, what the first drill is to show."""
    document = state.document
    if document is None:
        return []
    goal = textwrap.wrap(" ".join(document.goal.split()), GOAL_WIDTH)[:3]
    rows = [label("goal", number == 0).append(glyphs.text(line)) for number, line in enumerate(goal)]
    for number, one in enumerate(document.participants[:5]):
        contact = f", {one.contact}" if one.contact else ""
        rows.append(label("people", number == 0).append(glyphs.text(f"{one.role}: {one.name}{contact}")))
    for number, text in enumerate(document.checklist.before[:5]):
        ticked = ("before", number) in state.ticked
        mark = f"[{'x' if ticked else ' '}] {text}"
        rows.append(label("checklist", number == 0).append(glyphs.text(mark), "green" if ticked else ""))
    if state.upcoming is not None:
        rows += [Text(""), label("first").append(state.upcoming.step.title), *hypothesis_rows(state.upcoming, glyphs)]
    return rows


def result_rows(state: GameDayState, glyphs: Glyphs) -> list[Text]:
    """What the last step came to, its times, what failed, and its hypotheses."""
    step = state.current
    if step is None:
        return []
    last = step.last
    if step.skipped is not None or last is None:
        return [Text(glyphs.text(f"{step.step.title}: skipped ({step.skipped})"), "dim")]
    style = {"passed": "bold green", "failed": "bold red"}.get(last.status, "bold yellow")
    rows = [Text(glyphs.text(f"{step.step.title}: {last.status}"), style).append(glyphs.text(f"  {last.summary}"), "")]
    times = [
        f"{word} {show_seconds(last.times.get(name))}"
        for word, name in (("detect", "mttd"), ("acknowledge", "mtta"), ("mitigate", "mitigate"), ("recover", "mttr"))
        if last.times.get(name) is not None
    ]
    if times:
        rows.append(label("times").append(glyphs.text(f" {glyphs.dot} ".join(times))))
    said = ""
    for check in last.wrong[:3]:
        word = "failed" if check["status"] == "failed" else "doubts"
        words = f"{check['title']}: {check['seen']} (expected {check['expected']})"
        rows.append(label(word, word != said).append(glyphs.text(words), "red" if word == "failed" else "yellow"))
        said = word
    return [*rows, *hypothesis_rows(step, glyphs)]


def hypothesis_rows(step: StepState, glyphs: Glyphs) -> list[Text]:
    """The step's hypotheses, with whether they held as far as it is known."""
    signs = {HELD: (glyphs.ok, "green"), NOT_HELD: (glyphs.bad, "bold red"), CANNOT_TELL: (glyphs.unknown, "yellow")}
    rows = []
    for number, hypothesis in enumerate(step.step.hypotheses):
        sign, style = signs.get(judged(step, number).held, (glyphs.dot, ""))
        rows.append(label("expect", number == 0).append(glyphs.text(f"{sign} {hypothesis.words}"), style))
    return rows


def note_rows(state: GameDayState, glyphs: Glyphs, most: int) -> list[Text]:
    """The last things said, findings among them."""
    said = [
        *state.notes,
        *(Note(one.at, one.author, f"{one.name}: {one.text}", "finding") for one in state.findings),
    ]
    said.sort(key=lambda note: note.at)
    rows = []
    for number, note in enumerate(said[-most:] if most > 0 else ()):
        at = utc(note.at, CLOCK)
        words = f"{at} {note.author}: {note.text}"
        rows.append(label("notes", number == 0).append(glyphs.text(words), NOTE_STYLES.get(note.kind, "")))
    return rows
