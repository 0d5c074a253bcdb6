"""`tierdrill tiers import|export`: tiers from other tools' documents, and documents of other tools from tiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.drill_documents import usable_catalogue
from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import environment_option
from tierdrill.cli.tier_sides import side_of

if TYPE_CHECKING:
    from tierdrill.documents.models.tiers import Tiers
    from tierdrill.documents.models.workloads import Workloads
    from tierdrill.tier_policy.slo_export import Exported

FORMATS = ("sloth", "pyrra", "openslo", "priority-classes", "inference-objectives", "envoy", "gateway-api")
_output = click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write to a file, not to stdout."
)


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", default="imported", show_default=True, help="Name of the Tiers document.")
@_output
def import_slos(files: tuple[Path, ...], name: str, output: Path | None) -> None:
    """Make a Tiers document of OpenSLO and Sloth documents.

    From openslo/v1 and prometheus/v1, a tier for each service.

    What could not be carried over, and what was made up because a tier must have it, is told on stderr.
    """
    import re

    from tierdrill.documents.bounded_files import read_file
    from tierdrill.documents.models.units import NAME_PATTERN
    from tierdrill.documents.problems import SpecError
    from tierdrill.documents.reading.yaml_nodes import SIZE_MAX
    from tierdrill.documents.reading.yaml_positions import read_text
    from tierdrill.tier_policy.slo_import import import_slos as imported_from

    if not re.match(NAME_PATTERN, name):
        raise Refusal(f"--name: got {name!r}, expected lower-case letters, digits and hyphens")
    sources, problems = [], []
    for path in files:
        found, wrong = read_text(str(path), read_file(path, SIZE_MAX))
        sources += found
        problems += wrong
    if problems:
        raise SpecError(problems)
    out = imported_from(sources, name)
    if out.problems:
        raise SpecError(out.problems)
    _write([out.document], output)
    _tell("made up, to be decided", out.made_up)
    _tell("not carried over", out.lost)


@click.command("export")
@click.argument("form", metavar="FORMAT", type=click.Choice(FORMATS))
@environment_option("Environment whose tiers are meant [default: lab, or the only one].")
@_output
@click.pass_obj
def export(here: Surroundings, form: str, environment: str | None, output: Path | None) -> None:
    """Write the tiers in another tool's FORMAT.

    Formats: sloth, pyrra, openslo (promises as SLOs), priority-classes
    (Kubernetes), inference-objectives (llm-d), envoy or gateway-api (ranks as priorities, each in its own direction).

    What could not be carried over is told on stderr.
    """
    tiers, workloads = _chosen(here, environment)
    out = _exports()[form](tiers, workloads)
    _write(out.documents, output)
    _tell("not carried over", out.lost)


def _exports() -> dict[str, Callable[[Tiers, Workloads], Exported]]:
    from tierdrill.monitoring.prometheus_rules import slo_series
    from tierdrill.tier_policy import priority_export, slo_export

    return {
        "sloth": lambda tiers, _: slo_export.sloth(tiers, slo_series),
        "pyrra": lambda tiers, _: slo_export.pyrra(tiers, slo_series),
        "openslo": lambda tiers, _: slo_export.openslo(tiers, slo_series),
        "priority-classes": priority_export.priority_classes,
        "inference-objectives": priority_export.inference_objectives,
        "envoy": priority_export.envoy,
        "gateway-api": priority_export.gateway_api,
    }


def _chosen(here: Surroundings, environment: str | None) -> tuple[Tiers, Workloads]:
    catalogue = usable_catalogue(here.catalogue)
    if environment is None and not catalogue.environments and len(catalogue.workloads) == 1:
        (workloads,) = catalogue.workloads.values()
        return catalogue.tiers[workloads.tiers], workloads
    side, _ = side_of(here, None, environment)
    return side.tiers, side.workloads


def _write(documents: Iterable[dict[str, Any]], output: Path | None) -> None:
    import yaml

    text = yaml.safe_dump_all(documents, sort_keys=False, width=120, allow_unicode=True)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _tell(what: str, lines: list[str]) -> None:
    for line in lines:
        say(f"{what}: {line}")
