"""What `tierdrill tiers` compares, sizes and prices: a policy with its environment, and a load to hold against it."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.cli.drill_documents import environment_files, seen_from_here, usable_catalogue
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import FOLDERS, Surroundings
from tierdrill.text import either

if TYPE_CHECKING:
    from tierdrill.documents.models.environment import Environment
    from tierdrill.tier_policy.capacity_plan import Size
    from tierdrill.tier_policy.load_replay import Side
    from tierdrill.tier_policy.recorded_load import RecordedLoad


def side_of(here: Surroundings, path: Path | None, environment: str | None) -> tuple[Side, Environment]:
    """A policy with the environment it is for: of a catalogue, or of a file beside the catalogue of here."""
    from tierdrill.did_you_mean import none_named
    from tierdrill.documents.catalogue import usual_environment
    from tierdrill.documents.catalogue_reader import read_files
    from tierdrill.documents.problems import SpecError
    from tierdrill.tier_policy.compared_sides import side_in, whole, with_proposed

    of_catalogue = path is not None and path.is_dir() and any((path / name).is_dir() for name in FOLDERS)
    root = path if of_catalogue and path is not None else here.catalogue
    name, extra = environment_files(root, environment) if environment is not None else ("", [])
    catalogue = usable_catalogue(root, extra)
    name = name or usual_environment(catalogue.environments) or ""
    if not name:
        raise Refusal(f"--environment: missing, expected {either(sorted(catalogue.environments))}")
    if name not in catalogue.environments:
        raise Refusal(f"--environment: {none_named('environment', name, catalogue.environments)}")
    chosen = catalogue.environments[name]
    side = side_in(catalogue, chosen)
    if path is None or of_catalogue:
        return whole(side, str(root)), chosen
    files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
    reading = read_files(files, here.catalogue)
    if reading.problems:
        raise SpecError([seen_from_here(problem, here.catalogue) for problem in reading.problems])
    return with_proposed(side, reading.catalogue, str(path)), chosen


def load_of(here: Surroundings, side: Side, run: str | None, file: Path | None) -> RecordedLoad:
    """The load to replay: a run's, a file's, or that of the drill that asks most for rank 1; Refusal."""
    from tierdrill.tier_policy.compared_sides import load_of_run, usual_load
    from tierdrill.tier_policy.recorded_load import read_load

    if run is not None and file is not None:
        raise Refusal("--run and --load are mutually exclusive")
    if file is not None:
        return read_load(file)
    if run is not None:
        from tierdrill.cli.past_runs import events_of

        return load_of_run(events_of(here.home, run, None)[0])
    return usual_load(side)


def peak_demand_of(side: Side, load: RecordedLoad) -> dict[tuple[str, str], float]:
    """Slots that each (tier, model) keeps busy in the busiest ten seconds."""
    from tierdrill.tier_policy.load_replay import arrivals, asks_the_hour, demand, peak, span_of

    busiest = peak(load.minutes_told(asks_the_hour(side)), 10.0)
    return demand(arrivals(side, busiest), span_of(busiest))


def busy_slots(here: Surroundings, environment: Environment, seconds: float) -> dict[str, float]:
    """Slots that each tier kept busy on average, as the environment's Prometheus saw it; Refusal where none says."""
    import asyncio

    from tierdrill.documents.models.units import promql_duration
    from tierdrill.monitoring.query import NoData, Prometheus
    from tierdrill.web.watched_places import places_of

    name = environment.metadata.name
    places = places_of(here.home, usable_catalogue(here.catalogue), {})
    there = [one.prometheus for one in places if one.environment.metadata.name == name and one.prometheus is not None]
    if not there:
        raise Refusal(f"no Prometheus of environment {name} is known: no lab of it is up, and it names none")
    expression = f"sum by (tier) (avg_over_time(tierdrill_inflight[{promql_duration(seconds)}]))"
    with closing(Prometheus(there[0].url, there[0].login)) as prometheus:
        found = asyncio.run(prometheus.instant(expression))
    if isinstance(found, NoData):
        raise Refusal(f"{there[0].url}: {found.reason}")
    if not found:
        raise Refusal(f"{there[0].url} has no tierdrill_inflight of the last {seconds:g} s")
    return {sample.labels.get("tier", ""): sample.value for sample in found}


def real_size(environment: Environment, side: Side, inventory: Path | None) -> Size:
    """What there is: as a file or a cluster tells, or else the documents; Refusal."""
    from tierdrill.tier_policy.capacity_plan import Size

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
    from tierdrill.targets.kubernetes.monitoring_client import gpus_of_pods
    from tierdrill.targets.kubernetes.survey import survey

    with closing(Cluster.of(environment.kubernetes)) as cluster:
        there = replace(survey(cluster, environment.kubernetes), gpus=gpus_of_pods(environment))
        names = there.names(environment.kubernetes, side.workloads)
    counts: dict[str, int] = {model.name: 0 for model in side.workloads.models}
    for alias in names.replicas:
        model = alias.rpartition("-")[0]
        counts[model] = counts.get(model, 0) + 1
    return Size(len(names.nodes), max(1, len(names.gateways)), counts)
