"""`tierdrill version`."""

import platform

import click

from tierdrill import __version__
from tierdrill.cli.options import echo_json, json_option


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Print the version."""
    if as_json:
        echo_json({"tierdrill": __version__, "python": platform.python_version()})
    else:
        click.echo(f"tierdrill {__version__}")
