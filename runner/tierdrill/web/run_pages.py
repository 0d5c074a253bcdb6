"""Runs: the list of them, and one: as it happens while it goes on, then its report."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from tierdrill.history.hash_chain import standing_of
from tierdrill.history.history_store import HistoryStore, run_named
from tierdrill.history.ledger import Ledger
from tierdrill.history.sealed import EXERCISE
from tierdrill.judge.judge import judge, setting_in
from tierdrill.recovery.status import live_runs
from tierdrill.report.run.html_report import report_body
from tierdrill.web.page_answers import Ask, fragment
from tierdrill.web.request_guard import Refused

if TYPE_CHECKING:
    from markupsafe import Markup

    from tierdrill.history.history_store import RunRecord
    from tierdrill.web.dashboard_state import Dashboard

EVERY_S = 1.0
LIST_MAX = 200
REPORTS_KEPT = 8
LINES_SHOWN = 40


@dataclass(frozen=True)
class OneRun:
    """A run of a drill: `live` while its runner lives."""

    record: RunRecord
    live: bool


async def runs_page(ask: Ask) -> Response:
    def read() -> list[OneRun]:
        home = ask.dashboard.options.home
        live = live_runs(home)
        with HistoryStore.kept(home) as store:
            records = store.runs(limit=LIST_MAX) if store else []
        return [
            OneRun(record, record.status is None and record.run in live)
            for record in records
            if record.variant != EXERCISE
        ]

    return await ask.html("runs.html", runs=await asyncio.to_thread(read), most=LIST_MAX)


async def run_page(ask: Ask) -> Response:
    one = await asyncio.to_thread(_find, ask.dashboard.options.home, ask.name)
    if one.live:
        parts = await run_parts(ask.dashboard, one.record.run)
        return await ask.html("run.html", one=one, parts=parts, live=f"/runs/{one.record.run}/live")
    if one.record.status is None:
        return await ask.html("run-ended.html", one=one, why="Its runner died before it was judged.", report=None)
    report, why = await asyncio.to_thread(_report, ask.dashboard.options.home, one.record)
    return await ask.html("run-ended.html", one=one, why=why, report=report)


async def run_live(ask: Ask) -> Response:
    run = (await asyncio.to_thread(_find, ask.dashboard.options.home, ask.name)).record.run
    return ask.live(f"run {run}", partial(run_parts, ask.dashboard, run), EVERY_S)


async def stop_run(ask: Ask) -> Response:
    """As `tierdrill stop` does; the page shows how it ends."""
    reason = " ".join((await ask.form()).get("reason", "").split()) or "stopped on the dashboard"
    home = ask.dashboard.options.home

    def stop() -> str:
        one = _find(home, ask.name)
        if not one.live:
            raise Refused(409, f"Run {one.record.run} is not in progress any more.")
        with closing(Ledger(home)) as ledger:
            ledger.ask_stop(one.record.run, ask.visitor.person, reason)
        return one.record.run

    return ask.go(f"/runs/{await asyncio.to_thread(stop)}")


async def run_parts(dashboard: Dashboard, run: str) -> dict[str, str]:
    """The parts of a run's page that live. The last ones let the page load its report."""
    (followed,) = await asyncio.to_thread(dashboard.followers.follow, (run,))
    ended = await asyncio.to_thread(_is_over, dashboard.options.home, run)
    now = time.time()
    return {"run": fragment("run-live.html", one=followed, now=now, ended=ended, lines=LINES_SHOWN)}


def _is_over(home: Path, run: str) -> bool:
    """Whether it was judged, or its runner died before."""
    with closing(HistoryStore(home)) as store:
        record = store.find(run)
    return record is None or record.status is not None or run not in live_runs(home)


def _find(home: Path, run: str) -> OneRun:
    """Refused for a name that no run of a drill has."""
    record = run_named(home, run)
    if record is None:
        raise Refused(404, f"There is no run {run!r} in this home.")
    if record.variant == EXERCISE:
        raise Refused(404, f"{run} is an exercise: its score and debrief are with the training pages.")
    return OneRun(record, record.status is None and run in live_runs(home))


def _report(home: Path, record: RunRecord) -> tuple[Markup | None, str]:
    """What the run's report says, or why there is none."""
    with closing(HistoryStore(home)) as store:
        chain = store.chain(record.run)
    if not chain.events:
        return None, "Its events are gone (deleted by `tierdrill prune`)."
    standing = standing_of(chain, _recorded(home, record.run), "the ledger")
    if standing.altered:
        return None, f"Its history was altered: {standing.why}. Nothing may be concluded from it."
    return _judged(home, record.run, chain.digest), ""


def _recorded(home: Path, run: str) -> str | None:
    with Ledger.kept(home) as ledger:
        return ledger.digest(run) if ledger else None


@lru_cache(maxsize=REPORTS_KEPT)
def _judged(home: Path, run: str, digest: str) -> Markup:
    """The same history gives the same report."""
    with closing(HistoryStore(home)) as store:
        events = store.events(run)
    return report_body(setting_in(events), events, judge(events))
