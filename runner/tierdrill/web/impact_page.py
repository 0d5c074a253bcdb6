"""The page "impact of a change": proposed tiers against those in force, as `tierdrill tiers diff`. Nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from tierdrill.documents.catalogue import usual_environment
from tierdrill.documents.catalogue_reader import read_pasted
from tierdrill.documents.problems import in_order
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.sealed import EXERCISE
from tierdrill.text import plural
from tierdrill.tier_policy.compared_sides import NotComparable, load_of_run, side_in, usual_load, whole, with_proposed
from tierdrill.tier_policy.impact import OUTLOOK_HEAD, Impact, assess
from tierdrill.web.page_answers import Ask

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue

FORM_BYTES_MAX = 512 * 1024
TEXT_BYTES_MAX = 128 * 1024
RUNS_OFFERED = 50
NAME = "proposed"
"""What the text is called where something is wrong with it: `proposed:3:5: ...`."""

_one_at_a_time = asyncio.Lock()


async def impact_page(ask: Ask) -> Response:
    """The form, with the tiers in force to change."""
    catalogue = (await ask.dashboard.documents()).catalogue
    environment = _chosen(catalogue, ask.request.query_params.get("environment", ""))
    path = catalogue.paths.get(("Tiers", catalogue.environments[environment].tiers)) if environment else None
    text = await asyncio.to_thread(path.read_text, "utf-8", "replace") if path is not None else ""
    return await _page(ask, catalogue, {"environment": environment, "text": text, "run": ""})


async def assess_proposed(ask: Ask) -> Response:
    form = await ask.form(FORM_BYTES_MAX)
    catalogue = (await ask.dashboard.documents()).catalogue
    environment = _chosen(catalogue, form.get("environment", ""))
    try:
        async with _one_at_a_time:
            found = await asyncio.to_thread(
                _impact, ask.dashboard.options.home, catalogue, environment, form.get("text", ""), form.get("run", "")
            )
    except NotComparable as error:
        found = [str(error)]
    asked = {"text": "", "run": "", **form, "environment": environment}
    if isinstance(found, Impact):
        return await _page(ask, catalogue, asked, impact=found)
    return await _page(ask, catalogue, asked, 422, wrong=found)


def _chosen(catalogue: Catalogue, name: str) -> str:
    """The environment asked for, or else the usual one; empty where there is none."""
    known = catalogue.environments
    return name if name in known else usual_environment(known) or next(iter(known), "")


async def _page(
    ask: Ask, catalogue: Catalogue, asked: Mapping[str, str], status: int = 200, *,
    impact: Impact | None = None, wrong: list[str] | None = None,
) -> Response:  # fmt: skip
    return await ask.html(
        "impact.html",
        status,
        environments=sorted(catalogue.environments),
        runs=await asyncio.to_thread(_runs, ask.dashboard.options.home),
        asked=asked,
        impact=impact,
        head=OUTLOOK_HEAD,
        wrong=wrong or [],
    )


def _runs(home: Path) -> list[str]:
    """The names of the latest runs of drills."""
    with HistoryStore.kept(home) as store:
        runs = store.runs(limit=RUNS_OFFERED) if store else []
    return [one.run for one in runs if one.variant != EXERCISE]


def _impact(home: Path, catalogue: Catalogue, environment: str, text: str, run: str) -> Impact | list[str]:
    """What the proposed text would do, or what is wrong with it, a line each."""
    if not environment:
        raise NotComparable("the catalogue has no environment that tiers could be for")
    if (size := len(text.encode("utf-8", "replace"))) > TEXT_BYTES_MAX:
        raise NotComparable(f"{NAME}: {plural(size, 'byte')}, expected at most {TEXT_BYTES_MAX:,}")
    reading = read_pasted(text, NAME)
    if reading.problems:
        return [str(one) for one in in_order(reading.problems)]
    chosen = catalogue.environments[environment]
    old = whole(side_in(catalogue, chosen), str(catalogue.root))
    new = with_proposed(old, reading.catalogue, NAME)
    if not run:
        return assess(old, new, usual_load(old), chosen)
    if run not in _runs(home):
        raise NotComparable(f"no run {run!r} among the latest {RUNS_OFFERED} of this home")
    with closing(HistoryStore(home)) as store:
        events = store.events(run)
    return assess(old, new, load_of_run(events), chosen)
