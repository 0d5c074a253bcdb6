"""`tierdrill tiers override`: lift one rule of a tier for a while, with a reason, as a role that may."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tierdrill.cli.completion import complete_rule, complete_tier
from tierdrill.cli.drill_documents import environment_files, usable_catalogue
from tierdrill.cli.errors import INCONCLUSIVE, Refusal, say
from tierdrill.cli.folders import Surroundings, author
from tierdrill.cli.options import Duration, echo_json, environment_option, json_option
from tierdrill.text import table, utc

if TYPE_CHECKING:
    from tierdrill.conductor.override_notices import OverrideChange
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.models.tiers import Tiers
    from tierdrill.documents.models.workloads import Workloads

Function = TypeVar("Function", bound=Callable[..., Any])


def _decision(command: Function) -> Function:
    for option in (
        click.option("--author", "by", help="Author [default: git's identity, else the user]."),
        environment_option("Environment that it is for [default: every one with these tiers]."),
        click.option("--tiers", "document", metavar="NAME", help="Tiers document, where several have such a tier."),
        click.option(
            "--as", "role", required=True, metavar="ROLE", help="Role that decides: rights.override of the tier."
        ),
        click.option("--reason", required=True, help="Reason, shown wherever the override is."),
        click.option("--rule", required=True, metavar="RULE", shell_complete=complete_rule,
                     help="The rule; see `list --rules`."),
        click.argument("tier", shell_complete=complete_tier),
    ):
        command = option(command)
    return command


@click.group("override")
def command() -> None:
    """Lift a rule of a tier for a while, end that, or list those."""


@command.command("grant")
@_decision
@click.option(
    "--for", "seconds", required=True, metavar="TIME", type=Duration(), help="How long (30m, 2h); 24h at most."
)
@click.pass_obj
def grant(
    here: Surroundings,
    tier: str,
    rule: str,
    reason: str,
    role: str,
    document: str | None,
    environment: str | None,
    by: str | None,
    seconds: float,
) -> int:
    """Lift a rule of TIER, at once and until the time is over.

    Gateways of labs that are up, and of the catalogue's clusters, stop enforcing it, those of labs that come up
    meanwhile never start to. Every verdict made meanwhile says so, and so do `tierdrill status` and the audit log.
    Residency, integrity and authentication are never lifted. Exit code 3 where a lab or a cluster could not be told.
    """
    from tierdrill.conductor.override_notices import grant_override

    tiers, where, clusters = _tiers(here, tier, document, environment)
    change = grant_override(
        here.home, tiers, tier, rule, seconds=seconds, role=role, who=by or author(), why=" ".join(reason.split()),
        environment=where, clusters=clusters,
    )  # fmt: skip
    click.echo(f"lifted: {change.override}")
    return _reached(change)


@command.command("revoke")
@_decision
@click.pass_obj
def revoke(
    here: Surroundings, tier: str, rule: str, reason: str, role: str, document: str | None, environment: str | None,
    by: str | None,
) -> int:  # fmt: skip
    """Let a rule of TIER hold again before its override runs out. Exit code 3 where a lab could not be told."""
    from tierdrill.conductor.override_notices import revoke_override

    tiers, where, clusters = _tiers(here, tier, document, environment)
    change = revoke_override(
        here.home, tiers, tier, rule, role=role, who=by or author(), why=" ".join(reason.split()),
        environment=where, clusters=clusters,
    )  # fmt: skip
    click.echo(f"revoked: {rule} of {tier} holds again")
    return _reached(change)


@command.command("list")
@click.option("--rules", is_flag=True, help="List the rules that can be lifted instead, and those that never are.")
@json_option
@click.pass_obj
def show(here: Surroundings, rules: bool, as_json: bool) -> None:
    """List the overrides in force, the next to end first."""
    from tierdrill.documents.models.protections import LIFTABLE, NEVER_LIFTED
    from tierdrill.tier_policy.override_grants import in_force

    if rules:
        if as_json:
            echo_json({"liftable": LIFTABLE, "never": NEVER_LIFTED})
            return
        click.echo(table([*LIFTABLE.items(), *((rule, f"never lifted: {why}") for rule, why in NEVER_LIFTED.items())]))
        return
    found, now = in_force(here.home), time.time()
    if as_json:
        echo_json({"overrides": [one.plain(now) for one in found]})
        return
    rows = [
        (
            one.tier, one.rule, one.environment or "every one", utc(one.until), f"{one.until - now:.0f} s", one.who,
            one.role, one.why,
        )
        for one in found
    ]  # fmt: skip
    head = ("tier", "rule", "environment", "until", "left", "by", "as", "why")
    click.echo(table(rows, head) or "no overrides in force")


def _tiers(
    here: Surroundings, tier: str, document: str | None, environment: str | None
) -> tuple[Tiers, str, list[tuple[Environment, Workloads]]]:
    """The Tiers document that has that tier, the name of the environment, if one was given, and every cluster."""
    from tierdrill.did_you_mean import none_named
    from tierdrill.text import listed

    name, extra = environment_files(here.catalogue, environment) if environment is not None else ("", [])
    catalogue = usable_catalogue(here.catalogue, extra)
    every = catalogue.tiers
    if name:
        if name not in catalogue.environments:
            raise Refusal(f"--environment: {none_named('environment', name, catalogue.environments)}")
        if document is not None and document != catalogue.environments[name].tiers:
            raise Refusal(f"--tiers: environment {name} has tiers {catalogue.environments[name].tiers}")
        document = catalogue.environments[name].tiers
    if document is not None and document not in every:
        raise Refusal(f"--tiers: {none_named('Tiers document', document, every)}")
    found = [
        one for name, one in every.items() if document in (None, name) and tier in [each.name for each in one.tiers]
    ]
    if not found:
        raise Refusal(none_named("tier", tier, [each.name for one in every.values() for each in one.tiers]))
    if len(found) > 1:
        raise Refusal(f"tier {tier} is in {listed(one.metadata.name for one in found)}: say which with --tiers")
    known = catalogue.environments.values()
    return found[0], name, [(one, catalogue.workloads[one.workloads]) for one in known if one.kubernetes is not None]


def _reached(change: OverrideChange) -> int:
    for lab in change.labs:
        click.echo(f"lab {lab}: its gateways do so now")
    for environment in change.clusters:
        click.echo(f"{environment}: the cluster's gateways do so now")
    for why in change.untold:
        say(f"warning: not told: {why}")
    return INCONCLUSIVE if change.untold else 0
