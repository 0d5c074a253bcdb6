"""`tierdrill schema`: JSON Schema of the documents, for editors and other tools."""

import json
from pathlib import Path

import click

from tierdrill.cli.errors import Refusal

KINDS = ("Tiers", "Workloads", "Environment", "Playbook", "Drill", "Calendar", "GameDay", "Scenario", "TierTests")


@click.command("schema")
@click.argument("kind", metavar="KIND", required=False, type=click.Choice(KINDS, case_sensitive=False))
@click.option(
    "--write", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Write all schemas to this folder.",
)
def command(kind: str | None, write: Path | None) -> None:
    """Print the JSON Schema of a KIND of document, or write all of them with --write.

    An editor with a YAML language server checks and completes a document whose first line is
    `# yaml-language-server: $schema=PATH`; documents made by `tierdrill init` have it.
    """
    from tierdrill.documents.reading.json_schema import json_schema, write_schemas

    if write is not None:
        for path in write_schemas(write):
            click.echo(str(path))
    elif kind is None:
        raise Refusal(f"missing KIND, expected one of: {', '.join(KINDS)} (or --write DIR for all of them)")
    else:
        click.echo(json.dumps(json_schema(kind), indent=2, ensure_ascii=False))
