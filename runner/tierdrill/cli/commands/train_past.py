"""`tierdrill train progress`, `coverage`, `debrief` and `forget`: what is kept of past exercises."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.completion import complete_run
from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import DAY, plural, table, utc

if TYPE_CHECKING:
    from pathlib import Path

    from tierdrill.training.results.progress import Coverage, Progress, Result

SHOWN_SHARES = 8


def complete_trainee(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names that results are kept under."""
    here = context.find_object(Surroundings)
    try:
        names = {one.trainee for one in _results(here.home) if one.trainee} if here else set()
    except Exception:
        return []
    return sorted(name for name in names if name.startswith(incomplete))


@click.command("progress")
@click.argument("name", required=False, shell_complete=complete_trainee)
@json_option
@click.pass_obj
def progress(here: Surroundings, name: str | None, as_json: bool) -> None:
    """Show a person's scores over time (default: everybody's)."""
    from tierdrill.training.results.progress import progress_of

    results = _results(here.home)
    found = progress_of(results, name)
    if name is not None and not found:
        known = sorted({one.trainee for one in results if one.trainee})
        raise Refusal(f"no exercise of {name!r}, expected one of: {', '.join(known) or 'none'}")
    if as_json:
        echo_json([_person(one) for one in found])
        return
    if not found:
        click.echo("no named exercises; start one with `tierdrill train SCENARIO --trainee NAME`")
    for number, one in enumerate(found):
        click.echo(("\n" if number else "") + _told(one, whole=name is not None))


@click.command("coverage")
@json_option
@click.pass_obj
def coverage(here: Surroundings, as_json: bool) -> None:
    """Show every person's best score and last time in every scenario."""
    from tierdrill.cli.drill_documents import read
    from tierdrill.training.results.progress import coverage_of

    catalogue, _ = read(here.catalogue)
    scenarios = [(one.metadata.name, one.level) for one in catalogue.scenarios.values()]
    found = coverage_of(_results(here.home), scenarios)
    if as_json:
        echo_json(_matrix(found))
        return
    click.echo(_shown(found))


@click.command("debrief")
@click.argument("exercise", required=False, shell_complete=complete_run)
@json_option
@click.pass_obj
def debrief(here: Surroundings, exercise: str | None, as_json: bool) -> None:
    """Score an exercise again and write its debrief.

    Prints the debrief's path. EXERCISE is the last one by default.
    """
    from tierdrill.cli.past_runs import stored_events
    from tierdrill.home import run_folder
    from tierdrill.training.exercise_setting import NotAnExercise
    from tierdrill.training.results.debrief import debrief_of
    from tierdrill.training.results.debrief_views import write_debrief
    from tierdrill.training.results.progress import keep_result

    name = _exercise(here.home, exercise)
    events = stored_events(here.home, name)
    try:
        found = debrief_of(events)
        keep_result(here.home, events)
    except NotAnExercise as error:
        raise Refusal(f"{name}: {error}") from error
    path = write_debrief(found, run_folder(here.home, name))
    if as_json:
        echo_json({**found.card.to_json(), "debrief": str(path)})
        return
    rows = [
        (f"{one.points:g}", f"{one.of:g}", one.title, one.seen)
        if one.judged
        else ("-", f"{one.of:g}", one.title, f"{one.seen}: {one.why}")
        for one in found.card.lines
    ]
    click.echo(f"{name}: {found.headline}")
    click.echo(table(rows, ("points", "of", "line", "seen")))
    click.echo(f"debrief: {path}")


@click.command("forget")
@click.argument("name", shell_complete=complete_trainee)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@click.pass_obj
def forget(here: Surroundings, name: str, yes: bool, as_json: bool) -> int:
    """Erase a trainee's NAME from results, histories and debriefs.

    Their exercises become those of "a trainee".

    This cannot be undone. The name is also searched for as a whole word in all messages of exercises. Exit code 1 if a
    file of this home still has it.
    """
    from tierdrill.training.results.erase_trainee import forget as erase

    if not yes and not as_json:
        click.confirm(f"erase {name!r} from {here.home}, for good?", abort=True)
    try:
        done = erase(here.home, name)
    except ValueError as error:
        raise Refusal(str(error)) from error
    if as_json:
        echo_json(asdict(done))
    elif done.nothing:
        click.echo(f"{name!r} was in nothing that is kept of exercises")
    else:

        click.echo(
            f"{name!r} is forgotten: {plural(done.results, 'result')}, "
            f"{len(done.exercises)} in the history and {plural(len(done.files), 'file')} now say 'a trainee'"
        )
    if done.left:
        say(f"still named in {', '.join(done.left)}, which are not files of exercises")
        return 1
    return 0


def _results(home: Path) -> list[Result]:
    from tierdrill.training.results.progress import FILE, ProgressStore

    if not (home / FILE).exists() and not (home / "history.db").exists():
        return []
    with closing(ProgressStore(home)) as store:
        if store.set_aside is not None:
            say(f"{store.path} was corrupt; it was rebuilt from the history (copy: {store.set_aside})")
        return store.results()


def _exercise(home: Path, exercise: str | None) -> str:
    from tierdrill.history.history_store import HistoryStore
    from tierdrill.training.results.progress import EXERCISE

    with HistoryStore.kept(home) as store:
        if store is None:
            raise Refusal(f"no exercises in {home}; start one with `tierdrill train SCENARIO`")
        known = [one.run for one in store.runs(limit=100_000) if one.variant == EXERCISE and one.status is not None]
    fitting = [name for name in known if exercise is None or name.startswith(exercise)]
    if exercise in known:
        return str(exercise)
    if not fitting or (exercise is not None and len(fitting) > 1):
        what = f"no exercise, or several, begin with {exercise!r}" if exercise else "no exercise has ended"
        raise Refusal(f"{what} in {home}; the latest are: {', '.join(known[:5]) or 'none'}")
    return fitting[0]


def _person(one: Progress) -> dict[str, Any]:
    shown = ("exercise", "scenario", "level", "at", "share")
    steps = [{key: getattr(step, key) for key in shown} for step in one.steps]
    return {"trainee": one.trainee, "steps": steps, "strengths": one.strengths, "weakest": one.weakest}


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.0f}"


def _told(one: Progress, *, whole: bool) -> str:

    shares = " -> ".join(_percent(share) for share in one.shares[-SHOWN_SHARES:]) or "no score yet"
    last = utc(one.steps[-1].at, DAY)
    lines = [f"{one.trainee}: {plural(len(one.steps), 'exercise')}, last on {last}; scores {shares}"]
    if one.strengths:
        parts = ", ".join(f"{family} {_percent(share)}" for family, share in one.strengths.items())
        lines.append(f"  lately, of 100: {parts}" + (f"; to practise: {one.weakest}" if one.weakest else ""))
    if whole:
        rows = [
            (utc(step.at, DAY), step.scenario, step.level, _percent(step.share), step.exercise) for step in one.steps
        ]
        lines.append(table(rows, ("day", "scenario", "level", "of 100", "exercise"), indent="  "))
    return "\n".join(lines)


def _shown(found: Coverage) -> str:
    if not found.people:
        return "no exercises; list scenarios with `tierdrill train --list`"
    rows, people = [], found.people
    for scenario, level in found.scenarios:
        cells = [found.cells.get((person, scenario)) for person in people]
        told = [f"{_percent(cell.best)} x{cell.times} {utc(cell.last_at, DAY)}" if cell else "-" for cell in cells]
        rows.append((scenario, level, *told))
    totals = [" ".join(f"{level} {count}" for level, count in found.levels[one].items() if count) for one in people]
    rows.append(("(exercises)", "", *totals))
    text = table(rows, ("scenario", "level", *people))
    legend = "\ncells: best score of 100, number of exercises, last day"
    return text + legend + (f"\nnot practised: {', '.join(found.gaps)}" if found.gaps else "")


def _matrix(found: Coverage) -> dict[str, Any]:
    return {
        "people": list(found.people),
        "scenarios": [{"name": name, "level": level} for name, level in found.scenarios],
        "cells": [
            {"trainee": person, "scenario": scenario, **asdict(cell)}
            for (person, scenario), cell in sorted(found.cells.items())
        ],
        "levels": found.levels,
        "gaps": list(found.gaps),
    }
