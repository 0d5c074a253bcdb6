"""The files a run leaves for people and machines, and the summary on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.cli.errors import Refusal, say

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import DrillSetting
    from tierdrill.history.events import Event
    from tierdrill.judge.verdict import Verdict

REPORT = "report.html"


@dataclass(frozen=True)
class Judged:
    """A run's events with what they come to."""

    events: Sequence[Event]
    setting: DrillSetting
    verdict: Verdict


def judged(events: Sequence[Event], file: Path | None = None) -> Judged:
    """Judge events; Refusal if those of an imported file are not the history of a run."""
    from tierdrill.judge.judge import judge, setting_in

    with imported(file):
        return Judged(events, setting_in(events), judge(events))


@contextmanager
def imported(file: Path | None) -> Iterator[None]:
    """Refusal for what cannot be made of an imported file; nothing is caught where there is none.

    A file from elsewhere may hold anything; only our own history is known to be whole.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if file is None:
            raise
        what = " ".join(str(error).split())[:200]
        raise Refusal(f"{file}: not the history of a run ({type(error).__name__}: {what})") from error


def report_link(home: Path, page: Path) -> Callable[[str], str | None]:
    """How a page links to a run's report, None where there is none: relative where the report lies below it."""
    from tierdrill.home import run_folder

    folder = page.absolute().parent

    def link(run: str) -> str | None:
        report = run_folder(home, run) / REPORT
        if not report.is_file():
            return None
        return report.relative_to(folder).as_posix() if report.is_relative_to(folder) else report.as_uri()

    return link


def write_reports(run: Judged, folder: Path) -> Path:
    """Write report.html, report.json, junit.xml and verdict.json; the path of the first."""
    from tierdrill.process.safe_files import write_atomic
    from tierdrill.report.run.html_report import html_report
    from tierdrill.report.run.json_and_junit import json_report, junit_xml

    folder.mkdir(parents=True, exist_ok=True)
    files = {
        REPORT: html_report(run.setting, run.events, run.verdict),
        "report.json": json_report(run.setting, run.events, run.verdict),
        "junit.xml": junit_xml(run.setting, run.events, run.verdict),
        "verdict.json": run.verdict.to_json(),
    }
    for name, text in files.items():
        write_atomic(folder / name, text)
    return folder / REPORT


def try_reports(run: Judged, folder: Path) -> Path | None:
    """Write the reports; what keeps them from being written is told and does not change what the run came to."""
    try:
        return write_reports(run, folder)
    except OSError as error:
        again = f"`tierdrill report {run.verdict.run}` writes them later"
        say(f"the reports could not be written to {folder}: {error.strerror}; {again}")
        return None


def show_summary(run: Judged, color: bool, report: Path | None) -> None:
    from tierdrill.report.run.terminal_summary import make_console, print_summary

    print_summary(make_console(color=color), run.setting, run.events, run.verdict, str(report) if report else None)
