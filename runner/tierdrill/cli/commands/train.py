"""`tierdrill train`: one exercise, in this terminal the trainee's console; and what is kept of past ones."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from tierdrill.cli.command_table import StartingGroup
from tierdrill.cli.drill_documents import check_place
from tierdrill.cli.errors import INCONCLUSIVE, Refusal
from tierdrill.cli.folders import Surroundings, author, find_catalogue
from tierdrill.cli.logs import log_to_file
from tierdrill.cli.options import echo_json, maintenance_option, no_color_option
from tierdrill.text import table

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue
    from tierdrill.training.exercise_run import ExerciseOutcome
    from tierdrill.training.exercise_setting import ExerciseSetting
    from tierdrill.training.responders import Policy

ABORTED = 4
LEVELS = ("first-day", "intermediate", "hard")
TRAINEE_MAX = 100
_SCENARIO = re.compile(r"^kind:\s*Scenario\s*$", re.MULTILINE)
_NAME = re.compile(r"^metadata:[^\n]*\n(?:\s+[^\n]*\n)*?\s+name:\s*[\"']?([a-z0-9-]+)", re.MULTILINE)
_LEVEL = re.compile(r"^level:\s*(\S+)\s*$", re.MULTILINE)
PAST: dict[str, str] = {
    "progress": "train_past:progress",
    "coverage": "train_past:coverage",
    "debrief": "train_past:debrief",
    "forget": "train_past:forget",
}
"""Further subcommands: name to `module:attribute` of `tierdrill.cli.commands`."""


def _complete_scenario(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Scenarios that begin so, with their level."""
    named = ctx.find_root().params.get("catalogue")
    items = []
    for path in sorted(find_catalogue(Path(named) if named else None).glob("drills/**/*.y*ml")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if _SCENARIO.search(text) and (name := _NAME.search(text)) and name[1].startswith(incomplete):
            level = _LEVEL.search(text)
            items.append(CompletionItem(name[1], help=level[1] if level else ""))
    return items


@click.group("train", cls=StartingGroup, start="start", further=PAST)
def command() -> None:
    """Start an on-call exercise in a lab: `train SCENARIO`, or `train --draw`.

    This terminal shows pages and messages; work in a second one with `tierdrill ops`. A facilitator joins from a third
    with `tierdrill facilitate`. The fault is shown nowhere before the debrief. Ctrl-C ends it cleanly, twice at once.
    """


@command.command("start", hidden=True)
@click.argument("scenario", required=False, shell_complete=_complete_scenario)
@click.option("--list", "listing", is_flag=True, help="List the scenarios and their levels, without spoilers.")
@click.option("--draw", is_flag=True, help="Draw a random scenario, weighted by real-world frequency, unnamed.")
@click.option(
    "--level", type=click.Choice(LEVELS), help="With --draw: only of this level."
)
@click.option("--seed", type=click.IntRange(0), help="Random seed for the draw and the load.")
@click.option("--automation", type=click.Choice(["on", "off", "wrong"]), help="Override the scenario's automation.")
@click.option("--trainee", metavar="NAME", help="Record the result under this name [default: no name].")
@click.option("--auto", type=click.Choice(["good", "slow", "harmful"]), help="Run with a scripted responder.")
@maintenance_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON: the list, or the result at the end.")
@no_color_option
@click.pass_obj
def start(
    here: Surroundings,
    scenario: str | None,
    listing: bool,
    draw: bool,
    level: str | None,
    seed: int | None,
    automation: Any,
    trainee: str | None,
    auto: Policy | None,
    in_maintenance: str,
    as_json: bool,
    plain_colors: bool,
) -> int:
    """Start an exercise."""
    from tierdrill.cli.drill_documents import whole_catalogue

    if sum((listing, draw, scenario is not None)) != 1:
        raise click.UsageError("expected exactly one of SCENARIO, --draw and --list")
    if trainee is not None and (not trainee.strip() or not trainee.isprintable() or len(trainee) > TRAINEE_MAX):
        raise click.UsageError(f"--trainee: got {trainee!r}, expected a name of at most {TRAINEE_MAX} characters")
    catalogue = whole_catalogue(here.catalogue)
    if listing:
        return _list(catalogue, as_json)
    setting = _setting(catalogue, scenario, level, seed, automation)
    check_place(here, [setting])
    here.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    log_to_file(here.home)
    color = here.color and not plain_colors
    outcome = _play(here, setting, seed, trainee, auto, in_maintenance, named=not draw, quiet=as_json, color=color)
    return _tell(here, outcome, as_json=as_json, color=color)


def _list(catalogue: Catalogue, as_json: bool) -> int:
    from tierdrill.documents.models.scenario import LEVELS

    scenarios = sorted(catalogue.scenarios.values(), key=lambda one: (LEVELS.index(one.level), one.metadata.name))
    rows = [
        {
            "name": one.metadata.name,
            "title": one.metadata.title,
            "level": one.level,
            "duration_s": one.duration,
            "weight": one.weight,
        }
        for one in scenarios
    ]
    if as_json:
        echo_json(rows)
        return 0
    shown = [
        (one.metadata.name, one.level, f"{one.duration / 60:g} min", one.metadata.title or "") for one in scenarios
    ]
    click.echo(table(shown, ("scenario", "level", "length", "title")) or "no scenarios in the catalogue")
    return 0


def _setting(
    catalogue: Catalogue, scenario: str | None, level: str | None, seed: int | None, automation: Any
) -> ExerciseSetting:
    from tierdrill.did_you_mean import none_named
    from tierdrill.training.exercise_setting import draw_scenario, exercise_setting

    if scenario is None:
        try:
            scenario = draw_scenario(catalogue.scenarios.values(), level, seed)
        except LookupError as error:
            raise Refusal(str(error)) from error
    elif level is not None:
        raise click.UsageError("--level needs --draw")
    elif scenario not in catalogue.scenarios:
        raise Refusal(none_named("scenario", scenario, catalogue.scenarios))
    return exercise_setting(catalogue, scenario, automation)


def _play(
    here: Surroundings,
    setting: ExerciseSetting,
    seed: int | None,
    trainee: str | None,
    auto: Policy | None,
    in_maintenance: str,
    *,
    named: bool,
    quiet: bool,
    color: bool,
) -> ExerciseOutcome:
    from functools import partial

    from tierdrill.home import run_folder
    from tierdrill.training.exercise_run import ExerciseOptions, make_terminal, opening, run_exercise

    options = ExerciseOptions(
        home=here.home, tools=here.tools, trainee=trainee, seed=seed, author=author(), responder=auto,
        in_maintenance=in_maintenance,
    )  # fmt: skip
    terminal = None if quiet else make_terminal(color=color, named=named)
    listeners, on_begin = opening(setting, here.home, partial(run_folder, here.home), auto, terminal)
    return asyncio.run(run_exercise(setting, options, listeners, on_begin))


def _tell(here: Surroundings, outcome: ExerciseOutcome, *, as_json: bool, color: bool) -> int:
    from tierdrill.training.results.debrief_views import aftermath

    if outcome.left:
        raise Refusal(f"still there: {', '.join(outcome.left)}; `tierdrill recover` cleans up")
    told = aftermath(here.home, outcome, color=color)
    if as_json:
        click.echo(json.dumps(told.line, sort_keys=True))
    else:
        click.echo(told.text)
    if outcome.reason == "error":
        return INCONCLUSIVE
    return ABORTED if outcome.reason in ("interrupted", "stopped") else 0
