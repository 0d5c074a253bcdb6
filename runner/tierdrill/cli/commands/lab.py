"""`tierdrill lab`: an embedded lab for hand use, or for several runs."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.completion import complete_environment
from tierdrill.cli.errors import Refusal, say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option, mode_option
from tierdrill.text import plural, table

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue
    from tierdrill.documents.models.environment import Environment
    from tierdrill.lab.lab_files import LabState

_name = click.option("--name", default="lab", show_default=True, help="Name of the lab; several can be up at once.")
UNCLEAN = 5


@click.group("lab")
def command() -> None:
    """Start, stop or inspect an embedded lab: real processes on this machine, on free loopback ports."""


@command.command("up")
@_name
@click.option(
    "--environment", metavar="NAME", shell_complete=complete_environment,
    help="Environment to start [default: the only lab, or the one named lab].",
)
@mode_option
@json_option
@click.pass_obj
def up(here: Surroundings, name: str, environment: str | None, mode: str | None, as_json: bool) -> None:
    """Start a lab and print its addresses. It stays up until `tierdrill lab down`."""
    from tierdrill.cli.drill_documents import lab_in_mode, usable_catalogue
    from tierdrill.targets.lab.start import bring_up, config_of

    catalogue = usable_catalogue(here.catalogue)
    chosen = _environment(catalogue, environment)
    if mode is not None:
        chosen = lab_in_mode(chosen, mode)
    config = config_of(
        name,
        chosen,
        catalogue.tiers[chosen.tiers],
        catalogue.workloads[chosen.workloads],
        here.tools,
        outlives_starter=True,
    )
    state = asyncio.run(bring_up(here.home, config, lambda pid: None))
    _show(here, state, as_json)


@command.command("status")
@_name
@json_option
@click.pass_obj
def status(here: Surroundings, name: str, as_json: bool) -> None:
    """Show a lab's addresses and processes."""
    from tierdrill.lab.lab_files import attach

    _show(here, attach(here.home, name), as_json)


@command.command("password")
@_name
@click.pass_obj
def password(here: Surroundings, name: str) -> None:
    """Print the password of a lab's Prometheus and Alertmanager.

    Their user is `tierdrill`.

    For a browser, or `curl -u "tierdrill:$(tierdrill lab password)"`.
    """
    from tierdrill.lab.lab_files import attach

    click.echo(attach(here.home, name).login.password)


@command.command("down")
@_name
@click.option("--all", "every", is_flag=True, help="Stop all labs of this home.")
@click.option("--force", is_flag=True, help="Also stop a lab in use; its run is aborted.")
@click.pass_obj
def down(here: Surroundings, name: str, every: bool, force: bool) -> int:
    """Stop a lab, including a broken one.

    A lab that a run uses is stopped only with --force or after confirmation.
    """
    from tierdrill.lab.lab_files import all_labs, down_lab, find_lab

    found = all_labs(here.home) if every else [state for state in (find_lab(here.home, name),) if state is not None]
    if not found:
        known = ", ".join(state.name for state in all_labs(here.home)) or "none"
        click.echo("no labs up" if every else f"lab {name} is not up (up are: {known})")
        return 0
    users = {state.name: by for state in found if (by := _user(here, state.name))}
    if users and not force:
        told = "; ".join(f"lab {lab} is in use by run {by}" for lab, by in users.items())
        if not sys.stdin.isatty():
            raise Refusal(f"{told} (stop it with `tierdrill stop`, or use --force)")
        if not click.confirm(f"{told}: stop it anyway?", err=True):
            return 0
    left = []
    for state in found:
        stubborn = down_lab(state)
        click.echo(f"lab {state.name}{': left over: ' + ', '.join(stubborn) if stubborn else ' is down'}")
        left += stubborn
    return UNCLEAN if left else 0


def _user(here: Surroundings, lab: str) -> str:
    """Which run uses a lab, its own or a kept one; "" where none does."""
    from tierdrill.history.ledger import Ledger

    with Ledger.kept(here.home) as ledger:
        held = ledger.locks(living=True) if ledger else []
    names = {environment.rpartition("/")[2]: f"{run} (pid {pid})" for environment, run, pid, _ in held}
    return names.get(lab, "")


def _environment(catalogue: Catalogue, named: str | None) -> Environment:
    from tierdrill.documents.catalogue import usual_environment

    labs = {name: one for name, one in catalogue.environments.items() if one.target == "lab"}
    name = usual_environment(labs) if named is None else named
    if name is not None and name in labs:
        return labs[name]
    found = f"no lab environment named {named!r}" if named else f"{plural(len(labs), 'environment')} with target lab"
    raise Refusal(f"{found}, expected --environment {' or '.join(sorted(labs)) or '(none in the catalogue)'}")


def _addresses(state: LabState) -> dict[str, str]:
    single = {
        "controller": state.controller,
        "fabric": state.fabric,
        "prometheus": state.prometheus,
        "alertmanager": state.alertmanager,
        "supervisor": state.address,
    }
    return {**state.gateways, **{name: address for name, address in single.items() if address}}


def _show(here: Surroundings, state: LabState, as_json: bool) -> None:
    from tierdrill.lab.client import LabClient, LabError
    from tierdrill.lab.lab_files import supervisor_lives

    status: dict[str, Any] = {}
    inventory: dict[str, Any] = {}
    if supervisor_lives(state):
        try:
            with LabClient(state) as client:
                status, inventory = client.status(), client.state()
        except LabError as error:
            say(str(error))
    if as_json:
        document = {
            "name": state.name,
            "folder": state.folder,
            "addresses": _addresses(state),
            "processes": status.get("processes", []),
            "replicas": inventory.get("replicas", []),
            "nodes": inventory.get("nodes", []),
        }
        echo_json(document)
        return
    click.echo(f"lab {state.name} in {state.folder}")
    click.echo(table([(name, f"http://{address}") for name, address in _addresses(state).items()], indent="  "))
    rows = [
        (
            str(process.get("name", "")),
            str(process.get("program", "")),
            str(process.get("pid", "")),
            "up" if process.get("alive") else f"gone ({process.get('exit_code')})",
            str(process.get("address") or ""),
        )
        for process in status.get("processes", [])
    ]
    if rows:
        click.echo("\n" + table(rows, ("process", "program", "pid", "state", "address")))
    replicas = [
        (
            str(replica.get("name", "")),
            str(replica.get("tier", "")),
            f"{replica.get('node')}/{replica.get('gpu')}" if replica.get("node") else "no place",
            "ready" if replica.get("ready") else str(replica.get("state", "")),
            str(replica.get("address") or ""),
        )
        for replica in inventory.get("replicas", [])
    ]
    if replicas:
        click.echo("\n" + table(replicas, ("replica", "tier", "place", "state", "address")))
    if state.prometheus or state.alertmanager:
        click.echo("\nPrometheus and Alertmanager ask for user tierdrill and the password that this prints:")
        click.echo(f"  tierdrill lab password --name {state.name}")
    click.echo(f"\nuse it with: tierdrill run DRILL --lab {state.name}")
    click.echo(f"or with plain Chaos Toolkit: TIERDRILL_HOME={here.home} TIERDRILL_LAB={state.name} chaos run FILE")
