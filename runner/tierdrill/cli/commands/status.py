"""`tierdrill status`: what runs, what is injected, what is halted, which labs are up. It tells; it changes nothing."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from tierdrill.cli.drill_documents import cluster_environment, readable_tiers
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, environment_option, json_option
from tierdrill.text import utc, visible

UNCLEAN = 5
REMEDY = "remedy"


@click.command("status")
@environment_option("Also who drills this cluster, from whichever machine.")
@json_option
@click.pass_obj
def command(here: Surroundings, environment: str | None, as_json: bool) -> int:
    """Show active runs, injected faults, the kill switch, locks and labs.

    Exit code 5 if a fault or process is left over with no run responsible for it.
    """
    from tierdrill.recovery.status import look
    from tierdrill.schedule.notify.outbox_counts import waiting_and_given_up

    found = {**look(here.home), "notifications": waiting_and_given_up(here.home), "policy": _policy(here.catalogue)}
    if environment is not None:
        _, settings, _ = cluster_environment(here.catalogue, environment)
        from tierdrill.targets.kubernetes.lease import lease_of

        found["cluster"] = {"environment": environment, **asdict(lease_of(settings).look())}
    if as_json:
        echo_json(found)
    else:
        for line in (*_lines(found), *_of_cluster(found.get("cluster"))):
            click.echo(visible(line))
    return 0 if found["clean"] else UNCLEAN


def _policy(catalogue: Path) -> dict[str, Any]:
    """Reviews that are due and maintenance that goes on, as far as the catalogue's tiers can be read."""
    now = time.time()
    today, documents = datetime.fromtimestamp(now, UTC).date(), readable_tiers(catalogue)
    return {
        "reviews_due": [
            {"document": document.metadata.name, "tier": tier.name, "due": str(tier.review_due), "owner": tier.owner}
            for document in documents
            for tier in document.tiers
            if tier.review_overdue(today)
        ],
        "maintenance": [
            {"document": document.metadata.name, **one.model_dump()}
            for document in documents
            for one in document.maintenance
            if one.goes_on(now)
        ],
    }


def _of_cluster(told: dict[str, Any] | None) -> list[str]:
    if told is None:
        return []
    name = told["environment"]
    held = f"is drilled by {told['holder']}, last seen {told['renewed']}" if told["holder"] else "is drilled by nobody"
    lines = [f"cluster of {name} {held}"]
    if told["halt"]:
        lines.append(f"cluster of {name} HALTED: {told['halt']} (tierdrill resume --environment {name} lifts it)")
    if told["undone"]:
        lines.append(f"cluster of {name}: undone by the warden of {told['undone']}")
    return lines


def _keeper(fault: dict[str, Any]) -> str:
    if fault["run_lives"] and not fault["run_stopped"]:
        return "owned by its run"
    what = "is stopped (SIGSTOP)" if fault["run_stopped"] else "died"
    if fault["reaper_lives"]:
        return f"its run {what} and its reaper undoes it"
    if fault["lab_lease"] == "undone":
        return f"its run {what}; its lab has undone it, and `tierdrill recover` closes the entry"
    timer = ", its lab undoes it when the lease runs out" if fault["lab_lease"] in ("held", "undoing") else ""
    return f"NOT OWNED BY ANY RUN{timer}"


def _in(told: dict[str, Any]) -> str:
    environment = told.get("environment")
    return f" in {environment}" if environment and environment != told.get("name") else ""


def _lines(found: dict[str, Any]) -> list[str]:
    nothing = "" if Path(found["home"]).is_dir() else " (there is none: nothing ever ran in it)"
    lines = [f"home {found['home']}{nothing}"]
    if halt := found["halt"]:
        since = utc(halt["at"])
        lines.append(f"HALTED by {halt['author']} since {since}: {halt['reason']} (tierdrill resume lifts it)")
    lines += [
        f"OVERRIDE: {one['rule']} of {one['tier']}{_in(one)} is lifted for {timedelta(seconds=round(one['left']))} "
        f"more, by {one['who']} as {one['role']}: {one['why']} "
        f"(tierdrill tiers override revoke {one['tier']} --rule {one['rule']} --reason ... --as ROLE)"
        for one in found["overrides"]
    ]
    lines += [f"run {run['run']} in progress: {run['phase']} (pid {run['pid']})" for run in found["runs"]]
    if not found["runs"]:
        lines.append("no runs in progress")
    for fault in (*found["faults"], *found["remedies"]):
        lease = "its lease has expired" if fault["lease_ran_out"] else f"lease {fault['lease']:g} s"
        keeper = _keeper(fault)
        note = f", {fault['note']}" if fault["note"] else ""
        named = "sealed until the debrief" if fault["sealed"] else f"{fault['kind']} on {fault['target']}"
        done = f"changed by a playbook: {fault['target']}" if fault["kind"] == REMEDY else f"injected: {named}"
        lines.append(f"{done} for {fault['age']:g} s, {fault['state']}, {lease}, {keeper}{note}")
    if not found["faults"]:
        lines.append("no faults injected")
    lines += [f"left over: {stray['role']} (pid {stray['pid']}) of run {stray['run']}" for stray in found["strays"]]
    for lab in found["labs"]:
        owner = f" for run {lab['run']}" if lab["run"] else ""
        state = {
            "up": f"is up{owner}",
            "broken": f"is broken{owner}: missing {', '.join(lab.get('lost', []))}",
            "dead": "is dead (stale state file)",
            "unreadable": f"may be up: its state file in {found['home']}/labs/{lab['name']} cannot be read",
        }
        lines.append(f"lab {lab['name']}{_in(lab)} {state[lab['state']]}")
    if not found["labs"]:
        lines.append("no labs up")
    for lock in found["locks"]:
        lines.append(f"environment {lock['environment']} is held by run {lock['run']} (pid {lock['pid']})")
    for one in found["policy"]["maintenance"]:
        covered = ", ".join(one["tiers"]) or "every tier"
        lines.append(f"maintenance of {covered} until {one['end']}, declared by {one['declared_by']}: {one['reason']}")
    for one in found["policy"]["reviews_due"]:
        lines.append(f"tier {one['tier']} was due for review by {one['owner']} on {one['due']}")
    told = found["notifications"]
    if told["waiting"] or told["failed"]:
        given_up = f", {told['failed']} failed" if told["failed"] else ""
        lines.append(f"notifications: {told['waiting']} waiting{given_up} (tierdrill notify log)")
    lines += [f"a corrupt database is kept as {path}; remove it after inspection" for path in found["set_aside"]]
    if not found["clean"]:
        lines.append("run `tierdrill recover` to clean up")
    return lines
