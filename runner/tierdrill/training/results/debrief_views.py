"""The debrief as Markdown and as one self-contained HTML file in the style of the runs' reports."""

import textwrap
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment
from rich.table import Table
from rich.text import Text

from tierdrill.history.history_store import HistoryStore
from tierdrill.process.safe_files import write_atomic
from tierdrill.report.html_template import page_environment
from tierdrill.report.run.terminal_summary import make_console
from tierdrill.text import MINUTE, utc
from tierdrill.training.exercise_run import ExerciseOutcome
from tierdrill.training.exercise_setting import NotAnExercise
from tierdrill.training.results.debrief import Debrief, debrief_of
from tierdrill.training.results.progress import ProgressError, keep_result
from tierdrill.training.scoring.score_points import ScoreCard, ScoreLine, show_points

MARKDOWN, HTML = "debrief.md", "debrief.html"
GOOD_SHARE, FAIR_SHARE = 0.8, 0.5


def write_debrief(debrief: Debrief, folder: Path) -> Path:
    """Write both views into the folder; the HTML's path. OSError where that cannot be done."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomic(folder / MARKDOWN, debrief_markdown(debrief))
    write_atomic(folder / HTML, debrief_html(debrief))
    return folder / HTML


def clock(seconds: float | None) -> str:
    """75 -> "1:15"; a dash for none."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


def grade(share: float | None) -> str:
    """The colour class of a share of points: passed, inconclusive (in between), failed; neutral for none."""
    if share is None:
        return "neutral"
    return "passed" if share >= GOOD_SHARE else "inconclusive" if share >= FAIR_SHARE else "failed"


def line_grade(line: ScoreLine) -> str:
    if not line.judged:
        return "neutral"
    if line.of <= 0:
        return "failed" if line.points < 0 else "passed"
    return grade(line.points / line.of)


def debrief_markdown(debrief: Debrief) -> str:
    return _rendered("debrief.md", debrief).rstrip() + "\n"


def debrief_html(debrief: Debrief) -> str:
    return _rendered("debrief.html", debrief)


def _rendered(template: str, debrief: Debrief) -> str:
    return (
        _environment()
        .get_template(template)
        .render(
            debrief=debrief,
            scenario=debrief.scenario,
            card=debrief.card,
            title=debrief.scenario.metadata.title or debrief.scenario.metadata.name,
            grade=grade(debrief.card.share),
        )
    )


def _points(line: ScoreLine) -> str:
    return show_points(line.points) if line.judged else "not judged"


@cache
def _environment() -> Environment:
    return page_environment(
        {
            "clock": clock,
            "utc": partial(utc, spelled=MINUTE),
            "points": _points,
            "show_points": show_points,
            "grade": line_grade,
        },
        "tierdrill.training",
    )


WIDTH = 100
STYLES = {"passed": "green", "inconclusive": "yellow", "failed": "red", "neutral": "dim"}


@dataclass(frozen=True)
class Told:
    """The last words: for people, and as one line of JSON."""

    text: str
    line: dict[str, Any]


def aftermath(home: Path, outcome: ExerciseOutcome, *, color: bool) -> Told:
    """Score the exercise, keep the result, write the debrief and say where it is."""
    with closing(HistoryStore(home)) as store:
        events = store.events(outcome.exercise)
    line: dict[str, Any] = {"kind": "score", "exercise": outcome.exercise, "reason": outcome.reason, "why": outcome.why}
    try:
        debrief = debrief_of(events)
    except NotAnExercise as error:
        return Told(
            f"{outcome.exercise} ended: {outcome.why}; no score: {error}",
            {**line, "score": None, "no_score": str(error)},
        )
    notes, page = [], None
    try:
        page = write_debrief(debrief, outcome.folder)
        kept_aside = keep_result(home, events)[1]
        if kept_aside is not None:
            notes.append(f"training.db was corrupt; it was rebuilt from the history (copy: {kept_aside})")
    except (OSError, ProgressError) as error:
        # The history has it all; what could not be written now can be made of it later.
        notes.append(f"not saved: {error}; retry with `tierdrill train debrief {outcome.exercise}`")
    line |= {**debrief.card.to_json(), "debrief": str(page) if page is not None else None, "notes": notes}
    return Told(_words(outcome, debrief, page, notes, color=color), line)


def _words(outcome: ExerciseOutcome, debrief: Debrief, page: Path | None, notes: list[str], *, color: bool) -> str:
    card, scenario = debrief.card, debrief.scenario
    parts = [
        f"{outcome.exercise} ended ({outcome.reason}: {outcome.why})",
        f"scenario {card.scenario} ({card.level}): {debrief.headline}",
    ]
    if card.lines:
        parts += ["", _lines(card, color=color)]
    console = make_console(color=color)
    width = console.width if console.is_terminal else WIDTH
    parts += textwrap.wrap("what happened: " + " ".join(scenario.truth.split()), width, break_on_hyphens=False)
    if page is not None:
        parts.append(f"debrief: {page}")
    return "\n".join([*parts, f"read next: {scenario.reading}", *notes])


def _lines(card: ScoreCard, *, color: bool) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("points", justify="right")
    table.add_column("of", justify="right")
    table.add_column("line", no_wrap=True)
    table.add_column("seen", ratio=1)
    for line in card.lines:
        points = show_points(line.points) if line.judged else "-"
        seen = line.seen if line.judged else f"{line.seen}: {line.why}"
        table.add_row(Text(points, style=STYLES[line_grade(line)]), show_points(line.of), line.title, Text(seen))
    console = make_console(color=color)
    with console.capture() as shown:
        console.print(table, width=None if console.is_terminal else WIDTH)
    return shown.get()
