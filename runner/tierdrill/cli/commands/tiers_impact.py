"""`tierdrill tiers diff|capacity|cost`: what a change would do, what capacity is missing, and what tiers cost."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.completion import complete_run
from tierdrill.cli.errors import INCONCLUSIVE, Refusal
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import Duration, echo_json, environment_option, json_option
from tierdrill.cli.tier_sides import busy_slots, load_of, peak_demand_of, real_size, side_of
from tierdrill.text import plural, table

if TYPE_CHECKING:
    from tierdrill.tier_policy.impact import Impact

FOUND = 1


_run_option = click.option(
    "--run", metavar="RUN", shell_complete=complete_run, help="Replay the load of this run."
)  # fmt: skip
_load_option = click.option(
    "--load", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="Replay the recorded load in this file (JSON lines or CSV).",
)  # fmt: skip
_inventory = click.option(
    "--inventory", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help='What there is: {"nodes": 3, "replicas": {"MODEL": 2}}; without it a cluster is asked.',
)  # fmt: skip
_environment = environment_option("Environment [default: the one named lab, or the only one].")


@click.command("diff")
@click.argument("old", type=click.Path(path_type=Path, exists=True))
@click.argument("new", type=click.Path(path_type=Path, exists=True))
@_environment
@_run_option
@_load_option
@json_option
@click.pass_obj
def diff(
    here: Surroundings,
    old: Path,
    new: Path,
    environment: str | None,
    run: str | None,
    file: Path | None,
    as_json: bool,
) -> int:
    """Show what a change of tiers from OLD to NEW would do.

    Each is a file with Tiers (and Workloads, if they change too), or a whole catalogue; what it lacks is taken from the
    catalogue. A load is replayed: of a run, of a file, or else of the drill that asks most for rank 1. Exit code 1
    where a promise of rank 1 gets weaker without an approval in NEW.
    """
    from tierdrill.tier_policy.impact import assess

    before, chosen = side_of(here, old, environment)
    after, _ = side_of(here, new, environment)
    impact = assess(before, after, load_of(here, before, run, file), chosen)
    if as_json:
        echo_json(impact.plain())
    else:
        _show(impact)
    return FOUND if impact.unapproved else 0


@click.command("capacity")
@_environment
@_run_option
@_load_option
@_inventory
@json_option
@click.pass_obj
def capacity(
    here: Surroundings,
    environment: str | None,
    run: str | None,
    file: Path | None,
    inventory: Path | None,
    as_json: bool,
) -> int:
    """Hold the demand of each tier at peak against slots.

    With all nodes (N), with one lost (N+1) and with two (N+2).

    Exit code 1 where rank 1 has too few slots with one node lost, even after it has preempted whom it may
    and used its fallback model; 3 where nobody knows how many nodes there are.
    """
    from tierdrill.tier_policy.capacity_plan import capacity_rows, rank_one_lacking, rank_one_short

    side, chosen = side_of(here, None, environment)
    side = replace(side, size=real_size(chosen, side, inventory))
    load = load_of(here, side, run, file)
    rows = capacity_rows(side.tiers, side.workloads, side.size, peak_demand_of(side, load))
    known = bool(side.size.nodes)
    short = rank_one_short(rows, side.tiers) if known else {}
    code = FOUND if short else 0 if known else INCONCLUSIVE
    if as_json:
        told = {"ok": not short if known else None, "load": load.source, "nodes": side.size.nodes}
        echo_json({**told, "rows": [asdict(row) for row in rows]})
        return code
    nodes = plural(side.size.nodes, "node") if side.size.nodes else "an unknown number of nodes"
    click.echo(f"environment {chosen.metadata.name}, {nodes}, {load.source}; demand and slots at peak\n")
    head = ("model", "tier", "demand", "reserved", "slots", "N+1", "N+2", "left", "at N+1", "at N+2", "preempts", "buy")
    cells = [
        (row.model, row.tier, f"{row.demand:.1f}", str(row.reserved), *map(str, row.slots),
         *(f"{left:.1f}" for left in row.headroom), f"{row.preemption:.1f}",
         "nodes" if row.buy is None else str(row.buy))
        for row in rows
    ]  # fmt: skip
    click.echo(table(cells, head))
    top = side.tiers.by_rank()[0]
    for model, lacks in rank_one_lacking(rows, side.tiers).items() if known else ():
        eased = "" if model in short else f", for which its fallback model {top.fallback_model} has room"
        click.echo(f"\n{top.name} lacks {lacks:.1f} slots of {model} with a node lost{eased}")
    if not known:
        click.echo("\nwhat a lost node takes is not known; tell the nodes with --inventory FILE")
    return code


@click.command("cost")
@_environment
@_run_option
@_load_option
@click.option("--last", type=Duration(positive=True), metavar="TIME",
              help="What was used for this long until now, by its Prometheus.")  # fmt: skip
@_inventory
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@click.pass_obj
def cost(
    here: Surroundings,
    environment: str | None,
    run: str | None,
    file: Path | None,
    last: float | None,
    inventory: Path | None,
    as_csv: bool,
    as_json: bool,
) -> int:
    """Show the GPU seconds of each tier over a load, and their cost.

    What it uses and what it keeps reserved.

    The price of a GPU hour is the environment's (`cost: {gpu_hour: 2.5, currency: EUR}`).
    """
    from tierdrill.tier_policy.capacity_plan import cost_rows, spread_over_models
    from tierdrill.tier_policy.load_replay import costs_of, span_of

    side, chosen = side_of(here, None, environment)
    if last is not None and (run is not None or file is not None):
        raise Refusal("--last is of now: without --run and --load")
    side = replace(side, size=real_size(chosen, side, inventory))
    if last is not None:
        source, span = f"the last {last:g} s", last
        asked = spread_over_models(busy_slots(here, chosen, last), side.workloads)
        rows = cost_rows(side.tiers, side.workloads, chosen, side.size, asked, last)
    else:
        load = load_of(here, side, run, file)
        source, span, rows = load.source, span_of(load), costs_of(side, chosen, load)
    currency = chosen.cost.currency if chosen.cost is not None else None
    if as_json:
        told = [asdict(row) for row in rows]
        echo_json({"seconds": span, "currency": currency, "load": source, "tiers": told})
    elif as_csv:
        out = io.StringIO()
        writer = csv.DictWriter(out, ["environment", "seconds", "currency", *asdict(rows[0])], lineterminator="\n")
        writer.writeheader()
        common = {"environment": chosen.metadata.name, "seconds": round(span, 3), "currency": currency}
        writer.writerows({**common, **{k: _rounded(v) for k, v in asdict(row).items()}} for row in rows)
        click.echo(out.getvalue(), nl=False)
    else:
        click.echo(f"environment {chosen.metadata.name}, {source}, {span:.0f} s\n")
        head = ("tier", "GPU s used", "GPU s reserved", f"cost used {currency or ''}", "cost reserved")
        click.echo(table([(row.tier, *map(_figure, tuple(asdict(row).values())[1:])) for row in rows], head))
        if currency is None:
            click.echo(f"\nno price: environment {chosen.metadata.name} has no cost.gpu_hour")
    return 0


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _show(impact: Impact) -> None:
    from tierdrill.tier_policy.impact import OUTLOOK_HEAD

    click.echo("changes" if impact.changes else "no changes")
    for one in impact.changes:
        click.echo(f"  {one}")
    moved = sum(one.requests for one in impact.moved)
    click.echo(f"\nof {impact.requests:,} requests ({impact.source}), {moved:,} change tier")
    for kind in impact.moved:
        click.echo(f"  {kind.before} -> {kind.after}: {kind.requests:,}")
    click.echo("\nbusiest minute, before -> after")
    click.echo(table([outlook.told() for outlook in impact.outlooks], OUTLOOK_HEAD, "  "))
    click.echo("\ndrills that would no longer pass" if impact.lost else "\nno drill that would no longer pass")
    for drill in impact.lost:
        click.echo(f"  {drill.drill}: {drill.why}")
    for one in impact.unapproved:
        click.echo(
            f"\nnot approved: {one.about} {one.field}: a promise of rank 1 gets weaker; see approvals in the docs"
        )
    click.echo(f"\n{impact.price}")
