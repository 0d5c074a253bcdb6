"""`tierdrill grafana`: dashboards for Grafana, as files."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("grafana")
@click.option(
    "--output", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("grafana"), show_default=True,
    help="Write the dashboards to this folder.",
)
def command(folder: Path) -> None:
    """Write Grafana dashboards (tiers, a drill as it runs, the scheduler) as JSON, ready to be imported."""
    from tierdrill.process.safe_files import write_atomic
    from tierdrill.web.grafana_dashboards import dashboards

    folder.mkdir(parents=True, exist_ok=True)
    for name, document in dashboards().items():
        path = folder / f"{name}.json"
        write_atomic(path, json.dumps(document, indent=2) + "\n")
        click.echo(str(path))
