"""Options and small shapes of output that several commands share."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

json_option: Callable[[Function], Function] = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
no_color_option: Callable[[Function], Function] = click.option(
    "--no-color", "plain_colors", is_flag=True, help="Disable colours (also NO_COLOR)."
)


def set_option(command: Function) -> Function:
    """--set NAME=VALUE, as often as wanted"""
    from tierdrill.cli.completion import complete_set

    option = click.option(
        "--set", "sets", multiple=True, metavar="NAME=VALUE", shell_complete=complete_set,
        help="Set a variable of the drill; repeatable.",
    )  # fmt: skip
    return option(command)


def environment_option(help_text: str = "Override the drill's environment.") -> Callable[[Function], Function]:
    """--environment NAME (completed from the catalogue) or FILE."""
    from tierdrill.cli.completion import complete_environment

    option: Callable[[Function], Function] = click.option(
        "--environment", metavar="NAME|FILE", shell_complete=complete_environment, help=help_text
    )
    return option


def mode_option(command: Function) -> Function:
    """--mode portable|namespace"""
    option = click.option(
        "--mode", type=click.Choice(["portable", "namespace"]),
        help="Mode of the lab: its links are proxies, or the kernel's (needs Linux namespaces).",
    )  # fmt: skip
    return option(command)


def output_options(command: Function) -> Function:
    """What a run shows and where its reports go: as_json, plain, plain_colors, report_dir and name."""
    for option in reversed((
        click.option(
            "--json", "as_json", is_flag=True, help="Print events as JSON lines; the last one is the verdict."
        ),
        click.option("--plain", is_flag=True, help="Print plain lines even on a terminal."),
        no_color_option,
        click.option(
            "--report-dir", type=click.Path(path_type=Path, file_okay=False), help="Write reports to this folder."
        ),
        click.option("--name", metavar="RUN", help="Name of the run [default: drill, time and four letters]."),
    )):  # fmt: skip
        command = option(command)
    return command


def maintenance_option(command: Function) -> Function:
    """--in-maintenance ROLE"""
    option = click.option(
        "--in-maintenance", default="", metavar="ROLE",
        help="Start although a maintenance of its tiers goes on, as a role that may declare one.",
    )  # fmt: skip
    return option(command)


class Duration(click.ParamType[float]):
    """Seconds from a duration with its unit (90d, 12h, 30s); `positive` refuses 0."""

    name = "duration"

    def __init__(self, *, positive: bool = False) -> None:
        self._positive = positive

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from tierdrill.documents.models.units import parse_duration

        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self._positive and seconds <= 0:
            self.fail(f"got {value!r}, expected a time above 0", param, ctx)
        return seconds


def past_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Unix seconds from "90d" (that long ago) or from a date or time in UTC, such as 2026-03-01 or 2026-03-01T02:00."""
    import time
    from datetime import UTC, datetime

    from tierdrill.documents.models.units import parse_duration

    if value is None:
        return None
    try:
        return time.time() - parse_duration(value)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        allowed = "how long ago (90d, 12h) or a date or time in UTC (2026-03-01, 2026-03-01T02:00)"
        raise click.BadParameter(f"got {value!r}, expected {allowed}", ctx, param) from error


def echo_json(document: Any) -> None:
    """A document on stdout, keys sorted."""
    click.echo(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False))

