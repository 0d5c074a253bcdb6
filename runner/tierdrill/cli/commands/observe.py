"""`tierdrill observe`: watch and judge a platform through a fault that somebody else injects."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.commands.run import carry_out
from tierdrill.cli.completion import complete_drill, complete_environment
from tierdrill.cli.drill_documents import (
    changed_setting,
    check_place,
    check_run_name,
    environment_files,
    whole_catalogue,
)
from tierdrill.cli.errors import Refusal
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.logs import log_to_file
from tierdrill.cli.options import Duration, maintenance_option, output_options
from tierdrill.credentials import SecretMissing, read_secret
from tierdrill.text import valid

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import DrillSetting


class MomentType(click.ParamType):  # type: ignore[type-arg]
    """Unix seconds from "30s" (from now on) or a date and time, in UTC where it names no zone."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from tierdrill.documents.models.units import parse_duration

        try:
            return time.time() + parse_duration(value)
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"got {value!r}, expected a time from now (30s) or a moment (2026-03-01T02:00)", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@click.command("observe")
@click.argument("environment", shell_complete=complete_environment)
@click.option("--drill", metavar="NAME", shell_complete=complete_drill, help="Judge what this drill expects.")
@click.option("--fault", "kind", default="fault", metavar="KIND", help="What the fault is called in the report.")
@click.option("--target", default="", metavar="NAME", help="What it is injected into [the environment].")
@click.option("--from", "begins", type=MomentType(), metavar="TIME", help="When it begins: 30s from now, or a moment.")
@click.option("--until", "ends", type=MomentType(), metavar="TIME", help="When it ends.")
@click.option("--webhook", is_flag=True, help="Wait for signed calls of /faults that say when it begins and ends.")
@click.option("--no-load", is_flag=True, help="Send no load.")
@click.option("--within", default="1h", type=Duration(), metavar="DURATION", help="The fault begins by then [1h].")
@click.option("--at-most", default="1h", type=Duration(), metavar="DURATION", help="It is over after so long [1h].")
@maintenance_option
@output_options
@click.pass_obj
def command(
    here: Surroundings,
    environment: str,
    drill: str | None,
    kind: str,
    target: str,
    begins: float | None,
    ends: float | None,
    webhook: bool,
    no_load: bool,
    within: float,
    at_most: float,
    in_maintenance: str,
    as_json: bool,
    plain: bool,
    plain_colors: bool,
    report_dir: Path | None,
    name: str | None,
) -> int:
    """Watch ENVIRONMENT through a fault that somebody else injects, and judge it.

    Nothing is injected. When the fault begins and ends is said by --from and --until, by a --webhook, or by Enter on
    the keyboard. Without --drill only what the environment's own monitoring counts is judged, and no load is sent.
    Ctrl-C stops it cleanly. The exit code is the verdict's.
    """
    now = time.time()
    if (begins is None) != (ends is None):
        raise click.UsageError("--from and --until go together")
    if begins is not None and ends is not None and not now < begins < ends:
        raise click.UsageError("--from and --until: got moments that are past or in the wrong order")
    if begins is not None and webhook:
        raise click.UsageError("--from and --webhook are mutually exclusive")
    keyboard = begins is None and not webhook
    if keyboard and not sys.stdin.isatty():
        raise click.UsageError("no keyboard here: say --from and --until, or --webhook")
    if name is not None:
        check_run_name(here.home, name)
    setting = _setting(here, environment, drill)
    if setting.environment.target != "external":
        raise Refusal(f"environment {environment} has target {setting.environment.target}; observe needs external")
    monitoring = setting.environment.monitoring
    if webhook and (monitoring is None or monitoring.fault_secret is None):
        raise Refusal(f"environment {environment} has no monitoring.fault_secret; --webhook calls are signed with it")
    if webhook and monitoring is not None and monitoring.fault_secret is not None:
        try:
            read_secret(**monitoring.fault_secret.model_dump())
        except SecretMissing as error:
            raise Refusal(f"environment {environment}, monitoring.fault_secret: {error}") from error
    load = drill is not None and not no_load and setting.environment.load is not None
    if not load:
        setting = replace(setting, environment=setting.environment.model_copy(update={"load": None}))
    check_place(here, [setting])
    log_to_file(here.home)

    from tierdrill.conductor.observe import VARIANT, Observed
    from tierdrill.conductor.run import RunOptions

    if begins is not None and ends is not None:
        within, at_most = begins - now + 60.0, ends - begins + 60.0
    options = RunOptions(
        home=here.home,
        tools=here.tools,
        variant=VARIANT,
        author=author(),
        argv=tuple(map(valid, sys.argv)),
        run=name,
        in_maintenance=in_maintenance,
        observed=Observed(kind, target or environment, within, at_most, begins, ends, keyboard=keyboard, load=load),
    )
    color = here.color and not plain_colors
    return carry_out(here, setting, options, as_json, plain or keyboard, color, report_dir)


def _setting(here: Surroundings, environment: str, drill: str | None) -> DrillSetting:
    if drill is not None:
        return changed_setting(here.catalogue, drill, (), (), environment)
    from tierdrill.conductor.observe import drill_for
    from tierdrill.did_you_mean import none_named

    environment, extra = environment_files(here.catalogue, environment)
    catalogue = whole_catalogue(here.catalogue, extra)
    if environment not in catalogue.environments:
        raise Refusal(none_named("environment", environment, catalogue.environments))
    setting = drill_for(catalogue, environment)
    if not setting.drill.expect.tiers:
        raise Refusal(
            f"nothing to judge: environment {environment} has no monitoring.availability; add it, or name a --drill"
        )
    return setting
