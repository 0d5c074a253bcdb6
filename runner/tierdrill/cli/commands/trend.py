"""`tierdrill trend`: how drills and tiers do over runs and versions, and whether something became worse."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.completion import complete_drill, complete_tier
from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import Duration, echo_json, json_option, no_color_option

if TYPE_CHECKING:
    from tierdrill.judge.trend.run_figures import RunFigures
    from tierdrill.judge.trend.whole_trend import Trend

REGRESSION = 1
PROGRESS_AFTER_S = 1.0


@click.command("trend")
@click.argument("drill", required=False, shell_complete=complete_drill)
@click.option("--tier", metavar="NAME", shell_complete=complete_tier, help="Only this tier.")
@click.option("--since", metavar="DURATION", type=Duration(), help="Only runs started within 90d, 12h, ...")
@click.option(
    "--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write an HTML page to this file.",
)
@click.option("--check", is_flag=True, help="Exit with code 1 on a regression.")
@json_option
@no_color_option
@click.pass_obj
def command(
    here: Surroundings,
    drill: str | None,
    tier: str | None,
    since: float | None,
    page: Path | None,
    check: bool,
    as_json: bool,
    plain_colors: bool,
) -> int:
    """Show how drills do over runs and versions, or one DRILL in full.

    Regressions are tested statistically against earlier runs, and reported as unknown if there are too few.
    Each tier has a resilience score, which decays when its drills have not run for 30 days.
    """
    now = time.time()
    figures = _figures(here, drill)
    trend = _trend(here, figures, now, None if since is None else now - since, drill)
    if not trend.drills:
        if check or page is not None or drill is not None or tier is not None:
            raise Refusal(_empty(here, drill, since if figures else None))
        if not as_json:
            click.echo(_empty(here, drill, since if figures else None))
            return 0
    _known(trend, tier)
    if page is not None:
        _write_page(here, trend, page, tier)
        click.echo(str(page), err=as_json)
    if as_json:
        from tierdrill.report.trend.json_data import trend_document

        echo_json(trend_document(trend, tier))
    elif page is None:
        from tierdrill.report.run.terminal_summary import make_console
        from tierdrill.report.trend.terminal_table import print_trend

        print_trend(make_console(color=here.color and not plain_colors), trend, drill, tier)
    worse = [one for one in trend.regressions if tier is None or one.change.tier in ("", tier)]
    return REGRESSION if check and worse else 0


def _figures(here: Surroundings, drill: str | None) -> list[RunFigures]:
    from tierdrill.history.history_store import HistoryStore
    from tierdrill.recovery.finalize import all_figures

    began = time.monotonic()

    def tell(done: int, total: int) -> None:
        if time.monotonic() - began > PROGRESS_AFTER_S and (done % 10 == 0 or done == total):
            say(f"computing figures of older runs: {done} of {total}")

    with HistoryStore.kept(here.home) as store:
        figures = all_figures(store, drill, progress=tell) if store else []
        if store and not figures and drill is not None:
            others = sorted({run.drill for run in all_figures(store)})
            if others:
                raise Refusal(f"no run of {drill!r} in {here.home} yet; there are runs of: {', '.join(others)}")
    return figures


def _trend(here: Surroundings, figures: list[RunFigures], now: float, since: float | None, drill: str | None) -> Trend:
    from tierdrill.judge.trend.whole_trend import trend_of

    catalogue = _catalogue(here.catalogue)
    if catalogue is not None and drill is not None:
        # What is asked about is the drill, whether or not the catalogue in use still has it.
        asked = dict(next((run.tiers for run in reversed(figures) if run.tiers), {}))
        catalogue = {drill: catalogue.get(drill, asked)}
    return trend_of(figures, now, since, catalogue)


def _catalogue(folder: Path) -> Mapping[str, Mapping[str, int]] | None:
    """What drills there are, and which tiers with which ranks each judges; None for a catalogue with problems."""
    from tierdrill.documents.catalogue_reader import load_catalogue
    from tierdrill.judge.trend.run_figures import judged_tiers

    catalogue, problems = load_catalogue(folder)
    if problems:
        say(f"{folder} has problems (`tierdrill validate`), so drills that never ran are not counted")
        return None
    return judged_tiers(catalogue)


def _empty(here: Surroundings, drill: str | None, since: float | None) -> str:
    if since is None:
        return f"no judged runs in {here.home}; start one with `tierdrill run {drill or 'DRILL'}`"
    from tierdrill.report.trend.wording import show_age

    return f"no runs of {drill or 'any drill'} within the last {show_age(since)}; use a longer --since"


def _known(trend: Trend, tier: str | None) -> None:
    tiers = [score.tier for score in trend.scores]
    if tier is not None and tier not in tiers:
        raise Refusal(f"--tier: got {tier!r}, expected one of: {', '.join(tiers) or 'none (no drill judges a tier)'}")


def _write_page(here: Surroundings, trend: Trend, page: Path, tier: str | None) -> None:
    from tierdrill.cli.run_reports import report_link
    from tierdrill.process.safe_files import write_atomic
    from tierdrill.report.trend.html_page import trend_html

    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(page, trend_html(trend, report_link(here.home, page), tier))
