"""`tierdrill tiers diff|capacity|cost`: what a change would do, what capacity is missing, and what tiers cost."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.completion import complete_run
from tierdrill.cli.drill_documents import environment_files, seen_from_here, whole_catalogue
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import FOLDERS, Surroundings
from tierdrill.cli.options import echo_json, environment_option, json_option, table
from tierdrill.text import plural

if TYPE_CHECKING:
    from tierdrill.documents.models.environment import Environment
    from tierdrill.policy.capacity_plan import CostRow, Size
    from tierdrill.policy.impact import Impact
    from tierdrill.policy.load_replay import Side
    from tierdrill.policy.recorded_load import RecordedLoad

FOUND = 1
_run_option = click.option(
    "--run", metavar="RUN", shell_complete=complete_run, help="Replay the load of this run."
)  # fmt: skip
_load_option = click.option(
    "--load", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="Replay the recorded load in this file (JSON lines or CSV).",
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
    """Show what going from the tiers in OLD to those in NEW would do, before it is done.

    Each is a file with Tiers (and Workloads, if they change too), or a whole catalogue; what it lacks is taken from the
    catalogue. A load is replayed: of a run, of a file, or else of the drill that asks most. Exit code 1 where a promise
    of rank 1 gets weaker without an approval in NEW.
    """
    from tierdrill.policy.impact import assess

    before, chosen = _side(here, old, environment)
    after, _ = _side(here, new, environment)
    impact = assess(before, after, _load(here, before, run, file))
    costs = [_costs(one, chosen) for one in (before, after)]
    if as_json:
        echo_json({**impact.plain(), "cost": [[asdict(row) for row in rows] for rows in costs]})
    else:
        _show(impact)
        _show_price(chosen, *costs)
    return FOUND if impact.unapproved else 0


@click.command("capacity")
@_environment
@_run_option
@_load_option
@click.option("--inventory", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
              help='What there is: {"nodes": 3, "replicas": {"MODEL": 2}}; without it a cluster is asked.')  # fmt: skip
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
    """Hold the demand of each tier at peak against slots: with all nodes (N), with one lost (N+1) and with two (N+2).

    Exit code 1 where rank 1 has too few slots with one node lost, even after it has preempted whom it may
    and used its fallback model.
    """
    from tierdrill.policy.capacity_plan import capacity_rows, rank_one_short

    side, chosen = _side(here, None, environment)
    side = replace(side, size=_size(chosen, side, inventory))
    load = _load(here, side, run, file)
    rows = capacity_rows(side.tiers, side.workloads, side.size, _peak_demand(side, load))
    short = rank_one_short(rows, side.tiers) if side.size.nodes else {}
    if as_json:
        echo_json({"ok": not short, "load": load.source, "nodes": side.size.nodes, "rows": [asdict(r) for r in rows]})
        return FOUND if short else 0
    nodes = plural(side.size.nodes, "node") if side.size.nodes else "an unknown number of nodes"
    click.echo(f"environment {chosen.metadata.name}, {nodes}, {load.source}; demand and slots at peak\n")
    head = ("model", "tier", "demand", "reserved", "slots", "N+1", "N+2", "left", "at N+1", "at N+2", "preempts", "buy")
    cells = [
        (row.model, row.tier, f"{row.demand:.1f}", str(row.reserved), *map(str, row.slots),
         *(f"{left:.1f}" for left in row.headroom), f"{row.preemption:.1f}", str(row.buy))
        for row in rows
    ]  # fmt: skip
    click.echo(table(cells, head))
    top = side.tiers.by_rank()[0].name
    for model, lacks in short.items():
        click.echo(f"\n{top} lacks {lacks:.1f} slots of {model} with a node lost")
    return FOUND if short else 0


@click.command("cost")
@_environment
@_run_option
@_load_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@click.pass_obj
def cost(
    here: Surroundings, environment: str | None, run: str | None, file: Path | None, as_csv: bool, as_json: bool
) -> int:
    """Show the GPU seconds that each tier uses and keeps reserved over a load's time, and what they cost.

    The price of a GPU hour is the environment's (`cost: {gpu_hour: 2.5, currency: EUR}`).
    """
    from tierdrill.policy.load_replay import span_of

    side, chosen = _side(here, None, environment)
    load = _load(here, side, run, file)
    rows = _costs(side, chosen, load)
    currency = chosen.cost.currency if chosen.cost is not None else None
    if as_json:
        told = [asdict(row) for row in rows]
        echo_json({"seconds": span_of(load), "currency": currency, "load": load.source, "tiers": told})
    elif as_csv:
        out = io.StringIO()
        writer = csv.DictWriter(out, ["environment", "seconds", "currency", *asdict(rows[0])], lineterminator="\n")
        writer.writeheader()
        common = {"environment": chosen.metadata.name, "seconds": round(span_of(load), 3), "currency": currency}
        writer.writerows({**common, **{k: _rounded(v) for k, v in asdict(row).items()}} for row in rows)
        click.echo(out.getvalue(), nl=False)
    else:
        click.echo(f"environment {chosen.metadata.name}, {load.source}, {span_of(load):.0f} s\n")
        head = ("tier", "GPU s used", "GPU s reserved", f"cost used {currency or ''}", "cost reserved")
        click.echo(table([(row.tier, *map(_figure, tuple(asdict(row).values())[1:])) for row in rows], head))
        if currency is None:
            click.echo(f"\nno price: environment {chosen.metadata.name} has no cost.gpu_hour")
    return 0


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _side(here: Surroundings, path: Path | None, environment: str | None) -> tuple[Side, Environment]:
    """A policy with the environment it is for: of a catalogue, or of a file beside the catalogue of here."""
    from tierdrill.documents.catalogue_reader import read_files
    from tierdrill.documents.problems import SpecError, none_named
    from tierdrill.policy.capacity_plan import size_of
    from tierdrill.policy.load_replay import Side

    whole = path is not None and path.is_dir() and any((path / name).is_dir() for name in FOLDERS)
    root = path if whole and path is not None else here.catalogue
    name, extra = environment_files(root, environment) if environment is not None else ("", [])
    catalogue = whole_catalogue(root, extra)
    name = name or ("lab" if "lab" in catalogue.environments else "")
    if not name and len(catalogue.environments) == 1:
        name = next(iter(catalogue.environments))
    if name not in catalogue.environments:
        raise Refusal(f"--environment: {none_named('environment', name, catalogue.environments)}")
    chosen = catalogue.environments[name]
    tiers, workloads = catalogue.tiers[chosen.tiers], catalogue.workloads[chosen.workloads]
    if path is not None and not whole:
        files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
        reading = read_files(files, here.catalogue)
        if reading.problems:
            raise SpecError([seen_from_here(problem, here.catalogue) for problem in reading.problems])
        tiers = _one(reading.catalogue.tiers, chosen.tiers, tiers, path)
        if reading.catalogue.workloads:
            workloads = _one(reading.catalogue.workloads, chosen.workloads, workloads, path)
    drills = tuple(one for one in catalogue.drills.values() if one.environment == name)
    _refuse_dangling(path or here.catalogue, tiers, workloads)
    return Side(tiers, workloads, size_of(chosen), drills), chosen


def _one(found: dict[str, Any], name: str, usual: Any, path: Path) -> Any:
    if name in found:
        return found[name]
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise Refusal(f"{path}: no Tiers document, expected one")
    raise Refusal(f"{path}: {', '.join(found)}, expected one of them to be named {usual.metadata.name}")


def _refuse_dangling(path: Path, tiers: Any, workloads: Any) -> None:
    names = [tier.name for tier in tiers.tiers]
    for number, route in enumerate(workloads.routes, start=1):
        if route.tier not in names:
            told = f"route {number} of workloads {workloads.metadata.name} leads to tier {route.tier}"
            raise Refusal(f"{path}: {told}, expected {', '.join(names)}; change the workloads with the tiers")


def _load(here: Surroundings, side: Side, run: str | None, file: Path | None) -> RecordedLoad:
    from tierdrill.policy.load_replay import busiest_drill, load_of_drill
    from tierdrill.policy.recorded_load import from_run, read_load

    if run is not None and file is not None:
        raise Refusal("--run and --load are mutually exclusive")
    if file is not None:
        return read_load(file)
    if run is not None:
        from tierdrill.cli.past_runs import events_of
        from tierdrill.documents.catalogue import DrillSetting
        from tierdrill.judge.judge import start_of

        events, _ = events_of(here.home, run, None)
        start = start_of(events)
        load = from_run(events, DrillSetting.from_json(dict(start.setting)).drill, start.run)
        if not len(load):
            raise Refusal(f"run {start.run} has no samples of load")
        return load
    drill = busiest_drill(side)
    if drill is None:
        raise Refusal("no drill in this environment says how much load there is; give --run or --load")
    return load_of_drill(drill)


def _peak_demand(side: Side, load: RecordedLoad) -> dict[tuple[str, str], float]:
    from tierdrill.policy.load_replay import arrivals, asks_the_hour, demand, peak, span_of

    busiest = peak(load.minutes_told(asks_the_hour(side)), 10.0)
    return demand(arrivals(side, busiest), span_of(busiest))


def _costs(side: Side, environment: Environment, load: RecordedLoad | None = None) -> list[CostRow]:
    """What tiers cost over the load's time; without one what they have reserved costs in an hour."""
    from tierdrill.policy.capacity_plan import cost_rows
    from tierdrill.policy.load_replay import arrivals, asks_the_hour, demand, span_of

    span, asked = 3600.0, {}
    if load is not None:
        load, span = load.minutes_told(asks_the_hour(side)), span_of(load)
        asked = demand(arrivals(side, load), span)
    return cost_rows(side.tiers, side.workloads, environment, side.size, asked, span)


def _size(environment: Environment, side: Side, inventory: Path | None) -> Size:
    from tierdrill.policy.capacity_plan import Size

    if inventory is not None:
        try:
            told = json.loads(inventory.read_text(encoding="utf-8"))
            nodes, replicas = told["nodes"], told["replicas"]
            fine = isinstance(nodes, int) and nodes > 0 and all(
                isinstance(count, int) and count >= 0 for count in replicas.values()
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError):
            fine = False
        if not fine:
            raise Refusal(f'{inventory}: got something else, expected {{"nodes": 3, "replicas": {{"MODEL": 2}}}}')
        return Size(nodes, side.size.gateways, replicas)
    if environment.target != "kubernetes" or environment.kubernetes is None:
        return side.size
    from tierdrill.targets.kubernetes.connect import Cluster
    from tierdrill.targets.kubernetes.survey import survey

    with closing(Cluster.of(environment.kubernetes)) as cluster:
        names = survey(cluster, environment.kubernetes).names(environment.kubernetes, side.workloads)
    counts: dict[str, int] = {model.name: 0 for model in side.workloads.models}
    for alias in names.replicas:
        model = alias.rpartition("-")[0]
        counts[model] = counts.get(model, 0) + 1
    return Size(len(names.nodes), max(1, len(names.gateways)), counts)


def _show(impact: Impact) -> None:
    click.echo("changes" if impact.changes else "no changes")
    for one in impact.changes:
        click.echo(f"  {one}")
    moved = sum(one.requests for one in impact.moved)
    click.echo(f"\nof {impact.requests:,} requests ({impact.source}), {moved:,} change tier")
    for kind in impact.moved:
        click.echo(f"  {kind.before} -> {kind.after}: {kind.requests:,}")
    click.echo("\nbusiest minute, before -> after")
    rows = [
        (outlook.tier, *(_pair(pair, form) for pair, form in (
            (outlook.rate, "{:.1f}/s"), (outlook.busy_slots, "{:.1f}"), (outlook.wait_p50, "{:.3f}s"),
            (outlook.wait_p99, "{:.3f}s"), (outlook.rejected, "{:.2%}"))))
        for outlook in impact.outlooks
    ]  # fmt: skip
    click.echo(table(rows, ("tier", "requests", "busy slots", "wait p50", "wait p99", "rejected"), "  "))
    click.echo("\ndrills that would no longer pass" if impact.lost else "\nno drill that would no longer pass")
    for drill in impact.lost:
        click.echo(f"  {drill.drill}: {drill.why}")
    for one in impact.unapproved:
        click.echo(
            f"\nnot approved: {one.about} {one.field}: a promise of rank 1 gets weaker; see approvals in the docs"
        )


def _pair(pair: tuple[float | None, float | None], form: str) -> str:
    before, after = ("-" if value is None else form.format(value) for value in pair)
    return before if before == after else f"{before} -> {after}"


def _show_price(environment: Environment, before: list[CostRow], after: list[CostRow]) -> None:
    was, now = (sum(row.reserved_gpu_s for row in rows) / 3600.0 for rows in (before, after))
    told = f"\nreserved GPUs: {was:.2f} -> {now:.2f}"
    if environment.cost is not None:
        price = environment.cost.gpu_hour
        told += f", {environment.cost.currency} {was * price:.2f} -> {now * price:.2f} an hour"
    click.echo(told)
