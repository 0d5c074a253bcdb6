"""The page "drills": the catalogue, with each drill's last run, proof, trend and what it says for the tiers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from tierdrill.conductor.plan import new_run_name
from tierdrill.did_you_mean import none_named
from tierdrill.documents.catalogue import DrillSetting, setting_of
from tierdrill.judge.proof import variants_of
from tierdrill.judge.trend.proof_status import ProofState
from tierdrill.judge.trend.run_figures import RunFigures, judged_tiers
from tierdrill.judge.trend.whole_trend import DrillTrend, Trend, trend_of
from tierdrill.recovery.finalize import figures_in
from tierdrill.report.trend.plot import Plot, span_of
from tierdrill.report.trend.plot_lanes import score_plot
from tierdrill.report.trend.wording import last_words, proof_words, regression_words
from tierdrill.targets.target_registry import labs_of
from tierdrill.text import either
from tierdrill.web.page_answers import Ask
from tierdrill.web.request_guard import Refused

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue
    from tierdrill.documents.models.drill import Drill

LATEST = 10


@dataclass(frozen=True)
class DrillRow:
    """A drill of the catalogue in one environment that it ran in; `trend` is None where it never ran."""

    drill: Drill
    environment: str
    trend: DrillTrend | None
    worse: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return float(sum(self.drill.phases.model_dump().values()))

    @property
    def last(self) -> RunFigures | None:
        return self.trend.runs.nights[-1] if self.trend is not None and self.trend.runs.nights else None

    @property
    def latest(self) -> tuple[RunFigures, ...]:
        """The newest runs of the drill itself, oldest first."""
        return self.trend.runs.nights[-LATEST:] if self.trend is not None else ()

    @property
    def last_words(self) -> str:
        return last_words(self.trend.age_s) if self.trend is not None else "never run"

    @property
    def proof(self) -> str:
        return proof_words(self.trend.proof, self.trend.proof_age_s) if self.trend is not None else "never proven"

    @property
    def proven(self) -> bool:
        return self.trend is not None and self.trend.proof.state is ProofState.PROVEN and not self.trend.proof_stale


async def drills_page(ask: Ask) -> Response:
    documents = await ask.dashboard.documents()
    trend = await asyncio.to_thread(_trend, ask.dashboard.options.home, documents.catalogue)
    return await ask.html(
        "drills.html",
        rows=rows_of(documents.catalogue, trend),
        plot=_plot(trend),
        worse=[regression_words(one) for one in trend.regressions],
        problems=documents.problems,
    )


async def drill_page(ask: Ask) -> Response:
    documents = await ask.dashboard.documents()
    setting = _setting(documents.catalogue, ask.name)
    home = ask.dashboard.options.home
    trend = await asyncio.to_thread(_trend, home, documents.catalogue)
    labs = await asyncio.to_thread(lambda: [lab.name for lab in labs_of(home).standing() if lab.state == "up"])
    rows = [row for row in rows_of(documents.catalogue, trend) if row.drill.metadata.name == ask.name]
    variants = [variant for variant in variants_of(setting) if variant != "blip" or setting.drill.blip is not None]
    kept = labs if setting.environment.target == "lab" else []
    return await ask.html(
        "drill.html", setting=setting, rows=rows, variants=variants, labs=kept, problems=documents.problems,
        maintenance=setting.tiers.maintenance_at(time.time(), setting.drill.touched),
    )  # fmt: skip


async def run_drill(ask: Ask) -> Response:
    """As `tierdrill run`, whose gates it passes; the page of the run that it began, or why there is none."""
    form = await ask.form()
    setting = _setting((await ask.dashboard.documents()).catalogue, ask.name)
    variant, lab, role = form.get("variant", "drill"), form.get("lab", ""), form.get("in_maintenance", "").strip()
    if variant not in variants_of(setting):
        raise Refused(422, f"variant: got {variant!r}, expected {either(variants_of(setting))}")
    words = [ask.name, *variant_options(variant), *(["--lab", lab] if lab else [])]
    words += ["--in-maintenance", role] if role else []
    run = new_run_name(ask.name, time.time())
    await ask.dashboard.starts.begin_run(run, words, ask.visitor.person)
    return ask.go(f"/runs/{run}")


def variant_options(variant: str) -> list[str]:
    """The options of `tierdrill run` that ask for a variant."""
    kind, _, name = variant.partition(":")
    return {"drill": [], "blip": ["--blip"]}.get(kind, ["--sabotage", name])


def _setting(catalogue: Catalogue, drill: str) -> DrillSetting:
    if drill not in catalogue.drills:
        raise Refused(404, none_named("drill", drill, catalogue.drills))
    return setting_of(catalogue, drill)


def rows_of(catalogue: Catalogue, trend: Trend) -> list[DrillRow]:
    """Every drill of the catalogue, and a row more for each further environment that it ran in."""
    rows = []
    for name, drill in sorted(catalogue.drills.items()):
        found: list[DrillTrend | None] = [one for one in trend.drills if one.runs.drill == name]
        for one in found or [None]:
            environment = one.runs.environment if one is not None else drill.environment
            worse = tuple(
                regression_words(each)
                for each in trend.regressions
                if (each.drill, each.environment) == (name, environment)
            )
            rows.append(DrillRow(drill, environment, one, worse))
    return rows


def _trend(home: Path, catalogue: Catalogue) -> Trend:
    return trend_of(figures_in(home), time.time(), None, judged_tiers(catalogue))


def _plot(trend: Trend) -> Plot | None:
    return score_plot(trend, span_of(trend), None) if trend.scores else None
