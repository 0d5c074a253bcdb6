"""`tierdrill doctor`: what this machine has, and what each fault would use here."""

from dataclasses import asdict
from textwrap import fill

import click

from tierdrill.cli.errors import BAD_INPUT, say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import table


@click.command("doctor")
@click.option("--fetch", is_flag=True, help="Download Prometheus, Alertmanager and etcd if missing; needs no root.")
@click.option("--quiet", is_flag=True, help="Only show what is missing.")
@json_option
@click.pass_obj
def command(here: Surroundings, fetch: bool, quiet: bool, as_json: bool) -> int:
    """Check this machine and show fault mechanisms.

    Exit code 2 if something is missing that drills in the embedded lab need.
    """
    if fetch:
        _fetch(here)
    from tierdrill.cli.machine import findings
    from tierdrill.faults.known_kinds import KINDS
    from tierdrill.targets.target_registry import lab_in_namespaces, targets

    known = targets()
    in_namespaces, without = lab_in_namespaces()
    mechanisms = {name: {kind: how.text for kind, how in one.mechanisms().items()} for name, one in known.items()}
    found = findings(here.tools, here.home)
    missing = [finding for finding in found if finding.need and not finding.ok]
    if as_json:
        echo_json(
            {
                "ok": not missing,
                "findings": [asdict(finding) for finding in found],
                "faults": {kind: mechanisms["lab"].get(kind) for kind in KINDS},
                "targets": mechanisms,
                "namespace_mode": {"faults": in_namespaces, "not_here": without or None},
            }
        )
    elif quiet:
        for finding in missing:
            say(f"{finding.name}: {finding.seen}")
    else:
        rows = [("ok" if one.ok else "MISSING" if one.need else "no", one.name, one.seen) for one in found]
        click.echo(table(rows))
        for name, target in known.items():
            click.echo(f"\nfaults with target: {name}")
            if there := sorted(mechanisms[name].items()):
                click.echo(table(there, indent="  "))
            absent = target.absent().get("fault", {})
            for reason in dict.fromkeys(absent.values()):
                kinds = "all" if not there else ", ".join(kind for kind in absent if absent[kind] == reason)
                line = f"not here, {reason}: {kinds}"
                click.echo(fill(line, 80, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False))
        click.echo("\nfaults with target: lab, in namespace mode, where they differ")
        click.echo(table(list(in_namespaces.items()), indent="  ") if in_namespaces else f"  {without}")
        click.echo(f"\n{len(missing)} missing" if missing else "\nready to run drills in the embedded lab")
    return BAD_INPUT if missing else 0


def _fetch(here: Surroundings) -> None:
    from tierdrill.monitoring.binaries import ETCD, fetch, fetch_etcd, find, locate

    def tell(text: str) -> None:
        click.echo(text, err=True)

    if find(here.tools) is None:
        fetch(here.tools, tell)
    if locate(ETCD, here.tools) is None:
        fetch_etcd(here.tools, tell)
