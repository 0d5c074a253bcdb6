"""`tierdrill validate`: every problem of every document at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tierdrill.cli.documents import read, seen_from_here
from tierdrill.cli.errors import BAD_INPUT
from tierdrill.cli.options import echo_json, json_option
from tierdrill.cli.places import FOLDERS, Surroundings

if TYPE_CHECKING:
    from tierdrill.spec.catalogue import Catalogue
    from tierdrill.spec.problems import Problem

ENDINGS = (".yaml", ".yml", ".json")


@click.command("validate")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@json_option
@click.pass_obj
def command(here: Surroundings, paths: tuple[Path, ...], as_json: bool) -> int:
    """Find every problem of the documents: the whole catalogue, or the files and folders at PATHS.

    A document in a catalogue is held against everything else in it. Each problem is one line,
    `file:line:column: what was found; what is allowed`. Exit code 2 if there is any.
    """
    from tierdrill.spec.problems import in_order

    counted: dict[Path, set[str]] = {}
    problems: list[Problem] = []
    for root, only in _groups(paths, here.catalogue):
        catalogue, found = read(root) if only is None or _is_catalogue(root) else _read_files(only)
        if only is not None:
            wanted = {path.resolve() for path in only}
            found = [problem for problem in found if Path(problem.path).resolve() in wanted]
        problems += found
        counted.setdefault(root, set()).update(str(path) for path in _documents(catalogue, only))
    problems = in_order(problems)
    count = sum(len(names) for names in counted.values())
    if as_json:
        echo_json({"ok": not problems, "documents": count, "problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            click.echo(str(problem))
        if problems:
            files = len({problem.path for problem in problems})
            click.echo(f"problems: {len(problems)}, in files: {files}", err=True)
        else:
            where = ", ".join(str(root) for root in counted)
            click.echo(f"{count} documents in {where}: no problems")
    return BAD_INPUT if problems else 0


def _groups(paths: Sequence[Path], default: Path) -> list[tuple[Path, list[Path] | None]]:
    """Which roots to read, and which files of each count (None: all)."""
    if not paths:
        return [(default, None)]
    groups: dict[Path, list[Path] | None] = {}
    for path in paths:
        full = path.resolve()
        if full.is_dir() and _is_catalogue(full):
            groups[full] = None
            continue
        files = [file for file in sorted(full.rglob("*")) if file.suffix in ENDINGS] if full.is_dir() else [full]
        for file in files or [full]:
            root = _root_of(file)
            kept = groups.setdefault(root, [])
            if kept is not None:
                kept.append(file)
    return list(groups.items())


def _is_catalogue(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in FOLDERS)


def _root_of(path: Path) -> Path:
    """The catalogue a file is in; its own folder if it is in none."""
    for parent in path.parents:
        if parent.name in FOLDERS:
            return parent.parent
    return path.parent


def _read_files(files: Sequence[Path]) -> tuple[Catalogue, list[Problem]]:
    from tierdrill.monitoring.alerts import KNOWN_ALERTS
    from tierdrill.spec.load import load_documents

    root = files[0].parent
    catalogue, problems = load_documents(files, root, KNOWN_ALERTS)
    return catalogue, [seen_from_here(problem, root) for problem in problems]


def _documents(catalogue: Catalogue, only: Sequence[Path] | None) -> list[Path]:
    paths = list(catalogue.paths.values())
    return paths if only is None else [path for path in paths if path.resolve() in set(only)]
