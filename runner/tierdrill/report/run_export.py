"""Runs with their figures as lines of JSON or CSV, for spreadsheets and other tools. Pure."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from tierdrill.judge.trend.run_figures import RunFigures

RUN_COLUMNS = (
    "run", "drill", "variant", "status", "as_expected", "environment", "started_at", "ended_at", "mttd_s", "mtta_s",
    "mitigate_s", "mttr_s", "version", "commit", "changed", "documents", "calendar", "entry", "slot", "reasons",
    "doubt", "under",
)  # fmt: skip
OBJECTIVE_COLUMNS = (
    "run", "drill", "variant", "started_at", "tier", "rank", "objective", "status", "value", "low", "high", "limit",
    "samples", "margin", "margin_worst",
)  # fmt: skip
# A spreadsheet takes a cell that begins so for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Cell = str | float | int | bool | None


def json_lines(runs: Iterable[RunFigures]) -> Iterator[str]:
    """One line for each run, with everything that is known of it; keys sorted. The same as `RunFigures.to_json`, which
    copies every part of every run and so takes three times as long.
    """
    for run in runs:
        plain = {
            **vars(run), "times": vars(run.times), "build": vars(run.build),
            "objectives": [vars(one) for one in run.objectives],
        }  # fmt: skip
        yield json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def csv_lines(runs: Iterable[RunFigures], what: str) -> Iterator[str]:
    """The head, then a row for each run (`runs`) or for each objective of each run (`objectives`)."""
    yield _row(RUN_COLUMNS if what == "runs" else OBJECTIVE_COLUMNS)
    for run in runs:
        for cells in [_run_cells(run)] if what == "runs" else _objective_cells(run):
            yield _row(cells)


def _run_cells(run: RunFigures) -> Sequence[Cell]:
    times, build = run.times, run.build
    origin = [str(run.origin.get(name, "")) for name in ("calendar", "entry", "slot")]
    return (
        run.run, run.drill, run.variant, run.status, run.as_expected, run.environment, _moment(run.started_at),
        _moment(run.ended_at), times.mttd, times.mtta, times.mitigate, times.mttr, build.version, build.commit,
        build.changed, build.documents, *origin, " ".join(run.reasons), run.doubt,
        "; ".join(run.under),
    )  # fmt: skip


def _objective_cells(run: RunFigures) -> list[Sequence[Cell]]:
    return [
        (
            run.run, run.drill, run.variant, _moment(run.started_at), one.tier, run.tiers.get(one.tier), one.objective,
            one.status, one.value, one.low, one.high, one.limit, one.samples, one.margin, one.margin_worst,
        )
        for one in run.objectives
    ]  # fmt: skip


def _row(cells: Iterable[Cell]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([_shown(cell) for cell in cells])
    return out.getvalue()


def _shown(cell: Cell) -> str | float | int:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell


def _moment(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") if at is not None else ""
