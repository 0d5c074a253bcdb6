"""Which documents a command was given: the whole catalogue, or files and folders, each held against its catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.cli.documents import read, seen_from_here
from tierdrill.cli.places import FOLDERS

if TYPE_CHECKING:
    from tierdrill.spec.catalogue import Catalogue
    from tierdrill.spec.problems import Problem

ENDINGS = (".yaml", ".yml", ".json")


def groups(paths: Sequence[Path], default: Path) -> list[tuple[Path, list[Path] | None]]:
    """Which roots to read, and which files of each count (None: all)."""
    if not paths:
        return [(default, None)]
    found: dict[Path, list[Path] | None] = {}
    for path in paths:
        full = path.resolve()
        if full.is_dir() and _is_catalogue(full):
            found[full] = None
            continue
        files = [file for file in sorted(full.rglob("*")) if file.suffix in ENDINGS] if full.is_dir() else [full]
        for file in files or [full]:
            kept = found.setdefault(_root_of(file), [])
            if kept is not None:
                kept.append(file)
    return list(found.items())


def read_group(root: Path, only: Sequence[Path] | None) -> tuple[Catalogue, list[Problem]]:
    """What is at a root, and the problems of the files that count; a calendar's iCalendar files count with it."""
    if only is None:
        return read(root)
    catalogue, problems = read(root) if _is_catalogue(root) else _read_files(only)
    wanted = {path.resolve() for path in only}
    wanted |= {file.resolve() for path in only for file in calendar_files(catalogue, path)}
    return catalogue, [problem for problem in problems if Path(problem.path).resolve() in wanted]


def calendar_files(catalogue: Catalogue, document: Path) -> list[Path]:
    """The iCalendar files that the calendars of that document name."""
    found = []
    for name, calendar in catalogue.calendars.items():
        path = catalogue.paths["Calendar", name]
        if path.resolve() == document.resolve():
            for blackouts in (calendar.blackouts, *(entry.blackouts for entry in calendar.entries)):
                found += [path.parent / one.file for one in blackouts.files]
    return found


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
