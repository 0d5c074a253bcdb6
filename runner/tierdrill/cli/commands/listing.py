"""`tierdrill list`: what the catalogue has."""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tierdrill.cli.drill_documents import read
from tierdrill.cli.errors import say
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import plural

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue
    from tierdrill.judge.trend.run_figures import RunFigures

FAULTS = "faults"
DOCUMENTS = (
    "drills", "templates", "playbooks", "experiments", "tiers", "models", "environments", "calendars", "gamedays",
    "scenarios",
)  # fmt: skip


@click.command("list")
@click.argument("kind", required=False, type=click.Choice((*DOCUMENTS, FAULTS)))
@click.option("--faults", is_flag=True, help="The same as faults.")
@json_option
@click.pass_obj
def command(here: Surroundings, kind: str | None, faults: bool, as_json: bool) -> None:
    """List the catalogue's documents, or those of one KIND.

    drills says of each when it was last proven, by the runs in this home. faults lists the kinds of fault: what each
    is, how each target does it or why not, and the drills that use it.
    """
    if faults and kind not in (None, FAULTS):
        raise click.UsageError(f"got --faults and {kind}, expected one of them")
    kind = FAULTS if faults else kind
    from tierdrill.documents.catalogue_reader import catalogue_files
    from tierdrill.documents.problems import SpecError

    catalogue, problems = read(here.catalogue)
    if catalogue_files(here.catalogue) is None:
        raise SpecError(problems)
    if kind == FAULTS:
        found = {FAULTS: _faults(catalogue)}
    else:
        found = {name: _rows(catalogue, name) for name in DOCUMENTS if kind in (None, name)}
    if kind == "drills":
        from tierdrill.recovery.finalize import figures_in

        proofs = proofs_of(figures_in(here.home), time.time())
        found = {kind: [{**row, "proof": proofs.get(row["name"], ["never proven"])} for row in found[kind]]}
    if as_json:
        echo_json({"catalogue": str(here.catalogue), "problems": len(problems), **found})
        return
    click.echo(f"catalogue {here.catalogue}")
    for name, rows in found.items():
        click.echo(f"\n{name}")
        click.echo("\n".join(_shown(rows, in_full=kind is not None)) or "  none")
    if problems:
        say(f"{plural(len(problems), 'problem')} in the documents (see `tierdrill validate`)")


def _shown(rows: list[dict[str, Any]], *, in_full: bool) -> Iterator[str]:
    """Name and title, folded to the terminal; where one kind was asked for, with a line for all else that is known."""
    from tierdrill.history.payload import plain

    width = shutil.get_terminal_size().columns
    column = max((len(row["name"]) for row in rows), default=0) + 4
    for row in rows:
        more = [f"{key}: {plain(row[key])}" for key in row if key not in ("name", "title") and row[key]]
        head = f"  {row['name']}"
        for text in [row["title"], *(more if in_full else ())]:
            # A word that is too long for the line is a URL, to be copied.
            folded = textwrap.wrap(text, max(width - column, 20), break_on_hyphens=False, break_long_words=False)
            for line in folded or [""]:
                yield f"{head:<{column}}{line}".rstrip()
                head = ""


def proofs_of(figures: list[RunFigures], now: float) -> dict[str, list[str]]:
    """How the proof of each drill stands in each environment that it ran in, in words."""
    from tierdrill.judge.trend.proof_status import proof_of
    from tierdrill.judge.trend.run_series import by_drill
    from tierdrill.report.trend.wording import proof_words

    found: dict[str, list[str]] = {}
    for runs in by_drill(figures):
        proof = proof_of(runs)
        words = proof_words(proof, None if proof.at is None else now - proof.at)
        found.setdefault(runs.drill, []).append(f"{words} ({runs.environment})" if runs.environment else words)
    return found


def _faults(catalogue: Catalogue) -> list[dict[str, Any]]:
    """Every kind of fault: what it does, its cause, how each target does it or why it does not, and its drills."""
    from tierdrill.documents.reading.fault_actions import calls
    from tierdrill.faults.known_kinds import KINDS
    from tierdrill.targets.target_registry import lab_in_namespaces, targets

    by_target = {name: one.mechanisms() for name, one in targets().items()}
    absent = {name: one.absent().get("fault", {}) for name, one in targets().items()}
    in_namespaces, without = lab_in_namespaces()
    used = {name: {one.fault.kind for one in calls(of.content)} for name, of in catalogue.experiments.items()}
    drills = sorted(catalogue.drills.items())
    return [
        {
            "name": kind,
            "title": fault.does,
            "target": fault.target_kind,
            "cause": fault.cause,
            "source": fault.source,
            **{
                name: there[kind].text if kind in there else f"not there, {absent[name].get(kind, 'it does none')}"
                for name, there in by_target.items()
                if there
            },
            "lab in namespace mode": in_namespaces.get(kind) or (f"not here, {without}" if without else None),
            "drills": [name for name, drill in drills if kind in used.get(drill.experiment, ())],
        }
        for kind, fault in KINDS.items()
    ]


def _rows(catalogue: Catalogue, kind: str) -> list[dict[str, Any]]:
    if kind == "drills":
        return [
            {
                "name": name,
                "title": drill.metadata.title,
                "environment": drill.environment,
                "experiment": drill.experiment,
                "seconds": round(sum(drill.phases.model_dump().values()), 3),
                "sabotages": [sabotage.name for sabotage in drill.sabotages],
            }
            for name, drill in sorted(catalogue.drills.items())
        ]
    if kind == "templates":
        return [
            {
                "name": name,
                "title": template.metadata.title,
                "drills": [drill for drill, one in sorted(catalogue.drills.items()) if one.template == name],
            }
            for name, template in sorted(catalogue.templates.items())
        ]
    if kind == "playbooks":
        return [
            {
                "name": name,
                "title": playbook.metadata.title,
                "owner": playbook.metadata.owner,
                "stays": {step.name: step.why for step in playbook.steps if step.stays},
            }
            for name, playbook in sorted(catalogue.playbooks.items())
        ]
    if kind == "experiments":
        return [
            {"name": name, "title": str(experiment.content.get("title", ""))}
            for name, experiment in sorted(catalogue.experiments.items())
        ]
    if kind == "tiers":
        return [
            {
                "name": tier.name,
                "title": tier.rationale.strip(),
                "rank": tier.rank,
                "owner": tier.owner,
                "rights": {right: list(roles) for right, roles in tier.rights if roles},
                "review_due": str(tier.review_due or ""),
            }
            for _, tiers in sorted(catalogue.tiers.items())
            for tier in tiers.by_rank()
        ]
    if kind == "models":
        return [
            {
                "name": model.name,
                "title": model.rationale.strip(),
                "tier": model.tier,
                "risk": model.risk,
                "impact": model.impact,
                "frequency": model.frequency,
            }
            for _, workloads in sorted(catalogue.workloads.items())
            for model in workloads.models
        ]
    if kind == "calendars":
        return [
            {
                "name": name,
                "title": calendar.metadata.title,
                "owner": calendar.metadata.owner,
                "timezone": calendar.timezone,
                "entries": [entry.name for entry in calendar.entries],
            }
            for name, calendar in sorted(catalogue.calendars.items())
        ]
    if kind in ("gamedays", "scenarios"):
        return [
            {"name": name, "title": document.metadata.title, "owner": document.metadata.owner}
            for name, document in sorted(getattr(catalogue, kind).items())
        ]
    return [
        {
            "name": name,
            "title": environment.metadata.title,
            "target": environment.target,
            "tiers": environment.tiers,
            "workloads": environment.workloads,
        }
        for name, environment in sorted(catalogue.environments.items())
    ]
