"""Export as text: every line whole, whatever the words are, and no cell that a spreadsheet would compute."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st
from tests.judge.build import Run, shipped

from tierdrill.judge.judge import judge
from tierdrill.judge.trend.run_figures import ObjectiveFigure, RunFigures, figures_of
from tierdrill.report.run_export import OBJECTIVE_COLUMNS, RUN_COLUMNS, csv_lines, json_lines

WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)


@given(st.lists(st.builds(RunFigures, WORDS, WORDS, WORDS, WORDS, st.floats(0, 4e9), doubt=WORDS), max_size=5))
def test_rows_and_lines_are_read_back(runs: list[RunFigures]) -> None:
    assert [RunFigures.from_json(line) for line in json_lines(runs)] == runs
    head, *rows = csv.reader(io.StringIO("".join(csv_lines(runs, "runs"))))
    assert tuple(head) == RUN_COLUMNS
    assert len(rows) == len(runs)
    for row, run in zip(rows, runs, strict=True):
        assert len(row) == len(RUN_COLUMNS)
        assert row[0].removeprefix("'") == run.run.removeprefix("'")
        assert not row[0].startswith(("=", "+", "-", "@"))


def test_json_lines_are_the_figures_as_they_are_kept() -> None:
    setting = shipped()
    events = Run().events(setting)
    run = figures_of(events, judge(events))
    assert run.objectives
    assert list(json_lines([run, run])) == [run.to_json() + "\n"] * 2


def test_a_negative_number_stays_a_number() -> None:
    worse = ObjectiveFigure("t", "mttr", "failed", margin=-2.5)
    run = RunFigures("r1", "d", "drill", "failed", 1.0, objectives=(worse,))
    _, row = csv.reader(io.StringIO("".join(csv_lines([run], "objectives"))))
    assert row[OBJECTIVE_COLUMNS.index("margin")] == "-2.5"
