"""`tierdrill rollout`: at which stage a scheduled drill stands, how it came there, and putting it elsewhere by hand."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.completion import complete_entry
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import table, utc

if TYPE_CHECKING:
    from tierdrill.documents.models.staged_rollout import Rollout
    from tierdrill.schedule.rollout.rollout_stages import Move, RolloutState


@click.group("rollout")
def command() -> None:
    """Show or set the rollout stage of scheduled drills."""


@command.command("show")
@click.argument("entry", required=False, shell_complete=complete_entry)
@click.option(
    "--limit", type=click.IntRange(0, 10_000), default=5, show_default=True,
    help="Number of changes to show for each entry.",
)
@json_option
@click.pass_obj
def show(here: Surroundings, entry: str | None, limit: int, as_json: bool) -> None:
    """Show the stages of entries and their last changes.

    Of ENTRY, or of all entries with a rollout.
    """
    every = _rollouts(here)
    chosen = {_find(every, entry): every[_find(every, entry)]} if entry is not None else every
    found = [_look(here, calendar, name, rollout, limit) for (calendar, name), rollout in chosen.items()]
    if as_json:
        echo_json({"rollouts": found})
        return
    for each in found:
        for line in _lines(each):
            click.echo(line)
    if not found:
        click.echo("no entry has a rollout")


@command.command("set")
@click.argument("entry", shell_complete=complete_entry)
@click.argument("stage")
@click.option("--reason", required=True, help="Reason, recorded in the entry's history.")
@click.option("--author", "by", help="Author [default: git's identity, else the user].")
@click.pass_obj
def put(here: Surroundings, entry: str, stage: str, reason: str, by: str | None) -> None:
    """Set the rollout stage of ENTRY. Its count of clean runs starts over, and a hold is lifted."""
    from tierdrill.did_you_mean import did_you_mean, nearest
    from tierdrill.schedule.rollout.rollout_store import RolloutStore
    from tierdrill.text import either

    said = " ".join(reason.split())
    if not said:
        raise Refusal("--reason must not be empty")
    every = _rollouts(here)
    calendar, name = _find(every, entry)
    rollout = every[calendar, name]
    names = [one.name for one in rollout.stages]
    if stage not in names:
        hint = did_you_mean(nearest(stage, names))
        raise Refusal(f"no stage {stage!r} in the rollout of {calendar}/{name}, expected {either(names)}{hint}")
    with closing(RolloutStore(here.home)) as store:
        move = store.set_by_hand(calendar, name, rollout, stage, time.time(), by or author(), said)
    went = f"from {move.before} to {move.after}" if move.before != move.after else f"at {move.after} again"
    click.echo(f"{calendar}/{name}: {went}, by {move.author}: {move.reason}")


def _rollouts(here: Surroundings) -> dict[tuple[str, str], Rollout]:
    from tierdrill.cli.drill_documents import whole_catalogue

    calendars = whole_catalogue(here.catalogue).calendars
    return {
        (name, entry.name): entry.rollout
        for name, calendar in sorted(calendars.items())
        for entry in calendar.entries
        if entry.rollout is not None
    }


def _find(every: dict[tuple[str, str], Rollout], word: str) -> tuple[str, str]:
    from tierdrill.did_you_mean import did_you_mean, nearest
    from tierdrill.text import listed

    found = [key for key in every if word in (key[1], "/".join(key))]
    if len(found) == 1:
        return found[0]
    names = ["/".join(key) for key in every]
    if found:
        raise Refusal(f"entry {word!r} is in several calendars; name one: {listed(map('/'.join, found))}")
    near = nearest(word, names) or nearest(word, [key[1] for key in every])
    known = f"known: {listed(names)}" if names else "no entry has a rollout"
    raise Refusal(f"no entry {word!r} with a rollout; {known}{did_you_mean(near)}")


def _look(here: Surroundings, calendar: str, entry: str, rollout: Rollout, limit: int) -> dict[str, Any]:
    from tierdrill.schedule.rollout.rollout_stages import begin, settled
    from tierdrill.schedule.rollout.rollout_store import RolloutStore

    known: RolloutState | None = None
    moves: list[Move] = []
    with RolloutStore.kept(here.home) as store:
        if store:
            known, moves = store.state(calendar, entry), store.moves(calendar, entry, limit)
    # As it would be at the next run: the calendar may have been changed since the last.
    now = time.time()
    state, _ = begin(rollout, now) if known is None else settled(known, rollout, now)
    stages = [
        {"name": stage.name, "clean_runs": stage.clean_runs, "here": stage.name == state.stage}
        for stage in rollout.stages
    ]
    return {
        "calendar": calendar,
        "entry": entry,
        "begun": known is not None,
        "stage": state.stage,
        "clean": state.clean,
        "held": state.held,
        "on_failure": rollout.on_failure,
        "stages": stages,
        "moves": [asdict(move) for move in moves],
    }


def _lines(found: dict[str, Any]) -> list[str]:
    names = [f"[{stage['name']}]" if stage["here"] else stage["name"] for stage in found["stages"]]
    lines = [f"{found['calendar']}/{found['entry']}: {' > '.join(names)}"]
    needed = next(stage["clean_runs"] for stage in found["stages"] if stage["here"])
    if found["held"]:
        lines.append(f"  HELD: {found['held']}")
    elif found["stages"][-1]["here"]:
        lines.append("  at its last stage")
    else:
        lines.append(f"  {found['clean']} of {needed} clean proven runs in a row before the next stage")
    rows = [
        (
            utc(move["at"]),
            move["kind"],
            f"{move['before']} > {move['after']}" if move["before"] else move["after"],
            f"{move['author']}: {move['reason']}" if move["author"] else move["reason"],
        )
        for move in found["moves"]
    ]
    return [*lines, *([table(rows, indent="  ")] if rows else [])]
