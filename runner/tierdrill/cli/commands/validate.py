"""`tierdrill validate`: every problem of every document at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.chosen_documents import groups, problem_count, read_group
from tierdrill.cli.errors import BAD_INPUT
from tierdrill.cli.folders import Surroundings
from tierdrill.cli.options import echo_json, json_option
from tierdrill.text import plural

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import Catalogue
    from tierdrill.documents.problems import Problem


@click.command("validate")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@json_option
@click.pass_obj
def command(here: Surroundings, paths: tuple[Path, ...], as_json: bool) -> int:
    """Check the whole catalogue, or the files and folders at PATHS.

    A document in a catalogue is held against everything else in it. Each problem is one line,
    `file:line:column: what was found; what is allowed`. Exit code 2 if there is any. What is worth a look and keeps
    nothing from being used is a warning, and does not change the exit code: so is what is wrong with an experiment that
    no drill uses, unless it is named.
    """
    from tierdrill.documents.problems import in_order

    counted: dict[Path, set[tuple[str, str]]] = {}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for root, only in groups(paths, here.catalogue):
        catalogue, found = read_group(root, only)
        problems += found
        warnings += [*catalogue.warnings, *catalogue.excused]
        counted.setdefault(root, set()).update(_documents(catalogue, only))
    problems, warnings = in_order(problems), in_order(warnings)
    count = sum(len(names) for names in counted.values())
    if as_json:
        told = {"problems": problems, "warnings": warnings}
        lists = {name: [asdict(one) for one in every] for name, every in told.items()}
        echo_json({"ok": not problems, "documents": count, **lists})
    else:
        for warning in warnings:
            click.echo(f"warning: {warning}")
        for problem in problems:
            click.echo(str(problem))
        if problems:
            click.echo(problem_count(problems), err=True)
        else:
            where = ", ".join(str(root) for root in counted)
            looked = f", {plural(len(warnings), 'warning')}" if warnings else ""
            click.echo(f"{plural(count, 'document')} in {where}: no problems{looked}")
    return BAD_INPUT if problems else 0


def _documents(catalogue: Catalogue, only: Sequence[Path] | None) -> list[tuple[str, str]]:
    """Kind and name of each document of these files (None: of all)."""
    wanted = None if only is None else {os.path.realpath(path) for path in only}
    return [one for one, path in catalogue.paths.items() if wanted is None or os.path.realpath(path) in wanted]
